//! Arguments of static probes of processes: where each of them is, the note of the probe says, and
//! the loader puts it into a map.
//!
//! The maps' names and layouts are those that loaders know: `bpf/usdt.bpf.h` has the same for C.
//! They are only in objects of programs that use them.

use core::ffi::c_void;

use super::registers;
use crate::Plain;
use crate::error::{Error, Result};
use crate::external::kconfig;
use crate::helper::{self, raw};
use crate::hidden::hide;
use crate::map::{Array, HashMap};

/// How many different probes an object can be attached to.
const SPECS: usize = 256;

/// How many arguments a probe can have.
const ARGUMENTS: usize = 12;

#[cfg_attr(target_arch = "bpf", unsafe(link_section = ".maps"))]
#[allow(non_upper_case_globals, reason = "the loader's name")]
static __bpf_usdt_specs: Array<Spec, SPECS> = Array::new();

/// Probes by address, where the kernel has no cookies to tell them (before 5.15).
#[cfg_attr(target_arch = "bpf", unsafe(link_section = ".maps"))]
#[allow(non_upper_case_globals, reason = "the loader's name")]
static __bpf_usdt_ip_to_spec_id: HashMap<u64, u32, { SPECS * 4 }> = HashMap::new();

/// Whether the kernel tells by a cookie which probe fired: the loader's answer, as it then tells it
/// so.
#[kconfig]
static LINUX_HAS_BPF_COOKIE: bool;

/// Kinds of places.
const CONSTANT: u8 = 0;
const REGISTER: u8 = 1;
const INDEXED: u8 = 3;

/// Where an argument is. Loaders find these parts by their names.
#[repr(C)]
#[derive(Clone, Copy)]
struct Place {
    /// The constant, or what is added to the address.
    val_off: u64,
    #[cfg(target_endian = "little")]
    arg_type: u8,
    /// What the second register is shifted by.
    #[cfg(target_endian = "little")]
    scale_bitshift: u8,
    /// Where in `pt_regs` the second register is, whose value is added.
    idx_reg_off: u16,
    // As C lays bit fields out, and older loaders know `arg_type`: as all of these four bytes.
    #[cfg(target_endian = "big")]
    scale_bitshift: u8,
    #[cfg(target_endian = "big")]
    arg_type: u8,
    /// Where in `pt_regs` the register is.
    reg_off: i16,
    arg_signed: u8,
    /// 64 less the argument's bits.
    arg_bitshift: u8,
}

/// A probe.
#[repr(C)]
#[derive(Clone, Copy)]
struct Spec {
    args: [Place; ARGUMENTS],
    usdt_cookie: u64,
    arg_cnt: i16,
    padding: [u8; 6],
}

// SAFETY: numbers, without gaps, which the assertion holds.
unsafe impl Plain for Spec {}
const _: () = assert!(size_of::<Spec>() == ARGUMENTS * 16 + 16);

/// The probe that fired.
#[inline(always)]
fn spec(context: *mut c_void) -> Result<*const Spec> {
    let id = if LINUX_HAS_BPF_COOKIE.get() {
        // SAFETY: the context.
        unsafe { raw::bpf_get_attach_cookie(context) as u32 }
    } else {
        let address = registers::instruction(context);
        let found = __bpf_usdt_ip_to_spec_id.get(&address);
        found.ok_or(Error::ESRCH)?.load()
    };
    let spec = __bpf_usdt_specs.get(id).ok_or(Error::ESRCH)?;
    Ok(spec.as_ptr())
}

/// How many arguments the probe has.
#[inline(always)]
pub(super) fn count(context: *mut c_void) -> Result<usize> {
    // SAFETY: an entry of the map, which the loader wrote before the program was attached.
    Ok(unsafe { (*spec(context)?).arg_cnt } as usize)
}

/// What was said when the program was attached.
#[inline(always)]
pub(super) fn cookie(context: *mut c_void) -> Result<u64> {
    // SAFETY: as above.
    Ok(unsafe { (*spec(context)?).usdt_cookie })
}

/// Where an argument is.
#[inline(always)]
fn place(context: *mut c_void, index: usize) -> Result<Place> {
    let spec = spec(context)?;
    // The comparison by which the verifier knows that the array is not left.
    if index >= ARGUMENTS {
        return Err(Error::ENOENT);
    }
    let index = hide(index);
    // SAFETY: as above; the index was looked at.
    unsafe {
        if index as i64 >= i64::from((*spec).arg_cnt) {
            return Err(Error::ENOENT);
        }
        Ok(*(&raw const (*spec).args)
            .cast::<Place>()
            .wrapping_add(index))
    }
}

/// The bytes of an argument.
#[inline(always)]
pub(super) fn size(context: *mut c_void, index: usize) -> Result<usize> {
    Ok(usize::from(64 - place(context, index)?.arg_bitshift) / 8)
}

/// An argument, with its sign.
#[inline(always)]
pub(super) fn argument(context: *mut c_void, index: usize) -> Result<u64> {
    let mut value = 0;
    Error::check(read(context, index, &mut value))?;
    Ok(value)
}

/// A function of its own: it is long, and probes have several arguments.
#[inline(never)]
fn read(context: *mut c_void, index: usize, value: &mut u64) -> i64 {
    match found(context, index) {
        Ok(found) => {
            *value = found;
            0
        }
        Err(error) => error.number().into(),
    }
}

#[inline(always)]
fn found(context: *mut c_void, index: usize) -> Result<u64> {
    let place = place(context, index)?;
    let (mut bits, kind) = (place.val_off, place.arg_type);
    if kind > INDEXED {
        return Err(Error::EINVAL);
    }
    if kind != CONSTANT {
        bits = register(context, place.reg_off as usize)?;
        if kind == INDEXED {
            let index = register(context, usize::from(place.idx_reg_off))?;
            bits = bits.wrapping_add(index << (place.scale_bitshift & 63));
        }
        if kind != REGISTER {
            bits = memory(bits.wrapping_add(place.val_off), place.arg_bitshift)?;
        }
    }
    let unused = u32::from(place.arg_bitshift & 63);
    let shifted = bits << unused;
    Ok(match place.arg_signed {
        0 => shifted >> unused,
        _ => (shifted.cast_signed() >> unused).cast_unsigned(),
    })
}

/// A register, whose place is only known here: the context can't be read directly.
#[inline(always)]
fn register(context: *mut c_void, offset: usize) -> Result<u64> {
    let at = context.cast_const().cast::<u8>().wrapping_add(offset);
    helper::read_kernel(at.cast::<u64>())
}

/// The argument's bytes in the process's memory, and no more: what is behind them may not be there.
#[inline(always)]
fn memory(address: u64, unused_bits: u8) -> Result<u64> {
    let mut bits = 0_u64;
    let size = hide(64_usize.wrapping_sub(unused_bits.into()) / 8);
    if size > 8 {
        return Err(Error::EINVAL);
    }
    // SAFETY: at most eight bytes, by the comparison; the helper looks at what it reads.
    let read = unsafe {
        raw::bpf_probe_read_user(
            (&raw mut bits).cast(),
            size as u32,
            address as *const c_void,
        )
    };
    helper::done(read)?;
    Ok(match cfg!(target_endian = "big") {
        true => bits >> (unused_bits & 63),
        false => bits,
    })
}
