//! The macros, as programs see them; `skep-ebpf-macros` reads their tokens.

/// A type of the kernel, declared by the fields that are used.
///
/// On a `struct` or `union`. The type's name is the kernel's; what follows three underscores is
/// a flavour (`task_struct___old`) and no part of it, and `#[kernel(name = "…")]` gives another
/// name. A field that can't have its name in Rust is named by `#[name = "…"]`, or written `r#type`.
/// Fields of a kernel's unnamed member are fields of what it is in. `#[bits]` is for bit fields.
/// `#[kernel(typedef)]` is for what has a name by a typedef alone, as C's `typedef struct { … }
/// atomic_t;`.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
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
///
/// #[tp_btf("sched_process_exit")]
/// fn ended(task: &task_struct) {
///     let ran = core_load!(task.se.vruntime);
///     printk!("%d of %d ran %llu", core_load!(task.pid), core_load!(task.real_parent.pid), ran);
/// }
/// ```
///
/// A function of such a type:
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel(typedef)]
/// struct atomic_t {
///     counter: i32,
/// }
///
/// #[kernel]
/// struct mm_struct {
///     mm_users: atomic_t,
/// }
///
/// #[kernel]
/// struct task_struct {
///     mm: *const mm_struct,
/// }
///
/// fn count(of: *const atomic_t) -> Result<i32> {
///     core_read!(of.counter)
/// }
///
/// #[tp_btf("sched_process_exit")]
/// fn ended(task: &task_struct) -> Result {
///     let memory = core_load!(task.mm);
///     if !memory.is_null() {
///         printk!("%d more", count(core_address!(memory.mm_users))?);
///     }
///     Ok(())
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
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     tgid: i32,
///     real_parent: *const task_struct,
/// }
///
/// #[tp_btf("sched_process_exit")]
/// fn ended(task: &task_struct) {
///     printk!("a child of %d", core_load!(task.real_parent.tgid));
/// }
/// ```
pub use skep_ebpf_macros::core_load;

/// The address of a field, or of an element; pointers on the way are followed by loads.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     comm: [u8; 16],
///     real_parent: *const task_struct,
/// }
///
/// #[tp_btf("sched_process_exit")]
/// fn ended(task: &task_struct) -> Result {
///     let name: *const [u8; 16] = core_address!(task.real_parent.comm);
///     let mut text = [0; 16];
///     read_kernel_str(&mut text, name.cast())?;
///     printk!("a child of %s", &text);
///     Ok(())
/// }
/// ```
pub use skep_ebpf_macros::core_address;

/// The bytes from a structure's start to a field.
///
/// Of a place, or of a type and its fields as in [`core::mem::offset_of!`]. After a pointer the
/// offset is that in what it points to; nothing is read.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     comm: [u8; 16],
/// }
///
/// #[syscall]
/// fn offset() -> i32 {
///     core_offset!(task_struct, comm[4]) as i32
/// }
/// ```
pub use skep_ebpf_macros::core_offset;

/// The bytes that a field has in the kernel.
///
/// Of a place, or of a type and its fields, as [`core_offset!`](crate::core_offset).
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     comm: [u8; 16],
/// }
///
/// #[syscall]
/// fn fits() -> i32 {
///     i32::from(core_size!(task_struct, comm) <= 16)
/// }
/// ```
pub use skep_ebpf_macros::core_size;

/// Whether a field is signed in the kernel: an integer, or an enumeration with negative values.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     pid: i32,
/// }
///
/// #[syscall]
/// fn signed() -> i32 {
///     i32::from(core_signed!(task_struct, pid))
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
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     exec_max: u64,
/// }
///
/// #[tp_btf("sched_process_exit")]
/// fn ended(task: &task_struct) {
///     let longest = match core_exists!(task.exec_max) {
///         true => core_load!(task.exec_max),
///         false => 0,
///     };
///     printk!("%llu", longest);
/// }
/// ```
pub use skep_ebpf_macros::core_exists;

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

/// Reads a field of the kernel's memory with `bpf_probe_read_kernel`; gives `Result` of its value.
///
/// Works for any address, also where [`core_load!`](crate::core_load) is not allowed: in kprobes,
/// tracepoints, and behind pointers that the verifier does not know. A pointer on the way is one
/// more read. As many bytes are read as the declared type has; a field whose size differs between
/// kernels is declared with `#[bits]`, which reads what is there.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     tgid: i32,
///     real_parent: *const task_struct,
/// }
///
/// #[raw_tracepoint("sched_process_exit")]
/// fn ended(task: *const task_struct) -> Result {
///     printk!("a child of %d", core_read!(task.real_parent.tgid)?);
///     Ok(())
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
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     comm: [u8; 16],
///     real_parent: *const task_struct,
/// }
///
/// #[repr(C)]
/// #[derive(Plain)]
/// struct End {
///     parent: [u8; 16],
/// }
///
/// #[map]
/// static ENDS: RingBuf<4096> = RingBuf::new();
///
/// #[raw_tracepoint("sched_process_exit")]
/// fn ended(task: *const task_struct) -> Result {
///     let mut end = ENDS.reserve::<End>()?;
///     core_read_into!(task.real_parent.comm, &mut end.parent)?;
///     end.submit();
///     Ok(())
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
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     comm: [u8; 16],
/// }
///
/// #[raw_tracepoint("sched_process_exit")]
/// fn ended(task: *const task_struct) -> Result {
///     let mut buffer = [0; 16];
///     let name = core_read_str!(task.comm, &mut buffer)?;
///     if name.first() == Some(&b'k') {
///         printk!("%s", &buffer);
///     }
///     Ok(())
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
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct sockaddr_in {
///     sin_port: u16,
/// }
///
/// #[tracepoint("syscalls/sys_enter_connect")]
/// fn connects(_: i32, address: *const sockaddr_in) -> Result {
///     printk!("port %u", u16::from_be(core_read_user!(address.sin_port)?));
///     Ok(())
/// }
/// ```
///
/// # Errors
/// `EFAULT` where there is no memory, or it is not there now.
pub use skep_ebpf_macros::core_read_user;

/// As [`core_read_into!`](crate::core_read_into), of the memory of the process that is running.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct sockaddr_un {
///     sun_path: [u8; 108],
/// }
///
/// #[tracepoint("syscalls/sys_enter_connect")]
/// fn connects(_: i32, address: *const sockaddr_un) -> Result {
///     let mut path = [0; 108];
///     core_read_user_into!(address.sun_path, &mut path)?;
///     printk!("%s", &path);
///     Ok(())
/// }
/// ```
///
/// # Errors
/// As [`core_read_user!`](crate::core_read_user).
pub use skep_ebpf_macros::core_read_user_into;

/// As [`core_read_str!`](crate::core_read_str), of the memory of the process that is running.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct sockaddr_un {
///     sun_path: [u8; 108],
/// }
///
/// #[tracepoint("syscalls/sys_enter_connect")]
/// fn connects(_: i32, address: *const sockaddr_un) -> Result {
///     let mut buffer = [0; 108];
///     // The name of an abstract one begins with a zero.
///     if core_read_user_str!(address.sun_path, &mut buffer)?.is_empty() {
///         printk!("an abstract socket");
///     }
///     Ok(())
/// }
/// ```
///
/// # Errors
/// As [`core_read_user!`](crate::core_read_user).
pub use skep_ebpf_macros::core_read_user_str;
