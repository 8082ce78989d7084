//! `skep new`: what it makes builds, runs and passes its tests.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Ran, core_source, folder, has_clang, has_kernel_btf, run, skep};

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Makes a project in a folder that stays, so that the next run of the test finds it built.
fn project(arguments: &[&str]) -> PathBuf {
    let projects = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new");
    let project = projects.join(arguments[0]);
    let _ = fs::remove_dir_all(&project);
    fs::create_dir_all(&projects).expect("a folder");
    run(&projects, [&["new"], arguments].concat())
        .ended_with(0)
        .saying(&["made ", "cargo test"]);
    // What this workspace was built of is there without a network.
    fs::copy(root().join("Cargo.lock"), project.join("Cargo.lock")).expect("a lock file");
    project
}

/// The workspace's folder of what is built.
fn target() -> &'static Path {
    let folder = Path::new(env!("CARGO_BIN_EXE_skep")).ancestors().nth(2);
    folder.expect("a target folder")
}

/// cargo in a project, with the workspace's folder of what is built: crates that both depend on are
/// there if they are built in the same way. Skep's own are built again, for another workspace.
fn cargo(project: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(arguments)
        .arg("--offline")
        .args(["--config", "profile.dev.debug='line-tables-only'"])
        .args(["--config", "profile.dev.package.'*'.debug=false"])
        .args(["--config", "profile.dev.package.'*'.opt-level=1"])
        .args(own_crates().flat_map(|name| {
            let config = format!("profile.dev.package.{name}.opt-level=0");
            ["--config".to_owned(), config]
        }))
        .current_dir(project)
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TARGET_DIR", target())
        .env(
            "XDG_CACHE_HOME",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"),
        );
    command
}

/// Those of Skep's crates that take long to optimise.
fn own_crates() -> impl Iterator<Item = &'static str> {
    [
        "skep",
        "skep-btf",
        "skep-linux",
        "skep-object",
        "skep-test",
        "skep-verifier",
        "skep-vm",
    ]
    .into_iter()
}

#[test]
fn a_project_in_c_builds_and_passes_its_tests() {
    if has_clang() && has_kernel_btf() {
        passes(&project(&["new-c", "--c"]), "new-c", &[]);
    }
}

/// Kernel side and user space as cargo builds both, the former by the build script of the latter.
#[test]
fn a_project_in_rust_builds_and_passes_its_tests() {
    let Some(core) = core_source() else {
        return;
    };
    let environment = [("SKEP_RUST_SRC", core.as_os_str())];
    let project = project(&["new-rust", "--rust"]);
    passes(&project, "new-rust", &environment);
    // The kernel side by itself, as `skep` takes it.
    let mut command = skep(&project);
    command.envs(environment).env_remove("CARGO");
    command.env("CARGO_NET_OFFLINE", "true");
    let ran = Ran::of(command.args(["check", ".", "--host", "vm"])).ended_with(0);
    assert!(ran.stdout.contains("leave: accepted"), "{}", ran.stdout);
}

/// Its tests pass, it is formatted, and does what it is for.
fn passes(project: &Path, name: &str, environment: &[(&str, &OsStr)]) {
    let cargo = |arguments: &[&str]| {
        let mut command = cargo(project, arguments);
        Ran::of(command.envs(environment.iter().copied()))
    };
    let ran = cargo(&["test", "--workspace"]).ended_with(0);
    assert!(
        ran.stdout.contains("programs_do_what_they_should ... ok"),
        "{}",
        ran.stdout
    );
    // Where these are not installed, that is not the project's fault.
    let there = |tool: &str| {
        let version = Command::new(env!("CARGO"))
            .args([tool, "--version"])
            .output();
        version.is_ok_and(|output| output.status.success())
    };
    if there("fmt") {
        let mut command = Command::new(env!("CARGO"));
        command.args(["fmt", "--check"]).current_dir(project);
        assert_eq!(Ran::of(&mut command).stdout, "");
    }
    // The program itself, on whichever host it may use.
    let mut program = Command::new(target().join("debug").join(name));
    let ran = Ran::of(program.args(["cat", "/etc/hostname"])).ended_with(0);
    let row = ran
        .stdout
        .lines()
        .find(|line| line.ends_with("/etc/hostname") && line.contains("cat"));
    assert!(row.is_some(), "{}\n{}", ran.stdout, ran.stderr);
    ends_quietly(&target().join("debug").join(name));
}

/// Nobody reads what it prints, as behind `… | head -1`: it has no more to say.
fn ends_quietly(program: &Path) {
    let mut child = Command::new(program)
        .args(["cat", "/etc/hostname"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the project's program");
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("its end");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(ended.status.code(), Some(0));
}

/// Of all other hooks, the kernel side by itself: it is built, and passes its tests in the machine.
#[test]
fn kernel_sides_of_every_hook_pass_their_tests() {
    let core = core_source();
    let clang = has_clang() && has_kernel_btf();
    for hook in ["kprobe", "uprobe", "xdp"] {
        for language in ["c", "rust"] {
            let there = match language {
                "c" => clang,
                _ => core.is_some(),
            };
            if !there {
                continue;
            }
            let name = format!("{hook}-{language}");
            let language = format!("--{language}");
            let project = project(&[&name, &language, "--hook", hook]);
            let mut command = skep(&project);
            command.env_remove("CARGO").env("CARGO_NET_OFFLINE", "true");
            command.envs(core.iter().map(|core| ("SKEP_RUST_SRC", core)));
            let ran = Ran::of(command.args(["test", "--host", "vm"])).ended_with(0);
            assert!(ran.stdout.contains(" 0 failed"), "{name}:\n{}", ran.stdout);
            let mut command = Command::new(env!("CARGO"));
            command.args(["fmt", "--check"]).current_dir(&project);
            let formatted = Ran::of(&mut command);
            assert_eq!(formatted.stdout, "", "{name}");
        }
    }
}

#[test]
fn what_is_there_is_left_alone() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir(path.join("there")).unwrap();
    run(path, ["new", "there", "--c"])
        .ended_with(2)
        .saying(&["error: there is there already: name a folder that is to be made"]);
    assert_eq!(fs::read_dir(path.join("there")).unwrap().count(), 0);
}

#[test]
fn names_are_those_of_packages() {
    let folder = folder();
    let path = folder.path();
    run(path, ["new", "2fast", "--c"]).ended_with(2).saying(&[
        "error: a project can't be called `2fast`",
        "begin with a digit",
        "--name",
    ]);
    run(path, ["new", "..", "--c"])
        .ended_with(2)
        .saying(&["error: .. is no name: name the folder to make, or add --name"]);
    assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    run(path, ["new", "a/2fast", "--c", "--name", "fast"]).ended_with(0);
    let manifest = fs::read_to_string(path.join("a/2fast/Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"fast\""), "{manifest}");
    assert!(path.join("a/2fast/bpf/fast.bpf.c").is_file());
}

#[test]
fn skep_is_where_it_is_said_to_be() {
    let folder = folder();
    let path = folder.path();
    run(path, ["new", "x", "--c", "--skep", "."])
        .ended_with(2)
        .saying(&["error: . is no checkout of Skep: it has no crates/skep/Cargo.toml"]);
    let root = root();
    let root = root.to_str().unwrap();
    run(path, ["new", "x", "--c", "--skep", root]).ended_with(0);
    let manifest = fs::read_to_string(path.join("x/Cargo.toml")).unwrap();
    let crates = fs::canonicalize(root).unwrap().join("crates/skep-build");
    let line = format!("skep-build = {{ path = \"{}\" }}", crates.display());
    assert!(manifest.contains(&line), "{manifest}");
}
