//! BTF: whatever parses can be walked, printed, and used to read values, to its last type.

use skep_btf::value::{Layout, TextStyle, Value};
use skep_btf::verify::verify;
use skep_btf::{
    Btf, Builder, CDump, Endian, JsonDump, Kind, Minimizer, Need, RawDump, c_header, dedup,
};

use crate::{corpus, elf, kernel};

/// Strings that objects have of their own, and the made-up kernel's.
pub(crate) fn btfs() -> Vec<Vec<u8>> {
    let objects = corpus::OBJECTS.iter();
    let own = objects.filter_map(|object| elf::section(object, ".BTF"));
    let kernels = [skep_btf::Endian::Little, skep_btf::Endian::Big].map(kernel::types);
    own.map(<[u8]>::to_vec).chain(kernels).collect()
}

/// Input: a BTF.
pub(crate) fn btf(input: &[u8]) {
    if let Ok(btf) = Btf::parse_trusted(input.to_vec(), None) {
        RawDump(&btf).to_string();
    }
    for endian in [Endian::Little, Endian::Big] {
        match verify(input.to_vec(), endian) {
            Ok(btf) => {
                read(&btf);
                RawDump(&btf).to_string();
            }
            Err(refused) => super::readable(&refused),
        }
    }
    match Btf::parse(input.to_vec()) {
        Ok(btf) => {
            read(&btf);
            print(&btf);
            rebuild(&btf);
            combine(&btf);
            minimize(&btf);
        }
        Err(error) => super::readable(&error),
    }
}

/// Every accessor of every type.
fn read(btf: &Btf) {
    for one in btf.types() {
        let id = one.id();
        elements(&one.kind());
        let _ = (btf.type_name(id), btf.declaration(id));
        let _ = (btf.size_of(id), btf.align_of(id), btf.skip_modifiers(id));
        let _ = btf.decl_tags(id, None).count();
        let name = one.name();
        let found = btf.find_by_name(name).take(64).any(|found| found == id);
        let many = btf.find_by_name(name).nth(64).is_some();
        assert!(name.is_empty() || found || many, "{one:?} is not found");
        values(btf, id);
    }
}

fn elements(kind: &Kind<'_>) {
    let names = match kind {
        Kind::Struct(all) | Kind::Union(all) => all.members().map(|one| one.name().len()).sum(),
        Kind::Enum(all) => all.values().map(|one| one.name().len()).sum(),
        Kind::Enum64(all) => all.values().map(|one| one.name().len()).sum(),
        Kind::FunctionPrototype(all) => all.params().map(|one| one.name().len()).sum(),
        Kind::DataSection(all) => all.entries().count(),
        _ => 0_usize,
    };
    std::hint::black_box(names);
}

/// Values of the type, of bytes that are too few and of enough for most.
fn values(btf: &Btf, id: skep_btf::TypeId) {
    let bytes = [0xa5; 64];
    let layout = match Layout::new(btf, id) {
        Ok(layout) => layout,
        Err(error) => return super::readable(&error),
    };
    let names = layout.fields().map(|field| field.type_names().count());
    std::hint::black_box(names.sum::<usize>());
    for len in [0, 3, 64] {
        let Ok(value) = Value::new(&layout, &bytes[..len]) else {
            continue;
        };
        for types in [true, false] {
            let style = TextStyle {
                multiline: types,
                types,
            };
            let _ = value.write(style, &mut String::new());
        }
    }
}

fn print(btf: &Btf) {
    RawDump(btf).to_string();
    JsonDump(btf).to_string();
    let _ = c_header(btf, None, &mut String::new());
    // Each type alone costs all that it needs: some are enough.
    for one in btf.types().step_by(1 + btf.types().len() / 16) {
        let mut dump = CDump::new(btf);
        let _ = dump.define(one.id(), &mut String::new());
    }
}

/// A copy has the same types, and its bytes are a fixed point.
fn rebuild(btf: &Btf) {
    let Ok(builder) = Builder::from_btf(btf) else {
        return;
    };
    let Ok(bytes) = builder.build() else {
        return;
    };
    let copy = Btf::parse(bytes.clone()).expect("what was built parses");
    assert_eq!(copy.type_count(), btf.type_count());
    let again = Builder::from_btf(&copy).and_then(|builder| builder.build());
    assert_eq!(again.as_ref(), Ok(&bytes), "a copy of a copy differs");
}

/// Twice the same types are the types once, but for what has a place of its own; what is left is a
/// fixed point, and where each type went is a type of its name.
fn combine(btf: &Btf) {
    let mut builder = Builder::new();
    let Ok(first) = builder.append(btf) else {
        return;
    };
    let second = builder.append(btf).expect("what was appended once");
    let twice = Btf::parse(builder.build().expect("it fits")).expect("what was built parses");
    let once = dedup(btf).expect("what can be appended");
    let deduped = dedup(&twice).expect("what was built");
    for ids in [&first, &second] {
        assert_eq!(ids.iter().count(), btf.types().len());
    }
    for (old, new) in deduped.ids.iter() {
        let [old, new] = [(&twice, old), (&deduped.btf, new)]
            .map(|(btf, id)| btf.type_by_id(id).expect("of the map").name());
        assert_eq!(old, new);
    }
    let own = |btf: &Btf| {
        let own = |kind: &Kind<'_>| matches!(kind, Kind::Variable(_) | Kind::DataSection(_));
        btf.types().any(|one| own(&one.kind()))
    };
    if !own(btf) {
        assert_eq!(deduped.btf.type_count(), once.btf.type_count());
    }
    let again = dedup(&deduped.btf).expect("what was deduplicated");
    assert!(again.btf.bytes() == deduped.btf.bytes(), "no fixed point");
}

/// What is needed is there, and nothing of what is left is left out by doing it again.
fn minimize(btf: &Btf) {
    let mut minimizer = Minimizer::new(btf);
    for one in btf.types().step_by(3) {
        let id = one.id();
        let need = [Need::Type, Need::Element(id.0 % 5), Need::Whole][id.0 as usize % 3];
        if let Err(error) = minimizer.keep(id, need) {
            super::readable(&error);
        }
    }
    let Ok(bytes) = minimizer.build() else {
        return;
    };
    let small = Btf::parse(bytes).expect("what was built parses");
    assert!(small.type_count() <= btf.type_count());
    for one in small.types().filter(|one| !one.name().is_empty()) {
        assert!(btf.find_by_name(one.name()).next().is_some(), "{one:?}");
    }
}
