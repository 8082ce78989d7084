//! The machine's own BTF: what its structures look like to programs.

use std::sync::OnceLock;

use skep_btf::{Btf, Kind, KindTag, TypeId};

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

/// The size of one of the machine's structures; 0 if it has no such.
pub(crate) fn size_of(structure: &str) -> usize {
    let types = types();
    let size = types
        .find(structure, KindTag::Struct)
        .and_then(|id| types.size_of(id).ok());
    size.unwrap_or_default() as usize
}

/// Where a member of one of the machine's structures begins.
pub(crate) fn offset_of(structure: &str, member: &str) -> Option<usize> {
    let types = types();
    let id = types.find(structure, KindTag::Struct)?;
    member_offset(types, id, member)
}

/// Where a member of one of the machine's structures begins, and how many bytes it has.
pub(crate) fn member(structure: &str, name: &str) -> Option<(usize, usize)> {
    let types = types();
    let id = types.find(structure, KindTag::Struct)?;
    let Kind::Struct(composite) = types.type_by_id(id).ok()?.kind() else {
        return None;
    };
    let found = composite.members().find(|member| member.name() == name)?;
    let size = types.size_of(found.type_id).ok()?;
    Some((found.bit_offset as usize / 8, size as usize))
}

fn member_offset(types: &Btf, id: TypeId, name: &str) -> Option<usize> {
    let Kind::Struct(composite) = types.type_by_id(id).ok()?.kind() else {
        return None;
    };
    let mut members = composite.members();
    members.find_map(|member| (member.name() == name).then_some(member.bit_offset as usize / 8))
}
