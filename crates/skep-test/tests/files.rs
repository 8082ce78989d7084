//! Files of tests: the examples pass, and what fails is told of as the goldens say.
//! `UPDATE_GOLDEN=1` blesses them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use skep_test::{Outcome, Report, RunOptions, Suite, TestHost, find};

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether sources can be compiled here.
fn has_compiler() -> bool {
    let source = root().join("examples/xdp_count.bpf.c");
    match skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR")) {
        Ok(_) => true,
        Err(skep_testing::Stop::Skip(lacking)) => {
            skep_testing::lacks(lacking);
            false
        }
        Err(skep_testing::Stop::Fail(text)) => panic!("{text}"),
    }
}

fn suite(path: &Path) -> Suite {
    Suite::open(path).unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        panic!("{error}: {}", cause.unwrap_or_default())
    })
}

/// Examples in a language pass the tests that are beside them.
fn examples_pass(ending: &str) {
    let files = find(&[root().join("examples")]).expect("a folder");
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let source = file.with_file_name(name.replace(".test.toml", ending));
        let bytes = match skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR")) {
            Ok(bytes) => bytes,
            Err(skep_testing::Stop::Skip(lacking)) => return skep_testing::lacks(lacking),
            Err(skep_testing::Stop::Fail(text)) => panic!("{text}"),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let object = folder.path().join(name.replace(".test.toml", ".bpf.o"));
        fs::write(&object, bytes).expect("an object");
        let suite = Suite::open_with(&file, &object).expect("a suite");
        let report = suite.run(&RunOptions::default());
        assert!(report.passed(), "{}\n{report}", source.display());
        assert!(!report.tests.is_empty(), "{}", file.display());
        assert_eq!(report.name(), object);
    }
}

#[test]
fn examples_in_c_pass() {
    examples_pass(".bpf.c");
}

#[test]
fn examples_in_rust_pass() {
    examples_pass(".bpf.rs");
}

/// A report without what differs from run to run: times.
fn steady(report: &Report) -> String {
    let mut text = String::new();
    for line in report.to_string().lines() {
        let line = match line.rsplit_once(" ms  ") {
            Some((before, host)) => {
                let name = before.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
                format!("{}  {host}", name.trim_end())
            }
            None => line.to_owned(),
        };
        text.push_str(&line.replace(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/failing/"), ""));
        text.push('\n');
    }
    text
}

/// Compares a text with a golden, or blesses it.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a golden");
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        wanted,
        "{}: bless it with UPDATE_GOLDEN=1",
        path.display()
    );
}

#[test]
fn failures_are_told_by_field() {
    if !has_compiler() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/failing");
    let files = find(&[folder]).expect("a folder");
    assert!(!files.is_empty());
    for file in files {
        let report = suite(&file).run(&RunOptions::default());
        let name = file.file_name().expect("a name").to_string_lossy();
        let name = name.replace(".test.toml", ".txt");
        let tests = report.tests.iter();
        let passed: Vec<_> = tests
            .filter(|test| test.outcome == Outcome::Passed)
            .map(|test| &test.name)
            .collect();
        assert!(passed.is_empty(), "{name}: {passed:?} should fail");
        golden(&name, &steady(&report));
    }
}

/// Every way in which a file can be wrong, with where and what would be right.
#[test]
fn mistakes_are_told_with_their_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let text = fs::read_to_string(folder.join("mistakes.txt")).expect("the mistakes");
    let mut told = String::new();
    for case in text.split("\n----\n") {
        let error = Suite::check("fw.test.toml", case).expect_err(case);
        told.push_str(case.trim_end());
        told.push_str(&format!("\n  => {error}\n\n"));
    }
    golden("mistakes.txt", &told);
}

#[test]
fn a_thousand_tests_have_each_their_own_maps() {
    if !has_compiler() {
        return;
    }
    let mut text = String::from("source = \"xdp_count.bpf.c\"\n");
    for index in 0..1000 {
        text.push_str(&format!(
            "[[test]]\nname = \"{index}\"\npacket = {{ udp = {{ dport = {} }} }}\nexpect.return = \"XDP_PASS\"\n\
             expect.maps.received = [{{ key = \"udp\", value = {{ packets = 1, bytes = 42 }} }}]\n",
            index + 1
        ));
    }
    let path = root().join("examples/generated.test.toml");
    let suite = Suite::parse(&path, &text).expect("tests");
    let report = suite.run(&RunOptions::default());
    assert!(report.passed(), "{report}");
    assert_eq!(report.tests.len(), 1000);
}

#[test]
fn the_kernel_and_the_machine_agree() {
    if !has_compiler() {
        return;
    }
    if skep::Host::kernel().is_err() || !is_root() {
        println!("SKIP the_kernel_and_the_machine_agree: privileges to load programs");
        return;
    }
    let mut ran = 0;
    for file in find(&[
        root().join("examples"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/passing"),
    ])
    .expect("folders")
    {
        let mut options = RunOptions::default();
        options.host = TestHost::Kernel;
        let report = suite(&file).run(&options);
        assert!(report.passed(), "{}\n{report}", file.display());
        let count = report
            .tests
            .iter()
            .filter(|test| test.outcome == Outcome::Passed)
            .count();
        ran += count;
    }
    assert!(ran > 5, "only {ran} tests ran on the kernel");
}

fn is_root() -> bool {
    fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .any(|line| line.starts_with("Uid:\t0\t"))
}

#[test]
fn every_kind_of_test_passes() {
    if !has_compiler() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/passing");
    let files = find(&[folder]).expect("a folder");
    assert!(!files.is_empty());
    for file in files {
        let report = suite(&file).run(&RunOptions::default());
        assert!(report.passed(), "{}\n{report}", file.display());
    }
}
