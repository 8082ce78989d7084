//! Properties of appending and deduplicating over made-up types: cycles of all kinds, declarations,
//! tags of tags, and splits.

#[path = "common/specs.rs"]
mod specs;

use proptest::prelude::*;
use skep_btf::{Btf, Builder, IdMap, Kind, KindTag, RawType, Type, TypeId, dedup};
use specs::{COUNT, Spec, add, specs_of};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Few names, so that many types are alike.
const NAMES: &str = "a?";

fn build(mut builder: Builder, specs: &[Spec]) -> Vec<u8> {
    specs.iter().for_each(|spec| add(&mut builder, spec));
    builder.build().unwrap()
}

/// Without what is never equal to anything.
fn comparable(specs: Vec<Spec>) -> Vec<Spec> {
    let replace = |spec| match spec {
        Spec::Variable(..) | Spec::Section(..) => Spec::Float("var".into(), 2),
        other => other,
    };
    specs.into_iter().map(replace).collect()
}

/// A type in words, with what `id` makes of the ids.
fn text(one: Type<'_>, id: impl Fn(TypeId) -> u32) -> String {
    let own = one.id();
    let raw = RawType(one).to_string();
    let raw = raw.strip_prefix(&format!("[{own}] ")).unwrap();
    let mut out = String::new();
    for (index, part) in raw.split("type_id=").enumerate() {
        if index == 0 {
            out.push_str(part);
            continue;
        }
        let end = part.find(|one: char| !one.is_ascii_digit());
        let (number, rest) = part.split_at(end.unwrap_or(part.len()));
        out.push_str(&format!("type_id={}", id(TypeId(number.parse().unwrap()))));
        // What the entry of a data section refers to is shown behind it.
        out.push_str(rest.split(" (").next().unwrap());
    }
    if let Kind::Int(int) = one.kind() {
        // Encodings that make no sense all read as one word.
        out.push_str(&format!("{:?}", int.encoding));
    }
    out
}

/// Each type went to one that says the same, and refers to where its references went; a base's
/// types that are equal are not told apart.
fn check_map(old: &Btf, new: &Btf, ids: &IdMap) -> Result<(), TestCaseError> {
    let base = old.base().map(|base| classes(base)).unwrap_or_default();
    let same = |id: TypeId| match base.get(id.0 as usize) {
        Some(class) => *class,
        None => id.0,
    };
    for one in old.types() {
        let to = new.type_by_id(ids.get(one.id()).unwrap()).unwrap();
        let enumeration = |tag| matches!(tag, Some(KindTag::Enum | KindTag::Enum64));
        let declared = one.tag() == Some(KindTag::Forward) && to.tag() != one.tag()
            || enumeration(one.tag())
                && enumeration(to.tag())
                && text(one, |id| id.0).contains("vlen=0");
        if declared {
            prop_assert_eq!(one.name(), to.name());
            continue;
        }
        let expected = text(one, |id| same(ids.get(id).unwrap()));
        prop_assert_eq!(text(to, same), expected);
    }
    Ok(())
}

/// The classes of equal types, by the plainest way there is.
fn classes(btf: &Btf) -> Vec<u32> {
    let mut classes = vec![0; btf.type_count() as usize + 1];
    loop {
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut next = vec![0];
        for id in (1..=btf.type_count()).map(TypeId) {
            let one = btf.type_by_id(id).unwrap();
            let mut text = text(one, |id| classes[id.0 as usize]);
            if matches!(one.tag(), Some(KindTag::Variable | KindTag::DataSection)) {
                text.push_str(&format!("unique {id}"));
            }
            let fresh = known.len() as u32 + 1;
            next.push(*known.entry(text).or_insert(fresh));
        }
        if next == classes {
            return classes;
        }
        classes = next;
    }
}

fn kinds(btf: &Btf) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for one in btf.types() {
        *kinds.entry(text(one, |_| 0)).or_default() += 1;
    }
    kinds
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn each_type_goes_to_an_equal_one(specs in specs_of(NAMES, COUNT)) {
        let old = Btf::parse(build(Builder::new(), &specs)).unwrap();
        let deduped = dedup(&old).unwrap();
        check_map(&old, &deduped.btf, &deduped.ids)?;
        let again = dedup(&deduped.btf).unwrap();
        prop_assert_eq!(again.btf.bytes(), deduped.btf.bytes());
    }

    #[test]
    fn no_two_equal_types_are_left(specs in specs_of(NAMES, COUNT)) {
        let old = Btf::parse(build(Builder::new(), &specs)).unwrap();
        let classes = classes(&dedup(&old).unwrap().btf);
        let mut seen = classes.clone();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), classes.len());
    }

    #[test]
    fn twice_the_same_is_once_the_same(specs in specs_of(NAMES, COUNT)) {
        let once = Btf::parse(build(Builder::new(), &comparable(specs))).unwrap();
        let mut builder = Builder::new();
        let (first, second) = (builder.append(&once).unwrap(), builder.append(&once).unwrap());
        let twice = Btf::parse(builder.build().unwrap()).unwrap();
        for ids in [&first, &second] {
            check_map(&once, &twice, ids)?;
        }
        let expected = dedup(&once).unwrap();
        let deduped = dedup(&twice).unwrap();
        prop_assert_eq!(deduped.btf.bytes(), expected.btf.bytes());
        for one in once.types().map(|one| one.id()) {
            let [first, second] = [&first, &second].map(|ids| deduped.ids.get(ids.get(one).unwrap()));
            prop_assert_eq!(first, second);
        }
        let (once, twice) = (kinds(&expected.btf), kinds(&deduped.btf));
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_split_uses_its_bases_types(
        below in specs_of(NAMES, COUNT),
        above in specs_of(NAMES, 2 * COUNT),
    ) {
        let base = Arc::new(Btf::parse(build(Builder::new(), &below)).unwrap());
        let bytes = build(Builder::split(&base), &above);
        let old = Btf::parse_split(bytes, base.clone()).unwrap();
        let deduped = dedup(&old).unwrap();
        check_map(&old, &deduped.btf, &deduped.ids)?;
        for id in (0..=COUNT).map(TypeId) {
            prop_assert_eq!(deduped.ids.get(id), Some(id));
        }
        // Whatever equals a type of the base is one of the base.
        let classes = classes(&deduped.btf);
        let (base_classes, own) = classes.split_at(COUNT as usize + 1);
        prop_assert!(own.iter().all(|class| !base_classes.contains(class)));
        let again = dedup(&deduped.btf).unwrap();
        prop_assert_eq!(again.btf.bytes(), deduped.btf.bytes());
        // The types go on when they are appended to a builder of the same base.
        let mut builder = Builder::split(&base);
        let ids = builder.append(&old).unwrap();
        prop_assert!(ids.iter().all(|(old, new)| old == new));
        prop_assert!(Builder::new().append(&old).is_err());
    }
}
