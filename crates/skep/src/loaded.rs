//! What a load gives: programs, maps and globals by name, and attaching them all.

use std::{collections::BTreeMap, fmt, sync::Arc};

use skep_object::{AttachKind, Contents, Downgrade, Image, MapIndex, Variable};

use crate::{
    AttachOptions, Error, Fallback, Host, Link, Map, Program, Result, StructOps, arena,
    attach::Attachers, live::Variables,
};

/// An object that a host holds. Dropping it gives up its programs and maps, unless a link, a
/// pin or an `Arc` still holds them.
pub struct Loaded {
    host: Host,
    image: Image,
    maps: Vec<Arc<Map>>,
    /// Maps that the image has and the object has not.
    added: Vec<Arc<Map>>,
    /// For each map of the image, where it is in `maps`.
    places: Vec<Option<usize>>,
    programs: BTreeMap<String, Arc<Program>>,
    struct_ops: Vec<Arc<StructOps>>,
    refused_btf: Option<Error>,
    fallbacks: Vec<Fallback>,
    attachers: Attachers,
    variables: Variables,
}

impl Loaded {
    pub(crate) fn new(
        host: Host,
        image: Image,
        mut by_index: Vec<Option<Arc<Map>>>,
        of_object: usize,
        programs: BTreeMap<String, Arc<Program>>,
        struct_ops: Vec<Arc<StructOps>>,
    ) -> Self {
        let added = by_index.split_off(of_object.min(by_index.len()));
        let mut maps = Vec::with_capacity(by_index.len());
        let mut places = Vec::with_capacity(by_index.len());
        for map in by_index {
            places.push(map.is_some().then_some(maps.len()));
            maps.extend(map);
        }
        Self {
            host,
            image,
            maps,
            added: added.into_iter().flatten().collect(),
            places,
            programs,
            struct_ops,
            refused_btf: None,
            fallbacks: Vec::new(),
            attachers: Attachers::default(),
            variables: Variables::default(),
        }
    }

    pub(crate) fn attached_by(mut self, attachers: Attachers) -> Self {
        self.attachers = attachers;
        self
    }

    pub(crate) fn fell_back(mut self, fallbacks: Vec<Fallback>) -> Self {
        self.fallbacks.extend(fallbacks);
        self
    }

    pub(crate) fn with_variables(mut self, spec: &skep_object::Object) -> Self {
        self.variables = Variables {
            all: spec.variables().to_vec(),
            btf: spec.btf().cloned(),
        };
        self
    }

    pub(crate) fn variables(&self) -> &Variables {
        &self.variables
    }

    pub(crate) fn without_btf(mut self, refusal: Error) -> Self {
        self.refused_btf = Some(refusal);
        self
    }

    /// The host that holds it.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What was loaded.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// What this host is too old for, and what was made of it instead: each prints as a line.
    pub fn downgrades(&self) -> &[Downgrade] {
        &self.image.downgrades
    }

    /// What was used in place of something better that the host lacks, as
    /// [`Object::fall_back`](crate::Object::fall_back) and the like asked for: each prints as a line,
    /// to be shown.
    pub fn fallbacks(&self) -> &[Fallback] {
        &self.fallbacks
    }

    /// Why the host refused the object's BTF, if it did: then maps and programs were loaded
    /// without types and lines of source.
    pub fn refused_btf(&self) -> Option<&Error> {
        self.refused_btf.as_ref()
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

    /// The map at an index of the object; `None` if it was not created.
    pub fn map_at(&self, index: MapIndex) -> Option<&Arc<Map>> {
        let place = self.places.get(index.as_usize()).copied().flatten();
        self.maps.get(place?)
    }

    /// A map that the image had beside those of the object.
    pub fn added_map(&self, name: &str) -> Option<&Arc<Map>> {
        self.added.iter().find(|map| map.name() == name)
    }

    /// All maps that were created, in the order of the object.
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

    /// A struct of functions for the kernel by its variable's name.
    ///
    /// # Errors
    /// There is none of that name, or it was not created.
    pub fn struct_ops(&self, name: &str) -> Result<&Arc<StructOps>> {
        let found = self.struct_ops.iter().find(|found| found.name() == name);
        found.ok_or_else(|| {
            let known = self.struct_ops.iter().map(|found| found.name());
            Error::unknown("struct of functions", name, known)
        })
    }

    /// All structs of functions for the kernel, in the order of the object.
    pub fn all_struct_ops(&self) -> &[Arc<StructOps>] {
        &self.struct_ops
    }

    /// The bytes of a global variable as they are now.
    ///
    /// # Errors
    /// `variable` is not of this object, each CPU has its own (see
    /// [`global_per_cpu`](Self::global_per_cpu)), or the host refused.
    pub fn global(&self, variable: &Variable) -> Result<Vec<u8>> {
        match self.contents(variable) {
            Some(Contents::PerCpu(_)) => Err(Error::Variable {
                variable: variable.name.clone(),
                reason: "each CPU has its own: see `global_per_cpu`".into(),
            }),
            Some(Contents::Arena(data)) => {
                let map = self.map_of(variable)?;
                let image = &self.image.maps[variable.map.as_usize()];
                let host = self.host.boundary().as_ref();
                let offset = arena::data_offset(host, image, data.len())?;
                let mut bytes = vec![0; variable.size as usize];
                let at = offset as usize + variable.offset as usize;
                map.arena()?.read(at, &mut bytes)?;
                Ok(bytes)
            }
            _ => {
                let value = self.map_of(variable)?.lookup(&0_u32.to_ne_bytes())?;
                part(variable, value.as_deref().unwrap_or_default())
            }
        }
    }

    /// The bytes of a global variable in section `.percpu` as they are now, one copy a possible
    /// CPU.
    ///
    /// # Errors
    /// `variable` is not of this object, or the host refused.
    pub fn global_per_cpu(&self, variable: &Variable) -> Result<Vec<Vec<u8>>> {
        let map = self.map_of(variable)?;
        let entry = map.lookup(&0_u32.to_ne_bytes())?.unwrap_or_default();
        let values = map.split_per_cpu(&entry);
        values.map(|value| part(variable, value)).collect()
    }

    fn contents(&self, variable: &Variable) -> Option<&Contents> {
        let map = self.image.maps.get(variable.map.as_usize())?;
        Some(&map.contents)
    }

    fn map_of(&self, variable: &Variable) -> Result<&Arc<Map>> {
        self.map_at(variable.map).ok_or_else(|| no_place(variable))
    }

    /// Attaches every program by its section's name, and every struct of functions. The links
    /// detach when dropped.
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
        let mut links = Vec::new();
        for image in &self.image.programs {
            // What a struct of functions holds is attached by that.
            let by_itself = image.section.kind() != AttachKind::StructOps;
            if let (true, true, Some(program)) =
                (image.autoattach, by_itself, self.programs.get(&image.name))
            {
                links.push(self.attachers.attach(program, options)?);
            }
        }
        for struct_ops in &self.struct_ops {
            links.push(struct_ops.attach()?);
        }
        Ok(links)
    }
}

/// A variable's bytes out of the value of its map.
fn part(variable: &Variable, value: &[u8]) -> Result<Vec<u8>> {
    let start = variable.offset as usize;
    let bytes = value.get(start..start + variable.size as usize);
    bytes.map(<[u8]>::to_vec).ok_or_else(|| no_place(variable))
}

fn no_place(variable: &Variable) -> Error {
    Error::Variable {
        variable: variable.name.clone(),
        reason: "it has no place in the loaded maps".into(),
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
