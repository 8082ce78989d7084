//! A diagnosis as compilers show theirs: the source with marks, and what to do below it.

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range};

use annotate_snippets::{Annotation, AnnotationKind, Level, Origin, Renderer, Snippet};

use super::{Diagnosis, Label, Place, Source, names};

/// The most bytes of source between two marks for which lines are made up where the file is not
/// at hand.
const MOST_LINES: u32 = 10_000;

impl Diagnosis {
    /// Shows it with its lines of source. What `read` answers for a file's path is taken if it has
    /// the lines that the program was compiled from; else there are the lines that the program
    /// itself brings. `color`: with colours, as ANSI escapes.
    pub fn render(&self, read: &dyn Fn(&str) -> Option<String>, color: bool) -> String {
        let name = self.rule.name();
        let message = printable(&self.message);
        let mut group = Level::ERROR
            .primary_title(message)
            .id(name)
            .elements(std::iter::empty::<Origin<'_>>());
        let marks = self.marks();
        for file in files(&marks) {
            let marks: Vec<&Mark<'_>> = marks
                .iter()
                .filter(|mark| mark.source.file == file)
                .collect();
            if let Some(snippet) = snippet(file, &marks, read) {
                group = group.element(snippet);
            }
        }
        if self
            .place
            .as_ref()
            .is_none_or(|place| place.source.is_none())
        {
            let place = match &self.place {
                Some(place) => instruction(&self.program, place),
                None => format!("program `{}`", printable(&self.program)),
            };
            group = group.element(Origin::path(place));
            for label in self
                .labels
                .iter()
                .filter(|label| label.place.source.is_none())
            {
                let insn = label.place.insn.0;
                let text = format!("at instruction {insn}: {}", printable(&label.text));
                group = group.element(Level::NOTE.message(text));
            }
        }
        for note in &self.notes {
            group = group.element(Level::NOTE.message(printable(note)));
        }
        for help in &self.help {
            group = group.element(Level::HELP.message(printable(help)));
        }
        let see = format!("`skep explain {name}`");
        group = group.element(Level::NOTE.with_name("see").message(see));
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut text = renderer.render(&[group]);
        text.push('\n');
        text
    }

    fn marks(&self) -> Vec<Mark<'_>> {
        let first = self
            .place
            .iter()
            .map(|place| (place, self.label.as_str(), true));
        let others = self
            .labels
            .iter()
            .map(|Label { place, text }| (place, text.as_str(), false));
        first
            .chain(others)
            .filter_map(|(place, text, primary)| {
                Some(Mark {
                    source: place.source.as_ref()?,
                    text,
                    primary,
                    focus: self.focus.as_deref().filter(|_| primary),
                })
            })
            .collect()
    }
}

/// Shows it without colours, with the lines of source that the program brings.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(&|_| None, false).trim_end())
    }
}

/// A place to be marked.
struct Mark<'a> {
    source: &'a Source,
    text: &'a str,
    primary: bool,
    focus: Option<&'a str>,
}

/// The files of marks, in their order.
fn files<'a>(marks: &[Mark<'a>]) -> Vec<&'a str> {
    let mut files = Vec::new();
    for mark in marks {
        if !files.contains(&mark.source.file.as_str()) {
            files.push(mark.source.file.as_str());
        }
    }
    files
}

fn instruction(program: &str, place: &Place) -> String {
    let function = place.function.as_deref().unwrap_or(program);
    let insn = place.insn.0;
    let text = printable(&place.text);
    format!("{}, instruction {insn}: {text}", printable(function))
}

fn snippet<'a>(
    file: &'a str,
    marks: &[&Mark<'a>],
    read: &dyn Fn(&str) -> Option<String>,
) -> Option<Snippet<'a, Annotation<'a>>> {
    let known: BTreeMap<u32, &str> = marks
        .iter()
        .map(|mark| (mark.source.line, mark.source.text.as_str()))
        .collect();
    let (text, first) = match read(file).filter(|text| has_lines(text, &known)) {
        Some(text) => (text, 1),
        None => made_up(&known)?,
    };
    let starts = line_starts(&text);
    let annotations: Vec<_> = marks
        .iter()
        .filter_map(|mark| {
            let line = mark.source.line.checked_sub(first)? as usize;
            let start = *starts.get(line)?;
            let Source { text, column, .. } = mark.source;
            let word = mark.focus.and_then(|word| names::find(text, word, *column));
            let Range { start: from, end } =
                word.unwrap_or_else(|| names::expression(text, *column));
            let kind = if mark.primary {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            let annotation = kind.span(start + from..start + end);
            Some(match mark.text {
                "" => annotation,
                text => annotation.label(printable(text)),
            })
        })
        .collect();
    Some(
        Snippet::source(text)
            .line_start(first as usize)
            .path(printable(file))
            .annotations(annotations),
    )
}

/// Whether a file has these lines, so that it is the one that was compiled.
fn has_lines(text: &str, known: &BTreeMap<u32, &str>) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    known.iter().all(|(&number, &line)| {
        let number = (number as usize).checked_sub(1);
        number
            .and_then(|number| lines.get(number))
            .is_some_and(|found| found.trim_end() == line)
    })
}

/// Text with the known lines at their places and nothing between them, and the number of its first
/// line.
fn made_up(known: &BTreeMap<u32, &str>) -> Option<(String, u32)> {
    let (&first, _) = known.first_key_value()?;
    let (&last, _) = known.last_key_value()?;
    if last - first > MOST_LINES {
        return None;
    }
    let mut text = String::new();
    for number in first..=last {
        text.push_str(known.get(&number).copied().unwrap_or_default());
        text.push('\n');
    }
    Some((text, first))
}

/// Where each line begins.
fn line_starts(text: &str) -> Vec<usize> {
    let behind = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(behind).collect()
}

/// The text with control characters spelled out: it may come from objects, and nothing in it may
/// steer the terminal.
fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.escape_debug().to_string())
}
