//! The layouts that there are: this header's, libbpf's with index registers in bit fields, and the
//! one of before index registers; in both byte orders.

use skep_btf::{Builder, IntEncoding, NewMember};

use super::*;

const RAX: Register = Register {
    name: "rax",
    offset: 80,
};
const RSP: Register = Register {
    name: "rsp",
    offset: 152,
};

/// A part of a structure: name, bytes of its type, the bit it starts at, bits of a bit field or 0.
type Part = (&'static str, u32, u32, u8);

/// A header whose arguments are structures of `size` bytes with these parts; it has room for two.
fn layout(endian: Endian, size: u32, parts: &[Part]) -> Layout {
    let mut builder = Builder::new();
    builder.set_endianness(endian);
    let ints = [1, 2, 4, 8].map(|size| {
        let id = builder.int(&format!("u{size}"), size, IntEncoding::UNSIGNED);
        (size, id)
    });
    let int = |size| ints.iter().find(|(known, _)| *known == size).unwrap().1;
    let member = |(name, size, bit_offset, bitfield_size): &Part| NewMember {
        name,
        type_id: int(*size),
        bit_offset: *bit_offset,
        bitfield_size: *bitfield_size,
    };
    let members: Vec<NewMember<'_>> = parts.iter().map(member).collect();
    let argument = builder.structure("__bpf_usdt_arg_spec", size, &members);
    let array = builder.array(argument, int(4), 2);
    let whole = [
        NewMember {
            name: "args",
            type_id: array,
            bit_offset: 0,
            bitfield_size: 0,
        },
        member(&("usdt_cookie", 8, size * 16, 0)),
        member(&("arg_cnt", 2, size * 16 + 64, 0)),
    ];
    let spec = builder.structure("__bpf_usdt_spec", size * 2 + 16, &whole);
    let btf = Btf::parse(builder.build().unwrap()).unwrap();
    Layout::of(&btf, spec, size as usize * 2 + 16).unwrap()
}

const OWN: &[Part] = &[
    ("val_off", 8, 0, 0),
    ("arg_type", 1, 64, 0),
    ("scale_bitshift", 1, 72, 0),
    ("idx_reg_off", 2, 80, 0),
    ("reg_off", 2, 96, 0),
    ("arg_signed", 1, 112, 0),
    ("arg_bitshift", 1, 120, 0),
];
const OLD: &[Part] = &[
    ("val_off", 8, 0, 0),
    ("arg_type", 4, 64, 0),
    ("reg_off", 2, 96, 0),
    ("arg_signed", 1, 112, 0),
    ("arg_bitshift", 1, 120, 0),
];
/// As compilers lay them out: no bit field goes over the end of its type.
const FIELDS: &[Part] = &[
    ("val_off", 8, 0, 0),
    ("arg_type", 4, 64, 8),
    ("idx_reg_off", 2, 80, 12),
    ("scale_bitshift", 2, 92, 4),
    ("reg_off", 2, 112, 0),
    ("arg_signed", 1, 128, 0),
    ("arg_bitshift", 1, 136, 0),
];

fn arguments() -> [Argument; 2] {
    [
        Argument {
            size: 4,
            signed: true,
            place: Place::Memory {
                base: RSP,
                index: Some((RAX, 3)),
                offset: -8,
            },
        },
        Argument {
            size: 2,
            signed: false,
            place: Place::Register(RAX),
        },
    ]
}

#[test]
fn parts_are_where_the_types_say() {
    let little = layout(Endian::Little, 16, OWN)
        .write(&arguments(), 0x0102)
        .unwrap();
    let mut wanted = vec![0; 48];
    wanted[..16].copy_from_slice(&[
        0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3, 3, 80, 0, 152, 0, 1, 32,
    ]);
    wanted[24] = 1;
    wanted[28] = 80;
    wanted[31] = 48;
    wanted[32..34].copy_from_slice(&[2, 1]);
    wanted[40] = 2;
    assert_eq!(little, wanted);

    let fields = layout(Endian::Little, 24, FIELDS)
        .write(&arguments(), 0)
        .unwrap();
    assert_eq!(fields[8..18], [3, 0, 80, 0x30, 0, 0, 152, 0, 1, 32]);
    assert_eq!(fields[24..48][8..18], [1, 0, 0, 0, 0, 0, 80, 0, 0, 48]);

    let big = layout(Endian::Big, 24, FIELDS)
        .write(&arguments(), 0x0102)
        .unwrap();
    assert_eq!(
        big[..18],
        [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf8, 3, 0, 5, 3, 0, 0, 0, 152, 1, 32
        ]
    );
    assert_eq!(big[48..58], [0, 0, 0, 0, 0, 0, 1, 2, 0, 2]);
}

#[test]
fn what_does_not_fit_is_said() {
    let old = layout(Endian::Little, 16, OLD);
    let error = old.write(&arguments(), 0).unwrap_err();
    assert!(
        error.contains("`rax`") && error.contains("newer"),
        "{error}"
    );
    let [_, plain] = arguments();
    let written = old.write(&[plain], 0).unwrap();
    assert_eq!(written[8..16], [1, 0, 0, 0, 80, 0, 0, 48]);
    let error = old.write(&[plain; 3], 0).unwrap_err();
    assert!(
        error.contains("3 arguments") && error.contains("of 2"),
        "{error}"
    );
}

#[test]
fn other_types_are_no_layout() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, IntEncoding::SIGNED);
    let member = |name| NewMember {
        name,
        type_id: int,
        bit_offset: 0,
        bitfield_size: 0,
    };
    let empty = builder.structure("empty", 4, &[member("other")]);
    let flat = builder.structure("flat", 4, &[member("args")]);
    let btf = Btf::parse(builder.build().unwrap()).unwrap();
    for (id, size, part) in [
        (int, 4, "no structures"),
        (empty, 4, "no `args`"),
        (empty, 8, "have 8 bytes"),
        (flat, 4, "no array"),
        (TypeId(99), 4, ""),
    ] {
        let error = Layout::of(&btf, id, size).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}
