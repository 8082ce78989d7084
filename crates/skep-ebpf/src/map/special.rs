//! Arrays of what is no data: programs, cgroups, stacks.

use super::definition::{Number, definition};
use super::socket::context;
use super::{Map, MapOptions, Options};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::helper::raw;

definition! {
    /// Programs by index, which one program goes on in. Linux 4.2.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static STEPS: ProgramArray<8> = ProgramArray::new();
    ///
    /// #[xdp]
    /// fn first(context: &XdpContext) -> XdpAction {
    ///     STEPS.tail_call(context, 0);
    ///     XdpAction::PASS // There is no program at this index.
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_PROG_ARRAY")]
    ProgramArray = 3, [const MAX_ENTRIES: usize,], [MAX_ENTRIES,], Options,
    { key_size: Number<4>, value_size: Number<4>, max_entries: Number<MAX_ENTRIES> }
}

impl<const MAX_ENTRIES: usize, O: MapOptions> ProgramArray<MAX_ENTRIES, O> {
    /// Goes on in another program; what stands behind the call only runs if there is none, or after
    /// 33 such calls. Values that are dropped at the end of this program must be dropped before.
    #[doc(alias = "bpf_tail_call")]
    #[inline(always)]
    pub fn tail_call<C: Context>(&self, with: &C, index: u32) {
        // SAFETY: the map's type is this; the context is the program's own, or the verifier says so.
        unsafe { raw::bpf_tail_call(context(with), self.as_raw(), index) };
    }
}

definition! {
    /// Cgroups by index. Linux 4.8.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static WATCHED: CgroupArray<1> = CgroupArray::new();
    ///
    /// #[map]
    /// static CALLS: Array<u64, 1> = Array::new();
    ///
    /// #[tracepoint("syscalls/sys_enter_getpid")]
    /// fn called(_: &TracepointContext) -> Result {
    ///     if WATCHED.has_current_task(0)? {
    ///         CALLS.get(0).ok_or(Error::ENOENT)?.add(1);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_CGROUP_ARRAY")]
    CgroupArray = 8, [const MAX_ENTRIES: usize,], [MAX_ENTRIES,], Options,
    { key_size: Number<4>, value_size: Number<4>, max_entries: Number<MAX_ENTRIES> }
}

impl<const MAX_ENTRIES: usize, O: MapOptions> CgroupArray<MAX_ENTRIES, O> {
    /// Whether the current task is in the cgroup at an index, or below it. `EAGAIN` where there is
    /// none, `E2BIG` outside of the array. Linux 4.9.
    #[doc(alias = "bpf_current_task_under_cgroup")]
    #[inline(always)]
    pub fn has_current_task(&self, index: u32) -> Result<bool> {
        // SAFETY: the map's type is this.
        Error::check(unsafe { raw::bpf_current_task_under_cgroup(self.as_raw(), index) })
            .map(|under| under != 0)
    }

    /// Whether a packet's socket is in the cgroup at an index, or below it, with the errors of
    /// [`has_current_task`](Self::has_current_task).
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static ALLOWED: CgroupArray<1> = CgroupArray::new();
    ///
    /// #[tc]
    /// fn leaving(packet: &TcContext) -> Result<TcAction> {
    ///     match ALLOWED.has_packet(packet, 0)? {
    ///         true => Ok(TcAction::OK),
    ///         false => Ok(TcAction::SHOT),
    ///     }
    /// }
    /// ```
    #[doc(alias = "bpf_skb_under_cgroup")]
    #[inline(always)]
    pub fn has_packet<C: Context>(&self, packet: &C, index: u32) -> Result<bool> {
        // SAFETY: the map's type is this; that the context is a packet, the verifier sees to.
        Error::check(unsafe { raw::bpf_skb_under_cgroup(context(packet), self.as_raw(), index) })
            .map(|under| under != 0)
    }
}

/// Which stack is meant, and how it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct StackFlags(u64);

impl StackFlags {
    /// The kernel's stack.
    pub const KERNEL: Self = Self(0);
    /// The process's stack (`BPF_F_USER_STACK`).
    pub const USER: Self = Self(1 << 8);
    /// Stacks are the same if their hashes are (`BPF_F_FAST_STACK_CMP`).
    pub const FAST_COMPARE: Self = Self(1 << 9);
    /// A new stack takes the place of another with its id (`BPF_F_REUSE_STACKID`).
    pub const REUSE: Self = Self(1 << 10);

    /// Both.
    #[must_use]
    #[inline(always)]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the innermost functions.
    #[must_use]
    #[inline(always)]
    pub const fn skip(self, frames: u8) -> Self {
        Self(self.0 | frames as u64)
    }

    /// The kernel's number.
    #[must_use]
    #[inline(always)]
    pub const fn raw(self) -> u64 {
        self.0
    }
}

definition! {
    /// Stacks by id, each of at most `DEPTH` addresses. Linux 4.6.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static STACKS: StackTrace<127, 1024> = StackTrace::new();
    ///
    /// #[map]
    /// static COUNTS: HashMap<u32, u64, 1024> = HashMap::new();
    ///
    /// #[perf_event]
    /// fn sample(context: &PerfEventContext) -> Result {
    ///     let flags = StackFlags::USER.with(StackFlags::FAST_COMPARE).skip(1);
    ///     let stack = STACKS.id(context, flags)?;
    ///     COUNTS.get_or_insert(&stack, &0)?.add(1);
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_STACK_TRACE")]
    StackTrace = 7, [const DEPTH: usize, const MAX_ENTRIES: usize,], [DEPTH, MAX_ENTRIES,], Options,
    { key: *const u32, value: *const [u64; DEPTH], max_entries: Number<MAX_ENTRIES> }
}

impl<const DEPTH: usize, const MAX_ENTRIES: usize, O: MapOptions>
    StackTrace<DEPTH, MAX_ENTRIES, O>
{
    /// Keeps the current stack and gives its id. `EFAULT` where there is none, as in a thread of
    /// the kernel; `EEXIST` where another one has its place.
    #[doc(alias = "bpf_get_stackid")]
    #[inline(always)]
    pub fn id<C: Context>(&self, of: &C, flags: StackFlags) -> Result<u32> {
        // SAFETY: the map's type is this; the context is the program's own, or the verifier says so.
        Error::check(unsafe { raw::bpf_get_stackid(context(of), self.as_raw(), flags.raw()) })
            .map(|id| id as u32)
    }
}
