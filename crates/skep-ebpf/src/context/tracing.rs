//! Contexts of what watches the kernel and processes.

use core::ffi::c_void;

use super::{Argument, Arguments, contexts, raw, registers, usdt};
use crate::error::Result;
use crate::helper::raw as raw_helper;

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
}

/// Contexts that are registers.
macro_rules! registers {
    ($($Context:ident)*) => {$(
        impl $Context {
            /// The address of the next instruction.
            #[inline(always)]
            #[must_use]
            pub fn instruction_pointer(&self) -> u64 {
                registers::instruction(self.as_ptr())
            }

            /// Where the stack ends.
            ///
            /// ```
            /// #![no_std]
            /// #![no_main]
            /// use skep_ebpf::prelude::*;
            ///
            /// license!("GPL");
            ///
            /// #[uprobe("libc:malloc")]
            /// fn allocate(context: &UprobeContext) {
            ///     printk!("at %llx, stack %llx", context.instruction_pointer(), context.stack_pointer());
            /// }
            /// ```
            #[inline(always)]
            #[must_use]
            pub fn stack_pointer(&self) -> u64 {
                registers::stack(self.as_ptr())
            }
        }
    )*};
}

registers! {
    KprobeContext KretprobeContext KsyscallContext UprobeContext UretprobeContext UsdtContext
    PerfEventContext
}

/// Contexts of a function's entry.
macro_rules! entries {
    ($($Context:ident $argument:path;)*) => {$(
        impl Arguments for $Context {
            #[inline(always)]
            fn raw_argument(&self, index: usize) -> u64 {
                $argument(self.as_ptr(), index)
            }
        }

        impl $Context {
            /// An argument, of six from 0, as a type that the caller knows it has: by the calling
            /// convention of C on x86-64 and arm64, where it is no structure and no floating-point
            /// number.
            #[inline(always)]
            #[must_use]
            pub fn argument<T: Argument>(&self, index: usize) -> T {
                T::from_raw(self.raw_argument(index))
            }
        }
    )*};
}

entries! {
    KprobeContext registers::argument;
    UprobeContext registers::argument;
    KsyscallContext registers::syscall_argument;
}

/// Contexts of a function's return.
macro_rules! returns {
    ($($Context:ident)*) => {$(
        impl Arguments for $Context {
            #[inline(always)]
            fn raw_argument(&self, _: usize) -> u64 {
                registers::returned(self.as_ptr())
            }
        }

        impl $Context {
            /// What the function returned, as a type that the caller knows it has.
            #[inline(always)]
            #[must_use]
            pub fn returned<T: Argument>(&self) -> T {
                T::from_raw(self.raw_argument(0))
            }
        }
    )*};
}

returns! { KretprobeContext UretprobeContext }

impl Arguments for UsdtContext {
    #[inline(always)]
    fn raw_argument(&self, index: usize) -> u64 {
        usdt::argument(self.as_ptr(), index).unwrap_or(0)
    }
}

impl UsdtContext {
    /// An argument of the probe, from 0, with its sign, as a type that the caller knows it has.
    ///
    /// # Errors
    /// `ENOENT` if there are not so many; `EFAULT` if it is in memory that is not there; `ESRCH` if
    /// the loader did not say where arguments are.
    #[doc(alias = "bpf_usdt_arg")]
    #[inline(always)]
    pub fn argument<T: Argument>(&self, index: usize) -> Result<T> {
        usdt::argument(self.as_ptr(), index).map(T::from_raw)
    }

    /// How many bytes an argument has.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[usdt("/usr/bin/python3:python:line")]
    /// fn line(context: &UsdtContext) -> Result {
    ///     let (count, size) = (context.argument_count()?, context.argument_size(2)?);
    ///     printk!("%llu arguments, the third has %llu bytes", count as u64, size as u64);
    ///     printk!("attached as %llu", context.cookie());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`argument`](Self::argument).
    #[doc(alias = "bpf_usdt_arg_size")]
    #[inline(always)]
    pub fn argument_size(&self, index: usize) -> Result<usize> {
        usdt::size(self.as_ptr(), index)
    }

    /// How many arguments the probe has.
    ///
    /// # Errors
    /// `ESRCH` if the loader did not say.
    #[doc(alias = "bpf_usdt_arg_cnt")]
    #[inline(always)]
    pub fn argument_count(&self) -> Result<usize> {
        usdt::count(self.as_ptr())
    }

    /// The number that was given when the program was attached; 0 if none was.
    #[doc(alias = "bpf_usdt_cookie")]
    #[inline(always)]
    #[must_use]
    pub fn cookie(&self) -> u64 {
        usdt::cookie(self.as_ptr()).unwrap_or(0)
    }
}

/// Contexts whose attachment has a number.
macro_rules! cookies {
    ($($Context:ident)*) => {$(
        impl $Context {
            /// The number that was given when the program was attached; 0 if none was. Linux 5.15
            /// for probes, tracepoints and perf events, 5.19 for `fentry` and its like, 6.3 for
            /// `lsm`, 6.10 for raw tracepoints.
            #[doc(alias = "bpf_get_attach_cookie")]
            #[inline(always)]
            #[must_use]
            pub fn attach_cookie(&self) -> u64 {
                // SAFETY: the context.
                unsafe { raw_helper::bpf_get_attach_cookie(self.as_ptr()) }
            }
        }
    )*};
}

cookies! {
    KprobeContext KretprobeContext KsyscallContext UprobeContext UretprobeContext PerfEventContext
    RawTracepointContext TpBtfContext FentryContext FexitContext FmodRetContext LsmContext
}

/// Contexts that know which function they are of.
macro_rules! functions {
    ($($Context:ident)*) => {$(
        impl $Context {
            /// The address of the function that is traced. Linux 5.15 for kernel functions, 5.17
            /// for `fentry` and its like, 6.6 for functions of processes.
            ///
            /// ```
            /// #![no_std]
            /// #![no_main]
            /// use skep_ebpf::prelude::*;
            ///
            /// license!("GPL");
            ///
            /// #[kprobe("vfs_*", multi)]
            /// fn entered(context: &KprobeContext) {
            ///     printk!("%ps", context.function_address() as *const u8);
            /// }
            /// ```
            #[doc(alias = "bpf_get_func_ip")]
            #[inline(always)]
            #[must_use]
            pub fn function_address(&self) -> u64 {
                // SAFETY: the context.
                unsafe { raw_helper::bpf_get_func_ip(self.as_ptr()) }
            }
        }
    )*};
}

functions! {
    KprobeContext KretprobeContext UprobeContext UretprobeContext FentryContext FexitContext
    FmodRetContext
}

/// Contexts that know what a function returned.
macro_rules! results {
    ($($Context:ident)*) => {$(
        impl $Context {
            /// What the function returned, as a type that the caller knows it has; of a program
            /// that can change it, what the ones before it said. Linux 5.17; before it, the last
            /// parameter of a program that has one for each argument.
            #[doc(alias = "bpf_get_func_ret")]
            #[inline(always)]
            #[must_use]
            pub fn returned<T: Argument>(&self) -> T {
                let mut value = 0_u64;
                // SAFETY: fills the number. It only fails for programs of other hooks.
                let _ = unsafe { raw_helper::bpf_get_func_ret(self.as_ptr(), (&raw mut value).cast()) };
                T::from_raw(value)
            }
        }
    )*};
}

results! { FexitContext FmodRetContext }
