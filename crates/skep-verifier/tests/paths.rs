//! Paths: what is checked of code before any is followed, what each side of a jump knows, and that
//! paths only end early where what was seen covers them.

use std::borrow::Cow;

use skep_abi::{KernelVersion, ProgLoadFlags, ProgramType};
use skep_isa::assemble;
use skep_object::Target;
use skep_verifier::{Options, Program, Rule, verify};

fn program(program_type: ProgramType, text: &str) -> Program<'static> {
    Program {
        instructions: Cow::Owned(assemble(text).expect("assembles")),
        ..Program::new(program_type, "test", &[])
    }
}

fn verdict(program: &Program<'_>, kernel: (u8, u8), options: &Options) -> Option<Rule> {
    let target = Target::new(KernelVersion::new(kernel.0, kernel.1));
    let rejection = verify(program, &target, options).rejection;
    rejection.map(|why| why.rule)
}

/// The rule that a socket filter breaks: with states kept now and then, with all kept, and without
/// pruning.
#[track_caller]
fn check(text: &str, expected: Option<Rule>) {
    let mut program = program(ProgramType::SocketFilter, text);
    let mut options = Options::default();
    let found = verdict(&program, (6, 18), &options);
    assert_eq!(found, expected, "{text}");
    program.flags = ProgLoadFlags::TEST_STATE_FREQ;
    let found = verdict(&program, (6, 18), &options);
    assert_eq!(found, expected, "all states: {text}");
    options.prune = false;
    let found = verdict(&program, (6, 18), &options);
    assert_eq!(found, expected, "no pruning: {text}");
}

/// The same of a program that may not end: only with pruning.
#[track_caller]
fn check_loop(text: &str, expected: Option<Rule>) {
    let mut program = program(ProgramType::SocketFilter, text);
    let mut options = Options::default();
    options.instruction_limit = Some(20_000);
    let found = verdict(&program, (6, 18), &options);
    assert_eq!(found, expected, "{text}");
    program.flags = ProgLoadFlags::TEST_STATE_FREQ;
    let found = verdict(&program, (6, 18), &options);
    assert_eq!(found, expected, "all states: {text}");
}

#[test]
fn code_is_whole() {
    check("r0 = 0\n exit", None);
    check("r0 = 0", Some(Rule::NoExit));
    check("goto pc+3\n r0 = 0\n exit", Some(Rule::JumpOutOfRange));
    check("r0 = 0\n goto pc-5\n exit", Some(Rule::JumpOutOfRange));
    check(
        "goto pc+1\n r1 = 7 ll\n r0 = 0\n exit",
        Some(Rule::JumpOutOfRange),
    );
    check("r0 = 0\n exit\n exit", Some(Rule::UnreachableCode));
    // From one function into another.
    check(
        "call f\n goto inner\nf:\n r0 = 0\ninner:\n exit",
        Some(Rule::JumpOutOfRange),
    );
    check("call f\n r0 = 0\nf:\n r0 = 0\n exit", Some(Rule::NoExit));
}

#[test]
fn loops_are_for_new_kernels_and_capable_loaders() {
    let text = "r6 = 0\nagain:\n r6 += 1\n if r6 < 5 goto again\n r0 = 0\n exit";
    check(text, None);
    let looping = program(ProgramType::SocketFilter, text);
    let found = verdict(&looping, (5, 2), &Options::default());
    assert_eq!(found, Some(Rule::UnboundedLoop));
    let found = verdict(&looping, (6, 18), &Options::unprivileged());
    assert_eq!(found, Some(Rule::UnboundedLoop));
}

#[test]
fn loops_that_change_nothing_are_refused() {
    check_loop("again:\n r0 = 0\n goto again", Some(Rule::UnboundedLoop));
    check_loop(
        "r6 = *(u32 *)(r1 +0)\nagain:\n r0 = 0\n if r6 == 3 goto again\n exit",
        Some(Rule::UnboundedLoop),
    );
    // What counts is not what the end depends on.
    check_loop(
        "r6 = 0\n r7 = 0\nagain:\n r6 += 1\n if r7 < 5 goto again\n r0 = 0\n exit",
        Some(Rule::TooComplex),
    );
}

#[test]
fn instructions_need_their_kernel() {
    let sign = program(ProgramType::SocketFilter, "r1 = 5\n r0 = (s8)r1\n exit");
    let old = verdict(&sign, (6, 5), &Options::default());
    assert_eq!(old, Some(Rule::InstructionNotHere));
    let new = verdict(&sign, (6, 6), &Options::default());
    assert_eq!(new, None);
}

#[test]
fn sizes_have_limits() {
    let mut text = "r0 = 0\n".repeat(5000);
    text.push_str("exit");
    let long = program(ProgramType::SocketFilter, &text);
    assert_eq!(verdict(&long, (6, 18), &Options::default()), None);
    let old = verdict(&long, (5, 1), &Options::default());
    assert_eq!(old, Some(Rule::TooLarge));
    let unprivileged = verdict(&long, (6, 18), &Options::unprivileged());
    assert_eq!(unprivileged, Some(Rule::TooLarge));
}

#[test]
fn chains_of_calls_share_the_stack() {
    let uses = |first: i32, second: i32| {
        format!(
            "*(u64 *)(r10 -{first}) = 0\n call f\n r0 = 0\n exit\n\
             f:\n *(u64 *)(r10 -{second}) = 0\n r0 = 0\n exit"
        )
    };
    check(&uses(256, 256), None);
    check(&uses(264, 256), Some(Rule::StackOverflow));
    // On a stack of its own each, since 6.13.
    let traced = program(ProgramType::Kprobe, &uses(264, 256));
    assert_eq!(verdict(&traced, (6, 13), &Options::default()), None);
    let old = verdict(&traced, (6, 12), &Options::default());
    assert_eq!(old, Some(Rule::StackOverflow));
}

#[test]
fn functions_do_not_recurse() {
    check_loop(
        "call f\n r0 = 0\n exit\nf:\n call f\n exit",
        Some(Rule::CallTooDeep),
    );
}

#[test]
fn packets_are_read_below_their_end() {
    // How the end is compared, and whether the packet is read where it jumps or falls.
    let comparisons = [
        ("if r4 > r3 goto", false, 8),
        ("if r4 >= r3 goto", false, 9),
        ("if r4 < r3 goto", true, 9),
        ("if r4 <= r3 goto", true, 8),
        ("if r3 < r4 goto", false, 8),
        ("if r3 <= r4 goto", false, 9),
        ("if r3 > r4 goto", true, 9),
        ("if r3 >= r4 goto", true, 8),
    ];
    for (comparison, jumps, range) in comparisons {
        for (offset, fits) in [(range - 1, true), (range, false)] {
            let read = format!("r0 = *(u8 *)(r2 +{offset})\n exit");
            let (fallen, taken) = if jumps {
                ("r0 = 0\n exit".to_owned(), read)
            } else {
                (read, "r0 = 0\n exit".to_owned())
            };
            let text = format!(
                "r2 = *(u32 *)(r1 +0)\n r3 = *(u32 *)(r1 +4)\n r4 = r2\n r4 += 8\n \
                 {comparison} there\n {fallen}\nthere:\n {taken}"
            );
            let found = verdict(
                &program(ProgramType::Xdp, &text),
                (6, 18),
                &Options::default(),
            );
            let expected = (!fits).then_some(Rule::PacketOutOfBounds);
            assert_eq!(found, expected, "{text}");
        }
    }
}

#[test]
fn sides_of_a_jump_know_bounds() {
    let within = |test: &str| {
        format!(
            "*(u64 *)(r10 -8) = 0\n r6 = *(u32 *)(r1 +0)\n {test}\n r2 = r10\n r2 += -8\n \
             r2 += r6\n r0 = *(u8 *)(r2 +0)\n exit\nout:\n r0 = 0\n exit"
        )
    };
    check(&within("if r6 > 7 goto out"), None);
    assert!(is_refused(&within("if r6 > 8 goto out")));
    check(&within("if w6 >= 8 goto out"), None);
    // By a copy, and by one that is a constant away.
    check(&within("r7 = r6\n if r7 > 7 goto out"), None);
    check(&within("r7 = r6\n r7 += 2\n if r7 > 9 goto out"), None);
    assert!(is_refused(&within(
        "r7 = r6\n r7 += 2\n if r7 > 10 goto out"
    )));
}

fn is_refused(text: &str) -> bool {
    let program = program(ProgramType::SocketFilter, text);
    verdict(&program, (6, 18), &Options::default()).is_some()
}

/// Two paths meet with R7 as 0, and then 600, which `ways` carries to R6, an offset in a stack of
/// eight bytes. What was safe for 0 is not for 600.
#[track_caller]
fn check_way(way: &str, functions: &str) {
    let text = |second: u32| {
        format!(
            "r9 = *(u32 *)(r1 +0)\n r8 = *(u32 *)(r1 +4)\n *(u64 *)(r10 -8) = 0\n r7 = 0\n \
             if r9 > 5 goto other\n goto join\nother:\n r7 = {second}\njoin:\n {way}\n \
             r2 = r10\n r2 += -8\n r2 += r6\n r0 = *(u8 *)(r2 +0)\n r0 = 0\n exit\n\
             out:\n r0 = 0\n exit\n{functions}"
        )
    };
    check(&text(7), None);
    check(&text(600), Some(Rule::StackOutOfBounds));
}

#[test]
fn numbers_that_decide_are_compared_where_paths_meet() {
    check_way("if r8 == 1 goto out\n r6 = r7", "");
    check_way("if r8 == 1 goto out\n r6 = 0\n r6 += r7", "");
    check_way("if r8 == 1 goto out\n w6 = w7", "");
    // By the stack, whole and in part.
    check_way(
        "*(u64 *)(r10 -16) = r7\n if r8 == 1 goto out\n r6 = *(u64 *)(r10 -16)",
        "",
    );
    check_way(
        "*(u32 *)(r10 -16) = r7\n if r8 == 1 goto out\n r6 = *(u32 *)(r10 -16)",
        "",
    );
    // By a function's argument and result.
    check_way(
        "if r8 == 1 goto out\n r1 = r7\n call same\n r6 = r0",
        "same:\n r0 = r1\n exit",
    );
    // By the stack of the caller, in a function.
    check_way(
        "*(u64 *)(r10 -16) = r7\n if r8 == 1 goto out\n r1 = r10\n r1 += -16\n call load\n r6 = r0",
        "load:\n if r1 == 0 goto null\n r0 = *(u64 *)(r1 +0)\n exit\nnull:\n r0 = 0\n exit",
    );
    // By a jump that it decides.
    check_way(
        "if r8 == 1 goto out\n r6 = 0\n if r7 < 9 goto small\n r6 = 600\nsmall:\n r6 += 0",
        "",
    );
    // By a copy that another is bounded by.
    check_way(
        "r6 = r9\n r5 = r6\n if r8 == 1 goto out\n if r5 > r7 goto out\n r5 = 0",
        "",
    );
}

#[test]
fn pointers_on_the_stack_are_compared_where_paths_meet() {
    let text = |other: &str| {
        format!(
            "r9 = *(u32 *)(r1 +0)\n r8 = *(u32 *)(r1 +4)\n *(u64 *)(r10 -16) = 0\n r7 = r10\n \
             r7 += -16\n *(u64 *)(r10 -8) = r7\n if r9 > 5 goto other\n goto join\nother:\n \
             {other}\njoin:\n if r8 == 1 goto out\n r2 = *(u64 *)(r10 -8)\n \
             r0 = *(u64 *)(r2 +0)\nout:\n r0 = 0\n exit"
        )
    };
    check(&text("r0 = 0"), None);
    check(&text("*(u64 *)(r10 -8) = r9"), Some(Rule::NotAPointer));
    check(&text("*(u8 *)(r10 -8) = 1"), Some(Rule::NotAPointer));
}

#[test]
fn what_is_not_read_again_does_not_keep_paths_apart() {
    // Each round leaves another number where no one looks: 2 to the power of 31 paths.
    let mut text = "r9 = *(u32 *)(r1 +0)\n".to_owned();
    for bit in 0..31 {
        text.push_str(&format!(
            "r6 = {bit}\n if r9 & {} goto even{bit}\n r6 = 77\neven{bit}:\n \
             *(u64 *)(r10 -{}) = r6\n",
            1_u64 << bit,
            8 * (bit % 16 + 1),
        ));
    }
    text.push_str("r0 = 0\n exit");
    check_loop(&text, None);
}

/// Two paths meet: on the first, R6 and R7 are copies of one number up to 7; on the second, R6 is
/// `second`, and R7 is 1 and linked to nothing.
fn linked_and_not(second: u32, rest: &str) -> String {
    format!(
        "r9 = *(u32 *)(r1 +0)\n r6 = *(u32 *)(r1 +4)\n *(u64 *)(r10 -8) = 0\n \
         if r9 == 77 goto out\n r6 &= 7\n r7 = r6\n \
         if r9 > 5 goto other\n goto join\nother:\n r6 = {second}\n r7 = 1\njoin:\n {rest}\n \
         r0 = 0\n exit\nout:\n r0 = 0\n exit"
    )
}

#[test]
fn a_link_that_taught_nothing_does_not_keep_paths_apart() {
    let long = "r0 += 1\n".repeat(1000);
    let text = linked_and_not(
        7,
        &format!("r2 = r10\n r2 += -8\n r2 += r6\n r0 = *(u8 *)(r2 +0)\n r0 = r7\n {long}"),
    );
    let mut program = program(ProgramType::SocketFilter, &text);
    program.flags = ProgLoadFlags::TEST_STATE_FREQ;
    let target = Target::new(KernelVersion::new(6, 18));
    let verdict = verify(&program, &target, &Options::default());
    assert!(verdict.is_accepted(), "{:?}", verdict.rejection);
    let followed = verdict.stats.instructions;
    assert!(followed < 1100, "the end was followed twice: {followed}");
}

#[test]
fn a_link_that_taught_something_keeps_paths_apart() {
    let by_copy = "if r7 > 3 goto out\n r2 = r10\n r2 += -4\n r2 += r6\n r0 = *(u8 *)(r2 +0)";
    check(&linked_and_not(3, by_copy), None);
    check(&linked_and_not(7, by_copy), Some(Rule::StackOutOfBounds));
}

#[test]
fn rounds_of_may_goto_converge() {
    check_loop(
        "r6 = 0\nagain:\n may_goto out\n r6 += 1\n goto again\nout:\n r0 = 0\n exit",
        None,
    );
    // The number of rounds is not known, so that an offset that counts them is not bounded.
    let text = "r6 = 0\n *(u64 *)(r10 -8) = 0\nagain:\n may_goto out\n r6 += 1\n goto again\n\
                out:\n r2 = r10\n r2 += -8\n r2 += r6\n r0 = *(u8 *)(r2 +0)\n exit";
    assert!(is_refused(text));
}
