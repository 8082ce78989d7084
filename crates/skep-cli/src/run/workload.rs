//! What a run is over: a command, a process, the packets of a file, a recording. Each makes events
//! happen in its own way; the loop of `skep run` only gives them their turns.

use std::{os::fd::OwnedFd, process::ExitCode, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use skep::{AttachOptions, Host, Link, Loaded, Object, vm::TraceError};

use super::{Output, RunArgs, choices, command, losses::Losses, packets, stop::Stop, traced};

/// How a workload stands after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has more to do at once: the next turn follows when what programs sent is printed.
    More,
    /// It goes on by itself, or waits; the next turn is when there are events or a signal, at
    /// the latest after this time.
    Wait(Duration),
    /// Nothing happens any more.
    Ended,
}

/// What makes events happen. The methods are called in the order in which they stand here.
pub(crate) trait Workload {
    /// The process that programs and hooks are limited to, if it is about one.
    fn pid(&self) -> Option<u32> {
        None
    }

    /// Attaches the programs.
    fn attach(&mut self, loaded: &Loaded, options: &AttachOptions) -> anyhow::Result<Vec<Link>> {
        Ok(loaded.attach_all_with(options)?)
    }

    /// Wants to be told of each process that is about to end, by its number.
    fn on_exits(&mut self, _tell: Box<dyn Fn(u32) + Send + Sync>) {}

    /// All is attached: it may begin.
    fn begin(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Goes on for some milliseconds at most.
    fn turn(&mut self) -> anyhow::Result<Turn>;

    /// The run ends, while all is still attached: it stops, and says what it lost.
    fn end(&mut self, _losses: &mut Losses) -> anyhow::Result<()> {
        Ok(())
    }

    /// What programs sent is printed: now it prints what came of it by itself.
    fn results(&mut self, _output: &mut Output) -> anyhow::Result<()> {
        Ok(())
    }

    /// All is printed and nothing is attached any more: it is let go.
    fn leave(&mut self) {}

    /// Why it ended too early.
    fn failure(&mut self) -> Option<anyhow::Error> {
        None
    }

    /// What the run ends with, if not with a failure.
    fn exit_code(&self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

/// How long the loop sleeps at most where nothing else says it: rows of programs that don't wake
/// their reader come this late.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_millis(200);

/// Whatever happens on the machine: nothing has to be done for it. If it is about one process, it ends
/// with that.
struct Machine {
    pid: Option<u32>,
    /// That process, if it is there and the kernel can tell of its end (5.3).
    process: Option<OwnedFd>,
}

impl Machine {
    /// # Errors
    /// There is no such process: nothing would ever be seen of it.
    fn of(pid: Option<u32>) -> Result<Self, TraceError> {
        let number = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let process = match number.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            Some(Err(Errno::SRCH)) => {
                let pid = pid.unwrap_or_default();
                return Err(TraceError::NoProcess { pid });
            }
            opened => opened.and_then(Result::ok),
        };
        Ok(Self { pid, process })
    }
}

impl Workload for Machine {
    fn pid(&self) -> Option<u32> {
        self.pid
    }

    fn turn(&mut self) -> anyhow::Result<Turn> {
        if let (Some(pid), Some(process)) = (self.pid, &self.process) {
            let mut files = [PollFd::new(process, PollFlags::IN)];
            if poll(&mut files, Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
                say!("process {pid} has ended");
                return Ok(Turn::Ended);
            }
        }
        Ok(Turn::Wait(LONGEST_SLEEP))
    }
}

/// What the flags ask for. The object is limited to it, where it can be.
pub(crate) fn of(
    args: &RunArgs,
    host: &Host,
    object: &mut Object,
    stop: &Stop,
) -> anyhow::Result<Box<dyn Workload>> {
    match (host.as_vm(), args.command.is_empty()) {
        (Some(vm), _) if args.packets.asked().is_some() => packets::of(args, vm, object, stop),
        (Some(vm), _) => traced::of(args, host, vm, object, stop),
        (None, true) => Ok(Box::new(Machine::of(args.pid)?)),
        (None, false) => command::of(args, host, object, stop),
    }
}

/// Limits the object to the command, and says so; `others` is what it sees where it can't be
/// limited, neither by a global nor, if `hooks` are attached to the command alone, by those.
pub(super) fn limit(
    args: &RunArgs,
    host: &Host,
    object: &mut Object,
    id: u32,
    hooks: bool,
    others: &str,
) -> anyhow::Result<()> {
    if args.pid.is_some() {
        return Ok(());
    }
    match choices::limit_to(object, host, id)? {
        Some(limited) => say!("only process {id} ({limited})"),
        None if hooks && choices::limits_by_itself(object) => {
            say!("only process {id} (its hooks take a process)");
        }
        None => say!("{others}: this program has no target_pid to limit it to one process"),
    }
    Ok(())
}
