//! System calls of a command.

use std::{collections::BTreeMap, fs, process::Command};

use skep_testing::{Outcome, ensure, find_tool};

use crate::support::{Machine, Open, failed, run, shell, tasks, text};

#[test]
fn openat_of_a_command_is_seen_with_its_path_and_result() {
    run(|| {
        let machine = Machine::new("opens")?;
        let _links = machine.attach()?;
        let traced = machine.trace(shell("cat /etc/hostname; cat /no/such/file; exit 3"))?;
        let status = traced.wait().unwrap();
        ensure(status.code() == Some(3), || format!("{status:?}"))?;
        let opens = machine.opens()?;
        let find = |path: &str| opens.iter().find(|open| text(&open.path) == path);
        let there = find("/etc/hostname");
        ensure(
            there.is_some_and(|open| open.ret >= 3 && text(&open.comm) == "cat"),
            || format!("{there:?} of {} {:?}", opens.len(), traced.counts()),
        )?;
        let missing = find("/no/such/file");
        ensure(missing.is_some_and(|open| open.ret == -2), || {
            format!("{missing:?}")
        })?;
        let counts = traced.counts();
        ensure(counts.faults == 0 && counts.lost_tasks == 0, || {
            format!("{counts:?}")
        })
    });
}

#[test]
fn a_command_that_is_not_there_is_named() {
    run(|| {
        let machine = Machine::new("opens")?;
        let _links = machine.attach()?;
        let mut traced = machine.command(Command::new("no-such-command"))?;
        let error = traced.resume().unwrap_err().to_string();
        ensure(error.contains("cannot run `no-such-command`"), || error)
    });
}

/// What was opened, how often, and whether that worked.
type Opened = BTreeMap<(String, bool), u32>;

fn opened(all: impl IntoIterator<Item = (String, bool)>) -> Opened {
    let mut counted = Opened::new();
    for one in all {
        *counted.entry(one).or_default() += 1;
    }
    counted
}

/// The lines of strace's `openat(AT_FDCWD, "PATH", FLAGS) = RESULT`.
fn opens_of_strace(text: &str) -> impl Iterator<Item = (String, bool)> {
    text.lines().filter_map(|line| {
        let (_, call) = line.split_once("openat(")?;
        let path = call.split('"').nth(1)?;
        let (_, result) = call.rsplit_once(" = ")?;
        Some((path.to_owned(), !result.starts_with('-')))
    })
}

#[test]
fn strace_sees_the_same() {
    const COMMAND: &str =
        "ls -R /etc | sort | head -3; cat /no/file; (exec grep -rn root /etc/passwd)";
    run(|| {
        let strace = find_tool("strace")?;
        let file = std::env::temp_dir().join(format!("skep-strace-{}", std::process::id()));
        let mut command = Command::new(strace);
        command.args(["-f", "-qq", "-s", "300", "-e", "trace=openat", "-o"]);
        command.arg(&file).args(["/bin/sh", "-c", COMMAND]);
        let output = command.output()?;
        let said = fs::read_to_string(&file);
        let _ = fs::remove_file(&file);
        ensure(output.status.success(), || format!("{output:?}"))?;
        let said = said?;
        let theirs = opened(opens_of_strace(&joined(&said)));

        let machine = Machine::new("opens")?;
        let _links = machine.attach()?;
        let mut command = shell(COMMAND);
        command.stderr(std::process::Stdio::null());
        let traced = machine.trace(command)?;
        let opens = machine.opens()?;
        let ours = opened(opens.iter().map(|open| (text(&open.path), open.ret >= 0)));
        ensure(machine.global("lost")? == 0, || "events were lost".into())?;
        ensure(ours == theirs && ours.len() > 10, || {
            let beside = |one: &Opened, than: &Opened| {
                let differs =
                    |(key, count): &(&(String, bool), &u32)| than.get(*key) != Some(*count);
                let all = one.iter().filter(differs);
                all.map(|(key, count)| format!("{key:?} {count}"))
                    .collect::<Vec<_>>()
            };
            let (here, there) = (beside(&ours, &theirs), beside(&theirs, &ours));
            format!("ours: {here:?}\nstrace's: {there:?}\n{:?}", traced.counts())
        })
    });
}

/// Joins the two parts of calls that were interrupted in the listing, by their task.
fn joined(said: &str) -> String {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut lines = Vec::new();
    for line in said.lines() {
        let Some((task, rest)) = line.split_once(' ') else {
            continue;
        };
        if let Some(first) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(task, first);
        } else if let Some((_, end)) = rest.split_once("resumed>") {
            let first = begun.remove(task).unwrap_or_default();
            lines.push(format!("{task} {first}{end}"));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}

fn pages() -> Outcome<(Vec<Open>, u32)> {
    const COUNT: u32 = 3;
    let machine = Machine::new("opens")?;
    let _links = machine.attach()?;
    let traced = machine.trace(tasks("pages", COUNT)?)?;
    let status = traced.wait().map_err(failed)?;
    ensure(status.success(), || format!("{status:?}"))?;
    Ok((machine.opens()?, COUNT))
}

#[test]
fn strings_are_read_over_a_page_and_up_to_its_end() {
    run(|| {
        let (opens, count) = pages()?;
        let of = |path: &str| opens.iter().filter(|open| text(&open.path) == path).count();
        ensure(of("/nowhere") == count as usize, || format!("{opens:?}"))?;
        ensure(of("/last") == 1, || format!("{opens:?}"))?;
        // The one without an end: EFAULT to the kernel, and nothing to the program.
        let faulted: Vec<_> = opens.iter().filter(|open| open.ret == -14).collect();
        ensure(faulted.len() == 1 && faulted[0].path == [0; 256], || {
            format!("{faulted:?}")
        })
    });
}
