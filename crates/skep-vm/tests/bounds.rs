//! Limits hold, whatever a program asks helpers and kernel functions for, and whoever it meets on the
//! machine: on both engines.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use skep_abi::{AttachFlags, AttachType, MapCreateFlags, MapType, ProgLoadFlags, ProgramType};
use skep_btf::{Builder, IntEncoding};
use skep_host::{
    BtfLoad, Errno, Host as _, LinkTarget, LogLevel, MapBtf, MapCreate, MapFd, ProgramAttach,
    ProgramFd, ProgramLoad, TestRun,
};
use skep_isa::{Endian, assemble, encode_slots};
use skep_vm::{BareProgram, Config, Engine, FaultKind, Frame, Prototype, Safety, TaskInfo, Vm};

/// On a machine of its own for each engine, where a run may take so many instructions and has time.
fn on_both(instructions: u64, test: impl Fn(&Vm)) {
    for engine in [Engine::Interpreter, Engine::Jit] {
        let mut config = Config::checked();
        config.engine = engine;
        config.limits.instructions = instructions;
        config.limits.time = Some(Duration::from_secs(60));
        config.cpus = 2;
        test(&Vm::with(config).expect("memory"));
    }
}

fn load(vm: &Vm, text: &str) -> ProgramFd {
    let code = encode_slots(&assemble(text).expect("a program"), Endian::NATIVE);
    let mut request = ProgramLoad::new(ProgramType::Syscall, "bounds", &code);
    request.flags = ProgLoadFlags::SLEEPABLE;
    vm.prog_load(&request).expect("a program that loads").fd
}

fn run(vm: &Vm, text: &str) -> Result<u32, String> {
    told(vm.prog_test_run(&load(vm, text), &mut TestRun::default()))
}

fn told(outcome: skep_host::Result<skep_host::TestRunOutcome>) -> Result<u32, String> {
    let outcome = outcome.map(|outcome| outcome.return_value);
    outcome.map_err(|error| format!("{error} {:?}", error.cause()))
}

/// A program of bounds.bpf.c, with what it needs.
fn loaded(vm: &Vm, program: &str) -> skep::Loaded {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/bounds.bpf.c");
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR")).expect("it compiles");
    let mut object = skep::Object::parse("bounds", &bytes).expect("an object");
    object.only_programs(&[program]).expect("it is there");
    let host = skep::Host::new(Arc::new(vm.clone()));
    object.load(&host).expect("it loads")
}

/// Runs a program of such an object with a number.
fn call(vm: &Vm, loaded: &skep::Loaded, name: &str, number: u64) -> Result<u32, String> {
    let context = number.to_ne_bytes();
    let mut run = TestRun {
        context_in: &context,
        ..TestRun::default()
    };
    let program = loaded.program(name).expect("it is there");
    told(vm.prog_test_run(program.fd(), &mut run))
}

fn is_spent(outcome: &Result<u32, String>) -> bool {
    outcome
        .as_ref()
        .is_err_and(|text| text.contains("are spent"))
}

/// A limit that was asked for holds also where a verifier vouches for programs.
#[test]
fn lower_limits_hold_beside_a_verdict() {
    let nested = "r1 = 300000\n r2 = subprog[outer]\n r3 = 0\n r4 = 0\n call 181\n r0 = 1\n exit
        outer: r1 = 10\n r2 = subprog[inner]\n r3 = 0\n r4 = 0\n call 181\n r0 = 0\n exit
        inner: r0 = 0\n exit";
    for engine in [Engine::Interpreter, Engine::Jit] {
        let mut config = Config::default();
        assert_eq!(config.safety, Safety::Verdict);
        config.engine = engine;
        config.limits.instructions = 10_000;
        let outcome = run(&Vm::with(config.clone()).expect("memory"), nested);
        assert!(is_spent(&outcome), "{outcome:?}");
        config.limits.instructions = u64::MAX;
        config.limits.time = Some(Duration::ZERO);
        let outcome = run(&Vm::with(config).expect("memory"), nested);
        assert!(outcome.is_err_and(|text| text.contains("time is spent")));
    }
}

/// No time is none: it ends at the first look at the clock behind the one that begins it.
#[test]
fn time_counts_from_the_beginning() {
    for engine in [Engine::Interpreter, Engine::Jit] {
        let mut config = Config::checked();
        config.engine = engine;
        config.limits.time = Some(Duration::ZERO);
        let vm = Vm::with(config).expect("memory");
        let text = "r1 = 2000000\n again: r1 += -1\n if r1 != 0 goto again\n r0 = 7\n exit";
        let outcome = run(&vm, text);
        assert!(outcome.is_err_and(|text| text.contains("time is spent")));
    }
}

#[test]
fn an_endless_program_is_interrupted() {
    for engine in [Engine::Interpreter, Engine::Jit] {
        let mut config = Config::checked();
        config.engine = engine;
        config.limits.instructions = u64::MAX;
        config.limits.time = None;
        let vm = Vm::with(config).expect("memory");
        let code = assemble("r0 = 0\n again: r0 += 1\n goto again\n exit").expect("a program");
        let program = vm.bare("endless", &code, engine).expect("it loads");
        thread::scope(|scope| {
            let run = scope.spawn(|| program.run(&mut []));
            vm.interrupt();
            let fault = run.join().expect("no panic").expect_err("it has no end");
            assert_eq!(fault.kind, FaultKind::Interrupted);
        });
        vm.resume();
        let short =
            assemble("r1 = 2000000\n again: r1 += -1\n if r1 != 0 goto again\n r0 = 7\n exit");
        let short = vm.bare("short", &short.expect("a program"), engine);
        assert_eq!(short.expect("it loads").run(&mut []), Ok(7));
    }
}

/// A helper of the embedder that runs the program which called it does not take the thread's stack.
#[test]
fn programs_that_call_themselves_through_a_helper_end() {
    for engine in [Engine::Interpreter, Engine::Jit] {
        let mut config = Config::checked();
        config.engine = engine;
        let vm = Vm::with(config).expect("memory");
        let program: Arc<OnceLock<BareProgram>> = Arc::default();
        let again = Arc::downgrade(&program);
        let helper = Prototype::new(1000, "again");
        vm.define_helper(helper, move |_| {
            let again = again.upgrade().ok_or("it is gone")?;
            let again = again.get().ok_or("there is none")?;
            again.run(&mut []).map_err(|fault| fault.to_string())
        })
        .expect("a helper");
        let code = assemble("call 1000\n exit").expect("a program");
        let bare = vm.bare("again", &code, engine).expect("it loads");
        let fault = program
            .get_or_init(|| bare)
            .run(&mut [])
            .expect_err("it has no end");
        assert!(fault.to_string().contains("nested too deeply"), "{fault}");
    }
}

#[test]
fn a_helper_that_panics_is_a_fault() {
    on_both(1000, |vm| {
        let helper = Prototype::new(1000, "panics");
        vm.define_helper(helper, |_| panic!("as it should"))
            .expect("a helper");
        let outcome = run(vm, "call 1000\n exit");
        let told = "instruction 0 (helper of the embedder): panics: it panicked";
        assert!(
            outcome.as_ref().is_err_and(|text| text.contains(told)),
            "{outcome:?}"
        );
        assert_eq!(run(vm, "r0 = 3\n exit"), Ok(3));
    });
}

/// No page of this process may be written and executed, whatever was compiled.
#[test]
fn machine_code_is_never_writable() {
    on_both(1000, |vm| {
        let program = load(vm, "r0 = 1\n exit");
        let maps = std::fs::read_to_string("/proc/self/maps").expect("a list");
        let access = maps.lines().filter_map(|line| line.split(' ').nth(1));
        let both: Vec<_> = access.filter(|access| access.contains("wx")).collect();
        assert!(both.is_empty(), "{maps}");
        drop(program);
    });
}

#[test]
fn long_formats_are_paid_for() {
    on_both(1_000_000, |vm| {
        let create = MapCreate::new(MapType::Array, "format", 4, 1 << 20, 1);
        let map = vm.map_create(&create).expect("a map");
        vm.map_update_elem(&map, &[0; 4], &vec![b'a'; 1 << 20], 0)
            .expect("a value");
        let text = format!(
            "r6 = 300
             again: r1 = r10\n r1 += -8\n r2 = 8
             r3 = map[fd:{}][0]+0\n r4 = 0\n r5 = 0\n call 165
             r6 += -1\n if r6 != 0 goto again\n r0 = 0\n exit",
            map.raw()
        );
        let outcome = run(vm, &text);
        assert!(is_spent(&outcome), "{outcome:?}");
    });
}

#[test]
fn kernel_functions_that_take_long_are_paid_for() {
    on_both(1_200_000, |vm| {
        for name in ["sums", "forge"] {
            let loaded = loaded(vm, name);
            assert_eq!(call(vm, &loaded, name, 1), Ok(1), "{name}");
            let outcome = call(vm, &loaded, name, 300);
            assert!(is_spent(&outcome), "{name}: {outcome:?}");
        }
    });
}

/// Whether somebody wrote to a page of an arena is asked for each access to one that is not there.
#[test]
fn holes_of_arenas_are_paid_for() {
    on_both(1_000_000, |vm| {
        let loaded = loaded(vm, "holes");
        assert_eq!(call(vm, &loaded, "holes", 400), Ok(0));
        let outcome = call(vm, &loaded, "holes", 600);
        assert!(is_spent(&outcome), "{outcome:?}");
    });
}

/// Going through many tasks takes no more for each than through few.
#[test]
fn all_tasks_are_gone_through() {
    on_both(1_000_000, |vm| {
        let loaded = loaded(vm, "tasks");
        let before = call(vm, &loaded, "tasks", 0).expect("a number");
        let made: Vec<_> = (0..4000)
            .map(|number| {
                let mut info = TaskInfo::default();
                // Every other one is a thread of the one before.
                info.pid = 10_000_000 + number;
                info.tgid = info.pid & !1;
                vm.task(info)
            })
            .collect();
        assert_eq!(call(vm, &loaded, "tasks", 0), Ok(before + 2000));
        made[1].change(|info| info.tgid = info.pid);
        assert_eq!(call(vm, &loaded, "tasks", 0), Ok(before + 2001));
        drop(made);
        assert_eq!(call(vm, &loaded, "tasks", 0), Ok(before));
    });
}

/// Who writes the number of another's list into memory of its own has no list.
#[test]
fn lists_are_where_their_heads_are() {
    on_both(1_000_000, |vm| {
        let owner = loaded(vm, "owner");
        assert_eq!(call(vm, &owner, "owner", 0), Ok(0));
        let thief = loaded(vm, "thief");
        assert_eq!(call(vm, &thief, "thief", 0), Ok(0));
        for number in 1..9 {
            let outcome = call(vm, &thief, "thief", number);
            assert!(
                outcome.as_ref().is_err_and(|text| text.contains("no head")),
                "{outcome:?}"
            );
        }
    });
}

/// An object in itself would never go.
#[test]
fn no_object_is_in_itself() {
    on_both(1_000_000, |vm| {
        let loaded = loaded(vm, "knots");
        let outcome = call(vm, &loaded, "knots", 0);
        assert!(
            outcome
                .as_ref()
                .is_err_and(|text| text.contains("no such head")),
            "{outcome:?}"
        );
    });
}

/// What one packet leaves does not count for the next.
#[test]
fn iterators_of_one_packet_are_not_the_nexts() {
    on_both(1_000_000, |vm| {
        let loaded = loaded(vm, "bits");
        let program = loaded.program("bits").expect("there");
        let frame = [0; 64];
        vm.packets(program.fd(), |packets| {
            for packet in 0..600 {
                let verdict = packets.run(&Frame::new(&frame)).expect("no fault");
                assert_eq!(verdict.value as i32, 0, "packet {packet}");
            }
        })
        .expect("packets");
    });
}

#[test]
fn machines_have_so_many_cpus() {
    let mut config = Config::checked();
    config.cpus = u32::MAX;
    assert_eq!(Vm::with(config).err(), Some(skep_host::Errno::EINVAL));
}

/// Bytes of the values below: 17 of them are 1 MiB, nearly.
const LARGE: usize = 60_000;

/// A map of such values.
fn storage(vm: &Vm, map_type: MapType) -> MapFd {
    let mut types = Builder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let byte = types.int("char", 1, IntEncoding::SIGNED);
    let value = types.array(byte, int, LARGE as u32);
    let load = BtfLoad {
        object: "types",
        bytes: &types.build().expect("types"),
        log_level: LogLevel::OnFailure,
        token: None,
    };
    let btf = vm.btf_load(&load).expect("types");
    let mut request = MapCreate::new(map_type, "storage", 4, LARGE as u32, 0);
    request.flags = MapCreateFlags::NO_PREALLOC;
    request.btf = Some(MapBtf {
        btf: &btf,
        key_type: int.0,
        value_type: value.0,
        kernel_value_type: 0,
        kernel_btf: None,
    });
    vm.map_create(&request).expect("a map")
}

/// A machine whose maps have 1 MiB.
fn of_one_mebibyte() -> Vm {
    let mut config = Config::default();
    config.limits.memory = 1 << 20;
    Vm::with(config).expect("memory")
}

/// How many of these keys get a value, until the machine has no memory for more.
fn fill(vm: &Vm, map: &MapFd, keys: &[u32]) -> usize {
    let put = |key: &u32| vm.map_update_elem(map, &key.to_ne_bytes(), &[1; LARGE], 0);
    let outcomes = keys.iter().map(put);
    let mut outcomes = outcomes.skip_while(Result::is_ok).peekable();
    if let Some(outcome) = outcomes.peek() {
        let errno = outcome.as_ref().expect_err("no memory").errno();
        assert_eq!(errno, Some(Errno::ENOMEM));
    }
    keys.len() - outcomes.count()
}

/// Values that live with tasks are the map's memory until they go: by themselves, with their task or
/// with the map.
#[test]
fn values_of_tasks_take_memory() {
    let vm = of_one_mebibyte();
    let task = |pid| {
        let mut info = TaskInfo::default();
        (info.pid, info.tgid) = (pid, pid);
        vm.task(info)
    };
    let mut tasks: Vec<_> = (0..40).map(|number| task(10_000_000 + number)).collect();
    let keys: Vec<_> = (0..40).map(|number| 10_000_000 + number).collect();
    let map = storage(&vm, MapType::TaskStorage);
    assert_eq!(fill(&vm, &map, &keys), 17);
    assert_eq!(fill(&vm, &map, &keys[17..]), 0);
    vm.map_delete_elem(&map, &keys[3].to_ne_bytes())
        .expect("it was there");
    assert_eq!(fill(&vm, &map, &keys[20..]), 1);
    drop(tasks.remove(0));
    assert_eq!(fill(&vm, &map, &keys[21..]), 1);
    // Those that have one need no more.
    assert_eq!(fill(&vm, &map, &keys[1..3]), 2);
    for _ in 0..100 {
        vm.map_delete_elem(&map, &keys[1].to_ne_bytes())
            .expect("it was there");
        assert_eq!(fill(&vm, &map, &keys[1..2]), 1);
    }
    drop(map);
    let map = storage(&vm, MapType::TaskStorage);
    assert_eq!(fill(&vm, &map, &keys[1..]), 17);
}

#[test]
fn values_of_cgroups_take_memory() {
    let vm = of_one_mebibyte();
    let cgroups: Vec<_> = (0..20)
        .map(|number| {
            let path = format!("/of{number}");
            vm.make_cgroup(Path::new(&path));
            vm.cgroup_open(Path::new(&path)).expect("it is there")
        })
        .collect();
    let keys: Vec<_> = cgroups.iter().map(|fd| fd.raw().cast_unsigned()).collect();
    let map = storage(&vm, MapType::CgrpStorage);
    assert_eq!(fill(&vm, &map, &keys), 17);
    drop(map);

    let attached = |most: usize| {
        let request = MapCreate::new(MapType::CgroupStorage, "of programs", 8, LARGE as u32, 0);
        let map = vm.map_create(&request).expect("a map");
        let text = format!(
            "r1 = map[fd:{}]\n r2 = 0\n call 81\n r0 = 1\n exit",
            map.raw()
        );
        let code = encode_slots(&assemble(&text).expect("a program"), Endian::NATIVE);
        let request = ProgramLoad::new(ProgramType::CgroupSkb, "bounds", &code);
        let program = vm.prog_load(&request).expect("a program that loads").fd;
        for (place, cgroup) in cgroups.iter().enumerate() {
            let request = ProgramAttach {
                target: LinkTarget::Cgroup(cgroup),
                program: Some(&program),
                attach_type: AttachType::CgroupInetIngress,
                flags: AttachFlags::empty(),
                replace: None,
                relative: 0,
                expected_revision: 0,
            };
            let outcome = vm.prog_attach(&request);
            let errno = outcome.as_ref().err().and_then(skep_host::Error::errno);
            let wanted = (place >= most).then_some(Errno::ENOMEM);
            assert_eq!(errno, wanted, "cgroup {place}");
            if outcome.is_ok() {
                vm.prog_detach(&request).expect("it was attached");
            }
        }
    };
    // The values of the first map are gone with it.
    attached(17);
    attached(17);
}
