//! `skep btf harvest`: what must be known of a kernel to say whether programs load on it (its
//! types, version and configuration), out of the files that kernels come in.

mod archive;
mod decompress;
mod kept;
mod kernel;
mod module;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueHint};

use crate::output::Output;
pub(crate) use kept::{Kept, types_in};
use kernel::Kernel;

/// Keep what must be known of a kernel: its types, version and configuration
///
/// FILE is a kernel (a vmlinux, or the image that machines boot), a Debian package with one, a
/// module, or a folder such as /boot, of which all kernels are taken. Written are RELEASE.btf, the
/// types, and RELEASE.json, all else, for `skep check --kernel RELEASE.json`; of a module, its
/// types alone.
#[derive(Debug, Args)]
pub(super) struct HarvestArgs {
    /// A vmlinux, a boot image, a kernel's package (.deb), a module, or a folder
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    files: Vec<PathBuf>,

    /// The folder to write to
    #[arg(short, long, value_name = "FOLDER", default_value = ".", value_hint = ValueHint::DirPath)]
    output: PathBuf,
}

pub(super) fn harvest(args: &HarvestArgs) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot make {}", args.output.display()))?;
    let mut out = Output::new();
    for file in &args.files {
        let shown = || file.display().to_string();
        let written = one(file, &args.output).with_context(shown)?;
        for path in written {
            writeln!(out, "{}", path.display())?;
        }
    }
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Harvests a file or a folder; gives what was written.
fn one(file: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if file.is_dir() {
        return boot(file, folder);
    }
    let bytes = fs::read(file).context("cannot read it")?;
    if bytes.starts_with(archive::MAGIC) {
        return package(&bytes, folder);
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if let Some(module) = module::name(&name) {
        let module = module::module(&module, bytes)?;
        let path = folder.join(format!("{}.{}.btf", module.release, module.name));
        write(&path, &module.btf)?;
        return Ok(vec![path]);
    }
    let mut kernel = kernel::kernel(&bytes)?;
    if kernel.config.is_none() {
        kernel.config = config_beside(file, &name);
    }
    keep(&kernel, folder)
}

/// All kernels of a folder.
fn boot(from: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut kernels = Vec::new();
    for entry in fs::read_dir(from).context("cannot read it")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_kernel(&name) && path.is_file() {
            kernels.push(path);
        }
    }
    kernels.sort();
    if kernels.is_empty() {
        bail!("there is no kernel in this folder: no vmlinuz-*, vmlinux-* or bzImage");
    }
    let mut written = Vec::new();
    for path in kernels {
        let shown = || path.display().to_string();
        written.extend(one(&path, folder).with_context(shown)?);
    }
    Ok(written)
}

fn is_kernel(name: &str) -> bool {
    ["vmlinuz", "vmlinux", "bzImage", "Image"]
        .iter()
        .any(|start| name.starts_with(start))
}

/// The configuration that stands beside a kernel, by the name of its release.
fn config_beside(file: &Path, name: &str) -> Option<String> {
    let release = name.split_once('-')?.1;
    fs::read_to_string(file.with_file_name(format!("config-{release}"))).ok()
}

/// The kernel in a package.
fn package(bytes: &[u8], folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files = archive::files_of_package(bytes)?;
    let (mut found, mut config) = (None, None);
    for (path, content) in archive::tar(&files) {
        let name = path.rsplit('/').next().unwrap_or(&path);
        if found.is_none() && is_kernel(name) {
            found = Some(content);
        } else if name == "config" || name.starts_with("config-") {
            config = std::str::from_utf8(content).ok().map(str::to_owned);
        }
    }
    let found = found.ok_or_else(|| {
        anyhow!("this package has no kernel in it (one that only names another is empty)")
    })?;
    let mut kernel = kernel::kernel(found)?;
    kernel.config = kernel.config.or(config);
    keep(&kernel, folder)
}

/// Writes what a kernel told.
fn keep(kernel: &Kernel, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let release = kernel
        .release
        .as_deref()
        .ok_or_else(|| anyhow!("it does not say its release"))?;
    if release.contains('/') || release.starts_with('.') {
        bail!("its release is no file's name: {release}");
    }
    let types = folder.join(format!("{release}.btf"));
    let mut written = Vec::new();
    if let Some(btf) = &kernel.btf {
        skep::btf::Btf::parse(btf.clone()).context("its types")?;
        write(&types, btf)?;
        written.push(types.clone());
    }
    let json = kept::json(
        release,
        kernel,
        types.file_name().filter(|_| !written.is_empty()),
    );
    let path = folder.join(format!("{release}.json"));
    write(&path, json.as_bytes())?;
    written.push(path);
    if written.len() == 1 {
        // Not in silence: what can be said by it is less.
        say!(
            "note: {release} has no BTF (it is built without CONFIG_DEBUG_INFO_BTF): \
             only its version and configuration are kept"
        );
    }
    Ok(written)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
