//! A network namespace of a test's own, with the loopback device up.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    os::fd::AsFd as _,
    panic,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Outcome, Stop, ensure, find_tool};

/// The programs that make a namespace and its devices.
#[derive(Debug, Clone)]
pub struct Tools {
    ip: PathBuf,
    unshare: PathBuf,
}

impl Tools {
    fn find() -> Outcome<Self> {
        Ok(Self {
            ip: find_tool("ip")?,
            unshare: find_tool("unshare")?,
        })
    }

    /// Runs `ip` in this thread's namespace: `ip("link add a type veth peer name b")`.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn ip(&self, words: &str) -> Outcome {
        let ran = Command::new(&self.ip)
            .args(words.split_whitespace())
            .stdin(Stdio::null())
            .output()?;
        ensure(ran.status.success(), || {
            format!(
                "ip {words}: {}",
                String::from_utf8_lossy(&ran.stderr).trim()
            )
        })
    }
}

/// Runs `test` on a thread in a network namespace of its own, with the loopback device up.
/// Processes that it starts are in there too; the namespace goes with the last of them.
///
/// # Errors
/// Those of the test; skips where namespaces or the tools to make one are missing.
pub fn in_netns(test: impl FnOnce(&Tools) -> Outcome + Send) -> Outcome {
    let tools = Tools::find()?;
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            enter(&tools)?;
            test(&tools)
        });
        match worker.join() {
            Ok(outcome) => outcome,
            Err(payload) => panic::resume_unwind(payload),
        }
    })
}

/// Moves this thread into a new namespace, which a helper makes: it takes a process that does
/// nothing else, as this one has other threads.
fn enter(tools: &Tools) -> Outcome {
    let mut holder = Holder(
        Command::new(&tools.unshare)
            .args(["--net", "--", "sh", "-c"])
            .arg("\"$0\" link set lo up && echo ready && exec cat")
            .arg(&tools.ip)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let mut line = String::new();
    if let Some(stdout) = holder.0.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if line.trim() != "ready" {
        return Err(Stop::lacks("network namespaces"));
    }
    let namespace = File::open(format!("/proc/{}/ns/net", holder.0.id()))?;
    Ok(move_into_link_name_space(
        namespace.as_fd(),
        Some(LinkNameSpaceType::Network),
    )?)
}

struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
