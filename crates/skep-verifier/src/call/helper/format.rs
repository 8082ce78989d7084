//! Constant strings: formats that the kernel checks when a program is loaded.

use skep_isa::Reg;

use crate::{
    Rule,
    state::Kind,
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Checks that a register points to a string in a read-only map that is known now.
    pub(crate) fn check_constant_string(&self, reg: Reg) -> Result {
        self.constant_string(reg).map(|_| ())
    }

    /// The string in a read-only map that a register points to, without its NUL.
    fn constant_string(&self, reg: Reg) -> Result<&[u8]> {
        let register = self.reg(reg);
        let wrong = |what: String| Err(self.reject(Rule::ArgumentConstant, what).of(reg));
        let Kind::MapValue { map, inner, .. } = register.kind else {
            return wrong(format!(
                "{reg} must be a constant string in a read-only map"
            ));
        };
        let contents = self.map(map, inner).and_then(|map| map.constant.as_deref());
        let Some(contents) = contents else {
            return Err(self
                .reject(
                    Rule::ArgumentConstant,
                    format!(
                        "{reg} must be a constant string, and points into a map that can change"
                    ),
                )
                .of(reg)
                .help("make it `static const char NAME[] = \"…\";`"));
        };
        let Some(variable) = register.value.as_constant() else {
            return wrong(format!(
                "{reg} must be one constant string, and which one is only known at run time"
            ));
        };
        let start = i64::from(register.offset).wrapping_add(variable.cast_signed());
        let bytes = usize::try_from(start)
            .ok()
            .and_then(|start| contents.get(start..));
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
            return wrong(format!(
                "{reg} points to byte {start} of a map value, which has not that many"
            ));
        };
        match bytes.iter().position(|byte| *byte == 0) {
            Some(end) => Ok(&bytes[..end]),
            None => wrong(format!(
                "the string that {reg} points to does not end in its map value"
            )),
        }
    }

    /// `bpf_snprintf`: R3 is a format, R5 the bytes of the values for it.
    pub(super) fn check_snprintf(&self) -> Result {
        let bytes = self.reg(Reg::R5).value.bits.value;
        if !bytes.is_multiple_of(8) {
            return Err(self
                .reject(
                    Rule::ArgumentSize,
                    format!(
                        "r5 of bpf_snprintf is a size of {bytes} bytes, and values take 8 each"
                    ),
                )
                .of(Reg::R5));
        }
        let format = self.constant_string(Reg::R3)?;
        check_format(format, bytes / 8)
            .map_err(|problem| self.reject(Rule::ArgumentConstant, problem).of(Reg::R3))
    }
}

/// Checks a format for a number of values: the conversions that there are, and no more than values.
fn check_format(format: &[u8], values: u64) -> std::result::Result<(), String> {
    let mut rest = format;
    let mut conversions = 0;
    while let Some((&byte, after)) = rest.split_first() {
        if byte.is_ascii() && !is_text(byte) {
            return Err(format!("the format has a control character, {byte:#04x}"));
        }
        rest = match (byte, after.first()) {
            (b'%', Some(b'%')) => &after[1..],
            (b'%', _) => {
                conversions += 1;
                if conversions > values {
                    return Err(format!(
                        "the format has more conversions than the {values} values for it"
                    ));
                }
                conversion(after).ok_or_else(|| {
                    let text: Vec<u8> = after.iter().copied().take(8).collect();
                    format!(
                        "the format has a conversion that programs can't use, `%{}`",
                        String::from_utf8_lossy(&text)
                    )
                })?
            }
            _ => after,
        };
    }
    Ok(())
}

/// What follows a conversion, from behind its `%`; `None` for one that programs can't use.
fn conversion(text: &[u8]) -> Option<&[u8]> {
    let flags = text
        .iter()
        .take_while(|byte| matches!(byte, b'0' | b'+' | b'-' | b' '))
        .count();
    let text = &text[flags..];
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = &text[digits..];
    match text {
        [b'p', b'k' | b'u', b's', rest @ ..] | [b's', rest @ ..] => ends(rest).then_some(rest),
        [b'p', rest @ ..] if ends(rest) => Some(rest),
        [b'p', b'K' | b'x' | b's' | b'S' | b'B', rest @ ..] => Some(rest),
        [b'p', b'i' | b'I', b'4' | b'6', rest @ ..] => Some(rest),
        [b'c', rest @ ..] => Some(rest),
        [b'l', b'l', number, rest @ ..] | [b'l', number, rest @ ..] | [number, rest @ ..]
            if matches!(number, b'i' | b'd' | b'u' | b'x' | b'X') =>
        {
            Some(rest)
        }
        _ => None,
    }
}

/// Whether a string's or pointer's conversion may be followed by this.
fn ends(rest: &[u8]) -> bool {
    rest.first()
        .is_none_or(|byte| is_space(*byte) || byte.is_ascii_punctuation())
}

fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || is_space(byte)
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

#[cfg(test)]
mod tests {
    use super::check_format;

    #[test]
    fn formats_are_as_the_kernel_takes_them() {
        for (format, values) in [
            ("plain\tä %%", 0),
            ("%d %5u %-08lx %llX %c", 5),
            ("%s, %pks %pus %p %px %pB %pI4 %pi6", 8),
            ("fewer %d", 3),
        ] {
            assert_eq!(check_format(format.as_bytes(), values), Ok(()), "{format}");
        }
        for (format, values) in [
            ("%d %d", 1),
            ("%f", 1),
            ("%sx", 1),
            ("%pq", 1),
            ("%llld", 1),
            ("%", 1),
            ("%l", 1),
            ("\x01", 0),
            ("%pI5", 1),
        ] {
            assert!(check_format(format.as_bytes(), values).is_err(), "{format}");
        }
    }
}
