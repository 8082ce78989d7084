//! Storages of cgroups: what can be made, what attaching makes, what users may do with it, and what
//! test runs see.

use skep_abi::{AttachFlags, AttachType, MapCreateFlags, MapType, ProgramType};
use skep_host::{Host, LinkTarget, MapCreate, MapFd, ProgramAttach, ProgramFd, TestRun};
use skep_testing::{Outcome, Test};

use crate::{
    links::tree,
    support::{Record, agree, load_on, name},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("cgroup_storages::shapes_answer_alike", || agree(shapes)),
        Test::new("cgroup_storages::values_answer_alike", || agree(values)),
        Test::new("cgroup_storages::runs_answer_alike", || agree(runs)),
    ]
}

const KINDS: [MapType; 2] = [MapType::CgroupStorage, MapType::PercpuCgroupStorage];
const EGRESS: AttachType = AttachType::CgroupInetEgress;

fn shapes(host: &dyn Host, record: &mut Record) -> Outcome {
    for kind in KINDS {
        for (key, value, entries) in [
            (16, 8, 0),
            (8, 8, 0),
            (4, 8, 0),
            (12, 8, 0),
            (16, 0, 0),
            (16, 3, 0),
            (16, 8, 1),
            (16, 32 << 10, 0),
            (16, (32 << 10) + 1, 0),
            (16, 1 << 20, 0),
        ] {
            let name = name("storage");
            let made = host.map_create(&MapCreate::new(kind, &name, key, value, entries));
            record.done(format!("{kind} {key} {value} {entries}"), &made);
        }
        for flags in [
            MapCreateFlags::NO_PREALLOC,
            MapCreateFlags::RDONLY_PROG,
            MapCreateFlags::RDONLY_PROG | MapCreateFlags::WRONLY_PROG,
            MapCreateFlags::MMAPABLE,
        ] {
            let name = name("storage");
            let mut request = MapCreate::new(kind, &name, 16, 8, 0);
            request.flags = flags;
            record.done(format!("{kind} {flags:?}"), &host.map_create(&request));
        }
    }
    Ok(())
}

/// A program that adds one to its storage, and answers with the lowest bit.
fn counts(host: &dyn Host, map: &MapFd) -> Outcome<ProgramFd> {
    let text = format!(
        "r1 = map[fd:{}]\n r2 = 0\n call 81\n r1 = *(u64 *)(r0 + 0)\n r1 += 1\n \
         *(u64 *)(r0 + 0) = r1\n r0 = r1\n r0 &= 1\n exit",
        map.raw()
    );
    load_on(host, ProgramType::CgroupSkb, &text, |request| {
        request.expected_attach_type = Some(EGRESS);
    })
}

fn storage(host: &dyn Host, kind: MapType, key: u32) -> Outcome<MapFd> {
    let name = name("storage");
    Ok(host.map_create(&MapCreate::new(kind, &name, key, 8, 0))?)
}

fn values(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_kept, above, below) = tree(host)?;
    let cpus = host.possible_cpus()?;
    for (kind, key_size) in KINDS.into_iter().flat_map(|kind| [(kind, 16), (kind, 8)]) {
        let map = storage(host, kind, key_size)?;
        let program = counts(host, &map)?;
        let mut key = vec![0; key_size as usize];
        record.answer("empty", &host.map_get_next_key(&map, None, &mut key));
        for cgroup in [&above, &below] {
            let attach = ProgramAttach {
                target: LinkTarget::Cgroup(cgroup),
                program: Some(&program),
                attach_type: EGRESS,
                flags: AttachFlags::ALLOW_MULTI,
                replace: None,
                relative: 0,
                expected_revision: 0,
            };
            record.answer("attach", &host.prog_attach(&attach));
            let detach = ProgramAttach {
                flags: AttachFlags::empty(),
                ..attach
            };
            record.answer("detach", &host.prog_detach(&detach));
        }
        record.answer("first", &host.map_get_next_key(&map, None, &mut key));
        record.fact("attach type", key.get(8..));
        let mut second = key.clone();
        record.answer(
            "second",
            &host.map_get_next_key(&map, Some(&key), &mut second),
        );
        record.fact("another", key != second);
        let mut third = key.clone();
        record.answer(
            "no key",
            &host.map_get_next_key(&map, Some(&vec![9; key.len()]), &mut third),
        );
        let size = if kind == MapType::CgroupStorage {
            8
        } else {
            8 * cpus
        };
        let mut value = vec![1; size];
        record.answer("lookup", &host.map_lookup_elem(&map, &key, &mut value, 0));
        record.fact("zero", value.iter().all(|byte| *byte == 0));
        for flags in [0, 2, 1, 4, 3] {
            let set = host.map_update_elem(&map, &key, &vec![7; size], flags);
            record.answer(format!("{kind} update {flags}"), &set);
        }
        record.answer("lookup", &host.map_lookup_elem(&map, &key, &mut value, 0));
        record.fact("seven", value.iter().all(|byte| *byte == 7));
        record.answer("other", &host.map_lookup_elem(&map, &second, &mut value, 0));
        record.fact("zero", value.iter().all(|byte| *byte == 0));
        let nobody = vec![9; key.len()];
        record.answer(
            "nobody",
            &host.map_lookup_elem(&map, &nobody, &mut value, 0),
        );
        record.answer("nobody", &host.map_update_elem(&map, &nobody, &value, 0));
        record.answer("delete", &host.map_delete_elem(&map, &key));
    }
    Ok(())
}

fn runs(host: &dyn Host, record: &mut Record) -> Outcome {
    for kind in KINDS {
        let map = storage(host, kind, 16)?;
        let program = counts(host, &map)?;
        // A run has a value of its own, which its repetitions share and no user sees.
        for repeat in [1, 2, 3, 1] {
            let ran = host.prog_test_run(
                &program,
                &mut TestRun {
                    data_in: &[0; 64],
                    repeat,
                    ..TestRun::default()
                },
            );
            record.answer(format!("{repeat} times"), &ran.map(|ran| ran.return_value));
        }
        let mut key = [0; 16];
        record.answer("no key", &host.map_get_next_key(&map, None, &mut key));
        let twice = storage(host, kind, 16)?;
        let text = format!(
            "r1 = map[fd:{}]\n r2 = 0\n call 81\n r1 = map[fd:{}]\n r2 = 0\n call 81\n \
             r0 = 1\n exit",
            map.raw(),
            twice.raw()
        );
        let code = crate::support::code(&text)?;
        let name = name("two");
        let loaded = host.prog_load(&skep_host::ProgramLoad::new(
            ProgramType::CgroupSkb,
            &name,
            &code,
        ));
        record.done("two of a kind", &loaded);
        let elsewhere = load_on(
            host,
            ProgramType::SocketFilter,
            &format!(
                "r1 = map[fd:{}]\n r2 = 0\n call 81\n r0 = 1\n exit",
                map.raw()
            ),
            |_| {},
        );
        record.fact("in a socket filter", elsewhere.is_ok());
    }
    Ok(())
}
