//! What programs have in common with those who read their output: types, and how they are shown.

/// A structure that programs write and user space reads, in a crate that both depend on.
///
/// It is `#[repr(C)]` and [`Plain`](crate::Plain): on either side the compiler refuses it if it is
/// more than its fields, so that both have the same layout. Outside of BPF it also gets what
/// [zerocopy](https://docs.rs/zerocopy) reads and writes by (`FromBytes`, `IntoBytes`, `Immutable`,
/// `KnownLayout`), and `Debug`; the crate needs that dependency for user space alone:
///
/// ```toml
/// [dependencies]
/// skep-ebpf = "0.1"
/// [target.'cfg(not(target_arch = "bpf"))'.dependencies]
/// zerocopy = { version = "0.8", features = ["derive"] }
/// ```
///
/// `#[show(…)]` says how `skep run` and `skep test` show a field: `time` (of `bpf_ktime_get_ns`, from
/// the run's start), `span` (nanoseconds), `bytes`, `pid`, `text` (bytes up to a zero), `ipv4` and
/// `port` (in network order), `kernel_address` and `user_address` (symbols), `kernel_stack` and
/// `user_stack` (what `bpf_get_stackid` gave), `bool` (a `u8`), `hidden` (padding: not shown),
/// `named = Kind` (a number that the enumeration `Kind` has names for; of any size, and it may be one that
/// has none). [`Named`](crate::Named) is such a number as a type of its own.
/// [`Plain`](crate::Plain) takes it as well.
///
/// ```ignore
/// #![no_std]
/// use skep_ebpf::shared;
///
/// /// A file was opened.
/// #[shared]
/// pub struct Open {
///     #[show(time)]
///     pub time: u64,
///     #[show(pid)]
///     pub pid: u32,
///     pub ret: i32,
///     #[show(text)]
///     pub path: [u8; 256],
/// }
/// ```
// The example needs zerocopy, which this crate does without: `skep new --rust` has one that runs.
pub use skep_ebpf_macros::shared;

/// A text as an array, for a section.
///
/// # Panics
/// `N` is not the text's length.
#[doc(hidden)]
#[must_use]
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    match text.as_bytes().first_chunk() {
        Some(bytes) if text.len() == N => *bytes,
        _ => panic!("the length is the text's"),
    }
}
