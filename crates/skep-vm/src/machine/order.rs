//! Order among the programs of a hook: tcx, netkit and cgroups, where who attaches says before or
//! after whom, or in whose place.
//!
//! The two kinds of hooks check in an order of their own, and have other rules: devices take
//! "before" and "after" as two statements about one place, cgroups as a choice.

use std::sync::Arc;

use skep_abi::{AttachFlags, ProgramType};
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
    /// A link by its id, and of which type its program is.
    Link(u32, Option<ProgramType>),
    /// No such thing: what is said of it when it is looked for.
    Wrong(Errno),
}

impl Relative {
    /// Whether this is meant.
    fn is(&self, entry: &Attached) -> bool {
        match self {
            Self::Program(program) => Arc::ptr_eq(&entry.program, program),
            Self::Link(id, _) => entry.link == *id,
            Self::Nobody | Self::Wrong(_) => false,
        }
    }
}

/// What attaching or detaching asks of the order.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// As they were given.
    pub(crate) flags: AttachFlags,
    pub(crate) relative: Relative,
    /// The revision that must still hold, or 0.
    pub(crate) revision: u64,
}

/// The index before a place, from -1 on, or after it.
type Between = isize;

impl Order {
    /// Whether the revision still holds.
    ///
    /// # Errors
    /// `ESTALE`.
    pub(crate) fn check(&self, programs: &Programs) -> Raw<()> {
        match self.revision {
            0 => Ok(()),
            revision if revision == programs.revision => Ok(()),
            _ => Err(Errno::ESTALE),
        }
    }

    /// Where a cgroup's program is put in, which is a link's or not.
    ///
    /// # Errors
    /// The kernel's numbers.
    pub(crate) fn index_in_cgroup(&self, programs: &Programs, of_link: bool) -> Raw<usize> {
        let list = &programs.list;
        let before = self.flags.contains(AttachFlags::BEFORE);
        let after = self.flags.contains(AttachFlags::AFTER);
        if matches!(self.relative, Relative::Nobody) {
            if before && after && !list.is_empty() {
                return Err(Errno::EINVAL);
            }
            return Ok(if before { 0 } else { list.len() });
        }
        // Links have their place among links, and programs among programs.
        if before == after || self.flags.contains(AttachFlags::LINK) != of_link {
            return Err(Errno::EINVAL);
        }
        if let Relative::Wrong(errno) = self.relative {
            return Err(errno);
        }
        let is = |entry: &Attached| self.relative.is(entry) && (entry.link != 0) == of_link;
        let place = list.iter().position(is).ok_or(Errno::ENOENT)?;
        let first = |flags: AttachFlags| flags.contains(AttachFlags::PREORDER);
        if first(AttachFlags::from_bits_retain(list[place].flags)) != first(self.flags) {
            return Err(Errno::EINVAL);
        }
        Ok(if before { place } else { place + 1 })
    }

    /// Whether it speaks of somebody who is of a type, if that matters.
    fn speaks_of(&self, kind: Option<ProgramType>) -> Raw<bool> {
        let of = match &self.relative {
            Relative::Nobody => return Ok(false),
            Relative::Wrong(errno) => return Err(*errno),
            Relative::Program(program) => Some(program.program_type),
            Relative::Link(_, of) => *of,
        };
        let fits = kind.is_none() || kind == of;
        fits.then_some(true).ok_or(Errno::EINVAL)
    }

    /// What "before" and "after" say about a place, which may be known already.
    fn narrow(&self, list: &[Attached], mut place: Option<Between>) -> Raw<Option<Between>> {
        for (flag, step) in [(AttachFlags::BEFORE, -1), (AttachFlags::AFTER, 1)] {
            if !self.flags.contains(flag) {
                continue;
            }
            let said = match self.relative {
                Relative::Nobody if step < 0 => -1,
                Relative::Nobody => list.len().cast_signed(),
                _ => {
                    let found = list.iter().position(|entry| self.relative.is(entry));
                    found.ok_or(Errno::ENOENT)?.cast_signed() + step
                }
            };
            if place.is_some_and(|place| place != said) {
                return Err(Errno::ERANGE);
            }
            place = Some(said);
        }
        Ok(place)
    }

    /// Where a program is that is not a link's, or the link's with this id.
    fn exact(list: &[Attached], program: &Arc<Program>, link: u32) -> Raw<Between> {
        let place = list
            .iter()
            .position(|known| Arc::ptr_eq(&known.program, program))
            .ok_or(Errno::ENOENT)?;
        if list[place].link != link {
            return Err(Errno::EBUSY);
        }
        Ok(place.cast_signed())
    }

    /// Puts a program on a device, or in the place of `replaced`.
    ///
    /// # Errors
    /// The kernel's numbers.
    pub(crate) fn attach(
        &self,
        programs: &mut Programs,
        entry: Attached,
        replaced: Option<&Arc<Program>>,
    ) -> Raw<()> {
        self.check(programs)?;
        let list = &mut programs.list;
        let same = |known: &Attached| Arc::ptr_eq(&known.program, &entry.program);
        if list.iter().any(same) {
            return Err(Errno::EEXIST);
        }
        let speaks = self.speaks_of(Some(entry.program.program_type))?;
        let replaces = self.flags.contains(AttachFlags::REPLACE);
        let known = if replaces {
            let old = replaced.ok_or(Errno::ENOENT)?;
            Some(Self::exact(list, old, entry.link)?)
        } else if list.len() >= MOST {
            return Err(Errno::ERANGE);
        } else {
            None
        };
        let place = self.narrow(list, known)?;
        if place.is_none() && (speaks || !self.flags.is_empty()) {
            return Err(Errno::EINVAL);
        }
        let place = place.unwrap_or(list.len().cast_signed());
        if replaces {
            list[place.cast_unsigned()] = entry;
            return Ok(());
        }
        // Before: behind the one before.
        let step = isize::from(self.flags.contains(AttachFlags::BEFORE));
        list.insert((place + step).cast_unsigned(), entry);
        Ok(())
    }

    /// Takes a program without a link off a device: the one that is named, or the first or last.
    ///
    /// # Errors
    /// The kernel's numbers.
    pub(crate) fn detach(
        &self,
        programs: &mut Programs,
        program: Option<&Arc<Program>>,
    ) -> Raw<()> {
        if programs.list.is_empty() {
            return Err(Errno::ENOENT);
        }
        if self.flags.contains(AttachFlags::REPLACE) {
            return Err(Errno::EINVAL);
        }
        self.check(programs)?;
        let list = &mut programs.list;
        let speaks = self.speaks_of(program.map(|program| program.program_type))?;
        let known = match program {
            Some(program) => Some(Self::exact(list, program, 0)?),
            None => None,
        };
        let place = self.narrow(list, known)?;
        if place.is_none() && (speaks || !self.flags.is_empty()) {
            return Err(Errno::EINVAL);
        }
        let last = list.len().cast_signed() - 1;
        let index = place.unwrap_or(last).clamp(0, last).cast_unsigned();
        if list[index].link != 0 {
            return Err(Errno::EBUSY);
        }
        list.remove(index);
        Ok(())
    }
}
