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
    /// `%u`, `%x`, `%X`, `%o`
    pub const UNSIGNED: u8 = 1;
    /// `%ld`, `%lld`
    pub const SIGNED_LONG: u8 = 2;
    /// `%lu`, `%llx` …
    pub const UNSIGNED_LONG: u8 = 3;
    /// `%c`
    pub const BYTE: u8 = 4;
    /// `%s`, `%ks`, `%us`
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
const fn conversion(format: &[u8], mut at: usize) -> Option<(u8, usize)> {
    while at < format.len() {
        if format[at] != b'%' {
            at += 1;
            continue;
        }
        at += 1;
        if at < format.len() && format[at] == b'%' {
            at += 1;
            continue;
        }
        while at < format.len()
            && matches!(format[at], b'0'..=b'9' | b'-' | b'+' | b' ' | b'#' | b'.')
        {
            at += 1;
        }
        let mut longs = 0;
        while at < format.len() && format[at] == b'l' {
            (at, longs) = (at + 1, longs + 1);
        }
        if at + 1 < format.len() && matches!(format[at], b'k' | b'u') && format[at + 1] == b's' {
            at += 1;
        }
        assert!(at < format.len(), "the format ends inside of a conversion");
        let kind = match format[at] {
            b'd' | b'i' if longs == 0 => kind::SIGNED,
            b'd' | b'i' => kind::SIGNED_LONG,
            b'u' | b'x' | b'X' | b'o' if longs == 0 => kind::UNSIGNED,
            b'u' | b'x' | b'X' | b'o' => kind::UNSIGNED_LONG,
            b'c' => kind::BYTE,
            b's' => kind::TEXT,
            b'p' => kind::ADDRESS,
            _ => panic!(
                "the kernel has no such conversion: it has d i u x X o c s p, ll before numbers"
            ),
        };
        at += 1;
        if kind == kind::ADDRESS {
            // `%px`, `%pks`, `%pI4`: letters that say what is there.
            while at < format.len() && (format[at].is_ascii_alphanumeric()) {
                at += 1;
            }
        }
        return Some((kind, at));
    }
    None
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
/// `%s` for text of the kernel's or the program's, `%p` and its variants for addresses. It is held
/// against the types of the arguments when the program is compiled.
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
