//! Clang's own coverage of the same sources as the truth.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use skep_testing::{Outcome, Stop, ensure, find_tool};

use crate::case::{self, ALL, Case, run};

/// How often each line ran, by source and line.
type Lines = BTreeMap<(usize, u32), u64>;

#[test]
fn lines_ran_if_clang_says_so() {
    run("clang", || {
        let mut wrong = String::new();
        for name in ALL {
            match compare(name) {
                Err(Stop::Fail(why)) => wrong += &format!("{name}: {why}\n"),
                other => other?,
            }
        }
        ensure(wrong.is_empty(), || wrong)
    });
}

fn compare(name: &str) -> Outcome {
    let case = Case::new(name)?;
    let native = Native::build(name, &case)?;
    let (mut wrong, mut agreed) = (Vec::new(), 0);
    // Each run alone, so that no run hides what another one leaves out.
    for words in &case.runs {
        let ours = case.lines(&case.report(std::slice::from_ref(words))?);
        let theirs = native.run(words)?;
        for ((source, line), count) in &ours {
            let Some(expected) = theirs.get(&(*source, *line)) else {
                continue;
            };
            if case.is_brace(*source, *line) || case.moved.contains(&(*source, *line)) {
                continue;
            }
            if (*count > 0) == (*expected > 0) {
                agreed += 1;
            } else {
                wrong.push(format!(
                    "run {words:?}: source {source}, line {line}: {count}, by clang {expected}"
                ));
            }
        }
    }
    println!("{name}: {agreed} agreed");
    // What optimisers move differs from one to the next: of others than the one whose moves the
    // cases name, a line in fifty may.
    let spared = match case::clang()? {
        case::CLANG => 0,
        _ => agreed / 50,
    };
    ensure(wrong.len() <= spared, || wrong.join("\n"))?;
    ensure(agreed > 0, || "nothing was compared".into())
}

/// A case as a program of this machine that writes a profile.
struct Native {
    folder: PathBuf,
    program: PathBuf,
    sources: Vec<PathBuf>,
}

impl Native {
    fn build(name: &str, case: &Case) -> Outcome<Self> {
        let clang = find_tool("clang")?;
        find_tool("llvm-profdata")?;
        find_tool("llvm-cov")?;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("native-{name}"));
        fs::create_dir_all(&folder)?;
        let program = folder.join(name);
        let built = Command::new(clang)
            .args([
                "-O0",
                "-w",
                "-fprofile-instr-generate",
                "-fcoverage-mapping",
                "-o",
            ])
            .arg(&program)
            .args(&case.sources)
            .arg(crate::case::folder().join("native.c"))
            .output()?;
        let said = String::from_utf8_lossy(&built.stderr).into_owned();
        if said.contains("libclang_rt.profile") {
            return Err(Stop::lacks("clang's profile runtime (libclang-rt-dev)"));
        }
        ensure(built.status.success(), || said)?;
        Ok(Self {
            folder,
            program,
            sources: case.sources.clone(),
        })
    }

    fn run(&self, words: &[u32]) -> Outcome<Lines> {
        let (raw, merged) = (self.folder.join("raw"), self.folder.join("merged"));
        let words = words.iter().map(u32::to_string);
        let ran = Command::new(&self.program)
            .args(words)
            .env("LLVM_PROFILE_FILE", &raw)
            .status()?;
        ensure(ran.success(), || format!("{ran}"))?;
        let ran = Command::new(find_tool("llvm-profdata")?)
            .arg("merge")
            .args([&raw])
            .arg("-o")
            .arg(&merged)
            .status()?;
        ensure(ran.success(), || format!("llvm-profdata: {ran}"))?;
        let exported = Command::new(find_tool("llvm-cov")?)
            .args(["export", "-format=lcov", "-instr-profile"])
            .arg(&merged)
            .arg(&self.program)
            .output()?;
        ensure(exported.status.success(), || {
            String::from_utf8_lossy(&exported.stderr).into_owned()
        })?;
        let text = String::from_utf8_lossy(&exported.stdout).into_owned();
        let (mut lines, mut source) = (Lines::new(), None);
        for row in text.lines() {
            if let Some(path) = row.strip_prefix("SF:") {
                source = self
                    .sources
                    .iter()
                    .position(|known| known == Path::new(path));
            } else if let (Some(source), Some(row)) = (source, row.strip_prefix("DA:")) {
                let (line, count) = row.split_once(',').unwrap_or_default();
                lines.insert((source, line.parse()?), count.parse()?);
            }
        }
        Ok(lines)
    }
}
