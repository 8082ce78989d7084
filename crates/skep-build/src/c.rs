//! C: clang's command line, and what comes of it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use crate::{
    Arch, Build, Cache, Clang, Error, Result,
    build::{Compiled, as_file},
    cache::Fingerprint,
    depfile, headers, hint, pch, scan,
};

/// The system's headers, which clang does not all look for when it compiles for BPF. Where those of
/// the traced machine are not installed, this machine's stand in: the few that differ say so.
fn system_folders(arch: Arch) -> Vec<PathBuf> {
    let base = Path::new("/usr/include");
    let machine = arch
        .multiarch()
        .iter()
        .chain(Arch::host().multiarch())
        .map(|name| base.join(name));
    let machine = machine.into_iter().find(|path| path.is_dir());
    machine
        .into_iter()
        .chain([base.to_owned()])
        .filter(|path| path.is_dir())
        .collect()
}

/// A build made ready: all that the compiler's command line needs.
pub(crate) struct Job<'a> {
    build: &'a Build,
    clang: Clang,
    pub(crate) cache: Arc<Cache>,
    flags: Vec<OsString>,
    /// How many of the flags are neither paths nor the user's.
    common: usize,
    /// The `vmlinux.h` that may be used in its precompiled form.
    precompilable: Option<PathBuf>,
}

impl<'a> Job<'a> {
    /// Finds the compiler and the headers, and puts the command line together.
    pub(crate) fn prepare(build: &'a Build, cache: Cache) -> Result<Self> {
        let unread = |error| Error::Source {
            path: build.source.clone(),
            error,
        };
        let vmlinux = scan::vmlinux(&build.source, &build.folders).map_err(unread)?;
        let clang = match &build.clang {
            Some(clang) => clang.clone(),
            None => Clang::find(&cache)?,
        };
        let color = build.is_colored();

        let mut flags: Vec<OsString> = ["-g", "-O2", "-target", build.endian.clang_target()]
            .into_iter()
            .chain([build.cpu.flag(), "-D", build.arch.macro_name()])
            .chain([if color {
                "-fcolor-diagnostics"
            } else {
                "-fno-color-diagnostics"
            }])
            .map(OsString::from)
            .collect();
        // What a precompiled header must agree on ends here: paths come after.
        let common = flags.len();
        for define in &build.defines {
            flags.push(format!("-D{define}").into());
        }
        let mut folder = |option: &str, path: &Path| {
            flags.push(option.into());
            flags.push(path.into());
        };
        build.folders.iter().for_each(|path| folder("-I", path));
        let mut precompilable = None;
        match &vmlinux {
            scan::Vmlinux::Unused => {}
            scan::Vmlinux::Given(path) => folder("-I", path),
            scan::Vmlinux::Wanted { first } => {
                let path = build.types.header_folder(&build.source, &cache)?;
                folder("-I", &path);
                let plain = build.defines.is_empty() && build.arguments.is_empty();
                precompilable =
                    (*first && plain && build.precompile).then(|| path.join("vmlinux.h"));
            }
        }
        folder("-I", &headers::install(&cache)?);
        system_folders(build.arch)
            .iter()
            .for_each(|path| folder("-idirafter", path));
        flags.extend(build.arguments.iter().cloned());
        Ok(Self {
            build,
            clang,
            cache: Arc::new(cache),
            flags,
            common,
            precompilable,
        })
    }

    /// Everything that decides the object but for the files' contents.
    pub(crate) fn key(&self) -> Result<Fingerprint> {
        let mut key = Fingerprint::new("object");
        key.add_file_identity(self.clang.path())
            .map_err(|error| Error::Run {
                path: self.clang.path().to_owned(),
                error,
            })?;
        // Debug information has the current folder in it, and the source's name as it was given.
        key.add(std::env::current_dir().ok());
        key.add(&self.build.source);
        key.add(&self.flags);
        Ok(key)
    }

    pub(crate) fn compile(&self, object: &Path) -> Result<Compiled> {
        let precompiled = self.precompilable.as_ref().and_then(|header| {
            let common = self.flags.get(..self.common)?;
            Some((header, pch::of(&self.clang, common, header, &self.cache)?))
        });
        if let Some((header, precompiled)) = precompiled {
            match self.call(object, &["-include-pch".as_ref(), precompiled.as_os_str()]) {
                Ok(mut compiled) => {
                    // It stands for the header, and is nothing that anyone edits.
                    compiled.dependencies.retain(|path| *path != precompiled);
                    if !compiled.dependencies.contains(header) {
                        compiled.dependencies.push(header.clone());
                    }
                    return Ok(compiled);
                }
                // The source's fault or ours: the plain way shows it. If ours, don't try again.
                Err(_) => {
                    let compiled = self.call(object, &[])?;
                    let _ = fs::remove_file(&precompiled);
                    return Ok(compiled);
                }
            }
        }
        self.call(object, &[])
    }

    /// The program, and what it is told.
    pub(crate) fn command_line(&self, object: &Path) -> Vec<OsString> {
        let program = self.clang.path().as_os_str().to_owned();
        std::iter::once(program)
            .chain(self.arguments(object))
            .collect()
    }

    /// What the compiler is told, but for how it may be faster.
    fn arguments(&self, object: &Path) -> impl Iterator<Item = OsString> + use<'_, 'a> {
        let output = ["-c".into(), "-o".into(), object.as_os_str().to_owned()];
        let source = as_file(&self.build.source).into_os_string();
        self.flags.iter().cloned().chain(output).chain([source])
    }

    fn call(&self, object: &Path, extra: &[&OsStr]) -> Result<Compiled> {
        let depfile = tempfile::Builder::new()
            .prefix("skep-")
            .suffix(".d")
            .tempfile()
            .map_err(Error::write(std::env::temp_dir()))?;
        let output = Command::new(self.clang.path())
            .args(extra)
            .args(["-MD", "-MF"])
            .arg(depfile.path())
            .args(self.arguments(object))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::Run {
                path: self.clang.path().to_owned(),
                error,
            })?;
        let mut stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            stderr.truncate(stderr.trim_end_matches('\n').len());
            if stderr.is_empty() {
                stderr = format!(
                    "{} ended with {}",
                    self.clang.path().display(),
                    output.status
                );
            }
            let hint = hint::for_clang(&stderr);
            return Err(Error::Compile {
                source_file: self.build.source.clone(),
                stderr,
                hint,
            });
        }
        let text = fs::read(depfile.path()).unwrap_or_default();
        Ok(Compiled {
            warnings: stderr,
            dependencies: depfile::prerequisites(&text),
            keep: true,
        })
    }
}
