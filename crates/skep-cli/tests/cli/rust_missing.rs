//! What is said when what Rust programs need is missing, too old or of another version: each with what
//! to do about it.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::{Ran, core_source, folder, skep};

const PROGRAM: &str = "use skep_ebpf::prelude::*;\nlicense!(\"GPL\");\n";

/// A source, and a compiler that says that it is of this version and in that folder.
struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    fn new(version: &str, sysroot: &str) -> Self {
        let fake = Self { folder: folder() };
        fs::write(fake.path("a.rs"), PROGRAM).unwrap();
        let sysroot = fake.path(sysroot);
        let script = format!(
            "#!/bin/sh\ncase $1 in\n-vV) echo 'release: {version}';;\n\
             --print) echo '{}';;\n*) exit 1;;\nesac\n",
            sysroot.display()
        );
        let rustc = fake.path("rustc");
        fs::write(&rustc, script).unwrap();
        fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).unwrap();
        fake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn build(&self) -> Ran {
        let mut command = skep(self.folder.path());
        command.env("SKEP_RUSTC", self.path("rustc"));
        Ran::of(command.env_remove("SKEP_RUST_SRC").args(["build", "a.rs"]))
    }
}

#[test]
fn no_compiler() {
    let folder = folder();
    fs::write(folder.path().join("a.rs"), PROGRAM).unwrap();
    let mut command = skep(folder.path());
    for name in ["SKEP_RUSTC", "RUSTC"] {
        command.env_remove(name);
    }
    let ran = Ran::of(command.env("PATH", "").args(["build", "a.rs"])).ended_with(4);
    let said = "error: no rustc found on PATH: get Rust 1.93 or newer with rustup, or, where that is \
                as new, install ";
    assert!(ran.stderr.starts_with(said), "{}", ran.stderr);
    assert!(
        ran.stderr.ends_with(", or name one with SKEP_RUSTC\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_compiler_that_is_too_old() {
    let fake = Fake::new("1.85.1", "toolchains/stable");
    let ran = fake.build().ended_with(4);
    let expected = format!(
        "error: {} is rustc 1.85.1, too old to compile for BPF: 1.93.0 or newer is needed; get a \
         newer one with `rustup update stable`\n",
        fake.path("rustc").display()
    );
    assert_eq!(ran.stderr, expected);

    let fake = Fake::new("1.85.1", "usr");
    fake.build()
        .ended_with(4)
        .saying(&["1.93.0 or newer is needed; get Rust 1.93 or newer with rustup, or, "]);
}

#[test]
fn no_source_of_core() {
    let fake = Fake::new("1.999.0", "toolchains/stable");
    let ran = fake.build().ended_with(4);
    let expected = format!(
        "error: Rust programs need core's source for rustc 1.999.0 ({}), and it is not in \
         {}/lib/rustlib/src/rust nor in /usr/src/rustc-1.999.0: install it with `rustup component \
         add rust-src --toolchain stable`, or name a folder that has it with SKEP_RUST_SRC\n",
        fake.path("rustc").display(),
        fake.path("toolchains/stable").display(),
    );
    assert_eq!(ran.stderr, expected);

    // Of a distribution's compiler: its package of that name.
    let fake = Fake::new("1.999.0", "usr");
    fake.build().ended_with(4).saying(&[
        "nor in /usr/src/rustc-1.999.0: install ",
        "rust-src",
        ", or name a folder that has it with SKEP_RUST_SRC\n",
    ]);
}

#[test]
fn a_source_that_is_another() {
    let Some(core) = core_source() else {
        return;
    };
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("a.rs"), PROGRAM).unwrap();
    let build = |source: &str| {
        let mut command = skep(path);
        Ran::of(command.env("SKEP_RUST_SRC", source).args(["build", "a.rs"]))
    };
    build("nowhere").ended_with(4).saying(&[
        "and it is not in nowhere: SKEP_RUST_SRC must name the folder that has \
         library/core/src/lib.rs in it",
    ]);
    fs::create_dir_all(path.join("library/core/src")).unwrap();
    fs::write(path.join("library/core/src/lib.rs"), "nonsense").unwrap();
    build(".").ended_with(4).saying(&[
        "error: core does not compile for BPF: is its source in ./library that of rustc 1.",
        "error: expected one of `!` or `::`",
    ]);
    build(core.to_str().unwrap()).ended_with(0);
}

/// The compiler's text, and not a word of ours.
#[test]
fn errors_in_a_file_are_rustcs() {
    let Some(core) = core_source() else {
        return;
    };
    let folder = folder();
    fs::write(
        folder.path().join("a.rs"),
        format!("{PROGRAM}fn f() -> u32 {{\n    missing\n}}\n"),
    )
    .unwrap();
    let mut command = skep(folder.path());
    let ran = Ran::of(command.env("SKEP_RUST_SRC", core).args(["build", "a.rs"])).ended_with(3);
    let expected = "\
error[E0425]: cannot find value `missing` in this scope
 --> a.rs:4:5
  |
4 |     missing
  |     ^^^^^^^ not found in this scope

error: aborting due to 1 previous error

For more information about this error, try `rustc --explain E0425`.
";
    assert_eq!(ran.stderr, expected);
}
