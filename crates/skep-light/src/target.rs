//! Functions of programs that the kernel holds already, for programs that take their place or trace
//! them.

use skep_host::{Host as _, ProgramFd, ProgramParts};

use crate::{Error, Kernel, Program, Result};

/// A function of a program that the kernel holds: for one of `freplace`, which takes its place (5.6),
/// or of `fentry`, `fexit` or `fsession`, which traces it (5.5). See
/// [`Open::set_target`](crate::Open::set_target).
#[derive(Debug)]
pub struct TargetFunction {
    pub(crate) program: ProgramFd,
    pub(crate) type_id: u32,
}

impl TargetFunction {
    /// A function by its type's id in the program's BTF.
    pub fn by_id(program: ProgramFd, type_id: u32) -> Self {
        Self { program, type_id }
    }

    /// The function that a program begins with, whoever loaded it.
    ///
    /// # Errors
    /// It was loaded without BTF, or the kernel refused.
    pub fn entry(kernel: &Kernel, program: ProgramFd) -> Result<Self> {
        let parts = ProgramParts {
            functions: true,
            ..ProgramParts::default()
        };
        let details = kernel.prog_details(&program, parts)?;
        let first = details.functions.as_ref().and_then(|all| all.iter().next());
        // An instruction's index, and the id.
        let id = first.and_then(|record| record.get(4..)?.first_chunk());
        match id {
            Some(id) => Ok(Self::by_id(program, u32::from_ne_bytes(*id))),
            None => Err(Error::Target {
                program: details.info.name,
                reason: "it was loaded without BTF, by which its functions are known".into(),
            }),
        }
    }
}

impl Program {
    /// A function of this program, as the place of another one.
    ///
    /// # Errors
    /// It has no global function of this name, or its object was compiled without BTF.
    pub fn function(&self, name: &str) -> Result<TargetFunction> {
        let all = self.image().functions;
        let found = all.iter().find(|(known, _)| *known == name);
        let Some((_, type_id)) = found else {
            let known: Vec<String> = all.iter().map(|(name, _)| format!("`{name}`")).collect();
            return Err(Error::Target {
                program: self.name().into(),
                reason: match known.as_slice() {
                    [] => {
                        "its object was compiled without BTF (clang's -g), by which functions are \
                           known"
                            .into()
                    }
                    known => format!("it has no function `{name}`; it has {}", known.join(", ")),
                },
            });
        };
        Ok(TargetFunction {
            program: self.fd().try_clone()?,
            type_id: *type_id,
        })
    }
}
