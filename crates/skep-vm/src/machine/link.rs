//! Links: what holds a program on a hook, until its last descriptor and pin are gone.

use std::sync::{Arc, Mutex};

use skep_abi::LinkType;
use skep_host::{Errno, LinkDetails, LinkInfo};

use super::{hooks::Point, lock, struct_ops::Registered};
use crate::{
    map::{Map, StructOps},
    program::Program,
};

/// `ENOLINK`: the link was detached.
pub(crate) const ENOLINK: Errno = Errno(67);

/// A link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: u32,
    pub(crate) link_type: LinkType,
    /// What its type tells, as long as it is attached.
    details: LinkDetails,
    state: Mutex<State>,
}

/// What a link holds.
#[derive(Debug, Default)]
struct State {
    program: Option<Arc<Program>>,
    map: Option<Arc<Map>>,
    /// The hooks, and who it is there. None: it was detached, or there is no hook to speak of.
    points: Vec<(Arc<Point>, u64)>,
    /// What keeps its map of programs registered.
    registered: Option<Registered>,
    detached: bool,
}

impl Link {
    /// A link of a program that is on these hooks.
    pub(crate) fn new(
        id: u32,
        link_type: LinkType,
        details: LinkDetails,
        program: Option<Arc<Program>>,
        map: Option<Arc<Map>>,
        points: Vec<(Arc<Point>, u64)>,
    ) -> Self {
        Self {
            id,
            link_type,
            details,
            state: Mutex::new(State {
                program,
                map,
                points,
                registered: None,
                detached: false,
            }),
        }
    }

    /// A link that keeps a map of programs registered.
    pub(crate) fn of_struct_ops(id: u32, map: &Arc<Map>, registered: Registered) -> Self {
        let details = LinkDetails::StructOps { map: map.id };
        Self {
            id,
            link_type: LinkType::StructOps,
            details,
            state: Mutex::new(State {
                map: Some(Arc::clone(map)),
                registered: Some(registered),
                ..State::default()
            }),
        }
    }

    /// The program that it holds now.
    pub(crate) fn program(&self) -> Option<Arc<Program>> {
        lock(&self.state).program.clone()
    }

    /// The map of a struct_ops link, or of an iterator over its elements.
    pub(crate) fn map(&self) -> Option<Arc<Map>> {
        lock(&self.state).map.clone()
    }

    /// What the machine tells of it.
    pub(crate) fn info(&self) -> LinkInfo {
        let state = lock(&self.state);
        let mut details = self.details.clone();
        if state.detached {
            match &mut details {
                LinkDetails::Device { ifindex, .. } => *ifindex = 0,
                LinkDetails::Cgroup { cgroup, .. } => *cgroup = 0,
                LinkDetails::Netns { inode, .. } => *inode = 0,
                LinkDetails::StructOps { map } | LinkDetails::Sockmap { map, .. } => *map = 0,
                _ => {}
            }
        } else if let (LinkDetails::StructOps { map: id }, Some(map)) = (&mut details, &state.map) {
            *id = map.id;
        }
        LinkInfo {
            id: self.id,
            type_raw: self.link_type.raw(),
            program_id: state.program.as_ref().map_or(0, |program| program.id),
            details,
        }
    }

    /// Swaps the program, if it still is `expected`.
    ///
    /// # Errors
    /// The kernel's numbers.
    pub(crate) fn update(
        &self,
        new: &Arc<Program>,
        expected: Option<&Arc<Program>>,
    ) -> Result<(), Errno> {
        if self.link_type == LinkType::Netfilter {
            return Err(Errno::EOPNOTSUPP);
        }
        let takes_programs = matches!(
            self.link_type,
            LinkType::Cgroup
                | LinkType::Iter
                | LinkType::Netns
                | LinkType::Xdp
                | LinkType::Tcx
                | LinkType::Netkit
                | LinkType::Sockmap
        );
        if !takes_programs {
            return Err(Errno::EINVAL);
        }
        let mut state = lock(&self.state);
        // What these links look at first is the program, and then whether they are attached.
        let program_first = matches!(self.link_type, LinkType::Netns | LinkType::Sockmap);
        if state.detached && !program_first {
            return Err(ENOLINK);
        }
        let old = state.program.as_ref().ok_or(Errno::EINVAL)?;
        if expected.is_some_and(|expected| !Arc::ptr_eq(expected, old)) {
            return Err(Errno::EPERM);
        }
        let counts = self.link_type == LinkType::Cgroup;
        if Arc::ptr_eq(old, new) && !state.detached && !counts {
            return Ok(());
        }
        let of_hook = |program: &Program| program.meta.expected_attach_type;
        let hooks_differ = matches!(
            self.link_type,
            LinkType::Xdp | LinkType::Iter | LinkType::Sockmap
        ) && of_hook(old) != of_hook(new);
        if old.program_type != new.program_type || hooks_differ {
            return Err(Errno::EINVAL);
        }
        if state.detached {
            return Err(ENOLINK);
        }
        let once = matches!(self.link_type, LinkType::Tcx | LinkType::Netkit);
        for (point, owner) in &state.points {
            let replaced = point.replace(*owner, Arc::clone(new), once);
            replaced.map_err(|errno| match errno {
                Errno::ENOENT => ENOLINK,
                errno => errno,
            })?;
        }
        state.program = Some(Arc::clone(new));
        Ok(())
    }

    /// Swaps the map of a struct_ops link, if it still is `expected`.
    ///
    /// # Errors
    /// The kernel's numbers.
    pub(crate) fn update_map(
        &self,
        new: &Arc<Map>,
        expected: Option<&Arc<Map>>,
    ) -> Result<(), Errno> {
        if self.link_type != LinkType::StructOps {
            return Err(Errno::EINVAL);
        }
        let successor = StructOps::successor(new)?;
        // Dropped after the lock.
        let (_old_map, _old);
        let mut state = lock(&self.state);
        let old = state
            .map
            .as_ref()
            .filter(|_| !state.detached)
            .ok_or(ENOLINK)?;
        if expected.is_some_and(|expected| !Arc::ptr_eq(expected, old)) {
            return Err(Errno::EPERM);
        }
        let of_type = |map: &Map| map.types.as_ref().map_or(0, |types| types.kernel_value);
        if of_type(old) != of_type(new) {
            return Err(Errno::EINVAL);
        }
        _old_map = state.map.replace(Arc::clone(new));
        _old = state
            .registered
            .as_mut()
            .map(|registered| registered.replace(successor));
        Ok(())
    }

    /// Detaches it while descriptors of it stay open.
    ///
    /// # Errors
    /// `EOPNOTSUPP`: links of its type are detached by closing them.
    pub(crate) fn detach(&self) -> Result<(), Errno> {
        let can = matches!(
            self.link_type,
            LinkType::Cgroup
                | LinkType::Netns
                | LinkType::Xdp
                | LinkType::Tcx
                | LinkType::Netkit
                | LinkType::Netfilter
                | LinkType::Sockmap
                | LinkType::StructOps
        );
        if !can {
            return Err(Errno::EOPNOTSUPP);
        }
        self.end();
        Ok(())
    }

    fn end(&self) {
        let (points, _registered) = {
            let mut state = lock(&self.state);
            state.detached = true;
            (std::mem::take(&mut state.points), state.registered.take())
        };
        for same in points.chunk_by(|(one, _), (other, _)| Arc::ptr_eq(one, other)) {
            // Gone already where the hook itself is.
            let _ = match same {
                [(point, owner)] => point.remove(*owner),
                [(point, _), ..] => {
                    point.remove_all(&same.iter().map(|(_, owner)| *owner).collect())
                }
                [] => Ok(()),
            };
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end();
    }
}
