//! Values from text, by their BTF type: what `--set name=value` takes.

use skep_btf::{Btf, Endian, Kind, TypeId};

/// Reads `text` as a value of the type; the error says what was expected.
pub(crate) fn parse(btf: &Btf, type_id: TypeId, text: &str) -> Result<Vec<u8>, String> {
    let resolved = btf
        .skip_modifiers(type_id)
        .map_err(|error| error.to_string())?;
    let little = btf.endianness() == Endian::Little;
    match resolved.kind() {
        Kind::Int(int) if int.encoding.is_bool() => match text {
            "true" | "1" | "yes" | "on" => Ok(integer(1, int.size, little)),
            "false" | "0" | "no" | "off" => Ok(integer(0, int.size, little)),
            _ => Err(format!("`{text}` is neither true nor false")),
        },
        Kind::Int(int) => {
            let number = number(text)
                .or_else(|| one_char(text, int.size))
                .ok_or_else(|| format!("`{text}` is not a number"))?;
            fitting(number, int.size, int.encoding.is_signed(), little)
        }
        Kind::Enum(values) | Kind::Enum64(values) => {
            let named = values.values().find(|value| value.name() == text);
            let number = named.map(|value| value.value).or_else(|| number(text));
            let Some(number) = number else {
                let names: Vec<String> = values
                    .values()
                    .take(8)
                    .map(|v| format!("`{}`", v.name()))
                    .collect();
                return Err(format!("`{text}` is none of {}", names.join(", ")));
            };
            fitting(number, values.size, true, little)
                .or_else(|_| fitting(number, values.size, false, little))
        }
        Kind::Float { size: 4 } => {
            let value: f32 = text
                .parse()
                .map_err(|_| format!("`{text}` is not a number"))?;
            Ok(ordered(value.to_le_bytes().to_vec(), little))
        }
        Kind::Float { size: 8 } => {
            let value: f64 = text
                .parse()
                .map_err(|_| format!("`{text}` is not a number"))?;
            Ok(ordered(value.to_le_bytes().to_vec(), little))
        }
        Kind::Array(array) => {
            let size = btf.size_of(type_id).map_err(|error| error.to_string())? as usize;
            match text
                .strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'))
            {
                Some(list) => {
                    let mut bytes = Vec::with_capacity(size.min(1 << 16));
                    for item in list
                        .split(',')
                        .map(str::trim)
                        .filter(|item| !item.is_empty())
                    {
                        bytes.extend(parse(btf, array.element, item)?);
                    }
                    if bytes.len() > size {
                        return Err(format!("it has only {} elements", array.len));
                    }
                    bytes.resize(size, 0);
                    Ok(bytes)
                }
                None if btf.size_of(array.element) == Ok(1) => {
                    if text.len() >= size {
                        return Err(format!(
                            "the text is {} bytes, and there is room for {} and a zero",
                            text.len(),
                            size.saturating_sub(1)
                        ));
                    }
                    let mut bytes = text.as_bytes().to_vec();
                    bytes.resize(size, 0);
                    Ok(bytes)
                }
                None => Err(format!("`{text}` is no list: write `[1, 2, 3]`")),
            }
        }
        _ => Err("its type has no value that can be written as text".into()),
    }
}

/// Decimal, `0x` hexadecimal, `0o` octal or `0b` binary, with a sign and `_` between digits.
fn number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.replace('_', "");
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ => (10, digits.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// `'x'`, for single characters.
fn one_char(text: &str, size: u32) -> Option<i128> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    (size == 1 && inner.len() == 1).then(|| i128::from(inner.as_bytes()[0]))
}

fn fitting(number: i128, size: u32, signed: bool, little: bool) -> Result<Vec<u8>, String> {
    let bits = size.saturating_mul(8);
    if bits > 64 && bits != 128 || bits == 0 {
        return Err(format!("integers of {bits} bits can't be set"));
    }
    // -1 is how C spells the largest unsigned value: `uid_t` of nobody in particular.
    let highest = if bits == 128 {
        i128::MAX
    } else {
        (1_i128 << bits) - 1
    };
    let (low, high) = match signed {
        true => (-(highest / 2) - 1, highest / 2),
        false => (-1, highest),
    };
    if number < low || number > high {
        let low = if signed { low } else { 0 };
        return Err(format!("{number} is out of range: {low} to {high}"));
    }
    Ok(integer(number, size, little))
}

fn integer(number: i128, size: u32, little: bool) -> Vec<u8> {
    let bytes = number.to_le_bytes();
    ordered(bytes[..(size as usize).min(bytes.len())].to_vec(), little)
}

fn ordered(mut bytes: Vec<u8>, little: bool) -> Vec<u8> {
    if !little {
        bytes.reverse();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_spellings() {
        assert_eq!(number("812"), Some(812));
        assert_eq!(number("-1"), Some(-1));
        assert_eq!(number("0x1_000"), Some(4096));
        assert_eq!(number("0b101"), Some(5));
        assert_eq!(number("--1"), None);
        assert_eq!(number("1k"), None);
        assert_eq!(number(""), None);
    }

    #[test]
    fn ranges_are_those_of_the_type() {
        assert_eq!(fitting(255, 1, false, true), Ok(vec![255]));
        assert_eq!(fitting(-1, 4, false, true), Ok(vec![255; 4]));
        assert_eq!(fitting(-128, 1, true, true), Ok(vec![0x80]));
        assert!(fitting(128, 1, true, true).is_err());
        assert!(fitting(-2, 4, false, true).is_err());
        assert_eq!(fitting(0x0102, 2, false, false), Ok(vec![1, 2]));
    }
}
