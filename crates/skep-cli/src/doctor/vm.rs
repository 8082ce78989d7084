//! The virtual machine's part of the report: what it can do for this process here.

use std::{fs, process::Command};

use skep::{
    linux::{Answer, Check, Section},
    vm::{TraceError, Vm},
};

/// The check without which the virtual machine sees no process.
pub(super) const TRACING: &str = "trace a command";

/// Tries what can be tried without a trace, and reads what decides about the rest.
pub(super) fn section() -> Section {
    Section {
        title: "virtual machine",
        checks: vec![command(), process(), filter(), packets()],
    }
}

fn check(name: &str, answer: Answer, detail: impl Into<String>, fix: impl Into<String>) -> Check {
    Check {
        name: name.into(),
        answer,
        detail: detail.into(),
        fix: fix.into(),
    }
}

/// Holds a command, which is ended before its first instruction.
fn command() -> Check {
    let held = Vm::new()
        .map_err(|errno| (format!("no memory for it ({errno})"), String::new()))
        .and_then(|vm| {
            let program = std::env::current_exe().unwrap_or_else(|_| "/bin/true".into());
            let held = vm.command(Command::new(program));
            held.map_err(|error| match error {
                TraceError::NotAllowed { reason, remedy, .. } => (reason, remedy.to_owned()),
                error => (error.to_string(), String::new()),
            })
        });
    match held {
        Ok(_) => check(
            TRACING,
            Answer::Yes,
            "system calls, processes, functions of user space, timers",
            "",
        ),
        Err((reason, fix)) => check(TRACING, Answer::No, reason, fix),
    }
}

/// `-p PID`: what Yama leaves of the right to trace.
fn process() -> Check {
    const NAME: &str = "trace a process (-p)";
    const SCOPE: &str = "kernel.yama.ptrace_scope";
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
    let may_all = rustix::thread::capabilities(None).is_ok_and(|sets| {
        let needed = rustix::thread::CapabilitySet::SYS_PTRACE;
        sets.effective.contains(needed)
    });
    let of_all = "those of every user, by CAP_SYS_PTRACE";
    let own = "those of this user";
    match scope.as_deref().map(str::trim) {
        Some("3") => check(
            NAME,
            Answer::No,
            format!("{SCOPE} is 3: nobody may"),
            "it can only be changed by a reboot",
        ),
        _ if may_all => check(NAME, Answer::Yes, of_all, ""),
        None | Some("0") => check(NAME, Answer::Yes, own, ""),
        Some(value) => check(
            NAME,
            Answer::No,
            format!("{SCOPE} is {value}, and this process lacks CAP_SYS_PTRACE"),
            format!("run as root, or `sysctl -w {SCOPE}=0`"),
        ),
    }
}

/// Without it every system call stops the command.
fn filter() -> Check {
    const NAME: &str = "stop at the hooked calls alone";
    match fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail") {
        Ok(actions) if actions.split_whitespace().any(|action| action == "trace") => {
            check(NAME, Answer::Yes, "by a seccomp filter", "")
        }
        Ok(_) | Err(_) => check(
            NAME,
            Answer::No,
            "no seccomp filters here: every system call stops the command, which is slower",
            "use a kernel built with CONFIG_SECCOMP_FILTER=y",
        ),
    }
}

fn packets() -> Check {
    check("packets of a file (--pcap)", Answer::Yes, "", "")
}
