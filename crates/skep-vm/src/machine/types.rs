//! The machine's own BTF: what its structures look like to programs.

use std::{collections::HashMap, sync::OnceLock};

use skep_btf::{Btf, Kind, Member};

/// The bytes.
pub(crate) const BYTES: &[u8] = include_bytes!("../generated/vm.btf");

/// The types, parsed when first asked for.
pub(crate) fn types() -> &'static Btf {
    static TYPES: OnceLock<Btf> = OnceLock::new();
    TYPES.get_or_init(|| {
        #[expect(clippy::expect_used, reason = "a test holds that it parses")]
        Btf::parse(BYTES).expect("the machine's own BTF")
    })
}

/// A structure: its size, and where its members are and how long, in bytes.
struct Shape {
    size: usize,
    members: HashMap<&'static str, (usize, usize)>,
}

/// The machine's structures by name. Tasks are laid out by them as fast as processes fork.
fn shapes() -> &'static HashMap<&'static str, Shape> {
    static SHAPES: OnceLock<HashMap<&'static str, Shape>> = OnceLock::new();
    SHAPES.get_or_init(|| {
        let types = types();
        let mut shapes = HashMap::new();
        for known in types.types() {
            let Kind::Struct(composite) = known.kind() else {
                continue;
            };
            let member = |member: Member<'static>| {
                let size = types.size_of(member.type_id).unwrap_or_default();
                let place = (member.bit_offset as usize / 8, size as usize);
                (member.name(), place)
            };
            let size = types.size_of(known.id()).unwrap_or_default();
            let shape = Shape {
                size: size as usize,
                members: composite.members().map(member).collect(),
            };
            // The first of a name is the one that is found by it.
            shapes.entry(known.name()).or_insert(shape);
        }
        shapes
    })
}

/// The size of one of the machine's structures; 0 if it has no such.
pub(crate) fn size_of(structure: &str) -> usize {
    shapes().get(structure).map_or(0, |shape| shape.size)
}

/// Where a member of one of the machine's structures begins.
pub(crate) fn offset_of(structure: &str, member: &str) -> Option<usize> {
    Some(self::member(structure, member)?.0)
}

/// Where a member of one of the machine's structures begins, and how many bytes it has.
pub(crate) fn member(structure: &str, name: &str) -> Option<(usize, usize)> {
    shapes().get(structure)?.members.get(name).copied()
}
