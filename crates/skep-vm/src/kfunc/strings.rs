//! Kernel functions on strings: they end with a zero byte, or are too long.

use skep_host::Errno;

use super::Table;
use crate::{
    helper::{Arguments, Outcome, errno, shim},
    run::{Run, Stop},
};

pub(super) static TABLE: Table = &[
    ("bpf_strcmp", shim!(strcmp)),
    ("bpf_strcasecmp", shim!(strcasecmp)),
    ("bpf_strncasecmp", shim!(strncasecmp)),
    ("bpf_strnchr", shim!(strnchr)),
    ("bpf_strchr", shim!(strchr)),
    ("bpf_strchrnul", shim!(strchrnul)),
    ("bpf_strrchr", shim!(strrchr)),
    ("bpf_strnlen", shim!(strnlen)),
    ("bpf_strlen", shim!(strlen)),
    ("bpf_strspn", shim!(strspn)),
    ("bpf_strcspn", shim!(strcspn)),
    ("bpf_strnstr", shim!(strnstr)),
    ("bpf_strstr", shim!(strstr)),
    ("bpf_strncasestr", shim!(strncasestr)),
    ("bpf_strcasestr", shim!(strcasestr)),
];

/// The longest string that is looked through (`XATTR_SIZE_MAX`).
const LONGEST: u64 = 65536;

/// Addresses below this are user space's, on the kernels that programs know.
const USER: u64 = (1 << 47) + 4096;

/// The signed number of an answer: an index, an order.
type Found = Result<i32, Failure>;

/// Why there is none.
enum Failure {
    /// An answer.
    Errno(Errno),
    /// The run's budget is spent.
    Stop(Stop),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// A string of the program, byte by byte.
struct Text<'r, 'a> {
    run: &'r Run<'a>,
    start: u64,
}

impl<'r, 'a> Text<'r, 'a> {
    /// # Errors
    /// `ERANGE`: the address is one that user space has, and nothing of the program.
    fn new(run: &'r Run<'a>, start: u64) -> Result<Self, Errno> {
        let text = Self { run, start };
        let canonical = (start as i64) << 16 >> 16 == start as i64;
        match text.at(0) {
            Err(_) if start < USER || !canonical => Err(Errno::ERANGE),
            _ => Ok(text),
        }
    }

    fn at(&self, index: u64) -> Result<u8, Failure> {
        if index % 64 == 63 {
            self.run.pay(64)?;
        }
        let address = self.start.wrapping_add(index);
        let view = self.run.probed(address, 1);
        let byte = view.and_then(|view| view.u8_at(0));
        byte.ok_or(Errno::EFAULT.into())
    }

    /// The string's bytes, as far as they are looked at.
    fn bytes(&self) -> impl Iterator<Item = (u64, Result<u8, Failure>)> {
        (0..LONGEST).map(|index| (index, self.at(index)))
    }
}

fn answer(found: Found) -> Outcome {
    match found {
        Ok(found) => Ok(i64::from(found) as u64),
        Err(Failure::Errno(failed)) => Ok(errno(failed)),
        Err(Failure::Stop(stop)) => Err(stop),
    }
}

fn compare(run: &Run<'_>, a: u64, b: u64, count: u64, fold: fn(u8) -> u8) -> Found {
    let (a, b) = (Text::new(run, a)?, Text::new(run, b)?);
    for (index, byte) in a.bytes() {
        if index == count {
            return Ok(0);
        }
        let (one, other) = (fold(byte?), fold(b.at(index)?));
        if one != other {
            // A `char` of the kernel has no sign.
            return Ok(if one < other { -1 } else { 1 });
        }
        if one == 0 {
            return Ok(0);
        }
    }
    Err(Errno::E2BIG.into())
}

fn as_is(byte: u8) -> u8 {
    byte
}

fn lower(byte: u8) -> u8 {
    match byte {
        // Of ISO 8859-1, which the kernel takes, all but the sign of multiplication.
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte + 32,
        _ => byte,
    }
}

/// `bpf_strcmp(s1, s2)`
fn strcmp(run: &Run<'_>, [a, b, ..]: Arguments) -> Outcome {
    answer(compare(run, a, b, u64::MAX, as_is))
}

/// `bpf_strcasecmp(s1, s2)`
fn strcasecmp(run: &Run<'_>, [a, b, ..]: Arguments) -> Outcome {
    answer(compare(run, a, b, u64::MAX, lower))
}

/// `bpf_strncasecmp(s1, s2, len)`
fn strncasecmp(run: &Run<'_>, [a, b, count, ..]: Arguments) -> Outcome {
    answer(compare(run, a, b, count, lower))
}

/// The index of a byte within the first `count`.
fn find(run: &Run<'_>, text: u64, count: u64, wanted: u8) -> Found {
    let text = Text::new(run, text)?;
    for (index, byte) in text.bytes() {
        if index == count {
            return Err(Errno::ENOENT.into());
        }
        match byte? {
            byte if byte == wanted => return Ok(index as i32),
            0 => return Err(Errno::ENOENT.into()),
            _ => {}
        }
    }
    Err(Errno::E2BIG.into())
}

/// `bpf_strnchr(s, count, c)`
fn strnchr(run: &Run<'_>, [text, count, wanted, ..]: Arguments) -> Outcome {
    answer(find(run, text, count, wanted as u8))
}

/// `bpf_strchr(s, c)`
fn strchr(run: &Run<'_>, [text, wanted, ..]: Arguments) -> Outcome {
    answer(find(run, text, u64::MAX, wanted as u8))
}

/// `bpf_strchrnul(s, c)`
fn strchrnul(run: &Run<'_>, [text, wanted, ..]: Arguments) -> Outcome {
    let found = || {
        let text = Text::new(run, text)?;
        for (index, byte) in text.bytes() {
            let byte = byte?;
            if byte == wanted as u8 || byte == 0 {
                return Ok(index as i32);
            }
        }
        Err(Errno::E2BIG.into())
    };
    answer(found())
}

/// `bpf_strrchr(s, c)`
fn strrchr(run: &Run<'_>, [text, wanted, ..]: Arguments) -> Outcome {
    let found = || {
        let text = Text::new(run, text)?;
        let mut last = None;
        for (index, byte) in text.bytes() {
            let byte = byte?;
            if i32::from(byte) == wanted as i32 {
                last = Some(index as i32);
            }
            if byte == 0 {
                return last.ok_or(Errno::ENOENT.into());
            }
        }
        Err(Errno::E2BIG.into())
    };
    answer(found())
}

fn length(run: &Run<'_>, text: u64, count: u64) -> Found {
    let text = Text::new(run, text)?;
    for (index, byte) in text.bytes() {
        if index == count || byte? == 0 {
            return Ok(index as i32);
        }
    }
    Err(Errno::E2BIG.into())
}

/// `bpf_strnlen(s, count)`
fn strnlen(run: &Run<'_>, [text, count, ..]: Arguments) -> Outcome {
    answer(length(run, text, count))
}

/// `bpf_strlen(s)`
fn strlen(run: &Run<'_>, [text, ..]: Arguments) -> Outcome {
    answer(length(run, text, u64::MAX))
}

/// How many bytes from the start are (or are not) among those of `set`.
fn span(run: &Run<'_>, text: u64, set: u64, wanted: bool) -> Found {
    let (text, set) = (Text::new(run, text)?, Text::new(run, set)?);
    'text: for (index, byte) in text.bytes() {
        let byte = byte?;
        if byte == 0 {
            return Ok(index as i32);
        }
        for (looked, member) in set.bytes() {
            let member = member?;
            let there = member == byte;
            if member == 0 || there {
                run.pay(looked as u32)?;
                if there != wanted {
                    return Ok(index as i32);
                }
                continue 'text;
            }
        }
        return Err(Errno::E2BIG.into());
    }
    Err(Errno::E2BIG.into())
}

/// `bpf_strspn(s, accept)`
fn strspn(run: &Run<'_>, [text, set, ..]: Arguments) -> Outcome {
    answer(span(run, text, set, true))
}

/// `bpf_strcspn(s, reject)`
fn strcspn(run: &Run<'_>, [text, set, ..]: Arguments) -> Outcome {
    answer(span(run, text, set, false))
}

/// Where the second string begins in the first `count` bytes of the first.
fn search(run: &Run<'_>, text: u64, part: u64, count: u64, fold: fn(u8) -> u8) -> Found {
    let (text, part) = (Text::new(run, text)?, Text::new(run, part)?);
    for start in 0..LONGEST {
        let mut length = 0;
        loop {
            if length == LONGEST {
                return Err(Errno::E2BIG.into());
            }
            let wanted = part.at(length)?;
            if wanted == 0 {
                return Ok(start as i32);
            }
            if start + length == count {
                return Err(Errno::ENOENT.into());
            }
            let byte = text.at(start + length)?;
            if byte == 0 {
                return Err(Errno::ENOENT.into());
            }
            if fold(byte) != fold(wanted) {
                run.pay(length as u32)?;
                break;
            }
            length += 1;
        }
    }
    Err(Errno::E2BIG.into())
}

/// `bpf_strnstr(s1, s2, len)`
fn strnstr(run: &Run<'_>, [text, part, count, ..]: Arguments) -> Outcome {
    answer(search(run, text, part, count, as_is))
}

/// `bpf_strstr(s1, s2)`
fn strstr(run: &Run<'_>, [text, part, ..]: Arguments) -> Outcome {
    answer(search(run, text, part, u64::MAX, as_is))
}

/// `bpf_strncasestr(s1, s2, len)`
fn strncasestr(run: &Run<'_>, [text, part, count, ..]: Arguments) -> Outcome {
    answer(search(run, text, part, count, lower))
}

/// `bpf_strcasestr(s1, s2)`
fn strcasestr(run: &Run<'_>, [text, part, ..]: Arguments) -> Outcome {
    answer(search(run, text, part, u64::MAX, lower))
}
