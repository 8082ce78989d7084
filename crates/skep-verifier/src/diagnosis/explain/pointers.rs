//! Pointers at fault: what may be null, what is no pointer, or no longer, packets that were not
//! compared with their end.

use skep_isa::{Insn, Operand};

use super::Story;
use crate::{
    Program, Rule,
    diagnosis::{
        history::{Hop, Origin, Trail},
        words,
    },
    memory::words as memory_words,
    state::Kind,
};

impl Story<'_, '_, '_> {
    /// A pointer that may be null.
    pub(super) fn nullable(&mut self) {
        let Some((reg, _)) = self.register() else {
            return;
        };
        let trail = self.path.trail(self.path.last(), reg);
        let name = self.variable(&trail);
        let doing = access(self.path.insn(self.path.last()));
        if let Some(name) = &name {
            let what = match doing {
                Some((doing, _)) => format!("`{name}` may be null when it is {doing}"),
                None => format!("`{name}` may be null when it is used"),
            };
            self.diagnosis.message = what;
            self.diagnosis.focus = Some(name.clone());
        }
        self.diagnosis.label = match doing {
            Some((doing, bytes)) if name.is_some() => {
                let noun = if doing == "read" { "read" } else { "write" };
                let bytes = memory_words::bytes(bytes);
                format!("{noun} of {bytes} through a pointer that may be null")
            }
            // The message says it.
            _ if name.is_none() => "this pointer may be null".into(),
            _ => "a pointer that may be null is used here".into(),
        };
        match trail.origin {
            Origin::Call(step) => {
                let called = self.path.called(step);
                let lookup = called
                    .as_deref()
                    .is_some_and(|name| name.contains("lookup"));
                let what = if self.diagnosis.rule == Rule::MapValueOrNull && lookup {
                    "the lookup gives a value or null".into()
                } else {
                    format!(
                        "{} gives a pointer or null",
                        words::quoted(called.as_deref(), "the call")
                    )
                };
                self.label(step, what);
            }
            Origin::Load(step) => self.label(step, "what is read here may be null"),
            _ => {}
        }
        let end = format!("return {};", neutral_return(self.program()));
        let passed = trail.hops.iter().any(|hop| matches!(hop, Hop::Passed(_)));
        let help = match &name {
            Some(name) if passed => {
                format!("test it before it is passed, or here: `if (!{name}) return …;`")
            }
            Some(name) => format!("test it first: `if (!{name}) {end}`"),
            None => format!("test the pointer first, such as `if (!pointer) {end}`"),
        };
        self.diagnosis.help = vec![help];
    }

    /// What is dereferenced is no pointer: perhaps it was one.
    pub(super) fn no_pointer(&mut self) {
        let Some((reg, register)) = self.register() else {
            return;
        };
        let said = match register.kind {
            Kind::Scalar => Some(words::range(&register.value)),
            _ => None,
        };
        let trail = self.path.trail(self.path.last(), reg);
        match trail.origin {
            Origin::Void(step) => self.void(step, &trail),
            Origin::Call(step) => {
                let called = self.path.called(step);
                let called = words::quoted(called.as_deref(), "the call");
                self.label(step, format!("{called} gives a number"));
            }
            Origin::Load(step) => {
                self.label(step, "what is read here is a number to the verifier");
            }
            Origin::Constant(step) => {
                let said = said.unwrap_or_else(|| "a number".into());
                self.label(step, format!("{said} is no pointer"));
            }
            Origin::Overwritten(step) => self.overwritten(step, reg),
            _ => {}
        }
        if let (true, Some(what)) = (self.diagnosis.label.is_empty(), self.register()) {
            let (_, register) = what;
            if register.kind == Kind::Scalar && words::is_unbounded(&register.value) {
                self.diagnosis.label = "a number is used as a pointer here".into();
            }
        }
    }

    /// A call made a pointer void: a packet's, after the packet may have moved, or one that belonged
    /// to what was given back.
    pub(super) fn void(&mut self, step: usize, trail: &Trail) {
        let was = trail.value_before(self.path, step).cloned();
        let called = self.path.called(step);
        let called = words::quoted(called.as_deref(), "the call");
        let packet = was
            .as_ref()
            .is_some_and(|was| was.is_packet() || was.kind == Kind::PacketEnd);
        if packet {
            self.diagnosis.message =
                format!("packet pointer used after {called}, which may have moved the packet");
            self.label(
                step,
                format!("{called} may move the packet: pointers into it are void from here on"),
            );
            let compared = (0..step).rev().find(|&at| {
                matches!(self.path.insn(at), Some(Insn::JumpIf { dst, src, .. }) if {
                    let is_end = |reg| self.path.register(at, reg).is_some_and(|one| one.kind == Kind::PacketEnd);
                    is_end(dst) || matches!(src, Operand::Reg(src) if is_end(src))
                })
            });
            if let Some(compared) = compared {
                self.label(compared, "compared with the packet's end before that");
            }
            self.diagnosis.label = "a pointer into the packet as it was".into();
            self.diagnosis.help = vec![
                "after the call, take `data` and `data_end` from the context again, and compare \
                 again"
                    .into(),
            ];
        } else {
            let what = was.as_ref().map_or("the pointer", memory_words::kind);
            self.label(
                step,
                format!("{called} gives it back: {what} is void from here on"),
            );
            self.diagnosis.label = "used after that".into();
        }
    }

    /// A packet access without its comparison.
    pub(super) fn packet(&mut self) {
        let Some((reg, register)) = self.register() else {
            return;
        };
        let (range, variable) = (register.range, register.value.as_constant().is_none());
        let trail = self.path.trail(self.path.last(), reg);
        let learnt = trail.hops.iter().find_map(|hop| match hop {
            Hop::Compared(step) => Some(*step),
            _ => None,
        });
        match learnt {
            Some(step) if range > 0 => {
                let bytes = memory_words::bytes(range.into());
                self.label(step, format!("this comparison makes sure of {bytes}"));
            }
            _ if variable => {
                self.diagnosis.label =
                    "not compared with the packet's end since a number was added".into();
                let added = self.added(&trail);
                if let Some((step, scalar)) = added {
                    let value = self
                        .path
                        .register(step, scalar)
                        .map(|one| words::range(&one.value));
                    let value = value.unwrap_or_else(|| "a number".into());
                    self.label(step, format!("what is added here can be {value}"));
                }
            }
            _ => {
                self.diagnosis.label = "never compared with the packet's end on this path".into();
            }
        }
        if let Origin::Load(step) = trail.origin {
            self.label(step, "the pointer into the packet comes from here");
        }
    }
}

/// What an instruction does to memory, and how many bytes.
fn access(insn: Option<Insn>) -> Option<(&'static str, u64)> {
    match insn? {
        Insn::Load { size, .. } | Insn::LoadAcquire { size, .. } => {
            Some(("read", size.bytes() as u64))
        }
        Insn::LoadSigned { size, .. } => Some(("read", size.bytes() as u64)),
        Insn::Store { size, .. } | Insn::StoreRelease { size, .. } => {
            Some(("written", size.bytes() as u64))
        }
        Insn::Atomic { width, .. } => Some((
            "written",
            match width {
                skep_isa::Width::W32 => 4,
                skep_isa::Width::W64 => 8,
            },
        )),
        _ => None,
    }
}

/// What a program of this type returns that has nothing to say.
fn neutral_return(program: &Program<'_>) -> &'static str {
    use skep_abi::ProgramType as T;
    match program.program_type {
        T::Xdp => "XDP_PASS",
        T::SchedCls | T::SchedAct => "TC_ACT_OK",
        T::SkSkb | T::SkMsg => "SK_PASS",
        T::CgroupSkb | T::CgroupSock | T::CgroupSockAddr | T::CgroupDevice | T::CgroupSysctl => "1",
        _ => "0",
    }
}
