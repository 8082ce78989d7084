//! Tracefiles as lcov and genhtml read them.

use std::{fs, path::Path, process::Command};

use skep_test::coverage::Tally;
use skep_testing::{Outcome, ensure, find_tool};

use crate::case::{ALL, Case, run};

/// A tracefile of all cases, and what its report says in all: lines, functions, branches.
fn all_cases() -> Outcome<(String, [(usize, usize); 3])> {
    let mut tally = Tally::default();
    for name in ALL {
        let case = Case::new(name)?;
        case.count(&mut tally, &case.runs)?;
    }
    let report = tally.report();
    let mut sums = [(0, 0); 3];
    for file in &report.files {
        let of_file = [
            file.lines_run(),
            file.functions_called(),
            file.branches_taken(),
        ];
        for (sum, (some, all)) in sums.iter_mut().zip(of_file) {
            *sum = (sum.0 + some, sum.1 + all);
        }
    }
    Ok((report.lcov(), sums))
}

#[test]
fn totals_agree_with_records() {
    run("totals", || {
        let (text, sums) = all_cases()?;
        let mut counted = [(0, 0); 3];
        let mut open = false;
        for row in text.lines() {
            let (kind, rest) = row.split_once(':').unwrap_or((row, ""));
            ensure(open || kind == "TN", || format!("{row} outside of a file"))?;
            let last = rest.rsplit(',').next().unwrap_or_default();
            let some = |text: &str| text.parse::<u64>().is_ok_and(|count| count > 0);
            match kind {
                "TN" => open = true,
                "end_of_record" => open = false,
                "DA" => add(&mut counted[0], some(last)),
                "FNDA" => add(
                    &mut counted[1],
                    some(rest.split(',').next().unwrap_or_default()),
                ),
                "BRDA" => add(&mut counted[2], some(last)),
                "SF" => {
                    ensure(Path::new(rest).is_file(), || format!("no file {rest}"))?;
                }
                "FN" | "FNF" | "FNH" | "BRF" | "BRH" | "LF" | "LH" => {}
                other => return Err(skep_testing::Stop::fail(format!("unknown: {other}"))),
            }
        }
        ensure(counted == sums, || format!("{counted:?}, not {sums:?}"))
    });
}

fn add(sum: &mut (usize, usize), some: bool) {
    *sum = (sum.0 + usize::from(some), sum.1 + 1);
}

#[test]
fn lcov_reads_them() {
    run("lcov", || {
        let lcov = find_tool("lcov")?;
        let genhtml = find_tool("genhtml")?;
        let (text, [lines, functions, branches]) = all_cases()?;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lcov");
        fs::create_dir_all(&folder)?;
        let trace = folder.join("all.lcov");
        fs::write(&trace, text)?;
        let said = Command::new(lcov)
            .args(["--summary", "--rc", "lcov_branch_coverage=1"])
            .arg(&trace)
            .output()?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
        for (what, (some, all)) in [
            ("line", lines),
            ("function", functions),
            ("branch", branches),
        ] {
            let expected = format!("({some} of {all} {what}");
            ensure(said.contains(&expected), || {
                format!("no `{expected}` in:\n{said}")
            })?;
        }
        let html = Command::new(genhtml)
            .args(["--branch-coverage", "--quiet", "-o"])
            .arg(folder.join("html"))
            .arg(&trace)
            .output()?;
        ensure(html.status.success(), || {
            String::from_utf8_lossy(&html.stderr).into_owned()
        })
    });
}
