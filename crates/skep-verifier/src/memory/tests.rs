//! Programs of a few lines, each about one rule of memory. What the kernel says of the same is
//! told by its selftests; these stay when the machine has none.

use std::{borrow::Cow, sync::Arc};

use skep_abi::{
    AttachType, KernelVersion, MapCreateFlags, MapType, ProgLoadFlags, ProgramType as Type,
};
use skep_isa::{Imm64, Insn, InsnIndex, assemble, decode_program};
use skep_object::Target;

use crate::{
    Field, FieldKind, Fields, Function, Map, MapId, MapUse, Options, Program, Rule, Verdict, verify,
};

/// A map of arrays' shape, with eight values of 16 bytes.
fn map(flags: MapCreateFlags) -> Map {
    Map {
        name: "values".into(),
        map_type: MapType::Array,
        key_size: 4,
        value_size: 16,
        max_entries: 8,
        flags,
        map_extra: 0,
        btf: None,
        key_type: None,
        value_type: None,
        fields: Arc::default(),
        inner: None,
        constant: None,
        frozen: false,
    }
}

struct Case {
    program_type: Type,
    attach_type: Option<AttachType>,
    flags: ProgLoadFlags,
    map: Map,
    version: KernelVersion,
    options: Options,
}

impl Case {
    fn of(program_type: Type) -> Self {
        Self {
            program_type,
            attach_type: None,
            flags: ProgLoadFlags::empty(),
            map: map(MapCreateFlags::empty()),
            version: KernelVersion::new(6, 18),
            options: Options::default(),
        }
    }

    fn verdict(&self, text: &str) -> Verdict {
        let instructions = assemble(text).expect("a program");
        let map_uses = decode_program(&instructions)
            .filter_map(|item| {
                let (insn, decoded) = item.expect("an instruction");
                let Insn::LoadImm64 { value, .. } = decoded else {
                    return None;
                };
                let value_offset = match value {
                    Imm64::MapValue { offset, .. } => Some(offset),
                    Imm64::MapFd { .. } => None,
                    _ => return None,
                };
                Some(MapUse {
                    insn,
                    map: MapId(0),
                    value_offset,
                })
            })
            .collect();
        let functions = vec![Function {
            name: "test".into(),
            start: InsnIndex(0),
            type_id: None,
        }];
        let program = Program {
            attach_type: self.attach_type,
            flags: self.flags,
            instructions: Cow::Owned(instructions),
            maps: vec![self.map.clone()],
            map_uses,
            functions,
            ..Program::new(self.program_type, "test", &[])
        };
        verify(&program, &Target::new(self.version), &self.options)
    }

    fn accepts(&self, text: &str) {
        let verdict = self.verdict(text);
        assert_eq!(verdict.rejection, None, "{text}");
    }

    fn refuses(&self, text: &str, rule: Rule) {
        let verdict = self.verdict(text);
        let found = verdict.rejection.map(|why| why.rule);
        assert_eq!(found, Some(rule), "{text}");
    }
}

fn accepts(program_type: Type, text: &str) {
    Case::of(program_type).accepts(text);
}

fn refuses(program_type: Type, text: &str, rule: Rule) {
    Case::of(program_type).refuses(text, rule);
}

/// A lookup with a null check before the lines given, r0 being the value.
fn with_value(lines: &str) -> String {
    format!(
        "*(u32 *)(r10 -4) = 0
        r2 = r10
        r2 += -4
        r1 = map[fd:0]
        call 1
        if r0 == 0 goto out
        {lines}
        out: r0 = 0
        exit"
    )
}

#[test]
fn spills_come_back() {
    // The context survives on the stack; half of it does not.
    accepts(
        Type::Xdp,
        "*(u64 *)(r10 -8) = r1\n r1 = *(u64 *)(r10 -8)\n r0 = *(u32 *)(r1 +12)\n r0 = 0\n exit",
    );
    refuses(
        Type::Xdp,
        "*(u64 *)(r10 -8) = r1\n r0 = *(u32 *)(r10 -8)\n r0 = 0\n exit",
        Rule::PartialPointer,
    );
    refuses(
        Type::Xdp,
        "*(u32 *)(r10 -8) = r1\n r0 = 0\n exit",
        Rule::PartialPointer,
    );
    // A write into it makes plain data of it.
    refuses(
        Type::Xdp,
        "*(u64 *)(r10 -8) = r1\n *(u8 *)(r10 -8) = 0\n r1 = *(u64 *)(r10 -8)\n r0 = *(u32 *)(r1 +12)\n r0 = 0\n exit",
        Rule::NotAPointer,
    );
}

#[test]
fn numbers_keep_their_bounds_on_the_stack() {
    let index = |fill: &str| {
        with_value(&format!(
            "r1 = *(u32 *)(r0 +0)\n r1 &= 8\n {fill}\n r0 += r2\n *(u8 *)(r0 +7) = 1"
        ))
    };
    accepts(
        Type::Xdp,
        &index("*(u64 *)(r10 -16) = r1\n r2 = *(u64 *)(r10 -16)"),
    );
    accepts(
        Type::Xdp,
        &index("*(u64 *)(r10 -16) = r1\n r2 = *(u32 *)(r10 -16)"),
    );
    accepts(
        Type::Xdp,
        &index("*(u32 *)(r10 -16) = r1\n r2 = *(u32 *)(r10 -16)"),
    );
    // The upper bytes were not spilled by the narrow store.
    refuses(
        Type::Xdp,
        &index("*(u32 *)(r10 -16) = r1\n r2 = *(u64 *)(r10 -16)"),
        Rule::PointerPlusUnknown,
    );
    // Before 6.8, narrow loads of a wide spill gave any number.
    let old = Case {
        version: KernelVersion::new(6, 1),
        ..Case::of(Type::Xdp)
    };
    old.accepts(&index("*(u64 *)(r10 -16) = r1\n r2 = *(u64 *)(r10 -16)"));
    old.refuses(
        &index("*(u64 *)(r10 -16) = r1\n r2 = *(u32 *)(r10 -16)"),
        Rule::UnboundedIndex,
    );
}

#[test]
fn stack_is_written_before_it_is_read() {
    let read = "r0 = *(u64 *)(r10 -8)\n r0 = 0\n exit";
    accepts(Type::Xdp, read);
    let without_perfmon = Case {
        options: Options {
            perfmon: false,
            ..Options::default()
        },
        ..Case::of(Type::Xdp)
    };
    without_perfmon.refuses(read, Rule::UninitialisedStack);
    without_perfmon.refuses(
        "*(u32 *)(r10 -8) = 0\n r0 = *(u64 *)(r10 -8)\n r0 = 0\n exit",
        Rule::UninitialisedStack,
    );
    let old = Case {
        version: KernelVersion::new(6, 1),
        ..Case::of(Type::Xdp)
    };
    old.refuses(read, Rule::UninitialisedStack);
}

#[test]
fn stack_accesses_stay_inside_and_aligned() {
    accepts(Type::Xdp, "*(u64 *)(r10 -512) = 0\n r0 = 0\n exit");
    refuses(
        Type::Xdp,
        "*(u64 *)(r10 -520) = 0\n r0 = 0\n exit",
        Rule::StackOutOfBounds,
    );
    refuses(
        Type::Xdp,
        "*(u64 *)(r10 +0) = 0\n r0 = 0\n exit",
        Rule::StackOutOfBounds,
    );
    refuses(
        Type::Xdp,
        "*(u32 *)(r10 -6) = 0\n r0 = 0\n exit",
        Rule::MisalignedAccess,
    );
    let variable = |bound: &str| {
        format!(
            "*(u64 *)(r10 -8) = 0\n *(u64 *)(r10 -16) = 0\n r2 = *(u32 *)(r1 +12)\n r2 &= {bound}\n r3 = r10\n r3 += r2\n r0 = *(u8 *)(r3 -16)\n r0 = 0\n exit"
        )
    };
    accepts(Type::Xdp, &variable("15"));
    refuses(Type::Xdp, &variable("31"), Rule::StackOutOfBounds);
}

#[test]
fn map_values_have_a_size() {
    accepts(Type::Xdp, &with_value("*(u64 *)(r0 +8) = 1"));
    refuses(
        Type::Xdp,
        &with_value("*(u64 *)(r0 +9) = 1"),
        Rule::MapValueOutOfBounds,
    );
    refuses(
        Type::Xdp,
        &with_value("*(u64 *)(r0 -8) = 1"),
        Rule::MapValueOutOfBounds,
    );
    let indexed = |check: &str| {
        with_value(&format!(
            "r1 = *(u64 *)(r0 +0)\n {check}\n r0 += r1\n *(u8 *)(r0 +0) = 1"
        ))
    };
    accepts(Type::Xdp, &indexed("if r1 > 15 goto out"));
    refuses(
        Type::Xdp,
        &indexed("if r1 > 16 goto out"),
        Rule::MapValueOutOfBounds,
    );
    refuses(
        Type::Xdp,
        &indexed("if r1 s> 15 goto out\n if r1 s< -16 goto out"),
        Rule::NegativeIndex,
    );
    let without_check = with_value("").replace("if r0 == 0 goto out", "*(u8 *)(r0 +0) = 1");
    // Of later kernels, a lookup of a constant index of an array is never null.
    let before = Case {
        version: KernelVersion::new(6, 12),
        ..Case::of(Type::Xdp)
    };
    before.refuses(&without_check, Rule::MapValueOrNull);
}

#[test]
fn read_only_maps_are_constant() {
    let mut case = Case::of(Type::Xdp);
    case.map = map(MapCreateFlags::RDONLY_PROG);
    case.refuses(&with_value("*(u8 *)(r0 +0) = 1"), Rule::ReadOnlyWrite);
    // What is in it is known: the index is 12.
    let mut contents = vec![0_u8; 16];
    contents[8] = 12;
    case.map.constant = Some(contents.into());
    case.map.frozen = true;
    case.map.max_entries = 1;
    let read = "r1 = map[fd:0][0]+8\n r2 = *(u32 *)(r1 +0)\n r1 = map[fd:0][0]+0\n r1 += r2\n r0 = *(u32 *)(r1 +0)\n r0 = 0\n exit";
    case.accepts(read);
    case.map.constant = None;
    case.refuses(read, Rule::UnboundedIndex);
    case.map = map(MapCreateFlags::WRONLY_PROG);
    case.refuses(&with_value("r1 = *(u8 *)(r0 +0)"), Rule::ReadOnlyWrite);
}

#[test]
fn managed_fields_are_left_alone() {
    let mut case = Case::of(Type::SchedCls);
    let mut fields = Fields::default();
    fields.fields.push(Field {
        offset: 4,
        size: 4,
        kind: FieldKind::SpinLock,
    });
    case.map.fields = Arc::new(fields);
    case.accepts(&with_value("*(u32 *)(r0 +0) = 1\n *(u64 *)(r0 +8) = 1"));
    case.refuses(&with_value("*(u32 *)(r0 +4) = 1"), Rule::ManagedField);
    case.refuses(&with_value("r1 = *(u64 *)(r0 +0)"), Rule::ManagedField);
}

#[test]
fn packets_end_where_they_were_compared() {
    let packet = |bytes: u32, access: &str| {
        format!(
            "r2 = *(u32 *)(r1 +0)\n r3 = *(u32 *)(r1 +4)\n r4 = r2\n r4 += {bytes}\n if r4 > r3 goto out\n {access}\n out: r0 = 2\n exit"
        )
    };
    accepts(Type::Xdp, &packet(14, "r0 = *(u16 *)(r2 +12)"));
    refuses(
        Type::Xdp,
        &packet(14, "r0 = *(u16 *)(r2 +13)"),
        Rule::PacketOutOfBounds,
    );
    refuses(
        Type::Xdp,
        &packet(14, "r0 = *(u8 *)(r2 -1)"),
        Rule::PacketOutOfBounds,
    );
    refuses(
        Type::Xdp,
        "r2 = *(u32 *)(r1 +0)\n r0 = *(u8 *)(r2 +0)\n exit",
        Rule::PacketOutOfBounds,
    );
    accepts(Type::Xdp, &packet(1, "*(u8 *)(r2 +0) = 1"));
    // Strict alignment counts the two bytes that drivers put before a packet.
    let mut strict = Case::of(Type::Xdp);
    strict.flags = ProgLoadFlags::STRICT_ALIGNMENT;
    strict.accepts(&packet(18, "r0 = *(u32 *)(r2 +14)"));
    strict.refuses(&packet(18, "r0 = *(u32 *)(r2 +12)"), Rule::MisalignedAccess);
}

#[test]
fn contexts_are_accessed_by_fields() {
    let load = |place: &str| format!("r0 = {place}\n r0 = 0\n exit");
    accepts(Type::SchedCls, &load("*(u32 *)(r1 +0)"));
    // Parts of most fields can be read; not of addresses.
    accepts(Type::SchedCls, &load("*(u8 *)(r1 +1)"));
    refuses(
        Type::SchedCls,
        &load("*(u8 *)(r1 +76)"),
        Rule::ContextAccess,
    );
    refuses(
        Type::SchedCls,
        &load("*(u64 *)(r1 +0)"),
        Rule::ContextAccess,
    );
    refuses(
        Type::SchedCls,
        &load("*(u8 *)(r1 +181)"),
        Rule::ContextAccess,
    );
    refuses(
        Type::SchedCls,
        "*(u32 *)(r1 +0) = 1\n r0 = 0\n exit",
        Rule::ContextAccess,
    );
    accepts(Type::SchedCls, "*(u64 *)(r1 +48) = 1\n r0 = 0\n exit");
    // Nothing may be added to it first.
    refuses(
        Type::SchedCls,
        "r1 += 4\n r0 = *(u32 *)(r1 +0)\n r0 = 0\n exit",
        Rule::ContextAccess,
    );
    refuses(
        Type::SocketFilter,
        &load("*(u32 *)(r1 +76)"),
        Rule::ContextAccess,
    );
    let mut devmap = Case::of(Type::Xdp);
    devmap.refuses(&load("*(u32 *)(r1 +20)"), Rule::ContextAccess);
    devmap.attach_type = Some(AttachType::XdpDevmap);
    devmap.accepts(&load("*(u32 *)(r1 +20)"));
    let mut address = Case::of(Type::CgroupSockAddr);
    let load = "r2 = *(u64 *)(r1 +8)\n r0 = 1\n exit";
    address.attach_type = Some(AttachType::CgroupInet6Connect);
    address.accepts(load);
    address.attach_type = Some(AttachType::CgroupInet4Connect);
    address.refuses(load, Rule::ContextAccess);
}

#[test]
fn records_and_registers_are_read() {
    let load = |place: &str| format!("r2 = {place}\n r0 = 0\n exit");
    accepts(Type::Kprobe, &load("*(u64 *)(r1 +160)"));
    refuses(
        Type::Kprobe,
        &load("*(u64 *)(r1 +168)"),
        Rule::ContextAccess,
    );
    refuses(
        Type::Kprobe,
        "*(u64 *)(r1 +0) = 0\n r0 = 0\n exit",
        Rule::ContextAccess,
    );
    accepts(Type::Tracepoint, &load("*(u64 *)(r1 +8)"));
    refuses(
        Type::Tracepoint,
        &load("*(u64 *)(r1 +0)"),
        Rule::ContextAccess,
    );
    refuses(
        Type::Tracepoint,
        &load("*(u32 *)(r1 +10)"),
        Rule::ContextAccess,
    );
    accepts(Type::RawTracepoint, &load("*(u64 *)(r1 +88)"));
    refuses(
        Type::RawTracepoint,
        &load("*(u64 *)(r1 +96)"),
        Rule::ContextAccess,
    );
    accepts(
        Type::RawTracepointWritable,
        "r2 = *(u64 *)(r1 +0)\n *(u64 *)(r2 +64) = 1\n r0 = 0\n exit",
    );
    refuses(
        Type::RawTracepointWritable,
        "r2 = *(u64 *)(r1 +0)\n *(u64 *)(r2 -8) = 1\n r0 = 0\n exit",
        Rule::MemoryOutOfBounds,
    );
}

#[test]
fn what_is_accessed_is_told() {
    let verdict = Case::of(Type::Tracepoint).verdict("r2 = *(u32 *)(r1 +20)\n r0 = 0\n exit");
    assert_eq!(verdict.stats.context_bytes, 24);
    let verdict = Case::of(Type::RawTracepointWritable)
        .verdict("r2 = *(u64 *)(r1 +0)\n *(u64 *)(r2 +64) = 1\n r0 = 0\n exit");
    assert_eq!(verdict.stats.buffer_bytes, 72);
}

#[test]
fn sockets_may_be_missing_and_are_read_only() {
    let socket = |check: &str, access: &str| {
        format!("r2 = *(u64 *)(r1 +168)\n {check}\n {access}\n out: r0 = 0\n exit")
    };
    let check = "if r2 == 0 goto out";
    accepts(Type::SchedCls, &socket(check, "r3 = *(u32 *)(r2 +4)"));
    refuses(
        Type::SchedCls,
        &socket("", "r3 = *(u32 *)(r2 +4)"),
        Rule::PointerOrNull,
    );
    refuses(
        Type::SchedCls,
        &socket(check, "*(u32 *)(r2 +4) = 1"),
        Rule::ReadOnlyWrite,
    );
    // Only full sockets have a type.
    refuses(
        Type::SchedCls,
        &socket(check, "r3 = *(u32 *)(r2 +8)"),
        Rule::StructAccess,
    );
    refuses(
        Type::SchedCls,
        &socket(check, "r3 = *(u16 *)(r2 +50)"),
        Rule::StructAccess,
    );
}

#[test]
fn atomics_need_memory_of_the_program() {
    accepts(
        Type::Xdp,
        &with_value("r1 = 1\n lock *(u64 *)(r0 +8) += r1"),
    );
    refuses(
        Type::Xdp,
        &with_value("r1 = 1\n lock *(u64 *)(r0 +4) += r1"),
        Rule::MisalignedAccess,
    );
    refuses(
        Type::SchedCls,
        "r2 = 1\n lock *(u32 *)(r1 +8) += r2\n r0 = 0\n exit",
        Rule::AtomicAccess,
    );
    refuses(
        Type::Xdp,
        &with_value("r1 = 1\n lock *(u64 *)(r0 +16) += r1"),
        Rule::MapValueOutOfBounds,
    );
}

#[test]
fn an_instruction_accesses_one_kind_of_memory() {
    // r2 is the context on one path and the stack on the other.
    refuses(
        Type::SchedCls,
        "r2 = r10\n r2 += -8\n *(u64 *)(r2 +0) = 0\n r3 = *(u32 *)(r1 +0)\n if r3 > 5 goto read\n r2 = r1\n read: r0 = *(u32 *)(r2 +0)\n r0 = 0\n exit",
        Rule::MixedPointers,
    );
}

#[test]
fn pointers_stay_in_the_program_of_the_unprivileged() {
    let mut case = Case::of(Type::SocketFilter);
    case.options = Options::unprivileged();
    case.refuses(&with_value("*(u64 *)(r0 +0) = r10"), Rule::PointerLeak);
    case.accepts(&with_value("r1 = 7\n *(u64 *)(r0 +0) = r1"));
    accepts(Type::SocketFilter, &with_value("*(u64 *)(r0 +0) = r10"));
}

#[test]
fn functions_get_memory_that_is_there() {
    // bpf_trace_printk and friends aside, bpf_get_current_comm fills what it is given.
    let comm =
        |bytes: u32| format!("r1 = r10\n r1 += -16\n r2 = {bytes}\n call 16\n r0 = 0\n exit");
    accepts(Type::Kprobe, &comm(16));
    refuses(Type::Kprobe, &comm(17), Rule::StackOutOfBounds);
    refuses(Type::Kprobe, &comm(0), Rule::ArgumentSize);
    // What it fills is plain data afterwards.
    refuses(
        Type::Kprobe,
        "*(u64 *)(r10 -16) = r1\n r1 = r10\n r1 += -16\n r2 = 16\n call 16\n r1 = *(u64 *)(r10 -16)\n r2 = *(u64 *)(r1 +0)\n r0 = 0\n exit",
        Rule::NotAPointer,
    );
    // A key of four bytes is read as a whole.
    let key = "r2 = r10\n r2 += -4\n r1 = map[fd:0]\n call 1\n r0 = 0\n exit";
    accepts(Type::Xdp, key);
    let mut case = Case::of(Type::SocketFilter);
    case.options = Options::unprivileged();
    case.refuses(key, Rule::UninitialisedStack);
}

#[test]
fn legacy_packet_loads_take_the_context_in_r6() {
    accepts(Type::SocketFilter, "r6 = r1\n r0 = *(u8 *)skb[0]\n exit");
    refuses(
        Type::SocketFilter,
        "r6 = 1\n r0 = *(u8 *)skb[0]\n exit",
        Rule::ArgumentType,
    );
    refuses(
        Type::Xdp,
        "r6 = r1\n r0 = *(u8 *)skb[0]\n r0 = 0\n exit",
        Rule::InvalidInstruction,
    );
    // R1 to R5 are gone.
    refuses(
        Type::SocketFilter,
        "r6 = r1\n r0 = *(u8 *)skb[0]\n r0 = r1\n exit",
        Rule::UninitialisedRegister,
    );
}
