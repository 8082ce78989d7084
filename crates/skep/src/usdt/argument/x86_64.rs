//! Operands of x86-64 as AT&T's assembler spells them: `$5`, `%eax`, `-8(%rbp)`,
//! `(%rax,%rbx,4)`, `counter(%rip)`.

use super::{Base, Expression, Operand, Register, unknown};

/// The general registers and their parts of 8, 4, 2 and 1 bytes, and where in `struct pt_regs` they
/// are. `r8` to `r15` have their parts by a letter behind.
const REGISTERS: [([&str; 4], u16); 16] = [
    (["r15", "r15d", "r15w", "r15b"], 0),
    (["r14", "r14d", "r14w", "r14b"], 8),
    (["r13", "r13d", "r13w", "r13b"], 16),
    (["r12", "r12d", "r12w", "r12b"], 24),
    (["rbp", "ebp", "bp", "bpl"], 32),
    (["rbx", "ebx", "bx", "bl"], 40),
    (["r11", "r11d", "r11w", "r11b"], 48),
    (["r10", "r10d", "r10w", "r10b"], 56),
    (["r9", "r9d", "r9w", "r9b"], 64),
    (["r8", "r8d", "r8w", "r8b"], 72),
    (["rax", "eax", "ax", "al"], 80),
    (["rcx", "ecx", "cx", "cl"], 88),
    (["rdx", "edx", "dx", "dl"], 96),
    (["rsi", "esi", "si", "sil"], 104),
    (["rdi", "edi", "di", "dil"], 112),
    (["rsp", "esp", "sp", "spl"], 152),
];

/// The second bytes of four registers.
const SECOND_BYTES: [(&str, &str); 4] =
    [("ah", "rax"), ("bh", "rbx"), ("ch", "rcx"), ("dh", "rdx")];

/// The address of the instruction.
pub(super) const RIP: Register = Register {
    name: "rip",
    offset: 128,
};

pub(super) fn operand(text: &str) -> Result<Operand, String> {
    if let Some(value) = text.strip_prefix('$') {
        return match value {
            "" => Err(unknown(text)),
            _ => Ok(Operand::Constant(Expression::parse(value)?)),
        };
    }
    if let Some(name) = text.strip_prefix('%') {
        if name.contains(':') {
            return Err("relative to a segment, such as a thread's own variable".into());
        }
        let (register, width) = register(name)?;
        return Ok(Operand::Register { register, width });
    }
    let (displacement, registers) = match text.split_once('(') {
        Some((displacement, rest)) => {
            let registers = rest.strip_suffix(')').ok_or_else(|| unknown(text))?;
            (displacement, registers)
        }
        None => (text, ""),
    };
    if displacement.contains('@') {
        return Err("by way of a table that only the dynamic linker fills".into());
    }
    let displacement = Expression::parse(displacement)?;
    let mut parts = registers.split(',').map(str::trim_ascii);
    let base = match parts.next() {
        // There must be something somewhere.
        None | Some("") if matches!(text, "" | "()") => return Err(unknown(text)),
        None | Some("") => Base::Zero,
        Some("%rip") => Base::Code,
        Some(name) => Base::Register(address_register(name)?),
    };
    let index = parts.next().map(address_register).transpose()?;
    let shift = match (parts.next(), parts.next()) {
        (None | Some("1"), None) => 0,
        (Some("2"), None) => 1,
        (Some("4"), None) => 2,
        (Some("8"), None) => 3,
        _ => return Err(unknown(text)),
    };
    if base == Base::Code && index.is_some() {
        return Err(unknown(text));
    }
    Ok(Operand::Memory {
        base,
        index: index.map(|register| (register, shift)),
        displacement,
    })
}

/// A register that is part of an address: a whole one.
fn address_register(text: &str) -> Result<Register, String> {
    let name = text.strip_prefix('%').ok_or_else(|| unknown(text))?;
    match register(name)? {
        (register, 8) => Ok(register),
        _ => Err(format!(
            "`{text}` is no whole register, as addresses are made of"
        )),
    }
}

/// A register by the name of the whole or of a part, and how many bytes that has.
fn register(name: &str) -> Result<(Register, u8), String> {
    if name == RIP.name {
        return Ok((RIP, 8));
    }
    for (names, offset) in REGISTERS {
        let [whole, ..] = names;
        for (known, width) in names.into_iter().zip([8, 4, 2, 1]) {
            if known == name {
                let register = Register {
                    name: whole,
                    offset,
                };
                return Ok((register, width));
            }
        }
    }
    if let Some((_, whole)) = SECOND_BYTES.into_iter().find(|(part, _)| *part == name) {
        let (register, _) = register(whole)?;
        let offset = register.offset.saturating_add(1);
        return Ok((Register { offset, ..register }, 1));
    }
    let floating = ["xmm", "ymm", "zmm", "mm", "st"];
    if floating.iter().any(|start| name.starts_with(start)) {
        return Err(format!(
            "`%{name}` is a floating-point or vector register, which BPF programs can't read"
        ));
    }
    Err(format!("there is no register `%{name}` that is known"))
}
