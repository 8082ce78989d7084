//! Rust sources to BPF objects: rustc, core's source, and what the object still needs afterwards.
