//! Messages in rustc's form, beside its own.

use std::{fmt::Write as _, fs};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Error,
    Warning,
}

/// What is said of a place in the source.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) level: Level,
    pub(super) title: String,
    /// `FILE:LINE:COLUMN`, if it is known.
    pub(super) place: Option<String>,
    /// Empty if it is of none.
    pub(super) function: String,
    /// More about the function; empty for nothing.
    pub(super) note: &'static str,
    /// What to write instead; empty where that is not known.
    pub(super) help: &'static str,
}

impl Message {
    /// Several lines, the last with its end.
    pub(super) fn shown(&self, colored: bool) -> String {
        let paint = |code: &str, text: &str| match colored {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let (blue, bold) = ("1;94", "1");
        let (word, strong) = match self.level {
            Level::Error => ("error", "1;91"),
            Level::Warning => ("warning", "1;93"),
        };
        let title = paint(bold, &format!(": {}", self.title));
        let mut out = format!("{}{title}\n", paint(strong, word));
        let place = self.place.as_deref().unwrap_or_default();
        let mut parts = place.rsplitn(3, ':');
        let column = parts.next().and_then(|column| column.parse::<usize>().ok());
        let line = parts.next().and_then(|line| line.parse::<usize>().ok());
        let (file, line, column) = (parts.next(), line.unwrap_or(0), column.unwrap_or(0));
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let bar = paint(blue, "|");
        // Writing to a string can't fail.
        if let Some(file) = file {
            let arrow = paint(blue, "-->");
            let _ = writeln!(out, "{margin}{arrow} {place}");
            let text = fs::read_to_string(file).unwrap_or_default();
            let source = line.checked_sub(1).and_then(|line| text.lines().nth(line));
            if let Some(source) = source {
                let indent: String = source
                    .chars()
                    .take(column.saturating_sub(1))
                    .map(|c| if c == '\t' { '\t' } else { ' ' })
                    .collect();
                let _ = writeln!(out, "{margin} {bar}");
                let _ = writeln!(out, "{} {bar} {source}", paint(blue, &number));
                let _ = writeln!(out, "{margin} {bar} {indent}{}", paint(strong, "^"));
            }
            let _ = writeln!(out, "{margin} {bar}");
        }
        let function = match self.note {
            note if self.function.is_empty() => note.to_owned(),
            "" => format!("in function `{}`", self.function),
            note => format!("in function `{}`: {note}", self.function),
        };
        for (label, text) in [("note", function.as_str()), ("help", self.help)] {
            if !text.is_empty() {
                let (equals, label) = (paint(blue, "="), paint(bold, label));
                let _ = writeln!(out, "{margin} {equals} {label}: {text}");
            }
        }
        out
    }
}

/// Whether a place is in the program, and neither in core nor in what Skep brings.
pub(super) fn is_own(place: &str) -> bool {
    !place.contains("/library/core/src/") && !place.contains("/skep-ebpf/")
}

/// The text without the escape sequences of terminals.
pub(super) fn without_colors(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, escape)) = rest.split_once("\x1b[") {
        out += before;
        rest = escape.split_once('m').map_or("", |(_, after)| after);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_shown_where_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.rs");
        fs::write(&file, "fn a() {\n\tb[i]\n}\n").unwrap();
        let message = Message {
            level: Level::Warning,
            title: "this may panic".into(),
            place: Some(format!("{}:2:2", file.display())),
            function: "a".into(),
            note: "so it is",
            help: "don't",
        };
        let expected = format!(
            "warning: this may panic\n --> {}:2:2\n  |\n2 | \tb[i]\n  | \t^\n  |\n  \
             = note: in function `a`: so it is\n  = help: don't\n",
            file.display()
        );
        assert_eq!(message.shown(false), expected);
        assert_eq!(without_colors(&message.shown(true)), expected);
        let nowhere = Message {
            place: None,
            ..message
        };
        let expected =
            "warning: this may panic\n  = note: in function `a`: so it is\n  = help: don't\n";
        assert_eq!(nowhere.shown(false), expected);
    }
}
