//! Probes: what can be used here, found by trying it harmlessly.
//!
//! An answer is yes, no with its cause, or unknown. "Not permitted" is never "not there": a
//! process that may not ask gets `Unknown`. Nothing is kept: ask again and it is tried again.

mod hook;

use skep_abi::{AttachType, MapCreateFlags, MapType, ProgLoadFlags, ProgramType};
use skep_btf::{Btf, KindTag};
use skep_host::{
    BtfLoad, Cause, Error, Host, LogLevel, MapBtf, MapCreate, ProgramFd, ProgramLoad, Result,
};

use crate::{LinuxHost, requirement};

pub use hook::{Hook, hook};

/// A probe's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It was tried, and it works.
    Yes,
    /// It does not work here, and this is why.
    No {
        /// Why, with the remedy.
        cause: Cause,
    },
    /// It could not be found out.
    Unknown {
        /// Why not.
        why: String,
        /// What to do to find out, or empty.
        fix: String,
    },
}

impl Probe {
    /// The answer that an error gives: `No` only for causes that lie in the kernel.
    fn from_error(error: &Error) -> Self {
        match error.cause() {
            Some(cause @ Cause::MissingCapability(_)) => Self::Unknown {
                why: cause.to_string(),
                fix: cause.fix(),
            },
            Some(cause) => Self::No {
                cause: cause.clone(),
            },
            None => Self::Unknown {
                why: error.to_string(),
                fix: String::new(),
            },
        }
    }

    fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown {
            why: why.into(),
            fix: String::new(),
        }
    }
}

impl<T> From<Result<T>> for Probe {
    fn from(outcome: Result<T>) -> Self {
        match outcome {
            Ok(_) => Self::Yes,
            Err(error) => Self::from_error(&error),
        }
    }
}

/// The instructions of a program that answers with a number and does nothing else.
pub(crate) fn answer(number: i32) -> [u8; 16] {
    /// `r0 = imm`.
    const MOV: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    let mut code = [0; 16];
    code[0] = MOV;
    code[4..8].copy_from_slice(&number.to_ne_bytes());
    code[8] = EXIT;
    code
}

/// A program that does nothing, of a type and attach type, and for a target where it needs one.
fn nothing(
    host: &LinuxHost,
    program_type: ProgramType,
    attach_type: Option<AttachType>,
    attach_btf_id: u32,
) -> Result<ProgramFd> {
    let code = answer(harmless_answer(program_type));
    let mut request = ProgramLoad::new(program_type, "skep_probe", &code);
    request.expected_attach_type = attach_type;
    request.attach_btf_id = attach_btf_id;
    if program_type == ProgramType::Syscall {
        request.flags = ProgLoadFlags::SLEEPABLE;
    }
    Ok(host.prog_load(&request)?.fd)
}

/// The answer that lets everything go its way.
fn harmless_answer(program_type: ProgramType) -> i32 {
    match program_type {
        ProgramType::Xdp => 2,
        ProgramType::CgroupSkb
        | ProgramType::CgroupSock
        | ProgramType::CgroupSockAddr
        | ProgramType::CgroupDevice
        | ProgramType::CgroupSysctl
        | ProgramType::CgroupSockopt
        | ProgramType::SockOps
        | ProgramType::SkLookup
        | ProgramType::SkMsg
        | ProgramType::SkSkb
        | ProgramType::SkReuseport
        | ProgramType::Netfilter => 1,
        _ => 0,
    }
}

/// The kernel's type with this name, for programs whose target is one.
fn kernel_type(host: &LinuxHost, name: &str, kind: KindTag) -> Result<u32, Probe> {
    let bytes = host.btf(None).map_err(|error| Probe::from_error(&error))?;
    let btf = Btf::parse_trusted(bytes, None)
        .map_err(|error| Probe::unknown(format!("the kernel's BTF can't be read: {error}")))?;
    match btf.find(name, kind) {
        Some(id) => Ok(id.0),
        None => Err(Probe::unknown(format!(
            "the kernel's BTF has no `{name}` to try it on"
        ))),
    }
}

/// Whether programs of a type can be loaded.
pub fn program_type(host: &LinuxHost, program_type: ProgramType) -> Probe {
    let loaded = match program_type {
        ProgramType::Tracing => {
            match kernel_type(host, "btf_trace_sched_process_exit", KindTag::Typedef) {
                Ok(id) => nothing(host, program_type, Some(AttachType::TraceRawTp), id),
                Err(probe) => return probe,
            }
        }
        ProgramType::Lsm => {
            match kernel_type(host, "bpf_lsm_bprm_check_security", KindTag::Function) {
                Ok(id) => nothing(host, program_type, Some(AttachType::LsmMac), id),
                Err(probe) => {
                    let requirement = requirement::of_program(program_type);
                    return match requirement.lacking(host, program_type.short_name()) {
                        Some(cause) => Probe::No { cause },
                        None => probe,
                    };
                }
            }
        }
        ProgramType::CgroupSockAddr => {
            nothing(host, program_type, Some(AttachType::CgroupInet4Connect), 0)
        }
        ProgramType::CgroupSockopt => {
            nothing(host, program_type, Some(AttachType::CgroupGetsockopt), 0)
        }
        ProgramType::SkLookup => nothing(host, program_type, Some(AttachType::SkLookup), 0),
        ProgramType::Netfilter => nothing(host, program_type, Some(AttachType::Netfilter), 0),
        ProgramType::Ext => extension(host),
        _ => nothing(host, program_type, None, 0),
    };
    match loaded {
        // It got as far as the verifier: the type is there.
        Err(Error::Verifier { .. }) => Probe::Yes,
        outcome => outcome.into(),
    }
}

/// An extension of a program that has no BTF to name the function by: where extensions are
/// allowed, the verifier says so.
fn extension(host: &LinuxHost) -> Result<ProgramFd> {
    let target = nothing(host, ProgramType::Xdp, None, 0)?;
    let code = answer(0);
    let mut request = ProgramLoad::new(ProgramType::Ext, "skep_probe", &code);
    request.attach_btf_id = 1;
    request.attach_target = Some(skep_host::AttachTarget::Program(&target));
    Ok(host.prog_load(&request)?.fd)
}

/// Whether maps of a type can be created.
pub fn map_type(host: &LinuxHost, map_type: MapType) -> Probe {
    if storage(map_type) {
        return local_storage(host, map_type).into();
    }
    let Some((key, value, entries)) = smallest(host, map_type) else {
        return match requirement::of_map(map_type).lacking(host, map_type.short_name()) {
            Some(cause) => Probe::No { cause },
            None if host.version() < map_type.since() => Probe::No {
                cause: Cause::KernelTooOld {
                    what: map_type.name().to_owned(),
                    needs: map_type.since(),
                    has: host.version(),
                },
            },
            None => Probe::unknown("it takes the kernel's types to create one, so none was tried"),
        };
    };
    let mut request = MapCreate::new(map_type, "skep_probe", key, value, entries);
    match map_type {
        MapType::LpmTrie | MapType::Rhash => request.flags = MapCreateFlags::NO_PREALLOC,
        MapType::Arena => request.flags = MapCreateFlags::MMAPABLE,
        MapType::ArrayOfMaps | MapType::HashOfMaps => {
            let inner = host.map_create(&MapCreate::new(MapType::Array, "skep_probe", 4, 4, 1));
            return match inner {
                Ok(inner) => {
                    request.inner_map = Some(&inner);
                    host.map_create(&request).into()
                }
                Err(error) => Probe::from_error(&error),
            };
        }
        _ => {}
    }
    host.map_create(&request).into()
}

/// Storage that hangs on the kernel's objects, created by the types of its keys and values.
fn storage(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::SkStorage | MapType::InodeStorage | MapType::TaskStorage | MapType::CgrpStorage
    )
}

fn local_storage(host: &LinuxHost, map_type: MapType) -> Result<()> {
    let bytes = int_btf();
    let btf = host.btf_load(&BtfLoad {
        object: "skep_probe",
        bytes: &bytes,
        log_level: LogLevel::OnFailure,
        token: None,
    })?;
    let mut request = MapCreate::new(map_type, "skep_probe", 4, 4, 0);
    request.flags = MapCreateFlags::NO_PREALLOC;
    request.btf = Some(MapBtf {
        btf: &btf,
        key_type: 1,
        value_type: 1,
        kernel_value_type: 0,
        kernel_btf: None,
    });
    host.map_create(&request).map(drop)
}

/// BTF of one type, `int`.
fn int_btf() -> Vec<u8> {
    const HEADER: u32 = 24;
    const TYPES: u32 = 16;
    const STRINGS: &[u8] = b"\0int\0";
    /// `BTF_KIND_INT`, and a signed integer of 32 bits.
    const INT: u32 = 1 << 24;
    const SIGNED_32: u32 = 1 << 24 | 32;
    let mut bytes = Vec::new();
    bytes.extend(0xeb9fu16.to_ne_bytes());
    bytes.extend([1, 0]);
    let header = [HEADER, 0, TYPES, TYPES, STRINGS.len() as u32];
    let int = [1, INT, 4, SIGNED_32];
    for word in header.into_iter().chain(int) {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(STRINGS);
    bytes
}

/// Key size, value size and entries of the smallest map of a type; `None` for those that take
/// more than numbers.
fn smallest(host: &LinuxHost, map_type: MapType) -> Option<(u32, u32, u32)> {
    let page = u32::try_from(host.page_size()).ok()?;
    Some(match map_type {
        MapType::Unspec | MapType::StructOps => return None,
        MapType::StackTrace => (4, 8, 1),
        MapType::LpmTrie => (8, 4, 1),
        MapType::CgroupStorage | MapType::PercpuCgroupStorage => (16, 8, 0),
        MapType::Queue | MapType::Stack | MapType::BloomFilter => (0, 4, 1),
        MapType::Ringbuf | MapType::UserRingbuf => (0, 0, page),
        MapType::Arena => (0, 0, 1),
        MapType::ReuseportSockarray => (4, 8, 1),
        MapType::InsnArray => (4, 16, 1),
        _ => (4, 4, 1),
    })
}
