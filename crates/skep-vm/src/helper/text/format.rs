//! The kernel's formats for programs: what `bpf_trace_printk`, `bpf_snprintf`, `bpf_seq_printf` and
//! streams take, and the text they make of it.

use std::{
    hash::{BuildHasher, RandomState},
    net::Ipv6Addr,
    sync::OnceLock,
};

use skep_host::Errno;

use super::number::is_space;
use crate::run::Run;

/// The most arguments of a format (`MAX_BPRINTF_VARARGS`).
pub(crate) const MAX_ARGUMENTS: usize = 12;

/// Bytes that arguments and copied strings may take together (`MAX_BPRINTF_BIN_ARGS`).
const ARGUMENT_BYTES: usize = 512;

/// The widest field.
const WIDEST: usize = (1 << 23) - 1;

/// A text, cut to the room there was, and the length that all of it has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Formatted {
    pub(crate) bytes: Vec<u8>,
    pub(crate) len: u64,
}

/// Formats `text` with `values`, for a buffer of `size` bytes: what is kept leaves room for a NUL.
///
/// # Errors
/// `EINVAL`: a conversion that there is not, a character that is none, or too few values; `ENOSPC`:
/// strings and numbers are too long together.
pub(crate) fn format(
    run: &Run<'_>,
    text: &[u8],
    values: &[u64],
    size: usize,
) -> Result<Formatted, Errno> {
    let mut formatter = Formatter {
        run,
        values: values.iter(),
        copied: 0,
        out: Sink {
            bytes: Vec::new(),
            room: size.saturating_sub(1),
            size: size as u64,
            len: 0,
        },
    };
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        if byte.is_ascii() && !byte.is_ascii_graphic() && !is_space(byte) {
            return Err(Errno::EINVAL);
        }
        rest = match (byte, after.first()) {
            (b'%', Some(b'%')) => {
                formatter.out.push(b"%");
                &after[1..]
            }
            (b'%', _) => formatter.conversion(after)?,
            _ => {
                formatter.out.push(&[byte]);
                after
            }
        };
    }
    Ok(Formatted {
        bytes: formatter.out.bytes,
        len: formatter.out.len,
    })
}

struct Formatter<'a, 'r> {
    run: &'a Run<'r>,
    values: std::slice::Iter<'a, u64>,
    /// Bytes of arguments so far.
    copied: usize,
    out: Sink,
}

/// How a field is laid out.
#[derive(Debug, Clone, Copy, Default)]
struct Field {
    left: bool,
    plus: bool,
    space: bool,
    zero: bool,
    width: usize,
}

/// Where a string is.
#[derive(Debug, Clone, Copy)]
enum Space {
    Kernel,
    User,
    /// The address says it.
    Any,
}

impl Formatter<'_, '_> {
    /// One conversion, from behind its `%`; gives what follows it.
    fn conversion<'t>(&mut self, text: &'t [u8]) -> Result<&'t [u8], Errno> {
        let value = *self.values.next().ok_or(Errno::EINVAL)?;
        let (field, text) = field(text);
        let (kind, rest) = text.split_first().ok_or(Errno::EINVAL)?;
        match kind {
            b'p' => self.pointer(value, field, rest),
            b's' => self.string(value, Some(field), Space::Any, rest),
            b'c' => {
                self.take(1, 1)?;
                self.out.string(&[value as u8], field);
                Ok(rest)
            }
            _ => self.integer(value, field, text),
        }
    }

    fn integer<'t>(&mut self, value: u64, field: Field, text: &'t [u8]) -> Result<&'t [u8], Errno> {
        let longs = text.iter().take(2).take_while(|byte| **byte == b'l');
        let longs = longs.count();
        let (kind, rest) = text
            .get(longs..)
            .and_then(<[u8]>::split_first)
            .ok_or(Errno::EINVAL)?;
        if !matches!(kind, b'd' | b'i' | b'u' | b'x' | b'X') {
            return Err(Errno::EINVAL);
        }
        self.take(if longs > 0 { 8 } else { 4 }, 4)?;
        let signed = matches!(kind, b'd' | b'i');
        let value = match (longs > 0, signed) {
            (true, _) => value,
            (false, true) => i64::from(value as i32) as u64,
            (false, false) => u64::from(value as u32),
        };
        let negative = signed && (value as i64) < 0;
        let magnitude = if negative {
            value.wrapping_neg()
        } else {
            value
        };
        let digits = match kind {
            b'x' => format!("{magnitude:x}"),
            b'X' => format!("{magnitude:X}"),
            _ => magnitude.to_string(),
        };
        let sign = match (signed, negative) {
            (false, _) => "",
            (true, true) => "-",
            (true, false) if field.plus => "+",
            (true, false) if field.space => " ",
            (true, false) => "",
        };
        self.out.number(sign, digits.as_bytes(), field);
        Ok(rest)
    }

    fn pointer<'t>(&mut self, value: u64, field: Field, rest: &'t [u8]) -> Result<&'t [u8], Errno> {
        match rest {
            [] => self.raw_pointer(hashed(value), field, rest),
            [next, ..] if is_space(*next) || next.is_ascii_punctuation() => {
                self.raw_pointer(hashed(value), field, rest)
            }
            [space @ (b'k' | b'u'), b's', rest @ ..] => {
                let space = match space {
                    b'k' => Space::Kernel,
                    _ => Space::User,
                };
                self.string(value, None, space, rest)
            }
            [b'K', rest @ ..] => self.raw_pointer(hashed(value), field, rest),
            [b'x', rest @ ..] => self.raw_pointer(value, field, rest),
            [b's' | b'S', rest @ ..] => {
                self.take(8, 4)?;
                self.out.string(&symbol(value), field);
                Ok(skip_names(rest))
            }
            [b'B', rest @ ..] => {
                let symbol = symbol(value);
                self.take(symbol.len() + 1, 1)?;
                self.out.push(&symbol);
                Ok(skip_names(rest))
            }
            [kind @ (b'i' | b'I'), b'4', rest @ ..] => {
                let bytes = self.address::<4>(value)?;
                let parts = bytes.map(|byte| match kind {
                    b'i' => format!("{byte:03}"),
                    _ => byte.to_string(),
                });
                self.copy(parts.join(".").as_bytes())?;
                Ok(skip_names(rest))
            }
            [kind @ (b'i' | b'I'), b'6', rest @ ..] => {
                let bytes = self.address::<16>(value)?;
                let segments = Ipv6Addr::from(bytes).segments();
                let parts = segments.map(|segment| format!("{segment:04x}"));
                let text = parts.join(if *kind == b'i' { "" } else { ":" });
                self.copy(text.as_bytes())?;
                Ok(skip_names(rest))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn raw_pointer<'t>(
        &mut self,
        value: u64,
        mut field: Field,
        rest: &'t [u8],
    ) -> Result<&'t [u8], Errno> {
        self.take(8, 4)?;
        if field.width == 0 {
            field.width = 16;
            field.zero = true;
        }
        self.out.number("", format!("{value:x}").as_bytes(), field);
        Ok(skip_names(rest))
    }

    /// Reads a network address; one that is not there reads as zero.
    fn address<const N: usize>(&self, at: u64) -> Result<[u8; N], Errno> {
        if ARGUMENT_BYTES - self.copied < N {
            return Err(Errno::ENOSPC);
        }
        let mut bytes = [0; N];
        if self.run.peek(at, &mut bytes).is_err() {
            bytes = [0; N];
        }
        Ok(bytes)
    }

    /// A string of the program's, the machine's or the current task's memory; empty if it is not
    /// there. Without a field it is printed as it is.
    fn string<'t>(
        &mut self,
        at: u64,
        field: Option<Field>,
        space: Space,
        rest: &'t [u8],
    ) -> Result<&'t [u8], Errno> {
        let follows = rest.first().copied();
        if !follows.is_none_or(|next| is_space(next) || next.is_ascii_punctuation()) {
            return Err(Errno::EINVAL);
        }
        let room = ARGUMENT_BYTES - self.copied;
        if room == 0 {
            return Err(Errno::ENOSPC);
        }
        let mut bytes = vec![0; room];
        let read = match space {
            Space::Kernel => self.run.peek_text(at, &mut bytes),
            Space::User => self.run.peek_user_text(at, &mut bytes),
            Space::Any => self.run.peek_any_text(at, &mut bytes),
        };
        let len = read.unwrap_or_default().max(1);
        self.take(len, 1)?;
        let text = bytes.get(..len - 1).filter(|_| read.is_ok());
        let text = text.unwrap_or_default();
        match field {
            Some(field) => self.out.string(text, field),
            None => self.out.push(text),
        }
        Ok(rest)
    }

    /// Prints what was copied as it is; where the buffer is full already, not even its length
    /// counts.
    fn copy(&mut self, text: &[u8]) -> Result<(), Errno> {
        self.take((text.len() + 1).min(ARGUMENT_BYTES - self.copied), 1)?;
        if self.out.len < self.out.size {
            self.out.push(text);
        }
        Ok(())
    }

    /// Takes room of the arguments' bytes.
    fn take(&mut self, len: usize, align: usize) -> Result<(), Errno> {
        let end = self.copied.next_multiple_of(align) + len;
        if end > ARGUMENT_BYTES {
            return Err(Errno::ENOSPC);
        }
        self.copied = end;
        Ok(())
    }
}

/// Flags and width of a conversion, and what follows them.
fn field(text: &[u8]) -> (Field, &[u8]) {
    let mut field = Field::default();
    let mut rest = text;
    while let Some((flag @ (b'0' | b'+' | b'-' | b' '), after)) = rest.split_first() {
        match flag {
            b'0' => field.zero = true,
            b'+' => field.plus = true,
            b'-' => field.left = true,
            _ => field.space = true,
        }
        rest = after;
    }
    let mut width = 0_i32;
    while let Some((digit @ b'0'..=b'9', after)) = rest.split_first() {
        width = width.wrapping_mul(10).wrapping_add(i32::from(digit - b'0'));
        rest = after;
    }
    // A number of 32 bits, however many digits there are; below 0 nothing is filled up.
    field.width = usize::try_from(width).unwrap_or_default().min(WIDEST);
    (field, rest)
}

/// Letters and digits behind a pointer's conversion are not printed.
fn skip_names(text: &[u8]) -> &[u8] {
    let names = text.iter().take_while(|byte| byte.is_ascii_alphanumeric());
    text.get(names.count()..).unwrap_or_default()
}

/// The machine has no symbols: an address stands for itself.
fn symbol(address: u64) -> Vec<u8> {
    format!("{address:#x}").into_bytes()
}

/// A number for an address that does not give it away, the same one each time; null and error
/// numbers stand for themselves.
pub(super) fn hashed(address: u64) -> u64 {
    static SECRET: OnceLock<RandomState> = OnceLock::new();
    if address == 0 || address >= 4095_u64.wrapping_neg() {
        return address;
    }
    let hash = SECRET.get_or_init(RandomState::new).hash_one(address);
    hash & u64::from(u32::MAX)
}

/// Bytes up to a limit, and how many there would have been.
struct Sink {
    bytes: Vec<u8>,
    room: usize,
    size: u64,
    len: u64,
}

impl Sink {
    fn push(&mut self, bytes: &[u8]) {
        let room = self.room - self.bytes.len();
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.bytes.extend_from_slice(kept);
        self.len += bytes.len() as u64;
    }

    fn pad(&mut self, byte: u8, count: usize) {
        let room = self.room - self.bytes.len();
        let end = self.bytes.len() + count.min(room);
        self.bytes.resize(end, byte);
        self.len += count as u64;
    }

    fn string(&mut self, text: &[u8], field: Field) {
        let padding = field.width.saturating_sub(text.len());
        if !field.left {
            self.pad(b' ', padding);
        }
        self.push(text);
        if field.left {
            self.pad(b' ', padding);
        }
    }

    fn number(&mut self, sign: &str, digits: &[u8], field: Field) {
        let padding = field.width.saturating_sub(sign.len() + digits.len());
        if !field.left && !field.zero {
            self.pad(b' ', padding);
        }
        self.push(sign.as_bytes());
        if !field.left && field.zero {
            self.pad(b'0', padding);
        }
        self.push(digits);
        if field.left {
            self.pad(b' ', padding);
        }
    }
}
