//! Programs in Rust, in files and packages, and what is said when something is missing or wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Ran, core_source, folder, skep};

/// A program that does nothing.
const PROGRAM: &str = "\
use skep_ebpf::prelude::*;
license!(\"GPL\");
#[tracepoint(\"syscalls/sys_enter_getpid\")]
fn enter(_: &TracepointContext) -> Result {
    Ok(())
}
";

fn is_object(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"))
}

/// Core is compiled once for both sources, and it is said once that the next command has to do so
/// again.
#[test]
fn where_nothing_can_be_kept_that_is_said() {
    let Some(core) = core_source() else {
        return;
    };
    let folder = folder();
    for name in ["a.rs", "b.rs"] {
        fs::write(folder.path().join(name), PROGRAM).unwrap();
    }
    let mut command = skep(folder.path());
    command
        .args(["build", "a.rs", "b.rs"])
        .env("SKEP_RUST_SRC", core)
        .env("XDG_CACHE_HOME", "/proc/nowhere");
    let ran = Ran::of(&mut command).ended_with(0).saying(&[
        "warning: core was compiled for BPF and can't be kept for the next time: cannot write \
         /proc/nowhere/skep: No such file or directory",
        "help: name a folder that only you can write with XDG_CACHE_HOME",
    ]);
    for once in ["warning: ", "compiling core for BPF"] {
        assert_eq!(ran.stderr.matches(once).count(), 1, "{}", ran.stderr);
    }
    assert!(is_object(&folder.path().join("a.o")) && is_object(&folder.path().join("b.o")));
}

/// A folder of a test's own.
struct Project {
    folder: tempfile::TempDir,
    core: PathBuf,
}

impl Project {
    /// With these files, if there is what compiles them.
    fn new(files: &[(&str, &str)]) -> Option<Self> {
        let project = Self {
            core: core_source()?,
            folder: folder(),
        };
        for (name, text) in files {
            project.write(name, text);
        }
        Some(project)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../skep-ebpf");
        let text = text.replace("SKEP_EBPF", library.to_str().unwrap());
        fs::write(path, text).unwrap();
    }

    /// `skep` in a folder of it.
    fn run_in(&self, folder: &str, arguments: &[&str]) -> Ran {
        let mut command = skep(&self.path(folder));
        command.args(arguments).env("SKEP_RUST_SRC", &self.core);
        // As from a terminal, not as from the cargo that runs this test, and without a network.
        for name in ["CARGO", "OUT_DIR", "CARGO_TARGET_DIR"] {
            command.env_remove(name);
        }
        Ran::of(command.env("CARGO_NET_OFFLINE", "true"))
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_in("", arguments)
    }
}

/// A workspace as `skep new --rust` makes them, but for user space.
const WORKSPACE: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"app-ebpf\", \"app-common\", \"other\"]\n\
         [profile.release]\npanic = \"abort\"\nstrip = true\noverflow-checks = true\n",
    ),
    (
        "app-ebpf/Cargo.toml",
        "[package]\nname = \"app-ebpf\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\napp-common = { path = \"../app-common\" }\n\
         skep-ebpf = { path = \"SKEP_EBPF\" }\n\
         [features]\ndefault = [\"usual\"]\nusual = []\nten = []\n\
         [lints.rust]\nunexpected_cfgs = { level = \"warn\", check-cfg = ['cfg(MORE)'] }\n",
    ),
    (
        "app-ebpf/src/lib.rs",
        "#![no_std]\nuse app_common::{Event, add};\nuse skep_ebpf::prelude::*;\n\
         license!(\"GPL\");\n#[map(event = Event)]\n\
         static EVENTS: RingBuf<4096> = RingBuf::new();\n\
         #[tracepoint(\"syscalls/sys_enter_getpid\")]\n\
         fn enter(_: &TracepointContext) -> Result {\n    \
             let mut event = EVENTS.reserve::<Event>()?;\n    \
             event.pid = current_pid_tgid().tgid;\n    \
             event.sum = add(event.pid, if cfg!(MORE) { 2 } else { 1 });\n    \
             event.sum += if cfg!(feature = \"ten\") { 10 } else { 0 };\n    \
             event.sum += if cfg!(feature = \"usual\") { 0 } else { 100 };\n    \
             event.submit();\n    Ok(())\n}\n",
    ),
    (
        "app-common/Cargo.toml",
        "[package]\nname = \"app-common\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\nskep-ebpf = { path = \"SKEP_EBPF\" }\n",
    ),
    (
        "app-common/src/lib.rs",
        "#![no_std]\nuse skep_ebpf::Plain;\n#[repr(C)]\n#[derive(Clone, Copy, Plain)]\n\
         pub struct Event { pub pid: u32, pub sum: u32 }\n\
         #[inline(never)]\npub fn add(a: u32, b: u32) -> u32 { a.wrapping_add(b) }\n",
    ),
    (
        "other/Cargo.toml",
        "[package]\nname = \"other\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    ),
    ("other/src/main.rs", "fn main() {}\n"),
    (
        "app-ebpf/app.test.toml",
        "[[test]]\nname = \"one\"\nprogram = \"enter\"\ntask.pid = 7\n\
         expect.events.EVENTS = [{ pid = 7, sum = 8 }]\n",
    ),
    (
        "tests/more.test.toml",
        "source = \"..\"\ndefine = [\"MORE\"]\n[[test]]\nname = \"two\"\nprogram = \"enter\"\n\
         task.pid = 7\nexpect.events.EVENTS = [{ pid = 7, sum = 9 }]\n",
    ),
    (
        "tests/features.test.toml",
        "source = \"..\"\nfeatures = [\"ten\"]\ndefault_features = false\n[[test]]\n\
         name = \"three\"\nprogram = \"enter\"\ntask.pid = 7\n\
         expect.events.EVENTS = [{ pid = 7, sum = 118 }]\n",
    ),
];

#[test]
fn packages_build_check_and_pass_their_tests() {
    let Some(project) = Project::new(WORKSPACE) else {
        return;
    };
    project.run(&["build", "app-ebpf"]).ended_with(0);
    assert!(is_object(&project.path("app-ebpf.o")));
    // The folder of the workspace is that of the one package that has programs.
    project
        .run_in("app-ebpf", &["build", "..", "-o", "x.o", "-DMORE"])
        .ended_with(0);
    let read = |name: &str| fs::read(project.path(name)).unwrap();
    assert!(
        read("app-ebpf.o") != read("app-ebpf/x.o"),
        "a cfg reaches it"
    );
    let ran = project.run(&["check", ".", "--host", "vm"]).ended_with(0);
    assert!(ran.stdout.contains("enter: accepted"), "{}", ran.stdout);
    let ran = project.run(&["test", "app-ebpf", "tests", "--host", "vm"]);
    let ran = ran.ended_with(0);
    assert!(ran.stdout.contains("3 passed"), "{}", ran.stdout);
}

/// Cargo's features are cargo's: they reach the package, and what it does not have is its error.
#[test]
fn features_of_packages_are_cargos() {
    let Some(project) = Project::new(WORKSPACE) else {
        return;
    };
    let mut objects = Vec::new();
    for arguments in [
        &[][..],
        &["--features", "ten"],
        &["--no-default-features"],
        &["--features", "ten", "--no-default-features"],
    ] {
        let build = ["build", "app-ebpf", "-o", "x.o"];
        project.run(&[&build, arguments].concat()).ended_with(0);
        objects.push(fs::read(project.path("x.o")).unwrap());
    }
    objects.sort();
    objects.dedup();
    assert_eq!(objects.len(), 4, "each changes the program");
    project
        .run(&["build", "app-ebpf", "--features", "eleven"])
        .ended_with(3)
        .saying(&["app-ebpf", "eleven"]);
}

#[test]
fn an_error_in_a_package_is_shown_as_rustc_prints_it() {
    let Some(project) = Project::new(WORKSPACE) else {
        return;
    };
    let good = fs::read_to_string(project.path("app-ebpf/src/lib.rs")).unwrap();
    project.write(
        "app-ebpf/src/lib.rs",
        &good.replace("event.pid, ", "event.nope, "),
    );
    let ran = project.run(&["build", "app-ebpf"]).ended_with(3);
    let expected = "\
error[E0609]: no field `nope` on type `Entry<'_, Event>`
  --> app-ebpf/src/lib.rs:11:27
   |
11 |     event.sum = add(event.nope, if cfg!(MORE) { 2 } else { 1 });
   |                           ^^^^ unknown field
";
    assert!(ran.stderr.starts_with(expected), "{}", ran.stderr);
    assert!(!project.path("app-ebpf.o").exists());
    // What is built again is built, though what was wrong is of an older time.
    project.write("app-ebpf/src/lib.rs", &good);
    project.run(&["build", "app-ebpf"]).ended_with(0);
}

#[test]
fn which_package_is_a_question_with_an_answer() {
    let Some(project) = Project::new(WORKSPACE) else {
        return;
    };
    project.run(&["build", "other"]).ended_with(2).saying(&[
        "other/Cargo.toml: `other` does not depend on skep-ebpf: name the package of the kernel side",
    ]);
    project
        .run(&["build", "app-ebpf", "--bin", "x"])
        .ended_with(2)
        .saying(&["`app-ebpf` has no binaries"]);
    project.write("other/Cargo.toml", "[package]\nnonsense\n");
    project
        .run(&["build", "app-ebpf"])
        .ended_with(2)
        .saying(&["error: app-ebpf/Cargo.toml: ", "nonsense"]);
}

/// What is inlined of the library has its lines there; whoever reads of it wrote another one.
#[test]
fn lines_are_the_programs_own() {
    let Some(project) = Project::new(WORKSPACE) else {
        return;
    };
    let source = "use skep_ebpf::prelude::*;\nlicense!(\"GPL\");\n\
                  #[map]\nstatic COUNTS: HashMap<u32, u64, 16> = HashMap::new();\n\
                  #[tracepoint(\"syscalls/sys_enter_getpid\")]\n\
                  fn enter(_: &TracepointContext) -> Result {\n    \
                      let pid = current_pid_tgid().tgid;\n    \
                      if let Some(count) = COUNTS.get(&pid) {\n        \
                          count.add(1);\n    }\n    Ok(())\n}\n";
    project.write("a.rs", source);
    project.run(&["build", "a.rs"]).ended_with(0);
    project.run(&["build", "app-ebpf"]).ended_with(0);
    for (object, file, call, line) in [
        ("a.o", "/a.rs:", "bpf_map_lookup_elem", "COUNTS.get(&pid)"),
        (
            "app-ebpf.o",
            "/src/lib.rs:",
            "bpf_ringbuf_submit",
            "event.submit();",
        ),
    ] {
        let listing = project.run(&["disasm", object]).data();
        let mut last = "";
        let mut calls = 0;
        for text in listing.lines() {
            if let Some(source) = text.strip_prefix("; ").filter(|text| text.contains(" @ ")) {
                let own = source.contains(file) && !source.contains("skep-ebpf");
                assert!(own, "{source} in:\n{listing}");
                last = source;
            }
            if text.contains(call) {
                assert!(last.contains(line), "{text} is of {last} in:\n{listing}");
                calls += 1;
            }
        }
        assert_eq!(calls, 1, "{listing}");
    }
}

/// As those have them who come from Aya: each binary is an object.
#[test]
fn binaries_of_packages_build() {
    let Some(project) = Project::new(&[(
        "Cargo.toml",
        "[package]\nname = \"two\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\nskep-ebpf = { path = \"SKEP_EBPF\" }\n",
    )]) else {
        return;
    };
    let program = format!("#![no_std]\n#![no_main]\n{PROGRAM}");
    for name in ["one", "other"] {
        project.write(&format!("src/bin/{name}.rs"), &program);
    }
    project
        .run(&["build", "."])
        .ended_with(2)
        .saying(&["each binary of `two` is an object of its own: name one of `one`, `other`"]);
    for name in ["one", "other"] {
        project.run(&["build", ".", "--bin", name]).ended_with(0);
        let object = format!("{name}.o");
        let ran = project
            .run(&["check", &object, "--host", "vm"])
            .ended_with(0);
        assert!(ran.stdout.contains("enter: accepted"), "{}", ran.stdout);
    }
}

/// What the README shows of a program is what comes of it.
#[test]
fn the_readmes_program_runs() {
    let Some(core) = core_source() else {
        return;
    };
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, section) = readme.split_once("## Programs in Rust\n").unwrap();
    let block = |language: &str| {
        let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
        block.split_once("```").unwrap().0
    };
    let (program, shown) = (block("rust"), block("console"));
    let name = program.lines().next().unwrap_or_default();
    let name = name.strip_prefix("// ").unwrap();
    let folder = folder();
    fs::write(folder.path().join(name), program).unwrap();
    let mut shown = shown.lines().filter(|line| *line != "…");
    let command = shown.next().unwrap_or_default();
    let words = command.strip_prefix("# skep ").unwrap().split(' ');
    let (run, words): (Vec<_>, Vec<_>) = words.enumerate().partition(|(index, _)| *index == 0);
    assert_eq!(run, [(0, "run")]);
    let mut skep = skep(folder.path());
    skep.env("SKEP_RUST_SRC", core)
        .args(["run", "--host", "vm"])
        .args(words.into_iter().map(|(_, word)| word));
    let ran = Ran::of(&mut skep)
        .ended_with(0)
        .saying(&[" events, 0 lost"]);
    let mut rows = ran.stdout.lines();
    // But for the numbers of processes, which stand in columns.
    let last = |line: &str| line.rsplit(' ').next().map(str::to_owned);
    for line in shown {
        let same = |row: &str| row.len() == line.len() && last(row) == last(line);
        assert!(rows.any(same), "{line:?} is not in\n{}", ran.stdout);
    }
}
