//! The loaded BTF of the kernel's modules, opened once a load.

use std::{collections::BTreeMap, sync::Arc};

use skep_host::{BtfFd, Host as Boundary};
use skep_object::{Image, ImageProgram};

use crate::Result;

/// Descriptors of modules' BTF, by name.
pub(super) struct Modules<'a> {
    host: &'a Arc<dyn Boundary>,
    open: BTreeMap<String, BtfFd>,
}

impl<'a> Modules<'a> {
    pub(super) fn new(host: &'a Arc<dyn Boundary>) -> Self {
        Self {
            host,
            open: BTreeMap::new(),
        }
    }

    /// Opens all that an image refers to, by one walk over the host's BTF.
    pub(super) fn open_all(&mut self, image: &Image) -> Result<()> {
        let of_maps = image.maps.iter().filter_map(|map| {
            let kernel = map.kernel_value_type.as_ref()?;
            kernel.module.as_deref()
        });
        let of_programs = image.programs.iter().flat_map(modules_of);
        let wanted: Vec<&str> = of_maps.chain(of_programs).collect();
        self.open = skep_host::open_modules(self.host.as_ref(), &wanted)?;
        Ok(())
    }

    /// A module's BTF, once [`open_all`](Self::open_all) has opened it.
    pub(super) fn get(&self, module: &str) -> Option<&BtfFd> {
        self.open.get(module)
    }
}

/// The modules that a program's instructions and its attach target refer to.
fn modules_of(program: &ImageProgram) -> impl Iterator<Item = &str> {
    let references = program.module_references.iter();
    let target = program.attach_btf.as_ref();
    references
        .map(|reference| reference.module.as_str())
        .chain(target.and_then(|target| target.module.as_deref()))
}
