//! What a test expects beside what there is: each field that differs, with both.

use super::{
    Encoder, Meaning, Number, Shape, Type,
    encode::as_bytes,
    fields, raw_bytes, read_bits,
    show::{show, show_address, text},
};
use crate::{
    failure::Mismatch,
    source::{FileError, Parsed},
    value::{Kind, Value},
};

/// Compares bytes of a type with a value; fields that the value does not name may be anything.
/// What differs goes to `out`, named from `path` on.
///
/// # Errors
/// The value is none of the type.
pub(crate) fn compare(
    encoder: &mut Encoder<'_>,
    of: &Type,
    expected: &Value,
    got: &[u8],
    path: &str,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    if raw_bytes(expected)?.is_some() {
        return whole(encoder, of, expected, got, path, out);
    }
    let Some(matcher) = Matcher::of(expected, of)? else {
        return parts(encoder, of, expected, got, path, out);
    };
    let holds = matcher.holds(encoder, of, got)?;
    if !holds {
        out.push(Mismatch {
            path: path.to_owned(),
            expected: matcher.to_string(),
            got: show(of, got),
            place: expected.place.clone(),
        });
    }
    Ok(())
}

fn parts(
    encoder: &mut Encoder<'_>,
    of: &Type,
    expected: &Value,
    got: &[u8],
    path: &str,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    match (of.shape(), &expected.kind) {
        (Shape::Struct { btf, composite, .. }, Kind::Table(table)) => {
            let known = fields(btf, &composite);
            for entry in table {
                let Some(field) = known.iter().find(|field| field.name == entry.name) else {
                    let kind = format!("field of {} called", of.name());
                    let names = known.iter().map(|field| field.name.as_str());
                    let place = entry.place.clone();
                    return Err(FileError::unknown(place, &kind, &entry.name, names));
                };
                let inner = joined(path, &entry.name);
                if field.bits > 0 {
                    let wanted = encoder.integer(&entry.value, field.of.size())?;
                    let signed = wanted < 0;
                    let value = read_bits(got, field.bit_offset, field.bits, signed);
                    if value != Some(wanted) {
                        out.push(Mismatch {
                            path: inner,
                            expected: wanted.to_string(),
                            got: value.map_or_else(|| "nothing".into(), |v| v.to_string()),
                            place: entry.value.place.clone(),
                        });
                    }
                    continue;
                }
                let end = field.offset().saturating_add(field.of.size());
                let part = got.get(field.offset()..end).unwrap_or_default();
                compare(encoder, &field.of, &entry.value, part, &inner, out)?;
            }
            Ok(())
        }
        (
            Shape::Array {
                element,
                stride,
                len,
                ..
            },
            Kind::Array(values),
        ) => {
            if values.len() > len {
                let what = format!("these are {} values, and the type has {len}", values.len());
                return Err(expected.error(what));
            }
            let parts = got.chunks_exact(stride.max(1));
            for (index, (value, part)) in values.iter().zip(parts).enumerate() {
                let inner = format!("{path}[{index}]");
                compare(encoder, &element, value, part, &inner, out)?;
            }
            // What is left out of an array is zero, as it is where tests give one.
            let rest = got.get(values.len().saturating_mul(stride)..);
            let rest = rest.unwrap_or_default();
            if let Some(at) = rest.iter().position(|byte| *byte != 0) {
                let index = values.len().saturating_add(at / stride.max(1));
                let part = got.chunks_exact(stride.max(1)).nth(index);
                out.push(Mismatch {
                    path: format!("{path}[{index}]"),
                    expected: "nothing more".into(),
                    got: show(&element, part.unwrap_or_default()),
                    place: expected.place.clone(),
                });
            }
            Ok(())
        }
        (Shape::Text(_), Kind::Text(wanted)) => {
            let end = got.iter().position(|byte| *byte == 0).unwrap_or(got.len());
            let is = got.get(..end).unwrap_or_default();
            if is != wanted.as_bytes() {
                let mut shown = String::new();
                text(got, &mut shown);
                out.push(Mismatch {
                    path: path.to_owned(),
                    expected: format!("{wanted:?}"),
                    got: shown,
                    place: expected.place.clone(),
                });
            }
            Ok(())
        }
        _ => whole(encoder, of, expected, got, path, out),
    }
}

/// Compares all bytes of a value.
fn whole(
    encoder: &mut Encoder<'_>,
    of: &Type,
    expected: &Value,
    got: &[u8],
    path: &str,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    let wanted = encoder.encode(of, expected)?;
    if wanted != got {
        // What is expected as an address is one.
        let text = expected
            .as_text()
            .filter(|text| as_bytes(text, wanted.len()).is_some());
        out.push(Mismatch {
            path: path.to_owned(),
            expected: text.map_or_else(|| show(of, &wanted), str::to_owned),
            got: text
                .and_then(|_| show_address(got))
                .unwrap_or_else(|| show(of, got)),
            place: expected.place.clone(),
        });
    }
    Ok(())
}

fn joined(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// What a value is asked instead of being given.
#[derive(Debug)]
pub(crate) enum Matcher<'v> {
    Any,
    AtLeast(&'v Value),
    AtMost(&'v Value),
    Between(&'v Value, &'v Value),
    Not(&'v Value),
    Contains(&'v str),
    Begins(&'v str),
}

/// The names of tables that are matchers.
const MATCHERS: [&str; 6] = ["any", "at_least", "at_most", "not", "contains", "begins"];

impl<'v> Matcher<'v> {
    /// `{ at_least = 1 }`, where the type itself has no such fields.
    fn of(value: &'v Value, of: &Type) -> Parsed<Option<Self>> {
        let is_struct = matches!(of.shape(), Shape::Struct { .. });
        match (&value.kind, is_struct) {
            (Kind::Table(_), false) => Self::parse(value).map(Some),
            _ => Ok(None),
        }
    }

    /// Parses a table of a matcher.
    pub(crate) fn parse(value: &'v Value) -> Parsed<Self> {
        value.only("comparison", &MATCHERS)?;
        let text = |name: &str| {
            let found = value.get(name);
            found.map(|text| text.text("a text")).transpose()
        };
        if let Some(part) = text("contains")? {
            return Ok(Self::Contains(part));
        }
        if let Some(part) = text("begins")? {
            return Ok(Self::Begins(part));
        }
        let found = |name| value.get(name);
        Ok(
            match (
                found("at_least"),
                found("at_most"),
                found("not"),
                found("any"),
            ) {
                (Some(least), Some(most), None, None) => Self::Between(least, most),
                (Some(least), None, None, None) => Self::AtLeast(least),
                (None, Some(most), None, None) => Self::AtMost(most),
                (None, None, Some(not), None) => Self::Not(not),
                (None, None, None, Some(_)) => Self::Any,
                _ => return Err(value.error("these comparisons exclude each other")),
            },
        )
    }

    /// Whether a text is as it asks.
    pub(crate) fn holds_text(&self, got: &str) -> Parsed<bool> {
        Ok(match self {
            Self::Any => true,
            Self::Contains(part) => got.contains(part),
            Self::Begins(part) => got.starts_with(part),
            Self::Not(value) => value.text("a text")? != got,
            Self::AtLeast(value) | Self::AtMost(value) | Self::Between(value, _) => {
                return Err(value.error("texts are not greater or less"));
            }
        })
    }

    fn holds(&self, encoder: &mut Encoder<'_>, of: &Type, got: &[u8]) -> Parsed<bool> {
        let (number, size) = match of.shape() {
            Shape::Number(number) | Shape::Enum { number, .. } => (Some(number), number.size),
            Shape::Pointer(size, _) => {
                let number = Number {
                    size,
                    signed: false,
                    network: false,
                    meaning: Meaning::Plain,
                };
                (Some(number), size)
            }
            _ => (None, 0),
        };
        let value = number.and_then(|number| number.read(got));
        match self {
            Self::Any => Ok(true),
            Self::Not(not) => {
                let mut differ = Vec::new();
                compare(encoder, of, not, got, "", &mut differ)?;
                Ok(!differ.is_empty())
            }
            Self::Contains(_) | Self::Begins(_) => {
                let end = got.iter().position(|byte| *byte == 0).unwrap_or(got.len());
                let text = String::from_utf8_lossy(got.get(..end).unwrap_or_default());
                self.holds_text(&text)
            }
            Self::AtLeast(least) => {
                let least = encoder.integer(least, size)?;
                Ok(value.is_some_and(|value| value >= least))
            }
            Self::AtMost(most) => {
                let most = encoder.integer(most, size)?;
                Ok(value.is_some_and(|value| value <= most))
            }
            Self::Between(least, most) => {
                let range = encoder.integer(least, size)?..=encoder.integer(most, size)?;
                Ok(value.is_some_and(|value| range.contains(&value)))
            }
        }
    }
}

impl std::fmt::Display for Matcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::AtLeast(value) => write!(f, "at least {value}"),
            Self::AtMost(value) => write!(f, "at most {value}"),
            Self::Between(least, most) => write!(f, "{least} to {most}"),
            Self::Not(value) => write!(f, "not {value}"),
            Self::Contains(part) => write!(f, "contains {part:?}"),
            Self::Begins(part) => write!(f, "begins with {part:?}"),
        }
    }
}

/// Compares a text with what a test expects: a text, or a matcher.
///
/// # Errors
/// It is neither.
pub(crate) fn text_mismatch(expected: &Value, got: &str, path: &str) -> Parsed<Option<Mismatch>> {
    let (holds, wanted) = match expected.as_text() {
        Some(text) => (text == got, format!("{text:?}")),
        None => {
            let matcher = Matcher::parse(expected)?;
            (matcher.holds_text(got)?, matcher.to_string())
        }
    };
    Ok((!holds).then(|| Mismatch {
        path: path.to_owned(),
        expected: wanted,
        got: format!("{got:?}"),
        place: expected.place.clone(),
    }))
}
