//! A cargo package with a light form in it: `tests/program`, compiled offline with what this
//! workspace was built of.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use skep_testing::{Outcome, Stop, ensure};

/// A file of `tests`.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

/// The package.
pub(crate) struct Package {
    folder: PathBuf,
}

impl Package {
    /// Makes it with `program.rs`, or takes the one of an earlier test.
    pub(crate) fn new() -> Outcome<Self> {
        Self::of("program")
    }

    /// The same with another source of `tests/program`.
    pub(crate) fn of(name: &str) -> Outcome<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("light");
        fs::create_dir_all(folder.join("src"))?;
        let own = env!("CARGO_MANIFEST_DIR");
        let manifest = format!(
            "[package]\nname = \"program\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
             [dependencies]\nskep-light = {{ path = {own:?} }}\n\n[workspace]\n"
        );
        fs::write(folder.join("Cargo.toml"), manifest)?;
        let lock = Path::new(own).join("../../Cargo.lock");
        fs::copy(lock, folder.join("Cargo.lock"))?;
        let program = source(&format!("program/{name}.rs"));
        // Copied or not, it is newer than what was built of another.
        fs::write(folder.join("src/main.rs"), fs::read(program)?)?;
        Ok(Self { folder })
    }

    /// Compiles it with this form, runs it, and gives what it printed.
    pub(crate) fn run(&self, light: &str) -> Outcome<String> {
        self.run_with(light, &[])
    }

    /// The same with arguments for it.
    pub(crate) fn run_with(&self, light: &str, arguments: &[&OsStr]) -> Outcome<String> {
        self.build(&[("light", light)])?;
        output(&self.binary(), arguments)
    }

    /// Compiles it with these forms, by their modules' names.
    pub(crate) fn build(&self, forms: &[(&str, &str)]) -> Outcome {
        for (name, form) in forms {
            fs::write(self.folder.join(format!("src/{name}.rs")), form)?;
        }
        let cargo = PathBuf::from(env!("CARGO"));
        if !cargo.exists() {
            return Err(Stop::lacks("the cargo that built this test"));
        }
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--offline"])
            .current_dir(&self.folder)
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .stdin(Stdio::null())
            .output()?;
        ensure(built.status.success(), || text(&built.stderr))
    }

    /// What it is compiled to.
    pub(crate) fn binary(&self) -> PathBuf {
        self.folder.join("target/debug/program")
    }
}

/// What a program prints.
pub(crate) fn output(program: &Path, arguments: &[&OsStr]) -> Outcome<String> {
    let ran = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()?;
    ensure(ran.status.success(), || text(&ran.stderr))?;
    Ok(text(&ran.stdout))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
