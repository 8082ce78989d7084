//! `skep explain`: each page's programs are judged as it says.

use std::{fs, path::Path};

use serde_json::Value;
use skep::{Host, Object, verifier::Rule};

use super::{Ran, folder, has_clang, has_kernel_btf, run, skep};

/// A program of a page.
struct Program {
    rule: Rule,
    refused: bool,
    unprivileged: bool,
    text: String,
}

/// The programs of a page, each as it must be to be compiled.
fn programs(rule: Rule) -> Vec<Program> {
    let mut found = Vec::new();
    for (heading, refused) in [("## Refused", true), ("## Accepted", false)] {
        let Some((_, behind)) = rule.page().split_once(heading) else {
            continue;
        };
        let (_, behind) = behind.split_once("```c").expect("a program");
        let (attributes, behind) = behind.split_once('\n').expect("its first line");
        let (code, _) = behind.split_once("```").expect("its end");
        let mut text = format!("#include \"vmlinux.h\"\n#include <bpf/bpf_helpers.h>\n\n{code}");
        if !code.contains("SEC(\"license\")") {
            text.push_str("\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n");
        }
        found.push(Program {
            rule,
            refused,
            unprivileged: attributes.trim() == "unprivileged",
            text,
        });
    }
    found
}

/// A clang that knows all tags, if there is one.
fn clang() -> Option<&'static str> {
    let path = std::env::var_os("PATH")?;
    ["clang-20", "clang-19", "clang-18", "clang-17"]
        .into_iter()
        .find(|name| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

#[test]
fn each_page_has_a_program_that_breaks_its_rule_alone_and_a_mended_one() {
    if !has_clang() || !has_kernel_btf() {
        return;
    }
    let Some(clang) = clang() else {
        return skep_testing::lacks("a clang that is newer than 16");
    };
    let folder = folder();
    let all: Vec<Program> = Rule::ALL.iter().flat_map(|&rule| programs(rule)).collect();
    assert!(all.len() > 90, "{} programs", all.len());
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        let chunks = all.chunks(all.len().div_ceil(4));
        let judges: Vec<_> = chunks
            .map(|programs| {
                let folder = folder.path();
                scope.spawn(move || -> Vec<String> {
                    let judged = programs.iter().map(|one| judge(folder, one, clang));
                    judged.filter_map(Result::err).collect()
                })
            })
            .collect();
        for judge in judges {
            wrong.extend(judge.join().expect("a judge"));
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a program is judged as its page says: by Skep's verifier and, of what is accepted or
/// refused with all privileges, by this kernel's.
fn judge(folder: &Path, program: &Program, clang: &str) -> Result<(), String> {
    let Program { rule, refused, .. } = *program;
    let kind = if refused { "refused" } else { "accepted" };
    let source = folder.join(format!("{rule}.{kind}.bpf.c"));
    fs::write(&source, &program.text).expect("a file");
    let mut command = skep(folder);
    command.args(["check", "--format", "json", "--clang", clang]);
    if program.unprivileged {
        command.arg("--unprivileged");
    }
    let ran = Ran::of(command.arg(&source));
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let [line] = lines.as_slice() else {
        return Err(format!("{rule}, {kind}: {}{}", ran.stdout, ran.stderr));
    };
    let right = match refused {
        true => line["diagnosis"]["rule"] == rule.name(),
        false => line["verdict"] == "accepted",
    };
    if !right {
        return Err(format!("{rule}, {kind}: {line}"));
    }
    if program.unprivileged || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let object = folder.join(format!("{rule}.{kind}.o"));
    let mut build = skep(folder);
    build.args(["build", "--clang", clang, "-o"]);
    Ran::of(build.arg(&object).arg(&source)).ended_with(0);
    let loaded = Object::open(&object).and_then(|object| object.load(&Host::kernel()?).map(drop));
    match (loaded, refused) {
        (Ok(()), false) | (Err(skep::Error::Rejected(_)), true) => Ok(()),
        (Ok(()), true) => Err(format!("{rule}, {kind}: this kernel accepts it")),
        (Err(error), _) => Err(format!("{rule}, {kind}: this kernel says {error}")),
    }
}

#[test]
fn a_page_is_printed_and_all_are_listed() {
    let folder = folder();
    let page = run(folder.path(), ["explain", "map-value-or-null"]).data();
    assert!(page.starts_with("map-value-or-null\n\n"), "{page}");
    assert!(
        page.contains("    if (!count)\n") || page.contains("    \tif (!count)\n"),
        "{page}"
    );
    assert!(!page.contains("```"), "{page}");
    let list = run(folder.path(), ["explain", "--list"]).data();
    assert_eq!(list.lines().count(), Rule::ALL.len());
    for (line, rule) in list.lines().zip(Rule::ALL) {
        assert!(line.starts_with(&format!("{rule} ")), "{line}");
    }
    run(folder.path(), ["explain", "map-value-or-nul"])
        .ended_with(2)
        .saying(&["map-value-or-null"]);
    run(folder.path(), ["explain"]).ended_with(2);
}
