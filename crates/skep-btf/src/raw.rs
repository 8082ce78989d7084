//! [`RawDump`]: one line a type and one an element, in the form that `bpftool btf dump … format raw`
//! made known, so that existing eyes and scripts read it.

use crate::{Btf, Composite, Enum, FunctionLinkage, Int, Kind, Type, VariableLinkage};
use std::fmt;

/// Prints all types of a [`Btf`] (of split BTF: those that are not the base's).
#[derive(Debug, Clone, Copy)]
pub struct RawDump<'a>(
    /// What to print.
    pub &'a Btf,
);

impl fmt::Display for RawDump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .types()
            .try_for_each(|one| writeln!(f, "{}", RawType(one)))
    }
}

/// Prints one type as [`RawDump`] does, without a line end after its last line.
#[derive(Debug, Clone, Copy)]
pub struct RawType<'a>(
    /// What to print.
    pub Type<'a>,
);

impl fmt::Display for RawType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = self.0;
        let kind = one.kind();
        match (one.tag(), kind) {
            (Some(tag), _) => write!(f, "[{}] {tag} '{}'", one.id(), or_anonymous(one.name()))?,
            (None, _) => write!(f, "[{}] UNKNOWN '{}'", one.id(), or_anonymous(one.name()))?,
        }
        match kind {
            Kind::Void => Ok(()),
            Kind::Unknown { kind } => write!(f, " kind={kind}"),
            Kind::Int(int) => print_int(f, int),
            Kind::Pointer { target }
            | Kind::Typedef { target }
            | Kind::Volatile { target }
            | Kind::Const { target }
            | Kind::Restrict { target }
            | Kind::TypeTag { target, .. } => write!(f, " type_id={target}"),
            Kind::Array(array) => write!(
                f,
                " type_id={} index_type_id={} nr_elems={}",
                array.element, array.index, array.len
            ),
            Kind::Struct(composite) | Kind::Union(composite) => print_composite(f, composite),
            Kind::Enum(values) => print_enum(f, values, false),
            Kind::Enum64(values) => print_enum(f, values, true),
            Kind::Forward { union } => {
                write!(f, " fwd_kind={}", if union { "union" } else { "struct" })
            }
            Kind::Function(function) => {
                write!(f, " type_id={} linkage=", function.prototype)?;
                match function.linkage {
                    FunctionLinkage::Static => f.write_str("static"),
                    FunctionLinkage::Global => f.write_str("global"),
                    FunctionLinkage::Extern => f.write_str("extern"),
                    FunctionLinkage::Other(_) => f.write_str("(unknown)"),
                }
            }
            Kind::FunctionPrototype(prototype) => {
                let params = prototype.params();
                write!(
                    f,
                    " ret_type_id={} vlen={}",
                    prototype.return_type,
                    params.len()
                )?;
                for param in params {
                    let name = or_anonymous(param.name());
                    write!(f, "\n\t'{name}' type_id={}", param.type_id)?;
                }
                Ok(())
            }
            Kind::Variable(variable) => {
                write!(f, " type_id={}, linkage=", variable.type_id)?;
                match variable.linkage {
                    VariableLinkage::Static => f.write_str("static"),
                    VariableLinkage::Global => f.write_str("global"),
                    VariableLinkage::Extern => f.write_str("extern"),
                    VariableLinkage::Other(_) => f.write_str("(unknown)"),
                }
            }
            Kind::DataSection(section) => {
                write!(f, " size={} vlen={}", section.size, section.entries().len())?;
                for entry in section.entries() {
                    write!(
                        f,
                        "\n\ttype_id={} offset={} size={}",
                        entry.type_id, entry.offset, entry.size
                    )?;
                    if let Ok(variable) = one.btf().type_by_id(entry.type_id) {
                        let kind = variable.tag().map_or("UNKN", |tag| tag.kernel_name());
                        write!(f, " ({kind} '{}')", variable.name())?;
                    }
                }
                Ok(())
            }
            Kind::Float { size } => write!(f, " size={size}"),
            Kind::DeclTag(tag) => {
                write!(f, " type_id={} component_idx=", tag.target)?;
                match tag.component {
                    Some(index) => write!(f, "{index}"),
                    None => f.write_str("-1"),
                }
            }
        }
    }
}

fn or_anonymous(name: &str) -> &str {
    if name.is_empty() { "(anon)" } else { name }
}

fn print_int(f: &mut fmt::Formatter<'_>, int: Int) -> fmt::Result {
    let encoding = match int.encoding {
        one if one.0 == 0 => "(none)",
        one if one.0 == 1 => "SIGNED",
        one if one.0 == 2 => "CHAR",
        one if one.0 == 4 => "BOOL",
        _ => "UNKN",
    };
    let Int {
        size, bits, offset, ..
    } = int;
    write!(
        f,
        " size={size} bits_offset={offset} nr_bits={bits} encoding={encoding}"
    )
}

fn print_composite(f: &mut fmt::Formatter<'_>, composite: Composite<'_>) -> fmt::Result {
    write!(
        f,
        " size={} vlen={}",
        composite.size,
        composite.members().len()
    )?;
    for member in composite.members() {
        let name = or_anonymous(member.name());
        write!(
            f,
            "\n\t'{name}' type_id={} bits_offset={}",
            member.type_id, member.bit_offset
        )?;
        if member.bitfield_size != 0 {
            write!(f, " bitfield_size={}", member.bitfield_size)?;
        }
    }
    Ok(())
}

fn print_enum(f: &mut fmt::Formatter<'_>, values: Enum<'_>, wide: bool) -> fmt::Result {
    let encoding = if values.signed { "SIGNED" } else { "UNSIGNED" };
    write!(
        f,
        " encoding={encoding} size={} vlen={}",
        values.size,
        values.values().len()
    )?;
    let suffix = match (wide, values.signed) {
        (false, _) => "",
        (true, true) => "LL",
        (true, false) => "ULL",
    };
    for value in values.values() {
        write!(
            f,
            "\n\t'{}' val={}{suffix}",
            or_anonymous(value.name()),
            value.value
        )?;
    }
    Ok(())
}
