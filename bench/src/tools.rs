//! What is built before anything is measured: the BPF programs, the peer's drivers, Skep's tools.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Result;

/// Where everything is.
pub(crate) struct Tools {
    folder: PathBuf,
    /// libbpf's headers and a C compiler are there.
    pub(crate) peer: bool,
}

impl Tools {
    pub(crate) fn build() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("target/tools");
        fs::create_dir_all(&folder)?;
        for name in ["start", "paths", "events"] {
            run(Command::new("clang")
                .args(["-g", "-O2", "-target", "bpf", "-mcpu=v3", "-c"])
                .arg(root.join(format!("programs/{name}.bpf.c")))
                .arg("-o")
                .arg(folder.join(format!("{name}.bpf.o"))))?;
        }
        let mut peer = true;
        for name in ["start", "paths"] {
            let compiled = run(Command::new("cc")
                .args(["-O2", "-s", "-o"])
                .arg(folder.join(format!("peer-{name}")))
                .arg(root.join(format!("peers/{name}.c")))
                .args(["-lbpf", "-lpthread"]));
            if let Err(error) = compiled {
                eprintln!("no peer: {error}");
                peer = false;
                break;
            }
        }
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(&cargo)
            .args(["build", "--quiet", "--profile", "dist", "--bin", "start"])
            .current_dir(root))?;
        fs::copy(root.join("target/dist/start"), folder.join("skep-start"))?;
        run(Command::new(&cargo)
            .args(["build", "--quiet", "--release", "-p", "skep-cli"])
            .arg("--target-dir")
            .arg(root.join("target"))
            .current_dir(root.join("..")))?;
        Ok(Self { folder, peer })
    }

    /// A BPF object.
    pub(crate) fn object(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.bpf.o"))
    }

    /// A program that was built.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The `skep` command.
    pub(crate) fn skep(&self) -> PathBuf {
        self.folder.join("../release/skep")
    }

    /// What the peer's driver of the hot paths says, by name; none without the peer.
    pub(crate) fn peer(&self, path: &str) -> Result<BTreeMap<String, f64>> {
        if !self.peer {
            return Ok(BTreeMap::new());
        }
        let mut driver = Command::new(self.tool("peer-paths"));
        driver.arg(path).arg(self.object("paths"));
        if path == "btf" {
            driver = Command::new(self.tool("peer-paths"));
            driver.arg(path);
        }
        let output = run(&mut driver)?;
        let mut figures = BTreeMap::new();
        for line in output.lines() {
            let (name, figure) = line.split_once(' ').ok_or("a line without a figure")?;
            figures.insert(name.to_owned(), figure.parse()?);
        }
        Ok(figures)
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}\n{said}", output.status).into())
}
