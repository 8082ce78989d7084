//! From an object to loaded programs: globals, sizes, which programs, slots, pins.

use skep::{Error, LoadOptions, Map, Object, Update, boundary::TestRun};
use skep_testing::{Bpffs, Outcome, Stop, Test, ensure, expect_err, needs_kernel};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::support::{Running, boundary, getppid, host, me, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("loading::globals_reach_the_programs", globals),
        Test::new("loading::globals_refuse_what_does_not_fit", bad_globals),
        Test::new("loading::unknown_names_name_the_known", unknown_names),
        Test::new("loading::chosen_programs_alone_are_loaded", only_programs),
        Test::new("loading::map_sizes_are_overridden", max_entries),
        Test::new("loading::slots_hold_maps_and_programs", slots),
        Test::new(
            "loading::a_left_out_program_leaves_its_slot_empty",
            empty_slot,
        ),
        Test::new("loading::maps_pinned_by_name_are_shared", pinned_by_name),
        Test::new("loading::a_pin_of_another_shape_is_refused", other_shape),
        Test::new("loading::programs_live_on_in_pins", pinned_program),
        Test::new("loading::logs_are_kept_on_request", logs),
    ]
}

/// `basics.bpf.c`, counting this process.
pub(crate) fn basics() -> Outcome<Object> {
    let mut object = object("basics")?;
    object.global("target_pid")?.set(me())?;
    object.global("enabled")?.set(true)?;
    Ok(object)
}

fn globals() -> Outcome {
    let mut object = basics()?;
    object.global("level")?.set_text("eager")?;
    object.global("label")?.set_text("from a test")?;
    object.global("ports")?.set_text("[80, 443, 0x1f90]")?;
    object.global("hits")?.set(1_000_u64)?;
    let running = Running::of(object)?;
    let links = running.loaded.attach_all()?;
    ensure(links.len() == 2, || format!("{links:?}"))?;
    (0..3).for_each(|_| getppid());
    drop(links);
    let map = running.loaded.map("table")?;
    let pair = map.typed::<u32, Pair>()?.get(&9)?.unwrap_or_default();
    ensure(pair.calls == 3 && pair.level == 7, || format!("{pair:?}"))?;
    let hits = running.number("hits")?;
    ensure(hits == 1_003, || format!("{hits} hits"))?;
    let label = running.bytes("seen_label")?;
    ensure(skep::text(&label) == "from a test", || format!("{label:?}"))?;
    let port = running.bytes("seen_port")?;
    ensure(port == 8080_u16.to_ne_bytes(), || format!("{port:?}"))
}

/// `struct pair` of `basics.bpf.c`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub(crate) struct Pair {
    pub(crate) calls: u64,
    pub(crate) tid: u32,
    pub(crate) level: u32,
}

fn bad_globals() -> Outcome {
    let mut object = object("basics")?;
    for (name, text, part) in [
        ("target_pid", "me", "`me` is not a number"),
        ("target_pid", "4294967296", "out of range"),
        ("level", "mad", "none of `calm`, `eager`"),
        ("enabled", "perhaps", "neither true nor false"),
        ("label", "much longer than sixteen", "room for 15"),
        ("ports", "[1, 2, 3, 4, 5]", "only 4 elements"),
        ("ports", "80", "[1, 2, 3]"),
    ] {
        let error = expect_err(text, object.global(name)?.set_text(text))?.to_string();
        ensure(error.contains(name) && error.contains(part), || {
            error.clone()
        })?;
    }
    let error = expect_err("a long pid", object.global("target_pid")?.set(1_u64))?;
    ensure(error.to_string().contains("8 bytes, and it is 4"), || {
        error.to_string()
    })
}

fn unknown_names() -> Outcome {
    let mut object = object("basics")?;
    let check = |error: Error, known: &str| {
        let named = matches!(&error, Error::Unknown { known: all, .. } if all.iter().any(|name| name == known));
        let text = error.to_string();
        ensure(named && text.contains(&format!("`{known}`")), || {
            text.clone()
        })
    };
    check(
        expect_err("a global", object.global("targetpid"))?,
        "target_pid",
    )?;
    check(expect_err("a map", object.map("tables"))?, "table")?;
    check(
        expect_err("a program", object.program("count"))?,
        "count_table",
    )?;
    check(
        expect_err("programs", object.only_programs(&["count_table", "no"]))?,
        "count_per_cpu",
    )?;
    let loaded = object.load(host())?;
    check(expect_err("a map", loaded.map("tables"))?, "table")?;
    check(
        expect_err("a program", loaded.program("no"))?,
        "count_table",
    )
}

fn only_programs() -> Outcome {
    let mut object = basics()?;
    object.only_programs(&["count_per_cpu"])?;
    let running = Running::of(object)?;
    let names: Vec<&str> = running.loaded.programs().map(|p| p.name()).collect();
    ensure(names == ["count_per_cpu"], || format!("{names:?}"))?;
    let _links = running.loaded.attach_all()?;
    getppid();
    ensure(running.number("hits")? == 5, || "the other one runs".into())?;
    // Left to itself, a program behind `?` stays out.
    let links = Running::new("links")?;
    ensure(links.loaded.program("on_tracepoint_too").is_err(), || {
        "an optional program was loaded".into()
    })
}

fn max_entries() -> Outcome {
    let mut object = basics()?;
    object.map("table")?.max_entries(2);
    let running = Running::of(object)?;
    let map = running.loaded.map("table")?;
    ensure(map.max_entries() == 2, || format!("{map:?}"))?;
    let typed = map.typed::<u32, Pair>()?;
    typed.set(&1, &Pair::default(), Update::Any)?;
    typed.set(&2, &Pair::default(), Update::Any)?;
    let error = expect_err("a third", typed.set(&3, &Pair::default(), Update::Any))?;
    ensure(error.to_string().contains("table"), || error.to_string())?;
    needs_kernel(5, 14)?; // programs of type syscall
    // A ring's size becomes whole pages, a power of two.
    let mut rings = crate::support::object("ring")?;
    rings.map("events")?.max_entries(5_000);
    let loaded = rings.load(host())?;
    let size = loaded.map("events")?.max_entries() as usize;
    let wanted = 5_000_usize.max(boundary().page_size()).next_power_of_two();
    ensure(size == wanted, || format!("{size} bytes"))
}

/// What the program answers for these slots, and what it found.
fn look(running: &Running, outer: u64, jump: u64) -> Outcome<(u32, u64)> {
    let context = [outer.to_ne_bytes(), jump.to_ne_bytes()].concat();
    running.set("found", &0_u64.to_ne_bytes())?;
    let ran = running.loaded.program("look")?.test_run(&mut TestRun {
        context_in: &context,
        ..TestRun::default()
    })?;
    Ok((ran.return_value, running.number("found")?))
}

fn slots() -> Outcome {
    needs_kernel(5, 10)?; // test runs of raw tracepoints
    let running = Running::new("slots")?;
    for (name, number) in [("first", 11_u64), ("third", 33)] {
        let map = running.loaded.map(name)?;
        map.typed::<u32, u64>()?.set(&0, &number, Update::Any)?;
    }
    for (outer, jump, wanted) in [(0, 1, (40, 11)), (2, 0, (3, 33)), (1, 1, (1, 0))] {
        let got = look(&running, outer, jump)?;
        ensure(got == wanted, || format!("{outer}, {jump}: {got:?}"))?;
    }
    // A program that is put in while others run, and taken out again.
    let jumps = running.loaded.map("jumps")?;
    let jumps = jumps.slots::<u32>()?;
    jumps.set_program(&0, running.loaded.program("answer_forty")?)?;
    let got = look(&running, 0, 0)?;
    ensure(got == (40, 11), || format!("put in: {got:?}"))?;
    ensure(jumps.remove(&0)?, || "nothing to take out".into())?;
    let got = look(&running, 0, 0)?;
    ensure(got == (3, 11), || format!("taken out: {got:?}"))
}

fn empty_slot() -> Outcome {
    needs_kernel(5, 10)?;
    let mut object = object("slots")?;
    object.program("answer_forty")?.autoload(false);
    let running = Running::of(object)?;
    let (answer, _) = look(&running, 0, 1)?;
    ensure(answer == 3, || format!("{answer}"))
}

fn pin_options(bpffs: &Bpffs) -> LoadOptions {
    LoadOptions {
        pin_folder: bpffs.path().to_owned(),
        ..LoadOptions::default()
    }
}

fn pinned_by_name() -> Outcome {
    let bpffs = Bpffs::mount()?;
    let object = object("pinned")?;
    let first = object.load_with(host(), &pin_options(&bpffs))?;
    let map = first.map("shared")?;
    map.typed::<u32, u64>()?.set(&1, &77, Update::Any)?;
    drop((first, map));
    let second = object.load_with(host(), &pin_options(&bpffs))?;
    let value = second.map("shared")?.typed::<u32, u64>()?.get(&1)?;
    ensure(value == Some(77), || format!("{value:?}"))?;
    let path = bpffs.path().join("shared");
    let opened = Map::open_pinned(host().boundary().clone(), &path)?;
    ensure(
        opened.info()?.id == second.map("shared")?.info()?.id,
        || "another map".into(),
    )
}

fn other_shape() -> Outcome {
    let bpffs = Bpffs::mount()?;
    let mut object = object("pinned")?;
    let _first = object.load_with(host(), &pin_options(&bpffs))?;
    object.map("shared")?.max_entries(9);
    let error = expect_err(
        "another shape",
        object.load_with(host(), &pin_options(&bpffs)),
    )?;
    ensure(matches!(error, Error::Pin { .. }), || format!("{error:?}"))?;
    let text = error.to_string();
    let told = ["shared", "8 entries, not 9", "remove the pin"];
    ensure(told.iter().all(|part| text.contains(part)), || text.clone())
}

fn pinned_program() -> Outcome {
    let bpffs = Bpffs::mount()?;
    let path = bpffs.path().join("look");
    let id = {
        let loaded = object("pinned")?.load_with(host(), &pin_options(&bpffs))?;
        let program = loaded.program("look")?;
        program.pin(&path)?;
        let taken = expect_err("a pin in the same place", program.pin(&path))?;
        ensure(taken.to_string().contains("look"), || taken.to_string())?;
        program.info()?.id
    };
    let there = boundary().prog_by_id(id)?;
    ensure(there.is_some(), || "the pin does not hold it".into())?;
    drop(there);
    boundary().obj_unpin(&path)?;
    skep_testing::eventually("its end", || Ok(boundary().prog_by_id(id)?.is_none()))
}

fn logs() -> Outcome {
    let mut object = object("pinned")?;
    object.map("shared")?.pinning(skep::spec::Pinning::None);
    let options = LoadOptions {
        log_level: skep::boundary::LogLevel::Verbose,
        ..LoadOptions::default()
    };
    let loaded = object.load_with(host(), &options)?;
    let log = loaded.program("look")?.log();
    ensure(log.contains("processed "), || format!("{log:?}"))?;
    let quiet = object.load(host())?;
    if quiet.program("look")?.log().is_empty() {
        Ok(())
    } else {
        Err(Stop::fail("a log unasked"))
    }
}
