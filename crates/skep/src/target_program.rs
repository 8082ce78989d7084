//! Programs that others are attached to: whose functions are replaced (`freplace`) or traced.

use std::{collections::BTreeSet, fmt, path::Path, sync::Arc};

use skep_btf::{Btf, Kind, KindTag, TypeId};
use skep_host::{Host as Boundary, Pinned, ProgramFd};

use crate::{Error, Host, Program, Result};

/// A program that a host holds, as a place for others: see
/// [`Object::attach_to_program`](crate::Object::attach_to_program). It lives as long as this does.
pub struct TargetProgram {
    host: Arc<dyn Boundary>,
    fd: ProgramFd,
    /// What it is called, for errors.
    name: String,
}

impl TargetProgram {
    /// A program that was loaded here.
    ///
    /// # Errors
    /// There are too many open descriptors.
    pub fn new(program: &Program) -> Result<Self> {
        Ok(Self {
            host: Arc::clone(program.host()),
            fd: program.fd().try_clone()?,
            name: format!("program `{}`", program.name()),
        })
    }

    /// The program with an id, whoever loaded it; `None` if there is none.
    ///
    /// # Errors
    /// The host refused (it takes `CAP_SYS_ADMIN`).
    pub fn by_id(host: &Host, id: u32) -> Result<Option<Self>> {
        let host = host.boundary();
        let fd = host.prog_by_id(id)?;
        Ok(fd.map(|fd| Self {
            host: Arc::clone(host),
            fd,
            name: format!("program {id}"),
        }))
    }

    /// The program that is pinned at a path of a bpffs.
    ///
    /// # Errors
    /// Nothing is pinned there, or it is no program.
    pub fn pinned(host: &Host, path: &Path) -> Result<Self> {
        let host = host.boundary();
        match host.obj_get(path.into(), skep_abi::ObjectFlags::empty())? {
            Pinned::Program(fd) => Ok(Self {
                host: Arc::clone(host),
                fd,
                name: format!("the program at {}", path.display()),
            }),
            _ => Err(Error::Pin {
                path: path.into(),
                reason: "it is not a program".into(),
            }),
        }
    }

    /// Its descriptor.
    pub fn fd(&self) -> &ProgramFd {
        &self.fd
    }

    /// A function of it by name.
    pub(crate) fn function(&self, name: &str) -> Result<TargetFunction> {
        let fault = |reason: String| Error::Attach {
            program: self.name.clone(),
            section: format!("function `{name}`"),
            reason,
        };
        let info = self.host.prog_info(&self.fd)?;
        let btf = match info.btf_id {
            0 => None,
            id => self.host.btf_by_id(id, None)?,
        };
        let btf = btf.ok_or_else(|| {
            fault("it was loaded without BTF, by which its functions are known".into())
        })?;
        let btf = Btf::parse(self.host.btf_info(&btf)?.bytes)?;
        let Some(type_id) = btf.find(name, KindTag::Function) else {
            let functions = functions(&btf);
            let near = skep_abi::near_names(name, functions.iter().map(String::as_str));
            let shown: Vec<&String> = match near.is_empty() {
                true => functions.iter().take(12).collect(),
                false => near.iter().collect(),
            };
            let shown: Vec<String> = shown.iter().map(|name| format!("`{name}`")).collect();
            return Err(fault(match shown.as_slice() {
                [] => "its BTF has no functions".into(),
                shown => format!(
                    "its object has no such function; it has {}",
                    shown.join(", ")
                ),
            }));
        };
        Ok(TargetFunction {
            program: Arc::new(self.fd.try_clone()?),
            name: name.to_owned(),
            type_id,
        })
    }
}

/// The names of functions in a program's BTF.
fn functions(btf: &Btf) -> BTreeSet<String> {
    let all = btf.types().filter_map(|found| match found.kind() {
        Kind::Function(_) => Some(found.name().to_owned()),
        _ => None,
    });
    all.collect()
}

impl fmt::Debug for TargetProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TargetProgram").field(&self.name).finish()
    }
}

/// A function of a program that a host holds.
#[derive(Debug, Clone)]
pub(crate) struct TargetFunction {
    program: Arc<ProgramFd>,
    name: String,
    type_id: TypeId,
}

impl TargetFunction {
    pub(crate) fn program(&self) -> &ProgramFd {
        &self.program
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn type_id(&self) -> TypeId {
        self.type_id
    }
}
