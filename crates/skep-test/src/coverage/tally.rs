//! Counts of objects' functions, summed over loads, whatever they were loaded for.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::Arc,
};

use skep::{
    Loaded,
    spec::{FunctionIndex, ImageProgram, Object},
    vm::Hits,
};

use super::report::{self, Report};

/// Why counts can't be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine was made without [`Config::coverage`](skep::vm::Config::coverage).
    #[error("program `{program}` is not counted: the machine was not made for coverage")]
    NotCounted {
        /// The program.
        program: String,
    },
    /// The host is no virtual machine.
    #[error("only the vm counts what runs: use --host vm")]
    NoVm,
    /// The machine does not have a program.
    #[error(transparent)]
    Host(#[from] skep::boundary::Error),
    /// What was loaded is not of this object.
    #[error("program `{program}` was not loaded from object `{object}`")]
    OtherObject {
        /// The program.
        program: String,
        /// The object's name.
        object: String,
    },
}

/// How often the instructions of objects ran, by the objects' functions.
#[derive(Debug, Default)]
pub struct Tally {
    objects: HashMap<u64, Counted>,
}

/// An object, and its functions' counts.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) object: Arc<Object>,
    /// By function and slot.
    pub(super) functions: Vec<Vec<Hits>>,
}

impl Tally {
    /// Adds what was counted of the programs of a load, up to now. Once a load: what is added twice
    /// counts twice. Loads of the same object, each with its own options, are summed.
    ///
    /// # Errors
    /// The load is of another object, or on another host than a virtual machine that counts; then
    /// nothing was added.
    pub fn add(&mut self, object: &Object, loaded: &Loaded) -> Result<(), Error> {
        let vm = loaded.host().as_vm().ok_or(Error::NoVm)?;
        let mut counts = Vec::new();
        for program in loaded.programs() {
            let name = program.name();
            let coverage = vm.coverage(program.fd())?;
            let coverage = coverage.ok_or_else(|| Error::NotCounted {
                program: name.to_owned(),
            })?;
            let image = loaded.image().program(name);
            let parts = image.and_then(|image| parts(object, image));
            let parts = parts.ok_or_else(|| Error::OtherObject {
                program: name.to_owned(),
                object: object.name().to_owned(),
            })?;
            counts.push((parts, coverage.hits()));
        }
        let counted = self.counted(object);
        for (parts, hits) in counts {
            for (function, start) in parts {
                let Some(sums) = counted.functions.get_mut(function.as_usize()) else {
                    continue;
                };
                let own = hits.get(start..).unwrap_or_default();
                sum(sums, own);
            }
        }
        Ok(())
    }

    /// Adds an object of which nothing ran yet, so that a report has it.
    pub fn know(&mut self, object: &Object) {
        self.counted(object);
    }

    /// Adds all that another tally has.
    pub fn merge(&mut self, other: Self) {
        for (key, theirs) in other.objects {
            match self.objects.entry(key) {
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(theirs);
                }
                std::collections::hash_map::Entry::Occupied(mut ours) => {
                    let ours = ours.get_mut().functions.iter_mut();
                    for (sums, hits) in ours.zip(&theirs.functions) {
                        sum(sums, hits);
                    }
                }
            }
        }
    }

    /// What it says about the source.
    pub fn report(&self) -> Report {
        let mut all: Vec<&Counted> = self.objects.values().collect();
        all.sort_by_key(|counted| counted.object.name().to_owned());
        report::of(&all)
    }

    fn counted(&mut self, object: &Object) -> &mut Counted {
        self.objects.entry(identity(object)).or_insert_with(|| {
            let functions = object.functions().iter();
            Counted {
                functions: functions
                    .map(|function| vec![Hits::default(); function.instructions.len()])
                    .collect(),
                object: Arc::new(object.clone()),
            }
        })
    }
}

fn sum(sums: &mut [Hits], hits: &[Hits]) {
    for (sum, hits) in sums.iter_mut().zip(hits) {
        sum.ran = sum.ran.saturating_add(hits.ran);
        sum.jumped = sum.jumped.saturating_add(hits.jumped);
    }
}

/// The functions that a program was made of, and where each begins in it; `None` if it was not made
/// of this object.
fn parts(object: &Object, image: &ImageProgram) -> Option<Vec<(FunctionIndex, usize)>> {
    let program = object.program_at(image.index)?;
    let indices = std::iter::once(program.function).chain(program.subprograms.iter().copied());
    let mut parts = Vec::new();
    for index in indices {
        let function = object.function(index)?;
        // The parts of an image are in the order of the program's functions.
        let Some(part) = image.functions.get(parts.len()) else {
            break;
        };
        if part.name != function.name {
            return None;
        }
        parts.push((index, part.start.as_usize()));
    }
    let last = parts.last()?;
    let end = last.1 + object.function(last.0)?.instructions.len();
    (end == image.instructions.len() && parts.len() == image.functions.len()).then_some(parts)
}

/// What tells objects apart: their code and its lines.
fn identity(object: &Object) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.name().hash(&mut hasher);
    for function in object.functions() {
        (&function.name, &function.section).hash(&mut hasher);
        for slot in &function.instructions {
            (slot.opcode, slot.dst, slot.src, slot.offset, slot.imm).hash(&mut hasher);
        }
        for line in &function.lines {
            (line.insn, line.file.0, line.text.0, line.line_and_column).hash(&mut hasher);
        }
    }
    hasher.finish()
}
