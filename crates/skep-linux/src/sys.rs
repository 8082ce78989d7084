//! System calls: `bpf(2)`, and the few others that BPF's hooks need.
//!
//! Everything above speaks in owned descriptors and [`Errno`]; raw numbers and pointers stay
//! here and in the attribute structs of [`attr`](crate::attr).

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use skep_abi::Command;
use skep_host::Errno;
use zerocopy::{FromBytes, IntoBytes};

use crate::attr::Common;

/// What a system call gives: a value, or the kernel's errno.
pub(crate) type SysResult<T> = std::result::Result<T, Errno>;

/// `PERF_FLAG_FD_CLOEXEC`.
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;

/// How often a program load is asked again when a signal broke the verifier off.
const LOAD_ATTEMPTS: u32 = 32;

/// The errno of the last failed call of this thread.
pub(crate) fn last_errno() -> Errno {
    errno_of(&io::Error::last_os_error())
}

/// The errno behind an I/O error; `EIO` for one that the standard library made up.
pub(crate) fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno)
}

/// The address of `bytes` as the kernel takes it: null when there are none.
pub(crate) fn address<T>(items: &[T]) -> u64 {
    if items.is_empty() {
        0
    } else {
        items.as_ptr() as u64
    }
}

/// The address of `bytes` for the kernel to write to: null when there are none.
pub(crate) fn address_mut<T>(items: &mut [T]) -> u64 {
    if items.is_empty() {
        0
    } else {
        items.as_mut_ptr() as u64
    }
}

/// Runs a `bpf(2)` command and gives its non-negative answer.
///
/// The whole of `attr` is passed. A kernel that knows a shorter one accepts it as long as the
/// fields it does not know are zero, which is what unset fields are.
///
/// Interrupted calls are asked again, except test runs, which may be long; so is a load whose
/// verification a signal broke off (`EAGAIN`), a bounded number of times.
///
/// # Safety
/// Every address in `attr` must be null or point to memory that is valid for what the command
/// reads and writes there, for as long as the call lasts.
pub(crate) unsafe fn bpf<A: IntoBytes + FromBytes>(
    command: Command,
    attr: &mut A,
) -> SysResult<i32> {
    let mut attempts = 0;
    loop {
        // SAFETY: `attr` is a live, exclusive, fully initialised buffer of the size passed, in
        // which any bytes are valid for `A` (`FromBytes`), so the kernel may write to it; what
        // its addresses point to is the caller's promise.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                libc::c_long::from(command.raw()),
                std::ptr::from_mut(attr),
                size_of::<A>(),
            )
        };
        if let Ok(answer) = i32::try_from(answer)
            && answer >= 0
        {
            return Ok(answer);
        }
        let errno = last_errno();
        attempts += 1;
        let again = match errno {
            Errno::EINTR => command != Command::ProgTestRun,
            Errno::EAGAIN => command == Command::ProgLoad && attempts < LOAD_ATTEMPTS,
            _ => false,
        };
        if !again {
            return Err(errno);
        }
    }
}

/// Runs a `bpf(2)` command that opens something.
///
/// # Safety
/// As for [`bpf`]; and `command` must be one that answers with a new descriptor.
pub(crate) unsafe fn bpf_open<A: IntoBytes + FromBytes>(
    command: Command,
    attr: &mut A,
) -> SysResult<OwnedFd> {
    // SAFETY: the caller's promise.
    let raw = unsafe { bpf(command, attr)? };
    // SAFETY: the command just opened `raw` for us alone (the caller's promise).
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Runs a `bpf(2)` command that opens something, and has the kernel write into `log` why it
/// refuses. Only for kernels that [take](knows_common_attributes) the common attributes.
///
/// # Safety
/// As for [`bpf_open`].
pub(crate) unsafe fn bpf_open_logged<A: IntoBytes + FromBytes>(
    command: Command,
    attr: &mut A,
    log: &mut [u8],
) -> SysResult<OwnedFd> {
    let mut common = Common {
        log_buf: address_mut(log),
        log_size: u32::try_from(log.len()).map_err(|_| Errno::E2BIG)?,
        log_level: crate::log::LEVEL_PATH,
        ..Default::default()
    };
    // SAFETY: `attr` and `common` are live, exclusive, fully initialised buffers of the sizes
    // passed, in which any bytes are valid; `common` points to `log`, with its length. What the
    // addresses in `attr` point to is the caller's promise.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            libc::c_long::from(command.raw() | skep_abi::constants::COMMON_ATTRS),
            std::ptr::from_mut(attr),
            size_of::<A>(),
            std::ptr::from_mut(&mut common),
            size_of::<Common>(),
        )
    };
    owned(answer)
}

/// Whether `bpf(2)` takes the common attributes (`BPF_COMMON_ATTRS`), as from Linux 7.2 on: with
/// ones that can't be read, a kernel that looks for them misses them.
pub(crate) fn knows_common_attributes() -> SysResult<bool> {
    let command = Command::MapFreeze.raw() | skep_abi::constants::COMMON_ATTRS;
    let request = [0_u64; 1];
    // SAFETY: the kernel reads the 8 bytes of `request`, which carry no address; the common
    // attributes are at address 0, which it finds unreadable.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            libc::c_long::from(command),
            request.as_ptr(),
            size_of_val(&request),
            std::ptr::null::<Common>(),
            size_of::<Common>(),
        )
    };
    match last_errno() {
        _ if answer >= 0 => Ok(true),
        Errno::EFAULT => Ok(true),
        Errno::EINVAL => Ok(false),
        errno => Err(errno),
    }
}

/// Turns a call's `-1` into an errno.
pub(crate) fn check(answer: libc::c_int) -> SysResult<libc::c_int> {
    if answer < 0 {
        Err(last_errno())
    } else {
        Ok(answer)
    }
}

/// A new descriptor, closed on exec, of the file behind `raw`.
pub(crate) fn duplicate(raw: RawFd) -> SysResult<OwnedFd> {
    // SAFETY: takes and gives plain numbers.
    let copy = check(unsafe { libc::fcntl(raw, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: the call just opened `copy` for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Opens `path` with `flags` and `O_CLOEXEC`.
pub(crate) fn open(path: &CStr, flags: libc::c_int) -> SysResult<OwnedFd> {
    // SAFETY: `path` ends in NUL and outlives the call.
    let raw = check(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) })?;
    // SAFETY: the call just opened `raw` for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Reads up to `buffer.len()` bytes; an interrupted read is asked again.
pub(crate) fn read(raw: RawFd, buffer: &mut [u8]) -> SysResult<usize> {
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`.
        let got = unsafe { libc::read(raw, buffer.as_mut_ptr().cast(), buffer.len()) };
        if let Ok(got) = usize::try_from(got) {
            return Ok(got);
        }
        match last_errno() {
            Errno::EINTR => {}
            errno => return Err(errno),
        }
    }
}

/// What can be asked of a perf event; each request takes its argument by value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PerfRequest {
    /// `PERF_EVENT_IOC_ENABLE`.
    Enable,
    /// `PERF_EVENT_IOC_DISABLE`.
    Disable,
    /// `PERF_EVENT_IOC_SET_BPF`, with the program's descriptor.
    SetBpf(RawFd),
}

/// Asks something of a perf event.
pub(crate) fn perf_request(event: &OwnedFd, request: PerfRequest) -> SysResult<()> {
    let (number, argument): (libc::c_ulong, _) = match request {
        PerfRequest::Enable => (0x2400, 0),
        PerfRequest::Disable => (0x2401, 0),
        PerfRequest::SetBpf(program) => (0x4004_2408, program),
    };
    // SAFETY: these requests take their argument by value; a descriptor of something else than
    // a perf event answers ENOTTY.
    check(unsafe { libc::ioctl(event.as_raw_fd(), number as _, argument) }).map(drop)
}

/// A file system of type `kind`, mounted nowhere: a descriptor of its root.
///
/// It needs `CAP_SYS_ADMIN` and Linux 5.2, and leaves the mount table as it is.
pub(crate) fn detached_mount(kind: &CStr) -> SysResult<OwnedFd> {
    const FSOPEN_CLOEXEC: libc::c_long = 1;
    const FSMOUNT_CLOEXEC: libc::c_long = 1;
    const FSCONFIG_CMD_CREATE: libc::c_long = 6;

    // SAFETY: `kind` ends in NUL and outlives the call.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) };
    let context = owned(context)?;
    // SAFETY: this sub-command takes no key and no value.
    let created = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            std::ptr::null::<u8>(),
            std::ptr::null::<u8>(),
            0,
        )
    };
    if created < 0 {
        return Err(last_errno());
    }
    // SAFETY: takes and gives plain numbers.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0) })
}

/// Owns the descriptor that a raw system call answered with.
fn owned(answer: libc::c_long) -> SysResult<OwnedFd> {
    match RawFd::try_from(answer) {
        // SAFETY: callers pass the answer of a call that opens a descriptor for us alone.
        Ok(raw) if raw >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(raw) }),
        _ => Err(last_errno()),
    }
}

/// `perf_event_open(2)`, closed on exec.
pub(crate) fn perf_event_open<A: IntoBytes + zerocopy::Immutable>(
    attr: &A,
    pid: libc::pid_t,
    cpu: i32,
) -> SysResult<OwnedFd> {
    // SAFETY: the kernel reads the `size` bytes that `attr` says it has, which are its own; the
    // addresses an attribute may carry (a uprobe's path) are read as C strings, and callers
    // keep those alive.
    let raw = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(attr),
            pid,
            cpu,
            -1,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    owned(raw)
}

/// Sets an option of a socket itself (`SOL_SOCKET`) whose value is one number.
pub(crate) fn socket_option(socket: RawFd, option: i32, value: i32) -> SysResult<()> {
    // SAFETY: the option's value is one int, and its size is passed.
    check(unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(&value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    })
    .map(drop)
}

/// The index of a network device, 0 never.
pub(crate) fn device_index(name: &CStr) -> SysResult<u32> {
    // SAFETY: `name` ends in NUL and outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(last_errno()),
        index => Ok(index),
    }
}

/// A socket of the kernel's routing netlink, closed on exec.
pub(crate) fn route_socket() -> SysResult<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes plain numbers, and gives a descriptor or -1.
    owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) }.into())
}

/// Sends a message as a whole.
pub(crate) fn send(socket: &OwnedFd, message: &[u8]) -> SysResult<()> {
    // SAFETY: the kernel reads the slice's bytes, which outlive the call.
    let sent = unsafe {
        libc::send(
            socket.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            0,
        )
    };
    match usize::try_from(sent) {
        Ok(count) if count == message.len() => Ok(()),
        Ok(_) => Err(Errno::E2BIG),
        Err(_) => Err(last_errno()),
    }
}

/// Waits for a message; how many bytes it has.
pub(crate) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> SysResult<usize> {
    loop {
        // SAFETY: the kernel writes at most the slice's length, into the slice, which outlives
        // the call.
        let count = unsafe {
            libc::recv(
                socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
            )
        };
        match usize::try_from(count) {
            Ok(count) => return Ok(count),
            Err(_) if last_errno() == Errno::EINTR => {}
            Err(_) => return Err(last_errno()),
        }
    }
}

/// Moves the calling thread to a network namespace of its own.
#[cfg(feature = "probes")]
pub(crate) fn unshare_network() -> SysResult<()> {
    // SAFETY: takes and gives plain numbers; memory is not touched.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: asks a number and gives one.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// The kernel's release, such as `6.12.107-cloud-amd64`.
pub(crate) fn release() -> SysResult<String> {
    let mut names = std::mem::MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the call fills the struct it is given; all-zero bytes are a valid utsname.
    let names = unsafe {
        check(libc::uname(names.as_mut_ptr()))?;
        names.assume_init()
    };
    let bytes: Vec<u8> = names
        .release
        .iter()
        .map(|&c| c as u8)
        .take_while(|&c| c != 0)
        .collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The soft limit of locked memory, in bytes.
pub(crate) fn memlock_limit() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call fills the struct it is given.
    check(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) }).ok()?;
    Some(limit.rlim_cur)
}

/// Lifts the limit of locked memory: wholly where the process may, else as far as its hard limit.
pub(crate) fn raise_memlock_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: both calls are given a valid struct; the first reads it, the second fills it.
    unsafe {
        if check(libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit)).is_ok()
            || check(libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit)).is_err()
        {
            return;
        }
        limit.rlim_cur = limit.rlim_max;
        // What is still too low is told as the cause of the command that it stops.
        let _ = libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit);
    }
}
