//! Finds in a type of the target what an access of the object leads to: field by field, by name,
//! through anonymous structs and unions.

use skep_btf::{Kind, Member, TypeId, essential_name};

use super::{
    CoreKind, Fault,
    compat::Pair,
    spec::{Access, MAX_LEVELS, Step, enumerators, is_flexible, label},
};

/// The answer of a candidate.
#[derive(Debug)]
pub(super) enum Match<'btf> {
    /// It has what is asked.
    Yes(Access<'btf>),
    /// It does not.
    No(Mismatch),
}

/// Why a candidate does not have what is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// How many steps of the access it does have.
    pub(super) depth: usize,
    /// What it lacks, as the end of a sentence that begins with candidates.
    pub(super) reason: String,
}

pub(super) fn match_access<'btf>(
    pair: &Pair<'btf>,
    kind: CoreKind,
    local: &Access<'_>,
    candidate: TypeId,
) -> Result<Match<'btf>, Fault> {
    let mut found = Access::of_type(pair.target, candidate);
    let no = |depth, reason: String| Ok(Match::No(Mismatch { depth, reason }));
    if kind.is_type() {
        let (agree, reason) = if kind == CoreKind::TypeMatches {
            (
                pair.matches(local.root, candidate)?,
                "matches its definition here",
            )
        } else {
            (pair.types(local.root, candidate)?, "is of its kind")
        };
        return if agree {
            Ok(Match::Yes(found))
        } else {
            no(0, reason.to_owned())
        };
    }
    if kind.is_enumerator() {
        return match_enumerator(pair, local, candidate, found);
    }

    let mut id = candidate;
    for (depth, step) in local.steps.iter().enumerate() {
        let outer = pair.target.skip_modifiers(id)?;
        let Some(name) = step.name else {
            // The first element is of the type itself, others of the array they are in.
            let element = match outer.kind() {
                _ if depth == 0 => outer.id(),
                Kind::Array(array) => {
                    let flexible = is_flexible(pair.target, found.steps.last(), array.len)?;
                    if !flexible && step.index >= array.len {
                        return no(depth, format!("has an element {}", step.index));
                    }
                    pair.target.skip_modifiers(array.element)?.id()
                }
                _ => return no(depth, format!("has an array for element {}", step.index)),
            };
            found.steps.push(Step {
                type_id: element,
                index: step.index,
                name: None,
            });
            found.skip_elements(element, step.index)?;
            id = element;
            continue;
        };
        let mut levels = MAX_LEVELS;
        let Some(field) = find_field(pair, outer.id(), name, 0, &mut levels)? else {
            return no(depth, format!("has the field `{name}`"));
        };
        let wanted = local_field_type(pair, step)?;
        if !pair.fields(wanted, field.member.type_id)? {
            return no(
                depth,
                format!(
                    "has the field `{name}` as a type like {}",
                    label(pair.local, pair.local.skip_modifiers(wanted)?.id())
                ),
            );
        }
        found.bit_offset = found.bit_offset.saturating_add(field.bit_offset);
        let name = Some(field.member.name());
        found.steps.push(Step {
            type_id: field.owner,
            index: field.index,
            name,
        });
        id = field.member.type_id;
    }
    Ok(Match::Yes(found))
}

fn match_enumerator<'btf>(
    pair: &Pair<'btf>,
    local: &Access<'_>,
    candidate: TypeId,
    mut found: Access<'btf>,
) -> Result<Match<'btf>, Fault> {
    let wanted = local
        .steps
        .first()
        .and_then(|step| step.name)
        .unwrap_or_default();
    let outer = pair.target.skip_modifiers(candidate)?;
    let mut values = (0_u32..).zip(enumerators(&outer).into_iter().flatten());
    let hit = values.find(|(_, value)| essential_name(value.name) == essential_name(wanted));
    match hit {
        Some((index, value)) => {
            found.steps.push(Step {
                type_id: outer.id(),
                index,
                name: Some(value.name),
            });
            Ok(Match::Yes(found))
        }
        None => {
            let reason = format!("has the enumerator `{}`", essential_name(wanted));
            Ok(Match::No(Mismatch { depth: 0, reason }))
        }
    }
}

/// The type of the field that a step of the object's access goes to.
fn local_field_type(pair: &Pair<'_>, step: &Step<'_>) -> Result<TypeId, Fault> {
    match pair.local.type_by_id(step.type_id)?.kind() {
        Kind::Struct(composite) | Kind::Union(composite) => usize::try_from(step.index)
            .ok()
            .and_then(|index| composite.members().get(index))
            .map(|member| member.type_id)
            .ok_or_else(|| Fault::new("a field that is not there")),
        _ => Err(Fault::new("a field of what is no struct")),
    }
}

/// A field of a struct, or of an anonymous struct in it.
struct Field<'btf> {
    member: Member<'btf>,
    /// The struct that lists it.
    owner: TypeId,
    index: u32,
    /// From the start of the outermost struct.
    bit_offset: u64,
}

fn find_field<'btf>(
    pair: &Pair<'btf>,
    id: TypeId,
    name: &str,
    bit_offset: u64,
    levels: &mut usize,
) -> Result<Option<Field<'btf>>, Fault> {
    *levels = levels
        .checked_sub(1)
        .ok_or_else(|| Fault::new("fields nested too deeply"))?;
    let owner = pair.target.skip_modifiers(id)?;
    let mut hit = None;
    if let Kind::Struct(composite) | Kind::Union(composite) = owner.kind() {
        for (index, member) in (0_u32..).zip(composite.members()) {
            pair.step()?;
            let bit_offset = bit_offset.saturating_add(member.bit_offset.into());
            if member.name() == name {
                hit = Some(Field {
                    member,
                    owner: owner.id(),
                    index,
                    bit_offset,
                });
            } else if member.name().is_empty() {
                hit = find_field(pair, member.type_id, name, bit_offset, levels)?;
            }
            if hit.is_some() {
                break;
            }
        }
    }
    *levels = levels.saturating_add(1);
    Ok(hit)
}
