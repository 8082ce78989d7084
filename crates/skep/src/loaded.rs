//! What a load gives: programs, maps and globals by name, and attaching them all.

use std::{collections::BTreeMap, fmt, sync::Arc};

use skep_object::{AttachKind, Image};

use crate::{AttachOptions, Error, Host, Link, Map, Program, Result};

/// An object that a host holds. Dropping it gives up its programs and maps, unless a link, a
/// pin or an `Arc` still holds them.
pub struct Loaded {
    host: Host,
    image: Image,
    maps: Vec<Arc<Map>>,
    programs: BTreeMap<String, Arc<Program>>,
}

impl Loaded {
    pub(crate) fn new(
        host: Host,
        image: Image,
        maps: Vec<Arc<Map>>,
        programs: BTreeMap<String, Arc<Program>>,
    ) -> Self {
        Self {
            host,
            image,
            maps,
            programs,
        }
    }

    /// The host that holds it.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What was loaded.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// A map by name.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn map(&self, name: &str) -> Result<Arc<Map>> {
        match self.maps.iter().find(|map| map.name() == name) {
            Some(map) => Ok(Arc::clone(map)),
            None => Err(Error::unknown(
                "map",
                name,
                self.maps.iter().map(|map| map.name()),
            )),
        }
    }

    /// All maps, in the order of the object.
    pub fn maps(&self) -> &[Arc<Map>] {
        &self.maps
    }

    /// A program by name.
    ///
    /// # Errors
    /// There is none of that name, or it was not loaded.
    pub fn program(&self, name: &str) -> Result<&Arc<Program>> {
        self.programs.get(name).ok_or_else(|| {
            Error::unknown(
                "loaded program",
                name,
                self.programs.keys().map(String::as_str),
            )
        })
    }

    /// All programs that were loaded, by name.
    pub fn programs(&self) -> impl ExactSizeIterator<Item = &Arc<Program>> {
        self.programs.values()
    }

    /// The bytes of a global variable as they are now.
    ///
    /// # Errors
    /// `variable` is not of this object, or the host refused.
    pub fn global(&self, variable: &skep_object::Variable) -> Result<Vec<u8>> {
        let map = self.maps.get(variable.map.as_usize());
        let value = map
            .map(|map| map.lookup(&0_u32.to_ne_bytes()))
            .transpose()?
            .flatten();
        let start = variable.offset as usize;
        value
            .as_deref()
            .and_then(|value| value.get(start..start + variable.size as usize))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Error::Variable {
                variable: variable.name.clone(),
                reason: "it has no place in the loaded maps".into(),
            })
    }

    /// Attaches every program by its section's name. The links detach when dropped.
    ///
    /// Programs whose section says no place (`syscall`, `xdp/devmap`) are left alone.
    ///
    /// # Errors
    /// A program can't be attached, or needs an option (a device, a cgroup): those before it
    /// are detached again.
    pub fn attach_all(&self) -> Result<Vec<Link>> {
        self.attach_all_with(&AttachOptions::default())
    }

    /// [`attach_all`](Self::attach_all), with what section names don't say.
    ///
    /// # Errors
    /// As `attach_all`.
    pub fn attach_all_with(&self, options: &AttachOptions) -> Result<Vec<Link>> {
        self.programs
            .values()
            .filter(|program| {
                !matches!(
                    program.section().kind(),
                    AttachKind::Manual | AttachKind::Syscall
                )
            })
            .map(|program| program.attach_with(options))
            .collect()
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("programs", &self.programs.keys())
            .field(
                "maps",
                &self.maps.iter().map(|map| map.name()).collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}
