//! Loading programs.

mod request;

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use skep_abi::{AttachType, Command, ProgLoadFlags, ProgramType};
use skep_host::{
    AttachTarget, Cause, Errno, Error, LoadedProgram, LogLevel, ProgramFd, ProgramLoad, Records,
    Result,
};
use skep_isa::{Disassembler, Endian, Insn, InsnIndex, NoSymbols, RawInsn, decode_slots};
use skep_verifier::Rule;

use super::{map, resolve::Resolver, verify};
use crate::{
    LoadError, Mode, Safety, Vm,
    machine::{Object, object_name},
    map::{Arena, Claim, InsnArray},
    map::{Map, ProgArray},
    program::{Code, Meta, Program, executable_anyhow},
};

type Raw<T> = std::result::Result<T, Errno>;

/// Why a load fails: an error number, with a log if it lies in the instructions.
struct Refusal {
    errno: Errno,
    log: String,
    cause: Option<Cause>,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self {
            errno,
            log: String::new(),
            cause: None,
        }
    }
}

fn said(errno: Errno, text: impl Into<String>) -> Refusal {
    Refusal {
        cause: Some(Cause::Said(text.into())),
        ..Refusal::from(errno)
    }
}

/// Who says that a program is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// The machine sees to it itself.
    Machine(Safety),
    /// The caller of [`Vm::load_verified`].
    Caller,
}

/// Loads a program: see [`Safety`] and [`Vm::load_verified`].
pub(super) fn load(vm: &Vm, request: &ProgramLoad<'_>, safety: Promise) -> Result<LoadedProgram> {
    if !request.instructions.len().is_multiple_of(8) {
        let len = request.instructions.len();
        return Err(Error::Request {
            object: format!("program `{}`", request.name),
            reason: format!("{len} bytes of instructions are no multiple of 8"),
        });
    }
    match loaded(vm, request, safety) {
        Ok((fd, log)) => Ok(LoadedProgram {
            fd,
            log: match request.log_level {
                LogLevel::OnFailure => String::new(),
                LogLevel::Statistics | LogLevel::Verbose | LogLevel::States => log,
            },
        }),
        Err(refusal) => {
            let error = if refusal.log.is_empty() {
                let object = format!("program `{}`", request.name);
                Error::command(Command::ProgLoad, object, refusal.errno)
            } else {
                Error::Verifier {
                    program: request.name.to_owned(),
                    errno: refusal.errno,
                    log: refusal.log,
                    cause: None,
                }
            };
            Err(error.because(refusal.cause))
        }
    }
}

fn loaded(
    vm: &Vm,
    request: &ProgramLoad<'_>,
    safety: Promise,
) -> std::result::Result<(ProgramFd, String), Refusal> {
    let request = &request::plain(request);
    let name = object_name(request.name);
    if request.program_type == ProgramType::Unspec {
        return Err(Errno::EINVAL.into());
    }
    let gpl_compatible = skep_abi::is_gpl_compatible(request.license);
    let slots = decode_slots(request.instructions, Endian::NATIVE)
        .map_err(|error| said(Errno::EINVAL, error.to_string()))?;
    if slots.is_empty() || slots.len() > skep_abi::limits::VERIFIED_INSTRUCTIONS as usize {
        return Err(Errno::E2BIG.into());
    }
    request::check(vm, request)?;
    let sleepable = request.flags.contains(ProgLoadFlags::SLEEPABLE);
    let digest = digest(&slots);
    let mut resolver = Resolver {
        vm,
        request,
        program_type: request.program_type,
        gpl_compatible,
        sleepable,
        maps: Vec::new(),
        references: Vec::new(),
        uses: Vec::new(),
        customs: Vec::new(),
        known: Vec::new(),
        errno: None,
    };
    let bound = bound(vm, request)?;
    let code = Code::new(&slots, &mut resolver).map_err(|error| Refusal {
        errno: resolver.errno.unwrap_or(errno(&error)),
        log: log(&slots, &error),
        cause: None,
    })?;
    let judged = judged(request, &slots, &resolver, safety)?;
    let (mode, mut log) = (judged.mode, judged.log);
    let code = code.with_guarded(judged.guarded);
    let maps = std::mem::take(&mut resolver.maps);
    let customs = std::mem::take(&mut resolver.customs);
    let foreign = |map: &&Arc<crate::map::Map>| map.exclusive.is_some_and(|hash| hash != digest);
    if let Some(map) = maps.iter().chain(&bound).find(foreign) {
        let text = format!("map `{}` is for another program alone", map.name);
        return Err(said(Errno::EACCES, text));
    }
    let mut meta = meta(vm, request, gpl_compatible, &digest, bound)?;
    let code = code.with_arena(arena(&maps)?);
    let code = code.with_known(std::mem::take(&mut resolver.known));
    let code = code.with_arrays(maps.iter().map(|map| map.kind.values()).collect());
    let (code, tables) = with_tables(code, &maps)?;
    meta.tables = tables;
    meta.verified = judged.verified;
    meta.only_as_loaded = judged.only_as_loaded;
    meta.references = std::mem::take(&mut resolver.references);
    let code = Arc::new(code);
    let coverage = vm.0.coverage(&name, &code);
    let engine = vm.0.engine;
    let (executable, refused) = executable_anyhow(&code, engine, mode, coverage.as_ref())?;
    let functions = code.functions();
    let program = vm.0.registry.programs.make(|id| Program {
        id,
        name,
        program_type: request.program_type,
        mode,
        maps,
        customs,
        code,
        executable,
        coverage,
        meta,
    });
    let alike = |map: &Arc<Map>| {
        map.of::<ProgArray>()
            .is_none_or(|array| array.takes(&program))
    };
    if !program.maps.iter().all(alike) {
        return Err(said(
            Errno::EINVAL,
            "tail calls go to programs of one type, attach type and flags",
        ));
    }
    log += &format!("{} instructions in {functions} functions\n", slots.len());
    if let Some(errno) = refused {
        log += &format!("not compiled ({errno}): the interpreter runs it\n");
    }
    Ok((open(vm, program)?, log))
}

/// How a program is to run, and what the verifier said of it.
struct Judged {
    mode: Mode,
    /// Accesses that are looked at anyhow.
    guarded: Vec<InsnIndex>,
    log: String,
    /// Instructions that the verifier followed.
    verified: u32,
    /// See [`skep_verifier::Verdict::only_as_loaded`].
    only_as_loaded: bool,
}

impl Judged {
    fn without_verdict(mode: Mode) -> Self {
        Self {
            mode,
            guarded: Vec::new(),
            log: String::new(),
            verified: 0,
            only_as_loaded: false,
        }
    }
}

fn judged(
    request: &ProgramLoad<'_>,
    slots: &[RawInsn],
    resolver: &Resolver<'_>,
    promise: Promise,
) -> std::result::Result<Judged, Refusal> {
    // Their arguments have no types: what a program does with them is seen when it does it.
    let untyped = request.program_type == ProgramType::StructOps;
    let mode = match promise {
        Promise::Machine(_) if untyped => return Ok(Judged::without_verdict(Mode::Checked)),
        Promise::Caller => return Ok(Judged::without_verdict(Mode::Verified)),
        Promise::Machine(Safety::Checks) => return Ok(Judged::without_verdict(Mode::Checked)),
        Promise::Machine(Safety::Verdict) => Mode::Verified,
        Promise::Machine(Safety::Both) => Mode::Checked,
    };
    let states = request.log_level == LogLevel::States;
    let verdict = verify::verdict(request, slots, resolver, states)?;
    match verdict.rejection {
        None => Ok(Judged {
            mode,
            guarded: verdict.guarded,
            log: verdict.log,
            verified: u32::try_from(verdict.stats.instructions).unwrap_or(u32::MAX),
            only_as_loaded: verdict.only_as_loaded,
        }),
        Some(rejection) => {
            // What a loader put there for what is missing it knows again by the instruction.
            let missing = rejection.rule == Rule::UnknownHelper && !states;
            let call = rejection.insn.filter(|_| missing);
            let call = call.and_then(|at| line(slots, at)).unwrap_or_default();
            Err(Refusal {
                errno: errno_of(rejection.rule),
                log: format!("{}{call}{rejection}\n", verdict.log),
                cause: None,
            })
        }
    }
}

/// What the kernel answers for a program that breaks a rule.
fn errno_of(rule: Rule) -> Errno {
    match rule {
        Rule::TooComplex | Rule::TooLarge => Errno::E2BIG,
        Rule::MissingCapability => Errno::EPERM,
        Rule::InvalidInstruction
        | Rule::InstructionNotHere
        | Rule::JumpOutOfRange
        | Rule::UnreachableCode
        | Rule::NoExit
        | Rule::UnboundedLoop
        | Rule::UnknownHelper
        | Rule::HelperNotHere
        | Rule::HelperNotAllowed
        | Rule::GplOnly
        | Rule::UnknownKfunc
        | Rule::ReferenceLeak
        | Rule::ReferenceRelease
        | Rule::AttachTarget
        | Rule::TypeNotHere
        | Rule::ProgramFlags
        | Rule::TypeInformation
        | Rule::CoreRelocation
        | Rule::ReturnValue => Errno::EINVAL,
        _ => Errno::EACCES,
    }
}

/// The program with what its jump tables hold, which are its own from now on.
fn with_tables(
    code: Code,
    maps: &[Arc<crate::map::Map>],
) -> std::result::Result<(Code, Vec<Claim>), Refusal> {
    let (mut tables, mut targets) = (Vec::new(), Vec::new());
    for map in maps.iter().filter(|map| map.of::<InsnArray>().is_some()) {
        let claimed = InsnArray::claim(map, |at| code.is_insn(at));
        let (claim, insns) = claimed.map_err(|errno| {
            let text = format!(
                "map `{}` is no jump table for it: it must be frozen, hold instructions of it, \
                 and be no other program's",
                map.name
            );
            said(errno, text)
        })?;
        tables.push(claim);
        targets.extend(insns);
    }
    Ok((code.with_targets(targets), tables))
}

/// Where the program's arena is.
fn arena(maps: &[Arc<crate::map::Map>]) -> std::result::Result<Option<u64>, Refusal> {
    let mut arenas = maps.iter().filter_map(|map| map.of::<Arena>());
    let Some(arena) = arenas.next() else {
        return Ok(None);
    };
    if arenas.next().is_some() {
        return Err(said(Errno::EBUSY, "a program has one arena"));
    }
    if !arena.is_mapped() {
        let text = "an arena has an address once it is mapped, or by map_extra";
        return Err(said(Errno::EINVAL, text));
    }
    Ok(Some(arena.window()))
}

/// Opens a program once more.
pub(super) fn open(vm: &Vm, program: Arc<Program>) -> Raw<ProgramFd> {
    vm.0.registry
        .files
        .open(Object::Program(program))
        .map(ProgramFd::new)
}

/// The program behind a descriptor.
pub(crate) fn program<'p>(vm: &Vm, fd: &'p ProgramFd) -> Raw<&'p Arc<Program>> {
    match vm.0.registry.files.object(fd.descriptor())? {
        Object::Program(program) => Ok(program),
        _ => Err(Errno::EINVAL),
    }
}

/// The program by name, for errors.
pub(super) fn describe(vm: &Vm, fd: &ProgramFd) -> String {
    match program(vm, fd) {
        Ok(program) if !program.name.is_empty() => format!("program `{}`", program.name),
        Ok(program) => format!("program {}", program.id),
        Err(_) => format!("program descriptor {}", fd.raw()),
    }
}

/// The maps of the load's list, where they shall live as long as the program.
fn bound(vm: &Vm, request: &ProgramLoad<'_>) -> Raw<Vec<Arc<crate::map::Map>>> {
    if !request.bind_fd_array {
        return Ok(Vec::new());
    }
    let mut bound = Vec::new();
    for fd in request.fd_array {
        match vm.0.registry.files.by_number(*fd)? {
            Object::Map(map, _) => bound.push(Arc::clone(&map)),
            Object::Btf(_) => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    Ok(bound)
}

fn meta(
    vm: &Vm,
    request: &ProgramLoad<'_>,
    gpl_compatible: bool,
    digest: &[u8; 32],
    bound: Vec<Arc<crate::map::Map>>,
) -> Raw<Meta> {
    let mut meta = Meta {
        instructions: request.instructions.to_vec(),
        loaded_at: vm.0.made.elapsed(),
        gpl_compatible,
        flags: request.flags,
        expected_attach_type: request::attach_type(request),
        attach_member: request.attach_member,
        ifindex: request.ifindex,
        attach_btf_id: request.attach_btf_id,
        bound: bound.into(),
        ..Meta::default()
    };
    meta.tag = tag(digest);
    match request.attach_target {
        Some(AttachTarget::Program(fd)) => {
            meta.attach_program = Some(Arc::clone(program(vm, fd)?));
        }
        Some(AttachTarget::Module(btf)) => meta.attach_btf = Some(map::btf_object(vm, btf)?),
        None if request.attach_btf_id != 0 => meta.attach_btf = vm.own_btf(),
        None => {}
    }
    if let Some(btf) = request.btf {
        meta.btf = Some(map::btf_object(vm, btf.btf)?);
        let records = |bytes: &[u8], size: u32, least: usize| {
            let record_size = size as usize;
            if bytes.is_empty() {
                return Ok(Records::default());
            }
            if record_size < least || !bytes.len().is_multiple_of(record_size) {
                return Err(Errno::EINVAL);
            }
            Ok(Records {
                bytes: bytes.to_vec(),
                record_size,
            })
        };
        meta.functions = records(btf.func_info, btf.func_info_record_size, 8)?;
        meta.lines = records(btf.line_info, btf.line_info_record_size, 16)?;
    }
    Ok(meta)
}

/// The hash of instructions in which no descriptor counts.
pub(super) fn digest(slots: &[RawInsn]) -> [u8; 32] {
    /// `BPF_PSEUDO_MAP_FD` and `BPF_PSEUDO_MAP_VALUE`.
    const OF_MAPS: [u8; 2] = [1, 2];
    let mut hash = Sha256::new();
    let mut second = false;
    for slot in slots {
        let mut bytes = slot.to_bytes(Endian::NATIVE);
        let source = (bytes[1] >> 4) & 0xf;
        let source = if cfg!(target_endian = "little") {
            source
        } else {
            bytes[1] & 0xf
        };
        let first = bytes[0] == 0x18 && OF_MAPS.contains(&source);
        if first || second {
            bytes[4..].fill(0);
        }
        second = first;
        hash.update(bytes);
    }
    hash.finalize().into()
}

/// The part of a hash that the kernel calls a tag.
pub(super) fn tag(digest: &[u8; 32]) -> [u8; 8] {
    digest.first_chunk().copied().unwrap_or_default()
}

/// What the kernel would answer.
fn errno(error: &LoadError) -> Errno {
    match error {
        LoadError::Length(_) => Errno::E2BIG,
        _ => Errno::EINVAL,
    }
}

/// The log: the instruction at fault as the kernel's verifier prints it, and the reason.
fn log(slots: &[RawInsn], error: &LoadError) -> String {
    let at = match error {
        LoadError::Decode(error) => error.index(),
        LoadError::Length(_) => None,
        LoadError::Structure { at, .. }
        | LoadError::Missing { at, .. }
        | LoadError::Reference { at, .. } => Some(*at),
    };
    let place = at.and_then(|at| line(slots, at)).unwrap_or_default();
    format!("{place}{}\nprocessed 0 insns\n", reason(error))
}

/// The error without its place.
fn reason(error: &LoadError) -> String {
    match error {
        LoadError::Structure { problem, .. } => problem.to_string(),
        LoadError::Missing { what, .. } => format!("the vm has no {what}"),
        LoadError::Reference { what, .. } => what.clone(),
        other => other.to_string(),
    }
}

fn line(slots: &[RawInsn], at: InsnIndex) -> Option<String> {
    let slot = slots.get(at.as_usize())?;
    let code = slot.to_bytes(Endian::NATIVE)[0];
    let text = match Insn::decode_at(slots, at) {
        Ok(insn) => Disassembler::new(&NoSymbols).insn(at, insn).to_string(),
        Err(_) => "?".to_owned(),
    };
    Some(format!("{}: ({code:02x}) {text}\n", at.0))
}

/// The attach type that a program was loaded for, where the type leaves a choice.
pub(super) fn loaded_as(program: &Program) -> Option<AttachType> {
    program.meta.expected_attach_type
}
