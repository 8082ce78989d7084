//! Relocates the instructions of functions: candidates, what each gives, whether they agree, and
//! the patch; or poison, where the target has nothing that fits.

use skep_btf::Btf;
use skep_isa::Endian;

use super::{
    CoreKind, CoreRelocation, Fault,
    candidates::{Candidate, Candidates},
    compat::Pair,
    matching::{Match, Mismatch, match_access},
    patch::{Patched, Resize, patch, poison, resize},
    spec::{self, Access},
    value::{Value, value_of},
};
use crate::{CodePlace, Error, Function, Poisoned, Result, Target};

/// Relocates functions of one object for one target.
pub(crate) struct Relocator<'a> {
    local: &'a Btf,
    candidates: Option<Candidates<'a>>,
    endian: Endian,
}

/// What a relocation came to.
enum Outcome {
    Number {
        old: Value,
        new: u64,
        resize: Resize,
    },
    Poison(String),
}

/// A candidate that fits, what it gives, and what its access is.
struct Hit<'c> {
    candidate: &'c Candidate,
    bit_offset: u64,
    result: Result<Value, Fault>,
    description: String,
}

impl<'a> Relocator<'a> {
    pub(crate) fn new(local: &'a Btf, target: &'a Target) -> Self {
        let candidates = match (&target.core_btf, &target.kernel_btf) {
            (Some(btf), _) => Some(Candidates::of_btf(btf)),
            (None, Some(kernel)) => Some(Candidates::new(target, kernel)),
            (None, None) => None,
        };
        Self {
            local,
            candidates,
            endian: target.endian,
        }
    }

    /// Looks at the relocations of a function that will be relocated, so that all of them choose
    /// among the same candidates.
    pub(crate) fn prepare(&mut self, function: &Function) -> Result<()> {
        for relocation in &function.core_relocations {
            if relocation.kind == CoreKind::TypeIdLocal {
                continue;
            }
            let Some(candidates) = &mut self.candidates else {
                let what = spec::describe(self.local, relocation);
                return Err(Error::NoTargetBtf {
                    what: format!("{}: CO-RE relocation {what}", place(function, relocation)),
                });
            };
            candidates
                .narrow(self.local, relocation)
                .map_err(|fault| self.error(function, relocation, &fault))?;
        }
        Ok(())
    }

    /// Whether the target has a type of each name that was asked for.
    pub(crate) fn has_found_all(&self) -> bool {
        self.candidates.as_ref().is_none_or(Candidates::all_found)
    }

    /// Relocates the instructions of a function in place.
    pub(crate) fn relocate(&mut self, function: &mut Function) -> Result<Vec<Poisoned>> {
        let mut poisoned = Vec::new();
        for position in 0..function.core_relocations.len() {
            let Some(relocation) = function.core_relocations.get(position).copied() else {
                break;
            };
            let outcome = self.resolve(function, &relocation)?;
            let slots = function.instructions.get_mut(relocation.insn.as_usize()..);
            let slots = slots.unwrap_or_default();
            let done = match outcome {
                Outcome::Number { old, new, resize } => patch(slots, old, new, resize),
                Outcome::Poison(reason) => Ok(Patched::Poisoned(reason)),
            };
            match done {
                Ok(Patched::Done) => {}
                Ok(Patched::Poisoned(reason)) => {
                    poison(slots);
                    let what = spec::describe(self.local, &relocation);
                    let description = format!("{what}: {reason}");
                    poisoned.push(Poisoned {
                        insn: relocation.insn,
                        description,
                    });
                }
                Err(fault) => return Err(self.error(function, &relocation, &fault)),
            }
        }
        Ok(poisoned)
    }

    fn error(&self, function: &Function, relocation: &CoreRelocation, fault: &Fault) -> Error {
        Error::Core {
            place: place(function, relocation),
            relocation: spec::describe(self.local, relocation),
            problem: fault.to_string(),
        }
    }

    fn resolve(&mut self, function: &Function, relocation: &CoreRelocation) -> Result<Outcome> {
        let local = self.local;
        let endian = self.endian;
        let fault = |fault: Fault| Error::Core {
            place: place(function, relocation),
            relocation: spec::describe(local, relocation),
            problem: fault.to_string(),
        };
        let access = Access::parse(local, relocation).map_err(fault)?;
        let old = value_of(relocation.kind, &access, endian).map_err(fault)?;
        if relocation.kind == CoreKind::TypeIdLocal {
            return Ok(Outcome::Number {
                old,
                new: old.number,
                resize: Resize::No,
            });
        }
        let candidates = match &mut self.candidates {
            Some(candidates) => candidates.of(local, relocation.type_id).map_err(fault)?,
            None => &[],
        };

        let mut chosen: Option<Hit<'_>> = None;
        let mut nearest: Option<Mismatch> = None;
        for candidate in candidates {
            let pair = Pair::new(local, &candidate.btf);
            match match_access(&pair, relocation.kind, &access, candidate.id).map_err(fault)? {
                Match::No(mismatch) => {
                    if nearest
                        .as_ref()
                        .is_none_or(|nearest| mismatch.depth > nearest.depth)
                    {
                        nearest = Some(mismatch);
                    }
                }
                Match::Yes(found) => {
                    let hit = Hit {
                        candidate,
                        bit_offset: found.bit_offset,
                        result: value_of(relocation.kind, &found, endian),
                        description: found.describe(),
                    };
                    match &chosen {
                        Some(first) if !agree(first, &hit) => {
                            return Err(Error::CoreAmbiguous {
                                place: place(function, relocation),
                                relocation: spec::describe(local, relocation),
                                first: first.describe(),
                                second: hit.describe(),
                            });
                        }
                        Some(_) => {}
                        None => chosen = Some(hit),
                    }
                }
            }
        }
        match chosen {
            Some(hit) => {
                let new = hit.result.map_err(fault)?;
                let resize =
                    resize(local, old.field, &hit.candidate.btf, new.field).map_err(fault)?;
                Ok(Outcome::Number {
                    old,
                    new: new.number,
                    resize,
                })
            }
            None if relocation.kind.has_answer_for_missing() => Ok(Outcome::Number {
                old,
                new: 0,
                resize: Resize::No,
            }),
            None => Ok(Outcome::Poison(match nearest {
                Some(mismatch) => format!("no candidate {}", mismatch.reason),
                None => {
                    let name = spec::label(local, relocation.type_id);
                    format!("the target has no type {}", skep_btf::essential_name(&name))
                }
            })),
        }
    }
}

/// Whether two candidates lead to the same place and number.
fn agree(first: &Hit<'_>, second: &Hit<'_>) -> bool {
    let number = |hit: &Hit<'_>| hit.result.as_ref().map(|value| value.number).ok();
    first.bit_offset == second.bit_offset && number(first) == number(second)
}

impl Hit<'_> {
    fn describe(&self) -> String {
        let module = self.candidate.module.as_deref().unwrap_or("the kernel");
        let result = match &self.result {
            Ok(value) => value.number.to_string(),
            Err(fault) => fault.to_string(),
        };
        format!(
            "{} of {module} (type {}, bit {}: {result})",
            self.description, self.candidate.id, self.bit_offset
        )
    }
}

fn place(function: &Function, relocation: &CoreRelocation) -> CodePlace {
    CodePlace {
        function: function.name.clone(),
        insn: relocation.insn,
    }
}
