//! The least program of each type that the kernel accepts, from the table of `skep-abi`: its
//! target found in the kernel's BTF, or made where it is another program.

use std::sync::PoisonError;

use skep_abi::{AttachType, ProgLoadFlags, ProgramProperties, ProgramTarget, ProgramType};
use skep_btf::{Builder, FunctionLinkage, IntEncoding, Kind, KindTag, NewMember, TypeId};
use skep_host::{
    AttachTarget, BtfFd, BtfLoad, Error, Host, LogLevel, Probe, ProgramBtf, ProgramFd, ProgramLoad,
    Result,
};

use super::{kernel_type, lacks};
use crate::LinuxHost;

/// The name of all that probes make.
pub(super) const NAME: &str = "skep_probe";

/// The instructions of a program that answers with a number and does nothing else.
pub(crate) fn answer(number: i32) -> [u8; 16] {
    let mut code = [0; 16];
    code[..8].copy_from_slice(&insn(0xb7, 0, 0, 0, number));
    code[8..].copy_from_slice(&EXIT);
    code
}

/// `exit`
pub(super) const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

/// An instruction in the kernel's layout.
pub(super) fn insn(opcode: u8, dst: u8, src: u8, offset: i16, imm: i32) -> [u8; 8] {
    let mut bytes = [opcode, 0, 0, 0, 0, 0, 0, 0];
    bytes[1] = if cfg!(target_endian = "little") {
        dst | src << 4
    } else {
        dst << 4 | src
    };
    bytes[2..4].copy_from_slice(&offset.to_ne_bytes());
    bytes[4..].copy_from_slice(&imm.to_ne_bytes());
    bytes
}

/// What a program is loaded for, in numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Target {
    btf_id: u32,
    member: Option<u32>,
}

/// Why there is no program.
pub(super) enum Refused {
    /// The kernel refused it.
    By(Error),
    /// There was nothing to load it for.
    NoTarget(Probe),
}

impl Refused {
    /// The answer for something that rests on programs of this type.
    pub(super) fn probe(&self, host: &LinuxHost, kind: ProgramType) -> Probe {
        let probe = match self {
            Self::By(error) => Probe::refused(error),
            Self::NoTarget(probe) => probe.clone(),
        };
        // What was not named by the refusal, the kernel's version and options may.
        let by_kernel = match (self, probe.is_known()) {
            (Self::NoTarget(_), false) => lacks(host, kind),
            _ => None,
        };
        by_kernel.map_or(probe, |cause| Probe::No { cause })
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::By(error)
    }
}

/// Loads the least program of a type; as this attach type, if one is given.
pub(super) fn load(
    host: &LinuxHost,
    kind: ProgramType,
    attach_type: Option<AttachType>,
) -> Result<ProgramFd, Refused> {
    if kind == ProgramType::Ext {
        return Ok(extension(host)?);
    }
    let code = answer(match attach_type {
        Some(AttachType::LsmCgroup) => 1,
        _ => kind.least_program().answer,
    });
    let request = request(host, kind, attach_type, &code)?;
    Ok(host.prog_load(&request)?.fd)
}

/// A request to load these instructions as the least program of a type would be.
pub(super) fn request<'a>(
    host: &LinuxHost,
    kind: ProgramType,
    attach_type: Option<AttachType>,
    code: &'a [u8],
) -> Result<ProgramLoad<'a>, Refused> {
    let attach_type = attach_type.or(kind.least_program().attach_type);
    let target = target(host, kind, attach_type).map_err(Refused::NoTarget)?;
    let mut request = ProgramLoad::new(kind, NAME, code);
    request.expected_attach_type = attach_type;
    request.attach_btf_id = target.btf_id;
    request.attach_member = target.member;
    let properties = kind.properties();
    if properties.contains(ProgramProperties::ALWAYS_SLEEPABLE) {
        request.flags = ProgLoadFlags::SLEEPABLE;
    }
    Ok(request)
}

/// What programs of a type, to be attached as this, are loaded for. Looked up once.
fn target(
    host: &LinuxHost,
    kind: ProgramType,
    attach_type: Option<AttachType>,
) -> Result<Target, Probe> {
    let least = kind.least_program().target;
    if least == ProgramTarget::None {
        return Ok(Target::default());
    }
    let key = (kind.raw(), attach_type.map_or(u32::MAX, AttachType::raw));
    let targets = || {
        let targets = host.found().targets.lock();
        targets.unwrap_or_else(PoisonError::into_inner)
    };
    if let Some(known) = targets().get(&key) {
        return Ok(*known);
    }
    let function = |name: &str| kernel_type(host, name, KindTag::Function);
    let btf_id = match (attach_type, least) {
        (Some(AttachType::TraceFentry | AttachType::TraceFexit | AttachType::TraceFsession), _) => {
            function("do_nanosleep")?
        }
        (Some(AttachType::ModifyReturn), _) => function("security_bprm_check")?,
        (Some(AttachType::TraceIter), _) => function("bpf_iter_task")?,
        (Some(AttachType::LsmCgroup), _) => function("bpf_lsm_socket_create")?,
        (
            Some(
                AttachType::TraceFentryMulti
                | AttachType::TraceFexitMulti
                | AttachType::TraceFsessionMulti,
            ),
            _,
        ) => 0,
        (_, ProgramTarget::Tracepoint(name)) => kernel_type(host, name, KindTag::Typedef)?,
        (_, ProgramTarget::Function(name)) => function(name)?,
        (_, ProgramTarget::Member { structure, .. }) => {
            kernel_type(host, structure, KindTag::Struct)?
        }
        (_, ProgramTarget::None | ProgramTarget::Program) => 0,
    };
    let member = match least {
        ProgramTarget::Member { structure, member } => {
            let index = member_index(host, btf_id, member).ok_or_else(|| {
                Probe::unknown(format!(
                    "the kernel's `{structure}` has no `{member}` to try it on"
                ))
            })?;
            Some(index)
        }
        _ => None,
    };
    let target = Target { btf_id, member };
    targets().insert(key, target);
    Ok(target)
}

fn member_index(host: &LinuxHost, structure: u32, member: &str) -> Option<u32> {
    let btf = host.found().btf(host)?;
    let Kind::Struct(layout) = btf.type_by_id(TypeId(structure)).ok()?.kind() else {
        return None;
    };
    let index = layout.members().position(|each| each.name() == member)?;
    u32::try_from(index).ok()
}

/// An extension of a program that is made for it.
fn extension(host: &LinuxHost) -> Result<ProgramFd> {
    let code = answer(2);
    let (bytes, function) = extensible_btf()?;
    let btf = load_btf(host, &bytes)?;
    // One record: instruction 0 starts the function.
    let mut func_info = [0; 8];
    func_info[4..].copy_from_slice(&function.0.to_ne_bytes());
    let records = ProgramBtf {
        func_info: &func_info,
        func_info_record_size: 8,
        ..ProgramBtf::new(&btf)
    };
    let mut request = ProgramLoad::new(ProgramType::Xdp, NAME, &code);
    request.btf = Some(records);
    let replaced = host.prog_load(&request)?.fd;
    let mut request = ProgramLoad::new(ProgramType::Ext, NAME, &code);
    request.btf = Some(records);
    request.attach_btf_id = function.0;
    request.attach_target = Some(AttachTarget::Program(&replaced));
    Ok(host.prog_load(&request)?.fd)
}

/// BTF of `int skep_probe(struct xdp_md *ctx)`.
fn extensible_btf() -> Result<(Vec<u8>, TypeId)> {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, IntEncoding::SIGNED);
    let context = builder.structure("xdp_md", 4, &[NewMember::new("data", int, 0)]);
    let pointer = builder.pointer(context);
    let prototype = builder.prototype(int, &[("ctx", pointer)]);
    let function = builder.function(NAME, prototype, FunctionLinkage::Global);
    Ok((built(&builder)?, function))
}

/// The bytes of BTF that a probe made.
pub(super) fn built(builder: &Builder) -> Result<Vec<u8>> {
    builder.build().map_err(|error| Error::Request {
        object: format!("BTF of `{NAME}`"),
        reason: error.to_string(),
    })
}

pub(super) fn load_btf(host: &LinuxHost, bytes: &[u8]) -> Result<BtfFd> {
    host.btf_load(&BtfLoad {
        object: NAME,
        bytes,
        log_level: LogLevel::OnFailure,
        token: None,
    })
}
