//! Programs of hooks that not every kernel lets anybody attach to, or load.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static SEEN: Array<u64, 16> = Array::new();

fn see(index: u32, value: u64) {
    if let Some(seen) = SEEN.get(index) {
        seen.store(value);
    }
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

#[kprobe("do_nanosleep")]
fn kprobe(context: &KprobeContext, _timer: *const u8, mode: u32) {
    see(0, mode.into());
    see(1, context.function_address());
}

#[kretprobe("do_nanosleep")]
fn kretprobe(returned: i32) {
    see(2, returned as u64);
}

#[ksyscall("dup")]
fn ksyscall(fildes: u32) {
    see(3, fildes.into());
}

#[kretsyscall("dup")]
fn kretsyscall(context: &KretprobeContext) {
    see(4, context.returned());
}

#[fentry("do_nanosleep")]
fn fentry(_timer: *const u8, mode: u32) {
    see(5, mode.into());
}

#[fexit("do_nanosleep")]
fn fexit(context: &FexitContext, _timer: *const u8, _mode: u32, returned: i32) {
    see(6, returned as u64);
    see(7, context.returned());
    see(8, context.function_address());
}

#[fmod_ret("security_file_open")]
fn fmod_ret(file: &file, before: i32) -> Result<i32> {
    if before != 0 || core_load!(file.f_flags) == 0x7fff_0000 {
        return Err(Error::EPERM);
    }
    Ok(before)
}

#[lsm("file_open")]
fn lsm(file: &file) -> Result {
    if core_load!(file.f_flags) == 0x7fff_0000 {
        return Err(Error::EPERM);
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
    see(9, context.sample().into());
}
