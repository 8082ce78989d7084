//! A cargo package: cargo compiles it with what it depends on, for BPF, in a sysroot of Skep's; what
//! comes of it is finished as of a file.
//!
//! Cargo rather than jobs of our own, because what dependencies, features, build scripts, proc macros
//! and lock files mean is what cargo makes of them. All it is told besides is the target, the flags
//! and a profile of its own (`bpf`: link-time optimisation, debug information), so that what the
//! workspace says of others does not matter.

use std::{
    collections::BTreeSet,
    env,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    cargo::{Cargo, LIBRARY, Package, Target},
    sysroot::ATTRIBUTE,
    tools::Tools,
};
use crate::{Build, Cache, Error, Result, build::Compiled, cache::Fingerprint, depfile};

/// What [`Build`] takes for a package: a folder that has a Cargo.toml, or that file.
pub(crate) fn is_package(source: &Path) -> bool {
    source.file_name() == Some(OsStr::new("Cargo.toml")) || source.join("Cargo.toml").is_file()
}

/// The profile's name, and so that of its folder.
const PROFILE: &str = "bpf";

/// What the profile says.
const SETTINGS: &[&str] = &[
    "inherits='release'",
    "lto='fat'",
    "opt-level=3",
    "codegen-units=1",
    "debug=2",
    "incremental=false",
    "overflow-checks=false",
    "debug-assertions=false",
];

/// A package made ready: core is compiled.
pub(crate) struct Job<'a> {
    tools: Tools<'a>,
    cargo: PathBuf,
    package: Package,
    target: Target,
    folder: PathBuf,
}

impl<'a> Job<'a> {
    pub(crate) fn prepare(build: &'a Build, cache: Cache) -> Result<Self> {
        let tools = Tools::prepare(build, cache)?;
        let cargo = Cargo::find(&tools.rustc)?;
        let package = cargo.package(&build.source)?;
        let target = package.target(build.binary.as_deref());
        let target = target.map_err(|reason| Error::Package {
            manifest: package.manifest.clone(),
            reason,
        })?;
        Ok(Self {
            folder: folder_for(&package, build),
            cargo: cargo.path().to_owned(),
            tools,
            package,
            target,
        })
    }

    pub(crate) fn cache(&self) -> &Arc<Cache> {
        &self.tools.cache
    }

    /// What the object is called after: the library or the binary, as the manifest has it.
    pub(crate) fn name(&self) -> &str {
        match self.target.is_library {
            // Cargo says of libraries how the crate is called.
            true => &self.package.name,
            false => &self.target.name,
        }
    }

    /// Cargo knows what has changed: nothing is kept beside it.
    pub(crate) fn key(&self) -> Result<Fingerprint> {
        let mut key = Fingerprint::new("rust package");
        key.add(&self.package.manifest);
        Ok(key)
    }

    pub(crate) fn command_line(&self, object: &Path) -> Vec<OsString> {
        // Cargo calls the compiler in the workspace's folder.
        let object = std::path::absolute(object).unwrap_or_else(|_| object.to_owned());
        let command = self.command(&object);
        let set = command.get_envs().filter_map(|(name, value)| {
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value?);
            Some(word)
        });
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        std::iter::once(OsString::from("env"))
            .chain(set)
            .chain(words.map(OsStr::to_owned))
            .collect()
    }

    /// Where cargo puts what it makes for BPF.
    fn made(&self) -> PathBuf {
        let build = self.tools.build;
        self.folder.join(build.endian.rust_target()).join(PROFILE)
    }

    /// Cargo's command line; rustc's object goes to `object`.
    fn command(&self, object: &Path) -> Command {
        let build = self.tools.build;
        let cargo = Cargo::with(&self.cargo, &self.tools.rustc);
        let mut command = cargo.command();
        let flags = self.tools.sysroot.words().into_iter();
        let flags = flags.chain(["-Clinker=true".into(), ATTRIBUTE.into()]);
        let flags: Vec<OsString> = flags.collect();
        command
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")))
            .args(["rustc", "--quiet", "--color", build.color_word()])
            .arg("--manifest-path")
            .arg(&self.package.manifest)
            .args(["--profile", PROFILE, "--target", build.endian.rust_target()])
            .arg("--target-dir")
            .arg(&self.folder);
        for setting in SETTINGS {
            command.args(["--config", &format!("profile.{PROFILE}.{setting}")]);
        }
        if !build.features.is_empty() {
            command.arg("--features").arg(build.features.join(","));
        }
        if !build.default_features {
            command.arg("--no-default-features");
        }
        match self.target.is_library {
            true => command.args(["--lib", "--crate-type", "cdylib"]),
            false => command.args(["--bin", &self.target.name]),
        };
        let mut emit = OsString::from("--emit=obj=");
        emit.push(object);
        command.arg("--").arg(emit);
        if !self.target.is_library {
            // A program's functions are all that there is of it: nothing calls them.
            command.arg("-Zexport-executable-symbols");
        }
        command.args(self.tools.defines()).args(&build.arguments);
        command
    }

    pub(crate) fn compile(&self, object: &Path) -> Result<Compiled> {
        let name = &self.target.name;
        let made = self.made().join(format!("deps/{name}.unfinished.o"));
        // From cargo's beginning until what it made is read: another build of the package, with other
        // defines, writes to the same place.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let guard = ONE_AT_A_TIME.lock();
        let lock = self.lock()?;
        let output = self.command(&made).output().map_err(|error| Error::Run {
            path: self.cargo.clone(),
            error,
        })?;
        let said = self.tools.explained(&output.stderr);
        if !output.status.success() {
            return Err(match said.trim().is_empty() {
                true => Error::Package {
                    manifest: self.package.manifest.clone(),
                    reason: format!("cargo ended with {}", output.status),
                },
                false => self.tools.refused(said),
            });
        }
        let read = |path: PathBuf| fs::read(&path).map_err(|error| Error::Source { path, error });
        let bytes = read(made)?;
        let rules = match self.target.is_library {
            true => format!("lib{}.d", name.replace('-', "_")),
            false => format!("{name}.d"),
        };
        let rules = depfile::of_rustc(&read(self.made().join(rules))?);
        drop((lock, guard));
        let own = rules.files.iter().filter(|file| !is_of_library(file));
        Ok(Compiled {
            warnings: self.tools.finish(&bytes, own, said, object)?,
            dependencies: self.dependencies(rules.files),
            keep: false,
        })
    }

    /// Held by other processes that build this package in this folder.
    fn lock(&self) -> Result<fs::File> {
        let mut name = Fingerprint::new("target folder");
        name.add(&self.folder);
        let folder = self.tools.cache.folder("rust")?;
        let path = folder.join(format!("{}.lock", name.finish()));
        let file = fs::File::create(&path).map_err(Error::write(&path))?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| Error::write(&path)(error.into()))?;
        Ok(file)
    }

    /// The sources, of all packages that are here; then their manifests and the lock file.
    fn dependencies(&self, mut files: Vec<PathBuf>) -> Vec<PathBuf> {
        let mut manifests = BTreeSet::from([self.package.manifest.clone()]);
        let mut folders = BTreeSet::new();
        for file in &files {
            for folder in file.ancestors().skip(1) {
                if !folders.insert(folder.to_owned()) {
                    break;
                }
                let manifest = folder.join("Cargo.toml");
                if manifest.is_file() {
                    manifests.insert(manifest);
                    break;
                }
            }
        }
        for name in ["Cargo.toml", "Cargo.lock"] {
            manifests.insert(self.package.root.join(name));
        }
        files.extend(manifests);
        files
    }
}

/// Whether a source is the library's, which is a dependency like others: by the manifest next to it.
fn is_of_library(file: &Path) -> bool {
    let manifests = file
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("Cargo.toml"));
    let text = manifests
        .filter_map(|manifest| fs::read_to_string(manifest).ok())
        .next();
    let name = format!("name = \"{LIBRARY}\"");
    text.is_some_and(|text| text.lines().any(|line| line.trim() == name))
}

/// Where cargo is to work: a build script's own folder, since cargo, which runs it, holds the
/// workspace's; else the workspace's.
fn folder_for(package: &Package, build: &Build) -> PathBuf {
    match env::var_os("OUT_DIR") {
        // Tests and programs that cargo runs have it as well, where there is a build script.
        Some(folder) if env::var_os("CARGO_CFG_TARGET_ARCH").is_some() => {
            let name = build.binary.as_deref().unwrap_or(&package.name);
            PathBuf::from(folder).join(format!("{name}-target"))
        }
        _ => package.target_folder.clone(),
    }
}
