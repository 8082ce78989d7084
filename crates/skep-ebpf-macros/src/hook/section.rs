//! What stands in an attribute's parentheses, and the section's name that it makes.

use crate::quote::{self, Error};
use proc_macro::{Span, TokenStream, TokenTree};

use super::syntax::is_punct;
use super::table::{Hook, OPTIONS, Parameters, Target};
use crate::generated::sections::SECTIONS;

/// What an attribute says.
pub(super) struct Place {
    /// The section's name.
    pub(super) section: String,
    /// What is hooked, where the attribute says it.
    pub(super) target: Option<String>,
    /// The class of a tracepoint, where it is not its name.
    pub(super) class: Option<String>,
    /// The program that this one stands in for.
    pub(super) instead_of: Option<String>,
}

/// The section of a hook with what stands in its attribute: `"do_unlinkat"`, `sleepable`.
pub(super) fn place(hook: &Hook, attribute: TokenStream) -> Result<Place, Error> {
    let mut written = Written::parse(hook, attribute)?;
    let (class, instead_of) = (written.class.take(), written.instead_of.take());
    let target = written.target.as_ref().map(|(target, _)| target.clone());
    let section = match (name(hook, written)?, &instead_of) {
        // Other loaders leave it alone.
        (section, Some(_)) => format!("?{section}"),
        (section, None) => section,
    };
    Ok(Place {
        section,
        target,
        class,
        instead_of,
    })
}

fn name(hook: &Hook, written: Written) -> Result<String, Error> {
    let (_, tail) = match &written.place {
        Some((_, place)) => *place,
        None => *hook
            .places
            .iter()
            .find(|(word, _)| word.is_empty())
            .ok_or_else(|| {
                Error::new(
                    Span::call_site(),
                    format!(
                        "`#[{}]` needs one of {}: `#[{0}({})]`",
                        hook.name,
                        words(&places(hook)),
                        hook.places[0].0
                    ),
                )
            })?,
    };
    let mut section = hook.head.to_owned();
    for (word, dot) in OPTIONS {
        if written.options.iter().any(|(option, _)| option == word) {
            section.push_str(dot);
        }
    }
    section.push_str(tail);
    if !SECTIONS.contains(&section.as_str()) {
        let at = written
            .options
            .last()
            .map_or(Span::call_site(), |(_, span)| *span);
        return Err(Error::new(
            at,
            format!("`#[{}]` cannot be all of this at once", hook.name),
        ));
    }
    match (written.target, hook.target) {
        (Some((target, _)), _) => Ok(format!("{section}/{target}")),
        (None, Target::Required(example)) => Err(Error::new(
            Span::call_site(),
            format!(
                "`#[{}]` needs to know {example}: `#[{0}(\"…\")]`",
                hook.name
            ),
        )),
        (None, _) => Ok(section),
    }
}

/// The parts of an attribute.
struct Written {
    target: Option<(String, Span)>,
    place: Option<(Span, (&'static str, &'static str))>,
    options: Vec<(String, Span)>,
    class: Option<String>,
    instead_of: Option<String>,
}

impl Written {
    fn parse(hook: &Hook, attribute: TokenStream) -> Result<Self, Error> {
        let mut written = Self {
            target: None,
            place: None,
            options: Vec::new(),
            class: None,
            instead_of: None,
        };
        let mut tokens = attribute.into_iter();
        while let Some(token) = tokens.next() {
            match &token {
                TokenTree::Literal(literal) => {
                    written.literal(hook, &literal.to_string(), token.span())?;
                }
                TokenTree::Ident(word)
                    if hook.parameters == Parameters::Fields && word.to_string() == "class" =>
                {
                    written.class = Some(class(word.span(), tokens.next(), tokens.next())?);
                }
                TokenTree::Ident(word) if word.to_string() == "instead_of" => {
                    let other = program(word.span(), tokens.next(), tokens.next())?;
                    if written.instead_of.replace(other).is_some() {
                        return Err(Error::new(word.span(), "`instead_of` twice"));
                    }
                }
                TokenTree::Ident(word) => written.word(hook, &word.to_string(), token.span())?,
                other => {
                    return Err(Error::new(other.span(), format!("{} here", takes(hook))));
                }
            }
            match tokens.next() {
                None => break,
                Some(comma) if is_punct(&comma, ',') => {}
                Some(other) => return Err(Error::new(other.span(), "a comma goes here")),
            }
        }
        Ok(written)
    }

    fn literal(&mut self, hook: &Hook, literal: &str, at: Span) -> Result<(), Error> {
        let wrong = |says: String| Err(Error::new(at, says));
        let Some(text) = literal
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
        else {
            return wrong(format!("{}; a target is a plain string", takes(hook)));
        };
        if hook.target == Target::None {
            let place = hook
                .places
                .iter()
                .find(|(word, _)| !word.is_empty() && *word == text);
            return match place {
                Some((word, _)) => wrong(format!("without quotes: `#[{}({word})]`", hook.name)),
                None => wrong(format!("`#[{}]` has no target: {}", hook.name, takes(hook))),
            };
        }
        if self.target.is_some() {
            return wrong(format!("`#[{}]` has one target", hook.name));
        }
        if text.is_empty() {
            return wrong("an empty target; leave it away, or say what to attach to".to_owned());
        }
        if text.contains('\\') || text.contains(char::is_whitespace) {
            return wrong("no backslashes or spaces in a target".to_owned());
        }
        target(hook, text).map_err(|says| Error::new(at, says))?;
        self.target = Some((text.to_owned(), at));
        Ok(())
    }

    fn word(&mut self, hook: &Hook, word: &str, at: Span) -> Result<(), Error> {
        if let Some(place) = hook
            .places
            .iter()
            .find(|(name, _)| *name == word && !word.is_empty())
        {
            if self.place.is_some() {
                return Err(Error::new(
                    at,
                    format!("one of {} at a time", words(&places(hook))),
                ));
            }
            self.place = Some((at, *place));
            return Ok(());
        }
        if !options(hook).contains(&word) {
            let says = format!("`#[{}]` has no option `{word}`: {}", hook.name, takes(hook));
            return Err(Error::new(at, says));
        }
        if self.options.iter().any(|(option, _)| option == word) {
            return Err(Error::new(at, format!("`{word}` twice")));
        }
        self.options.push((word.to_owned(), at));
        Ok(())
    }
}

/// The class of `class = "…"`.
fn class(at: Span, equals: Option<TokenTree>, text: Option<TokenTree>) -> Result<String, Error> {
    let text = match (equals, text) {
        (Some(equals), Some(TokenTree::Literal(text))) if is_punct(&equals, '=') => {
            text.to_string()
        }
        _ => String::new(),
    };
    let name = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let is_name = |name: &&str| {
        let letter = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
        !name.is_empty() && name.bytes().all(letter)
    };
    name.filter(is_name).map(str::to_owned).ok_or_else(|| {
        let says = "a tracepoint's class is a name in quotes: `class = \"sched_process_template\"`";
        Error::new(at, says)
    })
}

/// The program of `instead_of = name`.
fn program(at: Span, equals: Option<TokenTree>, name: Option<TokenTree>) -> Result<String, Error> {
    match (equals, name) {
        (Some(equals), Some(TokenTree::Ident(name))) if is_punct(&equals, '=') => {
            Ok(quote::plain(&name))
        }
        _ => {
            let says = "`instead_of` is another program, by its name: `instead_of = typed`";
            Err(Error::new(at, says))
        }
    }
}

/// Whether a target has the parts that its hook's targets have.
fn target(hook: &Hook, text: &str) -> Result<(), String> {
    let parts = |separator| {
        text.split(separator)
            .filter(|part| !part.is_empty())
            .count()
    };
    let example = match hook.target {
        Target::None => return Ok(()),
        Target::Optional(example) | Target::Required(example) => example,
    };
    let fits = match hook.name {
        "tracepoint" => parts('/') == 2,
        "uprobe" | "uretprobe" => parts(':') == 2,
        "usdt" => parts(':') == 3,
        "kprobe" | "kretprobe" => true,
        _ => !text.contains(['/', ':', '+']),
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "`#[{}(\"…\")]` takes {example}, not \"{text}\"",
            hook.name
        ))
    }
}

/// The options for which there is a section.
fn options(hook: &Hook) -> Vec<&'static str> {
    let has = |dot: &str| {
        SECTIONS.iter().any(|section| {
            let rest = section.strip_prefix(hook.head).unwrap_or_default();
            let dots = rest.split('/').next().unwrap_or_default();
            dots.split('.').skip(1).any(|part| part == &dot[1..])
        })
    };
    let options = OPTIONS.iter().filter(|(_, dot)| has(dot));
    options.map(|(word, _)| *word).collect()
}

fn places(hook: &Hook) -> Vec<&'static str> {
    let places = hook.places.iter().map(|(word, _)| *word);
    places.filter(|word| !word.is_empty()).collect()
}

/// What an attribute takes, for errors.
fn takes(hook: &Hook) -> String {
    let mut takes = Vec::new();
    if let Target::Optional(example) | Target::Required(example) = hook.target {
        takes.push(example.to_owned());
    }
    let words_of = [places(hook), options(hook)].concat();
    if !words_of.is_empty() {
        takes.push(words(&words_of));
    }
    match takes.is_empty() {
        true => format!("`#[{}]` takes nothing", hook.name),
        false => format!("`#[{}(…)]` takes {}", hook.name, takes.join("; ")),
    }
}

fn words(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{OPTIONS, SECTIONS};
    use crate::hook::table::HOOKS;

    /// Other spellings of sections that attributes make, and what those are.
    const OTHER_SPELLINGS: &[(&str, &str)] = &[
        ("tp", "tracepoint"),
        ("tp.s", "tracepoint.s"),
        ("raw_tp", "raw_tracepoint"),
        ("raw_tp.s", "raw_tracepoint.s"),
        ("raw_tp.w", "raw_tracepoint.w"),
        ("classifier", "tc"),
        ("cgroup/sock", "cgroup/sock_create"),
        // Says no direction, and is attached in one: the attribute says which.
        ("cgroup/skb", "cgroup_skb/egress"),
    ];

    /// All sections that attributes make, by every place and every choice of options.
    fn made() -> BTreeSet<String> {
        let mut made = BTreeSet::new();
        for hook in HOOKS {
            for (_, tail) in hook.places {
                for choice in 0..1_u32 << OPTIONS.len() {
                    let chosen = OPTIONS.iter().enumerate();
                    let chosen = chosen.filter(|(index, _)| choice & 1 << index != 0);
                    let dots: String = chosen.map(|(_, (_, dot))| *dot).collect();
                    made.insert(format!("{}{dots}{tail}", hook.head));
                }
            }
        }
        made.retain(|section| SECTIONS.contains(&section.as_str()));
        made
    }

    #[test]
    fn every_section_has_an_attribute() {
        let made = made();
        let other = |section: &str| OTHER_SPELLINGS.iter().any(|(other, _)| *other == section);
        let without: Vec<&&str> = SECTIONS
            .iter()
            .filter(|section| !made.contains(**section) && !other(section))
            .collect();
        assert!(without.is_empty(), "no attribute makes {without:?}");
        for (other, same) in OTHER_SPELLINGS {
            assert!(
                SECTIONS.contains(other) && !made.contains(*other),
                "{other}"
            );
            assert!(made.contains(*same), "{same}");
        }
    }

    /// What stands in the table can be written.
    #[test]
    fn every_attribute_makes_a_section() {
        let made = made();
        for hook in HOOKS {
            for (word, tail) in hook.places {
                let section = format!("{}{tail}", hook.head);
                assert!(made.contains(&section), "{}: {word}", hook.name);
            }
        }
    }
}
