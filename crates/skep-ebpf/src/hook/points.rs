//! Attributes of hooks that watch: tracepoints, samples, iterators, and what callers run.

/// At a tracepoint: `#[tracepoint("sched/sched_switch")]`.
///
/// Parameters behind the context are fields of its record, by their names: numbers, pointers,
/// arrays, and [`DynamicField`](crate::context::DynamicField) for those of no fixed length. They
/// are found in the kernel's types, so that one program does for kernels that have them elsewhere.
/// Where several tracepoints are of one class, that has the type: `class =
/// "sched_process_template"`; a kernel's `events/…/format` shows the fields, and `skep btf` the
/// types.
///
/// For tracepoints of single system calls parameters are the call's arguments by position
/// (`#[tracepoint("syscalls/sys_enter_openat")]`), or what it returned (`sys_exit_openat`). Linux
/// 4.7.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[tracepoint("sched/sched_switch")]
/// fn switched(prev_pid: i32, next_pid: i32, next_comm: [u8; 16]) {
///     printk!("%d, then %d: %s", prev_pid, next_pid, &next_comm);
/// }
///
/// #[tracepoint("sched/sched_process_exec")]
/// fn executed(filename: DynamicField, pid: i32) -> Result {
///     let mut path = [0; 64];
///     filename.read_str(&mut path)?;
///     printk!("%d runs %s", pid, &path);
///     Ok(())
/// }
///
/// #[tracepoint("syscalls/sys_enter_openat")]
/// fn open(_directory: i32, path: *const u8, flags: u32) {
///     printk!("%p with %x", path, flags);
/// }
/// ```
pub use skep_ebpf_macros::tracepoint;

/// At a tracepoint, with the arguments that it was called with, before a record is made of them:
/// faster, and without types, so that addresses are read by `core_read!`. Linux 4.17; `writable`
/// may change what some tracepoints lend (Linux 5.2).
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
/// #[raw_tracepoint("sched_switch")]
/// fn switched(_preempt: bool, previous: *const task_struct) -> Result {
///     printk!("%d", core_read!(previous.pid)?);
///     Ok(())
/// }
/// ```
pub use skep_ebpf_macros::raw_tracepoint;

/// The same with types, which the verifier knows: kernel types come as `&T` or `Option<&T>`, and
/// [`core_load!`](crate::core_load) loads their fields. Linux 5.5.
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
///     tgid: i32,
/// }
///
/// #[tp_btf("sched_switch")]
/// fn switched(_preempt: bool, previous: &task_struct, next: &task_struct) {
///     printk!("%d, then %d", core_load!(previous.pid), core_load!(next.tgid));
/// }
/// ```
pub use skep_ebpf_macros::tp_btf;

/// Goes over objects of the kernel, such as `task`, `task_file`, `bpf_map` or `tcp`, and writes
/// into the file by which it is read. Parameters behind the context are what is shown, as the
/// kernel's `bpf_iter_…` has it behind `meta`. At the end there is a run with null: `Option<&T>`
/// sees it, `&T` is not run for it. Linux 5.8.
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
///     comm: [u8; 16],
/// }
///
/// #[iter("task")]
/// fn tasks(context: &IterContext, task: &task_struct) -> Result {
///     let mut name = [0; 16];
///     core_read_into!(task.comm, &mut name)?;
///     seq_printf!(context.seq(), "%d %s\n", core_load!(task.pid), &name)
/// }
/// ```
pub use skep_ebpf_macros::iter;

/// At samples of a perf event: so many times a second, or after so many cache misses. Linux 4.9.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static BUSY: Array<u64, 1> = Array::new();
///
/// #[perf_event]
/// fn sample(context: &PerfEventContext) {
///     if context.instruction_pointer() != 0 {
///         if let Some(busy) = BUSY.get(0) {
///             busy.add(1);
///         }
///     }
/// }
/// ```
pub use skep_ebpf_macros::perf_event;

/// When somebody runs it (`BPF_PROG_TEST_RUN`), with memory that the two share. Linux 5.14.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[repr(C)]
/// #[derive(Plain)]
/// struct Question {
///     number: u64,
///     answer: u64,
/// }
///
/// #[syscall]
/// fn double(context: &mut SyscallContext) {
///     let question = context.arguments_mut::<Question>();
///     question.answer = question.number * 2;
/// }
/// ```
pub use skep_ebpf_macros::syscall;

/// On a function: a member of a struct of operations, by which the kernel calls it.
///
/// On a static: the struct, which is registered with the kernel. It has the kernel's name, and those
/// members that are used, in any order: functions as [`Operation`](super::Operation). Linux 6.4;
/// `#[struct_ops(without_link)]` registers it as kernels since 5.6 do, until it is deleted.
/// `sleepable` functions since 6.0.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct tcp_sock {
///     snd_cwnd: u32,
/// }
///
/// #[struct_ops]
/// fn ssthresh(socket: &tcp_sock) -> u32 {
///     core_load!(socket.snd_cwnd).max(4) / 2
/// }
///
/// #[struct_ops]
/// fn cong_avoid(_socket: &tcp_sock, _ack: u32, _acked: u32) {}
///
/// #[struct_ops]
/// fn undo_cwnd(socket: &tcp_sock) -> u32 {
///     core_load!(socket.snd_cwnd)
/// }
///
/// #[repr(C)]
/// struct tcp_congestion_ops {
///     ssthresh: Operation,
///     cong_avoid: Operation,
///     undo_cwnd: Operation,
///     name: [u8; 16],
/// }
///
/// #[struct_ops]
/// static HALVING: tcp_congestion_ops = tcp_congestion_ops {
///     ssthresh,
///     cong_avoid,
///     undo_cwnd,
///     name: *b"halving\0\0\0\0\0\0\0\0\0",
/// };
/// ```
pub use skep_ebpf_macros::struct_ops;

/// When a receiver of infrared light has a sample. Linux 4.18, with `CONFIG_BPF_LIRC_MODE2`.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[lirc_mode2]
/// fn received(context: &LircContext) {
///     printk!("%x", context.sample());
/// }
/// ```
pub use skep_ebpf_macros::lirc_mode2;
