//! The boundary's core: maps and programs by descriptors, test runs.

use skep_abi::{MapType, ProgLoadFlags, ProgramType};
use skep_host::{Errno, Error, Host as _, MapCreate, ProgramLoad, TestRun};
use skep_isa::{Endian, assemble, encode_slots};

use crate::{Config, Engine, Vm};

fn vm() -> Vm {
    Vm::with(Config {
        engine: Engine::Interpreter,
        ..Config::default()
    })
    .unwrap()
}

fn code(text: &str) -> Vec<u8> {
    encode_slots(&assemble(text).unwrap(), Endian::NATIVE)
}

#[test]
fn a_program_counts_in_an_array() {
    let vm = vm();
    let map = vm
        .map_create(&MapCreate::new(MapType::Array, "hits", 4, 8, 4))
        .unwrap();
    let code = code(&format!(
        "
        *(u32 *)(r10 -4) = 2
        r2 = r10
        r2 += -4
        r1 = map[fd:{}]
        call 1
        if r0 == 0 goto out
        r1 = 5
        lock *(u64 *)(r0 +0) += r1
        out:
        r0 = 7
        exit",
        map.raw()
    ));
    let mut request = ProgramLoad::new(ProgramType::Syscall, "count", &code);
    request.flags = ProgLoadFlags::SLEEPABLE;
    let program = vm.prog_load(&request).unwrap().fd;
    // The program keeps the map.
    let copy = map.try_clone().unwrap();
    drop(map);
    for _ in 0..2 {
        let outcome = vm.prog_test_run(&program, &mut TestRun::default()).unwrap();
        assert_eq!(outcome.return_value, 7);
    }
    let mut value = [0; 8];
    assert!(
        vm.map_lookup_elem(&copy, &2_u32.to_ne_bytes(), &mut value, 0)
            .unwrap()
    );
    assert_eq!(u64::from_ne_bytes(value), 10);
}

#[test]
fn a_context_is_read_and_written() {
    let vm = vm();
    let code = code("r0 = *(u32 *)(r1 +0)\n *(u32 *)(r1 +4) = 9\n exit");
    let mut request = ProgramLoad::new(ProgramType::Syscall, "context", &code);
    request.flags = ProgLoadFlags::SLEEPABLE;
    let program = vm.prog_load(&request).unwrap().fd;
    let mut out = [0; 8];
    let mut run = TestRun {
        context_in: &[3, 0, 0, 0, 0, 0, 0, 0],
        context_out: &mut out,
        ..TestRun::default()
    };
    assert_eq!(
        vm.prog_test_run(&program, &mut run).unwrap().return_value,
        3
    );
    assert_eq!(out[4], 9);
    let fault = vm
        .prog_test_run(&program, &mut TestRun::default())
        .unwrap_err();
    assert_eq!(fault.errno(), Some(Errno::EFAULT));
    assert!(
        fault.cause().unwrap().to_string().contains("instruction 0"),
        "{fault}"
    );
}

#[test]
fn what_is_not_there_is_named() {
    let vm = vm();
    let code = code("r1 = 1\n call 69\n r0 = 0\n exit");
    let error = vm
        .prog_load(&ProgramLoad::new(ProgramType::SocketFilter, "no", &code))
        .unwrap_err();
    let Error::Verifier { errno, log, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(errno, Errno::EINVAL);
    assert!(log.contains("1: (85)") && log.contains("bpf_"), "{log}");
}

#[test]
fn another_machines_descriptor_is_bad() {
    let (one, other) = (vm(), vm());
    let map = one
        .map_create(&MapCreate::new(MapType::Array, "a", 4, 8, 1))
        .unwrap();
    let error = other
        .map_update_elem(&map, &[0; 4], &[0; 8], 0)
        .unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EBADF));
}
