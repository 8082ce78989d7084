//! Whether a kernel is the one that programs were relocated for.

use std::fs;

use skep_abi::KernelVersion;
use skep_host::{Host as _, fingerprint};

use crate::{Image, Kernel};

/// The kernel that an image was linked for.
#[derive(Debug)]
pub struct MadeFor {
    /// Its release, or version.
    pub release: &'static str,
    /// Its version: what is older may lack what the programs use.
    pub version: KernelVersion,
    /// The release must be this one: the kernel's configuration is in the programs.
    pub same_release: bool,
    /// The kernel's types, if offsets or ids of them are in the programs.
    pub types: Option<Types>,
    /// The types of modules, in the order of the image's.
    pub modules: &'static [Types],
}

/// What tells types from those of another build.
#[derive(Debug, Clone, Copy)]
pub struct Types {
    /// Bytes of BTF.
    pub len: u64,
    /// Their [`fingerprint`].
    pub fingerprint: u64,
    /// The build id of the kernel whose they are, if it was at hand; else empty. It saves reading
    /// them.
    pub build_id: &'static [u8],
}

/// In what this kernel is not the one that the image was made for.
pub(crate) fn differs(image: &Image, kernel: &Kernel) -> Option<String> {
    let made_for = &image.made_for;
    let info = kernel.info();
    if info.version < made_for.version {
        return Some(format!("this is {}, which is older", info.release));
    }
    let is_same = info.release == made_for.release;
    if made_for.same_release && !is_same {
        return Some(format!("this is {}", info.release));
    }
    if let Some(types) = &made_for.types
        && !(is_same && is_same_build(types, kernel))
        && let Some(how) = other_types(types, kernel, None)
    {
        return Some(format!("this is {}, {how}", info.release));
    }
    image
        .modules
        .iter()
        .zip(made_for.modules)
        .find_map(|(module, types)| {
            let how = other_types(types, kernel, Some(module))?;
            Some(format!("module `{module}` of {} {how}", info.release))
        })
}

/// The same release and build, with as many bytes of types.
fn is_same_build(types: &Types, kernel: &Kernel) -> bool {
    let len = fs::metadata("/sys/kernel/btf/vmlinux").map(|file| file.len());
    !types.build_id.is_empty()
        && len.is_ok_and(|len| len == types.len)
        && kernel.build_id().is_some_and(|id| id == types.build_id)
}

fn other_types(types: &Types, kernel: &Kernel, module: Option<&str>) -> Option<String> {
    match kernel.btf(module) {
        Ok(bytes) => {
            let bytes = (*bytes).as_ref();
            let same = bytes.len() as u64 == types.len && fingerprint(bytes) == types.fingerprint;
            (!same).then(|| "has other types".to_owned())
        }
        Err(error) => Some(format!("does not show its types ({error})")),
    }
}
