//! Functions of the program: static ones are followed, global ones are taken at their types' word;
//! callbacks; and what must be true at `exit`.

mod arguments;
mod call;
mod callback;
mod context_type;
mod effects;
mod entry;
mod exit;
mod functions;
mod global;

pub(crate) use callback::Callback;
pub(crate) use context_type::is_context;
pub(crate) use exit::Leaving;
pub(crate) use functions::Functions;
