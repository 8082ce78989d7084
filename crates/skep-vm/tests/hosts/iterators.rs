//! Iterators: links, text, scopes.

use std::path::Path;

use skep::Object;
use skep_abi::{AttachType, MapType, ProgramType};
use skep_btf::{Btf, KindTag};
use skep_host::{
    AttachPoint, Attachment, Errno, Host, IterTarget, LinkDetails, LinkFd, MapCreate, MapFd,
    ProgramFd, ProgramLoad,
};
use skep_testing::{Outcome, Stop, Test, ensure, host, needs_kernel, needs_kernel_of};

use crate::{
    kfuncs::{host_of, loaded_with_log},
    support::{Record, agree, code, load_on, name},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("iterators::elements_are_walked_alike", || agree(elements)),
        Test::new("iterators::elements_are_all_there", all_elements),
        Test::new("iterators::text_is_written_alike", || agree(printed)),
        Test::new("iterators::targets_are_checked_alike", || agree(targets)),
        Test::new("iterators::a_program_that_asks_again_answers_alike", || {
            agree(again)
        }),
        Test::new("iterators::maps_programs_and_links_have_ids", ids),
        Test::new("iterators::tasks_are_walked", tasks),
    ]
}

/// A program for the iterator of this name.
fn program(host: &dyn Host, target: &str, text: &str) -> Outcome<ProgramFd> {
    let types = Btf::parse(host.btf(None)?.as_ref().as_ref().to_vec())?;
    let function = format!("bpf_iter_{target}");
    let id = types
        .find(&function, KindTag::Function)
        .ok_or_else(|| Stop::lacks(function.clone()))?;
    let (code, name) = (code(text)?, name("iter"));
    let mut request = ProgramLoad::new(ProgramType::Tracing, &name, &code);
    request.expected_attach_type = Some(AttachType::TraceIter);
    request.attach_btf_id = id.0;
    match host.prog_load(&request) {
        Ok(loaded) => Ok(loaded.fd),
        // What stands before this kernel lets some of its iterators alone be used.
        Err(error) if error.errno() == Some(Errno::EPERM) => Err(Stop::lacks(function)),
        Err(error) => Err(Stop::fail(format!(
            "{error}\n{}",
            error.log().unwrap_or("")
        ))),
    }
}

fn attach(host: &dyn Host, program: &ProgramFd, target: IterTarget<'_>) -> Outcome<Attachment> {
    let point = AttachPoint::Iterator(target);
    Ok(host.attach("iterate", program, ProgramType::Tracing, &point)?)
}

fn link(attachment: &Attachment) -> Outcome<&LinkFd> {
    attachment.link_fd().ok_or_else(|| Stop::fail("no link"))
}

/// All text of a new iterator, read in pieces.
fn text(host: &dyn Host, link: &LinkFd, piece: usize) -> Outcome<Vec<u8>> {
    let iterator = host.iter_create(link)?;
    let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
    loop {
        match host.read(iterator.descriptor(), &mut buffer)? {
            0 => return Ok(all),
            len => all.extend_from_slice(&buffer[..len]),
        }
    }
}

/// Writes key and value of every element, and `end` at the end.
const ELEMENTS: &str = "
    r8 = r1
    r6 = *(u64 *)(r1 +0)
    r6 = *(u64 *)(r6 +0)
    r7 = *(u64 *)(r1 +16)
    if r7 == 0 goto end
    r1 = r6
    r2 = r7
    r3 = 4
    call 127
    r9 = *(u64 *)(r8 +24)
    if r9 == 0 goto out
    r1 = r6
    r2 = r9
    r3 = 8
    call 127
    r0 = 0
    exit
    end:
    *(u32 *)(r10 -4) = 6581861
    r2 = r10
    r2 += -4
    r1 = r6
    r3 = 4
    call 127
    out:
    r0 = 0
    exit";

fn filled(host: &dyn Host, map_type: MapType) -> Outcome<MapFd> {
    let map = host.map_create(&MapCreate::new(map_type, &name("walked"), 4, 8, 3))?;
    let size = match map_type.is_per_cpu() {
        true => 8 * host.possible_cpus()?,
        false => 8,
    };
    for key in 0_u32..3 {
        let value: Vec<u8> = std::iter::repeat_n(key as u8 + 65, size).collect();
        host.map_update_elem(&map, &key.to_ne_bytes(), &value, 0)?;
    }
    Ok(map)
}

fn elements(host: &dyn Host, record: &mut Record) -> Outcome {
    needs_kernel_of(host, 5, 9)?;
    let program = program(host, "bpf_map_elem", ELEMENTS)?;
    for map_type in [
        MapType::Array,
        MapType::Hash,
        MapType::LruHash,
        MapType::PercpuArray,
        MapType::PercpuHash,
    ] {
        let map = filled(host, map_type)?;
        let attachment = attach(host, &program, IterTarget::Map(&map))?;
        let link = link(&attachment)?;
        for piece in [4096, 5] {
            let text = text(host, link, piece)?;
            // Hashes show elements in an order of their own.
            let mut elements: Vec<_> = text.chunks(12).map(<[u8]>::to_vec).collect();
            elements.sort();
            record.fact(format!("{map_type} by {piece}"), elements);
        }
        let told = matches!(
            host.link_info(link)?.details,
            LinkDetails::Iterator { target, .. } if target == "bpf_map_elem"
        );
        record.fact("info", told);
        record.answer("detach", &host.link_detach(link));
        record.answer("update", &host.link_update(link, (&program).into(), None));
    }
    Ok(())
}

fn all_elements() -> Outcome {
    let program = program(host(), "bpf_map_elem", ELEMENTS)?;
    for map_type in [MapType::Array, MapType::Hash] {
        let map = filled(host(), map_type)?;
        let attachment = attach(host(), &program, IterTarget::Map(&map))?;
        let text = text(host(), link(&attachment)?, 7)?;
        let mut elements: Vec<_> = text.chunks(12).map(<[u8]>::to_vec).collect();
        elements.sort();
        let mut expected = vec![b"end\0".to_vec()];
        for key in 0_u8..3 {
            let mut element = vec![key, 0, 0, 0];
            element.extend([key + 65; 8]);
            expected.push(element);
        }
        expected.sort();
        ensure(elements == expected, || format!("{map_type}: {elements:?}"))?;
    }
    Ok(())
}

/// What the program of `printed.bpf.c` writes of three elements.
const PRINTED: &str = "\
0: 4141414141414141 text  |   -3
(struct xdp_md){
 .data = (__u32)1,
 .data_end = (__u32)2,
 .ingress_ifindex = (__u32)4,
}
0
(struct xdp_md){.data = (__u32)1,.data_end = (__u32)2,.ingress_ifindex = (__u32)4,}0
-22
-22
-22
-22
1: 4242424242424242 text  |   -3
2: 4343434343434343 text  |   -3
end
";

fn printed(host: &dyn Host, record: &mut Record) -> Outcome {
    needs_kernel_of(host, 5, 10)?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/printed.bpf.c");
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let object = Object::parse("printed", &bytes)?;
    // What stands before this kernel lets some of its iterators alone be used.
    if let Err(skep::Error::Rejected(rejection)) = object.load(&host_of(host))
        && rejection.errno == Errno::EPERM
    {
        return Err(Stop::lacks("bpf_iter_bpf_map_elem"));
    }
    let loaded = loaded_with_log(&object, "printed", &host_of(host))?;
    let map = filled(host, MapType::Array)?;
    let target = IterTarget::Map(&map);
    let attachment = attach(host, loaded.program("printed")?.fd(), target)?;
    for piece in [4096, 11] {
        let text = text(host, link(&attachment)?, piece)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        ensure(text == PRINTED, || text.clone())?;
        record.fact(format!("text by {piece}"), text);
    }
    Ok(())
}

fn targets(host: &dyn Host, record: &mut Record) -> Outcome {
    needs_kernel_of(host, 5, 9)?;
    let elements = program(host, "bpf_map_elem", ELEMENTS)?;
    let maps = program(host, "bpf_map", "r0 = 0\n exit")?;
    let queue = host.map_create(&MapCreate::new(MapType::Queue, "queue", 0, 8, 1))?;
    let array = filled(host, MapType::Array)?;
    let mut made = |what: &str, program: &ProgramFd, target: IterTarget<'_>| {
        let point = AttachPoint::Iterator(target);
        let made = host.attach("iterate", program, ProgramType::Tracing, &point);
        record.done(what, &made);
    };
    made("elements of nothing", &elements, IterTarget::All);
    made("elements of a queue", &elements, IterTarget::Map(&queue));
    made("elements of an array", &elements, IterTarget::Map(&array));
    made("maps", &maps, IterTarget::All);
    let filter = load_on(host, ProgramType::SocketFilter, "r0 = 0\n exit", |_| {})?;
    made("a filter", &filter, IterTarget::All);
    Ok(())
}

fn again(host: &dyn Host, record: &mut Record) -> Outcome {
    needs_kernel_of(host, 5, 9)?;
    let program = program(host, "bpf_map_elem", "r0 = 1\n exit")?;
    let map = filled(host, MapType::Array)?;
    let attachment = attach(host, &program, IterTarget::Map(&map))?;
    let iterator = host.iter_create(link(&attachment)?)?;
    let read = host.read(iterator.descriptor(), &mut [0; 64]);
    record.answer("read", &read);
    Ok(())
}

/// Writes the 32-bit number at an offset of the thing that the context points to.
fn numbers(offset: usize) -> String {
    format!(
        "
        r6 = *(u64 *)(r1 +0)
        r6 = *(u64 *)(r6 +0)
        r7 = *(u64 *)(r1 +8)
        if r7 == 0 goto out
        r2 = *(u32 *)(r7 +{offset})
        *(u32 *)(r10 -4) = r2
        r2 = r10
        r2 += -4
        r1 = r6
        r3 = 4
        call 127
        out:
        r0 = 0
        exit"
    )
}

/// Where a member of a structure of the host begins.
fn offset(host: &dyn Host, structure: &str, member: &str) -> Outcome<usize> {
    let types = Btf::parse(host.btf(None)?.as_ref().as_ref().to_vec())?;
    let id = types
        .find(structure, KindTag::Struct)
        .ok_or_else(|| Stop::lacks(structure))?;
    let skep_btf::Kind::Struct(found) = types.type_by_id(id)?.kind() else {
        return Err(Stop::fail(structure));
    };
    let mut members = found.members();
    let found = members.find(|found| found.name() == member);
    let found = found.ok_or_else(|| Stop::fail(format!("{structure}.{member}")))?;
    Ok(found.bit_offset as usize / 8)
}

fn listed(target: &str, structure: &str, member: &str) -> Outcome<Vec<u32>> {
    let at = offset(host(), structure, member)?;
    let program = program(host(), target, &numbers(at))?;
    let attachment = attach(host(), &program, IterTarget::All)?;
    let text = text(host(), link(&attachment)?, 4096)?;
    let words = text.as_chunks::<4>().0;
    Ok(words.iter().map(|word| u32::from_ne_bytes(*word)).collect())
}

fn ids() -> Outcome {
    needs_kernel(5, 19)?;
    let map = filled(host(), MapType::Array)?;
    let id = host().map_info(&map)?.id;
    let listed_maps = listed("bpf_map", "bpf_map", "id")?;
    ensure(listed_maps.contains(&id), || {
        format!("{id}: {listed_maps:?}")
    })?;
    let filter = load_on(host(), ProgramType::RawTracepoint, "r0 = 0\n exit", |_| {})?;
    let link = host().raw_tracepoint_open(&filter, Some("sys_enter"), 0)?;
    let id = host().link_info(&link)?.id;
    let listed_links = listed("bpf_link", "bpf_link", "id")?;
    ensure(listed_links.contains(&id), || {
        format!("{id}: {listed_links:?}")
    })?;
    let listed_types = listed("bpf_prog", "bpf_prog", "type")?;
    let kind = ProgramType::RawTracepoint.raw();
    ensure(listed_types.contains(&kind), || format!("{listed_types:?}"))
}

fn tasks() -> Outcome {
    needs_kernel(5, 8)?;
    let own = std::process::id();
    let listed = listed("task", "task_struct", "tgid")?;
    ensure(listed.contains(&own), || format!("{own}: {listed:?}"))?;
    let at = offset(host(), "task_struct", "tgid")?;
    let program = program(host(), "task", &numbers(at))?;
    needs_kernel(6, 1)?;
    let attachment = attach(host(), &program, IterTarget::Process(own))?;
    let text = text(host(), link(&attachment)?, 4096)?;
    let words = text.as_chunks::<4>().0;
    let all_own = words.iter().all(|word| u32::from_ne_bytes(*word) == own);
    ensure(all_own && !words.is_empty(), || format!("{words:?}"))?;
    let bad = host().iter_create(link(&attachment)?)?;
    let wrong = host().prog_info(&ProgramFd::new(bad.into_descriptor()));
    ensure(crate::support::is(&wrong, Errno::EINVAL), || {
        format!("{wrong:?}")
    })
}
