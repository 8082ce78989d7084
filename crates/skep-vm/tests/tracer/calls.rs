//! System calls of a command.

use std::process::Command;

use skep_testing::ensure;

use crate::support::{Machine, run, shell, text};

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
