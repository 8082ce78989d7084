//! BTF: whatever parses can be walked, printed, and used to read values, to its last type.

use skep_btf::value::{Layout, TextStyle, Value};
use skep_btf::{Btf, Builder, CDump, Kind, RawDump, c_header};

use crate::{corpus, elf, kernel};

/// Strings that objects have of their own, and the made-up kernel's.
pub(crate) fn btfs() -> Vec<Vec<u8>> {
    let objects = corpus::OBJECTS.iter();
    let own = objects.filter_map(|object| elf::section(object, ".BTF"));
    let kernels = [skep_btf::Endianness::Little, skep_btf::Endianness::Big].map(kernel::types);
    own.map(<[u8]>::to_vec).chain(kernels).collect()
}

/// Input: a BTF.
pub(crate) fn btf(input: &[u8]) {
    if let Ok(btf) = Btf::parse_trusted(input.to_vec(), None) {
        RawDump(&btf).to_string();
    }
    match Btf::parse(input.to_vec()) {
        Ok(btf) => {
            read(&btf);
            print(&btf);
            rebuild(&btf);
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
