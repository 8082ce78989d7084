//! The macros, as programs see them; `skep-ebpf-macros` reads their tokens.

/// Functions of the kernel that programs may call, in an `extern` block.
///
/// Parameters and results are types of the kernel: integers, pointers, what `#[kernel]` declares.
/// Loaders compare them with the kernel's, kind by kind (`c_void` is only `void`). A function that
/// always does what its types say can be declared `safe fn`.
///
/// `#[weak]` before a function, or `#[kfunc(weak)]` for all, lets a program load where the kernel
/// does not have it; [`kfunc_exists!`](crate::kfunc_exists) asks. `#[name = "…"]` gives the kernel's
/// name where it is another one. Linux 5.13, and each function from its own version on: those below
/// from Linux 6.2.
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
/// }
///
/// #[kfunc]
/// unsafe extern "C" {
///     fn bpf_task_from_pid(pid: i32) -> *mut task_struct;
///     fn bpf_task_release(task: *mut task_struct);
///     #[weak]
///     fn bpf_task_from_vpid(vpid: i32) -> *mut task_struct;
/// }
///
/// #[setting]
/// static WATCHED: i32 = 1;
///
/// #[tp_btf("task_newtask")]
/// fn created(_: &TpBtfContext) {
///     // SAFETY: what is acquired is released.
///     unsafe {
///         let task = match kfunc_exists!(bpf_task_from_vpid) {
///             true => bpf_task_from_vpid(WATCHED.get()),
///             false => bpf_task_from_pid(WATCHED.get()),
///         };
///         if !task.is_null() {
///             printk!("still there: %d", core_load!(task.tgid));
///             bpf_task_release(task);
///         }
///     }
/// }
/// ```
#[doc(alias = "__ksym")]
pub use skep_ebpf_macros::kfunc;

/// Whether the kernel has a function that `#[kfunc]` declares weak. The verifier knows it, and does
/// not look at what is only done where the answer is the other one.
#[doc(alias = "bpf_ksym_exists")]
pub use skep_ebpf_macros::kfunc_exists;

/// A variable of the kernel: a static without a value, which becomes a [`Ksym`](crate::Ksym).
///
/// With its type (which loaders compare with the kernel's, kind by kind) it can be read; with the
/// type `()` all that is known of it is its address, and it need not be a variable. `#[ksym(weak)]`
/// may be missing, and then has no address. `#[ksym(name = "…")]` gives the kernel's name where it is
/// another one. Linux 5.8 without a type, 5.10 with one, if the kernel's types have variables (pahole
/// 1.18 wrote them first).
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct rq {
///     nr_running: u32,
/// }
///
/// /// Each CPU's queue of what is to run.
/// #[ksym]
/// static runqueues: rq;
///
/// #[ksym(weak)]
/// static bpf_prog_put: ();
///
/// #[raw_tracepoint("sched_switch")]
/// fn switched(_: &RawTracepointContext) {
///     let queue = runqueues.this_cpu();
///     printk!("%u to run", core_load!(queue.nr_running));
///     if let Some(first) = runqueues.on_cpu(0) {
///         printk!("%u of them on CPU 0", core_load!(first.nr_running));
///     }
///     if bpf_prog_put.exists() {
///         printk!("it is at %lx", bpf_prog_put.address() as u64);
///     }
/// }
/// ```
#[doc(alias = "__ksym")]
pub use skep_ebpf_macros::ksym;

/// A value of the kernel's configuration: a static without a value, which becomes a
/// [`Kconfig`](crate::Kconfig).
///
/// It is called as in the configuration, or `LINUX_KERNEL_VERSION` (as a number: `0x050f00` is
/// 5.15.0), `LINUX_HAS_BPF_COOKIE`, `LINUX_HAS_SYSCALL_WRAPPER`. `#[kconfig(weak)]` may be missing,
/// and then is zero. Linux 5.2; the loader reads `/proc/config.gz` or a file in `/boot`.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kconfig]
/// static CONFIG_HZ: u32;
///
/// #[kconfig]
/// static LINUX_KERNEL_VERSION: u32;
///
/// #[kconfig(weak)]
/// static CONFIG_BPF_LSM: bool;
///
/// #[kconfig(weak)]
/// static CONFIG_BRIDGE: Tristate;
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) {
///     if CONFIG_BPF_LSM.get() || LINUX_KERNEL_VERSION.get() > 0x05_0f_00 {
///         printk!("%u ticks a second", CONFIG_HZ.get());
///     }
///     if CONFIG_BRIDGE.get() == Tristate::MODULE {
///         printk!("a bridge, once its module is there");
///     }
/// }
/// ```
#[doc(alias = "__kconfig")]
pub use skep_ebpf_macros::kconfig;
