//! Loads and stores that stay what they are: one instruction, of this width, at this offset.
//!
//! The verifier wants accesses of a context to be of a field's width and at a constant offset of
//! the pointer that the program got. A compiler that sees memory there may split, merge or narrow
//! them, or add the offset to the pointer first; of an instruction of assembly it changes nothing.
//! A load that is `pure` may still be made once for two, moved, or left away.

macro_rules! loads {
    ($($name:ident $type:ty, $instruction:literal;)*) => {$(
        /// What is `OFFSET` bytes behind an address.
        ///
        /// # Safety
        /// The kernel lets the program read it by this width.
        #[inline(always)]
        pub(crate) unsafe fn $name<const OFFSET: i16>(base: *const core::ffi::c_void) -> $type {
            #[cfg(target_arch = "bpf")]
            {
                let value: u64;
                // SAFETY: the caller's promise; it reads memory and nothing else.
                unsafe {
                    core::arch::asm!(
                        concat!("{value} = *(", $instruction, " *)({base} + {offset})"),
                        value = lateout(reg) value,
                        base = in(reg) base,
                        offset = const OFFSET,
                        options(pure, readonly, nostack, preserves_flags),
                    );
                }
                value as $type
            }
            #[cfg(not(target_arch = "bpf"))]
            {
                let _ = base;
                panic!("a context is read in a program only")
            }
        }
    )*};
}

loads! {
    load_u64 u64, "u64";
}
