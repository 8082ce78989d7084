//! Recording what programs see, on any host, and replaying it in the virtual machine.

mod types;

pub use skep_record::{Error as RecordError, Options as RecordOptions, Sites};

use skep_object::Image;

use crate::{Host, Result};

/// Changes the programs of an image, linked for this host, so that they record what they see.
///
/// # Errors
/// A program can't be recorded: the error names it and says why.
pub fn instrument(image: &mut Image, host: &Host, options: &RecordOptions) -> Result<Sites> {
    let types = types::Types::of(image, host)?;
    let kfuncs = types.kfuncs(image);
    let words = |program: &skep_object::ImageProgram| types.words(program);
    Ok(skep_record::instrument(image, options, &kfuncs, &words)?)
}
