//! `gotox` through jump tables (Linux 6.19), which clang 19 does not emit and this kernel does not
//! take: programs as text.

use skep_abi::{MapType, ProgramType};
use skep_isa::InsnIndex;
use skep_object::Target;
use skep_verifier::{Map, MapId, MapUse, Options, Program, Rule, Verdict, verify};

/// A program whose instruction 3 refers to a table with these targets.
fn judge(text: &str, targets: &[u32]) -> Verdict {
    let slots = skep_isa::assemble(text).expect("a program");
    let mut program = Program::new(ProgramType::SocketFilter, "jumps", &slots);
    let entries = targets.len() as u32;
    program.maps = vec![Map::new("table", MapType::InsnArray, 4, 16, entries)];
    program.map_uses = vec![MapUse {
        insn: InsnIndex(3),
        map: MapId(0),
        value_offset: Some(0),
    }];
    let targets = targets.iter().copied().map(InsnIndex).collect();
    program.jump_tables = vec![(vec![InsnIndex(3)], targets)];
    let target = Target::new("6.19".parse().expect("a version"));
    verify(&program, &target, &Options::default())
}

fn program(bound: &str, load: &str) -> String {
    format!(
        "r1 = *(u32 *)(r1 + 0)
        {bound}
        r1 <<= 3
        r2 = map[fd:0][0]+0
        r2 += r1
        {load}
        gotox r1
        r0 = 10
        exit
        r0 = 20
        exit"
    )
}

const LOAD: &str = "r1 = *(u64 *)(r2 + 0)";

#[test]
fn an_entry_inside_of_the_table_is_gone_to() {
    let verdict = judge(&program("if r1 > 1 goto +6", LOAD), &[8, 10]);
    assert_eq!(verdict.rejection, None);
}

#[test]
fn an_entry_may_be_outside() {
    let verdict = judge(&program("if r1 > 2 goto +6", LOAD), &[8, 10]);
    let rejection = verdict.rejection.expect("the third entry is not there");
    assert_eq!(rejection.rule, Rule::MapValueOutOfBounds, "{rejection}");
}

#[test]
fn entries_are_read_whole() {
    for load in ["r1 = *(u32 *)(r2 + 0)", "r1 = *(u64 *)(r2 + 4)"] {
        let verdict = judge(&program("if r1 > 0 goto +6", load), &[8, 10]);
        let rejection = verdict.rejection.expect(load);
        assert_eq!(rejection.rule, Rule::MapValueOutOfBounds, "{rejection}");
    }
}

#[test]
fn numbers_are_no_places() {
    let verdict = judge(&program("if r1 > 1 goto +6", "r1 = 8"), &[8, 10]);
    let rejection = verdict.rejection.expect("a number");
    assert_eq!(rejection.rule, Rule::JumpOutOfRange, "{rejection}");
}
