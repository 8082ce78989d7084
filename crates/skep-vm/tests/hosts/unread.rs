//! Descriptors that a request has and nothing reads, or that are of another kind than is meant: what
//! is looked at, and what is told of it.

use skep_abi::{AttachType, MapCreateFlags, MapType, ProgramType};
use skep_host::{
    AttachTarget, BtfFd, Host, MapBtf, MapCreate, MapFd, ProgramBtf, ProgramFd, ProgramLoad,
};
use skep_testing::{Outcome, Test};

use crate::support::{Record, agree_since, code, int_types, load_on, name};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("unread::types_of_programs", || compare(of_programs)),
        Test::new("unread::types_of_maps", || compare(of_maps)),
        Test::new("unread::targets", || compare(targets)),
        Test::new("unread::lists", || compare(lists)),
    ]
}

/// As Linux 6.18.
fn compare(walk: fn(&dyn Host, &mut Record) -> Outcome) -> Outcome {
    agree_since((6, 18), walk)
}

fn array(host: &dyn Host) -> Outcome<MapFd> {
    Ok(host.map_create(&MapCreate::new(MapType::Array, &name("map"), 4, 4, 1))?)
}

fn filter(host: &dyn Host) -> Outcome<ProgramFd> {
    load_on(host, ProgramType::SocketFilter, "r0 = 0\n exit", |_| {})
}

/// What is BTF, and what only claims to be.
fn claimed(host: &dyn Host) -> Outcome<Vec<(&'static str, BtfFd)>> {
    let mut all = vec![
        ("types", int_types(host)?),
        ("a map", BtfFd::new(array(host)?.into_descriptor())),
        ("a program", BtfFd::new(filter(host)?.into_descriptor())),
    ];
    if let Some(kernel) = host.btf_by_id(1, None)? {
        all.push(("the kernel's types", kernel));
    }
    Ok(all)
}

fn of_programs(host: &dyn Host, record: &mut Record) -> Outcome {
    let code = code("r0 = 0\n exit")?;
    for (what, btf) in &claimed(host)? {
        let mut request = ProgramLoad::new(ProgramType::SocketFilter, "p", &code);
        // Functions, lines and relocations.
        let records: [(&str, [&[u8]; 3]); 5] = [
            ("nothing", [&[], &[], &[]]),
            ("functions", [&[0; 8], &[], &[]]),
            ("lines", [&[], &[0; 16], &[]]),
            ("relocations", [&[], &[], &[0; 16]]),
            ("functions and relocations", [&[0; 8], &[], &[0; 16]]),
        ];
        for (of, [func_info, line_info, core_relocations]) in records {
            for sizes in [(0, 0, 0), (8, 16, 16), (7, 15, 15), (12, 20, 20)] {
                let whole = |bytes: &[u8], size: u32| {
                    bytes.is_empty() || (size != 0 && bytes.len().is_multiple_of(size as usize))
                };
                // Others are refused before anybody is asked.
                if !whole(func_info, sizes.0)
                    || !whole(line_info, sizes.1)
                    || !whole(core_relocations, sizes.2)
                {
                    continue;
                }
                request.btf = Some(ProgramBtf {
                    btf,
                    func_info,
                    func_info_record_size: sizes.0,
                    line_info,
                    line_info_record_size: sizes.1,
                    core_relocations,
                    core_relocation_record_size: sizes.2,
                });
                let key = format!("{what} for {of} of {sizes:?}");
                record.done(key, &host.prog_load(&request));
            }
        }
    }
    Ok(())
}

fn of_maps(host: &dyn Host, record: &mut Record) -> Outcome {
    let (all, name) = (claimed(host)?, name("map"));
    for (map_type, key, value, entries, flags) in [
        (MapType::Array, 4, 4, 1, MapCreateFlags::empty()),
        (MapType::Hash, 4, 4, 1, MapCreateFlags::empty()),
        (MapType::Queue, 0, 4, 1, MapCreateFlags::empty()),
        (MapType::Ringbuf, 0, 0, 4096, MapCreateFlags::empty()),
        (MapType::ProgArray, 4, 4, 1, MapCreateFlags::empty()),
        (MapType::TaskStorage, 4, 4, 0, MapCreateFlags::NO_PREALLOC),
        (MapType::CgroupStorage, 8, 4, 0, MapCreateFlags::empty()),
    ] {
        for (what, btf) in &all {
            for (key_type, value_type) in [(0, 0), (1, 0), (0, 1), (1, 1), (1, 99), (99, 1)] {
                for kernel in [None, Some(0), Some(1)] {
                    let mut request = MapCreate::new(map_type, &name, key, value, entries);
                    request.flags = flags;
                    request.btf = Some(MapBtf {
                        btf,
                        key_type,
                        value_type,
                        kernel_value_type: 0,
                        kernel_btf: kernel.map(|at: usize| &all[at].1),
                    });
                    let key = format!("{map_type} {what} {key_type} {value_type} {kernel:?}");
                    record.done(key, &host.map_create(&request));
                }
            }
        }
    }
    let program = MapFd::new(filter(host)?.into_descriptor());
    for map_type in [
        MapType::Array,
        MapType::Hash,
        MapType::ArrayOfMaps,
        MapType::HashOfMaps,
    ] {
        let mut request = MapCreate::new(map_type, &name, 4, 4, 1);
        request.inner_map = Some(&program);
        let key = format!("{map_type} of a program");
        record.done(key, &host.map_create(&request));
    }
    Ok(())
}

fn targets(host: &dyn Host, record: &mut Record) -> Outcome {
    let code = code("r0 = 0\n exit")?;
    let all = claimed(host)?;
    let map = ProgramFd::new(array(host)?.into_descriptor());
    let program = filter(host)?;
    let modules = all
        .iter()
        .map(|(what, btf)| (*what, AttachTarget::Module(btf)));
    let programs = [
        ("a map as a program", AttachTarget::Program(&map)),
        ("a program without types", AttachTarget::Program(&program)),
    ];
    for (what, target) in modules.chain(programs) {
        for (program_type, attach_type) in [
            (ProgramType::SocketFilter, None),
            (ProgramType::RawTracepoint, None),
            (ProgramType::Xdp, Some(AttachType::Xdp)),
            (ProgramType::Tracing, Some(AttachType::TraceRawTp)),
            (ProgramType::Tracing, Some(AttachType::TraceIter)),
        ] {
            for id in [0, 1] {
                let mut request = ProgramLoad::new(program_type, "p", &code);
                request.expected_attach_type = attach_type;
                request.attach_target = Some(target);
                request.attach_btf_id = id;
                let key = format!("{program_type} {attach_type:?} for {what} {id}");
                record.done(key, &host.prog_load(&request));
            }
        }
    }
    Ok(())
}

fn lists(host: &dyn Host, record: &mut Record) -> Outcome {
    let code = code("r0 = 0\n exit")?;
    let (map, program, types) = (array(host)?, filter(host)?, int_types(host)?);
    for (what, fds) in [
        ("nothing", vec![]),
        ("a map", vec![map.raw()]),
        ("types", vec![types.raw()]),
        ("a program", vec![program.raw()]),
        ("closed", vec![i32::MAX]),
        ("none", vec![-1]),
        ("a map twice", vec![map.raw(), map.raw()]),
        ("a map and closed", vec![map.raw(), i32::MAX]),
        ("standard input", vec![0]),
    ] {
        for bind_fd_array in [false, true] {
            let mut request = ProgramLoad::new(ProgramType::SocketFilter, "p", &code);
            request.fd_array = &fds;
            request.bind_fd_array = bind_fd_array;
            let key = format!("{what}, bound {bind_fd_array}");
            let loaded = host.prog_load(&request);
            record.done(key.clone(), &loaded);
            if let Ok(loaded) = loaded {
                record.fact(key, host.prog_info(&loaded.fd)?.maps.len());
            }
        }
    }
    Ok(())
}
