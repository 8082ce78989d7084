//! Types as they stand in declarations.

use super::{DEEPEST, RustDump};
use crate::{Error, Kind, KindTag, Result, Type, TypeId};

impl<'a> RustDump<'a> {
    /// The type behind typedefs and qualifiers, and its name: its own, or else that of the typedef
    /// nearest to it.
    pub(super) fn named_type(&self, id: TypeId) -> Result<(Type<'a>, &'a str)> {
        let mut name = "";
        let mut at = id;
        for _ in 0..=DEEPEST {
            let found = self.btf.type_by_id(at)?;
            let kind = found.kind();
            match kind.modified() {
                Some(target) => {
                    if matches!(kind, Kind::Typedef { .. }) {
                        name = found.name();
                    }
                    at = target;
                }
                None if found.name().is_empty() => return Ok((found, name)),
                None => return Ok((found, found.name())),
            }
        }
        Err(Error::TypeLoop { id })
    }

    /// Of a declaration without a definition: the definition, if there is one.
    pub(super) fn defined(&self, found: &Type<'a>) -> TypeId {
        let Kind::Forward { union } = found.kind() else {
            return found.id();
        };
        let kind = if union {
            KindTag::Union
        } else {
            KindTag::Struct
        };
        self.btf.find(found.name(), kind).unwrap_or(found.id())
    }

    /// A type as that of a field. What has no name is called after the structure and the field.
    pub(super) fn type_of(
        &mut self,
        id: TypeId,
        outer: &str,
        field: &str,
        depth: u32,
    ) -> Result<String> {
        self.spend(id)?;
        if depth > DEEPEST {
            return Err(Error::TypeLoop { id });
        }
        let depth = depth.saturating_add(1);
        let (found, name) = self.named_type(id)?;
        Ok(match found.kind() {
            Kind::Int(int) if int.encoding.is_bool() && int.size == 1 => "bool".into(),
            // Text, in Rust.
            Kind::Int(int) if int.size == 1 && found.name() == "char" => "u8".into(),
            Kind::Int(int) => match (int.size, int.encoding.is_signed()) {
                (bytes @ (1 | 2 | 4 | 8 | 16), signed) => {
                    let letter = if signed { 'i' } else { 'u' };
                    format!("{letter}{}", bytes.saturating_mul(8))
                }
                (bytes, _) => format!("[u8; {bytes}]"),
            },
            Kind::Float { size: 4 } => "f32".into(),
            Kind::Float { size: 8 } => "f64".into(),
            Kind::Float { size } => format!("[u8; {size}]"),
            Kind::Array(array) => {
                let element = self.type_of(array.element, outer, field, depth)?;
                format!("[{element}; {}]", array.len)
            }
            Kind::Pointer { target, .. } => self.pointer(target, outer, field, depth)?,
            Kind::Struct(_) | Kind::Union(_) | Kind::Enum(_) | Kind::Enum64(_) => {
                let id = found.id();
                let name = self.name_within(id, name, outer, field);
                self.wanted_once(id);
                name
            }
            // No value is of such a type.
            _ => "[u8; 0]".into(),
        })
    }

    fn pointer(&mut self, target: TypeId, outer: &str, field: &str, depth: u32) -> Result<String> {
        let (found, name) = self.named_type(target)?;
        let of = match found.kind() {
            Kind::Void | Kind::FunctionPrototype(_) => "c_void".to_owned(),
            Kind::Struct(_) | Kind::Union(_) | Kind::Forward { .. } => {
                let id = self.defined(&found);
                if found.name().is_empty() {
                    // Nobody else can ask for it.
                    self.wanted_once(id);
                } else {
                    self.named.insert(id);
                }
                self.name_within(id, name, outer, field)
            }
            _ => self.type_of(target, outer, field, depth)?,
        };
        let mutability = if self.is_const(target)? {
            "const"
        } else {
            "mut"
        };
        Ok(format!("*{mutability} {of}"))
    }

    fn name_within(&mut self, id: TypeId, name: &str, outer: &str, field: &str) -> String {
        match name {
            "" => self.names.of(id, &format!("{outer}_{field}")),
            name => self.called(id, name),
        }
    }

    /// Whether what is there may not be written to.
    fn is_const(&self, id: TypeId) -> Result<bool> {
        let mut at = id;
        for _ in 0..=DEEPEST {
            match self.btf.type_by_id(at)?.kind() {
                Kind::Const { .. } => return Ok(true),
                kind => match kind.modified() {
                    Some(target) => at = target,
                    None => return Ok(false),
                },
            }
        }
        Err(Error::TypeLoop { id })
    }
}
