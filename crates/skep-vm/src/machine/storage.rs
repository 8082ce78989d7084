//! Local storage: values of maps that live with a task, a cgroup or a socket.
//!
//! The owner has them, the map has none: a value goes with its owner, or with its map, whichever
//! goes first. Runs keep those that they were given. All are memory of maps, as long as they are
//! there.

use std::{
    collections::BTreeMap,
    ptr,
    sync::{Arc, Mutex, Weak},
};

use arc_swap::ArcSwapOption;
use skep_host::Errno;

use super::{Charge, MapMemory, lock};
use crate::{
    map::Fields,
    memory::{Block, View},
};

/// Stands for a map: its values are good as long as it.
#[derive(Debug)]
pub(crate) struct Token {
    size: u32,
    fields: Fields,
    memory: Option<Arc<MapMemory>>,
}

/// One value.
#[derive(Debug)]
pub(crate) struct Value {
    block: Block,
    map: Arc<Token>,
    _charge: Charge,
}

impl Value {
    fn new(map: &Arc<Token>) -> Result<Self, Errno> {
        let bytes = (map.size as usize).next_multiple_of(8);
        let charge = Charge::new(map.memory.clone());
        charge.more((bytes + size_of::<Self>() + size_of::<Entry>()) as u64)?;
        let block = Block::new(bytes)?;
        map.fields.clear(block.all());
        Ok(Self {
            block,
            map: Arc::clone(map),
            _charge: charge,
        })
    }

    /// Its bytes.
    pub(crate) fn view(&self) -> View<'_> {
        let all = self.block.all();
        all.part(0, self.map.size as usize).unwrap_or(all)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.map.fields.free(self.view());
    }
}

/// What an owner has. Readers see the list as it was when they looked, and wait for nobody.
#[derive(Debug, Default)]
pub(crate) struct Storage(Arc<Values>);

#[derive(Debug, Default)]
struct Values {
    entries: ArcSwapOption<Vec<Entry>>,
    changing: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// The map's own count is gone when the map is.
    map: Weak<()>,
    value: Arc<Value>,
}

/// A map, as storages know it.
#[derive(Debug)]
pub(crate) struct Owned {
    alive: Arc<()>,
    token: Arc<Token>,
    owners: Mutex<Owners>,
}

/// Who has a value of a map, so that it goes with the map.
#[derive(Debug, Default)]
struct Owners {
    /// By address.
    all: BTreeMap<usize, Weak<Values>>,
    /// How many there may be before those that are gone are looked for.
    most: usize,
}

impl Owners {
    fn add(&mut self, owner: &Arc<Values>) {
        if self.all.len() >= self.most {
            self.all.retain(|_, owner| owner.strong_count() > 0);
            self.most = self.all.len().saturating_mul(2).max(16);
        }
        let address = Arc::as_ptr(owner).addr();
        self.all.insert(address, Arc::downgrade(owner));
    }
}

impl Owned {
    /// A map of values of this size, which are memory of a machine if there is one.
    pub(crate) fn new(size: u32, fields: Fields, memory: Option<Arc<MapMemory>>) -> Self {
        Self {
            alive: Arc::new(()),
            token: Arc::new(Token {
                size,
                fields,
                memory,
            }),
            owners: Mutex::default(),
        }
    }

    /// A value that no owner has yet.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn make(&self) -> Result<Arc<Value>, Errno> {
        Value::new(&self.token).map(Arc::new)
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.token.fields
    }

    fn is(&self, entry: &Entry) -> bool {
        ptr::eq(entry.map.as_ptr(), Arc::as_ptr(&self.alive))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let owners = std::mem::take(&mut lock(&self.owners).all);
        for owner in owners.values().filter_map(Weak::upgrade) {
            // It may have none any more.
            let _ = owner.delete(self);
        }
    }
}

impl Values {
    fn delete(&self, map: &Owned) -> Result<(), Errno> {
        let changing = lock(&self.changing);
        let before = self.entries.load_full().ok_or(Errno::ENOENT)?;
        if !before.iter().any(|entry| map.is(entry)) {
            return Err(Errno::ENOENT);
        }
        let kept: Vec<_> = before
            .iter()
            .filter(|entry| !map.is(entry))
            .cloned()
            .collect();
        self.entries
            .store((!kept.is_empty()).then(|| Arc::new(kept)));
        lock(&map.owners).all.remove(&ptr::from_ref(self).addr());
        drop(changing);
        drop(before);
        Ok(())
    }
}

impl Storage {
    /// The value of a map.
    pub(crate) fn get(&self, map: &Owned) -> Option<Arc<Value>> {
        let entries = self.0.entries.load();
        let entry = entries.as_ref()?.iter().find(|entry| map.is(entry))?;
        Some(Arc::clone(&entry.value))
    }

    /// The value of a map, which `init` makes if there is none. Answers whether it was made.
    ///
    /// # Errors
    /// `ENOMEM`, or what `init` says.
    pub(crate) fn get_or_make(
        &self,
        map: &Owned,
        init: impl FnOnce(View<'_>) -> Result<(), Errno>,
    ) -> Result<(Arc<Value>, bool), Errno> {
        if let Some(value) = self.get(map) {
            return Ok((value, false));
        }
        let made = Value::new(&map.token)?;
        init(made.view())?;
        let made = Arc::new(made);
        let changing = lock(&self.0.changing);
        if let Some(value) = self.get(map) {
            return Ok((value, false));
        }
        let new = Entry {
            map: Arc::downgrade(&map.alive),
            value: Arc::clone(&made),
        };
        let before = self.0.entries.load_full();
        let alive = before.iter().flat_map(|entries| entries.iter());
        let alive = alive.filter(|entry| entry.map.strong_count() > 0).cloned();
        let after = alive.chain([new]).collect();
        self.0.entries.store(Some(Arc::new(after)));
        lock(&map.owners).add(&self.0);
        drop(changing);
        // What values hold is freed after the lock.
        drop(before);
        Ok((made, true))
    }

    /// Takes the value of a map away.
    ///
    /// # Errors
    /// `ENOENT`: there is none.
    pub(crate) fn delete(&self, map: &Owned) -> Result<(), Errno> {
        self.0.delete(map)
    }

    /// Takes all values away: the owner is gone.
    pub(crate) fn clear(&self) {
        if self.0.entries.load().is_none() {
            return;
        }
        let changing = lock(&self.0.changing);
        let gone = self.0.entries.swap(None);
        drop(changing);
        drop(gone);
    }
}
