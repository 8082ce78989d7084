//! What programs ask of the kernel: all helpers by number in [`raw`], and safe functions for them
//! by topic.

pub(crate) mod call;
mod machine;
mod memory;
mod repeat;
mod stack;
mod string;
mod task;
mod text;

pub use crate::generated::helpers as raw;
pub use machine::*;
pub use memory::*;
pub use repeat::*;
pub use stack::*;
pub use string::*;
pub use task::*;
pub use text::*;

use core::ffi::c_void;
use core::mem::MaybeUninit;

use crate::error::{Error, Result};
use crate::plain::Plain;

/// Success or the error, of a helper that returns 0 or an error: the register as it is.
#[inline(always)]
pub(crate) const fn done(returned: i64) -> Result {
    if returned == 0 {
        Ok(())
    } else {
        Err(Error::of(returned))
    }
}

/// A value that a helper fills, which is told where and how large it is.
#[inline(always)]
pub(crate) fn filled<T: Plain>(fill: impl FnOnce(*mut c_void, u32) -> i64) -> Result<T> {
    let mut value = MaybeUninit::<T>::uninit();
    done(fill(value.as_mut_ptr().cast(), size_of::<T>() as u32))?;
    // SAFETY: filled, and any bytes are a `T`.
    Ok(unsafe { value.assume_init() })
}
