//! Bytes with holes: hexadecimal text in which `..` stands for any byte and `*` for all that
//! follow.

use std::fmt::Write as _;

use crate::{failure::Mismatch, source::Place};

/// What a packet is compared with: for each nibble its value, or that it may be anything.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    nibbles: Vec<Option<u8>>,
    /// More may follow.
    open: bool,
}

/// Bytes that a diff shows around the first that differs.
const SHOWN: usize = 16;

impl Pattern {
    /// These bytes and no others.
    pub(super) fn exact(bytes: &[u8]) -> Self {
        let nibbles = bytes
            .iter()
            .flat_map(|byte| [Some(byte >> 4), Some(byte & 0xf)]);
        Self {
            nibbles: nibbles.collect(),
            open: false,
        }
    }

    /// # Errors
    /// What is no digit and no hole.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut nibbles = Vec::new();
        let mut open = false;
        for c in text.chars() {
            match c {
                _ if c.is_whitespace() || matches!(c, ':' | '_' | ',') => {}
                _ if open => return Err("`*` must be the last".into()),
                '*' => open = true,
                '.' | '?' => nibbles.push(None),
                _ => {
                    let digit = c.to_digit(16);
                    let digit = digit
                        .ok_or_else(|| format!("`{}` is no hexadecimal digit", c.escape_debug()))?;
                    nibbles.push(Some(digit as u8));
                }
            }
        }
        match nibbles.len() % 2 {
            0 => Ok(Self { nibbles, open }),
            _ => Err("the last byte has only one digit".into()),
        }
    }

    fn byte(&self, index: usize) -> Option<[Option<u8>; 2]> {
        let at = index.checked_mul(2)?;
        Some([
            *self.nibbles.get(at)?,
            *self.nibbles.get(at.checked_add(1)?)?,
        ])
    }

    fn fits(&self, index: usize, byte: u8) -> bool {
        match self.byte(index) {
            Some([high, low]) => {
                high.is_none_or(|high| high == byte >> 4) && low.is_none_or(|low| low == byte & 0xf)
            }
            None => self.open,
        }
    }

    /// Where and how bytes differ from it.
    pub(super) fn mismatch(&self, got: &[u8], place: Option<Place>) -> Option<Mismatch> {
        let len = self.nibbles.len() / 2;
        let differs = got
            .iter()
            .enumerate()
            .position(|(index, byte)| !self.fits(index, *byte));
        let at = match differs {
            Some(at) => at,
            None if got.len() < len => got.len(),
            None => return None,
        };
        let start = at.saturating_sub(SHOWN / 4);
        let end = start.saturating_add(SHOWN);
        let mut expected = String::new();
        for index in start..end.min(len) {
            for nibble in self.byte(index).unwrap_or_default() {
                let _ = match nibble {
                    Some(nibble) => write!(expected, "{nibble:x}"),
                    None => write!(expected, "."),
                };
            }
            expected.push(' ');
        }
        let more = if len > end { "…" } else { "" };
        let shown = got.get(start..end.min(got.len())).unwrap_or_default();
        let rest = if got.len() > end { " …" } else { "" };
        let lens = match got.len() == len || (self.open && got.len() > len) {
            true => (String::new(), String::new()),
            false => (format!(" ({len} bytes)"), format!(" ({} bytes)", got.len())),
        };
        Some(Mismatch {
            path: format!("packet[{start}..]"),
            expected: format!("{}{}", format!("{expected}{more}").trim_end(), lens.0),
            got: format!("{}{rest}{}", spaced(shown), lens.1),
            place,
        })
    }
}

/// `0a ff`
pub(super) fn spaced(bytes: &[u8]) -> String {
    let parts: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, got: &[u8], wanted: Option<(&str, &str)>) {
        let pattern = Pattern::parse(text).expect("a pattern");
        let found = pattern.mismatch(got, None);
        let found = found.map(|found| (found.expected, found.got));
        let wanted = wanted.map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(found, wanted, "{text}");
    }

    #[test]
    fn holes_and_ends() {
        check("0a .. ?c", &[10, 7, 0x5c], None);
        check("0a *", &[10, 7, 8], None);
        check("0a *", &[10], None);
        check("0a 0b", &[10, 12], Some(("0a 0b", "0a 0c")));
        check("0a 0b", &[10], Some(("0a 0b (2 bytes)", "0a (1 bytes)")));
        check("0a", &[10, 11], Some(("0a (1 bytes)", "0a 0b (2 bytes)")));
        assert!(Pattern::parse("0a * 0b").is_err());
        assert!(Pattern::parse("0").is_err());
        assert!(Pattern::parse("zz").is_err());
    }
}
