//! What loaders ask of a kernel beside its types, helpers and commands: one row a feature.

use std::fmt;

use crate::KernelVersion;

/// Reads `Variant "name" major.minor "what it is";`.
macro_rules! loader_features {
    ($($Variant:ident $name:literal $major:literal $minor:literal $doc:literal;)+) => {
        /// Something that a loader can use or must do without, by the kernel.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum LoaderFeature {
            $(
                #[doc = concat!($doc, " Since ", $major, ".", $minor, ".")]
                $Variant,
            )+
        }

        impl LoaderFeature {
            /// All of them, by what they are about.
            pub const ALL: &[Self] = &[$(Self::$Variant),+];

            /// Its name, such as `btf_enum64`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }

            /// What it is, as a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$Variant => $doc,)+
                }
            }

            /// The one with a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$Variant),)+
                    _ => None,
                }
            }

            /// The first kernel that has it.
            #[must_use]
            pub const fn since(self) -> KernelVersion {
                match self {
                    $(Self::$Variant => KernelVersion::new($major, $minor),)+
                }
            }
        }
    };
}

loader_features! {
    ObjectNames "object_names" 4 15 "Programs and maps have names.";
    IsaV2 "isa_v2" 4 14 "Jumps on less-than (cpu v2).";
    IsaV3 "isa_v3" 5 1 "Jumps that compare 32 bits (cpu v3).";
    IsaV4 "isa_v4" 6 6 "Sign extension, signed division, long jumps (cpu v4).";
    FetchAtomics "atomics_fetch" 5 12 "Atomic operations that fetch, exchange and compare.";
    AcquireRelease "load_acquire" 6 15 "Loads that acquire and stores that release.";
    MayGoto "may_goto" 6 9 "Loops bounded by the kernel (`may_goto`).";
    FunctionCalls "function_calls" 4 16 "Calls from function to function.";
    BoundedLoops "bounded_loops" 5 3 "Loops that the verifier can follow to their end.";
    LargePrograms "large_programs" 5 2 "More than 4096 instructions, up to a million.";
    GlobalData "global_data" 5 2 "Global variables, as values of arrays.";
    FrozenMaps "frozen_maps" 5 2 "Maps that can be made read-only for good.";
    MappedArrays "mapped_arrays" 5 5 "Arrays that can be mapped into memory.";
    ProbeReads "probe_reads" 5 5 "Helpers that read the kernel's memory, and a process's (bpf_probe_read_{kernel,user}{,_str}).";
    MapBatches "map_batches" 5 6 "Many map entries with one call.";
    RingBuffers "ring_buffers" 5 8 "Ring buffers, one for all CPUs.";
    ExclusiveMaps "exclusive_maps" 6 18 "Maps that only one program may use.";
    Btf "btf" 4 18 "Types of programs and maps (BTF).";
    BtfFunctions "btf_functions" 5 0 "BTF of functions.";
    BtfDataSections "btf_data_sections" 5 2 "BTF of global variables and their sections.";
    BtfGlobalFunctions "btf_global_functions" 5 6 "BTF of functions that are verified by themselves.";
    BtfFloats "btf_floats" 5 13 "BTF of floating-point types.";
    BtfDeclTags "btf_decl_tags" 5 16 "BTF of tags on declarations.";
    BtfTypeTags "btf_type_tags" 5 17 "BTF of tags on types.";
    BtfEnum64 "btf_enum64" 6 0 "BTF of signed enumerations and those of 64 bits.";
    FunctionAddresses "function_addresses" 6 4 "Addresses of kernel functions (bpf_ksym_exists).";
    BtfSectionNames "btf_section_names" 6 9 "BTF of data sections with any name.";
    BtfTagAttributes "btf_tag_attributes" 6 15 "BTF of tags that are whole attributes.";
    AttachTypes "attach_types" 4 17 "Programs loaded for an attach type.";
    PerfCookies "perf_cookies" 5 15 "Links of perf events, with a cookie.";
    RawTracepointCookies "raw_tracepoint_cookies" 6 10 "Cookies of raw tracepoints.";
    MemoryCgroups "memory_cgroups" 5 11 "Memory counted by cgroup, not against RLIMIT_MEMLOCK.";
    Tokens "tokens" 6 9 "Tokens that delegate the right to use BPF.";
    Streams "streams" 6 17 "Programs write to streams of their own.";
    StructOpsAssociation "struct_ops_association" 7 0 "Programs associated with a struct_ops map.";
    CommonAttributes "common_attributes" 7 2 "Logs of every command.";
}

/// Prints the name.
impl fmt::Display for LoaderFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
