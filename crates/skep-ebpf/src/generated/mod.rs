//! What is written by `cargo xtask generate ebpf`.

/// All helpers by their numbers, as the kernel's header declares them.
///
/// Structures are `c_void` here: what a program knows of them, it declares itself. The functions
/// outside this module check what they can, so they come first; these are for what is left.
///
/// # Safety
///
/// Pointers must be valid for what the helper's C documentation says of them. The kernel's verifier
/// checks this when the program is loaded, but it does not know what the compiler takes for
/// unchanged or initialised: memory that a helper writes must not be borrowed meanwhile.
#[allow(
    clippy::missing_safety_doc,
    clippy::too_many_arguments,
    clippy::unused_unit,
    reason = "one section for all, above; signatures are the kernel's"
)]
pub mod helpers;
