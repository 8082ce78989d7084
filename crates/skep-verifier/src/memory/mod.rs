//! Loads and stores, and what helpers do to memory: which memory a register points to, and whether
//! an access stays inside it. A file a kind of memory.

mod bounds;
mod context;
mod legacy_packet;
mod map_structure;
mod map_value;
mod packet;
mod region;
mod socket;
mod stack;
mod structure;
#[cfg(test)]
mod tests;
pub(crate) mod words;

pub(crate) use structure::embeds;

use skep_isa::{AtomicOp, Insn, Operand, Reg, Size, Width};

use crate::{
    Rule,
    state::{Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

/// What an access does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    Read,
    Write,
}

/// What kind of memory an instruction accesses, as far as the kernel makes other code of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AccessKind {
    /// The context.
    Context,
    /// A `bpf_sock`, full or not, a `bpf_tcp_sock` or a `bpf_xdp_sock`.
    Socket(Kind),
    /// A kernel structure; `probed`: with faults handled.
    Structure {
        /// Whether loads by it are probed.
        probed: bool,
    },
    /// An arena.
    Arena,
    /// Anything else: accessed as it is.
    Plain,
}

/// One access by an instruction.
#[derive(Debug, Clone, Copy)]
struct Visit {
    /// The pointer.
    base: Reg,
    /// Bytes that the instruction adds to it.
    offset: i32,
    /// Bytes accessed.
    size: u32,
    /// Whether it must be aligned on every machine.
    aligned: bool,
    /// What is done.
    transfer: Transfer,
}

/// What an instruction does with the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transfer {
    /// Loads it into a register.
    Load,
    /// Loads it and extends its sign.
    LoadSigned,
    /// Reads it, but no register gets it.
    Read,
    /// Stores a register.
    Store(Reg),
    /// Stores a constant.
    StoreConstant(i32),
    /// Stores what was made of a register and the memory.
    StoreResult,
}

/// Bytes that are accessed, by an instruction or by a function that is called.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// The pointer.
    base: Reg,
    /// The first byte, but for the variable part of the pointer.
    offset: i64,
    /// How many.
    size: u64,
    /// What is done.
    access: Access,
    /// Whether a function does it.
    indirect: bool,
}

impl Span {
    fn is_write(&self) -> bool {
        self.access == Access::Write
    }
}

impl Visit {
    /// The bytes.
    fn span(&self, pointer: &Register) -> Span {
        Span {
            base: self.base,
            offset: i64::from(pointer.offset) + i64::from(self.offset),
            size: self.size.into(),
            access: self.access(),
            indirect: false,
        }
    }

    fn access(&self) -> Access {
        match self.transfer {
            Transfer::Load | Transfer::LoadSigned | Transfer::Read => Access::Read,
            _ => Access::Write,
        }
    }

    fn is_write(&self) -> bool {
        self.access() == Access::Write
    }
}

impl Verifier<'_> {
    /// Does an instruction that reads or writes memory.
    pub(crate) fn memory(&mut self, insn: Insn) -> Result {
        self.slot_access = None;
        match insn {
            Insn::Load {
                size,
                dst,
                base,
                offset,
            } => self.load(dst, visit(base, offset, size, Transfer::Load)),
            Insn::LoadSigned {
                size,
                dst,
                base,
                offset,
            } => self.load(dst, visit(base, offset, size.size(), Transfer::LoadSigned)),
            Insn::LoadAcquire {
                size,
                dst,
                base,
                offset,
            } => {
                self.atomic_target(base)?;
                let visit = visit(base, offset, size, Transfer::Load);
                self.load(
                    dst,
                    Visit {
                        aligned: true,
                        ..visit
                    },
                )
            }
            Insn::Store {
                size,
                base,
                offset,
                value,
            } => {
                let transfer = match value {
                    Operand::Reg(reg) => {
                        self.read(reg)?;
                        Transfer::Store(reg)
                    }
                    Operand::Imm(constant) => Transfer::StoreConstant(constant),
                };
                self.store(visit(base, offset, size, transfer))
            }
            Insn::StoreRelease {
                size,
                base,
                offset,
                src,
            } => {
                self.read(src)?;
                self.atomic_target(base)?;
                let visit = visit(base, offset, size, Transfer::Store(src));
                self.store(Visit {
                    aligned: true,
                    ..visit
                })
            }
            Insn::Atomic {
                width,
                op,
                base,
                offset,
                src,
            } => self.atomic(width, op, base, offset, src),
            _ => Err(self.reject(
                Rule::InstructionNotHere,
                "arguments on the stack need Linux 7.2",
            )),
        }
    }

    fn load(&mut self, dst: Reg, visit: Visit) -> Result {
        self.read(visit.base)?;
        if dst == Reg::FP {
            return Err(self.frame_pointer_write());
        }
        self.note_access(visit)?;
        let mut value = self.reach(visit)?;
        if value.is_scalar() && visit.size < 8 {
            let bits = visit.size * 8;
            if visit.transfer == Transfer::LoadSigned {
                // A spilled number that was not negative may become so.
                value.unlink();
                value.value = value.value.sign_extend(bits, Width::W64);
            } else {
                value.value = value.value.truncate(bits);
            }
        }
        value.subreg_def =
            if value.is_scalar() && visit.size < 8 && visit.transfer != Transfer::LoadSigned {
                u32::try_from(self.insn).map_or(0, |insn| insn.saturating_add(1))
            } else {
                0
            };
        *self.state.register_mut(dst) = value;
        Ok(())
    }

    fn store(&mut self, visit: Visit) -> Result {
        self.read(visit.base)?;
        self.note_access(visit)?;
        self.reach(visit)?;
        Ok(())
    }

    fn atomic(&mut self, width: Width, op: AtomicOp, base: Reg, offset: i16, src: Reg) -> Result {
        self.read(src)?;
        self.read(base)?;
        for reg in [Some(src), (op == AtomicOp::CmpXchg).then_some(Reg::R0)]
            .into_iter()
            .flatten()
        {
            self.read(reg)?;
            if self.leaks(reg) {
                return Err(self.leak(reg, "memory"));
            }
        }
        self.atomic_target(base)?;
        let result = match op {
            AtomicOp::CmpXchg => Some(Reg::R0),
            _ if op.fetches() => Some(src),
            _ => None,
        };
        if result == Some(Reg::FP) {
            return Err(self.frame_pointer_write());
        }
        let read = Visit {
            aligned: true,
            ..visit(base, offset, width.size(), Transfer::Read)
        };
        self.note_access(read)?;
        self.reach(read)?;
        let fetched = match result {
            None => None,
            Some(_) => {
                let mut value = self.reach(Visit {
                    transfer: Transfer::Load,
                    ..read
                })?;
                if value.is_scalar() && read.size < 8 {
                    value.value = value.value.truncate(read.size * 8);
                }
                Some(value)
            }
        };
        self.reach(Visit {
            transfer: Transfer::StoreResult,
            ..read
        })?;
        if let (Some(reg), Some(mut value)) = (result, fetched) {
            value.subreg_def = 0;
            *self.state.register_mut(reg) = value;
        }
        Ok(())
    }

    /// Atomic operations and loads and stores with an order go to memory that holds still: no
    /// context, packet or socket.
    fn atomic_target(&self, base: Reg) -> Result {
        let pointer = self.read(base)?;
        let what = match pointer.kind {
            Kind::Context => "the context",
            Kind::Packet | Kind::PacketMeta | Kind::PacketEnd => "a packet",
            Kind::FlowKeys => "flow keys",
            Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock => "a socket",
            _ => return Ok(()),
        };
        Err(self
            .reject(
                Rule::AtomicAccess,
                format!("atomic operation on {what}: it only works on memory that the program shares, such as map values and the stack"),
            )
            .of(base))
    }

    /// Keeps what kind of memory the instruction accesses: the kernel makes other code of some
    /// kinds, so that all paths must agree.
    fn note_access(&mut self, visit: Visit) -> Result {
        let pointer = self.reg(visit.base);
        let (kind, proven) = (self.access_kind(pointer), is_proven(pointer));
        let Some(facts) = self.facts.get_mut(self.insn) else {
            return Ok(());
        };
        facts.guarded |= !proven;
        match facts.accesses {
            None => facts.accesses = Some(kind),
            Some(before) if before == kind => {}
            Some(AccessKind::Structure { .. }) if !visit.is_write() && !visit.aligned => {
                match kind {
                    // Loads are probed then, whatever the path.
                    AccessKind::Structure { .. } => {
                        facts.accesses = Some(AccessKind::Structure { probed: true });
                    }
                    _ => return Err(self.mixed_pointers(visit.base)),
                }
            }
            Some(_) => return Err(self.mixed_pointers(visit.base)),
        }
        Ok(())
    }

    #[cold]
    fn mixed_pointers(&self, base: Reg) -> Box<crate::Rejection> {
        let what = words::kind(self.reg(base));
        self.reject(
            Rule::MixedPointers,
            format!(
                "{base} holds {what} here, and another kind of pointer on another path to this instruction"
            ),
        )
        .of(base)
        .help("access each kind of memory in its own branch")
    }

    fn access_kind(&self, pointer: &Register) -> AccessKind {
        match pointer.kind {
            Kind::Context => AccessKind::Context,
            Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock => {
                AccessKind::Socket(pointer.kind)
            }
            Kind::Btf(_) => AccessKind::Structure {
                probed: pointer.flags.contains(PointerFlags::UNTRUSTED),
            },
            Kind::Arena => AccessKind::Arena,
            _ => AccessKind::Plain,
        }
    }

    /// Whether stack that nothing was written to may be read, as some bytes. Long-term kernels took
    /// that over in July 2024.
    fn reads_uninitialised_stack(&self) -> bool {
        const UPDATES: &[(u8, u8, u16)] = &[(5, 10, 222), (6, 1, 100)];
        self.options.perfmon && self.since_or_update((6, 3), UPDATES)
    }

    /// Whether storing a register would give a kernel address away.
    fn leaks(&self, reg: Reg) -> bool {
        !self.options.perfmon && self.reg(reg).is_pointer()
    }

    #[cold]
    fn leak(&self, reg: Reg, into: &str) -> Box<crate::Rejection> {
        let what = words::kind(self.reg(reg));
        self.reject(
            Rule::PointerLeak,
            format!("{reg} holds {what}, and its address would be written into {into}"),
        )
        .of(reg)
    }

    #[cold]
    fn frame_pointer_write(&self) -> Box<crate::Rejection> {
        self.reject(
            Rule::FramePointerWrite,
            "r10 is the frame pointer, which programs only read",
        )
        .of(Reg::FP)
    }

    /// Does an access, whatever the pointer points to: what is loaded, or a register without
    /// meaning for stores.
    fn reach(&mut self, visit: Visit) -> Result<Register> {
        let pointer = self.reg(visit.base).clone();
        self.check_alignment(&pointer, visit)?;
        if pointer.may_be_null() {
            return Err(self.maybe_null(&pointer, visit));
        }
        if let (Transfer::Store(reg), false) =
            (visit.transfer, matches!(pointer.kind, Kind::Stack { .. }))
            && self.leaks(reg)
        {
            return Err(self.leak(reg, words::kind(&pointer)));
        }
        match pointer.kind {
            Kind::Stack { frame } => self.reach_stack(&pointer, usize::from(frame), visit),
            Kind::Context => self.reach_context(&pointer, visit),
            Kind::MapValue { .. } => self.reach_map_value(&pointer, visit),
            Kind::MapKey { map } => self.reach_map_key(&pointer, map, visit),
            Kind::Packet | Kind::PacketMeta => self.reach_packet(&pointer, visit),
            Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock => {
                self.reach_socket(&pointer, visit)
            }
            Kind::FlowKeys => self.reach_flow_keys(&pointer, visit),
            Kind::Buffer | Kind::TracepointBuffer => self.reach_buffer(&pointer, visit),
            Kind::Btf(of) => self.reach_structure(&pointer, of, visit),
            Kind::ConstMap { map, inner, .. } => {
                self.reach_map_structure(&pointer, map, inner, visit)
            }
            Kind::Arena => Ok(Register::unknown()),
            Kind::Mem { size } => {
                let span = visit.span(&pointer);
                self.check_writable(&pointer, span)?;
                // Loads by such pointers are probed, and give zero where there is nothing.
                let probed = pointer
                    .flags
                    .contains(PointerFlags::READ_ONLY | PointerFlags::UNTRUSTED);
                if !probed {
                    self.check_bounds(&pointer, span, size.into(), Rule::MemoryOutOfBounds)?;
                }
                Ok(Register::unknown())
            }
            _ => Err(self.not_accessible(&pointer, visit)),
        }
    }

    /// Read-only memory is not written.
    fn check_writable(&self, pointer: &Register, span: Span) -> Result {
        if span.is_write() && pointer.flags.contains(PointerFlags::READ_ONLY) {
            let what = words::kind(pointer);
            return Err(self
                .reject(
                    Rule::ReadOnlyWrite,
                    format!(
                        "{} points to {what} that is read-only, and is written through",
                        span.base
                    ),
                )
                .of(span.base));
        }
        Ok(())
    }

    #[cold]
    fn maybe_null(&self, pointer: &Register, visit: Visit) -> Box<crate::Rejection> {
        let rule = match pointer.kind {
            Kind::MapValue { .. } => Rule::MapValueOrNull,
            _ => Rule::PointerOrNull,
        };
        let what = words::kind(pointer);
        let doing = words::doing(visit.access());
        self.reject(
            rule,
            format!(
                "{doing} of {} bytes through {}, which may be null instead of {what}",
                visit.size, visit.base
            ),
        )
        .of(visit.base)
    }

    #[cold]
    fn not_accessible(&self, pointer: &Register, visit: Visit) -> Box<crate::Rejection> {
        let what = words::kind(pointer);
        let doing = words::doing(visit.access());
        let rejection = self
            .reject(
                Rule::NotAPointer,
                format!(
                    "{doing} of {} bytes through {}, which holds {what}",
                    visit.size, visit.base
                ),
            )
            .of(visit.base);
        match pointer.kind {
            Kind::Scalar => rejection.help(
                "a number is no address here: read kernel or user memory with bpf_probe_read_kernel or bpf_probe_read_user",
            ),
            _ => rejection,
        }
    }
}

fn visit(base: Reg, offset: i16, size: Size, transfer: Transfer) -> Visit {
    Visit {
        base,
        offset: offset.into(),
        size: size.bytes(),
        aligned: false,
        transfer,
    }
}

/// Whether an access that was found to be inside of what a pointer points to is so on every host:
/// not if that is as long as whoever gives it says, or may be gone.
fn is_proven(pointer: &Register) -> bool {
    let lasting = matches!(
        pointer.kind,
        Kind::Stack { .. }
            | Kind::MapValue { .. }
            | Kind::MapKey { .. }
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::FlowKeys
            | Kind::Mem { .. }
    );
    let elsewhere = PointerFlags::UNTRUSTED | PointerFlags::USER | PointerFlags::PERCPU;
    lasting && !pointer.flags.intersects(elsewhere)
}
