//! Fields: where they are, how large, which of several types they are of.

use super::*;

#[test]
fn a_moved_field_is_found_by_name() {
    let target = || target_struct(64, &[("x", 0), ("b", 40)]);
    let offset = CoreKind::FieldByteOffset;
    becomes(
        second_field(offset, load(BPF_W, 4)).against(target()),
        load(BPF_W, 40),
    );
    becomes(second_field(offset, mov(4)).against(target()), mov(40));
    becomes(second_field(offset, mov64(4)).against(target()), mov64(40));
    let store = |offset| {
        let [insn] = load(BPF_W, offset)[..] else {
            unreachable!()
        };
        vec![RawInsn {
            opcode: BPF_STX | BPF_MEM | BPF_W,
            ..insn
        }]
    };
    becomes(second_field(offset, store(4)).against(target()), store(40));
    becomes(
        second_field(CoreKind::FieldByteSize, mov(4)).against(target()),
        mov(4),
    );
    becomes(
        second_field(CoreKind::FieldExists, mov(1)).against(target()),
        mov(1),
    );
}

#[test]
fn a_missing_field_poisons_and_says_which() {
    let target = || target_struct(64, &[("x", 0)]);
    let offset = CoreKind::FieldByteOffset;
    let why = "byte_offset of struct s.b (0:1): no candidate has the field `b`";
    poisoned(second_field(offset, load(BPF_W, 4)).against(target()), why);
    poisoned(second_field(offset, mov64(4)).against(target()), why);
    becomes(
        second_field(CoreKind::FieldExists, mov(1)).against(target()),
        mov(0),
    );
    let empty = Types::new().btf();
    let why = "byte_offset of struct s.b (0:1): the target has no type struct s";
    poisoned(second_field(offset, load(BPF_W, 4)).against(empty), why);
}

#[test]
fn a_field_of_another_size_changes_the_load_if_it_is_unsigned() {
    let with_b = |of: fn(&Types) -> TypeId| {
        let mut target = Types::new();
        let b = of(&target);
        target.structure("s", 16, &[("b", b, 8)]);
        target.btf()
    };
    let offset = CoreKind::FieldByteOffset;
    let long = with_b(|types| types.ulong);
    becomes(
        second_field(offset, load(BPF_W, 4)).against(long),
        load(BPF_DW, 8),
    );
    let mut target = Types::new();
    let short = target.builder.int("short", 2, IntEncoding::SIGNED);
    target.structure("s", 16, &[("b", short, 8)]);
    poisoned(
        second_field(offset, load(BPF_W, 4)).against(target.btf()),
        "byte_offset of struct s.b (0:1): the field has 2 bytes in the target and 4 here, and \
         only pointers and unsigned integers can be read so: use BPF_CORE_READ or \
         bpf_core_read()",
    );
    // A number is no load: its size is nobody's business.
    let mut target = Types::new();
    let short = target.builder.int("short", 2, IntEncoding::SIGNED);
    target.structure("s", 16, &[("b", short, 8)]);
    becomes(second_field(offset, mov(4)).against(target.btf()), mov(8));
}

#[test]
fn pointers_of_32_bit_kernels_are_loaded_in_4_bytes() {
    let pointer_field = |offset| {
        let mut types = Types::new();
        let pointer = types.builder.pointer(types.int);
        let root = types.structure("s", 16, &[("p", pointer, offset)]);
        (types, root)
    };
    let (local, root) = pointer_field(8);
    let mut target = Btf::parse(pointer_field(4).0.builder.build().unwrap()).unwrap();
    target.set_pointer_size(4);
    let kind = CoreKind::FieldByteOffset;
    let case = Case {
        local,
        kind,
        root,
        access: "0:0",
        insns: load(BPF_DW, 8),
    };
    becomes(case.against(Arc::new(target)), load(BPF_W, 4));
}

#[test]
fn fields_of_incompatible_types_do_not_match() {
    let mut target = Types::new();
    let pointer = target.builder.pointer(target.int);
    target.structure("s", 16, &[("b", pointer, 8)]);
    let case = second_field(CoreKind::FieldByteOffset, load(BPF_W, 4));
    poisoned(
        case.against(target.btf()),
        "byte_offset of struct s.b (0:1): no candidate has the field `b` as a type like unsigned \
         int",
    );
}

#[test]
fn flavors_are_dropped_and_anonymous_members_searched() {
    let mut local = Types::new();
    let int = local.int;
    let root = local.structure("s___v2", 8, &[("b", int, 4)]);
    let mut target = Types::new();
    let int = target.int;
    let inner = target.structure("", 8, &[("z", int, 0), ("b", int, 4)]);
    let middle = target.builder.union("", 8, &[NewMember::new("", inner, 0)]);
    target.structure("s", 64, &[("a", int, 0), ("", middle, 32)]);
    let (kind, insns) = (CoreKind::FieldByteOffset, mov(4));
    let case = Case {
        local,
        kind,
        root,
        access: "0:0",
        insns,
    };
    becomes(case.against(target.btf()), mov(36));
}

#[test]
fn array_elements_are_counted_in_the_target_s_sizes() {
    let nested = |size: u32, len: u32| {
        let mut types = Types::new();
        let int = types.int;
        let element = types.structure("e", size, &[("x", int, size - 4)]);
        let array = types.builder.array(element, int, len);
        let root = types.structure("s", 8 + size * len, &[("list", array, 8)]);
        (types, root)
    };
    let case = |access, number| {
        let (local, root) = nested(8, 4);
        Case {
            local,
            kind: CoreKind::FieldByteOffset,
            root,
            access,
            insns: mov(number),
        }
    };
    // s[0].list[2].x and s[1].list[2].x
    becomes(
        case("0:0:2:0", 8 + 16 + 4).against(nested(16, 4).0.btf()),
        mov(8 + 32 + 12),
    );
    becomes(
        case("1:0:2:0", 40 + 28).against(nested(16, 4).0.btf()),
        mov(72 + 52),
    );
    // The last member's array of no length has any element.
    becomes(case("0:0:2:0", 28).against(nested(16, 0).0.btf()), mov(52));
    poisoned(
        case("0:0:2:0", 28).against(nested(16, 2).0.btf()),
        "byte_offset of struct s.list[2].x (0:0:2:0): no candidate has an element 2",
    );
}

#[test]
fn several_candidates_must_agree() {
    let two = |first: u32, second: u32| {
        let mut target = Types::new();
        let uint = target.uint;
        target.structure("s", 64, &[("b", uint, first)]);
        target.structure("s___2", 64, &[("b", uint, second)]);
        target.btf()
    };
    let case = || second_field(CoreKind::FieldByteOffset, load(BPF_W, 4));
    becomes(case().against(two(16, 16)), load(BPF_W, 16));
    let text = case().against(two(16, 24)).unwrap_err().to_string();
    assert_eq!(
        text,
        "`test`, instruction 0: CO-RE relocation byte_offset of struct s.b (0:1) is ambiguous: \
         struct s.b of the kernel (type 4, bit 128: 16) and struct s___2.b of the kernel (type 5, \
         bit 192: 24) give different results"
    );
}

#[test]
fn all_accesses_to_a_type_choose_the_same_candidate() {
    // Only the second `struct s` has `a`, so `b` is the second one's, too.
    let mut target = Types::new();
    let uint = target.uint;
    target.structure("s", 64, &[("b", uint, 16)]);
    target.structure("s", 64, &[("a", uint, 32), ("b", uint, 24)]);
    let target = Target::new(KernelVersion::new(6, 18)).with_kernel_btf(target.btf());

    let mut local = Types::new();
    let uint = local.uint;
    let root = local.structure("s", 8, &[("a", uint, 0), ("b", uint, 4)]);
    let (b, a) = (local.builder.string("0:1"), local.builder.string("0:0"));
    let mut function = function([load(BPF_W, 4), load(BPF_W, 0)].concat());
    for (insn, access) in [(0, b), (1, a)] {
        let (insn, kind) = (InsnIndex(insn), CoreKind::FieldByteOffset);
        function.core_relocations.push(CoreRelocation {
            insn,
            type_id: root,
            access,
            kind,
        });
    }
    let local = local.btf();
    let mut relocator = Relocator::new(&local, &target);
    relocator.prepare(&function).unwrap();
    assert_eq!(relocator.relocate(&mut function).unwrap(), []);
    assert_eq!(
        function.instructions,
        [load(BPF_W, 24), load(BPF_W, 32)].concat()
    );
}

#[test]
fn modules_are_searched_after_the_kernel() {
    let kernel = Types::new().btf();
    let mut module = Builder::split(&kernel);
    let int = module.int("int", 4, IntEncoding::UNSIGNED);
    module.structure("s", 64, &[NewMember::new("b", int, 88 * 8)]);
    let module = Btf::parse_split(module.build().unwrap(), Arc::clone(&kernel)).unwrap();
    let target = Target::new(KernelVersion::new(6, 18))
        .with_kernel_btf(kernel)
        .with_module("m", Arc::new(module));
    let case = second_field(CoreKind::FieldByteOffset, load(BPF_W, 4));
    becomes(case.on(target), load(BPF_W, 88));
}

/// The number that a bit field's relocation gives: byte offset, size and shifts.
fn bitfield(endian: Endian, of_size: u32, bit: u32, bits: u8) -> [i32; 4] {
    let kinds = [
        CoreKind::FieldByteOffset,
        CoreKind::FieldByteSize,
        CoreKind::FieldLeftShift,
        CoreKind::FieldRightShift,
    ];
    kinds.map(|kind| {
        let mut local = Types::new();
        let uint = local.uint;
        let root = local.bitfield("s", "f", uint, 0, 31);
        let mut target = Types::new();
        let of = target.builder.int("word", of_size, IntEncoding::UNSIGNED);
        target.bitfield("s", "f", of, bit, bits);
        let mut on = Target::new(KernelVersion::new(6, 18)).with_kernel_btf(target.btf());
        on.endian = endian;
        let insns = if kind == CoreKind::FieldRightShift {
            mov(64 - 31)
        } else {
            mov(0)
        };
        let (insns, _) = Case {
            local,
            kind,
            root,
            access: "0:0",
            insns,
        }
        .on(on)
        .unwrap();
        insns[0].imm
    })
}

#[test]
fn bit_fields_are_loaded_by_the_smallest_load_that_has_them() {
    // 3 bits from bit 37: in the second word, from its bit 5.
    assert_eq!(bitfield(Endian::Little, 4, 37, 3), [4, 4, 64 - 8, 61]);
    assert_eq!(bitfield(Endian::Big, 4, 37, 3), [4, 4, 32 + 5, 61]);
    // 3 bits from bit 7 do not fit the byte that they are declared in.
    assert_eq!(bitfield(Endian::Little, 1, 7, 3), [0, 2, 64 - 10, 61]);
    assert_eq!(bitfield(Endian::Little, 8, 64, 64), [8, 8, 0, 0]);
    // 10 bits from bit 60 straddle 8 bytes: no load has them.
    let mut target = Types::new();
    let uint = target.uint;
    target.bitfield("s", "b", uint, 60, 10);
    let case = second_field(CoreKind::FieldByteSize, mov(4));
    fails(
        case.against(target.btf()),
        "a bit field that no load of 8 bytes has whole",
    );
}

#[test]
fn signedness_is_the_target_s() {
    let mut target = Types::new();
    let int = target.int;
    target.structure("s", 8, &[("b", int, 0)]);
    becomes(
        second_field(CoreKind::FieldSigned, mov(0)).against(target.btf()),
        mov(1),
    );
}
