//! Tasks that begin, change and end, and system calls in all forms that programs can have them.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
};

use skep_testing::{Outcome, ensure, find_tool};

use crate::support::{FOLDER, Life, Machine, attach, failed, kind, run, shell, tasks, text};

#[test]
fn a_call_is_seen_in_every_form() {
    const COUNT: u64 = 20;
    run(|| {
        for (forms, counters) in [
            (false, &["tp_enter", "task_regs", "probe"][..]),
            (
                true,
                &[
                    "tp_enter",
                    "task_regs",
                    "probe",
                    "raw_enter",
                    "raw_exit",
                    "btf_enter",
                    "btf_exit",
                    "all_enter",
                ][..],
            ),
        ] {
            let machine = Machine::new("life")?;
            let _links = attach(&machine, forms)?;
            let traced = machine.trace(tasks("calls", COUNT as u32)?)?;
            let counts = traced.counts();
            ensure(traced.wait().map_err(failed)?.success(), || {
                format!("{counts:?}")
            })?;
            for name in counters {
                let seen = machine.global(name)?;
                ensure(seen == COUNT, || {
                    format!("{name}: {seen} of {COUNT}; {counts:?}")
                })?;
            }
            // And the one by which the program knows what to expect.
            for name in ["tp_exit", "probe_return"] {
                let seen = machine.global(name)?;
                ensure(seen == COUNT + 1, || format!("{name}: {seen}"))?;
            }
            let own = u64::from(std::process::id());
            for name in ["last_ret", "last_probe_ret"] {
                let value = machine.global(name)?;
                ensure(value == own, || format!("{name}: {value}, not {own}"))?;
            }
            if forms {
                let value = machine.global("last_raw_ret")?;
                ensure(value == own, || format!("raw: {value}"))?;
            }
        }
        Ok(())
    });
}

fn of(lives: &[Life], kind: u32) -> Vec<&Life> {
    lives.iter().filter(|life| life.kind == kind).collect()
}

#[test]
fn tasks_begin_execute_and_end() {
    run(|| {
        let machine = Machine::new("life")?;
        let _links = attach(&machine, false)?;
        let mut traced = machine.command(shell("/bin/true; exit 5"))?;
        let first = traced.id();
        traced.resume().map_err(failed)?;
        traced.wait_all();
        let lives = machine.lives()?;
        for form in [0, kind::TYPED] {
            let execs = of(&lives, kind::EXEC + form);
            let seen: Vec<_> = execs
                .iter()
                .map(|life| (life.pid, text(&life.comm), text(&life.text)))
                .collect();
            let child = seen.last().map_or(0, |(pid, ..)| *pid);
            let expected = [
                (first, "sh".to_owned(), "/bin/sh".to_owned()),
                (child, "true".into(), "/bin/true".into()),
            ];
            ensure(seen == expected && child != first, || format!("{seen:?}"))?;
            ensure(execs.iter().all(|life| life.other == life.pid), || {
                format!("{execs:?}")
            })?;
            let forks = of(&lives, kind::FORK + form);
            let seen: Vec<_> = forks
                .iter()
                .map(|life| (life.pid, life.other, life.flag, text(&life.comm)))
                .collect();
            ensure(seen == [(first, child, first, "sh".to_owned())], || {
                format!("{seen:?}")
            })?;
            let exits = of(&lives, kind::EXIT + form);
            let seen: Vec<_> = exits
                .iter()
                .map(|life| (life.pid, life.other, life.flag, text(&life.comm)))
                .collect();
            let expected = [
                (child, child, 1, "true".to_owned()),
                (first, first, 1, "sh".to_owned()),
            ];
            ensure(seen == expected, || format!("{seen:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn a_thread_that_executes_keeps_its_numbers_right() {
    run(|| {
        let machine = Machine::new("life")?;
        let _links = attach(&machine, false)?;
        let traced = machine.trace(tasks("thread_exec", 0)?)?;
        let lives = machine.lives()?;
        let execs = of(&lives, kind::EXEC);
        let second = execs.get(1).copied();
        ensure(
            second.is_some_and(|exec| {
                exec.pid == traced.id() && exec.tid == exec.pid && exec.other != exec.pid
            }),
            || format!("{execs:?}"),
        )?;
        let exits = of(&lives, kind::EXIT);
        let dead: Vec<_> = exits.iter().map(|life| life.flag).collect();
        // The first thread, the one that waited, and at last the process.
        ensure(dead == [0, 0, 1], || format!("{exits:?}"))
    });
}

#[test]
fn names_users_and_groups_are_those_of_the_time() {
    run(|| {
        let machine = Machine::new("life")?;
        let _links = attach(&machine, false)?;
        machine.trace(tasks("renamed", 3)?)?;
        let lives = machine.lives()?;
        let exits = of(&lives, kind::EXIT);
        let names: Vec<_> = exits.iter().map(|life| text(&life.comm)).collect();
        ensure(names == ["renamed-2"], || format!("{names:?}"))?;
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let traced = machine.trace(tasks("another_user", 2)?)?;
        ensure(traced.wait().map_err(failed)?.success(), || {
            "it failed".into()
        })?;
        let lives = machine.lives()?;
        let users: Vec<_> = of(&lives, kind::FORK).iter().map(|life| life.uid).collect();
        ensure(users == [65534, 65534], || format!("{users:?}"))
    });
}

#[test]
fn a_process_that_runs_is_followed_and_let_go() {
    run(|| {
        let machine = Machine::new("life")?;
        let _links = attach(&machine, false)?;
        let (input, open) = std::io::pipe()?;
        let mut command = tasks("busy", 0)?;
        command.stdin(input);
        let mut child = command.spawn()?;
        let traced = machine.vm.follow(child.id()).map_err(failed)?;
        skep_testing::eventually("calls are seen", || Ok(machine.global("tp_exit")? > 20))?;
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        ensure(!status.contains("TracerPid:\t0\n"), || {
            "it is not traced".into()
        })?;
        // Another tracer is told who has it.
        let error = machine.vm.follow(child.id()).map(drop).unwrap_err();
        ensure(error.to_string().contains("is traced by process"), || {
            error.to_string()
        })?;
        drop(traced);
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        ensure(status.contains("TracerPid:\t0\n"), || {
            "it is still traced".into()
        })?;
        drop(open);
        let status = child.wait()?;
        ensure(status.success(), || format!("{status:?}"))
    });
}

#[test]
fn what_is_attached_later_is_seen_too() {
    run(|| {
        let machine = Machine::new("life")?;
        let (input, open) = std::io::pipe()?;
        let mut command = tasks("busy", 0)?;
        command.stdin(input);
        let mut traced = machine.command(command)?;
        traced.resume().map_err(failed)?;
        // Not in the filter.
        let links = attach(&machine, false)?;
        skep_testing::eventually("calls are seen", || Ok(machine.global("tp_exit")? > 20))?;
        drop(links);
        drop(open);
        let status = traced.wait().map_err(failed)?;
        ensure(status.success(), || format!("{status:?}"))
    });
}

#[test]
fn a_process_that_is_not_there_is_not_followed() {
    run(|| {
        let machine = Machine::new("life")?;
        let error = machine.vm.follow(0x3fff_ffff).map(drop).unwrap_err();
        ensure(
            error.to_string() == "there is no process 1073741823",
            || error.to_string(),
        )
    });
}

#[test]
fn an_ordinary_user_can_trace() {
    /// Set in the test's own copy that runs as the user.
    const AGAIN: &str = "SKEP_TRACER_AS_USER";
    run(|| {
        if !rustix::process::geteuid().is_root() || std::env::var_os(AGAIN).is_some() {
            return Ok(());
        }
        find_tool("setpriv")?;
        let folder = Folder::new()?;
        let mut again = std::process::Command::new("setpriv");
        again.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        again.args(["--inh-caps", "-all", "--bounding-set", "-all"]);
        again.arg(std::env::current_exe()?);
        again.args([
            "--exact",
            "life::tasks_begin_execute_and_end",
            "faults::forks",
        ]);
        again.args([
            "faults::a_seccomp_policy_of_its_own",
            "calls::openat_of_a_command_is_seen_with_its_path_and_result",
        ]);
        again
            .env(AGAIN, "1")
            .env(FOLDER, &folder.0)
            .process_group(0);
        let output = again.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let all = text.contains("test result: ok. 4 passed");
        ensure(output.status.success() && all, || {
            format!("{text}{}", String::from_utf8_lossy(&output.stderr))
        })
    });
}

/// A folder in which everybody may write, until it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Outcome<Self> {
        let path = std::env::temp_dir().join(format!("skep-tracer-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
