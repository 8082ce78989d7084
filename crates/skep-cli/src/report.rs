//! What is said when something fails: one paragraph that names the thing, its cause and the fix.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};

use skep::verifier::diagnosis::Diagnosis;

use crate::{answers, check, cli::Global, exit, output, text};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const LABEL: Style = Style::new().bold();

/// Lines of the verifier's log that are shown without `-v`.
const LOG_LINES: usize = 8;

/// Programs could not be attached, and none is.
#[derive(Debug)]
pub(crate) struct NothingLeft(pub(crate) anyhow::Error);

impl fmt::Display for NothingLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for NothingLeft {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_ref())
    }
}

/// Tells what failed, on stderr, and gives the exit code that says whose fault it was.
pub(crate) fn fail(error: &anyhow::Error, global: &Global) -> ExitCode {
    if output::reader_is_gone(error) {
        return ExitCode::SUCCESS;
    }
    show(error, global);
    exit::exit_code(error).into()
}

/// Tells what failed, on stderr.
pub(crate) fn show(error: &anyhow::Error, global: &Global) {
    let mut said = match from_compiler(error) {
        // As it was printed: editors and eyes know it.
        Some(error) => format!("{error}\n"),
        None => match diagnosis(error) {
            Some((diagnosis, log)) => diagnosed(diagnosis, log, global.verbose > 0),
            None => paragraph(error, global.verbose > 0, width()),
        },
    };
    if error.is::<NothingLeft>() {
        said.push_str("nothing was left attached\n");
    }
    // Where stderr is gone, there is nobody to tell.
    let _ = anstream::stderr().lock().write_all(said.as_bytes());
}

/// Writes to stderr, at once. A run goes on where that is gone, or full.
pub(crate) fn tell(text: impl fmt::Display) {
    let _ = io::stderr().lock().write_all(text.to_string().as_bytes());
}

/// The error, if it is the compiler's own and says where it is.
fn from_compiler(error: &anyhow::Error) -> Option<&skep_build::Error> {
    error
        .chain()
        .find_map(|error| error.downcast_ref::<skep_build::Error>())
        .filter(|error| matches!(error, skep_build::Error::Compile { .. }))
}

/// Why a program was refused, in words, and the verifier's log.
fn diagnosis(error: &anyhow::Error) -> Option<(&Diagnosis, &str)> {
    let known = error
        .chain()
        .find_map(|error| error.downcast_ref::<skep::Error>())?;
    match known {
        skep::Error::Rejected(rejection) => {
            Some((rejection.diagnosis.as_deref()?, rejection.log.as_str()))
        }
        _ => None,
    }
}

/// The diagnosis, and with `whole` the log that it was told by.
fn diagnosed(diagnosis: &Diagnosis, log: &str, whole: bool) -> String {
    let program = text::printable(&diagnosis.program);
    let mut out = check::shown(diagnosis);
    if whole {
        out.push_str(&excerpt(log, true));
    } else {
        let _ = writeln!(
            out,
            "the verifier refused program `{program}`; -v shows its whole log"
        );
    }
    out
}

/// Columns of stderr: those of a terminal, while a file takes lines as they are.
fn width() -> usize {
    if io::stderr().is_terminal() {
        answers::WIDTH
    } else {
        usize::MAX
    }
}

fn paragraph(error: &anyhow::Error, verbose: bool, width: usize) -> String {
    let said = sentence(error);
    let mut out = format!("{ERROR}error:{ERROR:#} {}\n", text::printable_lines(&said));
    let known = error
        .chain()
        .find_map(|error| error.downcast_ref::<skep::Error>());
    let host = error
        .chain()
        .find_map(|error| error.downcast_ref::<skep::boundary::Error>());
    let cause = known.and_then(skep::Error::cause).or_else(|| host?.cause());
    let fix = known
        .and_then(skep::Error::fix)
        .or_else(|| Some(host?.cause()?.fix()));
    let mut line = |label: &str, text: &str| {
        const INDENT: usize = "  cause: ".len();
        let lines = text::wrap(text, width - INDENT);
        for (position, line) in lines.iter().enumerate() {
            let label = if position == 0 { label } else { "" };
            let space = " ".repeat("cause:".len().saturating_sub(label.len()));
            let line = text::printable(line);
            // Writing to a string can't fail.
            let _ = writeln!(out, "  {LABEL}{label}{LABEL:#}{space} {line}");
        }
    };
    if let Some(cause) = cause {
        line("cause:", &cause.to_string());
    }
    if let Some(fix) = fix {
        line("fix:", &fix);
    }
    let log = known.and_then(skep::Error::log).or_else(|| host?.log());
    // A relocation that found nothing says it all; the log only knows a call of no function.
    let is_said = matches!(known, Some(skep::Error::Rejected(r)) if r.missing.is_some());
    if let Some(log) = log.filter(|log| !log.trim().is_empty() && (verbose || !is_said)) {
        out.push_str(&excerpt(log, verbose));
    }
    out
}

/// All that the chain says, without saying anything twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for part in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = part;
        } else if !said.contains(&part) {
            // A place in the source, below the first line, stays at the end.
            let _ = write!(said, ": {part}");
        }
    }
    said
}

/// The log's end, or with `whole` all of it.
fn excerpt(log: &str, whole: bool) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let shown = if whole {
        lines.len()
    } else {
        LOG_LINES.min(lines.len())
    };
    let left_out = lines.len() - shown;
    let mut out = format!("  {LABEL}log:{LABEL:#}\n");
    if left_out > 0 {
        let _ = writeln!(out, "    … {left_out} lines before; -v shows the whole log");
    }
    for line in &lines[left_out..] {
        let _ = writeln!(out, "    {}", text::printable(line));
    }
    out
}

/// Something the user should know that is no failure.
pub(crate) fn note(text: &str) {
    tell(format_args!("{}\n", text::printable_lines(text)));
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};
    use skep::boundary::{Cause, Errno, Error as HostError};

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn cause_and_fix_stand_below_the_sentence() {
        let error = HostError::Attach {
            program: "deny".into(),
            point: "lsm/bprm_check_security".into(),
            errno: Errno::EPERM,
            cause: Some(Box::new(Cause::Other {
                what: "`bpf` is not in the LSM list".into(),
                fix: "boot with lsm=bpf".into(),
            })),
        };
        let expected = "\
error: cannot attach `deny` to lsm/bprm_check_security: operation not permitted (EPERM)
  cause: `bpf` is not in the LSM list
  fix:   boot with lsm=bpf
";
        assert_eq!(
            plain(&paragraph(&error.clone().into(), false, usize::MAX)),
            expected
        );
        assert_eq!(
            plain(&paragraph(
                &skep::Error::from(error.clone()).into(),
                false,
                usize::MAX
            )),
            expected
        );
        let narrow = plain(&paragraph(&error.into(), false, 30));
        let below =
            "\n  cause: `bpf` is not in the\n         LSM list\n  fix:   boot with lsm=bpf\n";
        assert!(narrow.ends_with(below), "{narrow}");
    }

    #[test]
    fn what_was_not_attached_is_told_as_the_error_that_it_was() {
        let busy = || HostError::system("attach", "`deny`", Errno::EBUSY);
        let plain = |error: anyhow::Error| paragraph(&error, false, usize::MAX);
        let wrapped = NothingLeft(skep::Error::from(busy()).into());
        assert_eq!(plain(wrapped.into()), plain(busy().into()));
    }

    #[test]
    fn nothing_is_said_twice() {
        let error = Err::<(), _>(anyhow!("no such file")).context("a.o: no such file");
        assert_eq!(sentence(&error.unwrap_err()), "a.o: no such file");
        let error = Err::<(), _>(anyhow!("no such file")).context("cannot read a.o");
        assert_eq!(
            sentence(&error.unwrap_err()),
            "cannot read a.o: no such file"
        );
    }

    #[test]
    fn a_log_is_shown_by_its_end_or_whole() {
        let log: String = (0..20).map(|n| format!("{n}: (b7) r0 = 0\n\n")).collect();
        let end = plain(&excerpt(&log, false));
        assert!(end.contains("… 12 lines before; -v shows"), "{end}");
        assert!(
            end.contains("    12: (b7)") && !end.contains("    11: (b7)"),
            "{end}"
        );
        let whole = plain(&excerpt(&log, true));
        assert!(
            whole.contains("    0: (b7)") && !whole.contains("-v"),
            "{whole}"
        );
        assert_eq!(plain(&excerpt("one\n", false)), "  log:\n    one\n");
    }

    #[test]
    fn text_from_objects_does_not_steer_the_terminal() {
        let shown = paragraph(&anyhow!("unknown section `\x1b[2Jx`"), false, usize::MAX);
        assert!(plain(&shown).contains("`\\x1b[2Jx`"), "{shown}");
    }
}
