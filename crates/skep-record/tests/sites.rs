//! What of a program is recorded: calls and loads whose answer is the world's, and no others.

use skep_abi::{MapType, ProgramType};
use skep_isa::{Endian, Insn, InsnIndex, RawInsn, assemble, decode_program};
use skep_object::{
    Image, ImageFunction, ImageMap, ImageProgram, MapIndex, MapReference, MapReferenceKind,
    ProgramIndex, SectionName,
};
use skep_record::{Error, Kfuncs, Options, Sites, instrument, replayed};

fn image(section: &str, kind: ProgramType, text: &str) -> Image {
    let mut image = Image::new("x", Endian::NATIVE);
    image
        .maps
        .push(ImageMap::new("map", MapType::Hash, 8, 8, 1));
    let section = SectionName::parse(section).unwrap();
    let mut program = ImageProgram::new(ProgramIndex(0), "x", section, kind);
    program.instructions = assemble(text).unwrap();
    program.license = "GPL".into();
    let insns = decode_program(&program.instructions).map(Result::unwrap);
    let maps = insns.filter(|(_, insn)| matches!(insn, Insn::LoadImm64 { .. }));
    program.map_references = maps
        .map(|(insn, _)| MapReference {
            insn,
            map: MapIndex(0),
            kind: MapReferenceKind::Map,
        })
        .collect();
    program.functions.push(ImageFunction {
        name: "x".into(),
        start: InsnIndex(0),
        type_id: None,
    });
    image.programs.push(program);
    image
}

fn sites(section: &str, kind: ProgramType, text: &str) -> Result<Sites, Error> {
    let mut image = image(section, kind, text);
    instrument(&mut image, &Options::new(4), &Kfuncs::new(), &|_| None)
}

/// Checks what of a program at a raw tracepoint is recorded.
fn check(text: &str, wanted: &[(u32, &str)]) {
    let sites = sites("raw_tp/x", ProgramType::RawTracepoint, text).unwrap();
    let found = sites.programs[0].sites.iter();
    let found: Vec<_> = found.map(|site| (site.insn, site.what.as_str())).collect();
    assert_eq!(found, wanted, "{text}");
}

#[test]
fn answers_of_the_world_are_recorded() {
    check(
        "call 14
         call 5
         r0 = 0
         exit",
        &[(0, "bpf_get_current_pid_tgid"), (1, "bpf_ktime_get_ns")],
    );
}

#[test]
fn own_memory_is_not() {
    // Frame, context, the value of a map, also behind a test, a copy and a spill.
    check(
        "r6 = r1
         r1 = *(u64 *)(r6 + 8)
         *(u64 *)(r10 - 8) = r1
         r1 = 0 ll
         r2 = r10
         r2 += -8
         call 1
         if r0 == 0 goto out
         *(u64 *)(r10 - 16) = r0
         r1 = *(u64 *)(r10 - 16)
         r2 = *(u32 *)(r1 + 4)
         r3 = *(u64 *)(r10 - 8)
         out: r0 = 0
         exit",
        &[(7, "bpf_map_lookup_elem")],
    );
}

#[test]
fn pointers_into_the_kernel_are_followed() {
    // An argument of the tracepoint, and what it points to; a pointer that lay in a map's value.
    check(
        "r6 = *(u64 *)(r1 + 0)
         r7 = *(u64 *)(r6 + 1200)
         r8 = *(u32 *)(r7 + 16)
         *(u64 *)(r10 - 8) = r8
         r1 = 0 ll
         r2 = r10
         r2 += -8
         call 1
         if r0 == 0 goto out
         r1 = *(u64 *)(r0 + 0)
         r2 = *(s16 *)(r1 - 2)
         out: r0 = 0
         exit",
        &[
            (1, "load of 8 bytes at +1200"),
            (2, "load of 4 bytes at +16"),
            (8, "bpf_map_lookup_elem"),
            (11, "signed load of 2 bytes at -2"),
        ],
    );
}

#[test]
fn functions_know_what_they_are_given() {
    // The second function reads its caller's frame by its first argument, and the kernel by its
    // second.
    check(
        "r6 = *(u64 *)(r1 + 0)
         *(u64 *)(r10 - 8) = 7
         r1 = r10
         r1 += -8
         r2 = r6
         call pc+1
         exit
         r0 = *(u64 *)(r1 + 0)
         r3 = *(u64 *)(r2 + 8)
         r0 += r3
         exit",
        &[(8, "load of 8 bytes at +8")],
    );
}

#[test]
fn a_pointer_that_may_be_either_is_recorded() {
    check(
        "r6 = *(u64 *)(r1 + 0)
         r7 = *(u64 *)(r1 + 8)
         *(u64 *)(r10 - 8) = 7
         r2 = r10
         r2 += -8
         if r7 == 0 goto other
         r2 = r6
         other: r0 = *(u64 *)(r2 + 0)
         exit",
        &[(7, "load of 8 bytes at +0")],
    );
}

#[test]
fn contexts_that_the_kernel_makes_up_are_recorded_by_field() {
    let text = "r6 = r1
                r2 = *(u32 *)(r6 + 4)
                r3 = *(u32 *)(r6 + 0)
                r4 = *(u32 *)(r6 + 12)
                r0 = r4
                exit";
    let sites = sites("xdp", ProgramType::Xdp, text).unwrap();
    let found = &sites.programs[0];
    assert_eq!(found.sites.len(), 1, "{found:?}");
    assert_eq!(found.sites[0].what, "context's 4 bytes at 12");
    assert!(found.reads_packet);
}

#[test]
fn what_cannot_be_recorded_is_named() {
    let refused = |section, kind, text: &str, wanted: &str| {
        let error = sites(section, kind, text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    let nothing = "r0 = 0\nexit";
    refused(
        "syscall",
        ProgramType::Syscall,
        nothing,
        "program `x` (syscall) can't be recorded: it runs when it is asked to",
    );
    let tail_call = "r2 = 0 ll\nr3 = 0\ncall 12\nr0 = 0\nexit";
    refused(
        "raw_tp/x",
        ProgramType::RawTracepoint,
        tail_call,
        "it calls bpf_tail_call at instruction 3",
    );
    let full = "*(u64 *)(r10 - 512) = 0\ncall 5\nr0 = 0\nexit";
    refused(
        "raw_tp/x",
        ProgramType::RawTracepoint,
        full,
        "uses 512 of 512 bytes of stack, and 40 more are needed",
    );
    let mut unfree = image(
        "raw_tp/x",
        ProgramType::RawTracepoint,
        "r0 = *(u64 *)(r1 + 0)\nexit",
    );
    unfree.programs[0].license = "Proprietary".into();
    let made = instrument(&mut unfree, &Options::new(1), &Kfuncs::new(), &|_| None);
    let error = made.unwrap_err().to_string();
    assert!(error.contains("its licence `Proprietary`"), "{error}");
}

/// A replay asks for the same places as the recording has.
#[test]
fn a_replay_has_the_same_places() {
    let text = "r6 = *(u64 *)(r1 + 0)
                r7 = *(u32 *)(r6 + 8)
                call 5
                r0 += r7
                exit";
    let image = image("raw_tp/x", ProgramType::RawTracepoint, text);
    let mut recording = image.clone();
    let recorded = instrument(&mut recording, &Options::new(4), &Kfuncs::new(), &|_| None);
    let (replay, here) = replayed(&image, &Kfuncs::new(), &|_| None).unwrap();
    assert_eq!(recorded.unwrap(), here);
    let wanted: Vec<RawInsn> = assemble(
        "r6 = *(u64 *)(r1 + 0)
         r1 = 1
         call 5200001
         r7 = r0
         r1 = 2
         call 5200001
         r0 += r7
         exit",
    )
    .unwrap();
    assert_eq!(replay.programs[0].instructions, wanted);
}
