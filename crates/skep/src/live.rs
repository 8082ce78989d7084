//! Global variables of a loaded object, read and written while programs run: through the mapped
//! section, without a system call, where the kernel maps it (5.5).

use std::{fmt, sync::Arc};

use skep_btf::{Btf, TypeId};
use skep_object::{Contents, Variable};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{Arena, Error, Loaded, Map, MapMemory, Result, arena};

/// A global variable of a loaded object. It lives on by itself: keep it, so that the section is
/// mapped once.
///
/// Values of up to 8 bytes (that don't cross a multiple of 8, as no plain C variable does) are
/// never torn, and what a program writes to the variables beside is never lost.
///
/// ```no_run
/// # fn run(loaded: &skep::Loaded) -> skep::Result<()> {
/// let hits = loaded.live("hits")?;
/// let limit = loaded.live("limit")?;
/// limit.set(&100_u64)?;
/// while hits.get::<u64>()? < 100 {
///     std::thread::yield_now();
/// }
/// # Ok(()) }
/// ```
pub struct Live {
    variable: Variable,
    /// Its type's name in C, where there is BTF.
    type_name: Option<String>,
    place: Place,
}

/// Where its bytes are, and from which one on.
enum Place {
    Mapped(MapMemory, usize),
    Arena(Arena, usize),
    /// Before 5.5: only to be copied out.
    Map(Arc<Map>, usize),
}

/// What a load keeps of an object for finding variables.
#[derive(Default)]
pub(crate) struct Variables {
    pub(crate) all: Vec<Variable>,
    pub(crate) btf: Option<Arc<Btf>>,
}

impl Loaded {
    /// A global variable by name, to be read and written while programs run.
    ///
    /// # Errors
    /// There is none of that name, its map was not created, or each CPU has its own.
    pub fn live(&self, name: &str) -> Result<Live> {
        let Variables { all, btf } = self.variables();
        let Some(variable) = all.iter().find(|variable| variable.name == name) else {
            let known = all.iter().map(|variable| variable.name.as_str());
            return Err(Error::unknown("global variable", name, known));
        };
        let fault = |reason: &str| Error::Variable {
            variable: name.to_owned(),
            reason: reason.to_owned(),
        };
        let map = self
            .map_at(variable.map)
            .ok_or_else(|| fault("the map that holds it was not created"))?;
        let image = &self.image().maps[variable.map.as_usize()];
        let at = variable.offset as usize;
        let place = match &image.contents {
            Contents::PerCpu(_) => {
                return Err(fault("each CPU has its own: use `global_per_cpu`"));
            }
            Contents::Arena(data) => {
                let host = self.host().boundary().as_ref();
                let start = arena::data_offset(host, image, data.len())?;
                Place::Arena(map.arena()?, start as usize + at)
            }
            _ if map.is_mmapable() => Place::Mapped(map.memory()?, at),
            _ => Place::Map(Arc::clone(map), at),
        };
        Ok(Live {
            type_name: type_name(btf.as_deref(), variable.type_id),
            variable: variable.clone(),
            place,
        })
    }
}

impl Live {
    /// What the object says of it.
    pub fn variable(&self) -> &Variable {
        &self.variable
    }

    /// Its value now.
    ///
    /// # Errors
    /// It has another size than `T`; the error says its type in C.
    pub fn get<T: FromBytes + IntoBytes>(&self) -> Result<T> {
        self.check(size_of::<T>())?;
        let mut value = T::new_zeroed();
        self.read(value.as_mut_bytes())?;
        Ok(value)
    }

    /// Its bytes now.
    ///
    /// # Errors
    /// The host refused.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.variable.size as usize];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// Sets it.
    ///
    /// # Errors
    /// It has another size than `T`, it is constant (`.rodata`: set it before the load), or the
    /// kernel is older than 5.5.
    pub fn set<T: IntoBytes + Immutable + ?Sized>(&self, value: &T) -> Result<()> {
        let bytes = value.as_bytes();
        self.check(bytes.len())?;
        if self.variable.read_only {
            return Err(self.fault("it is constant: set it before the load".into()));
        }
        match &self.place {
            Place::Mapped(memory, at) => memory.write(*at, bytes),
            Place::Arena(arena, at) => arena.write(*at, bytes),
            Place::Map(..) => Err(self.fault(
                "this kernel can't map it, so that setting it would undo what programs write to \
                 other variables meanwhile"
                    .into(),
            )),
        }
    }

    fn read(&self, bytes: &mut [u8]) -> Result<()> {
        match &self.place {
            Place::Mapped(memory, at) => memory.read(*at, bytes),
            Place::Arena(arena, at) => arena.read(*at, bytes),
            Place::Map(map, at) => {
                let value = map.lookup(&0_u32.to_ne_bytes())?.unwrap_or_default();
                let part = value.get(*at..*at + bytes.len());
                let part = part.ok_or_else(|| self.fault("its map is too small".into()))?;
                bytes.copy_from_slice(part);
                Ok(())
            }
        }
    }

    fn check(&self, size: usize) -> Result<()> {
        if size == self.variable.size as usize {
            return Ok(());
        }
        let name = self.type_name.as_deref();
        let is = name.map_or_else(String::new, |name| format!("`{name}`, "));
        Err(self.fault(format!(
            "it is {is}{} bytes, and the value is {size}",
            self.variable.size
        )))
    }

    fn fault(&self, reason: String) -> Error {
        Error::Variable {
            variable: self.variable.name.clone(),
            reason,
        }
    }
}

/// The name in C of a variable's type.
fn type_name(btf: Option<&Btf>, type_id: Option<TypeId>) -> Option<String> {
    btf?.type_name(type_id?).ok()
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("variable", &self.variable)
            .field("type", &self.type_name)
            .finish_non_exhaustive()
    }
}
