//! Bytes by their type, as a test would write them: what is shown can be pasted into it.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{Meaning, Number, Shape, Type, encode::enumerators, fields, read_bits};

/// Most characters of a value in a diff.
const WIDEST: usize = 240;

/// The bytes as a value of the type.
pub(crate) fn show(of: &Type, bytes: &[u8]) -> String {
    let mut out = String::new();
    write(of, bytes, &mut out, 0);
    if out.len() > WIDEST {
        let end = (0..=WIDEST).rev().find(|end| out.is_char_boundary(*end));
        out.truncate(end.unwrap_or(0));
        out.push('…');
    }
    out
}

fn write(of: &Type, bytes: &[u8], out: &mut String, depth: u32) {
    if depth > 16 || out.len() > WIDEST {
        out.push('…');
        return;
    }
    let inner = depth.saturating_add(1);
    match of.shape() {
        Shape::Number(number) => scalar(number, bytes, out),
        Shape::Enum { number, btf, id } => {
            let value = number.read(bytes);
            let known = enumerators(btf, id);
            match known.iter().find(|(_, known)| Some(*known) == value) {
                Some((name, value)) => {
                    let _ = write!(out, "{name} ({value})");
                }
                None => scalar(number, bytes, out),
            }
        }
        Shape::Float(4) => {
            let value = bytes.first_chunk().map(|bytes| f32::from_ne_bytes(*bytes));
            let _ = write!(out, "{}", value.unwrap_or_default());
        }
        Shape::Float(_) => {
            let value = bytes.first_chunk().map(|bytes| f64::from_ne_bytes(*bytes));
            let _ = write!(out, "{}", value.unwrap_or_default());
        }
        Shape::Pointer(size, _) => {
            let number = Number {
                size,
                signed: false,
                network: false,
                meaning: Meaning::Plain,
            };
            let _ = write!(out, "{:#x}", number.read(bytes).unwrap_or_default());
        }
        Shape::Text(_) => text(bytes, out),
        Shape::Array { byte: true, .. } if bytes.len() == 6 => {
            for (index, byte) in bytes.iter().enumerate() {
                let colon = if index == 0 { "" } else { ":" };
                let _ = write!(out, "{colon}{byte:02x}");
            }
        }
        Shape::Array {
            element, stride, ..
        } => {
            out.push('[');
            for (index, part) in bytes.chunks_exact(stride.max(1)).enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write(&element, part, out, inner);
            }
            out.push(']');
        }
        Shape::Struct { .. } if of.name() == "struct in6_addr" => {
            let address = bytes.first_chunk::<16>().copied();
            let _ = write!(out, "{}", Ipv6Addr::from(address.unwrap_or_default()));
        }
        Shape::Struct {
            btf,
            composite,
            union,
        } => {
            out.push_str("{ ");
            let known = fields(btf, &composite);
            // The members of a union are readings of the same bytes: the first one says them.
            let shown = if union { 1 } else { known.len() };
            for (index, field) in known.iter().take(shown).enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                let _ = write!(out, "{comma}{} = ", field.name);
                if field.bits > 0 {
                    let value = read_bits(bytes, field.bit_offset, field.bits, false);
                    let _ = write!(out, "{}", value.unwrap_or_default());
                    continue;
                }
                let part =
                    bytes.get(field.offset()..field.offset().saturating_add(field.of.size()));
                write(&field.of, part.unwrap_or_default(), out, inner);
            }
            out.push_str(" }");
        }
        Shape::Nothing => out.push('?'),
    }
}

fn scalar(number: Number, bytes: &[u8], out: &mut String) {
    let Some(value) = number.read(bytes) else {
        out.push_str("nothing");
        return;
    };
    let _ = match number.meaning {
        Meaning::Bool => match value {
            0 => write!(out, "false"),
            1 => write!(out, "true"),
            other => write!(out, "{other}"),
        },
        Meaning::Char => match u8::try_from(value & 0xff) {
            Ok(byte) if byte.is_ascii_graphic() || byte == b' ' => {
                write!(out, "{:?}", char::from(byte).to_string())
            }
            _ => write!(out, "{value}"),
        },
        Meaning::Ipv4 => {
            let address = bytes.first_chunk::<4>().copied().unwrap_or_default();
            write!(out, "{}", Ipv4Addr::from(address))
        }
        Meaning::Plain | Meaning::Time => write!(out, "{value}"),
    };
}

/// Bytes as the address that they are by their count.
pub(super) fn show_address(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).to_string());
    }
    if let Ok(bytes) = <[u8; 16]>::try_from(bytes) {
        return Some(Ipv6Addr::from(bytes).to_string());
    }
    let parts: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    (bytes.len() == 6).then(|| parts.join(":"))
}

/// Text up to its NUL.
pub(super) fn text(bytes: &[u8], out: &mut String) {
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let _ = write!(out, "{:?}", String::from_utf8_lossy(bytes));
}
