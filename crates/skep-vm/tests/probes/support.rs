//! Programs that are probed, machines with probes, and what both hosts tell of one command.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use skep::{AttachOptions, Host, Link, Loaded, Object};
use skep_testing::{Outcome, Stop, compile, compile_native_as, ensure};
use skep_vm::{TraceCounts, TraceError, Traced, Vm};

/// Runs a test, and says what it lacked.
pub(crate) fn run(test: impl FnOnce() -> Outcome) {
    match test() {
        Ok(()) => {}
        Err(Stop::Skip(lacking)) => skep_testing::lacks(format_args!("{lacking:?}")),
        Err(Stop::Fail(why)) => panic!("{why}"),
    }
}

pub(crate) fn failed(error: TraceError) -> Stop {
    Stop::fail(error.to_string())
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/probes/c")
        .join(name)
}

/// How a program is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    /// Anywhere in memory, with shared libraries.
    Pie,
    /// At the address that it names.
    Fixed,
    /// With all that it needs inside.
    Static,
}

/// A program of its own for a test: the kernel's probes fire in every process of a binary.
pub(crate) struct Binary {
    pub(crate) path: PathBuf,
    folder: PathBuf,
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn make(test: &str, source_name: &str, arguments: &[&str]) -> Outcome<Binary> {
    static MADE: Mutex<u32> = Mutex::new(0);
    let number = {
        let mut made = MADE.lock().unwrap();
        *made += 1;
        *made
    };
    let own = format!("probes-{}-{number}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(own);
    fs::create_dir_all(&folder)?;
    // By its own name, so that what it prints is the same for all.
    let path = folder.join(test);
    let binary = Binary { path, folder };
    let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
    compile_native_as(&binary.path, &source(source_name), &arguments)?;
    Ok(binary)
}

/// `probed.c`.
pub(crate) fn probed(linked: Linked) -> Outcome<Binary> {
    let how: &[&str] = match linked {
        Linked::Pie => &["-pie", "-fPIE"],
        Linked::Fixed => &["-no-pie", "-fno-pie"],
        Linked::Static => &["-static", "-no-pie", "-fno-pie"],
    };
    make(
        "probed",
        "probed.c",
        &[&["-O2", "-g", "-fno-omit-frame-pointer", "-pthread"], how].concat(),
    )
}

/// `library.c`.
pub(crate) fn library() -> Outcome<Binary> {
    make("library.so", "library.c", &["-O2", "-shared", "-fPIC"])
}

/// Programs of `probes.bpf.c` with their targets (`function`, or `+0x…` for an offset of the file)
/// in a binary.
pub(crate) struct Probes {
    pub(crate) vm: Option<Vm>,
    object: Object,
    pub(crate) loaded: Loaded,
    pub(crate) links: Vec<Link>,
}

impl Probes {
    /// In a machine.
    pub(crate) fn vm(binary: &Path, programs: &[(&str, &str)]) -> Outcome<Self> {
        let mut probes = Self::idle(binary, programs)?;
        probes.attach(None)?;
        Ok(probes)
    }

    /// In a machine, not attached yet.
    pub(crate) fn idle(binary: &Path, programs: &[(&str, &str)]) -> Outcome<Self> {
        let vm = Vm::new().map_err(|errno| Stop::fail(errno.to_string()))?;
        let mut probes = Self::load(&Host::new(Arc::new(vm.clone())), binary, programs)?;
        probes.vm = Some(vm);
        Ok(probes)
    }

    /// Not attached yet.
    pub(crate) fn load(host: &Host, binary: &Path, programs: &[(&str, &str)]) -> Outcome<Self> {
        let bytes = compile(&source("probes.bpf.c"), env!("CARGO_TARGET_TMPDIR"))?;
        let mut object = Object::parse("probes", &bytes)?;
        let names: Vec<_> = programs.iter().map(|(name, _)| *name).collect();
        object.only_programs(&names)?;
        for (name, target) in programs {
            let target = target.strip_prefix('+').unwrap_or(target);
            let target = format!("{}:{target}", binary.display());
            object.program(name)?.attach_target(&target);
        }
        let loaded = object.load(host)?;
        Ok(Self {
            vm: None,
            object,
            loaded,
            links: Vec::new(),
        })
    }

    pub(crate) fn attach(&mut self, pid: Option<u32>) -> Outcome {
        let options = AttachOptions {
            pid,
            cookie: Some(0xc00c1e),
            ..AttachOptions::default()
        };
        self.links = self.loaded.attach_all_with(&options)?;
        Ok(())
    }

    /// A global of bytes.
    pub(crate) fn bytes(&self, name: &str) -> Outcome<Vec<u8>> {
        let mut all = self.object.spec().variables().iter();
        let found = all.find(|variable| variable.name == name);
        let found = found.ok_or_else(|| Stop::fail(format!("no variable `{name}`")))?;
        Ok(self.loaded.global(found)?)
    }

    /// A global of words.
    pub(crate) fn words(&self, name: &str) -> Outcome<Vec<u64>> {
        let bytes = self.bytes(name)?;
        let words = bytes.chunks_exact(8);
        Ok(words
            .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
            .collect())
    }

    /// A global number.
    pub(crate) fn number(&self, name: &str) -> Outcome<u64> {
        Ok(self.words(name)?[0])
    }

    /// A command, held.
    pub(crate) fn command(&self, command: Command) -> Outcome<Traced> {
        self.vm.as_ref().unwrap().command(command).map_err(failed)
    }

    /// Runs a command to the end of all that it starts.
    pub(crate) fn trace(&self, mut command: Command) -> Outcome<(Output, TraceCounts)> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut traced = self.command(command)?;
        traced.resume().map_err(failed)?;
        let stdio = traced.stdio();
        let (mut out, mut err) = (stdio.stdout.unwrap(), stdio.stderr.unwrap());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        std::io::Read::read_to_end(&mut out, &mut stdout)?;
        std::io::Read::read_to_end(&mut err, &mut stderr)?;
        let status = traced.wait().map_err(failed)?;
        traced.wait_all();
        let counts = traced.counts();
        let output = Output {
            status,
            stdout,
            stderr,
        };
        Ok((output, counts))
    }
}

/// A command of a binary.
pub(crate) fn command(binary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(arguments);
    command
}

/// What a command printed and how it ended.
pub(crate) fn told(output: &Output) -> String {
    format!(
        "{}{:?}",
        String::from_utf8_lossy(&output.stdout),
        output.status
    )
}

/// What programs counted.
pub(crate) type Numbers = Vec<(&'static str, u64)>;

/// Runs a command alone, in the machine and on the kernel with the same programs: it must do the
/// same each time, and the programs must count the same on both hosts. Gives what they counted,
/// and the machine's probes.
pub(crate) fn compare(
    binary: &Path,
    arguments: &[&str],
    programs: &[(&str, &str)],
    counters: &[&'static str],
) -> Outcome<(Numbers, Probes)> {
    let (numbers, probes) = in_machine(binary, arguments, programs, counters)?;
    if let Some(kernel) = on_kernel(binary, arguments, programs, counters)? {
        ensure(numbers == kernel, || {
            format!("{arguments:?}: {numbers:?} in the machine, {kernel:?} on the kernel")
        })?;
    }
    Ok((numbers, probes))
}

/// The same without the kernel.
pub(crate) fn in_machine(
    binary: &Path,
    arguments: &[&str],
    programs: &[(&str, &str)],
    counters: &[&'static str],
) -> Outcome<(Numbers, Probes)> {
    let alone = told(&command(binary, arguments).output()?);
    let probes = Probes::vm(binary, programs)?;
    let (output, counts) = probes.trace(command(binary, arguments))?;
    let traced = told(&output);
    ensure(traced == alone, || {
        format!("alone {alone}, traced {traced}: {output:?} {counts:?}")
    })?;
    let whole = counts.faults == 0 && counts.lost_tasks == 0 && counts.refused.is_empty();
    ensure(whole && counts.missed == 0, || format!("{counts:?}"))?;
    let mut numbers = Vec::new();
    for name in counters {
        numbers.push((*name, probes.number(name)?));
    }
    Ok((numbers, probes))
}

/// What the kernel's probes count; `None` where they can't be used.
pub(crate) fn on_kernel(
    binary: &Path,
    arguments: &[&str],
    programs: &[(&str, &str)],
    counters: &[&'static str],
) -> Outcome<Option<Numbers>> {
    let Some(probes) = kernel(binary, programs)? else {
        return Ok(None);
    };
    let alone = told(&command(binary, arguments).output()?);
    drop(alone);
    let mut numbers = Vec::new();
    for name in counters {
        numbers.push((*name, probes.number(name)?));
    }
    Ok(Some(numbers))
}

/// Probes on the kernel, if they can be used here.
pub(crate) fn kernel(binary: &Path, programs: &[(&str, &str)]) -> Outcome<Option<Probes>> {
    let host = match Host::kernel() {
        Ok(host) => host,
        Err(error) => {
            skep_testing::lacks(format_args!("the kernel to compare with: {error}"));
            return Ok(None);
        }
    };
    let mut probes = match Probes::load(&host, binary, programs) {
        Ok(probes) => probes,
        Err(Stop::Fail(why)) => {
            skep_testing::lacks(format_args!("the kernel to compare with: {why}"));
            return Ok(None);
        }
        Err(skip) => return Err(skip),
    };
    probes.attach(None)?;
    Ok(Some(probes))
}
