//! Attributes of hooks that watch functions and what they return: of the kernel and of processes.

/// At the entry of a kernel function: `#[kprobe("do_unlinkat")]`, or at an instruction of it,
/// `"do_unlinkat+0x8"`. Without a target it is attached by options.
///
/// Parameters behind the context are the function's arguments, of which six are in registers:
/// numbers, and addresses that `core_read!` reads. `multi` hooks many functions by a pattern at
/// once (Linux 5.18), `session` their returns, too (Linux 6.10).
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct qstr {
///     name: *const u8,
/// }
///
/// #[kprobe("vfs_unlink")]
/// fn unlink(context: &KprobeContext, map: *const u8, inode: *const u8) {
///     printk!("%p of %p, attached as %llu", inode, map, context.attach_cookie());
/// }
/// ```
pub use skep_ebpf_macros::kprobe;

/// Where a kernel function returns. A parameter behind the context is what it returned; the
/// arguments are gone by then. `multi` as of [`kprobe`].
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kretprobe("vfs_unlink")]
/// fn unlinked(returned: i32) {
///     if returned != 0 {
///         printk!("failed with %d", returned);
///     }
/// }
/// ```
pub use skep_ebpf_macros::kretprobe;

/// At the entry of a system call, by its own name on each machine: `#[ksyscall("unlink")]`.
/// Parameters are the call's arguments. Linux 4.17 on x86-64, 4.19 on arm64.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[ksyscall("unlink")]
/// fn unlink(path: *const u8) -> Result {
///     let mut name = [0; 64];
///     read_user_str(&mut name, path)?;
///     printk!("%s", &name);
///     Ok(())
/// }
/// ```
pub use skep_ebpf_macros::ksyscall;

/// Where a system call returns. A parameter is what it returned.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kretsyscall("unlink")]
/// fn unlinked(returned: i64) {
///     if returned < 0 {
///         printk!("failed with %lld", returned);
///     }
/// }
/// ```
pub use skep_ebpf_macros::kretsyscall;

/// At a function of a process: `#[uprobe("/bin/bash:readline")]`, at an address of a file,
/// `"/bin/bash:0x1234"`, or attached by options. A name without `/` is looked for as the dynamic
/// linker does: `"libc:malloc"`.
///
/// Parameters behind the context are the function's arguments. `sleepable` programs may wait for
/// memory (Linux 5.19); `multi` hooks many functions at once (Linux 6.6), `session` their returns,
/// too (Linux 6.13).
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static SIZES: HashMap<u64, u64, 64> = HashMap::new();
///
/// #[uprobe("libc:malloc")]
/// fn allocate(size: usize) -> Result {
///     let class = u64::from(log2(size as u64));
///     match SIZES.get(&class) {
///         Some(count) => {
///             count.add(1);
///             Ok(())
///         }
///         None => SIZES.insert(&class, &1),
///     }
/// }
/// ```
pub use skep_ebpf_macros::uprobe;

/// Where a function of a process returns. A parameter is what it returned.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[uretprobe("libc:malloc")]
/// fn allocated(at: *const u8) {
///     if at.is_null() {
///         printk!("out of memory");
///     }
/// }
/// ```
pub use skep_ebpf_macros::uretprobe;

/// At a static probe of a process: `#[usdt("/usr/bin/python3:python:function__entry")]`, or
/// attached by options. Parameters behind the context are the probe's arguments, with their sizes
/// and signs; what can't be read is 0, and
/// [`UsdtContext::argument`](crate::context::UsdtContext::argument) says why.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[usdt("/usr/bin/python3:python:function__entry")]
/// fn entered(file: *const u8, function: *const u8, line: i32) -> Result {
///     let (mut module, mut name) = ([0; 32], [0; 32]);
///     read_user_str(&mut module, file)?;
///     read_user_str(&mut name, function)?;
///     printk!("%s:%d %s", &module, line, &name);
///     Ok(())
/// }
/// ```
pub use skep_ebpf_macros::usdt;

/// At the entry of a kernel function, faster than [`kprobe`] and with types. Parameters behind the
/// context are the function's arguments: numbers, addresses, and kernel types as `&T` or
/// `Option<&T>`, whose fields [`core_load!`](crate::core_load) loads. Where an argument that is
/// taken as `&T` is null, the program is not run. Linux 5.5; `sleepable` since 5.10, `multi` since
/// 7.2.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct file {
///     f_flags: u32,
/// }
///
/// #[fentry("vfs_read")]
/// fn read(file: &file, _buffer: *mut u8, count: u64) {
///     printk!("%llu bytes, flags %u", count, core_load!(file.f_flags));
/// }
/// ```
pub use skep_ebpf_macros::fentry;

/// Where a kernel function returns, with its arguments, and what it returned behind them:
/// [`FexitContext::returned`](crate::context::FexitContext::returned) gives it to programs that do
/// not take all of them. Linux 5.5.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[fexit("vfs_unlink")]
/// fn unlinked(context: &FexitContext) {
///     let returned: i32 = context.returned();
///     if returned != 0 {
///         printk!("failed with %d", returned);
///     }
/// }
/// ```
pub use skep_ebpf_macros::fexit;

/// Before a kernel function that may be kept from running: those of security modules
/// (`security_…`), and those that allow errors to be injected. An error is what the function then
/// returns, without having run. Behind its arguments comes what programs before this one said.
/// Linux 5.7.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct file {
///     f_flags: u32,
/// }
///
/// #[fmod_ret("security_file_open")]
/// fn no_atime(file: &file, before: i32) -> Result<i32> {
///     if before == 0 && core_load!(file.f_flags) & 0o1_000_000 != 0 {
///         return Err(Error::EPERM);
///     }
///     Ok(before)
/// }
/// ```
pub use skep_ebpf_macros::fmod_ret;

/// At the entry of a kernel function, and where it returns: one program for both. Linux 7.0.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[fsession("vfs_unlink")]
/// fn unlinking(_: &FsessionContext) {
///     count_lost();
/// }
/// ```
pub use skep_ebpf_macros::fsession;

/// In the place of a function of a program that is loaded: it has that one's parameters, contexts
/// by reference, and returns what that one does. Linux 5.6.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[freplace("is_allowed")]
/// fn is_allowed(context: &XdpContext, port: u32) -> i32 {
///     i32::from(port != 7 && context.ingress_ifindex() != 1)
/// }
/// ```
pub use skep_ebpf_macros::freplace;

/// At a hook of the security modules: `#[lsm("file_open")]`. An error refuses the operation, as the
/// module's own would. Parameters are the hook's arguments, as those of [`fentry`]; where one that
/// is taken as `&T` is null, the operation is refused with `EFAULT`: take `Option<&T>` where it can
/// be. Linux 5.7, with `bpf` in the kernel's list of security modules (`lsm=`); `sleepable` since
/// 5.11.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct file {
///     f_flags: u32,
/// }
///
/// #[lsm("file_open")]
/// fn no_atime(file: &file) -> Result {
///     match core_load!(file.f_flags) & 0o1_000_000 {
///         0 => Ok(()),
///         _ => Err(Error::EPERM),
///     }
/// }
/// ```
pub use skep_ebpf_macros::lsm;

/// The same for the processes of a cgroup. What is not allowed fails with `EPERM`. Linux 6.0.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct socket {
///     r#type: i16,
/// }
///
/// #[lsm_cgroup("socket_create")]
/// fn no_raw_sockets(_family: i32, kind: i32) -> Access {
///     (kind != 3).into()
/// }
/// ```
pub use skep_ebpf_macros::lsm_cgroup;
