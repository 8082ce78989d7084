//! Iterators: what all of them have in common stands before what they show.

use core::ffi::c_void;

use super::access::Word;
use super::contexts;
use crate::Plain;
use crate::error::Result;
use crate::helper::{done, raw};
use crate::prelude::{core_load, kernel};

contexts! {
    /// A kernel object that an iterator shows, or the end, where it is null. See
    /// [`iter`](crate::hook::iter).
    IterContext: c_void;
}

/// The file that an iterator writes to.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::context::seq_file;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct bpf_map {
///     id: u32,
/// }
///
/// #[iter("bpf_map")]
/// fn maps(context: &IterContext, map: &bpf_map) -> Result {
///     line(context.seq(), core_load!(map.id))
/// }
///
/// fn line(to: *mut seq_file, id: u32) -> Result {
///     seq_printf!(to, "%u\n", id)
/// }
/// ```
#[kernel]
pub struct seq_file {}

#[kernel]
struct bpf_iter_meta {
    seq: *mut seq_file,
    session_id: u64,
    seq_num: u64,
}

impl IterContext {
    #[inline(always)]
    fn meta(&self) -> *const bpf_iter_meta {
        // SAFETY: the first word of every iterator's context.
        core::ptr::with_exposed_provenance(unsafe { u64::load::<0>(self.as_ptr()) } as usize)
    }

    /// The file that is written to, as [`seq_printf!`](crate::seq_printf) takes it.
    #[inline(always)]
    #[must_use]
    pub fn seq(&self) -> *mut seq_file {
        let meta = self.meta();
        core_load!(meta.seq)
    }

    /// Which object it is, counted from 0.
    #[inline(always)]
    #[must_use]
    pub fn seq_num(&self) -> u64 {
        let meta = self.meta();
        core_load!(meta.seq_num)
    }

    /// Whose run it is: another number each time that the file is opened.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[kernel]
    /// struct bpf_map {
    ///     id: u32,
    /// }
    ///
    /// #[iter("bpf_map")]
    /// fn maps(context: &IterContext, map: &bpf_map) -> Result {
    ///     if context.seq_num() == 0 {
    ///         seq_printf!(context.seq(), "reading %llu\n", context.session_id())?;
    ///     }
    ///     seq_printf!(context.seq(), "%u\n", core_load!(map.id))
    /// }
    /// ```
    #[inline(always)]
    #[must_use]
    pub fn session_id(&self) -> u64 {
        let meta = self.meta();
        core_load!(meta.session_id)
    }

    /// Writes a record into the file, as bytes.
    ///
    /// # Errors
    /// `EOVERFLOW` if the file's buffer is full: the kernel makes it larger and shows the object
    /// once more.
    #[doc(alias = "bpf_seq_write")]
    #[inline(always)]
    pub fn write<T: Plain>(&self, record: &T) -> Result {
        // SAFETY: the file of this context, and all of the record.
        done(unsafe {
            raw::bpf_seq_write(
                self.seq().cast(),
                core::ptr::from_ref(record).cast(),
                size_of::<T>() as u32,
            )
        })
    }
}
