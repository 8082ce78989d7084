//! One source, one object: the compiler's command line, and what comes of it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::SystemTime,
};

use crate::{
    Arch, Cache, Clang, Cpu, Endian, Error, KernelTypes, Result,
    cache::Fingerprint,
    depfile, headers, hint,
    kept::{Found, Kept},
    pch, scan,
};

/// How a C source is to be compiled. Made by [`Build::new`], changed by its methods, carried out by
/// [`Build::run`] or [`Build::cached`]; several sources are several builds.
///
/// The compiler is called with `-g -O2 -target bpf… -mcpu=… -D__TARGET_ARCH_…`; the include path is
/// the user's folders, Skep's headers, the generated `vmlinux.h`, and last the system's
/// `/usr/include` with its folder of this machine's headers. No warning is turned on.
#[derive(Clone, Debug)]
pub struct Build {
    source: PathBuf,
    output: Option<PathBuf>,
    folders: Vec<PathBuf>,
    defines: Vec<String>,
    arguments: Vec<OsString>,
    arch: Arch,
    endian: Endian,
    cpu: Cpu,
    types: KernelTypes,
    color: Option<bool>,
    precompile: bool,
    clang: Option<Clang>,
    cache: Option<Cache>,
}

/// An object, and how it came to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BuildOutput {
    /// The object. In the cache for [`Build::cached`]: read it soon, don't change it.
    pub object: PathBuf,
    /// What the compiler printed, as it did; empty or with its last line end.
    pub warnings: String,
    /// The files that it was made from, the source first, headers of the system and of Skep too.
    pub dependencies: Vec<PathBuf>,
    /// Nothing was compiled: the object is of an earlier run.
    pub from_cache: bool,
    /// Holds a temporary cache, and with it the object, if there is no other.
    _cache: Arc<Cache>,
}

impl BuildOutput {
    /// For a `build.rs`: tells cargo to run it again when one of the files changes.
    pub fn emit_rerun_if_changed(&self) {
        for path in &self.dependencies {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

impl Build {
    /// Compiles `source` for this machine and the running kernel.
    pub fn new(source: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            output: None,
            folders: Vec::new(),
            defines: Vec::new(),
            arguments: Vec::new(),
            arch: Arch::host(),
            endian: Endian::host(),
            cpu: Cpu::default(),
            types: KernelTypes::Running,
            color: None,
            precompile: true,
            clang: None,
            cache: None,
        }
    }

    /// Where [`Build::run`] puts the object. Without it: the source's name, with `.o` for its
    /// extension, in the current folder, as compilers do.
    pub fn output(mut self, path: impl Into<PathBuf>) -> Self {
        self.output = Some(path.into());
        self
    }

    /// Adds a folder to search for headers, before Skep's and the system's (`-I`).
    pub fn include(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.push(folder.into());
        self
    }

    /// Defines a macro (`-D`): `NAME` or `NAME=VALUE`.
    pub fn define(mut self, macro_: impl Into<String>) -> Self {
        self.defines.push(macro_.into());
        self
    }

    /// Adds an argument for the compiler, after all others but the source.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The machine to be traced. Also sets the byte order that Linux mostly has on it.
    pub fn arch(mut self, arch: Arch) -> Self {
        self.arch = arch;
        self.endian = if arch == Arch::S390x {
            Endian::Big
        } else {
            Endian::Little
        };
        self
    }

    /// The byte order of the machine to be traced.
    pub fn endian(mut self, endian: Endian) -> Self {
        self.endian = endian;
        self
    }

    /// The instruction set to use: [`Cpu::V3`] unless told otherwise.
    pub fn cpu(mut self, cpu: Cpu) -> Self {
        self.cpu = cpu;
        self
    }

    /// The types for `vmlinux.h`: the running kernel's unless told otherwise. They are looked at
    /// only if the source includes it and there is none beside it.
    pub fn kernel_types(mut self, types: KernelTypes) -> Self {
        self.types = types;
        self
    }

    /// Whether the compiler's messages are coloured. Without it: if stderr is a terminal and
    /// `NO_COLOR` is not set.
    pub fn color(mut self, color: bool) -> Self {
        self.color = Some(color);
        self
    }

    /// Whether a precompiled `vmlinux.h` may be used, as it is by default: the same object, sooner.
    pub fn precompile(mut self, precompile: bool) -> Self {
        self.precompile = precompile;
        self
    }

    /// The compiler to use, instead of what [`Clang::find`] finds.
    pub fn clang(mut self, clang: Clang) -> Self {
        self.clang = Some(clang);
        self
    }

    /// The cache to use, instead of what [`Cache::open`] opens.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Compiles, and writes the object to [`Build::output`].
    ///
    /// # Errors
    /// [`Error::Compile`] if the compiler refuses the source, and all others of [`Error`].
    pub fn run(&self) -> Result<BuildOutput> {
        let job = self.prepare()?;
        let object = self.object();
        let Compiled {
            warnings,
            dependencies,
        } = job.compile(&object)?;
        Ok(BuildOutput {
            object,
            warnings,
            dependencies,
            from_cache: false,
            _cache: job.cache,
        })
    }

    /// The compiler's command line, the program first: run by hand, it makes the same object as
    /// [`Build::run`], which may use a precompiled header besides, and asks for dependencies.
    ///
    /// # Errors
    /// As [`Build::run`], but for what the compiler says.
    pub fn command_line(&self) -> Result<Vec<OsString>> {
        let job = self.prepare()?;
        let program = job.clang.path().as_os_str().to_owned();
        let rest = job.arguments(&self.object());
        Ok([program].into_iter().chain(rest).collect())
    }

    /// Where the object goes.
    fn object(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(|| {
            PathBuf::from(self.source.file_name().unwrap_or_default()).with_extension("o")
        })
    }

    /// Gives the object from the cache if neither the source, nor a file it includes, nor the
    /// compiler, nor how it is called has changed since it was made; else compiles. A file that
    /// comes to stand before another on the include path is not noticed. [`Build::output`] does
    /// not matter here.
    ///
    /// # Errors
    /// As [`Build::run`].
    pub fn cached(&self) -> Result<BuildOutput> {
        let job = self.prepare()?;
        let kept = Kept::new(&job.cache, &job.key()?)?;
        if let Some(Found {
            object,
            warnings,
            dependencies,
        }) = kept.find()
        {
            return Ok(BuildOutput {
                object,
                warnings,
                dependencies,
                from_cache: true,
                _cache: job.cache,
            });
        }
        let place = kept.place()?;
        let started = SystemTime::now();
        let Compiled {
            warnings,
            dependencies,
        } = job.compile(&place)?;
        let object = kept.keep(place, started, &dependencies, &warnings)?;
        Ok(BuildOutput {
            object,
            warnings,
            dependencies,
            from_cache: false,
            _cache: job.cache,
        })
    }

    /// Finds the compiler and the headers, and puts the command line together.
    fn prepare(&self) -> Result<Job<'_>> {
        let unread = |error| Error::Source {
            path: self.source.clone(),
            error,
        };
        let vmlinux = scan::vmlinux(&self.source, &self.folders).map_err(unread)?;
        let cache = match &self.cache {
            Some(cache) => cache.clone(),
            None => Cache::open()?,
        };
        let clang = match &self.clang {
            Some(clang) => clang.clone(),
            None => Clang::find(&cache)?,
        };
        let color = self.color.unwrap_or_else(|| {
            std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        });

        let mut flags: Vec<OsString> = ["-g", "-O2", "-target", self.endian.clang_target()]
            .into_iter()
            .chain([self.cpu.flag(), "-D", self.arch.macro_name()])
            .chain([if color {
                "-fcolor-diagnostics"
            } else {
                "-fno-color-diagnostics"
            }])
            .map(OsString::from)
            .collect();
        // What a precompiled header must agree on ends here: paths come after.
        let common = flags.len();
        for define in &self.defines {
            flags.push(format!("-D{define}").into());
        }
        let mut folder = |option: &str, path: &Path| {
            flags.push(option.into());
            flags.push(path.into());
        };
        self.folders.iter().for_each(|path| folder("-I", path));
        let mut precompilable = None;
        match &vmlinux {
            scan::Vmlinux::Unused => {}
            scan::Vmlinux::Given(path) => folder("-I", path),
            scan::Vmlinux::Wanted { first } => {
                let path = self.types.header_folder(&self.source, &cache)?;
                folder("-I", &path);
                let plain = self.defines.is_empty() && self.arguments.is_empty();
                precompilable =
                    (*first && plain && self.precompile).then(|| path.join("vmlinux.h"));
            }
        }
        folder("-I", &headers::install(&cache)?);
        system_folders(self.arch)
            .iter()
            .for_each(|path| folder("-idirafter", path));
        flags.extend(self.arguments.iter().cloned());
        Ok(Job {
            build: self,
            clang,
            cache: Arc::new(cache),
            flags,
            common,
            precompilable,
        })
    }
}

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
struct Job<'a> {
    build: &'a Build,
    clang: Clang,
    cache: Arc<Cache>,
    flags: Vec<OsString>,
    /// How many of the flags are neither paths nor the user's.
    common: usize,
    /// The `vmlinux.h` that may be used in its precompiled form.
    precompilable: Option<PathBuf>,
}

struct Compiled {
    warnings: String,
    dependencies: Vec<PathBuf>,
}

impl Job<'_> {
    /// Everything that decides the object but for the files' contents.
    fn key(&self) -> Result<Fingerprint> {
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

    fn compile(&self, object: &Path) -> Result<Compiled> {
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

    /// What the compiler is told, but for how it may be faster.
    fn arguments(&self, object: &Path) -> impl Iterator<Item = OsString> + use<'_> {
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
            let hint = hint::for_missing_header(&stderr);
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
        })
    }
}

/// A name that clang takes for a file and no option; its `--` does not reach all its parts.
fn as_file(path: &Path) -> PathBuf {
    let option = path.as_os_str().as_encoded_bytes().starts_with(b"-");
    if option {
        Path::new(".").join(path)
    } else {
        path.to_owned()
    }
}
