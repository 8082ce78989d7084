//! Relocations that make no sense, and types that would keep a reader busy for ever.

use super::*;

#[test]
fn an_instruction_that_does_not_fit_its_relocation_is_an_error() {
    let target = || target_struct(64, &[("b", 40)]);
    let offset = CoreKind::FieldByteOffset;
    fails(
        second_field(offset, load(BPF_W, 8)).against(target()),
        "CO-RE relocation byte_offset of struct s.b (0:1): the instruction has 8, expected 4",
    );
    let far = target_struct(1 << 17, &[("b", 1 << 16)]);
    fails(
        second_field(offset, load(BPF_W, 4)).against(far),
        "offset 65536 is too large for a load or store",
    );
    let exit = vec![RawInsn {
        opcode: BPF_JMP | BPF_EXIT,
        ..RawInsn::default()
    }];
    fails(
        second_field(offset, exit).against(target()),
        "opcode 0x95 has no number to relocate",
    );
    fails(
        second_field(offset, Vec::new()).against(target()),
        "no instruction is there",
    );
    let no_btf = Target::new(KernelVersion::new(4, 18));
    fails(
        second_field(offset, mov(4)).on(no_btf),
        "needs the target's kernel BTF",
    );
}

#[test]
fn malformed_accesses_are_errors() {
    let case = |access| {
        let case = second_field(CoreKind::FieldByteOffset, mov(4));
        Case { access, ..case }.against(target_struct(64, &[("b", 40)]))
    };
    for access in ["", ":", "0:", "0:-1", "x", "0:1:0", "0:9", "99999999999"] {
        fails(case(access), "CO-RE relocation byte_offset of struct s");
    }
    let long: &'static str = Box::leak("0:".repeat(80).into_boxed_str());
    fails(case(long), "access of more than 64 levels");
}

#[test]
fn types_that_contain_themselves_end_in_an_error() {
    // struct s { struct { anonymous s; anonymous s } }: a tree of 2^n members.
    let mut target = Types::new();
    let next = target.builder.next_id();
    let members = vec![NewMember::new("", next, 0); 2];
    target.builder.structure("s", 8, &members);
    let case = second_field(CoreKind::FieldByteOffset, mov(4));
    fails(case.against(target.btf()), "deeply");
    // A prototype whose parameters are of its own kind, 8 ways at each of 32 levels.
    let hydra = || {
        let mut types = Types::new();
        let next = types.builder.next_id();
        let root = types.builder.prototype(types.int, &[("p", next); 8]);
        let root = types.builder.typedef("f", root);
        (types, root)
    };
    for kind in [CoreKind::TypeExists, CoreKind::TypeMatches] {
        let (local, root) = hydra();
        let case = Case {
            local,
            kind,
            root,
            access: "0",
            insns: mov(1),
        };
        fails(
            case.against(hydra().0.btf()),
            "too deeply nested to compare",
        );
    }
}
