//! What of a map's value, or of an object that a program allocates, the kernel manages: locks,
//! timers, kernel pointers, lists and trees.

#[cfg(test)]
mod tests;

pub use skep_btf::managed::{Field, FieldKind};

use skep_btf::{
    Btf, TypeId,
    managed::{self, Holder},
};

/// The most members that are looked at: structures in structures may have more than can be counted.
const MOST_MEMBERS: u32 = 100_000;

/// The managed fields of a type, by offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The fields.
    pub fields: Vec<Field>,
    /// Why the kernel does not take the type: what is wrong with its managed fields.
    pub problem: Option<String>,
}

impl Fields {
    /// The managed fields of a type: of a struct, or of a data section (the value of the map that
    /// holds global variables). What the kernel does not take is said in [`Self::problem`].
    pub fn of(btf: &Btf, type_id: TypeId) -> Self {
        let mut members = MOST_MEMBERS;
        let (mut fields, problem) = managed::fields(btf, type_id, Holder::Value, &mut members);
        fields.sort_by_key(|field| field.offset);
        let problem = problem.or_else(|| twice(&fields));
        Self {
            fields,
            problem: problem.map(|problem| problem.to_string()),
        }
    }

    /// The field that begins at an offset.
    pub fn at(&self, offset: u32) -> Option<&Field> {
        self.fields.iter().find(|field| field.offset == offset)
    }

    /// The first field of a kind.
    pub fn find(&self, is: impl Fn(&FieldKind) -> bool) -> Option<&Field> {
        self.fields.iter().find(|field| is(&field.kind))
    }

    /// The first field that shares bytes with a range.
    pub fn overlapping(&self, offset: u32, size: u32) -> Option<&Field> {
        self.fields.iter().find(|field| {
            field.offset < offset.saturating_add(size)
                && offset < field.offset.saturating_add(field.size)
        })
    }
}

/// Two of what one counts of, in structures inside, or counts themselves: the kernel warns of itself
/// then, and goes by the last.
fn twice(fields: &[Field]) -> Option<managed::Problem> {
    let mut singles = fields.iter().filter(|field| field.kind.is_single());
    let again = singles.find(|field| {
        let same = |other: &&Field| other.kind == field.kind && other.offset < field.offset;
        fields.iter().any(|other| same(&other))
    });
    again.map(|field| managed::Problem::Twice {
        name: field.kind.type_name().to_owned(),
    })
}
