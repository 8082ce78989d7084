//! Programs of the machine: checked, resolved, and made ready by an engine.

mod code;
mod meta;

use std::sync::Arc;

use skep_abi::ProgramType;
use skep_host::Errno;

use crate::{
    embed::Custom,
    engine::{Engine, Executable, Interpreter, Mode},
    map::Map,
};

pub(crate) use code::{Call, Code, FUNCTIONS, MAPS, PLACES, Resolve};
pub use code::{LoadError, Problem};
pub(crate) use meta::Meta;

/// A loaded program.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) program_type: ProgramType,
    pub(crate) mode: Mode,
    /// Those that its instructions name, by the index in their addresses.
    pub(crate) maps: Vec<Arc<Map>>,
    /// Those of the embedder's helpers that it calls.
    pub(crate) customs: Vec<Arc<Custom>>,
    pub(crate) code: Arc<Code>,
    pub(crate) executable: Box<dyn Executable>,
    /// What does not matter to a run.
    pub(crate) meta: Meta,
}

/// Makes a program ready.
///
/// # Errors
/// `EOPNOTSUPP`: this build has no compiler; what the compiler says is in `Err` too.
pub(crate) fn executable(
    code: &Arc<Code>,
    engine: Engine,
    mode: Mode,
) -> Result<Box<dyn Executable>, Errno> {
    match engine {
        Engine::Interpreter => Ok(Box::new(Interpreter::new(Arc::clone(code), mode))),
        #[cfg(feature = "jit")]
        Engine::Jit => Ok(Box::new(crate::engine::Compiled::new(
            Arc::clone(code),
            mode,
        )?)),
        #[cfg(not(feature = "jit"))]
        Engine::Jit => Err(Errno::EOPNOTSUPP),
    }
}
