//! Programs of the machine: checked, resolved, and made ready by an engine.

mod code;
mod meta;

use std::sync::Arc;

use skep_abi::ProgramType;
use skep_host::Errno;

use crate::{
    coverage::Coverage,
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
    /// What counts how often its instructions run, if that is wanted.
    pub(crate) coverage: Option<Arc<Coverage>>,
    /// What does not matter to a run.
    pub(crate) meta: Meta,
}

/// Makes a program ready by this engine, and by no other; but what is counted, by the interpreter.
///
/// # Errors
/// `EOPNOTSUPP`: this build has no compiler; what the compiler says is in `Err` too.
pub(crate) fn executable(
    code: &Arc<Code>,
    engine: Engine,
    mode: Mode,
    coverage: Option<&Arc<Coverage>>,
) -> Result<Box<dyn Executable>, Errno> {
    let interpreter = || Interpreter::new(Arc::clone(code), mode, coverage.cloned());
    match engine {
        _ if coverage.is_some() => Ok(Box::new(interpreter())),
        Engine::Interpreter => Ok(Box::new(interpreter())),
        #[cfg(feature = "jit")]
        Engine::Jit => Ok(Box::new(crate::engine::Compiled::new(
            Arc::clone(code),
            mode,
        )?)),
        #[cfg(not(feature = "jit"))]
        Engine::Jit => Err(Errno::EOPNOTSUPP),
    }
}

/// Makes a program ready by this engine or, where the compiler refuses the program or the system
/// its machine code, by the interpreter, which takes all; then the error says why.
///
/// # Errors
/// `EOPNOTSUPP`: this build has no compiler.
pub(crate) fn executable_anyhow(
    code: &Arc<Code>,
    engine: Engine,
    mode: Mode,
    coverage: Option<&Arc<Coverage>>,
) -> Result<(Box<dyn Executable>, Option<Errno>), Errno> {
    match executable(code, engine, mode, coverage) {
        Ok(executable) => Ok((executable, None)),
        Err(refused) if engine == Engine::Jit && cfg!(feature = "jit") => {
            let interpreter = executable(code, Engine::Interpreter, mode, coverage)?;
            Ok((interpreter, Some(refused)))
        }
        Err(errno) => Err(errno),
    }
}
