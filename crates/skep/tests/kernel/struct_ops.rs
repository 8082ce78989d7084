//! Structs of functions: a congestion control of our own moves a socket's window, by a link,
//! after an update, and by a map alone; and is gone afterwards.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::Arc,
};

use rustix::net::sockopt::set_tcp_congestion;
use skep::{
    Error, StructOps,
    boundary::{Cause, TestRun},
};
use skep_testing::{
    Bpffs, Outcome, Test, ensure, eventually, expect_err, find_tool, in_netns, needs_kernel,
    needs_option,
};

use crate::support::{Running, host, me, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("struct_ops::a_link_registers_until_dropped", linked).of_hook("struct_ops"),
        Test::new("struct_ops::a_link_takes_another_struct", updated),
        Test::new("struct_ops::a_pinned_link_lives_on", pinned),
        Test::new("struct_ops::a_map_registers_without_a_link", registered),
        Test::new("struct_ops::optional_ones_are_left_out", optional),
        Test::new("struct_ops::what_does_not_fit_is_named", misfits),
        Test::new("struct_ops::attach_all_attaches_them", attach_all),
        Test::new("struct_ops::a_scheduler_runs_this_process", scheduler)
            .of_hook("struct_ops (sched_ext)"),
        Test::new(
            "struct_ops::a_scheduler_is_prepared_by_one_that_sleeps",
            prepared,
        )
        .of_hook("struct_ops.s (sched_ext)"),
        Test::new(
            "struct_ops::the_kernels_own_tests_run_one_that_sleeps",
            run_by_itself,
        )
        .of_hook("struct_ops.s (test run)"),
        Test::new("struct_ops::a_qdisc_takes_a_devices_packets", qdisc)
            .of_hook("struct_ops (Qdisc)"),
        Test::new("struct_ops::programs_are_associated", associated)
            .of_hook("struct_ops (association)"),
    ]
}

/// The congestion controls that the kernel has now.
fn available() -> Outcome<Vec<String>> {
    let path = "/proc/sys/net/ipv4/tcp_available_congestion_control";
    let text = fs::read_to_string(path)?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

pub(crate) fn has(name: &str) -> Outcome<bool> {
    Ok(available()?.iter().any(|known| known == name))
}

/// Sends over the loopback device with a congestion control.
pub(crate) fn send_with(name: &str) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    set_tcp_congestion(&sender, name)?;
    let (mut receiver, _) = listener.accept()?;
    let mut received = [0; 4096];
    for _ in 0..32 {
        sender.write_all(&[7; 4096])?;
        receiver.read_exact(&mut received)?;
    }
    ensure(received == [7; 4096], || "other bytes arrived".into())
}

fn loaded() -> Outcome<Running> {
    needs_kernel(6, 4)?;
    Running::new("struct_ops")
}

fn linked() -> Outcome {
    let running = loaded()?;
    let linked: &Arc<StructOps> = running.loaded.struct_ops("linked")?;
    let programs: Vec<&str> = linked.programs().iter().map(|p| p.name()).collect();
    ensure(programs == ["undo", "grow", "shrink", "begin"], || {
        format!("{programs:?}")
    })?;
    ensure(!has("skep_linked")?, || "registered by a load".into())?;
    let link = linked.attach()?;
    ensure(link.name() == "linked" && link.program().is_none(), || {
        format!("{link:?}")
    })?;
    ensure(has("skep_linked")?, || format!("{:?}", available()))?;
    in_netns(|_| send_with("skep_linked"))?;
    let (begun, acknowledged) = (running.number("begun")?, running.number("acknowledged")?);
    ensure(begun >= 1 && acknowledged >= 1, || {
        format!("{begun} begun, {acknowledged} acknowledged")
    })?;
    link.detach()?;
    eventually("its end", || Ok(!has("skep_linked")?))
}

fn updated() -> Outcome {
    let running = loaded()?;
    let mut link = running.loaded.struct_ops("linked")?.attach()?;
    let taken = expect_err(
        "a name that is taken",
        running.loaded.struct_ops("successor")?.attach(),
    );
    ensure(taken?.to_string().contains("successor"), || {
        "unnamed".into()
    })?;
    link.update_struct_ops(running.loaded.struct_ops("successor")?)?;
    in_netns(|_| send_with("skep_linked"))?;
    let counts = (
        running.number("acknowledged")?,
        running.number("acknowledged_twice")?,
    );
    ensure(counts.0 == 0 && counts.1 >= 2, || format!("{counts:?}"))?;
    let program = running.loaded.program("grow")?;
    let error = expect_err("a program", link.update(program))?.to_string();
    ensure(error.contains("update_struct_ops"), || error.clone())
}

fn pinned() -> Outcome {
    let bpffs = Bpffs::mount()?;
    let path = bpffs.path().join("control");
    {
        let running = loaded()?;
        let link = running.loaded.struct_ops("linked")?.attach()?;
        link.pin(&path)?;
    }
    ensure(has("skep_linked")?, || "the pin does not hold it".into())?;
    host().boundary().obj_unpin(&path)?;
    eventually("its end", || Ok(!has("skep_linked")?))
}

fn registered() -> Outcome {
    let running = loaded()?;
    let mut link = running.loaded.struct_ops("registered")?.attach()?;
    in_netns(|_| send_with("skep_registered"))?;
    ensure(running.number("acknowledged")? >= 1, || "no calls".into())?;
    let other = running.loaded.struct_ops("successor")?;
    let error = expect_err("an update", link.update_struct_ops(other))?.to_string();
    ensure(error.contains(".struct_ops.link"), || error.clone())?;
    drop(link);
    eventually("its end", || Ok(!has("skep_registered")?))
}

fn optional() -> Outcome {
    needs_kernel(6, 4)?;
    let running = Running::new("struct_ops")?;
    let error = expect_err("an optional one", running.loaded.struct_ops("on_request"))?;
    ensure(error.to_string().contains("`linked`"), || error.to_string())?;
    ensure(running.loaded.program("sent").is_err(), || {
        "its program was loaded".into()
    })?;

    let mut object = object("struct_ops")?;
    for name in ["linked", "successor", "registered"] {
        object.map(name)?.autocreate(false);
    }
    object.map("on_request")?.autocreate(true);
    let running = Running::of(object)?;
    let names: Vec<&str> = running.loaded.programs().map(|p| p.name()).collect();
    ensure(names == ["grow", "sent", "shrink", "undo"], || {
        format!("{names:?}")
    })?;
    let _link = running.loaded.struct_ops("on_request")?.attach()?;
    ensure(has("skep_request")?, || format!("{:?}", available()))
}

fn misfits() -> Outcome {
    needs_kernel(6, 4)?;
    // The kernel asks for these functions.
    let mut object = object("struct_ops")?;
    object.program("shrink")?.autoload(false);
    let error = expect_err("without a function", object.load(host()))?;
    ensure(matches!(error, Error::Host(_)), || format!("{error:?}"))?;
    ensure(error.to_string().contains("linked"), || error.to_string())?;

    let running = Running::new("struct_ops")?;
    let error = expect_err("a program", running.loaded.program("grow")?.attach())?;
    ensure(error.to_string().contains("Loaded::struct_ops"), || {
        error.to_string()
    })
}

fn attach_all() -> Outcome {
    needs_kernel(6, 4)?;
    let mut object = object("struct_ops")?;
    object.map("successor")?.autocreate(false);
    let running = Running::of(object)?;
    let links = running.loaded.attach_all()?;
    let names: Vec<&str> = links.iter().map(|link| link.name()).collect();
    ensure(names == ["linked", "registered"], || format!("{names:?}"))?;
    ensure(links[0].struct_ops().is_some(), || format!("{links:?}"))?;
    ensure(has("skep_linked")? && has("skep_registered")?, || {
        format!("{:?}", available())
    })
}

fn scheduler() -> Outcome {
    needs_kernel(6, 12)?;
    needs_option("CONFIG_SCHED_CLASS_EXT")?;
    let state = || -> Outcome<String> {
        let text = fs::read_to_string("/sys/kernel/sched_ext/state")?;
        Ok(text.trim().to_owned())
    };
    let mut object = object("scheduler")?;
    object.global("target_pid")?.set(me())?;
    let running = Running::of(object)?;
    ensure(state()? == "disabled", || "scheduled by a load".into())?;
    let link = running.loaded.struct_ops("counting")?.attach()?;
    ensure(state()? == "enabled", || state().unwrap_or_default())?;
    eventually("a turn", || {
        std::thread::sleep(std::time::Duration::from_millis(1));
        Ok(running.number("ran")? > 0)
    })?;
    ensure(running.number("enabled")? > 0, || {
        "no task was taken".into()
    })?;
    link.detach()?;
    eventually("its end", || Ok(state()? == "disabled"))?;
    let ran = running.number("ran")?;
    std::thread::sleep(std::time::Duration::from_millis(1));
    ensure(running.number("ran")? == ran, || {
        "it still schedules".into()
    })
}

/// `sleepable_ops.bpf.c` with one struct and its function.
fn sleepable(name: &str) -> Outcome<Running> {
    let mut object = object("sleepable_ops")?;
    object.map(name)?.autocreate(true);
    Running::of(object)
}

fn prepared() -> Outcome {
    needs_kernel(6, 12)?;
    needs_option("CONFIG_SCHED_CLASS_EXT")?;
    let running = sleepable("scheduler")?;
    ensure(running.number("prepared")? == 0, || "by a load".into())?;
    let link = running.loaded.struct_ops("scheduler")?.attach()?;
    eventually("a prepared scheduler", || {
        Ok(running.number("prepared")? == 1)
    })?;
    link.detach()?;
    eventually("its end", || {
        let state = fs::read_to_string("/sys/kernel/sched_ext/state")?;
        Ok(state.trim() == "disabled")
    })
}

/// The kernel has a struct for tests of programs. It takes functions that sleep in one place, and
/// runs them by request alone.
fn run_by_itself() -> Outcome {
    needs_kernel(6, 3)?;
    let running = sleepable("tested")?;
    let program = running.loaded.program("add_two")?;
    let state = std::sync::atomic::AtomicI32::new(40);
    let argument = state.as_ptr().expose_provenance() as u64;
    let run = program.test_run(&mut TestRun {
        context_in: &argument.to_ne_bytes(),
        ..TestRun::default()
    })?;
    let left = state.load(std::sync::atomic::Ordering::Relaxed);
    ensure((run.return_value, left) == (40, 42), || {
        format!("{run:?}, {left}")
    })?;
    let error = expect_err("a place", running.loaded.struct_ops("tested")?.attach())?;
    ensure(error.to_string().contains("tested"), || error.to_string())
}

fn qdisc() -> Outcome {
    needs_kernel(6, 16)?;
    needs_option("CONFIG_NET_SCH_BPF")?;
    let tc = find_tool("tc")?;
    let running = Running::new("qdisc")?;
    let link = running.loaded.struct_ops("dropping")?.attach()?;
    in_netns(|_| {
        let change = |what: &str, more: &[&str]| -> Outcome {
            let mut command = Command::new(&tc);
            command
                .args(["qdisc", what, "dev", "lo", "root"])
                .args(more);
            let said = command.output()?;
            ensure(said.status.success(), || format!("{command:?}: {said:?}"))
        };
        change("add", &["skep_dropping"])?;
        UdpSocket::bind("127.0.0.1:0")?.send_to(b"a packet", "127.0.0.1:4242")?;
        let (begun, came) = (running.number("begun")?, running.number("came")?);
        ensure(begun == 1 && came >= 1, || {
            format!("begun {begun}, came {came}")
        })?;
        change("del", &[])
    })?;
    eventually("its end", || Ok(running.number("ended")? == 1))?;
    link.detach()?;
    let gone = running.number("came")?;
    in_netns(|_| {
        UdpSocket::bind("127.0.0.1:0")?.send_to(b"a packet", "127.0.0.1:4242")?;
        ensure(running.number("came")? == gone, || "still there".into())
    })
}

fn associated() -> Outcome {
    needs_kernel(7, 0)?;
    let running = Running::new("struct_ops")?;
    let plain = Running::new("replaced")?;
    let filter = plain.loaded.program("filter")?;
    let linked = running.loaded.struct_ops("linked")?;
    linked.associate(filter)?;
    let other = running.loaded.struct_ops("successor")?;
    let error = expect_err("another struct", other.associate(filter))?;
    ensure(matches!(error.cause(), Some(Cause::InUse(_))), || {
        format!("{error}: {:?}", error.cause())
    })?;
    let own = expect_err("a program of a struct", {
        linked.associate(running.loaded.program("grow")?)
    })?;
    ensure(own.to_string().contains("grow"), || own.to_string())
}
