//! The macros, as programs see them; `skep-ebpf-macros` reads their tokens.

/// A type of the kernel, declared by the fields that are used.
///
/// On a `struct` or `union`. The type's name is the kernel's; what follows three underscores is
/// a flavour (`task_struct___old`) and no part of it, and `#[kernel(name = "…")]` gives another
/// name. A field that can't have its name in Rust is named by `#[name = "…"]`, or written `r#type`.
/// Fields of a kernel's unnamed member are fields of what it is in. `#[bits]` is for bit fields.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct sched_entity {
///     vruntime: u64,
/// }
///
/// #[kernel]
/// pub struct task_struct {
///     pid: i32,
///     se: sched_entity,
///     real_parent: *const task_struct,
/// }
/// ```
pub use skep_ebpf_macros::kernel;

/// Loads a field with a load instruction, whose offset is the kernel's.
///
/// For memory that a program may read by itself: contexts, and pointers whose type the verifier
/// knows, such as arguments of `tp_btf`, `fentry` and `lsm` programs. Elsewhere use
/// `core_read!`. Each pointer on the way is one more load. Its value is the field's;
/// unsigned integers and pointers may have another size in the kernel.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     tgid: i32,
///     real_parent: *const task_struct,
/// }
///
/// fn parent(task: &task_struct) -> i32 {
///     core_load!(task.real_parent.tgid)
/// }
/// ```
pub use skep_ebpf_macros::core_load;

/// The address of a field, or of an element; pointers on the way are followed by loads.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     comm: [u8; 16],
///     real_parent: *const task_struct,
/// }
///
/// fn name(task: &task_struct) -> *const [u8; 16] {
///     core_address!(task.real_parent.comm)
/// }
/// ```
pub use skep_ebpf_macros::core_address;

/// The bytes from a structure's start to a field.
///
/// Of a place, or of a type and its fields as in [`core::mem::offset_of!`]. After a pointer the
/// offset is that in what it points to; nothing is read.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     comm: [u8; 16],
/// }
///
/// fn offset() -> u64 {
///     core_offset!(task_struct, comm[4])
/// }
/// ```
pub use skep_ebpf_macros::core_offset;
