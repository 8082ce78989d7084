//! Exit codes: whose fault it was. One function decides, by the error's type and cause.

use std::{
    fmt,
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, ExitStatus},
};

use skep::{
    boundary::{Cause, Errno},
    vm::TraceError,
};

/// What the help and the man page say of exit codes.
pub(crate) const TABLE: &str = "\
Exit codes:
  0  success
  1  something failed while it ran, a feature that was asked for is missing, or
     `skep check` refuses a program
  2  wrong usage
  3  the program is at fault: it does not compile, the object is malformed, a
     relocation finds nothing in this kernel, or the verifier refuses it
  4  the machine is at fault: a tool, a privilege or a kernel feature is missing
`skep run PROG -- CMD` ends as CMD does: with its exit status, or with 128+N if
signal N ended it; 127 if there is no CMD, 126 if it can't be executed. A code
of skep's own comes with a line `error: …` on stderr. Ended before CMD, by
Ctrl-C or --duration, it ends with 0.";

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Something failed while it ran.
    Failed = 1,
    /// The user asked for what can't be.
    Usage = 2,
    /// The program is at fault.
    Program = 3,
    /// The machine is at fault.
    Machine = 4,
    /// The command to run can't be executed, as shells say it.
    NotExecutable = 126,
    /// There is no such command, as shells say it.
    NoCommand = 127,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The command line is well-formed, but asks for what can't be.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::error::Error for Usage {}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The command that was to be run can't be.
#[derive(Debug)]
pub(crate) struct NotRun {
    /// What is said of it.
    pub(crate) reason: String,
    /// Whether there is such a file at all.
    pub(crate) exists: bool,
}

impl std::error::Error for NotRun {}

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The exit code that hands on how a command ended, as shells do it.
pub(crate) fn of_command(status: ExitStatus) -> ExitCode {
    let signal = || status.signal().map_or(0, |signal| 128 + signal);
    let code = status.code().unwrap_or_else(signal);
    ExitCode::from(u8::try_from(code).unwrap_or(Exit::Failed as u8))
}

/// Whose fault an error is: the outermost one of the chain that says it.
pub(crate) fn exit_code(error: &anyhow::Error) -> Exit {
    error.chain().find_map(of_error).unwrap_or(Exit::Failed)
}

fn of_error(error: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    None.or_else(|| error.downcast_ref::<Usage>().map(|_| Exit::Usage))
        .or_else(|| error.downcast_ref().map(of_not_run))
        .or_else(|| error.downcast_ref().map(of_trace))
        .or_else(|| error.downcast_ref().map(of_skep))
        .or_else(|| error.downcast_ref().and_then(of_test))
        .or_else(|| error.downcast_ref().map(of_build))
        .or_else(|| error.downcast_ref().map(of_object))
        .or_else(|| error.downcast_ref().map(of_host))
        .or_else(|| {
            error
                .downcast_ref::<skep::btf::Error>()
                .map(|_| Exit::Program)
        })
}

fn of_not_run(error: &NotRun) -> Exit {
    match error.exists {
        true => Exit::NotExecutable,
        false => Exit::NoCommand,
    }
}

fn of_trace(error: &TraceError) -> Exit {
    match error {
        TraceError::NoProcess { .. } => Exit::Usage,
        _ => Exit::Machine,
    }
}

fn of_skep(error: &skep::Error) -> Exit {
    use skep::Error;
    match error {
        Error::Object(error) => of_object(error),
        Error::Host(error) => of_host(error),
        Error::Rejected(rejection) => rejection.cause.as_deref().map_or(Exit::Program, of_cause),
        Error::Unknown { .. } | Error::Variable { .. } | Error::Attach { .. } => Exit::Usage,
        Error::Btf(_) | Error::Map { .. } | Error::Recording(_) | Error::NotLight { .. } => {
            Exit::Program
        }
        Error::Binary { .. } | Error::NoHost { .. } => Exit::Machine,
        // The last form is the one that asks for least.
        Error::NoForm { last, .. } => of_skep(last),
        _ => Exit::Failed,
    }
}

/// Of a test file that can't be opened; what is wrong with its program, that says itself.
fn of_test(error: &skep_test::Error) -> Option<Exit> {
    use skep_test::Error;
    match error {
        Error::File(_) => Some(Exit::Usage),
        _ => None,
    }
}

fn of_build(error: &skep_build::Error) -> Exit {
    use skep_build::Error;
    match error {
        Error::Compile { .. } => Exit::Program,
        Error::Package { .. } => Exit::Usage,
        Error::ClangNotFound { .. }
        | Error::ClangUnusable { .. }
        | Error::ClangTooOld { .. }
        | Error::ClangWithoutBpf { .. }
        | Error::RustcNotFound { .. }
        | Error::RustcUnusable { .. }
        | Error::RustcTooOld { .. }
        | Error::CargoNotFound { .. }
        | Error::NoCoreSource { .. }
        | Error::Core { .. }
        | Error::Library { .. }
        | Error::NoKernelTypes { .. }
        | Error::KernelTypes { .. }
        | Error::Run { .. } => Exit::Machine,
        _ => Exit::Failed,
    }
}

fn of_object(error: &skep::spec::Error) -> Exit {
    use skep::spec::Error;
    match error.without_file() {
        Error::Io { .. } => Exit::Failed,
        Error::Unknown { .. } | Error::VariableSize { .. } => Exit::Usage,
        Error::NoTargetBtf { .. } => Exit::Machine,
        _ => Exit::Program,
    }
}

fn of_host(error: &skep::boundary::Error) -> Exit {
    use skep::boundary::Error;
    match (error, error.cause()) {
        (_, Some(cause)) => of_cause(cause),
        (Error::Verifier { .. } | Error::Btf { .. }, None) => Exit::Program,
        (Error::Unsupported { .. }, None) => Exit::Machine,
        (_, None) => match error.errno() {
            Some(Errno::EPERM | Errno::EACCES | Errno::ENOSYS | Errno::EOPNOTSUPP) => Exit::Machine,
            _ => Exit::Failed,
        },
    }
}

fn of_cause(cause: &Cause) -> Exit {
    match cause {
        Cause::MissingCapability(_)
        | Cause::Unprivileged(_)
        | Cause::Lockdown(..)
        | Cause::Sysctl { .. }
        | Cause::KernelOption(_)
        | Cause::KernelTooOld { .. }
        | Cause::Memlock(_)
        | Cause::Process { .. }
        | Cause::NotInUserSpace(_)
        | Cause::NotMounted(_) => Exit::Machine,
        // The program names what this kernel does not have, mostly by a slip of the fingers.
        Cause::NotFound { .. } => Exit::Program,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use anyhow::anyhow;
    use skep::abi::{Command, KernelVersion};

    use super::*;

    #[track_caller]
    fn check(error: impl Into<anyhow::Error>, expect: Exit) {
        let error = error.into();
        assert_eq!(exit_code(&error), expect, "{error:#}");
        let within = error.context("while doing something");
        assert_eq!(exit_code(&within), expect, "{within:#}");
    }

    #[test]
    fn wrong_usage() {
        check(Usage("-o must be a folder".into()), Exit::Usage);
        let kind = "program";
        check(
            skep::Error::Unknown {
                kind,
                name: "x".into(),
                known: vec![],
            },
            Exit::Usage,
        );
        let error = skep::spec::Error::Unknown {
            kind,
            name: "x".into(),
            known: vec![],
        };
        check(skep::Error::from(error), Exit::Usage);
    }

    #[test]
    fn a_commands_end_is_handed_on() {
        for (raw, code) in [(0, 0_u8), (3 << 8, 3), (255 << 8, 255), (9, 137), (15, 143)] {
            let expect = format!("{:?}", ExitCode::from(code));
            let got = format!("{:?}", of_command(ExitStatus::from_raw(raw)));
            assert_eq!(got, expect, "{raw}");
        }
        let not_run = |exists| NotRun {
            reason: "cannot run `x`".into(),
            exists,
        };
        check(not_run(true), Exit::NotExecutable);
        check(not_run(false), Exit::NoCommand);
    }

    #[test]
    fn the_program_is_at_fault() {
        let compile = skep_build::Error::Compile {
            source_file: "a.c".into(),
            stderr: "a.c:1:1: error".into(),
            hint: None,
        };
        check(compile, Exit::Program);
        let error = skep::spec::Error::NotBpf {
            reason: "text".into(),
        };
        check(skep::Error::from(error), Exit::Program);
        let refused = skep::boundary::Error::Verifier {
            program: "p".into(),
            errno: Errno::EACCES,
            log: String::new(),
            cause: None,
        };
        check(skep::Error::from(refused), Exit::Program);
        let no_event = Cause::NotFound {
            kind: "tracepoint",
            name: "x/y".into(),
            near: vec![],
        };
        check(attaching(Some(no_event)), Exit::Program);
    }

    #[test]
    fn the_machine_is_at_fault() {
        check(
            skep_build::Error::ClangNotFound {
                remedy: "install it".into(),
            },
            Exit::Machine,
        );
        check(
            attaching(Some(Cause::KernelOption("CONFIG_KPROBES"))),
            Exit::Machine,
        );
        check(
            attaching(Some(Cause::MissingCapability(vec!["CAP_BPF"]))),
            Exit::Machine,
        );
        check(attaching(None), Exit::Machine);
        let old = Cause::KernelTooOld {
            what: "ring buffers".into(),
            needs: KernelVersion::new(5, 8),
            has: KernelVersion::new(5, 4),
        };
        let host = skep::boundary::Error::command(Command::MapCreate, "map `m`", Errno::EINVAL);
        check(skep::Error::from(host.because(Some(old))), Exit::Machine);
    }

    #[test]
    fn anything_else_failed() {
        check(anyhow!("it went wrong"), Exit::Failed);
        check(io::Error::from(io::ErrorKind::NotFound), Exit::Failed);
        let path = PathBuf::from("a.o");
        let source = io::Error::from(io::ErrorKind::NotFound);
        check(
            skep::Error::from(skep::spec::Error::Io { path, source }),
            Exit::Failed,
        );
        let busy = skep::boundary::Error::command(Command::LinkCreate, "program", Errno::EBUSY);
        check(skep::Error::from(busy), Exit::Failed);
    }

    #[test]
    fn of_several_forms_the_last_decides() {
        let last = |last: skep::Error| skep::Error::NoForm {
            program: "p".into(),
            refused: vec![],
            last: Box::new(last),
        };
        check(last(attaching(None)), Exit::Machine);
        let refused = skep::boundary::Error::Verifier {
            program: "p".into(),
            errno: Errno::EACCES,
            log: String::new(),
            cause: None,
        };
        check(last(refused.into()), Exit::Program);
    }

    /// A refusal with EPERM, which without a cause is the machine's.
    fn attaching(cause: Option<Cause>) -> skep::Error {
        skep::boundary::Error::Attach {
            program: "p".into(),
            point: "tracepoint/x/y".into(),
            errno: Errno::EPERM,
            cause: cause.map(Box::new),
        }
        .into()
    }
}
