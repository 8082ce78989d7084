//! Which member of a structure stands at an offset.

use skep_btf::{Array, Btf, Composite, Kind, Member, Type, TypeId};

use crate::state::PointerFlags;

/// Structures in each other at most.
const DEEPEST: u32 = 64;

/// What stands at an offset of a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A number, or what is as good as one.
    Scalar,
    /// A pointer to a structure.
    Pointer {
        /// The structure, without modifiers.
        to: TypeId,
        /// The member's name.
        name: String,
    },
}

/// What stands at `size` bytes at an offset of a structure. `walked` gets what the way there and the
/// type tags say: untrusted by a union, RCU, per-CPU or user memory by a tag.
pub(crate) fn find_member(
    btf: &Btf,
    structure: TypeId,
    offset: u32,
    size: u32,
    walked: &mut PointerFlags,
) -> Result<Found, String> {
    let mut at = Some((structure, offset));
    let mut budget = DEEPEST;
    while let Some((type_id, offset)) = at {
        budget = budget.checked_sub(1).ok_or("it is nested too deep")?;
        let now = btf.skip_modifiers(type_id).map_err(|why| why.to_string())?;
        let (composite, union) = match now.kind() {
            Kind::Struct(composite) => (composite, false),
            Kind::Union(composite) => (composite, true),
            _ => return Err("it is no structure".into()),
        };
        if union && composite.members().len() != 1 {
            *walked |= PointerFlags::UNTRUSTED;
        }
        if offset
            .checked_add(size)
            .is_none_or(|end| end > composite.size)
        {
            match behind_end(btf, &composite, offset)? {
                None => return Ok(Found::Scalar),
                next => {
                    at = next;
                    continue;
                }
            }
        }
        match member_at(btf, &composite, union, offset, size, walked)? {
            Step::Found(found) => return Ok(found),
            Step::Inside(type_id, offset) => at = Some((type_id, offset)),
        }
    }
    Err("there is no member".into())
}

/// Where a look goes on.
enum Step {
    Found(Found),
    Inside(TypeId, u32),
}

/// An access behind a structure's end is one of the array of open length at its end, if it has one:
/// its element's type and the offset there, or `None` for numbers.
fn behind_end(
    btf: &Btf,
    composite: &Composite<'_>,
    offset: u32,
) -> Result<Option<(TypeId, u32)>, String> {
    let beyond = || "that is behind its end".to_owned();
    let members = composite.members();
    let last = members
        .len()
        .checked_sub(1)
        .and_then(|last| members.get(last))
        .ok_or_else(beyond)?;
    let start = last.bit_offset / 8;
    let inside = offset.checked_sub(start).ok_or_else(beyond)?;
    let array = btf.skip_modifiers(last.type_id).map_err(|_| beyond())?;
    let Kind::Array(Array {
        element, len: 0, ..
    }) = array.kind()
    else {
        return Err(beyond());
    };
    let element = btf.skip_modifiers(element).map_err(|_| beyond())?;
    match element.kind() {
        Kind::Int(_) => Ok(None),
        Kind::Struct(one) | Kind::Union(one) if one.size > 0 => {
            Ok(Some((element.id(), inside % one.size)))
        }
        _ => Err(beyond()),
    }
}

fn member_at(
    btf: &Btf,
    composite: &Composite<'_>,
    union: bool,
    offset: u32,
    size: u32,
    walked: &mut PointerFlags,
) -> Result<Step, String> {
    let end = offset.saturating_add(size);
    let mut members = composite.members().peekable();
    while let Some(member) = members.next() {
        let start = member.bit_offset / 8;
        // Members of structures end where the next one begins: no look at the type is needed.
        let next = members.peek().map(|next| next.bit_offset / 8);
        if !union && member.bitfield_size == 0 && next.is_some_and(|next| next <= offset) {
            continue;
        }
        if end <= start {
            break;
        }
        if member.bitfield_size != 0 {
            let bits = member
                .bit_offset
                .saturating_add(member.bitfield_size.into());
            if offset <= start && bits.div_ceil(8) <= end {
                return Ok(Step::Found(Found::Scalar));
            }
            continue;
        }
        if offset < start {
            break;
        }
        let Some(shape) = Shape::of(btf, &member) else {
            continue;
        };
        let true_end = start.saturating_add(shape.size);
        if offset >= true_end {
            continue;
        }
        let (start, one) = if shape.count == 1 && !shape.array {
            (start, shape.size)
        } else {
            let one = shape.size.checked_div(shape.count).unwrap_or(0);
            let Some(index) = (offset - start).checked_div(one) else {
                continue;
            };
            (start + index * one, one)
        };
        match shape.element.kind() {
            Kind::Struct(_) | Kind::Union(_) => {
                return Ok(Step::Inside(shape.element.id(), offset - start));
            }
            Kind::Pointer { target } => {
                if one != size || offset != start {
                    return Err(format!(
                        "part of the pointer `{}` is accessed",
                        member.name()
                    ));
                }
                if let Some(found) = pointer(btf, &member, target, walked) {
                    return Ok(Step::Found(found));
                }
            }
            _ => {}
        }
        // An array of numbers may be accessed like one large one.
        if end > true_end && !walked.contains(PointerFlags::UNTRUSTED) {
            return Err(format!(
                "that reaches behind the member `{}`",
                member.name()
            ));
        }
        return Ok(Step::Found(Found::Scalar));
    }
    Err("there is no member".into())
}

/// Whether a structure that `is_it` holds of stands exactly at an offset of another: a member, a
/// member's member, an element of an array of them.
pub(crate) fn embeds(
    btf: &Btf,
    structure: TypeId,
    offset: u32,
    is_it: impl Fn(TypeId) -> bool,
) -> bool {
    let (mut type_id, mut offset) = (structure, offset);
    let mut walked = PointerFlags::empty();
    for _ in 0..DEEPEST {
        let (composite, union) = match btf.skip_modifiers(type_id).map(|found| found.kind()) {
            Ok(Kind::Struct(composite)) => (composite, false),
            Ok(Kind::Union(composite)) => (composite, true),
            _ => return false,
        };
        let next = match offset < composite.size {
            true => match member_at(btf, &composite, union, offset, 1, &mut walked) {
                Ok(Step::Inside(type_id, offset)) => Some((type_id, offset)),
                _ => None,
            },
            // Arrays of open length are no place for structures that are passed on.
            false => None,
        };
        let Some(next) = next else {
            return false;
        };
        if next.1 == 0 && is_it(next.0) {
            return true;
        }
        (type_id, offset) = next;
    }
    false
}

/// A pointer member, if it points to a structure.
fn pointer(
    btf: &Btf,
    member: &Member<'_>,
    target: TypeId,
    walked: &mut PointerFlags,
) -> Option<Found> {
    let to = btf.skip_modifiers(target).ok()?;
    if !matches!(to.kind(), Kind::Struct(_) | Kind::Union(_)) {
        return None;
    }
    *walked |= tag_flags(btf, target);
    Some(Found::Pointer {
        to: to.id(),
        name: member.name().to_owned(),
    })
}

/// What the tag of a pointer's target says: `__user`, `__percpu`, `__rcu`.
pub(crate) fn tag_flags(btf: &Btf, target: TypeId) -> PointerFlags {
    let Ok(target) = btf.type_by_id(target) else {
        return PointerFlags::empty();
    };
    match target.kind() {
        Kind::TypeTag {
            attribute: false, ..
        } => match target.name() {
            "user" => PointerFlags::USER,
            "percpu" => PointerFlags::PERCPU,
            "rcu" => PointerFlags::RCU,
            _ => PointerFlags::empty(),
        },
        _ => PointerFlags::empty(),
    }
}

/// A member's type: what it is an array of, and how large it is.
struct Shape<'a> {
    element: Type<'a>,
    size: u32,
    count: u32,
    array: bool,
}

impl<'a> Shape<'a> {
    fn of(btf: &'a Btf, member: &Member<'_>) -> Option<Self> {
        let mut element = btf.skip_modifiers(member.type_id).ok()?;
        let mut count = 1_u32;
        let mut array = false;
        for _ in 0..DEEPEST {
            let Kind::Array(one) = element.kind() else {
                break;
            };
            array = true;
            count = count.checked_mul(one.len)?;
            element = btf.skip_modifiers(one.element).ok()?;
        }
        let size = u32::try_from(btf.size_of(element.id()).ok()?).ok()?;
        Some(Self {
            element,
            size: size.checked_mul(count)?,
            count,
            array,
        })
    }
}

/// Where a member with a dotted name is, and its bytes; names of members of the first structure
/// inside (the kernel's way to derive one type of another) are found too.
pub(super) fn place_of(btf: &Btf, structure: TypeId, path: &str) -> Option<(u32, u32)> {
    let mut type_id = structure;
    let mut start = 0_u32;
    let mut size = 0_u32;
    for name in path.split('.') {
        let (offset, found) = named(btf, type_id, name, DEEPEST / 8)?;
        start = start.checked_add(offset)?;
        size = u32::try_from(btf.size_of(found).ok()?).ok()?;
        type_id = found;
    }
    Some((start, size))
}

fn named(btf: &Btf, type_id: TypeId, name: &str, depth: u32) -> Option<(u32, TypeId)> {
    let depth = depth.checked_sub(1)?;
    let (Kind::Struct(composite) | Kind::Union(composite)) =
        btf.skip_modifiers(type_id).ok()?.kind()
    else {
        return None;
    };
    if let Some(member) = composite.members().find(|member| member.name() == name) {
        return (member.bitfield_size == 0).then_some((member.bit_offset / 8, member.type_id));
    }
    composite.members().enumerate().find_map(|(index, member)| {
        let inside = member.name().is_empty() || index == 0;
        if !inside {
            return None;
        }
        let (offset, found) = named(btf, member.type_id, name, depth)?;
        Some((offset.checked_add(member.bit_offset / 8)?, found))
    })
}

#[cfg(test)]
mod tests {
    use skep_btf::{Builder, IntEncoding, NewMember, TypeId};

    use super::*;

    /// `struct outer { int a; struct inner { int x; struct outer *next; } in[2]; union { int u;
    /// struct outer *up; }; int b:3; char tail[]; }`
    fn types() -> (Btf, TypeId, TypeId) {
        let mut types = Builder::new();
        let int = types.int("int", 4, IntEncoding::SIGNED);
        let char = types.int("char", 1, IntEncoding::CHAR);
        // The pointer's target is the fifth type, which is made below.
        let next = types.pointer(TypeId(7));
        let inner = types.structure(
            "inner",
            16,
            &[
                NewMember::new("x", int, 0),
                NewMember::new("next", next, 64),
            ],
        );
        let pair = types.array(inner, int, 2);
        let union = types.union(
            "",
            8,
            &[NewMember::new("u", int, 0), NewMember::new("up", next, 0)],
        );
        let outer = TypeId(7);
        let tail = TypeId(8);
        let made = types.structure(
            "outer",
            56,
            &[
                NewMember::new("a", int, 0),
                NewMember::new("in", pair, 8 * 8),
                NewMember::new("", union, 40 * 8),
                NewMember {
                    bitfield_size: 3,
                    ..NewMember::new("b", int, 48 * 8)
                },
                NewMember::new("tail", tail, 52 * 8),
            ],
        );
        assert_eq!(made, outer);
        assert_eq!(types.array(char, int, 0), tail);
        let btf = Btf::parse(types.build().expect("types")).expect("BTF");
        (btf, outer, inner)
    }

    fn find(offset: u32, size: u32) -> (Result<Found, String>, PointerFlags) {
        let (btf, outer, _) = types();
        let mut walked = PointerFlags::empty();
        let found = find_member(&btf, outer, offset, size, &mut walked);
        (found, walked)
    }

    #[test]
    fn members_are_found_through_arrays_and_unions() {
        let pointer = |name: &str| {
            Ok(Found::Pointer {
                to: TypeId(7),
                name: name.to_owned(),
            })
        };
        let none = PointerFlags::empty();
        assert_eq!(find(0, 4), (Ok(Found::Scalar), none));
        assert_eq!(find(16, 8), (pointer("next"), none));
        assert_eq!(find(32, 8), (pointer("next"), none));
        assert_eq!(find(48, 4), (Ok(Found::Scalar), none));
        // Behind its end there is the array of open length.
        assert_eq!(find(300, 1), (Ok(Found::Scalar), none));
        // What a union gives is not to be trusted.
        assert_eq!(find(40, 4), (Ok(Found::Scalar), PointerFlags::UNTRUSTED));
    }

    #[test]
    fn what_is_no_member_is_not_read() {
        assert!(find(4, 4).0.is_err(), "padding");
        assert!(find(0, 8).0.is_err(), "over the end of a member");
        assert!(find(16, 4).0.is_err(), "half a pointer");
        assert!(find(20, 8).0.is_err(), "across a pointer");
    }

    #[test]
    fn structures_are_found_inside_others() {
        let (btf, outer, inner) = types();
        let inside = |offset| embeds(&btf, outer, offset, |found| found == inner);
        assert!(inside(8) && inside(24));
        assert!(!inside(0) && !inside(12) && !inside(40) && !inside(100));
    }
}
