//! Arguments of static probe points on 64-bit Arm, which no machine of these tests is: a program that
//! clang compiled for one, whose notes are read, and whose arguments are looked up as programs do, in
//! registers as the kernel keeps them (`struct user_pt_regs`) and in memory.

use std::{path::Path, process::Command};

use skep::usdt::{Argument, Machine, Notes, Place, Register};
use skep_testing::{Outcome, Stop, ensure, find_tool, lacks};

fn compiled(target: &str) -> Outcome<Vec<u8>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/usdt_arm64.c");
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("usdt_{target}.o"));
    let said = Command::new(find_tool("clang")?)
        .arg(format!("--target={target}"))
        .args(["-O1", "-c", "-o"])
        .args([&made, &source])
        .output()?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    if text.contains("unable to create target") {
        return Err(Stop::lacks(format!("a clang for {target}")));
    }
    ensure(said.status.success(), || text)?;
    Ok(std::fs::read(made)?)
}

/// Where it is lacking, the skip is announced.
fn or_skip(outcome: Outcome) {
    match outcome {
        Ok(()) => {}
        Err(Stop::Skip(what)) => lacks(what),
        Err(Stop::Fail(problem)) => panic!("{problem}"),
    }
}

/// `struct user_pt_regs`: x0 to x30, sp, pc, pstate. Each holds a number of its own.
fn registers() -> Vec<u8> {
    let numbers = (0..34_u64).map(|index| 0xffff_0000_0000_0000 | index << 8 | index);
    numbers.flat_map(u64::to_le_bytes).collect()
}

/// The same register's number.
fn number(index: u64) -> u64 {
    0xffff_0000_0000_0000 | index << 8 | index
}

fn register(place: Register) -> u64 {
    let at = usize::from(place.offset);
    let all = registers();
    u64::from_le_bytes(all[at..at + 8].try_into().expect("eight bytes"))
}

/// What memory holds is told by its address.
fn memory(address: u64) -> u64 {
    address ^ 0x8080_8080_8080_8080
}

/// What a program is given: the lower bytes, extended by the sign or not.
fn value(argument: &Argument) -> u64 {
    let whole = match argument.place {
        Place::Constant(value) => value,
        Place::Register(place) => register(place),
        Place::Memory {
            base,
            index,
            offset,
        } => {
            let index = index.map_or(0, |(place, shift)| register(place) << shift);
            let sum = register(base).wrapping_add(index);
            memory(sum.wrapping_add_signed(offset))
        }
    };
    let shift = 64 - 8 * u32::from(argument.size);
    match argument.signed {
        true => ((whole << shift).cast_signed() >> shift).cast_unsigned(),
        false => whole << shift >> shift,
    }
}

#[test]
fn arguments_are_found_where_arm64_has_them() {
    or_skip((|| {
        let notes = Notes::parse(&compiled("aarch64-linux-gnu")?)?;
        ensure(notes.machine == Machine::Arm64, || {
            format!("{:?}", notes.machine)
        })?;
        let of = |name: &str| {
            let mut points = notes.points.iter().filter(|point| point.name == name);
            let found = points
                .next()
                .ok_or_else(|| Stop::fail(format!("no {name}")))?;
            Ok::<_, Stop>(found.arguments.clone())
        };
        let values = |name: &str| -> Outcome<Vec<u64>> {
            let arguments = of(name)?.map_err(|bad| Stop::fail(bad.to_string()))?;
            Ok(arguments.iter().map(value).collect())
        };
        let low = |value: u64| value & 0xffff_ffff;
        let signed = |value: u64| (value as u32).cast_signed() as u64;

        let seen = values("compiled")?;
        let expect = [signed(number(3)), number(21), (-5_i64).cast_unsigned()];
        ensure(seen.get(..3) == Some(&expect), || {
            format!("{seen:x?}, not {expect:x?}")
        })?;
        // The compiler chooses the register that holds the address.
        let last = of("compiled")?.ok().and_then(|all| all.last().copied());
        let place = last.map(|argument| argument.place);
        ensure(
            matches!(place, Some(Place::Memory { index: None, .. })),
            || format!("{place:?}"),
        )?;

        // sp is behind the 31 registers.
        let seen = values("written")?;
        let expect = [
            signed(memory(number(31) + 12)),
            number(0),
            low(number(3)),
            5,
            memory(number(1).wrapping_add(number(2) << 3)),
            memory(number(29) - 16) & 0xff,
        ];
        ensure(seen == expect, || format!("{seen:x?}, not {expect:x?}"))?;
        ensure(values("none")?.is_empty(), || "some".into())?;
        let bad = of("floating")?.expect_err("a floating-point register");
        ensure(bad.to_string().contains("`d0`"), || bad.to_string())
    })());
}

#[test]
fn other_machines_are_named() {
    or_skip((|| {
        let arm = compiled("aarch64-linux-gnu")?;
        for (number, name) in [(22_u16, "s390x"), (243, "riscv64"), (999, "ELF number 999")] {
            let mut other = arm.clone();
            // `e_machine`
            other[18..20].copy_from_slice(&number.to_le_bytes());
            let error = match Notes::parse(&other) {
                Ok(_) => return Err(Stop::fail("read")),
                Err(error) => error.to_string(),
            };
            ensure(error.contains(name) && error.contains("arm64"), || error)?;
        }
        Ok(())
    })());
}
