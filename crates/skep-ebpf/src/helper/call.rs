//! How a helper is called: a function at the address that is its number. LLVM makes a `call` with
//! that number of it.

/// Declares functions by number.
macro_rules! helpers {
    ($(
        $(#[$doc:meta])*
        $id:literal $name:ident($($argument:ident: $type:ty),*) -> $returns:ty;
    )*) => { $(
        $(#[$doc])*
        #[inline(always)]
        pub unsafe fn $name($($argument: $type),*) -> $returns {
            #[cfg(target_arch = "bpf")]
            {
                let helper: extern "C" fn($($type),*) -> $returns =
                    // SAFETY: not an address but the helper's number, which is what a BPF call
                    // instruction holds.
                    unsafe { core::mem::transmute::<usize, _>($id) };
                helper($($argument),*)
            }
            #[cfg(not(target_arch = "bpf"))]
            {
                let _ = ($($argument,)*);
                crate::helper::call::not_here(stringify!($name))
            }
        }
    )* };
}

pub(crate) use helpers;

/// What a program would do that runs on this machine instead of in a kernel.
#[cfg(not(target_arch = "bpf"))]
#[cold]
pub(crate) fn not_here(what: &str) -> ! {
    panic!("{what} exists only for programs that are built for BPF")
}
