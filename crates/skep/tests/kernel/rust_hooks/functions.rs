//! Functions of the kernel, and hooks of its security modules: with the arguments that they were
//! called with. Kernels that let nobody hook them are skipped.

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
};

use skep::{Link, boundary::Cause};
use skep_testing::{Outcome, Stop, Test, ensure, needs_kernel, needs_option};

use super::{Running, object, saw, seen};
use crate::support::{host, me};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("rust_hooks::kprobes_have_arguments", kprobes),
        Test::new("rust_hooks::system_calls_of_kprobes_have_theirs", syscalls),
        Test::new("rust_hooks::fentry_and_fexit_have_types", fentry),
        Test::new("rust_hooks::a_function_is_kept_from_running", modified),
        Test::new("rust_hooks::a_security_module_refuses", secured),
    ]
}

/// Programs of `elsewhere.rs`, for this process, attached.
fn attached(programs: &[&str]) -> Outcome<(Running, Vec<Link>)> {
    let mut object = object("elsewhere")?;
    object.only_programs(programs)?;
    object.global("PROCESS")?.set(me())?;
    match object.load(host()) {
        Ok(loaded) => {
            let links = loaded.attach_all()?;
            Ok((Running { object, loaded }, links))
        }
        Err(error) => match error.cause() {
            // Some vendors' kernels do, whatever they are configured with.
            Some(Cause::Other { what, .. }) if what.contains("refuses all programs") => {
                Err(Stop::lacks("a kernel that lets programs patch functions"))
            }
            _ => Err(error.into()),
        },
    }
}

const BYTES: u64 = 1237;

fn read() -> Outcome {
    let mut file = File::open("/dev/zero")?;
    Ok(file.read_exact(&mut [0; BYTES as usize])?)
}

/// `O_LARGEFILE`, which the kernel has in the flags of all files that were opened here, and does not
/// tell.
const LARGE: u64 = 0o100_000;

fn kprobes() -> Outcome {
    needs_kernel(5, 15)?; // the function's address
    needs_option("CONFIG_KPROBES")?;
    let (running, _links) = attached(&["kprobe", "kretprobe"])?;
    read()?;
    for (index, wanted) in [(0, BYTES), (1, 1), (3, 1), (4, BYTES)] {
        saw(&running, index, wanted)?;
    }
    let flags = seen(&running, 2)?;
    ensure(flags & LARGE != 0, || format!("{flags:#o}"))
}

fn syscalls() -> Outcome {
    needs_option("CONFIG_KPROBES")?;
    let (running, _links) = attached(&["ksyscall", "kretsyscall"])?;
    let nobody = rustix::process::Pid::from_raw(987_654_321);
    let answer = rustix::process::getpgid(nobody);
    ensure(answer == Err(rustix::io::Errno::SRCH), || {
        format!("{answer:?}")
    })?;
    saw(&running, 5, 987_654_321)?;
    saw(&running, 7, -3_i64 as u64)
}

fn fentry() -> Outcome {
    needs_kernel(5, 17)?; // the returned value
    needs_option("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS")?;
    let (running, _links) = attached(&["fentry", "fexit"])?;
    read()?;
    for (index, wanted) in [(8, BYTES), (10, BYTES), (11, BYTES), (12, 1)] {
        saw(&running, index, wanted)?;
    }
    let flags = seen(&running, 9)?;
    ensure(flags & LARGE != 0, || format!("{flags:#o}"))
}

fn modified() -> Outcome {
    needs_kernel(5, 7)?;
    needs_option("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS")?;
    refused("fmod_ret", 19) // ENODEV
}

fn secured() -> Outcome {
    needs_kernel(5, 7)?;
    needs_option("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS")?;
    let active = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    if !active.trim().split(',').any(|name| name == "bpf") {
        return Err(Stop::lacks(
            "`bpf` in the kernel's list of security modules",
        ));
    }
    refused("lsm", 20) // ENOTDIR
}

/// A program has files refused that are opened with `O_NOATIME`, with its own error, and no others.
fn refused(program: &str, wanted: i32) -> Outcome {
    let (_running, links) = attached(&[program])?;
    let open = || {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(0o1_000_000)
            .open("/dev/zero")
    };
    let error = match open() {
        Ok(_) => return Err(Stop::fail("opened")),
        Err(error) => error.raw_os_error(),
    };
    ensure(error == Some(wanted), || format!("{error:?}"))?;
    File::open("/dev/zero")?;
    drop(links);
    open()?;
    Ok(())
}
