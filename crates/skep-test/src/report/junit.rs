//! Reports as JUnit's XML, which most CI systems read: a suite a file, a case a test.

use std::fmt::Write as _;

use super::{Outcome, Report, anstream_free, show_failure};

/// The reports as one document.
#[must_use]
pub fn junit(reports: &[Report]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let count = |of: fn(&Outcome) -> bool| {
        let all = reports.iter().flat_map(|report| &report.tests);
        all.filter(|test| of(&test.outcome)).count()
    };
    let time: f64 = reports
        .iter()
        .map(|report| report.duration.as_secs_f64())
        .sum();
    let (tests, failures, skipped) = (
        count(|_| true),
        count(|outcome| matches!(outcome, Outcome::Failed(_))),
        count(|outcome| matches!(outcome, Outcome::Skipped(_))),
    );
    let _ = writeln!(
        out,
        "<testsuites name=\"skep test\" tests=\"{tests}\" failures=\"{failures}\" \
         errors=\"0\" skipped=\"{skipped}\" time=\"{time:.6}\">"
    );
    for report in reports {
        suite(report, &mut out);
    }
    out.push_str("</testsuites>\n");
    out
}

fn suite(report: &Report, out: &mut String) {
    let name = attribute(&report.name().display().to_string());
    let file = attribute(&report.path.display().to_string());
    let skipped = report.tests.iter();
    let skipped = skipped.filter(|test| matches!(test.outcome, Outcome::Skipped(_)));
    let _ = writeln!(
        out,
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" \
         time=\"{:.6}\">",
        report.tests.len(),
        report.failed(),
        skipped.count(),
        report.duration.as_secs_f64()
    );
    for test in &report.tests {
        let line = test
            .place
            .as_ref()
            .map(|place| format!(" file=\"{file}\" line=\"{}\"", place.line_column().0));
        let _ = write!(
            out,
            "    <testcase name=\"{}\" classname=\"{name}\"{} time=\"{:.6}\"",
            attribute(&test.name),
            line.unwrap_or_default(),
            test.duration.as_secs_f64()
        );
        match &test.outcome {
            Outcome::Passed => out.push_str("/>\n"),
            Outcome::Skipped(reason) => {
                let reason = attribute(reason);
                let _ = writeln!(
                    out,
                    ">\n      <skipped message=\"{reason}\"/>\n    </testcase>"
                );
            }
            Outcome::Failed(failure) => {
                let message = match (&failure.error, failure.mismatches.first()) {
                    (Some(error), _) => error.to_string(),
                    (None, Some(first)) => first.to_string(),
                    (None, None) => String::new(),
                };
                let message = attribute(&message);
                let text = content(&anstream_free(&show_failure(failure)));
                let _ = writeln!(
                    out,
                    ">\n      <failure message=\"{message}\">\n{text}</failure>\n    </testcase>"
                );
            }
        }
    }
    out.push_str("  </testsuite>\n");
}

/// Whether XML 1.0 can have a character at all.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// A text as it stands between tags.
fn content(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            // `]]>` may not stand in text.
            '>' => out.push_str("&gt;"),
            c if is_allowed(c) => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

/// A text as it stands in an attribute: blanks of all kinds are kept.
fn attribute(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in content(text).chars() {
        match c {
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_place() {
        assert_eq!(
            attribute("a\"b<c>&\n\u{1}\u{ffff}é"),
            "a&quot;b&lt;c&gt;&amp;&#10;\u{fffd}\u{fffd}é"
        );
        assert_eq!(content("]]>\t\"x\"\0"), "]]&gt;\t\"x\"\u{fffd}");
    }
}
