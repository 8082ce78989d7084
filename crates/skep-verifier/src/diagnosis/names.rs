//! Names in C source that can be told from one line: what a statement assigns to, and the words
//! that an expression takes. Where a line leaves a doubt there is no name.

use std::ops::Range;

/// The variable that gets the value of the expression at a column (in bytes, from 1), if the
/// statement does nothing else with it: `count` in `__u64 *count = bpf_map_lookup_elem(&m, &k);`.
pub(super) fn assigned(text: &str, column: u32) -> Option<&str> {
    let at = (column as usize).checked_sub(1)?;
    let range = operand(text, at)?;
    let behind = text.get(range.end..)?.trim_start();
    if !behind.starts_with(';') {
        return None;
    }
    let before = without_cast(text.get(..range.start)?.trim_end());
    let before = before.strip_suffix('=')?;
    if before.ends_with([
        '=', '!', '<', '>', '+', '-', '*', '/', '%', '&', '|', '^', '~',
    ]) {
        return None;
    }
    let before = before.trim_end();
    let name = before.rfind(|c: char| !is_word(c)).map_or(0, |at| {
        at + before[at..].chars().next().map_or(1, char::len_utf8)
    });
    let (front, name) = before.split_at(name);
    // A member's name alone says too little.
    let is_member = front.trim_end().ends_with('.') || front.trim_end().ends_with("->");
    (!is_member && is_name(name)).then_some(name)
}

/// The argument with a number (from 0) of the call at a column (in bytes, from 1), if it is a call
/// of this function.
pub(super) fn argument<'t>(
    text: &'t str,
    column: u32,
    function: &str,
    number: usize,
) -> Option<&'t str> {
    let at = (column as usize).checked_sub(1)?;
    let behind = text.get(at..)?.strip_prefix(function)?.trim_start();
    let inside = behind.get(1..parentheses(behind)?.checked_sub(1)?)?;
    let (mut depth, mut start, mut passed) = (0_usize, 0, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            // Where commas are text, nothing is sure.
            '"' | '\'' => return None,
            ',' if depth == 0 => {
                if passed == number {
                    return Some(inside[start..at].trim());
                }
                passed += 1;
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = inside[start..].trim();
    (passed == number && !last.is_empty()).then_some(last)
}

/// Where a word stands by itself in a text: the place that is nearest to a column.
pub(super) fn find(text: &str, name: &str, column: u32) -> Option<Range<usize>> {
    let near = (column as usize).saturating_sub(1);
    let places = text.match_indices(name).filter(|(at, _)| {
        let before = text[..*at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        let member = text[..*at].trim_end();
        !before.is_some_and(is_word)
            && !after.is_some_and(is_word)
            && !member.ends_with("->")
            && !member.ends_with('.')
    });
    let place = places
        .map(|(at, _)| at)
        .min_by_key(|at| at.abs_diff(near))?;
    Some(place..place + name.len())
}

/// The part of a line that a column (in bytes, from 1; 0: not known) stands for.
pub(super) fn expression(text: &str, column: u32) -> Range<usize> {
    let indent = text.len() - text.trim_start().len();
    let end = text
        .trim_end()
        .trim_end_matches([';', '{'])
        .trim_end()
        .len()
        .max(indent);
    let whole = indent..end;
    let Some(at) = (column as usize)
        .checked_sub(1)
        .filter(|at| (indent..end).contains(at))
    else {
        return whole;
    };
    let Some(rest) = text.get(at..end) else {
        return whole;
    };
    let word: &str = &rest[..rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())];
    match word {
        "" => whole,
        "if" | "while" | "for" | "switch" => match text.get(at + word.len()..end) {
            Some(head) => at..at + word.len() + parentheses(head).unwrap_or(head.len()),
            None => whole,
        },
        "return" | "else" | "do" | "goto" | "case" => at..end,
        _ => operand(text, at).unwrap_or(whole),
    }
}

/// The operand that a place is in: a name with its members before it, its subscripts and arguments
/// behind it.
fn operand(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    let stars = rest.len() - rest.trim_start_matches(['*', '&']).len();
    let word = rest[stars..]
        .find(|c: char| !is_word(c))
        .unwrap_or(rest.len() - stars);
    if word == 0 {
        return None;
    }
    let mut end = at + stars + word;
    // What it is a member of.
    let mut start = at;
    loop {
        let before = text.get(..start)?;
        let owner = before
            .strip_suffix("->")
            .or_else(|| before.strip_suffix('.'));
        let Some(owner) = owner else { break };
        let from = owner.rfind(|c: char| !is_word(c)).map_or(0, |at| {
            at + owner[at..].chars().next().map_or(1, char::len_utf8)
        });
        if from == owner.len() {
            break;
        }
        start = from;
    }
    loop {
        let behind = text.get(end..)?;
        if behind.starts_with('(') || behind.starts_with('[') {
            end += parentheses(behind).unwrap_or(behind.len());
        } else if let Some(member) = behind
            .strip_prefix("->")
            .or_else(|| behind.strip_prefix('.'))
        {
            let name = member.find(|c: char| !is_word(c)).unwrap_or(member.len());
            if name == 0 {
                break;
            }
            end += behind.len() - member.len() + name;
        } else {
            break;
        }
    }
    let trimmed = text.get(start..end)?.trim_end().len();
    Some(start..start + trimmed)
}

/// The bytes to the end of the parentheses that a text begins with, blanks before them included.
fn parentheses(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            c if depth == 0 && !c.is_whitespace() => return None,
            _ => {}
        }
    }
    None
}

/// The text without a cast at its end: `x = (void *)` becomes `x =`.
fn without_cast(text: &str) -> &str {
    let mut text = text;
    while let Some(inner) = text.strip_suffix(')') {
        let Some(open) = inner.rfind('(') else { break };
        let cast = &inner[open + 1..];
        if cast.is_empty() || !cast.chars().all(|c| is_word(c) || c == ' ' || c == '*') {
            break;
        }
        text = text[..open].trim_end();
    }
    text
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_name(text: &str) -> bool {
    text.chars().all(is_word) && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `^` marks the column.
    #[track_caller]
    fn check(marked: &str, name: Option<&str>, covered: &str) {
        let column = marked.find('^').expect("a mark") + 1;
        let text = marked.replacen('^', "", 1);
        assert_eq!(assigned(&text, column as u32), name, "{marked}");
        assert_eq!(&text[expression(&text, column as u32)], covered, "{marked}");
    }

    #[test]
    fn names_are_those_that_are_sure() {
        let call = "bpf_map_lookup_elem(&m, &k)";
        check(&format!("\t__u64 *count = ^{call};"), Some("count"), call);
        check(
            &format!("count = (struct x *)^{call};"),
            Some("count"),
            call,
        );
        check(&format!("e->count = ^{call};"), None, call);
        check(&format!("if (!(count = ^{call}))"), None, call);
        check(&format!("x = ^{call} + 1;"), None, call);
        check(&format!("return ^{call};"), None, call);
        check("x += ^ctx->len;", None, "ctx->len");
        check("__u32 len = ctx->^len;", Some("len"), "ctx->len");
        check("__u32 len = ctx->^len & 0xff;", None, "ctx->len");
        check("x == ^f(1);", None, "f(1)");
        check("y = 2, x = ^a[i].b->c;", Some("x"), "a[i].b->c");
    }

    #[test]
    fn an_expression_is_what_the_column_begins() {
        check("\t*count ^+= 1;", None, "*count += 1");
        check("\t^if (x > 3) {", None, "if (x > 3)");
        check("\t^return XDP_PASS;", None, "return XDP_PASS");
        check("a = ^f(g(1), 2) + 3;", None, "f(g(1), 2)");
        check("a = ^f(1,", None, "f(1,");
        assert_eq!(expression("  x = 1;", 0), 2..7);
        assert_eq!(expression("", 7), 0..0);
        assert_eq!(expression("é = 1;", 2), 0..6);
    }

    #[test]
    fn arguments_are_counted() {
        let text = "  x = f(&a, g(b, c), d[1]);";
        let named = |number| argument(text, 7, "f", number);
        assert_eq!(named(0), Some("&a"));
        assert_eq!(named(1), Some("g(b, c)"));
        assert_eq!(named(2), Some("d[1]"));
        assert_eq!(named(3), None);
        assert_eq!(argument(text, 7, "g", 0), None);
        assert_eq!(argument("f(\"a, b\", c)", 1, "f", 1), None);
        assert_eq!(argument("f(a,", 1, "f", 0), None);
        assert_eq!(argument("f()", 1, "f", 0), None);
    }

    #[test]
    fn a_word_is_found_where_it_stands_alone() {
        assert_eq!(find("counter = *count;", "count", 1), Some(11..16));
        assert_eq!(find("a->count = 1;", "count", 1), None);
        assert_eq!(find("i + i", "i", 5), Some(4..5));
    }
}
