//! Properties over made-up BTF: what is built is read back, and damaged BTF never panics.

#[path = "common/specs.rs"]
mod specs;

use proptest::prelude::*;
use skep_btf::value::{Layout, TextStyle, Value};
use skep_btf::{Btf, Builder, CDump, Endian, RawDump, c_header, essential_name};
use specs::{COUNT, add, read, specs, without_lost_names};

/// Uses all of the API on a BTF that makes no sense.
fn use_all(btf: &Btf) {
    RawDump(btf).to_string();
    let mut text = String::new();
    let _ = c_header(btf, None, &mut text);
    let bytes = [0xa5; 64];
    for one in btf.types() {
        let id = one.id();
        let mut dump = CDump::new(btf);
        let _ = dump.define(id, &mut text);
        let _ = (btf.type_name(id), btf.declaration(id));
        let _ = (btf.size_of(id), btf.align_of(id), btf.skip_modifiers(id));
        let _ = btf.decl_tags(id, None).count();
        let found = btf.find_by_name(one.name()).any(|found| found == id);
        assert!(one.name().is_empty() || found, "{one:?}");
        if let Ok(layout) = Layout::new(btf, id) {
            let _ = layout
                .fields()
                .map(|field| field.type_names().count())
                .sum::<usize>();
            for len in [0, 3, 64] {
                if let Ok(value) = Value::new(&layout, &bytes[..len]) {
                    for types in [true, false] {
                        let style = TextStyle {
                            multiline: types,
                            types,
                        };
                        text.clear();
                        let _ = value.write(style, &mut text);
                    }
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_built_is_read_back(specs in specs(), big in any::<bool>()) {
        let mut builder = Builder::new();
        builder.set_endianness(if big { Endian::Big } else { Endian::Little });
        specs.iter().for_each(|spec| add(&mut builder, spec));
        let bytes = builder.build().unwrap();
        let btf = Btf::parse(bytes.clone()).unwrap();
        prop_assert_eq!(btf.type_count(), COUNT);
        for (one, spec) in btf.types().zip(&specs) {
            prop_assert_eq!(format!("{:?}", read(one)), format!("{:?}", without_lost_names(spec)));
        }
        prop_assert_eq!(Builder::from_btf(&btf).unwrap().build().unwrap(), bytes);
    }

    #[test]
    fn names_are_found_alike_with_and_without_an_index(specs in specs()) {
        let mut builder = Builder::new();
        specs.iter().for_each(|spec| add(&mut builder, spec));
        let bytes = builder.build().unwrap();
        let indexed = Btf::parse(bytes.clone()).unwrap();
        for _ in 0..8 {
            let _ = indexed.find_by_name("many searches make an index");
        }
        for one in indexed.types() {
            let essential = essential_name(one.name());
            let by_index: Vec<_> = indexed.candidates(essential).collect();
            let expected: Vec<_> = indexed
                .types()
                .filter(|other| !other.name().is_empty() && essential_name(other.name()) == essential)
                .map(|other| other.id())
                .collect();
            prop_assert_eq!(&by_index, &expected);
            let fresh = Btf::parse(bytes.clone()).unwrap();
            prop_assert_eq!(fresh.candidates(essential).collect::<Vec<_>>(), by_index);
        }
    }

    #[test]
    fn types_without_sense_do_not_panic(specs in specs()) {
        let mut builder = Builder::new();
        specs.iter().for_each(|spec| add(&mut builder, spec));
        use_all(&Btf::parse(builder.build().unwrap()).unwrap());
    }

    #[test]
    fn damaged_btf_does_not_panic(
        specs in specs(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut builder = Builder::new();
        specs.iter().for_each(|spec| add(&mut builder, spec));
        let mut bytes = builder.build().unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(btf) = Btf::parse_trusted(bytes.clone(), None) {
            RawDump(&btf).to_string();
        }
        if let Ok(btf) = Btf::parse(bytes) {
            use_all(&btf);
        }
    }
}
