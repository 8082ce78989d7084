//! `skep doctor`.

use std::{os::unix::process::CommandExt as _, process::Command};

use serde_json::Value;

use super::{Ran, folder, run, skep};

fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
}

/// The answer of a check, by its name.
fn answer<'r>(report: &'r Value, name: &str) -> &'r Value {
    let sections = report["sections"].as_array().expect("sections");
    let mut checks = sections
        .iter()
        .flat_map(|section| section["checks"].as_array().unwrap());
    let check = checks.find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("no check {name}: {report:#}"))
}

#[test]
fn the_exit_code_is_the_verdict() {
    let folder = folder();
    let ran = run(folder.path(), ["doctor", "--format", "json"]);
    let report = report(&ran);
    let runs = report["runs"].as_bool().expect("a verdict");
    assert_eq!(ran.code, if runs { 0 } else { 4 }, "{report:#}");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(report["kernel"], release.trim());
    for name in [
        "CAP_BPF",
        "BTF",
        "JIT",
        "lockdown",
        "clang",
        "CONFIG_BPF_SYSCALL",
    ] {
        let said = answer(&report, name)["answer"].as_str().unwrap();
        assert!(["yes", "no", "unknown"].contains(&said), "{name}: {said}");
    }
    for name in [
        "hook tracepoint",
        "hook xdp",
        "hook kprobe",
        "program xdp",
        "map ringbuf",
    ] {
        answer(&report, name);
    }
}

#[test]
fn what_is_missing_has_a_reason() {
    let folder = folder();
    let report = report(&run(folder.path(), ["doctor", "-f", "json"]));
    for section in report["sections"].as_array().unwrap() {
        for check in section["checks"].as_array().unwrap() {
            let silent = check["detail"].as_str().unwrap().is_empty();
            assert!(check["answer"] == "yes" || !silent, "{check}");
        }
    }
}

#[test]
fn the_report_lines_up_in_80_columns() {
    let folder = folder();
    let ran = run(folder.path(), ["doctor"]);
    assert!(
        ran.stdout
            .starts_with(concat!("skep ", env!("CARGO_PKG_VERSION"), " on "))
    );
    for title in [
        "process",
        "kernel",
        "compilers",
        "virtual machine",
        "hooks",
        "program types",
        "map types",
    ] {
        assert!(
            ran.stdout.lines().any(|line| line == title),
            "{title}:\n{}",
            ran.stdout
        );
    }
    for line in ran.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
        let indent = line.len() - line.trim_start().len();
        let is_answer = ["  yes      ", "  no       ", "  unknown  "]
            .iter()
            .any(|label| line.starts_with(label));
        assert!(is_answer || matches!(indent, 0 | 11 | 16), "{line:?}");
    }
    assert!(ran.stdout.lines().last().unwrap().ends_with('.'));
}

#[test]
fn without_clang_objects_run() {
    let folder = folder();
    let mut command = skep(folder.path());
    command.env("PATH", "").args(["doctor", "--format", "json"]);
    let ran = Ran::of(&mut command);
    let report = report(&ran);
    let runs = report["runs"].as_bool().expect("a verdict");
    let hosts = [&report["hosts"]["kernel"], &report["hosts"]["vm"]];
    assert_eq!(runs, hosts.iter().any(|host| **host == true), "{report:#}");
    assert_eq!(ran.code, if runs { 0 } else { 4 });
    assert_eq!(answer(&report, "clang")["answer"], "no");
    if !runs {
        return;
    }
    let summary = report["summary"].as_str().unwrap();
    assert!(summary.contains("no clang found on PATH"), "{summary}");
}

#[test]
fn what_may_not_be_asked_is_unknown_and_not_missing() {
    let folder = folder();
    let mut command = skep(folder.path());
    // Nobody, who has no capabilities; only root can become them.
    command
        .uid(65534)
        .gid(65534)
        .args(["doctor", "--format", "json"])
        .current_dir("/");
    let ran = match command.output() {
        Ok(output) if output.stdout.is_empty() => {
            return skep_testing::lacks("a binary that user 65534 can run");
        }
        Ok(output) => Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        },
        Err(error) => {
            return skep_testing::lacks(format_args!("the right to become user 65534: {error}"));
        }
    };
    let report = report(&ran);
    // The virtual machine works where commands may be traced.
    let traces = answer(&report, "trace a command")["answer"] == "yes";
    assert_eq!(ran.code, if traces { 0 } else { 4 }, "{report:#}");
    assert_eq!(report["hosts"]["kernel"], false);
    assert_eq!(report["hosts"]["vm"], traces);
    assert_eq!(answer(&report, "CAP_BPF")["answer"], "no");
    assert_eq!(answer(&report, "program xdp")["answer"], "unknown");
    let summary = report["summary"].as_str().unwrap();
    assert!(summary.contains("this process lacks"), "{summary}");
    grants(answer(&report, "CAP_PERFMON")["fix"].as_str().unwrap());
}

/// The remedy is a command that gives all that is missing at once: it is carried out, on a copy of
/// a program.
fn grants(fix: &str) {
    let (Ok(_), Ok(getcap), Ok(program)) = (
        skep_testing::find_tool("setcap"),
        skep_testing::find_tool("getcap"),
        skep_testing::find_tool("true"),
    ) else {
        return skep_testing::lacks("setcap and getcap");
    };
    let folder = folder();
    let copy = folder.path().join("program");
    std::fs::copy(program, &copy).unwrap();
    let command = fix.split('`').nth(1).expect("a command");
    let command = command.replace("<program>", &copy.display().to_string());
    let done = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(done.status.success(), "{command}: {done:?}");
    let has = Command::new(getcap).arg(&copy).output().unwrap();
    let has = String::from_utf8_lossy(&has.stdout).into_owned();
    for name in ["cap_bpf", "cap_perfmon", "cap_net_admin"] {
        assert!(has.contains(name), "{fix}: {has}");
    }
}
