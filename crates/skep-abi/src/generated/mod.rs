//! The generated tables. `cargo xtask generate abi` writes every file here but this one.

pub(crate) mod codes;
pub(crate) mod constants;
pub(crate) mod enums;
pub(crate) mod flags;
pub(crate) mod helper_sets;
pub(crate) mod helpers;
pub(crate) mod maps;
pub(crate) mod programs;
pub(crate) mod structures;
