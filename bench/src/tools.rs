//! What is built before anything is measured: the BPF programs, each peer's runner, the small
//! tools whose start is measured, the `skep` command. What can't be built is remembered with its
//! reason, and shows in the table.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Result,
    peers::Peer,
    row::{How, Row},
    rows,
};

/// How the C library is linked to a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Linkage {
    Dynamic,
    Static,
    /// Statically, and it is musl instead of glibc: for tools that are all in Rust, since
    /// distributions have no libelf for it.
    Musl,
}

/// Something that is built of a peer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Artefact {
    /// Measures what a file of `rows/` measures. In Rust, one program for all.
    Runner(String),
    /// The tool whose start is measured.
    Start(Linkage),
    /// The same in light form.
    Light(Linkage),
}

/// Everything that was built, and why the rest was not.
pub(crate) struct Tools {
    root: PathBuf,
    folder: PathBuf,
    built: BTreeMap<(Peer, Artefact), Result<PathBuf, String>>,
    skep: Result<PathBuf, String>,
}

impl Tools {
    /// Builds what `rows` need of `peers`.
    ///
    /// # Errors
    /// The BPF programs or the instrument can't be built: without them, nothing is measured.
    pub(crate) fn build(rows: &[Row], peers: &[Peer]) -> Result<Self> {
        Self::get(rows, peers, false)
    }

    /// Takes what was built of that before, on another machine.
    ///
    /// # Errors
    /// What a row needs to know of this machine can't be had.
    pub(crate) fn built(rows: &[Row], peers: &[Peer]) -> Result<Self> {
        Self::get(rows, peers, true)
    }

    fn get(rows: &[Row], peers: &[Peer], built: bool) -> Result<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("target/tools");
        fs::create_dir_all(&folder)?;
        let mut tools = Self {
            root,
            folder,
            built: BTreeMap::new(),
            skep: Err("it was not built".into()),
        };
        if !built {
            tools.programs()?;
            tools.instrument()?;
        }
        let wants = |name: &str| rows.iter().any(|row| row.name.starts_with(name));
        if wants("lookup") {
            rows::lookup::prepare()?;
        }
        if wants("functions") {
            rows::functions::prepare()?;
        }
        let mut artefacts: Vec<Artefact> = rows
            .iter()
            .filter_map(|row| match &row.how {
                How::Peer { arguments, .. } => Some(Artefact::Runner(arguments.first()?.clone())),
                How::Outside(_) => None,
            })
            .collect();
        artefacts.sort();
        artefacts.dedup();
        if wants("start") || wants("size") {
            artefacts.push(Artefact::Start(Linkage::Dynamic));
            artefacts.push(Artefact::Start(Linkage::Static));
            artefacts.push(Artefact::Start(Linkage::Musl));
        }
        if wants("light") && !built {
            let form = tools.folder.join("start_light.rs");
            rows::light::write(&tools.object(rows::light::OBJECT), &form)?;
            artefacts.push(Artefact::Light(Linkage::Dynamic));
            artefacts.push(Artefact::Light(Linkage::Static));
        }
        for &peer in peers {
            for artefact in &artefacts {
                if *artefact == Artefact::Start(Linkage::Musl) && peer.needs_c_libraries() {
                    continue;
                }
                let made = if built {
                    tools.kept(peer, artefact)
                } else {
                    eprintln!("building {peer}: {artefact:?}");
                    tools.make(peer, artefact)
                };
                let made = made.map_err(|error| error.to_string());
                tools.built.insert((peer, artefact.clone()), made);
            }
        }
        if wants("run") {
            tools.skep = tools.command().map_err(|error| error.to_string());
        }
        Ok(tools)
    }

    /// A BPF object.
    pub(crate) fn object(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.bpf.o"))
    }

    /// The library to preload into a runner whose allocations and system calls are counted.
    pub(crate) fn counters(&self) -> PathBuf {
        self.folder.join("counters.so")
    }

    /// The program that measures with `peer` what `file` of `rows/` measures.
    pub(crate) fn runner(&self, peer: Peer, file: &str) -> Result<PathBuf> {
        self.find(peer, Artefact::Runner(file.to_owned()))
    }

    /// The small tool with `peer`.
    pub(crate) fn start_tool(&self, peer: Peer, linkage: Linkage) -> Result<PathBuf> {
        self.find(peer, Artefact::Start(linkage))
    }

    /// The same in light form.
    pub(crate) fn light_tool(&self, peer: Peer, linkage: Linkage) -> Result<PathBuf> {
        self.find(peer, Artefact::Light(linkage))
    }

    /// The `skep` command.
    pub(crate) fn skep(&self) -> Result<PathBuf> {
        Ok(self.skep.clone()?)
    }

    /// The bench's own folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn find(&self, peer: Peer, artefact: Artefact) -> Result<PathBuf> {
        match self.built.get(&(peer, artefact)) {
            Some(made) => Ok(made.clone()?),
            None => Err("it was not built".into()),
        }
    }

    fn programs(&self) -> Result<()> {
        for name in [
            "start",
            "many",
            "core",
            "ring",
            "hash",
            "events",
            "lookup",
            "functions",
        ] {
            let source = self.root.join(format!("programs/{name}.bpf.c"));
            let mut clang = Command::new("clang");
            clang.args(["-g", "-O2", "-target", "bpf", "-mcpu=v3", "-c"]);
            // Headers of the C library for this machine, which a target of its own does not look for.
            let headers = format!("/usr/include/{}-linux-gnu", env::consts::ARCH);
            clang.args(["-idirafter", &headers]);
            run(clang.arg(source).arg("-o").arg(self.object(name)))?;
        }
        Ok(())
    }

    fn instrument(&self) -> Result<()> {
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-shared", "-fPIC", "-fno-builtin", "-o"]);
        cc.arg(self.counters());
        cc.arg(self.root.join("src/instrument/counters.c"));
        run(cc.arg("-ldl")).map(drop)
    }

    /// A runner that was built before.
    fn kept(&self, peer: Peer, artefact: &Artefact) -> Result<PathBuf> {
        let name = match (peer, artefact) {
            (_, Artefact::Start(_) | Artefact::Light(_)) => {
                return Err("tools are measured where they are built".into());
            }
            (Peer::Libbpf, Artefact::Runner(file)) => in_c(file),
            (_, Artefact::Runner(_)) => in_rust("skep-bench", peer),
        };
        let kept = self.folder.join(name);
        match kept.exists() {
            true => Ok(kept),
            false => Err("it was not built".into()),
        }
    }

    fn make(&self, peer: Peer, artefact: &Artefact) -> Result<PathBuf> {
        match (peer, artefact) {
            (Peer::Libbpf, Artefact::Runner(file)) => self.cc(file, &[], &in_c(file)),
            (Peer::Libbpf, Artefact::Start(Linkage::Dynamic)) => {
                self.cc("start", &["-s"], "start-libbpf")
            }
            (Peer::Libbpf, Artefact::Start(Linkage::Static)) => {
                let flags = ["-s", "-static"];
                self.cc("start", &flags, "start-libbpf-static")
            }
            (Peer::Libbpf, Artefact::Start(Linkage::Musl)) => {
                Err("no libelf for musl is looked for".into())
            }
            (Peer::Libbpf, Artefact::Light(linkage)) => self.light_skeleton(*linkage),
            (Peer::Skep, Artefact::Light(linkage)) => {
                self.cargo(peer, "start-light", "size", Some(*linkage))
            }
            (_, Artefact::Light(_)) => Err("it has no light form".into()),
            (_, Artefact::Runner(_)) => self.cargo(peer, "skep-bench", "release", None),
            (_, Artefact::Start(linkage)) => self.cargo(peer, "start", "size", Some(*linkage)),
        }
    }

    /// Compiles a row in C.
    fn cc(&self, file: &str, flags: &[&str], name: &str) -> Result<PathBuf> {
        let made = self.folder.join(name);
        let mut cc = Command::new("cc");
        cc.arg("-O2").args(flags).arg("-o").arg(&made);
        cc.arg(self.root.join(format!("src/rows/{file}.c")));
        run(cc.args(["-lbpf", "-lelf", "-lz", "-lpthread", "-ldl"]))?;
        Ok(made)
    }

    /// The tool in libbpf's light form.
    fn light_skeleton(&self, linkage: Linkage) -> Result<PathBuf> {
        let mut bpftool = Command::new("bpftool");
        bpftool.args(["gen", "skeleton", "-L"]);
        bpftool.arg(self.object(rows::light::OBJECT));
        let header = run(bpftool.args(["name", rows::light::OBJECT]))?;
        fs::write(self.folder.join("start.lskel.h"), header)?;
        let (flags, name): (&[&str], _) = match linkage {
            Linkage::Dynamic => (&["-s"], "light-libbpf"),
            _ => (&["-s", "-static"], "light-libbpf-static"),
        };
        let made = self.folder.join(name);
        let mut cc = Command::new("cc");
        cc.arg("-O2").args(flags).arg("-I").arg(&self.folder);
        cc.arg("-o").arg(&made);
        run(cc.arg(self.root.join("src/rows/light.c")))?;
        Ok(made)
    }

    /// Builds one of this package's programs with one peer in it, and keeps a copy: the next
    /// peer's takes its place.
    fn cargo(
        &self,
        peer: Peer,
        program: &str,
        profile: &str,
        linkage: Option<Linkage>,
    ) -> Result<PathBuf> {
        let target = self.target();
        let mut cargo = cargo();
        cargo.args(["rustc", "--quiet", "--no-default-features"]);
        let feature = match program {
            "start-light" => "light",
            _ => peer.name(),
        };
        cargo.args(["--profile", profile, "--features", feature]);
        cargo.args(["--bin", program]).current_dir(&self.root);
        let mut made = target.join(profile);
        let mut copy = in_rust(program, peer);
        if let Some(linkage @ (Linkage::Static | Linkage::Musl)) = linkage {
            let mut triple = triple()?;
            copy += "-static";
            if linkage == Linkage::Musl {
                triple = triple.replace("-gnu", "-musl");
                copy += "-musl";
            }
            cargo.args(["--target", &triple]);
            let flags = "-C target-feature=+crt-static -C relocation-model=static";
            cargo.env("RUSTFLAGS", flags);
            made = target.join(triple).join(profile);
        }
        if linkage == Some(Linkage::Musl) {
            let script = self.root.join("no-frames.ld");
            let script = format!("link-arg=-Wl,-T,{}", script.display());
            cargo.args(["--", "-C", &script]);
        }
        run(&mut cargo)?;
        let copy = self.folder.join(copy);
        fs::copy(made.join(program), &copy)?;
        Ok(copy)
    }

    /// Where cargo puts what it builds.
    fn target(&self) -> PathBuf {
        let chosen = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        chosen.unwrap_or_else(|| self.root.join("target"))
    }

    /// Builds the `skep` command.
    fn command(&self) -> Result<PathBuf> {
        let target = self.target();
        let mut cargo = cargo();
        cargo.args(["build", "--quiet", "--release", "-p", "skep-cli"]);
        cargo.arg("--target-dir").arg(&target);
        run(cargo.current_dir(self.root.join("..")))?;
        Ok(target.join("release/skep"))
    }
}

/// What a row in C is built as.
fn in_c(file: &str) -> String {
    format!("libbpf-{file}")
}

/// What one of this package's programs with one peer in it is kept as.
fn in_rust(program: &str, peer: Peer) -> String {
    format!("{program}-{}", peer.name())
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The compiler's own target.
fn triple() -> Result<String> {
    let version = run(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc names no host")?.to_owned())
}

/// Runs a command and gives what it prints.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}\n{said}", output.status).into())
}
