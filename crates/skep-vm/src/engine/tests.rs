//! What engines look at in verified mode: guarded accesses, and the alignment of atomics.

use skep_isa::{InsnIndex, assemble};

use crate::{Engine, FaultKind, Mode, Vm};

const ENGINES: &[Engine] = &[
    Engine::Interpreter,
    #[cfg(feature = "jit")]
    Engine::Jit,
];

/// Runs a program in verified mode, with these accesses guarded, on eight bytes of memory.
fn run(
    text: &str,
    guarded: &[u32],
    memory: &mut [u8; 8],
    engine: Engine,
) -> Result<u64, FaultKind> {
    let vm = Vm::new().expect("a machine");
    let slots = assemble(text).expect("a program");
    let guarded = guarded.iter().copied().map(InsnIndex).collect();
    let program = vm.bare_with("guarded", &slots, engine, Mode::Verified, guarded);
    let program = program.expect("a program that loads");
    program.run(memory).map_err(|fault| fault.kind)
}

#[test]
fn guarded_accesses_to_nowhere_are_harmless() {
    let text = "
        r6 = r1
        r7 = 8
        r0 = *(u64 *)(r7 + 0)
        r1 = *(s8 *)(r7 + 3)
        r0 += r1
        *(u64 *)(r7 + 0) = 5
        r2 = 7
        lock *(u64 *)(r7 + 0) += r2
        r3 = *(u64 *)(r7 + 0)
        r0 += r3
        r4 = *(u8 *)(r6 + 1)
        r0 += r4
        *(u8 *)(r6 + 0) = 9
        exit";
    for &engine in ENGINES {
        let mut memory = [1, 2, 3, 4, 5, 6, 7, 8];
        let got = run(text, &[2, 3, 5, 7, 8, 10, 12], &mut memory, engine);
        assert_eq!(got, Ok(2), "{engine:?}");
        assert_eq!(memory[0], 9, "{engine:?}: what is the program's is touched");
    }
}

#[test]
fn guarded_accesses_at_an_end_are_whole_or_not() {
    let text = "r0 = *(u32 *)(r1 + 5)\n *(u32 *)(r1 + 5) = 0\n exit";
    for &engine in ENGINES {
        let mut memory = [255; 8];
        assert_eq!(run(text, &[0, 1], &mut memory, engine), Ok(0), "{engine:?}");
        assert_eq!(memory, [255; 8], "{engine:?}");
    }
}

#[test]
fn writes_of_the_frame_pointer_stop_the_program_where_they_are_reached() {
    // Each kind of instruction that has a destination.
    for write in [
        "r10 = 0",
        "r10 += r0",
        "w10 = w0",
        "r10 = (s8)r0",
        "r10 = -r10",
        "r10 = be16 r10",
        "r10 = 1234567890123 ll",
        "r10 = *(u64 *)(r1 + 0)",
        "r10 = atomic_fetch_add((u64 *)(r1 + 0), r10)",
    ] {
        // The context's first byte decides whether it comes there.
        let text = format!("r0 = *(u8 *)(r1 + 0)\n if r0 == 0 goto done\n {write}\ndone:\n exit");
        let vm = Vm::new().expect("a machine");
        let slots = assemble(&text).expect("a program");
        for &engine in ENGINES {
            for mode in [Mode::Checked, Mode::Verified] {
                let program = vm.bare_with("frame", &slots, engine, mode, Vec::new());
                let program = program.expect("a program that loads");
                assert_eq!(
                    program.run(&mut [0; 8]),
                    Ok(0),
                    "{write}, {engine:?}, {mode:?}"
                );
                let fault = program.run(&mut [1; 8]).expect_err("a fault");
                assert_eq!(fault.kind, FaultKind::FramePointer, "{engine:?}, {mode:?}");
                assert_eq!(fault.at, InsnIndex(2), "{write}, {engine:?}, {mode:?}");
            }
        }
    }
}

#[test]
fn atomics_are_aligned_in_verified_mode_too() {
    #[repr(align(8))]
    struct Aligned([u8; 8]);
    let text = "r0 = 1\n lock *(u32 *)(r1 + 1) += r0\n exit";
    for &engine in ENGINES {
        let Aligned(memory) = &mut Aligned([0; 8]);
        let got = run(text, &[], memory, engine);
        assert!(
            matches!(got, Err(FaultKind::Memory { size: 4, .. })),
            "{engine:?}: {got:?}"
        );
        assert_eq!(run(text, &[1], memory, engine), Ok(1), "{engine:?}");
        assert_eq!(*memory, [0; 8], "{engine:?}: a guarded one is lost");
    }
}
