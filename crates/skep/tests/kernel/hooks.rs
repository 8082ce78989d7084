//! Every hook by itself, from a section's name to an event that was seen: each is a row of the table
//! hook by kernel that `cargo xtask vm` makes.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::net::{UnixDatagram, UnixListener, UnixStream},
};

use skep::{AttachOptions, boundary::Cause};
use skep_testing::{Cgroup, Outcome, Stop, Test, ensure, eventually, needs_kernel, needs_option};

use crate::support::{Running, getppid, host, me, object};

/// What makes an event happen.
type Fire = fn() -> Outcome;

/// A program of `hooks.bpf.c` on its hook.
pub(crate) struct Row {
    /// What the hook is called in the table.
    hook: &'static str,
    /// The program's name.
    pub(crate) program: &'static str,
    name: &'static str,
    /// The test, which is skipped on kernels that are not to have the hook.
    test: fn() -> Outcome,
    /// The same on every kernel: it is attached, fired and seen, or not.
    pub(crate) attempt: fn() -> Outcome,
}

/// Rows of hooks that see this process: the hook, the program, the kernel that has it first, an
/// option that it needs, and what fires it.
macro_rules! hooks {
    ($($hook:literal $program:literal ($major:literal $minor:literal) $option:literal $kind:ident $fire:ident;)*) => {
        vec![$({
            fn attempt() -> Outcome {
                $kind($program, $fire)
            }
            fn test() -> Outcome {
                needs_kernel($major, $minor)?;
                if !$option.is_empty() {
                    needs_option($option)?;
                }
                attempt()
            }
            let (hook, program, name) = ($hook, $program, concat!("hooks::", $program));
            Row { hook, program, name, test, attempt }
        }),*]
    };
}

pub(crate) fn tests() -> Vec<Test> {
    let rows = rows().into_iter();
    rows.map(|row| Test::new(row.name, row.test).of_hook(row.hook))
        .collect()
}

pub(crate) fn rows() -> Vec<Row> {
    hooks! {
        "kprobe" "kprobe" (4 1) "CONFIG_KPROBES" fires read;
        "kretprobe" "kretprobe" (4 1) "CONFIG_KPROBES" fires read;
        "ksyscall" "ksyscall" (4 1) "CONFIG_KPROBES" fires call;
        "kretsyscall" "kretsyscall" (4 1) "CONFIG_KPROBES" fires call;
        "kprobe.multi" "kprobe_multi" (5 18) "CONFIG_FPROBE" fires read;
        "kretprobe.multi" "kretprobe_multi" (5 18) "CONFIG_FPROBE" fires read;
        "kprobe.session" "kprobe_session" (6 10) "CONFIG_FPROBE" fires read;
        "fentry" "fentry" (5 5) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" fires read;
        "fexit" "fexit" (5 5) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" fires read;
        "fsession" "fsession" (7 0) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" fires read;
        "fentry.multi" "fentry_multi" (7 2) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" fires read;
        "fexit.multi" "fexit_multi" (7 2) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" fires read;
        "fsession.multi" "fsession_multi" (7 2) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" fires read;
        "fmod_ret" "fmod_ret" (5 7) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" fires read;
        "lsm" "lsm" (5 7) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" hardens read;
        "lsm.s" "lsm_sleepable" (5 11) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" hardens read;
        "fentry.s" "fentry_sleepable" (5 10) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" sleeps ask;
        "fexit.s" "fexit_sleepable" (5 10) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" sleeps ask;
        "fmod_ret.s" "fmod_ret_sleepable" (5 10) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" sleeps ask;
        "fsession.s" "fsession_sleepable" (7 0) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" sleeps ask;
        "fentry.multi.s" "fentry_multi_sleepable" (7 2) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" sleeps ask;
        "fexit.multi.s" "fexit_multi_sleepable" (7 2) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" sleeps ask;
        "fsession.multi.s" "fsession_multi_sleepable" (7 2) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" sleeps ask;
        "tracepoint.s" "tracepoint_sleepable" (7 2) "CONFIG_FTRACE_SYSCALLS" fires call;
        "raw_tp.s" "raw_tp_sleepable" (7 2) "" fires call;
        "tp_btf.s" "tp_btf_sleepable" (7 2) "" fires call;
        "uprobe.s" "uprobe_sleepable" (6 0) "CONFIG_UPROBE_EVENTS" fires library_call;
        "uretprobe.s" "uretprobe_sleepable" (6 0) "CONFIG_UPROBE_EVENTS" fires library_call;
        "uprobe.multi.s" "uprobe_multi_sleepable" (6 6) "CONFIG_UPROBE_EVENTS" fires library_call;
        "uretprobe.multi" "uretprobe_multi" (6 6) "CONFIG_UPROBE_EVENTS" fires library_call;
        "uretprobe.multi.s" "uretprobe_multi_sleepable" (6 6) "CONFIG_UPROBE_EVENTS" fires library_call;
        "uprobe.session.s" "uprobe_session_sleepable" (6 13) "CONFIG_UPROBE_EVENTS" fires library_call;
        "tracepoint" "tracepoint" (4 7) "CONFIG_FTRACE_SYSCALLS" fires call;
        "raw_tp" "raw_tp" (4 17) "" fires call;
        "tp_btf" "tp_btf" (5 5) "" fires call;
        "lsm_cgroup" "lsm_cgroup" (6 0) "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" guards datagram;
        "cgroup/sock_create" "cgroup_sock_create" (4 10) "" guards datagram;
        "cgroup/sock_release" "cgroup_sock_release" (5 9) "" guards datagram;
        "cgroup/bind4" "cgroup_bind4" (4 17) "" guards datagram;
        "cgroup/post_bind4" "cgroup_post_bind4" (4 17) "" guards datagram;
        "cgroup/connect4" "cgroup_connect4" (4 17) "" guards connect;
        "cgroup/sendmsg4" "cgroup_sendmsg4" (4 18) "" guards datagram;
        "cgroup/recvmsg4" "cgroup_recvmsg4" (5 2) "" guards datagram;
        "cgroup/getpeername4" "cgroup_getpeername4" (5 8) "" guards connect;
        "cgroup/getsockname4" "cgroup_getsockname4" (5 8) "" guards connect;
        "cgroup/bind6" "cgroup_bind6" (4 17) "" guards datagram6;
        "cgroup/post_bind6" "cgroup_post_bind6" (4 17) "" guards datagram6;
        "cgroup/connect6" "cgroup_connect6" (4 17) "" guards connect6;
        "cgroup/sendmsg6" "cgroup_sendmsg6" (4 18) "" guards datagram6;
        "cgroup/recvmsg6" "cgroup_recvmsg6" (5 2) "" guards datagram6;
        "cgroup/getpeername6" "cgroup_getpeername6" (5 8) "" guards connect6;
        "cgroup/getsockname6" "cgroup_getsockname6" (5 8) "" guards connect6;
        "cgroup/connect_unix" "cgroup_connect_unix" (6 7) "" guards connect_unix;
        "cgroup/sendmsg_unix" "cgroup_sendmsg_unix" (6 7) "" guards datagram_unix;
        "cgroup/recvmsg_unix" "cgroup_recvmsg_unix" (6 7) "" guards datagram_unix;
        "cgroup/getpeername_unix" "cgroup_getpeername_unix" (6 7) "" guards connect_unix;
        "cgroup/getsockname_unix" "cgroup_getsockname_unix" (6 7) "" guards connect_unix;
        "cgroup/sysctl" "cgroup_sysctl" (5 2) "" guards setting;
        "cgroup/getsockopt" "cgroup_getsockopt" (5 3) "" guards option;
        "cgroup/setsockopt" "cgroup_setsockopt" (5 3) "" guards option;
        "cgroup/dev" "cgroup_dev" (4 15) "" guards device;
        "cgroup_skb/ingress" "cgroup_skb_ingress" (4 10) "" guards datagram;
        "cgroup_skb/egress" "cgroup_skb_egress" (4 10) "" guards datagram;
        "sockops" "sockops" (4 13) "" guards connect;
    }
}

/// The program by itself, for this process.
fn running(program: &str) -> Outcome<Running> {
    let mut object = object("hooks")?;
    object.only_programs(&[program])?;
    object.global("target_pid")?.set(me())?;
    match object.load(host()) {
        Ok(loaded) => Ok(Running { object, loaded }),
        Err(error) => match error.cause() {
            // Some vendors' kernels do, whatever they are configured with.
            Some(Cause::Other { what, .. }) if what.contains("refuses all programs") => {
                Err(Stop::lacks("a kernel that lets programs patch functions"))
            }
            _ => Err(error.into()),
        },
    }
}

/// It counts while it is attached, and no longer.
fn seen(program: &str, options: &AttachOptions, fire: Fire) -> Outcome {
    let running = running(program)?;
    fire()?;
    let hits = running.number("hits")?;
    ensure(hits == 0, || format!("{hits} hits before it is attached"))?;
    let link = running.loaded.program(program)?.attach_with(options)?;
    fire()?;
    eventually("a hit", || Ok(running.number("hits")? > 0))?;
    link.detach()?;
    // What was under way may still count.
    let hits = running.number("hits")?;
    fire()?;
    fire()?;
    let after = running.number("hits")?;
    ensure(after <= hits + 1, || format!("{hits} hits, then {after}"))
}

fn fires(program: &str, fire: Fire) -> Outcome {
    seen(program, &AttachOptions::default(), fire)
}

/// Programs that may sleep, on a system call. Linux lets them be on all of these since 7.2, and before
/// on functions alone that are marked for injected errors.
fn sleeps(program: &str, fire: Fire) -> Outcome {
    if needs_kernel(7, 2).is_err() {
        needs_option("CONFIG_FUNCTION_ERROR_INJECTION")?;
    }
    fires(program, fire)
}

/// Skips where the kernel was not started with programs on security hooks: there they never run.
pub(crate) fn needs_security_programs() -> Outcome {
    let active = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    if !active.trim().split(',').any(|name| name == "bpf") {
        return Err(Stop::lacks(
            "`bpf` in the kernel's list of security modules",
        ));
    }
    Ok(())
}

fn hardens(program: &str, fire: Fire) -> Outcome {
    needs_security_programs()?;
    fires(program, fire)
}

/// Hooks of a cgroup, with this process in it.
fn guards(program: &str, fire: Fire) -> Outcome {
    let cgroup = Cgroup::new()?;
    cgroup.join()?;
    let options = AttachOptions {
        cgroup: Some(cgroup.path().to_owned()),
        ..AttachOptions::default()
    };
    seen(program, &options, fire)
}

pub(crate) fn call() -> Outcome {
    getppid();
    Ok(())
}

/// A system call with an argument.
fn ask() -> Outcome {
    rustix::process::getpgid(None)?;
    Ok(())
}

/// Of the C library's `getpid`.
fn library_call() -> Outcome {
    std::hint::black_box(std::process::id());
    Ok(())
}

pub(crate) fn read() -> Outcome {
    let mut bytes = [0; 16];
    Ok(File::open("/etc/passwd")?.read_exact(&mut bytes)?)
}

fn device() -> Outcome {
    let mut bytes = [0; 16];
    Ok(File::open("/dev/zero")?.read_exact(&mut bytes)?)
}

fn setting() -> Outcome {
    let read = fs::read_to_string("/proc/sys/kernel/ostype")?;
    ensure(read.trim() == "Linux", || read.clone())
}

/// A datagram that goes to where it was sent from.
pub(crate) fn datagram() -> Outcome {
    datagram_on("127.0.0.1:0")
}

fn datagram6() -> Outcome {
    datagram_on("[::1]:0")
}

fn datagram_on(address: &str) -> Outcome {
    let socket = UdpSocket::bind(address)?;
    let to = socket.local_addr()?;
    socket.send_to(b"to myself", to)?;
    let mut bytes = [0; 16];
    socket.recv_from(&mut bytes)?;
    Ok(())
}

/// The same between two paths.
fn datagram_unix() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (near, far) = (folder.path().join("near"), folder.path().join("far"));
    let (sender, receiver) = (UnixDatagram::bind(near)?, UnixDatagram::bind(&far)?);
    sender.send_to(b"to the other", far)?;
    receiver.recv_from(&mut [0; 16])?;
    Ok(())
}

/// A connection over loopback.
pub(crate) fn connect() -> Outcome {
    connect_on("127.0.0.1:0")
}

fn connect6() -> Outcome {
    connect_on("[::1]:0")
}

fn connect_unix() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("listener");
    let listener = UnixListener::bind(&path)?;
    let there = UnixStream::connect(&path)?;
    let (here, _) = listener.accept()?;
    let (peer, own) = (there.peer_addr()?, here.local_addr()?);
    ensure(peer.as_pathname() == own.as_pathname(), || {
        format!("{peer:?} and {own:?}")
    })
}

fn connect_on(address: &str) -> Outcome {
    let listener = TcpListener::bind(address)?;
    let mut there = TcpStream::connect(listener.local_addr()?)?;
    let (mut here, from) = listener.accept()?;
    ensure(there.local_addr()? == from, || from.to_string())?;
    ensure(here.peer_addr()? == from, || from.to_string())?;
    there.write_all(b"hello")?;
    let mut bytes = [0; 5];
    Ok(here.read_exact(&mut bytes)?)
}

fn option() -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_ttl(33)?;
    ensure(socket.ttl()? == 33, || "not as it was set".into())
}
