//! Attaching programs of section names that only their loader knows: by a function of its own.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::{AttachOptions, Link, Program, Result};

/// Attaches a program.
type Attach = dyn Fn(&Arc<Program>, &AttachOptions) -> Result<Link> + Send + Sync;

/// Functions that attach programs, by the names of their sections.
#[derive(Clone, Default)]
pub(crate) struct Attachers(BTreeMap<String, Arc<Attach>>);

impl Attachers {
    pub(crate) fn insert(
        &mut self,
        section: &str,
        attach: impl Fn(&Arc<Program>, &AttachOptions) -> Result<Link> + Send + Sync + 'static,
    ) {
        self.0.insert(section.to_owned(), Arc::new(attach));
    }

    /// Attaches a program by its section's name: as the loader said of the name, or by its kind.
    pub(crate) fn attach(&self, program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
        match self.0.get(program.section().name()) {
            Some(attach) => attach(program, options),
            None => program.attach_with(options),
        }
    }
}

impl fmt::Debug for Attachers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
