//! The task that runs now: who it is, its name, its cgroup.

use core::mem::MaybeUninit;

use super::{done, raw};
use crate::error::Result;

/// Thread and process, by the kernel's names: user space calls the thread's number TID, and the
/// process's PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct PidTgid {
    /// The thread.
    pub pid: u32,
    /// The process: its group of threads.
    pub tgid: u32,
}

/// User and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct UidGid {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// The current thread and process. Linux 4.2.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static CALLS: HashMap<u32, u64, 1024> = HashMap::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     CALLS.get_or_insert(&current_pid_tgid().tgid, &0)?.add(1);
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_get_current_pid_tgid")]
#[inline(always)]
#[must_use]
pub fn current_pid_tgid() -> PidTgid {
    // SAFETY: takes nothing.
    let both = unsafe { raw::bpf_get_current_pid_tgid() };
    PidTgid {
        pid: both as u32,
        tgid: (both >> 32) as u32,
    }
}

/// The current thread and process as a PID namespace sees them, which its device and inode name.
/// `EINVAL` where they are not of that namespace. Linux 5.7.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::current_pid_tgid_in;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static CALLS: HashMap<u32, u64, 1024> = HashMap::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let inside = current_pid_tgid_in(4, 0xefff_fffc)?;
///     CALLS.get_or_insert(&inside.tgid, &0)?.add(1);
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_get_ns_current_pid_tgid")]
#[inline(always)]
pub fn current_pid_tgid_in(device: u64, inode: u64) -> Result<PidTgid> {
    let mut both = MaybeUninit::<PidTgid>::uninit();
    // SAFETY: fills both, whose layout is that of `bpf_pidns_info`.
    done(unsafe {
        raw::bpf_get_ns_current_pid_tgid(
            device,
            inode,
            both.as_mut_ptr().cast(),
            size_of::<PidTgid>() as u32,
        )
    })?;
    // SAFETY: filled.
    Ok(unsafe { both.assume_init() })
}

/// The current user and group. Linux 4.2.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static CALLS: HashMap<u32, u64, 1024> = HashMap::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     CALLS.get_or_insert(&current_uid_gid().uid, &0)?.add(1);
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_get_current_uid_gid")]
#[inline(always)]
#[must_use]
pub fn current_uid_gid() -> UidGid {
    // SAFETY: takes nothing.
    let both = unsafe { raw::bpf_get_current_uid_gid() };
    UidGid {
        uid: both as u32,
        gid: (both >> 32) as u32,
    }
}

/// The current thread's name, with zeros behind it. Linux 4.2.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static CALLS: HashMap<[u8; 16], u64, 1024> = HashMap::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     CALLS.get_or_insert(&current_comm()?, &0)?.add(1);
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_get_current_comm")]
#[inline(always)]
pub fn current_comm() -> Result<[u8; 16]> {
    let mut name = MaybeUninit::<[u8; 16]>::uninit();
    // SAFETY: fills the array.
    done(unsafe { raw::bpf_get_current_comm(name.as_mut_ptr().cast(), 16) })?;
    // SAFETY: filled.
    Ok(unsafe { name.assume_init() })
}

/// The current thread's name, written where it belongs, without a copy between.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static NAMES: RingBuf<4096> = RingBuf::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let mut name = NAMES.reserve::<[u8; 16]>()?;
///     read_current_comm(&mut name)?;
///     name.submit();
///     Ok(())
/// }
/// ```
#[inline(always)]
pub fn read_current_comm<const N: usize>(into: &mut [u8; N]) -> Result {
    // SAFETY: fills the array.
    done(unsafe { raw::bpf_get_current_comm(into.as_mut_ptr().cast(), N as u32) })
}

/// The current task's cgroup, of version 2. Linux 4.18.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static CALLS: HashMap<u64, u64, 1024> = HashMap::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     CALLS.get_or_insert(&current_cgroup_id(), &0)?.add(1);
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_get_current_cgroup_id")]
#[inline(always)]
#[must_use]
pub fn current_cgroup_id() -> u64 {
    // SAFETY: takes nothing.
    unsafe { raw::bpf_get_current_cgroup_id() }
}

/// The cgroup, of version 2, that the current task is in or below at a level, where the root's is
/// 0. None if the task's own is not that deep. Linux 5.7, in programs that watch
/// Linux 5.14.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::current_ancestor_cgroup_id;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static CALLS: HashMap<u64, u64, 1024> = HashMap::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     if let Some(slice) = current_ancestor_cgroup_id(1) {
///         CALLS.get_or_insert(&slice, &0)?.add(1);
///     }
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_get_current_ancestor_cgroup_id")]
#[inline(always)]
#[must_use]
pub fn current_ancestor_cgroup_id(level: u32) -> Option<u64> {
    // SAFETY: takes a number.
    match unsafe { raw::bpf_get_current_ancestor_cgroup_id(level as i32) } {
        0 => None,
        id => Some(id),
    }
}

/// The current `task_struct`, as the program declares it, whose fields can be loaded directly.
/// Linux 5.11.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     tgid: i32,
///     real_parent: *const task_struct,
/// }
///
/// #[map]
/// static PARENTS: HashMap<i32, u64, 1024> = HashMap::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let task = current_task::<task_struct>();
///     PARENTS.get_or_insert(&core_load!(task.real_parent.tgid), &0)?.add(1);
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_get_current_task_btf")]
#[inline(always)]
#[must_use]
pub fn current_task<T>() -> *const T {
    // SAFETY: takes nothing.
    unsafe { raw::bpf_get_current_task_btf() }.cast()
}

/// The address of the current `task_struct`, for kernels before 5.11: its fields can only be read
/// by copying. Linux 4.8.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::current_task_address;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static TASKS: HashMap<u64, u64, 1024> = HashMap::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     let task = current_task_address::<u8>() as u64;
///     TASKS.get_or_insert(&task, &0)?.add(1);
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_get_current_task")]
#[inline(always)]
#[must_use]
pub fn current_task_address<T>() -> *const T {
    // SAFETY: takes nothing.
    core::ptr::with_exposed_provenance(unsafe { raw::bpf_get_current_task() } as usize)
}
