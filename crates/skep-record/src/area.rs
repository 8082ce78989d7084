//! Where a run is recorded: an area of memory for each program, CPU and depth, that a run claims
//! at its start and sends whole at its end. Its first bytes are a header; items follow, one for
//! each place that was passed, in order.
//!
//! ```text
//! header (112 bytes)                           item (16 bytes, then its bytes, to 16)
//!  0 u32 bytes of items   4 u32 program         0 u32 site
//!  8 u64 time, ns        16 u64 result          4 u32 bytes that follow
//! 24 u32 CPU             28 u32 what was cut    8 u64 value
//! 32 u64 tgid, pid       40 comm, 16 bytes
//! 56 u64 order           64 what the recording itself needs
//! ```

/// Offsets in the header.
pub(crate) const USED: i16 = 0;
pub(crate) const PROGRAM: i16 = 4;
pub(crate) const TIME: i16 = 8;
pub(crate) const RESULT: i16 = 16;
pub(crate) const CPU: i16 = 24;
pub(crate) const CUT: i16 = 28;
pub(crate) const TASK: i16 = 32;
pub(crate) const COMM: i16 = 40;
/// The number, of one count for all, that the run got when it sent its last record, or else at its
/// end: by it runs that overlapped are put in order.
pub(crate) const ORDER: i16 = 56;
/// The area is this run's alone.
pub(crate) const OWN: i16 = 64;
/// The level of this area.
pub(crate) const LEVEL: i16 = 68;
/// Whether a run has it; 8 bytes.
pub(crate) const CLAIM: i16 = 72;
/// Whether a run is under way on this CPU, in the first area only; 8 bytes.
pub(crate) const BUSY: i16 = 80;
/// The level of the run that is under way, in the first area only.
pub(crate) const CURRENT: i16 = 88;
/// The level of the run that this one interrupts.
pub(crate) const PREVIOUS: i16 = 92;
/// Items begin here. The 16 bytes before are where a full area wraps to.
pub(crate) const HEADER: u32 = 112;
/// The head of an item.
pub(crate) const ITEM: u32 = 16;

/// The site of the context's bytes.
pub(crate) const CONTEXT_SITE: u32 = 0x7fff_ffff;
/// The site of the packet's bytes; its value is how long the packet was.
pub(crate) const PACKET_SITE: u32 = 0x7fff_fffe;

/// Areas of one program on one CPU, at two depths; one for runs that find both taken, and one that
/// no run comes to but that a check of bounds can think of.
pub(crate) const LEVELS: u32 = 4;

/// A run had more items than the area has room for, or more bytes than an item.
pub(crate) const CUT_ITEM: u32 = 1;
pub(crate) const CUT_AREA: u32 = 2;
