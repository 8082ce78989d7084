//! CO-RE relocations of all kinds against targets made for the test: one instruction, one
//! relocation, and what becomes of it.

use std::sync::Arc;

use skep_abi::KernelVersion;
use skep_btf::{Btf, Builder, IntEncoding, NewMember, NewType, TypeId};
use skep_isa::{Endian, InsnIndex, RawInsn, opcode::*};

use super::{CoreKind, CoreRelocation, relocate::Relocator};
use crate::{Error, Function, Linkage, Poisoned, Target};

/// Types being made, with the ones that nearly every test needs.
struct Types {
    builder: Builder,
    int: TypeId,
    uint: TypeId,
    ulong: TypeId,
}

impl Types {
    fn new() -> Self {
        let mut builder = Builder::new();
        let int = builder.int("int", 4, IntEncoding::SIGNED);
        let uint = builder.int("unsigned int", 4, IntEncoding::UNSIGNED);
        let ulong = builder.int("long unsigned int", 8, IntEncoding::UNSIGNED);
        Self {
            builder,
            int,
            uint,
            ulong,
        }
    }

    /// A struct of members given by name, type and byte offset.
    fn structure(&mut self, name: &str, size: u32, members: &[(&str, TypeId, u32)]) -> TypeId {
        let members: Vec<_> = members
            .iter()
            .map(|(name, type_id, offset)| NewMember::new(name, *type_id, offset * 8))
            .collect();
        self.builder.structure(name, size, &members)
    }

    fn bitfield(&mut self, name: &str, member: &str, of: TypeId, bit: u32, bits: u8) -> TypeId {
        let member = NewMember {
            bitfield_size: bits,
            ..NewMember::new(member, of, bit)
        };
        self.builder.structure(name, 16, &[member])
    }

    fn btf(self) -> Arc<Btf> {
        Arc::new(Btf::parse(self.builder.build().unwrap()).unwrap())
    }
}

/// `r1 = *(u32 *)(r2 + offset)`, or of another size.
fn load(size: u8, offset: i16) -> Vec<RawInsn> {
    vec![RawInsn {
        opcode: BPF_LDX | BPF_MEM | size,
        dst: 1,
        src: 2,
        offset,
        imm: 0,
    }]
}

/// `r1 = number`.
fn mov(number: i32) -> Vec<RawInsn> {
    vec![RawInsn {
        opcode: BPF_ALU64 | BPF_MOV | BPF_K,
        dst: 1,
        imm: number,
        ..RawInsn::default()
    }]
}

/// `r1 = number ll`.
fn mov64(number: u64) -> Vec<RawInsn> {
    let [low, high] = [number as i32, (number >> 32) as i32];
    let first = RawInsn {
        opcode: 0x18,
        dst: 1,
        imm: low,
        ..RawInsn::default()
    };
    vec![
        first,
        RawInsn {
            imm: high,
            ..RawInsn::default()
        },
    ]
}

/// A relocation of the object.
struct Case {
    local: Types,
    kind: CoreKind,
    root: TypeId,
    access: &'static str,
    insns: Vec<RawInsn>,
}

type Relocated = Result<(Vec<RawInsn>, Vec<Poisoned>), Error>;

impl Case {
    fn against(self, target: Arc<Btf>) -> Relocated {
        self.on(Target::new(KernelVersion::new(6, 18)).with_kernel_btf(target))
    }

    fn on(mut self, target: Target) -> Relocated {
        let access = self.local.builder.string(self.access);
        let mut function = function(self.insns);
        function.core_relocations = vec![CoreRelocation {
            insn: InsnIndex(0),
            type_id: self.root,
            access,
            kind: self.kind,
        }];
        let local = self.local.btf();
        let mut relocator = Relocator::new(&local, &target);
        relocator.prepare(&function)?;
        let poisoned = relocator.relocate(&mut function)?;
        Ok((function.instructions, poisoned))
    }
}

fn function(instructions: Vec<RawInsn>) -> Function {
    Function {
        name: "test".into(),
        section: ".text".into(),
        section_offset: 0,
        instructions,
        references: Vec::new(),
        linkage: Linkage::Global,
        type_id: None,
        lines: Vec::new(),
        core_relocations: Vec::new(),
    }
}

#[track_caller]
fn becomes(relocated: Relocated, expected: Vec<RawInsn>) {
    let (insns, poisoned) = relocated.unwrap();
    assert_eq!(insns, expected);
    assert_eq!(poisoned, []);
}

#[track_caller]
fn poisoned(relocated: Relocated, expected: &str) {
    let (insns, poisoned) = relocated.unwrap();
    let call = RawInsn {
        opcode: 0x85,
        imm: 0xbad2310,
        ..RawInsn::default()
    };
    assert!(insns.iter().all(|insn| *insn == call), "{insns:?}");
    let [poisoned] = poisoned.as_slice() else {
        panic!("{poisoned:?}")
    };
    assert_eq!(poisoned.description, expected);
    assert_eq!(poisoned.insn, InsnIndex(0));
}

#[track_caller]
fn fails(relocated: Relocated, expected: &str) {
    let text = relocated.unwrap_err().to_string();
    assert!(text.contains(expected), "{text}");
}

/// An access to field `b` of `struct s { int a; unsigned b; }`.
fn second_field(kind: CoreKind, insns: Vec<RawInsn>) -> Case {
    let mut local = Types::new();
    let (int, uint) = (local.int, local.uint);
    let root = local.structure("s", 8, &[("a", int, 0), ("b", uint, 4)]);
    Case {
        local,
        kind,
        root,
        access: "0:1",
        insns,
    }
}

fn target_struct(size: u32, members: &[(&str, u32)]) -> Arc<Btf> {
    let mut target = Types::new();
    let uint = target.uint;
    let members: Vec<_> = members
        .iter()
        .map(|(name, offset)| (*name, uint, *offset))
        .collect();
    target.structure("s", size, &members);
    target.btf()
}

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

/// An access to the enumerator `B___old` of `enum e___x`.
fn enumerator(kind: CoreKind, insns: Vec<RawInsn>) -> Case {
    let mut local = Types::new();
    let root = local
        .builder
        .enumeration("e___x", &[("A", 0), ("B___old", 7)]);
    Case {
        local,
        kind,
        root,
        access: "1",
        insns,
    }
}

#[test]
fn enumerators_are_found_by_name_in_either_width() {
    let narrow = || {
        let mut target = Types::new();
        target.builder.enumeration("e", &[("Z", 1), ("B", -3)]);
        target.btf()
    };
    let wide = || {
        let mut target = Types::new();
        let values = &[("Z", 1), ("B", 0x1_2345_6789)];
        target.builder.add(NewType::Enum64 {
            name: "e",
            size: 8,
            signed: false,
            values,
        });
        target.btf()
    };
    let value = CoreKind::EnumeratorValue;
    becomes(enumerator(value, mov(7)).against(narrow()), mov(-3));
    becomes(
        enumerator(value, mov64(7)).against(narrow()),
        mov64(-3_i64 as u64),
    );
    becomes(
        enumerator(value, mov64(7)).against(wide()),
        mov64(0x1_2345_6789),
    );
    becomes(
        enumerator(CoreKind::EnumeratorExists, mov(1)).against(wide()),
        mov(1),
    );

    let mut without = Types::new();
    without.builder.enumeration("e", &[("Z", 1)]);
    let without = without.btf();
    let exists = CoreKind::EnumeratorExists;
    becomes(
        enumerator(exists, mov(1)).against(Arc::clone(&without)),
        mov(0),
    );
    poisoned(
        enumerator(value, mov(7)).against(without),
        "enumval_value of enum e___x::B___old (1): no candidate has the enumerator `B`",
    );
}

#[test]
fn types_exist_have_sizes_and_ids() {
    let case = |kind, number| {
        let mut local = Types::new();
        let int = local.int;
        let root = local.structure("s", 4, &[("a", int, 0)]);
        let insns = mov(if kind == CoreKind::TypeIdLocal {
            root.0 as i32
        } else {
            number
        });
        Case {
            local,
            kind,
            root,
            access: "0",
            insns,
        }
    };
    let there = || target_struct(64, &[("other", 0)]);
    let gone = || Types::new().btf();
    becomes(case(CoreKind::TypeExists, 1).against(there()), mov(1));
    becomes(case(CoreKind::TypeExists, 1).against(gone()), mov(0));
    becomes(case(CoreKind::TypeSize, 4).against(there()), mov(64));
    becomes(case(CoreKind::TypeSize, 4).against(gone()), mov(0));
    becomes(case(CoreKind::TypeIdTarget, 77).against(there()), mov(4));
    becomes(case(CoreKind::TypeIdTarget, 77).against(gone()), mov(0));
    becomes(case(CoreKind::TypeIdLocal, 0).against(gone()), mov(4));
    becomes(case(CoreKind::TypeMatches, 1).against(there()), mov(0));
    becomes(
        case(CoreKind::TypeMatches, 1).against(target_struct(8, &[("a", 4)])),
        mov(0),
    );
    let mut same = Types::new();
    let int = same.int;
    same.structure("s", 8, &[("b", int, 0), ("a", int, 4)]);
    becomes(case(CoreKind::TypeMatches, 1).against(same.btf()), mov(1));
}

/// Whether `struct s { T m; }` of the object matches that of the target.
#[track_caller]
fn matches(
    local_member: fn(&mut Types) -> TypeId,
    target_member: fn(&mut Types) -> TypeId,
    expected: bool,
) {
    let make = |member: fn(&mut Types) -> TypeId| {
        let mut types = Types::new();
        let member = member(&mut types);
        let root = types.structure("s", 8, &[("m", member, 0)]);
        (types, root)
    };
    let (local, root) = make(local_member);
    let case = Case {
        local,
        kind: CoreKind::TypeMatches,
        root,
        access: "0",
        insns: mov(1),
    };
    becomes(
        case.against(make(target_member).0.btf()),
        mov(expected.into()),
    );
}

#[test]
fn types_match_by_rules_that_are_looser_behind_pointers() {
    matches(|types| types.int, |types| types.int, true);
    matches(|types| types.int, |types| types.uint, false);
    matches(|types| types.uint, |types| types.ulong, false);
    matches(
        |types| types.builder.typedef("t", types.int),
        |types| types.int,
        true,
    );
    // By value, members count; behind a pointer, the name and kind.
    fn inner(types: &mut Types) -> TypeId {
        let int = types.int;
        types.structure("inner", 8, &[("x", int, 0)])
    }
    fn other_inner(types: &mut Types) -> TypeId {
        let int = types.int;
        types.structure("inner", 8, &[("y", int, 0)])
    }
    matches(inner, other_inner, false);
    matches(
        |types| {
            let inner = inner(types);
            types.builder.pointer(inner)
        },
        |types| {
            let inner = other_inner(types);
            types.builder.pointer(inner)
        },
        true,
    );
    // A declaration stands for the struct behind a pointer, not for a union.
    fn declared(types: &mut Types, union: bool) -> TypeId {
        let declared = types.builder.add(NewType::Forward {
            name: "inner",
            union,
        });
        types.builder.pointer(declared)
    }
    fn defined(types: &mut Types) -> TypeId {
        let inner = inner(types);
        types.builder.pointer(inner)
    }
    matches(|types| declared(types, false), defined, true);
    matches(|types| declared(types, true), defined, false);
    matches(defined, |types| declared(types, false), true);
    // Arrays by length, prototypes by parameters, enumerations by names.
    fn array(types: &mut Types, len: u32) -> TypeId {
        types.builder.array(types.int, types.int, len)
    }
    matches(|types| array(types, 3), |types| array(types, 3), true);
    matches(|types| array(types, 3), |types| array(types, 4), false);
    fn callback(types: &mut Types, params: usize) -> TypeId {
        let params = vec![("p", types.int); params];
        let prototype = types.builder.prototype(types.int, &params);
        types.builder.pointer(prototype)
    }
    matches(|types| callback(types, 2), |types| callback(types, 2), true);
    matches(
        |types| callback(types, 2),
        |types| callback(types, 1),
        false,
    );
    matches(
        |types| types.builder.enumeration("e", &[("A", 1)]),
        |types| types.builder.enumeration("e", &[("B", 2), ("A", 9)]),
        true,
    );
    matches(
        |types| types.builder.enumeration("e", &[("A", 1)]),
        |types| types.builder.enumeration("e", &[("B", 1)]),
        false,
    );
}

#[test]
fn an_instruction_that_does_not_fit_its_relocation_is_an_error() {
    let target = || target_struct(64, &[("b", 40)]);
    let offset = CoreKind::FieldByteOffset;
    fails(
        second_field(offset, load(BPF_W, 8)).against(target()),
        "CO-RE relocation byte_offset of struct s.b (0:1): the instruction has 8, expected 4",
    );
    let far = target_struct(1 << 17, &[("b", 1 << 16)]);
    fails(
        second_field(offset, load(BPF_W, 4)).against(far),
        "offset 65536 is too large for a load or store",
    );
    let exit = vec![RawInsn {
        opcode: BPF_JMP | BPF_EXIT,
        ..RawInsn::default()
    }];
    fails(
        second_field(offset, exit).against(target()),
        "opcode 0x95 has no number to relocate",
    );
    fails(
        second_field(offset, Vec::new()).against(target()),
        "no instruction is there",
    );
    let no_btf = Target::new(KernelVersion::new(4, 18));
    fails(
        second_field(offset, mov(4)).on(no_btf),
        "needs the target's kernel BTF",
    );
}

#[test]
fn malformed_accesses_are_errors() {
    let case = |access| {
        let case = second_field(CoreKind::FieldByteOffset, mov(4));
        Case { access, ..case }.against(target_struct(64, &[("b", 40)]))
    };
    for access in ["", ":", "0:", "0:-1", "x", "0:1:0", "0:9", "99999999999"] {
        fails(case(access), "CO-RE relocation byte_offset of struct s");
    }
    let long: &'static str = Box::leak("0:".repeat(80).into_boxed_str());
    fails(case(long), "access of more than 64 levels");
}

#[test]
fn types_that_contain_themselves_end_in_an_error() {
    // struct s { struct { anonymous s; anonymous s } }: a tree of 2^n members.
    let mut target = Types::new();
    let next = target.builder.next_id();
    let members = vec![NewMember::new("", next, 0); 2];
    target.builder.structure("s", 8, &members);
    let case = second_field(CoreKind::FieldByteOffset, mov(4));
    fails(case.against(target.btf()), "deeply");
    // A prototype whose parameters are of its own kind, 8 ways at each of 32 levels.
    let hydra = || {
        let mut types = Types::new();
        let next = types.builder.next_id();
        let root = types.builder.prototype(types.int, &[("p", next); 8]);
        let root = types.builder.typedef("f", root);
        (types, root)
    };
    for kind in [CoreKind::TypeExists, CoreKind::TypeMatches] {
        let (local, root) = hydra();
        let case = Case {
            local,
            kind,
            root,
            access: "0",
            insns: mov(1),
        };
        fails(
            case.against(hydra().0.btf()),
            "too deeply nested to compare",
        );
    }
}
