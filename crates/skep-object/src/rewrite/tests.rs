//! Programs before and after: as text, since an assembler counts jumps by itself.

use skep_abi::ProgramType;
use skep_isa::{AluOp, Endian, Insn, InsnIndex, Operand, RawInsn, Reg, Width, assemble};

use super::{Rewrite, RewriteError, Snippet};
use crate::{
    ImageFunction, ImageProgram, InfoRecords, LineRecord, MapIndex, MapReference, MapReferenceKind,
    ProgramIndex, SectionName,
};

fn program(text: &str) -> ImageProgram {
    let section = SectionName::parse("raw_tp/x").unwrap();
    let kind = ProgramType::RawTracepoint;
    let mut program = ImageProgram::new(ProgramIndex(0), "main", section, kind);
    program.instructions = assemble(text).unwrap();
    program
}

/// Code that sets registers.
fn sets(values: &[(Reg, i32)]) -> Snippet {
    let mut snippet = Snippet::new();
    for (dst, number) in values {
        snippet.push(Insn::Mov {
            width: Width::W64,
            dst: *dst,
            src: Operand::Imm(*number),
        });
    }
    snippet
}

fn check(before: &str, rewrite: &Rewrite, after: &str) -> ImageProgram {
    let made = rewrite.apply(&program(before), Endian::Little).unwrap();
    let wanted: Vec<RawInsn> = assemble(after).unwrap();
    assert_eq!(made.instructions, wanted);
    made
}

#[test]
fn jumps_go_where_they_went() {
    let mut rewrite = Rewrite::new();
    rewrite.at_entry(InsnIndex(0), sets(&[(Reg::R6, 1)]));
    rewrite.before(InsnIndex(0), sets(&[(Reg::R7, 2)]));
    rewrite.after(InsnIndex(0), sets(&[(Reg::R8, 3)]));
    rewrite.after(InsnIndex(1), sets(&[(Reg::R9, 4), (Reg::R9, 5)]));
    rewrite.before(InsnIndex(2), sets(&[(Reg::R7, 6)]));
    // What is before an instruction runs however it is reached; what is at the entry does not
    // run again; what is after runs where the loop ends.
    check(
        "again: r0 += 2
         if r0 != 10 goto again
         exit",
        &rewrite,
        "r6 = 1
         again: r7 = 2
         r0 += 2
         r8 = 3
         if r0 != 10 goto again
         r9 = 4
         r9 = 5
         r7 = 6
         exit",
    );
}

#[test]
fn calls_enter_functions() {
    let mut rewrite = Rewrite::new();
    rewrite.at_entry(InsnIndex(4), sets(&[(Reg::R6, 1)]));
    rewrite.before(InsnIndex(4), sets(&[(Reg::R7, 2)]));
    rewrite.before(InsnIndex(2), sets(&[(Reg::R1, 3)]));
    check(
        "r2 = subprog[add]
         call pc+1
         exit
         add: r0 = r1
         if r0 > 9 goto add
         exit",
        &rewrite,
        "r2 = subprog[add]
         r1 = 3
         call pc+1
         exit
         add: r6 = 1
         again: r7 = 2
         r0 = r1
         if r0 > 9 goto again
         exit",
    );
}

#[test]
fn instructions_are_replaced() {
    let mut rewrite = Rewrite::new();
    rewrite.instead(InsnIndex(1), Snippet::new());
    rewrite.instead(InsnIndex(2), sets(&[(Reg::R0, 1), (Reg::R0, 2)]));
    check(
        "goto pc+1
         call 5
         call 8
         exit",
        &rewrite,
        "goto pc+0
         r0 = 1
         r0 = 2
         exit",
    );
}

#[test]
fn references_and_records_move() {
    let mut before = program(
        "r1 = 0 ll
         r2 = 0 ll
         call pc+1
         exit
         r0 = 0
         exit",
    );
    let reference = |insn, kind| MapReference {
        insn: InsnIndex(insn),
        map: MapIndex(3),
        kind,
    };
    let value = MapReferenceKind::Value { offset: 8 };
    before.map_references = vec![reference(0, MapReferenceKind::Map), reference(2, value)];
    let function = |name: &str, start| ImageFunction {
        name: name.into(),
        start: InsnIndex(start),
        type_id: None,
    };
    before.functions = vec![function("main", 0), function("zero", 6)];
    let records = |places: &[u32]| InfoRecords {
        record_size: 8,
        bytes: places
            .iter()
            .flat_map(|place| [place.to_be_bytes(), [7; 4]].concat())
            .collect(),
    };
    before.func_info = records(&[0, 6]);
    before.line_info = records(&[0, 4, 6, 7]);
    before.source.lines = vec![LineRecord {
        insn: InsnIndex(4),
        file: skep_btf::StringOffset(0),
        text: skep_btf::StringOffset(0),
        line_and_column: 5 << 10,
    }];

    let mut rewrite = Rewrite::new();
    let mut code = Snippet::new();
    code.push_map(Reg::R3, MapIndex(9));
    code.push_map_value(Reg::R4, MapIndex(9), 16);
    rewrite.before(InsnIndex(2), code);
    rewrite.at_entry(InsnIndex(6), sets(&[(Reg::R6, 1)]));
    rewrite.before(InsnIndex(7), sets(&[(Reg::R6, 1)]));
    let made = rewrite.apply(&before, Endian::Big).unwrap();

    let added = |insn, kind| MapReference {
        insn: InsnIndex(insn),
        map: MapIndex(9),
        kind,
    };
    let wanted = [
        reference(0, MapReferenceKind::Map),
        added(2, MapReferenceKind::Map),
        added(4, MapReferenceKind::Value { offset: 16 }),
        reference(6, value),
    ];
    assert_eq!(made.map_references, wanted);
    assert_eq!(made.functions[1].start, InsnIndex(10));
    assert_eq!(made.func_info, records(&[0, 10]));
    // A line begins with what stands before its first instruction.
    assert_eq!(made.line_info, records(&[0, 8, 10, 12]));
    assert_eq!(made.source.lines[0].insn, InsnIndex(8));
}

#[test]
fn what_cannot_be_is_told() {
    let text = "r1 = 0 ll
                if r1 == 0 goto pc+1
                r0 = 1
                exit";
    let mut rewrite = Rewrite::new();
    rewrite.before(InsnIndex(1), sets(&[(Reg::R1, 1)]));
    let error = rewrite.apply(&program(text), Endian::Little).unwrap_err();
    assert_eq!(error, RewriteError::NoInstruction { at: InsnIndex(1) });

    let mut rewrite = Rewrite::new();
    rewrite.before(InsnIndex(3), sets(&vec![(Reg::R1, 1); 40_000]));
    let error = rewrite.apply(&program(text), Endian::Little).unwrap_err();
    let jump = RewriteError::Jump {
        at: InsnIndex(2),
        distance: 40_001,
    };
    assert_eq!(error, jump);
}

#[test]
fn snippets_jump_in_themselves() {
    let mut snippet = Snippet::new();
    snippet.push(Insn::JumpIf {
        width: Width::W64,
        op: skep_isa::CompareOp::Eq,
        dst: Reg::R0,
        src: Operand::Imm(0),
        offset: 0,
    });
    snippet.push(Insn::Alu {
        width: Width::W64,
        op: AluOp::Add,
        dst: Reg::R0,
        src: Operand::Imm(1),
    });
    snippet.land(0);
    let mut rewrite = Rewrite::new();
    rewrite.after(InsnIndex(0), snippet);
    check(
        "r0 = 7
         exit",
        &rewrite,
        "r0 = 7
         if r0 == 0 goto pc+1
         r0 += 1
         exit",
    );
}
