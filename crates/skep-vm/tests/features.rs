//! What programs do by way of maps and the machine, on each engine in each mode: globals, jump
//! tables, arenas, packet loads, tail calls, exceptions. All must answer alike.

use skep_abi::{MapCreateFlags, MapType, ProgramType, TestRunFlags};
use skep_btf::{Btf, KindTag};
use skep_host::{AttachPoint, Host as _, MapCreate, MapFd, ProgramFd, ProgramLoad, TestRun};
use skep_isa::{CallTarget, Endian, Insn, InsnIndex, assemble, encode_slots};
use skep_vm::{Config, Engine, FaultKind, Hook, Vm};

/// Calls of helpers from this number on stand for calls of kernel functions, by their type.
const KFUNCS: u32 = 1_000_000;

struct Machine {
    vm: Vm,
    hook: Hook<[u64; 2]>,
    verified: bool,
}

impl Machine {
    fn new(engine: Engine, verified: bool) -> Self {
        let mut config = Config::checked();
        config.cpus = 1;
        config.engine = engine;
        let vm = Vm::with(config).expect("memory");
        let hook = vm.define_hook("test", "hook").expect("a hook");
        Self { vm, hook, verified }
    }

    fn load(&self, program_type: ProgramType, text: &str) -> ProgramFd {
        let mut slots = assemble(text).expect("a program");
        for slot in &mut slots {
            if let Ok(Insn::Call(CallTarget::Helper(id))) = Insn::decode_at(&[*slot], InsnIndex(0))
                && let Some(btf_id) = id.checked_sub(KFUNCS)
            {
                let call = CallTarget::Kfunc {
                    btf_id,
                    fd_index: 0,
                };
                *slot = Insn::Call(call).encode()[0];
            }
        }
        let code = encode_slots(&slots, Endian::NATIVE);
        let mut request = ProgramLoad::new(program_type, "test", &code);
        request.license = "GPL";
        let loaded = match self.verified {
            // SAFETY: the programs of tests that run verified access only what is theirs.
            true => unsafe { self.vm.load_verified(&request) },
            false => self.vm.prog_load(&request),
        };
        loaded.expect("a program that loads").fd
    }

    fn map(&self, map_type: MapType, value: u32, entries: u32, flags: MapCreateFlags) -> MapFd {
        let mut request = MapCreate::new(map_type, "map", 4, value, entries);
        request.flags = flags;
        self.vm.map_create(&request).expect("a map")
    }

    /// What a program for the hook answers: its value, or its fault without addresses.
    fn fire(&self, program: &ProgramFd, argument: u64) -> String {
        let point = AttachPoint::Tracepoint {
            category: "test".into(),
            name: "hook".into(),
            cookie: None,
        };
        let attached = self
            .vm
            .attach("test", program, ProgramType::Tracepoint, &point);
        let attached = attached.expect("an attachment");
        let fired = self.hook.fire(&mut [argument, 0]);
        drop(attached);
        match fired.outcomes() {
            [Ok(value)] => format!("{value}"),
            [Err(fault)] => match &fault.kind {
                FaultKind::Memory { size, write, .. } => {
                    format!("{}: memory, {size} bytes, write: {write}", fault.at)
                }
                kind => format!("{}: {kind:?}", fault.at),
            },
            all => panic!("{all:?}"),
        }
    }

    fn run(&self, text: &str, argument: u64) -> String {
        self.fire(&self.load(ProgramType::Tracepoint, text), argument)
    }
}

/// Runs a test on each engine in checked mode and, if nothing in it faults, in verified mode.
fn alike(faults: bool, test: impl Fn(&Machine) -> Vec<String>) -> Vec<String> {
    let expected = test(&Machine::new(Engine::Interpreter, false));
    let found = test(&Machine::new(Engine::Jit, false));
    assert_eq!(found, expected, "checked JIT");
    if !faults {
        for engine in [Engine::Interpreter, Engine::Jit] {
            let found = test(&Machine::new(engine, true));
            assert_eq!(found, expected, "verified {engine:?}");
        }
    }
    expected
}

/// Programs on the value of an array made with these flags; the program outlives the descriptor.
fn on_global(machine: &Machine, flags: MapCreateFlags, bodies: &[&str]) -> Vec<String> {
    let each = bodies.iter().map(|body| {
        let map = machine.map(MapType::Array, 64, 1, flags);
        let value: Vec<u8> = (0..64).collect();
        let updated = machine.vm.map_update_elem(&map, &[0; 4], &value, 0);
        updated.expect("an update");
        let text = format!("r2 = map[fd:{}][0]+8\n{body}\n exit", map.raw());
        let program = machine.load(ProgramType::Tracepoint, &text);
        drop(map);
        machine.fire(&program, 3)
    });
    each.collect()
}

const INSIDE: &[&str] = &[
    "r0 = *(u8 *)(r2 + 55)",
    "r0 = *(u64 *)(r2 - 8)",
    "r1 = *(u64 *)(r1 + 0)\n r1 &= 31\n r2 += r1\n r0 = *(u8 *)(r2 + 0)",
];
const STORES: &[&str] = &[
    "*(u8 *)(r2 + 3) = 77\n r0 = *(u64 *)(r2 + 0)",
    "r0 = 5\n r0 = atomic_fetch_add((u64 *)(r2 + 8), r0)\n r3 = *(u64 *)(r2 + 8)\n r0 -= r3",
];
const OUTSIDE: &[&str] = &[
    "r0 = *(u8 *)(r2 + 56)",
    "r0 = *(u64 *)(r2 + 49)",
    "r0 = *(u8 *)(r2 - 9)",
    "r0 = 0\n *(u64 *)(r2 + 52) = 1",
];

#[test]
fn globals() {
    let none = MapCreateFlags::empty();
    let inside = alike(false, |machine| {
        let mut all = on_global(machine, none, INSIDE);
        all.extend(on_global(machine, none, STORES));
        all.extend(on_global(machine, MapCreateFlags::RDONLY_PROG, INSIDE));
        all
    });
    assert_eq!(inside[0], "63");
    assert_eq!(inside[2], "11");
    let outside = alike(true, |machine| {
        let mut all = on_global(machine, none, OUTSIDE);
        all.extend(on_global(machine, MapCreateFlags::RDONLY_PROG, STORES));
        all.extend(on_global(machine, MapCreateFlags::RDONLY_PROG, OUTSIDE));
        all.extend(on_global(machine, MapCreateFlags::WRONLY_PROG, INSIDE));
        all
    });
    for answer in outside {
        assert!(answer.contains("memory"), "{answer}");
    }
}

/// What is always inside a global needs no check; what is outside does.
#[test]
fn globals_are_known() {
    let machine = Machine::new(Engine::Jit, false);
    let map = machine.map(MapType::Array, 64, 1, MapCreateFlags::empty());
    let size = |last: u32| {
        let text = format!(
            "r2 = map[fd:{}][0]+8\n r0 = *(u8 *)(r2 + {last})\n exit",
            map.raw()
        );
        let program = machine.load(ProgramType::Tracepoint, &text);
        machine.vm.prog_info(&program).expect("its info").jited_size
    };
    assert_eq!(size(55), size(54));
    assert!(size(55) + 20 < size(56));
}

/// Looks up the key that is the argument, and answers the value's last byte.
fn last_byte(map: &MapFd, key: u32, value: u32) -> String {
    format!(
        "r1 = *(u64 *)(r1 + 0)
        *(u32 *)(r10 - {key}) = r1
        r1 = map[fd:{}]
        r2 = r10
        r2 += -{key}
        call 1
        if r0 == 0 goto +2
        r0 = *(u8 *)(r0 + {})
        exit
        r0 = 1000
        exit",
        map.raw(),
        value - 1
    )
}

/// Compiled code finds values of arrays by itself.
#[test]
fn arrays_are_looked_up() {
    for (map_type, value, entries) in [
        (MapType::Array, 1, 1),
        (MapType::Array, 7, 3),
        (MapType::Array, 8, 256),
        (MapType::Array, 24, 200),
        (MapType::Array, 4096, 5),
        (MapType::PercpuArray, 8, 16),
        (MapType::PercpuArray, 20, 3),
    ] {
        let keys = [0, 1, 2, entries - 1, entries, 1 << 31, u32::MAX];
        let found = alike(false, |machine| {
            let map = machine.map(map_type, value, entries, MapCreateFlags::empty());
            for index in 0..entries {
                let bytes = vec![index as u8; value.next_multiple_of(8) as usize];
                let bytes = match map_type {
                    MapType::Array => &bytes[..value as usize],
                    _ => &bytes,
                };
                let set = machine
                    .vm
                    .map_update_elem(&map, &index.to_ne_bytes(), bytes, 0);
                set.expect("an update");
            }
            // Keys anywhere in the frame, aligned or not.
            let each = [4, 8, 7, 512].into_iter().flat_map(|place| {
                let program = last_byte(&map, place, value);
                keys.map(|key| machine.run(&program, u64::from(key) | 7 << 32))
            });
            each.collect()
        });
        let expected = keys.map(|key| match key < entries {
            true => (key as u8).to_string(),
            false => "1000".to_owned(),
        });
        let expected: Vec<_> = [&expected; 4].into_iter().flatten().cloned().collect();
        assert_eq!(found, expected, "{map_type:?} {value} {entries}");
    }
}

/// Each CPU finds its own values.
#[test]
fn arrays_are_looked_up_on_each_cpu() {
    for engine in [Engine::Interpreter, Engine::Jit] {
        let mut config = Config::default();
        (config.cpus, config.engine) = (4, engine);
        let vm = Vm::with(config).expect("memory");
        let map = vm.map_create(&MapCreate::new(MapType::PercpuArray, "map", 4, 12, 3));
        let map = map.expect("a map");
        for index in 0..3_u8 {
            let values: Vec<u8> = (0..4).flat_map(|cpu| [10 * cpu + index; 16]).collect();
            let key = u32::from(index).to_ne_bytes();
            vm.map_update_elem(&map, &key, &values, 0)
                .expect("an update");
        }
        for index in 0..3 {
            let text = last_byte(&map, 4, 12).replace("*(u64 *)(r1 + 0)", &index.to_string());
            let code = encode_slots(&assemble(&text).expect("a program"), Endian::NATIVE);
            let request = ProgramLoad::new(ProgramType::RawTracepoint, "test", &code);
            let program = vm.prog_load(&request).expect("a program that loads").fd;
            for cpu in 0..4 {
                let mut run = TestRun {
                    flags: TestRunFlags::RUN_ON_CPU,
                    cpu,
                    ..TestRun::default()
                };
                let ran = vm.prog_test_run(&program, &mut run).expect("a run");
                assert_eq!(ran.return_value, 10 * cpu + index, "{engine:?}");
            }
        }
    }
}

/// A program that jumps by a table of three places.
fn jumps(machine: &Machine, check: &str, arguments: &[u64]) -> Vec<String> {
    let table = machine.map(MapType::InsnArray, 16, 3, MapCreateFlags::empty());
    for (index, at) in [(0_u32, 8_u32), (1, 10), (2, 12)] {
        let mut value = [0; 16];
        value[..4].copy_from_slice(&at.to_ne_bytes());
        let set = machine
            .vm
            .map_update_elem(&table, &index.to_ne_bytes(), &value, 0);
        set.expect("an update");
    }
    machine.vm.map_freeze(&table).expect("a frozen map");
    let text = format!(
        "r1 = *(u64 *)(r1 + 0)
        {check}
        r1 <<= 3
        r2 = map[fd:{}][0]+0
        r2 += r1
        r1 = *(u64 *)(r2 + 0)
        gotox r1
        r0 = 10
        exit
        r0 = 20
        exit
        r0 = 30
        exit",
        table.raw()
    );
    let program = machine.load(ProgramType::Tracepoint, &text);
    let each = arguments.iter();
    each.map(|argument| machine.fire(&program, *argument))
        .collect()
}

#[test]
fn jump_tables() {
    let good = alike(false, |machine| {
        jumps(machine, "if r1 > 2 goto +6", &[0, 1, 2, 3, 100])
    });
    assert_eq!(good, ["10", "20", "30", "10", "10"]);
    let bad = alike(true, |machine| {
        let mut all = jumps(machine, "r9 = 0", &[0, 3, 1 << 40]);
        all.push(machine.run("r0 = 0\n r1 = 3\n gotox r1\n exit", 0));
        all
    });
    assert_eq!(bad[0], "10");
    assert!(bad[1].contains("memory"), "{}", bad[1]);
    assert!(bad[3].contains("Jump"), "{}", bad[3]);
}

#[test]
fn packet_loads() {
    let answers = alike(false, |machine| {
        [
            "r0 = *(u16 *)skb[12]",
            "r0 = *(u32 *)skb[14]",
            "r7 = 13\n r0 = *(u8 *)skb[r7 + 2]",
            "r7 = 13\n r0 = *(u8 *)skb[r7 + 200]\n r0 += 1",
            "r0 = *(u8 *)skb[64]\n r0 = 5",
            "r7 = 1\n r7 <<= 32\n r0 = *(u8 *)skb[r7 + 1]",
        ]
        .map(|body| {
            let text = format!("r6 = r1\n {body}\n exit");
            let program = machine.load(ProgramType::SchedCls, &text);
            let packet: Vec<u8> = (0..64).collect();
            let mut run = TestRun {
                data_in: &packet,
                ..TestRun::default()
            };
            let outcome = machine.vm.prog_test_run(&program, &mut run);
            outcome.expect("a run").return_value.to_string()
        })
        .to_vec()
    });
    assert_eq!(answers[2..], ["15", "0", "0", "1"]);
}

#[test]
fn tail_calls() {
    let answers = alike(false, |machine| {
        let array = machine.map(MapType::ProgArray, 4, 3, MapCreateFlags::empty());
        let call = |slot: u32, answer: u32| {
            format!(
                "r6 = r1\n r0 = *(u64 *)(r1 + 0)\n r0 += 1\n *(u64 *)(r1 + 0) = r0
                r2 = map[fd:{}]\n r3 = {slot}\n call 12\n r0 = *(u64 *)(r6 + 0)
                r0 += {answer}\n exit",
                array.raw()
            )
        };
        let load = |text: &str| machine.load(ProgramType::Tracepoint, text);
        let (first, second) = (load(&call(0, 100)), load(&call(1, 200)));
        let inside = load(&format!(
            "call +2\n r0 += 1000\n exit
            r2 = map[fd:{}]\n r3 = 1\n call 12\n r0 = 7\n exit",
            array.raw()
        ));
        let last = load("r0 = *(u64 *)(r1 + 0)\n exit");
        let set = |slot: u32, program: &ProgramFd| {
            let value = program.raw().to_ne_bytes();
            let set = machine
                .vm
                .map_update_elem(&array, &slot.to_ne_bytes(), &value, 0);
            set.expect("an update");
        };
        let mut all = vec![machine.fire(&first, 0)];
        set(0, &second);
        all.push(machine.fire(&first, 0));
        set(1, &last);
        all.extend([machine.fire(&first, 0), machine.fire(&inside, 0)]);
        set(1, &second);
        all.push(machine.fire(&first, 0));
        set(0, &first);
        all.push(machine.fire(&first, 0));
        all
    });
    assert_eq!(answers[..3], ["101", "202", "2"]);
}

/// The call of a kernel function of the machine.
fn kfunc(name: &str) -> u32 {
    let btf = Btf::parse(include_bytes!("../src/generated/vm.btf").to_vec()).expect("BTF");
    btf.find(name, KindTag::Function).expect(name).0 + KFUNCS
}

#[test]
fn exceptions() {
    let throw = kfunc("bpf_throw");
    let answers = alike(false, |machine| {
        let call = format!("call {throw}");
        [
            format!("r1 = 9\n {call}\n r0 = 1\n exit"),
            format!("call deep\n r0 += 1\n exit\ndeep: r1 = 30\n {call}\n r0 = 2\n exit"),
            format!(
                "r6 = r1\n r1 = *(u64 *)(r1 + 0)\n call deep\n r0 += 1\n exit
                deep: r6 = r1\n r1 = r6\n if r1 > 5 goto out\n r1 += 1\n call deep\n r0 = 3\n exit
                out: {call}\n r0 = 2\n exit"
            ),
        ]
        .map(|text| machine.run(&text, 2))
        .to_vec()
    });
    assert_eq!(answers, ["9", "30", "6"]);
}

#[test]
fn arenas() {
    let allocate = kfunc("bpf_arena_alloc_pages");
    let answers = alike(false, |machine| {
        let mut request = MapCreate::new(MapType::Arena, "arena", 0, 0, 10);
        request.flags = MapCreateFlags::MMAPABLE;
        request.map_extra = 7 << 40;
        let arena = machine.vm.map_create(&request).expect("an arena");
        let new = format!(
            "r1 = map[fd:{}]\n r2 = 0\n r3 = 1\n r4 = -1\n r5 = 0\n call {allocate}",
            arena.raw()
        );
        [
            // A page, by both of its addresses.
            "r1 = addr_space_cast(r0, 0, 1)\n *(u64 *)(r1 + 8) = 44\n r2 = addr_space_cast(r1, 1, 0)
            r2 = addr_space_cast(r2, 0, 1)\n r0 = *(u64 *)(r2 + 8)",
            // Where no page is, loads give 0 and stores are lost.
            "r1 = addr_space_cast(r0, 0, 1)\n r1 += 20480\n *(u64 *)(r1 + 8) = 44
            r0 = *(u64 *)(r1 + 8)",
            "r1 = addr_space_cast(r0, 0, 1)\n r2 = 3\n lock *(u64 *)(r1 + 16) += r2
            lock *(u64 *)(r1 + 16) += r2\n r0 = *(u64 *)(r1 + 16)",
            "r0 = 0\n r0 = addr_space_cast(r0, 1, 0)",
        ]
        .map(|body| {
            // Checked only: in verified mode what a store hits is the verifier's business.
            if machine.verified && body.contains("20480") {
                return "0".to_owned();
            }
            machine.run(&format!("{new}\n {body}\n exit"), 0)
        })
        .to_vec()
    });
    assert_eq!(answers, ["44", "0", "6", "0"]);
}

/// The budget is looked after every million instructions, in the middle of what a loop keeps.
#[test]
fn a_loop_goes_on_where_its_slice_ended() {
    let slots = assemble(
        "
        r6 = 70001
        r0 = 0
    outer:
        r6 += -1
        r7 = *(u8 *)(r1 + 0)
    inner:
        r2 = r6
        r2 %= r7
        r0 += r2
        r3 = r6
        r3 /= r7
        r0 ^= r3
        r7 += -1
        if r7 != 3 goto inner
        if r6 != 1 goto outer
        exit",
    )
    .expect("a program");
    let mut expected = 0;
    for dividend in (1..=70_000_u64).rev() {
        for divisor in (4..=9).rev() {
            expected = (expected + dividend % divisor) ^ (dividend / divisor);
        }
    }
    let vm = Vm::new().expect("memory");
    for engine in [Engine::Jit, Engine::Interpreter] {
        let program = vm.bare("slices", &slots, engine).expect("a program");
        assert_eq!(program.run(&mut [9]), Ok(expected), "{engine:?}");
    }
}
