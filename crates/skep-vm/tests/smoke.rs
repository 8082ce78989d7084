//! The machine by its public face: bare programs, in both modes.

use skep_isa::assemble;
use skep_vm::{Config, Engine, FaultKind, Vm};

fn run(text: &str, memory: &mut [u8]) -> Result<u64, FaultKind> {
    let mut config = Config::default();
    config.limits.instructions = 1_000_000;
    let vm = Vm::with(config).expect("memory");
    let program = vm
        .bare(
            "test",
            &assemble(text).expect("a program"),
            Engine::Interpreter,
        )
        .expect("a program that loads");
    program.run(memory).map_err(|fault| fault.kind)
}

#[test]
fn loops_and_calls() {
    let text = "
        r0 = 0
        r1 = 10
    again:
        r0 += r1
        r1 += -1
        if r1 != 0 goto again
        r1 = r0
        call double
        exit
    double:
        *(u64 *)(r10 - 512) = r1
        r0 = *(u64 *)(r10 - 512)
        r0 += r0
        exit";
    assert_eq!(run(text, &mut []), Ok(110));
}

#[test]
fn callbacks() {
    let text = "
        *(u64 *)(r10 - 8) = 0
        r1 = 5
        r2 = subprog[add]
        r3 = r10
        r3 += -8
        r4 = 0
        call 181
        r0 = *(u64 *)(r10 - 8)
        exit
    add:
        r3 = *(u64 *)(r2 + 0)
        r3 += r1
        *(u64 *)(r2 + 0) = r3
        r0 = 0
        exit";
    assert_eq!(run(text, &mut []), Ok(10));
}

#[test]
fn faults_are_named() {
    assert!(matches!(
        run("r0 = *(u8 *)(r1 + 4)\n exit", &mut [0; 4]),
        Err(FaultKind::Memory {
            size: 1,
            write: false,
            ..
        })
    ));
    assert!(matches!(
        run("again: goto again\n exit", &mut []),
        Err(FaultKind::Budget { .. })
    ));
    assert!(matches!(
        run("call f\n exit\nf: call f\n exit", &mut []),
        Err(FaultKind::CallDepth)
    ));
    assert_eq!(run("r0 = *(u8 *)(r1 + 3)\n exit", &mut [0, 0, 0, 9]), Ok(9));
}
