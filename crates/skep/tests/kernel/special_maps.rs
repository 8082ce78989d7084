//! Maps that are more than a table: arenas, variables, jump tables, and maps of one user.

use std::path::Path;

use skep::{Object, Update, boundary::TestRun};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err, needs_kernel};

use crate::support::{Running, boundary, host, object, source};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("special_maps::arenas_hold_variables", arena),
        Test::new(
            "special_maps::an_arena_stands_where_it_is_told",
            placed_arena,
        ),
        Test::new("special_maps::each_cpu_has_its_variables", per_cpu),
        Test::new("special_maps::jump_tables_are_made", jump_table),
        Test::new("special_maps::global_data_is_kept_as_it_is", global_data),
        Test::new("special_maps::exclusive_maps_have_one_user", exclusive),
    ]
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
    let text = Path::new(env!("CARGO_TARGET_TMPDIR")).join("jump.s");
    std::fs::write(&text, TEXT)?;
    let object = Object::parse("jump", &skep_testing::assemble(&text)?)?;
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

fn global_data() -> Outcome {
    const MMAPABLE: u32 = 1 << 10;
    const RDONLY_PROG: u32 = 1 << 7;
    needs_kernel(5, 5)?;
    let running = Running::new("guarded")?;
    for (name, flags) in [
        ("guarded.rodata", MMAPABLE | RDONLY_PROG),
        (".data.unread", MMAPABLE),
    ] {
        let map = running.loaded.map(name)?;
        let info = map.info()?;
        ensure(info.flags == flags && info.max_entries == 1, || {
            format!("{info:?}")
        })?;
        let value = map.lookup(&0_u32.to_ne_bytes())?.unwrap_or_default();
        let written = map.update(&0_u32.to_ne_bytes(), &value, Update::Any);
        ensure(written.is_ok() == (flags == MMAPABLE), || {
            format!("{name}: {written:?}")
        })?;
    }
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
