//! Objects linked for kernels of before our time: what each lacks is left out or replaced, and
//! that is said. (Whether kernels take it is tested on real ones.)

mod common;

use std::collections::BTreeMap;

use skep_abi::{KernelVersion, LoaderFeature as Feature, MapCreateFlags};
use skep_btf::{Btf, FunctionLinkage, Kind, KindTag, VariableLinkage};
use skep_object::{Features, Image, LinkOptions, Object, Target};

fn objects() -> impl Iterator<Item = (&'static str, Object)> {
    let parse = |clang| {
        let bytes = common::compile(clang, "old", &[]);
        (clang, Object::parse_named(&bytes, "old").unwrap())
    };
    common::clangs().into_iter().map(parse)
}

fn link(object: &Object, major: u8, minor: u8) -> Image {
    let target = Target::new(KernelVersion::new(major, minor));
    object.link(&LinkOptions::new(), &target).unwrap()
}

fn downgrades(image: &Image) -> BTreeMap<Feature, u32> {
    let found = image.downgrades.iter();
    found.map(|found| (found.feature, found.count)).collect()
}

fn btf(image: &Image) -> Btf {
    Btf::parse(image.btf.clone().unwrap()).unwrap()
}

fn kinds(btf: &Btf) -> BTreeMap<KindTag, usize> {
    let mut kinds = BTreeMap::new();
    for found in btf.types() {
        *kinds.entry(found.tag().unwrap()).or_default() += 1;
    }
    kinds
}

#[test]
fn new_kernels_get_the_object_as_it_is() {
    for (clang, object) in objects() {
        let image = link(&object, 6, 15);
        assert_eq!(image.downgrades, [], "{clang}");
        assert!(
            image
                .maps
                .iter()
                .all(|map| map.create && !map.load_name.is_empty())
        );
        let kinds = kinds(&btf(&image));
        assert_eq!(kinds[&KindTag::Float], 2);
        assert!(kinds[&KindTag::Function] >= 5 && kinds[&KindTag::DataSection] >= 4);
    }
}

#[test]
fn each_rule_is_applied_below_its_version_alone() {
    for (clang, object) in objects() {
        for (feature, (major, minor), count) in [
            (Feature::BtfDeclTags, (5, 15), Some(1)),
            (Feature::BtfFloats, (5, 12), Some(2)),
            (Feature::BtfGlobalFunctions, (5, 5), Some(4)),
            (Feature::ProbeReads, (5, 4), Some(4)),
            (Feature::MappedArrays, (5, 4), None),
            (Feature::GlobalData, (5, 1), None),
            (Feature::BtfDataSections, (5, 1), None),
            (Feature::BtfFunctions, (4, 20), Some(5)),
            (Feature::Btf, (4, 17), Some(1)),
            (Feature::AttachTypes, (4, 16), Some(1)),
            (Feature::ObjectNames, (4, 14), None),
        ] {
            let below = downgrades(&link(&object, major, minor));
            let since = feature.since();
            let at = downgrades(&link(&object, since.major, since.minor));
            let said = format!("{clang}: {feature}: {below:?}");
            assert!(!at.contains_key(&feature), "{said}");
            match count {
                None => assert!(below[&feature] > 1, "{said}"),
                Some(count) => assert_eq!(below[&feature], count, "{said}"),
            }
        }
        // Signed enumerations are said to be so by newer compilers only.
        let signed = object
            .btf()
            .unwrap()
            .types()
            .any(|found| matches!(found.kind(), Kind::Enum(values) if values.signed));
        let old = link(&object, 5, 19);
        assert_eq!(downgrades(&old).contains_key(&Feature::BtfEnum64), signed);
        let enums_are_plain = btf(&old)
            .types()
            .all(|found| !matches!(found.kind(), Kind::Enum(values) if values.signed));
        assert!(enums_are_plain, "{clang}");
    }
}

#[test]
fn what_replaces_a_type_is_as_large() {
    for (clang, object) in objects() {
        let whole = object.btf().unwrap();
        for (major, minor) in [(4, 18), (4, 20), (5, 1), (5, 4), (5, 10), (5, 15), (6, 1)] {
            let image = link(&object, major, minor);
            let old = btf(&image);
            for found in whole.types() {
                // Of variables, functions and tags only the place stays.
                let sized = matches!(
                    found.tag(),
                    Some(KindTag::Struct | KindTag::Enum | KindTag::Float | KindTag::Int)
                );
                if sized {
                    let (before, now) = (whole.size_of(found.id()), old.size_of(found.id()));
                    assert_eq!(before, now, "{clang} for {major}.{minor}: {}", found.name());
                }
            }
            let features = Features::of(KernelVersion::new(major, minor));
            for (kind, feature) in [
                (KindTag::Function, Feature::BtfFunctions),
                (KindTag::FunctionPrototype, Feature::BtfFunctions),
                (KindTag::Variable, Feature::BtfDataSections),
                (KindTag::DataSection, Feature::BtfDataSections),
                (KindTag::Float, Feature::BtfFloats),
                (KindTag::DeclTag, Feature::BtfDeclTags),
            ] {
                assert_eq!(
                    kinds(&old).contains_key(&kind),
                    features.has(feature),
                    "{clang} for {major}.{minor}: {kind:?}"
                );
            }
        }
    }
}

#[test]
fn a_data_section_is_a_struct_of_its_variables() {
    for (clang, object) in objects() {
        let old = btf(&link(&object, 5, 1));
        let id = old.find("_data_own", KindTag::Struct).unwrap();
        let Kind::Struct(section) = old.type_by_id(id).unwrap().kind() else {
            panic!("{clang}: {id}");
        };
        assert_eq!(section.size, 4);
        let [own] = section.members().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((own.name(), own.bit_offset), ("own", 0));
        assert_eq!(old.size_of(own.type_id), Ok(1));
    }
}

#[test]
fn linkage_is_what_the_kernel_knows() {
    for (clang, object) in objects() {
        let linkage = |image: &Image, name| {
            let btf = btf(image);
            let id = btf.find(name, KindTag::Function).unwrap();
            match btf.type_by_id(id).unwrap().kind() {
                Kind::Function(function) => function.linkage,
                other => panic!("{other:?}"),
            }
        };
        let (old, new) = (link(&object, 5, 5), link(&object, 5, 6));
        assert_eq!(
            linkage(&new, "global_function"),
            FunctionLinkage::Global,
            "{clang}"
        );
        assert_eq!(linkage(&old, "global_function"), FunctionLinkage::Static);
        assert_eq!(linkage(&new, "static_function"), FunctionLinkage::Static);
        let is_extern = |found: skep_btf::Type<'_>| matches!(found.kind(), Kind::Variable(v) if v.linkage == VariableLinkage::Extern);
        assert!(!btf(&old).types().any(is_extern));
    }
}

#[test]
fn memory_is_read_by_the_helpers_there_are() {
    const CALL: u8 = 0x85;
    for (clang, object) in objects() {
        let calls = |image: &Image| -> Vec<i32> {
            let program = image.program("plain").unwrap().instructions.iter();
            let helpers = program.filter(|insn| insn.opcode == CALL && insn.src == 0);
            helpers.map(|insn| insn.imm).collect()
        };
        assert_eq!(
            calls(&link(&object, 5, 5)),
            [113, 112, 115, 114, 2],
            "{clang}"
        );
        assert_eq!(calls(&link(&object, 5, 4)), [4, 4, 45, 45, 2], "{clang}");
    }
}

#[test]
fn without_global_data_its_users_are_poisoned_and_others_load() {
    for (clang, object) in objects() {
        let image = link(&object, 4, 19);
        for map in &image.maps {
            assert_eq!(map.create, map.name == "shapes", "{clang}: {}", map.name);
        }
        let plain = image.program("plain").unwrap();
        assert_eq!(plain.poisoned, []);
        assert_eq!(plain.map_references.len(), 1);
        let globals = image.program("globals").unwrap();
        assert_eq!(globals.map_references, []);
        let poisoned = &globals.poisoned[0].description;
        assert!(
            poisoned.ends_with(": global variables need Linux 5.2"),
            "{poisoned}"
        );
        // Records of functions need functions.
        assert!(plain.func_info.is_empty() && plain.line_info.is_empty());
        assert!(
            !link(&object, 5, 0)
                .program("plain")
                .unwrap()
                .func_info
                .is_empty()
        );
        // Errors still lead to the source.
        assert!(plain.source_at(skep_isa::InsnIndex(0)).is_some());
    }
}

#[test]
fn maps_and_programs_ask_for_what_there_is() {
    for (clang, object) in objects() {
        let oldest = link(&object, 4, 14);
        assert_eq!(oldest.btf, None);
        let shapes = oldest.map("shapes").unwrap();
        assert_eq!(
            (
                shapes.load_name.as_str(),
                shapes.key_type,
                shapes.value_type
            ),
            ("", None, None)
        );
        for program in &oldest.programs {
            assert_eq!(
                (program.load_name.as_str(), program.attach_type),
                ("", None),
                "{clang}"
            );
        }
        let named = link(&object, 4, 18);
        let shapes = named.map("shapes").unwrap();
        assert!(shapes.load_name == "shapes" && shapes.value_type.is_some());
        assert!(named.program("connects").unwrap().attach_type.is_some());
        let flags = |image: &Image| image.map(".data.own").unwrap().flags;
        assert!(!flags(&link(&object, 5, 4)).contains(MapCreateFlags::MMAPABLE));
        assert!(flags(&link(&object, 5, 5)).contains(MapCreateFlags::MMAPABLE));
    }
}

#[test]
fn a_probe_is_worth_more_than_a_version() {
    for (clang, object) in objects() {
        // As Red Hat's 4.18 is.
        let mut target = Target::new(KernelVersion::new(4, 18));
        for feature in Feature::ALL {
            target.features = target.features.with(*feature);
        }
        let image = object.link(&LinkOptions::new(), &target).unwrap();
        assert_eq!(image.downgrades, [], "{clang}");
        target.features = target.features.without(Feature::BtfFloats);
        let image = object.link(&LinkOptions::new(), &target).unwrap();
        assert_eq!(
            downgrades(&image),
            BTreeMap::from([(Feature::BtfFloats, 2)])
        );
    }
}
