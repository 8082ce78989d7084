//! Sums over runs, loads and objects, and what a missing run takes away.

use std::collections::BTreeSet;

use skep::{
    Host,
    vm::{Config, Vm},
};
use skep_test::coverage::{Error, Tally};
use skep_testing::{Outcome, Stop, ensure, expect_err};

use crate::case::{ALL, Case, run};

/// Lines of the first source that ran.
fn covered(case: &Case, runs: &[Vec<u32>]) -> Outcome<BTreeSet<u32>> {
    let lines = case.lines(&case.report(runs)?);
    let own = lines
        .iter()
        .filter(|((source, _), count)| *source == 0 && **count > 0);
    Ok(own.map(|((_, line), _)| *line).collect())
}

/// The lines of the first source with this text.
fn lines_with(case: &Case, texts: &[&str]) -> BTreeSet<u32> {
    let all = (1..).zip(case.text(0).lines());
    let found = all.filter(|(_, line)| texts.contains(&line.trim()));
    found.map(|(line, _)| line).collect()
}

#[test]
fn without_a_run_just_its_lines_are_missed() {
    run("without a run", || {
        for (name, left_out, texts) in [
            ("early", 2, &["*value = 100;"][..]),
            ("early", 1, &[]),
            (
                "choices",
                1,
                &["args->v[2] = 7;", "args->v[3] = args->v[1] + 1;"],
            ),
            ("logic", 1, &["result += mark(4, 2);"]),
            ("linked", 0, &["if (result == 99)", "args->v[3] = result;"]),
        ] {
            let case = Case::new(name)?;
            let mut runs = case.runs.clone();
            runs.remove(left_out);
            let all = covered(&case, &case.runs)?;
            let rest = covered(&case, &runs)?;
            let missed: BTreeSet<u32> = all.difference(&rest).copied().collect();
            let expected = lines_with(&case, texts);
            // Whether these have instructions is the compiler's choice.
            let also = lines_with(&case, &["return 1;", "result = 2;", "break;", "count(3);"]);
            let others: BTreeSet<u32> = missed.difference(&expected).copied().collect();
            let just = missed.is_superset(&expected) && others.is_subset(&also);
            ensure(rest.is_subset(&all) && just, || {
                format!("{name} without run {left_out}: {missed:?}, not {expected:?}")
            })?;
        }
        Ok(())
    });
}

#[test]
fn loads_are_summed() {
    run("loads", || {
        for name in ALL {
            let case = Case::new(name)?;
            let once = case.report(&case.runs)?;
            // Each run on a machine of its own, some in another tally. Globals start anew in each,
            // so only what does not depend on earlier runs is alike.
            let (mut first, mut second) = (Tally::default(), Tally::default());
            for (index, words) in case.runs.iter().enumerate() {
                let tally = if index % 2 == 0 {
                    &mut first
                } else {
                    &mut second
                };
                case.count(tally, std::slice::from_ref(words))?;
            }
            first.merge(second);
            let summed = case.lines(&first.report());
            let together = case.lines(&once);
            ensure(summed.keys().eq(together.keys()), || {
                format!("{name}: lines")
            })?;
            let entry = case
                .lines(&once)
                .into_iter()
                .find(|((source, _), _)| *source == 0);
            let (line, count) = entry.ok_or(Stop::fail("no line"))?;
            ensure(summed.get(&line) == Some(&count), || {
                format!(
                    "{name}: {line:?} ran {count} times, summed {:?}",
                    summed.get(&line)
                )
            })?;
        }
        Ok(())
    });
}

#[test]
fn objects_of_the_same_source_are_summed() {
    run("objects", || {
        // `linked_other.c` alone has no program; in two linked objects it has two copies.
        let case = Case::new("linked")?;
        let mut tally = Tally::default();
        case.count(&mut tally, &case.runs)?;
        let one = case.lines(&tally.report());
        let again = Case::new("linked")?.renamed("again")?;
        again.count(&mut tally, &case.runs)?;
        let two = case.lines(&tally.report());
        ensure(one.len() == two.len(), || "other lines".into())?;
        for (line, count) in &one {
            let sum = two.get(line).copied();
            ensure(sum == Some(2 * count), || {
                format!("{line:?}: {count}, then {sum:?}")
            })?;
        }
        Ok(())
    });
}

#[test]
fn what_was_not_loaded_did_not_run() {
    run("not loaded", || {
        let case = Case::new("calls")?;
        let mut tally = Tally::default();
        tally.know(case.object.spec());
        let report = tally.report();
        let lines = case.lines(&report);
        let all = case.lines(&case.report(&case.runs)?);
        ensure(lines.keys().eq(all.keys()), || "other lines".into())?;
        ensure(lines.values().all(|count| *count == 0), || {
            format!("{lines:?}")
        })?;
        let known = report.file("calls.c").ok_or(Stop::fail("no file"))?;
        let functions: Vec<_> = known.functions.iter().map(|it| it.name.as_str()).collect();
        ensure(
            functions == ["each", "unused", "store", "uncalled", "test"],
            || format!("{functions:?}"),
        )
    });
}

#[test]
fn what_can_not_be_added() {
    run("refusals", || {
        let case = Case::new("early")?;
        let plain = Vm::with(Config::checked()).map_err(|errno| Stop::fail(errno.to_string()))?;
        let loaded = case.object.load(&Host::of_vm(plain))?;
        let mut tally = Tally::default();
        let error = expect_err("an uncounted load", tally.add(case.object.spec(), &loaded))?;
        ensure(
            matches!(&error, Error::NotCounted { program } if program == "test"),
            || error.to_string(),
        )?;
        let other = Case::new("calls")?;
        let mut config = Config::checked();
        config.coverage = true;
        let vm = Vm::with(config).map_err(|errno| Stop::fail(errno.to_string()))?;
        let loaded = case.object.load(&Host::of_vm(vm))?;
        let error = expect_err("another object", tally.add(other.object.spec(), &loaded))?;
        ensure(matches!(&error, Error::OtherObject { .. }), || {
            error.to_string()
        })?;
        ensure(tally.report().files.is_empty(), || {
            "something was added".into()
        })
    });
}
