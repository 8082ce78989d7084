//! The figures as a Markdown table or as JSON: medians, Skep's ratio to the best peer, and the
//! goal. All figures are costs: less is better, and a ratio below 1 is Skep's.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use crate::{
    peers::Peer,
    row::{Goal, Line},
};

/// Lines with the medians of each peer.
#[derive(Default)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    /// What is missing and why.
    notes: Vec<String>,
}

struct Entry {
    line: Line,
    medians: BTreeMap<Peer, f64>,
}

impl Table {
    /// Adds a line with all that was measured.
    pub(crate) fn add(&mut self, line: Line, runs: &BTreeMap<Peer, Vec<f64>>) {
        let medians = runs
            .iter()
            .filter_map(|(peer, figures)| Some((*peer, median(figures)? / line.scale)))
            .collect();
        self.entries.push(Entry { line, medians });
    }

    /// Says once why something is missing.
    pub(crate) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The table; `head` names each peer with its version.
    pub(crate) fn markdown(&self, head: &[(Peer, String)]) -> String {
        let mut text = String::from("| less is better | unit |");
        for (peer, version) in head {
            let _ = write!(text, " {} |", format!("{peer} {version}").trim_end());
        }
        text += " to the best peer | goal |\n|---|---|";
        text += &"--:|".repeat(head.len() + 1);
        text += "---|\n";
        for entry in &self.entries {
            let _ = write!(text, "| {} | {} |", entry.line.what, entry.line.unit);
            for (peer, _) in head {
                let figure = entry.medians.get(peer);
                let _ = write!(text, " {} |", figure.map_or("–".into(), |f| number(*f)));
            }
            let ratio = entry.to_best().map_or("–".into(), |r| format!("{r:.2}×"));
            let _ = writeln!(text, " {ratio} | {} |", entry.verdict());
        }
        for note in &self.notes {
            let _ = write!(text, "\n- {note}");
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        text
    }

    /// The same for programs.
    pub(crate) fn json(&self, head: &[(Peer, String)]) -> Value {
        let lines: Vec<Value> = self
            .entries
            .iter()
            .map(|entry| {
                let medians: BTreeMap<&str, f64> = entry
                    .medians
                    .iter()
                    .map(|(peer, figure)| (peer.name(), *figure))
                    .collect();
                json!({
                    "what": entry.line.what,
                    "unit": entry.line.unit,
                    "medians": medians,
                    "to_best_peer": entry.to_best(),
                    "goal": entry.goal(),
                    "met": entry.met(),
                })
            })
            .collect();
        let versions: BTreeMap<&str, &str> = head
            .iter()
            .map(|(peer, version)| (peer.name(), version.as_str()))
            .collect();
        json!({ "versions": versions, "lines": lines, "notes": self.notes })
    }
}

impl Entry {
    fn skep(&self) -> Option<f64> {
        self.medians.get(&Peer::Skep).copied()
    }

    /// Skep's figure over that of the best peer.
    fn to_best(&self) -> Option<f64> {
        let peers = self.medians.iter().filter(|(peer, _)| **peer != Peer::Skep);
        let best = peers.map(|(_, figure)| *figure).min_by(f64::total_cmp)?;
        Some(self.skep()? / best)
    }

    /// The goal in words.
    fn goal(&self) -> Option<String> {
        let unit = self.line.unit;
        Some(match self.line.goal {
            Goal::None => return None,
            Goal::AtMost(most) => format!("≤ {most} {unit}").trim_end().to_owned(),
            Goal::Below(limit) => format!("< {limit} {unit}").trim_end().to_owned(),
            Goal::OfBest(most) => format!("≤ {most:.2}× the best"),
            Goal::Of(peer, most) => format!("≤ {most:.2}× {peer}"),
        })
    }

    /// Whether the goal is reached; none when there is none, or nothing to compare with.
    fn met(&self) -> Option<bool> {
        let skep = self.skep()?;
        match self.line.goal {
            Goal::None => None,
            Goal::AtMost(most) => Some(skep <= most),
            Goal::Below(limit) => Some(skep < limit),
            Goal::OfBest(most) => Some(self.to_best()? <= most),
            Goal::Of(peer, most) => Some(skep / self.medians.get(&peer)? <= most),
        }
    }

    fn verdict(&self) -> String {
        let Some(goal) = self.goal() else {
            return String::new();
        };
        let ratio = match self.line.goal {
            Goal::Of(peer, _) => self.medians.get(&peer).zip(self.skep()),
            _ => None,
        };
        let ratio = ratio.map_or(String::new(), |(peer, skep)| {
            format!(" ({:.2}×)", skep / peer)
        });
        match self.met() {
            Some(true) => format!("{goal}: met{ratio}"),
            Some(false) => format!("{goal}: **missed**{ratio}"),
            None => format!("{goal}: unknown"),
        }
    }
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// Three digits or more.
fn number(figure: f64) -> String {
    match figure.abs() {
        below if below < 10.0 => format!("{figure:.2}"),
        below if below < 100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}
