//! Contexts that are structures of the uapi header: each field with its sizes and rights, by
//! `skep-abi`'s tables.

use skep_abi::{
    Access as Rights, AttachType, Capability, ContextPointer, FieldCondition, FieldLayout,
    ProgramType, field_sizes,
};

use super::super::{Transfer, Visit, words};
use crate::{
    Rejection, Rule,
    state::{Kind, Register},
    verifier::{Result, Verifier},
};

/// Why a field is not accessed so.
enum Why {
    /// There is no field.
    NoField,
    /// Not at all, or not written.
    Rights,
    /// Not by this size.
    Size,
    /// Not here.
    Condition(FieldCondition),
}

impl Verifier<'_> {
    pub(super) fn reach_uapi_context(
        &mut self,
        program_type: ProgramType,
        visit: Visit,
    ) -> Result<Register> {
        let Some(layout) = program_type.context_layout() else {
            return Err(self.context_rejection(visit, "nothing is known about it"));
        };
        let mut why = Why::NoField;
        let mut last = None;
        if let Ok(offset) = u32::try_from(visit.offset) {
            for (field, access) in program_type.context_fields() {
                let inside = offset.checked_sub(field.offset);
                if inside.is_none_or(|inside| inside >= field.byte_len()) {
                    continue;
                }
                last = Some(field);
                let right = if visit.is_write() {
                    Rights::WRITE
                } else {
                    Rights::READ
                };
                if !access.access.contains(right) {
                    why = Why::Rights;
                    continue;
                }
                if access.access.contains(Rights::SOMETIMES)
                    && let Some(condition) =
                        program_type.context_condition(field.name, visit.is_write())
                    && !self.condition_holds(condition, program_type, field, offset)
                {
                    why = Why::Condition(condition);
                    continue;
                }
                let sizes = field_sizes(layout.name, field.name);
                let signed_pointer =
                    access.pointer.is_some() && visit.transfer == Transfer::LoadSigned;
                if !sizes.allow(field, offset, visit.size, visit.is_write()) || signed_pointer {
                    why = Why::Size;
                    continue;
                }
                return Ok(self.loaded_field(access.pointer));
            }
        }
        Err(self.field_rejection(visit, layout.name, last, why))
    }

    fn loaded_field(&mut self, pointer: Option<ContextPointer>) -> Register {
        let Some(pointer) = pointer else {
            return Register::unknown();
        };
        let (kind, nullable) = match pointer {
            ContextPointer::Packet => (Kind::Packet, false),
            ContextPointer::PacketMeta => (Kind::PacketMeta, false),
            ContextPointer::PacketEnd => (Kind::PacketEnd, false),
            ContextPointer::FlowKeys => (Kind::FlowKeys, false),
            ContextPointer::Socket => (Kind::Socket, false),
            ContextPointer::SocketOrNull => (Kind::Socket, true),
            ContextPointer::SockCommonOrNull => (Kind::SockCommon, true),
            _ => return Register::unknown(),
        };
        self.loaded_pointer(kind, nullable)
    }

    fn condition_holds(
        &self,
        condition: FieldCondition,
        program_type: ProgramType,
        field: &FieldLayout,
        offset: u32,
    ) -> bool {
        match condition {
            FieldCondition::AttachTypes(types) => {
                let attach_type = match (self.program.attach_type, program_type) {
                    // Loaded without one, the oldest is meant.
                    (None, ProgramType::CgroupSock) => Some(AttachType::CgroupInetSockCreate),
                    (attach_type, _) => attach_type,
                };
                attach_type.is_some_and(|one| types.contains(&one))
            }
            FieldCondition::Capability(Capability::Bpf) => self.options.bpf,
            FieldCondition::FirstElement => offset < field.offset + field.size,
            _ => false,
        }
    }

    #[cold]
    fn field_rejection(
        &self,
        visit: Visit,
        structure: &str,
        field: Option<&FieldLayout>,
        why: Why,
    ) -> Box<Rejection> {
        let doing = words::doing(visit.access());
        let size = words::bytes(visit.size.into());
        let name = field.map_or("", |field| field.name);
        let program_type = self.effective_type();
        match why {
            Why::NoField => self
                .reject(
                    Rule::ContextAccess,
                    format!(
                        "{doing} of {size} at offset {} of `struct {structure}`, where it has no field",
                        visit.offset
                    ),
                )
                .of(visit.base),
            Why::Rights if visit.is_write() => self
                .reject(
                    Rule::ContextAccess,
                    format!("programs of type {program_type} don't write `{name}` of `struct {structure}`"),
                )
                .of(visit.base),
            Why::Rights => self
                .reject(
                    Rule::ContextAccess,
                    format!("programs of type {program_type} have no `{name}` of `struct {structure}`"),
                )
                .of(visit.base),
            Why::Size => {
                let rejection = self
                    .reject(
                        Rule::ContextAccess,
                        format!(
                            "{doing} of {size} at offset {} of `struct {structure}`: that is not how `{name}` is accessed",
                            visit.offset
                        ),
                    )
                    .of(visit.base);
                match field {
                    Some(field) => rejection.help(format!(
                        "access it as a whole: {} at offset {}",
                        words::bytes(field.size.into()),
                        field.offset
                    )),
                    None => rejection,
                }
            }
            Why::Condition(condition) => {
                let needs = match condition {
                    FieldCondition::AttachTypes(types) => {
                        let names: Vec<String> =
                            types.iter().map(ToString::to_string).collect();
                        format!("only programs that are attached as {} do", names.join(", "))
                    }
                    FieldCondition::Capability(capability) => format!("it needs {capability}"),
                    _ => "only its first element is".to_owned(),
                };
                self.reject(
                    Rule::ContextAccess,
                    format!("{doing} of `{name}` of `struct {structure}`: {needs}"),
                )
                .of(visit.base)
            }
        }
    }
}
