//! Dynptrs: memory whose size only the kernel knows, with bounds that it checks at run time.

use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::context::{CgroupSkbContext, Context, LwtContext, SkSkbContext, TcContext, XdpContext};
use crate::error::{Error, Result};
use crate::helper::{Step, done, raw};
use crate::lost::count_lost;
use crate::map::{Map, MapOptions, RingBuf, UserRingBuf, Value};
use crate::plain::Plain;
use crate::{kernel, kfunc};

/// Room for what the kernel keeps in the program's stack.
#[repr(C, align(8))]
struct Slots([u64; 2]);

/// Memory that the kernel checks accesses of.
///
/// It lies at one place on the stack, which only the kernel may change; so there are only
/// references to it, which closures are called with. See [`RingBuf::reserve_bytes`],
/// [`with_memory`], [`with_packet`] and [`UserRingBuf::drain`]. Linux 5.19.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::dynptr::{Dynptr, with_memory};
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static BUFFER: PerCpuArray<[u8; 1024], 1> = PerCpuArray::new();
///
/// fn note(memory: &Dynptr<'_>, offset: u32) -> Result<u64> {
///     memory.write_bytes(offset, b"time")?;
///     let time = memory.data::<u64>(8).ok_or(Error::E2BIG)?;
///     time.store(ktime_ns());
///     memory.read(offset)
/// }
///
/// #[xdp]
/// fn fill(_: &XdpContext) -> Result<XdpAction> {
///     let buffer = BUFFER.get(0).ok_or(Error::ENOENT)?;
///     match with_memory(buffer, |memory| note(memory, random()))? {
///         0 => Ok(XdpAction::DROP),
///         _ => Ok(XdpAction::PASS),
///     }
/// }
/// ```
pub struct Dynptr<'a> {
    at: NonNull<Slots>,
    memory: PhantomData<&'a mut [u8]>,
}

impl Dynptr<'_> {
    #[inline(always)]
    fn raw(&self) -> *mut c_void {
        self.at.as_ptr().cast()
    }

    /// A copy of what lies at an offset. `E2BIG` where it is not inside.
    #[doc(alias = "bpf_dynptr_read")]
    #[inline(always)]
    pub fn read<T: Plain>(&self, offset: u32) -> Result<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: fills the value; the rest is checked at run time.
        done(unsafe {
            raw::bpf_dynptr_read(
                value.as_mut_ptr().cast(),
                size_of::<T>() as _,
                self.raw(),
                offset.into(),
                0,
            )
        })?;
        // SAFETY: filled, and any bytes are a `T`.
        Ok(unsafe { value.assume_init() })
    }

    /// Copies something to an offset. `E2BIG` where it would not be inside, `EINVAL` where the
    /// memory is read-only.
    #[doc(alias = "bpf_dynptr_write")]
    #[inline(always)]
    pub fn write<T: Plain>(&self, offset: u32, value: &T) -> Result {
        crate::map::address(value, |value| {
            // SAFETY: reads the value; the rest is checked at run time.
            done(unsafe {
                raw::bpf_dynptr_write(
                    self.raw(),
                    offset.into(),
                    value.cast_mut(),
                    size_of::<T>() as _,
                    0,
                )
            })
        })
    }

    /// Copies bytes to an offset, as [`write`](Self::write) does. The verifier must see how many
    /// there are at most.
    #[inline(always)]
    pub fn write_bytes(&self, offset: u32, bytes: &[u8]) -> Result {
        // SAFETY: reads the bytes; the rest is checked at run time.
        done(unsafe {
            raw::bpf_dynptr_write(
                self.raw(),
                offset.into(),
                bytes.as_ptr().cast_mut().cast(),
                bytes.len() as _,
                0,
            )
        })
    }

    /// How many bytes there are. Linux 6.5.
    #[doc(alias = "bpf_dynptr_size")]
    #[inline(always)]
    #[must_use]
    pub fn size(&self) -> u32 {
        // SAFETY: a dynptr.
        unsafe { bpf_dynptr_size(self.raw().cast()) }
    }

    /// What lies at an offset, to be read: in place, or copied into the buffer where a packet does
    /// not have it in one piece. None where it is not inside. Linux 6.4.
    ///
    /// The verifier ends its life when the memory is written to.
    #[doc(alias = "bpf_dynptr_slice")]
    #[inline(always)]
    #[must_use]
    pub fn slice<'a, T: Plain>(
        &'a self,
        offset: u32,
        buffer: &'a mut MaybeUninit<T>,
    ) -> Option<Value<'a, T>> {
        const {
            assert!(
                align_of::<T>() == 1,
                "packets have no alignment: use arrays of bytes"
            )
        };
        // SAFETY: so much memory, or null; it stays as long as the dynptr and the buffer.
        unsafe {
            let at = bpf_dynptr_slice(
                self.raw().cast(),
                offset,
                buffer.as_mut_ptr().cast(),
                size_of::<T>() as u32,
            );
            Value::new(at.cast::<T>())
        }
    }

    /// What lies at an offset, in place; none where it is not inside, the memory is read-only, or
    /// the offset is no multiple of the type's alignment (of 8 bytes at most).
    #[doc(alias = "bpf_dynptr_data")]
    #[inline(always)]
    #[must_use]
    pub fn data<T: Plain>(&self, offset: u32) -> Option<Value<'_, T>> {
        const { assert!(align_of::<T>() <= 8, "memory is aligned to 8 bytes") };
        if !offset.is_multiple_of(align_of::<T>() as u32) {
            return None;
        }
        // SAFETY: so much memory, or null, which begins at a multiple of 8 (a map's value, a
        // record); it stays as long as the dynptr.
        unsafe {
            Value::new(
                raw::bpf_dynptr_data(self.raw(), offset.into(), size_of::<T>() as _).cast::<T>(),
            )
        }
    }
}

impl fmt::Debug for Dynptr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dynptr")
    }
}

#[kernel(name = "__sk_buff")]
struct Skb {}

#[kernel(name = "xdp_md")]
struct Xdp {}

#[kernel(name = "bpf_dynptr")]
struct KernelDynptr {}

#[kfunc]
unsafe extern "C" {
    fn bpf_dynptr_from_skb(s: *mut Skb, flags: u64, ptr: *mut KernelDynptr) -> i32;
    fn bpf_dynptr_from_xdp(x: *mut Xdp, flags: u64, ptr: *mut KernelDynptr) -> i32;
    fn bpf_dynptr_size(p: *const KernelDynptr) -> u32;
    fn bpf_dynptr_slice(
        p: *const KernelDynptr,
        offset: u32,
        buffer: *mut c_void,
        buffer_size: u32,
    ) -> *mut c_void;
}

/// Contexts whose packet can be had as a dynptr.
///
/// # Safety
///
/// The function fills the slots.
pub unsafe trait PacketContext: Context {
    /// Makes the dynptr.
    #[doc(hidden)]
    fn dynptr(&self, slots: *mut c_void) -> Result;
}

macro_rules! packets {
    ($($Context:ident $function:ident;)*) => { $(
        // SAFETY: that is what the kernel's function does.
        unsafe impl PacketContext for $Context {
            #[inline(always)]
            fn dynptr(&self, slots: *mut c_void) -> Result {
                // SAFETY: the context is this program's.
                done(unsafe { $function(self.as_ptr().cast(), 0, slots.cast()) }.into())
            }
        }
    )* };
}

packets! {
    XdpContext bpf_dynptr_from_xdp;
    TcContext bpf_dynptr_from_skb;
    CgroupSkbContext bpf_dynptr_from_skb;
    LwtContext bpf_dynptr_from_skb;
    SkSkbContext bpf_dynptr_from_skb;
}

/// Calls a closure with the whole packet as a dynptr, whether it lies in one piece or not. Linux 6.4.
///
/// Where the hook may not change packets, it can only be read.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use core::mem::MaybeUninit;
/// use skep_ebpf::dynptr::with_packet;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[xdp]
/// fn last_bytes(context: &XdpContext) -> Result<XdpAction> {
///     with_packet(context, |packet| {
///         let mut buffer = MaybeUninit::uninit();
///         let start = packet.size().saturating_sub(4);
///         let last = packet.slice::<[u8; 4]>(start, &mut buffer).ok_or(Error::E2BIG)?;
///         match last.load() {
///             [0, 0, 0, 0] => Ok(XdpAction::DROP),
///             _ => Ok(XdpAction::PASS),
///         }
///     })
/// }
/// ```
#[doc(alias = "bpf_dynptr_from_skb")]
#[doc(alias = "bpf_dynptr_from_xdp")]
#[inline(always)]
pub fn with_packet<C: PacketContext, T>(
    context: &C,
    body: impl FnOnce(&Dynptr<'_>) -> Result<T>,
) -> Result<T> {
    let mut slots = MaybeUninit::<Slots>::uninit();
    context.dynptr(slots.as_mut_ptr().cast())?;
    body(&Dynptr {
        // SAFETY: a local variable.
        at: unsafe { NonNull::new_unchecked(slots.as_mut_ptr()) },
        memory: PhantomData,
    })
}

/// Calls a closure with a value of a map as a dynptr. Linux 6.1.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::dynptr::with_memory;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static BUFFER: PerCpuArray<[u8; 4096], 1> = PerCpuArray::new();
///
/// #[xdp]
/// fn fill(_: &XdpContext) -> Result<XdpAction> {
///     let buffer = BUFFER.get(0).ok_or(Error::ENOENT)?;
///     with_memory(buffer, |memory| memory.write(random(), &7_u32))?;
///     Ok(XdpAction::PASS)
/// }
/// ```
#[doc(alias = "bpf_dynptr_from_mem")]
#[inline(always)]
pub fn with_memory<V: Plain, T>(
    value: Value<'_, V>,
    body: impl FnOnce(&Dynptr<'_>) -> Result<T>,
) -> Result<T> {
    let mut slots = MaybeUninit::<Slots>::uninit();
    // SAFETY: memory of this size, which stays for the call of the closure.
    done(unsafe {
        raw::bpf_dynptr_from_mem(
            value.as_ptr().cast(),
            size_of::<V>() as _,
            0,
            slots.as_mut_ptr().cast(),
        )
    })?;
    body(&Dynptr {
        // SAFETY: a local variable.
        at: unsafe { NonNull::new_unchecked(slots.as_mut_ptr()) },
        memory: PhantomData,
    })
}

impl<const BYTES: usize, O: MapOptions> RingBuf<BYTES, O> {
    /// Calls a closure with a record of any number of bytes, which is submitted if the closure
    /// succeeds, and else discarded. `E2BIG`, `EINVAL`, `ENOSPC`, which is counted, where there can
    /// be no such record. Linux 6.1.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static EVENTS: RingBuf<4096> = RingBuf::new();
    ///
    /// #[tracepoint("syscalls/sys_enter_getpid")]
    /// fn called(_: &TracepointContext) -> Result {
    ///     let size = 8 + random() % 64;
    ///     EVENTS.reserve_bytes(size, |record| record.write(0, &ktime_ns()))
    /// }
    /// ```
    #[doc(alias = "bpf_ringbuf_reserve_dynptr")]
    #[inline(always)]
    pub fn reserve_bytes<T>(
        &self,
        size: u32,
        body: impl FnOnce(&Dynptr<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut slots = MaybeUninit::<Slots>::uninit();
        let at = slots.as_mut_ptr();
        // SAFETY: the map is a ring buffer.
        let reserved =
            done(unsafe { raw::bpf_ringbuf_reserve_dynptr(self.as_raw(), size, 0, at.cast()) });
        if let Err(error) = reserved {
            // Even a record that there is not must be given back.
            // SAFETY: what was reserved, and is gone now.
            unsafe { raw::bpf_ringbuf_discard_dynptr(at.cast(), 0) };
            count_lost();
            return Err(error);
        }
        let result = body(&Dynptr {
            // SAFETY: a local variable.
            at: unsafe { NonNull::new_unchecked(at) },
            memory: PhantomData,
        });
        // SAFETY: what was reserved, and is gone now.
        unsafe {
            if result.is_ok() {
                raw::bpf_ringbuf_submit_dynptr(at.cast(), 0);
            } else {
                raw::bpf_ringbuf_discard_dynptr(at.cast(), 0);
            }
        }
        result
    }
}

impl<const BYTES: usize, O: MapOptions> UserRingBuf<BYTES, O> {
    /// Calls a closure with each record that user space has sent; gives how often. The closure
    /// stops by [`ControlFlow::Break`](core::ops::ControlFlow). `EBUSY` where another CPU does so
    /// right now.
    #[doc(alias = "bpf_user_ringbuf_drain")]
    #[inline(always)]
    pub fn drain<F: FnMut(&Dynptr<'_>) -> S, S: Step>(&self, mut each: F) -> Result<u32> {
        let callback: extern "C" fn(*mut Slots, *mut F) -> i64 = record::<F, S>;
        // SAFETY: calls the function with records, and the address of the closure while it is here.
        Error::check(unsafe {
            raw::bpf_user_ringbuf_drain(
                self.as_raw(),
                callback as *mut core::ffi::c_void,
                (&raw mut each).cast(),
                0,
            )
        })
        .map(|drained| drained as u32)
    }
}

extern "C" fn record<F: FnMut(&Dynptr<'_>) -> S, S: Step>(at: *mut Slots, each: *mut F) -> i64 {
    // SAFETY: the closure of `drain`, which nobody else uses meanwhile.
    let each = unsafe { &mut *each };
    let record = Dynptr {
        // SAFETY: the kernel's dynptr, never null.
        at: unsafe { NonNull::new_unchecked(at) },
        memory: PhantomData,
    };
    i64::from(each(&record).stops())
}
