//! Memory that functions which are called read or write: an argument's pointer and size.

use skep_abi::{ContextKind, ProgramType};
use skep_isa::Reg;

use super::{Access, Span, Transfer, Visit, bounds::MAX_VARIABLE_OFFSET, words};
use crate::{
    Rejection, Rule,
    state::{Kind, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Checks that `size` bytes (all values it may have) at the pointer in a register can be read or
    /// written by a function that is called; zero bytes only where `zero_allowed`. Stack that is
    /// read must be initialised (but for `uninit`), and what is written is unknown afterwards.
    pub(crate) fn check_region(
        &mut self,
        reg: Reg,
        size: &Register,
        access: Access,
        zero_allowed: bool,
        uninit: bool,
    ) -> Result {
        let value = &size.value;
        if value.smin < 0 {
            return Err(self
                .size_rejection(reg, "may be negative")
                .help("make it unsigned, or test that it is at least 0 before it is passed"));
        }
        if value.umin == 0 && !zero_allowed {
            return Err(self
                .size_rejection(reg, "may be zero, which the function does not take")
                .help("test that it is not zero before it is passed"));
        }
        if value.umax >= MAX_VARIABLE_OFFSET {
            return Err(self
                .size_rejection(reg, "has no upper bound")
                .help("test it against the buffer's size before it is passed"));
        }
        let constant = size.value.as_constant().is_some();
        let pointer = self.read(reg)?.clone();
        let span = Span {
            base: reg,
            offset: pointer.offset.into(),
            size: value.umax,
            access,
            indirect: true,
        };
        match pointer.kind {
            Kind::Stack { frame } => {
                self.check_stack_region(&pointer, usize::from(frame), span, uninit && constant)
            }
            Kind::Packet | Kind::PacketMeta => self.check_packet(&pointer, span),
            Kind::MapValue { .. } => match self.check_map_value(&pointer, span)? {
                Some(_) => Ok(()),
                None => Err(self.no_region(&pointer, span)),
            },
            Kind::MapKey { map } => {
                if span.is_write() {
                    return Err(self
                        .reject(
                            Rule::ReadOnlyWrite,
                            "a map's key is read-only to the callback",
                        )
                        .of(reg));
                }
                let size = self.map(map, false).map_or(0, |map| map.key_size);
                self.check_bounds(&pointer, span, size.into(), Rule::MemoryOutOfBounds)
            }
            Kind::Mem { size } => {
                self.check_writable(&pointer, span)?;
                self.check_bounds(&pointer, span, size.into(), Rule::MemoryOutOfBounds)
            }
            Kind::Buffer => {
                self.check_writable(&pointer, span)?;
                self.check_buffer(&pointer, span)
            }
            Kind::Btf(of) => self.check_structure_region(&pointer, of, span),
            Kind::Context if !self.context_is_converted() => {
                self.check_context_region(span, zero_allowed)
            }
            _ if zero_allowed && span.size == 0 && pointer.is_null() => Ok(()),
            _ => Err(self.no_region(&pointer, span)),
        }
    }

    fn check_stack_region(
        &mut self,
        pointer: &Register,
        frame: usize,
        span: Span,
        uninit: bool,
    ) -> Result {
        let constant = pointer.value.as_constant().is_some();
        let (least, most) = self.stack_range(pointer, frame, span)?;
        if !constant && !self.options.perfmon {
            return Err(self
                .reject(
                    Rule::StackOutOfBounds,
                    "without CAP_PERFMON, memory on the stack is passed at offsets that are known",
                )
                .of(span.base));
        }
        let (least, most) = (least as i32, most as i32);
        if uninit && constant {
            return self.overwrite_stack(frame, least, most, span.base);
        }
        self.check_stack_readable(frame, least, most, span.is_write(), span.base)
    }

    /// Whether the kernel makes other code of accesses of the context, so that functions that know
    /// nothing of it can't be given it as memory.
    fn context_is_converted(&self) -> bool {
        match self.effective_type().context() {
            ContextKind::Struct(_) => self.effective_type() != ProgramType::CgroupDevice,
            ContextKind::PerfEvent => true,
            _ => false,
        }
    }

    fn check_context_region(&mut self, span: Span, zero_allowed: bool) -> Result {
        if span.size == 0 {
            return match zero_allowed {
                true => Ok(()),
                false => Err(self.size_rejection(span.base, "is zero")),
            };
        }
        let pointer = self.reg(span.base).clone();
        let offset = i32::try_from(span.size - 1).unwrap_or(i32::MAX);
        let transfer = match span.access {
            Access::Read => Transfer::Read,
            Access::Write => Transfer::StoreResult,
        };
        let visit = Visit {
            base: span.base,
            offset,
            size: 1,
            aligned: false,
            transfer,
        };
        self.reach_context(&pointer, visit).map(drop)
    }

    #[cold]
    fn size_rejection(&self, pointer: Reg, why: &str) -> Box<Rejection> {
        self.reject(
            Rule::ArgumentSize,
            format!("the size of the memory at {pointer} {why}"),
        )
        .of(pointer)
    }

    #[cold]
    fn no_region(&self, pointer: &Register, span: Span) -> Box<Rejection> {
        let what = words::kind(pointer);
        self.reject(
            Rule::ArgumentType,
            format!(
                "{} holds {what}, where the function wants memory of {}",
                span.base,
                words::bytes(span.size)
            ),
        )
        .of(span.base)
    }
}
