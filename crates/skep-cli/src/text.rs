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
}
