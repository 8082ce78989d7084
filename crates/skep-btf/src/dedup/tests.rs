//! Deduplication of hand-made types: cycles, declarations, split BTF.

use super::dedup;
use crate::*;

fn build(make: impl FnOnce(&mut Builder)) -> Btf {
    let mut builder = Builder::new();
    make(&mut builder);
    Btf::parse(builder.build().unwrap()).unwrap()
}

#[test]
fn a_list_is_one_however_far_it_was_written_out() {
    let btf = build(|types| {
        let node = |types: &mut Builder, next| {
            let members = [NewMember::new("next", next, 0)];
            types.structure("node", 8, &members)
        };
        // node → pointer → node → pointer → the first node.
        let second = node(types, TypeId(4));
        let pointer = types.pointer(second);
        node(types, pointer);
        types.pointer(TypeId(3));
    });
    let deduped = dedup(&btf).unwrap();
    assert_eq!(
        RawDump(&deduped.btf).to_string(),
        "[1] STRUCT 'node' size=8 vlen=1\n\t'next' type_id=2 bits_offset=0\n[2] PTR '(anon)' type_id=1\n"
    );
}
