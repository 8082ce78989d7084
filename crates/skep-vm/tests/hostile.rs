//! Programs and users that mean harm: whatever they ask for, the machine goes on, and nothing is
//! free of charge. Work that no instruction pays for is shown by a budget that it must not fit in.

use std::{thread, time::Duration};

use skep_abi::{MapType, ProgLoadFlags, ProgramType};
use skep_host::{Host, MapCreate, MapFd, ProgramFd, ProgramLoad, TestRun};
use skep_isa::{Endian, assemble, encode_slots};
use skep_vm::{Config, Engine, Vm};

/// What a program of this text ends in: its value, or the fault's text.
fn run(vm: &Vm, text: &str) -> Result<u32, String> {
    run_again(vm, &load(vm, text))
}

fn load(vm: &Vm, text: &str) -> ProgramFd {
    let code = assemble(text).expect("a program");
    let code = encode_slots(&code, Endian::NATIVE);
    let mut request = ProgramLoad::new(ProgramType::Syscall, "hostile", &code);
    request.flags = ProgLoadFlags::SLEEPABLE;
    vm.prog_load(&request).expect("a program that loads").fd
}

fn run_again(vm: &Vm, program: &ProgramFd) -> Result<u32, String> {
    // As little stack as threads of embedders may have.
    let thread = thread::Builder::new().stack_size(STACK);
    thread::scope(|scope| {
        let run = || {
            let mut run = TestRun::default();
            match vm.prog_test_run(program, &mut run) {
                Ok(outcome) => Ok(outcome.return_value),
                Err(error) => Err(format!("{error} {:?}", error.cause())),
            }
        };
        let thread = thread.spawn_scoped(scope, run);
        thread.expect("a thread").join().expect("an end")
    })
}

/// What a run's thread must have: see `skep_vm::Vm`.
const STACK: usize = 512 << 10;

fn map(vm: &Vm, of: MapType, [key, value, entries]: [u32; 3]) -> (MapFd, i32) {
    let create = MapCreate::new(of, "hostile", key, value, entries);
    let map = vm.map_create(&create).expect("a map");
    let number = map.raw();
    (map, number)
}

/// A million instructions are not enough for the program that this makes of a new machine.
fn too_much(make: impl Fn(&Vm) -> (Vec<MapFd>, String)) {
    on_both(1_000_000, |vm| {
        let (maps, text) = make(vm);
        let outcome = run(vm, &text);
        drop(maps);
        let ended = matches!(&outcome, Err(text) if text.contains("are spent"));
        assert!(ended, "{outcome:?}");
    });
}

fn on_both(instructions: u64, test: impl Fn(&Vm)) {
    for engine in [Engine::Interpreter, Engine::Jit] {
        let mut config = Config::checked();
        config.engine = engine;
        config.limits.instructions = instructions;
        config.limits.time = Some(Duration::from_secs(20));
        config.cpus = 2;
        test(&Vm::with(config).expect("memory"));
    }
}

#[test]
fn long_values_are_paid_for() {
    too_much(|vm| {
        let (map, fd) = map(vm, MapType::Array, [4, 1 << 20, 1]);
        let text = format!(
            "r6 = 100
             again:
             *(u32 *)(r10 - 4) = 0
             r1 = map[fd:{fd}]
             r2 = r10
             r2 += -4
             r3 = map[fd:{fd}][0]+0
             r4 = 0
             call 2
             r6 += -1
             if r6 != 0 goto again
             r0 = 0
             exit"
        );
        (vec![map], text)
    });
}

#[test]
fn long_reads_are_paid_for() {
    too_much(|vm| {
        let (map, fd) = map(vm, MapType::Array, [4, 1 << 20, 1]);
        let text = format!(
            "r6 = 100
             again:
             r1 = map[fd:{fd}][0]+0
             r2 = {}
             r3 = r1
             call 113
             r6 += -1
             if r6 != 0 goto again
             r0 = 0
             exit",
            1 << 20
        );
        (vec![map], text)
    });
}

#[test]
fn empty_tables_are_paid_for() {
    too_much(|vm| {
        let (map, fd) = map(vm, MapType::Hash, [4, 8, 1 << 20]);
        let text = format!(
            "r6 = 100
             again:
             r1 = map[fd:{fd}]
             r2 = subprog[nothing]
             r3 = 0
             r4 = 0
             call 164
             r6 += -1
             if r6 != 0 goto again
             r0 = 0
             exit
             nothing:
             r0 = 0
             exit"
        );
        (vec![map], text)
    });
}

/// The deepest nest of callbacks that a run can have, each in a loop of as many rounds as there
/// can be: the budget ends it, on a thread with little stack too.
#[test]
fn nested_loops_are_paid_for() {
    too_much(|_| {
        let call = "r2 = r0\n r1 = 8388608\n r3 = 0\n r4 = 0\n call 181\n r0 = 0\n exit\n";
        let mut text = format!("r0 = subprog[f0]\n {call}");
        for depth in 0..14 {
            text.push_str(&format!("f{depth}: r0 = subprog[f{}]\n {call}", depth + 1));
        }
        text.push_str("f14: r0 = 0\n exit\n");
        (Vec::new(), text)
    });
}

#[test]
fn locks_that_nobody_gives_back_are_paid_for() {
    too_much(|_| {
        let text = "
            *(u64 *)(r10 -8) = 1
            r1 = r10
            r1 += -8
            call 93
            r0 = 0
            exit";
        (Vec::new(), text.to_owned())
    });
}

#[test]
fn deeper_nests_are_faults() {
    on_both(1_000_000, |vm| {
        let call = "r1 = 2\n r3 = 0\n r4 = 0\n call 181\n r0 = 0\n exit\n";
        let text = format!("r2 = subprog[f]\n {call} f: r2 = subprog[f]\n {call}");
        let outcome = run(vm, &text);
        assert!(
            matches!(&outcome, Err(text) if text.contains("deep")),
            "{outcome:?}"
        );
    });
}

/// Records that are never given back are as many as a run can hold, and no more.
#[test]
fn held_records_are_few() {
    on_both(10_000_000, |vm| {
        let (_map, fd) = map(vm, MapType::Ringbuf, [0, 0, 1 << 20]);
        let text = format!(
            "r6 = 0
             again:
             r1 = map[fd:{fd}]
             r2 = 8
             r3 = 0
             call 131
             if r0 == 0 goto full
             r6 += 1
             if r6 < 100000 goto again
             full:
             if r6 > 2000 goto out
             r0 = *(u64 *)(r10 + 8)
             out:
             r0 = r6
             exit"
        );
        let outcome = run(vm, &text);
        // Not a leak, but the load behind the loop.
        assert!(
            matches!(&outcome, Err(text) if text.contains("memory") || text.contains("bytes")),
            "{outcome:?}"
        );
        // All were given back: the ring takes as many again.
        let again = run(
            vm,
            &format!(
                "r1 = map[fd:{fd}]\n r2 = {}\n r3 = 0\n call 131
                 if r0 == 0 goto none
                 r1 = r0\n r2 = 0\n call 133\n r0 = 1\n exit
                 none: r0 = 0\n exit",
                100
            ),
        );
        assert_eq!(again, Ok(1));
    });
}

/// User space replaces and drops programs and inner maps while four threads run through them.
#[test]
fn programs_and_maps_go_while_others_use_them() {
    on_both(1_000_000, |vm| {
        let (programs, array) = map(vm, MapType::ProgArray, [4, 4, 4]);
        let inner = || map(vm, MapType::Hash, [4, 64, 64]).0;
        let mut create = MapCreate::new(MapType::HashOfMaps, "outer", 4, 4, 4);
        let shape = inner();
        create.inner_map = Some(&shape);
        let outer = vm.map_create(&create).expect("a map");
        // Each goes through an inner map, adds to it, writes to a value that it found and to one
        // that it deleted, and goes on in the next program.
        let text = format!(
            "r6 = r1
             call 7
             r0 &= 3
             *(u32 *)(r10 - 4) = r0
             r1 = map[fd:{}]
             r2 = r10
             r2 += -4
             call 1
             if r0 == 0 goto next
             r7 = r0
             *(u64 *)(r10 - 72) = 1
             *(u64 *)(r10 - 64) = 1
             *(u64 *)(r10 - 56) = 1
             *(u64 *)(r10 - 48) = 1
             *(u64 *)(r10 - 40) = 1
             *(u64 *)(r10 - 32) = 1
             *(u64 *)(r10 - 24) = 1
             *(u64 *)(r10 - 16) = 1
             r1 = r7
             r2 = r10
             r2 += -4
             r3 = r10
             r3 += -72
             r4 = 0
             call 2
             r1 = r7
             r2 = r10
             r2 += -4
             call 1
             r8 = r0
             r1 = r7
             r2 = subprog[each]
             r3 = r7
             r4 = 0
             call 164
             r1 = r7
             r2 = r10
             r2 += -4
             call 3
             if r8 == 0 goto next
             r1 = *(u64 *)(r8 + 56)
             *(u64 *)(r8 + 56) = r1
             next:
             r1 = r6
             r2 = map[fd:{array}]
             call 7
             r3 = r0
             r3 &= 3
             r1 = r6
             call 12
             r0 = 0
             exit
             each:
             r1 = r4
             *(u64 *)(r3 + 8) = r1
             call 3
             r0 = 0
             exit",
            outer.raw()
        );
        let load = || {
            let code = encode_slots(&assemble(&text).expect("a program"), Endian::NATIVE);
            let mut request = ProgramLoad::new(ProgramType::Syscall, "hostile", &code);
            request.flags = ProgLoadFlags::SLEEPABLE;
            vm.prog_load(&request).expect("a program that loads").fd
        };
        let first = load();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1500 {
                        let outcome = vm.prog_test_run(&first, &mut TestRun::default());
                        if let Err(error) = outcome {
                            panic!("{error} {:?}", error.cause());
                        }
                    }
                });
            }
            for seed in 0..2_u32 {
                let (programs, outer, load) = (&programs, &outer, &load);
                scope.spawn(move || {
                    for round in 0..150 {
                        let key = ((round + seed) % 4).to_ne_bytes();
                        let program = load();
                        let put = program.raw().to_ne_bytes();
                        let _ = vm.map_update_elem(programs, &key, &put, 0);
                        let map = inner();
                        let put = map.raw().to_ne_bytes();
                        let _ = vm.map_update_elem(outer, &key, &put, 0);
                        if round % 3 == 0 {
                            let _ = vm.map_delete_elem(programs, &key);
                            let _ = vm.map_delete_elem(outer, &key);
                        }
                    }
                });
            }
        });
    });
}

/// Maps that are larger than the machine's memory are refused before anything is allocated.
#[test]
fn maps_beyond_the_limit_take_nothing() {
    let mut config = Config::checked();
    config.limits.memory = 1 << 20;
    let vm = Vm::with(config).expect("memory");
    for (of, key, value) in [
        (MapType::ProgArray, 4, 4),
        (MapType::PerfEventArray, 4, 4),
        (MapType::CgroupArray, 4, 4),
        (MapType::Array, 4, 1 << 20),
        (MapType::Hash, 4, 8),
        (MapType::LruHash, 4, 8),
        (MapType::Queue, 0, 8),
        (MapType::StackTrace, 4, 8),
    ] {
        let request = MapCreate::new(of, "large", key, value, u32::MAX >> 1);
        assert!(vm.map_create(&request).is_err(), "{of:?}");
    }
}

/// Memory that was lent is out of reach once it was given back, however often it was touched.
#[test]
fn what_was_given_back_is_out_of_reach() {
    on_both(1_000_000, |vm| {
        let (_ring, ring) = map(vm, MapType::Ringbuf, [0, 0, 4096]);
        let (_hash, hash) = map(vm, MapType::Hash, [8, 8, 4]);
        let touch = "r1 = *(u64 *)(r6 + 0)
             *(u64 *)(r6 + 0) = r1
             r1 = *(u64 *)(r6 + 0)
             *(u64 *)(r6 + 0) = r1\n";
        let reserve = format!(
            "r1 = map[fd:{ring}]\n r2 = 16\n r3 = 0\n call 131
             if r0 == 0 goto none
             r6 = r0\n {touch}"
        );
        let end = "r0 = 0\n exit\n none: r0 = 1\n exit\n";
        for give_back in ["132", "133"] {
            let commit = format!("r1 = r6\n r2 = 0\n call {give_back}\n");
            assert_eq!(run(vm, &format!("{reserve} {commit} {end}")), Ok(0));
            for after in [
                touch,
                "r0 = *(u64 *)(r6 + 0)\n",
                &commit,
                "r1 = map[fd:RING]\n r2 = r6\n r3 = 8\n r4 = 0\n call 130\n",
            ] {
                let after = after.replace("RING", &ring.to_string());
                let outcome = run(vm, &format!("{reserve} {commit} {after} {end}"));
                assert!(outcome.is_err(), "{after}: {outcome:?}");
            }
            // The bytes before and behind it never were the program's.
            for (sign, size) in [("-", 8), ("+", 16)] {
                let outside = format!("r0 = *(u64 *)(r6 {sign} {size})\n");
                let outcome = run(vm, &format!("{reserve} {outside} {commit} {end}"));
                assert!(outcome.is_err(), "{sign}{size}: {outcome:?}");
            }
        }
        // The key that a callback is shown is gone with the call.
        let text = format!(
            "*(u64 *)(r10 - 8) = 1
             *(u64 *)(r10 - 16) = 0
             r1 = map[fd:{hash}]\n r2 = r10\n r2 += -8\n r3 = r2\n r4 = 0\n call 2
             r1 = map[fd:{hash}]\n r2 = subprog[leak]\n r3 = r10\n r3 += -16\n r4 = 0\n call 164
             r6 = *(u64 *)(r10 - 16)
             r0 = *(u64 *)(r6 + 0)
             r0 = 0
             exit
             leak:
             r1 = *(u64 *)(r2 + 0)
             *(u64 *)(r4 + 0) = r2
             r0 = 0
             exit"
        );
        let outcome = run(vm, &text);
        assert!(outcome.is_err(), "{outcome:?}");
        // So is the frame of a function that has returned: another function's now, but memory.
        let text = "r1 = r10\n call f\n r0 = *(u64 *)(r0 + 0)\n r0 = 0\n exit
             f: *(u64 *)(r10 - 8) = 7\n r0 = r10\n r0 += -8\n exit";
        assert_eq!(run(vm, text), Ok(0));
    });
}

/// Addresses that wrap, or lie just outside of what the program has.
#[test]
fn addresses_at_the_edges_are_faults() {
    on_both(1_000_000, |vm| {
        for text in [
            "r1 = r10\n r0 = *(u8 *)(r1 + 0)",
            "r1 = r10\n r1 += 32767\n r0 = *(u64 *)(r1 - 32767)",
            "r1 = r10\n r1 += -512\n r1 += -8192\n r0 = *(u64 *)(r1 - 1)",
            "r1 = -1\n r0 = *(u64 *)(r1 + 0)",
            "r1 = -8\n r0 = *(u64 *)(r1 + 7)",
            "r1 = 0\n r0 = *(u64 *)(r1 - 8)",
            "r1 = r10\n w1 = w1\n r0 = *(u64 *)(r1 - 8)",
            "r1 = r10\n r1 += -4\n r0 = *(u64 *)(r1 + 0)",
            "r1 = r10\n r2 = 1\n r2 <<= 63\n r1 += r2\n r0 = *(u64 *)(r1 - 8)",
            "r1 = r10\n r2 = -1\n r2 >>= 1\n r1 += r2\n r0 = *(u64 *)(r1 - 8)",
            "*(u64 *)(r10 - 8) = r10\n r1 = r10\n r1 += -6\n *(u16 *)(r1 + 0) = 77
             r2 = *(u64 *)(r10 - 8)\n r0 = *(u64 *)(r2 - 16)",
            "*(u64 *)(r10 - 8) = r10\n r1 = r10\n r1 += -8\n call f
             r2 = *(u64 *)(r10 - 8)\n r0 = *(u64 *)(r2 - 16)\n exit
             f: r2 = 4096\n *(u64 *)(r1 + 0) = r2\n r0 = 0",
            "*(u64 *)(r10 - 8) = r10\n r1 = 2\n r2 = subprog[f]\n r3 = r10\n r3 += -8\n r4 = 0\n call 181
             r2 = *(u64 *)(r10 - 8)\n r0 = *(u64 *)(r2 - 16)\n exit
             f: r3 = 4096\n *(u64 *)(r2 + 0) = r3\n r0 = 0",
            "*(u64 *)(r10 - 8) = r10\n r1 = r10\n r1 += -8\n r2 = 8\n r3 = r10\n r3 += -16\n *(u64 *)(r3 + 0) = 4096\n call 113
             r2 = *(u64 *)(r10 - 8)\n r0 = *(u64 *)(r2 - 16)",
        ] {
            let outcome = run(vm, &format!("{text}\n exit"));
            assert!(outcome.is_err(), "{text}: {outcome:?}");
        }
    });
}

/// Whatever else is the program's, none of it is as near to a value or a frame as an instruction's
/// offset reaches.
#[test]
fn beside_a_value_there_is_nothing() {
    on_both(1000, |vm| {
        let maps: Vec<_> = (0..3)
            .map(|_| map(vm, MapType::Array, [4, 64, 1]))
            .collect();
        let others: String = maps[1..]
            .iter()
            .map(|(_, fd)| format!("r1 = map[fd:{fd}][0]+0\n"))
            .collect();
        let (wanted, fd) = &maps[0];
        let wild = i64::from(i16::MIN)..=i64::from(i16::MAX);
        let beside = |base: &str, inside: std::ops::Range<i64>| {
            let text = format!(
                "{others}
                 r1 = map[fd:{fd}][0]+0
                 r2 = *(u64 *)(r1 + 0)
                 r1 = {base}
                 r1 += r2
                 r0 = *(u8 *)(r1 + 0)
                 r0 = 0
                 exit"
            );
            let program = load(vm, &text);
            for offset in wild.clone().step_by(64) {
                let mut value = [0; 64];
                value[..8].copy_from_slice(&offset.to_ne_bytes());
                let key = 0_u32.to_ne_bytes();
                vm.map_update_elem(wanted, &key, &value, 0)
                    .expect("a value");
                let outcome = run_again(vm, &program);
                assert_eq!(
                    outcome.is_ok(),
                    inside.contains(&offset),
                    "{base}, {offset}: {outcome:?}"
                );
            }
        };
        for (_, fd) in &maps {
            beside(&format!("map[fd:{fd}][0]+0"), 0..64);
        }
        // All frames of a run are one region.
        beside("r10", -8192..0);
    });
}
