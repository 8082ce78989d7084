//! Attaching without a link (`BPF_PROG_ATTACH`): stays until it is taken off, so it is held by
//! something that does so when it is dropped.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use skep_abi::{AttachFlags, AttachType, Command};
use skep_host::{Attachment, Detach, Errno, Error, LinkTarget, ProgramAttach, ProgramFd, Result};

use crate::{program::attach_raw, sys};

/// Beside what others, and where among them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) flags: AttachFlags,
    /// The id that the flags speak of.
    pub(super) relative: u32,
    /// The revision that must still hold, or 0.
    pub(super) revision: u64,
}

impl From<AttachFlags> for Place {
    fn from(flags: AttachFlags) -> Self {
        Self {
            flags,
            relative: 0,
            revision: 0,
        }
    }
}

/// Attaches to an open cgroup or map.
pub(super) fn attach(
    program: &ProgramFd,
    target: RawFd,
    attach_type: AttachType,
    place: impl Into<Place>,
) -> Result<Attachment, Errno> {
    let place = place.into();
    let full = |error: Error| error.errno().unwrap_or(Errno::EMFILE);
    let holder = Holder {
        target: sys::duplicate(target)?,
        program: Some(program.try_clone().map_err(full)?),
        attach_type,
        flags: place.flags & STAYING,
    };
    let request = ProgramAttach {
        relative: place.relative,
        expected_revision: place.revision,
        ..holder.request(place.flags, None)
    };
    if let Err(errno) = attach_raw(Command::ProgAttach, &request) {
        holder.forget();
        return Err(errno);
    }
    Ok(Attachment::held(Box::new(holder), None))
}

/// What the kernel keeps of an attachment's flags, and wants to see again.
const STAYING: AttachFlags = AttachFlags::from_bits_retain(
    AttachFlags::ALLOW_MULTI.bits()
        | AttachFlags::ALLOW_OVERRIDE.bits()
        | AttachFlags::PREORDER.bits(),
);

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
