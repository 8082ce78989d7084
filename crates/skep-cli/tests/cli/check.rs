//! `skep check`: what it says of broken programs, kept as goldens that were read by people
//! (`UPDATE_GOLDEN=1` writes them anew), and how it ends.

use std::{ffi::OsStr, fs, path::Path};

use serde_json::Value;

use super::{Ran, folder, has_clang, has_kernel_btf, program, skep};

/// Programs of the kind that people ask about, and how they are checked.
const BROKEN: &[(&str, &[&str])] = &[
    ("null_check", &[]),
    ("unbounded_loop", &[]),
    ("index_without_bound", &[]),
    ("packet_moved", &[]),
    ("large_stack", &[]),
    ("leak", &[]),
    ("helper_not_allowed", &[]),
    ("uninitialised_stack", &["--unprivileged"]),
    ("context_out_of_range", &[]),
    ("size_without_bound", &[]),
    ("stack_pointer_plus_unknown", &[]),
    ("too_complex", &[]),
    ("called_with_null", &[]),
];

fn check<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
    // The folder of this crate: paths in the goldens are from there.
    let mut command = skep(Path::new(env!("CARGO_MANIFEST_DIR")));
    Ran::of(command.arg("check").args(arguments))
}

fn can_check() -> bool {
    has_clang() && has_kernel_btf()
}

#[test]
fn broken_programs_are_explained_as_the_goldens_say() {
    if !can_check() {
        return;
    }
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = String::new();
    for (name, flags) in BROKEN {
        let source = format!("tests/check/{name}.bpf.c");
        let ran = check(flags.iter().copied().chain([source.as_str()])).ended_with(1);
        // The last line names the kernel.
        let said = ran.stdout.trim_end();
        let (said, last) = said.rsplit_once('\n').expect("a last line");
        assert!(last.starts_with("0 accepted, 1 refused ("), "{last}");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/check/{name}.txt"));
        if update {
            fs::write(&golden, said).expect("a golden");
            continue;
        }
        let expect = fs::read_to_string(&golden).unwrap_or_default();
        if said != expect {
            wrong.push_str(&format!("{name}:\n{said}\ninstead of\n{expect}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_is_accepted_is_a_line_each_and_the_worst_file_counts() {
    if !can_check() {
        return;
    }
    let good = program("names.bpf.c");
    let ran = check([good.as_os_str()]).ended_with(0);
    assert!(
        ran.stdout.contains("on_getpid: accepted ("),
        "{}",
        ran.stdout
    );
    let ran = check([good.as_os_str(), OsStr::new("tests/check/leak.bpf.c")]).ended_with(1);
    let (accepted, refused) = (
        ran.stdout.find("accepted ("),
        ran.stdout.find("error[reference-leak]"),
    );
    assert!(accepted < refused && accepted.is_some(), "{}", ran.stdout);
    let folder = folder();
    let broken = folder.path().join("broken.bpf.c");
    fs::write(&broken, "int x = ;\n").expect("a file");
    check([broken.as_os_str(), OsStr::new("tests/check/leak.bpf.c")]).ended_with(3);
    check(["tests/check/leak.bpf.c", "-p", "no_such"])
        .ended_with(2)
        .saying(&["no_such"]);
    check::<&str>([]).ended_with(2);
}

#[test]
fn json_has_the_same() {
    if !can_check() {
        return;
    }
    let ran = check(["--format", "json", "tests/check/null_check.bpf.c"]).ended_with(1);
    let value: Value = serde_json::from_str(&ran.stdout).expect(&ran.stdout);
    assert_eq!(value["verdict"], "refused");
    let diagnosis = &value["diagnosis"];
    assert_eq!(diagnosis["rule"], "map-value-or-null");
    assert_eq!(diagnosis["word"], "count");
    assert_eq!(diagnosis["register"], "r0");
    assert_eq!(diagnosis["place"]["source"]["line"], 18);
    assert_eq!(diagnosis["labels"][0]["source"]["line"], 16);
    let path = diagnosis["path"].as_array().expect("a path");
    assert_eq!(path.last(), Some(&diagnosis["place"]["instruction"]));
    assert!(value["states"].is_null(), "{value}");
}

#[test]
fn states_are_in_the_syntax_of_the_kernels_log() {
    if !can_check() {
        return;
    }
    let ran = check(["-v", "tests/check/null_check.bpf.c"]).ended_with(1);
    for part in [
        "0: R1=ctx() R10=fp0\n",
        "; __u64 *count = bpf_map_lookup_elem(&hits, &key); @ null_check.bpf.c:16\n",
        "(85) call bpf_map_lookup_elem#1",
        "R0=map_value_or_null(id=1,map=hits,ks=4,vs=8)",
    ] {
        assert!(ran.stdout.contains(part), "no {part:?} in:\n{}", ran.stdout);
    }
}
