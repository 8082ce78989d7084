//! Formatted text: into the trace pipe, a buffer, an iterator's file. Formats are the kernel's, and are
//! checked against the arguments when the program is compiled.

use core::ffi::c_void;

use crate::error::{Error, Result};
use crate::helper::raw;

/// What a conversion of a format takes.
#[doc(hidden)]
pub mod kind {
    /// `%d`, `%i`
    pub const SIGNED: u8 = 0;
    /// `%u`, `%x`, `%X`
    pub const UNSIGNED: u8 = 1;
    /// `%ld`, `%lld`
    pub const SIGNED_LONG: u8 = 2;
    /// `%lu`, `%llx` …
    pub const UNSIGNED_LONG: u8 = 3;
    /// `%c`
    pub const BYTE: u8 = 4;
    /// `%s`, `%pks`, `%pus`
    pub const TEXT: u8 = 5;
    /// `%p` and its variants
    pub const ADDRESS: u8 = 6;
}

/// How many arguments a format takes.
#[doc(hidden)]
#[must_use]
pub const fn count(format: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while let Some((_, next)) = conversion(format, at) {
        (at, count) = (next, count + 1);
    }
    assert!(count <= 12, "the kernel prints at most 12 values at once");
    count
}

/// What the argument of a place is.
#[doc(hidden)]
#[must_use]
pub const fn kind_of(format: &[u8], place: usize) -> u8 {
    let (mut at, mut count) = (0, 0);
    while let Some((kind, next)) = conversion(format, at) {
        if count == place {
            return kind;
        }
        (at, count) = (next, count + 1);
    }
    panic!("there are more arguments than the format takes");
}

/// The next conversion from a place on, and where it ends.
///
/// By the rules of the kernel's `bpf_bprintf_prepare`, so that what compiles is not refused there.
const fn conversion(format: &[u8], mut at: usize) -> Option<(u8, usize)> {
    while at < format.len() {
        assert!(
            matches!(format[at], b' '..=b'~' | b'\t'..=b'\r'),
            "the kernel prints formats of ASCII only; pass other text by %s"
        );
        if format[at] != b'%' {
            at += 1;
            continue;
        }
        at += 1;
        if at < format.len() && format[at] == b'%' {
            at += 1;
            continue;
        }
        while matches!(letter(format, at), b'0' | b'+' | b'-' | b' ') {
            at += 1;
        }
        while letter(format, at).is_ascii_digit() {
            at += 1;
        }
        return Some(match letter(format, at) {
            b'p' => address(format, at + 1),
            b's' => (kind::TEXT, text_end(format, at + 1)),
            b'c' => (kind::BYTE, at + 1),
            _ => number(format, at),
        });
    }
    None
}

/// A letter of a format, and 0 behind its end.
const fn letter(format: &[u8], at: usize) -> u8 {
    if at < format.len() { format[at] } else { 0 }
}

const NO_SUCH: &str = "the kernel has no such conversion: it has %d %i %u %x %X, with l or ll for 64 bits, %c, %s, %p, \
                       %pK %px %ps %pS %pB, %pi4 %pI4 %pi6 %pI6, %pks %pus; a width, and no precision";

const fn number(format: &[u8], mut at: usize) -> (u8, usize) {
    let start = at;
    while letter(format, at) == b'l' && at - start < 2 {
        at += 1;
    }
    let kind = match (letter(format, at), at - start) {
        (b'd' | b'i', 0) => kind::SIGNED,
        (b'd' | b'i', _) => kind::SIGNED_LONG,
        (b'u' | b'x' | b'X', 0) => kind::UNSIGNED,
        (b'u' | b'x' | b'X', _) => kind::UNSIGNED_LONG,
        _ => panic!("{}", NO_SUCH),
    };
    (kind, at + 1)
}

/// What stands behind `%p`.
const fn address(format: &[u8], at: usize) -> (u8, usize) {
    match (letter(format, at), letter(format, at + 1)) {
        (b'k' | b'u', b's') => (kind::TEXT, text_end(format, at + 2)),
        (b'i' | b'I', b'4' | b'6') => (kind::ADDRESS, at + 2),
        (b'K' | b'x' | b's' | b'S' | b'B', _) => (kind::ADDRESS, at + 1),
        (next, _) if !next.is_ascii_alphanumeric() => (kind::ADDRESS, at),
        _ => panic!("{}", NO_SUCH),
    }
}

/// Behind text there must be something that is no letter.
const fn text_end(format: &[u8], at: usize) -> usize {
    assert!(
        !letter(format, at).is_ascii_alphanumeric(),
        "the kernel wants a space, a sign or the end behind %s"
    );
    at
}

/// A format with the zero byte that the kernel wants.
#[doc(hidden)]
#[must_use]
pub const fn terminated<const N: usize>(format: &str) -> [u8; N] {
    assert!(N == format.len() + 1, "a zero byte more");
    let (mut bytes, text) = ([0; N], format.as_bytes());
    let mut at = 0;
    while at < text.len() {
        bytes[at] = text[at];
        at += 1;
    }
    bytes
}

/// What fits a conversion of a kind.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the format has another conversion than one for `{Self}`",
    label = "does not fit its conversion",
    note = "%d takes up to 32 bits with a sign, %u and %x without; %lld, %llu and %llx 64 bits; %c a `u8`; \
            %s a pointer to bytes or an array of them; %p a pointer or a `u64`"
)]
pub trait Argument<const KIND: u8> {
    /// The argument as the kernel takes it.
    fn into_word(self) -> u64;
}

macro_rules! arguments {
    ($($kind:ident: $($type:ty)*;)*) => { $($(
        impl Argument<{ kind::$kind }> for $type {
            #[inline(always)]
            fn into_word(self) -> u64 {
                self as u64
            }
        }
    )*)* };
}

arguments! {
    SIGNED: i8 i16 i32;
    UNSIGNED: u8 u16 u32;
    SIGNED_LONG: i64 isize;
    UNSIGNED_LONG: u64 usize;
    BYTE: u8;
    ADDRESS: u64 usize;
}

impl<T> Argument<{ kind::ADDRESS }> for *const T {
    #[inline(always)]
    fn into_word(self) -> u64 {
        self.expose_provenance() as u64
    }
}

impl<const N: usize> Argument<{ kind::ADDRESS }> for &[u8; N] {
    #[inline(always)]
    fn into_word(self) -> u64 {
        self.as_ptr().expose_provenance() as u64
    }
}

impl<T> Argument<{ kind::ADDRESS }> for *mut T {
    #[inline(always)]
    fn into_word(self) -> u64 {
        self.expose_provenance() as u64
    }
}

impl Argument<{ kind::TEXT }> for *const u8 {
    #[inline(always)]
    fn into_word(self) -> u64 {
        self.expose_provenance() as u64
    }
}

impl<const N: usize> Argument<{ kind::TEXT }> for &[u8; N] {
    #[inline(always)]
    fn into_word(self) -> u64 {
        self.as_ptr().expose_provenance() as u64
    }
}

/// Prints into the trace pipe.
#[doc(hidden)]
#[inline(always)]
pub fn trace<const N: usize>(format: &'static [u8], words: [u64; N]) -> Result {
    let (at, size) = (format.as_ptr(), format.len() as u32);
    let word = |index: usize| if index < N { words[index] } else { 0 };
    // SAFETY: the format ends with a zero byte and fits its arguments.
    let printed = unsafe {
        if N <= 3 {
            raw::bpf_trace_printk(at, size, word(0), word(1), word(2))
        } else {
            raw::bpf_trace_vprintk(
                at,
                size,
                words.as_ptr().cast(),
                size_of::<[u64; N]>() as u32,
            )
        }
    };
    Error::check(printed).map(drop)
}

/// Prints into a buffer.
#[doc(hidden)]
#[inline(always)]
pub fn into_buffer<const N: usize>(
    buffer: &mut [u8],
    format: &'static [u8],
    words: [u64; N],
) -> Result<usize> {
    // SAFETY: the format ends with a zero byte and fits its arguments; writes inside of the buffer.
    let printed = unsafe {
        raw::bpf_snprintf(
            buffer.as_mut_ptr(),
            buffer.len() as u32,
            format.as_ptr(),
            data(&words).cast(),
            size_of::<[u64; N]>() as u32,
        )
    };
    Error::check(printed).map(|length| length as usize)
}

/// Prints into an iterator's file.
#[doc(hidden)]
#[inline(always)]
pub fn into_file<T, const N: usize>(
    file: *const T,
    format: &'static [u8],
    words: [u64; N],
) -> Result {
    // SAFETY: as above; that this is an iterator's file, the verifier sees to.
    let printed = unsafe {
        raw::bpf_seq_printf(
            file.cast_mut().cast(),
            format.as_ptr(),
            format.len() as u32,
            data(&words).cast(),
            size_of::<[u64; N]>() as u32,
        )
    };
    Error::check(printed).map(drop)
}

/// The words; null where there are none.
#[inline(always)]
fn data<const N: usize>(words: &[u64; N]) -> *mut c_void {
    if N == 0 {
        core::ptr::null_mut()
    } else {
        words.as_ptr().cast_mut().cast()
    }
}

/// The format as a constant of the object, and each argument checked against its place.
#[doc(hidden)]
#[macro_export]
macro_rules! __print {
    ($print:path, ($($before:expr),*), $format:literal $(, $argument:expr)*) => {{
        const FORMAT: &str = $format;
        static TERMINATED: [u8; FORMAT.len() + 1] = $crate::print::terminated(FORMAT);
        const {
            assert!(
                $crate::print::count(FORMAT.as_bytes()) == <[&str]>::len(&[$(stringify!($argument)),*]),
                "the format takes another number of arguments"
            );
        }
        $print($($before,)* &TERMINATED, $crate::__words!(FORMAT, [] [] $($argument,)*))
    }};
}

/// Arguments as words: counts places by a list that grows.
#[doc(hidden)]
#[macro_export]
macro_rules! __words {
    ($format:ident, [$($word:expr,)*] [$($place:tt)*]) => { [$($word),*] as [u64; _] };
    ($format:ident, [$($word:expr,)*] [$($place:tt)*] $first:expr, $($rest:expr,)*) => {
        $crate::__words!(
            $format,
            [$($word,)* $crate::print::Argument::<{
                $crate::print::kind_of($format.as_bytes(), <[()]>::len(&[$($place)*]))
            }>::into_word($first),]
            [$($place)* (),]
            $($rest,)*
        )
    };
}

/// Prints a line into the trace pipe, `/sys/kernel/tracing/trace_pipe`: for debugging, since all
/// programs share it. More than three arguments need Linux 5.16.
///
/// The format is the kernel's: `%d`, `%u`, `%x` for up to 32 bits, `%lld`, `%llu`, `%llx` for 64,
/// `%c` for a byte, `%s` for text that ends with a zero byte (of the program's or the kernel's;
/// `%pus` of the process's), `%p` and its variants for addresses, `%pI4` and `%pI6` for those of
/// networks, by where they lie. There is a width, but no precision. All this is held against the
/// types of the arguments when the program is compiled; there are at most 12 of them.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let comm = current_comm()?;
///     printk!("%s is %u, at %llu", &comm, current_pid_tgid().tgid, ktime_ns());
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_trace_printk")]
#[doc(alias = "bpf_printk")]
#[macro_export]
macro_rules! printk {
    ($format:literal $(, $argument:expr)* $(,)?) => {{
        let _ = $crate::__print!($crate::print::trace, (), $format $(, $argument)*);
    }};
}

/// Writes formatted text, as [`printk!`] has it, and a zero byte into a buffer; gives how many bytes
/// it takes with that, which may be more than there are. Linux 5.13.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static NAMES: RingBuf<4096> = RingBuf::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let mut name = NAMES.reserve::<[u8; 32]>()?;
///     snprintf!(&mut *name, "task %u", current_pid_tgid().pid)?;
///     name.submit();
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_snprintf")]
#[macro_export]
macro_rules! snprintf {
    ($buffer:expr, $format:literal $(, $argument:expr)* $(,)?) => {
        $crate::__print!($crate::print::into_buffer, ($buffer), $format $(, $argument)*)
    };
}

/// Prints formatted text, as [`printk!`] has it, into the file of an iterator, which the first
/// argument points to. Linux 5.7.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[iter("task")]
/// fn show(context: &IterContext) -> Result {
///     seq_printf!(context.seq(), "a task\n")
/// }
/// ```
#[doc(alias = "bpf_seq_printf")]
#[macro_export]
macro_rules! seq_printf {
    ($file:expr, $format:literal $(, $argument:expr)* $(,)?) => {
        $crate::__print!($crate::print::into_file, ($file), $format $(, $argument)*)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(format: &str) -> impl Iterator<Item = u8> {
        let format = format.as_bytes();
        (0..count(format)).map(|place| kind_of(format, place))
    }

    #[test]
    fn formats_are_read_as_the_kernel_does() {
        for (format, expected) in [
            ("", &[][..]),
            ("100%%\n", &[]),
            ("%d %-5i %+08u %x %X", &[0, 0, 1, 1, 1]),
            ("%ld %lld %lu %llx", &[2, 2, 3, 3]),
            ("%c%c, %s: %20s", &[4, 4, 5, 5]),
            ("%pks-%pus", &[5, 5]),
            ("%p %px %pK %ps %pS %pB %pI4 %pi6", &[6; 8]),
            ("%p", &[6]),
        ] {
            assert!(kinds(format).eq(expected.iter().copied()), "{format}");
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        extern crate std;
        for format in [
            "%",
            "%5",
            "%l",
            "%lll",
            "%llld",
            "%f",
            "%o",
            "%.3s",
            "%#x",
            "%sx",
            "%ks",
            "%pz",
            "%pI5",
            "%*d",
            "%hd",
            "é",
            "\u{7}",
            "%d%d%d%d%d%d%d%d%d%d%d%d%d",
        ] {
            let read = std::panic::catch_unwind(|| count(format.as_bytes()));
            assert!(read.is_err(), "{format}");
        }
    }
}
