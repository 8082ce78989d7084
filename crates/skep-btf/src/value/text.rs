//! Values as C-like text, in the manner of the kernel and bpftool: `{ .pid = 7, .comm = "ls" }`.

use super::Layout;
use super::visit::{Aggregate, Scalar, ScalarValue, Text, Visitor};
use crate::{Error, Result};
use std::fmt::{self, Write};

/// A value of a type, ready to print: `{}` in one line, `{:#}` over many.
#[derive(Debug, Clone, Copy)]
pub struct Value<'v> {
    layout: &'v Layout,
    bytes: &'v [u8],
}

impl<'v> Value<'v> {
    /// A value in these bytes, in the byte order of the BTF that the layout was made of.
    ///
    /// # Errors
    /// [`Error::ValueTooShort`] when there are fewer bytes than the type has.
    pub fn new(layout: &'v Layout, bytes: &'v [u8]) -> Result<Self> {
        layout.check_size(bytes)?;
        Ok(Self { layout, bytes })
    }

    /// Writes the value as text.
    ///
    /// # Errors
    /// [`Error::Output`] from `out`; [`Error::TooComplex`].
    pub fn write(&self, style: TextStyle, out: &mut impl Write) -> Result<()> {
        self.layout
            .visit(self.bytes, &mut TextVisitor::new(style, out))
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = TextStyle {
            multiline: f.alternate(),
            types: f.alternate(),
        };
        self.write(style, f).map_err(|_| fmt::Error)
    }
}

/// How [`TextVisitor`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextStyle {
    /// One member a line, indented by tabs; else all in one line.
    pub multiline: bool,
    /// The name of each type before its value, as a cast: `(pid_t)7`.
    pub types: bool,
}

/// Writes what it is told of as C-like text.
#[derive(Debug)]
pub struct TextVisitor<'w, W> {
    style: TextStyle,
    out: &'w mut W,
    depth: u32,
    /// Whether a part of the innermost structure or array has been written.
    follows: bool,
    /// Whether the next part stands after `.name = ` (else it is an element, or the whole).
    named: bool,
}

impl<'w, W: Write> TextVisitor<'w, W> {
    /// A visitor that writes to `out`.
    pub fn new(style: TextStyle, out: &'w mut W) -> Self {
        Self {
            style,
            out,
            depth: 0,
            follows: false,
            named: false,
        }
    }

    fn separate(&mut self) -> fmt::Result {
        let follows = std::mem::replace(&mut self.follows, true);
        if self.style.multiline {
            if follows {
                self.out.write_char(',')?;
            }
            self.new_line()
        } else {
            self.out.write_str(if follows { ", " } else { " " })
        }
    }

    fn new_line(&mut self) -> fmt::Result {
        self.out.write_char('\n')?;
        (0..self.depth).try_for_each(|_| self.out.write_char('\t'))
    }

    /// What stands before an element of an array.
    fn part(&mut self) -> fmt::Result {
        let named = std::mem::replace(&mut self.named, false);
        if named || self.depth == 0 {
            Ok(())
        } else {
            self.separate()
        }
    }

    fn open(&mut self, bracket: char) -> fmt::Result {
        self.out.write_char(bracket)?;
        self.depth = self.depth.saturating_add(1);
        self.follows = false;
        Ok(())
    }

    fn close(&mut self, bracket: char) -> fmt::Result {
        self.depth = self.depth.saturating_sub(1);
        if self.follows {
            if self.style.multiline {
                self.out.write_char(',')?;
                self.new_line()?;
            } else {
                self.out.write_char(' ')?;
            }
        }
        self.out.write_char(bracket)?;
        // What was just closed is a part of what is around it.
        self.follows = true;
        Ok(())
    }
}

impl<'v, W: Write> Visitor<'v> for TextVisitor<'_, W> {
    type Error = Error;

    fn begin_aggregate(&mut self, aggregate: Aggregate<'v>) -> Result<()> {
        self.part()?;
        if self.style.types {
            let keyword = if aggregate.union { "union" } else { "struct" };
            write!(
                self.out,
                "({})",
                aggregate.type_names().next().unwrap_or(keyword)
            )?;
        }
        Ok(self.open('{')?)
    }

    fn field(&mut self, name: &'v str) -> Result<()> {
        self.separate()?;
        if !name.is_empty() {
            self.out.write_char('.')?;
            self.out.write_str(name)?;
            self.out.write_str(" = ")?;
        }
        self.named = true;
        Ok(())
    }

    fn end_aggregate(&mut self) -> Result<()> {
        Ok(self.close('}')?)
    }

    fn begin_array(&mut self, _len: usize) -> Result<()> {
        self.part()?;
        Ok(self.open('[')?)
    }

    fn end_array(&mut self) -> Result<()> {
        Ok(self.close(']')?)
    }

    fn scalar(&mut self, scalar: Scalar<'v>) -> Result<()> {
        self.part()?;
        if self.style.types
            && let Some(name) = scalar.type_names().next()
        {
            write!(self.out, "({name})")?;
        }
        Ok(write!(self.out, "{}", scalar.value)?)
    }

    fn text(&mut self, text: Text<'v>) -> Result<()> {
        self.part()?;
        self.out.write_char('"')?;
        write_escaped(text.until_nul(), self.out)?;
        Ok(self.out.write_char('"')?)
    }
}

impl fmt::Display for ScalarValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Signed(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
            Self::Signed128(value) => value.fmt(f),
            Self::Unsigned128(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Char(byte @ (b' '..=b'~')) => write!(f, "'{}'", byte.escape_ascii()),
            Self::Char(byte) => byte.fmt(f),
            Self::Float32(value) => value.fmt(f),
            Self::Float64(value) => value.fmt(f),
            Self::Enum {
                name: Some(name), ..
            } => f.write_str(name),
            Self::Enum { name: None, value } => value.fmt(f),
            Self::Pointer(address) => write!(f, "{address:#x}"),
            Self::Bytes(bytes) => {
                f.write_str("0x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// Writes bytes as the inside of a C string: text as it is, quotes, backslashes, control
/// characters and what is not UTF-8 by escapes.
///
/// # Errors
/// What `out` returns.
pub fn write_escaped(bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        let mut plain = chunk.valid();
        while let Some(at) = plain.find(|one: char| one.is_control() || matches!(one, '"' | '\\')) {
            let (before, from) = plain.split_at_checked(at).unwrap_or((plain, ""));
            out.write_str(before)?;
            let mut rest = from.chars();
            match rest.next() {
                Some('\n') => out.write_str("\\n")?,
                Some('\t') => out.write_str("\\t")?,
                Some('\r') => out.write_str("\\r")?,
                Some(quoted @ ('"' | '\\')) => write!(out, "\\{quoted}")?,
                Some(control) => write_bytes(control.encode_utf8(&mut [0; 4]).as_bytes(), out)?,
                None => {}
            }
            plain = rest.as_str();
        }
        out.write_str(plain)?;
        write_bytes(chunk.invalid(), out)?;
    }
    Ok(())
}

fn write_bytes(bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    bytes
        .iter()
        .try_for_each(|byte| write!(out, "\\x{byte:02x}"))
}
