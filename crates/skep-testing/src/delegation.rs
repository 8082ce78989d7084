//! A process in a user namespace of its own, and a bpffs that delegates to it: what a container
//! without `CAP_BPF` is, as far as the kernel's BPF can tell.
//!
//! The process is the test binary again, started by `unshare`. It makes the file systems' contexts,
//! the test sets the options that take real privileges, and the process mounts them.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
    process::{Child, Command, ExitCode, Stdio},
};

use rustix::{
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
        fsopen,
    },
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use crate::{Outcome, Stop, ensure, find_tool};

/// The variable that says to a test binary which part of which test it is to play: in the namespace,
/// or in another process that a test starts.
pub const PART: &str = "SKEP_DELEGATED_PART";

/// Mount options of a bpffs: `[("delegate_cmds", "any")]`.
pub type Options<'a> = &'a [(&'a str, &'a str)];

/// Starts this binary again as root of a user namespace of its own, with its own mounts and
/// network, to play `part`; each time that asks for a bpffs by [`delegated_bpffs`], it gets one with
/// the next of `mounts`.
///
/// # Errors
/// What the process found wrong; skips without `unshare`.
pub fn in_user_namespace(part: &str, mounts: &[Options<'_>]) -> Outcome {
    let unshare = find_tool("unshare")?;
    let mut child = Holder(
        Command::new(unshare)
            .args(["--user", "--map-root-user", "--mount", "--net", "--"])
            .arg(env::current_exe()?)
            .env(PART, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let pid = i32::try_from(child.0.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Stop::fail("no process id"))?;
    let (Some(mut to), Some(from)) = (child.0.stdin.take(), child.0.stdout.take()) else {
        return Err(Stop::fail("no pipes"));
    };
    let mut from = BufReader::new(from).lines();
    let mut line = || from.next().transpose().map(Option::unwrap_or_default);
    for options in mounts {
        let said = line()?;
        let Ok(raw) = said.parse() else {
            return Err(Stop::Fail(format!("the child said `{said}`")));
        };
        let theirs = pidfd_open(pid, PidfdFlags::empty())?;
        let context = pidfd_getfd(theirs, raw, PidfdGetfdFlags::empty())?;
        for (key, value) in *options {
            fsconfig_set_string(&context, *key, *value)?;
        }
        fsconfig_create(&context)?;
        to.write_all(b"\n")?;
    }
    let said = line()?;
    ensure(said == "done", || format!("the child: {said}"))
}

/// A part that a process of its own plays: its name, and what it does.
pub type Part<'a> = (&'a str, fn() -> Outcome);

/// Plays the part that [`in_user_namespace`] or another started this process for, by [`PART`]: to be called
/// first in `main`, whose exit code it gives then.
pub fn play(parts: &[Part<'_>]) -> Option<ExitCode> {
    let asked = env::var(PART).ok()?;
    let outcome = match parts.iter().find(|(name, _)| *name == asked) {
        Some((_, part)) => part(),
        None => Err(Stop::Fail(format!("there is no part `{asked}`"))),
    };
    Some(match outcome {
        Ok(()) => {
            println!("done");
            ExitCode::SUCCESS
        }
        Err(stop) => {
            println!("{stop:?}");
            ExitCode::FAILURE
        }
    })
}

/// The root of the next bpffs that the test lets have, and a path to it while it is open.
///
/// # Errors
/// The test has ended, or the kernel refused the mount.
pub fn delegated_bpffs() -> Outcome<(OwnedFd, PathBuf)> {
    let context = fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC)?;
    println!("{}", context.as_raw_fd());
    io::stdin().lock().read_line(&mut String::new())?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let root = fsmount(&context, flags, MountAttrFlags::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
    Ok((root, path))
}

struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
