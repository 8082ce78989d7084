//! Declarations of the kernel's types.

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
