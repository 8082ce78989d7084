//! A kernel for the corpus's programs to be linked for: what they ask of one, laid out otherwise
//! than they were compiled for.

use std::sync::{Arc, LazyLock};

use skep_abi::KernelVersion;
use skep_btf::{
    Btf, Builder, Endian, FunctionLinkage, IntEncoding, NewMember, NewType, SectionEntry, TypeId,
    VariableLinkage,
};
use skep_object::Target;

static KERNELS: LazyLock<[Target; 2]> = LazyLock::new(|| {
    [Endian::Little, Endian::Big]
        .map(|order| with_btf(Btf::parse(types(order)).expect("well-formed")))
});

/// The kernel of a byte order.
pub(crate) fn of(endian: Endian) -> &'static Target {
    let [little, big] = &*KERNELS;
    match endian {
        Endian::Little => little,
        Endian::Big => big,
    }
}

/// A kernel with these types, and with the configuration and the symbols that the corpus asks for.
pub(crate) fn with_btf(btf: Btf) -> Target {
    let mut target = Target::new(KernelVersion::new(6, 12))
        .with_kernel_btf(Arc::new(btf))
        .with_config_text("CONFIG_HZ=250\nCONFIG_BPF=y\n");
    let address = 0xffff_ffff_8100_0000;
    target.symbols.insert("init_task".into(), vec![address]);
    target
}

/// An old one without types.
pub(crate) fn bare(endian: Endian) -> Target {
    let mut target = Target::new(KernelVersion::new(5, 4));
    target.endian = endian;
    target
}

/// The types of [`of`].
pub(crate) fn types(order: Endian) -> Vec<u8> {
    let mut types = Builder::new();
    types.set_endianness(order);
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let unsigned = types.int("unsigned int", 4, IntEncoding(0));
    let long = types.int("long unsigned int", 8, IntEncoding(0));
    let character = types.int("char", 1, IntEncoding::SIGNED);
    let comm = types.array(character, int, 16);
    let state = types.enumeration("state", &[("STATE_IDLE", 0), ("STATE_RUN", 6)]);

    let next = TypeId(types.next_id().0 + 1);
    let next = types.pointer(next);
    let list = types.structure("list", 8, &[NewMember::new("next", next, 0)]);
    let children = types.array(list, int, 4);
    let owner = types.union(
        "",
        8,
        &[
            NewMember::new("users", unsigned, 0),
            NewMember::new("owner", long, 0),
        ],
    );
    let mm = [
        NewMember::new("", owner, 0),
        NewMember::new("start", long, 64),
    ];
    let mm = types.structure("mm", 16, &mm);
    let mm = types.pointer(mm);
    let parent = TypeId(types.next_id().0 + 1);
    let parent = types.pointer(parent);
    let bits = |name, bit_offset, bitfield_size| NewMember {
        name,
        type_id: unsigned,
        bit_offset,
        bitfield_size,
    };
    let task = types.structure(
        "task_struct",
        112,
        &[
            NewMember::new("state", state, 0),
            bits("level", 33, 7),
            bits("exiting", 40, 1),
            NewMember::new("mm", mm, 64),
            NewMember::new("real_parent", parent, 128),
            NewMember::new("comm", comm, 192),
            NewMember::new("children", children, 320),
            NewMember::new("tgid", int, 576),
            NewMember::new("pid", int, 608),
        ],
    );
    // Another of the same name that does not have what programs ask for.
    types.structure("mm", 8, &[NewMember::new("other", long, 0)]);

    let task = types.pointer(task);
    let arguments = [("", TypeId::VOID), ("", int), ("", task), ("", task)];
    let event = types.prototype(TypeId::VOID, &arguments);
    let event = types.pointer(event);
    types.typedef("btf_trace_sched_switch", event);
    let plain = types.prototype(TypeId::VOID, &[]);
    types.function("bpf_rcu_read_lock", plain, FunctionLinkage::Global);
    types.function("do_nothing", plain, FunctionLinkage::Static);
    let runqueues = types.variable("runqueues", int, VariableLinkage::Global);
    let entries = [SectionEntry {
        type_id: runqueues,
        offset: 0x40,
        size: 4,
    }];
    types.add(NewType::DataSection {
        name: ".data..percpu",
        size: 0x80,
        entries: &entries,
    });
    types.build().expect("well-formed")
}
