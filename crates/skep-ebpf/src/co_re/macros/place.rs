//! Fields: their loads, and what is known of them.

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
