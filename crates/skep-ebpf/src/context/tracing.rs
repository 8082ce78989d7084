//! Contexts of what watches the kernel and processes.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::marker::PhantomData;

use super::access::Word;
use super::{Argument, Arguments, Context, contexts, raw};

contexts! {
    /// The registers at the entry of a kernel function. See [`kprobe`](crate::hook::kprobe).
    #[doc(alias = "pt_regs")]
    KprobeContext: raw::pt_regs;
    /// The registers at the return of a kernel function. See
    /// [`kretprobe`](crate::hook::kretprobe).
    #[doc(alias = "pt_regs")]
    KretprobeContext: raw::pt_regs;
    /// The registers at the entry of a system call. See [`ksyscall`](crate::hook::ksyscall).
    #[doc(alias = "pt_regs")]
    KsyscallContext: raw::pt_regs;
    /// The registers at an instruction of a process. See [`uprobe`](crate::hook::uprobe).
    #[doc(alias = "pt_regs")]
    UprobeContext: raw::pt_regs;
    /// The registers at the return of a function of a process. See
    /// [`uretprobe`](crate::hook::uretprobe).
    #[doc(alias = "pt_regs")]
    UretprobeContext: raw::pt_regs;
    /// The registers at a static probe of a process. See [`usdt`](crate::hook::usdt).
    #[doc(alias = "pt_regs")]
    UsdtContext: raw::pt_regs;
    /// A tracepoint's arguments as they were passed. See
    /// [`raw_tracepoint`](crate::hook::raw_tracepoint).
    #[doc(alias = "bpf_raw_tracepoint_args")]
    RawTracepointContext: raw::bpf_raw_tracepoint_args;
    /// A tracepoint's arguments by type. See [`tp_btf`](crate::hook::tp_btf).
    TpBtfContext: u64;
    /// A kernel function's arguments. See [`fentry`](crate::hook::fentry).
    FentryContext: u64;
    /// A kernel function's arguments and what it returned. See [`fexit`](crate::hook::fexit).
    FexitContext: u64;
    /// A kernel function's arguments, and what it returns so far. See
    /// [`fmod_ret`](crate::hook::fmod_ret).
    FmodRetContext: u64;
    /// A kernel function's arguments, at its entry and return. See
    /// [`fsession`](crate::hook::fsession).
    FsessionContext: u64;
    /// The arguments of a hook of the security modules. See [`lsm`](crate::hook::lsm).
    LsmContext: u64;
    /// The same for the processes of a cgroup. See [`lsm_cgroup`](crate::hook::lsm_cgroup).
    LsmCgroupContext: u64;
    /// The arguments of a member of a struct of operations. See
    /// [`struct_ops`](crate::hook::struct_ops).
    StructOpsContext: u64;
    /// A sample of a perf event. See [`perf_event`](crate::hook::perf_event).
    #[doc(alias = "bpf_perf_event_data")]
    PerfEventContext: raw::bpf_perf_event_data;
    /// What a lirc device received. See [`lirc_mode2`](crate::hook::lirc_mode2).
    LircContext: u32;
    /// What the caller of a program gave it. See [`syscall`](crate::hook::syscall).
    SyscallContext: c_void;
    /// A kernel object that an iterator shows. See [`iter`](crate::hook::iter).
    IterContext: c_void;
}

/// A tracepoint's record; `T` says which fields it has. See
/// [`tracepoint`](crate::hook::tracepoint).
#[repr(transparent)]
pub struct TracepointContext<T = ()>(UnsafeCell<[u8; 0]>, PhantomData<T>);

impl<T> Context for TracepointContext<T> {
    type Raw = c_void;
}

impl<T> TracepointContext<T> {
    /// Its address.
    #[inline(always)]
    #[must_use]
    pub const fn as_ptr(&self) -> *mut c_void {
        self.0.get().cast()
    }
}

/// Contexts that are an array of 64-bit arguments.
macro_rules! arrays {
    ($($Context:ty)*) => {$(
        impl Arguments for $Context {
            #[inline(always)]
            fn raw_argument(&self, index: usize) -> u64 {
                let base = self.as_ptr();
                // SAFETY: the verifier knows how many arguments there are.
                unsafe {
                    match index {
                        0 => u64::load::<0>(base),
                        1 => u64::load::<8>(base),
                        2 => u64::load::<16>(base),
                        3 => u64::load::<24>(base),
                        4 => u64::load::<32>(base),
                        5 => u64::load::<40>(base),
                        6 => u64::load::<48>(base),
                        7 => u64::load::<56>(base),
                        8 => u64::load::<64>(base),
                        9 => u64::load::<72>(base),
                        10 => u64::load::<80>(base),
                        11 => u64::load::<88>(base),
                        _ => u64::load::<96>(base),
                    }
                }
            }
        }

        impl $Context {
            /// The argument of a place, from 0, as a type that the caller knows it has.
            #[inline(always)]
            #[must_use]
            pub fn argument<T: Argument>(&self, index: usize) -> T {
                T::from_raw(self.raw_argument(index))
            }
        }
    )*};
}

arrays! {
    RawTracepointContext TpBtfContext FentryContext FexitContext FmodRetContext FsessionContext
    LsmContext LsmCgroupContext StructOpsContext
}
