//! The map that tells programs where arguments are, and which of its entries are taken. Points
//! whose arguments are alike share an entry, in whatever program; it is free again when the last
//! link that needs it is gone.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{Argument, layout::Layout};
use crate::{Error, Map, Result, Update};

/// The maps that `bpf/usdt.bpf.h` defines.
pub(crate) const SPECS: &str = "__bpf_usdt_specs";
pub(crate) const ADDRESSES: &str = "__bpf_usdt_ip_to_spec_id";

/// The maps of an object, and what is in them.
#[derive(Debug)]
pub(crate) struct Specs {
    specs: Arc<Map>,
    /// Where programs look entries up by the point's address, for want of cookies (before 5.15).
    addresses: Option<Arc<Map>>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// Entries by what is in them.
    specs: HashMap<Arc<[u8]>, Use>,
    /// Entries that were given back.
    free: Vec<u32>,
    /// The first that never was taken.
    next: u32,
    /// Entries by the points' addresses.
    addresses: BTreeMap<u64, Use>,
}

/// An entry, and how many need it.
#[derive(Debug)]
struct Use {
    id: u32,
    count: usize,
}

impl Specs {
    pub(crate) fn new(specs: Arc<Map>, addresses: Option<Arc<Map>>) -> Self {
        Self {
            specs,
            addresses,
            taken: Mutex::default(),
        }
    }

    /// Whether programs find entries by the point's address.
    pub(crate) fn by_address(&self) -> bool {
        self.addresses.is_some()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of a spec; written, if it is new.
    fn take(&self, spec: &Arc<[u8]>) -> Result<u32> {
        let taken = &mut *self.taken();
        if let Some(known) = taken.specs.get_mut(spec) {
            known.count += 1;
            return Ok(known.id);
        }
        let id = match taken.free.pop() {
            Some(id) => id,
            None if taken.next < self.specs.max_entries() => {
                taken.next += 1;
                taken.next - 1
            }
            None => {
                return Err(self.full(&self.specs, "different points", "BPF_USDT_MAX_SPEC_CNT"));
            }
        };
        if let Err(error) = self.specs.update(&id.to_ne_bytes(), spec, Update::Any) {
            taken.free.push(id);
            return Err(error);
        }
        taken.specs.insert(Arc::clone(spec), Use { id, count: 1 });
        Ok(id)
    }

    /// Lets programs find an entry by the address of a point.
    fn find_by(&self, address: u64, id: u32) -> Result<()> {
        let Some(map) = &self.addresses else {
            return Ok(());
        };
        let taken = &mut *self.taken();
        match taken.addresses.get_mut(&address) {
            Some(known) if known.id == id => {
                known.count += 1;
                return Ok(());
            }
            Some(_) => {
                return Err(Error::map(
                    map,
                    "another link is on the same point with another cookie, and on this kernel \
                     programs tell points by their address alone",
                ));
            }
            None => {}
        }
        if taken.addresses.len() >= map.max_entries() as usize {
            return Err(self.full(map, "addresses of points", "BPF_USDT_MAX_IP_CNT"));
        }
        map.update(&address.to_ne_bytes(), &id.to_ne_bytes(), Update::Any)?;
        taken.addresses.insert(address, Use { id, count: 1 });
        Ok(())
    }

    fn full(&self, map: &Map, of: &str, setting: &str) -> Error {
        Error::map(
            map,
            &format!(
                "it is full of {} {of}: define {setting} as more before including `bpf/usdt.bpf.h`, \
                 or give the map more entries before the load",
                map.max_entries()
            ),
        )
    }

    fn give_back(&self, spec: &Arc<[u8]>) {
        let taken = &mut *self.taken();
        if let Entry::Occupied(mut known) = taken.specs.entry(Arc::clone(spec)) {
            known.get_mut().count -= 1;
            if known.get().count == 0 {
                taken.free.push(known.remove().id);
            }
        }
    }

    fn forget(&self, address: u64) {
        let taken = &mut *self.taken();
        let Some(known) = taken.addresses.get_mut(&address) else {
            return;
        };
        known.count -= 1;
        if known.count == 0 {
            taken.addresses.remove(&address);
            if let Some(map) = &self.addresses {
                // The entry leads nowhere that anything would fire.
                let _ = map.delete(&address.to_ne_bytes());
            }
        }
    }
}

/// Entries that a link needs. Dropping it gives them back.
pub(crate) struct Lease {
    specs: Arc<Specs>,
    layout: Layout,
    held: Vec<Arc<[u8]>>,
    addresses: Vec<u64>,
    /// The link outlives this process.
    kept: AtomicBool,
}

impl Lease {
    /// A lease of nothing yet.
    ///
    /// # Errors
    /// The map's values are not what `bpf/usdt.bpf.h` makes of them.
    pub(crate) fn new(specs: &Arc<Specs>) -> Result<Self> {
        let map = &specs.specs;
        let types = map.types().ok_or_else(|| {
            Error::map(
                map,
                "the object has no types (BTF) that say how it is laid out",
            )
        })?;
        let layout = Layout::of(&types.btf, types.value, map.value_size()).map_err(|problem| {
            Error::map(
                map,
                &format!("{problem}; it must be what `bpf/usdt.bpf.h` defines"),
            )
        })?;
        Ok(Self {
            specs: Arc::clone(specs),
            layout,
            held: Vec::new(),
            addresses: Vec::new(),
            kept: AtomicBool::new(false),
        })
    }

    /// The entry for a point of these arguments, which the program finds by the attachment's
    /// cookie, or by the `address` of the point.
    pub(crate) fn add(
        &mut self,
        arguments: &[Argument],
        cookie: u64,
        address: Option<u64>,
    ) -> Result<u32> {
        let spec = self.layout.write(arguments, cookie);
        let spec = spec.map_err(|problem| Error::map(&self.specs.specs, &problem))?;
        let spec: Arc<[u8]> = spec.into();
        let id = self.specs.take(&spec)?;
        self.held.push(spec);
        if let Some(address) = address {
            self.specs.find_by(address, id)?;
            self.addresses.push(address);
        }
        Ok(id)
    }

    /// Whose entries they are.
    pub(crate) fn specs(&self) -> &Arc<Specs> {
        &self.specs
    }

    /// Leaves the entries as they are for good.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Relaxed) {
            return;
        }
        for address in &self.addresses {
            self.specs.forget(*address);
        }
        for spec in &self.held {
            self.specs.give_back(spec);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries", self.held.len())
    }
}
