//! Operands of 64-bit Arm: `5`, `w0`, `[sp, 12]`, `[x1, x2, lsl 3]`.

use super::{Base, Expression, Operand, Register, unknown};

/// The general registers; each is 8 bytes in `struct user_pt_regs`, in this order.
const REGISTERS: [&str; 31] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
    "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27",
    "x28", "x29", "x30",
];

const SP: Register = Register {
    name: "sp",
    offset: 248,
};

/// The address of the instruction.
pub(super) const PC: Register = Register {
    name: "pc",
    offset: 256,
};

pub(super) fn operand(text: &str) -> Result<Operand, String> {
    if let Some(inside) = text.strip_prefix('[') {
        // `!` says that an instruction would write the address back; a note's does nothing.
        let inside = inside.strip_suffix('!').unwrap_or(inside);
        let inside = inside.strip_suffix(']').ok_or_else(|| unknown(text))?;
        return address(inside).ok_or_else(|| unknown(text))?;
    }
    if let Some(value) = text.strip_prefix('#') {
        return Ok(Operand::Constant(number(value)?));
    }
    if text.starts_with(|letter: char| letter == '-' || letter.is_ascii_digit()) {
        return Ok(Operand::Constant(number(text)?));
    }
    match text {
        "xzr" | "wzr" => Ok(Operand::Constant(Expression::default())),
        _ => {
            let (register, width) = register(text)?;
            Ok(Operand::Register { register, width })
        }
    }
}

/// `base`, `base, 8`, `base, index`, `base, index, lsl 3`; `None` if it is something else.
fn address(inside: &str) -> Option<Result<Operand, String>> {
    let mut parts = inside.split(',').map(str::trim_ascii);
    let (base, second, third) = (parts.next()?, parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let shift = match third {
        None => 0,
        Some(third) => match third.split_once(|letter: char| letter.is_ascii_whitespace())? {
            ("lsl", amount) => {
                let amount = amount.trim_ascii();
                match amount.strip_prefix('#').unwrap_or(amount).parse() {
                    Ok(shift @ 0..=4) => shift,
                    _ => return None,
                }
            }
            ("sxtw" | "uxtw" | "sxtx", _) => {
                return Some(Err(
                    "its index is extended, which BPF programs don't do".into()
                ));
            }
            _ => return None,
        },
    };
    let read = || {
        let base = Base::Register(whole(base)?);
        let (index, displacement) = match second {
            None => (None, Expression::default()),
            Some(second) if second.starts_with(|letter: char| letter.is_ascii_alphabetic()) => {
                (Some((whole(second)?, shift)), Expression::default())
            }
            Some(second) => (None, number(second.strip_prefix('#').unwrap_or(second))?),
        };
        Ok(Operand::Memory {
            base,
            index,
            displacement,
        })
    };
    if third.is_some() && !second.is_some_and(|second| second.starts_with('x')) {
        return None;
    }
    Some(read())
}

fn number(text: &str) -> Result<Expression, String> {
    let value = Expression::parse(text)?;
    match value.symbol {
        // `:lo12:name` is half an address.
        None if !text.is_empty() => Ok(value),
        _ => Err(unknown(text)),
    }
}

/// A register that is part of an address.
fn whole(name: &str) -> Result<Register, String> {
    match register(name)? {
        (register, 8) => Ok(register),
        _ => Err(format!(
            "`{name}` is no whole register, as addresses are made of"
        )),
    }
}

/// A register by the name of the whole or of its lower half, and how many bytes that has.
fn register(name: &str) -> Result<(Register, u8), String> {
    let (start, number) = name.split_at_checked(1).unwrap_or((name, ""));
    match name {
        "sp" => return Ok((SP, 8)),
        "wsp" => return Ok((SP, 4)),
        "fp" => return register("x29"),
        "lr" => return register("x30"),
        _ => {}
    }
    let found = || {
        let plain = number == "0" || !number.starts_with(['0', '+']);
        let index: u16 = number.parse().ok().filter(|_| plain)?;
        let name = REGISTERS.get(usize::from(index))?;
        Some(Register {
            name,
            offset: index.checked_mul(8)?,
        })
    };
    match (start, found()) {
        ("x", Some(register)) => Ok((register, 8)),
        ("w", Some(register)) => Ok((register, 4)),
        ("b" | "h" | "s" | "d" | "q" | "v" | "z", _)
            if number.starts_with(|letter: char| letter.is_ascii_digit()) =>
        {
            Err(format!(
                "`{name}` is a floating-point or vector register, which BPF programs can't read"
            ))
        }
        _ => Err(format!("there is no register `{name}` that is known")),
    }
}
