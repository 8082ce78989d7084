//! What a type is made of, told field by field in the order and under the names that `bpftool btf
//! dump` made known: [`RawType`](crate::RawType) and [`JsonType`](crate::JsonType) write it down.

use crate::{Composite, Enum, FunctionLinkage, Int, Kind, KindTag, Type, VariableLinkage};
use std::fmt;

/// Takes the fields of a type.
pub(crate) trait Fields {
    fn number(&mut self, key: &'static str, value: i128) -> fmt::Result;
    fn word(&mut self, key: &'static str, value: &str) -> fmt::Result;
    /// Elements follow, to the end of the type.
    fn list(&mut self, key: &'static str) -> fmt::Result;
    /// The fields of an element follow.
    fn element(&mut self, name: Option<&str>) -> fmt::Result;
    /// The list ends.
    fn end(&mut self) -> fmt::Result;
    /// Something that only people want to read.
    fn remark(&mut self, text: fmt::Arguments<'_>) -> fmt::Result;
}

/// What stands for a name where there is none.
pub(crate) fn or_anonymous(name: &str) -> &str {
    if name.is_empty() { "(anon)" } else { name }
}

/// How a kind is called, also one that is not known.
pub(crate) fn kind_name(tag: Option<KindTag>) -> &'static str {
    tag.map_or("UNKNOWN", KindTag::kernel_name)
}

/// Tells the fields that follow the id, the kind and the name.
pub(crate) fn tell(one: Type<'_>, out: &mut impl Fields) -> fmt::Result {
    let target = |out: &mut _, id: crate::TypeId| Fields::number(out, "type_id", id.0.into());
    match one.kind() {
        Kind::Void => Ok(()),
        Kind::Unknown { kind } => out.number("kind_number", kind.into()),
        Kind::Int(int) => tell_int(int, out),
        Kind::Pointer { target: id }
        | Kind::Typedef { target: id }
        | Kind::Volatile { target: id }
        | Kind::Const { target: id }
        | Kind::Restrict { target: id }
        | Kind::TypeTag { target: id, .. } => target(out, id),
        Kind::Array(array) => {
            target(out, array.element)?;
            out.number("index_type_id", array.index.0.into())?;
            out.number("nr_elems", array.len.into())
        }
        Kind::Struct(composite) | Kind::Union(composite) => tell_composite(composite, out),
        Kind::Enum(values) => tell_enum(values, false, out),
        Kind::Enum64(values) => tell_enum(values, true, out),
        Kind::Forward { union } => out.word("fwd_kind", if union { "union" } else { "struct" }),
        Kind::Function(function) => {
            target(out, function.prototype)?;
            out.word(
                "linkage",
                match function.linkage {
                    FunctionLinkage::Static => "static",
                    FunctionLinkage::Global => "global",
                    FunctionLinkage::Extern => "extern",
                    FunctionLinkage::Other(_) => "(unknown)",
                },
            )
        }
        Kind::FunctionPrototype(prototype) => {
            let params = prototype.params();
            out.number("ret_type_id", prototype.return_type.0.into())?;
            out.number("vlen", params.len() as i128)?;
            out.list("params")?;
            for param in params {
                out.element(Some(param.name()))?;
                target(out, param.type_id)?;
            }
            out.end()
        }
        Kind::Variable(variable) => {
            target(out, variable.type_id)?;
            out.remark(format_args!(","))?;
            out.word(
                "linkage",
                match variable.linkage {
                    VariableLinkage::Static => "static",
                    VariableLinkage::Global => "global",
                    VariableLinkage::Extern => "extern",
                    VariableLinkage::Other(_) => "(unknown)",
                },
            )
        }
        Kind::DataSection(section) => {
            out.number("size", section.size.into())?;
            out.number("vlen", section.entries().len() as i128)?;
            out.list("vars")?;
            for entry in section.entries() {
                out.element(None)?;
                target(out, entry.type_id)?;
                out.number("offset", entry.offset.into())?;
                out.number("size", entry.size.into())?;
                if let Ok(variable) = one.btf().type_by_id(entry.type_id) {
                    let kind = variable.tag().map_or("UNKN", KindTag::kernel_name);
                    out.remark(format_args!(" ({kind} '{}')", variable.name()))?;
                }
            }
            out.end()
        }
        Kind::Float { size } => out.number("size", size.into()),
        Kind::DeclTag(tag) => {
            target(out, tag.target)?;
            out.number("component_idx", tag.component.map_or(-1, i128::from))
        }
    }
}

fn tell_int(int: Int, out: &mut impl Fields) -> fmt::Result {
    out.number("size", int.size.into())?;
    out.number("bits_offset", int.offset.into())?;
    out.number("nr_bits", int.bits.into())?;
    out.word(
        "encoding",
        match int.encoding.0 {
            0 => "(none)",
            1 => "SIGNED",
            2 => "CHAR",
            4 => "BOOL",
            _ => "UNKN",
        },
    )
}

fn tell_composite(composite: Composite<'_>, out: &mut impl Fields) -> fmt::Result {
    out.number("size", composite.size.into())?;
    out.number("vlen", composite.members().len() as i128)?;
    out.list("members")?;
    for member in composite.members() {
        out.element(Some(member.name()))?;
        out.number("type_id", member.type_id.0.into())?;
        out.number("bits_offset", member.bit_offset.into())?;
        if member.bitfield_size != 0 {
            out.number("bitfield_size", member.bitfield_size.into())?;
        }
    }
    out.end()
}

fn tell_enum(values: Enum<'_>, wide: bool, out: &mut impl Fields) -> fmt::Result {
    out.word(
        "encoding",
        if values.signed { "SIGNED" } else { "UNSIGNED" },
    )?;
    out.number("size", values.size.into())?;
    out.number("vlen", values.values().len() as i128)?;
    out.list("values")?;
    for value in values.values() {
        out.element(Some(value.name()))?;
        out.number("val", value.value)?;
        match (wide, values.signed) {
            (false, _) => {}
            (true, true) => out.remark(format_args!("LL"))?,
            (true, false) => out.remark(format_args!("ULL"))?,
        }
    }
    out.end()
}
