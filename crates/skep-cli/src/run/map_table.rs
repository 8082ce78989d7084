//! A map's entries as a table: keys, values, and the stacks that they name.

use std::collections::BTreeMap;

use skep::btf::value::Layout;

use super::{
    cells::{self, Cell, Context, Meaning},
    maps::{Entry, Types, frames},
    stacks,
    table::{self, Column},
};

/// Rows to be printed whole, the heaviest first.
pub(crate) struct MapTable {
    columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Row {
    key: Vec<String>,
    value: Vec<String>,
    frames: Vec<String>,
}

impl MapTable {
    /// Rows of the entries, in their order.
    pub(crate) fn of(types: &Types, found: &[Entry], context: Context<'_>) -> anyhow::Result<Self> {
        let mut columns = plain_columns(&types.key, "key");
        columns.extend(plain_columns(&types.value, "value"));
        let mut rows: Vec<Row> = Vec::new();
        for entry in found {
            let context = context.of(cells::process(&types.key, &entry.key));
            let frames = frames(types, entry, context)
                .into_iter()
                .flat_map(|(_, frames)| frames);
            rows.push(Row {
                key: plain_cells(&types.key, &entry.key, context)?,
                value: plain_cells(&types.value, &entry.value, context)?,
                frames: frames
                    .map(|frame| stacks::function(&frame).to_owned())
                    .collect(),
            });
        }
        let mut table = Self { columns, rows };
        if table.rows.iter().any(|row| !row.frames.is_empty()) {
            table.merge();
        }
        Ok(table)
    }

    /// Adds up rows that differ only in where in their functions they were: to people they are
    /// the same stack.
    fn merge(&mut self) {
        let mut sums: BTreeMap<(Vec<String>, Vec<String>), u64> = BTreeMap::new();
        for row in &self.rows {
            // Only what is counted by one number can be added up.
            let [count] = row.value.as_slice() else {
                return;
            };
            let Ok(count) = count.parse::<u64>() else {
                return;
            };
            *sums
                .entry((row.key.clone(), row.frames.clone()))
                .or_default() += count;
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rows = sums.into_iter().map(|((key, frames), count)| Row {
            key,
            value: vec![count.to_string()],
            frames,
        });
        self.rows = rows.collect();
    }

    /// Heads and rows, each row with its stack below it.
    pub(crate) fn text(&self) -> String {
        let cells: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| [row.key.clone(), row.value.clone()].concat())
            .collect();
        let plain = table::whole(self.columns.clone(), &cells);
        let mut lines = plain.lines();
        let mut out = format!("{}\n", lines.next().unwrap_or_default());
        for (line, row) in lines.zip(&self.rows) {
            out.push_str(line);
            out.push('\n');
            for frame in &row.frames {
                out.push_str(&format!("    {frame}\n"));
            }
        }
        out
    }
}

fn plain_columns(layout: &Layout, head: &str) -> Vec<Column> {
    if layout.fields().len() == 0 {
        return vec![cells::single(layout, head)];
    }
    let plain = layout
        .fields()
        .filter(|field| !Meaning::of(field.type_names()).is_stack());
    plain.map(|field| cells::column(&field)).collect()
}

fn plain_cells(layout: &Layout, bytes: &[u8], context: Context<'_>) -> anyhow::Result<Vec<String>> {
    if layout.fields().len() == 0 {
        let mut text = String::new();
        layout.visit(bytes, &mut Cell::new(&mut text, context))?;
        return Ok(vec![text]);
    }
    let mut row = Vec::new();
    for (index, field) in layout.fields().enumerate() {
        if Meaning::of(field.type_names()).is_stack() {
            continue;
        }
        let mut text = String::new();
        layout.visit_field(index, bytes, &mut Cell::new(&mut text, context))?;
        row.push(text);
    }
    Ok(row)
}
