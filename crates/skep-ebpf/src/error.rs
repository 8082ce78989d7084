//! The error of everything that can fail: the kernel's negative number, and nothing else.

use core::num::NonZeroI64;

/// What programs and the library's functions return: nothing, or an [`Error`].
///
/// What an error that a program returns stands for depends on its hook: see
/// [`hook`](crate::hook).
pub type Result<T = ()> = core::result::Result<T, Error>;

/// An error number of the kernel's.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[tracepoint("syscalls/sys_enter_openat")]
/// fn open(_: &TracepointContext) -> Result<()> {
///     Err(Error::EAGAIN)
/// }
/// ```
// One register, as helpers fill it, and `Result<()>` is one, too: 0 is `Ok`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Error(NonZeroI64);

const INVALID: NonZeroI64 = NonZeroI64::new(-22).unwrap();

/// Error numbers that are the same on x86-64, arm64 and the kernel's generic table.
macro_rules! numbers {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Error {
            $(
                #[doc = $text]
                pub const $name: Self = Self::new(-$number);
            )*
        }
    };
}

numbers! {
    EPERM = 1, "Operation not permitted.";
    ENOENT = 2, "No such file or entry.";
    ESRCH = 3, "No such process.";
    EINTR = 4, "Interrupted system call.";
    EIO = 5, "Input or output error.";
    ENXIO = 6, "No such device or address.";
    E2BIG = 7, "Too big: an argument list, a map that is full.";
    ENOEXEC = 8, "Not a program.";
    EBADF = 9, "Bad file descriptor.";
    ECHILD = 10, "No child processes.";
    EAGAIN = 11, "Try again.";
    ENOMEM = 12, "Out of memory.";
    EACCES = 13, "Permission denied.";
    EFAULT = 14, "Bad address: memory that could not be read.";
    EBUSY = 16, "Device or resource busy.";
    EEXIST = 17, "It exists already.";
    ENODEV = 19, "No such device.";
    ENOTDIR = 20, "Not a directory.";
    EISDIR = 21, "Is a directory.";
    EINVAL = 22, "Invalid argument.";
    ENFILE = 23, "Too many open files on the machine.";
    EMFILE = 24, "Too many open files of the process.";
    EFBIG = 27, "File too large.";
    ENOSPC = 28, "No space left.";
    ESPIPE = 29, "Cannot seek.";
    EROFS = 30, "File system can only be read.";
    EPIPE = 32, "Broken pipe.";
    EDOM = 33, "Outside of a function's domain.";
    ERANGE = 34, "Result out of range.";
    ENOSYS = 38, "Not implemented.";
    ELOOP = 40, "Too many levels.";
    ENODATA = 61, "No data.";
    EBADMSG = 74, "Bad message.";
    EOVERFLOW = 75, "Too large for its type.";
    EPROTO = 71, "Protocol error.";
    EMSGSIZE = 90, "Message too long.";
    EPROTONOSUPPORT = 93, "Protocol not supported.";
    EOPNOTSUPP = 95, "Operation not supported.";
    EAFNOSUPPORT = 97, "Address family not supported.";
    EADDRINUSE = 98, "Address in use.";
    EADDRNOTAVAIL = 99, "Address not available.";
    ENETUNREACH = 101, "Network unreachable.";
    ECONNREFUSED = 111, "Connection refused.";
    EHOSTUNREACH = 113, "Host unreachable.";
    ETIMEDOUT = 110, "Timed out.";
    ESTALE = 116, "Stale.";
}

impl Error {
    /// The error of a negative number; of 0, which is none, it is [`Error::EINVAL`].
    #[inline(always)]
    #[must_use]
    pub const fn new(number: i32) -> Self {
        Self::of(number as i64)
    }

    /// What a helper returned, where a negative number is an error.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::helper::raw;
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[xdp]
    /// fn grow(context: &XdpContext) -> Result<XdpAction> {
    ///     // SAFETY: the context is this program's; no pointer into the packet is held.
    ///     Error::check(unsafe { raw::bpf_xdp_adjust_head(context.as_ptr(), -14) })?;
    ///     Ok(XdpAction::TX)
    /// }
    /// ```
    ///
    /// # Errors
    /// The number as an error, if it is negative.
    #[inline(always)]
    pub const fn check(returned: i64) -> Result<i64> {
        if returned < 0 {
            Err(Self::of(returned))
        } else {
            Ok(returned)
        }
    }

    /// The negative number, such as -2 for `ENOENT`.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0.get() as i32
    }

    /// The error of a register.
    #[inline(always)]
    pub(crate) const fn of(number: i64) -> Self {
        match NonZeroI64::new(number) {
            Some(number) => Self(number),
            None => Self(INVALID),
        }
    }
}

impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Error({})", self.number())
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "error {}", self.number())
    }
}

impl core::error::Error for Error {}
