//! A cgroup of a test's own.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use crate::{Outcome, Stop, mount_point};

/// A cgroup (v2) of the test's own. On drop the processes in it go back to where this one was,
/// and it is removed.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    home: PathBuf,
}

impl Cgroup {
    /// Makes one, empty.
    ///
    /// # Errors
    /// Skips where no cgroup v2 tree is mounted.
    pub fn new() -> Outcome<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let root = mount_point("cgroup2").ok_or_else(|| Stop::lacks("a mounted cgroup2"))?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let below = own
            .lines()
            .find_map(|line| line.strip_prefix("0::/"))
            .unwrap_or_default();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("skep-test-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        let home = root.join(below);
        Ok(Self { path, home })
    }

    /// Makes one below it, empty, which must be dropped first.
    ///
    /// # Errors
    /// There is one already.
    pub fn below(&self) -> Outcome<Self> {
        let path = self.path.join("below");
        fs::create_dir(&path)?;
        let home = self.home.clone();
        Ok(Self { path, home })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves this process into it.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn join(&self) -> Outcome {
        self.add(std::process::id())
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn add(&self, pid: u32) -> Outcome {
        Ok(fs::write(self.path.join("cgroup.procs"), pid.to_string())?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let procs = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines() {
            // It may be gone by now.
            let _ = fs::write(self.home.join("cgroup.procs"), pid);
        }
        // A cgroup is busy for a moment after its last process has left.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        eprintln!("{} could not be removed", self.path.display());
    }
}
