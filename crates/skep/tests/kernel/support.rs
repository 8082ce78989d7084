//! The host that all tests share, objects by their source's name, and looks at globals.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, LazyLock},
};

use skep::{Host, Loaded, Object, Update, btf::KindTag, linux::LinuxHost};
use skep_testing::{Outcome, Stop};

static HOST: LazyLock<(Arc<LinuxHost>, Host)> = LazyLock::new(|| {
    let kernel = Arc::new(LinuxHost::new().expect("a kernel that says its version"));
    let host = Host::new(Arc::clone(&kernel) as _);
    // What the host keeps open for itself is no leak of the first test that needs it.
    let _ = host.boundary().tracepoints();
    let _ = host.btf();
    let _ = skep::linux::report(&kernel);
    (kernel, host)
});

/// The host, as the library has it.
pub(crate) fn host() -> &'static Host {
    &HOST.1
}

/// The same, as the harness looks at it.
pub(crate) fn boundary() -> &'static dyn skep::boundary::Host {
    &*HOST.0
}

/// A file of `tests/c`.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/c")
        .join(name)
}

/// The object of `tests/c/<name>.bpf.c`, opened.
pub(crate) fn object(name: &str) -> Outcome<Object> {
    let source = source(&format!("{name}.bpf.c"));
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    Ok(Object::parse(name, &bytes)?)
}

/// An object that has been loaded, with what is needed to look at its globals.
pub(crate) struct Running {
    pub(crate) object: Object,
    pub(crate) loaded: Loaded,
}

impl Running {
    /// Loads an object as it is.
    pub(crate) fn new(name: &str) -> Outcome<Self> {
        Self::of(object(name)?)
    }

    /// Loads an object.
    pub(crate) fn of(object: Object) -> Outcome<Self> {
        let loaded = object.load(host())?;
        Ok(Self { object, loaded })
    }

    fn variable(&self, name: &str) -> Outcome<&skep::spec::Variable> {
        let mut all = self.object.spec().variables().iter();
        all.find(|variable| variable.name == name)
            .ok_or_else(|| Stop::fail(format!("no variable `{name}`")))
    }

    /// The map that the counters of its programs lie in.
    pub(crate) fn data(&self) -> Outcome<&Arc<skep::Map>> {
        let all = self.loaded.maps().iter();
        let mut found = all.filter(|map| map.name().ends_with(".bss"));
        found.next().ok_or_else(|| Stop::fail("no counters"))
    }

    /// A global's bytes, as they are now.
    pub(crate) fn bytes(&self, name: &str) -> Outcome<Vec<u8>> {
        Ok(self.loaded.global(self.variable(name)?)?)
    }

    /// A 64-bit global, as it is now.
    pub(crate) fn number(&self, name: &str) -> Outcome<u64> {
        let bytes = self.bytes(name)?;
        match bytes.try_into() {
            Ok(bytes) => Ok(u64::from_ne_bytes(bytes)),
            Err(_) => Err(Stop::fail(format!("`{name}` has not eight bytes"))),
        }
    }

    /// Sets a global while the programs run.
    pub(crate) fn set(&self, name: &str, bytes: &[u8]) -> Outcome {
        let variable = self.variable(name)?;
        let map = self
            .loaded
            .map_at(variable.map)
            .expect("a map that was created");
        let key = 0_u32.to_ne_bytes();
        let mut value = map.lookup(&key)?.unwrap_or_default();
        let start = variable.offset as usize;
        value[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(map.update(&key, &value, Update::Any)?)
    }
}

/// Skips unless the kernel has a function that programs call, and that came with this version.
pub(crate) fn needs_function(name: &str, since: &str) -> Outcome {
    let there = host().btf()?.find(name, KindTag::Function).is_some();
    if there || skep_testing::is_preparing() {
        return Ok(());
    }
    Err(Stop::lacks(format!("{name} ({since})")))
}

/// This process.
pub(crate) fn me() -> u32 {
    std::process::id()
}

/// A system call that nothing else in this process makes.
pub(crate) fn getppid() {
    let _ = rustix::process::getppid();
}

/// `tests/c/probed.c`, compiled, running, and waiting to be told how often.
pub(crate) struct Probed {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    said: String,
}

impl Probed {
    /// Compiles it, and gives its path.
    pub(crate) fn program() -> Outcome<PathBuf> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let program = folder.join("probed");
        // An executable that runs can't be written over, and one is enough.
        if !skep_testing::is_preparing() && newer(&program, &source("probed.c")) {
            return Ok(program);
        }
        skep_testing::compile_native(&source("probed.c"), folder)
    }

    /// Starts it.
    pub(crate) fn start() -> Outcome<Self> {
        Self::of(&Self::program()?)
    }

    /// Starts another program that waits in the same way.
    pub(crate) fn of(program: &Path) -> Outcome<Self> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Stop::fail("no pipes"));
        };
        let mut probed = Self {
            child,
            input,
            output: BufReader::new(output),
            said: String::new(),
        };
        probed.answer()?;
        Ok(probed)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Has it call its function so often, and waits until it has.
    pub(crate) fn call(&mut self, times: u32) -> Outcome {
        writeln!(self.input, "{times}")?;
        self.answer()
    }

    /// The line that it answered last.
    pub(crate) fn said(&self) -> &str {
        self.said.trim_end()
    }

    fn answer(&mut self) -> Outcome {
        self.said.clear();
        if self.output.read_line(&mut self.said)? == 0 {
            return Err(Stop::fail("the probed program has ended"));
        }
        Ok(())
    }
}

impl Drop for Probed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn newer(made: &Path, source: &Path) -> bool {
    let time = |path: &Path| {
        File::open(path)
            .and_then(|file| file.metadata()?.modified())
            .ok()
    };
    time(made).is_some() && time(made) > time(source)
}
