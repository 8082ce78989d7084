//! Memory that programs and user space share: both allocate, and both follow its pointers.

use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;

use super::definition::{BPF_F_MMAPABLE, Number, definition};
use super::{Map, MapOptions, Options, Value};
use crate::error::{Error, Result};
use crate::kfunc;
use crate::plain::Plain;

definition! {
    /// Memory of at most `PAGES` pages, in which structures of any shape can be built. Linux 6.9.
    ///
    /// Pages are there once they were allocated. Reading where there is none gives zeros, and writing
    /// does nothing: no pointer can do harm.
    ///
    /// Kernels refuse an instruction that accesses an arena on one path and other memory on another
    /// ("same insn cannot be used with different pointers"). The compiler may make such a one of two
    /// loads that it merges, as of a list's start and of the next pointer in a loop; a
    /// [`barrier`](crate::sync::barrier) behind the first keeps them apart.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::map::{Arena, ArenaPointer};
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[repr(C)]
    /// #[derive(Clone, Copy, Plain)]
    /// struct Item {
    ///     next: ArenaPointer<Item>,
    ///     number: u64,
    /// }
    ///
    /// #[map]
    /// static MEMORY: Arena<100> = Arena::new();
    ///
    /// /// User space follows the list from here.
    /// #[global]
    /// static FIRST: ArenaPointer<Item> = ArenaPointer::null();
    ///
    /// #[syscall]
    /// fn push(_: &SyscallContext) -> Result {
    ///     let item = MEMORY.allocate::<Item>(1)?;
    ///     let place = MEMORY.get(item).ok_or(Error::EFAULT)?;
    ///     place.store(Item { next: FIRST.load(), number: ktime_ns() });
    ///     if let Some(second) = MEMORY.get(item.add(1)) {
    ///         field!(second.number).add(1);
    ///     }
    ///     if FIRST.load().is_null() {
    ///         FIRST.store(item);
    ///     } else {
    ///         MEMORY.free(item, 1);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_ARENA")]
    Arena = 33, [const PAGES: usize,], [PAGES,], Options<BPF_F_MMAPABLE>,
    { max_entries: Number<PAGES> }
}

#[kfunc]
unsafe extern "C" {
    fn bpf_arena_alloc_pages(
        map: *mut c_void,
        addr: *mut c_void,
        page_cnt: u32,
        node_id: i32,
        flags: u64,
    ) -> *mut c_void;
    fn bpf_arena_free_pages(map: *mut c_void, ptr: *mut c_void, page_cnt: u32);
}

impl<const PAGES: usize, O: MapOptions> Arena<PAGES, O> {
    /// Allocates so many pages in a row, which are zero at first. Only programs that may sleep can.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: there is no memory, or no room for so many in a row.
    #[doc(alias = "bpf_arena_alloc_pages")]
    #[inline(always)]
    pub fn allocate<T: Plain>(&self, pages: u32) -> Result<ArenaPointer<T>> {
        const ANY_NODE: i32 = -1;
        // SAFETY: the map's type is this.
        let at = unsafe {
            bpf_arena_alloc_pages(self.as_raw(), core::ptr::null_mut(), pages, ANY_NODE, 0)
        };
        let pointer = ArenaPointer::of(at as u64);
        if pointer.is_null() {
            Err(Error::ENOMEM)
        } else {
            Ok(pointer)
        }
    }

    /// Gives pages back, from a pointer's on. Whoever still points there reads zeros.
    #[doc(alias = "bpf_arena_free_pages")]
    #[inline(always)]
    pub fn free<T>(&self, from: ArenaPointer<T>, pages: u32) {
        // SAFETY: the map's type is this; of an address outside of it, nothing happens.
        unsafe { bpf_arena_free_pages(self.as_raw(), from.address as usize as *mut c_void, pages) }
    }

    /// What a pointer points to; none for a null pointer, and for a number that is no multiple of
    /// the type's alignment.
    #[inline(always)]
    #[must_use]
    pub fn get<T: Plain>(&self, pointer: ArenaPointer<T>) -> Option<Value<'_, T>> {
        let address = pointer.address;
        if address & (align_of::<T>() as u64 - 1) != 0 || pointer.is_null() {
            return None;
        }
        // SAFETY: any address in the kernel's view of an arena may be accessed, and any bytes are
        // a `T`.
        unsafe { Value::new(in_kernel(address, self.as_raw()) as *mut T) }
    }
}

/// The kernel's address of what user space has at an address. The map is named, since a program that
/// converts addresses must have one.
#[inline(always)]
fn in_kernel(address: u64, arena: *mut c_void) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut converted = address;
        // SAFETY: changes a register.
        unsafe {
            core::arch::asm!(
                "/* {1} */",
                "{0} = addr_space_cast({0}, 0x0, 0x1)",
                inout(reg) converted,
                in(reg) arena,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        converted as usize
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _ = (address, arena);
        crate::helper::call::not_here("addr_space_cast")
    }
}

/// A pointer to a `T` in an [`Arena`]: the address that user space has it at. It may lie in maps and
/// in the arena itself.
#[repr(transparent)]
pub struct ArenaPointer<T> {
    address: u64,
    to: PhantomData<*mut T>,
}

// SAFETY: a number.
unsafe impl<T> Plain for ArenaPointer<T> {}

impl<T> Clone for ArenaPointer<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ArenaPointer<T> {}

impl<T> PartialEq for ArenaPointer<T> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<T> Eq for ArenaPointer<T> {}

impl<T> fmt::Debug for ArenaPointer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArenaPointer({:#x})", self.address)
    }
}

impl<T> ArenaPointer<T> {
    #[inline(always)]
    const fn of(address: u64) -> Self {
        Self {
            address,
            to: PhantomData,
        }
    }

    /// Points to nothing.
    #[inline(always)]
    #[must_use]
    pub const fn null() -> Self {
        Self::of(0)
    }

    /// Whether it points to nothing.
    #[inline(always)]
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.address == 0
    }

    /// The same, to so many more of them.
    #[allow(clippy::should_implement_trait, reason = "as pointers have it")]
    #[inline(always)]
    #[must_use]
    pub const fn add(self, count: u64) -> Self {
        Self::of(
            self.address
                .wrapping_add(count.wrapping_mul(size_of::<T>() as u64)),
        )
    }

    /// The same address, as that of something else.
    #[inline(always)]
    #[must_use]
    pub const fn cast<U>(self) -> ArenaPointer<U> {
        ArenaPointer::of(self.address)
    }
}
