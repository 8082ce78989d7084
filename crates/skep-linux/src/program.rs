//! The commands on programs: load with the whole log on failure, attach, query, test-run.

use std::{ffi::CString, os::fd::OwnedFd};

use skep_abi::{AttachType, Command, ProgLoadFlags, ProgramType, QueryFlags};
use skep_host::{
    AttachTarget, Cause, Errno, Error, LinkTarget, LoadedProgram, LogLevel, MapFd, ProgramAttach,
    ProgramFd, ProgramLoad, ProgramQuery, ProgramStream, QueryAnswer, Result, TestRun,
    TestRunOutcome,
};

use crate::{
    LinuxHost, attr,
    cause::{
        Subject, signature,
        token::{self, Delegated},
    },
    files::Kind,
    log::{self, LogBuffer},
    sys::{SysResult, address, address_mut, bpf, bpf_open},
};
use zerocopy::IntoBytes as _;

/// Bytes of an instruction.
const INSTRUCTION: usize = 8;

pub(crate) fn load(host: &LinuxHost, request: &ProgramLoad<'_>) -> Result<LoadedProgram> {
    let prepared = Prepared::new(request)?;
    let refused = match request.log_level {
        LogLevel::OnFailure => match prepared.load(0, None) {
            Ok((fd, _)) => return Ok(loaded(host, fd, String::new())),
            Err((errno, _)) => errno,
        },
        LogLevel::Statistics | LogLevel::Verbose | LogLevel::States => Errno::EINVAL,
    };
    let level = match request.log_level {
        LogLevel::OnFailure => log::LEVEL_PATH,
        LogLevel::Statistics => log::LEVEL_STATISTICS,
        LogLevel::Verbose => log::LEVEL_PATH | log::LEVEL_STATISTICS,
        LogLevel::States => log::LEVEL_STATES | log::LEVEL_STATISTICS,
    };
    let outcome = log::whole(|buffer| prepared.load(level, Some(buffer)));
    match outcome {
        Ok((fd, text)) => {
            let text = if request.log_level == LogLevel::OnFailure {
                String::new()
            } else {
                text
            };
            Ok(loaded(host, fd, text))
        }
        Err((errno, text)) => {
            // A log that could not be given, or not whole, must not hide what the load answered.
            let of_the_log = text.is_empty() || errno == Errno::ENOSPC;
            let errno = match request.log_level {
                LogLevel::OnFailure if of_the_log => refused,
                _ => errno,
            };
            Err(load_error(host, request, errno, text))
        }
    }
}

fn loaded(host: &LinuxHost, fd: OwnedFd, log: String) -> LoadedProgram {
    LoadedProgram {
        fd: ProgramFd::new(host.files().own(fd, Kind::Program)),
        log,
    }
}

fn load_error(host: &LinuxHost, request: &ProgramLoad<'_>, errno: Errno, log: String) -> Error {
    let subject = Subject::Program {
        program_type: request.program_type,
        attach_type: request.expected_attach_type,
        log: &log,
    };
    let delegated = Delegated::Program(
        request.program_type,
        request.expected_attach_type.map_or(0, AttachType::raw),
    );
    let signature = signature::refused(host, request.signature.as_ref(), errno, &log);
    let unverified = log.is_empty() || signature.is_some();
    let cause = token::lacking(request.token, errno, delegated)
        .or(signature)
        .or_else(|| host.cause(Command::ProgLoad, errno, subject));
    let error = if unverified {
        Error::command(
            Command::ProgLoad,
            format!("program `{}`", request.name),
            errno,
        )
    } else {
        Error::Verifier {
            program: request.name.to_owned(),
            errno,
            log,
            cause: None,
        }
    };
    error.because(cause)
}

/// Loads a program to see what is said of it, and gives it up at once: the verifier's short log
/// if it was refused. One system call; for probes, which are many.
#[cfg(feature = "probes")]
pub(crate) fn verdict(
    request: &ProgramLoad<'_>,
) -> Result<std::result::Result<(), (Errno, String)>> {
    let prepared = Prepared::new(request)?;
    let mut buffer = LogBuffer::short();
    Ok(match prepared.load(log::LEVEL_PATH, Some(&mut buffer)) {
        Ok(_) => Ok(()),
        Err((errno, _)) => Err((errno, buffer.into_text())),
    })
}

/// A load request in the kernel's layout, with what its addresses point to.
struct Prepared<'a> {
    attr: attr::ProgLoad,
    license: CString,
    /// What the other addresses point to is borrowed for as long as this lives.
    request: &'a ProgramLoad<'a>,
}

impl<'a> Prepared<'a> {
    fn new(request: &'a ProgramLoad<'a>) -> Result<Self> {
        let refuse = |reason: String| Error::Request {
            object: format!("program `{}`", request.name),
            reason,
        };
        let count = |bytes: &[u8], record: usize, what: &str| {
            if record == 0 || !bytes.len().is_multiple_of(record) {
                let len = bytes.len();
                return Err(refuse(format!(
                    "{len} bytes of {what} are no multiple of {record}"
                )));
            }
            u32::try_from(bytes.len() / record).map_err(|_| refuse(format!("too many {what}")))
        };
        let license = CString::new(request.license)
            .map_err(|_| refuse("its licence has a zero byte in it".into()))?;
        let mut flags = request.flags;
        if request.token.is_some() {
            flags |= ProgLoadFlags::TOKEN_FD;
        }
        let mut attr = attr::ProgLoad {
            prog_type: request.program_type.raw(),
            insn_cnt: count(request.instructions, INSTRUCTION, "instructions")?,
            insns: address(request.instructions),
            kern_version: request.kernel_version,
            prog_flags: flags.bits(),
            prog_name: attr::object_name(request.name),
            prog_ifindex: request.ifindex,
            expected_attach_type: request
                .attach_member
                .or(request.expected_attach_type.map(AttachType::raw))
                .unwrap_or(0),
            attach_btf_id: request.attach_btf_id,
            attach_prog_fd: match request.attach_target {
                Some(AttachTarget::Program(program)) => program.raw() as u32,
                Some(AttachTarget::Module(btf)) => btf.raw() as u32,
                None => 0,
            },
            fd_array: address(request.fd_array),
            fd_array_cnt: if request.bind_fd_array {
                count(request.fd_array.as_bytes(), size_of::<i32>(), "descriptors")?
            } else {
                0
            },
            prog_token_fd: request.token.map_or(0, |token| token.raw()),
            ..Default::default()
        };
        if let Some(signature) = request.signature {
            attr.signature = address(signature.bytes);
            attr.signature_size = count(signature.bytes, 1, "signature")?;
            attr.keyring_id = signature.keyring;
        }
        if let Some(btf) = request.btf {
            attr.prog_btf_fd = btf.btf.raw() as u32;
            if !btf.func_info.is_empty() {
                let size = btf.func_info_record_size;
                attr.func_info_rec_size = size;
                attr.func_info = address(btf.func_info);
                attr.func_info_cnt = count(btf.func_info, size as usize, "function records")?;
            }
            if !btf.line_info.is_empty() {
                let size = btf.line_info_record_size;
                attr.line_info_rec_size = size;
                attr.line_info = address(btf.line_info);
                attr.line_info_cnt = count(btf.line_info, size as usize, "line records")?;
            }
            if !btf.core_relocations.is_empty() {
                let size = btf.core_relocation_record_size;
                attr.core_relo_rec_size = size;
                attr.core_relos = address(btf.core_relocations);
                attr.core_relo_cnt = count(btf.core_relocations, size as usize, "relocations")?;
            }
        }
        Ok(Self {
            attr,
            license,
            request,
        })
    }

    /// One load; beside the outcome, the log's true size as far as the kernel says it.
    fn load(
        &self,
        level: u32,
        buffer: Option<&mut LogBuffer>,
    ) -> Result<(OwnedFd, u32), (Errno, u32)> {
        let mut attr = self.attr;
        attr.license = self.license.as_ptr() as u64;
        if let Some(buffer) = buffer {
            attr.log_level = level;
            attr.log_size = buffer.size();
            attr.log_buf = buffer.address();
        }
        debug_assert_eq!(
            attr.insn_cnt as usize * INSTRUCTION,
            self.request.instructions.len()
        );
        // SAFETY: instructions, records, signature, descriptor array and licence are borrowed or
        // owned by `self` and as long as the counts beside them say (`new` derived each count
        // from its slice; the verifier reads `fd_array` only, a bad index in it faults in the
        // kernel's copy and answers EFAULT). The log is an exclusive buffer of `log_size` bytes.
        match unsafe { bpf_open(Command::ProgLoad, &mut attr) } {
            Ok(fd) => Ok((fd, attr.log_true_size)),
            Err(errno) => Err((errno, attr.log_true_size)),
        }
    }
}

/// The kernel refuses programs of this kind whatever they are: also one that names no target,
/// which an ordinary kernel calls invalid (`EINVAL`) and not forbidden.
pub(crate) fn kind_is_forbidden(
    program_type: ProgramType,
    attach_type: Option<AttachType>,
) -> bool {
    // r0 = 0; exit
    let code = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let mut request = ProgramLoad::new(program_type, "skep_probe", &code);
    request.expected_attach_type = attach_type;
    Prepared::new(&request)
        .is_ok_and(|prepared| matches!(prepared.load(0, None), Err((Errno::EPERM, _))))
}

/// A target as the number that the attach commands take.
pub(crate) fn target_number(target: LinkTarget<'_>) -> u32 {
    match target {
        LinkTarget::Device(index) => index,
        LinkTarget::Cgroup(cgroup) => cgroup.raw() as u32,
        LinkTarget::File(raw) => raw as u32,
        LinkTarget::Map(map) => map.raw() as u32,
        _ => 0,
    }
}

fn attach_attr(request: &ProgramAttach<'_>) -> attr::ProgAttach {
    attr::ProgAttach {
        target: target_number(request.target),
        attach_bpf_fd: request.program.map_or(0, |program| program.raw() as u32),
        attach_type: request.attach_type.raw(),
        attach_flags: request.flags.bits(),
        replace_bpf_fd: request.replace.map_or(0, |program| program.raw() as u32),
        relative: request.relative,
        expected_revision: request.expected_revision,
    }
}

/// `BPF_PROG_ATTACH` and `BPF_PROG_DETACH` without the error's dress, for holders too.
pub(crate) fn attach_raw(command: Command, request: &ProgramAttach<'_>) -> SysResult<()> {
    // SAFETY: the attribute carries no address.
    unsafe { bpf(command, &mut attach_attr(request)) }.map(drop)
}

pub(crate) fn attach(
    host: &LinuxHost,
    command: Command,
    request: &ProgramAttach<'_>,
) -> Result<()> {
    attach_raw(command, request).map_err(|errno| {
        host.failed(
            command,
            format!("hook {}", request.attach_type.name()),
            errno,
            Subject::Attach(request.attach_type),
        )
    })
}

/// The program by name, for errors.
pub(crate) fn describe(host: &LinuxHost, program: &ProgramFd) -> String {
    match crate::info::program::info(host, program) {
        Ok(info) if !info.name.is_empty() => format!("program `{}`", info.name),
        Ok(info) => format!("program {}", info.id),
        Err(_) => format!("program descriptor {}", program.raw()),
    }
}

pub(crate) fn test_run(
    host: &LinuxHost,
    program: &ProgramFd,
    run: &mut TestRun<'_>,
) -> Result<TestRunOutcome> {
    let size = |bytes: &[u8], what: &str| {
        u32::try_from(bytes.len()).map_err(|_| Error::Request {
            object: describe(host, program),
            reason: format!("the test run's {what} is larger than 4 GiB"),
        })
    };
    // A `syscall` program's context is written back to where it was read, so that must be ours;
    // and the kernel takes no other place for it.
    let mut context = run.context_in.to_vec();
    let in_place = !run.context_out.is_empty()
        && crate::info::program::info(host, program)?.program_type() == Some(ProgramType::Syscall);
    let context_out: &mut [u8] = if in_place { &mut [] } else { run.context_out };
    let mut attr = attr::TestRun {
        prog_fd: program.raw() as u32,
        data_size_in: size(run.data_in, "input")?,
        data_size_out: size(run.data_out, "output")?,
        data_in: address(run.data_in),
        data_out: address_mut(run.data_out),
        repeat: run.repeat,
        ctx_size_in: size(&context, "context")?,
        ctx_size_out: size(context_out, "context output")?,
        ctx_in: address_mut(&mut context),
        ctx_out: address_mut(context_out),
        flags: run.flags.bits(),
        cpu: run.cpu,
        batch_size: run.batch_size,
        ..Default::default()
    };
    // SAFETY: the four buffers live through the call, their lengths are passed, and those that the
    // kernel may write to are borrowed for writing.
    match unsafe { bpf(Command::ProgTestRun, &mut attr) } {
        Ok(_) => {}
        // The program ran; only the copy of its output was cut short.
        Err(Errno::ENOSPC) if attr.data_size_out as usize > run.data_out.len() => {}
        Err(errno) => {
            let object = describe(host, program);
            return Err(host.failed(Command::ProgTestRun, object, errno, Subject::TestRun));
        }
    }
    let mut context_out_size = attr.ctx_size_out;
    if in_place {
        let fits = context.len().min(run.context_out.len());
        run.context_out[..fits].copy_from_slice(&context[..fits]);
        context_out_size = attr.ctx_size_in;
    }
    Ok(TestRunOutcome {
        return_value: attr.retval,
        duration: attr.duration,
        data_out_size: attr.data_size_out,
        context_out_size,
    })
}

/// Most programs that a hook is asked for.
const MOST_ATTACHED: usize = 1 << 20;

/// Which of the arrays of `BPF_PROG_QUERY` beside the programs' ids a hook fills.
#[derive(Clone, Copy)]
struct Filled {
    program_flags: bool,
    links: bool,
}

impl Filled {
    fn of(query: &ProgramQuery<'_>) -> Self {
        match query.attach_type {
            AttachType::TcxIngress
            | AttachType::TcxEgress
            | AttachType::NetkitPrimary
            | AttachType::NetkitPeer => Self {
                program_flags: true,
                links: true,
            },
            // Cgroups, since 6.0, and not for what comes from above.
            _ => Self {
                program_flags: matches!(query.target, LinkTarget::Cgroup(_))
                    && !query.flags.contains(QueryFlags::QUERY_EFFECTIVE),
                links: false,
            },
        }
    }
}

pub(crate) fn query(host: &LinuxHost, query: &ProgramQuery<'_>) -> Result<QueryAnswer> {
    let mut room = 64;
    let mut filled = Filled::of(query);
    loop {
        let row = |wanted: bool| vec![0u32; if wanted { room } else { 0 }];
        let mut programs = row(true);
        let mut program_flags = row(filled.program_flags);
        let mut links = row(filled.links);
        let mut link_flags = row(filled.links);
        let mut attr = attr::ProgQuery {
            target: target_number(query.target),
            attach_type: query.attach_type.raw(),
            query_flags: query.flags.bits(),
            prog_ids: address_mut(&mut programs),
            prog_attach_flags: address_mut(&mut program_flags),
            link_ids: address_mut(&mut links),
            link_attach_flags: address_mut(&mut link_flags),
            count: room as u32,
            ..Default::default()
        };
        // SAFETY: each address is null or of an array of `count` elements that lives through the
        // call.
        let answer = unsafe { bpf(Command::ProgQuery, &mut attr) };
        let count = attr.count as usize;
        match answer {
            Ok(_) if count <= room => {
                for row in [
                    &mut programs,
                    &mut program_flags,
                    &mut links,
                    &mut link_flags,
                ] {
                    row.truncate(count);
                }
                return Ok(QueryAnswer {
                    programs,
                    links,
                    program_flags,
                    link_flags,
                    flags: attr.attach_flags,
                    revision: attr.revision,
                });
            }
            Ok(_) | Err(Errno::ENOSPC) if room < MOST_ATTACHED => {
                room = count.max(room * 2).min(MOST_ATTACHED);
            }
            // A kernel that does not know the arrays yet wants no address there.
            Err(Errno::EINVAL | Errno::E2BIG) if filled.program_flags && !filled.links => {
                filled.program_flags = false;
            }
            answer => {
                let errno = answer.err().unwrap_or(Errno::ENOSPC);
                let object = format!("hook {}", query.attach_type.name());
                let subject = Subject::Attach(query.attach_type);
                return Err(host.failed(Command::ProgQuery, object, errno, subject));
            }
        }
    }
}

pub(crate) fn bind_map(host: &LinuxHost, program: &ProgramFd, map: &MapFd) -> Result<()> {
    let mut attr = attr::BindMap {
        prog_fd: program.raw() as u32,
        map_fd: map.raw() as u32,
        flags: 0,
    };
    // SAFETY: the attribute carries no address.
    match unsafe { bpf(Command::ProgBindMap, &mut attr) } {
        Ok(_) => Ok(()),
        Err(errno) => {
            let object = describe(host, program);
            Err(host.failed(Command::ProgBindMap, object, errno, Subject::None))
        }
    }
}

pub(crate) fn stream_read(
    host: &LinuxHost,
    program: &ProgramFd,
    stream: ProgramStream,
    buffer: &mut [u8],
) -> Result<usize> {
    let mut attr = attr::StreamRead {
        stream_buf: address_mut(buffer),
        stream_buf_len: u32::try_from(buffer.len()).unwrap_or(u32::MAX),
        stream_id: match stream {
            ProgramStream::Output => 1,
            ProgramStream::Error => 2,
        },
        prog_fd: program.raw() as u32,
        ..Default::default()
    };
    // SAFETY: the kernel writes at most `stream_buf_len` bytes to a buffer at least as long.
    match unsafe { bpf(Command::ProgStreamReadByFd, &mut attr) } {
        Ok(read) => Ok(usize::try_from(read).unwrap_or(0)),
        Err(errno) => {
            let object = describe(host, program);
            Err(host.failed(Command::ProgStreamReadByFd, object, errno, Subject::None))
        }
    }
}

pub(crate) fn assoc_struct_ops(host: &LinuxHost, program: &ProgramFd, map: &MapFd) -> Result<()> {
    let mut attr = attr::AssocStructOps {
        map_fd: map.raw() as u32,
        prog_fd: program.raw() as u32,
        flags: 0,
    };
    // SAFETY: the attribute carries no address.
    match unsafe { bpf(Command::ProgAssocStructOps, &mut attr) } {
        Ok(_) => Ok(()),
        Err(errno) => {
            let object = describe(host, program);
            let error = host.failed(Command::ProgAssocStructOps, object, errno, Subject::None);
            Err(match errno {
                Errno::EBUSY => error.because(Some(Cause::InUse(
                    "the program is associated with a struct of operations already, for good"
                        .into(),
                ))),
                _ => error,
            })
        }
    }
}
