//! A value as people read it: each member of a record becomes a cell, by its type.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use skep::btf::{
    self,
    value::{Aggregate, Layout, LayoutField, Scalar, ScalarValue, Text, Visitor, write_escaped},
};

use super::{
    stacks::Stacks,
    table::{Align, Column},
};

/// What typedefs say about a number, beyond its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Plain,
    Pid,
    /// `skep_time_t`
    Moment,
    /// `skep_ns_t`
    Span,
    /// `skep_bytes_t`
    Bytes,
    /// `skep_ksym_t`
    KernelSymbol,
    /// `skep_usym_t`
    UserSymbol,
    /// `skep_kstack_t`
    KernelStack,
    /// `skep_ustack_t`
    UserStack,
    /// `__be16`: a port
    Port,
    /// `__be32`: an IPv4 address
    Ipv4,
    /// `struct in6_addr`
    Ipv6,
}

impl Meaning {
    /// By the first name in the type's chain that means something.
    pub(crate) fn of<'n>(mut names: impl Iterator<Item = &'n str>) -> Self {
        let known = names.find_map(|name| {
            Some(match name {
                "pid_t" | "__kernel_pid_t" => Self::Pid,
                "skep_time_t" => Self::Moment,
                "skep_ns_t" => Self::Span,
                "skep_bytes_t" => Self::Bytes,
                "skep_ksym_t" => Self::KernelSymbol,
                "skep_usym_t" => Self::UserSymbol,
                "skep_kstack_t" => Self::KernelStack,
                "skep_ustack_t" => Self::UserStack,
                "__be16" => Self::Port,
                "__be32" => Self::Ipv4,
                "struct in6_addr" => Self::Ipv6,
                _ => return None,
            })
        });
        known.unwrap_or(Self::Plain)
    }

    pub(crate) fn is_stack(self) -> bool {
        matches!(self, Self::KernelStack | Self::UserStack)
    }
}

/// What cells need to know beyond the value.
#[derive(Clone, Copy)]
pub(crate) struct Context<'s> {
    /// `CLOCK_MONOTONIC` when the run began, in nanoseconds.
    began: u64,
    symbols: &'s Stacks,
    /// The process that the value speaks of, if it says one.
    pid: Option<u32>,
}

impl<'s> Context<'s> {
    /// Of a run that begins now.
    pub(crate) fn begin(symbols: &'s Stacks) -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
        let began = seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(nanoseconds);
        Self::began_at(began, symbols)
    }

    /// Of a run that began at this time of the monotonic clock, in nanoseconds.
    pub(crate) fn began_at(began: u64, symbols: &'s Stacks) -> Self {
        Self {
            began,
            symbols,
            pid: None,
        }
    }

    /// The same for a value that speaks of this process.
    pub(crate) fn of(self, pid: Option<u32>) -> Self {
        Self { pid, ..self }
    }

    /// When the run began, in nanoseconds of the monotonic clock.
    pub(crate) fn began(self) -> u64 {
        self.began
    }

    /// The names of addresses and stacks.
    pub(crate) fn symbols(self) -> &'s Stacks {
        self.symbols
    }

    /// Seconds since the run began.
    pub(crate) fn seconds(self, moment: u64) -> f64 {
        (i128::from(moment) - i128::from(self.began)) as f64 / 1e9
    }

    /// The symbol at an address.
    pub(crate) fn symbol(self, meaning: Meaning, address: u64) -> String {
        match (meaning, self.pid) {
            (_, _) if address == 0 => "0x0".into(),
            (Meaning::KernelSymbol, _) => self.symbols.kernel(&[address]).concat(),
            (_, Some(pid)) => self.symbols.user(pid, address),
            (_, None) => format!("{address:#x}"),
        }
    }
}

/// A member that holds the id of the process that a record speaks of.
pub(crate) fn is_process(field: &LayoutField<'_>) -> bool {
    field.size == 4
        && (matches!(field.name, "pid" | "tgid") || Meaning::of(field.type_names()) == Meaning::Pid)
}

/// The process that a record speaks of, if it says one.
pub(crate) fn process(layout: &Layout, record: &[u8]) -> Option<u32> {
    let field = layout.fields().find(is_process)?;
    let start = usize::try_from(field.bit_offset / 8).ok()?;
    record
        .get(start..start + 4)?
        .try_into()
        .ok()
        .map(u32::from_ne_bytes)
}

/// A column for a member of a record.
pub(crate) fn column(field: &LayoutField<'_>) -> Column {
    let head = if field.name.is_empty() {
        "…".to_owned()
    } else {
        field.name.to_uppercase()
    };
    let meaning = Meaning::of(field.type_names());
    let (width, align) = shape(meaning, field.size, field.is_text(), field.is_scalar());
    let is_enum = field.type_names().any(|name| name.starts_with("enum "));
    let (width, align) = if is_enum {
        (12, Align::Left)
    } else {
        (width, align)
    };
    Column::new(head, width, align)
}

/// A column for a value that is no record.
pub(crate) fn single(layout: &Layout, head: &str) -> Column {
    let name = layout.type_name();
    let own = name
        .strip_prefix("enum ")
        .or_else(|| name.strip_suffix("_t"))
        .filter(|n| !n.is_empty());
    let head = own
        .filter(|own| !own.starts_with(['_', 'u', 's']) || own.len() > 6)
        .unwrap_or(head);
    let meaning = Meaning::of(std::iter::once(name));
    let (width, align) = shape(meaning, layout.size(), false, true);
    let align = if name.starts_with("enum ") {
        Align::Left
    } else {
        align
    };
    Column::new(head.to_uppercase(), width, align)
}

fn shape(meaning: Meaning, size: u64, text: bool, scalar: bool) -> (usize, Align) {
    match meaning {
        Meaning::Pid => (7, Align::Right),
        Meaning::Moment => (10, Align::Right),
        Meaning::Span | Meaning::Bytes => (9, Align::Right),
        Meaning::Port => (5, Align::Right),
        Meaning::Ipv4 => (15, Align::Left),
        Meaning::Ipv6 => (24, Align::Left),
        Meaning::KernelSymbol | Meaning::UserSymbol => (24, Align::Left),
        Meaning::KernelStack | Meaning::UserStack => (8, Align::Right),
        Meaning::Plain if text => (
            usize::try_from(size)
                .unwrap_or(16)
                .saturating_sub(1)
                .min(15),
            Align::Left,
        ),
        Meaning::Plain if !scalar => (16, Align::Left),
        Meaning::Plain => match size {
            0..=2 => (5, Align::Right),
            3..=4 => (6, Align::Right),
            _ => (10, Align::Right),
        },
    }
}

/// Gathers the parts of a `struct in6_addr`, which is a union of arrays, into one address.
#[derive(Debug, Default)]
pub(crate) struct Ipv6Parts {
    depth: u32,
    bytes: [u8; 16],
    filled: usize,
}

impl Ipv6Parts {
    /// Takes the beginning of a structure that is an address, or of a part of one.
    pub(crate) fn begin<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> bool {
        let begins = self.depth > 0 || Meaning::of(names) == Meaning::Ipv6;
        if begins {
            self.depth += 1;
        }
        begins
    }

    /// The next parts belong to an address.
    pub(crate) fn inside(&self) -> bool {
        self.depth > 0
    }

    /// Takes a part: the first sixteen bytes are the address, the others are it again.
    pub(crate) fn part(&mut self, scalar: &Scalar<'_>) {
        if let (ScalarValue::Unsigned(byte), Some(slot)) =
            (scalar.value, self.bytes.get_mut(self.filled))
        {
            *slot = byte as u8;
            self.filled += 1;
        }
    }

    /// Takes an end; gives the address with its last one.
    pub(crate) fn end(&mut self) -> Option<Ipv6Addr> {
        self.depth = self.depth.saturating_sub(1);
        (self.depth == 0).then(|| std::mem::take(self).bytes.into())
    }
}

/// Writes a value as one cell.
pub(crate) struct Cell<'o, 's> {
    out: &'o mut String,
    context: Context<'s>,
    depth: u32,
    first: bool,
    ipv6: Ipv6Parts,
}

impl<'o, 's> Cell<'o, 's> {
    pub(crate) fn new(out: &'o mut String, context: Context<'s>) -> Self {
        Self {
            out,
            context,
            depth: 0,
            first: true,
            ipv6: Ipv6Parts::default(),
        }
    }

    fn separate(&mut self) {
        if self.depth > 0 && !self.first {
            self.out.push(' ');
        }
        self.first = false;
    }

    fn begin(&mut self, bracket: char) {
        self.separate();
        self.out.push(bracket);
        self.depth += 1;
        self.first = true;
    }

    fn end(&mut self, bracket: char) {
        self.out.push(bracket);
        self.depth = self.depth.saturating_sub(1);
        self.first = false;
    }
}

impl<'v> Visitor<'v> for Cell<'_, '_> {
    type Error = btf::Error;

    fn begin_aggregate(&mut self, aggregate: Aggregate<'v>) -> btf::Result<()> {
        if !self.ipv6.begin(aggregate.type_names()) {
            self.begin('{');
        }
        Ok(())
    }

    fn field(&mut self, name: &'v str) -> btf::Result<()> {
        if self.depth > 0 && !name.is_empty() && !self.ipv6.inside() {
            self.separate();
            let _ = write!(self.out, "{name}=");
            self.first = true;
        }
        Ok(())
    }

    fn end_aggregate(&mut self) -> btf::Result<()> {
        if !self.ipv6.inside() {
            self.end('}');
        } else if let Some(address) = self.ipv6.end() {
            self.separate();
            let _ = write!(self.out, "{address}");
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
        let _ = write_escaped(text.until_nul(), self.out);
        Ok(())
    }
}

fn write_scalar(out: &mut String, scalar: &Scalar<'_>, context: Context<'_>) {
    let meaning = Meaning::of(scalar.type_names());
    let _ = match (meaning, scalar.value) {
        (Meaning::Moment, ScalarValue::Unsigned(moment)) => {
            write!(out, "{:.6}", context.seconds(moment))
        }
        (Meaning::Span, ScalarValue::Unsigned(span)) => {
            out.push_str(&span_text(span));
            Ok(())
        }
        (Meaning::Bytes, ScalarValue::Unsigned(bytes)) => {
            out.push_str(&bytes_text(bytes));
            Ok(())
        }
        (Meaning::Ipv4, ScalarValue::Unsigned(address)) => {
            let bytes = (address as u32).to_ne_bytes();
            write!(out, "{}", Ipv4Addr::from(bytes))
        }
        (Meaning::Port, ScalarValue::Unsigned(port)) => {
            write!(out, "{}", u16::from_be(port as u16))
        }
        (Meaning::KernelSymbol | Meaning::UserSymbol, ScalarValue::Unsigned(at)) => {
            out.write_str(&context.symbol(meaning, at))
        }
        (_, ScalarValue::Signed(value)) => write!(out, "{value}"),
        (_, ScalarValue::Unsigned(value)) => write!(out, "{value}"),
        (_, ScalarValue::Signed128(value)) => write!(out, "{value}"),
        (_, ScalarValue::Unsigned128(value)) => write!(out, "{value}"),
        (_, ScalarValue::Bool(value)) => write!(out, "{value}"),
        (_, ScalarValue::Char(value)) => write_escaped(&[value], out),
        (_, ScalarValue::Float32(value)) => write!(out, "{value}"),
        (_, ScalarValue::Float64(value)) => write!(out, "{value}"),
        (
            _,
            ScalarValue::Enum {
                name: Some(name), ..
            },
        ) => out.write_str(name),
        (_, ScalarValue::Enum { value, .. }) => write!(out, "{value}"),
        (_, ScalarValue::Pointer(at)) => write!(out, "{at:#x}"),
        (_, ScalarValue::Bytes(bytes)) => bytes.iter().try_for_each(|b| write!(out, "{b:02x}")),
        _ => out.write_str("?"),
    };
}

/// 850 ns, 1.2 µs, 31.4 ms, 2.00 s
pub(crate) fn span_text(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} µs", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", value / 1e6),
        _ => format!("{:.2} s", value / 1e9),
    }
}

/// 512 B, 1.5 KiB, 3.0 GiB
pub(crate) fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_scaled() {
        assert_eq!(span_text(850), "850 ns");
        assert_eq!(span_text(1_240), "1.2 µs");
        assert_eq!(span_text(31_440_000), "31.4 ms");
        assert_eq!(bytes_text(512), "512 B");
        assert_eq!(bytes_text(1536), "1.5 KiB");
        assert_eq!(bytes_text(3 << 30), "3.0 GiB");
        assert_eq!(bytes_text(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn the_outermost_meaning_counts() {
        assert_eq!(
            Meaning::of(["skep_ns_t", "unsigned long long"].into_iter()),
            Meaning::Span
        );
        assert_eq!(Meaning::of(["int"].into_iter()), Meaning::Plain);
    }
}
