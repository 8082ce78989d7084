//! Text anywhere in the kernel's memory, by kernel functions that stop at what can't be read.

use crate::error::{Error, Result};
use crate::kfunc;

#[kfunc]
unsafe extern "C" {
    safe fn bpf_strcmp(s1: *const u8, s2: *const u8) -> i32;
    safe fn bpf_strnlen(s: *const u8, count: u64) -> i32;
    safe fn bpf_strnchr(s: *const u8, count: u64, c: u8) -> i32;
    safe fn bpf_strstr(s1: *const u8, s2: *const u8) -> i32;
    safe fn bpf_strnstr(s1: *const u8, s2: *const u8, len: u64) -> i32;
}

fn position(returned: i32) -> Result<usize> {
    Error::check(returned.into()).map(|position| position as usize)
}

/// How two texts of the kernel's or the program's are ordered, each up to its zero byte. `EFAULT`
/// where one can't be read, `E2BIG` where they are the same for as long as the kernel looks: one page.
/// Linux 6.17.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use core::cmp::Ordering;
/// use skep_ebpf::helper::order_texts;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let name = current_comm()?;
///     if order_texts(name.as_ptr(), c"bash".as_ptr().cast())? == Ordering::Equal {
///         printk!("a shell");
///     }
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_strcmp")]
#[inline(always)]
pub fn order_texts(first: *const u8, second: *const u8) -> Result<core::cmp::Ordering> {
    match bpf_strcmp(first, second) {
        order @ -1..=1 => Ok(order.cmp(&0)),
        error => Err(Error::new(error)),
    }
}

/// The bytes of a text before its zero byte, or `at_most`. `EFAULT` where it can't be read. Linux
/// 6.17.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::text_len;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map(histogram = "bytes")]
/// static LENGTHS: Array<u64, 16> = Array::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let name = current_comm()?;
///     let length = text_len(name.as_ptr(), 16)?;
///     LENGTHS.get(log2(length as u64)).ok_or(Error::E2BIG)?.add(1);
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_strnlen")]
#[inline(always)]
pub fn text_len(text: *const u8, at_most: usize) -> Result<usize> {
    position(bpf_strnlen(text, at_most as u64))
}

/// Where a byte is for the first time, in a text and its first `within` bytes. `ENOENT` where it is
/// not, `EFAULT` where the text can't be read. Linux 6.17.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::find_byte;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let name = current_comm()?;
///     match find_byte(name.as_ptr(), 16, b'/') {
///         Ok(_) => printk!("a worker: %s", &name),
///         Err(_) => printk!("a process: %s", &name),
///     }
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_strnchr")]
#[inline(always)]
pub fn find_byte(text: *const u8, within: usize, byte: u8) -> Result<usize> {
    position(bpf_strnchr(text, within as u64, byte))
}

/// Where a text is for the first time in another one. `ENOENT` where it is not, `EFAULT` where one
/// of them can't be read, `E2BIG` where they are longer than the kernel looks: one page. Linux 6.17.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::find_text;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let name = current_comm()?;
///     if find_text(name.as_ptr(), c"sh".as_ptr().cast()).is_ok() {
///         printk!("%s may be a shell", &name);
///     }
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_strstr")]
#[inline(always)]
pub fn find_text(text: *const u8, what: *const u8) -> Result<usize> {
    position(bpf_strstr(text, what))
}

/// The same within the first bytes of a text. Linux 6.17.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::find_text_within;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let name = current_comm()?;
///     if find_text_within(name.as_ptr(), c"k".as_ptr().cast(), 1) == Ok(0) {
///         printk!("%s begins with k", &name);
///     }
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_strnstr")]
#[inline(always)]
pub fn find_text_within(text: *const u8, what: *const u8, within: usize) -> Result<usize> {
    position(bpf_strnstr(text, what, within as u64))
}
