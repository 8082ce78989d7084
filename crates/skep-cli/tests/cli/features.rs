//! `skep features`.

use std::{collections::BTreeSet, os::unix::process::CommandExt as _, process::Command};

use serde_json::Value;

use super::{Ran, folder, run, skep};

fn json(arguments: &[&str]) -> Value {
    let folder = folder();
    let all = ["features", "--format", "json"].iter().chain(arguments);
    let ran = run(folder.path(), all);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr))
}

fn rows<'r>(report: &'r Value, kind: &str) -> &'r Vec<Value> {
    report[kind].as_array().unwrap_or_else(|| panic!("{kind}"))
}

fn names(value: &Value) -> BTreeSet<&str> {
    let all = value.as_array().expect("a list").iter();
    all.map(|name| name.as_str().expect("a name")).collect()
}

/// Whether this process may load programs; says that the test is skipped if not.
fn may_load() -> bool {
    let report = json(&["programs", "socket_filter"]);
    let there = rows(&report, "programs")[0]["answer"] == "yes";
    if !there {
        skep_testing::lacks("the right to load programs");
    }
    there
}

#[test]
fn the_report_has_every_kind_in_80_columns() {
    let folder = folder();
    let text = run(folder.path(), ["features"]).data();
    for title in [
        "program types: ",
        "map types: ",
        "attach types: ",
        "link types: ",
        "hooks: ",
        "loader features: ",
        "kernel options: ",
        "helpers: ",
    ] {
        let line = text.lines().find(|line| line.starts_with(title));
        let counts = line.unwrap_or_else(|| panic!("no {title:?} in:\n{text}"));
        let (there, all) = counts[title.len()..].split_once(" of ").expect("a count");
        assert!(there.parse::<u32>().unwrap() <= all.parse().unwrap());
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
}

#[test]
fn every_feature_has_a_row_and_every_no_a_reason() {
    let report = json(&[]);
    for (kind, count) in [
        ("programs", 32),
        ("maps", 35),
        ("attach-types", 62),
        ("links", 15),
    ] {
        assert_eq!(rows(&report, kind).len(), count, "{kind}");
    }
    for kind in [
        "programs",
        "maps",
        "attach-types",
        "links",
        "hooks",
        "loader",
    ] {
        for row in rows(&report, kind) {
            let silent = row["detail"].as_str().unwrap().is_empty();
            assert!(row["answer"] == "yes" || !silent, "{row}");
        }
    }
    assert_eq!(rows(&report, "helpers").len(), 211);
}

#[test]
fn the_exit_code_answers_for_names() {
    if !may_load() {
        return;
    }
    let folder = folder();
    let exit = |arguments: &[&str]| {
        let all = ["features"].iter().chain(arguments);
        run(folder.path(), all)
    };
    exit(&["hash", "bpf_map_lookup_elem"]).ended_with(0);
    exit(&["BPF_MAP_TYPE_ARRAY"]).ended_with(0);
    exit(&["maps", "array"]).ended_with(0);
    // No kernel of Debian's, nor this one, has infrared receivers.
    let report = json(&["programs", "lirc_mode2"]);
    if rows(&report, "programs")[0]["answer"] == "no" {
        exit(&["bpf_rc_repeat"]).ended_with(1);
        exit(&["hash", "bpf_rc_repeat"]).ended_with(1);
    }
    exit(&["ringbfu"])
        .ended_with(2)
        .saying(&["there is no feature `ringbfu`", "did you mean `ringbuf`"]);
    exit(&["nosuchthing"])
        .ended_with(2)
        .saying(&["`skep features` lists all"]);
    exit(&["--program", "xpd"])
        .ended_with(2)
        .saying(&["there is no program type `xpd`", "`xdp`"]);
    // A name of another kind.
    exit(&["maps", "bpf_loop"]).ended_with(2);
}

#[test]
fn one_helper_says_from_where() {
    if !may_load() {
        return;
    }
    let folder = folder();
    let text = run(folder.path(), ["features", "xdp_adjust_head"]).data();
    assert!(
        text.contains("helper bpf_xdp_adjust_head (44), since Linux 4.10"),
        "{text}"
    );
    assert!(text.contains("  yes      xdp\n"), "{text}");
    let report = json(&["helpers", "--program", "xdp"]);
    let of = |name: &str| {
        let mut rows = rows(&report, "helpers").iter();
        names(&rows.find(|row| row["name"] == name).expect("a row")["programs"])
    };
    assert_eq!(of("bpf_xdp_adjust_head"), BTreeSet::from(["xdp"]));
    assert!(of("bpf_skb_store_bytes").is_empty());
}

#[test]
fn what_may_not_be_asked_is_unknown() {
    let folder = folder();
    let mut command = skep(folder.path());
    // Nobody, who has no capabilities; only root can become them.
    command
        .uid(65534)
        .gid(65534)
        .args(["features", "arena", "--format", "json"])
        .current_dir("/");
    let ran = match command.output() {
        Ok(output) if !output.stdout.is_empty() => Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        },
        _ => return skep_testing::lacks("a binary that user 65534 can run, as root"),
    };
    let ran = ran.ended_with(4);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let row = &rows(&report, "maps")[0];
    assert_eq!(row["answer"], "unknown", "{row}");
    assert!(row["detail"].as_str().unwrap().contains("lacks CAP_BPF"));
}

/// What bpftool says otherwise, and is wrong about: it gives programs of these types no target,
/// and so takes them for missing.
const NO_TARGET: &[&str] = &["tracing", "struct_ops", "ext", "lsm"];

#[test]
fn bpftool_says_the_same() {
    let Ok(output) = Command::new("bpftool")
        .args(["-j", "feature", "probe", "full"])
        .output()
    else {
        return skep_testing::lacks("bpftool");
    };
    let Ok(theirs) = serde_json::from_slice::<Value>(&output.stdout) else {
        return skep_testing::lacks("the right to probe with bpftool (root)");
    };
    if !may_load() {
        return;
    }
    let ours = json(&[]);
    let mut compared = 0;
    for (kind, section, ending) in [
        ("programs", "program_types", "_prog_type"),
        ("maps", "map_types", "_map_type"),
    ] {
        for row in rows(&ours, kind) {
            let name = row["name"].as_str().unwrap();
            // bpftool knows what there was when it was made.
            let theirs = theirs[section][format!("have_{name}{ending}")].as_bool();
            let Some(theirs) = theirs.filter(|_| !NO_TARGET.contains(&name)) else {
                continue;
            };
            assert_eq!(row["answer"] == "yes", theirs, "{kind} {row}");
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
    // What it does not know of helpers: those of programs that it gave no target; sleepable
    // programs; and, on kernels since 6.8, the words of a refusal, so that it takes every helper
    // for there. What it calls missing must be.
    for (name, helpers) in theirs["helpers"].as_object().expect("helpers") {
        let program = name.trim_end_matches("_available_helpers");
        if NO_TARGET.contains(&program) {
            continue;
        }
        let theirs = names(helpers);
        for row in rows(&ours, "helpers") {
            let helper = row["name"].as_str().unwrap();
            let known = !helper.starts_with("bpf_cgrp_storage_");
            if known && names(&row["programs"]).contains(program) {
                assert!(theirs.contains(helper), "{helper} in {program}");
                compared += 1;
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}

#[test]
fn root_of_a_user_namespace_is_told_that_it_does_not_count() {
    let inside = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user"]).args(words);
        command
    };
    if !inside(&["true"]).status().is_ok_and(|ran| ran.success()) {
        return skep_testing::lacks("user namespaces");
    }
    let program = env!("CARGO_BIN_EXE_skep");
    let words = [program, "features", "--format", "json", "hash", "xdp"];
    let ran = Ran::of(&mut inside(&words));
    let report: Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
    for kind in ["programs", "maps"] {
        let row = &rows(&report, kind)[0];
        assert_eq!(row["answer"], "unknown", "{row}");
        let why = row["detail"].as_str().unwrap();
        assert!(why.contains("in a user namespace only"), "{why}");
    }
}

#[test]
fn the_vm_has_features_of_its_own() {
    let folder = folder();
    let ran = run(folder.path(), ["features", "--host", "vm", "bpf_loop"]).ended_with(0);
    assert!(ran.stdout.contains(" on vm "), "{}", ran.stdout);
    let ran = run(folder.path(), ["features", "--host", "vm", "fentry"]).ended_with(1);
    assert!(ran.stdout.contains("the vm has no"), "{}", ran.stdout);
}
