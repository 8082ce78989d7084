//! Help, version, completions and man pages.

use std::process::{Command, Stdio};

use super::{folder, run};

/// Every sub-command there is, as its help names them.
fn commands() -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut waiting = vec![Vec::new()];
    while let Some(command) = waiting.pop() {
        let folder = folder();
        let help = run(
            folder.path(),
            command.iter().map(String::as_str).chain(["-h"]),
        )
        .data();
        let names = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| line.starts_with("  "))
            .filter(|line| !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next());
        waiting.extend(names.map(|name| [command.as_slice(), &[name.to_owned()]].concat()));
        found.push(command);
    }
    found
}

#[test]
fn help_fits_80_columns_and_is_complete() {
    let commands = commands();
    for name in [
        "build",
        "new",
        "gen",
        "link",
        "attach",
        "detach",
        "test",
        "doctor",
        "disasm",
        "btf",
        "completions",
        "man",
    ] {
        assert!(
            commands.iter().any(|command| command.as_slice() == [name]),
            "{commands:?}"
        );
    }
    assert!(
        commands.contains(&vec!["btf".to_owned(), "dump".to_owned()]),
        "{commands:?}"
    );
    let folder = folder();
    for command in commands {
        for flag in ["-h", "--help"] {
            let words = command.iter().map(String::as_str).chain([flag]);
            let help = run(folder.path(), words).data();
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{command:?} {flag}: {line:?}");
            }
        }
    }
}

#[test]
fn help_documents_the_exit_codes() {
    let folder = folder();
    for flag in ["-h", "--help"] {
        let help = run(folder.path(), [flag]).data();
        for line in ["  0  success", "  1  ", "  2  ", "  3  ", "  4  "] {
            assert!(
                help.lines().any(|found| found.starts_with(line)),
                "{line}:\n{help}"
            );
        }
    }
}

#[test]
fn version_is_printed() {
    let folder = folder();
    let version = run(folder.path(), ["--version"]).data();
    assert_eq!(version, format!("skep {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_ends_with_2() {
    let folder = folder();
    let run = |arguments: &[&str]| run(folder.path(), arguments).ended_with(2);
    run(&["dissasm", "x.o"]).saying(&["unrecognized subcommand 'dissasm'", "'disasm'"]);
    run(&["build"]).saying(&["<SRC>..."]);
    run(&["build", "--cpu", "v9", "x.c"]).saying(&["invalid value 'v9' for '--cpu <SET>'"]);
    run(&["btf", "dump", "--format", "xml"]).saying(&["raw, c"]);
    assert_eq!(run(&[]).stdout, "");
}

#[test]
fn completions_are_there_for_each_shell() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(folder.path(), ["completions", shell]).data();
        for word in ["disasm", "doctor", "completions", "vmlinux"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
}

#[test]
fn completions_for_bash_are_a_script() {
    let folder = folder();
    let script = run(folder.path(), ["completions", "bash"]).data();
    let path = folder.path().join("skep.bash");
    std::fs::write(&path, script).unwrap();
    let Ok(checked) = Command::new("bash").arg("-n").arg(&path).output() else {
        return skep_testing::lacks("bash");
    };
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

#[test]
fn man_pages_are_written() {
    let folder = folder();
    let page = run(folder.path(), ["man"]).data();
    assert!(page.contains(".TH skep 1"), "{page}");
    assert!(page.contains("Exit codes"), "{page}");

    run(folder.path(), ["man", "pages"]).data();
    for name in [
        "skep",
        "skep-build",
        "skep-doctor",
        "skep-disasm",
        "skep-btf",
        "skep-btf-dump",
        "skep-gen-vmlinux",
    ] {
        let path = folder.path().join("pages").join(format!("{name}.1"));
        let page = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
        assert!(page.contains(".SH DESCRIPTION"), "{page}");
    }
    assert_eq!(
        std::fs::read_to_string(folder.path().join("pages/skep.1")).unwrap(),
        page
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder();
    if !super::has_kernel_btf() {
        return;
    }
    for format in ["raw", "c"] {
        let mut child = super::skep(folder.path())
            .args(["btf", "dump", "--format", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Megabytes are to come, and nobody reads them.
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{format}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{format}");
    }
}
