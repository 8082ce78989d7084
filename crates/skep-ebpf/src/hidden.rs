//! What the compiler is not to see through, for the sake of the verifier: it follows a number from
//! a comparison to its use by the register, and a compiler is free to compute it once more.

/// What the compiler knows nothing of. The kernel sees through: there is no instruction.
#[inline(always)]
pub(crate) fn hide<T: Copy>(value: T) -> T {
    #[cfg(target_arch = "bpf")]
    {
        const { assert!(size_of::<T>() == 8) };
        // SAFETY: a register's worth, by the assertion.
        let mut register: u64 = unsafe { core::mem::transmute_copy(&value) };
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!(
                "/* {0} */",
                inout(reg) register,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        // SAFETY: the same bits.
        unsafe { core::mem::transmute_copy(&register) }
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}

/// Whether the compiler knows a number, after inlining.
#[inline(always)]
pub(crate) fn known(number: usize) -> bool {
    #[cfg(target_arch = "bpf")]
    {
        core::intrinsics::is_val_statically_known(number)
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _ = number;
        false
    }
}
