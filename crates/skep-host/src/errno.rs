//! The kernel's error numbers by name, without a C library.
//!
//! Only those that BPF's commands and hooks return are named; others print as a number.

use std::fmt;

/// An error number as the kernel returns it: positive, asm-generic numbering.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Self = Self($number);)*

            /// The name in `errno.h`, where it is one that BPF uses.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }

            /// A few words on what it means.
            pub fn meaning(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)* _ => None }
            }
        }
    };
}

errnos! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such entry";
    ESRCH = 3, "no such process";
    EINTR = 4, "interrupted";
    EIO = 5, "input/output error";
    ENXIO = 6, "no such device or address";
    E2BIG = 7, "too big";
    EBADF = 9, "bad descriptor";
    EAGAIN = 11, "try again";
    ENOMEM = 12, "out of memory";
    EACCES = 13, "permission denied";
    EFAULT = 14, "bad address";
    EBUSY = 16, "busy";
    EEXIST = 17, "exists already";
    ENODEV = 19, "no such device";
    ENOTDIR = 20, "not a directory";
    EISDIR = 21, "is a directory";
    EINVAL = 22, "invalid argument";
    ENFILE = 23, "too many open files in the system";
    EMFILE = 24, "too many open files";
    ENOTTY = 25, "not a fitting ioctl";
    EFBIG = 27, "file too large";
    ENOSPC = 28, "no space left";
    EROFS = 30, "read-only";
    EPIPE = 32, "broken pipe";
    EDOM = 33, "out of the function's domain";
    ERANGE = 34, "out of range";
    EDEADLK = 35, "would deadlock";
    ENAMETOOLONG = 36, "name too long";
    ENOSYS = 38, "not implemented in this kernel";
    ELOOP = 40, "too many levels";
    ENOPKG = 65, "package not installed";
    ENODATA = 61, "no data";
    ENOLINK = 67, "what it led to is gone";
    EPROTO = 71, "protocol error";
    EBADMSG = 74, "bad message";
    EOVERFLOW = 75, "value too large";
    EILSEQ = 84, "invalid sequence";
    ENOTSOCK = 88, "no socket";
    EUCLEAN = 117, "structure needs cleaning";
    EOPNOTSUPP = 95, "not supported";
    EAFNOSUPPORT = 97, "address family not supported";
    EADDRINUSE = 98, "address in use";
    EADDRNOTAVAIL = 99, "address not available";
    ENETDOWN = 100, "network is down";
    ENETUNREACH = 101, "network unreachable";
    ENOBUFS = 105, "no buffer space";
    EISCONN = 106, "already connected";
    ETIMEDOUT = 110, "timed out";
    EHOSTUNREACH = 113, "host unreachable";
    EALREADY = 114, "already in progress";
    ESTALE = 116, "stale handle";
    ENOKEY = 126, "no such key";
    EKEYEXPIRED = 127, "key has expired";
    EKEYREVOKED = 128, "key was revoked";
    EKEYREJECTED = 129, "key was rejected";
    ENOTSUPP = 524, "not supported (kernel-internal number)";
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.meaning()) {
            (Some(name), Some(meaning)) => write!(f, "{meaning} ({name})"),
            _ => write!(f, "error number {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_numbers_print() {
        assert_eq!(Errno(1).to_string(), "operation not permitted (EPERM)");
        assert_eq!(Errno::ENOTSUPP.0, 524);
        assert_eq!(Errno(4095).to_string(), "error number 4095");
        assert_eq!(format!("{:?}", Errno::EBUSY), "EBUSY");
    }
}
