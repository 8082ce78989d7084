//! Order among the programs of a hook: tcx, netkit and cgroups, where who attaches says before or
//! after whom, or in whose place.

use std::sync::Arc;

use skep_abi::AttachFlags;
use skep_host::Errno;

use super::{Attached, hooks::Programs};
use crate::program::Program;

type Raw<T> = Result<T, Errno>;

/// Most programs of a hook (`BPF_MPROG_MAX`).
pub(crate) const MOST: usize = 64;

/// Whom "before" and "after" speak of.
#[derive(Debug, Clone)]
pub(crate) enum Relative {
    /// Nobody: the first or last place.
    Nobody,
    Program(Arc<Program>),
    /// The id of a link.
    Link(u32),
}

/// What attaching or detaching asks of the order.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) flags: AttachFlags,
    pub(crate) relative: Relative,
    /// The revision that must still hold, or 0.
    pub(crate) revision: u64,
}

impl Order {
    fn place(&self, programs: &Programs) -> Raw<Option<usize>> {
        let list = &programs.list;
        let found = match &self.relative {
            Relative::Nobody => return Ok(None),
            Relative::Program(program) => list
                .iter()
                .position(|entry| entry.link == 0 && Arc::ptr_eq(&entry.program, program))
                .or_else(|| {
                    list.iter()
                        .position(|entry| Arc::ptr_eq(&entry.program, program))
                }),
            Relative::Link(id) => list.iter().position(|entry| entry.link == *id),
        };
        found.map(Some).ok_or(Errno::ENOENT)
    }

    fn check(&self, programs: &Programs) -> Raw<()> {
        match self.revision {
            0 => Ok(()),
            revision if revision == programs.revision => Ok(()),
            _ => Err(Errno::ESTALE),
        }
    }

    /// The index at which a program is put in.
    pub(crate) fn index(&self, programs: &Programs) -> Raw<usize> {
        self.check(programs)?;
        let place = self.place(programs)?;
        let before = self.flags.contains(AttachFlags::BEFORE);
        let after = self.flags.contains(AttachFlags::AFTER);
        let first = place.unwrap_or(0);
        let last = place.map_or(programs.list.len(), |place| place + 1);
        match (before, after) {
            (true, true) if first != last => Err(Errno::ERANGE),
            (true, _) => Ok(first),
            (false, true) => Ok(last),
            (false, false) if place.is_some() || self.is_relative() => Err(Errno::EINVAL),
            (false, false) => Ok(programs.list.len()),
        }
    }

    fn is_relative(&self) -> bool {
        self.flags.intersects(AttachFlags::ID | AttachFlags::LINK)
    }

    /// Puts a program in, or in the place of `replaced`.
    pub(crate) fn attach(
        &self,
        programs: &mut Programs,
        entry: Attached,
        replaced: Option<&Arc<Program>>,
    ) -> Raw<()> {
        self.check(programs)?;
        let same = |known: &Attached| Arc::ptr_eq(&known.program, &entry.program);
        if programs.list.iter().any(same) {
            return Err(Errno::EEXIST);
        }
        if let Some(old) = replaced {
            let place = programs
                .list
                .iter()
                .position(|known| Arc::ptr_eq(&known.program, old))
                .ok_or(Errno::ENOENT)?;
            if programs.list[place].link != 0 {
                return Err(Errno::EBUSY);
            }
            programs.list[place] = entry;
            return Ok(());
        }
        if programs.list.len() >= MOST {
            return Err(Errno::ERANGE);
        }
        let index = self.index(programs)?;
        programs.list.insert(index, entry);
        Ok(())
    }

    /// Takes a program without a link off: the one that is named, or the first or last.
    pub(crate) fn detach(
        &self,
        programs: &mut Programs,
        program: Option<&Arc<Program>>,
    ) -> Raw<()> {
        self.check(programs)?;
        let place = match program {
            Some(program) => programs
                .list
                .iter()
                .position(|known| Arc::ptr_eq(&known.program, program))
                .ok_or(Errno::ENOENT)?,
            None => {
                let index = self.index(programs)?;
                match self.flags.contains(AttachFlags::BEFORE) {
                    true => index
                        .saturating_sub(usize::from(!matches!(self.relative, Relative::Nobody))),
                    false => index.min(programs.list.len().saturating_sub(1)),
                }
            }
        };
        match programs.list.get(place) {
            None => Err(Errno::ENOENT),
            Some(entry) if entry.link != 0 => Err(Errno::EBUSY),
            Some(_) => {
                programs.list.remove(place);
                Ok(())
            }
        }
    }
}
