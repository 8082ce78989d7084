//! What programs can be attached to: each attach type has one kind of target, whatever is given;
//! and what links of each kind take and refuse.

use std::os::fd::AsRawFd;

use skep_abi::{
    AttachFlags, AttachType, MapType, NetfilterLinkFlags, ProgramType, QueryFlags, UprobeMultiFlags,
};
use skep_host::{
    CgroupFd, Host, IterTarget, LinkCreate, LinkDetails, LinkFd, LinkOptions, LinkTarget,
    MapCreate, MapFd, ProgramAttach, ProgramFd, ProgramLoad, ProgramQuery,
};
use skep_testing::{Outcome, Stop, Test, ensure, host};

use crate::{
    links::{DEVICE, apart, program as load, tree},
    support::{Record, agree_since, code, load_on, name, on_vm},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("places::links_look_for_their_kind_of_target", || {
            compare(links)
        }),
        Test::new("places::attaching_looks_for_its_kind_of_target", || {
            compare(attaching)
        }),
        Test::new("places::queries_look_for_their_kind_of_target", || {
            compare(queries)
        }),
        Test::new("places::cgroup_skb_goes_both_ways", || compare(both_ways)),
        Test::new("places::maps_of_sockets_take_any_verdict", || {
            compare(verdicts)
        }),
        Test::new("places::dissectors_take_turns", || compare(dissectors)),
        Test::new("places::updates_say_first_what_matters", || {
            compare(updates)
        }),
        Test::new("places::modes_of_xdp", || compare(modes)),
        Test::new("places::netfilter_checks_in_an_order", || {
            compare(netfilter)
        }),
        Test::new("places::iterators_take_no_target", || compare(iterators)),
        Test::new("places::equal_places_are_as_good_as_others", equal_places),
        Test::new("places::uprobes_check_their_places", || compare(uprobes)),
    ]
}

/// As the kernel of today answers.
fn compare(walk: fn(&dyn Host, &mut Record) -> Outcome) -> Outcome {
    agree_since((6, 18), |host, record| apart(host, record, walk))
}

/// A program for each kind of target, and some for none.
const KINDS: &[(ProgramType, Option<AttachType>)] = &[
    (ProgramType::SocketFilter, None),
    (ProgramType::SchedCls, None),
    (ProgramType::Tracepoint, None),
    (ProgramType::Xdp, None),
    (ProgramType::Xdp, Some(AttachType::XdpDevmap)),
    (ProgramType::PerfEvent, None),
    (ProgramType::CgroupSkb, None),
    (ProgramType::CgroupSkb, Some(AttachType::CgroupInetEgress)),
    (ProgramType::CgroupSock, None),
    (ProgramType::SockOps, None),
    (ProgramType::SkSkb, None),
    (ProgramType::SkSkb, Some(AttachType::SkSkbVerdict)),
    (ProgramType::SkMsg, None),
    (
        ProgramType::CgroupSockAddr,
        Some(AttachType::CgroupInet4Connect),
    ),
    (ProgramType::FlowDissector, None),
    (ProgramType::SkLookup, Some(AttachType::SkLookup)),
    (ProgramType::Netfilter, Some(AttachType::Netfilter)),
];

/// Attach types that each kernel knows in the same way: not every one is built with netkit.
fn attach_types() -> impl Iterator<Item = AttachType> {
    let all = AttachType::ALL.iter().copied();
    all.filter(|attach| {
        !matches!(
            attach,
            AttachType::NetkitPrimary | AttachType::NetkitPeer | AttachType::LircMode2
        ) && attach.raw() < AttachType::TraceUprobeSession.raw()
    })
}

fn sockmap(host: &dyn Host) -> Outcome<MapFd> {
    Ok(host.map_create(&MapCreate::new(MapType::Sockmap, &name("sockets"), 4, 4, 1))?)
}

fn targets<'a>(cgroup: &'a CgroupFd, map: &'a MapFd) -> [(&'static str, LinkTarget<'a>); 6] {
    [
        ("a device", LinkTarget::Device(DEVICE)),
        ("a cgroup", LinkTarget::Cgroup(cgroup)),
        ("a map", LinkTarget::Map(map)),
        ("a bad file", LinkTarget::File(-1)),
        ("nothing", LinkTarget::None),
        ("no device", LinkTarget::Device(4711)),
    ]
}

fn link<'a>(
    program: &'a ProgramFd,
    target: LinkTarget<'a>,
    attach_type: AttachType,
    flags: u32,
    options: LinkOptions<'a>,
) -> LinkCreate<'a> {
    LinkCreate {
        program: program.into(),
        target,
        attach_type,
        flags,
        options,
    }
}

fn attach<'a>(
    program: Option<&'a ProgramFd>,
    target: LinkTarget<'a>,
    attach_type: AttachType,
    flags: u32,
) -> ProgramAttach<'a> {
    ProgramAttach {
        target,
        program,
        attach_type,
        flags: AttachFlags::from_bits_retain(flags),
        replace: None,
        relative: 0,
        expected_revision: 0,
    }
}

fn links(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_kept, cgroup, _below) = tree(host)?;
    let map = sockmap(host)?;
    for (kind, loaded) in KINDS {
        let program = load(host, *kind, *loaded)?;
        for attach in attach_types() {
            for (what, target) in targets(&cgroup, &map) {
                for flags in [0, 1, 1 << 6, 1 << 30] {
                    let request = link(&program, target, attach, flags, LinkOptions::None);
                    let key = format!(
                        "{kind}/{loaded:?} as {} on {what} {flags:#x}",
                        attach.name()
                    );
                    record.done(key, &host.link_create(&request));
                }
            }
        }
    }
    Ok(())
}

fn attaching(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_kept, cgroup, _below) = tree(host)?;
    let map = sockmap(host)?;
    for (kind, loaded) in KINDS {
        let program = load(host, *kind, *loaded)?;
        for attach_type in attach_types() {
            for (what, target) in targets(&cgroup, &map) {
                for flags in [0, 1, 2, 4, 8, 1 << 6, 1 << 30] {
                    let request = attach(Some(&program), target, attach_type, flags);
                    let key = format!(
                        "{kind}/{loaded:?} as {} on {what} {flags:#x}",
                        attach_type.name()
                    );
                    let attached = host.prog_attach(&request);
                    record.answer(key.clone(), &attached);
                    let flags = if attached.is_ok() { 0 } else { flags };
                    let mut off = attach(Some(&program), target, attach_type, flags);
                    record.answer(format!("{key} off"), &host.prog_detach(&off));
                    off.program = None;
                    record.answer(format!("{key} any off"), &host.prog_detach(&off));
                }
            }
        }
    }
    Ok(())
}

fn queries(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_kept, cgroup, _below) = tree(host)?;
    let map = sockmap(host)?;
    let file = std::fs::File::open("/proc/thread-self/ns/net")?;
    let namespace = ("a namespace", LinkTarget::File(file.as_raw_fd()));
    for attach_type in attach_types() {
        for (what, target) in targets(&cgroup, &map).into_iter().chain([namespace]) {
            for flags in [0, 1, 2, 1 << 30] {
                let answer = host.prog_query(&ProgramQuery {
                    target,
                    attach_type,
                    flags: QueryFlags::from_bits_retain(flags),
                });
                let key = format!("{} of {what} {flags:#x}", attach_type.name());
                record.answer(key, &answer.map(|answer| answer.programs));
            }
        }
    }
    Ok(())
}

/// Programs of `cgroup_skb` by what they answer, and whether a verifier knows that.
const ANSWERS: [(&str, &str); 15] = [
    ("0", "r0 = 0\n exit"),
    ("1", "r0 = 1\n exit"),
    ("2", "r0 = 2\n exit"),
    ("3", "r0 = 3\n exit"),
    ("4", "r0 = 4\n exit"),
    ("2 by another register", "r6 = 2\n r0 = r6\n exit"),
    ("2 by arithmetic", "r0 = 5\n r0 -= 3\n exit"),
    ("2 by half a register", "w0 = 2\n exit"),
    ("2 that is taken back", "r0 = 2\n r0 = 1\n exit"),
    ("0 to 3", "r0 = *(u32 *)(r1 + 0)\n r0 &= 3\n exit"),
    ("2 or 3", "r0 = *(u32 *)(r1 + 0)\n r0 &= 1\n r0 |= 2\n exit"),
    ("1 or 3", "r0 = *(u32 *)(r1 + 0)\n r0 &= 2\n r0 |= 1\n exit"),
    (
        "1 or 2",
        "r6 = *(u32 *)(r1 + 0)\n r0 = 1\n if r6 == 0 goto +1\n r0 = 2\n exit",
    ),
    (
        "more than 1 of 3",
        "r0 = *(u32 *)(r1 + 0)\n r0 &= 3\n if r0 > 1 goto +1\n r0 = 0\n exit",
    ),
    (
        "2 of a function",
        "call pc+2\n r0 = 1\n exit\n r0 = 2\n exit",
    ),
];

/// What a program answers says whether it can be attached to the other direction.
fn both_ways(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_kept, cgroup, _below) = tree(host)?;
    let target = LinkTarget::Cgroup(&cgroup);
    let ways = [AttachType::CgroupInetIngress, AttachType::CgroupInetEgress];
    for (answer, text) in ANSWERS {
        for loaded in [None, Some(ways[0]), Some(ways[1])] {
            let (code, name) = (code(text)?, name("prog"));
            let mut request = ProgramLoad::new(ProgramType::CgroupSkb, &name, &code);
            request.expected_attach_type = loaded;
            let program = host.prog_load(&request);
            record.done(format!("{loaded:?} that answers {answer}"), &program);
            let Ok(program) = program.map(|loaded| loaded.fd) else {
                continue;
            };
            for way in ways {
                let key = format!("{loaded:?} that answers {answer} as {}", way.name());
                let request = attach(Some(&program), target, way, 0);
                record.answer(key.clone(), &host.prog_attach(&request));
                record.answer(format!("{key} off"), &host.prog_detach(&request));
                let request = link(&program, target, way, 0, LinkOptions::None);
                record.done(format!("{key} by a link"), &host.link_create(&request));
            }
        }
    }
    Ok(())
}

fn verdicts(host: &dyn Host, record: &mut Record) -> Outcome {
    let map = sockmap(host)?;
    let target = LinkTarget::Map(&map);
    let kinds = [
        AttachType::SkSkbStreamParser,
        AttachType::SkSkbStreamVerdict,
        AttachType::SkSkbVerdict,
    ];
    for loaded in kinds {
        let program = load(host, ProgramType::SkSkb, Some(loaded))?;
        let other = load(host, ProgramType::SkSkb, Some(loaded))?;
        for attach_type in kinds {
            let key = format!("{} as {}", loaded.name(), attach_type.name());
            let request = attach(Some(&program), target, attach_type, 0);
            record.answer(key.clone(), &host.prog_attach(&request));
            // Two kinds of verdicts are never together.
            for beside in kinds {
                let request = attach(Some(&program), target, beside, 0);
                let key = format!("{key} beside {}", beside.name());
                record.answer(key.clone(), &host.prog_attach(&request));
                if beside != attach_type {
                    record.answer(format!("{key} off"), &host.prog_detach(&request));
                }
            }
            let off = |program| host.prog_detach(&attach(program, target, attach_type, 0));
            record.answer(format!("{key}: nobody off"), &off(None));
            record.answer(format!("{key}: another off"), &off(Some(&other)));
            record.answer(format!("{key}: off"), &off(Some(&program)));
            record.answer(format!("{key}: off again"), &off(Some(&program)));
            let request = link(&program, target, attach_type, 0, LinkOptions::None);
            record.done(format!("{key}: link"), &host.link_create(&request));
        }
    }
    Ok(())
}

fn dissectors(host: &dyn Host, record: &mut Record) -> Outcome {
    let attach_type = AttachType::FlowDissector;
    let a = load(host, ProgramType::FlowDissector, None)?;
    let b = load(host, ProgramType::FlowDissector, None)?;
    let file = std::fs::File::open("/proc/thread-self/ns/net")?;
    let target = LinkTarget::File(file.as_raw_fd());
    let put = |program| host.prog_attach(&attach(Some(program), LinkTarget::None, attach_type, 0));
    let take = |program| host.prog_detach(&attach(program, LinkTarget::None, attach_type, 0));
    let join =
        |program| host.link_create(&link(program, target, attach_type, 0, LinkOptions::None));
    record.answer("a", &put(&a));
    record.answer("a again", &put(&a));
    record.answer("b in its place", &put(&b));
    record.done("a link beside it", &join(&a));
    record.answer("a off", &take(Some(&a)));
    record.answer("nobody off", &take(None));
    record.answer("b off", &take(Some(&b)));
    record.answer("b off again", &take(Some(&b)));
    let linked = join(&a);
    record.done("link", &linked);
    record.done("another link", &join(&b));
    record.answer("beside the link", &put(&b));
    record.answer("the link's off", &take(Some(&a)));
    Ok(())
}

fn updates(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_kept, cgroup, _below) = tree(host)?;
    let map = sockmap(host)?;
    let file = std::fs::File::open("/proc/thread-self/ns/net")?;
    let netns = LinkTarget::File(file.as_raw_fd());
    let egress = AttachType::CgroupInetEgress;
    let kinds = [
        (
            ProgramType::CgroupSkb,
            Some(egress),
            LinkTarget::Cgroup(&cgroup),
            egress,
        ),
        (
            ProgramType::SkLookup,
            Some(AttachType::SkLookup),
            netns,
            AttachType::SkLookup,
        ),
        (
            ProgramType::FlowDissector,
            None,
            netns,
            AttachType::FlowDissector,
        ),
        (
            ProgramType::SkSkb,
            Some(AttachType::SkSkbVerdict),
            LinkTarget::Map(&map),
            AttachType::SkSkbVerdict,
        ),
    ];
    for (kind, loaded, target, attach_type) in kinds {
        let program = load(host, kind, loaded)?;
        let made = host.link_create(&link(&program, target, attach_type, 0, LinkOptions::None));
        record.done(format!("{kind}"), &made);
        let made: LinkFd = made?;
        let mut others = Vec::new();
        for (kind, loaded) in KINDS {
            others.push((kind, loaded, load(host, *kind, *loaded)?));
        }
        for state in ["attached", "detached"] {
            for (other, loaded, new) in &others {
                let key = format!("{state} {kind} to {other}/{loaded:?}");
                record.answer(key.clone(), &host.link_update(&made, new.into(), None));
                let wrong = host.link_update(&made, new.into(), Some((&others[0].2).into()));
                record.answer(format!("{key} from another"), &wrong);
            }
            record.answer(format!("{kind} detach"), &host.link_detach(&made));
        }
    }
    Ok(())
}

fn modes(host: &dyn Host, record: &mut Record) -> Outcome {
    let a = load(host, ProgramType::Xdp, None)?;
    let of_map = load(host, ProgramType::Xdp, Some(AttachType::XdpDevmap))?;
    let make = |program, device, flags| {
        let target = LinkTarget::Device(device);
        host.link_create(&link(
            program,
            target,
            AttachType::Xdp,
            flags,
            LinkOptions::None,
        ))
    };
    for flags in [0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 18, 1 << 31] {
        record.done(format!("flags {flags:#x}"), &make(&a, DEVICE, flags));
        record.done(
            format!("of a map {flags:#x}"),
            &make(&of_map, DEVICE, flags),
        );
    }
    for device in [0, 4711, u32::MAX] {
        record.done(format!("device {device}"), &make(&a, device, 2));
    }
    Ok(())
}

fn netfilter(host: &dyn Host, record: &mut Record) -> Outcome {
    let attach_type = AttachType::Netfilter;
    let program = load(host, ProgramType::Netfilter, Some(attach_type))?;
    for family in [0, 2, 7] {
        for hook in [0, 5] {
            for priority in [0, i32::MIN] {
                for (flags, wanted) in [(0, 0), (0, 2), (1, 0), (1, 2)] {
                    let options = LinkOptions::Netfilter {
                        protocol_family: family,
                        hook,
                        priority,
                        flags: NetfilterLinkFlags::from_bits_retain(wanted),
                    };
                    let request = link(&program, LinkTarget::None, attach_type, flags, options);
                    let key = format!("{family} {hook} {priority} flags {flags} {wanted}");
                    record.done(key, &host.link_create(&request));
                }
            }
        }
    }
    Ok(())
}

fn iterators(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_kept, cgroup, _below) = tree(host)?;
    let map = host.map_create(&MapCreate::new(MapType::Array, &name("array"), 4, 8, 1))?;
    let types = skep_btf::Btf::parse(host.btf(None)?.as_ref().as_ref().to_vec())?;
    for of in ["bpf_map", "bpf_prog", "bpf_link", "task"] {
        let function = format!("bpf_iter_{of}");
        let id = types
            .find(&function, skep_btf::KindTag::Function)
            .ok_or_else(|| Stop::fail("no such iterator"))?;
        let program = load_on(host, ProgramType::Tracing, "r0 = 0\n exit", |request| {
            request.expected_attach_type = Some(AttachType::TraceIter);
            request.attach_btf_id = id.0;
        })?;
        for (what, target) in targets(&cgroup, &map) {
            for flags in [0, 1, 1 << 31] {
                let options = LinkOptions::Iterator(IterTarget::All);
                let request = link(&program, target, AttachType::TraceIter, flags, options);
                record.done(
                    format!("{of} on {what} {flags:#x}"),
                    &host.link_create(&request),
                );
            }
        }
        let process = std::process::id();
        for (what, scope) in [
            ("map", IterTarget::Map(&map)),
            ("thread", IterTarget::Thread(process)),
            ("process", IterTarget::Process(process)),
        ] {
            let options = LinkOptions::Iterator(scope);
            let request = link(
                &program,
                LinkTarget::None,
                AttachType::TraceIter,
                0,
                options,
            );
            record.done(format!("{of} of a {what}"), &host.link_create(&request));
        }
    }
    Ok(())
}

fn uprobes(host: &dyn Host, record: &mut Record) -> Outcome {
    let attach_type = AttachType::TraceUprobeMulti;
    let program = load_on(host, ProgramType::Kprobe, "r0 = 0\n exit", |request| {
        request.expected_attach_type = Some(attach_type);
    })?;
    let own = c"/proc/self/exe";
    let many = vec![4096_u64; (1 << 20) + 1];
    for (what, path, offsets, semaphores, pid, flags) in [
        ("link flags", own, &[4096][..], &[][..], 0, 1),
        ("far", own, &[1 << 40], &[], 0, 0),
        ("a directory", c"/", &[4096], &[], 0, 0),
        ("no path", c"", &[4096], &[], 0, 0),
        ("no file", c"/no/such", &[4096], &[], 0, 0),
        ("no place", own, &[], &[], 0, 0),
        ("no process", own, &[4096], &[], 1 << 30, 0),
        ("no process's number", own, &[4096], &[], 1 << 31, 0),
        ("negative", own, &[u64::MAX], &[], 0, 0),
        ("a negative semaphore", own, &[4096], &[u64::MAX], 0, 0),
        ("too many", own, &many, &[], 0, 0),
    ] {
        let options = LinkOptions::UprobeMulti {
            path,
            path_fd: None,
            offsets,
            semaphores,
            cookies: &[],
            pid,
            flags: UprobeMultiFlags::empty(),
        };
        let request = link(&program, LinkTarget::None, attach_type, flags, options);
        record.done(what, &host.link_create(&request));
    }
    Ok(())
}

/// What the machine keeps of many equal places is made in one go, and ends so. (The kernel can't
/// probe what is no instruction, and this is one of no matter which file.)
fn equal_places() -> Outcome {
    if !on_vm() || !cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    const PLACES: usize = 100_000;
    let attach_type = AttachType::TraceUprobeMulti;
    let program = load_on(host(), ProgramType::Kprobe, "r0 = 0\n exit", |request| {
        request.expected_attach_type = Some(attach_type);
    })?;
    let options = LinkOptions::UprobeMulti {
        path: c"/proc/self/exe",
        path_fd: None,
        offsets: &vec![4096; PLACES],
        semaphores: &[],
        cookies: &[],
        pid: 0,
        flags: UprobeMultiFlags::empty(),
    };
    let request = link(&program, LinkTarget::None, attach_type, 0, options);
    let made = host().link_create(&request)?;
    let LinkDetails::UprobeMulti { offsets, .. } = host().link_info(&made)?.details else {
        return Err(Stop::fail("another kind of link"));
    };
    ensure(offsets.len() == PLACES, || {
        format!("{} places", offsets.len())
    })
}
