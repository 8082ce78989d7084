//! Where BTF comes from: the kernel, a file of it, an ELF file's section, a source.

use std::{fs, io::Read as _, path::Path, sync::Arc};

use anyhow::{Context, anyhow};
use object::{Object as _, ObjectSection as _};
use skep::{Host, btf::Btf};

use crate::{
    cli::Global,
    input::{self, CompileArgs},
};

/// Where the kernel shows its own types and those of its modules.
const KERNEL_FOLDER: &str = "/sys/kernel/btf";

/// The first bytes of BTF, in either byte order.
const MAGIC: [[u8; 2]; 2] = [[0x9f, 0xeb], [0xeb, 0x9f]];

/// The BTF that the user means; that of the kernel if nothing is named.
pub(super) fn open(
    file: Option<&Path>,
    base: Option<&Path>,
    global: &Global,
) -> anyhow::Result<Arc<Btf>> {
    let Some(file) = file else { return kernel() };
    if input::is_source(file) {
        let object = input::open(file, &CompileArgs::default(), global)?;
        let btf = object.spec().btf().cloned();
        return btf.ok_or_else(|| anyhow!("{}: clang made no BTF of it", file.display()));
    }
    let bytes = bytes_of_file(file)?;
    let base = match base {
        Some(base) => Some(Arc::new(parse(base, bytes_of_file(base)?, None)?)),
        None if is_module(file) => Some(kernel()?),
        None => None,
    };
    Ok(Arc::new(parse(file, bytes, base)?))
}

fn kernel() -> anyhow::Result<Arc<Btf>> {
    Ok(Host::kernel()?.btf()?)
}

fn is_module(file: &Path) -> bool {
    file.parent() == Some(Path::new(KERNEL_FOLDER)) && !file.ends_with("vmlinux")
}

fn parse(path: &Path, bytes: Vec<u8>, base: Option<Arc<Btf>>) -> anyhow::Result<Btf> {
    match base {
        Some(base) => Btf::parse_split(bytes, base),
        None => Btf::parse(bytes),
    }
    .with_context(|| path.display().to_string())
}

/// The raw BTF in a file, or in an ELF file's section; `-` is standard input.
pub(crate) fn bytes_of_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?;
    } else {
        bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    if bytes.starts_with(object::elf::ELFMAG.as_slice()) {
        return section(path, &bytes);
    }
    if !MAGIC.iter().any(|magic| bytes.starts_with(magic)) {
        return Err(skep::btf::Error::Magic {
            found: first_word(&bytes),
        })
        .with_context(|| format!("{}: neither BTF nor an ELF file", path.display()));
    }
    Ok(bytes)
}

fn first_word(bytes: &[u8]) -> u16 {
    bytes
        .first_chunk()
        .map_or(0, |first| u16::from_le_bytes(*first))
}

fn section(path: &Path, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let malformed = |error: object::read::Error| skep::spec::Error::NotBpf {
        reason: error.to_string(),
    };
    let file = object::File::parse(bytes)
        .map_err(malformed)
        .with_context(|| path.display().to_string())?;
    let section = file.section_by_name(".BTF").ok_or_else(|| {
        let what = format!("{}: showing its types", path.display());
        skep::spec::Error::NeedsBtf { what }
    })?;
    let data = section
        .data()
        .map_err(malformed)
        .with_context(|| path.display().to_string())?;
    Ok(data.to_vec())
}
