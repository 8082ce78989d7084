//! Compiles what tests are about: BPF objects by clang and rustc, and programs to be traced by the
//! system's C compiler.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use skep_build::{Build, Cache, Clang, Cpu, Language};

use crate::{Outcome, Stop, core_source, ensure, find_tool, prebuilt};

/// The object that clang, or rustc for `.rs`, makes of `source`, compiled once; the cache is in
/// `folder`, for which tests give their `CARGO_TARGET_TMPDIR`.
///
/// # Errors
/// Skips for want of a compiler, of core's source or of the kernel's types; fails if the source does
/// not compile.
pub fn compile(source: &Path, folder: &str) -> Outcome<Vec<u8>> {
    let compiler = match Language::of(source) {
        Language::Rust => "rustc",
        _ => "clang",
    };
    prebuilt::or_make(compiler, source, &[], || {
        let build = Build::new(source).cache(cache(folder)?);
        match Language::of(source) {
            Language::Rust => built(source, build.core_source(core_source()?)),
            _ => built(source, build),
        }
    })
}

/// The object of a source in Rust, for an instruction set.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(cpu: Cpu, source: &Path, folder: &str) -> Outcome<Vec<u8>> {
    let compiler = match cpu {
        Cpu::V1 => "rustc for v1",
        Cpu::V2 => "rustc for v2",
        Cpu::V3 => "rustc for v3",
        _ => "rustc for v4",
    };
    prebuilt::or_make(compiler, source, &[], || {
        let build = Build::new(source).cache(cache(folder)?).cpu(cpu);
        built(source, build.core_source(core_source()?))
    })
}

/// The same by a compiler of this name, `clang-19`, for sources that not every clang takes.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(clang: &'static str, source: &Path, folder: &str) -> Outcome<Vec<u8>> {
    prebuilt::or_make(clang, source, &[], || {
        let cache = cache(folder)?;
        match Clang::at(&find_tool(clang)?, &cache) {
            Ok(clang) => built(source, Build::new(source).clang(clang).cache(cache)),
            Err(error) => Err(Stop::lacks(format!(
                "what {} needs: {error}",
                source.display()
            ))),
        }
    })
}

/// The cache in a test's folder: the one that `skep` has there if its `XDG_CACHE_HOME` is `cache`.
/// What takes long is compiled once for all tests.
///
/// # Errors
/// As [`Cache::at`].
pub fn cache(folder: impl AsRef<Path>) -> Outcome<Cache> {
    Ok(Cache::at(folder.as_ref().join("cache/skep"))?)
}

fn built(source: &Path, build: Build) -> Outcome<Vec<u8>> {
    use skep_build::Error;
    match build.color(false).cached() {
        Ok(built) => Ok(fs::read(&built.object)?),
        Err(
            error @ (Error::ClangNotFound { .. }
            | Error::ClangTooOld { .. }
            | Error::ClangWithoutBpf { .. }
            | Error::NoKernelTypes { .. }
            | Error::RustcNotFound { .. }
            | Error::RustcTooOld { .. }
            | Error::NoCoreSource { .. }),
        ) => Err(Stop::lacks(format!(
            "what {} needs: {error}",
            source.display()
        ))),
        Err(error) => Err(error.into()),
    }
}

/// The object that clang makes of a BPF program in assembly, beside it.
///
/// # Errors
/// Skips for want of clang; fails if the source is none.
pub fn assemble(source: &Path) -> Outcome<Vec<u8>> {
    prebuilt::or_make("clang -c", source, &[], || {
        let made = source.with_extension("o");
        let ran = Command::new(find_tool("clang")?)
            .args(["-target", "bpf", "-c", "-o"])
            .args([made.as_path(), source])
            .stdin(Stdio::null())
            .output()?;
        ensure(ran.status.success(), || {
            String::from_utf8_lossy(&ran.stderr).into_owned()
        })?;
        Ok(fs::read(made)?)
    })
}

/// Compiles a C program for this machine into `folder`, with debug information and frame
/// pointers, and gives its path.
///
/// # Errors
/// Skips for want of a C compiler; fails if the source does not compile.
pub fn compile_native(source: &Path, folder: &Path) -> Outcome<PathBuf> {
    let stem = source.file_stem().unwrap_or_default();
    let program = folder.join(stem);
    compile_native_as(&program, source, &[])?;
    Ok(program)
}

/// The same with more arguments, into a file of that name.
///
/// # Errors
/// As [`compile_native`].
pub fn compile_native_as(made: &Path, source: &Path, arguments: &[&OsStr]) -> Outcome {
    // Beside it, and then moved: others may be running what is there.
    let making = made.with_extension(format!("making-{}", std::process::id()));
    let program = prebuilt::or_make("cc", source, arguments, || {
        let cc = find_tool("cc").or_else(|_| find_tool("gcc"))?;
        let ran = Command::new(cc)
            // Without optimisation: with any, leaf functions may go without a frame.
            .args(["-g", "-O0", "-fno-omit-frame-pointer", "-o"])
            .arg(&making)
            .arg(source)
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        ensure(ran.status.success(), || {
            String::from_utf8_lossy(&ran.stderr).into_owned()
        })?;
        Ok(fs::read(&making)?)
    })?;
    if prebuilt::is_prebuilt() {
        fs::write(&making, program)?;
        fs::set_permissions(&making, fs::Permissions::from_mode(0o755))?;
    }
    fs::rename(&making, made)?;
    Ok(())
}
