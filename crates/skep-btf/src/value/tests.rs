//! Values of made-up types in both byte orders.

use super::*;
use crate::{Builder, IntEncoding, NewMember, NewType};

/// What the tests format values of; `build` in either byte order.
struct Types {
    builder: Builder,
    int: TypeId,
    char_type: TypeId,
    u32_type: TypeId,
}

impl Types {
    fn new() -> Self {
        let mut builder = Builder::new();
        let int = builder.int("int", 4, IntEncoding::SIGNED);
        let char_type = builder.int("char", 1, IntEncoding::SIGNED);
        let u32_type = builder.int("unsigned int", 4, IntEncoding::UNSIGNED);
        Self {
            builder,
            int,
            char_type,
            u32_type,
        }
    }

    fn text(&mut self, id: TypeId, endianness: Endian, bytes: &[u8]) -> String {
        self.builder.set_endianness(endianness);
        let btf = Btf::parse(self.builder.build().unwrap()).unwrap();
        Value::new(&Layout::new(&btf, id).unwrap(), bytes)
            .unwrap()
            .to_string()
    }

    fn little(&mut self, id: TypeId, bytes: &[u8]) -> String {
        self.text(id, Endian::Little, bytes)
    }
}

#[test]
fn integers_of_all_widths() {
    for endianness in [Endian::Little, Endian::Big] {
        for (size, bytes, signed, unsigned) in [
            (1, 0xfe_u8.to_be_bytes().to_vec(), "-2", "254"),
            (2, 0xfffe_u16.to_be_bytes().to_vec(), "-2", "65534"),
            (
                4,
                0xffff_fffe_u32.to_be_bytes().to_vec(),
                "-2",
                "4294967294",
            ),
            (
                8,
                (u64::MAX - 1).to_be_bytes().to_vec(),
                "-2",
                "18446744073709551614",
            ),
            (
                16,
                (u128::MAX - 1).to_be_bytes().to_vec(),
                "-2",
                "340282366920938463463374607431768211454",
            ),
        ] {
            let mut bytes = bytes;
            if endianness == Endian::Little {
                bytes.reverse();
            }
            let mut types = Types::new();
            let one = types.builder.int("a", size, IntEncoding::SIGNED);
            let two = types.builder.int("b", size, IntEncoding::UNSIGNED);
            assert_eq!(types.text(one, endianness, &bytes), signed);
            assert_eq!(types.text(two, endianness, &bytes), unsigned);
        }
    }
}

#[test]
fn bit_fields_in_both_byte_orders() {
    let mut types = Types::new();
    let member = |name, type_id, bit_offset, bitfield_size| NewMember {
        name,
        type_id,
        bit_offset,
        bitfield_size,
    };
    let members = [
        member("a", types.int, 0, 3),
        member("b", types.u32_type, 3, 5),
        member("c", types.u32_type, 8, 15),
        member("d", types.u32_type, 23, 1),
    ];
    let id = types.builder.structure("bits", 4, &members);
    // a = -2 (0b110), b = 0b10101, c = 0x5abc, d = 1.
    let little: u32 = 0b110 | 0b10101 << 3 | 0x5abc << 8 | 1 << 23;
    let big: u32 = 0b110 << 29 | 0b10101 << 24 | 0x5abc << 9 | 1 << 8;
    let expected = "{ .a = -2, .b = 21, .c = 23228, .d = 1 }";
    assert_eq!(
        types.text(id, Endian::Little, &little.to_le_bytes()),
        expected
    );
    assert_eq!(types.text(id, Endian::Big, &big.to_be_bytes()), expected);
}

#[test]
fn enumerations_by_name_else_by_number() {
    let mut types = Types::new();
    let id = types
        .builder
        .enumeration("state", &[("B", 2), ("A", -1), ("C", 2)]);
    assert_eq!(types.little(id, &2_i32.to_le_bytes()), "B");
    assert_eq!(types.little(id, &(-1_i32).to_le_bytes()), "A");
    assert_eq!(types.little(id, &7_i32.to_le_bytes()), "7");
    let values = [("BIG", u64::MAX)];
    let wide = NewType::Enum64 {
        name: "wide",
        size: 8,
        signed: false,
        values: &values,
    };
    let id = types.builder.add(wide);
    assert_eq!(types.little(id, &u64::MAX.to_le_bytes()), "BIG");
    assert_eq!(types.little(id, &1_u64.to_le_bytes()), "1");
}

#[test]
fn floats_booleans_pointers_characters() {
    let mut types = Types::new();
    let float = types.builder.add(NewType::Float {
        name: "float",
        size: 4,
    });
    let double = types.builder.add(NewType::Float {
        name: "double",
        size: 8,
    });
    let boolean = types.builder.int("_Bool", 1, IntEncoding::BOOL);
    let pointer = types.builder.pointer(TypeId::VOID);
    assert_eq!(types.little(float, &1.1_f32.to_le_bytes()), "1.1");
    assert_eq!(types.little(double, &(-2.5_f64).to_le_bytes()), "-2.5");
    assert_eq!(types.little(boolean, &[1]), "true");
    assert_eq!(
        types.little(pointer, &0xffff_8880_u64.to_le_bytes()),
        "0xffff8880"
    );
    let char_type = types.char_type;
    assert_eq!(types.little(char_type, b"x"), "'x'");
    assert_eq!(types.little(char_type, &[3]), "3");
}

#[test]
fn text_is_escaped_and_ends_at_nul() {
    let mut types = Types::new();
    let (char_type, int) = (types.char_type, types.int);
    let id = types.builder.array(char_type, int, 12);
    assert_eq!(
        types.little(id, b"a\"\\\n\x01\xffz\0old!"),
        r#""a\"\\\n\x01\xffz""#
    );
    assert_eq!(types.little(id, "grüße\0\0\0\0\0".as_bytes()), "\"grüße\"");
}

#[test]
fn nested_structures_arrays_and_unions() {
    let mut types = Types::new();
    let int = types.int;
    let pair = types.builder.array(int, int, 2);
    let inner = [NewMember::new("x", int, 0), NewMember::new("y", int, 32)];
    let point = types.builder.structure("point", 8, &inner);
    let points = types.builder.array(point, int, 2);
    let either = [NewMember::new("n", int, 0), NewMember::new("p", point, 0)];
    let anonymous = types.builder.union("", 8, &either);
    let empty = types.builder.structure("empty", 0, &[]);
    let id = types.builder.structure(
        "all",
        32,
        &[
            NewMember::new("pair", pair, 0),
            NewMember::new("points", points, 64),
            NewMember::new("", anonymous, 192),
            NewMember::new("empty", empty, 256),
        ],
    );
    let bytes: Vec<u8> = (1..=8_i32).flat_map(i32::to_le_bytes).collect();
    assert_eq!(
        types.little(id, &bytes),
        "{ .pair = [ 1, 2 ], .points = [ { .x = 3, .y = 4 }, { .x = 5, .y = 6 } ], \
         { .n = 7, .p = { .x = 7, .y = 8 } }, .empty = {} }"
    );
    let btf = Btf::parse(types.builder.build().unwrap()).unwrap();
    let typedefed = format!(
        "{:#}",
        Value::new(&Layout::new(&btf, point).unwrap(), &bytes).unwrap()
    );
    assert_eq!(
        typedefed,
        "(struct point){\n\t.x = (int)1,\n\t.y = (int)2,\n}"
    );
}

#[test]
fn a_flexible_array_takes_what_is_left() {
    let mut types = Types::new();
    let (int, char_type) = (types.int, types.char_type);
    let ints = types.builder.array(int, int, 0);
    let chars = types.builder.array(char_type, int, 0);
    let head = NewMember::new("len", int, 0);
    let numbers = types
        .builder
        .structure("a", 4, &[head, NewMember::new("data", ints, 32)]);
    let text = types
        .builder
        .structure("b", 4, &[head, NewMember::new("data", chars, 32)]);
    let bytes = [2, 0, 0, 0, b'h', b'i', 0, 0, 9, 0, 0, 0, 1];
    assert_eq!(
        types.little(numbers, &bytes),
        "{ .len = 2, .data = [ 26984, 9 ] }"
    );
    assert_eq!(types.little(text, &bytes), "{ .len = 2, .data = \"hi\" }");
    assert_eq!(
        types.little(numbers, &bytes[..4]),
        "{ .len = 2, .data = [] }"
    );
}

#[test]
fn too_few_bytes_name_the_member() {
    let mut types = Types::new();
    let int = types.int;
    let members = [
        NewMember::new("first", int, 0),
        NewMember::new("second", int, 32),
    ];
    let id = types.builder.structure("event", 8, &members);
    let btf = Btf::parse(types.builder.build().unwrap()).unwrap();
    let error = Value::new(&Layout::new(&btf, id).unwrap(), &[0; 6]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "6 bytes are too few for a value of `struct event`, which has 8 (they end before or in `second`)"
    );
}

#[test]
fn typedef_chains_reach_the_visitor() {
    let mut types = Types::new();
    let int = types.int;
    let kernel_pid = types.builder.typedef("__kernel_pid_t", int);
    let pid = types.builder.typedef("pid_t", kernel_pid);
    let constant = types.builder.add(NewType::Const { target: pid });
    let id = types
        .builder
        .structure("event", 4, &[NewMember::new("pid", constant, 0)]);
    let btf = Btf::parse(types.builder.build().unwrap()).unwrap();
    let layout = Layout::new(&btf, id).unwrap();
    let field = layout.fields().next().unwrap();
    assert_eq!(
        field.type_names().collect::<Vec<_>>(),
        ["pid_t", "__kernel_pid_t", "int"]
    );
    assert!(field.is_scalar());
}

#[test]
fn types_without_sense_are_refused() {
    let mut types = Types::new();
    let (int, next) = (types.int, types.builder.next_id());
    types
        .builder
        .structure("own", 4, &[NewMember::new("self", next, 0)]);
    let outside = types
        .builder
        .structure("out", 4, &[NewMember::new("m", int, 8)]);
    let btf = Btf::parse(types.builder.build().unwrap()).unwrap();
    assert_eq!(
        Layout::new(&btf, next).unwrap_err(),
        Error::TypeLoop { id: next }
    );
    let member = "m".to_owned();
    assert_eq!(
        Layout::new(&btf, outside).unwrap_err(),
        Error::MemberOutside {
            id: outside,
            member
        }
    );
    assert!(matches!(
        Layout::new(&btf, TypeId::VOID),
        Err(Error::NoSize { .. })
    ));
}

#[test]
fn unions_of_unions_have_a_budget() {
    let mut types = Types::new();
    let mut inner = types.int;
    for _ in 0..20 {
        let both = [("a", inner), ("b", inner)].map(|(name, id)| NewMember::new(name, id, 0));
        inner = types.builder.union("", 4, &both);
    }
    let btf = Btf::parse(types.builder.build().unwrap()).unwrap();
    let layout = Layout::new(&btf, inner).unwrap();
    let mut out = String::new();
    let result = Value::new(&layout, &[0; 4])
        .unwrap()
        .write(TextStyle::default(), &mut out);
    assert!(matches!(result, Err(Error::TooComplex { .. })));
}
