//! The machine's own BTF: what is committed parses, and has what programs look for by name.

use skep_btf::{Btf, FunctionLinkage, Kind, KindTag, dedup};

fn vm() -> Btf {
    Btf::parse(include_bytes!("../src/generated/vm.btf").to_vec()).expect("vm.btf parses")
}

/// The function of this name as C, and its tags.
fn function(btf: &Btf, name: &str) -> (String, Vec<String>) {
    let id = btf.find(name, KindTag::Function).expect(name);
    let Kind::Function(function) = btf.type_by_id(id).expect("it was found").kind() else {
        panic!("{name} is no function");
    };
    assert_eq!(function.linkage, FunctionLinkage::Static, "{name}");
    let tags = btf.decl_tags(id, None).map(str::to_owned).collect();
    (btf.declaration(id).expect("it prints"), tags)
}

#[test]
fn kfuncs_have_names_prototypes_and_tags() {
    let btf = vm();
    for (name, declaration) in [
        (
            "bpf_map_sum_elem_count",
            "s64 bpf_map_sum_elem_count(const struct bpf_map *map)",
        ),
        (
            "bpf_iter_num_new",
            "int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end)",
        ),
        (
            "bpf_dynptr_slice",
            "void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk)",
        ),
    ] {
        let (found, tags) = function(&btf, name);
        assert!(found.contains(declaration), "{found}");
        assert_eq!(tags, ["bpf_kfunc"], "{name}");
    }
}

#[test]
fn iterators_are_no_kfuncs() {
    let btf = vm();
    for name in ["bpf_map", "bpf_map_elem", "bpf_prog", "bpf_link", "task"] {
        let (_, tags) = function(&btf, &format!("bpf_iter_{name}"));
        assert!(tags.is_empty(), "{name}");
        let context = format!("bpf_iter__{name}");
        assert!(btf.find(&context, KindTag::Struct).is_some(), "{context}");
    }
}

#[test]
fn traced_events_are_typedefs() {
    let btf = vm();
    for name in ["sys_enter", "sys_exit", "sched_process_exec"] {
        let typedef = format!("btf_trace_{name}");
        assert!(btf.find(&typedef, KindTag::Typedef).is_some(), "{typedef}");
    }
}

#[test]
fn layouts_that_programs_rely_on() {
    let btf = vm();
    for (name, size) in [
        ("pt_regs", 168),
        ("xdp_md", 24),
        ("__sk_buff", 192),
        ("bpf_dynptr", 16),
        ("bpf_spin_lock", 4),
        ("trace_event_raw_sys_enter", 64),
        ("bpf_rb_node", 32),
        ("ethhdr", 14),
        ("iphdr", 20),
        ("ipv6hdr", 40),
        ("tcphdr", 20),
        ("udphdr", 8),
        ("icmphdr", 8),
    ] {
        let id = btf.find(name, KindTag::Struct).expect(name);
        assert_eq!(btf.size_of(id).expect(name), size, "{name}");
    }
    let task = btf.find("task_struct", KindTag::Struct).expect("a task");
    let Kind::Struct(task) = btf.type_by_id(task).expect("a task").kind() else {
        unreachable!("it was found as a structure");
    };
    for field in ["pid", "tgid", "comm", "real_parent", "start_time"] {
        assert!(task.members().any(|m| m.name() == field), "{field}");
    }
}

/// Contexts are as the uapi header has them.
#[test]
fn contexts_are_laid_out_as_in_the_header() {
    let btf = vm();
    for name in [
        "xdp_md",
        "__sk_buff",
        "bpf_sk_lookup",
        "bpf_sock_addr",
        "bpf_sock_ops",
        "bpf_sockopt",
        "bpf_sysctl",
        "bpf_cgroup_dev_ctx",
        "sk_msg_md",
        "sk_reuseport_md",
    ] {
        let layout = skep_abi::StructLayout::by_name(name).expect(name);
        let id = btf.find(name, KindTag::Struct).expect(name);
        assert_eq!(
            btf.size_of(id).expect(name),
            u64::from(layout.size),
            "{name}"
        );
        let Kind::Struct(found) = btf.type_by_id(id).expect(name).kind() else {
            unreachable!("it was found as a structure");
        };
        for member in found.members().filter(|member| !member.name().is_empty()) {
            let field = layout.field(member.name());
            let field = field.unwrap_or_else(|| panic!("{name} has no {}", member.name()));
            assert_eq!(
                member.bit_offset,
                field.offset * 8,
                "{name}.{}",
                member.name()
            );
        }
    }
}

#[test]
fn nothing_is_declared_twice_or_left_without_a_definition() {
    let btf = vm();
    let unique = dedup(&btf).expect("it is sound").btf;
    assert_eq!(unique.type_count(), btf.type_count());
    assert!(btf.bytes().len() < 100 << 10);
    for found in btf.types() {
        assert!(
            !matches!(found.tag(), Some(KindTag::Forward | KindTag::Variable)),
            "{found:?}"
        );
        assert_ne!(found.name(), "vm_published");
    }
}
