//! A socket's filter.

use std::os::fd::{AsRawFd, OwnedFd};

use skep_host::{Attachment, Detach, Errno, Error, ProgramFd, Result};

use super::Refusal;
use crate::sys;

pub(super) fn attach(program: &ProgramFd, socket: i32) -> Result<Attachment, Refusal> {
    let socket = sys::duplicate(socket)?;
    sys::socket_filter(socket.as_raw_fd(), Some(program.raw()))?;
    Ok(Attachment::held(
        Box::new(Holder {
            socket: Some(socket),
        }),
        None,
    ))
}

/// A descriptor of its own, so that the filter is taken off the socket it was put on.
#[derive(Debug)]
struct Holder {
    socket: Option<OwnedFd>,
}

impl Holder {
    fn take_off(&mut self) -> Result<(), Errno> {
        match self.socket.take() {
            Some(socket) => match sys::socket_filter(socket.as_raw_fd(), None) {
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
            .map_err(|errno| Error::system("detach", "a socket filter", errno))
    }

    fn update(&mut self, program: &ProgramFd) -> Result<()> {
        let fail = |errno| Error::system("update", "a socket filter", errno);
        let socket = self.socket.as_ref().ok_or_else(|| fail(Errno::EBADF))?;
        sys::socket_filter(socket.as_raw_fd(), Some(program.raw())).map_err(fail)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Nobody is left to tell; `detach` is there for those who ask.
        let _ = self.take_off();
    }
}
