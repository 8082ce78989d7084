//! CO-RE relocations of all kinds against targets made for the test: one instruction, one
//! relocation, and what becomes of it.

mod fields;
mod malformed;
mod types;

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
