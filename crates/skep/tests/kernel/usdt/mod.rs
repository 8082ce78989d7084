//! Static probe points of user space: arguments in every kind of place, in programs at fixed
//! addresses and at any, and in a library; counters of watchers; entries that are shared and given
//! back; kernels that lack cookies or links to many places.

mod points;
#[cfg(feature = "vm")]
mod vm;

use std::{ffi::OsStr, path::Path};

use skep::{AttachOptions, Link, Object, abi::AttachType};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err, needs_kernel};

use crate::support::{Probed, Running, object, source};
use points::{Form, built, check, in_rust, of, on, points, put, seen};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("usdt::arguments_of_a_program_at_a_fixed_address", fixed),
        Test::new("usdt::arguments_of_a_program_at_any_address", anywhere),
        Test::new("usdt::arguments_of_a_library", library),
        Test::new("usdt::one_link_a_place_does_as_well", place_by_place),
        Test::new(
            "usdt::points_are_told_by_address_without_cookies",
            by_address,
        ),
        Test::new("usdt::the_counter_of_watchers_is_kept", watched),
        Test::new(
            "usdt::a_point_of_several_places_fires_at_each",
            several_places,
        ),
        Test::new("usdt::entries_are_shared_and_given_back", entries),
        Test::new("usdt::parameters_have_their_types", typed),
        Test::new("usdt::programs_in_rust_have_the_same", rust),
        Test::new("usdt::only_one_process_is_watched", one_process).of_hook("usdt"),
        Test::new("usdt::programs_may_sleep", sleeping).of_hook("usdt.s"),
        Test::new("usdt::what_is_not_there_is_named", missing),
        Test::new("usdt::systemtaps_header_and_compilers_of_today", systemtap),
        #[cfg(feature = "vm")]
        Test::new("usdt::arguments_on_the_virtual_machine", vm::arguments),
        #[cfg(feature = "vm")]
        Test::new("usdt::watchers_on_the_virtual_machine", vm::watched),
    ]
}

/// Attaches to all points of a form, by `options`, and compares all arguments.
fn arguments(
    form: Form,
    prepare: fn(&mut Object, &[&str]) -> Outcome,
    options: impl Fn(u32) -> AttachOptions,
) -> Outcome {
    let (built, points) = (built(form)?, points(form));
    let names: Vec<&str> = points.iter().map(|(name, _)| *name).collect();
    let mut object = on(&names, &built)?;
    prepare(&mut object, &names)?;
    let running = Running::of(object)?;
    let mut process = Probed::of(&built.program)?;
    let links = running.loaded.attach_all_with(&options(process.id()))?;
    process.call(3)?;
    drop(links);
    process.call(1)?;
    check(&running, &built, &points, 3)
}

fn as_it_is(_: &mut Object, _: &[&str]) -> Outcome {
    Ok(())
}

fn everywhere(_: u32) -> AttachOptions {
    AttachOptions::default()
}

fn in_process(pid: u32) -> AttachOptions {
    AttachOptions {
        pid: Some(pid),
        ..AttachOptions::default()
    }
}

fn fixed() -> Outcome {
    arguments(Form::Fixed, as_it_is, everywhere)?;
    address()
}

fn anywhere() -> Outcome {
    needs_kernel(5, 15)?; // cookies: without them one process must be chosen
    arguments(Form::Anywhere, as_it_is, everywhere)
}

fn library() -> Outcome {
    needs_kernel(5, 15)?; // cookies: without them one process must be chosen
    arguments(Form::Library, as_it_is, everywhere)
}

/// The address of a variable, which is the same in each process, by a symbol and by a register.
fn address() -> Outcome {
    let built = built(Form::Fixed)?;
    let running = Running::of(on(&["address"], &built)?)?;
    let _links = running.loaded.attach_all()?;
    Probed::of(&built.program)?.call(1)?;
    let seen = seen(&running, "address")?;
    ensure(
        seen.values[0] == seen.values[1] && seen.values[0] > 0,
        || format!("{:x?}", seen.values),
    )?;
    ensure(
        seen.values[2] == i64::from(seen.values[0] as i32 + 4),
        || format!("{:x?}", seen.values),
    )
}

/// As on kernels before 6.6, or 6.10.
fn singly(object: &mut Object, points: &[&str]) -> Outcome {
    for point in points {
        object
            .program(&format!("on_{point}"))?
            .attach_type(AttachType::PerfEvent);
    }
    Ok(())
}

fn place_by_place() -> Outcome {
    needs_kernel(5, 15)?; // cookies: without them one process must be chosen
    arguments(Form::Anywhere, singly, everywhere)?;
    arguments(Form::Anywhere, singly, in_process)
}

/// As on kernels before 5.15.
fn without_cookies(object: &mut Object, points: &[&str]) -> Outcome {
    object.config("LINUX_HAS_BPF_COOKIE", "n")?;
    singly(object, points)
}

fn by_address() -> Outcome {
    arguments(Form::Fixed, without_cookies, everywhere)?;
    arguments(Form::Library, without_cookies, in_process)?;
    let built = built(Form::Anywhere)?;
    arguments(Form::Anywhere, without_cookies, in_process)?;
    // Nobody knows where other processes have it.
    let mut object = on(&["none"], &built)?;
    without_cookies(&mut object, &["none"])?;
    let running = Running::of(object)?;
    let error = expect_err("no process", running.loaded.attach_all())?.to_string();
    ensure(error.contains("5.15") && error.contains("--pid"), || {
        error.clone()
    })?;
    // One point, two cookies.
    let process = Probed::of(&built.program)?;
    let attach = |cookie| {
        running
            .loaded
            .program("on_none")?
            .attach_with(&AttachOptions {
                cookie: Some(cookie),
                ..in_process(process.id())
            })
    };
    let first = attach(1)?;
    let again = attach(1)?;
    let error = expect_err("another cookie", attach(2))?.to_string();
    ensure(error.contains("another cookie"), || error.clone())?;
    drop((first, again));
    attach(2)?;
    Ok(())
}

fn watched() -> Outcome {
    needs_kernel(5, 15)?; // cookies: without them one process must be chosen
    for form in [Form::Fixed, Form::Anywhere, Form::Library] {
        let built = built(form)?;
        for prepare in [as_it_is, singly] {
            let mut object = on(&["watched"], &built)?;
            prepare(&mut object, &["watched"])?;
            let running = Running::of(object)?;
            let mut process = Probed::of(&built.program)?;
            let counted = |process: &mut Probed, wanted: &str| {
                process.call(1)?;
                let said = process.said();
                ensure(said == wanted, || format!("{said} watchers, not {wanted}"))
            };
            counted(&mut process, "0")?;
            let links = running.loaded.attach_all()?;
            counted(&mut process, "1")?;
            let more = running.loaded.attach_all()?;
            // The kernel counts places that are probed, not who probes them.
            counted(&mut process, "1")?;
            // One that comes later.
            counted(&mut Probed::of(&built.program)?, "1")?;
            drop(links);
            counted(&mut process, "1")?;
            drop(more);
            counted(&mut process, "0")?;
        }
    }
    Ok(())
}

fn several_places() -> Outcome {
    needs_kernel(5, 15)?; // cookies: without them one process must be chosen
    let built = built(Form::Anywhere)?;
    for prepare in [as_it_is, singly] {
        let mut object = on(&["many"], &built)?;
        prepare(&mut object, &["many"])?;
        let running = Running::of(object)?;
        let links = running.loaded.attach_all()?;
        let mut process = Probed::of(&built.program)?;
        process.call(2)?;
        let hits = seen(&running, "many")?.hits;
        ensure(hits == 6, || format!("{hits} hits"))?;
        // Three places, of which two have the same arguments.
        let used = used(&running, 2)?;
        ensure(used == [true, true], || format!("{used:?}"))?;
        let place = links[0].place();
        ensure(place.ends_with(":skep_test:many"), || place.to_owned())?;
    }
    Ok(())
}

/// Which of the first entries of the map of arguments were ever written.
fn used(running: &Running, entries: u32) -> Outcome<Vec<bool>> {
    let map = running.loaded.map("__bpf_usdt_specs")?;
    (0..entries)
        .map(|key| {
            let value = map.lookup(&key.to_ne_bytes())?.unwrap_or_default();
            Ok(value.iter().any(|byte| *byte != 0))
        })
        .collect()
}

fn entries() -> Outcome {
    needs_kernel(5, 15)?; // cookies: without them one process must be chosen
    let built = built(Form::Anywhere)?;
    let mut object = on(&["watched", "none", "constants"], &built)?;
    object.map("__bpf_usdt_specs")?.max_entries(2);
    let running = Running::of(object)?;
    let attach = |point: &str, cookie: u64| -> skep::Result<Link> {
        running
            .loaded
            .program(&format!("on_{point}"))?
            .attach_with(&AttachOptions {
                cookie: Some(cookie),
                ..AttachOptions::default()
            })
    };
    let mut process = Probed::of(&built.program)?;
    // The same arguments and cookie share an entry, another cookie takes one.
    let first = attach("watched", 5)?;
    let again = attach("watched", 5)?;
    let other = attach("watched", -9_i64 as u64)?;
    let error = expect_err("a third entry", attach("none", 5))?.to_string();
    for part in [
        "__bpf_usdt_specs",
        "2 different points",
        "BPF_USDT_MAX_SPEC_CNT",
    ] {
        ensure(error.contains(part), || error.clone())?;
    }
    drop(other);
    let none = attach("none", 7)?;
    drop(first);
    // `again` still needs the entry.
    expect_err("a third entry", attach("constants", 5))?;
    process.call(1)?;
    let (watched, empty) = (seen(&running, "watched")?, seen(&running, "none")?);
    ensure(watched.cookie == 5 && watched.values[0] == 9, || {
        format!("{:?}", watched.values)
    })?;
    ensure(empty.cookie == 7 && empty.count == 0, || {
        empty.cookie.to_string()
    })?;
    drop(again);
    let constants = attach("constants", 6)?;
    process.call(1)?;
    let seen = seen(&running, "constants")?;
    ensure(seen.cookie == 6 && seen.count == 10, || {
        seen.cookie.to_string()
    })?;
    drop((none, constants));
    // A failure on the way gives back what it took.
    for _ in 0..3 {
        expect_err("a floating-point argument", {
            let mut object = on(&["many"], &built)?;
            object
                .program("on_many")?
                .attach_target(format!("{}:skep_test:floating", built.points.display()));
            Running::of(object)?.loaded.attach_all()
        })?;
    }
    Ok(())
}

fn typed() -> Outcome {
    needs_kernel(5, 15)?; // cookies: without them one process must be chosen
    let built = built(Form::Anywhere)?;
    let mut object = object("usdt")?;
    object.only_programs(&["typed", "plain"])?;
    put(&mut object, "typed", &built, "constants")?;
    put(&mut object, "plain", &built, "floating")?;
    let running = Running::of(object)?;
    let _links = running.loaded.attach_all()?;
    Probed::of(&built.program)?.call(2)?;
    let numbers = ["typed_hits", "typed_first", "typed_second", "typed_third"]
        .map(|name| running.number(name).map(|number| number as i64));
    let numbers: Vec<i64> = numbers.into_iter().collect::<Outcome<_>>()?;
    ensure(numbers == [2, 255, -1, -5], || format!("{numbers:?}"))
}

fn rust() -> Outcome {
    needs_kernel(5, 15)?; // cookies
    for form in [Form::Fixed, Form::Library] {
        let (built, points) = (built(form)?, points(form));
        let names: Vec<&str> = points.iter().map(|(name, _)| *name).collect();
        let running = Running::of(of(in_rust()?, &names, &built)?)?;
        let mut process = Probed::of(&built.program)?;
        let links = running.loaded.attach_all_with(&in_process(process.id()))?;
        process.call(3)?;
        drop(links);
        process.call(1)?;
        check(&running, &built, &points, 3)?;
    }
    let built = built(Form::Anywhere)?;
    let mut object = in_rust()?;
    object.only_programs(&["typed"])?;
    put(&mut object, "typed", &built, "constants")?;
    let running = Running::of(object)?;
    let _links = running.loaded.attach_all()?;
    Probed::of(&built.program)?.call(2)?;
    let numbers = ["typed_first", "typed_second", "typed_third"]
        .map(|name| running.number(name).map(|number| number as i64));
    let numbers: Vec<i64> = numbers.into_iter().collect::<Outcome<_>>()?;
    ensure(numbers == [255, -1, -5], || format!("{numbers:?}"))
}

fn one_process() -> Outcome {
    let built = built(Form::Library)?;
    for prepare in [as_it_is, singly] {
        let mut object = on(&["watched"], &built)?;
        prepare(&mut object, &["watched"])?;
        let running = Running::of(object)?;
        let (mut chosen, mut other) = (Probed::of(&built.program)?, Probed::of(&built.program)?);
        let _links = running.loaded.attach_all_with(&in_process(chosen.id()))?;
        other.call(5)?;
        chosen.call(2)?;
        let hits = seen(&running, "watched")?.hits;
        ensure(hits == 2, || format!("{hits} hits"))?;
    }
    Ok(())
}

/// Memory of the process is read by those alone that may wait for it.
fn sleeping() -> Outcome {
    needs_kernel(6, 0)?;
    let built = built(Form::Library)?;
    for attach_type in [None, Some(AttachType::PerfEvent)] {
        let mut object = object("usdt")?;
        object.only_programs(&["sleeping"])?;
        put(&mut object, "sleeping", &built, "watched")?;
        if let Some(attach_type) = attach_type {
            object.program("sleeping")?.attach_type(attach_type);
        }
        let running = Running::of(object)?;
        let mut process = Probed::of(&built.program)?;
        let links = running.loaded.attach_all_with(&in_process(process.id()))?;
        process.call(3)?;
        drop(links);
        process.call(1)?;
        let counts = (
            running.number("sleeping_hits")?,
            running.number("sleeping_read")?,
        );
        ensure(counts == (3, 3), || format!("{attach_type:?}: {counts:?}"))?;
    }
    Ok(())
}

fn missing() -> Outcome {
    needs_kernel(5, 15)?; // cookies: without them one process must be chosen
    let built = built(Form::Anywhere)?;
    let points = built.points.display();
    for (target, parts) in [
        (
            format!("{points}:skep_test:watchd"),
            &["`skep_test:watched`"][..],
        ),
        (format!("{points}:other:watched"), &["`skep_test:watched`"]),
        (format!("{points}:q:zz"), &["skep_test:constants"]),
        (
            format!("{points}:skep_test:floating"),
            &["argument 1", "8f@%xmm0", "floating-point"],
        ),
        (
            format!("{points}:skep_test:thirteen"),
            &["13 arguments", "BPF_USDT_MAX_ARG_CNT"],
        ),
        ("watched".to_owned(), &["no binary, provider and name"]),
        (
            format!("{points}:watched"),
            &["no binary, provider and name"],
        ),
        ("/etc/passwd:a:b".to_owned(), &["/etc/passwd"]),
        (
            format!("{}:a:b", Probed::program()?.display()),
            &["no static probe points"],
        ),
        ("libnosuch:a:b".to_owned(), &["libnosuch"]),
    ] {
        let mut object = object("usdt")?;
        object.only_programs(&["on_many"])?;
        object.program("on_many")?.attach_target(&target);
        let running = Running::of(object)?;
        let error = expect_err(&target, running.loaded.attach_all())?.to_string();
        for part in parts {
            ensure(error.contains(part), || error.clone())?;
        }
        let used = used(&running, 1)?;
        ensure(used == [false], || {
            format!("{target}: an entry was written")
        })?;
    }
    Ok(())
}

/// Points by systemtap's own header, with arguments where compilers put them.
fn systemtap() -> Outcome {
    needs_kernel(5, 15)?; // cookies: without them one process must be chosen
    if !skep_testing::is_prebuilt()
        && !Path::new("/usr/include").join("sys/sdt.h").exists()
        && !Path::new("/usr/include/x86_64-linux-gnu/sys/sdt.h").exists()
    {
        return Err(Stop::lacks("systemtap's sys/sdt.h"));
    }
    let source = source("usdt_sdt.c");
    for (name, arguments) in [
        ("usdt_sdt", &["-O0"][..]),
        ("usdt_sdt_fast", &["-O2"]),
        (
            "usdt_sdt_fixed",
            &["-O2", "-no-pie", "-fno-pie", "-fomit-frame-pointer"],
        ),
    ] {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        skep_testing::compile_native_as(&program, &source, &arguments)?;
        let mut object = object("usdt")?;
        object.only_programs(&["on_many", "on_none"])?;
        let target = |point| format!("{}:skep_sdt:{point}", program.display());
        object.program("on_many")?.attach_target(target("work"));
        object.program("on_none")?.attach_target(target("done"));
        let running = Running::of(object)?;
        let _links = running.loaded.attach_all()?;
        Probed::of(&program)?.call(2)?;
        let (work, done) = (seen(&running, "many")?, seen(&running, "none")?);
        ensure((work.hits, done.hits, done.values[0]) == (2, 2, 42), || {
            format!("{name}: {}, {}", work.hits, done.hits)
        })?;
        let values = &work.values;
        let wanted = [
            70,
            values[1],
            -1,
            2,
            -5_000_000_000,
            -70,
            (70_000 & 0xffff),
            6,
            values[8],
        ];
        ensure(
            values[..9] == wanted && values[1] != 0 && values[8] != 0,
            || format!("{name}: {values:?}"),
        )?;
    }
    Ok(())
}
