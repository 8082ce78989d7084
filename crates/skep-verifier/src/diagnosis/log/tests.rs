//! Logs as kernels write them.

use super::*;

#[test]
fn a_log_of_5_10() {
    let log = "\
0: (61) r2 = *(u32 *)(r1 +16)
; __u64 *count = bpf_map_lookup_elem(&hits, &key);
4: (85) call bpf_map_lookup_elem#1
; *count += 1;
5: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
";
    let parsed = KernelLog::parse(log);
    assert_eq!(parsed.rule, Some(Rule::MapValueOrNull));
    assert_eq!(parsed.message, "R0 invalid mem access 'map_value_or_null'");
    assert_eq!(parsed.insn, Some(InsnIndex(5)));
    assert_eq!(parsed.register, Some(Reg::R0));
    assert_eq!(parsed.path, [0, 4, 5].map(InsnIndex));
    let last = parsed.lines.last().expect("a line");
    assert_eq!((last.text.as_str(), &last.place), ("*count += 1;", &None));
}

#[test]
fn a_log_of_6_12_with_states_and_places() {
    let log = "\
func#0 @0
0: R1=ctx() R10=fp0
; int key = 0; @ a.c:7
0: (b7) r1 = 0                        ; R1_w=0
from 3 to 6: R0=0 R10=fp0
; return *value; @ a.c:9
6: (95) exit
At program exit the register R0 has smin=2 smax=2 should have been in [0, 1]
verification time 46 usec
stack depth 8
processed 5 insns (limit 1000000) max_states_per_insn 0 total_states 0
";
    let parsed = KernelLog::parse(log);
    assert_eq!(parsed.rule, Some(Rule::ReturnValue));
    assert_eq!(parsed.insn, Some(InsnIndex(6)));
    assert_eq!(parsed.path, [InsnIndex(6)], "another path begins there");
    let last = parsed.lines.last().expect("a line");
    assert_eq!(last.text, "return *value;");
    assert_eq!(last.place, Some(("a.c".into(), 9)));
}

/// As Linux 7.3 writes it, shortened.
#[test]
fn a_diagnosis_of_7_3_is_kept_apart() {
    let log = "\
7: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
Verification failed: Register Type Safety: Invalid dereference
Reason:
  R0 may be NULL here (a nullable map value pointer).
At:
  count @ a.c:19:9
  Instruction context:
       6 | (85) call bpf_map_lookup_elem#1
  >>>  7 | (79) r1 = *(u64 *)(r0 +0)
Suggestion:
  Add a NULL check before the access and dereference the pointer only on
  the non-NULL path.
processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0
";
    let parsed = KernelLog::parse(log);
    assert_eq!(parsed.rule, Some(Rule::MapValueOrNull));
    assert_eq!(parsed.insn, Some(InsnIndex(7)));
    let reason = parsed.reason.expect("a reason");
    assert_eq!(
        reason,
        "R0 may be NULL here (a nullable map value pointer)."
    );
    let suggestion = parsed.suggestion.expect("a suggestion");
    assert!(
        suggestion.ends_with("only on the non-NULL path."),
        "{suggestion}"
    );
    let alone = KernelLog::parse("Verification failed: something\n");
    assert_eq!(alone.message, "something");
}

#[test]
fn messages_without_an_instruction() {
    let parsed = KernelLog::parse("unreachable insn 4\nprocessed 0 insns\n");
    assert_eq!(
        (parsed.rule, parsed.insn),
        (Some(Rule::UnreachableCode), Some(InsnIndex(4)))
    );
    let parsed = KernelLog::parse("last insn is not an exit or jmp\n");
    assert_eq!((parsed.rule, parsed.insn), (Some(Rule::NoExit), None));
    let parsed = KernelLog::parse("combined stack size of 2 calls is 576. Too large\n");
    assert_eq!(parsed.rule, Some(Rule::StackOverflow));
    assert_eq!(KernelLog::parse(""), KernelLog::default());
    assert_eq!(KernelLog::parse("func#0 @0\n").message, "");
}

#[test]
fn comments_are_no_message() {
    let log = "\
5: (85) call pc+2
arg#0 reference type('UNKNOWN ') size cannot be determined: -22
R1 type=scalar expected=fp
mark_precise: frame0: last_idx 5 first_idx 0 subseq_idx -1
processed 5 insns
";
    let parsed = KernelLog::parse(log);
    assert_eq!(parsed.message, "R1 type=scalar expected=fp");
    assert_eq!(parsed.rule, Some(Rule::ArgumentType));
}
