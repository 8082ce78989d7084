//! The project's own chores: `cargo xtask demo`, `test`, `tidy`, `generate`.
fn main() {}
