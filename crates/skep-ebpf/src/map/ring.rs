//! Ring buffers: records for user space, in order, one ring for all CPUs.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::definition::{Number, definition};
use super::{Map, MapOptions, Options};
use crate::error::{Error, Result};
use crate::helper::{done, raw};
use crate::lost::count_lost;
use crate::plain::Plain;

definition! {
    /// A ring of records for user space. Linux 5.8.
    ///
    /// `BYTES` is a power of two and a multiple of the page size. A record that finds no room is an
    /// error for the program, and counted in a variable of the object, `skep_lost`, which `skep
    /// run` shows at the end: nothing is lost in silence.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[repr(C)]
    /// #[derive(Clone, Copy, Plain)]
    /// struct Event {
    ///     time: u64,
    ///     number: u64,
    /// }
    ///
    /// #[map]
    /// static EVENTS: RingBuf<{ 256 * 1024 }> = RingBuf::new();
    ///
    /// #[tracepoint("syscalls/sys_enter_getpid")]
    /// fn called(_: &TracepointContext) -> Result {
    ///     let mut event = EVENTS.reserve::<Event>()?;
    ///     event.time = ktime_ns();
    ///     event.number = 2;
    ///     event.submit();
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_RINGBUF")]
    RingBuf = 27, [const BYTES: usize,], [BYTES,], Options, { max_entries: Number<BYTES> }
}

definition! {
    /// A ring of records from user space. Linux 6.1.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static COMMANDS: UserRingBuf<4096> = UserRingBuf::new();
    ///
    /// #[map]
    /// static LATEST: Array<u64, 1> = Array::new();
    ///
    /// #[tracepoint("syscalls/sys_enter_getpid")]
    /// fn called(_: &TracepointContext) -> Result {
    ///     COMMANDS.drain(|command| {
    ///         if let (Ok(number), Some(latest)) = (command.read::<u64>(0), LATEST.get(0)) {
    ///             latest.store(number);
    ///         }
    ///     })?;
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_USER_RINGBUF")]
    UserRingBuf = 31, [const BYTES: usize,], [BYTES,], Options, { max_entries: Number<BYTES> }
}

/// Whether who waits for records is woken when one is submitted.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static TIMES: RingBuf<{ 64 * 1024 }> = RingBuf::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     // Who reads is woken once the ring is half full.
///     let wakeup = match TIMES.unread() > TIMES.size() / 2 {
///         true => Wakeup::Always,
///         false => Wakeup::Never,
///     };
///     TIMES.output_with(&ktime_ns(), wakeup)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Wakeup {
    /// If it has read all that was there before.
    IfIdle = 0,
    /// No (`BPF_RB_NO_WAKEUP`).
    Never = 1,
    /// Yes (`BPF_RB_FORCE_WAKEUP`).
    Always = 2,
}

impl<const BYTES: usize, O: MapOptions> RingBuf<BYTES, O> {
    /// A record to be filled in place and submitted. What it holds at first is whatever lay there
    /// before, so all of it should be written.
    ///
    /// # Errors
    ///
    /// `ENOSPC` where there is no room; the loss is counted.
    #[doc(alias = "bpf_ringbuf_reserve")]
    #[inline(always)]
    pub fn reserve<T: Plain>(&self) -> Result<Entry<'_, T>> {
        const { assert!(align_of::<T>() <= 8, "records are aligned to 8 bytes") };
        // SAFETY: the map is a ring buffer.
        let at = unsafe { raw::bpf_ringbuf_reserve(self.as_raw(), size_of::<T>() as u64, 0) };
        match NonNull::new(at.cast::<T>()) {
            Some(at) => Ok(Entry {
                at,
                ring: core::marker::PhantomData,
            }),
            None => {
                count_lost();
                Err(Error::ENOSPC)
            }
        }
    }

    /// Copies a record into the ring.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where there is no room; the loss is counted.
    #[doc(alias = "bpf_ringbuf_output")]
    #[inline(always)]
    pub fn output<T: Plain>(&self, record: &T) -> Result {
        self.output_with(record, Wakeup::IfIdle)
    }

    /// Copies a record into the ring, and says whether to wake who waits.
    ///
    /// # Errors
    ///
    /// As [`output`](Self::output).
    #[inline(always)]
    pub fn output_with<T: Plain>(&self, record: &T, wakeup: Wakeup) -> Result {
        super::address(record, |at| {
            // SAFETY: the map is a ring buffer, the record is readable.
            counted(unsafe {
                raw::bpf_ringbuf_output(
                    self.as_raw(),
                    at.cast_mut(),
                    size_of::<T>() as u64,
                    wakeup as u64,
                )
            })
        })
    }

    /// Copies bytes into the ring, as one record. The verifier must see how many there are at most.
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
    ///     let name = current_comm()?;
    ///     NAMES.output_bytes(&name[..8])
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`output`](Self::output).
    #[inline(always)]
    pub fn output_bytes(&self, record: &[u8]) -> Result {
        // SAFETY: as above.
        counted(unsafe {
            raw::bpf_ringbuf_output(
                self.as_raw(),
                record.as_ptr().cast_mut().cast(),
                record.len() as u64,
                0,
            )
        })
    }

    /// How many bytes user space has not read yet.
    #[doc(alias = "bpf_ringbuf_query")]
    #[inline(always)]
    #[must_use]
    pub fn unread(&self) -> u64 {
        // SAFETY: the map is a ring buffer.
        unsafe { raw::bpf_ringbuf_query(self.as_raw(), 0) }
    }

    /// The size in bytes, which the loader may have changed.
    #[inline(always)]
    #[must_use]
    pub fn size(&self) -> u64 {
        // SAFETY: the map is a ring buffer.
        unsafe { raw::bpf_ringbuf_query(self.as_raw(), 1) }
    }
}

#[inline(always)]
fn counted(returned: i64) -> Result {
    let result = done(returned);
    if result.is_err() {
        count_lost();
    }
    result
}

/// A record in a [`RingBuf`] that user space does not see yet. [`submit`](Self::submit) shows it;
/// dropped, it is discarded.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static NUMBERS: RingBuf<4096> = RingBuf::new();
///
/// fn number() -> Result<u64> {
///     match ktime_ns() % 2 {
///         0 => Err(Error::ENODATA),
///         odd => Ok(odd),
///     }
/// }
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let mut entry: Entry<'_, u64> = NUMBERS.reserve()?;
///     *entry = number()?; // Discards the entry on its way out.
///     if *entry == 7 {
///         entry.discard();
///     } else {
///         entry.submit_with(Wakeup::Always);
///     }
///     Ok(())
/// }
/// ```
#[must_use = "dropped, it is discarded"]
pub struct Entry<'a, T> {
    at: NonNull<T>,
    ring: core::marker::PhantomData<&'a ()>,
}

impl<T> Entry<'_, T> {
    /// Hands the record to user space.
    #[doc(alias = "bpf_ringbuf_submit")]
    #[inline(always)]
    pub fn submit(self) {
        self.submit_with(Wakeup::IfIdle);
    }

    /// Hands the record to user space, and says whether to wake it.
    #[inline(always)]
    pub fn submit_with(self, wakeup: Wakeup) {
        let entry = ManuallyDrop::new(self);
        // SAFETY: reserved, and gone now.
        unsafe { raw::bpf_ringbuf_submit(entry.at.as_ptr().cast(), wakeup as u64) };
    }

    /// Gives the record up, as dropping it does.
    #[doc(alias = "bpf_ringbuf_discard")]
    #[inline(always)]
    pub fn discard(self) {}

    /// Where the record lies.
    #[inline(always)]
    #[must_use]
    pub const fn as_ptr(&self) -> *mut T {
        self.at.as_ptr()
    }
}

impl<T> Drop for Entry<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: reserved, and gone now.
        unsafe { raw::bpf_ringbuf_discard(self.at.as_ptr().cast(), 0) };
    }
}

impl<T: Plain> Deref for Entry<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: reserved for this program alone, and any bytes are a `T`.
        unsafe { self.at.as_ref() }
    }
}

impl<T: Plain> DerefMut for Entry<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { self.at.as_mut() }
    }
}

impl<T> fmt::Debug for Entry<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.at).finish()
    }
}
