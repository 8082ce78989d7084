//! The pass that has programs see what was written down.
