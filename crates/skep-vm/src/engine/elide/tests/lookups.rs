//! Which calls are seen to look something up in an array.

use skep_isa::assemble;

use super::{Loops, analyze};
use crate::{engine::ArrayValues, program::Code};

/// How many values the array has in which a call looks something up, for each such call: map 0 is
/// an array of 10, map 1 is none, map 2 an array of 30.
fn lookups(text: &str) -> Vec<u32> {
    let slots = assemble(text).expect("a program");
    let code = Code::new(&slots, &mut Loops).expect("a program that loads");
    let array = |count| {
        Some(ArrayValues {
            start: 0x1000,
            count,
            stride: 8,
            areas: None,
        })
    };
    let code = code.with_arrays(vec![array(10), None, array(30)]);
    let facts = analyze(&code, 0);
    let all = code.function_instructions(0).iter();
    all.filter_map(|(at, _)| facts.lookup(*at))
        .map(|array| array.count)
        .collect()
}

#[test]
fn lookups_in_arrays() {
    const KEY: &str = "r2 = r10\n r2 += -4\n";
    let known = |text: &str| lookups(&format!("{text}\n r0 = 0\n exit"));
    assert_eq!(known(&format!("r1 = map[fd:0]\n {KEY} call 1")), [10]);
    assert_eq!(known(&format!("r1 = map[fd:1]\n {KEY} call 1")), []);
    assert_eq!(
        known(&format!("r1 = map[fd:2]\n {KEY} call 1\n call 1")),
        [30, 30]
    );
    // By a register that is kept, by a slot of the frame, and in a loop.
    let kept = "r6 = map[fd:2]\n *(u64 *)(r10 - 16) = r6\n r0 = 0\n";
    let by_slot = format!("{kept} r1 = *(u64 *)(r10 - 16)\n {KEY} call 1");
    assert_eq!(known(&by_slot), [30]);
    let looped = format!("{kept} again: r1 = r6\n {KEY} call 1\n if r0 != 0 goto again");
    assert_eq!(known(&looped), [30]);
    // Another helper; keys that may be elsewhere; no map, and one of two.
    assert_eq!(known(&format!("r1 = map[fd:0]\n {KEY} call 3")), []);
    for key in [
        "r2 = r1",
        "r2 = r10\n r2 += -3",
        "r2 = r10\n r2 += -516",
        "r2 = r10",
    ] {
        assert_eq!(
            known(&format!("r1 = map[fd:0]\n {key}\n call 1")),
            [],
            "{key}"
        );
    }
    assert_eq!(known(&format!("{KEY} call 1")), []);
    let either = "r6 = map[fd:0]\n if r1 == 0 goto +2\n r6 = map[fd:2]\n r1 = r6\n";
    assert_eq!(known(&format!("{either} {KEY} call 1")), []);
    // The other function's registers are its own.
    let called =
        "r1 = map[fd:0]\n call inner\n r0 = 0\n exit\n inner: r2 = r10\n r2 += -4\n call 1";
    assert_eq!(known(called), []);
}
