//! Operands one by one, of both machines, right ones and wrong ones.

use super::*;

const SITE: u64 = 0x1000;

fn around(machine: Machine, fixed: bool, text: &str) -> Result<Vec<Argument>, BadArgument> {
    let symbol = |name: &str| match name {
        "counter" => Ok(0x4000),
        ".LC0" => Ok(0x800),
        _ => Err(format!("no `{name}`")),
    };
    let around = Around {
        machine,
        site: SITE,
        fixed,
        symbol: &symbol,
    };
    around.arguments(text)
}

/// One argument, as short text.
fn shown(machine: Machine, fixed: bool, text: &str) -> String {
    match around(machine, fixed, text).as_deref() {
        Ok([argument]) => {
            let sign = if argument.signed { "s" } else { "u" };
            let place = match argument.place {
                Place::Constant(value) => format!("{}", value.cast_signed()),
                Place::Register(register) => format!("{}:{}", register.name, register.offset),
                Place::Memory {
                    base,
                    index,
                    offset,
                } => match index {
                    Some((index, shift)) => {
                        format!("[{}+{}<<{shift}{offset:+}]", base.name, index.name)
                    }
                    None => format!("[{}{offset:+}]", base.name),
                },
            };
            format!("{sign}{} {place}", u32::from(argument.size) * 8)
        }
        Ok(arguments) => format!("{} arguments", arguments.len()),
        Err(bad) => bad.problem.clone(),
    }
}

#[test]
fn x86_64_operands() {
    for (text, wanted) in [
        ("-4@$-5", "s32 -5"),
        ("8@$18446744073709551615", "u64 -1"),
        ("1@$0x7f", "u8 127"),
        ("8@%rax", "u64 rax:80"),
        ("-4@%r15d", "s32 r15:0"),
        ("2@%bp", "u16 rbp:32"),
        ("1@%sil", "u8 rsi:104"),
        ("1@%dh", "u8 rdx:97"),
        ("8@%rip", "u64 rip:128"),
        // A part has no more bytes than its name says.
        ("8@%r9d", "u32 r9:64"),
        ("-4@-20(%rbp)", "s32 [rbp-20]"),
        ("8@(%rsp)", "u64 [rsp+0]"),
        ("8@0x10(%rsp)", "u64 [rsp+16]"),
        ("4@8-4+2(%rsp)", "u32 [rsp+6]"),
        ("8@(%rax,%rbx)", "u64 [rax+rbx<<0+0]"),
        ("8@-8(%rax,%r12,8)", "u64 [rax+r12<<3-8]"),
        ("8@( %rax , %rbx , 2 )", "u64 [rax+rbx<<1+0]"),
        // Symbols lead from the point's own address.
        ("4@counter(%rip)", "u32 [rip+12288]"),
        ("4@counter+4(%rip)", "u32 [rip+12292]"),
        ("4@-4+counter(%rip)", "u32 [rip+12284]"),
        ("4@.LC0(%rip)", "u32 [rip-2048]"),
        ("4@counter(,%rax,4)", "u32 [rip+rax<<2+12288]"),
    ] {
        assert_eq!(shown(Machine::X86_64, false, text), wanted, "{text}");
        assert_eq!(shown(Machine::X86_64, true, text), wanted, "{text}");
    }
}

#[test]
fn x86_64_at_a_fixed_address() {
    for (text, fixed, anywhere) in [
        ("8@$counter+8", "u64 16392", "depends on where"),
        ("4@16384", "u32 [rip+12288]", "a fixed address"),
        ("4@4(,%rax,4)", "u32 [rip+rax<<2-4092]", "a fixed address"),
        ("4@counter(%rax)", "u32 [rax+16384]", "depends on where"),
    ] {
        assert_eq!(shown(Machine::X86_64, true, text), fixed, "{text}");
        let other = shown(Machine::X86_64, false, text);
        assert!(other.contains(anywhere), "{text}: {other}");
    }
}

#[test]
fn what_x86_64_operands_are_not() {
    for (text, part) in [
        ("8f@%xmm0", "floating-point number"),
        ("4f@-8(%rbp)", "floating-point number"),
        ("8@%xmm15", "floating-point or vector register"),
        ("8@%st(1)", "floating-point"),
        ("%eax", "its size"),
        ("16@%rax", "`16`"),
        ("@%rax", "``"),
        ("+4@%rax", "`+4`"),
        ("--4@%rax", "`--4`"),
        ("4@", "no operand"),
        ("4@()", "no operand"),
        ("4@$", "no operand"),
        ("4@$1+", "no operand"),
        ("4@$1$2", "no operand"),
        ("4@$0x", "no operand"),
        ("4@$99999999999999999999", "no operand"),
        ("4@%rxx", "no register `%rxx`"),
        ("4@%r16", "no register `%r16`"),
        ("4@8(%eax)", "no whole register"),
        ("4@8(%rax", "no operand"),
        ("4@8(rax)", "no operand"),
        ("4@8(%rax,%rbx,3)", "no operand"),
        ("4@8(%rax,%rbx,2,)", "no operand"),
        ("4@8(%rax,)", "no operand"),
        ("4@counter(%rip,%rax)", "no operand"),
        ("4@8(%rip)", "does not say which"),
        ("4@%fs:0xfffffffc", "segment"),
        ("4@counter@GOTPCREL(%rip)", "dynamic linker"),
        ("4@counter-counter(%rip)", "no operand"),
        ("4@other(%rip)", "no `other`"),
        ("4@a b(%rip)", "2 arguments"),
    ] {
        let shown = match text {
            // A blank outside of brackets ends an argument.
            "4@a b(%rip)" => format!("{} arguments", split(text).len()),
            _ => shown(Machine::X86_64, true, text),
        };
        assert!(shown.contains(part), "{text}: {shown}");
    }
}

#[test]
fn arm64_operands() {
    for (text, wanted) in [
        ("-4@5", "s32 5"),
        ("-4@-5", "s32 -5"),
        ("8@#16", "u64 16"),
        ("8@x0", "u64 x0:0"),
        ("-4@w30", "s32 x30:240"),
        ("8@w3", "u32 x3:24"),
        ("8@sp", "u64 sp:248"),
        ("8@xzr", "u64 0"),
        ("4@wzr", "u32 0"),
        ("8@fp", "u64 x29:232"),
        ("8@[sp]", "u64 [sp+0]"),
        ("8@[x1, 16]", "u64 [x1+16]"),
        ("8@[x1, #-16]!", "u64 [x1-16]"),
        ("8@[x1,x2]", "u64 [x1+x2<<0+0]"),
        ("8@[x1, x2, lsl 3]", "u64 [x1+x2<<3+0]"),
        ("8@[x1, x2, lsl #2]", "u64 [x1+x2<<2+0]"),
    ] {
        assert_eq!(shown(Machine::Arm64, false, text), wanted, "{text}");
    }
    for (text, part) in [
        ("8f@d0", "floating-point number"),
        ("8@d0", "floating-point or vector register"),
        ("16@v0.2d", "`16`"),
        ("8@x31", "no register `x31`"),
        ("8@x01", "no register `x01`"),
        ("8@x+1", "no register `x+1`"),
        ("8@", "no register"),
        ("8@[]", "no register"),
        ("8@[w1]", "no whole register"),
        ("8@[x1, w2, sxtw 2]", "extended"),
        ("8@[x1, w2]", "no whole register"),
        ("8@[x1, x2, lsl 5]", "no operand"),
        ("8@[x1, 2, lsl 2]", "no operand"),
        ("8@[x1, x2, lsl 2, 3]", "no operand"),
        ("8@[x0, #:lo12:counter]", "no operand"),
        ("8@[x0", "no operand"),
        ("8@é", "no register"),
    ] {
        let shown = shown(Machine::Arm64, false, text);
        assert!(shown.contains(part), "{text}: {shown}");
    }
}

#[test]
fn arguments_are_told_apart_and_counted() {
    let all = around(
        Machine::Arm64,
        false,
        " 8@[sp, 8]  -4@w1 1@[x0, x1, lsl 1] ",
    )
    .unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(around(Machine::X86_64, false, ""), Ok(vec![]));
    let bad = around(Machine::X86_64, false, "8@%rax 4@(%rax 8@%rbx").unwrap_err();
    assert_eq!((bad.index, bad.text.as_str()), (1, "4@(%rax 8@%rbx"));
    assert_eq!(
        bad.to_string(),
        "argument 1, `4@(%rax 8@%rbx`: `(%rax 8@%rbx` is no operand that is known"
    );
}
