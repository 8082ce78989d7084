//! Map definitions, from clang's object to the kernel's map: every type, legacy ones, maps that
//! are shared or left out; and that a load that fails leaves nothing.

use std::{path::Path, sync::Arc};

use skep::{Error, LoadOptions, Loaded, Map, Object, Update, abi::MapType, boundary::TestRun};
use skep_testing::{
    Bpffs, Lacking, Outcome, Snapshot, Stop, Test, ensure, expect_err, needs_kernel,
};

use crate::support::{Running, boundary, host, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("map_definitions::every_type_is_made", every_type),
        Test::new("map_definitions::broken_rules_are_told", broken_rules),
        Test::new("map_definitions::legacy_maps_load", legacy),
        Test::new("map_definitions::maps_are_left_out", left_out),
        Test::new("map_definitions::a_missing_map_is_told", missing_map),
        Test::new("map_definitions::maps_are_shared", shared),
        Test::new("map_definitions::a_path_pins_a_map", pinned_by_path),
        Test::new("map_definitions::another_shape_is_told", shapes),
        Test::new(
            "map_definitions::a_failed_load_leaves_nothing",
            nothing_left,
        ),
        Test::new(
            "map_definitions::a_kernel_without_the_type_is_told",
            old_kernel,
        ),
    ]
}

fn every_type() -> Outcome {
    needs_kernel(6, 2)?; // storage of cgroups
    let mut object = object("definitions")?;
    // Its maps need what not every kernel is built with.
    for (name, option) in [
        ("xsk", "CONFIG_XDP_SOCKETS"),
        ("of_cgroups", "CONFIG_CGROUPS"),
    ] {
        if boundary().config(option).is_ok_and(|set| set.is_none()) {
            object.map(name)?.autocreate(false);
        }
    }
    let running = Running::of(object)?;
    let info = |name: &str| -> Outcome<_> { Ok(running.loaded.map(name)?.info()?) };
    for map in running.loaded.maps() {
        let Some(spec) = running.object.spec().map(map.name()) else {
            return Err(Stop::fail(format!("{map:?}")));
        };
        ensure(map.map_type() == Some(spec.map_type), || format!("{map:?}"))?;
    }
    let every = info("every_field")?;
    // BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE
    ensure(every.flags == 0x5 && every.max_entries == 7, || {
        format!("{every:?}")
    })?;
    ensure(every.key_type != 0 && every.value_type != 0, || {
        format!("{every:?}")
    })?;
    ensure(info("oddly_keyed")?.value_type == 0, || "typed".into())?;
    ensure(info("trie")?.key_type != 0, || "no key type".into())?;
    ensure(info("of_tasks")?.value_type != 0, || "no value type".into())?;
    ensure(info("bloom")?.map_extra == 3, || "other map_extra".into())?;
    let cpus = u32::try_from(boundary().possible_cpus()?).unwrap_or(u32::MAX);
    let perf = info("perf_events")?;
    ensure(
        (perf.key_size, perf.value_size, perf.max_entries) == (4, 4, cpus),
        || format!("{perf:?}"),
    )?;
    let page = u32::try_from(boundary().page_size()).unwrap_or(u32::MAX);
    let ring = info("ring")?;
    ensure(
        ring.max_entries == 5000_u32.max(page).next_power_of_two(),
        || format!("{ring:?}"),
    )?;
    // What the slots hold is told as ids.
    for (outer, key, inner) in [("rings", 1_u32, "first_ring"), ("arrays", 2, "longer")] {
        let held = running.loaded.map(outer)?.lookup(&key.to_ne_bytes())?;
        let id = info(inner)?.id;
        ensure(held == Some(id.to_ne_bytes().into()), || {
            format!("{outer}: {held:?}, not {id}")
        })?;
    }
    Ok(())
}

fn broken_rules() -> Outcome {
    needs_kernel(5, 11)?;
    let told = |name: &str, change: &dyn Fn(&mut Object) -> Outcome, part: &str| {
        let mut object = object("definitions")?;
        change(&mut object)?;
        let error = expect_err(name, object.load(host()))?;
        let text = error.to_string();
        ensure(text.contains(name) && text.contains(part), || text.clone())
    };
    told(
        "every_field",
        &|object| {
            object.map("every_field")?.max_entries(0);
            Ok(())
        },
        "max_entries of a hash map must be",
    )?;
    told(
        "every_field",
        &|object| {
            object
                .map("every_field")?
                .map_type(MapType::LpmTrie)
                .key_size(2);
            Ok(())
        },
        "a key of a lpm_trie map must be",
    )?;
    told(
        "of_tasks",
        &|object| {
            object.map("of_tasks")?.value_size(4);
            Ok(())
        },
        "needs the types of its key",
    )?;
    told(
        "array",
        &|object| {
            object
                .map("array")?
                .map_type(MapType::TaskStorage)
                .max_entries(0);
            Ok(())
        },
        "needs the flag BPF_F_NO_PREALLOC",
    )
}

fn legacy() -> Outcome {
    needs_kernel(5, 10)?; // test runs of raw tracepoints
    let running = Running::new("legacy")?;
    let slots = running.loaded.map("slots")?;
    let typed = slots.typed::<u32, u64>()?;
    typed.set(&1, &21, Update::Any)?;
    let ran = running
        .loaded
        .program("count")?
        .test_run(&mut TestRun::default())?;
    ensure(ran.return_value == 21, || format!("{ran:?}"))?;
    let counts = running.loaded.map("counts")?;
    let count = counts.typed::<u32, u64>()?.get(&3)?;
    ensure(count == Some(40), || format!("{count:?}"))?;
    let info = counts.info()?;
    ensure(info.flags == 1 && info.max_entries == 4, || {
        format!("{info:?}")
    })?;
    ensure(info.key_type != 0 && info.value_type != 0, || {
        format!("{info:?}")
    })
}

fn run(running: &Running, name: &str) -> Outcome<u32> {
    let ran = running
        .loaded
        .program(name)?
        .test_run(&mut TestRun::default())?;
    Ok(ran.return_value)
}

fn left_out() -> Outcome {
    needs_kernel(5, 10)?;
    let mut object = object("guarded")?;
    object.map("extra")?.autocreate(false);
    let running = Running::of(object)?;
    ensure(run(&running, "guarded")? == 1, || "another way".into())?;
    ensure(running.loaded.map("extra").is_err(), || {
        "it is there".into()
    })?;
    // The maps behind it are found where they are.
    ensure(running.bytes("unread")? == 7_u32.to_ne_bytes(), || {
        "another map".into()
    })?;
    let index = running.object.spec().map_index("extra");
    ensure(
        index.is_some_and(|index| running.loaded.map_at(index).is_none()),
        || format!("{index:?}"),
    )
}

fn missing_map() -> Outcome {
    needs_kernel(5, 10)?;
    let mut object = object("guarded")?;
    object.map("extra")?.autocreate(false);
    object.program("unguarded")?.autoload(true);
    let error = expect_err("an unguarded use", object.load(host()))?;
    let text = error.to_string();
    let told = [
        "unguarded",
        "map `extra`, which was not created",
        "guarded.bpf.c:",
    ];
    ensure(told.iter().all(|part| text.contains(part)), || text.clone())
}

fn shared() -> Outcome {
    needs_kernel(5, 10)?;
    let first = Running::new("guarded")?;
    let always = first.loaded.map("always")?;
    always.typed::<u32, u64>()?.set(&0, &11, Update::Any)?;
    let data = first.loaded.map(".data.unread")?;

    let mut object = object("guarded")?;
    object.reuse_map("always", Arc::clone(&always))?;
    object.reuse_map(".data.unread", Arc::clone(&data))?;
    let second = Running::of(object)?;
    ensure(run(&second, "guarded")? == 12, || "another map".into())?;
    let id = second.loaded.map("always")?.info()?.id;
    ensure(id == always.info()?.id, || format!("{id}"))?;
    drop(first);
    ensure(run(&second, "guarded")? == 12, || "it went".into())?;

    let mut object = crate::support::object("guarded")?;
    let error = expect_err("a name", object.reuse_map("alway", always))?;
    ensure(error.to_string().contains("`always`"), || error.to_string())
}

fn shapes() -> Outcome {
    needs_kernel(6, 2)?; // storage of cgroups
    let definitions = Running::new("definitions")?;
    let mut object = object("guarded")?;
    object.reuse_map("always", definitions.loaded.map("every_field")?)?;
    let text = expect_err("another shape", object.load(host()))?.to_string();
    let told = [
        "map `always`",
        "it is of type hash, not array",
        "it has 16 bytes a value, not 8",
        "it has 7 entries, not 1",
        "its flags are 0x5, not 0x0",
    ];
    ensure(told.iter().all(|part| text.contains(part)), || text.clone())?;
    // What the kernel itself adds is no difference.
    let mut again = crate::support::object("definitions")?;
    for name in [
        "devices",
        "device_hash",
        "every_field",
        "bloom",
        "ring",
        "perf_events",
    ] {
        again.reuse_map(name, definitions.loaded.map(name)?)?;
    }
    again.load(host())?;
    Ok(())
}

fn pinned_by_path() -> Outcome {
    let bpffs = Bpffs::mount()?;
    let path = bpffs.path().join("of_mine");
    let load = || -> Outcome<skep::Result<Loaded>> {
        let mut object = object("guarded")?;
        object.map("always")?.pin_path(path.to_string_lossy());
        Ok(object.load(host()))
    };
    let first = load()??.map("always")?;
    let second = load()??.map("always")?;
    ensure(first.info()?.id == second.info()?.id, || "two maps".into())?;
    ensure(path.exists(), || "no pin".into())?;
    // A program is pinned where the map should be.
    let loaded = object("guarded")?.load(host())?;
    boundary().obj_unpin(&path)?;
    loaded.program("guarded")?.pin(&path)?;
    let text = expect_err("a program's pin", load()?)?.to_string();
    ensure(
        text.contains("of_mine") && text.contains("it is no map"),
        || text.clone(),
    )
}

/// What pins there are in a folder.
fn pins(folder: &Path) -> Outcome<usize> {
    Ok(std::fs::read_dir(folder)?.count())
}

fn nothing_left() -> Outcome {
    needs_kernel(6, 2)?; // storage of cgroups
    let bpffs = Bpffs::mount()?;
    // The kernel may put files of its own into the root.
    let folder = bpffs.path().join("own");
    std::fs::create_dir(&folder)?;
    let options = LoadOptions {
        pin_folder: folder.clone(),
        ..LoadOptions::default()
    };
    let fails = |name: &str, change: &dyn Fn(&mut Object) -> Outcome| {
        let mut object = object(name)?;
        change(&mut object)?;
        let before = Snapshot::take(boundary());
        let error = expect_err(name, object.load_with(host(), &options))?;
        let mut left = before.leaks(boundary(), std::time::Duration::from_secs(5));
        // The bpffs is this test's own.
        left.retain(|leak| !leak.starts_with("mount "));
        ensure(left.is_empty(), || format!("{name}: {error}: {left:?}"))?;
        let pins = pins(&folder)?;
        ensure(pins == 0, || format!("{name}: {pins} pins are left"))
    };
    let by_name = skep::spec::Pinning::ByName;
    // The verifier refuses a program, when maps are pinned already.
    fails("rejected", &|object| {
        object.map("hits")?.pinning(by_name);
        Ok(())
    })?;
    // A later map can't be made.
    fails("definitions", &|object| {
        object.map("every_field")?.pinning(by_name);
        object.map("rings")?.pinning(by_name);
        object.map("bloom")?.max_entries(0);
        Ok(())
    })?;
    // The kernel refuses what a struct_ops map holds.
    if needs_kernel(6, 4).is_ok() {
        fails("struct_ops", &|object| {
            object.program("shrink")?.autoload(false);
            Ok(())
        })?;
    }
    // A pin that was there before stays.
    let first = Running::new("definitions")?;
    let path = folder.join("hits");
    first.loaded.map("array")?.pin(&path)?;
    let mut object = object("rejected")?;
    object.map("hits")?.pinning(by_name);
    let error = expect_err("a pin of another shape", object.load_with(host(), &options))?;
    ensure(matches!(error, Error::Pin { .. }), || format!("{error:?}"))?;
    let there = Map::open_pinned(Arc::clone(host().boundary()), &path)?;
    ensure(there.map_type() == Some(MapType::Array), || {
        format!("{there:?}")
    })
}

fn old_kernel() -> Outcome {
    let since = MapType::Rhash.since();
    if boundary().info().version >= since {
        return Err(Stop::Skip(Lacking::OlderKernel(since)));
    }
    let mut object = object("guarded")?;
    object.map("extra")?.map_type(MapType::Rhash);
    let error = expect_err("a type of the future", object.load(host()))?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    let fix = error.fix().unwrap_or_default();
    let told = format!("{error}; {cause}; {fix}");
    ensure(told.contains("`extra`") && told.contains("7.2"), || {
        told.clone()
    })
}
