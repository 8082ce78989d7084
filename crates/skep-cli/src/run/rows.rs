//! Events as rows: the type of a map's records is found once, made into columns once, and each
//! record is printed with nothing allocated.

use skep::{
    Map, Object,
    btf::{Btf, Kind, value::Layout},
};

use super::{
    Format, Output,
    cells::{self, Cell, Context},
    json::Json,
    table::{self, Column, Line},
};

/// Prints the records of one map.
pub(crate) struct EventRows {
    map: String,
    shape: Shape,
    /// Types that may be the records', to be told apart by the first record's length.
    candidates: Vec<Layout>,
    line: Line,
    cell: String,
    short: u64,
}

enum Shape {
    Typed {
        layout: Layout,
        columns: Vec<Column>,
    },
    Bytes,
}

impl EventRows {
    /// Finds the type of a map's records: the map's value type, a tag (`SKEP_EVENT`), or the one
    /// type in the object that is named like an event.
    pub(crate) fn of(object: &Object, map: &Map, format: Format) -> anyhow::Result<Self> {
        let spec = object.spec();
        let mut candidates = Vec::new();
        let mut shape = Shape::Bytes;
        if let Some(btf) = spec.btf() {
            match spec.record_type(map.name()) {
                Some(id) => shape = Shape::typed(Layout::new(btf, id)?),
                None => candidates = named_like_events(btf),
            }
            if let [_] = candidates.as_slice() {
                shape = candidates.pop().map_or(Shape::Bytes, Shape::typed);
            }
        }
        if matches!(shape, Shape::Bytes) && candidates.is_empty() && format == Format::Table {
            say!(
                "map `{}` does not say what its records are: put `__type(value, struct event);` into it",
                map.name()
            );
        }
        Ok(Self {
            map: map.name().to_owned(),
            shape,
            candidates,
            line: Line::default(),
            cell: String::new(),
            short: 0,
        })
    }

    /// The line of column heads.
    pub(crate) fn heads(&self) -> String {
        match &self.shape {
            Shape::Typed { columns, .. } => table::heads(columns),
            Shape::Bytes => format!("{}: bytes of each record\n", self.map),
        }
    }

    /// Records that were too short for their type, and not printed.
    pub(crate) fn short(&self) -> u64 {
        self.short
    }

    /// Prints one record; `false` if it is too short for its type.
    pub(crate) fn print(
        &mut self,
        record: &[u8],
        context: Context<'_>,
        output: &mut Output,
    ) -> anyhow::Result<bool> {
        self.decide(record.len(), output)?;
        self.line.clear();
        let printed = match (&self.shape, output.format) {
            (Shape::Typed { layout, columns }, Format::Table) => {
                let context = context.of(cells::process(layout, record));
                for (index, column) in columns.iter().enumerate() {
                    self.cell.clear();
                    let mut cell = Cell::new(&mut self.cell, context);
                    if layout.visit_field(index, record, &mut cell).is_err() {
                        self.short += 1;
                        return Ok(false);
                    }
                    self.line
                        .cell(column, &self.cell, index + 1 == columns.len());
                }
                self.line.finish()
            }
            (Shape::Typed { layout, .. }, Format::Json) => {
                self.cell.clear();
                if layout
                    .visit(
                        record,
                        &mut Json::new(&mut self.cell, context.of(cells::process(layout, record))),
                    )
                    .is_err()
                {
                    self.short += 1;
                    return Ok(false);
                }
                self.cell.push('\n');
                &self.cell
            }
            (Shape::Bytes, format) => {
                self.cell.clear();
                bytes(&mut self.cell, &self.map, record, format);
                &self.cell
            }
        };
        output.write(printed)?;
        Ok(true)
    }

    /// Takes the candidate that is as long as the first record.
    fn decide(&mut self, length: usize, output: &mut Output) -> anyhow::Result<()> {
        if self.candidates.is_empty() {
            return Ok(());
        }
        // The kernel pads perf records, with the four bytes of their length, to eight.
        let fits = |layout: &Layout| {
            usize::try_from(layout.size())
                .is_ok_and(|size| length == size || length == (size + 4).next_multiple_of(8) - 4)
        };
        let fitting: Vec<usize> = (0..self.candidates.len())
            .filter(|index| fits(&self.candidates[*index]))
            .collect();
        if let [index] = fitting.as_slice() {
            self.shape = Shape::typed(self.candidates.swap_remove(*index));
            if output.format == Format::Table {
                output.write(&self.heads())?;
            }
        }
        self.candidates.clear();
        Ok(())
    }
}

impl Shape {
    fn typed(layout: Layout) -> Self {
        let columns = layout.fields().map(|field| cells::column(&field)).collect();
        Self::Typed { layout, columns }
    }
}

fn named_like_events(btf: &Btf) -> Vec<Layout> {
    btf.types()
        .filter(|found| {
            let name = found.name();
            let like = name == "event"
                || name.ends_with("_event")
                || name == "event_t"
                || name == "data_t";
            like && matches!(found.kind(), Kind::Struct(_))
        })
        .filter_map(|found| Layout::new(btf, found.id()).ok())
        .collect()
}

fn bytes(out: &mut String, map: &str, record: &[u8], format: Format) {
    use std::fmt::Write as _;
    let hex = |out: &mut String| {
        record.iter().for_each(|byte| {
            let _ = write!(out, "{byte:02x}");
        })
    };
    match format {
        Format::Table => {
            let _ = write!(out, "{:>5}  ", record.len());
            hex(out);
            out.push('\n');
        }
        Format::Json => {
            out.push_str("{\"map\":");
            super::json::string(out, map);
            out.push_str(",\"bytes\":\"");
            hex(out);
            out.push_str("\"}\n");
        }
    }
}
