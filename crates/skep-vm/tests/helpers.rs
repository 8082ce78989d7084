//! Helpers where no kernel can be asked: faults of checked programs, tasks with memory, locks
//! between threads, the clock that stands still.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use skep_abi::{MapType, ProgramType};
use skep_btf::{Btf, Kind, KindTag};
use skep_host::{Errno, Host, MapCreate, ProgramLoad, TestRun};
use skep_isa::{Endian, assemble, encode_slots};
use skep_vm::{Clock, Config, Engine, FaultKind, Task, TaskInfo, UserMemory, Vm};

fn machine() -> Vm {
    let mut config = Config::checked();
    config.limits.instructions = 10_000_000;
    config.limits.time = Some(Duration::from_millis(200));
    config.cpus = 2;
    Vm::with(config).expect("memory")
}

fn run_on(vm: &Vm, text: &str, memory: &mut [u8]) -> Result<u64, FaultKind> {
    let code = assemble(text).expect("a program");
    let program = vm.bare("test", &code, Engine::Interpreter);
    let program = program.expect("a program that loads");
    program.run(memory).map_err(|fault| fault.kind)
}

fn run_for(vm: &Vm, task: &Arc<Task>, text: &str, memory: &mut [u8]) -> Result<u64, FaultKind> {
    let code = assemble(text).expect("a program");
    let program = vm.bare("test", &code, Engine::Interpreter);
    let program = program.expect("a program that loads");
    program.run_for(task, memory).map_err(|fault| fault.kind)
}

fn errno(errno: Errno) -> u64 {
    i64::from(errno.0).wrapping_neg() as u64
}

// ── locks ───────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_second_lock_is_a_fault() {
    let vm = machine();
    let text = "r6 = r1\n call 93\n r1 = r6\n call 93\n r0 = 0\n exit";
    let mut memory = [0; 16];
    let fault = run_on(&vm, text, &mut memory);
    assert!(matches!(
        fault,
        Err(FaultKind::Argument {
            function: "bpf_spin_lock",
            ..
        })
    ));
    assert_eq!(memory, [0; 16], "the lock was given back");
}

#[test]
fn a_lock_that_stays_is_a_fault() {
    let vm = machine();
    let mut memory = [0; 16];
    for (text, at) in [
        ("r6 = 7\n call 93\n r0 = 0\n exit", 1),
        ("call 93\n r1 = 0\n r0 = *(u64 *)(r1 + 0)\n exit", 2),
    ] {
        for engine in [Engine::Interpreter, Engine::Jit] {
            let code = assemble(text).expect("a program");
            let program = vm.bare("test", &code, engine);
            let program = program.expect("a program that loads");
            let fault = program.run(&mut memory).expect_err("it keeps the lock");
            assert_eq!(fault.at.0, at, "{fault}");
            match at {
                1 => assert_eq!(fault.kind, FaultKind::Held { what: "a lock" }),
                _ => assert!(matches!(fault.kind, FaultKind::Memory { .. }), "{fault}"),
            }
            assert_eq!(memory, [0; 16], "the lock was given back");
        }
    }
}

#[test]
fn a_lock_of_nobody_is_waited_for_and_then_a_fault() {
    let vm = machine();
    let mut memory = [1; 16];
    let fault = run_on(&vm, "call 93\n r0 = 0\n exit", &mut memory);
    assert!(
        matches!(fault, Err(FaultKind::Argument { .. })),
        "{fault:?}"
    );
    assert_eq!(memory, [1; 16]);
}

#[test]
fn what_is_not_held_is_not_unlocked() {
    let vm = machine();
    for text in [
        "call 94\n r0 = 0\n exit",
        "r6 = r1\n call 93\n r1 = r6\n r1 += 4\n call 94\n r0 = 0\n exit",
        "r1 += 1\n call 93\n r0 = 0\n exit",
        "r1 = 0\n call 93\n r0 = 0\n exit",
        "r1 = 0\n call 94\n r0 = 0\n exit",
    ] {
        let mut memory = [0; 16];
        assert!(run_on(&vm, text, &mut memory).is_err(), "{text}");
        assert_eq!(memory, [0; 16]);
    }
}

#[test]
fn locks_hold_between_threads() {
    let vm = machine();
    let map = vm
        .map_create(&MapCreate::new(MapType::Array, "counter", 4, 16, 1))
        .expect("a map");
    let text = format!(
        "r6 = 2000
         r7 = map[fd:{}][0]+0
         again:
         r1 = r7
         call 93
         r1 = *(u64 *)(r7 + 8)
         r1 += 1
         *(u64 *)(r7 + 8) = r1
         r1 = r7
         call 94
         r6 += -1
         if r6 != 0 goto again
         r0 = 0
         exit",
        map.raw()
    );
    let code = encode_slots(&assemble(&text).expect("a program"), Endian::NATIVE);
    let mut request = ProgramLoad::new(ProgramType::Syscall, "count", &code);
    request.flags = skep_abi::ProgLoadFlags::SLEEPABLE;
    let program = vm.prog_load(&request).expect("a program that loads").fd;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                vm.prog_test_run(&program, &mut TestRun::default())
                    .expect("a run")
            });
        }
    });
    let mut value = [0; 16];
    vm.map_lookup_elem(&map, &[0; 4], &mut value, 0)
        .expect("a value");
    assert_eq!(value[..8], [0; 8]);
    assert_eq!(value[8..], 6000_u64.to_ne_bytes());
}

// ── clocks ──────────────────────────────────────────────────────────────────────────────────────

#[test]
fn clocks_go_on_and_agree() {
    let vm = machine();
    for call in ["call 5", "call 125", "call 160", "call 118"] {
        let text = format!("{call}\n r6 = r0\n {call}\n r0 -= r6\n exit");
        let passed = run_on(&vm, &text, &mut []).expect("two readings");
        assert!((passed as i64) >= 0, "{call} went back");
    }
    let before = Clock::real().now().as_nanos() as u64;
    let between = run_on(&vm, "call 5\n exit", &mut []).expect("a reading");
    let after = Clock::real().now().as_nanos() as u64;
    assert!(before <= between && between <= after);
}

#[test]
fn a_manual_clock_stands_still() {
    let clock = Clock::manual(Duration::from_secs(5));
    let mut config = Config::checked();
    config.clock = clock.clone();
    let vm = Vm::with(config).expect("memory");
    for call in ["call 5", "call 125", "call 160", "call 208"] {
        let text = format!("{call}\n exit");
        assert_eq!(run_on(&vm, &text, &mut []), Ok(5_000_000_000));
    }
    clock.advance(Duration::from_millis(1500));
    assert_eq!(run_on(&vm, "call 5\n exit", &mut []), Ok(6_500_000_000));
    assert_eq!(run_on(&vm, "call 118\n exit", &mut []), Ok(6500));
}

#[test]
fn random_numbers_differ() {
    let vm = machine();
    let text = "call 7\n r6 = r0\n call 7\n r0 ^= r6\n exit";
    let differ = |_| run_on(&vm, text, &mut []).is_ok_and(|bits| bits != 0);
    assert!((0..4).any(differ));
    let high = "call 7\n r0 >>= 32\n exit";
    assert_eq!(run_on(&vm, high, &mut []), Ok(0), "32 bits");
}

// ── tasks ───────────────────────────────────────────────────────────────────────────────────────

/// 8 KiB at 0x10000; the first half can be written.
#[derive(Debug)]
struct Process {
    memory: Mutex<Vec<u8>>,
    signals: Mutex<Vec<(u32, bool, Option<u64>)>>,
}

impl Process {
    const START: u64 = 0x10000;

    fn range(address: u64, len: usize, end: u64) -> Option<std::ops::Range<usize>> {
        let start = address.checked_sub(Self::START)?;
        let stop = start.checked_add(len as u64)?;
        (stop <= end).then_some(start as usize..stop as usize)
    }
}

impl UserMemory for Process {
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        let range = Self::range(address, out.len(), 8192).ok_or(Errno::EFAULT)?;
        out.copy_from_slice(&self.memory.lock().expect("no panic")[range]);
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let range = Self::range(address, bytes.len(), 4096).ok_or(Errno::EFAULT)?;
        self.memory.lock().expect("no panic")[range].copy_from_slice(bytes);
        Ok(())
    }

    fn signal(&self, signal: u32, thread: bool, value: Option<u64>) -> Result<(), Errno> {
        self.signals
            .lock()
            .expect("no panic")
            .push((signal, thread, value));
        Ok(())
    }
}

fn task(vm: &Vm) -> (Arc<Task>, Arc<Process>) {
    let mut memory = vec![0; 8192];
    memory[..6].copy_from_slice(b"hello\0");
    memory[8190..].copy_from_slice(b"ab");
    let process = Arc::new(Process {
        memory: Mutex::new(memory),
        signals: Mutex::default(),
    });
    let mut parent = TaskInfo::default();
    (parent.pid, parent.tgid) = (90, 90);
    parent.comm = "parent".to_owned();
    let mut info = TaskInfo::default();
    (info.pid, info.tgid, info.uid, info.gid) = (101, 100, 7, 8);
    info.comm = "a name that is too long".to_owned();
    info.cgroups = vec![1, 50, 51];
    info.parent = Some(vm.task(parent));
    info.memory = Some(Arc::clone(&process) as _);
    (vm.task(info), process)
}

#[test]
fn a_given_task_is_the_current_one() {
    let vm = machine();
    let (task, _) = task(&vm);
    let run = |text: &str| run_for(&vm, &task, text, &mut [0; 64]);
    assert_eq!(run("call 14\n exit"), Ok(100 << 32 | 101));
    assert_eq!(run("call 15\n exit"), Ok(8 << 32 | 7));
    assert_eq!(run("call 80\n exit"), Ok(51));
    assert_eq!(run("r1 = 1\n call 123\n exit"), Ok(50));
    assert_eq!(run("r1 = 3\n call 123\n exit"), Ok(0));
    let mut comm = [0xaa; 16];
    let text = "r2 = 16\n call 16\n exit";
    assert_eq!(run_for(&vm, &task, text, &mut comm), Ok(0));
    assert_eq!(&comm, b"a name that is \0");
    assert_eq!(run("call 35\n exit"), Ok(task.address()));
    assert_eq!(run("call 158\n exit"), Ok(task.address()));
}

/// Where a member is, as the machine's BTF says.
fn offset(structure: &str, member: &str) -> usize {
    let btf = Btf::parse(&include_bytes!("../src/generated/vm.btf")[..]).expect("BTF");
    let id = btf.find(structure, KindTag::Struct).expect("a structure");
    let Kind::Struct(found) = btf.type_by_id(id).expect("a type").kind() else {
        panic!("no structure");
    };
    let mut members = found.members();
    let member = members.find(|known| known.name() == member);
    member.expect("a member").bit_offset as usize / 8
}

#[test]
fn task_structures_are_readable_and_lead_on() {
    let vm = machine();
    let (task, _) = task(&vm);
    let at = |member| offset("task_struct", member);
    let run = |text: &str| run_for(&vm, &task, text, &mut [0; 64]);
    let load = |what: &str| format!("call 35\n {what}\n exit");
    let tgid = at("tgid");
    assert_eq!(run(&load(&format!("r0 = *(u32 *)(r0 + {tgid})"))), Ok(100));
    let parent = at("real_parent");
    let text = load(&format!(
        "r0 = *(u64 *)(r0 + {parent})\n r0 = *(u32 *)(r0 + {tgid})"
    ));
    assert_eq!(run(&text), Ok(90));
    // Of a task that nobody began, it is the task itself.
    let text = load(&format!(
        "r0 = *(u64 *)(r0 + {parent})\n r0 = *(u64 *)(r0 + {parent})\n r0 = *(u32 *)(r0 + {tgid})"
    ));
    assert_eq!(run(&text), Ok(90));
    let uid = offset("cred", "uid");
    let text = load(&format!(
        "r0 = *(u64 *)(r0 + {})\n r0 = *(u32 *)(r0 + {uid})",
        at("cred")
    ));
    assert_eq!(run(&text), Ok(7));
    let text = load(&format!(
        "r0 = *(u64 *)(r0 + {})\n r0 = *(u64 *)(r0 + {})\n r1 = r0\n r0 = *(u64 *)(r0 + {})\n r0 = *(u64 *)(r0 + {})",
        at("cgroups"),
        offset("css_set", "dfl_cgrp"),
        offset("cgroup", "kn"),
        offset("kernfs_node", "id"),
    ));
    assert_eq!(run(&text), Ok(51));
    // Not to be written, and no further than it goes.
    let text = load(&format!("*(u32 *)(r0 + {tgid}) = 1"));
    assert!(matches!(
        run(&text),
        Err(FaultKind::Memory { write: true, .. })
    ));
    let text = load("r0 += -8\n r0 = *(u64 *)(r0 + 0)");
    assert!(matches!(run(&text), Err(FaultKind::Memory { .. })));
    // Probing reads it too.
    let comm = at("comm");
    let mut name = [0; 16];
    let text =
        format!("r6 = r1\n call 35\n r3 = r0\n r3 += {comm}\n r1 = r6\n r2 = 16\n call 113\n exit");
    assert_eq!(run_for(&vm, &task, &text, &mut name), Ok(0));
    assert_eq!(&name, b"a name that is \0");
}

#[test]
fn this_thread_is_the_task_by_default() {
    let vm = machine();
    let text = format!(
        "call 35\n r0 = *(u32 *)(r0 + {})\n exit",
        offset("task_struct", "tgid")
    );
    let pid = u64::from(std::process::id());
    assert_eq!(run_on(&vm, &text, &mut []), Ok(pid));
    assert_eq!(run_on(&vm, "call 14\n r0 >>= 32\n exit", &mut []), Ok(pid));
    let named = thread::Builder::new().name("its name".to_owned());
    let copy = vm.clone();
    let comm = named.spawn(move || {
        let mut comm = [0xaa; 16];
        let done = run_on(&copy, "r2 = 16\n call 16\n exit", &mut comm);
        (done, comm)
    });
    let (done, comm) = comm.expect("a thread").join().expect("no panic");
    assert_eq!(done, Ok(0));
    assert_eq!(&comm, b"its name\0\0\0\0\0\0\0\0");
}

#[test]
fn user_memory_is_read_and_written() {
    let vm = machine();
    let (task, process) = task(&vm);
    let read = |helper: u32, address: u64, size: u32, memory: &mut [u8]| {
        let text = format!("r2 = {size}\n r3 = {address:#x} ll\n call {helper}\n exit");
        run_for(&vm, &task, &text, memory)
    };
    let mut memory = [0xaa; 8];
    for helper in [4, 112, 148] {
        assert_eq!(read(helper, 0x10000, 8, &mut memory), Ok(0));
        assert_eq!(&memory, b"hello\0\0\0");
        assert_eq!(
            read(helper, 0x11ffe, 8, &mut memory),
            Ok(errno(Errno::EFAULT))
        );
        assert_eq!(memory, [0; 8]);
        assert_eq!(read(helper, 0x11ffe, 2, &mut memory), Ok(0));
        assert_eq!(&memory, b"ab\0\0\0\0\0\0");
    }
    for helper in [45, 114] {
        let mut memory = [0xaa; 8];
        assert_eq!(read(helper, 0x10000, 8, &mut memory), Ok(6));
        assert_eq!(&memory, b"hello\0\xaa\xaa");
        assert_eq!(read(helper, 0x10000, 3, &mut memory), Ok(3));
        assert_eq!(&memory[..3], b"he\0");
        assert_eq!(
            read(helper, 0x11ffe, 8, &mut memory),
            Ok(errno(Errno::EFAULT))
        );
    }
    // The kernel's readers don't go there.
    let mut memory = [0xaa; 8];
    assert_eq!(read(113, 0x10000, 8, &mut memory), Ok(errno(Errno::ERANGE)));
    let write = |address: u64| {
        let text = format!("r2 = r1\n r1 = {address:#x} ll\n r3 = 4\n call 36\n exit");
        run_for(&vm, &task, &text, &mut [1, 2, 3, 4])
    };
    assert_eq!(write(0x10010), Ok(0));
    assert_eq!(
        process.memory.lock().expect("no panic")[16..20],
        [1, 2, 3, 4]
    );
    assert_eq!(write(0x11000), Ok(errno(Errno::EFAULT)));
    // Of another task, by its address.
    let text = format!(
        "r2 = 6\n r3 = 0x10000 ll\n r4 = {:#x} ll\n r5 = 0\n call 191\n exit",
        task.address()
    );
    let mut memory = [0xaa; 6];
    assert_eq!(run_on(&vm, &text, &mut memory), Ok(0));
    assert_eq!(&memory, b"hello\0");
    let text = "r2 = 6\n r3 = 0\n r4 = 8\n r5 = 0\n call 191\n exit";
    assert!(matches!(
        run_on(&vm, text, &mut memory),
        Err(FaultKind::Argument { .. })
    ));
}

#[test]
fn signals_go_to_who_can_take_them() {
    let vm = machine();
    let (task, process) = task(&vm);
    assert_eq!(
        run_for(&vm, &task, "r1 = 10\n call 109\n exit", &mut []),
        Ok(0)
    );
    assert_eq!(
        run_for(&vm, &task, "r1 = 12\n call 117\n exit", &mut []),
        Ok(0)
    );
    let signals = process.signals.lock().expect("no panic").clone();
    assert_eq!(signals, [(10, false, None), (12, true, None)]);
    // This thread is not for programs to kill.
    let refused = run_on(&vm, "r1 = 9\n call 109\n exit", &mut []);
    assert_eq!(refused, Ok(errno(Errno::EPERM)));
}

#[test]
fn registers_are_what_was_set() {
    let vm = machine();
    let (task, _) = task(&vm);
    let registers: Vec<u8> = (0..168).collect();
    task.set_registers(&registers);
    let text = "call 158\n r1 = r0\n call 175\n r0 = *(u64 *)(r0 + 8)\n exit";
    let expected = u64::from_ne_bytes([8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(run_for(&vm, &task, text, &mut []), Ok(expected));
}

#[test]
fn tasks_end_with_their_last_reference() {
    let vm = machine();
    let (task, _) = task(&vm);
    let address = task.address();
    let text = format!("r0 = {address:#x} ll\n r0 = *(u32 *)(r0 + 0)\n exit");
    assert!(run_on(&vm, &text, &mut []).is_ok());
    drop(task);
    assert!(run_on(&vm, &text, &mut []).is_err());
    // A machine may go before its tasks.
    let (task, _) = self::task(&vm);
    drop(vm);
    assert_eq!(task.info().pid, 101);
}

// ── dynptrs ─────────────────────────────────────────────────────────────────────────────────────

#[test]
fn forged_dynptrs_reach_nothing() {
    let vm = machine();
    for kind in 0..8_u64 {
        for data in [0_u64, 8, 0x5ce9_3000_0000_0000, u64::MAX - 4] {
            let text = format!(
                "r6 = r1
                 r1 = {data:#x} ll
                 *(u64 *)(r10 - 16) = r1
                 r1 = {:#x} ll
                 *(u64 *)(r10 - 8) = r1
                 r1 = r6\n r2 = 8\n r3 = r10\n r3 += -16\n r4 = 0\n r5 = 0\n call 201
                 exit",
                kind << 28 | 0xff_ffff
            );
            let mut memory = [0xaa; 8];
            let outcome = run_on(&vm, &text, &mut memory);
            assert_ne!(outcome, Ok(0), "kind {kind} at {data:#x}");
            assert_eq!(memory, [0xaa; 8]);
        }
    }
}

// ── any argument ────────────────────────────────────────────────────────────────────────────────

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// One way to fill an argument's register.
fn argument(register: u32, numbers: &mut Numbers, maps: &[i32]) -> String {
    let small = numbers.next() % 40;
    match numbers.next() % 12 {
        0 => format!("r{register} = 0"),
        1 | 2 => format!("r{register} = {small}"),
        3 => format!("r{register} = -{small}"),
        4 => format!(
            "r{register} = {:#x} ll",
            numbers.next() << 31 | numbers.next()
        ),
        5 | 6 => format!("r{register} = r10\n r{register} += -{}", small + 8),
        7 | 8 => format!("r{register} = r6\n r{register} += {small}"),
        9 => format!("r{register} = subprog[back]"),
        10 if !maps.is_empty() => {
            let map = maps[numbers.next() as usize % maps.len()];
            format!("r{register} = map[fd:{map}]")
        }
        10 => format!("r{register} = {:#x} ll", 0x5ce9_3000_0000_0000 + small),
        _ => format!(
            "r{register} = {:#x} ll",
            0xffff_ffff_ffff_f000 | (numbers.next() % 0x1000)
        ),
    }
}

/// Calls one helper twice, with the second call seeing what the first left.
fn calls(helper: u32, numbers: &mut Numbers, maps: &[i32]) -> String {
    let mut text = String::from("r6 = r1\n");
    for _ in 0..2 {
        for register in (1..=5).rev() {
            text.push_str(&argument(register, numbers, maps));
            text.push('\n');
        }
        text.push_str(&format!("call {helper}\n"));
    }
    text.push_str("r0 = 0\n exit\n back:\n r0 = r1\n r0 &= 1\n exit");
    text
}

#[test]
fn no_argument_makes_a_helper_panic() {
    let mut config = Config::checked();
    config.limits.instructions = 5_000;
    config.limits.time = Some(Duration::from_millis(5));
    config.cpus = 1;
    let vm = Vm::with(config).expect("memory");
    let mut numbers = Numbers(1);
    for helper in skep_abi::Helper::all() {
        for _ in 0..40 {
            let text = calls(helper.id, &mut numbers, &[]);
            let code = assemble(&text).expect("a program");
            let Ok(program) = vm.bare("fuzz", &code, Engine::Interpreter) else {
                break;
            };
            if let Err(fault) = program.run(&mut [0x41; 64]) {
                let internal = matches!(fault.kind, FaultKind::Internal(_));
                assert!(!internal, "{}: {fault}\n{text}", helper.name);
            }
        }
    }
}

#[test]
fn no_map_makes_a_helper_panic() {
    let mut config = Config::checked();
    config.limits.instructions = 5_000;
    config.limits.time = Some(Duration::from_millis(5));
    config.cpus = 1;
    let vm = Vm::with(config).expect("memory");
    let mut maps = Vec::new();
    for (map_type, key, value, entries) in [
        (MapType::Array, 4, 8, 4),
        (MapType::Hash, 8, 16, 4),
        (MapType::PercpuArray, 4, 8, 4),
        (MapType::LruHash, 4, 8, 4),
        (MapType::Queue, 0, 8, 4),
        (MapType::Stack, 0, 8, 4),
        (MapType::BloomFilter, 0, 8, 4),
        (MapType::ProgArray, 4, 4, 4),
        (MapType::PerfEventArray, 4, 4, 4),
        (MapType::StackTrace, 4, 64, 4),
        (MapType::Ringbuf, 0, 0, 4096),
        (MapType::UserRingbuf, 0, 0, 4096),
        (MapType::Devmap, 4, 8, 4),
        (MapType::Cpumap, 4, 8, 4),
        (MapType::CgroupArray, 4, 4, 4),
    ] {
        let request = MapCreate::new(map_type, "fuzz", key, value, entries);
        maps.extend(vm.map_create(&request));
    }
    assert!(maps.len() > 8, "{} maps", maps.len());
    let numbers_of: Vec<_> = maps.iter().map(|map| map.raw()).collect();
    let mut numbers = Numbers(2);
    for program_type in [
        ProgramType::Syscall,
        ProgramType::RawTracepoint,
        ProgramType::SchedCls,
        ProgramType::Xdp,
    ] {
        for helper in skep_abi::Helper::all() {
            for _ in 0..25 {
                let text = calls(helper.id, &mut numbers, &numbers_of);
                let code = encode_slots(&assemble(&text).expect("a program"), Endian::NATIVE);
                let mut request = ProgramLoad::new(program_type, "fuzz", &code);
                if program_type == ProgramType::Syscall {
                    request.flags = skep_abi::ProgLoadFlags::SLEEPABLE;
                }
                let Ok(program) = vm.prog_load(&request) else {
                    break;
                };
                let mut run = TestRun::default();
                if matches!(program_type, ProgramType::SchedCls | ProgramType::Xdp) {
                    run.data_in = &[0x41; 64];
                }
                if let Err(error) = vm.prog_test_run(&program.fd, &mut run) {
                    let text_of = format!("{error} {:?}", error.cause());
                    let internal = text_of.contains("fault of the virtual machine");
                    assert!(!internal, "{}: {text_of}\n{text}", helper.name);
                }
            }
        }
    }
}
