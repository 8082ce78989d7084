//! BTF: the machine's own, and what is loaded.

use std::sync::Arc;

use skep_btf::{
    Endian,
    managed::Problem,
    verify::{Fault, Refused, verify},
};
use skep_host::{BtfBytes, BtfFd, BtfInfo, BtfLoad, Cause, Errno, Error, Result};

use crate::{
    Vm,
    machine::{BtfObject, Object, types},
};
use skep_abi::Command;

impl Vm {
    /// The machine's own types.
    pub(crate) fn own_btf(&self) -> Option<Arc<BtfObject>> {
        self.0.registry.own()
    }
}

pub(super) fn load(vm: &Vm, request: &BtfLoad<'_>) -> Result<BtfFd> {
    if request.token.is_some() {
        return Err(Error::command(
            Command::BtfLoad,
            request.object,
            Errno::EINVAL,
        ));
    }
    let bytes = request.bytes.to_vec();
    let btf = verify(bytes, Endian::NATIVE).map_err(|refused| Error::Btf {
        object: request.object.to_owned(),
        errno: errno(&refused),
        log: format!("{refused}\n"),
        cause: None,
    })?;
    let loaded = vm.0.registry.btf.make(|id| BtfObject {
        id,
        name: String::new(),
        kernel: false,
        btf: Arc::new(btf),
    });
    open(vm, loaded).map_err(|errno| Error::command(Command::BtfLoad, request.object, errno))
}

/// What a kernel says of a fault.
fn errno(refused: &Refused) -> Errno {
    match &refused.why {
        Fault::Managed(problem) => match problem {
            Problem::Members | Problem::Twice { .. } | Problem::Deep | Problem::Many => {
                Errno::E2BIG
            }
            Problem::Overlap => Errno::EEXIST,
            Problem::NoContents { .. } => Errno::ENOENT,
            Problem::Unlike => Errno::EFAULT,
            Problem::Owns => Errno::ELOOP,
            _ => Errno::EINVAL,
        },
        Fault::TooLarge { .. } | Fault::HeaderFields | Fault::TooDeep => Errno::E2BIG,
        Fault::Version { .. } | Fault::Flags { .. } | Fault::Encoding { .. } => Errno::ENOTSUPP,
        Fault::Loop { .. } => Errno::EEXIST,
        Fault::LongChain => Errno::ELOOP,
        _ => Errno::EINVAL,
    }
}

/// Opens BTF once more.
pub(super) fn open(vm: &Vm, btf: Arc<BtfObject>) -> std::result::Result<BtfFd, Errno> {
    vm.0.registry.files.open(Object::Btf(btf)).map(BtfFd::new)
}

pub(super) fn info(vm: &Vm, fd: &BtfFd) -> Result<BtfInfo> {
    let btf = super::map::btf_object(vm, fd).map_err(|errno| {
        let object = format!("btf descriptor {}", fd.raw());
        Error::command(Command::ObjGetInfoByFd, object, errno)
    })?;
    Ok(BtfInfo {
        id: btf.id,
        name: btf.name.clone(),
        kernel: btf.kernel,
        bytes: btf.btf.bytes().to_vec(),
    })
}

/// The machine's own BTF; it has no modules.
pub(super) fn bytes(vm: &Vm, module: Option<&str>) -> Result<BtfBytes> {
    match module {
        None => match vm.own_btf() {
            Some(own) => Ok(Box::new(own.btf.bytes().to_vec())),
            None => Ok(Box::new(types::BYTES)),
        },
        Some(name) => {
            Err(
                Error::system("read", format!("the BTF of module `{name}`"), Errno::ENOENT)
                    .because(Some(Cause::Other {
                        what: "the vm has no modules".into(),
                        fix: "use the types of the vm itself".into(),
                    })),
            )
        }
    }
}
