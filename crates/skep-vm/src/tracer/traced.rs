//! What embedders hold of what is traced.

use std::{
    fmt, io,
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus},
    sync::Arc,
    thread::JoinHandle,
};

use skep_host::Errno;

use super::{
    Stdio, TraceCounts, TraceError,
    control::{Control, OnEnd, OnExits, Request},
    launch::{self, Held},
    system,
    thread::Tracer,
};
use crate::{
    Vm,
    machine::{Ticking, Watcher},
};

impl Vm {
    /// Forks a process for a command, and holds it before its first instruction: programs that
    /// are attached until [`Traced::resume`] miss nothing of it, and its number is known for
    /// those that look at one process. All that it starts is traced too.
    ///
    /// The command runs as it would alone, but that
    /// - without `CAP_SYS_ADMIN` it gains no privileges by set-user-ID programs (`NO_NEW_PRIVS`),
    /// - nothing else can trace it: it gets `EPERM`,
    /// - its parent is this process.
    ///
    /// The standard library's rules for [`Command`] hold, those of `pre_exec` included. An
    /// embedder that waits for any child (`waitpid(-1)`) in another thread takes the tracer's
    /// events away: wait for children by their numbers.
    ///
    /// # Errors
    /// What spawning says; that tracing is not allowed here.
    pub fn command(&self, command: Command) -> Result<Traced, TraceError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |source| TraceError::Command {
            program: program.clone(),
            source,
        };
        let held = launch::hold(command).map_err(failed)?;
        let pid = held.pid;
        match Traced::start(self, pid as u32, true) {
            Ok(mut traced) => {
                traced.program = program;
                traced.held = Some(held);
                Ok(traced)
            }
            Err(error) => {
                // Nobody traces it, and without its other end the pipe tells it to end.
                let _ = system::kill(pid, libc::SIGKILL);
                Err(error)
            }
        }
    }

    /// Traces a process that runs, with all its threads, and what it starts from now on. It goes
    /// on whole when the [`Traced`] is dropped.
    ///
    /// System calls that wait may return `EINTR` once, where the kernel does not go on with them
    /// by itself (`epoll_wait` and some others): to begin tracing, threads are stopped.
    ///
    /// # Errors
    /// There is no such process; it belongs to another user, is traced already, or the system
    /// forbids it.
    pub fn follow(&self, pid: u32) -> Result<Traced, TraceError> {
        Traced::start(self, pid, false)
    }
}

/// A command or process that is traced.
///
/// Dropped before [`Traced::resume`], a command is ended without having run. Dropped afterwards, no
/// program runs for it any more. A followed process is let go whole. A command under a filter
/// can't be: it goes on under the eyes of a thread of this process, and is killed if this process
/// ends before it.
pub struct Traced {
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
    id: u32,
    /// The process itself, whatever its number is given to later.
    handle: OwnedFd,
    program: String,
    held: Option<Held>,
    child: Option<Child>,
}

impl fmt::Debug for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Traced({})", self.id)
    }
}

impl Traced {
    fn start(vm: &Vm, pid: u32, command: bool) -> Result<Self, TraceError> {
        let handle = system::handle(pid as i32).map_err(|errno| match errno {
            Errno::ESRCH | Errno::EINVAL => TraceError::NoProcess { pid },
            errno => TraceError::System {
                what: "open a process",
                errno,
            },
        })?;
        let control = Arc::new(Control::default());
        let watcher: Arc<dyn Watcher> = Arc::clone(&control) as _;
        vm.0.hooks.watch(&watcher);
        if vm.0.clock.is_manual() {
            let ticking: Arc<dyn Ticking> = Arc::clone(&control) as _;
            vm.0.ticks.add(Arc::downgrade(&ticking));
        }
        let (machine, own) = (vm.clone(), Arc::clone(&control));
        let thread = std::thread::Builder::new()
            .name("skep-tracer".into())
            .spawn(move || Tracer::run(machine, &own, pid as i32, command))
            .map_err(|error| TraceError::System {
                what: "start the tracer's thread",
                errno: Errno(error.raw_os_error().unwrap_or_default()),
            })?;
        control.wait(|state| state.begun.take())?;
        Ok(Self {
            control,
            thread: Some(thread),
            id: pid,
            handle,
            program: String::new(),
            held: None,
            child: None,
        })
    }

    /// The number of the process: of a command, that which it will have.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Lets a held command go, and waits until it is executed. Does nothing for a followed
    /// process, and nothing twice.
    ///
    /// # Errors
    /// It can't be executed.
    pub fn resume(&mut self) -> Result<(), TraceError> {
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        self.control.ask(Request::Go(held));
        let going = self.control.wait(|state| match state.going.take() {
            None if state.ended => Some(Err(TraceError::Begun)),
            found => found,
        })?;
        let arrived = going.arrived();
        // Where its end of a pipe was closed without an error, it may have been executed or ended.
        let failure = self.control.wait(|state| match state.failure {
            None if state.ended || state.executed => Some(None),
            None => None,
            failure => Some(failure),
        });
        let failed = |source| TraceError::Command {
            program: self.program.clone(),
            source,
        };
        if let Some(errno) = failure {
            return Err(failed(io::Error::from_raw_os_error(errno)));
        }
        self.child = Some(arrived.map_err(failed)?);
        Ok(())
    }

    /// Takes the ends of the command's pipes, after it was let go.
    pub fn stdio(&mut self) -> Stdio {
        let child = self.child.as_mut();
        child.map_or_else(Stdio::default, |child| Stdio {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
        })
    }

    /// The exit status of the process, if it has ended. `None` also if it could not be followed
    /// to its end.
    #[must_use]
    pub fn try_wait(&self) -> Option<ExitStatus> {
        self.control.state().exit
    }

    /// Waits for the process to end, and gives its exit status. What it started may go on.
    ///
    /// # Errors
    /// `ECHILD`: it was lost, or was never let go.
    pub fn wait(&self) -> Result<ExitStatus, TraceError> {
        let found = self.control.wait(|state| match state.exit {
            None if state.ended => Some(None),
            None if self.held.is_some() => Some(None),
            None => None,
            exit => Some(exit),
        });
        found.ok_or(TraceError::System {
            what: "wait for the process",
            errno: Errno(libc::ECHILD),
        })
    }

    /// Waits until the process and all that it started have ended.
    pub fn wait_all(&self) {
        if self.held.is_none() {
            self.control.wait(|state| state.ended.then_some(()));
        }
    }

    /// Has the end of the process told of, from the tracer's thread, or at once if it has ended:
    /// for event loops. What is told must not wait for the tracer.
    pub fn on_end(&self, tell: impl FnOnce() + Send + 'static) {
        let told = {
            let mut state = self.control.state();
            state.on_end = Some(OnEnd(Box::new(tell)));
            state.told()
        };
        if let Some(OnEnd(tell)) = told {
            tell();
        }
    }

    /// Has each process told of, by its number, while it is about to end and its memory is still
    /// mapped: for who names addresses later. It is told from the tracer's thread, and the process
    /// waits meanwhile. One that is killed, and one whose memory another program has taken over
    /// (`exec`), is not told of. Only the first call counts.
    pub fn on_exits(&self, tell: impl Fn(u32) + Send + Sync + 'static) {
        let _ = self.control.on_exits.set(OnExits(Box::new(tell)));
    }

    /// Whether a command that was let go can't go on without this process: it is under a filter.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.control.state().bound
    }

    /// How many tasks are traced now.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.control.state().alive
    }

    /// What was seen and lost so far.
    #[must_use]
    pub fn counts(&self) -> TraceCounts {
        self.control.tally.counts()
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    /// [`TraceError::NoProcess`]: it has ended. There is no such signal.
    pub fn signal(&self, signal: i32) -> Result<(), TraceError> {
        let sent = system::signal_by(&self.handle, signal);
        sent.map_err(|errno| match errno {
            Errno::ESRCH => TraceError::NoProcess { pid: self.id },
            errno => TraceError::System {
                what: "send a signal",
                errno,
            },
        })
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let request = match self.held.take() {
            Some(_) => Request::Drop,
            None => Request::Leave,
        };
        self.control.ask(request);
        // A command may go on for long; its tracer's thread stays with it.
        let stays = self.control.wait(|state| {
            let left = state.ended || state.left;
            left.then_some(!state.ended)
        });
        if let (false, Some(thread)) = (stays, self.thread.take()) {
            let _ = thread.join();
        }
    }
}
