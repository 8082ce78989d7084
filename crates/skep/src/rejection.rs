//! A verifier's refusal, brought back to the source: which line, and what was missing there.

use std::fmt;
#[cfg(feature = "verifier")]
use std::sync::Arc;

use skep_abi::Helper;
#[cfg(feature = "verifier")]
use skep_btf::Btf;
#[cfg(feature = "verifier")]
use skep_host::HostKind;
use skep_host::{Cause, Errno};
use skep_isa::{
    InsnIndex,
    opcode::{BPF_CALL, BPF_JMP},
};
#[cfg(feature = "verifier")]
use skep_object::Image;
use skep_object::ImageProgram;
#[cfg(feature = "verifier")]
use skep_verifier::{
    Options, Rule,
    diagnosis::{Diagnosis, KernelLog},
    verify,
};

#[cfg(feature = "verifier")]
use crate::Host;

/// The verifier refused a program.
#[derive(Debug)]
pub struct Rejection {
    /// The program's name.
    pub program: String,
    /// The host's answer.
    pub errno: Errno,
    /// The verifier's reason: the last thing its log says of the program.
    pub message: String,
    /// The instruction that it stopped at, where the log says it.
    pub insn: Option<InsnIndex>,
    /// Where that is in the source.
    pub source: Option<SourcePlace>,
    /// What the program needs and this host lacks, when that is why: a CO-RE relocation or a weak
    /// extern that found nothing, a helper that the kernel is too old for.
    pub missing: Option<String>,
    /// The refusal in words, with what explains it: by Skep's own verifier where that refuses the
    /// program for the same reason, else as far as the log tells. `None` where the log's message is
    /// not known, or the program is not at fault. With feature `verifier`.
    #[cfg(feature = "verifier")]
    pub diagnosis: Option<Box<Diagnosis>>,
    /// What the host says would help. Since Linux 7.3.
    pub suggestion: Option<String>,
    /// The log, as the host wrote it.
    pub log: String,
    /// A reason outside the program, such as a missing capability.
    pub cause: Option<Box<Cause>>,
}

/// A place in a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePlace {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1; 0 where it is not known.
    pub column: u32,
    /// The line's text.
    pub text: String,
}

impl Rejection {
    pub(crate) fn new(
        program: &ImageProgram,
        errno: Errno,
        log: String,
        cause: Option<Box<Cause>>,
    ) -> Self {
        let (states, diagnosis) = split_diagnosis(&log);
        let last = last_instruction(states);
        let poisoned = last.and_then(|insn| program.poisoned_at(insn));
        let too_new = too_new(program, last);
        let missing = match (poisoned, &too_new) {
            (Some(poisoned), _) => Some(poisoned.description.clone()),
            (None, Some((_, helper))) => Some(format!(
                "{helper} needs Linux {}, and this is {}",
                helper.since, program.kernel_version
            )),
            (None, None) => None,
        };
        let source = last
            .or(too_new.map(|(insn, _)| insn))
            .and_then(|insn| program.source_at(insn))
            .map(|line| SourcePlace {
                file: line.file.to_owned(),
                line: line.line,
                column: line.column,
                text: line.text.trim_end().to_owned(),
            });
        Self {
            program: program.name.clone(),
            errno,
            message: match reason(states) {
                "" => diagnosis.lines().next().unwrap_or_default().to_owned(),
                reason => reason.to_owned(),
            },
            insn: last,
            source,
            missing,
            #[cfg(feature = "verifier")]
            diagnosis: None,
            suggestion: paragraph(diagnosis, "Suggestion:"),
            log,
            cause,
        }
    }

    /// Finds the words for it.
    #[cfg(feature = "verifier")]
    pub(crate) fn diagnose(&mut self, image: &Image, host: &Host) {
        if self.missing.is_some() || self.cause.is_some() {
            return;
        }
        let Some(program) = image.program(&self.program) else {
            return;
        };
        let bytes = image.btf.clone();
        let btf = bytes.and_then(|bytes| Btf::parse(bytes).ok()).map(Arc::new);
        let program = skep_verifier::Program::from_image(image, program, btf.as_ref());
        let log = KernelLog::parse(&self.log);
        let own = crate::target::of(host, image).ok().and_then(|target| {
            let options = Options::default();
            let rejection = verify(&program, &target, &options).rejection?;
            // The machine's verifier is this one. Of a kernel's, some messages are about several
            // rules, and what is checked first may be at another instruction.
            // An instruction that is newer than a kernel it calls by other names, and no number.
            let too_new = rejection.rule == Rule::InstructionNotHere
                && log.rule.is_none_or(|rule| rule == Rule::InvalidInstruction);
            let same = host.info().kind == HostKind::Vm
                || too_new
                || log.rule == Some(rejection.rule)
                || (log.insn.is_some() && log.insn == rejection.insn);
            same.then(|| Diagnosis::of(&program, &target, &options, &rejection))
        });
        let diagnosis = own.or_else(|| Diagnosis::of_log(&program, &log));
        self.diagnosis = diagnosis.map(|mut diagnosis| {
            if self.message != diagnosis.message {
                diagnosis
                    .notes
                    .push(format!("the host's verifier says: {}", self.message));
            }
            Box::new(diagnosis)
        });
    }
}

impl std::error::Error for Rejection {}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = &self.program;
        match &self.missing {
            Some(missing) => write!(
                f,
                "program `{program}` needs what this kernel lacks: {missing}"
            )?,
            None if self.message.is_empty() => {
                write!(
                    f,
                    "the verifier refused program `{program}`: {}",
                    self.errno
                )?;
            }
            None => write!(
                f,
                "the verifier refused program `{program}`: {}",
                self.message
            )?,
        }
        let Some(source) = &self.source else {
            return Ok(());
        };
        let SourcePlace {
            file,
            line,
            column,
            text,
        } = source;
        write!(f, "\n  --> {file}:{line}")?;
        if *column > 0 {
            write!(f, ":{column}")?;
        }
        write!(f, "\n   | {}", text.trim_start())
    }
}

/// A log's states, and the diagnosis in words that stands behind them since Linux 7.3.
fn split_diagnosis(log: &str) -> (&str, &str) {
    const START: &str = "Verification failed:";
    let at = if log.starts_with(START) {
        Some(0)
    } else {
        log.find("\nVerification failed:").map(|at| at + 1)
    };
    log.split_at(at.unwrap_or(log.len()))
}

/// The indented lines below a heading, as one.
fn paragraph(diagnosis: &str, heading: &str) -> Option<String> {
    let mut lines = diagnosis.lines().skip_while(|line| *line != heading);
    lines.next()?;
    let words: Vec<&str> = lines
        .take_while(|line| line.starts_with(' '))
        .map(str::trim)
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The call of a helper that is newer than the kernel: the one that the verifier stopped at. One
/// that it did not come to may never run there; but if it came to none, since a form of
/// instruction that belongs to the helper is new, too (the address of a callback), the newest.
fn too_new(
    program: &ImageProgram,
    last: Option<InsnIndex>,
) -> Option<(InsnIndex, &'static Helper)> {
    const CALL: u8 = BPF_JMP | BPF_CALL;
    let calls = (0..).map(InsnIndex).zip(&program.instructions);
    let mut newer = calls.filter_map(|(at, insn)| {
        let id = (insn.opcode == CALL && insn.src == 0).then_some(insn.imm)?;
        let helper = Helper::by_id(u32::try_from(id).ok()?)?;
        (helper.since > program.kernel_version).then_some((at, helper))
    });
    match last {
        Some(last) => newer.find(|(at, _)| *at == last),
        None => newer.max_by_key(|(_, helper)| helper.since),
    }
}

/// The instruction of the last state line (`12: (61) r1 = …`) of a log.
fn last_instruction(log: &str) -> Option<InsnIndex> {
    log.lines().rev().find_map(|line| {
        let (number, rest) = line.split_once(": (")?;
        let opcode = rest.get(..3)?;
        let is_opcode =
            opcode.ends_with(')') && opcode[..2].bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_opcode {
            number.trim().parse().ok().map(InsnIndex)
        } else {
            None
        }
    })
}

/// The last line that is no statistics and no state.
fn reason(log: &str) -> &str {
    log.lines()
        .rev()
        .map(str::trim)
        .find(|line| {
            !(line.is_empty()
                || line.starts_with("processed ")
                || line.starts_with("verification time ")
                || line.starts_with("stack depth ")
                || line.starts_with("max_states_per_insn")
                || line.starts_with("insns_processed"))
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use skep_abi::KernelVersion;
    use skep_object::{LinkOptions, Target};

    use super::*;

    const LOG: &str = "\
0: R1=ctx() R10=fp0
; struct event *event = bpf_map_lookup_elem(&m, &key); @ a.c:7
3: (85) call bpf_map_lookup_elem#1    ; R0_w=map_value_or_null(id=1)
4: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
verification time 46 usec
stack depth 8
processed 5 insns (limit 1000000) max_states_per_insn 0 total_states 0
";

    #[test]
    fn reason_and_instruction_are_found_in_a_log() {
        assert_eq!(reason(LOG), "R0 invalid mem access 'map_value_or_null'");
        assert_eq!(last_instruction(LOG), Some(InsnIndex(4)));
    }

    /// As Linux 7.3 writes it, shortened.
    const DIAGNOSED: &str = "\
7: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
Verification failed: Register Type Safety: Invalid dereference
Reason:
  R0 may be NULL here (a nullable map value pointer).
At:
  count @ a.c:19:9
  Instruction context:
       6 | (85) call bpf_map_lookup_elem#1
  >>>  7 | (79) r1 = *(u64 *)(r0 +0)
Suggestion:
  Add a NULL check before the access and dereference the pointer only on
  the non-NULL path.
processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0
";

    #[test]
    fn a_diagnosis_is_kept_apart_from_the_states() {
        let (states, diagnosis) = split_diagnosis(DIAGNOSED);
        assert_eq!(reason(states), "R0 invalid mem access 'map_value_or_null'");
        assert_eq!(last_instruction(states), Some(InsnIndex(7)));
        let suggestion = paragraph(diagnosis, "Suggestion:").expect("a suggestion");
        assert!(
            suggestion.ends_with("only on the non-NULL path."),
            "{suggestion}"
        );
        assert_eq!(paragraph(diagnosis, "Advice:"), None);
        assert_eq!(split_diagnosis(LOG), (LOG, ""));
        assert_eq!(split_diagnosis("Verification failed: x").0, "");
    }

    #[test]
    fn a_helper_is_named_where_it_is_too_new() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/too_new.bpf.c");
        let folder = std::env::temp_dir().join(format!("skep-too-new-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let bytes = skep_testing::compile(&source, &folder.to_string_lossy());
        std::fs::remove_dir_all(&folder).expect("the folder");
        let Ok(bytes) = bytes else {
            return skep_testing::lacks("clang");
        };
        let object = skep_object::Object::parse(&bytes).expect("an object");
        let refused = |version: (u8, u8), program: &str, log: &str| {
            let target = Target::new(KernelVersion::new(version.0, version.1));
            let image = object.link(&LinkOptions::new(), &target).expect("an image");
            let program = image.program(program).expect("a program");
            let call = program
                .instructions
                .iter()
                .position(|insn| insn.opcode == 0x85);
            let log = log.replace("CALL", &call.expect("a call").to_string());
            Rejection::new(program, Errno::EINVAL, log, None)
        };
        // Where the verifier stopped at the call, and where it came to no instruction.
        let at_call = "CALL: (85) call unknown#208\ninvalid func unknown#208\n";
        let before = "number of funcs in func_info doesn't match number of subprogs\n";
        for (program, log, said, line) in [
            (
                "looks",
                at_call,
                "bpf_ktime_get_tai_ns needs Linux 6.1, and this is 5.10",
                18,
            ),
            (
                "loops",
                before,
                "bpf_loop needs Linux 5.17, and this is 5.10",
                25,
            ),
        ] {
            let rejection = refused((5, 10), program, log);
            assert_eq!(rejection.missing.as_deref(), Some(said));
            assert_eq!(rejection.source.map(|source| source.line), Some(line));
        }
        // Elsewhere the call may be one that never runs; and on newer kernels it is none.
        let elsewhere = "1: (b7) r1 = 0\nR1 type=scalar expected=ctx\n";
        assert_eq!(refused((5, 10), "looks", elsewhere).missing, None);
        assert_eq!(refused((6, 1), "looks", at_call).missing, None);
    }

    #[test]
    fn an_empty_log_says_nothing() {
        assert_eq!(reason(""), "");
        assert_eq!(last_instruction("func#0 @0\n"), None);
    }
}
