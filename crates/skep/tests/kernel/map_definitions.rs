//! Map definitions, from clang's object to the kernel's map: every type, legacy ones, arenas,
//! maps that are shared, exclusive or left out; and that a load that fails leaves nothing.

use std::{path::Path, sync::Arc};

use skep::{Error, LoadOptions, Map, Object, Update, abi::MapType, boundary::TestRun};
use skep_testing::{Bpffs, Outcome, Snapshot, Stop, Test, ensure, expect_err, needs_kernel};

use crate::support::{Running, boundary, host, object, source};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("map_definitions::every_type_is_made", every_type),
        Test::new("map_definitions::broken_rules_are_told", broken_rules),
        Test::new("map_definitions::legacy_maps_load", legacy),
        Test::new("map_definitions::arenas_hold_variables", arena),
        Test::new(
            "map_definitions::an_arena_stands_where_it_is_told",
            placed_arena,
        ),
        Test::new("map_definitions::each_cpu_has_its_variables", per_cpu),
        Test::new("map_definitions::jump_tables_are_made", jump_table),
        Test::new("map_definitions::maps_are_left_out", left_out),
        Test::new("map_definitions::a_missing_map_is_told", missing_map),
        Test::new("map_definitions::maps_are_shared", shared),
        Test::new("map_definitions::another_shape_is_told", shapes),
        Test::new("map_definitions::exclusive_maps_have_one_user", exclusive),
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

/// `arena.bpf.c`, by a compiler that knows address spaces.
fn arena_object() -> Outcome<Object> {
    needs_kernel(6, 9)?;
    let path = source("arena.bpf.c");
    let bytes = skep_testing::compile_with("clang-19", &path, env!("CARGO_TARGET_TMPDIR"))?;
    Ok(Object::parse("arena", &bytes)?)
}

fn walk(running: &Running) -> Outcome<u32> {
    let ran = running
        .loaded
        .program("walk")?
        .test_run(&mut TestRun::default())?;
    Ok(ran.return_value)
}

fn arena() -> Outcome {
    let mut object = arena_object()?;
    object.global("sum_in_arena")?.set(3_u64)?;
    let running = Running::of(object)?;
    let arena = running.loaded.map("arena")?.arena()?;
    ensure(arena.len() == 100 * boundary().page_size(), || {
        format!("{arena:?}")
    })?;
    ensure(running.number("sum_in_arena")? == 3, || "not set".into())?;
    let returned = walk(&running)?;
    ensure(returned == 43, || format!("{returned}"))?;
    ensure(running.number("sum_in_arena")? == 43, || {
        "not written".into()
    })?;
    let zeroes = running.bytes("zeroes")?;
    ensure(zeroes.len() == 4800 && zeroes[4792] == 7, || "no 7".into())?;

    // A pointer that the program gave is one of ours.
    let node = running.number("first")?;
    let Some(offset) = arena.offset_of(node) else {
        return Err(Stop::fail(format!("{node:#x} is not in {arena:?}")));
    };
    let mut number = [0; 8];
    arena.read(offset + 8, &mut number)?;
    ensure(u64::from_ne_bytes(number) == 43, || format!("{number:?}"))?;
    // Odd places and ends stay whole.
    arena.write(offset + 9, &[1])?;
    arena.read(offset + 8, &mut number)?;
    ensure(u64::from_ne_bytes(number) == 0x100 + 43, || {
        format!("{number:?}")
    })?;
    let error = expect_err("beyond", arena.write(arena.len() - 1, &[0; 2]))?;
    ensure(error.to_string().contains("reach beyond"), || {
        error.to_string()
    })?;
    let running = Running::new("definitions")?;
    let error = expect_err("no arena", running.loaded.map("array")?.arena())?;
    ensure(error.to_string().contains("not arena"), || {
        error.to_string()
    })
}

fn placed_arena() -> Outcome {
    const PLACE: u64 = 0x1_0000_0000_0000 >> 4;
    let mut object = arena_object()?;
    object.map("arena")?.map_extra(PLACE);
    let running = Running::of(object)?;
    let arena = running.loaded.map("arena")?.arena()?;
    ensure(arena.address() == PLACE, || format!("{arena:?}"))?;
    ensure(walk(&running)? == 42, || "not walked".into())?;
    // Two objects share it: it is mapped once, and its variables are what they have become.
    let mut second = arena_object()?;
    second.map("arena")?.map_extra(PLACE);
    second.reuse_map("arena", running.loaded.map("arena")?)?;
    let second = Running::of(second)?;
    ensure(walk(&second)? == 84, || "another arena".into())?;

    let mut small = arena_object()?;
    small.map("arena")?.max_entries(1);
    let error = expect_err("an arena of a page", small.load(host()))?;
    ensure(error.to_string().contains("its variables take"), || {
        error.to_string()
    })
}

/// What a program of sockets returns for a packet of `len` bytes.
fn run_on_packet(running: &Running, name: &str, len: usize) -> Outcome<u32> {
    let packet = vec![0; len];
    let ran = running.loaded.program(name)?.test_run(&mut TestRun {
        data_in: &packet,
        ..TestRun::default()
    })?;
    Ok(ran.return_value)
}

fn per_cpu() -> Outcome {
    let mut object = object("percpu")?;
    object.global("odd")?.set(5_u32)?;
    let running = match object.load(host()) {
        Ok(loaded) => Running { object, loaded },
        Err(error) => {
            let text = error.to_string();
            let told = ["map `.percpu", "program `count`", "Linux 7.3 does"];
            return ensure(told.iter().all(|part| text.contains(part)), || text.clone());
        }
    };
    ensure(run_on_packet(&running, "count", 64)? == 47, || {
        "no sum".into()
    })?;
    let mut variables = running.object.spec().variables().iter();
    let Some(counter) = variables.find(|variable| variable.name == "counter") else {
        return Err(Stop::fail("no counter"));
    };
    let values = running.loaded.global_per_cpu(counter)?;
    let count = |number: u64| {
        let bytes = number.to_ne_bytes();
        values.iter().filter(|value| **value == bytes).count()
    };
    let cpus = boundary().possible_cpus()?;
    ensure(count(42) == 1 && count(40) == cpus - 1, || {
        format!("{values:?}")
    })?;
    let error = expect_err("one value", running.loaded.global(counter))?.to_string();
    ensure(error.contains("global_per_cpu"), || error.clone())
}

/// An object that LLVM 22 would make: whether a packet's length is odd chooses where to go.
fn jump_table() -> Outcome {
    const TEXT: &str = r#"
        .section socket,"ax",@progbits
        .globl choose
        .type choose,@function
    choose:
        r1 = *(u32 *)(r1 + 0)
        r1 &= 1
        r1 <<= 3
        r2 = BPF.JT.0.0 ll
        r2 += r1
        r2 = *(u64 *)(r2 + 0)
        .byte 0x0d, 2, 0, 0, 0, 0, 0, 0
        r0 = 10
        exit
        r0 = 20
        exit
        .size choose, .-choose
        .section .jumptables,"",@progbits
        .globl BPF.JT.0.0
        .type BPF.JT.0.0,@object
    BPF.JT.0.0:
        .quad 64
        .quad 80
        .size BPF.JT.0.0, 16
    "#;
    let clang = skep_testing::find_tool("clang")?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (text, made) = (folder.join("jump.s"), folder.join("jump.o"));
    std::fs::write(&text, TEXT)?;
    let ran = std::process::Command::new(clang)
        .args(["-target", "bpf", "-c", "-o"])
        .args([&made, &text])
        .output()?;
    ensure(ran.status.success(), || {
        String::from_utf8_lossy(&ran.stderr).into_owned()
    })?;
    let object = Object::open(&made)?;
    let running = match object.load(host()) {
        Ok(loaded) => Running { object, loaded },
        Err(error) => {
            let told = format!("{error}; {}", error.fix().unwrap_or_default());
            let known = told.contains(".jumptables") && told.contains("Linux 6.19");
            return ensure(known, || told.clone());
        }
    };
    let ways = [64, 65].map(|len| run_on_packet(&running, "choose", len));
    let [Ok(10), Ok(20)] = ways else {
        return Err(Stop::fail(format!("{ways:?}")));
    };
    Ok(())
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

fn exclusive() -> Outcome {
    needs_kernel(6, 18)?;
    let mut object = object("exclusive")?;
    object.map("secret")?.exclusive("owner");
    let running = Running::of(object)?;
    let map = running.loaded.map("secret")?;
    map.typed::<u32, u64>()?.set(&0, &20, Update::Any)?;
    let mut packet = TestRun {
        data_in: &[0; 14],
        ..TestRun::default()
    };
    let ran = running.loaded.program("owner")?.test_run(&mut packet)?;
    ensure(ran.return_value == 23, || format!("{ran:?}"))?;

    let mut object = crate::support::object("exclusive")?;
    object.map("secret")?.exclusive("owner");
    object.program("intruder")?.autoload(true);
    let error = expect_err("an intruder", object.load(host()))?;
    let text = error.to_string();
    ensure(text.contains("`intruder`") && text.contains("hash"), || {
        text.clone()
    })?;

    let mut object = crate::support::object("exclusive")?;
    object.map("secret")?.exclusive("nobody");
    let error = expect_err("nobody", object.load(host()))?.to_string();
    ensure(error.contains("nobody") && error.contains("owner"), || {
        error.clone()
    })?;
    object.map("secret")?.exclusive("intruder");
    let error = expect_err("not loaded", object.load(host()))?.to_string();
    ensure(
        error.contains("`secret`") && error.contains("not loaded"),
        || error.clone(),
    )
}

/// What pins there are in a folder.
fn pins(folder: &Path) -> Outcome<usize> {
    Ok(std::fs::read_dir(folder)?.count())
}

fn nothing_left() -> Outcome {
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
    let mut object = object("guarded")?;
    object.map("extra")?.map_type(MapType::Rhash);
    match object.load(host()) {
        Ok(_) => Err(Stop::lacks(
            "a kernel without resizable hashes (before 7.2)",
        )),
        Err(error) => {
            let cause = error.cause().map(ToString::to_string).unwrap_or_default();
            let fix = error.fix().unwrap_or_default();
            let told = format!("{error}; {cause}; {fix}");
            ensure(told.contains("`extra`") && told.contains("7.2"), || {
                told.clone()
            })
        }
    }
}
