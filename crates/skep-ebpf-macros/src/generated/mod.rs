//! What `cargo xtask generate` writes.

pub(crate) mod sections;
