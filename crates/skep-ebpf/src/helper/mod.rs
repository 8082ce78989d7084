//! What programs ask of the kernel: all helpers by number in [`raw`], and safe functions for them
//! by topic.

pub(crate) mod call;
mod machine;
mod memory;
mod repeat;
mod stack;
mod task;
mod text;

pub use crate::generated::helpers as raw;
pub use machine::*;
pub use memory::*;
pub use repeat::*;
pub use stack::*;
pub use task::*;
pub use text::*;

use crate::error::{Error, Result};

/// Success or the error, of a helper that returns 0 or an error: the register as it is.
#[inline(always)]
pub(crate) const fn done(returned: i64) -> Result {
    if returned == 0 {
        Ok(())
    } else {
        Err(Error::of(returned))
    }
}
