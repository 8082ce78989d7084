//! A line of assembly text as tokens. Where a comment begins is decided here.

use super::error::AssembleErrorKind;

/// A token and the byte in the line where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind<'a>,
    pub(super) text: &'a str,
    pub(super) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind<'a> {
    /// A register, keyword, name or label.
    Word(&'a str),
    /// A number without its sign.
    Number { value: u64, hex: bool },
    /// An operator or bracket.
    Symbol(&'static str),
}

/// Longest first: the first one that matches is taken.
const SYMBOLS: [&str; 36] = [
    "s>>=", "s/=", "s%=", "s>=", "s<=", ">>=", "<<=", "s>", "s<", "+=", "-=", "*=", "/=", "|=",
    "&=", "%=", "^=", "==", "!=", ">=", "<=", ">", "<", "=", "&", "(", ")", "[", "]", "*", "+",
    "-", ",", ":", "#", "@",
];

/// Splits the rest of `line`, from byte `start`, into tokens up to its end or a comment. An error
/// comes with its byte in the line.
pub(super) fn tokenize<'a>(
    line: &'a str,
    start: usize,
    tokens: &mut Vec<Token<'a>>,
) -> Result<(), (usize, AssembleErrorKind)> {
    let mut rest = line.get(start..).unwrap_or_default();
    loop {
        let trimmed = rest.trim_start();
        let after_space = trimmed.len() < rest.len() || rest.len() == line.len();
        rest = trimmed;
        let at = line.len().saturating_sub(rest.len());
        let Some(first) = rest.chars().next() else {
            return Ok(());
        };
        // `#` joins a name and a number in calls, so only a free-standing one is a comment.
        if first == ';' || rest.starts_with("//") || (first == '#' && after_space) {
            return Ok(());
        }
        let (kind, text, tail) = if let Some(symbol) = SYMBOLS
            .iter()
            .copied()
            .find(|symbol| rest.starts_with(symbol))
        {
            let (text, tail) = split(rest, symbol.len());
            (TokenKind::Symbol(symbol), text, tail)
        } else if first.is_ascii_digit() {
            let (text, tail) = split_while(rest, |c| c.is_ascii_alphanumeric());
            // `5ll`: the suffix is a word of its own.
            let (digits, tail) = match text.strip_suffix("ll") {
                Some(digits) => split(rest, digits.len()),
                None => (text, tail),
            };
            let number =
                number(digits).ok_or_else(|| (at, AssembleErrorKind::Number(text.into())))?;
            (number, digits, tail)
        } else if first.is_ascii_alphabetic() || matches!(first, '_' | '.' | '$') {
            let (word, tail) = split_while(rest, is_in_word);
            (TokenKind::Word(word), word, tail)
        } else {
            return Err((at, AssembleErrorKind::Character(first)));
        };
        tokens.push(Token { kind, text, at });
        rest = tail;
    }
}

pub(super) fn is_in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$')
}

fn number(text: &str) -> Option<TokenKind<'static>> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let value = u64::from_str_radix(digits, radix).ok()?;
    Some(TokenKind::Number {
        value,
        hex: radix == 16,
    })
}

fn split(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

fn split_while(text: &str, belongs: fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    split(text, end)
}
