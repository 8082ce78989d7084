//! `bpf_strtol` and `bpf_strtoul`: numbers in text, by the kernel's rules.

use skep_host::Errno;

use crate::{
    helper::{Arguments, Outcome},
    memory::View,
    run::Run,
};

/// Bytes of a number that are looked at.
const LONGEST: usize = 63;

/// A number as it stands in a text, and how many bytes it takes.
struct Parsed {
    magnitude: u64,
    negative: bool,
    consumed: u64,
}

/// `bpf_strtol(buf, buf_len, flags, res)`
pub(super) fn strtol(run: &Run<'_>, arguments: Arguments) -> Outcome {
    convert(run, arguments, |parsed| {
        if parsed.negative {
            let value = parsed.magnitude.wrapping_neg();
            match value as i64 > 0 {
                true => Err(Errno::ERANGE),
                false => Ok(value),
            }
        } else {
            match (parsed.magnitude as i64) < 0 {
                true => Err(Errno::ERANGE),
                false => Ok(parsed.magnitude),
            }
        }
    })
}

/// `bpf_strtoul(buf, buf_len, flags, res)`
pub(super) fn strtoul(run: &Run<'_>, arguments: Arguments) -> Outcome {
    convert(run, arguments, |parsed| match parsed.negative {
        true => Err(Errno::EINVAL),
        false => Ok(parsed.magnitude),
    })
}

fn convert(
    run: &Run<'_>,
    [text, len, flags, result, _]: Arguments,
    value: impl FnOnce(&Parsed) -> Result<u64, Errno>,
) -> Outcome {
    let text = run.view(text, len, false)?;
    let result = run.view(result, 8, true)?;
    result.set_u64(0, 0);
    super::number(Ok(parse(text, flags).and_then(|parsed| {
        result.set_u64(0, value(&parsed)?);
        Ok(parsed.consumed)
    })))
}

fn parse(text: View<'_>, flags: u64) -> Result<Parsed, Errno> {
    if text.len() == 0 || !matches!(flags, 0 | 8 | 10 | 16) {
        return Err(Errno::EINVAL);
    }
    let byte = |at: usize| text.u8_at(at);
    let mut start = 0;
    while byte(start).is_some_and(is_space) {
        start += 1;
    }
    let negative = byte(start) == Some(b'-');
    if negative {
        start += 1;
    }
    if start >= text.len() {
        return Err(Errno::EINVAL);
    }
    let mut digits = [0_u8; LONGEST];
    let part = text.part(start, text.len() - start);
    let len = part.map_or(0, |part| part.read(&mut digits));
    let digits = digits.get(..len).unwrap_or_default();
    let (base, prefix) = base(digits, flags);
    let mut magnitude = 0_u64;
    let mut count = 0;
    let mut overflow = false;
    for digit in digits.iter().skip(prefix) {
        let Some(digit) = char::from(*digit).to_digit(base) else {
            break;
        };
        let next = magnitude
            .checked_mul(u64::from(base))
            .and_then(|shifted| shifted.checked_add(u64::from(digit)));
        overflow |= next.is_none();
        magnitude = next.unwrap_or_default();
        count += 1;
    }
    if overflow {
        return Err(Errno::ERANGE);
    }
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Parsed {
        magnitude,
        negative,
        consumed: (start + prefix + count) as u64,
    })
}

/// The base that the flags or the digits name, and the length of its prefix.
fn base(digits: &[u8], flags: u64) -> (u32, usize) {
    let hexadecimal = matches!(digits, [b'0', b'x' | b'X', ..]);
    let base = match (flags, digits) {
        (0, [b'0', b'x' | b'X', digit, ..]) if digit.is_ascii_hexdigit() => 16,
        (0, [b'0', ..]) => 8,
        (0, _) => 10,
        (base, _) => base as u32,
    };
    (base, if base == 16 && hexadecimal { 2 } else { 0 })
}

/// `isspace` of the kernel, whose characters are those of Latin-1.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}
