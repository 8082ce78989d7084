//! The objects that mutations start from: built by `corpus/build.sh`, small, of two compilers and
//! both byte orders.

/// The objects' bytes.
pub const OBJECTS: &[&[u8]] = &[
    include_bytes!("../corpus/core-14.obj"),
    include_bytes!("../corpus/core-19.obj"),
    include_bytes!("../corpus/maps-14.obj"),
    include_bytes!("../corpus/maps-19.obj"),
    include_bytes!("../corpus/packets-14.obj"),
    include_bytes!("../corpus/core-19-be.obj"),
    include_bytes!("../corpus/packets-19-be.obj"),
];

/// Halves of programs, to be linked, the first before the second of each pair.
pub const HALVES: &[&[u8]] = &[
    include_bytes!("../corpus/half-1-14.obj"),
    include_bytes!("../corpus/half-2-14.obj"),
    include_bytes!("../corpus/half-1-19.obj"),
    include_bytes!("../corpus/half-2-19.obj"),
    include_bytes!("../corpus/half-1-19-be.obj"),
    include_bytes!("../corpus/half-2-19-be.obj"),
];

/// What rustc leaves of a program, with its debug information.
pub const RUST: &[u8] = include_bytes!("../corpus/rust.obj");

/// Programs with static probe points.
pub const POINTS: &[&[u8]] = &[
    include_bytes!("../corpus/points-x86-64.obj"),
    include_bytes!("../corpus/points-arm64.obj"),
    include_bytes!("../corpus/points-arm64-be.obj"),
];

/// The object that a byte chooses.
pub(crate) fn object(choice: u8) -> &'static [u8] {
    OBJECTS[usize::from(choice) % OBJECTS.len()]
}
