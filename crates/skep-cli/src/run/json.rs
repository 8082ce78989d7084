//! A value as JSON: numbers as numbers, enumerators and addresses as text, moments in seconds.

use std::fmt::Write as _;

use skep::btf::{
    self,
    value::{Aggregate, Scalar, ScalarValue, Text, Visitor},
};

use super::cells::{Context, Ipv6Parts, Meaning};

/// Writes a value as JSON.
pub(crate) struct Json<'o, 's> {
    out: &'o mut String,
    context: Context<'s>,
    /// For each open bracket: whether a part has been written in it.
    filled: Vec<bool>,
    /// The next part stands behind its name.
    named: bool,
    anonymous: u32,
    ipv6: Ipv6Parts,
}

impl<'o, 's> Json<'o, 's> {
    pub(crate) fn new(out: &'o mut String, context: Context<'s>) -> Self {
        Self {
            out,
            context,
            filled: Vec::new(),
            named: false,
            anonymous: 0,
            ipv6: Ipv6Parts::default(),
        }
    }

    fn separate(&mut self) {
        if std::mem::take(&mut self.named) {
            return;
        }
        if let Some(filled) = self.filled.last_mut()
            && std::mem::replace(filled, true)
        {
            self.out.push(',');
        }
    }

    fn begin(&mut self, bracket: char) {
        self.separate();
        self.out.push(bracket);
        self.filled.push(false);
    }

    fn end(&mut self, bracket: char) {
        self.out.push(bracket);
        self.filled.pop();
    }
}

impl<'v> Visitor<'v> for Json<'_, '_> {
    type Error = btf::Error;

    fn begin_aggregate(&mut self, aggregate: Aggregate<'v>) -> btf::Result<()> {
        if !self.ipv6.begin(aggregate.type_names()) {
            self.begin('{');
        }
        Ok(())
    }

    fn field(&mut self, name: &'v str) -> btf::Result<()> {
        if self.ipv6.inside() {
            return Ok(());
        }
        self.separate();
        if name.is_empty() {
            self.anonymous += 1;
            let _ = write!(self.out, "\"_{}\":", self.anonymous);
        } else {
            string(self.out, name);
            self.out.push(':');
        }
        self.named = true;
        Ok(())
    }

    fn end_aggregate(&mut self) -> btf::Result<()> {
        if !self.ipv6.inside() {
            self.end('}');
        } else if let Some(address) = self.ipv6.end() {
            self.separate();
            let _ = write!(self.out, "\"{address}\"");
        }
        Ok(())
    }

    fn begin_array(&mut self, _len: usize) -> btf::Result<()> {
        if !self.ipv6.inside() {
            self.begin('[');
        }
        Ok(())
    }

    fn end_array(&mut self) -> btf::Result<()> {
        if !self.ipv6.inside() {
            self.end(']');
        }
        Ok(())
    }

    fn scalar(&mut self, scalar: Scalar<'v>) -> btf::Result<()> {
        if self.ipv6.inside() {
            self.ipv6.part(&scalar);
        } else {
            self.separate();
            write_scalar(self.out, &scalar, self.context);
        }
        Ok(())
    }

    fn text(&mut self, text: Text<'v>) -> btf::Result<()> {
        self.separate();
        string(self.out, &String::from_utf8_lossy(text.until_nul()));
        Ok(())
    }
}

fn write_scalar(out: &mut String, scalar: &Scalar<'_>, context: Context<'_>) {
    let meaning = Meaning::of(scalar.type_names());
    let _ = match (meaning, scalar.value) {
        (Meaning::Moment, ScalarValue::Unsigned(moment)) => {
            write!(out, "{:.9}", context.seconds(moment))
        }
        (Meaning::Ipv4, ScalarValue::Unsigned(address)) => {
            let bytes = (address as u32).to_ne_bytes();
            write!(out, "\"{}\"", std::net::Ipv4Addr::from(bytes))
        }
        (Meaning::Port, ScalarValue::Unsigned(port)) => {
            write!(out, "{}", u16::from_be(port as u16))
        }
        (Meaning::KernelSymbol | Meaning::UserSymbol, ScalarValue::Unsigned(at)) => {
            string(out, &context.symbol(meaning, at));
            Ok(())
        }
        (_, ScalarValue::Signed(value)) => write!(out, "{value}"),
        (_, ScalarValue::Unsigned(value)) => write!(out, "{value}"),
        // Beyond what JSON readers hold in a number.
        (_, ScalarValue::Signed128(value)) => write!(out, "\"{value}\""),
        (_, ScalarValue::Unsigned128(value)) => write!(out, "\"{value}\""),
        (_, ScalarValue::Bool(value)) => write!(out, "{value}"),
        (_, ScalarValue::Char(value)) => {
            string(out, &String::from_utf8_lossy(&[value]));
            Ok(())
        }
        (_, ScalarValue::Float32(value)) if value.is_finite() => write!(out, "{value}"),
        (_, ScalarValue::Float64(value)) if value.is_finite() => write!(out, "{value}"),
        (
            _,
            ScalarValue::Enum {
                name: Some(name), ..
            },
        ) => {
            string(out, name);
            Ok(())
        }
        (_, ScalarValue::Enum { value, .. }) => write!(out, "{value}"),
        (_, ScalarValue::Pointer(at)) => write!(out, "\"{at:#x}\""),
        (_, ScalarValue::Bytes(bytes)) => {
            out.push('"');
            bytes
                .iter()
                .try_for_each(|byte| write!(out, "{byte:02x}"))
                .and_then(|()| out.write_char('"'))
        }
        _ => out.write_str("null"),
    };
}

/// A JSON string with what must be escaped in it.
pub(crate) fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_json_readers_want() {
        for text in ["plain", "a\"b\\c", "line\nbreak\ttab\u{1}\u{7f}", "µ→"] {
            let mut out = String::new();
            string(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
