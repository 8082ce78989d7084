//! Columns that line up: widths fixed from the types for streams of events, measured for
//! tables that are printed whole.

/// Which side a column's cells keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A column's head and shape.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) head: String,
    pub(crate) width: usize,
    pub(crate) align: Align,
}

impl Column {
    /// A column at least as wide as its head.
    pub(crate) fn new(head: impl Into<String>, width: usize, align: Align) -> Self {
        let head = head.into();
        let width = width.max(head.chars().count());
        Self { head, width, align }
    }
}

/// Puts cells of a line together; the last column is never padded on its right.
#[derive(Debug, Default)]
pub(crate) struct Line {
    text: String,
    /// Columns by which earlier cells were too wide, made up for in later padding.
    debt: usize,
}

impl Line {
    /// Adds a cell, two spaces after the one before.
    pub(crate) fn cell(&mut self, column: &Column, cell: &str, last: bool) {
        if !self.text.is_empty() {
            self.text.push_str("  ");
        }
        let width = visible_width(cell);
        let room = column.width.saturating_sub(self.debt);
        let padding = room.saturating_sub(width);
        self.debt = (self.debt + width).saturating_sub(column.width);
        if column.align == Align::Right {
            self.text.extend(std::iter::repeat_n(' ', padding));
        }
        self.text.push_str(cell);
        if column.align == Align::Left && !last {
            self.text.extend(std::iter::repeat_n(' ', padding));
        }
    }

    /// The line, with its end.
    pub(crate) fn finish(&mut self) -> &str {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
        &self.text
    }

    /// Starts a new line.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.debt = 0;
    }
}

/// A line of the columns' heads.
pub(crate) fn heads(columns: &[Column]) -> String {
    let mut line = Line::default();
    for (index, column) in columns.iter().enumerate() {
        line.cell(column, &column.head, index + 1 == columns.len());
    }
    line.finish().to_owned()
}

/// Rows printed whole: each column as wide as its widest cell.
pub(crate) fn whole(mut columns: Vec<Column>, rows: &[Vec<String>]) -> String {
    for row in rows {
        for (column, cell) in columns.iter_mut().zip(row) {
            column.width = column.width.max(visible_width(cell));
        }
    }
    let mut out = heads(&columns);
    let mut line = Line::default();
    for row in rows {
        line.clear();
        for (index, (column, cell)) in columns.iter().zip(row).enumerate() {
            line.cell(column, cell, index + 1 == columns.len());
        }
        out.push_str(line.finish());
    }
    out
}

/// Characters that a cell takes on a terminal; wide scripts count as one, which is near enough
/// for names and paths.
fn visible_width(cell: &str) -> usize {
    if cell.is_ascii() {
        cell.len()
    } else {
        cell.chars().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column::new("PID", 6, Align::Right),
            Column::new("COMM", 5, Align::Left),
            Column::new("PATH", 0, Align::Left),
        ]
    }

    #[test]
    fn cells_line_up_under_their_heads() {
        assert_eq!(heads(&columns()), "   PID  COMM   PATH\n");
        let mut line = Line::default();
        for (index, cell) in ["12", "ls", "/etc"].iter().enumerate() {
            line.cell(&columns()[index], cell, index == 2);
        }
        assert_eq!(line.finish(), "    12  ls     /etc\n");
    }

    #[test]
    fn a_cell_that_is_too_wide_shifts_only_until_there_is_room() {
        let mut line = Line::default();
        for (index, cell) in ["12345678", "ls", "/etc"].iter().enumerate() {
            line.cell(&columns()[index], cell, index == 2);
        }
        assert_eq!(line.finish(), "12345678  ls   /etc\n");
    }

    #[test]
    fn whole_tables_measure_their_rows() {
        let rows = vec![vec!["1".into(), "a long name".into(), "x".into()]];
        assert_eq!(
            whole(columns(), &rows),
            "   PID  COMM         PATH\n     1  a long name  x\n"
        );
    }
}
