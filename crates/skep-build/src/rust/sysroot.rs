//! Core for BPF: compiled once for a compiler, a source, a byte order and an instruction set, as
//! LLVM's own code in a library, of which each program takes what it uses.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use super::{CoreSource, Rustc};
use crate::{Cache, Cpu, Endian, Error, Result, cache::Fingerprint, clang::output};

/// What core demands to be there, though BPF has no use for it.
const COMPILER_BUILTINS: &str = "\
//! Stands in for the crate of this name, whose functions no BPF program can call.
#![feature(compiler_builtins)]
#![compiler_builtins]
#![no_std]
";

/// A folder that rustc takes for its sysroot. The target is described in it, so that both rustc and
/// cargo take it by its name.
#[derive(Clone, Debug)]
pub(crate) struct Sysroot {
    folder: PathBuf,
    target: &'static str,
    cpu: Cpu,
}

impl Sysroot {
    /// The one that is kept for this compiler and target, or a new one: that takes some 10 seconds,
    /// of which `progress` is told before.
    pub(crate) fn of(
        rustc: &Rustc,
        source: &CoreSource,
        endian: Endian,
        cpu: Cpu,
        cache: &Cache,
        progress: impl FnOnce(&str),
    ) -> Result<Self> {
        let name = endian.rust_target();
        let mut key = Fingerprint::new("sysroot with its target");
        let identity = |path: &Path, key: &mut Fingerprint| {
            key.add_file_identity(path).map_err(|error| Error::Source {
                path: path.to_owned(),
                error,
            })
        };
        identity(rustc.path(), &mut key)?;
        identity(&source.core(), &mut key)?;
        key.add((name, cpu, rustc.release(), FORM, COMPILER_BUILTINS, LAYOUT));
        let parent = cache.folder("rust")?;
        let folder = parent.join(format!("sysroot-{}", key.finish()));
        let made = Self {
            folder,
            target: name,
            cpu,
        };
        // Tests ask from many threads at once. Of several processes each makes its own, and the
        // first that is done gives its to all.
        static MAKING: Mutex<()> = Mutex::new(());
        let _guard = MAKING.lock().unwrap_or_else(|broken| broken.into_inner());
        if made.folder.is_dir() {
            return Ok(made);
        }
        progress(&format!(
            "compiling core for BPF with rustc {}, once",
            rustc.release()
        ));
        let folder = tempfile::Builder::new()
            .prefix("making-")
            .tempdir_in(&parent)
            .map_err(Error::write(&parent))?;
        let making = Self {
            folder: folder.path().to_owned(),
            target: name,
            cpu,
        };
        making.make(rustc, source, endian)?;
        let folder = folder.keep();
        if let Err(error) = fs::rename(&folder, &made.folder) {
            let _ = fs::remove_dir_all(&folder);
            if !made.folder.is_dir() {
                return Err(Error::write(&made.folder)(error));
            }
        }
        Ok(made)
    }

    fn make(&self, rustc: &Rustc, source: &CoreSource, endian: Endian) -> Result<()> {
        let unusable = |reason| Error::RustcUnusable {
            path: rustc.path().to_owned(),
            reason,
        };
        let built_in = format!("{}-unknown-none", endian.clang_target());
        let described = output(rustc.command().args([
            "--print",
            "target-spec-json",
            "-Zunstable-options",
            "--target",
            &built_in,
        ]));
        let described = target(&described.map_err(unusable)?).ok_or_else(|| {
            unusable(format!("it describes its target {built_in} in another way"))
        })?;
        let libraries = self.libraries();
        fs::create_dir_all(&libraries).map_err(Error::write(&libraries))?;
        let description = libraries.with_file_name("target.json");
        fs::write(&description, described).map_err(Error::write(&description))?;
        let builtins = self.folder.join("compiler_builtins.rs");
        fs::write(&builtins, COMPILER_BUILTINS).map_err(Error::write(&builtins))?;

        let compile = |name: &str, file: &Path, more: &[&str]| -> Result<()> {
            let mut command = rustc.command();
            self.flags(&mut command);
            command
                .args(["--edition", "2024", "--crate-name", name])
                .args(["--crate-type", "rlib", "-Clinker-plugin-lto"])
                .args(["--cap-lints", "allow", "--out-dir"])
                .arg(&libraries)
                .args(more)
                .arg(file);
            let output = command.output().map_err(|error| Error::Run {
                path: rustc.path().to_owned(),
                error,
            })?;
            if output.status.success() {
                return Ok(());
            }
            Err(Error::Core {
                source_folder: source.folder().to_owned(),
                release: rustc.release().to_owned(),
                stderr: String::from_utf8_lossy(&output.stderr)
                    .trim_end()
                    .to_owned(),
            })
        };
        compile("core", &source.core(), &["-Zalways-encode-mir"])?;
        compile("compiler_builtins", &builtins, &[])
    }

    fn libraries(&self) -> PathBuf {
        let targets = self.folder.join("lib/rustlib");
        targets.join(self.target).join("lib")
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What every crate for this target is compiled with.
    pub(crate) fn flags(&self, command: &mut Command) {
        command.args(["--target", self.target]).args(self.words());
    }

    /// The same without the target.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let own = ["--sysroot".into(), self.folder.clone().into()];
        let others = [self.cpu.rust_flag()]
            .into_iter()
            .chain(FORM.iter().copied());
        own.into_iter().chain(others.map(OsString::from)).collect()
    }
}

/// To be raised when another folder is made of the same.
const LAYOUT: u32 = 2;

/// The crate attribute that everything but core is compiled with, so that no one need write it: what
/// no instruction of Rust's says is in assembly, which is unstable for BPF.
pub(super) const ATTRIBUTE: &str = "-Zcrate-attr=feature(asm_experimental_arch)";

/// How all crates for BPF are compiled.
const FORM: &[&str] = &[
    "-Zunstable-options",
    // A panic is a call of `__bpf_trap` where it happens: no message, and none of core's machinery.
    "-Cpanic=immediate-abort",
    "-Copt-level=3",
    "-Cdebuginfo=2",
    "-Ccodegen-units=1",
    // Loaders take functions for programs by their sections, and those of `.text` for others.
    "-Zfunction-sections=no",
    "-Cllvm-args=-profile-guided-section-prefix=false",
];

/// The built-in target's description changed to what BPF objects need: an object file and no
/// bitcode, and the atomic operations of 32 and 64 bits that kernels have.
fn target(described: &str) -> Option<String> {
    let mut lines = Vec::new();
    for line in described.lines() {
        let name = line.trim().split('"').nth(1).unwrap_or_default();
        let changed = match name {
            "obj-is-bitcode" | "atomic-cas" | "min-atomic-width" | "singlethread" => continue,
            _ => line,
        };
        lines.push(changed);
    }
    let first = lines.iter().position(|line| line.trim() == "{")?;
    let form = [
        "  \"atomic-cas\": true,",
        "  \"min-atomic-width\": 32,",
        "  \"obj-is-bitcode\": false,",
        "  \"singlethread\": false,",
    ];
    lines.splice(first + 1..first + 1, form);
    let text = lines.join("\n");
    text.contains("\"llvm-target\"").then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_changed_where_it_matters() {
        let described = "{\n  \"arch\": \"bpf\",\n  \"atomic-cas\": false,\n  \
                         \"llvm-target\": \"bpfel\",\n  \"obj-is-bitcode\": true,\n  \
                         \"target-pointer-width\": 64\n}\n";
        let expected = "{\n  \"atomic-cas\": true,\n  \"min-atomic-width\": 32,\n  \
                        \"obj-is-bitcode\": false,\n  \"singlethread\": false,\n  \
                        \"arch\": \"bpf\",\n  \"llvm-target\": \"bpfel\",\n  \
                        \"target-pointer-width\": 64\n}";
        assert_eq!(target(described).as_deref(), Some(expected));
        assert_eq!(target("nonsense"), None);
    }
}
