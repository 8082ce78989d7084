//! Structs of functions (struct_ops) that the embedder defines: their types, and which maps of
//! programs are registered for each.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use arc_swap::ArcSwap;
use skep_host::Errno;

use super::{Attached, lock};
use crate::map::Map;

/// A struct of functions, as the machine's BTF has it too.
pub(crate) struct OpsType {
    pub(crate) name: String,
    /// The struct in the machine's BTF, and the one around it that is the value of maps.
    pub(crate) data_type: u32,
    pub(crate) value_type: u32,
    /// Bytes of a map's value.
    pub(crate) value_size: u32,
    pub(crate) members: Vec<OpsMember>,
    /// Only one may be registered at a time.
    pub(crate) single: bool,
    /// Read without a lock by whoever calls them.
    registered: ArcSwap<Vec<Arc<Instance>>>,
    changing: Mutex<()>,
}

/// A member of such a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpsMember {
    pub(crate) name: String,
    /// Bytes from the begin of a map's value.
    pub(crate) offset: usize,
    pub(crate) kind: MemberKind,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberKind {
    /// A function of so many arguments.
    Function { arguments: u32, required: bool },
    /// An integer of so many bytes.
    Integer(u32),
    /// So many characters.
    Text(u32),
}

impl OpsMember {
    /// How many bytes it has.
    pub(crate) fn size(&self) -> usize {
        match self.kind {
            MemberKind::Function { .. } => 8,
            MemberKind::Integer(size) | MemberKind::Text(size) => size as usize,
        }
    }
}

/// What a map of programs holds once it was written to.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The map's value, with ids in the places of programs.
    pub(crate) value: Vec<u8>,
    /// The program of each member that has one.
    pub(crate) programs: Vec<Option<Attached>>,
}

/// A map that is registered.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) map: Arc<Map>,
    pub(crate) contents: Arc<Contents>,
}

impl OpsType {
    pub(crate) fn new(name: String, members: Vec<OpsMember>, single: bool, ids: OpsIds) -> Self {
        Self {
            name,
            data_type: ids.data,
            value_type: ids.value,
            value_size: ids.size,
            members,
            single,
            registered: ArcSwap::default(),
            changing: Mutex::default(),
        }
    }

    /// Those that are registered, the earliest first.
    pub(crate) fn registered(&self) -> Arc<Vec<Arc<Instance>>> {
        self.registered.load_full()
    }

    /// Registers one, without anything that would take it out again.
    ///
    /// # Errors
    /// `EBUSY`: another is, and there can only be one.
    pub(crate) fn register(&self, instance: Arc<Instance>) -> Result<(), Errno> {
        let _changing = lock(&self.changing);
        let mut list = Vec::clone(&self.registered.load());
        if self.single && !list.is_empty() {
            return Err(Errno::EBUSY);
        }
        list.push(instance);
        self.registered.store(Arc::new(list));
        Ok(())
    }

    /// Takes one out. Calls of it that run already go on to their end.
    pub(crate) fn unregister(&self, instance: &Arc<Instance>) {
        // Dropped after the lock.
        let _old = {
            let _changing = lock(&self.changing);
            let mut list = Vec::clone(&self.registered.load());
            list.retain(|known| !Arc::ptr_eq(known, instance));
            self.registered.swap(Arc::new(list))
        };
    }

    fn replace(&self, old: &Arc<Instance>, new: &Arc<Instance>) {
        let _changing = lock(&self.changing);
        let mut list = Vec::clone(&self.registered.load());
        for known in &mut list {
            if Arc::ptr_eq(known, old) {
                *known = Arc::clone(new);
            }
        }
        self.registered.store(Arc::new(list));
    }
}

impl fmt::Debug for OpsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what is registered: it knows this type.
        f.debug_struct("OpsType")
            .field("name", &self.name)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

/// Where a struct is in the machine's BTF.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpsIds {
    pub(crate) data: u32,
    pub(crate) value: u32,
    /// Bytes of the value.
    pub(crate) size: u32,
}

/// A registration that ends when it is dropped: a link's.
#[derive(Debug)]
pub(crate) struct Registered {
    ops: Arc<OpsType>,
    instance: Arc<Instance>,
}

impl Registered {
    /// # Errors
    /// As [`OpsType::register`].
    pub(crate) fn new(ops: &Arc<OpsType>, instance: Arc<Instance>) -> Result<Self, Errno> {
        ops.register(Arc::clone(&instance))?;
        Ok(Self {
            ops: Arc::clone(ops),
            instance,
        })
    }

    /// Puts another in its place, at once; gives back the one before, to be dropped.
    pub(crate) fn replace(&mut self, new: Arc<Instance>) -> Arc<Instance> {
        self.ops.replace(&self.instance, &new);
        std::mem::replace(&mut self.instance, new)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.ops.unregister(&self.instance);
    }
}

/// The structs of a machine, by name.
#[derive(Debug, Default)]
pub(crate) struct OpsTypes(RwLock<BTreeMap<String, Arc<OpsType>>>);

impl OpsTypes {
    /// Adds one, which `make` makes unless there is one of this name.
    pub(crate) fn add(
        &self,
        name: &str,
        make: impl FnOnce(Option<&Arc<OpsType>>) -> Result<Arc<OpsType>, Errno>,
    ) -> Result<Arc<OpsType>, Errno> {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let made = make(all.get(name))?;
        all.insert(name.to_owned(), Arc::clone(&made));
        Ok(made)
    }

    fn find(&self, is: impl Fn(&OpsType) -> bool) -> Option<Arc<OpsType>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.values().find(|ops| is(ops)).cloned()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<OpsType>> {
        self.find(|ops| ops.name == name)
    }

    /// The one that is this type of a map's value.
    pub(crate) fn by_value(&self, id: u32) -> Option<Arc<OpsType>> {
        self.find(|ops| ops.value_type == id)
    }

    /// The one that programs name by its type.
    pub(crate) fn by_data(&self, id: u32) -> Option<Arc<OpsType>> {
        self.find(|ops| ops.data_type == id)
    }
}

impl Drop for OpsTypes {
    /// A map that is registered without a link is kept by its registration alone.
    fn drop(&mut self) {
        let all = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for ops in all.values() {
            ops.registered.store(Arc::default());
        }
    }
}
