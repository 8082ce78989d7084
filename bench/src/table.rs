//! The figures, with the ratio that matters: Skep's cost over the peer's, below 1 where Skep is
//! cheaper.

/// Rows of figures that are better when smaller.
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    unit: &'static str,
    skep: f64,
    peer: Option<f64>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds medians of what was measured; the peer's may be empty.
    pub(crate) fn add(&mut self, what: &str, unit: &'static str, skep: Vec<f64>, peer: Vec<f64>) {
        let row = Row {
            what: what.to_owned(),
            unit,
            skep: median(skep).unwrap_or(f64::NAN),
            peer: median(peer),
        };
        eprintln!("{}", row.text());
        self.rows.push(row);
    }

    pub(crate) fn print(&self) {
        println!(
            "{:<44} {:>10} {:>10}        {:>6}",
            "less is better", "skep", "libbpf", "ratio"
        );
        for row in &self.rows {
            println!("{}", row.text());
        }
    }
}

impl Row {
    fn text(&self) -> String {
        let Self {
            what, unit, skep, ..
        } = self;
        match self.peer {
            Some(peer) => {
                let ratio = skep / peer;
                format!("{what:<44} {skep:>10.2} {peer:>10.2} {unit:<6} {ratio:>6.2}×")
            }
            None => format!("{what:<44} {skep:>10.2} {:>10} {unit:<6}", "–"),
        }
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
