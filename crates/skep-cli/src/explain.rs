//! `skep explain`: a page on each rule of the verifier.

use std::{io::Write as _, process::ExitCode};

use anstyle::Style;
use clap::{Args, builder::PossibleValuesParser};
use skep::verifier::Rule;

use crate::output::Output;

const HEADING: Style = Style::new().bold();

/// Explain a rule of the verifier: what it asks and why, and how to mend a program
///
/// `skep check` and `skep run` name the rule that a program breaks. Each page has a program that
/// is refused for it, and the same mended, where there is one in C.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The rule, by its name
    #[arg(
        required_unless_present = "list",
        value_name = "RULE",
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(Rule::ALL.iter().map(|rule| rule.name()))
    )]
    rule: Option<String>,

    /// List all rules, each with what it asks
    #[arg(short, long, conflicts_with = "rule")]
    list: bool,
}

pub(crate) fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let mut out = Output::new();
    if args.list {
        let width = Rule::ALL.iter().map(|rule| rule.name().len()).max();
        let width = width.unwrap_or_default();
        for rule in Rule::ALL {
            let asks = first_sentence(rule.page());
            writeln!(
                out,
                "{}  {asks}",
                out.paint(HEADING, format!("{rule:width$}"))
            )?;
        }
    } else if let Some(rule) = args.rule.as_deref().and_then(Rule::by_name) {
        page(rule.page(), &mut out)?;
    }
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// A page for a terminal: headings are bold, programs indented.
fn page(text: &str, out: &mut Output) -> std::io::Result<()> {
    let mut code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            code = !code;
        } else if code && !line.is_empty() {
            writeln!(out, "    {line}")?;
        } else if let Some(heading) = line.trim_start_matches('#').strip_prefix(' ')
            && line.starts_with('#')
        {
            writeln!(out, "{}", out.paint(HEADING, heading))?;
        } else {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// What a page begins with below its title.
fn first_sentence(page: &str) -> String {
    let lines = page.lines().skip(1).skip_while(|line| line.is_empty());
    let paragraph: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    let end = paragraph.find(['.', ':', ';']).filter(|&at| {
        // Not the point in a version or a name.
        paragraph[at + 1..].starts_with(' ') || at + 1 == paragraph.len()
    });
    end.map_or(paragraph.as_str(), |at| &paragraph[..at])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_says_what_it_asks() {
        for rule in Rule::ALL {
            let page = rule.page();
            assert!(page.starts_with(&format!("# {rule}\n\n")), "{rule}");
            for part in ["\n## Why\n", "\n## How to mend it\n"] {
                assert!(page.contains(part), "{rule}: {part}");
            }
            let has_programs =
                page.contains("## Refused\n\n```c") && page.contains("## Accepted\n\n```c");
            assert!(
                has_programs || page.contains("There is none in C: "),
                "{rule}"
            );
            assert!(!first_sentence(page).is_empty(), "{rule}");
        }
    }
}
