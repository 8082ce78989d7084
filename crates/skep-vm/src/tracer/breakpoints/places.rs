//! The places that programs are attached to, by file: what breakpoints are for.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::PathBuf,
    sync::Arc,
};

use super::maps::{FileId, Mapping};
use crate::machine::{HookKey, Hooks, Point};

/// An instruction of a file that has programs.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) file: Source,
    /// Where it is in the file.
    pub(super) offset: u64,
    /// Programs that run before it.
    pub(super) entries: Vec<Arc<Point>>,
    /// Programs that run when the function returns that begins there.
    pub(super) returns: Vec<Arc<Point>>,
    /// Where the file has counters of those who watch the place.
    pub(super) semaphores: Vec<u64>,
}

impl Place {
    /// Whether it is the same, with the same points.
    fn is_as(&self, other: &Self) -> bool {
        let same = |one: &[Arc<Point>], other: &[Arc<Point>]| {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| Arc::ptr_eq(one, other))
        };
        (&self.file, self.offset) == (&other.file, other.offset)
            && self.semaphores == other.semaphores
            && same(&self.entries, &other.entries)
            && same(&self.returns, &other.returns)
    }
}

/// A file with places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) id: FileId,
    pub(super) path: Arc<PathBuf>,
}

impl Source {
    /// Whether this is what a mapping shows. File systems in layers may show another device there
    /// than where the file is asked for.
    pub(super) fn is_mapped(&self, mapping: &Mapping) -> bool {
        mapping.file.is_some_and(|file| {
            let same_name = || self.path.as_os_str() == mapping.name.as_str();
            file == self.id || (file.inode() == self.id.inode() && same_name())
        })
    }
}

/// All places of a machine at a time.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_file: BTreeMap<Source, Vec<Arc<Place>>>,
    /// The files that paths stood for when they first were seen: they may be renamed or deleted.
    known: BTreeMap<PathBuf, Source>,
}

impl Places {
    /// Looks at what is attached now; answers the paths where there is no file, and whether anything
    /// is otherwise than before.
    pub(super) fn read(&mut self, hooks: &Hooks) -> (Vec<PathBuf>, bool) {
        let mut missing = Vec::new();
        let mut known = BTreeMap::new();
        let mut places: BTreeMap<(Source, u64), Place> = BTreeMap::new();
        for (key, point) in hooks.in_use() {
            let HookKey::Uprobe {
                binary,
                offset,
                at_return,
                semaphore,
            } = key
            else {
                continue;
            };
            let source = match known.entry(binary) {
                Entry::Occupied(known) => Source::clone(known.get()),
                Entry::Vacant(new) => {
                    let before = self.known.remove(new.key());
                    let found = before.or_else(|| {
                        let id = FileId::of(new.key()).ok()?;
                        let path = Arc::new(new.key().clone());
                        Some(Source { id, path })
                    });
                    match found {
                        Some(source) => new.insert(source).clone(),
                        None => {
                            missing.push(new.into_key());
                            continue;
                        }
                    }
                }
            };
            let place = places
                .entry((source.clone(), offset))
                .or_insert_with(|| Place {
                    file: source,
                    offset,
                    entries: Vec::new(),
                    returns: Vec::new(),
                    semaphores: Vec::new(),
                });
            match at_return {
                true => place.returns.push(point),
                false => place.entries.push(point),
            }
            if semaphore != 0 && !place.semaphores.contains(&semaphore) {
                place.semaphores.push(semaphore);
            }
        }
        self.known = known;
        let mut by_file: BTreeMap<Source, Vec<Arc<Place>>> = BTreeMap::new();
        for ((source, _), place) in places {
            by_file.entry(source).or_default().push(Arc::new(place));
        }
        let all = |of: &BTreeMap<Source, Vec<Arc<Place>>>| -> Vec<Arc<Place>> {
            of.values().flatten().cloned().collect()
        };
        let (now, before) = (all(&by_file), all(&self.by_file));
        let same = now.len() == before.len()
            && now.iter().zip(&before).all(|(one, other)| one.is_as(other));
        self.by_file = by_file;
        (missing, !same)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_file.is_empty()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Place>> {
        self.by_file.values().flatten()
    }

    /// Those of the file that a mapping shows.
    pub(super) fn mapped(&self, mapping: &Mapping) -> &[Arc<Place>] {
        let mut files = self.by_file.iter();
        let found = files.find(|(source, _)| source.is_mapped(mapping));
        found.map_or(&[], |(_, places)| places)
    }

    /// Whether any wants to know of returns.
    pub(super) fn wants_returns(&self) -> bool {
        self.all().any(|place| !place.returns.is_empty())
    }
}
