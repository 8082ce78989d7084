//! What fuzzing found (`crates/skep-fuzz/src/vm`): each test is named by what broke.

use skep_abi::{MapType, ProgLoadFlags, ProgramType};
use skep_host::{Host as _, MapCreate, ProgramLoad, TestRun};
use skep_isa::{Endian, assemble, encode_slots};
use skep_vm::{Config, Engine, Vm};

fn machine(engine: Engine) -> Vm {
    let mut config = Config::checked();
    config.engine = engine;
    Vm::with(config).expect("memory")
}

/// Runs a `syscall` program whose text has `{map}` for a map, and gives the lower half of R0.
fn run(vm: &Vm, shape: (MapType, u32, u32, u32), text: &str) -> u32 {
    let (map_type, key, value, entries) = shape;
    let request = MapCreate::new(map_type, "map", key, value, entries);
    let map = vm.map_create(&request).expect("a map");
    let text = text.replace("{map}", &format!("map[fd:{}]", map.raw()));
    let code = encode_slots(&assemble(&text).expect("a program"), Endian::NATIVE);
    let mut request = ProgramLoad::new(ProgramType::Syscall, "fuzzed", &code);
    request.flags = ProgLoadFlags::SLEEPABLE;
    let program = vm.prog_load(&request).expect("loads").fd;
    let outcome = vm.prog_test_run(&program, &mut TestRun::default());
    outcome.expect("runs").return_value
}

/// What CO-RE poisoned, and a call of a weak function that is not there, are in code that the
/// program does not come to, or are a fault there.
#[test]
fn what_is_not_there_is_a_fault_where_it_is_reached() {
    let absent = [
        (195_896_080, "poisoned"),
        (2_002_000_003, "a weak function"),
    ];
    for (engine, (helper, said)) in [Engine::Interpreter, Engine::Jit]
        .into_iter()
        .flat_map(|engine| absent.map(|one| (engine, one)))
    {
        let vm = machine(engine);
        let dead = format!("r0 = 7\n goto end\n call {helper}\n end: exit");
        assert_eq!(run(&vm, (MapType::Array, 4, 8, 1), &dead), 7);
        let live = assemble(&format!("r0 = 7\n call {helper}\n exit")).expect("a program");
        let program = vm.bare("live", &live, engine).expect("loads");
        let fault = program.run(&mut []).expect_err("a fault");
        assert_eq!(fault.at.0, 1);
        assert!(fault.to_string().contains(said), "{fault}");
    }
}

/// The kernel looks at the index before it looks for a lock.
#[test]
fn update_of_no_entry_with_a_lock_is_e2big() {
    let text = "
        *(u64 *)(r10 - 8) = 4
        *(u64 *)(r10 - 16) = 0
        r1 = {map}
        r2 = r10
        r2 += -8
        r3 = r10
        r3 += -16
        r4 = 4
        call 2
        exit";
    for engine in [Engine::Interpreter, Engine::Jit] {
        for map_type in [MapType::Array, MapType::PercpuArray] {
            let answer = run(&machine(engine), (map_type, 4, 8, 4), text);
            assert_eq!(answer as i32, -7);
        }
    }
}
