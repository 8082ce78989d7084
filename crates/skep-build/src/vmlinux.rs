//! `vmlinux.h`: the kernel's types as C, made from its BTF when a source wants it and kept.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_btf::{Btf, Kind, TypeId};

use crate::{
    Cache, Error, Result,
    cache::{Fingerprint, write_if_changed},
};

/// The running kernel's types.
const RUNNING: &str = "/sys/kernel/btf/vmlinux";

/// Raised whenever the text made of the same BTF changes within one version of this crate.
const FORMAT: u32 = 2;

/// Whose types `vmlinux.h` declares.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum KernelTypes {
    /// The running kernel's (`/sys/kernel/btf/vmlinux`).
    #[default]
    Running,
    /// Of a file of BTF as it is there: raw, not in an ELF file.
    File(PathBuf),
    /// Of BTF at hand.
    Bytes(Arc<[u8]>),
}

impl KernelTypes {
    /// What stands for these types. For the running kernel it is its build ID, which costs less
    /// than reading its BTF.
    pub(crate) fn identity(&self) -> io::Result<String> {
        let mut identity = Fingerprint::new("types");
        identity.add(FORMAT);
        match self {
            Self::Running => match fs::read("/sys/kernel/notes") {
                Ok(notes) if !notes.is_empty() => {
                    identity.add(notes);
                    identity.add(fs::metadata(RUNNING)?.len());
                }
                _ => identity.add(fs::read(RUNNING)?),
            },
            Self::File(path) => identity.add(fs::read(path)?),
            Self::Bytes(bytes) => identity.add(bytes),
        }
        Ok(identity.finish())
    }

    /// Where the types come from, for messages.
    pub(crate) fn place(&self) -> &Path {
        match self {
            Self::Running => Path::new(RUNNING),
            Self::File(path) => path,
            Self::Bytes(_) => Path::new("memory"),
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Running => fs::read(RUNNING),
            Self::File(path) => fs::read(path),
            Self::Bytes(bytes) => Ok(bytes.to_vec()),
        }
    }

    /// The folder with the `vmlinux.h` of these types, made now or before.
    pub(crate) fn header_folder(&self, source: &Path, cache: &Cache) -> Result<PathBuf> {
        let unread = |error| Error::NoKernelTypes {
            source_file: source.to_owned(),
            btf: self.place().to_owned(),
            error,
        };
        let folder = cache.folder(format!("vmlinux-{}", self.identity().map_err(unread)?))?;
        let header = folder.join("vmlinux.h");
        if !header.exists() {
            let text = declare(self.read().map_err(unread)?)
                .map_err(|error| Error::KernelTypes { error })?;
            write_if_changed(&header, text.as_bytes())?;
        }
        Ok(folder)
    }
}

/// The types as C, guarded and with relocated accesses; and behind them the functions that the
/// kernel lets programs call, where its BTF marks them (Linux 6.9). Programs that declare those
/// otherwise can define `BPF_NO_KFUNC_PROTOTYPES`.
fn declare(bytes: Vec<u8>) -> skep_btf::Result<String> {
    let btf = Btf::parse(bytes)?;
    let mut text = String::with_capacity(4 << 20);
    skep_btf::c_header(&btf, None, &mut text)?;
    text.push_str(concat!(
        "\n#if !defined(BPF_NO_KFUNC_PROTOTYPES) && !defined(__VMLINUX_H_KFUNCS__)\n",
        "#define __VMLINUX_H_KFUNCS__\n",
    ));
    for function in callable(&btf) {
        let prototype = btf.declaration(function)?;
        let prototype = prototype.trim_end().trim_end_matches(';');
        text.push_str("extern ");
        text.push_str(prototype);
        text.push_str(" __attribute__((weak, section(\".ksyms\")));\n");
    }
    text.push_str("#endif\n");
    Ok(text)
}

/// The functions with the mark of a kfunc, each once: one may be in several sets.
fn callable(btf: &Btf) -> BTreeSet<TypeId> {
    btf.types()
        .filter(|mark| mark.name() == "bpf_kfunc")
        .filter_map(|mark| match mark.kind() {
            Kind::DeclTag(tag) if tag.component.is_none() => Some(tag.target),
            _ => None,
        })
        .collect()
}
