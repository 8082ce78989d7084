//! Local storage: values of maps that live with a task, a cgroup or a socket.
//!
//! The owner has them, the map has none: a value goes with its owner, or with its map, whichever
//! goes first. Runs keep those that they were given.

use std::sync::{Arc, Mutex, Weak};

use arc_swap::ArcSwapOption;
use skep_host::Errno;

use super::lock;
use crate::{
    map::Fields,
    memory::{Block, View},
};

/// Stands for a map: its values are good as long as it.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) size: u32,
    pub(crate) fields: Fields,
}

/// One value.
#[derive(Debug)]
pub(crate) struct Value {
    block: Block,
    map: Arc<Token>,
}

impl Value {
    fn new(map: &Arc<Token>) -> Result<Self, Errno> {
        let block = Block::new((map.size as usize).next_multiple_of(8))?;
        map.fields.clear(block.all());
        Ok(Self {
            block,
            map: Arc::clone(map),
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
pub(crate) struct Storage {
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
}

impl Owned {
    pub(crate) fn new(size: u32, fields: Fields) -> Self {
        Self {
            alive: Arc::new(()),
            token: Arc::new(Token { size, fields }),
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
        std::ptr::eq(entry.map.as_ptr(), Arc::as_ptr(&self.alive))
    }
}

impl Storage {
    /// The value of a map.
    pub(crate) fn get(&self, map: &Owned) -> Option<Arc<Value>> {
        let entries = self.entries.load();
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
        let changing = lock(&self.changing);
        if let Some(value) = self.get(map) {
            return Ok((value, false));
        }
        let new = Entry {
            map: Arc::downgrade(&map.alive),
            value: Arc::clone(&made),
        };
        let before = self.entries.load_full();
        let alive = before.iter().flat_map(|entries| entries.iter());
        let alive = alive.filter(|entry| entry.map.strong_count() > 0).cloned();
        let after = alive.chain([new]).collect();
        self.entries.store(Some(Arc::new(after)));
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
        drop(changing);
        drop(before);
        Ok(())
    }

    /// Takes all values away: the owner is gone.
    pub(crate) fn clear(&self) {
        if self.entries.load().is_none() {
            return;
        }
        let changing = lock(&self.changing);
        let gone = self.entries.swap(None);
        drop(changing);
        drop(gone);
    }
}
