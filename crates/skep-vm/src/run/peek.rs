//! Memory that may not be there: what probing helpers read, and strings whose end only their bytes
//! tell. Both modes look at regions here, since no verifier vouches for such addresses.

use skep_host::Errno;

use super::Run;
use crate::{FaultKind, memory::View};

/// The first address that is the kernel's on x86-64 with four levels of page tables, and a page.
const USER_END: u64 = 0x0000_8000_0000_0000;

/// Instructions that 64 bytes of a text count as.
const TEXT_COST: u64 = 16;

impl Run<'_> {
    /// The bytes that the machine has from `address` on, at most `len`: what one region holds.
    pub(crate) fn known(&self, address: u64, len: u64, write: bool) -> Option<View<'_>> {
        let range = self.region_of(address, write)?;
        let offset = address.checked_sub(range.start)?;
        let len = range.len.checked_sub(offset)?.min(len);
        if len == 0 || (write && !range.writable) {
            return None;
        }
        // SAFETY: inside a region of the run, which stays until its end, as for `Run::view`.
        unsafe { View::at_address(address, len as usize) }
    }

    /// Copies memory of the machine out, all or nothing.
    ///
    /// # Errors
    /// As `copy_from_kernel_nofault`: `ERANGE` for addresses that no kernel has, `EFAULT`.
    pub(crate) fn peek(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        if out.is_empty() && missing(address) == Errno::ERANGE {
            let known = self.known(address, 1, false).is_some();
            return if known { Ok(()) } else { Err(Errno::ERANGE) };
        }
        let mut done = 0;
        while done < out.len() {
            let at = address.wrapping_add(done as u64);
            let rest = (out.len() - done) as u64;
            let view = self.known(at, rest, false).ok_or_else(|| missing(at))?;
            let part = out.get_mut(done..).unwrap_or_default();
            done += view.read(part);
        }
        Ok(())
    }

    /// Copies a string of the machine out, with its NUL, cut to what `out` takes; answers how many
    /// bytes that are.
    ///
    /// # Errors
    /// As [`Run::peek`].
    pub(crate) fn peek_text(&self, address: u64, out: &mut [u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while done < out.len() {
            let at = address.wrapping_add(done as u64);
            // The bytes behind the NUL need not be there.
            let rest = (out.len() - done).min(64) as u64;
            let view = self.known(at, rest, false).ok_or_else(|| missing(at))?;
            let part = out.get_mut(done..).unwrap_or_default();
            let read = view.read(part);
            if let Some(end) = part.iter().take(read).position(|byte| *byte == 0) {
                return Ok(done + end + 1);
            }
            done += read;
        }
        if let Some(last) = out.last_mut() {
            *last = 0;
        }
        Ok(done)
    }

    /// A constant string of the program: the bytes before its NUL, at most `max`. Paid for.
    ///
    /// # Errors
    /// It leaves the program's memory before it ends; or the budget has ended.
    pub(crate) fn text(&self, address: u64, max: usize) -> Result<Vec<u8>, FaultKind> {
        let mut bytes = Vec::new();
        let mut part = [0; 64];
        while bytes.len() < max {
            let at = address.wrapping_add(bytes.len() as u64);
            let rest = (max - bytes.len()).min(part.len()) as u64;
            let view = self.known(at, rest, false).ok_or(FaultKind::Memory {
                address: at,
                size: 1,
                write: false,
            })?;
            let read = view.read(&mut part);
            let read = part.get(..read).unwrap_or_default();
            // Who asks for it looks at each byte once more.
            self.pay_fault(TEXT_COST)?;
            if let Some(end) = read.iter().position(|byte| *byte == 0) {
                bytes.extend_from_slice(&read[..end]);
                break;
            }
            bytes.extend_from_slice(read);
        }
        Ok(bytes)
    }
}

/// Why the kernel would not read here.
const fn missing(address: u64) -> Errno {
    let canonical = address < USER_END || address >= USER_END.wrapping_neg();
    if address < USER_END + crate::memory::PAGE as u64 || !canonical {
        Errno::ERANGE
    } else {
        Errno::EFAULT
    }
}

/// Whether an address can be one of user space at all.
pub(crate) const fn may_be_user(address: u64) -> bool {
    address < USER_END
}

/// Whether an address is one of user space.
pub(crate) const fn is_user(address: u64) -> bool {
    address < USER_END - crate::memory::PAGE as u64
}
