//! Memory that the program may not read directly: the kernel's, and that of processes.

use core::mem::MaybeUninit;

use super::{done, raw};
use crate::error::{Error, Result};
use crate::plain::Plain;

/// A copy of a value in the kernel's memory. `EFAULT` where there is none. Linux 5.5.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static LATEST: Array<u64, 1> = Array::new();
///
/// #[raw_tracepoint("sys_enter")]
/// fn entered(context: &RawTracepointContext) -> Result {
///     let registers: *const u64 = context.argument(0);
///     let first = read_kernel(registers)?;
///     LATEST.get(0).ok_or(Error::ENOENT)?.store(first);
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_probe_read_kernel")]
#[inline(always)]
pub fn read_kernel<T: Plain>(from: *const T) -> Result<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: fills the value; any address may be asked for.
    done(unsafe {
        raw::bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            from.cast(),
        )
    })?;
    // SAFETY: filled, and any bytes are a `T`.
    Ok(unsafe { value.assume_init() })
}

/// Copies a value out of the kernel's memory to where it belongs, as [`read_kernel`] does.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::read_kernel_into;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static REGISTERS: RingBuf<4096> = RingBuf::new();
///
/// #[raw_tracepoint("sys_enter")]
/// fn entered(context: &RawTracepointContext) -> Result {
///     let registers: *const [u64; 21] = context.argument(0);
///     let mut record = REGISTERS.reserve::<[u64; 21]>()?;
///     read_kernel_into(&mut *record, registers)?;
///     record.submit();
///     Ok(())
/// }
/// ```
#[inline(always)]
pub fn read_kernel_into<T: Plain>(into: &mut T, from: *const T) -> Result {
    // SAFETY: fills the value; any address may be asked for.
    done(unsafe {
        raw::bpf_probe_read_kernel(
            core::ptr::from_mut(into).cast(),
            size_of::<T>() as u32,
            from.cast(),
        )
    })
}

/// Copies bytes out of the kernel's memory to where they belong: as many as there is room
/// for, and nothing where they are not all there (`EFAULT`). Linux 5.5.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::read_kernel_bytes;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static DATA: RingBuf<4096> = RingBuf::new();
///
/// #[raw_tracepoint("sys_enter")]
/// fn entered(context: &RawTracepointContext) -> Result {
///     let mut data = DATA.reserve::<[u8; 64]>()?;
///     // The verifier asks for a length that it sees the limit of.
///     let length = (ktime_ns() % 64) as usize;
///     if let Some(data) = data.get_mut(..length) {
///         read_kernel_bytes(data, context.argument(1))?;
///     }
///     data.submit();
///     Ok(())
/// }
/// ```
#[inline(always)]
pub fn read_kernel_bytes(into: &mut [u8], from: *const u8) -> Result {
    // SAFETY: writes inside of the slice; any address may be asked for.
    done(unsafe {
        raw::bpf_probe_read_kernel(into.as_mut_ptr().cast(), into.len() as u32, from.cast())
    })
}

/// A copy of a value in the memory of the current process. `EFAULT` where there is none, or where
/// it is not in memory now. Linux 5.5.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static LATEST: Array<u64, 1> = Array::new();
///
/// #[uprobe]
/// fn called(context: &UprobeContext) -> Result {
///     let first = read_user(context.as_ptr().cast_const().cast::<u64>())?;
///     LATEST.get(0).ok_or(Error::ENOENT)?.store(first);
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_probe_read_user")]
#[inline(always)]
pub fn read_user<T: Plain>(from: *const T) -> Result<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: fills the value; any address may be asked for.
    done(unsafe {
        raw::bpf_probe_read_user(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            from.cast(),
        )
    })?;
    // SAFETY: filled, and any bytes are a `T`.
    Ok(unsafe { value.assume_init() })
}

/// Copies a value out of the memory of the current process to where it belongs, as [`read_user`]
/// does.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::read_user_into;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static DATA: RingBuf<4096> = RingBuf::new();
///
/// #[raw_tracepoint("sys_enter")]
/// fn entered(context: &RawTracepointContext) -> Result {
///     let mut data = DATA.reserve::<[u8; 64]>()?;
///     read_user_into(&mut *data, context.argument(1))?;
///     data.submit();
///     Ok(())
/// }
/// ```
#[inline(always)]
pub fn read_user_into<T: Plain>(into: &mut T, from: *const T) -> Result {
    // SAFETY: fills the value; any address may be asked for.
    done(unsafe {
        raw::bpf_probe_read_user(
            core::ptr::from_mut(into).cast(),
            size_of::<T>() as u32,
            from.cast(),
        )
    })
}

/// Copies bytes out of the memory of the current process to where they belong: as many as there is room
/// for, and nothing where they are not all there (`EFAULT`). Linux 5.5.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::read_user_bytes;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static DATA: RingBuf<4096> = RingBuf::new();
///
/// #[raw_tracepoint("sys_enter")]
/// fn entered(context: &RawTracepointContext) -> Result {
///     let mut data = DATA.reserve::<[u8; 64]>()?;
///     // The verifier asks for a length that it sees the limit of.
///     let length = (ktime_ns() % 64) as usize;
///     if let Some(data) = data.get_mut(..length) {
///         read_user_bytes(data, context.argument(1))?;
///     }
///     data.submit();
///     Ok(())
/// }
/// ```
#[inline(always)]
pub fn read_user_bytes(into: &mut [u8], from: *const u8) -> Result {
    // SAFETY: writes inside of the slice; any address may be asked for.
    done(unsafe {
        raw::bpf_probe_read_user(into.as_mut_ptr().cast(), into.len() as u32, from.cast())
    })
}

/// Copies text out of the kernel's memory, up to its zero byte or as much as
/// there is room for; there is a zero at the end in any case. Gives the length with the zero.
/// `EFAULT` where there is no memory. Linux 5.5.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static TEXTS: RingBuf<4096> = RingBuf::new();
///
/// #[raw_tracepoint("sys_enter")]
/// fn entered(context: &RawTracepointContext) -> Result {
///     let mut text = TEXTS.reserve::<[u8; 64]>()?;
///     read_kernel_str(&mut *text, context.argument(1))?;
///     text.submit();
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_probe_read_kernel_str")]
#[inline(always)]
pub fn read_kernel_str(into: &mut [u8], from: *const u8) -> Result<usize> {
    // SAFETY: writes inside of the slice; any address may be asked for.
    Error::check(unsafe {
        raw::bpf_probe_read_kernel_str(into.as_mut_ptr().cast(), into.len() as u32, from.cast())
    })
    .map(|length| length as usize)
}

/// Copies text out of the memory of the current process, up to its zero byte or as much as
/// there is room for; there is a zero at the end in any case. Gives the length with the zero.
/// `EFAULT` where there is no memory. Linux 5.5.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static TEXTS: RingBuf<4096> = RingBuf::new();
///
/// #[raw_tracepoint("sys_enter")]
/// fn entered(context: &RawTracepointContext) -> Result {
///     let mut text = TEXTS.reserve::<[u8; 64]>()?;
///     read_user_str(&mut *text, context.argument(1))?;
///     text.submit();
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_probe_read_user_str")]
#[inline(always)]
pub fn read_user_str(into: &mut [u8], from: *const u8) -> Result<usize> {
    // SAFETY: writes inside of the slice; any address may be asked for.
    Error::check(unsafe {
        raw::bpf_probe_read_user_str(into.as_mut_ptr().cast(), into.len() as u32, from.cast())
    })
    .map(|length| length as usize)
}
