//! Arguments.
use skep_testing::Outcome;
pub(super) fn all() -> Outcome {
    Ok(())
}
