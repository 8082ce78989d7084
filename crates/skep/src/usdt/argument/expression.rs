//! Sums of numbers and at most one symbol: `-8`, `0x10`, `counter+4`.

/// A sum.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Expression {
    pub(super) symbol: Option<String>,
    /// It wraps, as addresses do.
    pub(super) number: i64,
}

impl Expression {
    /// Reads a sum; of nothing, 0.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut sum = Self::default();
        let mut rest = text.trim_ascii();
        let mut first = true;
        while !rest.is_empty() {
            let (minus, term) = match (rest.strip_prefix('-'), rest.strip_prefix('+')) {
                (Some(term), _) => (true, term),
                (_, Some(term)) => (false, term),
                _ if first => (false, rest),
                _ => return Err(super::unknown(text)),
            };
            first = false;
            let term = term.trim_ascii_start();
            let (word, after) = term.split_at(term.find(ends_word).unwrap_or(term.len()));
            rest = after.trim_ascii_start();
            sum.add(word, minus).ok_or_else(|| super::unknown(text))?;
        }
        Ok(sum)
    }

    fn add(&mut self, word: &str, minus: bool) -> Option<()> {
        if word.starts_with(|letter: char| letter.is_ascii_digit()) {
            let number = number(word)?.cast_signed();
            self.number = match minus {
                true => self.number.wrapping_sub(number),
                false => self.number.wrapping_add(number),
            };
            return Some(());
        }
        let fits = !word.is_empty() && !minus && self.symbol.is_none();
        let named = word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.$".contains(&byte));
        (fits && named).then(|| self.symbol = Some(word.to_owned()))
    }
}

fn ends_word(letter: char) -> bool {
    matches!(letter, '+' | '-') || letter.is_ascii_whitespace()
}

/// A number as assemblers print it: decimal or hexadecimal.
fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}
