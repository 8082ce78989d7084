//! What the kernel says of types and enumerators.

/// The value that an enumerator has in the kernel.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// enum bpf_map_type {
///     BPF_MAP_TYPE_HASH = 1,
///     BPF_MAP_TYPE_ARENA = 33,
/// }
///
/// #[kernel]
/// struct bpf_map {
///     map_type: bpf_map_type,
///     id: u32,
/// }
///
/// #[iter("bpf_map")]
/// fn hashes(context: &IterContext, map: &bpf_map) -> Result {
///     if core_load!(map.map_type) == core_enum!(bpf_map_type::BPF_MAP_TYPE_HASH) {
///         seq_printf!(context.seq(), "%u\n", core_load!(map.id))?;
///     }
///     Ok(())
/// }
/// ```
pub use skep_ebpf_macros::core_enum;

/// Whether the kernel has an enumerator.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// enum bpf_func_id {
///     BPF_FUNC_loop = 181,
/// }
///
/// #[syscall]
/// fn has_loop() -> i32 {
///     i32::from(core_enum_exists!(bpf_func_id::BPF_FUNC_loop))
/// }
/// ```
pub use skep_ebpf_macros::core_enum_exists;

/// Whether the kernel has a type of this name and kind.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct bpf_arena {}
///
/// #[syscall]
/// fn has_arenas() -> i32 {
///     i32::from(core_type_exists!(bpf_arena))
/// }
/// ```
pub use skep_ebpf_macros::core_type_exists;

/// The bytes of a type in the kernel; 0 if it has no such type.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {}
///
/// #[syscall]
/// fn size() -> i32 {
///     core_type_size!(task_struct) as i32
/// }
/// ```
pub use skep_ebpf_macros::core_type_size;

/// Whether the kernel's type has all that is declared here, with types that match.
///
/// Loaders do it since libbpf 1.0; the kernel has no part in it. They compare integers by their names
/// in C, too, which here are those of `unsigned char`, `short`, `int` and `long`, with their signs:
/// a kernel's `char` or `long long` is another type to them, though it is as long.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct list_head {
///     next: *mut list_head,
///     prev: *mut list_head,
/// }
///
/// #[syscall]
/// fn matches() -> i32 {
///     i32::from(core_type_matches!(list_head))
/// }
/// ```
pub use skep_ebpf_macros::core_type_matches;

/// A type's id in the kernel's BTF, as helpers such as `bpf_snprintf_btf` take it; 0 if it has no such
/// type.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {}
///
/// #[syscall]
/// fn id() -> i32 {
///     core_type_id!(task_struct) as i32
/// }
/// ```
pub use skep_ebpf_macros::core_type_id;

/// The id, in the object's own BTF, of a structure of the program's.
///
/// The compiler describes types that maps, globals or functions have; of others there is no id,
/// which `skep build` says.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[repr(C)]
/// #[derive(Clone, Copy, Plain)]
/// struct Node {
///     key: u64,
/// }
///
/// #[map]
/// static NODES: Array<Node, 1> = Array::new();
///
/// #[syscall]
/// fn id() -> i32 {
///     match NODES.get(0) {
///         Some(_) => core_type_id_local!(Node) as i32,
///         None => 0,
///     }
/// }
/// ```
pub use skep_ebpf_macros::core_type_id_local;
