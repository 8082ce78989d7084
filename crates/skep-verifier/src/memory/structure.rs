//! Structures of the kernel, and of the program: members are found in BTF, and what is known about
//! a pointer that is loaded depends on where it was loaded from.

mod member;
mod trust;

pub(super) use member::tag_flags;
pub(crate) use member::{Found, embeds, find_member};

use super::{Span, Visit, words};
use crate::{
    Rejection, Rule,
    state::{BtfRef, BtfSource, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// A load or store of a member of a structure.
    pub(super) fn reach_structure(
        &mut self,
        pointer: &Register,
        of: BtfRef,
        visit: Visit,
    ) -> Result<Register> {
        self.access_structure(pointer, of, visit.span(pointer))
    }

    /// An access of a structure by a function that is called.
    pub(super) fn check_structure_region(
        &mut self,
        pointer: &Register,
        of: BtfRef,
        span: Span,
    ) -> Result {
        self.access_structure(pointer, of, span).map(drop)
    }

    fn access_structure(&mut self, pointer: &Register, of: BtfRef, span: Span) -> Result<Register> {
        let flags = pointer.flags;
        let kernel = of.btf != BtfSource::Program;
        if !self.options.perfmon {
            return Err(self
                .reject(
                    Rule::MissingCapability,
                    "members of structures are read with CAP_PERFMON",
                )
                .of(span.base));
        }
        if kernel && !self.is_gpl() {
            return Err(self
                .reject(
                    Rule::GplOnly,
                    "kernel structures are accessed by programs with a GPL-compatible licence only",
                )
                .of(span.base));
        }
        if pointer.value.as_constant() != Some(0) {
            return Err(self
                .reject(
                    Rule::StructAccess,
                    format!(
                        "{} of {} at an offset that is not constant",
                        words::span(span),
                        words::kind(pointer)
                    ),
                )
                .of(span.base));
        }
        let Ok(offset) = u32::try_from(span.offset) else {
            return Err(self
                .reject(
                    Rule::StructAccess,
                    format!(
                        "{} at offset {} of {}, which is before its start",
                        words::span(span),
                        span.offset,
                        words::kind(pointer)
                    ),
                )
                .of(span.base));
        };
        if flags.contains(PointerFlags::USER) {
            return Err(self.special_memory(
                span,
                "user memory",
                "read it with bpf_probe_read_user or bpf_copy_from_user",
            ));
        }
        if flags.contains(PointerFlags::PERCPU) {
            return Err(self.special_memory(
                span,
                "a per-CPU variable",
                "get this CPU's with bpf_this_cpu_ptr or another's with bpf_per_cpu_ptr",
            ));
        }
        let allocated = flags.contains(PointerFlags::ALLOCATED);
        if span.is_write() {
            if !allocated && !flags.contains(PointerFlags::UNTRUSTED) {
                return self.write_kernel_structure(of, offset, span);
            }
            if flags.contains(PointerFlags::UNTRUSTED) {
                return Err(self
                    .reject(
                        Rule::UntrustedPointer,
                        "a structure that may be gone is written",
                    )
                    .of(span.base));
            }
        }
        if allocated {
            self.check_managed_members(of, offset, span)?;
        }
        let size = u32::try_from(span.size).unwrap_or(u32::MAX);
        let (found, walked) = self.member(of, offset, size, flags, span)?;
        match found {
            Found::Scalar => Ok(Register::unknown()),
            // Objects of the program hold numbers, whatever their types say.
            Found::Pointer { .. } if allocated => Ok(Register::unknown()),
            Found::Pointer { to, name } => {
                let to = BtfRef {
                    btf: of.btf,
                    type_id: to,
                };
                let trust = self.trust_of_member(pointer, of, to, &name, walked);
                Ok(self.structure_pointer(to, trust))
            }
        }
    }

    /// A pointer to a structure, with an id if it may be null.
    pub(super) fn structure_pointer(&mut self, to: BtfRef, flags: PointerFlags) -> Register {
        let mut register = Register::pointer(Kind::Btf(self.normal(to))).with(flags);
        if register.may_be_null() {
            register.id = self.new_id();
        }
        register
    }

    /// A type of a module that the kernel's own BTF has is the kernel's.
    pub(crate) fn normal(&self, of: BtfRef) -> BtfRef {
        if let BtfSource::Module(_) = of.btf
            && let Some(kernel) = self.btf(BtfSource::Kernel)
            && of.type_id.0 <= kernel.type_count()
        {
            return BtfRef {
                btf: BtfSource::Kernel,
                ..of
            };
        }
        of
    }

    /// The member at an offset; and which flags the way to it gives.
    fn member(
        &self,
        of: BtfRef,
        offset: u32,
        size: u32,
        flags: PointerFlags,
        span: Span,
    ) -> Result<(Found, PointerFlags)> {
        let Some(btf) = self.btf(of.btf) else {
            return Err(self.reject(Rule::TypeInformation, "the structure's types are not there"));
        };
        let mut walked = flags & PointerFlags::UNTRUSTED;
        match find_member(btf, of.type_id, offset, size, &mut walked) {
            Ok(found) => Ok((found, walked)),
            Err(why) => Err(self.no_member(of, offset, span, &why)),
        }
    }

    #[cold]
    fn no_member(&self, of: BtfRef, offset: u32, span: Span, why: &str) -> Box<Rejection> {
        let name = self.struct_name(of);
        self.reject(
            Rule::StructAccess,
            format!(
                "{} at offset {offset} of `struct {name}`: {why}",
                words::span(span)
            ),
        )
        .of(span.base)
    }

    #[cold]
    fn special_memory(&self, span: Span, what: &str, how: &str) -> Box<Rejection> {
        self.reject(
            Rule::StructAccess,
            format!(
                "{} points to {what}, which is not accessed directly",
                span.base
            ),
        )
        .of(span.base)
        .help(how)
    }

    /// Members that the kernel manages of an object that the program allocated are only touched by
    /// their functions.
    fn check_managed_members(&mut self, of: BtfRef, offset: u32, span: Span) -> Result {
        let Some(fields) = self.fields_of(of) else {
            return Ok(());
        };
        let size = u32::try_from(span.size).unwrap_or(u32::MAX);
        let Some(field) = fields.overlapping(offset, size) else {
            return Ok(());
        };
        Err(self
            .reject(
                Rule::ManagedField,
                format!(
                    "{} at offset {offset} of `struct {}` touches {}, which only its own functions may",
                    words::span(span),
                    self.struct_name(of),
                    words::field(&field.kind)
                ),
            )
            .of(span.base))
    }

    /// A store to a member of a kernel structure: only some hooks have some that are written.
    fn write_kernel_structure(&mut self, of: BtfRef, offset: u32, span: Span) -> Result<Register> {
        let name = self.struct_name(of);
        let hook = self.struct_ops_name();
        let end = u64::from(offset).saturating_add(span.size);
        if let Some(btf) = self.btf(of.btf) {
            for (field, text) in
                skep_abi::writable_members(self.effective_type(), hook.unwrap_or_default(), name)
            {
                if let Some((start, size)) = member::place_of(btf, of.type_id, field) {
                    // The zero at the end of a text stays.
                    let limit = u64::from(start) + u64::from(size) - u64::from(*text);
                    if offset >= start && end <= limit {
                        return Ok(Register::UNINIT);
                    }
                }
            }
        }
        Err(self
            .reject(
                Rule::StructAccess,
                format!(
                    "{} at offset {offset} of `struct {name}`, which is read-only here",
                    words::span(span)
                ),
            )
            .of(span.base))
    }
}
