//! Reads of fields by helpers.

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
