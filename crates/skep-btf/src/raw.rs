//! [`RawDump`]: one line a type and one an element, in the form that `bpftool btf dump … format raw`
//! made known, so that existing eyes and scripts read it.

use crate::fields::{Fields, kind_name, or_anonymous, tell};
use crate::{Btf, Type};
use std::fmt;

/// Prints all types of a [`Btf`] (of split BTF: those that are not the base's).
#[derive(Debug, Clone, Copy)]
pub struct RawDump<'a>(
    /// What to print.
    pub &'a Btf,
);

impl fmt::Display for RawDump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .types()
            .try_for_each(|one| writeln!(f, "{}", RawType(one)))
    }
}

/// Prints one type as [`RawDump`] does, without a line end after its last line.
#[derive(Debug, Clone, Copy)]
pub struct RawType<'a>(
    /// What to print.
    pub Type<'a>,
);

impl fmt::Display for RawType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, kind) = (self.0.id(), kind_name(self.0.tag()));
        write!(f, "[{id}] {kind} '{}'", or_anonymous(self.0.name()))?;
        tell(self.0, &mut Lines { f, first: false })
    }
}

/// Writes ` key=value`, an element to a line.
struct Lines<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    /// Whether the next field begins its line.
    first: bool,
}

impl Lines<'_, '_> {
    fn field(&mut self, key: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        let space = if self.first { "" } else { " " };
        self.first = false;
        write!(self.f, "{space}{key}={value}")
    }
}

impl Fields for Lines<'_, '_> {
    fn number(&mut self, key: &'static str, value: i128) -> fmt::Result {
        self.field(key, format_args!("{value}"))
    }

    fn word(&mut self, key: &'static str, value: &str) -> fmt::Result {
        self.field(key, format_args!("{value}"))
    }

    fn list(&mut self, _key: &'static str) -> fmt::Result {
        Ok(())
    }

    fn element(&mut self, name: Option<&str>) -> fmt::Result {
        self.first = name.is_none();
        match name {
            Some(name) => write!(self.f, "\n\t'{}'", or_anonymous(name)),
            None => self.f.write_str("\n\t"),
        }
    }

    fn end(&mut self) -> fmt::Result {
        Ok(())
    }

    fn remark(&mut self, text: fmt::Arguments<'_>) -> fmt::Result {
        self.f.write_fmt(text)
    }
}
