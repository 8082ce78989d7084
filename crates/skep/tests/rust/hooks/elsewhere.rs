//! Programs of hooks that not every kernel lets anybody attach to, or load.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static SEEN: Array<u64, 32> = Array::new();

/// Whose events are seen; 0 for all.
#[setting]
static PROCESS: u32 = 0;

fn see(index: u32, value: u64) {
    if let Some(seen) = SEEN.get(index) {
        seen.store(value);
    }
}

fn is_ours() -> bool {
    let ours = PROCESS.get();
    ours == 0 || current_pid_tgid().tgid == ours
}

#[kernel]
struct file {
    f_flags: u32,
}

#[kernel]
struct linux_binprm {
    filename: *const u8,
}

#[kernel]
struct socket {
    r#type: i16,
}

/// How many bytes are read, by nobody else.
const BYTES: u64 = 1237;

#[kprobe("vfs_read")]
fn kprobe(context: &KprobeContext, file: *const file, _to: *mut u8, count: usize) -> Result {
    if is_ours() && count as u64 == BYTES {
        see(0, count as u64);
        see(1, u64::from(context.function_address() != 0));
        see(2, core_read!(file.f_flags)?.into());
        see(3, u64::from(context.argument::<usize>(2) == count));
    }
    Ok(())
}

#[kretprobe("vfs_read")]
fn kretprobe(returned: i64) {
    if is_ours() && returned as u64 == BYTES {
        see(4, returned as u64);
    }
}

#[ksyscall("getpgid")]
fn ksyscall(first: u32, second: u32) {
    if is_ours() {
        see(5, first.into());
        see(6, second.into());
    }
}

#[kretsyscall("getpgid")]
fn kretsyscall(context: &KretprobeContext) {
    if is_ours() {
        see(7, context.returned());
    }
}

#[fentry("vfs_read")]
fn fentry(file: &file, _to: *mut u8, count: usize) {
    if is_ours() && count as u64 == BYTES {
        see(8, count as u64);
        see(9, core_load!(file.f_flags).into());
    }
}

#[fexit("vfs_read")]
fn fexit(
    context: &FexitContext,
    _file: &file,
    _to: *mut u8,
    count: usize,
    _at: *mut i64,
    returned: i64,
) {
    if is_ours() && count as u64 == BYTES {
        see(10, returned as u64);
        see(11, context.returned());
        see(12, u64::from(context.function_address() != 0));
    }
}

/// `O_NOATIME` is refused, by either of two.
const NO_TIMES: u32 = 0o1_000_000;

#[fmod_ret("security_file_open")]
fn fmod_ret(file: &file, before: i32) -> Result<i32> {
    if before == 0 && is_ours() && core_load!(file.f_flags) & NO_TIMES != 0 {
        return Err(Error::ENODEV);
    }
    Ok(before)
}

#[lsm("file_open")]
fn lsm(file: &file) -> Result {
    if is_ours() && core_load!(file.f_flags) & NO_TIMES != 0 {
        return Err(Error::ENOTDIR);
    }
    Ok(())
}

#[lsm("bprm_check_security", sleepable)]
fn lsm_sleepable(program: &linux_binprm) -> Result {
    let mut name = [0; 16];
    read_kernel_str(&mut name, core_load!(program.filename))?;
    if name.starts_with(b"/nowhere\0") {
        return Err(Error::EPERM);
    }
    Ok(())
}

#[lsm_cgroup("socket_bind")]
fn lsm_cgroup(socket: &socket) -> Access {
    (core_load!(socket.r#type) != 99).into()
}

#[lirc_mode2]
fn remote(context: &LircContext) {
    see(13, context.sample().into());
}
