//! Counting what runs. Programs are written with what each instruction must have counted before
//! it: how often it ran and, of conditional jumps, how often it jumped (`10/9`).

use std::thread;

use skep_abi::{MapType, ProgLoadFlags, ProgramType};
use skep_btf::{Btf, KindTag};
use skep_host::{Host as _, MapCreate, ProgramLoad, TestRun};
use skep_isa::{
    CallTarget, Endian, Insn, InsnIndex, RawInsn, assemble, decode_program, encode_slots,
};
use skep_vm::{Config, Coverage, Engine, Vm};

fn machine(cpus: u32) -> Vm {
    let mut config = Config::checked();
    config.cpus = cpus;
    config.coverage = true;
    config.limits.instructions = 100_000;
    // Whatever the engine is, what is counted is interpreted.
    config.engine = Engine::Jit;
    Vm::with(config).expect("memory")
}

/// The program of an annotated text, and its annotations.
fn annotated(text: &str) -> (Vec<RawInsn>, Vec<String>) {
    let (mut source, mut counts) = (String::new(), Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once(' ') {
            Some((count, insn)) if count.starts_with(|c: char| c.is_ascii_digit()) => {
                counts.push(count.to_owned());
                source += &format!("{insn}\n");
            }
            _ => source += &format!("{line}\n"),
        }
    }
    (assemble(&source).expect("a program"), counts)
}

/// What was counted, as annotations.
fn counted(slots: &[RawInsn], coverage: &Coverage) -> Vec<String> {
    let hits = coverage.hits();
    assert_eq!(hits.len(), slots.len());
    let instructions = decode_program(slots).map(|decoded| decoded.expect("an instruction"));
    let count = |at: InsnIndex, conditional: bool| {
        let hits = hits[at.as_usize()];
        if conditional {
            return format!("{}/{}", hits.ran, hits.jumped);
        }
        assert_eq!(hits.jumped, 0, "instruction {at}");
        hits.ran.to_string()
    };
    instructions
        .map(|(at, insn)| {
            let conditional = insn.target(at).is_some() && insn.falls_through();
            count(at, conditional)
        })
        .collect()
}

/// Runs the program once, and compares.
#[track_caller]
fn check(text: &str) {
    let (slots, expected) = annotated(text);
    let vm = machine(2);
    let program = vm.bare("test", &slots, Engine::Jit);
    let program = program.expect("a program that loads");
    let _ = program.run(&mut [0; 8]);
    let coverage = program.coverage().expect("a machine that counts");
    assert_eq!(counted(&slots, coverage), expected);
}

fn syscall(vm: &Vm, slots: &[RawInsn]) -> skep_host::ProgramFd {
    let code = encode_slots(slots, Endian::NATIVE);
    let mut request = ProgramLoad::new(ProgramType::Syscall, "test", &code);
    request.flags = ProgLoadFlags::SLEEPABLE;
    request.license = "GPL";
    vm.prog_load(&request).expect("a program that loads").fd
}

fn of_program(vm: &Vm, slots: &[RawInsn], program: &skep_host::ProgramFd) -> Vec<String> {
    let coverage = vm.coverage(program).expect("a program of the machine");
    counted(slots, &coverage.expect("a machine that counts"))
}

#[test]
fn jumps_and_what_is_dead() {
    check(
        "1 r0 = 0x112233445566 ll
         1 r1 = 10
     again:
         10 r0 += r1
         10 r1 += -1
         10/9 if r1 != 0 goto again
         1/0 if w1 > 5 goto dead
         1/0 if r1 & 7 goto never
         1 exit
     never:
         0 r0 = 0x112233445566 ll
         0 exit
     dead:
         0 r0 = 7
         0/0 if r0 == 7 goto dead
         0 exit",
    );
}

#[test]
fn functions_and_callbacks() {
    check(
        "1 r1 = 5
         1 r2 = subprog[each]
         1 r3 = 0
         1 r4 = 0
         1 call 181
         1 call twice
         1 call twice
         1 exit
     each:
         3 r0 = 0
         3/2 if r1 < 2 goto next
         1 r0 = 1
     next:
         3 exit
     twice:
         2 r0 = 0
         2 exit
     uncalled:
         0 r2 = subprog[uncalled]
         0 exit",
    );
}

#[test]
fn a_fault_ends_the_counts() {
    check(
        "1 r1 = 0
         1 r0 = *(u8 *)(r1 + 0)
         0 exit",
    );
    // The budget's end, at a jump that was decided: entering costs 5, each round 2.
    check(
        "1 r0 = 0
         1 r1 = 0
     again:
         49998 r1 += 1
         49998/49998 if r1 != 0 goto again
         0 exit",
    );
}

#[test]
fn a_tail_call_counts_in_the_program_that_it_goes_to() {
    let vm = machine(1);
    let (target, target_counts) = annotated(
        "2 r0 = 7
         2 exit",
    );
    let target_fd = syscall(&vm, &target);
    let create = MapCreate::new(MapType::ProgArray, "programs", 4, 4, 2);
    let map = vm.map_create(&create).expect("a map");
    let value = target_fd.raw().to_ne_bytes();
    let updated = vm.map_update_elem(&map, &1_u32.to_ne_bytes(), &value, 0);
    updated.expect("an entry");
    let (caller, counts) = annotated(&format!(
        "3 r6 = r1
         3 r3 = *(u32 *)(r1 + 0)
         3 r2 = map[fd:{}]
         3 call 12
         1 r0 = 1
         1 exit",
        map.raw()
    ));
    let caller_fd = syscall(&vm, &caller);
    for index in [1_u32, 0, 1] {
        let context = u64::from(index).to_ne_bytes();
        let mut out = context;
        let mut run = TestRun {
            context_in: &context,
            context_out: &mut out,
            ..TestRun::default()
        };
        let outcome = vm.prog_test_run(&caller_fd, &mut run).expect("a run");
        assert_eq!(outcome.return_value, if index == 1 { 7 } else { 1 });
    }
    assert_eq!(of_program(&vm, &caller, &caller_fd), counts);
    assert_eq!(of_program(&vm, &target, &target_fd), target_counts);
}

#[test]
fn an_exception_ends_the_counts_of_all_frames() {
    let vm = machine(1);
    let btf = Btf::parse(include_bytes!("../src/generated/vm.btf").to_vec()).expect("BTF");
    let throw = btf.find("bpf_throw", KindTag::Function).expect("bpf_throw");
    // A helper's call stands for the kernel function's.
    let (mut slots, counts) = annotated(
        "1 call deep
         0 r0 += 1
         0 exit
     deep:
         1 r1 = 9
         1 call 181
         0 r0 = 2
         0 exit",
    );
    let call = CallTarget::Kfunc {
        btf_id: throw.0,
        fd_index: 0,
    };
    slots[4] = Insn::Call(call).encode()[0];
    let program = syscall(&vm, &slots);
    let outcome = vm.prog_test_run(&program, &mut TestRun::default());
    assert_eq!(outcome.expect("a run").return_value, 9);
    assert_eq!(of_program(&vm, &slots, &program), counts);
}

#[test]
fn threads_lose_nothing() {
    const THREADS: u64 = 8;
    const RUNS: u64 = 200;
    let (slots, _) = annotated(
        "1 r1 = 100
     again:
         1 r1 += -1
         1/1 if r1 != 0 goto again
         1 r0 = 0
         1 exit",
    );
    let vm = machine(4);
    let program = syscall(&vm, &slots);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..RUNS {
                    let run = vm.prog_test_run(&program, &mut TestRun::default());
                    run.expect("a run");
                }
            });
        }
    });
    let runs = THREADS * RUNS;
    let expected = [
        format!("{runs}"),
        format!("{}", 100 * runs),
        format!("{}/{}", 100 * runs, 99 * runs),
        format!("{runs}"),
        format!("{runs}"),
    ];
    assert_eq!(of_program(&vm, &slots, &program), expected);
}

#[test]
fn counts_outlive_their_program() {
    let vm = machine(1);
    let (slots, counts) = annotated(
        "1 r0 = 0
         1 exit",
    );
    let program = syscall(&vm, &slots);
    let coverage = vm.coverage(&program).expect("a program");
    let coverage = coverage.expect("a machine that counts");
    vm.prog_test_run(&program, &mut TestRun::default())
        .expect("a run");
    drop(program);
    assert_eq!(counted(&slots, &coverage), counts);
    assert_eq!(coverage.program(), "test");
}

#[test]
fn a_machine_counts_only_if_it_was_made_to() {
    let vm = Vm::with(Config::checked()).expect("memory");
    let (slots, _) = annotated("1 r0 = 0\n1 exit");
    let program = syscall(&vm, &slots);
    assert!(vm.coverage(&program).expect("a program").is_none());
    let bare = vm.bare("test", &slots, Engine::Interpreter);
    assert!(bare.expect("a program").coverage().is_none());
}
