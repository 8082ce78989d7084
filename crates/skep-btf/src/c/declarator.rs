//! Types around names, as C writes them: from the name outwards, arrays and functions after it,
//! pointers before it.

use super::CDump;
use super::names::Space;
use crate::{Error, Int, Kind, Result, Type, TypeId};
use std::fmt::Write;

/// How long a chain of pointers, arrays and functions around one name may be, and how deep
/// parameters may nest.
const DEPTH: u32 = 64;

/// A link between a name and its base type.
enum Link<'a> {
    Pointer { qualifiers: Qualifiers },
    Array { len: u32 },
    Function(Type<'a>),
}

#[derive(Debug, Clone, Copy, Default)]
struct Qualifiers {
    constant: bool,
    volatile: bool,
    restrict: bool,
}

impl<'a> CDump<'a> {
    /// Writes the type around a name, or without one.
    pub(super) fn declare(&mut self, id: TypeId, name: &str) -> Result<()> {
        self.declare_within(id, name, DEPTH)
    }

    pub(super) fn declare_within(&mut self, id: TypeId, name: &str, depth: u32) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or(Error::TypeLoop { id })?;
        self.spend(id)?;
        let mut links = Vec::new();
        let mut pending = Qualifiers::default();
        let mut tags: Vec<Type<'a>> = Vec::new();
        let mut now = self.btf.type_by_id(id)?;
        let base = loop {
            if links.len().saturating_add(tags.len()) > DEPTH as usize {
                return Err(Error::TypeLoop { id });
            }
            // A chain of nothing but qualifiers adds no link: it is bounded here.
            self.spend(id)?;
            let next = match now.kind() {
                Kind::Const { target } => {
                    pending.constant = true;
                    target
                }
                Kind::Volatile { target } => {
                    pending.volatile = true;
                    target
                }
                Kind::Restrict { target } => {
                    pending.restrict = true;
                    target
                }
                Kind::TypeTag { target, .. } => {
                    tags.push(now);
                    target
                }
                Kind::Pointer { target } => {
                    links.push(Link::Pointer {
                        qualifiers: std::mem::take(&mut pending),
                    });
                    target
                }
                // What qualifies an array qualifies its elements.
                Kind::Array(array) => {
                    links.push(Link::Array { len: array.len });
                    array.element
                }
                Kind::FunctionPrototype(prototype) => {
                    pending = Qualifiers::default();
                    links.push(Link::Function(now));
                    prototype.return_type
                }
                _ => break now,
            };
            now = self.btf.type_by_id(next)?;
        };
        if pending.volatile {
            self.out.push_str("volatile ");
        }
        if pending.constant {
            self.out.push_str("const ");
        }
        self.write_specifier(base.id(), depth)?;
        for tag in tags.iter().rev() {
            self.write_type_tag(*tag)?;
        }
        self.write_prefix(&links, name);
        self.write_suffix(&links, depth)
    }

    fn write_type_tag(&mut self, tag: Type<'_>) -> Result<()> {
        // The text comes from the BTF: a quote in it would end the attribute.
        let text: String = tag
            .name()
            .chars()
            .filter(|one| !matches!(one, '"' | '\\'))
            .collect();
        match tag.kind() {
            Kind::TypeTag {
                attribute: true, ..
            } => {
                let allowed = |one: char| one.is_ascii_alphanumeric() || "_(), ".contains(one);
                if text.chars().all(allowed) {
                    write!(self.out, " __attribute__(({text}))")?;
                }
            }
            _ => write!(self.out, " __attribute__((btf_type_tag(\"{text}\")))")?,
        }
        Ok(())
    }

    /// What stands before the name, and the name.
    fn write_prefix(&mut self, links: &[Link<'_>], name: &str) {
        let mut space = !name.is_empty() || !links.is_empty();
        for (index, link) in links.iter().enumerate().rev() {
            let Link::Pointer { qualifiers } = link else {
                continue;
            };
            if std::mem::take(&mut space) {
                self.out.push(' ');
            }
            let around = links.get(index.wrapping_add(1));
            if matches!(around, Some(Link::Array { .. } | Link::Function(_))) {
                self.out.push('(');
            }
            self.out.push('*');
            let words = [
                (qualifiers.constant, "const"),
                (qualifiers.volatile, "volatile"),
                (qualifiers.restrict, "restrict"),
            ];
            for (_, word) in words.iter().filter(|(set, _)| *set) {
                self.out.push(' ');
                self.out.push_str(word);
                space = true;
            }
        }
        if space && (!name.is_empty() || matches!(links.first(), Some(Link::Function(_)))) {
            self.out.push(' ');
        }
        self.out.push_str(name);
    }

    /// What stands after the name.
    fn write_suffix(&mut self, links: &[Link<'a>], depth: u32) -> Result<()> {
        for (index, link) in links.iter().enumerate() {
            match link {
                Link::Pointer { .. } => {
                    let around = links.get(index.wrapping_add(1));
                    if matches!(around, Some(Link::Array { .. } | Link::Function(_))) {
                        self.out.push(')');
                    }
                }
                Link::Array { len } => write!(self.out, "[{len}]")?,
                Link::Function(prototype) => self.write_parameters(*prototype, depth)?,
            }
        }
        Ok(())
    }

    fn write_parameters(&mut self, prototype: Type<'a>, depth: u32) -> Result<()> {
        let Kind::FunctionPrototype(prototype) = prototype.kind() else {
            return Ok(());
        };
        let params = prototype.params();
        self.out.push('(');
        match params.get(0) {
            None => self.out.push_str("void"),
            // clang's BPF target has `(void)` as one parameter, which looks like `(...)`.
            Some(only) if params.len() == 1 && only.is_variadic() => self.out.push_str("void"),
            Some(_) => {
                for (index, param) in params.enumerate() {
                    if index != 0 {
                        self.out.push_str(", ");
                    }
                    if param.is_variadic() {
                        self.out.push_str("...");
                    } else {
                        let name = self.names.identifier(param.name());
                        self.declare_within(param.type_id, &name, depth)?;
                    }
                }
            }
        }
        self.out.push(')');
        Ok(())
    }

    /// Writes the name of a base type; the whole of one that has no name.
    pub(super) fn write_specifier(&mut self, id: TypeId, depth: u32) -> Result<()> {
        let one = self.btf.type_by_id(id)?;
        match one.kind() {
            Kind::Void => self.out.push_str("void"),
            Kind::Int(int) => self.write_int(one.name(), int)?,
            Kind::Float { size } => match (one.name(), size) {
                (name @ "float", 4) | (name @ "double", 8) => self.out.push_str(name),
                _ => self.write_opaque(size)?,
            },
            Kind::Typedef { .. } => {
                let name = self.names.of_type(id, one.name(), Space::Ordinary);
                self.out.push_str(&name);
            }
            Kind::Forward { union } => {
                let keyword = if union { "union" } else { "struct" };
                let name = self.names.of_forward(one.name(), keyword);
                self.out.push_str(keyword);
                self.out.push(' ');
                self.out.push_str(&name);
            }
            Kind::Struct(composite) | Kind::Union(composite) if one.name().is_empty() => {
                let keyword = keyword(&one);
                self.out.push_str(keyword);
                self.out.push(' ');
                self.write_body(id, composite, depth)?;
            }
            Kind::Enum(values) | Kind::Enum64(values) if one.name().is_empty() => {
                // Enumerators may be defined once only.
                if self.state(id).defined {
                    self.write_plain_int(values.size, values.signed)?;
                } else {
                    self.set_state(id, |state| state.defined = true);
                    self.out.push_str("enum ");
                    self.write_enumerators(id, values)?;
                }
            }
            Kind::Struct(_) | Kind::Union(_) | Kind::Enum(_) | Kind::Enum64(_) => {
                let keyword = keyword(&one);
                let name = self.names.of_type(id, one.name(), Space::Tag(keyword));
                self.out.push_str(keyword);
                self.out.push(' ');
                self.out.push_str(&name);
            }
            // No honest chain ends in a function, a variable or a tag.
            _ => {
                let kind = one.tag().map_or("unknown", |tag| tag.kernel_name());
                return Err(Error::NoSize { id, kind });
            }
        }
        Ok(())
    }

    fn write_int(&mut self, name: &str, int: Int) -> Result<()> {
        if c_size_of_int(name) == Some(int.size) {
            self.out.push_str(name);
            Ok(())
        } else if int.encoding.is_bool() && int.size == 1 {
            self.out.push_str("_Bool");
            Ok(())
        } else {
            self.write_plain_int(int.size, int.encoding.is_signed())
        }
    }

    fn write_plain_int(&mut self, size: u32, signed: bool) -> Result<()> {
        self.out.push_str(match (size, signed) {
            (1, true) => "signed char",
            (1, false) => "unsigned char",
            (2, true) => "short",
            (2, false) => "unsigned short",
            (4, true) => "int",
            (4, false) => "unsigned int",
            (8, true) => "long long",
            (8, false) => "unsigned long long",
            (16, true) => "__int128",
            (16, false) => "unsigned __int128",
            _ => return self.write_opaque(size),
        });
        Ok(())
    }

    /// A type that C has no name for: its bytes.
    fn write_opaque(&mut self, size: u32) -> Result<()> {
        let align = u64::from(size).clamp(1, 16).next_power_of_two();
        write!(
            self.out,
            "struct {{ unsigned char bytes[{size}]; }} __attribute__((packed, aligned({align})))"
        )?;
        Ok(())
    }
}

pub(super) fn keyword(one: &Type<'_>) -> &'static str {
    match one.kind() {
        Kind::Struct(_) => "struct",
        Kind::Union(_) => "union",
        _ => "enum",
    }
}

/// The size that clang's BPF target gives an integer type of C by this name.
fn c_size_of_int(name: &str) -> Option<u32> {
    Some(match name {
        "char" | "signed char" | "unsigned char" | "_Bool" => 1,
        "short" | "short int" | "unsigned short" | "short unsigned int" | "unsigned short int" => 2,
        "int" | "unsigned int" => 4,
        "long"
        | "long int"
        | "unsigned long"
        | "long unsigned int"
        | "unsigned long int"
        | "long long"
        | "long long int"
        | "unsigned long long"
        | "long long unsigned int"
        | "unsigned long long int" => 8,
        "__int128" | "unsigned __int128" | "__int128 unsigned" => 16,
        _ => return None,
    })
}
