//! What a hit is: how often, with which registers, and what becomes of the instruction.

use skep_testing::{Outcome, ensure};

use crate::support::{Linked, Probes, command, compare, in_machine, kernel, probed, run};

const BOTH: &[(&str, &str)] = &[("at_entry", "probed"), ("at_return", "probed")];

#[test]
fn calls_and_returns_are_counted_however_the_program_is_linked() {
    run(|| {
        for linked in [Linked::Pie, Linked::Fixed, Linked::Static] {
            let binary = probed(linked)?;
            let counters = ["entries", "returns", "sum_of_results"];
            let (numbers, probes) = compare(&binary.path, &["calls", "1000"], BOTH, &counters)?;
            let sum = 3 * (999 * 1000 / 2) + 1000;
            let expected = [
                ("entries", 1000),
                ("returns", 1000),
                ("sum_of_results", sum),
            ];
            ensure(numbers == expected, || format!("{linked:?} {numbers:?}"))?;
            ensure(probes.number("cookie")? == 0xc00c1e, || "cookie".into())?;
        }
        Ok(())
    });
}

#[test]
fn registers_are_those_that_the_kernel_shows() {
    run(|| {
        // Not at random addresses: without, both hosts see the same program at the same place.
        let binary = probed(Linked::Static)?;
        let run = ["calls", "1"];
        let (_, machine) = in_machine(&binary.path, &run, BOTH, &["entries"])?;
        let at_entry = machine.words("at_entry_regs")?;
        // rsi and rdi are the arguments, ip the place.
        ensure(at_entry[13..15] == [1, 0], || format!("{at_entry:x?}"))?;
        let function = machine.number("function")?;
        ensure(at_entry[16] == function && function > 0x40_0000, || {
            format!("{at_entry:x?}")
        })?;
        let at_return = machine.words("at_return_regs")?;
        ensure(at_return[10] == 1 && machine.number("result")? == 1, || {
            format!("{at_return:x?}")
        })?;
        ensure(machine.number("return_function")? == function, || {
            "function".into()
        })?;
        let Some(probes) = kernel(&binary.path, BOTH)? else {
            return Ok(());
        };
        let _ = command(&binary.path, &run).output()?;
        for name in ["at_entry_regs", "at_return_regs"] {
            let (own, theirs) = (machine.words(name)?, probes.words(name)?);
            for (word, (own, theirs)) in own.iter().zip(&theirs).enumerate() {
                // Addresses of the stack are random; the rest is the program's.
                let is_stack = |value: &u64| *value >> 32 == 0x7ffc || *value >> 40 == 0x7f;
                if is_stack(own) && is_stack(theirs) {
                    continue;
                }
                ensure(own == theirs, || {
                    format!("{name}[{word}]: {own:#x}, kernel {theirs:#x}")
                })?;
            }
        }
        for name in ["function", "return_function", "cookie", "result"] {
            let (own, theirs) = (machine.number(name)?, probes.number(name)?);
            ensure(own == theirs, || {
                format!("{name}: {own:#x}, kernel {theirs:#x}")
            })?;
        }
        Ok(())
    });
}

/// All functions of `kinds`.
const KINDS: &[&str] = &[
    "kind_push",
    "kind_nop",
    "kind_long_nop",
    "kind_endbr",
    "kind_riprel",
    "kind_lea",
    "kind_jmp",
    "kind_jmp_far_away",
    "kind_jcc",
    "kind_jrcxz",
    "kind_call",
    "kind_call_pointer",
    "kind_call_register",
    "kind_call_stack",
    "kind_jmp_pointer",
    "kind_string",
    "kind_syscall",
    "kind_pushf",
    "kind_ret",
];

#[test]
fn instructions_of_all_kinds_do_what_they_do() {
    run(|| {
        for linked in [Linked::Pie, Linked::Fixed] {
            let binary = probed(linked)?;
            let kinds = [("many", "kind_*"), ("many_returns", "kind_*")];
            let counters = ["entries", "returns"];
            let (numbers, _) = in_machine(&binary.path, &["kinds", "50"], &kinds, &counters)?;
            // `kind_target` is called by some: directly, or as the end of another.
            let through_target = 6;
            let calls = 50 * (KINDS.len() as u64 + through_target);
            ensure(numbers == [("entries", calls), ("returns", calls)], || {
                format!("{numbers:?}")
            })?;
        }
        Ok(())
    });
}

#[test]
fn every_instruction_of_a_function_can_be_probed() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let function = skep::symbol_offset(&binary.path, "kind_string")?;
        let end = skep::symbol_offset(&binary.path, "kind_syscall")?;
        // Where instructions begin, the machine itself knows: the others are refused.
        let mut hits = 0;
        for offset in function..end {
            let target = format!("+{offset:#x}");
            let probes = Probes::vm(&binary.path, &[("at_entry", &target)])?;
            let (output, counts) = probes.trace(command(&binary.path, &["kinds", "3"]))?;
            ensure(output.status.code() == Some(5), || {
                format!("{offset:#x}: {output:?}")
            })?;
            let entries = probes.number("entries")?;
            match counts.refused.as_slice() {
                // `rep movsb` is one instruction, and hit once.
                [] => ensure(entries == 3, || format!("{offset:#x}: {entries}"))?,
                [refused] => ensure(
                    entries == 0 && refused.reason.contains("middle of the instruction"),
                    || format!("{refused:?}"),
                )?,
                more => return Err(skep_testing::Stop::fail(format!("{more:?}"))),
            }
            hits += entries;
        }
        ensure(hits == 3 * 11, || format!("{hits}"))
    });
}

#[test]
fn recursion_returns_as_often_as_it_enters() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let recursive = [("at_entry", "recursive"), ("at_return", "recursive")];
        let counters = ["entries", "returns"];
        let small = ["recursive", "40"];
        compare(&binary.path, &small, &recursive, &counters)?;
        // The kernel stops at 64.
        let deep = ["recursive", "5000"];
        let (numbers, _) = in_machine(&binary.path, &deep, &recursive, &counters)?;
        ensure(numbers == [("entries", 5001), ("returns", 5001)], || {
            format!("{numbers:?}")
        })
    });
}

#[test]
fn a_function_that_ends_in_another_returns_with_it() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let both = [
            ("at_entry", "tail"),
            ("at_return", "tail"),
            ("second", "tail_end"),
            ("second_return", "tail_end"),
        ];
        let counters = ["entries", "returns", "seconds", "sum_of_results"];
        let (numbers, _) = compare(&binary.path, &["tail", "20"], &both, &counters)?;
        ensure(
            numbers[1] == ("returns", 20) && numbers[2] == ("seconds", 20_000_020),
            || format!("{numbers:?}"),
        )
    });
}

#[test]
fn calls_that_are_jumped_out_of_do_not_return() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let both = [("at_entry", "jumps_out"), ("at_return", "jumps_out")];
        let counters = ["entries", "returns"];
        let (numbers, _) = compare(&binary.path, &["jumps", "40"], &both, &counters)?;
        ensure(numbers == [("entries", 40), ("returns", 20)], || {
            format!("{numbers:?}")
        })
    });
}

#[test]
fn unwinding_passes_through_calls_whose_return_is_probed() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let both = [("at_entry", "exits_thread"), ("at_return", "exits_thread")];
        let counters = ["entries", "returns"];
        // Not on the kernel, whose return addresses unwinders do not know.
        let (numbers, _) = in_machine(&binary.path, &["unwinds", "20"], &both, &counters)?;
        ensure(numbers == [("entries", 120), ("returns", 0)], || {
            format!("{numbers:?}")
        })
    });
}

#[test]
fn a_return_into_code_that_is_made_at_run_time_is_said_to_be_missed() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let probes = Probes::vm(&binary.path, BOTH)?;
        let (output, counts) = probes.trace(command(&binary.path, &["made", "30"]))?;
        ensure(output.status.code() == Some(5), || format!("{output:?}"))?;
        let seen = (probes.number("entries")?, probes.number("returns")?);
        ensure(seen == (30, 0) && counts.missed == 30, || {
            format!("{seen:?} {counts:?}")
        })?;
        let said = counts
            .refused
            .first()
            .map(|refused| refused.reason.as_str());
        ensure(
            said.is_some_and(|said| said.starts_with("some returns are not seen: it is not in")),
            || format!("{said:?}"),
        )
    });
}

#[test]
fn a_session_sees_the_returns_that_it_asks_for() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let counters = ["session_entries", "session_returns", "session_kept"];
        let session = [("session", "probed")];
        let (numbers, _) = compare(&binary.path, &["calls", "10"], &session, &counters)?;
        let kept = 2 + 4 + 6 + 8;
        let expected = [
            ("session_entries", 10),
            ("session_returns", 5),
            ("session_kept", kept),
        ];
        ensure(numbers == expected, || format!("{numbers:?}"))
    });
}

#[test]
fn the_users_stack_is_the_one_that_the_kernel_shows() {
    run(|| {
        let binary = probed(Linked::Static)?;
        let stack = [("at_stack", "probed")];
        let (numbers, machine) = compare(&binary.path, &["calls", "1"], &stack, &["stack_len"])?;
        let frames = machine.words("stack")?;
        ensure(
            numbers[0].1 >= 24 && frames[0] != 0 && frames[1] != 0,
            || format!("{numbers:?} {frames:x?}"),
        )?;
        let Some(probes) = kernel(&binary.path, &stack)? else {
            return Ok(());
        };
        let _ = command(&binary.path, &["calls", "1"]).output()?;
        let theirs = probes.words("stack")?;
        ensure(frames == theirs, || {
            format!("{frames:x?}, kernel {theirs:x?}")
        })
    });
}

#[test]
fn libraries_of_the_system_are_probed() {
    run(|| -> Outcome {
        let binary = probed(Linked::Pie)?;
        let libc = skep::find_binary("libc.so.6", None)?;
        let libc = std::fs::canonicalize(libc)?;
        let probes = Probes::vm(&libc, &[("at_entry", "printf"), ("at_return", "printf")])?;
        let (output, counts) = probes.trace(command(&binary.path, &["calls", "7"]))?;
        ensure(output.status.code() == Some(5), || format!("{output:?}"))?;
        let seen = (
            probes.number("entries")?,
            probes.number("returns")?,
            probes.number("result")?,
        );
        let printed = output.stdout.len() as u64;
        ensure(seen == (1, 1, printed), || format!("{seen:?} {counts:?}"))
    });
}

#[test]
fn all_functions_of_the_c_library_can_be_probed() {
    run(|| {
        let libc = std::fs::canonicalize(skep::find_binary("libc.so.6", None)?)?;
        let mut list = std::process::Command::new("/bin/sh");
        list.args([
            "-c",
            "ls -l / | sort | wc -l; echo $((3 * 4)); date -u -d @0",
        ]);
        let alone = list.output()?;
        let probes = Probes::vm(&libc, &[("many", "*"), ("many_returns", "*")])?;
        let (output, counts) = probes.trace(list)?;
        ensure(
            output.stdout == alone.stdout && output.status == alone.status,
            || format!("{output:?} {counts:?}"),
        )?;
        let seen = (probes.number("entries")?, probes.number("returns")?);
        ensure(seen.0 > 1000, || format!("{seen:?} {counts:?}"))
    });
}

/// The part of a binary's file that is mapped to be executed.
fn code_of(binary: &std::path::Path) -> Outcome<std::ops::Range<u64>> {
    let bytes = std::fs::read(binary)?;
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (at, count) = (long(32) as usize, usize::from(bytes[56]));
    let headers = (0..count).map(|index| at + 56 * index);
    // `PT_LOAD`, and `PF_X` among its flags.
    let mut code = headers.filter(|at| bytes[*at] == 1 && bytes[at + 4] & 1 != 0);
    let found = code.next().unwrap();
    Ok(long(found + 8)..long(found + 8) + long(found + 32))
}

#[test]
fn a_program_runs_with_a_probe_on_each_of_its_instructions() {
    run(|| {
        let binary = std::fs::canonicalize("/bin/cat")?;
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let mut list = command(&binary, &["-A", "-n", file]);
        let alone = list.output()?;
        let probes = Probes::idle(&binary, &[("many", "+0")])?;
        let place = |offset| skep_host::UprobePlace {
            offset,
            ..skep_host::UprobePlace::default()
        };
        let point = skep_host::AttachPoint::UprobeMulti {
            mode: skep_host::MultiMode::Entry,
            binary: binary.clone(),
            places: code_of(&binary)?.map(place).collect(),
            pid: None,
        };
        let _link = probes.loaded.program("many")?.attach_to(&point)?;
        let (output, counts) = probes.trace(list)?;
        ensure(
            output.stdout == alone.stdout && output.status == alone.status,
            || format!("{output:?} {counts:?}"),
        )?;
        let entries = probes.number("entries")?;
        ensure(entries > 10_000, || format!("{entries}"))
    });
}
