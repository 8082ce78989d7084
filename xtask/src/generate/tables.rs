//! The tables under `crates/skep-abi/data`: tab-separated facts that the headers do not say.

use std::path::Path;

use crate::Result;

/// A row of a table, with its place for messages.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) place: String,
    pub(super) cells: Vec<String>,
}

impl Row {
    /// The cell of a column, which must be there.
    pub(super) fn cell(&self, column: usize) -> Result<&str> {
        match self.cells.get(column) {
            Some(cell) => Ok(cell),
            None => Err(format!("{}: column {} is missing", self.place, column + 1).into()),
        }
    }
}

/// A group of rows under a line that starts with `=`.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) head: Row,
    pub(super) rows: Vec<Row>,
}

/// The rows of a table without groups.
pub(super) fn rows(path: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(index, line)| Row {
            place: format!("{name}:{}", index + 1),
            cells: line.split('\t').map(str::to_owned).collect(),
        })
        .collect())
}

/// The groups of a table.
pub(super) fn groups(path: &Path) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for mut row in rows(path)? {
        if row.cells[0] == "=" {
            row.cells.remove(0);
            groups.push(Group {
                head: row,
                rows: Vec::new(),
            });
        } else {
            match groups.last_mut() {
                Some(group) => group.rows.push(row),
                None => return Err(format!("{}: a row before any `=`", row.place).into()),
            }
        }
    }
    Ok(groups)
}

/// `6.18` as `(6, 18)`.
pub(super) fn version(row: &Row, column: usize) -> Result<(u8, u8)> {
    let cell = row.cell(column)?;
    cell.split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .ok_or_else(|| format!("{}: `{cell}` is not a version", row.place).into())
}
