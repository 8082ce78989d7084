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
/// [`core_read!`](crate::core_read). Each pointer on the way is one more load. Its value is the field's;
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

/// The bytes that a field has in the kernel.
///
/// Of a place, or of a type and its fields, as [`core_offset!`](crate::core_offset).
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     pid: i32,
///     comm: [u8; 16],
///     exec_max: u64,
/// }
///
/// fn fits() -> bool {
///     core_size!(task_struct, comm) <= 16
/// }
/// ```
pub use skep_ebpf_macros::core_size;

/// Whether a field is signed in the kernel: an integer, or an enumeration with negative values.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     pid: i32,
///     comm: [u8; 16],
///     exec_max: u64,
/// }
///
/// fn signed() -> bool {
///     core_signed!(task_struct, pid)
/// }
/// ```
pub use skep_ebpf_macros::core_signed;

/// Whether the kernel has a field, and all fields of the place before it.
///
/// Of a place, or of a type and its fields, as [`core_offset!`](crate::core_offset). Nothing is
/// read. Where the answer is no, the verifier never sees what depends on it, so that an access to
/// the field may stand there.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     pid: i32,
///     comm: [u8; 16],
///     exec_max: u64,
/// }
///
/// fn longest(task: &task_struct) -> u64 {
///     if core_exists!(task.exec_max) {
///         core_load!(task.exec_max)
///     } else {
///         0
///     }
/// }
/// ```
pub use skep_ebpf_macros::core_exists;

/// The value that an enumerator has in the kernel.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// enum bpf_map_type {
///     BPF_MAP_TYPE_HASH = 1,
///     BPF_MAP_TYPE_ARENA = 33,
/// }
///
/// fn is_arena(found: bpf_map_type) -> bool {
///     found == core_enum!(bpf_map_type::BPF_MAP_TYPE_ARENA)
/// }
/// ```
pub use skep_ebpf_macros::core_enum;

/// Whether the kernel has an enumerator.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// enum bpf_func_id {
///     BPF_FUNC_loop = 181,
/// }
///
/// fn has_loop() -> bool {
///     core_enum_exists!(bpf_func_id::BPF_FUNC_loop)
/// }
/// ```
pub use skep_ebpf_macros::core_enum_exists;

/// Whether the kernel has a type of this name and kind.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     pid: i32,
///     comm: [u8; 16],
///     exec_max: u64,
/// }
///
/// fn exists() -> bool {
///     core_type_exists!(task_struct)
/// }
/// ```
pub use skep_ebpf_macros::core_type_exists;

/// The bytes of a type in the kernel.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     pid: i32,
///     comm: [u8; 16],
///     exec_max: u64,
/// }
///
/// fn size() -> u64 {
///     core_type_size!(task_struct)
/// }
/// ```
pub use skep_ebpf_macros::core_type_size;

/// Whether the kernel's type has all that is declared here, with types that match.
///
/// Loaders do it since libbpf 1.0; the kernel has no part in it.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct list_head {
///     next: *mut list_head,
///     prev: *mut list_head,
/// }
///
/// fn matches() -> bool {
///     core_type_matches!(list_head)
/// }
/// ```
pub use skep_ebpf_macros::core_type_matches;

/// A type's id in the kernel's BTF, as helpers such as `bpf_snprintf_btf` take it.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     pid: i32,
///     comm: [u8; 16],
///     exec_max: u64,
/// }
///
/// fn id() -> u64 {
///     core_type_id!(task_struct)
/// }
/// ```
pub use skep_ebpf_macros::core_type_id;

/// The id, in the object's own BTF, of a structure of the program's.
///
/// The compiler describes types that maps, globals or functions have; of others there is no id,
/// which `skep build` says.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// struct Node {
///     key: u64,
/// }
///
/// fn id() -> u64 {
///     core_type_id_local!(Node)
/// }
/// ```
pub use skep_ebpf_macros::core_type_id_local;

/// Reads a field of the kernel's memory with `bpf_probe_read_kernel`; gives `Result` of its value.
///
/// Works for any address, also where [`core_load!`](crate::core_load) is not allowed: in kprobes,
/// tracepoints, and behind pointers that the verifier does not know. A pointer on the way is one
/// more read. As many bytes are read as the declared type has; a field whose size differs between
/// kernels is declared with `#[bits]`, which reads what is there.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     tgid: i32,
///     comm: [u8; 16],
///     real_parent: *const task_struct,
/// }
///
/// fn parent(task: *const task_struct) -> Result<i32> {
///     core_read!(task.real_parent.tgid)
/// }
/// ```
///
/// # Errors
/// `EFAULT` where there is no memory.
pub use skep_ebpf_macros::core_read;

/// As [`core_read!`](crate::core_read), to a place: into a record of a ring, without a copy on the
/// stack.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     tgid: i32,
///     comm: [u8; 16],
///     real_parent: *const task_struct,
/// }
///
/// fn name(task: *const task_struct, to: &mut [u8; 16]) -> Result {
///     core_read_into!(task.real_parent.comm, to)
/// }
/// ```
///
/// # Errors
/// `EFAULT` where there is no memory.
pub use skep_ebpf_macros::core_read_into;

/// Reads text of the kernel's memory, up to a NUL: an array of characters, or what a pointer to
/// characters points to. Gives the bytes without the NUL; longer text is cut.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct task_struct {
///     tgid: i32,
///     comm: [u8; 16],
///     real_parent: *const task_struct,
/// }
///
/// fn starts_with_a_k(task: *const task_struct) -> Result<bool> {
///     let mut buffer = [0; 16];
///     let name = core_read_str!(task.real_parent.comm, &mut buffer)?;
///     Ok(name.first() == Some(&b'k'))
/// }
/// ```
///
/// # Errors
/// `EFAULT` where there is no memory.
pub use skep_ebpf_macros::core_read_str;

/// As [`core_read!`](crate::core_read), of the memory of the process that is running, also behind
/// each pointer: for the kernel's structures that processes fill in.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct sockaddr_in {
///     sin_port: u16,
/// }
///
/// fn port(address: *const sockaddr_in) -> Result<u16> {
///     Ok(u16::from_be(core_read_user!(address.sin_port)?))
/// }
/// ```
///
/// # Errors
/// `EFAULT` where there is no memory, or it is not there now.
pub use skep_ebpf_macros::core_read_user;

/// As [`core_read_into!`](crate::core_read_into), of the memory of the process that is running.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct sockaddr_un {
///     sun_path: [u8; 108],
/// }
///
/// fn path(address: *const sockaddr_un, to: &mut [u8; 108]) -> Result {
///     core_read_user_into!(address.sun_path, to)
/// }
/// ```
///
/// # Errors
/// As [`core_read_user!`](crate::core_read_user).
pub use skep_ebpf_macros::core_read_user_into;

/// As [`core_read_str!`](crate::core_read_str), of the memory of the process that is running.
///
/// ```
/// use skep_ebpf::prelude::*;
///
/// #[kernel]
/// struct sockaddr_un {
///     sun_path: [u8; 108],
/// }
///
/// fn is_abstract(address: *const sockaddr_un) -> Result<bool> {
///     let mut buffer = [0; 108];
///     Ok(core_read_user_str!(address.sun_path, &mut buffer)?.is_empty())
/// }
/// ```
///
/// # Errors
/// As [`core_read_user!`](crate::core_read_user).
pub use skep_ebpf_macros::core_read_user_str;
