//! An access as a CO-RE relocation spells it (`0:1:2`), read against the types it was compiled
//! with: the named fields and array elements on the way, and the bit that it leads to.

use skep_btf::{Btf, Kind, Type, TypeId};

use super::{CoreKind, CoreRelocation, Fault};

/// The longest access, in levels of nesting.
pub(super) const MAX_LEVELS: usize = 64;

/// A step that has a meaning: a named field, or an element (also the first, of the pointer).
#[derive(Debug, Clone)]
pub(super) struct Step<'btf> {
    /// The struct, or the element's type.
    pub(super) type_id: TypeId,
    /// The member or element.
    pub(super) index: u32,
    /// The field's or enumerator's name; `None` for elements.
    pub(super) name: Option<&'btf str>,
}

/// An access to a type.
#[derive(Debug, Clone)]
pub(super) struct Access<'btf> {
    pub(super) btf: &'btf Btf,
    pub(super) root: TypeId,
    pub(super) steps: Vec<Step<'btf>>,
    pub(super) bit_offset: u64,
}

impl<'btf> Access<'btf> {
    pub(super) fn of_type(btf: &'btf Btf, root: TypeId) -> Self {
        Self {
            btf,
            root,
            steps: Vec::new(),
            bit_offset: 0,
        }
    }

    /// Reads the access of a relocation of the object.
    pub(super) fn parse(btf: &'btf Btf, relocation: &CoreRelocation) -> Result<Self, Fault> {
        let spelled = btf.string(relocation.access)?;
        let mut access = Self::of_type(btf, relocation.type_id);
        if relocation.kind.is_type() {
            return match spelled {
                "0" => Ok(access),
                other => Err(Fault::new(format!(
                    "access `{other}` of a type, expected `0`"
                ))),
            };
        }
        let mut numbers = Vec::new();
        for number in spelled.split(':') {
            let number = number.parse::<u32>();
            numbers
                .push(number.map_err(|_| Fault::new(format!("access `{spelled}` is malformed")))?);
            if numbers.len() > MAX_LEVELS {
                return Err(Fault::new(format!(
                    "access of more than {MAX_LEVELS} levels"
                )));
            }
        }
        let Some((first, rest)) = numbers.split_first() else {
            return Err(Fault::new("an empty access"));
        };
        let root = btf.skip_modifiers(relocation.type_id)?;
        if relocation.kind.is_enumerator() {
            let name = enumerators(&root)
                .and_then(|mut values| values.nth(usize::try_from(*first).ok()?))
                .filter(|_| rest.is_empty())
                .ok_or_else(|| Fault::new(format!("access `{spelled}` is no enumerator")))?
                .name;
            access.steps.push(Step {
                type_id: root.id(),
                index: *first,
                name: Some(name),
            });
            return Ok(access);
        }
        access.steps.push(Step {
            type_id: root.id(),
            index: *first,
            name: None,
        });
        access.skip_elements(root.id(), *first)?;
        let mut id = root.id();
        for index in rest {
            id = access.descend(id, *index)?;
        }
        Ok(access)
    }

    /// Goes from the type `id` to its member or element `index`.
    fn descend(&mut self, id: TypeId, index: u32) -> Result<TypeId, Fault> {
        let outer = self.btf.skip_modifiers(id)?;
        let outside = || Fault::new(format!("{} has no member {index}", self.label(outer.id())));
        match outer.kind() {
            Kind::Struct(composite) | Kind::Union(composite) => {
                let member = usize::try_from(index)
                    .ok()
                    .and_then(|index| composite.members().get(index))
                    .ok_or_else(outside)?;
                self.bit_offset = self.bit_offset.saturating_add(member.bit_offset.into());
                if !member.name().is_empty() {
                    let name = Some(member.name());
                    self.steps.push(Step {
                        type_id: outer.id(),
                        index,
                        name,
                    });
                }
                Ok(member.type_id)
            }
            Kind::Array(array) => {
                let flexible = is_flexible(self.btf, self.steps.last(), array.len)?;
                if !flexible && index >= array.len {
                    return Err(outside());
                }
                let element = self.btf.skip_modifiers(array.element)?.id();
                self.steps.push(Step {
                    type_id: element,
                    index,
                    name: None,
                });
                self.skip_elements(element, index)?;
                Ok(element)
            }
            _ => Err(Fault::new(format!(
                "{} has no members",
                self.label(outer.id())
            ))),
        }
    }

    /// Moves on by `count` values of a type.
    pub(super) fn skip_elements(&mut self, id: TypeId, count: u32) -> Result<(), Fault> {
        if count != 0 {
            let bytes = self.btf.size_of(id)?.saturating_mul(count.into());
            self.bit_offset = self.bit_offset.saturating_add(bytes.saturating_mul(8));
        }
        Ok(())
    }

    fn label(&self, id: TypeId) -> String {
        label(self.btf, id)
    }

    /// The access as C spells it, such as `struct task_struct.comm[2]`.
    pub(super) fn describe(&self) -> String {
        let mut text = self.label(self.root);
        for (position, step) in self.steps.iter().enumerate() {
            match step.name {
                Some(name) => {
                    text.push_str(if enumerators_of(self.btf, step.type_id) {
                        "::"
                    } else {
                        "."
                    });
                    text.push_str(name);
                }
                None if position == 0 && step.index == 0 => {}
                None => text.push_str(&format!("[{}]", step.index)),
            }
        }
        text
    }
}

/// What a relocation is about, for messages: `byte_offset of struct task_struct.pid (0:5)`.
pub(super) fn describe(btf: &Btf, relocation: &CoreRelocation) -> String {
    let what = match Access::parse(btf, relocation) {
        Ok(access) => access.describe(),
        Err(_) => label(btf, relocation.type_id),
    };
    let kind = relocation.kind.name();
    match btf.string(relocation.access) {
        Ok(access) if !relocation.kind.is_type() => format!("{kind} of {what} ({access})"),
        _ => format!("{kind} of {what}"),
    }
}

/// A type as C spells it.
pub(super) fn label(btf: &Btf, id: TypeId) -> String {
    let Ok(found) = btf.type_by_id(id) else {
        return format!("type {id}");
    };
    let keyword = match found.kind() {
        Kind::Struct(_) => "struct ",
        Kind::Union(_) => "union ",
        Kind::Enum(_) | Kind::Enum64(_) => "enum ",
        Kind::Forward { union: false } => "struct ",
        Kind::Forward { union: true } => "union ",
        _ => "",
    };
    match found.name() {
        "" => format!("{keyword}(anonymous type {id})"),
        name => format!("{keyword}{name}"),
    }
}

fn enumerators_of(btf: &Btf, id: TypeId) -> bool {
    btf.type_by_id(id)
        .is_ok_and(|found| matches!(found.kind(), Kind::Enum(_) | Kind::Enum64(_)))
}

/// An enumerator's name and value.
pub(super) struct Value<'btf> {
    pub(super) name: &'btf str,
    /// As 64 bits; those of 32-bit enumerations sign-extended, whether they say so or not:
    /// compilers did not say it before 2022.
    pub(super) bits: u64,
}

/// The values of an enumeration of either width; `None` for other types.
pub(super) fn enumerators<'btf>(
    found: &Type<'btf>,
) -> Option<impl Iterator<Item = Value<'btf>> + use<'btf>> {
    let (values, wide) = match found.kind() {
        Kind::Enum(values) => (values, false),
        Kind::Enum64(values) => (values, true),
        _ => return None,
    };
    Some(values.values().map(move |value| {
        let low = value.value.to_le_bytes();
        let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = low;
        let bits = if wide {
            u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7])
        } else {
            i64::from(i32::from_le_bytes([b0, b1, b2, b3])).cast_unsigned()
        };
        Value {
            name: value.name(),
            bits,
        }
    }))
}

/// Whether an array of `len` elements, met right after `step`, is a flexible one: the last named
/// member of its struct.
pub(super) fn is_flexible(btf: &Btf, step: Option<&Step<'_>>, len: u32) -> Result<bool, Fault> {
    let Some(Step {
        type_id,
        index,
        name: Some(_),
    }) = step
    else {
        return Ok(false);
    };
    if len > 0 {
        return Ok(false);
    }
    Ok(match btf.type_by_id(*type_id)?.kind() {
        Kind::Struct(composite) | Kind::Union(composite) => {
            let next = index.saturating_add(1);
            usize::try_from(next).is_ok_and(|next| next == composite.members().len())
        }
        _ => false,
    })
}

impl CoreKind {
    /// Whether an answer is there also for what is not in the target: 0.
    pub(super) fn has_answer_for_missing(self) -> bool {
        self.is_type() || matches!(self, Self::FieldExists | Self::EnumeratorExists)
    }
}
