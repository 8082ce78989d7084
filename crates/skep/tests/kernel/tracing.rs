//! Tracing hooks and the links that hold them: attaching, swapping, pinning, letting go.

use std::{io::Read as _, sync::Arc, thread, time::Duration};

use skep::{
    AttachOptions, Link,
    boundary::{PerfScope, Pinned},
};
use skep_testing::{Bpffs, Outcome, Stop, Test, ensure, eventually, expect_err, needs_kernel};

use crate::support::{Running, boundary, getppid, me, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("tracing::every_hook_of_an_object_fires", all),
        Test::new("tracing::a_dropped_link_detaches", dropped),
        Test::new("tracing::a_detached_link_says_so", detached),
        Test::new("tracing::a_link_outlives_what_was_loaded", outlives),
        Test::new("tracing::a_link_that_cannot_swap_stays", update),
        Test::new("tracing::a_pinned_link_stays", pinned),
        Test::new("tracing::several_parts_are_no_pin", parts),
        Test::new("tracing::timers_tick_in_one_process", timer),
        Test::new("tracing::half_an_attachment_is_taken_back", halfway),
        Test::new("tracing::iterators_are_read_anew_each_time", iterator).of_hook("iter"),
    ]
}

/// `links.bpf.c`, counting this process.
fn links() -> Outcome<Running> {
    let mut object = object("links")?;
    object.global("target_pid")?.set(me())?;
    object.program("on_tracepoint_too")?.autoload(true);
    Running::of(object)
}

fn attach(running: &Running, name: &str) -> Outcome<Link> {
    Ok(running.loaded.program(name)?.attach()?)
}

fn all() -> Outcome {
    needs_kernel(5, 5)?;
    let running = links()?;
    let attached = running.loaded.attach_all()?;
    ensure(attached.len() == 5, || format!("{attached:?}"))?;
    let places: Vec<&str> = attached.iter().map(Link::place).collect();
    let known = [
        "raw_tp/sys_enter",
        "tp_btf/sys_enter",
        "tracepoint/syscalls/sys_enter_getppid",
    ];
    ensure(known.iter().all(|place| places.contains(place)), || {
        format!("{places:?}")
    })?;
    (0..4).for_each(|_| getppid());
    ensure(running.number("traced")? == 4, || "tracepoint".into())?;
    ensure(running.number("traced_by_other")? == 4, || {
        "tracepoint too".into()
    })?;
    ensure(running.number("raw")? >= 4, || "raw tracepoint".into())?;
    if cfg!(target_arch = "x86_64") {
        ensure(running.number("typed")? == 4, || "typed tracepoint".into())?;
    }
    eventually("a tick", || {
        (0..100_000_u64).for_each(|number| {
            std::hint::black_box(number);
        });
        Ok(running.number("ticks")? > 0)
    })
}

fn dropped() -> Outcome {
    let running = links()?;
    for name in ["on_tracepoint", "on_raw"] {
        let counter = if name == "on_raw" { "raw" } else { "traced" };
        let link = attach(&running, name)?;
        getppid();
        let fired = running.number(counter)? > 0;
        ensure(fired, || format!("{name} does not fire"))?;
        drop(link);
        let after = running.number(counter)?;
        getppid();
        ensure(running.number(counter)? == after, || {
            format!("{name} still fires")
        })?;
    }
    Ok(())
}

fn detached() -> Outcome {
    let running = links()?;
    let link = attach(&running, "on_tracepoint")?;
    getppid();
    link.detach()?;
    getppid();
    let traced = running.number("traced")?;
    ensure(traced == 1, || format!("{traced}"))
}

fn outlives() -> Outcome {
    let running = links()?;
    let map = Arc::clone(&running.loaded.maps()[0]);
    let variable = running
        .object
        .spec()
        .variables()
        .iter()
        .find(|v| v.name == "traced");
    let variable = variable.cloned().ok_or_else(|| Stop::fail("no variable"))?;
    let map = match running.loaded.maps().get(variable.map.as_usize()) {
        Some(globals) => Arc::clone(globals),
        None => map,
    };
    let link = attach(&running, "on_tracepoint")?;
    drop(running);
    getppid();
    let bytes = map.lookup(&0_u32.to_ne_bytes())?.unwrap_or_default();
    let count = bytes.get(variable.offset as usize).copied();
    ensure(count == Some(1), || format!("{count:?}"))?;
    drop(link);
    Ok(())
}

/// The swaps that the kernel can do are in `network`.
fn update() -> Outcome {
    needs_kernel(5, 15)?; // links of perf events
    let running = links()?;
    let mut link = attach(&running, "on_tracepoint")?;
    let other = running.loaded.program("on_tracepoint_too")?;
    let error = expect_err("a perf event's swap", link.update(other))?;
    let fix = error.fix().unwrap_or_default();
    ensure(fix.contains("the other program anew"), || {
        format!("{error}; {fix}")
    })?;
    ensure(link.name() == "on_tracepoint", || format!("{link:?}"))?;
    getppid();
    let (old, new) = (
        running.number("traced")?,
        running.number("traced_by_other")?,
    );
    ensure((old, new) == (1, 0), || format!("{old}, {new}"))
}

fn pinned() -> Outcome {
    needs_kernel(5, 15)?;
    let bpffs = Bpffs::mount()?;
    let running = links()?;
    for (name, counter) in [("on_raw", "raw"), ("on_tracepoint", "traced")] {
        let path = bpffs.path().join(name);
        let link = attach(&running, name)?;
        let id = link.info()?.first().map_or(0, |info| info.id);
        link.pin(&path)?;
        drop(link);
        let before = running.number(counter)?;
        getppid();
        ensure(running.number(counter)? > before, || {
            format!("{name} is gone")
        })?;
        let Pinned::Link(again) =
            boundary().obj_get((&path).into(), skep_abi::ObjectFlags::empty())?
        else {
            return Err(Stop::fail("no link is pinned"));
        };
        ensure(boundary().link_info(&again)?.id == id, || {
            "another link".into()
        })?;
        drop(again);
        boundary().obj_unpin(&path)?;
        eventually("the link's end", || {
            Ok(boundary().link_by_id(id)?.is_none())
        })?;
    }
    Ok(())
}

fn parts() -> Outcome {
    let running = links()?;
    let link = attach(&running, "on_tick")?;
    if link.attachments().len() < 2 {
        return Err(Stop::lacks("a second CPU"));
    }
    let bpffs = Bpffs::mount()?;
    let error = expect_err("a pin of many", link.pin(&bpffs.path().join("ticks")))?;
    ensure(error.to_string().contains("several parts"), || {
        error.to_string()
    })
}

fn timer() -> Outcome {
    let running = links()?;
    let options = AttachOptions {
        perf_scope: Some(PerfScope::Process(me())),
        frequency: Some(999),
        ..AttachOptions::default()
    };
    let link = running.loaded.program("on_tick")?.attach_with(&options)?;
    let place = link.place().to_owned();
    ensure(
        place.contains("999Hz") && place.contains(&me().to_string()),
        || place.clone(),
    )?;
    eventually("five ticks", || {
        (0..100_000_u64).for_each(|number| {
            std::hint::black_box(number);
        });
        Ok(running.number("ticks")? >= 5)
    })?;
    drop(link);
    let after = running.number("ticks")?;
    thread::sleep(Duration::from_millis(10));
    ensure(running.number("ticks")? == after, || {
        "it still ticks".into()
    })
}

fn halfway() -> Outcome {
    let running = Running::new("missing_event")?;
    let error = expect_err("an event that is none", running.loaded.attach_all())?;
    let text = error.to_string();
    ensure(
        text.contains("b_misspelt") && text.contains("sys_enter_opneat"),
        || text.clone(),
    )?;
    let fix = error.fix().unwrap_or_default();
    ensure(fix.contains("syscalls/sys_enter_openat"), || fix.clone())?;
    getppid();
    ensure(running.number("fired")? == 0, || {
        "the first one stayed".into()
    })
}

fn iterator() -> Outcome {
    needs_kernel(5, 8)?;
    let running = Running::new("iterator")?;
    let link = attach(&running, "list")?;
    let read = || -> Outcome<String> {
        let mut text = String::new();
        link.iterate()?.read_to_string(&mut text)?;
        Ok(text)
    };
    let mine = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with(&format!("{} ", me())))
            .count()
    };
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    let text = read()?;
    ensure(mine(&text) == threads, || text.clone())?;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let more = thread::spawn(move || {
        let _ = stopped.recv();
    });
    let text = read()?;
    let grown = mine(&text) == threads + 1;
    drop(stop);
    more.join().map_err(|_| Stop::fail("it fell"))?;
    ensure(grown, || text.clone())
}
