//! The examples in the documentation of `skep-ebpf`: each that is a program is compiled for BPF and
//! loaded, by Skep and some of them by bpftool; and nothing public goes without one.

use std::{
    collections::BTreeSet,
    fs, panic,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use skep::{
    Object,
    abi::ProgramType,
    boundary::Cause,
    features::{Feature, Probe},
};
use skep_testing::{
    Bpffs, Outcome, Stop, Test, ensure, find_tool, is_prebuilt, mount_point, needs_kernel,
};

use crate::support::host;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("rust_examples::every_one_loads", all),
        Test::new("rust_examples::bpftool_loads_them", some),
        Test::new("rust_examples::nothing_is_without_one", complete),
    ]
}

const CO_RE: &str = "machinery of the macros, hidden or private";
const TAKEN: &str = "what macros and attributes take, by a bound";
const RETURNED: &str = "what programs may return, by a bound";
const MODE: &str = "whether a `Packet` is one, or a `PacketMut`";

/// What is public and in no example, and why: a file or folder, and a name in it or all.
const WITHOUT: &[(&str, &str, &str)] = &[
    ("co_re/access.rs", "", CO_RE),
    ("co_re/load.rs", "follow", CO_RE),
    ("co_re/path.rs", "", CO_RE),
    ("co_re/read.rs", "", CO_RE),
    ("co_re/text.rs", "", CO_RE),
    ("co_re/types.rs", "", CO_RE),
    ("co_re/load.rs", "Load", TAKEN),
    ("co_re/bits.rs", "FromBits", TAKEN),
    ("context/arguments.rs", "Arguments", TAKEN),
    ("context/arguments.rs", "Argument", TAKEN),
    ("context/mod.rs", "Context", TAKEN),
    ("context/lookup.rs", "Sealed", "private"),
    ("hook/mod.rs", "Watched", RETURNED),
    ("hook/mod.rs", "Permitted", RETURNED),
    ("hook/mod.rs", "Decided", RETURNED),
    ("hook/mod.rs", "Answered", RETURNED),
    ("hook/mod.rs", "Number", RETURNED),
    ("hook/verdict.rs", "Verdict", RETURNED),
    ("packet/mod.rs", "Mode", MODE),
    ("packet/mod.rs", "Shared", MODE),
    ("packet/mod.rs", "Exclusive", MODE),
    (
        "dynptr.rs",
        "PacketContext",
        "which contexts `with_packet` takes",
    ),
    (
        "helper/task.rs",
        "PidTgid",
        "what a function returns, whose fields are used",
    ),
    (
        "helper/task.rs",
        "UidGid",
        "what a function returns, whose fields are used",
    ),
    (
        "helper/repeat.rs",
        "Step",
        "what closures may return, and examples' do",
    ),
    (
        "external/record.rs",
        "",
        "what the macros leave for who finishes the object",
    ),
    (
        "external/mod.rs",
        "Ksym",
        "what `#[ksym]` makes of a static",
    ),
    (
        "external/mod.rs",
        "Kconfig",
        "what `#[kconfig]` makes of a static",
    ),
    ("external/mod.rs", "Configured", "what `#[kconfig]` takes"),
    ("iterate/", "Numbers", "what a macro begins"),
    ("iterate/", "Bits", "what a macro begins"),
    ("iterate/", "Tasks", "what a macro begins"),
    ("iterate/", "Areas", "what a macro begins"),
    ("iterate/", "Groups", "what a macro begins"),
    (
        "sync/guard.rs",
        "RcuGuard",
        "what a function returns, which is held and dropped",
    ),
    (
        "sync/guard.rs",
        "PreemptGuard",
        "what a function returns, which is held and dropped",
    ),
    ("map/definition.rs", "Number", "how definitions are made"),
    ("map/definition.rs", "Map", "what is common to all maps"),
    (
        "map/definition.rs",
        "MapOptions",
        "what is common to all `Options`",
    ),
    (
        "map/device.rs",
        "Device",
        "the type of values that user space writes",
    ),
    (
        "map/device.rs",
        "Cpu",
        "the type of values that user space writes",
    ),
    ("map/value.rs", "part", "what `field!` is made of"),
    (
        "setting.rs",
        "Setting",
        "what `#[setting]` makes of a static",
    ),
    (
        "show.rs",
        "shared",
        "needs a crate: `skep new --rust` has one that runs",
    ),
    (
        "sync/lock.rs",
        "bpf_spin_lock",
        "the kernel's name of `SpinLock`",
    ),
    (
        "sync/lock.rs",
        "SpinGuard",
        "what `lock` returns, which is held and dropped",
    ),
    ("sync/timer.rs", "bpf_timer", "the kernel's name of `Timer`"),
    ("sync/work.rs", "bpf_wq", "the kernel's name of `WorkQueue`"),
];

/// The map that one of the examples pins.
const PINNED: &str = "/sys/fs/bpf/skep_example_hits";

/// The library's source.
fn library() -> Outcome<PathBuf> {
    if is_prebuilt() {
        return Err(Stop::lacks("the library's source"));
    }
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../skep-ebpf/src"))
}

/// The files of a folder and of those in it, sorted.
fn files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// An example that is a program.
struct Example {
    /// The file in the library, and the line where it begins.
    file: String,
    line: usize,
    text: String,
}

impl Example {
    /// All of them.
    fn all() -> Outcome<Vec<Self>> {
        let library = library()?;
        let mut found = Vec::new();
        for path in files(&library)? {
            let text = fs::read_to_string(&path)?;
            let file = path.strip_prefix(&library)?.display().to_string();
            found.extend(Self::of(&file, &text));
        }
        ensure(found.len() > 50, || format!("{} examples", found.len()))?;
        Ok(found)
    }

    /// Those of a file.
    fn of(file: &str, text: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut open: Option<(bool, Self)> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_start();
            let documentation = ["/// ", "//! ", "///", "//!"]
                .iter()
                .find_map(|marker| line.strip_prefix(marker));
            let Some(line) = documentation else {
                open = None;
                continue;
            };
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(language)) => {
                    let is_rust = matches!(language, "" | "rust");
                    let text = String::new();
                    let file = file.to_owned();
                    open = Some((
                        is_rust,
                        Self {
                            file,
                            line: number,
                            text,
                        },
                    ));
                }
                (Some(_), Some(_)) => {
                    let example = open.take().filter(|(is_rust, _)| *is_rust);
                    let example = example.map(|(_, example)| example);
                    found.extend(example.filter(Self::is_program));
                }
                (Some((_, example)), None) => {
                    example.text += line.strip_prefix("# ").unwrap_or(line);
                    example.text.push('\n');
                }
                (None, None) => {}
            }
        }
        found
    }

    fn is_program(&self) -> bool {
        self.text.contains("#![no_main]")
    }

    /// `map_ring_22`: the source's name.
    fn name(&self) -> String {
        let file = self.file.trim_end_matches(".rs").replace('/', "_");
        format!("{file}_{}", self.line)
    }

    fn pins(&self) -> bool {
        self.text.contains("PinByName")
    }

    fn failed(&self, what: &str) -> String {
        let Self { file, line, .. } = self;
        format!("crates/skep-ebpf/src/{file}:{line}: {what}")
    }

    /// Its object.
    fn compile(&self) -> Outcome<Vec<u8>> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust_examples");
        fs::create_dir_all(&folder)?;
        let source = folder.join(format!("{}.rs", self.name()));
        fs::write(&source, &self.text)?;
        skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))
    }
}

/// All objects, made on all processors.
fn compiled(examples: &[Example]) -> Outcome<Vec<Outcome<Vec<u8>>>> {
    // Core and the library are made with the first. Where they can't be, one failure is enough.
    for example in examples.iter().take(1) {
        example.compile()?;
    }
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut made: Vec<(usize, Outcome<Vec<u8>>)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    let own = examples.iter().enumerate().skip(worker).step_by(workers);
                    own.map(|(index, example)| (index, example.compile()))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|broken| panic::resume_unwind(broken))
            })
            .collect()
    });
    made.sort_by_key(|(index, _)| *index);
    Ok(made.into_iter().map(|(_, made)| made).collect())
}

/// Removes what an example pins.
struct Unpinned;

impl Drop for Unpinned {
    fn drop(&mut self) {
        // Most examples pin nothing.
        let _ = fs::remove_file(PINNED);
    }
}

/// What went wrong, all of it.
fn judged(wrong: &[String]) -> Outcome {
    ensure(wrong.is_empty(), || {
        format!("{} examples fail\n{}", wrong.len(), wrong.join("\n"))
    })
}

fn all() -> Outcome {
    let examples = Example::all()?;
    let (mut wrong, mut loaded) = (Vec::new(), 0);
    for (example, object) in examples.iter().zip(compiled(&examples)?) {
        match object.and_then(|object| load(example, &object)) {
            Ok(true) => loaded += 1,
            Ok(false) => {}
            Err(Stop::Fail(text)) => wrong.push(example.failed(&text)),
            Err(skip) => return Err(skip),
        }
    }
    judged(&wrong)?;
    ensure(loaded * 2 > examples.len(), || {
        format!("only {loaded} of {} examples load here", examples.len())
    })
}

/// Loads an example, if this kernel can have it.
fn load(example: &Example, bytes: &[u8]) -> Outcome<bool> {
    if example.pins() && mount_point("bpf").is_none_or(|point| point != Path::new("/sys/fs/bpf")) {
        return Ok(false);
    }
    let _unpinned = Unpinned;
    let mut object = Object::parse(&example.name(), bytes)?;
    let programs = object.spec().programs();
    let wanted: Vec<String> = programs
        .iter()
        .filter(|program| {
            let feature = match program.attach_type() {
                Some(attach) => Feature::AttachType(attach),
                None => Feature::ProgramType(program.program_type()),
            };
            // An extension needs a program that is there before it.
            program.program_type() != ProgramType::Ext
                && !matches!(host().probe(&feature), Probe::No { .. })
        })
        .map(|program| program.name.clone())
        .collect();
    if wanted.is_empty() {
        return Ok(false);
    }
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    object.only_programs(&wanted)?;
    match object.load(host()) {
        Ok(_) => Ok(true),
        Err(error) => match error.cause() {
            // Documented at the item.
            Some(Cause::KernelTooOld { needs, .. }) if *needs > host().info().version => Ok(false),
            Some(Cause::KernelOption(option)) if host().boundary().config(option)?.is_none() => {
                Ok(false)
            }
            // Some vendors' kernels do, whatever they are configured with.
            Some(Cause::Other { what, .. }) if what.contains("refuses all programs") => Ok(false),
            _ => Err(error.into()),
        },
    }
}

/// The first of each file.
fn some() -> Outcome {
    needs_kernel(6, 12)?;
    let bpftool = find_tool("bpftool")?;
    let mut examples = Example::all()?;
    examples.dedup_by(|next, first| next.file == first.file);
    let pins = Bpffs::mount()?;
    let folder = tempfile::tempdir()?;
    let mut wrong = Vec::new();
    for (example, object) in examples.iter().zip(compiled(&examples)?) {
        let file = folder.path().join("example.o");
        let object = object?;
        fs::write(&file, &object)?;
        if !load(example, &object).is_ok_and(|loads| loads) {
            continue;
        }
        let _unpinned = Unpinned;
        let ran = Command::new(&bpftool)
            .args(["prog", "loadall"])
            .arg(&file)
            .arg(pins.path().join(example.name()))
            .output()?;
        let said = String::from_utf8_lossy(&ran.stderr);
        // What is younger than it: Debian 12 has 1.1, which knows no `tcx`, no `.struct_ops.link`, and
        // no arenas.
        let too_old = [
            "failed to guess program type from ELF section",
            "missing BPF prog type",
            "skipping unrecognized data section",
            "arena's user address must be set",
        ];
        let too_old = too_old.iter().any(|of| said.contains(of));
        if !ran.status.success() && !too_old {
            wrong.push(example.failed(&said));
        }
    }
    judged(&wrong)
}

/// The names that a file of the library makes public, with the lines they stand in.
fn public(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut hidden, mut exported) = (false, false);
    let (mut listed, mut attribute) = (false, false);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        attribute |= line.starts_with("#[");
        if line.starts_with("//") || attribute {
            attribute &= !line.ends_with(']');
            hidden |= line.starts_with("#[doc(hidden)]");
            exported |= line.starts_with("#[macro_export]");
            continue;
        }
        if let Some(names) = line.strip_prefix("pub use skep_ebpf_macros::") {
            listed = true;
            names_of(names, number, &mut found);
        } else if listed {
            names_of(line, number, &mut found);
        } else if let Some(name) = item(line, exported)
            && !hidden
        {
            found.push((number, name.to_owned()));
        }
        listed &= !line.ends_with(';');
        (hidden, exported) = (false, false);
    }
    found
}

fn names_of(list: &str, line: usize, found: &mut Vec<(usize, String)>) {
    found.extend(words(list).map(|word| (line, word.to_owned())));
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| !word.is_empty())
}

/// The name of a public function, type, trait or macro that begins on a line.
fn item(line: &str, exported: bool) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("macro_rules! ") {
        return words(rest).next().filter(|_| exported);
    }
    let mut rest = line.strip_prefix("pub ")?;
    for modifier in [
        "const fn ",
        "unsafe fn ",
        "const unsafe fn ",
        "unsafe trait ",
    ] {
        if let Some(named) = rest.strip_prefix(modifier) {
            rest = named;
            return name(rest);
        }
    }
    let kinds = ["fn ", "struct ", "enum ", "trait ", "union ", "type "];
    kinds.iter().find_map(|kind| name(rest.strip_prefix(kind)?))
}

/// The name at the front; none where a macro makes it.
fn name(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    text.get(..end?).filter(|name| !name.is_empty())
}

fn complete() -> Outcome {
    let library = library()?;
    let examples = Example::all()?;
    let used: BTreeSet<&str> = examples
        .iter()
        .flat_map(|example| words(&example.text))
        .collect();
    let (mut wrong, mut all) = (Vec::new(), BTreeSet::new());
    for path in files(&library)? {
        let file = path.strip_prefix(&library)?.display().to_string();
        if file.contains("generated") {
            continue;
        }
        for (line, name) in public(&fs::read_to_string(&path)?) {
            let excepted = WITHOUT.iter().any(|(at, without, _)| {
                file.starts_with(at) && (without.is_empty() || *without == name)
            });
            if !used.contains(name.as_str()) && !excepted {
                wrong.push(format!(
                    "crates/skep-ebpf/src/{file}:{line}: `{name}` is in no example"
                ));
            }
            all.insert(name);
        }
    }
    for (_, name, _) in WITHOUT.iter().filter(|(_, name, _)| !name.is_empty()) {
        if used.contains(name) || !all.contains(*name) {
            wrong.push(format!(
                "`{name}` need not be in the list of what is in no example"
            ));
        }
    }
    ensure(wrong.is_empty(), || wrong.join("\n"))
}
