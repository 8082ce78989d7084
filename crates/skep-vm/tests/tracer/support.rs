//! Machines with programs, commands under a tracer, and what the programs tell of them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use skep::{Link, Loaded, Object, RingBuffer};
use skep_testing::{Outcome, Stop, compile};
use skep_vm::{Config, TraceError, Traced, Vm};

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

/// Where another place for what tests make stands.
pub(crate) const FOLDER: &str = "SKEP_TRACER_FOLDER";

fn folder() -> String {
    std::env::var(FOLDER).unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").to_owned())
}

fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tracer/c");
    folder.join(name)
}

impl Machine {
    /// With the programs of `NAME.bpf.c`.
    pub(crate) fn new(name: &str) -> Outcome<Self> {
        Self::with(name, Config::default())
    }

    /// The same, with checks instead of a verdict: for programs that break the rules.
    pub(crate) fn unverified(name: &str) -> Outcome<Self> {
        Self::with(name, Config::checked())
    }

    /// The same, where a run may take so many instructions.
    pub(crate) fn limited(name: &str, instructions: u64) -> Outcome<Self> {
        let mut config = Config::checked();
        config.limits.instructions = instructions;
        Self::with(name, config)
    }

    fn with(name: &str, config: Config) -> Outcome<Self> {
        let vm = Vm::with(config).map_err(|errno| Stop::fail(errno.to_string()))?;
        Self::on(vm, name)
    }

    /// The same on a machine of the test's.
    pub(crate) fn on(vm: Vm, name: &str) -> Outcome<Self> {
        let bytes = compile(&file(&format!("{name}.bpf.c")), &folder())?;
        let object = Object::parse(name, &bytes)?;
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

/// What a program of `life` tells.
#[repr(C)]
#[derive(Debug, Clone, zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
pub(crate) struct Life {
    pub(crate) kind: u32,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) other: u32,
    pub(crate) uid: u32,
    pub(crate) flag: u32,
    pub(crate) comm: [u8; 16],
    pub(crate) text: [u8; 64],
}

/// The kinds of [`Life`].
pub(crate) mod kind {
    pub(crate) const EXEC: u32 = 1;
    pub(crate) const FORK: u32 = 2;
    pub(crate) const EXIT: u32 = 3;
    /// Added for the typed form of each.
    pub(crate) const TYPED: u32 = 3;
}

/// Programs of `life` that are run at every system call.
pub(crate) const ALL_CALLS: &[&str] = &[
    "on_raw_enter",
    "on_raw_exit",
    "on_btf_enter",
    "on_btf_exit",
    "on_all_enter",
];

/// Attaches the programs of `life`: those at every call only if that is asked for.
pub(crate) fn attach(machine: &Machine, all_calls: bool) -> Outcome<Vec<Link>> {
    let programs = machine.loaded.programs();
    let wanted = programs.filter(|program| all_calls || !ALL_CALLS.contains(&program.name()));
    let links: Result<Vec<_>, _> = wanted.map(|program| program.attach()).collect();
    Ok(links?)
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

/// `tasks.c` in a mode of its.
pub(crate) fn tasks(mode: &str, count: u32) -> Outcome<Command> {
    let mut command = Command::new(helper("tasks")?);
    command
        .arg(mode)
        .arg(count.to_string())
        .stdin(Stdio::null());
    Ok(command)
}

/// A helper program, compiled once: one that runs can't be written over.
pub(crate) fn helper(name: &str) -> Outcome<PathBuf> {
    static MADE: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = made.get(name) {
        return Ok(path.clone());
    }
    let folder = folder();
    let path = skep_testing::compile_native(&file(&format!("{name}.c")), Path::new(&folder))?;
    made.insert(name.to_owned(), path.clone());
    Ok(path)
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
        self.events()
    }

    /// The events of `life`.
    pub(crate) fn lives(&self) -> Outcome<Vec<Life>> {
        self.events()
    }

    fn events<T: zerocopy::FromBytes + zerocopy::Immutable + zerocopy::KnownLayout + Clone>(
        &self,
    ) -> Outcome<Vec<T>> {
        let mut ring = RingBuffer::<T>::new(self.loaded.map("events")?)?;
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
