//! What hangs on one socket: its filter, and what chooses among the sockets that share its port.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use skep_host::{Attachment, Detach, Errno, Error, ProgramFd, Result};

use super::Refusal;
use crate::sys;

/// `SO_DETACH_REUSEPORT_BPF`, which libc does not have everywhere. Since 5.3.
const DETACH_GROUP: i32 = 68;

/// Which of a socket's places a program takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before its queue.
    Filter,
    /// The choice among the group of sockets that share its port.
    Group,
}

impl Place {
    fn set(self, socket: RawFd, program: Option<RawFd>) -> Result<(), Errno> {
        let (put, take) = match self {
            Self::Filter => (libc::SO_ATTACH_BPF, libc::SO_DETACH_BPF),
            Self::Group => (libc::SO_ATTACH_REUSEPORT_EBPF, DETACH_GROUP),
        };
        match program {
            Some(program) => sys::socket_option(socket, put, program),
            None => sys::socket_option(socket, take, 0),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Filter => "a socket filter",
            Self::Group => "the choice of a group of sockets",
        }
    }
}

pub(super) fn attach(
    program: &ProgramFd,
    socket: i32,
    place: Place,
) -> Result<Attachment, Refusal> {
    let socket = sys::duplicate(socket)?;
    place.set(socket.as_raw_fd(), Some(program.raw()))?;
    let socket = Some(socket);
    Ok(Attachment::held(Box::new(Holder { socket, place }), None))
}

/// A descriptor of its own, so that the program is taken off the socket it was put on.
#[derive(Debug)]
struct Holder {
    socket: Option<OwnedFd>,
    place: Place,
}

impl Holder {
    fn take_off(&mut self) -> Result<(), Errno> {
        match self.socket.take() {
            Some(socket) => match self.place.set(socket.as_raw_fd(), None) {
                // Someone else took it off.
                Err(Errno::ENOENT) => Ok(()),
                outcome => outcome,
            },
            None => Ok(()),
        }
    }
}

impl Detach for Holder {
    fn detach(&mut self) -> Result<()> {
        self.take_off()
            .map_err(|errno| Error::system("detach", self.place.name(), errno))
    }

    fn update(&mut self, program: &ProgramFd) -> Result<()> {
        let fail = |errno| Error::system("update", self.place.name(), errno);
        let socket = self.socket.as_ref().ok_or_else(|| fail(Errno::EBADF))?;
        let set = self.place.set(socket.as_raw_fd(), Some(program.raw()));
        set.map_err(fail)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Nobody is left to tell; `detach` is there for those who ask.
        let _ = self.take_off();
    }
}
