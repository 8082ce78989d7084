//! Maps from programs.

use crate::Result;

/// Nothing yet.
pub(crate) fn run() -> Result<()> {
    Ok(())
}
