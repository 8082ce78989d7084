//! Maps with the types of key and value: which types they take, which special fields their values
//! may have, and what copies do to those.

use std::slice;

use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_btf::{Builder, IntEncoding, NewMember, NewType, SectionEntry, TypeId, VariableLinkage};
use skep_host::{Access, BtfFd, BtfLoad, Host, LogLevel, MapBtf, MapCreate, TestRun};
use skep_testing::{Outcome, Test, ensure, host};

use super::Spec;
use crate::support::{Record, agree, load_on, name};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("types::sizes_of_types", || agree(sizes)),
        Test::new("types::special_fields", || agree(special_fields)),
        Test::new("types::values_with_locks", || agree(locks)),
        Test::new("types::tail_calls", || agree(tail_calls)),
        Test::new("types::read_only_for_programs", || agree(read_only)),
        Test::new("types::one_way_for_programs", one_way),
        Test::new("types::mapped_arrays", || agree(mapped)),
    ]
}

/// BTF with all that the tests use.
struct Types {
    btf: BtfFd,
    int: TypeId,
    long: TypeId,
    trie_key: TypeId,
    /// Structures by what they hold.
    values: Vec<(&'static str, TypeId, u32)>,
    section: TypeId,
}

fn types(host: &dyn Host) -> Outcome<Types> {
    let mut new = Builder::new();
    let int = new.int("unsigned int", 4, IntEncoding::UNSIGNED);
    let long = new.int("unsigned long", 8, IntEncoding::UNSIGNED);
    let of = |new: &mut Builder, name: &str, size: u32, count: u64| {
        let members: Vec<String> = (0..count).map(|number| format!("m{number}")).collect();
        let members: Vec<_> = members
            .iter()
            .zip((0..).step_by(64))
            .map(|(member, offset)| NewMember::new(member, long, offset))
            .collect();
        new.structure(name, size, &members)
    };
    let spin = new.structure("bpf_spin_lock", 4, &[NewMember::new("val", int, 0)]);
    let resilient = new.structure("bpf_res_spin_lock", 4, &[NewMember::new("val", int, 0)]);
    let timer = of(&mut new, "bpf_timer", 16, 2);
    let work = of(&mut new, "bpf_wq", 16, 2);
    let refs = new.structure("bpf_refcount", 4, &[NewMember::new("refs", int, 0)]);
    let trie_key = new.structure(
        "key",
        8,
        &[
            NewMember::new("len", int, 0),
            NewMember::new("data", int, 32),
        ],
    );
    let mut values = Vec::new();
    let mut value = |new: &mut Builder, label, size: u32, members: &[(TypeId, u32)]| {
        let names = ["a", "b", "c", "d"];
        let members: Vec<_> = names
            .iter()
            .zip(members)
            .map(|(name, (id, offset))| NewMember::new(name, *id, offset * 8))
            .collect();
        let id = new.structure("value", size, &members);
        values.push((label, id, size));
    };
    value(&mut new, "plain", 16, &[(long, 0), (long, 8)]);
    value(
        &mut new,
        "lock first",
        16,
        &[(spin, 0), (int, 4), (long, 8)],
    );
    value(
        &mut new,
        "lock between",
        24,
        &[(long, 0), (spin, 8), (int, 12), (long, 16)],
    );
    value(
        &mut new,
        "resilient lock",
        16,
        &[(resilient, 0), (int, 4), (long, 8)],
    );
    value(&mut new, "timer", 24, &[(long, 0), (timer, 8)]);
    value(&mut new, "two timers", 32, &[(timer, 0), (timer, 16)]);
    value(&mut new, "work", 24, &[(work, 0), (long, 16)]);
    value(
        &mut new,
        "lock and timer",
        24,
        &[(timer, 0), (spin, 16), (int, 20)],
    );
    value(&mut new, "refcount", 8, &[(int, 0), (refs, 4)]);
    let variable = new.variable("count", long, VariableLinkage::Global);
    let section = new.add(NewType::DataSection {
        name: ".data",
        size: 8,
        entries: &[SectionEntry {
            type_id: variable,
            offset: 0,
            size: 8,
        }],
    });
    let bytes = new.build()?;
    let btf = host.btf_load(&BtfLoad {
        object: "types",
        bytes: &bytes,
        log_level: LogLevel::default(),
        token: None,
    })?;
    Ok(Types {
        btf,
        int,
        long,
        trie_key,
        values,
        section,
    })
}

impl Types {
    fn create(
        &self,
        host: &dyn Host,
        spec: &Spec,
        key: TypeId,
        value: TypeId,
    ) -> skep_host::Result<skep_host::MapFd> {
        let name = name("typed");
        let mut request = MapCreate::new(spec.map_type, &name, spec.key, spec.value, spec.entries);
        request.flags = spec.flags;
        request.btf = Some(MapBtf {
            btf: &self.btf,
            key_type: key.0,
            value_type: value.0,
            kernel_value_type: 0,
            kernel_btf: None,
        });
        host.map_create(&request)
    }
}

const NONE: TypeId = TypeId(0);

fn sizes(host: &dyn Host, record: &mut Record) -> Outcome {
    let types = types(host)?;
    for spec in super::specs().into_iter().chain([
        Spec::new("hash 4 8", MapType::Hash, 4, 8, 4),
        Spec::new("array 8", MapType::Array, 4, 8, 1),
        Spec::new("percpu array 8", MapType::PercpuArray, 4, 8, 1),
        Spec::new("program array", MapType::ProgArray, 4, 4, 1),
        Spec::new("trie 8", MapType::LpmTrie, 8, 8, 4).with(MapCreateFlags::NO_PREALLOC),
    ]) {
        let ids = [
            ("none", NONE),
            ("int", types.int),
            ("long", types.long),
            ("trie key", types.trie_key),
            ("section", types.section),
            ("beyond", TypeId(999)),
        ];
        for (key_name, key) in ids {
            for (value_name, value) in ids {
                if key == NONE && value == NONE {
                    continue;
                }
                let made = types.create(host, &spec, key, value);
                record.done(format!("{}: {key_name} {value_name}", spec.label), &made);
            }
        }
    }
    Ok(())
}

fn special_fields(host: &dyn Host, record: &mut Record) -> Outcome {
    let types = types(host)?;
    let read_only = MapCreateFlags::RDONLY_PROG;
    for (label, value, size) in &types.values {
        for (map_type, key, key_type, flags) in [
            (MapType::Array, 4, types.int, MapCreateFlags::empty()),
            (MapType::Array, 4, types.int, read_only),
            (MapType::Array, 4, types.int, MapCreateFlags::MMAPABLE),
            (MapType::PercpuArray, 4, types.int, MapCreateFlags::empty()),
            (MapType::Hash, 4, types.int, MapCreateFlags::empty()),
            (MapType::Hash, 4, types.int, MapCreateFlags::NO_PREALLOC),
            (MapType::PercpuHash, 4, types.int, MapCreateFlags::empty()),
            (MapType::LruHash, 4, types.int, MapCreateFlags::empty()),
            (
                MapType::LruPercpuHash,
                4,
                types.int,
                MapCreateFlags::empty(),
            ),
            (
                MapType::LpmTrie,
                8,
                types.trie_key,
                MapCreateFlags::NO_PREALLOC,
            ),
            (MapType::Queue, 0, NONE, MapCreateFlags::empty()),
            (MapType::BloomFilter, 0, NONE, MapCreateFlags::empty()),
        ] {
            let spec = Spec::new("", map_type, key, *size, 2).with(flags);
            let made = types.create(host, &spec, key_type, *value);
            record.done(format!("{label} in {map_type} {flags:?}"), &made);
            let Ok(map) = made else { continue };
            record.answer(
                format!("{label} in {map_type}: freeze"),
                &host.map_freeze(&map),
            );
            if flags == MapCreateFlags::MMAPABLE {
                let mapped = host.map_memory(&map, 0, 4096, Access::Read);
                record.done(format!("{label} in {map_type}: map"), &mapped);
            }
        }
    }
    Ok(())
}

/// Updates and lookups leave locks alone, with `BPF_F_LOCK` or without.
fn locks(host: &dyn Host, record: &mut Record) -> Outcome {
    let types = types(host)?;
    for (label, value, size) in &types.values {
        for map_type in [MapType::Array, MapType::Hash, MapType::LruHash] {
            let spec = Spec::new("", map_type, 4, *size, 4);
            let Ok(map) = types.create(host, &spec, types.int, *value) else {
                continue;
            };
            for (round, flags) in [0, 4, 1, 5, 2, 6, 4, 0].into_iter().enumerate() {
                let label = format!("{label} in {map_type} {round}");
                let set: Vec<u8> = (1..)
                    .take(*size as usize)
                    .map(|at: u8| at.wrapping_mul(3))
                    .collect();
                // What user space gives for a timer or a lock is not looked at.
                let done = host.map_update_elem(&map, &[1, 0, 0, 0], &set, flags);
                record.answer(format!("{label} update {flags}"), &done);
                for flags in [0, 4] {
                    let mut seen = vec![9; *size as usize];
                    let found = host.map_lookup_elem(&map, &[1, 0, 0, 0], &mut seen, flags);
                    record.answer(format!("{label} lookup {flags}"), &found);
                    if found.is_ok() {
                        record.fact(format!("{label} value {flags}"), seen);
                    }
                }
                let count = host.map_update_batch(&map, &[1, 0, 0, 0], &set, 1, flags & 4);
                record.answer(format!("{label} batch"), &count);
            }
            let mut seen = vec![9; *size as usize];
            let key = slice::from_ref(&1_u32);
            let key: Vec<u8> = key.iter().flat_map(|key| key.to_ne_bytes()).collect();
            let taken = host.map_lookup_and_delete_elem(&map, &key, &mut seen, 4);
            record.answer(format!("{label} in {map_type} take"), &taken);
            if taken.is_ok() {
                record.fact(format!("{label} in {map_type} taken"), seen);
            }
        }
    }
    Ok(())
}

/// Calls that go on in another program, that find none, and that are too many.
fn tail_calls(host: &dyn Host, record: &mut Record) -> Outcome {
    let array = Spec::new("", MapType::ProgArray, 4, 4, 4).create(host)?;
    let counter = Spec::new("", MapType::Array, 4, 8, 1).create(host)?;
    let call = |slot: u32, answer: u32| {
        format!(
            "r6 = r1\nr1 = map[fd:{}][0]+0\nr2 = 1\nlock *(u64 *)(r1 + 0) += r2\n\
             r1 = r6\nr2 = map[fd:{}]\nr3 = {slot}\ncall 12\nr0 = {answer}\nexit\n",
            counter.raw(),
            array.raw()
        )
    };
    let load = |text: &str| load_on(host, ProgramType::RawTracepoint, text, |_| {});
    let first = load(&call(0, 1))?;
    let second = load(&call(1, 2))?;
    let last = load("r0 = 3\nexit\n")?;
    let run = |record: &mut Record, label: &str| -> Outcome {
        let answer = host.prog_test_run(&first, &mut TestRun::default())?;
        let mut count = [0; 8];
        host.map_lookup_elem(&counter, &[0; 4], &mut count, 0)?;
        host.map_update_elem(&counter, &[0; 4], &[0; 8], 0)?;
        record.fact(label, (answer.return_value, u64::from_ne_bytes(count)));
        Ok(())
    };
    let set = |slot: u32, program: &skep_host::ProgramFd| {
        host.map_update_elem(&array, &slot.to_ne_bytes(), &program.raw().to_ne_bytes(), 0)
    };
    run(record, "nobody there")?;
    set(0, &second)?;
    run(record, "the second, then nobody")?;
    set(1, &last)?;
    run(record, "to the last")?;
    set(1, &second)?;
    run(record, "the second for ever")?;
    set(0, &first)?;
    run(record, "itself for ever")?;
    host.map_delete_elem(&array, &[0; 4])?;
    run(record, "nobody there any more")?;
    Ok(())
}

/// Constants: programs read them, user space writes them.
fn read_only(host: &dyn Host, record: &mut Record) -> Outcome {
    let spec = Spec::new("", MapType::Array, 4, 8, 1).with(MapCreateFlags::RDONLY_PROG);
    let map = spec.create(host)?;
    record.answer("update", &host.map_update_elem(&map, &[0; 4], &[5; 8], 0));
    let text = format!(
        "r1 = map[fd:{}][0]+4\nr0 = *(u8 *)(r1 + 0)\nexit\n",
        map.raw()
    );
    let program = load_on(host, ProgramType::RawTracepoint, &text, |_| {})?;
    record.fact(
        "read",
        host.prog_test_run(&program, &mut TestRun::default())?
            .return_value,
    );
    for (offset, size) in [(8, 1), (7, 1), (0, 1)] {
        let text = format!(
            "r1 = map[fd:{}][0]+{offset}\nr0 = *(u8 *)(r1 + 0)\nexit\n",
            map.raw()
        );
        let loaded = load_on(host, ProgramType::RawTracepoint, &text, |_| {});
        record.fact(format!("offset {offset} {size}"), loaded.is_ok());
    }
    // Only maps of one value have an address of their own.
    let two = Spec::new("", MapType::Array, 4, 8, 2).create(host)?;
    let hash = Spec::new("", MapType::Hash, 4, 8, 1).create(host)?;
    for (label, map) in [("two values", &two), ("a hash", &hash)] {
        let text = format!("r1 = map[fd:{}][0]+0\nr0 = 0\nexit\n", map.raw());
        let loaded = load_on(host, ProgramType::RawTracepoint, &text, |_| {});
        record.fact(label, loaded.is_ok());
    }
    Ok(())
}

/// Programs can't read what they may only write, nor the other way: a kernel refuses them, the
/// machine stops them.
fn one_way() -> Outcome {
    let write = "*(u64 *)(r0 + 0) = r1\n";
    let read = "r1 = *(u64 *)(r0 + 0)\n";
    for (flags, allowed, refused) in [
        (MapCreateFlags::WRONLY_PROG, write, read),
        (MapCreateFlags::RDONLY_PROG, read, write),
    ] {
        for map_type in [MapType::Array, MapType::Hash] {
            let map = Spec::new("", map_type, 4, 8, 2)
                .with(flags)
                .create(host())?;
            host().map_update_elem(&map, &[0; 4], &[1; 8], 0)?;
            let run = |access: &str| -> Outcome<bool> {
                let text = format!(
                    "r1 = 0\n*(u32 *)(r10 - 4) = r1\nr1 = map[fd:{}]\nr2 = r10\nr2 += -4\n\
                     call 1\nif r0 == 0 goto +2\nr1 = 1\n{access}r0 = 0\nexit\n",
                    map.raw()
                );
                match load_on(host(), ProgramType::RawTracepoint, &text, |_| {}) {
                    Ok(program) => Ok(host()
                        .prog_test_run(&program, &mut TestRun::default())
                        .is_ok()),
                    Err(_) => Ok(false),
                }
            };
            ensure(run(allowed)?, || format!("{map_type} {flags:?}: refused"))?;
            ensure(!run(refused)?, || format!("{map_type} {flags:?}: allowed"))?;
        }
    }
    Ok(())
}

/// The memory of arrays, as user space maps it.
fn mapped(host: &dyn Host, record: &mut Record) -> Outcome {
    for flags in [0, 1 << 10, 1 << 10 | 1 << 7] {
        let flags = MapCreateFlags::from_bits_retain(flags);
        let map = Spec::new("", MapType::Array, 4, 12, 600)
            .with(flags)
            .create(host)?;
        for (offset, len) in [
            (0, 4096),
            (0, 8192),
            (4096, 8192),
            (0, 12288),
            (0, 16384),
            (8192, 4096),
            (12288, 4096),
            (1 << 40, 4096),
        ] {
            for access in [Access::Read, Access::ReadWrite] {
                let memory = host.map_memory(&map, offset, len, access);
                record.done(format!("{flags:?} {offset} {len} {access:?}"), &memory);
            }
        }
        let Ok(memory) = host.map_memory(&map, 0, 4096, Access::Read) else {
            continue;
        };
        host.map_update_elem(&map, &[1, 0, 0, 0], &[1; 12], 0)?;
        // Values are 8 bytes apart at least, whatever their size.
        let words: Vec<u64> = memory
            .long_words()
            .iter()
            .take(5)
            .map(|word| word.acquire())
            .collect();
        record.fact(format!("{flags:?} words"), words);
    }
    Ok(())
}
