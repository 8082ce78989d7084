//! Where an argument of a point is: `-4@%eax`, `8@16(%rsp)`, `4@[sp, 12]`. A size in bytes, with a
//! minus if its sign matters; then an operand in the assembler's spelling of the machine.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

mod arm64;
mod expression;
mod x86_64;

use expression::Expression;

/// The machines whose operands are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Machine {
    /// x86-64, in AT&T's spelling.
    X86_64,
    /// 64-bit Arm.
    Arm64,
}

impl Machine {
    /// The machine that this was compiled for, if it is one of them.
    pub const HERE: Option<Self> = if cfg!(target_arch = "x86_64") {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Self::Arm64)
    } else {
        None
    };

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::Arm64 => "arm64",
        }
    }

    fn operand(self, text: &str) -> Result<Operand, String> {
        match self {
            Self::X86_64 => x86_64::operand(text),
            Self::Arm64 => arm64::operand(text),
        }
    }

    /// The register that holds the point's own address when it fires.
    fn program_counter(self) -> Register {
        match self {
            Self::X86_64 => x86_64::RIP,
            Self::Arm64 => arm64::PC,
        }
    }
}

/// Where an argument of a point is, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument {
    /// Its bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Its highest bit is a sign.
    pub signed: bool,
    /// Where it is.
    pub place: Place,
}

/// Where an argument is when its point is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it always is this, in the argument's lower bytes.
    Constant(u64),
    /// In a register's lower bytes.
    Register(Register),
    /// In memory, at the sum of these, which wraps.
    Memory {
        /// A register.
        base: Register,
        /// Another, shifted to the left by so many bits.
        index: Option<(Register, u8)>,
        /// A number of bytes.
        offset: i64,
    },
}

/// A register as the kernel keeps it of an interrupted program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    /// The name of the whole register.
    pub name: &'static str,
    /// Bytes from the start of `struct pt_regs` (`struct user_pt_regs` on arm64).
    pub offset: u16,
}

/// An argument that a program can't be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("argument {index}, `{text}`: {problem}")]
pub struct BadArgument {
    /// Which one, from 0.
    pub index: usize,
    /// As the note spells it.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

/// An operand as it is spelled, before anything is known of the file that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Constant(Expression),
    Register {
        register: Register,
        /// Bytes of the part that is named.
        width: u8,
    },
    Memory {
        base: Base,
        index: Option<(Register, u8)>,
        displacement: Expression,
    },
}

/// What an address starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Register(Register),
    /// The code around: symbols are as far from it as in the file.
    Code,
    /// Nothing.
    Zero,
}

/// What operands need to know of the file they stand in.
pub(super) struct Around<'a> {
    pub(super) machine: Machine,
    /// The point's address.
    pub(super) site: u64,
    /// Processes have the file at the addresses that it was linked for.
    pub(super) fixed: bool,
    /// The address of a symbol, or what is wrong with that.
    pub(super) symbol: &'a dyn Fn(&str) -> Result<u64, String>,
}

impl Around<'_> {
    /// Reads the arguments of a point.
    pub(super) fn arguments(&self, text: &str) -> Result<Vec<Argument>, BadArgument> {
        let each = split(text).into_iter().enumerate();
        each.map(|(index, text)| {
            self.argument(text).map_err(|problem| BadArgument {
                index,
                text: text.to_owned(),
                problem,
            })
        })
        .collect()
    }

    fn argument(&self, text: &str) -> Result<Argument, String> {
        let (size, operand) = text
            .split_once('@')
            .ok_or("it does not say its size before an `@`")?;
        let (signed, bytes) = match size.strip_prefix('-') {
            Some(bytes) => (true, bytes),
            None => (false, size),
        };
        if bytes.ends_with('f') {
            return Err("a floating-point number, which BPF programs can't take".into());
        }
        let size: u8 = match bytes {
            "1" => 1,
            "2" => 2,
            "4" => 4,
            "8" => 8,
            _ => return Err(format!("a size of `{size}` is none of 1, 2, 4 and 8 bytes")),
        };
        let (width, place) = self.place(self.machine.operand(operand)?)?;
        Ok(Argument {
            size: size.min(width),
            signed,
            place,
        })
    }

    /// Where an operand leads in this file, and how many bytes there are at most.
    fn place(&self, operand: Operand) -> Result<(u8, Place), String> {
        const ANY: u8 = 8;
        let (base, index, displacement) = match operand {
            Operand::Constant(value) => return Ok((ANY, Place::Constant(self.value(&value)?))),
            Operand::Register { register, width } => return Ok((width, Place::Register(register))),
            Operand::Memory {
                base,
                index,
                displacement,
            } => (base, index, displacement),
        };
        let (base, offset) = match base {
            Base::Register(register) => (register, self.value(&displacement)?),
            Base::Code | Base::Zero => (
                self.machine.program_counter(),
                self.distance(&displacement, base)?,
            ),
        };
        let offset = offset.cast_signed();
        Ok((
            ANY,
            Place::Memory {
                base,
                index,
                offset,
            },
        ))
    }

    /// A value that is the same in every process.
    fn value(&self, value: &Expression) -> Result<u64, String> {
        let Some(symbol) = &value.symbol else {
            return Ok(value.number.cast_unsigned());
        };
        if !self.fixed {
            return Err(format!(
                "the address of `{symbol}` depends on where a process has the file"
            ));
        }
        Ok((self.symbol)(symbol)?.wrapping_add(value.number.cast_unsigned()))
    }

    /// How far an address is from the point, which is the same in every process: so the point's
    /// own address, which a register holds, leads to it.
    fn distance(&self, to: &Expression, base: Base) -> Result<u64, String> {
        let address = match (&to.symbol, base) {
            (Some(symbol), _) => (self.symbol)(symbol)?,
            (None, Base::Zero) if self.fixed => 0,
            (None, Base::Zero) => {
                return Err("a fixed address, and processes have the file at any".into());
            }
            (None, _) => {
                return Err(
                    "a distance from an instruction, and the note does not say which".into(),
                );
            }
        };
        Ok(address
            .wrapping_add(to.number.cast_unsigned())
            .wrapping_sub(self.site))
    }
}

/// The arguments one by one: blanks stand between them, and in the brackets of some.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let between = move |letter: char| {
        match letter {
            '[' | '(' => depth = depth.saturating_add(1),
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && letter.is_ascii_whitespace()
    };
    let parts = text.split(between);
    parts.filter(|part| !part.is_empty()).collect()
}

/// What to say of an operand that is nothing known.
fn unknown(text: &str) -> String {
    format!("`{text}` is no operand that is known")
}

#[cfg(test)]
mod tests;
