//! Instructions as text, in the C-like syntax of the kernel's verifier log and of bpftool. What
//! those leave out, and the assembler needs, is added: see [`Disassembler`].

use std::borrow::Cow;
use std::fmt;

use crate::decode::decode_program;
use crate::insn::{CallTarget, Imm64, Insn};
use crate::operand::{ArenaCast, AtomicOp, Operand, Width};
use crate::raw::{Endian, InsnIndex, RawInsn};
use crate::reg::Reg;
use crate::syntax::Named;

/// Names of what instructions refer to, for the disassembler. Each method may know nothing: then
/// the number stands alone.
pub trait Symbols {
    /// The helper of this number, such as `bpf_map_lookup_elem`.
    fn helper(&self, id: u32) -> Option<Cow<'_, str>> {
        let _ = id;
        None
    }

    /// The kernel function called at `at`; see [`CallTarget::Kfunc`].
    fn kfunc(&self, at: InsnIndex, btf_id: u32, fd_index: i16) -> Option<Cow<'_, str>> {
        let _ = (at, btf_id, fd_index);
        None
    }

    /// The function of the same program that the instruction at `at` calls or takes the address
    /// of, and that begins at `start`. `start` is `None` if it can't be: in an object that is
    /// not linked yet, only `at` counts.
    fn subprogram(&self, at: InsnIndex, start: Option<InsnIndex>) -> Option<Cow<'_, str>> {
        let _ = (at, start);
        None
    }

    /// The map, variable or symbol whose address the `ld_imm64` at `at` loads. Subprograms are
    /// asked for by [`Symbols::subprogram`].
    fn address(&self, at: InsnIndex, value: Imm64) -> Option<Cow<'_, str>> {
        let _ = (at, value);
        None
    }
}

/// No names at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSymbols;

impl Symbols for NoSymbols {}

/// Writes instructions as text.
///
/// The syntax is the kernel's (`kernel/bpf/disasm.c`), and names stand where the kernel and
/// bpftool put them: `call bpf_map_lookup_elem#1`, `call pc+7#handle`, `r1 = map[events]`. Three
/// additions keep what the kernel's text drops:
/// - ` ll` after a 64-bit number, as LLVM writes: `r1 = 0x5 ll` is no `r1 = 5`;
/// - kinds of `ld_imm64` that the kernel shows as a number: `map[fd:3]`, `map[fd:3][0]+4`,
///   `map[idx:1]`, `map[idx:1]+4`, `btf[id:7]`, `btf[id:7,fd:3]`, `subprog[+7]`;
/// - the BTF of a module's function: `call kernel-function#12 [fd_idx:1]`.
///
/// Without names (which is [`Insn`]'s own `Display`), the text assembles to the same instruction.
///
/// ```
/// use std::borrow::Cow;
/// use skep_isa::{CallTarget, Disassembler, Insn, InsnIndex, Symbols};
///
/// struct Helpers;
/// impl Symbols for Helpers {
///     fn helper(&self, id: u32) -> Option<Cow<'_, str>> {
///         (id == 1).then_some("bpf_map_lookup_elem".into())
///     }
/// }
///
/// let call = Insn::Call(CallTarget::Helper(1));
/// assert_eq!(call.to_string(), "call unknown#1");
/// let named = Disassembler::new(&Helpers).insn(InsnIndex(0), call);
/// assert_eq!(named.to_string(), "call bpf_map_lookup_elem#1");
/// ```
#[derive(Clone, Copy)]
pub struct Disassembler<'a> {
    symbols: &'a dyn Symbols,
}

impl<'a> Disassembler<'a> {
    /// A disassembler that asks `symbols` for names.
    pub fn new(symbols: &'a dyn Symbols) -> Self {
        Self { symbols }
    }

    /// The text of the instruction `insn` that stands at `at`.
    pub fn insn(&self, at: InsnIndex, insn: Insn) -> impl fmt::Display + use<'a> {
        Text {
            at,
            insn,
            symbols: self.symbols,
        }
    }

    /// A listing of a program, one instruction a line with its position and opcode as in the
    /// kernel's log: `   0: (b7) r0 = 0`. A slot that does not decode is shown as a comment with
    /// the reason.
    pub fn program(&self, program: &'a [RawInsn]) -> impl fmt::Display + use<'a> {
        Listing {
            program,
            symbols: self.symbols,
        }
    }
}

impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Text {
            at: InsnIndex(0),
            insn: *self,
            symbols: &NoSymbols,
        };
        text.fmt(f)
    }
}

struct Listing<'a> {
    program: &'a [RawInsn],
    symbols: &'a dyn Symbols,
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for decoded in decode_program(self.program) {
            let error = match decoded {
                Ok((at, insn)) => {
                    let text = Text {
                        at,
                        insn,
                        symbols: self.symbols,
                    };
                    let opcode = insn.encode().first().map_or(0, |slot| slot.opcode);
                    writeln!(f, "{at:>4}: ({opcode:02x}) {text}")?;
                    continue;
                }
                Err(error) => error,
            };
            write!(f, ";")?;
            let at = error.index().map_or(0, InsnIndex::as_usize);
            if let Some(slot) = self.program.get(at) {
                for byte in slot.to_bytes(Endian::Little) {
                    write!(f, " {byte:02x}")?;
                }
            }
            writeln!(f, ": {error}")?;
        }
        Ok(())
    }
}

struct Text<'a> {
    at: InsnIndex,
    insn: Insn,
    symbols: &'a dyn Symbols,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.insn {
            Insn::Alu {
                width,
                op,
                dst,
                src,
            } => {
                let (dst, src) = (Named(width, dst), Decimal(width, src));
                write!(f, "{dst} {} {src}", op.symbol())
            }
            Insn::Mov { width, dst, src } => {
                write!(f, "{} = {}", Named(width, dst), Decimal(width, src))
            }
            Insn::MovSx {
                extension,
                dst,
                src,
            } => {
                let (width, bits) = (extension.width(), extension.bits());
                write!(f, "{} = (s{bits}){}", Named(width, dst), Named(width, src))
            }
            Insn::Neg { width, dst } => {
                let dst = Named(width, dst);
                write!(f, "{dst} = -{dst}")
            }
            Insn::ByteSwap { order, width, dst } => {
                write!(f, "{dst} = {}{} {dst}", order.symbol(), width.bits())
            }
            Insn::AddrSpaceCast { cast, dst, src } => {
                let (to, from) = match cast {
                    ArenaCast::ToKernel => (0, 1),
                    ArenaCast::ToUser => (1, 0),
                };
                write!(f, "{dst} = addr_space_cast({src}, {to}, {from})")
            }
            Insn::LoadImm64 { dst, value } => {
                write!(f, "{dst} = ")?;
                self.imm64(f, value)
            }
            Insn::Load {
                size,
                dst,
                base,
                offset,
            } => {
                let memory = Memory(size.unsigned_type(), base, offset);
                write!(f, "{dst} = *{memory}")
            }
            Insn::LoadSigned {
                size,
                dst,
                base,
                offset,
            } => {
                let memory = Memory(size.signed_type(), base, offset);
                write!(f, "{dst} = *{memory}")
            }
            Insn::Store {
                size,
                base,
                offset,
                value,
            } => {
                let memory = Memory(size.unsigned_type(), base, offset);
                write!(f, "*{memory} = {}", Decimal(Width::W64, value))
            }
            Insn::LoadStackArg { dst, arg } => {
                write!(f, "{dst} = *(u64 *)(r11 {:+})", arg.load_offset())
            }
            Insn::StoreStackArg { arg, value } => {
                let value = Decimal(Width::W64, value);
                write!(f, "*(u64 *)(r11 {:+}) = {value}", arg.store_offset())
            }
            Insn::Atomic {
                width,
                op,
                base,
                offset,
                src,
            } => {
                let memory = Memory(width.size().unsigned_type(), base, offset);
                atomic(f, width, op, memory, src)
            }
            Insn::LoadAcquire {
                size,
                dst,
                base,
                offset,
            } => {
                let memory = Memory(size.unsigned_type(), base, offset);
                write!(f, "{dst} = load_acquire({memory})")
            }
            Insn::StoreRelease {
                size,
                base,
                offset,
                src,
            } => {
                let memory = Memory(size.unsigned_type(), base, offset);
                write!(f, "store_release({memory}, {src})")
            }
            Insn::LoadPacketAbs { size, offset } => {
                write!(f, "r0 = *({} *)skb[{offset}]", size.unsigned_type())
            }
            Insn::LoadPacketInd {
                size,
                index,
                offset,
            } => {
                let unsigned = size.unsigned_type();
                write!(f, "r0 = *({unsigned} *)skb[{index} + {offset}]")
            }
            Insn::Jump { offset } => write!(f, "goto pc{offset:+}"),
            Insn::JumpLong { offset } => write!(f, "gotol pc{offset:+}"),
            Insn::JumpIf {
                width,
                op,
                dst,
                src,
                offset,
            } => {
                write!(f, "if {} {} ", Named(width, dst), op.symbol())?;
                match src {
                    Operand::Reg(src) => write!(f, "{}", Named(width, src))?,
                    Operand::Imm(imm) => write!(f, "{imm:#x}")?,
                }
                write!(f, " goto pc{offset:+}")
            }
            Insn::MayGoto { offset } => write!(f, "may_goto pc{offset:+}"),
            Insn::JumpIndirect { target } => write!(f, "gotox {target}"),
            Insn::Call(target) => self.call(f, target),
            Insn::Exit => f.write_str("exit"),
        }
    }
}

impl Text<'_> {
    fn call(&self, f: &mut fmt::Formatter<'_>, target: CallTarget) -> fmt::Result {
        match target {
            CallTarget::Helper(id) => {
                let name = self.symbols.helper(id).unwrap_or("unknown".into());
                write!(f, "call {name}#{}", id.cast_signed())
            }
            CallTarget::Subprogram { offset } => {
                write!(f, "call pc{offset:+}")?;
                self.subprogram(f)
            }
            CallTarget::Kfunc { btf_id, fd_index } => {
                let name = self.symbols.kfunc(self.at, btf_id, fd_index);
                let name = name.unwrap_or("kernel-function".into());
                write!(f, "call {name}#{}", btf_id.cast_signed())?;
                match fd_index {
                    0 => Ok(()),
                    index => write!(f, " [fd_idx:{index}]"),
                }
            }
            CallTarget::Register(reg) => write!(f, "callx {reg}"),
        }
    }

    /// `#name` of the subprogram that the instruction refers to.
    fn subprogram(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.insn.subprogram(self.at);
        match self.symbols.subprogram(self.at, start) {
            Some(name) => write!(f, "#{name}"),
            None => Ok(()),
        }
    }

    fn imm64(&self, f: &mut fmt::Formatter<'_>, value: Imm64) -> fmt::Result {
        if let Imm64::Subprogram { offset } = value {
            write!(f, "subprog[{offset:+}]")?;
            return self.subprogram(f);
        }
        let name = self.symbols.address(self.at, value);
        match (value, name) {
            (Imm64::Value(value), None) => write!(f, "{value:#x} ll"),
            (Imm64::Value(0), Some(name)) => write!(f, "{name} ll"),
            (Imm64::Value(value), Some(name)) => write!(f, "{name}+{value:#x} ll"),
            (Imm64::MapFd { .. } | Imm64::MapIndex { .. }, Some(name)) => write!(f, "map[{name}]"),
            (Imm64::MapFd { fd }, None) => write!(f, "map[fd:{fd}]"),
            (Imm64::MapIndex { index }, None) => write!(f, "map[idx:{index}]"),
            (Imm64::MapValue { offset, .. }, Some(name))
            | (Imm64::MapIndexValue { offset, .. }, Some(name)) => {
                write!(f, "map[{name}][0]+{offset}")
            }
            (Imm64::MapValue { fd, offset }, None) => write!(f, "map[fd:{fd}][0]+{offset}"),
            (Imm64::MapIndexValue { index, offset }, None) => {
                write!(f, "map[idx:{index}]+{offset}")
            }
            (Imm64::BtfId { .. }, Some(name)) => write!(f, "btf[{name}]"),
            (Imm64::BtfId { id, btf_fd: 0 }, None) => write!(f, "btf[id:{id}]"),
            (Imm64::BtfId { id, btf_fd }, None) => write!(f, "btf[id:{id},fd:{btf_fd}]"),
            (Imm64::Subprogram { .. }, _) => Ok(()),
        }
    }
}

fn atomic(
    f: &mut fmt::Formatter<'_>,
    width: Width,
    op: AtomicOp,
    memory: Memory,
    src: Reg,
) -> fmt::Result {
    let symbol = op.symbol();
    let prefix = match width {
        Width::W32 => "atomic_",
        Width::W64 => "atomic64_",
    };
    match op {
        AtomicOp::CmpXchg => write!(f, "r0 = {prefix}{symbol}({memory}, r0, {src})"),
        _ if op.fetches() => write!(f, "{src} = {prefix}{symbol}({memory}, {src})"),
        _ => write!(f, "lock *{memory} {symbol} {src}"),
    }
}

/// An operand with its number in decimal, as all but comparisons have it.
struct Decimal(Width, Operand);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Operand::Reg(reg) => Named(self.0, reg).fmt(f),
            Operand::Imm(imm) => imm.fmt(f),
        }
    }
}

/// A typed pointer, without the `*` that reads it.
struct Memory(&'static str, Reg, i16);

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, base, offset) = self;
        write!(f, "({value} *)({base} {offset:+})")
    }
}
