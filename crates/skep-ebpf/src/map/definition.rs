//! How a map says what it is: a structure of pointers whose types hold the numbers, which loaders
//! read out of BTF. This is libbpf's format, so any loader makes the map.

use core::ffi::c_void;

/// A number in a definition: the length of an array that does not exist.
pub type Number<const N: usize> = *const [i32; N];

/// A map: one that the object defines, or one of those shape that was found in another map.
///
/// # Safety
///
/// The type has the layout of a BTF-defined map, and programs never read it: its address is all.
pub unsafe trait Map: Sized {
    /// What helpers take for the map.
    #[inline(always)]
    fn as_raw(&self) -> *mut c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }
}

/// What [`Options`] is, as fields of a definition.
pub trait MapOptions {
    /// `map_flags`
    type Flags;
    /// `pinning`
    type Pinning;
    /// `numa_node`
    type NumaNode;
    /// `map_extra`
    type Extra;
}

/// What is seldom needed of a map, as its last parameter: flags, pinning, NUMA node, `map_extra`.
///
/// The flags are those of `BPF_MAP_CREATE`, constants beside this type; a map is pinned with
/// [`PinByName`]; the node counts with [`BPF_F_NUMA_NODE`]; and `map_extra` is for
/// [`BloomFilter`](super::BloomFilter) how many hash functions it has.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::map::{BPF_F_NO_PREALLOC, Options};
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static SPARSE: HashMap<u32, u64, 100_000, Options<BPF_F_NO_PREALLOC>> = HashMap::new();
///
/// #[xdp]
/// fn count(_: &XdpContext) -> XdpAction {
///     let _ = SPARSE.insert(&1, &2);
///     XdpAction::PASS
/// }
/// ```
#[derive(Debug)]
pub struct Options<
    const FLAGS: usize = 0,
    const PINNING: usize = 0,
    const NUMA_NODE: usize = 0,
    const EXTRA: usize = 0,
>;

impl<const FLAGS: usize, const PINNING: usize, const NUMA_NODE: usize, const EXTRA: usize>
    MapOptions for Options<FLAGS, PINNING, NUMA_NODE, EXTRA>
{
    type Flags = Number<FLAGS>;
    type Pinning = Number<PINNING>;
    type NumaNode = Number<NUMA_NODE>;
    type Extra = Number<EXTRA>;
}

/// The map is pinned in the file system of BPF by its name, and shared by all who load it so.
///
/// It stays when they have ended, until its file, `/sys/fs/bpf/NAME`, is removed.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map(name = "skep_example_hits")]
/// static HITS: Array<u64, 1, PinByName> = Array::new();
///
/// #[xdp]
/// fn count(_: &XdpContext) -> XdpAction {
///     if let Some(hits) = HITS.get(0) {
///         hits.add(1);
///     }
///     XdpAction::PASS
/// }
/// ```
pub type PinByName<const FLAGS: usize = 0> = Options<FLAGS, 1>;

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => { $(
        $(#[$doc])*
        pub const $name: usize = $value;
    )* };
}

flags! {
    /// Elements are allocated when they are needed. Linux 4.6.
    BPF_F_NO_PREALLOC = 1 << 0;
    /// A list of the least recently used elements for each CPU. Linux 4.10.
    BPF_F_NO_COMMON_LRU = 1 << 1;
    /// Memory of the NUMA node that the options name. Linux 4.14.
    BPF_F_NUMA_NODE = 1 << 2;
    /// User space may only read. Linux 4.15.
    BPF_F_RDONLY = 1 << 3;
    /// User space may only write. Linux 4.15.
    BPF_F_WRONLY = 1 << 4;
    /// Stacks are kept by build id and offset. Linux 4.17.
    BPF_F_STACK_BUILD_ID = 1 << 5;
    /// A hash whose seed is zero: for tests. Linux 5.0.
    BPF_F_ZERO_SEED = 1 << 6;
    /// Programs may only read. Linux 5.2.
    BPF_F_RDONLY_PROG = 1 << 7;
    /// Programs may only write. Linux 5.2.
    BPF_F_WRONLY_PROG = 1 << 8;
    /// Storage is passed on to sockets that a listening socket accepts. Linux 5.4.
    BPF_F_CLONE = 1 << 9;
    /// User space can map the memory. Linux 5.5.
    BPF_F_MMAPABLE = 1 << 10;
    /// Perf events stay when the descriptor by which they were put in is closed. Linux 5.10.
    BPF_F_PRESERVE_ELEMS = 1 << 11;
    /// Inner maps may have another number of elements than the definition. Linux 5.10.
    BPF_F_INNER_MAP = 1 << 12;
}

/// Declares a map type: its number, its parameters as declared and as used, what its options are by
/// default, and the fields beside the options.
macro_rules! definition {
    (
        $(#[$doc:meta])*
        $name:ident = $id:literal, [$($declared:tt)*], [$($used:tt)*], $options:ty,
        { $($field:ident: $type:ty),* $(,)? } $(values $values:ty)?
    ) => {
        $(#[$doc])*
        #[repr(C)]
        pub struct $name<$($declared)* O: $crate::map::MapOptions = $options> {
            r#type: $crate::map::definition::Number<$id>,
            $($field: $type,)*
            map_flags: O::Flags,
            pinning: O::Pinning,
            numa_node: O::NumaNode,
            map_extra: O::Extra,
            $(values: $values,)?
        }

        impl<$($declared)* O: $crate::map::MapOptions> $name<$($used)* O> {
            /// The definition, for a `static` with `#[map]`.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "a definition is a static, never a value")]
            pub const fn new() -> Self {
                // SAFETY: nothing but pointers that nobody follows.
                unsafe { core::mem::zeroed() }
            }
        }

        impl<$($declared)* O: $crate::map::MapOptions> core::fmt::Debug for $name<$($used)* O> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        // SAFETY: laid out as maps are defined, and never read.
        unsafe impl<$($declared)* O: $crate::map::MapOptions> $crate::map::Map for $name<$($used)* O> {}
        // SAFETY: nothing in it is ever read; the map itself is the kernel's, which has it shared.
        unsafe impl<$($declared)* O: $crate::map::MapOptions> Sync for $name<$($used)* O> {}
    };
}

pub(crate) use definition;
