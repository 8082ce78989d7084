//! Text: numbers in it, and comparing it.

use super::raw;
use crate::error::{Error, Result};

/// Flags of a parser: the base, or 0 for the one that the text says by `0x` or `0`.
const ANY_BASE: u64 = 0;

/// The signed number that text begins with, behind spaces, and how many bytes it took. `EINVAL`
/// where there is none, `ERANGE` where it is too large. Linux 5.2.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::parse_i64;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static TEXTS: Array<[u8; 16], 1> = Array::new();
///
/// #[map]
/// static NUMBERS: Array<i64, 1> = Array::new();
///
/// #[cgroup_sysctl]
/// fn parse(_: &SysctlContext) -> Result<Access> {
///     let text = TEXTS.get(0).ok_or(Error::ENOENT)?.load();
///     let (number, _) = parse_i64(&text)?;
///     NUMBERS.set(0, &number)?;
///     Ok(Access::ALLOW)
/// }
/// ```
#[doc(alias = "bpf_strtol")]
#[inline(always)]
pub fn parse_i64(text: &[u8]) -> Result<(i64, usize)> {
    let mut number = 0_i64;
    // SAFETY: reads the text and writes the number.
    let length = Error::check(unsafe {
        raw::bpf_strtol(text.as_ptr(), text.len() as _, ANY_BASE, &raw mut number)
    })?;
    Ok((number, length as usize))
}

/// The number that text begins with, as [`parse_i64`] has it, without a sign. Linux 5.2.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::parse_u64;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static TEXTS: Array<[u8; 16], 1> = Array::new();
///
/// #[map]
/// static NUMBERS: Array<u64, 1> = Array::new();
///
/// #[cgroup_sysctl]
/// fn parse(_: &SysctlContext) -> Result<Access> {
///     let text = TEXTS.get(0).ok_or(Error::ENOENT)?.load();
///     let (number, _) = parse_u64(&text)?;
///     NUMBERS.set(0, &number)?;
///     Ok(Access::ALLOW)
/// }
/// ```
#[doc(alias = "bpf_strtoul")]
#[inline(always)]
pub fn parse_u64(text: &[u8]) -> Result<(u64, usize)> {
    let mut number = 0_u64;
    // SAFETY: reads the text and writes the number.
    let length = Error::check(unsafe {
        raw::bpf_strtoul(text.as_ptr(), text.len() as _, ANY_BASE, &raw mut number)
    })?;
    Ok((number, length as usize))
}

/// How text is ordered beside a constant, which ends with a zero byte: `c"name"`. Linux 5.17.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use core::cmp::Ordering;
/// use skep_ebpf::helper::compare_text;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static CALLS: Array<u64, 1> = Array::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     if compare_text(&current_comm()?, c"bash") == Ordering::Equal {
///         CALLS.get(0).ok_or(Error::ENOENT)?.add(1);
///     }
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_strncmp")]
#[inline(always)]
#[must_use]
pub fn compare_text(text: &[u8], constant: &'static core::ffi::CStr) -> core::cmp::Ordering {
    // SAFETY: reads both.
    let difference =
        unsafe { raw::bpf_strncmp(text.as_ptr(), text.len() as u32, constant.as_ptr().cast()) };
    difference.cmp(&0)
}
