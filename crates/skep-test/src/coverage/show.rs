//! Reports for people: a summary, what did not run, and the whole source with counts beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fmt::Write as _,
};

use super::{Branch, FileReport, Report, files};

/// `fw.bpf.c: 34 of 36 lines, 9 of 10 branches`, a line a file.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, file) in self.files.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{file}")?;
        }
        Ok(())
    }
}

/// `fw.bpf.c: 34 of 36 lines, 9 of 10 branches`
impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (run, lines) = self.lines_run();
        write!(f, "{}: {run} of {lines} lines", files::shown(&self.path))?;
        let (taken, ways) = self.branches_taken();
        if ways > 0 {
            write!(f, ", {taken} of {ways} branches")?;
        }
        Ok(())
    }
}

impl Report {
    /// What did not run: lines, marked with `-`, and ways of branches that control came to. Empty if
    /// all ran.
    ///
    /// ```text
    ///    --> fw.bpf.c
    ///  25  |     if (!value)
    ///      |         ^ never went to line 26
    ///  26 -|         return -1;
    /// ...
    ///  31 -|     return XDP_DROP;
    /// ```
    pub fn uncovered(&self) -> String {
        self.files.iter().map(FileReport::uncovered).collect()
    }

    /// The source with the count of each line before it, and under it the ways of its branches that
    /// were not taken. Of files that are not on this machine, the lines that the objects know.
    ///
    /// ```text
    ///   --> fw.bpf.c
    ///       12 | 25 |     if (!value)
    ///          |    |         ^ never went to line 26
    ///        0 | 26 |         return -1;
    ///          | 27 |
    /// ```
    pub fn annotated(&self) -> String {
        self.files.iter().map(FileReport::annotated).collect()
    }
}

impl FileReport {
    fn uncovered(&self) -> String {
        let notes = self.notes();
        let missed = self.lines.iter().filter(|(_, count)| **count == 0);
        let mut rows: BTreeSet<u32> = missed.map(|(line, _)| *line).collect();
        rows.extend(notes.keys());
        let Some(last) = rows.last() else {
            return String::new();
        };
        let width = last.to_string().len().max(3);
        let mut all = format!("{:width$}--> {}\n", "", files::shown(&self.path));
        let mut before = None;
        for line in rows {
            // What is left out is marked, where it is more than a line.
            if before.is_some_and(|before| before + 1 < line) {
                let _ = writeln!(all, "{:.<width$}", "");
            }
            before = Some(line);
            let text = self.texts.get(&line).map_or("", String::as_str);
            let mark = match self.lines.get(&line) {
                Some(0) => '-',
                _ => ' ',
            };
            let row = format!("{line:width$} {mark}| {}", expand(text));
            let _ = writeln!(all, "{}", row.trim_end());
            for note in notes.get(&line).into_iter().flatten() {
                let _ = writeln!(all, "{:width$}  | {note}", "");
            }
        }
        all
    }

    fn annotated(&self) -> String {
        let notes = self.notes();
        let source = files::read(&self.path);
        let mut texts: BTreeMap<u32, &str> = (1..).zip(source.lines()).collect();
        for (line, text) in &self.texts {
            texts.entry(*line).or_insert(text);
        }
        let last = texts.keys().next_back().copied().unwrap_or_default();
        let width = last.to_string().len();
        let mut all = format!("  --> {}\n", files::shown(&self.path));
        for (line, text) in texts {
            let count = self.lines.get(&line).map(u64::to_string);
            let row = format!(
                "{:>8} | {line:width$} | {}",
                count.unwrap_or_default(),
                expand(text)
            );
            let _ = writeln!(all, "{}", row.trim_end());
            for note in notes.get(&line).into_iter().flatten() {
                let _ = writeln!(all, "{:8} | {:width$} | {note}", "", "");
            }
        }
        all
    }

    /// What to say of the branches of lines that ran, by line.
    fn notes(&self) -> BTreeMap<u32, Vec<String>> {
        let mut notes: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for branch in &self.branches {
            if self.lines.get(&branch.line) == Some(&0) {
                continue;
            }
            for way in 0..branch.ways.len() {
                if let Some(missed) = self.missed(branch, way) {
                    let text = self.texts.get(&branch.line).map_or("", String::as_str);
                    let note = format!("{}^ {missed}", before(text, branch));
                    let all = notes.entry(branch.line).or_default();
                    if all.last() != Some(&note) {
                        all.push(note);
                    }
                }
            }
        }
        notes
    }

    /// What is said of a way that was not taken: where it leads, if that is clear and control never
    /// came there; else when it would have been taken.
    fn missed(&self, branch: &Branch, way: usize) -> Option<String> {
        let this = &branch.ways[way];
        if this.taken > 0 {
            return None;
        }
        let when = this
            .when
            .as_ref()
            .map(|when| match when.strip_prefix("other than ") {
                Some(value) => format!("was always {value}"),
                None => format!("was never {when}"),
            });
        if !branch.ran() {
            // One note is enough; and of a jump whose copy ran, none.
            let another = (way == 0).then(|| self.another_ran(branch))?;
            return match when {
                Some(when) if self.is_switch(branch) => Some(when),
                _ if another => None,
                _ => Some("was never asked".to_owned()),
            };
        }
        let missed = this.to.filter(|line| self.lines.get(line) == Some(&0));
        Some(match (missed, when, this.to) {
            (Some(line), _, _) => format!("never went to line {line}"),
            (None, Some(when), _) => when,
            (None, None, Some(line)) => format!("never went to line {line}"),
            (None, None, None) => "one of two ways was never taken".to_owned(),
        })
    }

    /// Whether a branch is for a case of a `switch`.
    fn is_switch(&self, branch: &Branch) -> bool {
        let text = self.texts.get(&branch.line);
        text.is_some_and(|text| text.trim_start().starts_with("switch"))
    }

    /// Whether another branch at the same place ran.
    fn another_ran(&self, branch: &Branch) -> bool {
        let place = |branch: &Branch| (branch.line, branch.column);
        let here = place(branch);
        let start = self.branches.partition_point(|other| place(other) < here);
        let all = self.branches.iter().skip(start);
        all.take_while(|other| place(other) == here)
            .any(Branch::ran)
    }
}

/// Tabs as they are shown; other control characters are not for terminals.
fn expand(text: &str) -> String {
    files::clean(&text.replace('\t', "    "))
}

/// The blanks that a line begins with.
fn indent(text: &str) -> String {
    let blanks = text.chars().take_while(|c| c.is_whitespace());
    expand(&blanks.collect::<String>())
}

/// As many blanks as stand before a branch's column; the compiler counts bytes.
fn before(text: &str, branch: &Branch) -> String {
    let column = usize::try_from(branch.column).unwrap_or_default();
    if column == 0 {
        return indent(text);
    }
    let before = text.get(..column.saturating_sub(1)).unwrap_or(text);
    expand(before).chars().map(|_| ' ').collect()
}
