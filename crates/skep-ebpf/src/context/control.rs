//! What programs do at sysctls, options of sockets, and the hooks that have few things to do.

use core::ffi::c_void;

use super::access::Word;
use super::{LircContext, NetfilterContext, PerfEventContext, SyscallContext, SysctlContext};
use crate::Plain;
use crate::co_re::Kernel;
use crate::error::{Error, Result};
use crate::helper::{filled, raw};
use crate::prelude::{core_load, kernel};

impl SysctlContext {
    /// Copies the sysctl's name, such as `net/ipv4/ip_forward`, with a NUL; gives its length without
    /// it. Linux 5.2.
    ///
    /// # Errors
    /// `E2BIG` if the buffer is too small; it is then full.
    #[doc(alias = "bpf_sysctl_get_name")]
    #[inline(always)]
    pub fn name(&self, into: &mut [u8]) -> Result<usize> {
        self.named(into, 0)
    }

    /// Copies the last part of the sysctl's name. Linux 5.2.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Nobody turns forwarding on.
    /// #[cgroup_sysctl]
    /// fn no_forwarding(context: &SysctlContext) -> Result<Access> {
    ///     let (mut name, mut now, mut next) = ([0; 64], [0; 16], [0; 16]);
    ///     context.base_name(&mut name)?;
    ///     if !name.starts_with(b"ip_forward\0") || context.write() == 0 {
    ///         return Ok(Access::ALLOW);
    ///     }
    ///     context.current_value(&mut now)?;
    ///     context.new_value(&mut next)?;
    ///     if now[0] == b'0' && next[0] != b'0' {
    ///         context.set_new_value(b"0")?;
    ///     }
    ///     Ok(Access::ALLOW)
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`name`](Self::name).
    #[doc(alias = "bpf_sysctl_get_name")]
    #[inline(always)]
    pub fn base_name(&self, into: &mut [u8]) -> Result<usize> {
        /// `BPF_F_SYSCTL_BASE_NAME`.
        const BASE_NAME: u64 = 1;
        self.named(into, BASE_NAME)
    }

    #[inline(always)]
    fn named(&self, into: &mut [u8], flags: u64) -> Result<usize> {
        let (at, size) = (into.as_mut_ptr(), into.len() as u64);
        // SAFETY: all of the slice.
        let copied = unsafe { raw::bpf_sysctl_get_name(self.as_ptr(), at, size, flags) };
        Ok(Error::check(copied)? as usize)
    }

    /// Copies the value that the sysctl has, as text with a NUL; gives its length without it. Linux
    /// 5.2.
    ///
    /// # Errors
    /// `E2BIG` if the buffer is too small; `EINVAL` if there is no value.
    #[doc(alias = "bpf_sysctl_get_current_value")]
    #[inline(always)]
    pub fn current_value(&self, into: &mut [u8]) -> Result<usize> {
        let (at, size) = (into.as_mut_ptr(), into.len() as u64);
        // SAFETY: all of the slice.
        let copied = unsafe { raw::bpf_sysctl_get_current_value(self.as_ptr(), at, size) };
        Ok(Error::check(copied)? as usize)
    }

    /// Copies the value that is being written. Linux 5.2.
    ///
    /// # Errors
    /// `E2BIG` if the buffer is too small; `EINVAL` if the sysctl is read.
    #[doc(alias = "bpf_sysctl_get_new_value")]
    #[inline(always)]
    pub fn new_value(&self, into: &mut [u8]) -> Result<usize> {
        let (at, size) = (into.as_mut_ptr(), into.len() as u64);
        // SAFETY: all of the slice.
        let copied = unsafe { raw::bpf_sysctl_get_new_value(self.as_ptr(), at, size) };
        Ok(Error::check(copied)? as usize)
    }

    /// Has another value written. Linux 5.2.
    ///
    /// # Errors
    /// `E2BIG` if it is too long; `EINVAL` if the sysctl is read.
    #[doc(alias = "bpf_sysctl_set_new_value")]
    #[inline(always)]
    pub fn set_new_value(&self, value: &[u8]) -> Result {
        let (at, size) = (value.as_ptr(), value.len() as u64);
        // SAFETY: all of the slice.
        crate::helper::done(unsafe { raw::bpf_sysctl_set_new_value(self.as_ptr(), at, size) })
    }
}

impl NetfilterContext {
    /// Where the packet is: the kernel's `nf_hook_state`, as it is declared with
    /// [`#[kernel]`](crate::kernel).
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[kernel]
    /// struct nf_hook_state {
    ///     pf: u8,
    /// }
    ///
    /// #[kernel]
    /// struct sk_buff {
    ///     len: u32,
    /// }
    ///
    /// #[netfilter]
    /// fn short(context: &NetfilterContext) -> NetfilterVerdict {
    ///     let (state, packet): (&nf_hook_state, &sk_buff) = (context.state(), context.skb());
    ///     if core_load!(state.pf) == 2 && core_load!(packet.len) > 1500 {
    ///         return NetfilterVerdict::DROP;
    ///     }
    ///     NetfilterVerdict::ACCEPT
    /// }
    /// ```
    #[inline(always)]
    #[must_use]
    pub fn state<T: Kernel>(&self) -> &T {
        // SAFETY: the first field, a pointer that is not null; the type has no size.
        unsafe { &*super::access::load_pointer::<u64, 0>(self.as_ptr()).cast() }
    }

    /// The packet: the kernel's `sk_buff`, as it is declared with [`#[kernel]`](crate::kernel).
    #[inline(always)]
    #[must_use]
    pub fn skb<T: Kernel>(&self) -> &T {
        // SAFETY: the second field, likewise.
        unsafe { &*super::access::load_pointer::<u64, 8>(self.as_ptr()).cast() }
    }
}

#[kernel]
struct bpf_perf_event_data {
    sample_period: u64,
    addr: u64,
}

/// What a perf event counted.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PerfValue {
    /// How many events there were.
    pub counter: u64,
    /// Nanoseconds that the event was enabled.
    pub enabled: u64,
    /// Nanoseconds that it was counted: less, where there are more events than counters.
    pub running: u64,
}

// SAFETY: numbers, without gaps.
unsafe impl Plain for PerfValue {}

impl PerfEventContext {
    /// After how many events this sample was taken.
    #[inline(always)]
    #[must_use]
    pub fn sample_period(&self) -> u64 {
        let data = self.as_ptr().cast_const().cast::<bpf_perf_event_data>();
        core_load!(data.sample_period)
    }

    /// The address that the event is about, if it is about one.
    #[inline(always)]
    #[must_use]
    pub fn address(&self) -> u64 {
        let data = self.as_ptr().cast_const().cast::<bpf_perf_event_data>();
        core_load!(data.addr)
    }

    /// What the event counted so far. Linux 4.15.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static LAST: Array<PerfValue, 1> = Array::new();
    ///
    /// #[perf_event]
    /// fn sample(context: &PerfEventContext) -> Result {
    ///     printk!("after %llu events", context.sample_period());
    ///     LAST.set(0, &context.read_value()?)
    /// }
    /// ```
    ///
    /// # Errors
    /// `EOPNOTSUPP` if children inherit the event; `EINVAL` where it does not count.
    #[doc(alias = "bpf_perf_prog_read_value")]
    #[inline(always)]
    pub fn read_value(&self) -> Result<PerfValue> {
        filled(|at, size| {
            // SAFETY: room for all of the value.
            unsafe { raw::bpf_perf_prog_read_value(self.as_ptr(), at, size) }
        })
    }
}

impl SyscallContext {
    /// What the caller gave, as a type that it has in common with the program (see
    /// [`shared`](crate::shared)): a run with less memory than that fails with `EINVAL`.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[repr(C)]
    /// #[derive(Plain)]
    /// struct Sum {
    ///     left: u64,
    ///     right: u64,
    ///     sum: u64,
    /// }
    ///
    /// #[syscall]
    /// fn add(context: &mut SyscallContext) {
    ///     let given = context.arguments_mut::<Sum>();
    ///     given.sum = given.left + given.right;
    /// }
    /// ```
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[syscall]
    /// fn is_large(context: &SyscallContext) -> i32 {
    ///     i32::from(*context.arguments::<u64>() > 1000)
    /// }
    /// ```
    #[inline(always)]
    #[must_use]
    pub fn arguments<T: Plain>(&self) -> &T {
        // SAFETY: the kernel sees to it that there is as much memory as the program uses, and any
        // bytes are a value.
        unsafe { &*self.as_ptr().cast_const().cast() }
    }

    /// The same, to be changed: the caller sees what is written.
    #[inline(always)]
    #[must_use]
    pub fn arguments_mut<T: Plain>(&mut self) -> &mut T {
        // SAFETY: as above; it is lent to nobody else.
        unsafe { &mut *self.as_ptr().cast() }
    }
}

impl LircContext {
    /// What was received: the kind in the upper eight bits, and a time or a code.
    #[inline(always)]
    #[must_use]
    pub fn sample(&self) -> u32 {
        let at: *mut c_void = self.as_ptr();
        // SAFETY: all of the context.
        unsafe { u32::load::<0>(at) }
    }
}
