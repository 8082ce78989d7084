//! Machines with programs, commands under a tracer, and what the programs tell of them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use skep::{Link, Loaded, Object, RingBuffer};
use skep_testing::{Outcome, Stop, compile};
use skep_vm::{TraceError, Traced, Vm};

/// Runs a test, and says what it lacked.
pub(crate) fn run(test: impl FnOnce() -> Outcome) {
    match test() {
        Ok(()) => {}
        Err(Stop::Skip(lacking)) => {
            skep_testing::lacks(format_args!("{lacking:?}"));
        }
        Err(Stop::Fail(why)) => panic!("{why}"),
    }
}

/// A machine, and an object loaded into it.
pub(crate) struct Machine {
    pub(crate) vm: Vm,
    object: Object,
    pub(crate) loaded: Loaded,
}

fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tracer/c");
    folder.join(name)
}

impl Machine {
    /// With the programs of `NAME.bpf.c`.
    pub(crate) fn new(name: &str) -> Outcome<Self> {
        let bytes = compile(&file(&format!("{name}.bpf.c")), env!("CARGO_TARGET_TMPDIR"))?;
        let object = Object::parse(name, &bytes)?;
        let vm = Vm::new().map_err(|errno| Stop::fail(errno.to_string()))?;
        let loaded = object.load(&skep::Host::new(Arc::new(vm.clone())))?;
        Ok(Self { vm, object, loaded })
    }

    pub(crate) fn attach(&self) -> Outcome<Vec<Link>> {
        Ok(self.loaded.attach_all()?)
    }

    /// A global number.
    pub(crate) fn global(&self, name: &str) -> Outcome<u64> {
        let mut all = self.object.spec().variables().iter();
        let found = all.find(|variable| variable.name == name);
        let found = found.ok_or_else(|| Stop::fail(format!("no variable `{name}`")))?;
        let bytes = self.loaded.global(found)?;
        let mut word = [0; 8];
        let len = bytes.len().min(8);
        word[..len].copy_from_slice(&bytes[..len]);
        Ok(u64::from_le_bytes(word))
    }

    /// A command that is held.
    pub(crate) fn command(&self, command: Command) -> Outcome<Traced> {
        self.vm.command(command).map_err(failed)
    }

    /// Runs a command to the end of all that it starts.
    pub(crate) fn trace(&self, command: Command) -> Outcome<Traced> {
        let mut traced = self.command(command)?;
        traced.resume().map_err(failed)?;
        traced.wait_all();
        Ok(traced)
    }
}

pub(crate) fn failed(error: TraceError) -> Stop {
    Stop::fail(error.to_string())
}

/// A shell command without output.
pub(crate) fn shell(text: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", text])
        .stdout(Stdio::null())
        .stdin(Stdio::null());
    command
}

/// A helper program, compiled now.
pub(crate) fn helper(name: &str) -> Outcome<PathBuf> {
    skep_testing::compile_native(
        &file(&format!("{name}.c")),
        Path::new(env!("CARGO_TARGET_TMPDIR")),
    )
}

#[repr(C)]
#[derive(Debug, Clone, zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
pub(crate) struct Open {
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) uid_gid: u64,
    pub(crate) ret: i64,
    pub(crate) comm: [u8; 16],
    pub(crate) path: [u8; 256],
}

pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

impl Machine {
    /// The events of `opens`.
    pub(crate) fn opens(&self) -> Outcome<Vec<Open>> {
        let mut ring = RingBuffer::<Open>::new(self.loaded.map("events")?)?;
        let mut all = Vec::new();
        loop {
            let batch = ring.batch()?;
            if batch.is_empty() {
                return Ok(all);
            }
            all.extend(batch.iter().cloned());
        }
    }
}
