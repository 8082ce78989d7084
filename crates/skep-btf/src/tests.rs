//! The reader against BTF made by hand: headers of all ages, both byte orders, split BTF, and
//! what must be refused.

use crate::*;
use std::sync::Arc;

/// The bytes of BTF with this header length, these words of types, and these strings.
fn raw(header_len: u32, types: &[u32], strings: &[u8]) -> Vec<u8> {
    let mut out = vec![0x9f, 0xeb, 1, 0];
    let type_len = types.len() as u32 * 4;
    for word in [header_len, 0, type_len, type_len, strings.len() as u32] {
        out.extend(word.to_le_bytes());
    }
    out.resize(header_len as usize, 0);
    out.extend(types.iter().flat_map(|word| word.to_le_bytes()));
    out.extend(strings);
    out
}

const INT: [u32; 4] = [1, 1 << 24, 4, 1 << 24 | 32];

fn message(bytes: Vec<u8>) -> String {
    Btf::parse(bytes).unwrap_err().to_string()
}

#[test]
fn longer_headers_are_read() {
    for header_len in [24, 28, 32, 40, 1000] {
        let btf = Btf::parse(raw(header_len, &INT, b"\0int\0")).unwrap();
        assert_eq!(btf.type_by_id(TypeId(1)).unwrap().name(), "int");
    }
}

/// BTF as Linux 7.1 writes it: a header of 32 bytes, and a section that tells how large the kinds
/// are, here of kind 100 too.
fn with_layout(types: &[u32], strings: &[u8]) -> Vec<u8> {
    let mut bytes = raw(32, types, strings);
    let strings_end = bytes.len() as u32 - 32;
    let mut layout = vec![0_u8; 101 * 4];
    layout[400..402].copy_from_slice(&[8, 4]);
    bytes[24..28].copy_from_slice(&strings_end.to_le_bytes());
    bytes[28..32].copy_from_slice(&(layout.len() as u32).to_le_bytes());
    bytes.extend(layout);
    bytes
}

/// Kind 100: 8 fixed bytes and 2 elements of 4 after the three words.
const KIND_100: [u32; 7] = [0, 100 << 24 | 2, 0, 9, 9, 9, 9];

#[test]
fn the_layout_section_skips_unknown_kinds() {
    let types = [&KIND_100[..], &INT].concat();
    assert_eq!(
        message(raw(32, &types, b"\0int\0")),
        "unknown kind 100 at .BTF+0x20 (type 1), and no layout section to skip it by"
    );
    let btf = Btf::parse(with_layout(&types, b"\0int\0")).unwrap();
    assert!(matches!(
        btf.type_by_id(TypeId(1)).unwrap().kind(),
        Kind::Unknown { kind: 100 }
    ));
    assert_eq!(btf.find("int", KindTag::Int), Some(TypeId(2)));
    assert!(
        JsonDump(&btf)
            .to_string()
            .contains("\"UNKNOWN\",\"name\":\"(anon)\",\"kind_number\":100}")
    );
}

#[test]
fn what_is_not_understood_is_not_written_again() {
    let types = [&INT[..], &KIND_100, &INT].concat();
    let btf = Btf::parse(with_layout(&types, b"\0int\0")).unwrap();
    let expected = "unknown kind 100 at .BTF+0x30 (type 2) can't be written again";
    let errors = [
        Builder::from_btf(&btf).map(|_| ()),
        Builder::new().append(&btf).map(|_| ()),
        dedup(&btf).map(|_| ()),
    ];
    for error in errors {
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
    // Who does not need it is not kept from the rest.
    let mut minimizer = Minimizer::new(&btf);
    minimizer.keep(TypeId(3), Need::Type).unwrap();
    assert_eq!(minimizer.build().unwrap(), raw(24, &INT, b"\0int\0"));
}

#[test]
fn later_headers_become_the_one_that_every_kernel_takes() {
    let types = [&INT[..], &INT].concat();
    let (old, once) = (raw(24, &types, b"\0int\0"), raw(24, &INT, b"\0int\0"));
    let btf = Btf::parse(with_layout(&types, b"\0int\0")).unwrap();
    assert_eq!(btf.layout_section().len(), 404);
    let mut builder = Builder::new();
    builder.append(&btf).unwrap();
    assert_eq!(builder.build().unwrap(), old);
    assert_eq!(dedup(&btf).unwrap().btf.bytes(), once);
}

#[test]
fn counts_beyond_16_bits_are_read() {
    let mut builder = Builder::new();
    let values: Vec<(String, i64)> = (0..70_000).map(|one| (format!("V{one}"), one)).collect();
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let id = builder.enumeration("wide", &values);
    let btf = Btf::parse(builder.build().unwrap()).unwrap();
    let Kind::Enum(found) = btf.type_by_id(id).unwrap().kind() else {
        panic!()
    };
    assert_eq!(found.values().len(), 70_000);
    assert_eq!(
        found.values().last().map(|one| (one.name(), one.value)),
        Some(("V69999", 69_999))
    );
}

#[test]
fn errors_say_where() {
    assert_eq!(
        message(vec![0x7f, b'E', b'L', b'F']),
        "not BTF: the magic number is 0x457f, expected 0xeb9f"
    );
    assert_eq!(message(vec![0x9f]), "unexpected end of header at .BTF+0x1");
    assert_eq!(
        message(raw(24, &INT, b"\0int\0")[..20].to_vec()),
        "unexpected end of header at .BTF+0x14"
    );
    let mut version = raw(24, &INT, b"\0int\0");
    version[2] = 2;
    assert_eq!(message(version), "BTF version 2 is not known, expected 1");
    let cut = raw(24, &[&INT[..], &[1, 1 << 24, 4]].concat(), b"\0int\0");
    assert_eq!(
        message(cut),
        "unexpected end of type section at .BTF+0x28 (type 2)"
    );
    let mut short = raw(24, &INT, b"\0int\0");
    short.pop();
    assert_eq!(
        message(short),
        "the string section (offset 0x28, 0x5 bytes) lies outside the BTF data of 0x2c bytes"
    );
    for strings in [&b""[..], b"x", b"\0x", b"x\0"] {
        assert_eq!(
            message(raw(24, &[], strings)),
            "the string section at .BTF+0x18 must begin and end with a NUL byte"
        );
    }
    let pointer = [0, 2 << 24, 7];
    assert_eq!(
        message(raw(24, &pointer, b"\0")),
        "reference to type 7 at .BTF+0x20 (type 1), but the last type is 1"
    );
    let member = [0, 4 << 24 | 1, 4, 99, 1, 0];
    assert_eq!(
        message(raw(24, &member, b"\0")),
        "name at string offset 0x63 at .BTF+0x24 (type 1) lies outside the string section"
    );
    assert_eq!(
        message(raw(24, &INT, b"\0\xff\xff\0")),
        "name at string offset 0x1 at .BTF+0x18 (type 1) is not UTF-8"
    );
    // Lines of source code need not be UTF-8: nothing in the types refers to them.
    let btf = Btf::parse(raw(24, &INT, b"\0int\0\xff\0")).unwrap();
    assert_eq!(btf.string_bytes(StringOffset(5)), Some(&b"\xff"[..]));
    assert!(btf.string(StringOffset(5)).is_err());
    assert_eq!(
        btf.type_by_id(TypeId(2)).unwrap_err(),
        Error::NoSuchType {
            id: TypeId(2),
            last: TypeId(1)
        }
    );
}

#[test]
fn split_btf_continues_its_base() {
    let mut base = Builder::new();
    let int = base.int("int", 4, IntEncoding::SIGNED);
    base.structure("task___old", 4, &[NewMember::new("pid", int, 0)]);
    let base = Arc::new(Btf::parse(base.build().unwrap()).unwrap());

    let mut module = Builder::split(&base);
    let task = module.structure("task", 4, &[NewMember::new("tgid", int, 0)]);
    let pointer = module.pointer(task);
    let module = Btf::parse_split(module.build().unwrap(), base.clone()).unwrap();
    assert_eq!((module.first_id(), module.type_count()), (TypeId(3), 4));
    assert_eq!(module.type_by_id(int).unwrap().name(), "int");
    assert_eq!(
        module.types().map(|one| one.id()).collect::<Vec<_>>(),
        [task, pointer]
    );
    assert_eq!(
        module.candidates("task").collect::<Vec<_>>(),
        [TypeId(2), task]
    );
    assert_eq!(module.find("task", KindTag::Struct), Some(task));
    assert_eq!(module.find("int", KindTag::Int), Some(int));
    assert_eq!(module.type_name(pointer).unwrap(), "struct task *");
    assert_eq!(base.candidates("task").collect::<Vec<_>>(), [TypeId(2)]);
    let mut header = String::new();
    c_header(&module, None, &mut header).unwrap();
    assert!(
        header.contains("struct task {\n\tint tgid;\n};"),
        "{header}"
    );

    // An edited module keeps its ids and strings.
    let again = Builder::from_btf(&module).unwrap().build().unwrap();
    assert_eq!(again, module.bytes());
}

#[test]
fn essential_names_drop_flavors() {
    for (name, essential) in [
        ("task_struct", "task_struct"),
        ("task_struct___v5", "task_struct"),
        ("a___b___c", "a___b"),
        ("___x", "___x"),
        ("x___", "x___"),
        ("x____y", "x____y"),
        ("x___y_", "x"),
        ("", ""),
        ("__a", "__a"),
    ] {
        assert_eq!(essential_name(name), essential, "{name}");
        let mut builder = Builder::new();
        let id = builder.int(name, 4, IntEncoding::SIGNED);
        // Enough others that names spread over the index and are not at the end of the strings.
        for other in 0..100 {
            builder.typedef(&format!("other{other}"), id);
        }
        let btf = Btf::parse(builder.build().unwrap()).unwrap();
        let found = btf.candidates(essential).next();
        assert_eq!(found, (!name.is_empty()).then_some(id), "{name}");
    }
}

#[test]
fn sizes_and_alignments() {
    let mut builder = Builder::new();
    let char_type = builder.int("char", 1, IntEncoding::SIGNED);
    let int = builder.int("int", 4, IntEncoding::SIGNED);
    let pointer = builder.pointer(TypeId::VOID);
    let array = builder.array(pointer, int, 3);
    let array = builder.array(array, int, 2);
    let member = NewMember::new;
    let plain = builder.structure(
        "plain",
        16,
        &[member("c", char_type, 0), member("p", pointer, 64)],
    );
    let packed = builder.structure(
        "packed",
        5,
        &[member("c", char_type, 0), member("i", int, 8)],
    );
    let loops = builder.next_id();
    builder.add(NewType::Const { target: loops });
    let mut btf = Btf::parse(builder.build().unwrap()).unwrap();
    assert_eq!(btf.size_of(array), Ok(48));
    assert_eq!((btf.size_of(plain), btf.align_of(plain)), (Ok(16), Ok(8)));
    assert_eq!((btf.size_of(packed), btf.align_of(packed)), (Ok(5), Ok(1)));
    assert_eq!(btf.size_of(loops), Err(Error::TypeLoop { id: loops }));
    assert!(matches!(
        btf.skip_modifiers(loops),
        Err(Error::TypeLoop { .. })
    ));
    assert!(matches!(btf.align_of(loops), Err(Error::TypeLoop { .. })));
    btf.set_pointer_size(4);
    assert_eq!(btf.size_of(array), Ok(24));
}

#[test]
fn the_size_of_long_is_that_of_pointers() {
    let mut builder = Builder::new();
    builder.int("long unsigned int", 4, IntEncoding::UNSIGNED);
    let btf = Btf::parse(builder.build().unwrap()).unwrap();
    assert_eq!(btf.pointer_size(), 4);
}
