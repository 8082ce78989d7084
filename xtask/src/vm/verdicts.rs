//! The suite `verdicts`: the project's own programs, each loaded by the kernels of the machines, and
//! what they say held against what `skep check --kernel` says of them from afar.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::kernel::Kernel;
use crate::{Result, cargo};

/// How the suite is called.
pub(super) const NAME: &str = "verdicts";

/// The programs and their objects, compiled.
#[derive(Debug, Clone)]
pub(super) struct Verdicts {
    /// What loads them, in the machine, and compares, here.
    pub(super) program: PathBuf,
    /// The objects' folder, which has the same path in the machine.
    pub(super) objects: PathBuf,
}

impl Verdicts {
    /// Builds the program and has it compile the objects.
    pub(super) fn build(folder: &Path) -> Result<Self> {
        let program = cargo(&["build", "--package", "skep-selftests"])?;
        let objects = folder.join("objects");
        run(Command::new(&program).arg("--compile-own").arg(&objects))?;
        Ok(Self { program, objects })
    }

    /// Holds what a kernel said, line by line, against what is said of it from afar.
    pub(super) fn compare(&self, kernel: &Kernel, said: &str, folder: &Path) -> Result<()> {
        let file = folder.join(format!("{}.verdicts", kernel.name));
        fs::write(&file, said)?;
        let skep = cargo(&["build", "--package", "skep-cli"])?;
        let kernels = folder.join("kernels");
        let harvest = ["btf", "harvest", "--output"];
        run(Command::new(skep)
            .args(harvest)
            .args([&kernels, &kernel.image])
            .stdout(Stdio::null()))?;
        let kept = fs::read(kernels.join(format!("{}.json", kernel.release)))?;
        let kept: serde_json::Value = serde_json::from_slice(&kept)?;
        let version = kept["version"]
            .as_str()
            .ok_or("a harvest without a version")?;
        let types = kernels.join(format!("{}.btf", kernel.release));
        run(Command::new(&self.program)
            .arg("--compare")
            .arg(&self.objects)
            .args(["--release", &kernel.release, "--version", version])
            .args([Path::new("--said"), &file])
            .args([Path::new("--btf"), &types])
            .args([Path::new("--config"), &kernel.config]))
    }
}

fn run(command: &mut Command) -> Result<()> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err(format!("{command:?} failed").into()),
    }
}
