//! What was known before each instruction, beside what a run finds there: the verifier is sound if
//! whatever a program does is among what was thought of. For tests of that.

use std::rc::Rc;

use skep_isa::InsnIndex;
use skep_object::Target;

use crate::{
    Options, Program, Verdict,
    state::{Byte, Frame, Kind, PointerFlags, Register, Slot, State},
    verifier,
};

/// Bytes of a frame.
const FRAME: u64 = skep_abi::limits::STACK_BYTES as u64;

/// All that was known before each instruction, on any path.
///
/// States are compared in full while it is made: no path ends because what is different about it
/// does not matter.
#[derive(Debug, Default)]
pub struct Observed {
    by_insn: Vec<Vec<Known>>,
    /// By instruction: the registers that are read later.
    live: Vec<u16>,
}

/// What was known once.
#[derive(Debug)]
struct Known {
    depth: usize,
    frame: Rc<Frame>,
}

/// What a run finds before an instruction.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The instruction.
    pub insn: InsnIndex,
    /// R0 to R10.
    pub registers: &'a [u64; 11],
    /// The bytes of the frame below R10, the lowest address first.
    pub frame: &'a [u8],
    /// R10 of the program itself, which called the function that runs.
    pub bottom: u64,
    /// The address of the program's context.
    pub context: u64,
}

/// Verifies a program, and keeps what was known on the way.
#[must_use]
pub fn observe(program: &Program<'_>, target: &Target, options: &Options) -> (Verdict, Observed) {
    verifier::observe(program, target, options)
}

impl Observed {
    pub(crate) fn new(live: &[u16]) -> Self {
        Self {
            by_insn: live.iter().map(|_| Vec::new()).collect(),
            live: live.to_vec(),
        }
    }

    /// Keeps what is known before an instruction.
    pub(crate) fn note(&mut self, insn: usize, state: &State) {
        let Some(frame) = state.frames.last() else {
            return;
        };
        if let Some(known) = self.by_insn.get_mut(insn) {
            let frame = Rc::clone(frame);
            let depth = state.depth();
            known.push(Known { depth, frame });
        }
    }

    /// Whether some path comes to an instruction.
    #[must_use]
    pub fn reaches(&self, insn: InsnIndex) -> bool {
        let known = self.by_insn.get(insn.as_usize());
        known.is_some_and(|known| !known.is_empty())
    }

    /// Whether on some path, nothing at all is known about a number in a register.
    #[must_use]
    pub fn is_unknown(&self, insn: InsnIndex, register: u8) -> bool {
        self.any(insn, register, |register| {
            register.is_scalar() && register.value.is_unknown()
        })
    }

    /// Whether on some path, a register has a pointer that may be null.
    #[must_use]
    pub fn may_be_null(&self, insn: InsnIndex, register: u8) -> bool {
        self.any(insn, register, Register::may_be_null)
    }

    fn any(&self, insn: InsnIndex, register: u8, is: impl Fn(&Register) -> bool) -> bool {
        let known = self.by_insn.get(insn.as_usize());
        let mut known = known.map_or(&[][..], Vec::as_slice).iter();
        known.any(|known| {
            known
                .frame
                .registers
                .get(usize::from(register))
                .is_some_and(&is)
        })
    }

    /// Whether what a run finds is among what was known.
    ///
    /// # Errors
    /// It is not: what is wrong with the state that is next to it.
    pub fn admits(&self, found: &Found<'_>) -> Result<(), String> {
        let at = found.insn.as_usize();
        let live = self.live.get(at).copied().unwrap_or(u16::MAX);
        let depth = found.bottom.wrapping_sub(found.registers[10]) / FRAME;
        let known = self.by_insn.get(at).map_or(&[][..], Vec::as_slice);
        let mut nearest: Option<Mismatch> = None;
        for known in known {
            if known.depth as u64 != depth {
                continue;
            }
            match known.admits(found, live) {
                Ok(()) => return Ok(()),
                Err(mismatch) => {
                    if nearest
                        .as_ref()
                        .is_none_or(|best| mismatch.rank > best.rank)
                    {
                        nearest = Some(mismatch);
                    }
                }
            }
        }
        let states = known.len();
        Err(match nearest {
            None => {
                format!("instruction {at} is reached in depth {depth}, which no path was: {states}")
            }
            Some(Mismatch { text, .. }) => {
                format!("instruction {at}, of {states} states the nearest: {text}")
            }
        })
    }
}

struct Mismatch {
    /// How much was right.
    rank: usize,
    text: String,
}

impl Known {
    fn admits(&self, found: &Found<'_>, live: u16) -> Result<(), Mismatch> {
        for (number, register) in self.frame.registers.iter().enumerate() {
            let value = found.registers[number];
            if live & 1 << number != 0 && !admits(register, value, found) {
                let text = format!("r{number} is {value:#x}, but was known as {register:?}");
                return Err(Mismatch { rank: number, text });
            }
        }
        self.names(found, live)?;
        for (number, slot) in self.frame.stack.slots.iter().enumerate() {
            let end = found.frame.len().checked_sub(number * 8);
            let bytes = end.and_then(|end| found.frame.get(end.checked_sub(8)?..end));
            let Some(bytes) = bytes.and_then(|bytes| <&[u8; 8]>::try_from(bytes).ok()) else {
                continue;
            };
            if !admits_slot(slot, bytes, found) {
                let offset = (number + 1) * 8;
                let text = format!("fp-{offset} is {bytes:02x?}, but was known as {slot:?}");
                return Err(Mismatch {
                    rank: 12 + number,
                    text,
                });
            }
        }
        Ok(())
    }

    /// Copies are the same.
    fn names(&self, found: &Found<'_>, live: u16) -> Result<(), Mismatch> {
        let named = self
            .frame
            .registers
            .iter()
            .enumerate()
            .filter(|(number, register)| {
                live & 1 << number != 0 && register.is_scalar() && register.id.is_some()
            });
        let named: Vec<_> = named.collect();
        for (place, (number, register)) in named.iter().enumerate() {
            for (other, copy) in &named[..place] {
                if register.id != copy.id {
                    continue;
                }
                let base = |number: usize, register: &Register| {
                    let value = found.registers[number];
                    value.wrapping_sub(i64::from(register.offset).cast_unsigned())
                };
                let (a, b) = (base(*number, register), base(*other, copy));
                let half = register.linked || copy.linked;
                if a != b && !(half && a as u32 == b as u32) {
                    let text =
                        format!("r{number} and r{other} are no copies: {register:?} {copy:?}");
                    return Err(Mismatch { rank: 11, text });
                }
            }
        }
        Ok(())
    }
}

fn admits(register: &Register, value: u64, found: &Found<'_>) -> bool {
    let from = |base: u64| {
        let offset = i64::from(register.offset).cast_unsigned();
        register
            .value
            .contains(value.wrapping_sub(base).wrapping_sub(offset))
    };
    let unsure = PointerFlags::MAYBE_NULL | PointerFlags::UNTRUSTED;
    match register.kind {
        Kind::Uninit => true,
        Kind::Scalar => register.value.contains(value),
        Kind::Context => from(found.context),
        Kind::Stack { frame } => from(found.bottom.wrapping_sub(u64::from(frame) * FRAME)),
        // Loads through these are guarded, and what they point to may be gone.
        Kind::Arena | Kind::Btf(_) => true,
        _ => value != 0 || register.flags.intersects(unsure),
    }
}

fn admits_slot(slot: &Slot, bytes: &[u8; 8], found: &Found<'_>) -> bool {
    let zeroes = slot.bytes.iter().zip(bytes);
    if zeroes
        .into_iter()
        .any(|(byte, is)| *byte == Byte::Zero && *is != 0)
    {
        return false;
    }
    if slot.is_spill() {
        return admits(&slot.spilled, u64::from_le_bytes(*bytes), found);
    }
    let low = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let half = slot.bytes[..4] == [Byte::Spill; 4] && slot.bytes[4] != Byte::Spill;
    !half || !slot.spilled.is_scalar() || slot.spilled.value.zero_extend().contains(low.into())
}

#[cfg(test)]
mod tests {
    use skep_abi::{KernelVersion, ProgramType};

    use super::*;

    /// What is known admits what the program does, and nothing else.
    #[test]
    fn other_values_are_not_admitted() {
        let text = "r6 = r1\n r7 = 5\n *(u64 *)(r10 - 8) = r7\n r8 = r10\n r8 += -8\n r0 = *(u64 *)(r8 + 0)\n \
                    r0 += r7\n exit";
        let slots = skep_isa::assemble(text).expect("well-formed");
        let program = Program::new(ProgramType::SocketFilter, "test", &slots);
        let target = Target::new(KernelVersion::new(6, 18));
        let (verdict, observed) = observe(&program, &target, &Options::default());
        assert!(verdict.is_accepted(), "{:?}", verdict.rejection);
        let (context, bottom) = (0x1000_u64, 0x9000_u64);
        let mut frame = [0; 512];
        frame[504] = 5;
        let mut registers = [0; 11];
        (registers[0], registers[7], registers[8], registers[10]) = (5, 5, bottom - 8, bottom);
        let admits = |registers: &[u64; 11], frame: &[u8], insn| {
            observed.admits(&Found {
                insn: InsnIndex(insn),
                registers,
                frame,
                bottom,
                context,
            })
        };
        assert_eq!(admits(&registers, &frame, 5), Ok(()));
        assert_eq!(admits(&registers, &frame, 6), Ok(()));
        for (register, wrong) in [(7, 6), (0, 4)] {
            let mut other = registers;
            other[register] = wrong;
            assert!(admits(&other, &frame, 6).is_err(), "r{register}");
        }
        let mut other = registers;
        other[8] = bottom - 16;
        assert!(admits(&other, &frame, 5).is_err(), "r8 points elsewhere");
        frame[505] = 1;
        assert!(admits(&registers, &frame, 5).is_err(), "the spilled number");
        assert!(
            admits(&registers, &frame, 100).is_err(),
            "no such instruction"
        );
    }
}
