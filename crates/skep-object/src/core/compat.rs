//! Which types of the object and the target stand for each other: the loose rules for fields and
//! type existence, the strict ones for `bpf_core_type_matches()`.
//!
//! The rules are those of the kernel's and libbpf's `relo_core.c`.

use std::cell::Cell;

use skep_btf::{Btf, Composite, Kind, KindTag, Type, TypeId, essential_name};

use super::{Fault, spec::enumerators};

/// The two BTFs that are compared, and how much work is left: types come from anyone and may
/// refer to themselves.
pub(crate) struct Pair<'a> {
    pub(super) local: &'a Btf,
    pub(super) target: &'a Btf,
    steps: Cell<u32>,
    declared_is_enough: bool,
}

const MAX_STEPS: u32 = 1 << 18;
const MAX_DEPTH: u32 = 32;

impl<'a> Pair<'a> {
    pub(crate) fn new(local: &'a Btf, target: &'a Btf) -> Self {
        Self {
            local,
            target,
            steps: Cell::new(MAX_STEPS),
            declared_is_enough: false,
        }
    }

    /// The same, but a struct that the object only declares stands for one of its name. (libbpf
    /// refuses that; programs that only pass pointers on have no need of more.)
    pub(crate) fn declared_is_enough(self) -> Self {
        Self {
            declared_is_enough: true,
            ..self
        }
    }

    /// Counts a step of work.
    pub(super) fn step(&self) -> Result<(), Fault> {
        let left = self.steps.get().checked_sub(1);
        self.steps
            .set(left.ok_or_else(|| Fault::new("types too deeply nested to compare"))?);
        Ok(())
    }

    fn resolved(&self, local: TypeId, target: TypeId) -> Result<(Type<'a>, Type<'a>), Fault> {
        self.step()?;
        Ok((
            self.local.skip_modifiers(local)?,
            self.target.skip_modifiers(target)?,
        ))
    }

    /// Whether a field of one type can be read as one of the other: any two structs or unions,
    /// pointers, integers or floats; enumerations of one name; arrays of such.
    pub(super) fn fields(&self, mut local: TypeId, mut target: TypeId) -> Result<bool, Fault> {
        loop {
            let (one, other) = self.resolved(local, target)?;
            if is_composite(&one) && is_composite(&other) {
                return Ok(true);
            }
            if !kinds_agree(&one, &other) {
                return Ok(false);
            }
            match (one.kind(), other.kind()) {
                (Kind::Pointer { .. } | Kind::Float { .. }, _) => return Ok(true),
                (Kind::Forward { .. } | Kind::Enum(_) | Kind::Enum64(_), _) => {
                    let (one, other) = (essential_name(one.name()), essential_name(other.name()));
                    return Ok(one.is_empty() || other.is_empty() || one == other);
                }
                // Bit fields of before 2018 are integers with an offset.
                (Kind::Int(one), Kind::Int(other)) => {
                    return Ok(one.offset == 0 && other.offset == 0);
                }
                (Kind::Array(one), Kind::Array(other)) => {
                    (local, target) = (one.element, other.element);
                }
                _ => return Ok(false),
            }
        }
    }

    /// Whether one type exists as the other: kinds agree, through pointers, arrays and
    /// prototypes.
    pub(crate) fn types(&self, local: TypeId, target: TypeId) -> Result<bool, Fault> {
        // What the relocation names, say a typedef, must be one in the target, too.
        let (one, other) = (
            self.local.type_by_id(local)?,
            self.target.type_by_id(target)?,
        );
        Ok(kinds_agree(&one, &other) && self.types_within(local, target, MAX_DEPTH)?)
    }

    fn types_within(
        &self,
        mut local: TypeId,
        mut target: TypeId,
        depth: u32,
    ) -> Result<bool, Fault> {
        let depth = deeper(depth)?;
        loop {
            let (one, other) = self.resolved(local, target)?;
            if !kinds_agree(&one, &other) {
                return Ok(self.declared_is_enough && declares(&one, &other));
            }
            match (one.kind(), other.kind()) {
                (
                    Kind::Void
                    | Kind::Struct(_)
                    | Kind::Union(_)
                    | Kind::Enum(_)
                    | Kind::Enum64(_)
                    | Kind::Forward { .. },
                    _,
                ) => return Ok(true),
                (Kind::Int(one), Kind::Int(other)) => {
                    return Ok(one.offset == 0 && other.offset == 0);
                }
                (Kind::Pointer { target: one }, Kind::Pointer { target: other }) => {
                    (local, target) = (one, other);
                }
                (Kind::Array(one), Kind::Array(other)) => {
                    (local, target) = (one.element, other.element);
                }
                (Kind::FunctionPrototype(one), Kind::FunctionPrototype(other)) => {
                    if one.params().len() != other.params().len() {
                        return Ok(false);
                    }
                    for (one, other) in one.params().zip(other.params()) {
                        if !self.types_within(one.type_id, other.type_id, depth)? {
                            return Ok(false);
                        }
                    }
                    (local, target) = (one.return_type, other.return_type);
                }
                _ => return Ok(false),
            }
        }
    }

    /// Whether a type is in the target with all that the object says of it.
    pub(super) fn matches(&self, local: TypeId, target: TypeId) -> Result<bool, Fault> {
        self.matches_within(local, target, false, MAX_DEPTH)
    }

    fn matches_within(
        &self,
        mut local: TypeId,
        mut target: TypeId,
        mut behind_pointer: bool,
        depth: u32,
    ) -> Result<bool, Fault> {
        let depth = deeper(depth)?;
        loop {
            let (one, other) = self.resolved(local, target)?;
            if !names_match(one.name(), other.name()) {
                return Ok(false);
            }
            let same_kind = one.tag() == other.tag();
            match (one.kind(), other.kind()) {
                (Kind::Void, Kind::Void) => return Ok(true),
                (Kind::Forward { union: one }, Kind::Forward { union: other }) => {
                    return Ok(one == other);
                }
                // Behind a pointer, a declaration and a definition are as good as each other.
                (Kind::Forward { union }, Kind::Struct(_))
                | (Kind::Struct(_), Kind::Forward { union }) => {
                    return Ok(behind_pointer && !union);
                }
                (Kind::Forward { union }, Kind::Union(_))
                | (Kind::Union(_), Kind::Forward { union }) => {
                    return Ok(behind_pointer && union);
                }
                (Kind::Enum(_) | Kind::Enum64(_), Kind::Enum(_) | Kind::Enum64(_)) => {
                    return self.enumerations_match(&one, &other);
                }
                (Kind::Struct(_) | Kind::Union(_), _) if behind_pointer => return Ok(same_kind),
                (Kind::Struct(one), Kind::Struct(other))
                | (Kind::Union(one), Kind::Union(other)) => {
                    return self.members_match(&one, &other, depth);
                }
                (Kind::Int(one), Kind::Int(other)) => {
                    let signs = one.encoding.is_signed() == other.encoding.is_signed();
                    return Ok(one.size == other.size && signs);
                }
                (Kind::Pointer { target: one }, Kind::Pointer { target: other }) => {
                    behind_pointer = true;
                    (local, target) = (one, other);
                }
                (Kind::Array(one), Kind::Array(other)) if one.len == other.len => {
                    (local, target) = (one.element, other.element);
                }
                (Kind::FunctionPrototype(one), Kind::FunctionPrototype(other)) => {
                    if one.params().len() != other.params().len() {
                        return Ok(false);
                    }
                    for (one, other) in one.params().zip(other.params()) {
                        let (one, other) = (one.type_id, other.type_id);
                        if !self.matches_within(one, other, behind_pointer, depth)? {
                            return Ok(false);
                        }
                    }
                    (local, target) = (one.return_type, other.return_type);
                }
                _ => return Ok(false),
            }
        }
    }

    /// Each enumerator of the object must be in the target, by name.
    fn enumerations_match(&self, one: &Type<'_>, other: &Type<'_>) -> Result<bool, Fault> {
        if self.local.size_of(one.id())? != self.target.size_of(other.id())? {
            return Ok(false);
        }
        for value in enumerators(one).into_iter().flatten() {
            let mut found = false;
            for candidate in enumerators(other).into_iter().flatten() {
                self.step()?;
                if names_match(value.name, candidate.name) {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Each member of the object's struct must be in the target's, by name and type.
    fn members_match(
        &self,
        one: &Composite<'_>,
        other: &Composite<'_>,
        depth: u32,
    ) -> Result<bool, Fault> {
        if one.members().len() > other.members().len() {
            return Ok(false);
        }
        for member in one.members() {
            let mut found = false;
            for candidate in other.members() {
                self.step()?;
                if names_match(member.name(), candidate.name())
                    && self.matches_within(member.type_id, candidate.type_id, false, depth)?
                {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn deeper(depth: u32) -> Result<u32, Fault> {
    depth
        .checked_sub(1)
        .ok_or_else(|| Fault::new("types too deeply nested to compare"))
}

fn is_composite(found: &Type<'_>) -> bool {
    matches!(found.tag(), Some(KindTag::Struct | KindTag::Union))
}

/// Whether one type is a declaration of the other.
fn declares(one: &Type<'_>, other: &Type<'_>) -> bool {
    let kind = match one.kind() {
        Kind::Forward { union: true } => KindTag::Union,
        Kind::Forward { union: false } => KindTag::Struct,
        _ => return false,
    };
    other.tag() == Some(kind) && names_match(one.name(), other.name())
}

/// Whether two kinds are the same, the two widths of enumerations being one.
pub(super) fn kinds_agree(one: &Type<'_>, other: &Type<'_>) -> bool {
    let any_enum = |tag| matches!(tag, Some(KindTag::Enum | KindTag::Enum64));
    one.tag() == other.tag() || (any_enum(one.tag()) && any_enum(other.tag()))
}

fn names_match(local: &str, target: &str) -> bool {
    if target.is_empty() {
        local.is_empty()
    } else {
        essential_name(local) == essential_name(target)
    }
}
