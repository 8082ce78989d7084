//! What can't be: each is one paragraph that names the thing and the remedy, with an exit code
//! that says whose fault it is, and nothing stays attached.

use std::{fs, process::Command};

use skep_testing::{Outcome, Test, ensure, find_tool};

use crate::support::{Ran, Started, example, prepare, run, skep_run, source};

/// The program is at fault.
const PROGRAM: i32 = 3;
/// The machine is at fault.
const MACHINE: i32 = 4;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("refusals::no_clang", no_clang),
        Test::new("refusals::a_compile_error_is_clangs_own", compile_error),
        Test::new("refusals::an_object_without_btf", no_btf),
        Test::new("refusals::an_unknown_section", no_section),
        Test::new("refusals::a_field_the_kernel_lacks", no_field),
        Test::new("refusals::an_event_that_is_none", no_event),
        Test::new("refusals::a_library_that_is_none", no_library),
        Test::new("refusals::a_device_that_is_needed", no_device),
        Test::new("refusals::the_verifiers_refusal_shows_the_line", no_test),
        Test::new("refusals::a_missing_capability", no_capability),
        Test::new("refusals::a_truncated_object", truncated),
        Test::new("refusals::a_file_that_is_none", no_file),
    ]
}

/// `refused.bpf.c` with what this macro breaks.
fn refused(what: &str) -> Outcome<Ran> {
    run(&source("refused.bpf.c"), &["-D", what])
}

/// It printed no data, and one error in few lines.
fn is_one_paragraph(ran: &Ran) -> Outcome {
    let errors = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("error:") || line.starts_with("error["))
        .count();
    ensure(errors == 1 && ran.stderr.lines().count() < 20, || {
        ran.to_string()
    })?;
    ensure(
        ran.stdout.is_empty() && !ran.stderr.contains("panicked"),
        || ran.to_string(),
    )
}

fn no_clang() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut command = skep_run(&example("opensnoop"));
    let ran = Started::new(command.env("PATH", folder.path()))?.finish()?;
    let ran = ran
        .ended_with(MACHINE)?
        .saying(&["no clang", "SKEP_CLANG"])?;
    is_one_paragraph(&ran)
}

fn compile_error() -> Outcome {
    let ran = refused("NO_COMPILE")?.ended_with(PROGRAM)?;
    let ran = ran.saying(&[
        "refused.bpf.c:",
        ": error: use of undeclared identifier 'undeclared'",
    ])?;
    ensure(!ran.stderr.contains("error: error"), || ran.to_string())
}

fn no_btf() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (clang, object) = (find_tool("clang")?, folder.path().join("plain.o"));
    let text = "struct { int (*type)[1]; } hits __attribute__((section(\".maps\"), used));
        __attribute__((section(\"xdp\"), used)) int pass(void *ctx) { return *(volatile long *)&hits != 0; }
        char terms[] __attribute__((section(\"license\"), used)) = \"GPL\";";
    let source = folder.path().join("plain.c");
    fs::write(&source, text)?;
    let made = Command::new(clang)
        .args(["-target", "bpf", "-O2", "-c", "-o"])
        .args([&object, &source])
        .status()?;
    ensure(made.success(), || "clang".into())?;
    let ran = run(&object, &[] as &[&str])?.ended_with(PROGRAM)?;
    let ran = ran.saying(&["plain.o", "BTF", "-g"])?;
    is_one_paragraph(&ran)
}

fn no_section() -> Outcome {
    let ran = refused("NO_SECTION")?.ended_with(PROGRAM)?;
    let ran = ran.saying(&["trayspoint/syscalls/sys_enter_openat"])?;
    is_one_paragraph(&ran)
}

fn no_field() -> Outcome {
    let ran = refused("NO_FIELD")?.ended_with(PROGRAM)?;
    let ran = ran.saying(&[
        "refused",
        "task_struct",
        "favourite_colour",
        "refused.bpf.c:",
    ])?;
    is_one_paragraph(&ran)
}

fn no_event() -> Outcome {
    let ran = refused("NO_EVENT")?.ended_with(PROGRAM)?;
    let ran = ran.saying(&[
        "sys_enter_opneat",
        "did you mean",
        "syscalls/sys_enter_openat",
    ])?;
    is_one_paragraph(&ran)
}

fn no_library() -> Outcome {
    let ran = refused("NO_LIBRARY")?.ended_with(MACHINE)?;
    let ran = ran.saying(&["libnosuch", "give its path"])?;
    is_one_paragraph(&ran)
}

fn no_device() -> Outcome {
    let ran = refused("NEEDS_DEVICE")?.ended_with(2)?;
    let ran = ran.saying(&["refused", "--device lo"])?;
    // What matters most then, last.
    ensure(
        ran.stderr.ends_with("\nnothing was left attached\n"),
        || ran.to_string(),
    )?;
    is_one_paragraph(&ran)
}

fn no_test() -> Outcome {
    let ran = refused("NO_TEST")?.ended_with(PROGRAM)?;
    let ran = ran.saying(&[
        "`refused`",
        "map_value_or_null",
        "*value += 1;",
        "refused.bpf.c:",
        "-v",
    ])?;
    is_one_paragraph(&ran)?;
    let whole = run(&source("refused.bpf.c"), &["-v", "-D", "NO_TEST"])?.ended_with(PROGRAM)?;
    ensure(
        whole.stderr.lines().count() > ran.stderr.lines().count(),
        || whole.to_string(),
    )
}

fn no_capability() -> Outcome {
    let mut command = Command::new(find_tool("setpriv")?);
    prepare(&mut command);
    command
        .args([
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--",
            env!("CARGO_BIN_EXE_skep"),
            "run",
            "--host",
            "kernel",
        ])
        .arg(example("opensnoop"));
    let ran = Started::new(&mut command)?.finish()?.ended_with(MACHINE)?;
    let ran = ran.saying(&["cause:", "CAP_BPF", "fix:", "root"])?;
    is_one_paragraph(&ran)
}

fn truncated() -> Outcome {
    let folder = tempfile::tempdir()?;
    let cut = folder.path().join("cut.o");
    let bytes = skep_testing::compile(&example("opensnoop"), env!("CARGO_TARGET_TMPDIR"))?;
    for length in [10, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&cut, &bytes[..length])?;
        let ran = run(&cut, &[] as &[&str])?
            .ended_with(PROGRAM)?
            .saying(&["cut.o"])?;
        is_one_paragraph(&ran)?;
    }
    Ok(())
}

fn no_file() -> Outcome {
    for name in ["/no/such/object.o", "/no/such/source.bpf.c"] {
        let ran = run(name.as_ref(), &[] as &[&str])?
            .ended_with(1)?
            .saying(&[name, "No such file"])?;
        is_one_paragraph(&ran)?;
    }
    Ok(())
}
