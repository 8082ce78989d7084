//! `BPF_MAP_TYPE_STRUCT_OPS`: one value, the embedder's struct with programs in the places of
//! functions. Writing it registers it at once, or makes it ready for links (`BPF_F_LINK`).

use std::sync::{Arc, Mutex, OnceLock, Weak};

use skep_abi::{MapCreateFlags, ProgramType};
use skep_host::Errno;

use super::{Kind, Map, Shape};
use crate::{
    machine::{
        Attached, Files, lock,
        struct_ops::{Contents, Instance, MemberKind, OpsType, Registered},
    },
    memory::View,
};

/// A map of programs.
#[derive(Debug)]
pub(crate) struct StructOps {
    ops: Arc<OpsType>,
    by_link: bool,
    files: Arc<Files>,
    /// The map that this is the kind of.
    map: OnceLock<Weak<Map>>,
    state: Mutex<State>,
}

/// What became of it (`enum bpf_struct_ops_state`).
#[derive(Debug)]
enum State {
    /// Nothing was written yet.
    Init,
    /// It is registered.
    InUse(Arc<Contents>, Weak<Instance>),
    /// It was, and can't be any more.
    ToBeFree(Arc<Contents>),
    /// Links may register it.
    Ready(Arc<Contents>),
}

impl State {
    fn number(&self) -> u32 {
        match self {
            Self::Init => 0,
            Self::InUse(..) => 1,
            Self::ToBeFree(_) => 2,
            Self::Ready(_) => 3,
        }
    }

    fn contents(&self) -> Option<&Arc<Contents>> {
        match self {
            Self::Init => None,
            Self::InUse(contents, _) | Self::ToBeFree(contents) | Self::Ready(contents) => {
                Some(contents)
            }
        }
    }
}

/// Its value was taken out already.
const EINPROGRESS: Errno = Errno(115);
/// Bytes of the counter and the state that begin the value (`bpf_struct_ops_common_value`).
const COMMON: usize = 8;

impl StructOps {
    /// # Errors
    /// `EINVAL`: the shape of no such map, or of another struct's.
    pub(crate) fn new(ops: Arc<OpsType>, shape: &Shape) -> Result<Self, Errno> {
        if shape.value_size != ops.value_size {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            ops,
            by_link: shape.flags.contains(MapCreateFlags::LINK),
            files: Arc::clone(&shape.files),
            map: OnceLock::new(),
            state: Mutex::new(State::Init),
        })
    }

    /// Checks what holds for the maps of any struct.
    ///
    /// # Errors
    /// `EINVAL`.
    pub(crate) fn check(shape: &Shape) -> Result<(), Errno> {
        let fits = shape.key_size == 4
            && shape.max_entries == 1
            && MapCreateFlags::LINK.contains(shape.flags);
        fits.then_some(()).ok_or(Errno::EINVAL)
    }

    /// Tells it which map it is in.
    pub(crate) fn is_in(&self, map: &Arc<Map>) {
        let _ = self.map.set(Arc::downgrade(map));
    }

    /// What a link registers.
    ///
    /// # Errors
    /// `EINVAL`: the map is not for links, or has not been written yet.
    fn instance(map: &Arc<Map>) -> Result<(&Self, Arc<Instance>), Errno> {
        let own = map.of::<Self>().ok_or(Errno::EINVAL)?;
        match &*lock(&own.state) {
            State::Ready(contents) => {
                let instance = Instance {
                    map: Arc::clone(map),
                    contents: Arc::clone(contents),
                };
                Ok((own, Arc::new(instance)))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Registers a map for as long as the answer lives.
    ///
    /// # Errors
    /// `EINVAL`: it can't be registered by a link; `EBUSY`: another is.
    pub(crate) fn register(map: &Arc<Map>) -> Result<Registered, Errno> {
        let (own, instance) = Self::instance(map)?;
        Registered::new(&own.ops, instance)
    }

    /// What a link puts in place of another map.
    ///
    /// # Errors
    /// `EINVAL`: it can't be registered by a link.
    pub(crate) fn successor(map: &Arc<Map>) -> Result<Arc<Instance>, Errno> {
        Self::instance(map).map(|(_, instance)| instance)
    }

    /// Reads a user's value, with descriptors of programs.
    fn contents(&self, value: &[u8]) -> Result<Contents, Errno> {
        let mut rest = value.to_vec();
        let mut own = value.to_vec();
        let mut programs = Vec::with_capacity(self.ops.members.len());
        for (index, member) in (0_u32..).zip(&self.ops.members) {
            let range = member.offset..member.offset.saturating_add(member.size());
            rest.get_mut(range.clone()).ok_or(Errno::EINVAL)?.fill(0);
            let place = own.get_mut(range).ok_or(Errno::EINVAL)?;
            let MemberKind::Function { required, .. } = member.kind else {
                programs.push(None);
                continue;
            };
            let number = place.first_chunk().map(|bytes| i64::from_ne_bytes(*bytes));
            // Descriptors have 32 bits.
            let number = number.unwrap_or_default() as i32;
            if number == 0 {
                if required {
                    return Err(Errno::EINVAL);
                }
                place.fill(0);
                programs.push(None);
                continue;
            }
            let program = self.files.program(number)?;
            let meta = &program.meta;
            if program.program_type != ProgramType::StructOps
                || meta.attach_btf_id != self.ops.data_type
                || meta.attach_member.unwrap_or_default() != index
            {
                return Err(Errno::EINVAL);
            }
            place.copy_from_slice(&u64::from(program.id).to_ne_bytes());
            programs.push(Some(Attached::new(program, 0)));
        }
        // Neither the counter, nor the state, nor what is between members is the user's.
        if rest.iter().any(|byte| *byte != 0) {
            return Err(Errno::EINVAL);
        }
        Ok(Contents {
            value: own,
            programs,
        })
    }
}

impl Kind for StructOps {
    fn update(&self, _: u32, _: View<'_>, _: View<'_>, _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        if super::index(key)? != 0 {
            return Err(Errno::ENOENT);
        }
        let state = lock(&self.state);
        let Some(contents) = state.contents() else {
            value.fill(0);
            return Ok(());
        };
        let of_this = |instance: &&Arc<Instance>| Arc::ptr_eq(&instance.contents, contents);
        let holders = self.ops.registered().iter().filter(of_this).count() as u32;
        let known = contents.value.get(COMMON..).unwrap_or_default();
        let common = [holders.to_ne_bytes(), state.number().to_ne_bytes()].concat();
        for (to, from) in value.iter_mut().zip(common.iter().chain(known)) {
            *to = *from;
        }
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        if super::index(key)? != 0 {
            return Err(Errno::E2BIG);
        }
        if value.iter().take(COMMON).any(|byte| *byte != 0) {
            return Err(Errno::EINVAL);
        }
        let mut state = lock(&self.state);
        if !matches!(*state, State::Init) {
            return Err(Errno::EBUSY);
        }
        let contents = Arc::new(self.contents(value)?);
        *state = if self.by_link {
            State::Ready(contents)
        } else {
            let map = self.map.get().and_then(Weak::upgrade);
            let instance = Arc::new(Instance {
                map: map.ok_or(Errno::EINVAL)?,
                contents: Arc::clone(&contents),
            });
            let weak = Arc::downgrade(&instance);
            self.ops.register(instance)?;
            State::InUse(contents, weak)
        };
        Ok(())
    }

    fn user_delete(&self, _key: &[u8]) -> Result<(), Errno> {
        if self.by_link {
            return Err(Errno::EOPNOTSUPP);
        }
        // Dropped after the lock: it may be what keeps this map.
        let _instance = {
            let mut state = lock(&self.state);
            let (contents, instance) = match &*state {
                State::InUse(contents, instance) => (Arc::clone(contents), instance.upgrade()),
                State::Init => return Err(Errno::ENOENT),
                State::ToBeFree(_) | State::Ready(_) => return Err(EINPROGRESS),
            };
            *state = State::ToBeFree(contents);
            if let Some(instance) = &instance {
                self.ops.unregister(instance);
            }
            instance
        };
        Ok(())
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        if key.map(super::index).transpose()? == Some(0) {
            return Err(Errno::ENOENT);
        }
        next.copy_from_slice(&0_u32.to_ne_bytes());
        Ok(())
    }

    fn user_value_size(&self) -> usize {
        self.ops.value_size as usize
    }

    fn memory_used(&self) -> u64 {
        u64::from(self.ops.value_size)
    }
}
