//! An object that tests are about: parsed once, loaded anew for each test.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use skep::{
    btf::Btf,
    spec::{Object as Spec, Program},
};

use super::layout::Layout;
use crate::source::{FileError, Parsed, Place};

/// See above.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) spec: Spec,
    /// Where its tests' files are looked for.
    pub(crate) folder: PathBuf,
    layouts: OnceLock<Vec<Layout>>,
}

impl Prepared {
    pub(crate) fn new(spec: Spec, folder: &Path) -> Self {
        Self {
            spec,
            folder: folder.to_owned(),
            layouts: OnceLock::new(),
        }
    }

    /// The types of its source, for names of constants.
    pub(crate) fn btf(&self) -> Option<&Arc<Btf>> {
        self.spec.btf()
    }

    /// The program of a name, or the only one.
    ///
    /// # Errors
    /// There is no such program, or none is named and there are several.
    pub(crate) fn program(&self, name: Option<&str>, place: Option<&Place>) -> Parsed<&Program> {
        let programs = self.spec.programs();
        let names = || programs.iter().map(|program| program.name.as_str());
        match (name, programs) {
            (Some(name), _) => self
                .spec
                .program(name)
                .ok_or_else(|| FileError::unknown(place.cloned(), "program", name, names())),
            (None, [only]) => Ok(only),
            (None, []) => Err(FileError::new(place.cloned(), "the object has no programs")),
            (None, _) => {
                let names: Vec<_> = names().map(|name| format!("`{name}`")).collect();
                let what = "the test does not say which program it runs";
                let help = format!("program = \"…\": one of {}", names.join(", "));
                Err(FileError::new(place.cloned(), what).help(help))
            }
        }
    }

    /// The context of a program. The host's types are those of the first that asks: all hosts of a
    /// run are alike.
    pub(crate) fn layout(&self, program: &Program, host: Option<&Arc<Btf>>) -> Layout {
        let all = self.layouts.get_or_init(|| {
            let programs = self.spec.programs().iter();
            programs
                .map(|program| Layout::of(&self.spec, program, host))
                .collect()
        });
        let at = self
            .spec
            .programs()
            .iter()
            .position(|known| known.name == program.name);
        at.and_then(|at| all.get(at)).cloned().unwrap_or_default()
    }
}
