//! Which functions there are, and that no arguments make one of them panic or reach what is not the
//! program's.

use std::collections::BTreeSet;

use skep_abi::{Kfunc, ProgramType};
use skep_btf::{Builder, IntEncoding, Kind, KindTag, NewMember, NewType};
use skep_host::{BtfLoad, Host as _, LogLevel, ProgramBtf, ProgramLoad};
use skep_isa::{Endian, assemble, encode_slots};

use super::TABLES;
use crate::{
    Config, Engine, FaultKind, Vm,
    engine::Status,
    machine::types::types,
    memory::Block,
    run::{Ours, Run},
};

/// The kernel functions of the machine's BTF, by their tag.
fn published() -> BTreeSet<String> {
    let btf = types();
    let tags = btf
        .types()
        .filter(|tag| tag.tag() == Some(KindTag::DeclTag));
    let functions = tags.filter_map(|tag| match tag.kind() {
        Kind::DeclTag(of) if tag.name() == "bpf_kfunc" => {
            Some(btf.type_by_id(of.target).ok()?.name().to_owned())
        }
        _ => None,
    });
    functions.collect()
}

#[test]
fn every_function_is_published_and_none_else() {
    let ours = super::names().flat_map(|name| {
        let mut all = Kfunc::ALL.iter();
        // And by the name that it had before.
        let before = all.find(|known| known.now == Some(name));
        before.map(|before| before.name).into_iter().chain([name])
    });
    let ours: BTreeSet<_> = ours.map(str::to_owned).collect();
    assert_eq!(ours, published());
    for name in &ours {
        assert!(super::by_name(name).is_some(), "{name}");
    }
}

/// The functions that the machine does not have, by how their names begin, and why.
const ABSENT: &[(&[&str], &str)] = &[
    (
        &[
            "bbr_",
            "cubictcp_",
            "dctcp_",
            "tcp_",
            "bpf_sk_",
            "bpf_sock_",
            "bpf_skb_",
            "bpf_xdp_",
            "bpf_ct_",
        ],
        "the machine has no TCP, tunnels, IPsec and connection tracking",
    ),
    (
        &["bpf_crypto_", "bpf_key_", "bpf_lookup_", "bpf_verify_"],
        "the machine has no keys and ciphers",
    ),
    (
        &[
            "bpf_get_",
            "bpf_set_",
            "bpf_remove_",
            "bpf_put_",
            "bpf_path_",
            "bpf_cgroup_read_xattr",
        ],
        "the machine has no files, paths, attributes and slab caches",
    ),
    (
        &["bpf_iter_dmabuf_", "bpf_iter_kmem_", "bpf_iter_task_vma_"],
        "the machine has no such things, or does not list them",
    ),
    (
        &["cgroup_rstat_", "css_rstat_", "bpf_task_get_cgroup1"],
        "cgroups of the machine count nothing, and are of the second version",
    ),
    (
        &[
            "bpf_fentry_test",
            "bpf_kfunc_call_",
            "bpf_modify_return_",
            "__bpf_trap",
        ],
        "tests of the kernel, or its verifier, call them",
    ),
    (&["crash_kexec"], "the machine does not crash"),
];

/// Of those that any kernel up to 6.18 has; which came later, and are not here, is in the table of
/// differences.
#[test]
fn every_function_is_there_or_has_a_reason() {
    let reason = |name: &str| {
        let mut names = ABSENT.iter().flat_map(|(names, _)| names.iter());
        names.any(|absent| name.starts_with(absent))
    };
    let without: Vec<_> = Kfunc::ALL
        .iter()
        .map(|known| known.name)
        .filter(|name| super::by_name(name).is_none() && !reason(name))
        .collect();
    assert!(
        without.is_empty(),
        "neither here nor in the table: {without:?}"
    );
    for name in ABSENT.iter().flat_map(|(names, _)| names.iter()) {
        let absent =
            |known: &Kfunc| known.name.starts_with(name) && super::by_name(known.name).is_none();
        assert!(
            Kfunc::ALL.iter().any(absent),
            "nothing that begins with {name} is missing"
        );
    }
}

/// Numbers that look like chance.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % below
    }
}

/// Where the nodes of [`item`] are, and its head.
const NODES: [u64; 3] = [8, 32, 72];

/// The types of a program that has objects with a node of a list, one of a tree, a head of others
/// with its lock, and a count; and the id of that structure.
fn item() -> (Vec<u8>, u64) {
    let mut types = Builder::new();
    let long = types.int("long", 8, IntEncoding::SIGNED);
    let mut opaque = |name: &str, words: u32| {
        let members: Vec<_> = (0..words)
            .map(|word| NewMember::new("word", long, word * 64))
            .collect();
        types.structure(name, words * 8, &members)
    };
    let node = opaque("bpf_list_node", 3);
    let tree = opaque("bpf_rb_node", 4);
    let head = opaque("bpf_list_head", 2);
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let word = [NewMember::new("word", int, 0)];
    let count = types.structure("bpf_refcount", 4, &word);
    let lock = types.structure("bpf_spin_lock", 4, &word);
    let leaf = [
        NewMember::new("value", long, 0),
        NewMember::new("node", node, 8 * 8),
    ];
    types.structure("leaf", 32, &leaf);
    let members = [
        NewMember::new("value", long, 0),
        NewMember::new("node", node, 8 * 8),
        NewMember::new("tree", tree, 32 * 8),
        NewMember::new("head", head, 72 * 8),
        NewMember::new("count", count, 88 * 8),
        NewMember::new("lock", lock, 92 * 8),
    ];
    let id = types.structure("item", 96, &members);
    types.add(NewType::DeclTag {
        name: "contains:leaf:node",
        target: id,
        component: Some(3),
        attribute: false,
    });
    (types.build().unwrap(), u64::from(id.0))
}

#[test]
fn no_arguments_make_a_function_panic() {
    let config = Config {
        engine: Engine::Interpreter,
        cpus: 2,
        ..Config::checked()
    };
    let vm = Vm::with(config).unwrap();
    let text = "r0 = 0\n exit\n callback:\n r0 = r1\n r0 &= 1\n exit";
    let text = text.replace("r0 = 0\n exit", "r1 = subprog[callback]\n r0 = 0\n exit");
    let code = encode_slots(&assemble(&text).unwrap(), Endian::NATIVE);
    let mut request = ProgramLoad::new(ProgramType::Syscall, "chance", &code);
    request.flags = skep_abi::ProgLoadFlags::SLEEPABLE;
    let (bytes, item) = item();
    let btf = vm
        .btf_load(&BtfLoad {
            object: "chance",
            bytes: &bytes,
            log_level: LogLevel::OnFailure,
            token: None,
        })
        .unwrap();
    request.btf = Some(ProgramBtf {
        func_info: &[0; 8],
        func_info_record_size: 8,
        ..ProgramBtf::new(&btf)
    });
    let fd = vm.prog_load(&request).unwrap().fd;
    let program = vm.0.registry.programs.all().pop().unwrap();
    drop(fd);
    let mut chance = Chance(1);
    for _ in 0..300 {
        let cpu = vm.0.cpus.take(None).unwrap();
        let run = Run::new(&vm.0, &program, cpu.id(), cpu.scratch(), vm.0.limits);
        let memory = Block::new(256).unwrap();
        run.grant(Ours {
            start: memory.address(),
            len: 256,
            writable: true,
        });
        let task = run.task().address();
        let mut known = vec![
            0,
            1,
            8,
            u64::MAX,
            1 << 63,
            task,
            0x5ce9_f000_0000_0001,
            item,
        ];
        for _ in 0..200 {
            let table = TABLES[chance.next(TABLES.len() as u64) as usize];
            if table.is_empty() {
                continue;
            }
            let (name, shim) = table[chance.next(table.len() as u64) as usize];
            let mut argument = || match chance.next(5) {
                0 => memory.address() + chance.next(32) * 8,
                1 => chance.next(300),
                2 => known[chance.next(known.len() as u64) as usize]
                    .wrapping_add(NODES[chance.next(3) as usize]),
                _ => known[chance.next(known.len() as u64) as usize],
            };
            let [a, b, c, d, e] = std::array::from_fn(|_| argument());
            // SAFETY: the program is of checked mode, in which a function looks at its arguments.
            let answer = unsafe { shim(&run, a, b, c, d, e) };
            match answer.status {
                Status::Done if answer.value > 4096 => known.push(answer.value),
                Status::Fault => {
                    let fault = run.take_fault();
                    let internal = matches!(fault.kind, FaultKind::Internal(_));
                    assert!(
                        !internal,
                        "{name}({a:#x}, {b:#x}, {c:#x}, {d:#x}, {e:#x}): {fault}"
                    );
                }
                _ => {}
            }
        }
        crate::helper::give_back(&run);
        drop(run);
        drop(cpu);
    }
}

/// A run in checked mode, of a machine of its own with these limits, and memory to play with.
fn with_run(instructions: u64, test: impl FnOnce(&Run<'_>, &Block)) {
    let mut config = Config {
        engine: Engine::Interpreter,
        cpus: 1,
        ..Config::checked()
    };
    config.limits.instructions = instructions;
    let vm = Vm::with(config).unwrap();
    let code = encode_slots(&assemble("r0 = 0\n exit").unwrap(), Endian::NATIVE);
    let request = ProgramLoad::new(ProgramType::SocketFilter, "none", &code);
    let _fd = vm.prog_load(&request).unwrap().fd;
    let program = vm.0.registry.programs.all().pop().unwrap();
    let cpu = vm.0.cpus.take(None).unwrap();
    let run = Run::new(&vm.0, &program, cpu.id(), cpu.scratch(), vm.0.limits);
    let memory = Block::new(4096).unwrap();
    run.grant(Ours {
        start: memory.address(),
        len: 4096,
        writable: true,
    });
    test(&run, &memory);
}

fn call(run: &Run<'_>, name: &str, [a, b, c, d, e]: [u64; 5]) -> crate::engine::Answer {
    let mut all = TABLES.iter().flat_map(|table| table.iter());
    let (_, shim) = all.find(|(known, _)| *known == name).unwrap();
    // SAFETY: the program is of checked mode, in which a function looks at its arguments.
    unsafe { shim(run, a, b, c, d, e) }
}

#[test]
fn parts_of_strings_are_found_whatever_their_case() {
    with_run(1 << 20, |run, memory| {
        let place = |at: usize, text: &str| {
            let view = memory.view(at, text.len() + 1).unwrap();
            view.fill(0);
            view.write(text.as_bytes());
            memory.address() + at as u64
        };
        let text = place(0, "Hello World");
        for (part, len, found) in [
            ("WORLD", 11, Some(6)),
            ("wOrL", 10, Some(6)),
            ("world", 10, None),
            ("hello", 5, Some(0)),
            ("", 0, Some(0)),
            ("none", 11, None),
        ] {
            let part_at = place(64, part);
            let expected = found.unwrap_or(-skep_host::Errno::ENOENT.0);
            let answer = call(run, "bpf_strncasestr", [text, part_at, len, 0, 0]);
            assert_eq!(answer.value as i32, expected, "{part} in {len}");
            if len >= 11 {
                let answer = call(run, "bpf_strcasestr", [text, part_at, 0, 0, 0]);
                assert_eq!(answer.value as i32, expected, "{part}");
            }
        }
        let other = place(64, "HELLO THERE");
        let compare = |len| call(run, "bpf_strncasecmp", [text, other, len, 0, 0]).value as i32;
        assert_eq!(compare(6), 0);
        assert!(compare(7) > 0, "w is behind t");
    });
}

/// A lock that nobody holds and nobody gives back can't be waited for again and again.
#[test]
fn waiting_is_paid_for() {
    with_run(2_000_000, |run, memory| {
        memory.all().set_u32(0, 77);
        let lock = [memory.address(), 0, 0, 0, 0];
        let faulted = (0..4).any(|_| call(run, "bpf_res_spin_lock", lock).status == Status::Fault);
        assert!(faulted);
        assert!(matches!(run.take_fault().kind, FaultKind::Budget { .. }));
    });
}

/// A lock whose memory is gone does not keep those below it, nor their places on the CPU.
#[test]
fn locks_go_with_their_memory() {
    with_run(1 << 30, |run, memory| {
        for round in 0..40 {
            let gone = Block::new(64).unwrap();
            run.grant(Ours {
                start: gone.address(),
                len: 64,
                writable: true,
            });
            for lock in [memory.address(), gone.address()] {
                let answer = call(run, "bpf_res_spin_lock", [lock, 0, 0, 0, 0]);
                assert_eq!((answer.status, answer.value), (Status::Done, 0), "{round}");
            }
            run.revoke(gone.address());
            crate::helper::give_back(run);
            assert_eq!(memory.all().u32_at(0), Some(0));
        }
    });
}

/// References that are never given back are as many as a run can hold.
#[test]
fn held_references_are_few() {
    with_run(1 << 30, |run, _| {
        let made = || call(run, "bpf_cpumask_create", [0; 5]).value;
        let count = (0..5000).filter(|_| made() != 0).count();
        assert_eq!(count, crate::run::MOST_HELD);
    });
}

/// Strings are paid for by their length.
#[test]
fn strings_are_paid_for() {
    with_run(2_000_000, |run, memory| {
        memory.all().fill(b'a');
        memory.all().set_u8(4095, 0);
        let text = [memory.address(), 0, 0, 0, 0];
        let faulted = (0..1000).any(|_| call(run, "bpf_strlen", text).status == Status::Fault);
        assert!(faulted);
    });
}

/// What a program writes where a pointer is kept gives it no reference of what is there.
#[test]
fn forged_pointers_hold_nothing() {
    with_run(1 << 30, |run, memory| {
        let task = run.task().address();
        let xchg = |place, given| {
            let shim = crate::helper::by_id(194).unwrap();
            // SAFETY: as in `call`.
            unsafe { shim(run, place, given, 0, 0, 0) }.value
        };
        let place = memory.address();
        for _ in 0..3 {
            memory.all().set_u64(0, task);
            assert_eq!(xchg(place, 0), 0);
        }
        run.release_objects();
        assert!(run.view(task, 8, false).is_ok(), "the task lives");
        assert!(run.task().object().is_some_and(|task| task.acquire()));
        // What was given is had again, once.
        let mask = call(run, "bpf_cpumask_create", [0; 5]).value;
        assert_eq!(xchg(place, mask), 0);
        memory.all().set_u64(8, mask);
        assert_eq!(xchg(place, 0), mask);
        assert_eq!(xchg(place + 8, 0), 0);
    });
}
