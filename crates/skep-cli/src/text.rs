//! Text from objects and kernels on its way to a terminal: nothing in it may steer the terminal.

use std::borrow::Cow;

/// The text with control characters spelled out (`\x1b`), except tabs.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\t')
}

/// The same for text of several lines.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\t' || c == '\n')
}

fn escaped(text: &str, fine: impl Fn(char) -> bool) -> Cow<'_, str> {
    let harmful = |c: char| c.is_control() && !fine(c);
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if harmful(c) => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The words of a text in lines of at most `width` characters; a longer word stands alone.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Those of `known` that are most like `wanted`, best first: at most three, and only what could be
/// a slip of the fingers.
pub(crate) fn near<'n>(wanted: &str, known: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let allowed = (wanted.chars().count() / 3).max(1);
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|name| Some((distance(wanted, name, allowed)?, name)))
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Letters to insert, delete, replace or swap with their neighbour to turn one into the other, if
/// not more than `most`.
fn distance(left: &str, right: &str, most: usize) -> Option<usize> {
    if left.len().abs_diff(right.len()) > most * 4 {
        return None;
    }
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    // Rows of the table of distances between beginnings: the one before the last, the last.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let replaced = last[j] + usize::from(l != r);
            let mut cost = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *l == right[j - 1] && left[i - 1] == *r {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_spelled_out() {
        assert_eq!(printable("a\tb"), "a\tb");
        assert_eq!(printable("\x1b[31mred\n"), "\\x1b[31mred\\x0a");
        assert_eq!(printable_lines("a\r\nb\u{9b}"), "a\\x0d\nb\\x9b");
    }

    #[test]
    fn words_are_wrapped() {
        assert_eq!(wrap("", 10), [""; 0]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("µ µ µ", 3), ["µ µ", "µ"]);
        assert_eq!(wrap("a verylongword b", 5), ["a", "verylongword", "b"]);
    }

    #[test]
    fn slips_of_the_fingers_are_near() {
        let known = ["handle_open", "handle_exit", "sample"];
        assert_eq!(near("handle_opne", known), ["handle_open"]);
        assert_eq!(near("sampel", known), ["sample"]);
        assert_eq!(near("handle_e", known), [""; 0]);
        assert_eq!(near("xyz", known), [""; 0]);
        assert_eq!(distance("", "ab", 2), Some(2));
    }
}
