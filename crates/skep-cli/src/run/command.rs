//! The command behind `--`: started stopped, so that hooks are in place before its first
//! instruction, and reaped when it ends.
//!
//! Skep starts itself under the hidden name [`HIDDEN`]; that process stops itself, and when it
//! is woken becomes the command. Its id is the command's, so filters can be set before.

use std::{
    env,
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
};

use anyhow::{Context as _, bail};
use rustix::{
    fs::{Access, access},
    process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid},
};

use signal_hook::consts::SIGCHLD;
use skep::{Host, Object};

use super::{
    Format, RunArgs,
    losses::Losses,
    stop::Stop,
    workload::{self, LONGEST_SLEEP, Turn, Workload},
};
use crate::exit::{self, Exit, NotRun};

/// The sub-command that waits and then becomes the command.
pub(crate) const HIDDEN: &str = "__stopped";

/// A command that was started and may still be stopped.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    pid: Pid,
    woken: bool,
}

impl Started {
    /// Starts the command, stopped before its first instruction. What it prints goes where ours
    /// goes, but not between lines of JSON: there it goes to stderr.
    pub(crate) fn stopped(words: &[OsString], format: Format) -> anyhow::Result<Self> {
        let skep = env::current_exe().context("cannot find this program's own file")?;
        let child = Command::new(skep)
            .arg(HIDDEN)
            .args(words)
            .stdout(match format {
                Format::Table => Stdio::inherit(),
                Format::Json => io::stderr().into(),
            })
            .spawn()
            .with_context(|| format!("cannot start `{}`", words[0].display()))?;
        let pid = Pid::from_child(&child);
        let started = Self {
            child,
            pid,
            woken: false,
        };
        match waitpid(Some(pid), WaitOptions::UNTRACED)? {
            Some((_, status)) if status.stopped() => Ok(started),
            _ => bail!(
                "cannot start `{}`: it ended before it could be watched",
                words[0].display()
            ),
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it run.
    pub(crate) fn wake(&mut self) -> anyhow::Result<()> {
        kill_process(self.pid, Signal::CONT).context("cannot wake the command")?;
        self.woken = true;
        Ok(())
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Started {
    /// A command that outlives the run goes on by itself; one that never ran is removed.
    fn drop(&mut self) {
        if !self.woken {
            // Best effort: it may be gone already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A command that runs while the kernel fires.
struct Watched {
    pid: u32,
    started: Started,
    status: Option<ExitStatus>,
}

/// Starts the command, to be watched by the kernel.
pub(super) fn of(
    args: &RunArgs,
    host: &Host,
    object: &mut Object,
    stop: &Stop,
) -> anyhow::Result<Box<dyn Workload>> {
    let started = Started::stopped(&args.command, args.format)?;
    stop.wake_by(SIGCHLD)?;
    workload::limit(args, host, object, started.id(), true, "all processes")?;
    Ok(Box::new(Watched {
        pid: args.pid.unwrap_or(started.id()),
        started,
        status: None,
    }))
}

impl Workload for Watched {
    fn pid(&self) -> Option<u32> {
        Some(self.pid)
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        self.started.wake()
    }

    fn turn(&mut self) -> anyhow::Result<Turn> {
        let ended = self.started.ended();
        self.status = ended.context("cannot wait for the command")?;
        Ok(match self.status {
            Some(_) => Turn::Ended,
            None => Turn::Wait(LONGEST_SLEEP),
        })
    }

    fn end(&mut self, _losses: &mut Losses) -> anyhow::Result<()> {
        say_end(self.status);
        Ok(())
    }

    fn exit_code(&self) -> ExitCode {
        self.status.map_or(ExitCode::SUCCESS, exit::of_command)
    }
}

/// Says how the command ended, where it is not well.
pub(super) fn say_end(status: Option<ExitStatus>) {
    if let Some(status) = status.filter(|status| !status.success()) {
        say!("the command ended with {status}");
    }
}

/// Looks whether there is such a command and it can be executed, before anything is done for it.
///
/// # Errors
/// [`NotRun`].
pub(crate) fn check(words: &[OsString]) -> Result<(), NotRun> {
    let Some(program) = words.first().map(Path::new) else {
        return Ok(());
    };
    let refused = |exists, why: &str| NotRun {
        reason: format!("cannot run `{}`: {why}", program.display()),
        exists,
    };
    // Bare names are looked for on `PATH`, as shells do.
    let candidates: Vec<PathBuf> = match program.components().count() {
        0 | 1 if !program.as_os_str().as_encoded_bytes().contains(&b'/') => {
            let folders = env::var_os("PATH").unwrap_or_default();
            let found = env::split_paths(&folders).map(|folder| folder.join(program));
            found.filter(|file| file.exists()).collect()
        }
        _ => vec![program.into()],
    };
    let mut why = refused(false, "there is no such program");
    for file in &candidates {
        match executable(file) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => why = refused(true, &error.to_string()),
        }
    }
    Err(why)
}

/// Whether a file can be executed, as far as can be seen without doing so.
fn executable(file: &Path) -> io::Result<()> {
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(access(file, Access::EXEC_OK)?)
}

/// What the hidden sub-command does: stops, and becomes `words` when it is woken.
pub(crate) fn become_command(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(program) = words.next() else {
        return Exit::NoCommand.into();
    };
    if let Err(error) = kill_process(getpid(), Signal::STOP) {
        say!("error: cannot stop before the start of the command: {error}");
        return Exit::NotExecutable.into();
    }
    let error = Command::new(&program).args(words).exec();
    say!("error: cannot run `{}`: {error}", program.display());
    match error.kind() {
        io::ErrorKind::NotFound => Exit::NoCommand.into(),
        _ => Exit::NotExecutable.into(),
    }
}
