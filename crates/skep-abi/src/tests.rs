//! Tests of the tables: counts and spot values against what is known of Linux 7.3, names both
//! ways, and layouts and prototypes against clang and other headers where they are installed.

use std::collections::BTreeSet;
use std::fmt::Debug;

use crate::*;

/// Every table of an enumeration round-trips and has no doubles.
fn round_trip<T: KernelEnum + Ord>(last: T::Raw)
where
    T::Raw: Ord,
{
    let mut names = BTreeSet::new();
    for &item in T::ALL {
        assert_eq!(T::from_raw(item.raw()), Some(item));
        assert_eq!(T::from_name(item.name()), Some(item), "{}", item.name());
        assert_eq!(
            T::from_name(item.short_name()),
            Some(item),
            "{}",
            item.short_name()
        );
        assert_eq!(item.to_string(), item.short_name());
        assert!(names.insert(item.name()), "{} twice", item.name());
        assert!(
            names.insert(item.short_name()),
            "{} twice",
            item.short_name()
        );
        let since = item.since();
        assert!((KernelVersion::new(2, 2)..=KernelVersion::new(7, 3)).contains(&since));
    }
    assert!(T::ALL.is_sorted_by_key(|item| item.raw()));
    assert_eq!(T::ALL.last().map(|item| item.raw()), Some(last));
    assert_eq!(T::from_name("no such name"), None);
}

#[test]
fn enumerations_round_trip() {
    round_trip::<Command>(38);
    round_trip::<MapType>(35);
    round_trip::<ProgramType>(32);
    round_trip::<AttachType>(61);
    round_trip::<LinkType>(15);
    round_trip::<PerfEventLinkType>(6);
    round_trip::<TaskFdType>(5);
    round_trip::<StatsType>(0);
    round_trip::<CgroupIterOrder>(5);
    round_trip::<Stream>(2);
    round_trip::<StackBuildIdStatus>(2);
    round_trip::<RingbufQuery>(4);
    round_trip::<XdpAttached>(4);
    round_trip::<NetfilterHook>(4);
    round_trip::<XdpAction>(4);
    round_trip::<TcAction>(8);
    round_trip::<TcxAction>(7);
    round_trip::<NetkitAction>(7);
    round_trip::<SkAction>(1);
    round_trip::<LwtReturn>(129);
    round_trip::<NetfilterVerdict>(5);
    round_trip::<Capability>(39);
}

#[test]
fn the_five_main_enumerations_have_no_gap() {
    fn dense<T: KernelEnum<Raw = u32>>(count: usize) {
        let numbers: Vec<u32> = T::ALL.iter().map(|item| item.raw()).collect();
        let expected: Vec<u32> = (0..).take(count).collect();
        assert_eq!(numbers, expected);
        assert_eq!(T::from_raw(expected.len().try_into().expect("few")), None);
    }
    dense::<Command>(39);
    dense::<MapType>(36);
    dense::<ProgramType>(33);
    dense::<AttachType>(62);
    dense::<LinkType>(16);
}

#[test]
fn spot_values_match_the_kernel() {
    fn check<T: KernelEnum>(name: &str, raw: T::Raw, since: (u8, u8)) {
        let item = T::from_name(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(item.raw(), raw, "{name}");
        assert_eq!(item.since(), KernelVersion::new(since.0, since.1), "{name}");
    }
    check::<Command>("BPF_PROG_LOAD", 5, (3, 18));
    check::<Command>("BPF_PROG_RUN", 10, (4, 12));
    check::<Command>("link_create", 28, (5, 7));
    check::<Command>("BPF_PROG_BIND_MAP", 35, (5, 10));
    check::<Command>("BPF_TOKEN_CREATE", 36, (6, 9));
    check::<Command>("BPF_PROG_STREAM_READ_BY_FD", 37, (6, 17));
    check::<Command>("BPF_PROG_ASSOC_STRUCT_OPS", 38, (7, 0));
    check::<MapType>("hash", 1, (3, 19));
    check::<MapType>("BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED", 19, (4, 19));
    check::<MapType>("BPF_MAP_TYPE_CGROUP_STORAGE", 19, (4, 19));
    check::<MapType>("ringbuf", 27, (5, 8));
    check::<MapType>("arena", 33, (6, 9));
    check::<MapType>("insn_array", 34, (6, 19));
    check::<MapType>("rhash", 35, (7, 2));
    check::<ProgramType>("xdp", 6, (4, 8));
    check::<ProgramType>("tracing", 26, (5, 5));
    check::<ProgramType>("netfilter", 32, (6, 4));
    check::<AttachType>("trace_fentry", 24, (5, 5));
    check::<AttachType>("tcx_ingress", 46, (6, 6));
    check::<AttachType>("trace_uprobe_session", 57, (6, 13));
    check::<AttachType>("BPF_TRACE_FSESSION", 58, (7, 0));
    check::<AttachType>("BPF_TRACE_FSESSION_MULTI", 61, (7, 2));
    check::<LinkType>("tracing_multi", 15, (7, 2));
    check::<TcAction>("TC_ACT_UNSPEC", -1, (4, 1));
    check::<Capability>("CAP_BPF", 39, (5, 8));
    check::<Capability>("CAP_PERFMON", 38, (5, 8));
    check::<Capability>("CAP_NET_ADMIN", 12, (2, 2));
    check::<Capability>("CAP_SYS_ADMIN", 21, (2, 2));
    check::<Capability>("CAP_SYS_RESOURCE", 24, (2, 2));
    assert_eq!(constants::OBJ_NAME_LEN, 16);
    assert_eq!(constants::TAG_SIZE, 8);
    assert_eq!(constants::COMMON_ATTRS, 1 << 16);
    assert_eq!(constants::RINGBUF_BUSY_BIT, 1 << 31);
    assert_eq!(limits::call_frames(KernelVersion::new(7, 1)), 8);
    assert_eq!(limits::call_frames(KernelVersion::new(7, 2)), 16);
    assert_eq!(limits::call_frames(KernelVersion::new(4, 15)), 1);
}

#[test]
fn nothing_that_attaches_is_older_than_what_it_needs() {
    for program in ProgramType::ALL {
        for attach in program.attach_types() {
            assert!(
                attach.since() >= program.since(),
                "{attach} before {program}"
            );
        }
    }
}

#[test]
fn flags_print_and_keep_unknown_bits() {
    let flags = MapCreateFlags::NO_PREALLOC | MapCreateFlags::from_bits_retain(1 << 30);
    assert_eq!(flags.to_string(), "BPF_F_NO_PREALLOC|0x40000000");
    assert_eq!(flags.unknown_bits(), 1 << 30);
    assert_eq!(flags.since(), None);
    assert_eq!(MapCreateFlags::empty().to_string(), "0");
    assert_eq!(AttachFlags::LINK.bits(), 1 << 13);
    assert_eq!(MapUpdateFlags::ALL_CPUS.bits(), 16);
    assert_eq!(RingbufFlags::FORCE_WAKEUP.bits(), 2);
    assert_eq!(XdpFlags::all_named(), constants::XDP_FLAGS_MASK);
    let both = ProgLoadFlags::SLEEPABLE | ProgLoadFlags::XDP_HAS_FRAGS;
    assert_eq!(both.since(), Some(KernelVersion::new(5, 18)));
    for (flag, name, _) in MapCreateFlags::TABLE {
        assert_eq!(MapCreateFlags::from_kernel_name(name), Some(*flag));
    }
}

impl XdpFlags {
    fn all_named() -> u32 {
        Self::TABLE
            .iter()
            .fold(0, |bits, (flag, ..)| bits | flag.bits())
    }
}

#[test]
fn helpers_are_found_by_number_and_name() {
    assert_eq!(Helper::all().len(), 211);
    let mut names = BTreeSet::new();
    for (index, helper) in Helper::all().iter().enumerate() {
        assert_eq!(helper.id as usize, index + 1);
        assert!(names.insert(helper.name));
        for name in [
            helper.name,
            helper.short_name(),
            &format!("BPF_FUNC_{}", helper.short_name()),
        ] {
            assert_eq!(
                Helper::by_name(name).map(|found| found.id),
                Some(helper.id),
                "{name}"
            );
        }
        assert_eq!(Helper::by_id(helper.id), Some(helper));
        let checked = helper
            .parameters()
            .iter()
            .filter(|p| p.kind != ArgKind::Variadic)
            .count();
        assert!(checked <= 5, "{helper} has {checked} arguments");
    }
    assert_eq!(Helper::by_id(0), None);
    assert_eq!(Helper::by_id(212), None);
    assert_eq!(Helper::by_name("bpf_"), None);
    assert_eq!(
        Helper::by_id(211).map(|h| h.name),
        Some("bpf_cgrp_storage_delete")
    );
}

#[test]
fn a_size_follows_the_memory_it_measures() {
    for helper in Helper::all() {
        let kinds: Vec<ArgKind> = helper.parameters().iter().map(|p| p.kind).collect();
        for (index, parameter) in helper.parameters().iter().enumerate() {
            let next_is_size = matches!(
                kinds.get(index + 1),
                Some(ArgKind::MemSize | ArgKind::MemSizeOrZero)
            );
            match parameter.kind {
                ArgKind::Mem => {
                    assert!(
                        next_is_size != parameter.size.is_some(),
                        "{helper} {}",
                        parameter.name
                    );
                }
                ArgKind::MemSize | ArgKind::MemSizeOrZero => {
                    assert_eq!(
                        kinds.get(index.wrapping_sub(1)),
                        Some(&ArgKind::Mem),
                        "{helper}"
                    );
                }
                _ => {}
            }
            let pointer = parameter.c_type.ends_with('*');
            let number = matches!(
                parameter.kind,
                ArgKind::MemSize | ArgKind::MemSizeOrZero | ArgKind::ConstAllocSizeOrZero
            );
            assert!(!(pointer && number), "{helper} {}", parameter.name);
        }
        let number = matches!(
            helper.returns().kind,
            ReturnKind::Integer | ReturnKind::Void
        );
        assert!(
            !(helper.returns().c_type.ends_with('*') && number),
            "{helper}"
        );
    }
}

#[test]
fn helper_access_follows_the_program_type() {
    use HelperAccess::{No, Sometimes, Yes};
    let access = |name, program| Helper::by_name(name).expect(name).access_from(program);
    for program in &ProgramType::ALL[1..] {
        if *program != ProgramType::Ext {
            assert_eq!(access("map_lookup_elem", *program), Yes, "{program}");
        }
    }
    assert_eq!(access("probe_read_kernel", ProgramType::Xdp), Yes);
    assert_eq!(access("bpf_redirect_map", ProgramType::Xdp), Yes);
    assert_eq!(access("bpf_redirect_map", ProgramType::SchedCls), No);
    assert_eq!(access("bpf_redirect", ProgramType::SchedCls), Yes);
    assert_eq!(access("bpf_get_stackid", ProgramType::Tracepoint), Yes);
    assert_eq!(access("bpf_get_stackid", ProgramType::CgroupSkb), No);
    assert_eq!(
        access("bpf_override_return", ProgramType::Kprobe),
        Sometimes
    );
    assert_eq!(access("bpf_seq_printf", ProgramType::Tracing), Sometimes);
    assert_eq!(access("bpf_set_retval", ProgramType::CgroupSkb), No);
    assert_eq!(access("bpf_sys_bpf", ProgramType::Syscall), Yes);
    assert_eq!(access("bpf_loop", ProgramType::LircMode2), No);
    assert_eq!(access("bpf_map_lookup_elem", ProgramType::Unspec), No);

    let capability = |name| Helper::by_name(name).expect(name).capability();
    assert_eq!(capability("map_lookup_elem"), None);
    assert_eq!(capability("loop"), Some(Capability::Bpf));
    assert_eq!(capability("trace_printk"), Some(Capability::Perfmon));
    assert_eq!(capability("probe_write_user"), Some(Capability::SysAdmin));

    // Every helper has at least one user beside freplace.
    for helper in Helper::all() {
        let users = ProgramType::ALL.iter().filter(|p| **p != ProgramType::Ext);
        assert!(
            users.clone().any(|p| helper.access_from(*p) != No),
            "{helper} has no user"
        );
    }
}

#[test]
fn contexts_have_layouts_and_access() {
    for program in ProgramType::ALL {
        let kind = program.context();
        let layout = program.context_layout();
        assert_eq!(
            matches!(kind, ContextKind::Struct(_)),
            layout.is_some(),
            "{program}"
        );
        if let Some(layout) = layout {
            assert_eq!(
                program.context_fields().count(),
                layout.fields.len(),
                "{program}"
            );
            let readable = |(_, access): &(_, FieldAccess)| access.access.contains(Access::READ);
            assert!(
                program.context_fields().any(|field| readable(&field)),
                "{program}"
            );
        }
    }
    let offset = |name: &str, field: &str| {
        let layout = StructLayout::by_name(name).expect(name);
        layout.field(field).map(|f| (f.offset, f.byte_len()))
    };
    // As recorded from the kernel's header: the fields that programs use most.
    assert_eq!(offset("__sk_buff", "data"), Some((76, 4)));
    assert_eq!(offset("__sk_buff", "cb"), Some((48, 20)));
    assert_eq!(offset("__sk_buff", "sk"), Some((168, 8)));
    assert_eq!(offset("__sk_buff", "tstamp_type"), Some((180, 1)));
    assert_eq!(offset("__sk_buff", "hwtstamp"), Some((184, 8)));
    assert_eq!(offset("struct bpf_sock_addr", "sk"), Some((64, 8)));
    assert_eq!(offset("bpf_sock_ops", "sk"), Some((184, 8)));
    assert_eq!(offset("bpf_insn", "imm"), Some((4, 4)));
    assert_eq!(
        StructLayout::by_name("__sk_buff").map(|l| l.size),
        Some(192)
    );
    assert_eq!(StructLayout::by_name("bpf_attr").map(|l| l.align), Some(8));

    let (_, mark) = ProgramType::SchedCls.context_field("mark").expect("mark");
    assert_eq!(mark.access, Access::READ | Access::WRITE);
    let (_, mark) = ProgramType::SkSkb.context_field("mark").expect("mark");
    assert_eq!(mark.access, Access::empty());
    let (data, access) = ProgramType::SchedCls.context_field("data").expect("data");
    assert_eq!(access.pointer, Some(ContextPointer::Packet));
    let layout = ProgramType::SchedCls.context_layout().expect("__sk_buff");
    assert_eq!(
        layout.fields_at(data.offset + 3).collect::<Vec<_>>(),
        [data]
    );
}

#[test]
fn attach_types_belong_to_programs() {
    let without: Vec<AttachType> = AttachType::ALL
        .iter()
        .copied()
        .filter(|attach| {
            !ProgramType::ALL
                .iter()
                .any(|p| p.attach_types().contains(attach))
        })
        .collect();
    assert_eq!(without, [], "each attach type goes with a program type");
    assert_eq!(
        AttachType::TcxEgress.program_type(),
        Some(ProgramType::SchedCls)
    );
    assert_eq!(AttachType::PerfEvent.program_type(), None);
    assert_eq!(
        ProgramType::CgroupSkb.expected_attach_type(),
        ExpectedAttachType::Required
    );
    assert_eq!(
        ProgramType::Syscall.expected_attach_type(),
        ExpectedAttachType::Zero
    );
}

#[test]
fn map_rules_match_the_kernel() {
    let rules = |map: MapType| map.rules();
    assert_eq!(rules(MapType::Array).key_size.only(), Some(4));
    assert!(!rules(MapType::Hash).value_size.allows(0));
    assert!(rules(MapType::Devmap).value_size.allows(8));
    assert!(!rules(MapType::Devmap).value_size.allows(6));
    assert!(rules(MapType::StackTrace).value_size.allows(127 * 8));
    assert_eq!(
        rules(MapType::LpmTrie).required_flags,
        MapCreateFlags::NO_PREALLOC
    );
    assert!(!rules(MapType::LpmTrie).key_size.allows(4));
    assert_eq!(rules(MapType::TaskStorage).max_entries, EntriesRule::Zero);
    assert_eq!(
        rules(MapType::Xskmap).capability,
        Some(Capability::NetAdmin)
    );
    assert!(MapType::PercpuHash.is_per_cpu() && !MapType::Hash.is_per_cpu());
    assert!(MapType::HashOfMaps.has_inner_maps());
    assert!(EntriesRule::ArenaPages.allows(1 << 20, 4096));
    assert!(!EntriesRule::ArenaPages.allows((1 << 20) + 1, 4096));
    assert!(!EntriesRule::RingBytes.allows(4096, 0));
    for map in &MapType::ALL[1..] {
        let name = map.name();
        let per_cpu = name.contains("PERCPU");
        assert_eq!(map.is_per_cpu(), per_cpu, "{name}");
        assert_ne!(*map.rules(), *MapType::Unspec.rules(), "{name} has rules");
    }
}

#[test]
fn return_codes_have_names() {
    fn check<T: Debug + PartialEq>(left: T, right: T) {
        assert_eq!(left, right);
    }
    check(ProgramType::Xdp.return_code("XDP_TX"), Some(3));
    check(
        ProgramType::SchedCls.return_code_name(2),
        Some("TC_ACT_SHOT"),
    );
    check(ProgramType::SchedCls.return_code("TCX_NEXT"), Some(-1));
    check(ProgramType::SkMsg.return_code_name(1), Some("SK_PASS"));
    check(
        ProgramType::FlowDissector.return_code("BPF_FLOW_DISSECTOR_CONTINUE"),
        Some(129),
    );
    check(
        ProgramType::LwtIn.return_code("BPF_FLOW_DISSECTOR_CONTINUE"),
        None,
    );
    check(
        ProgramType::Netfilter.return_code_name(1),
        Some("NF_ACCEPT"),
    );
    check(ProgramType::Kprobe.return_code_name(0), None);
}
