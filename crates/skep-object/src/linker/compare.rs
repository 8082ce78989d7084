//! Whether two objects mean the same by a name: the types that their BTF has for it, side by side.

use std::fmt;

use skep_btf::{Btf, Composite, Kind, TypeId};

use crate::{Map, Pinning, maps};

/// The section of maps.
pub(super) const MAPS: &str = ".maps";

/// Types that are looked at for all names: more than any real program has.
const MAX_STEPS: u32 = 1 << 22;
/// Structures in structures, parameters of parameters.
const MAX_DEPTH: u32 = 64;
/// Letters of a type in an error.
const SHOWN: usize = 120;

/// What one object says of a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) btf: &'a Btf,
    /// Its `FUNC` or `VAR`.
    pub(super) type_id: TypeId,
    /// The data section that lists it.
    pub(super) section: Option<&'a str>,
}

/// How much comparing has cost so far: a small file can declare much in few types.
#[derive(Debug, Default)]
pub(super) struct Steps(u32);

/// What keeps two declarations from meaning the same; `None` if nothing does.
pub(super) fn difference(
    name: &str,
    first: &Side<'_>,
    second: &Side<'_>,
    steps: &mut Steps,
) -> Option<String> {
    let mut types = Types {
        first: first.btf,
        second: second.btf,
        steps,
    };
    let same = if first.section == Some(MAPS) && second.section == Some(MAPS) {
        types.same_maps(name, first.type_id, second.type_id)
    } else {
        types.same(first.type_id, second.type_id, Depth::WHOLE)
    };
    same.err()
}

/// How much of two types must be the same.
#[derive(Debug, Clone, Copy)]
struct Depth {
    /// Whether members count: behind a pointer only names do.
    members: bool,
    level: u32,
}

impl Depth {
    const WHOLE: Self = Self {
        members: true,
        level: 0,
    };

    fn deeper(self) -> Self {
        Self {
            level: self.level.saturating_add(1),
            ..self
        }
    }
}

/// The types of two objects.
struct Types<'a> {
    first: &'a Btf,
    second: &'a Btf,
    steps: &'a mut Steps,
}

impl Types<'_> {
    /// `Err` says where they differ.
    fn same(&mut self, first: TypeId, second: TypeId, depth: Depth) -> Result<(), String> {
        self.steps.0 = self.steps.0.saturating_add(1);
        if self.steps.0 > MAX_STEPS || depth.level > MAX_DEPTH {
            return Err("their types are too complex to be compared".into());
        }
        let read = |btf: &Btf, id| btf.skip_modifiers(id).map(|one| one.id());
        let (first, second) = match (read(self.first, first), read(self.second, second)) {
            (Ok(first), Ok(second)) => (first, second),
            (Err(error), _) | (_, Err(error)) => return Err(error.to_string()),
        };
        let (Ok(one), Ok(other)) = (self.first.type_by_id(first), self.second.type_by_id(second))
        else {
            return Err("a type is missing".into());
        };
        let differ = || Err(self.against(first, second));
        match (one.kind(), other.kind()) {
            (Kind::Void, Kind::Void) => Ok(()),
            // Compilers of different age call the same integer by different names.
            (Kind::Int(one), Kind::Int(other)) => {
                let same = one.size == other.size
                    && one.encoding.is_signed() == other.encoding.is_signed()
                    && one.encoding.is_bool() == other.encoding.is_bool();
                if same { Ok(()) } else { differ() }
            }
            (Kind::Float { size: one }, Kind::Float { size: other }) if one == other => Ok(()),
            (
                Kind::Enum(values) | Kind::Enum64(values),
                Kind::Enum(others) | Kind::Enum64(others),
            ) if one.name() == other.name() && values.size == others.size => Ok(()),
            (Kind::Forward { union }, Kind::Forward { union: other_union })
                if one.name() == other.name() && union == other_union =>
            {
                Ok(())
            }
            (Kind::Forward { union: false }, Kind::Struct(_))
            | (Kind::Struct(_), Kind::Forward { union: false })
            | (Kind::Forward { union: true }, Kind::Union(_))
            | (Kind::Union(_), Kind::Forward { union: true })
                if !depth.members && one.name() == other.name() =>
            {
                Ok(())
            }
            (Kind::Pointer { target }, Kind::Pointer { target: other }) => {
                let depth = Depth {
                    members: false,
                    ..depth.deeper()
                };
                self.same(target, other, depth)
                    .map_err(|problem| within("what it points to", &problem))
            }
            (Kind::Array(one), Kind::Array(other)) => {
                if one.len != other.len && one.len != 0 && other.len != 0 {
                    return differ();
                }
                self.same(one.element, other.element, depth.deeper())
            }
            (Kind::Struct(members), Kind::Struct(others))
            | (Kind::Union(members), Kind::Union(others)) => {
                if one.name() != other.name() {
                    return differ();
                }
                if !depth.members {
                    return Ok(());
                }
                self.same_members(first, &members, &others, depth.deeper())
            }
            (Kind::Function(one), Kind::Function(other)) => {
                self.same(one.prototype, other.prototype, depth)
            }
            (Kind::Variable(one), Kind::Variable(other)) => {
                self.same(one.type_id, other.type_id, depth)
            }
            (Kind::FunctionPrototype(one), Kind::FunctionPrototype(other)) => {
                let (params, others) = (one.params(), other.params());
                if params.len() != others.len() {
                    let (first, second) = (params.len(), others.len());
                    return equal("the number of parameters", first, second);
                }
                for (number, (param, other)) in (1_u32..).zip(params.zip(others)) {
                    self.same(param.type_id, other.type_id, depth.deeper())
                        .map_err(|problem| within(&format!("parameter {number}"), &problem))?;
                }
                self.same(one.return_type, other.return_type, depth.deeper())
                    .map_err(|problem| within("what it returns", &problem))
            }
            _ => differ(),
        }
    }

    fn same_members(
        &mut self,
        first: TypeId,
        members: &Composite<'_>,
        others: &Composite<'_>,
        depth: Depth,
    ) -> Result<(), String> {
        let name = shorten(&self.first.type_name(first).unwrap_or_default());
        if members.size != others.size {
            let (first, second) = (members.size, others.size);
            return Err(format!(
                "`{name}` has {first} bytes in the first, {second} in the second"
            ));
        }
        let (list, other_list) = (members.members(), others.members());
        if list.len() != other_list.len() {
            let (first, second) = (list.len(), other_list.len());
            return Err(format!(
                "`{name}` has {first} members in the first, {second} in the second"
            ));
        }
        for (member, other) in list.zip(other_list) {
            let called = shorten(member.name());
            let moved = member.bit_offset != other.bit_offset
                || member.bitfield_size != other.bitfield_size;
            if member.name() != other.name() || moved {
                return Err(format!(
                    "`{name}` has `{called}` at bit {} in the first, `{}` at bit {} in the second",
                    member.bit_offset,
                    shorten(other.name()),
                    other.bit_offset
                ));
            }
            self.same(member.type_id, other.type_id, depth)
                .map_err(|problem| within(&format!("member `{called}` of `{name}`"), &problem))?;
        }
        Ok(())
    }

    /// Maps are the same if all attributes are, in whatever order they stand.
    fn same_maps(&mut self, name: &str, first: TypeId, second: TypeId) -> Result<(), String> {
        let read =
            |btf: &Btf, id| maps::definition(btf, name, id).map_err(|error| error.to_string());
        let (first, second) = (read(self.first, first)?, read(self.second, second)?);
        self.same_shapes(&first, &second)
    }

    fn same_shapes(&mut self, first: &Map, second: &Map) -> Result<(), String> {
        let numa = |map: &Map| map.numa_node.map_or("any".into(), |node| node.to_string());
        let pinning = |map: &Map| match map.pinning {
            Pinning::None => "none",
            Pinning::ByName => "by name",
        };
        equal("its type", first.map_type, second.map_type)?;
        equal("its key's size", first.key_size, second.key_size)?;
        equal("its value's size", first.value_size, second.value_size)?;
        equal("its max_entries", first.max_entries, second.max_entries)?;
        equal("its map_flags", first.flags.bits(), second.flags.bits())?;
        equal("its map_extra", first.map_extra, second.map_extra)?;
        equal("its numa_node", numa(first), numa(second))?;
        equal("its pinning", pinning(first), pinning(second))?;
        for (what, one, other) in [
            ("its key", first.key_type, second.key_type),
            ("its value", first.value_type, second.value_type),
        ] {
            match (one, other) {
                (Some(one), Some(other)) => self
                    .same(one, other, Depth::WHOLE)
                    .map_err(|problem| within(what, &problem))?,
                (one, other) => equal(what, by_type(one.is_some()), by_type(other.is_some()))?,
            }
        }
        match (&first.inner, &second.inner) {
            (Some(one), Some(other)) => self
                .same_shapes(one, other)
                .map_err(|problem| within("its inner map", &problem)),
            (None, None) => Ok(()),
            (Some(_), None) => Err("only the first has an inner map".into()),
            (None, Some(_)) => Err("only the second has an inner map".into()),
        }
    }

    /// Two types that are not the same, as C has them.
    fn against(&self, first: TypeId, second: TypeId) -> String {
        let name = |btf: &Btf, id: TypeId| {
            let kind = btf.type_by_id(id).map(|one| one.kind());
            let name = match kind {
                Ok(Kind::Function(_) | Kind::Variable(_)) => btf.declaration(id),
                _ => btf.type_name(id),
            };
            shorten(&name.unwrap_or_else(|_| format!("type {id}")))
        };
        format!(
            "`{}` in the first, `{}` in the second",
            name(self.first, first),
            name(self.second, second)
        )
    }
}

fn equal<T: PartialEq + fmt::Display>(what: &str, first: T, second: T) -> Result<(), String> {
    if first == second {
        return Ok(());
    }
    Err(format!(
        "{what} is {first} in the first, {second} in the second"
    ))
}

/// How a key or value is given.
fn by_type(has_type: bool) -> &'static str {
    if has_type {
        "given by its type"
    } else {
        "given by its size alone"
    }
}

/// Says where, once: an outer place before an inner one.
fn within(place: &str, problem: &str) -> String {
    const LONGEST: usize = 400;
    let said = format!("{place}: {problem}");
    if said.len() > LONGEST {
        problem.to_owned()
    } else {
        said
    }
}

fn shorten(name: &str) -> String {
    let mut shown: String = name.chars().take(SHOWN).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown
}
