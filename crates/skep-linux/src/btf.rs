//! BTF: loading a program's, and the kernel's and its modules' own.

use std::{
    fs, io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use skep_abi::{Command, ProgLoadFlags, StatsType};
use skep_host::{
    BtfBytes, BtfFd, BtfLoad, Cause, Errno, Error, LogLevel, Result, StatsFd, TokenFd,
};

use crate::{
    LinuxHost, attr,
    cause::{
        Subject,
        token::{self, Delegated},
    },
    files::Kind,
    log::{self, LogBuffer},
    memory::FileMap,
    sys::{self, address, bpf_open, errno_of},
};

const KERNEL_BTF: &str = "/sys/kernel/btf";

pub(crate) fn load(host: &LinuxHost, request: &BtfLoad<'_>) -> Result<BtfFd> {
    let own = |fd| Ok(BtfFd::new(host.files().own(fd, Kind::Btf)));
    if request.log_level == LogLevel::OnFailure
        && let Ok((fd, _)) = ask(request, 0, None)
    {
        return own(fd);
    }
    let level = match request.log_level {
        LogLevel::States => log::LEVEL_STATES,
        LogLevel::OnFailure | LogLevel::Statistics | LogLevel::Verbose => log::LEVEL_PATH,
    };
    match log::whole(|buffer| ask(request, level, Some(buffer))) {
        Ok((fd, _)) => own(fd),
        Err((errno, log)) => {
            let cause = token::lacking(request.token, errno, Delegated::Btf)
                .or_else(|| host.cause(Command::BtfLoad, errno, Subject::None));
            let object = request.object.to_owned();
            let error = if log.is_empty() {
                Error::command(Command::BtfLoad, format!("the BTF of {object}"), errno)
            } else {
                Error::Btf {
                    object,
                    errno,
                    log,
                    cause: None,
                }
            };
            Err(error.because(cause))
        }
    }
}

fn ask(
    request: &BtfLoad<'_>,
    level: u32,
    buffer: Option<&mut LogBuffer>,
) -> Result<(OwnedFd, u32), (Errno, u32)> {
    let mut attr = attr::BtfLoad {
        btf: address(request.bytes),
        btf_size: u32::try_from(request.bytes.len()).map_err(|_| (Errno::E2BIG, 0))?,
        btf_flags: if request.token.is_some() {
            ProgLoadFlags::TOKEN_FD.bits()
        } else {
            0
        },
        btf_token_fd: request.token.map_or(0, TokenFd::raw),
        ..Default::default()
    };
    if let Some(buffer) = buffer {
        attr.btf_log_level = level;
        attr.btf_log_size = buffer.size();
        attr.btf_log_buf = buffer.address();
    }
    // SAFETY: the bytes are borrowed and as long as `btf_size`; the log is an exclusive buffer of
    // `btf_log_size` bytes.
    match unsafe { bpf_open(Command::BtfLoad, &mut attr) } {
        Ok(fd) => Ok((fd, attr.btf_log_true_size)),
        Err(errno) => Err((errno, attr.btf_log_true_size)),
    }
}

/// The kernel's BTF, or a module's: mapped where the kernel can (6.16), else read. Of a kernel
/// that shows none, what a `vmlinux` file has.
pub(crate) fn kernel(host: &LinuxHost, module: Option<&str>) -> Result<BtfBytes> {
    let name = module.unwrap_or("vmlinux");
    let path = module_path(name)?;
    let fail = |error: io::Error| {
        let cause = match (errno_of(&error), module) {
            (Errno::ENOENT, Some(module)) => Some(Cause::NotFound {
                kind: "module with BTF",
                name: module.to_owned(),
                near: Vec::new(),
            }),
            _ => None,
        };
        Error::system("open", path.display().to_string(), errno_of(&error)).because(cause)
    };
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && module.is_none() => {
            return elsewhere(host, &path);
        }
        Err(error) => return Err(fail(error)),
    };
    let len = file.metadata().map_err(fail)?.len();
    if let Ok(len) = usize::try_from(len)
        && let Ok(mapped) = FileMap::of_kernel_btf(&file, len)
    {
        return Ok(Box::new(mapped));
    }
    let bytes = fs::read(&path).map_err(fail)?;
    Ok(Box::new(bytes))
}

/// The types of a kernel that does not show them.
#[cfg(feature = "probes")]
fn elsewhere(host: &LinuxHost, path: &Path) -> Result<BtfBytes> {
    crate::vmlinux::btf(path, &skep_host::Host::info(host).release)
}

/// The same where no ELF file can be read.
#[cfg(not(feature = "probes"))]
fn elsewhere(_: &LinuxHost, path: &Path) -> Result<BtfBytes> {
    let cause = Cause::KernelOption("CONFIG_DEBUG_INFO_BTF");
    let missing = path.display().to_string();
    Err(Error::system("open", missing, Errno::ENOENT).because(Some(cause)))
}

fn module_path(name: &str) -> Result<PathBuf> {
    let plain = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
    if plain {
        return Ok(Path::new(KERNEL_BTF).join(name));
    }
    Err(Error::Request {
        object: format!("module `{name}`"),
        reason: "that is no module's name".into(),
    })
}

pub(crate) fn modules() -> Result<Vec<String>> {
    let fail = |error: io::Error| Error::system("list", KERNEL_BTF, errno_of(&error));
    let mut names = Vec::new();
    for entry in fs::read_dir(KERNEL_BTF).map_err(fail)? {
        if let Ok(name) = entry.map_err(fail)?.file_name().into_string()
            && name != "vmlinux"
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

pub(crate) fn token(host: &LinuxHost, bpffs: &Path) -> Result<TokenFd> {
    let path = crate::pin::c_path(bpffs)?;
    // A descriptor that is only a path (`O_PATH`) is none to the kernel here.
    let directory = sys::open(&path, libc::O_DIRECTORY | libc::O_RDONLY)
        .map_err(|errno| Error::system("open", bpffs.display().to_string(), errno))?;
    let mut attr = attr::TokenCreate {
        flags: 0,
        bpffs_fd: directory.as_raw_fd() as u32,
    };
    // SAFETY: the attribute carries no address.
    match unsafe { bpf_open(Command::TokenCreate, &mut attr) } {
        Ok(fd) => Ok(TokenFd::new(host.files().own(fd, Kind::Other))),
        Err(errno) => {
            let object = format!("bpffs `{}`", bpffs.display());
            Err(host.failed(Command::TokenCreate, object, errno, Subject::Token))
        }
    }
}

pub(crate) fn enable_stats(host: &LinuxHost) -> Result<StatsFd> {
    let mut attr = attr::EnableStats {
        kind: StatsType::RunTime.raw(),
    };
    // SAFETY: the attribute carries no address.
    match unsafe { bpf_open(Command::EnableStats, &mut attr) } {
        Ok(fd) => Ok(StatsFd::new(host.files().own(fd, Kind::Other))),
        Err(errno) => Err(host.failed(Command::EnableStats, "run times", errno, Subject::None)),
    }
}
