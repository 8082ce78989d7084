//! The kernel's BPF vocabulary as data: commands, types, flags, return codes, helpers, contexts,
//! and which kernel has what. One table each, names both ways; everything else asks this crate.
//!
//! The numbers, layouts and prototypes are generated from the uapi headers of the newest Linux
//! (`cargo xtask generate abi`); what the headers do not say stands in the tables under `data`.
//!
//! ```
//! use skep_abi::{Helper, HelperAccess, KernelVersion, MapType, OrRaw, ProgramType};
//!
//! // Names both ways, numbers both ways, and since when.
//! let map = MapType::from_name("ringbuf").unwrap();
//! assert_eq!(map, MapType::from_name("BPF_MAP_TYPE_RINGBUF").unwrap());
//! assert_eq!((map.raw(), map.since()), (27, KernelVersion::new(5, 8)));
//!
//! // A number of a kernel that is newer than this crate stays what it is.
//! assert_eq!(OrRaw::<MapType>::from_raw(99).to_string(), "99");
//!
//! // Who may call what.
//! let helper = Helper::by_name("bpf_xdp_adjust_head").unwrap();
//! assert_eq!(helper.access_from(ProgramType::Xdp), HelperAccess::Yes);
//! assert_eq!(helper.access_from(ProgramType::Kprobe), HelperAccess::No);
//! ```

mod codes;
mod context;
mod feature;
#[rustfmt::skip]
mod generated;
mod glob;
mod helper;
mod kernel_types;
mod kfunc;
mod license;
pub mod limits;
mod lsm;
mod macros;
mod map;
mod near;
mod program;
mod returns;
mod struct_ops;
mod structure;
#[cfg(test)]
mod tests;
mod tracing;
mod version;
mod vocabulary;

pub use codes::ReturnCode;
pub use context::{FieldCondition, FieldSizes, field_sizes, socket_field_is_common};
pub use feature::LoaderFeature;
pub use generated::codes::*;
pub use generated::enums::*;
pub use generated::flags::*;
pub use glob::glob_matches;
pub use helper::{
    ArgKind, CDeclaration, Helper, HelperAccess, HelperCaller, HelperProperties, Parameter, Return,
    ReturnKind, ValueFlags,
};
pub use kernel_types::{
    IteratorArgument, TracepointArgument, WritableMember, is_rcu_protected, iterator_argument,
    lsm_arguments_are_trusted, tracepoint_argument, tracepoint_is_known, writable_members,
};
pub use kfunc::{Kfunc, KfuncAbsence, KfuncFlags, KfuncHooks};
pub use license::is_gpl_compatible;
pub use lsm::LsmHook;
pub use map::{EntriesRule, MapProperties, MapRules, SizeRule};
pub use near::near_names;
pub use program::{
    Access, ContextKind, ContextPointer, ExpectedAttachType, FieldAccess, LeastProgram,
    ProgramProperties, ProgramTarget,
};
pub use returns::ReturnRule;
pub use struct_ops::struct_ops_member_may_sleep;
pub use structure::{BitRange, FieldLayout, StructLayout};
pub use tracing::TracedFunction;
pub use version::{KernelVersion, ParseKernelVersionError};
pub use vocabulary::{KernelEnum, OrRaw};

/// Single constants of the uapi headers, without their prefix `BPF_` or `BPF_F_`.
pub mod constants {
    pub use crate::generated::constants::*;
}
