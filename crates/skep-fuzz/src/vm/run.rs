//! A case on a host: maps created, programs loaded and run once, and all that can be seen
//! afterwards.

use std::{collections::BTreeMap, sync::OnceLock};

use skep_abi::{MapCreateFlags, MapType, ProgLoadFlags, ProgramType};
use skep_btf::{Btf, Builder, FunctionLinkage, IntEncoding, KindTag};
use skep_host::{
    Access, BtfLoad, Cause, Error, Host, HostKind, LoadedProgram, LogLevel, MapCreate, MapFd,
    ProgramBtf, ProgramFd, ProgramLoad, TestRun,
};
use skep_isa::{Endian, encode_slots};

use super::{
    Features, KFUNCS,
    case::{Body, Case, MAPS, MapShape, PROGRAMS, TEXTS},
};

/// What a run left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The contents of its maps, by number.
    pub maps: BTreeMap<usize, Contents>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With a value.
    Done {
        /// The lower half of R0.
        value: u32,
        /// The context afterwards.
        context: Vec<u8>,
        /// The packet afterwards.
        packet: Vec<u8>,
    },
    /// The host stopped it, and says so.
    Fault(String),
    /// The host does not run it: an error number.
    Refused(String),
}

/// What is in a map: keys and values, or values in order.
pub type Contents = Vec<(Vec<u8>, Vec<u8>)>;

/// Loads a program: the host's own way, or another mode.
pub type Load<'a> = &'a dyn Fn(&ProgramLoad<'_>) -> skep_host::Result<LoadedProgram>;

/// Runs a case.
///
/// # Errors
/// What refused the program: the text of a verifier, or the error.
pub fn run(host: &dyn Host, load: Load<'_>, case: &Case) -> Result<Outcome, String> {
    let mut maps = BTreeMap::new();
    for map in case.maps() {
        let created = create(host, &MAPS[map]).map_err(|error| said(&error))?;
        maps.insert(map, created);
    }
    let main = load_body(host, load, case.program_type, &case.main, &maps)?;
    let mut tails = Vec::new();
    for (index, tail) in case.tails.iter().enumerate() {
        for map in tail.maps.iter().map(|(_, map)| *map) {
            if let std::collections::btree_map::Entry::Vacant(place) = maps.entry(map) {
                place.insert(create(host, &MAPS[map]).map_err(|error| said(&error))?);
            }
        }
        let program = load_body(host, load, case.program_type, tail, &maps)?;
        if let Some(programs) = maps.get(&PROGRAMS) {
            let (key, value) = (index as u32, program.raw());
            host.map_update_elem(programs, &key.to_ne_bytes(), &value.to_ne_bytes(), 0)
                .map_err(|error| said(&error))?;
        }
        tails.push(program);
    }
    let end = run_once(host, &main, case);
    let mut contents = BTreeMap::new();
    for (number, map) in &maps {
        if *number != PROGRAMS {
            let found = read(host, &MAPS[*number], map).map_err(|error| said(&error))?;
            contents.insert(*number, found);
        }
    }
    Ok(Outcome {
        end,
        maps: contents,
    })
}

/// Loads the programs of a case.
///
/// # Errors
/// As [`run`].
pub fn load(host: &dyn Host, case: &Case) -> Result<(), String> {
    let mut maps = BTreeMap::new();
    for map in case.maps() {
        let created = create(host, &MAPS[map]).map_err(|error| said(&error))?;
        maps.insert(map, created);
    }
    for body in std::iter::once(&case.main).chain(&case.tails) {
        let load = &|request: &ProgramLoad<'_>| host.prog_load(request);
        load_body(host, load, case.program_type, body, &maps)?;
    }
    Ok(())
}

fn said(error: &Error) -> String {
    match error.log() {
        Some(log) => format!("{error}\n{log}"),
        None => format!("{error} {:?}", error.cause()),
    }
}

fn create(host: &dyn Host, shape: &MapShape) -> skep_host::Result<MapFd> {
    let MapShape {
        key,
        value,
        entries,
        ..
    } = *shape;
    let mut request = MapCreate::new(shape.map_type, "fuzz", key, value, entries);
    request.flags = shape.flags;
    let map = host.map_create(&request)?;
    if shape.flags.contains(MapCreateFlags::RDONLY_PROG) {
        host.map_update_elem(&map, &0_u32.to_ne_bytes(), TEXTS, 0)?;
        host.map_freeze(&map)?;
    }
    Ok(map)
}

fn load_body(
    host: &dyn Host,
    load: Load<'_>,
    program_type: ProgramType,
    body: &Body,
    maps: &BTreeMap<usize, MapFd>,
) -> Result<ProgramFd, String> {
    let mut slots = body.slots.clone();
    for (slot, map) in &body.maps {
        slots[*slot].imm = maps[map].raw();
    }
    for (slot, name) in &body.kfuncs {
        slots[*slot].imm = kfunc(host, name).ok_or_else(|| format!("no {name}"))? as i32;
    }
    let code = encode_slots(&slots, Endian::NATIVE);
    let mut request = ProgramLoad::new(program_type, "fuzz", &code);
    if program_type == ProgramType::Syscall {
        request.flags = ProgLoadFlags::SLEEPABLE;
    }
    let (bytes, func_info) = functions(&body.functions);
    let btf = match body.functions.len() {
        0 | 1 => None,
        _ => Some(
            host.btf_load(&BtfLoad {
                object: "fuzz",
                bytes: &bytes,
                log_level: LogLevel::OnFailure,
                token: None,
            })
            .map_err(|error| said(&error))?,
        ),
    };
    request.btf = btf.as_ref().map(|btf| ProgramBtf {
        func_info: &func_info,
        func_info_record_size: 8,
        ..ProgramBtf::new(btf)
    });
    load(&request)
        .map(|loaded| loaded.fd)
        .map_err(|error| said(&error))
}

/// The type id of a kernel function of a host; asked for once.
fn kfunc(host: &dyn Host, name: &str) -> Option<u32> {
    static KNOWN: [OnceLock<BTreeMap<String, u32>>; 2] = [const { OnceLock::new() }; 2];
    let which = usize::from(host.info().kind == HostKind::Vm);
    let known = KNOWN[which].get_or_init(|| {
        let Ok(bytes) = host.btf(None) else {
            return BTreeMap::new();
        };
        let Ok(btf) = Btf::parse((*bytes).as_ref().to_vec()) else {
            return BTreeMap::new();
        };
        let ids = KFUNCS.iter().filter_map(|name| {
            let id = btf.find(name, KindTag::Function)?;
            Some(((*name).to_owned(), id.0))
        });
        ids.collect()
    });
    known.get(name).copied()
}

/// A record for each function (the kernel takes no callbacks without), and the BTF behind them.
pub(crate) fn functions(starts: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let mut types = Builder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let prototype = types.prototype(int, &[]);
    let mut records = Vec::new();
    for start in starts {
        let name = format!("f{start}");
        let function = types.function(&name, prototype, FunctionLinkage::Static);
        records.extend((*start as u32).to_ne_bytes());
        records.extend(function.0.to_ne_bytes());
    }
    (types.build().expect("well-formed"), records)
}

fn run_once(host: &dyn Host, program: &ProgramFd, case: &Case) -> End {
    let takes_context = case.program_type == ProgramType::Syscall;
    let mut context = vec![0; if takes_context { case.context.len() } else { 0 }];
    let mut packet = vec![0; if case.packet.is_empty() { 0 } else { 4096 }];
    let mut request = TestRun {
        data_in: &case.packet,
        data_out: &mut packet,
        context_in: &case.context,
        context_out: &mut context,
        ..TestRun::default()
    };
    match host.prog_test_run(program, &mut request) {
        Ok(outcome) => {
            packet.truncate(outcome.data_out_size as usize);
            End::Done {
                value: outcome.return_value,
                context,
                packet,
            }
        }
        Err(error) => match error.cause() {
            Some(Cause::Other { what, .. }) => End::Fault(what.clone()),
            _ => End::Refused(error.to_string()),
        },
    }
}

fn read(host: &dyn Host, shape: &MapShape, map: &MapFd) -> skep_host::Result<Contents> {
    let cpus = match shape.map_type.is_per_cpu() {
        true => host.possible_cpus()?,
        false => 1,
    };
    let stride = match shape.map_type.is_per_cpu() {
        true => (shape.value as usize).next_multiple_of(8),
        false => shape.value as usize,
    };
    let mut contents = Vec::new();
    match shape.map_type {
        MapType::Queue | MapType::Stack => {
            let mut value = vec![0; stride];
            while host.map_lookup_and_delete_elem(map, &[], &mut value, 0)? {
                contents.push((Vec::new(), value.clone()));
            }
        }
        MapType::BloomFilter => {}
        MapType::Ringbuf => contents.push((Vec::new(), ring(host, shape, map)?)),
        _ => {
            let mut key = vec![0; shape.key as usize];
            let mut next = key.clone();
            let mut value = vec![0; stride * cpus];
            let mut last = None::<Vec<u8>>;
            while contents.len() < 1000 && host.map_get_next_key(map, last.as_deref(), &mut next)? {
                key.copy_from_slice(&next);
                if host.map_lookup_elem(map, &key, &mut value, 0)? {
                    // Which CPU a host runs a program on is its own choice.
                    let mut values: Vec<_> = value.chunks(stride).collect();
                    values.sort_unstable();
                    contents.push((key.clone(), values.concat()));
                }
                last = Some(key.clone());
            }
            contents.sort_unstable();
        }
    }
    Ok(contents)
}

/// What was published in a ring: headers and all.
fn ring(host: &dyn Host, shape: &MapShape, map: &MapFd) -> skep_host::Result<Vec<u8>> {
    let (page, size) = (host.page_size(), shape.entries as usize);
    let memory = host.map_memory(map, page as u64, page + 2 * size, Access::Read)?;
    let written = memory.long_words()[0].acquire() as usize;
    let mut bytes = Vec::new();
    let mut at = 0;
    while at + 8 <= written.min(size) {
        let header = memory.words()[(page + at) / 4].acquire();
        let len = (header & 0x3fff_ffff) as usize;
        bytes.extend(header.to_ne_bytes());
        let end = (at + 8 + len).min(2 * size);
        // What a discarded record has in it is nobody's business, and so are bytes of a record
        // behind the first 64, which no program writes.
        if header >> 30 == 0 {
            let seen = end.min(at + 8 + 64);
            bytes.extend_from_slice(memory.committed(page + at + 8..page + seen));
        }
        at = (at + 8 + len).next_multiple_of(8);
    }
    bytes.extend((written as u64).to_ne_bytes());
    Ok(bytes)
}

/// What both of these have.
pub fn features(hosts: &[&dyn Host]) -> Features {
    let has_all = |has: &dyn Fn(&dyn Host) -> bool| hosts.iter().all(|host| has(*host));
    let mut features = Features {
        maps: MAPS
            .iter()
            .map(|shape| has_all(&|host| create(host, shape).is_ok()))
            .collect(),
        ..Features::default()
    };
    let types = [
        (ProgramType::Syscall, 64, 0),
        (ProgramType::RawTracepoint, 96, 0),
        (ProgramType::Xdp, 0, 64),
        (ProgramType::SchedCls, 0, 64),
    ];
    for (program_type, context, packet) in types {
        let mut case = Case {
            program_type,
            main: body("r0 = 0\n exit"),
            tails: Vec::new(),
            context: vec![0; context],
            packet: vec![0; packet],
        };
        let runs = has_all(&|host| {
            let outcome = run(host, &|request| host.prog_load(request), &case);
            matches!(
                outcome,
                Ok(Outcome {
                    end: End::Done { .. },
                    ..
                })
            )
        });
        if !runs {
            continue;
        }
        features.types.push(program_type);
        for name in KFUNCS {
            case.main = body("r0 = 0\n if r0 == 0 goto end\n call 1\n end: exit");
            case.main.slots[2].src = skep_isa::opcode::BPF_PSEUDO_KFUNC_CALL;
            case.main.kfuncs.push((2, name));
            if has_all(&|host| run(host, &|request| host.prog_load(request), &case).is_ok()) {
                features.kfuncs.insert((program_type, name));
            }
        }
        for helper in 1..220 {
            case.main = body(&format!(
                "r0 = 0\n if r0 == 0 goto end\n call {helper}\n end: exit"
            ));
            // A verifier does not look at what nothing comes to.
            if has_all(&|host| run(host, &|request| host.prog_load(request), &case).is_ok()) {
                features.helpers.insert((program_type, helper));
            }
        }
    }
    features
}

fn body(text: &str) -> Body {
    Body {
        slots: skep_isa::assemble(text).expect("well-formed"),
        maps: Vec::new(),
        kfuncs: Vec::new(),
        functions: vec![0],
    }
}
