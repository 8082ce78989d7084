//! A command or process that the virtual machine traces, and what its programs run for where
//! there is none.

use std::{
    io,
    process::{Command, ExitCode, ExitStatus},
};

use skep::{
    Host, Object,
    spec::{AttachKind, SectionName},
    vm::{TraceError, Traced, Vm},
};

use super::{
    Format, RunArgs,
    command::say_end,
    losses::Losses,
    stop::{Stop, Waker},
    workload::{self, LONGEST_SLEEP, Turn, Workload},
};
use crate::exit::{self, NotRun, Usage};

/// The workload of a run on the virtual machine, which sees nothing but what is given to it.
pub(super) fn of(
    args: &RunArgs,
    host: &Host,
    vm: &Vm,
    object: &mut Object,
    stop: &Stop,
) -> anyhow::Result<Box<dyn Workload>> {
    let traced = match args.pid {
        Some(_) if !args.command.is_empty() => {
            let text = "-p and a command: the vm traces one of the two; leave out -p";
            return Err(Usage(text.into()).into());
        }
        Some(pid) => vm.follow(pid)?,
        None if !args.command.is_empty() => {
            let traced = vm.command(command(args)).map_err(cannot_run)?;
            let others = "the command and all that it starts";
            workload::limit(args, host, object, traced.id(), false, others)?;
            traced
        }
        None => {
            runs_without(args, host, object)?;
            return Ok(Box::new(Nothing));
        }
    };
    Ok(Box::new(Process {
        follows: args.pid.is_some(),
        traced: Some(traced),
        waker: Some(stop.waker()?),
        status: None,
    }))
}

/// What a hook of the virtual machine is fired by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FiredBy {
    Tasks,
    Packets,
    Itself,
}

fn fired_by(kind: AttachKind) -> FiredBy {
    use AttachKind as Kind;
    match kind {
        Kind::Xdp | Kind::Tc | Kind::Netkit | Kind::Netfilter | Kind::Cgroup => FiredBy::Packets,
        Kind::SocketFilter | Kind::Sockmap | Kind::Netns => FiredBy::Packets,
        Kind::Iterator | Kind::Syscall | Kind::StructOps | Kind::Custom | Kind::Manual => {
            FiredBy::Itself
        }
        _ => FiredBy::Tasks,
    }
}

/// Whether the programs have something to run for with nothing traced. What the machine has no
/// such hook for is no matter of that: attaching it says more.
fn runs_without(args: &RunArgs, host: &Host, object: &Object) -> anyhow::Result<()> {
    let program = args.program().display();
    let known = host.boundary().tracepoints()?;
    if object
        .chosen_programs()
        .any(|one| is_absent(&one.section, &known))
    {
        return Ok(());
    }
    let mut kinds = object
        .chosen_programs()
        .map(|one| fired_by(one.section.kind()));
    let text = match kinds.find(|by| *by != FiredBy::Itself) {
        None => return Ok(()),
        Some(FiredBy::Packets) => format!(
            "the vm has no network of its own: give it packets, as in `skep run {program} \
             --pcap FILE`, or use the kernel (`--host kernel`, as root)"
        ),
        Some(_) => format!(
            "the vm sees what it traces: say what, as in `skep run {program} -- ls /etc`, or \
             `-p PID` for a process that runs; all processes are seen on the kernel \
             (`--host kernel`, as root)"
        ),
    };
    Err(Usage(text).into())
}

/// The machine has no such hook; `known` are its tracepoints.
fn is_absent(section: &SectionName, known: &[String]) -> bool {
    use AttachKind as Kind;
    let target = section.target().unwrap_or_default();
    match section.kind() {
        Kind::Tracepoint => {
            !target.starts_with("syscalls/") && !known.iter().any(|name| name == target)
        }
        Kind::RawTracepoint | Kind::TracepointBtf => {
            let mut names = known.iter().filter_map(|name| name.rsplit('/').next());
            !names.any(|name| name == target)
        }
        Kind::Kprobe | Kind::Kretprobe => !target.starts_with("__x64_sys_"),
        Kind::KprobeMulti | Kind::KretprobeMulti | Kind::KprobeSession => true,
        Kind::Fentry | Kind::Fexit | Kind::FmodRet | Kind::Fsession | Kind::Lsm => true,
        _ => false,
    }
}

/// No process: programs run by themselves, as iterators do.
struct Nothing;

impl Workload for Nothing {
    fn turn(&mut self) -> anyhow::Result<Turn> {
        Ok(Turn::Wait(LONGEST_SLEEP))
    }
}

fn command(args: &RunArgs) -> Command {
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]);
    if args.format == Format::Json {
        // Not between the lines of JSON.
        command.stdout(io::stderr());
    }
    command
}

/// A traced command, or a process that is followed.
struct Process {
    /// It was there before, and goes on after.
    follows: bool,
    /// `None` once it was let go.
    traced: Option<Traced>,
    /// For the tracer's thread.
    waker: Option<Waker>,
    status: Option<ExitStatus>,
}

impl Workload for Process {
    /// What a command starts is part of it, and nothing else is traced.
    fn pid(&self) -> Option<u32> {
        let followed = self.traced.as_ref().filter(|_| self.follows);
        followed.map(Traced::id)
    }

    fn on_exits(&mut self, tell: Box<dyn Fn(u32) + Send + Sync>) {
        if let Some(traced) = &self.traced {
            traced.on_exits(tell);
        }
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        let Some(traced) = &mut self.traced else {
            return Ok(());
        };
        if let Some(waker) = self.waker.take() {
            traced.on_end(move || waker.wake());
        }
        traced.resume().map_err(cannot_run)
    }

    fn turn(&mut self) -> anyhow::Result<Turn> {
        let Some(traced) = &self.traced else {
            return Ok(Turn::Ended);
        };
        self.status = traced.try_wait();
        Ok(match self.status {
            None if traced.tasks() > 0 => Turn::Wait(LONGEST_SLEEP),
            _ => Turn::Ended,
        })
    }

    fn end(&mut self, losses: &mut Losses) -> anyhow::Result<()> {
        if let Some(traced) = &self.traced {
            losses.traced(traced.counts());
        }
        if !self.follows {
            say_end(self.status);
        }
        Ok(())
    }

    fn leave(&mut self) {
        let Some(traced) = self.traced.take() else {
            return;
        };
        let left = traced.tasks();
        if left > 0 && traced.is_bound() {
            // Its system calls would fail with nobody there to let them pass.
            let (number, goes) = match left {
                1 => ("a process".to_owned(), "goes"),
                more => (format!("{more} threads"), "go"),
            };
            say!(
                "{number} of the command {goes} on, and can't without skep: waiting for the end \
                 (Ctrl-C kills)"
            );
            traced.wait_all();
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self.status {
            Some(status) if !self.follows => exit::of_command(status),
            _ => ExitCode::SUCCESS,
        }
    }
}

/// A command that can't be executed ends the run as it ends shells.
fn cannot_run(error: TraceError) -> anyhow::Error {
    let TraceError::Command { program, source } = error else {
        return error.into();
    };
    NotRun {
        reason: format!("cannot run `{program}`: {source}"),
        exists: source.kind() != io::ErrorKind::NotFound,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fires_hooks() {
        assert_eq!(fired_by(AttachKind::Tracepoint), FiredBy::Tasks);
        assert_eq!(fired_by(AttachKind::Uprobe), FiredBy::Tasks);
        assert_eq!(fired_by(AttachKind::PerfEvent), FiredBy::Tasks);
        assert_eq!(fired_by(AttachKind::Xdp), FiredBy::Packets);
        assert_eq!(fired_by(AttachKind::Iterator), FiredBy::Itself);
        let absent = |section| {
            let section = SectionName::parse(section).unwrap();
            is_absent(&section, &["sched/sched_process_exec".into()])
        };
        for there in [
            "tp/syscalls/sys_enter_openat",
            "tp/sched/sched_process_exec",
            "raw_tp/sched_process_exec",
            "kprobe/__x64_sys_openat",
            "uprobe//bin/ls:main",
        ] {
            assert!(!absent(there), "{there}");
        }
        for missing in [
            "tp/sched/sched_switch",
            "tp_btf/sched_switch",
            "kprobe/vfs_read",
        ] {
            assert!(absent(missing), "{missing}");
        }
    }
}
