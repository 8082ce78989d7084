//! Attaching without a link (`BPF_PROG_ATTACH`): stays until it is taken off, so it is held by
//! something that does so when it is dropped.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use skep_abi::{AttachFlags, AttachType, Command};
use skep_host::{Attachment, Detach, Errno, Error, LinkTarget, ProgramAttach, ProgramFd, Result};

use super::Refusal;
use crate::{program::attach_raw, sys};

/// Attaches to an open cgroup or map.
pub(super) fn attach(
    program: &ProgramFd,
    target: RawFd,
    attach_type: AttachType,
    flags: AttachFlags,
) -> Result<Attachment, Refusal> {
    let holder = Holder {
        target: sys::duplicate(target)?,
        program: Some(program.try_clone()?),
        attach_type,
        flags,
    };
    if let Err(errno) = attach_raw(Command::ProgAttach, &holder.request(flags, None)) {
        holder.forget();
        return Err(errno.into());
    }
    Ok(Attachment::held(Box::new(holder), None))
}

/// What has to be taken off by name.
#[derive(Debug)]
struct Holder {
    target: OwnedFd,
    /// `None` once it is taken off.
    program: Option<ProgramFd>,
    attach_type: AttachType,
    flags: AttachFlags,
}

impl Holder {
    fn request<'a>(
        &'a self,
        flags: AttachFlags,
        replace: Option<&'a ProgramFd>,
    ) -> ProgramAttach<'a> {
        ProgramAttach {
            target: LinkTarget::File(self.target.as_raw_fd()),
            program: self.program.as_ref(),
            attach_type: self.attach_type,
            flags,
            replace,
            relative: 0,
            expected_revision: 0,
        }
    }

    /// Nothing was attached: nothing is to be taken off.
    fn forget(mut self) {
        self.program = None;
    }

    fn take_off(&mut self) -> Result<(), Errno> {
        if self.program.is_none() {
            return Ok(());
        }
        let outcome = attach_raw(
            Command::ProgDetach,
            &self.request(AttachFlags::empty(), None),
        );
        self.program = None;
        match outcome {
            // Someone else took it off, or its target is gone.
            Err(Errno::ENOENT | Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }
}

impl Detach for Holder {
    fn detach(&mut self) -> Result<()> {
        self.take_off().map_err(|errno| {
            Error::system("detach", format!("hook {}", self.attach_type.name()), errno)
        })
    }

    fn update(&mut self, program: &ProgramFd) -> Result<()> {
        let fail =
            |errno| Error::system("update", format!("hook {}", self.attach_type.name()), errno);
        let next = program.try_clone()?;
        let old = self.program.as_ref();
        let multi = self.flags.contains(AttachFlags::ALLOW_MULTI);
        // Alone in its place, a new program takes the old one's; among others it must say whose.
        let flags = if multi {
            self.flags | AttachFlags::REPLACE
        } else {
            self.flags
        };
        let mut request = self.request(flags, if multi { old } else { None });
        request.program = Some(&next);
        attach_raw(Command::ProgAttach, &request).map_err(fail)?;
        self.program = Some(next);
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Nobody is left to tell; `detach` is there for those who ask.
        let _ = self.take_off();
    }
}
