//! Attaching with and without links, order, queries.

use skep_abi::{AttachFlags, AttachType, ObjectFlags, ProgramType, QueryFlags};
use skep_host::{
    AttachPoint, CgroupFd, CgroupMode, Errno, Host, HostKind, LinkCreate, LinkFd, LinkOptions,
    LinkSource, LinkTarget, NetfilterHook, ObjectId, Order, Pinned, Position, ProgramAttach,
    ProgramFd, ProgramQuery, TcxDirection, XdpMode,
};
use skep_testing::{Bpffs, Cgroup, Outcome, Stop, Test, ensure, host, in_netns, needs_kernel_of};
use skep_vm::Vm;

use crate::support::{Record, agree, is, load_on, on_vm};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("links::tcx_programs_have_an_order", || agree(tcx)),
        Test::new("links::xdp_takes_one_program", || agree(xdp)),
        Test::new("links::cgroups_answer_alike", || agree(cgroups)),
        Test::new("links::cgroup_programs_apply_below", || agree(effective)),
        Test::new("links::netfilter_goes_by_priority", || agree(netfilter)),
        Test::new("links::lookups_of_sockets", || agree(netns)),
        Test::new("links::raw_tracepoints_answer_alike", || {
            agree(raw_tracepoints)
        }),
        Test::new("links::attach_types_are_checked_alike", || agree(kinds)),
        Test::new("links::a_pinned_link_outlives_its_owner", pinned),
        Test::new("links::tracepoints_that_are_near_are_named", near),
    ]
}

/// Where devices are of no other test: on the kernel, a network namespace.
pub(crate) fn apart(
    host: &dyn Host,
    record: &mut Record,
    walk: impl FnOnce(&dyn Host, &mut Record) -> Outcome + Send,
) -> Outcome {
    match host.info().kind {
        HostKind::Kernel => in_netns(|_| walk(host, record)),
        HostKind::Vm => walk(host, record),
    }
}

/// `lo`.
pub(crate) const DEVICE: u32 = 1;

pub(crate) fn program(
    host: &dyn Host,
    kind: ProgramType,
    attach: Option<AttachType>,
) -> Outcome<ProgramFd> {
    load_on(host, kind, "r0 = 1\n exit", |request| {
        request.expected_attach_type = attach;
    })
}

/// The places of programs among those that a walk has loaded.
struct Names<'h>(&'h dyn Host, Vec<u32>);

impl Names<'_> {
    fn new<'h>(host: &'h dyn Host, programs: &[&ProgramFd]) -> Outcome<Names<'h>> {
        let mut ids = Vec::new();
        for program in programs {
            ids.push(host.prog_info(program)?.id);
        }
        Ok(Names(host, ids))
    }

    fn query(&self, record: &mut Record, key: &str, target: LinkTarget<'_>, attach: AttachType) {
        self.query_with(record, key, target, attach, QueryFlags::empty());
    }

    fn query_with(
        &self,
        record: &mut Record,
        key: &str,
        target: LinkTarget<'_>,
        attach_type: AttachType,
        flags: QueryFlags,
    ) {
        let answer = self.0.prog_query(&ProgramQuery {
            target,
            attach_type,
            flags,
        });
        let place = |id: &u32| self.1.iter().position(|known| known == id);
        let answer = answer.map(|answer| {
            let programs: Vec<_> = answer.programs.iter().map(place).collect();
            let linked: Vec<_> = answer.links.iter().map(|link| *link != 0).collect();
            let flags = (answer.program_flags, answer.flags);
            (programs, linked, flags, answer.revision)
        });
        record.answer(key, &answer);
    }
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

fn tcx(host: &dyn Host, record: &mut Record) -> Outcome {
    needs_kernel_of(host, 6, 6)?;
    apart(host, record, |host, record| {
        let target = LinkTarget::Device(DEVICE);
        let attach = AttachType::TcxIngress;
        let kind = ProgramType::SchedCls;
        let (a, b, c) = (
            program(host, kind, None)?,
            program(host, kind, None)?,
            program(host, kind, None)?,
        );
        let names = Names::new(host, &[&a, &b, &c])?;
        names.query(record, "nothing", target, attach);
        let put = |program, flags, relative, expected_revision, replace| {
            host.prog_attach(&ProgramAttach {
                target,
                program: Some(program),
                attach_type: attach,
                flags,
                replace,
                relative,
                expected_revision,
            })
        };
        let none = AttachFlags::empty();
        record.answer("a", &put(&a, none, 0, 0, None));
        record.answer("a again", &put(&a, none, 0, 0, None));
        names.query(record, "a", target, attach);
        record.answer(
            "b before",
            &put(&b, AttachFlags::BEFORE, a.raw() as u32, 0, None),
        );
        record.answer(
            "c after stale",
            &put(&c, AttachFlags::AFTER, a.raw() as u32, 99, None),
        );
        record.answer(
            "c after",
            &put(&c, AttachFlags::AFTER, b.raw() as u32, 0, None),
        );
        names.query(record, "b c a", target, attach);
        let take = |program: Option<&ProgramFd>, flags, relative| {
            host.prog_detach(&ProgramAttach {
                target,
                program,
                attach_type: attach,
                flags,
                replace: None,
                relative,
                expected_revision: 0,
            })
        };
        record.answer("take c", &take(Some(&c), none, 0));
        record.answer("take c again", &take(Some(&c), none, 0));
        record.answer("b replaced", &put(&c, AttachFlags::REPLACE, 0, 0, Some(&b)));
        record.answer(
            "b replaced again",
            &put(&b, AttachFlags::REPLACE, 0, 0, Some(&a)),
        );
        names.query(record, "c b", target, attach);
        record.answer("take first", &take(None, AttachFlags::BEFORE, 0));
        record.answer("take last", &take(None, AttachFlags::AFTER, 0));
        record.answer("take nothing", &take(None, none, 0));
        names.query(record, "empty", target, attach);
        let bad = AttachFlags::ALLOW_MULTI;
        record.answer("flags", &put(&a, bad, 0, 0, None));
        let nowhere = host.prog_attach(&ProgramAttach {
            target: LinkTarget::Device(4711),
            program: Some(&a),
            attach_type: attach,
            flags: none,
            replace: None,
            relative: 0,
            expected_revision: 0,
        });
        record.answer("no device", &nowhere);

        let first = host.link_create(&link(&a, target, attach, 0, LinkOptions::None));
        record.done("link", &first);
        let first = first?;
        let info = host.link_info(&first)?;
        record.fact("info", (info.type_raw, info.details));
        record.answer("take a link's", &take(Some(&a), none, 0));
        let before = LinkOptions::Ordered {
            relative: first.raw() as u32,
            expected_revision: 0,
        };
        let flags = (AttachFlags::BEFORE | AttachFlags::LINK).bits();
        let second = host.link_create(&link(&b, target, attach, flags, before));
        record.done("link before", &second);
        names.query(record, "b a by links", target, attach);
        record.answer("update", &host.link_update(&first, (&c).into(), None));
        let not = host.link_update(&first, (&a).into(), Some((&b).into()));
        record.answer("update of another", &not);
        let other = program(host, ProgramType::Xdp, None)?;
        record.answer(
            "update type",
            &host.link_update(&first, (&other).into(), None),
        );
        names.query(record, "b c by links", target, attach);
        record.answer("detach", &host.link_detach(&first));
        record.answer("detach again", &host.link_detach(&first));
        record.answer(
            "update detached",
            &host.link_update(&first, (&a).into(), None),
        );
        record.fact("detached", host.link_info(&first)?.details);
        drop(second);
        names.query(record, "none by links", target, attach);
        let attachment = host.attach(
            "a",
            &a,
            kind,
            &AttachPoint::Tcx {
                ifindex: DEVICE,
                direction: TcxDirection::Ingress,
                order: Position::First.into(),
            },
        );
        record.done("attach", &attachment);
        names.query(record, "attached", target, attach);
        Ok(())
    })
}

fn xdp(host: &dyn Host, record: &mut Record) -> Outcome {
    needs_kernel_of(host, 5, 9)?;
    apart(host, record, |host, record| {
        let target = LinkTarget::Device(DEVICE);
        let (a, b) = (
            program(host, ProgramType::Xdp, None)?,
            program(host, ProgramType::Xdp, None)?,
        );
        let create = |program, flags| {
            host.link_create(&link(
                program,
                target,
                AttachType::Xdp,
                flags,
                LinkOptions::None,
            ))
        };
        let first = create(&a, 2);
        record.done("generic", &first);
        let first = first?;
        record.done("another", &create(&b, 2));
        record.done("both modes", &create(&b, 2 | 4));
        let info = host.link_info(&first)?;
        record.fact("info", (info.type_raw, info.details));
        record.answer(
            "update",
            &host.link_update(&first, (&b).into(), Some((&a).into())),
        );
        record.answer(
            "update again",
            &host.link_update(&first, (&b).into(), Some((&a).into())),
        );
        let id = host.prog_info(&b)?.id;
        record.fact("updated", host.link_info(&first)?.program_id == id);
        record.answer("detach", &host.link_detach(&first));
        record.fact("detached", host.link_info(&first)?.details);
        let again = host.attach(
            "a",
            &a,
            ProgramType::Xdp,
            &AttachPoint::Xdp {
                ifindex: DEVICE,
                mode: XdpMode::Generic,
            },
        );
        record.done("attach", &again);
        let filter = program(host, ProgramType::SocketFilter, None)?;
        record.done("a filter", &create(&filter, 2));
        Ok(())
    })
}

/// A cgroup and one below it; on a kernel, what removes them.
pub(crate) type Tree = (Option<(Folder, Cgroup)>, CgroupFd, CgroupFd);

pub(crate) fn tree(host: &dyn Host) -> Outcome<Tree> {
    match host.info().kind {
        HostKind::Kernel => {
            let above = Cgroup::new()?;
            let below = Folder(above.path().join("below"));
            std::fs::create_dir(&below.0)?;
            let open = (host.cgroup_open(above.path())?, host.cgroup_open(&below.0)?);
            Ok((Some((below, above)), open.0, open.1))
        }
        HostKind::Vm => {
            let vm: &Vm = crate::support::machine();
            let below = std::path::Path::new("/test/below");
            vm.make_cgroup(below);
            let above = std::path::Path::new("/test");
            Ok((None, host.cgroup_open(above)?, host.cgroup_open(below)?))
        }
    }
}

/// A directory that is removed again.
pub(crate) struct Folder(pub(crate) std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Busy until the last descriptor is closed; the walk's are by then.
        let _ = std::fs::remove_dir(&self.0);
    }
}

const EGRESS: AttachType = AttachType::CgroupInetEgress;

fn put(
    host: &dyn Host,
    cgroup: &CgroupFd,
    program: &ProgramFd,
    flags: AttachFlags,
    replace: Option<&ProgramFd>,
) -> Result<(), skep_host::Error> {
    host.prog_attach(&ProgramAttach {
        target: LinkTarget::Cgroup(cgroup),
        program: Some(program),
        attach_type: EGRESS,
        flags,
        replace,
        relative: 0,
        expected_revision: 0,
    })
}

fn take(
    host: &dyn Host,
    cgroup: &CgroupFd,
    program: Option<&ProgramFd>,
) -> Result<(), skep_host::Error> {
    host.prog_detach(&ProgramAttach {
        target: LinkTarget::Cgroup(cgroup),
        program,
        attach_type: EGRESS,
        flags: AttachFlags::empty(),
        replace: None,
        relative: 0,
        expected_revision: 0,
    })
}

fn cgroups(host: &dyn Host, record: &mut Record) -> Outcome {
    let (kept, above, below) = tree(host)?;
    let kind = ProgramType::CgroupSkb;
    let (a, b, c) = (
        program(host, kind, Some(EGRESS))?,
        program(host, kind, Some(EGRESS))?,
        program(host, kind, Some(EGRESS))?,
    );
    let names = Names::new(host, &[&a, &b, &c])?;
    let target = LinkTarget::Cgroup(&above);
    let none = AttachFlags::empty();
    let multi = AttachFlags::ALLOW_MULTI;
    let over = AttachFlags::ALLOW_OVERRIDE;
    // The revision of a cgroup's hook is told since 6.17.
    record.answer("exclusive", &put(host, &above, &a, none, None));
    record.answer("below exclusive", &put(host, &below, &b, none, None));
    record.answer("exclusive again", &put(host, &above, &b, none, None));
    record.answer("multi", &put(host, &above, &c, multi, None));
    names.query(record, "exclusive", target, EGRESS);
    record.answer("take", &take(host, &above, Some(&c)));
    record.answer("take nothing", &take(host, &above, None));
    record.answer("override", &put(host, &above, &a, over, None));
    record.answer("below override", &put(host, &below, &b, over, None));
    record.answer("take below", &take(host, &below, None));
    record.answer("take above", &take(host, &above, None));
    record.answer("both", &put(host, &above, &a, multi | over, None));
    record.answer(
        "replace alone",
        &put(host, &above, &a, AttachFlags::REPLACE, Some(&b)),
    );
    record.answer("multi", &put(host, &above, &a, multi, None));
    record.answer("multi", &put(host, &above, &b, multi, None));
    record.answer("multi twice", &put(host, &above, &b, multi, None));
    names.query(record, "multi", target, EGRESS);
    let replace = multi | AttachFlags::REPLACE;
    record.answer("replace", &put(host, &above, &c, replace, Some(&a)));
    record.answer("replace gone", &put(host, &above, &c, replace, Some(&a)));
    names.query(record, "replaced", target, EGRESS);
    record.answer("take unnamed", &take(host, &above, None));
    record.answer("take a", &take(host, &above, Some(&a)));
    let linked = host.link_create(&link(&a, target, EGRESS, 0, LinkOptions::None));
    record.done("link", &linked);
    let linked = linked?;
    names.query(record, "linked", target, EGRESS);
    record.answer("take the link's", &take(host, &above, Some(&a)));
    let info = host.link_info(&linked)?;
    record.fact("info", info.type_raw);
    record.answer("update", &host.link_update(&linked, (&b).into(), None));
    record.answer("detach", &host.link_detach(&linked));
    record.answer("update", &host.link_update(&linked, (&a).into(), None));
    record.fact("detached", host.link_info(&linked)?.details);
    for program in [&b, &c] {
        record.answer("take", &take(host, &above, Some(program)));
    }
    for mode in [
        CgroupMode::Exclusive,
        CgroupMode::Override,
        CgroupMode::Multi,
        CgroupMode::Link,
    ] {
        let point = AttachPoint::Cgroup {
            cgroup: &above,
            attach_type: EGRESS,
            mode,
            order: Order::default(),
        };
        let attached = host.attach("a", &a, kind, &point);
        record.done(format!("attach {mode:?}"), &attached);
        let mut attached = attached?;
        names.query(record, "attached", target, EGRESS);
        if let Some(holder) = attached.holder_mut() {
            record.answer("update", &holder.update(&b));
        }
        names.query(record, "updated", target, EGRESS);
        record.answer("detach", &attached.detach());
    }
    names.query(record, "none", target, EGRESS);
    drop((above, below, kept));
    Ok(())
}

fn effective(host: &dyn Host, record: &mut Record) -> Outcome {
    let (kept, above, below) = tree(host)?;
    let kind = ProgramType::CgroupSkb;
    let (a, b, c) = (
        program(host, kind, Some(EGRESS))?,
        program(host, kind, Some(EGRESS))?,
        program(host, kind, Some(EGRESS))?,
    );
    let names = Names::new(host, &[&a, &b, &c])?;
    let multi = AttachFlags::ALLOW_MULTI;
    record.answer("above", &put(host, &above, &a, multi, None));
    record.answer("below", &put(host, &below, &b, multi, None));
    let flags = QueryFlags::QUERY_EFFECTIVE;
    names.query_with(
        record,
        "effective",
        LinkTarget::Cgroup(&below),
        EGRESS,
        flags,
    );
    names.query_with(
        record,
        "effective",
        LinkTarget::Cgroup(&above),
        EGRESS,
        flags,
    );
    record.answer("take", &take(host, &below, Some(&b)));
    record.answer(
        "below alone",
        &put(host, &below, &b, AttachFlags::empty(), None),
    );
    names.query_with(
        record,
        "effective",
        LinkTarget::Cgroup(&below),
        EGRESS,
        flags,
    );
    record.answer("take", &take(host, &below, Some(&b)));
    record.answer("take", &take(host, &above, Some(&a)));
    drop((above, below, kept));
    Ok(())
}

fn netfilter(host: &dyn Host, record: &mut Record) -> Outcome {
    needs_kernel_of(host, 6, 4)?;
    apart(host, record, |host, record| {
        let kind = ProgramType::Netfilter;
        let program = program(host, kind, Some(AttachType::Netfilter))?;
        let mut kept = Vec::new();
        for (protocol_family, hook, priority) in [
            (2, 0, -10),
            (2, 0, -10),
            (2, 0, 10),
            (10, 4, 10),
            (2, 9, 0),
            (7, 0, 0),
            (2, 0, i32::MIN),
            (2, 0, i32::MAX),
        ] {
            let hook = NetfilterHook {
                protocol_family,
                hook,
                priority,
                defragment: false,
            };
            let attached = host.attach("a", &program, kind, &AttachPoint::Netfilter(hook));
            record.done(format!("{hook:?}"), &attached);
            if let Ok(attached) = attached {
                if let Some(link) = attached.link_fd() {
                    record.fact("info", host.link_info(link)?.details);
                    let update = host.link_update(link, (&program).into(), None);
                    record.answer("update", &update);
                }
                kept.push(attached);
            }
        }
        Ok(())
    })
}

fn netns(host: &dyn Host, record: &mut Record) -> Outcome {
    needs_kernel_of(host, 5, 9)?;
    apart(host, record, |host, record| {
        let (kind, attach) = (ProgramType::SkLookup, AttachType::SkLookup);
        let (a, b) = (
            program(host, kind, Some(attach))?,
            program(host, kind, Some(attach))?,
        );
        let names = Names::new(host, &[&a, &b])?;
        let file = std::fs::File::open("/proc/thread-self/ns/net")?;
        let netns = std::os::fd::AsRawFd::as_raw_fd(&file);
        let create = |program, attach| {
            let target = LinkTarget::File(netns);
            host.link_create(&link(program, target, attach, 0, LinkOptions::None))
        };
        let first = create(&a, attach);
        record.done("first", &first);
        let second = create(&b, attach);
        record.done("second", &second);
        names.query(record, "two", LinkTarget::File(netns), attach);
        record.done("as another", &create(&a, AttachType::FlowDissector));
        let first = first?;
        record.fact("info", host.link_info(&first)?.type_raw);
        record.answer(
            "update",
            &host.link_update(&first, (&b).into(), Some((&a).into())),
        );
        names.query(record, "updated", LinkTarget::File(netns), attach);
        record.answer("detach", &host.link_detach(&first));
        record.fact("detached", host.link_info(&first)?.details);
        names.query(record, "one", LinkTarget::File(netns), attach);
        Ok(())
    })
}

fn raw_tracepoints(host: &dyn Host, record: &mut Record) -> Outcome {
    let program = program(host, ProgramType::RawTracepoint, None)?;
    let filter = self::program(host, ProgramType::SocketFilter, None)?;
    let link = host.raw_tracepoint_open(&program, Some("sys_enter"), 0);
    record.done("open", &link);
    record.done(
        "open twice",
        &host.raw_tracepoint_open(&program, Some("sys_enter"), 0),
    );
    record.done(
        "open nothing",
        &host.raw_tracepoint_open(&program, Some("no_such"), 0),
    );
    record.done(
        "open a filter",
        &host.raw_tracepoint_open(&filter, Some("sys_enter"), 0),
    );
    record.done(
        "open a filter's own",
        &host.raw_tracepoint_open(&filter, None, 0),
    );
    let link: LinkFd = link?;
    let info = host.link_info(&link)?;
    record.fact("info", (info.type_raw, info.details));
    record.answer("update", &host.link_update(&link, (&program).into(), None));
    record.answer("detach", &host.link_detach(&link));
    record.done("iterate", &host.iter_create(&link));
    Ok(())
}

fn kinds(host: &dyn Host, record: &mut Record) -> Outcome {
    apart(host, record, |host, record| {
        let xdp = program(host, ProgramType::Xdp, None)?;
        let cls = program(host, ProgramType::SchedCls, None)?;
        let target = LinkTarget::Device(DEVICE);
        for (what, program, attach) in [
            ("xdp as tcx", &xdp, AttachType::TcxIngress),
            ("cls as xdp", &cls, AttachType::Xdp),
            ("cls as egress", &cls, AttachType::TcxEgress),
            ("xdp as devmap", &xdp, AttachType::XdpDevmap),
        ] {
            let flags = if attach == AttachType::Xdp { 2 } else { 0 };
            let made = host.link_create(&link(program, target, attach, flags, LinkOptions::None));
            record.done(what, &made);
        }
        let nowhere = link(
            &cls,
            LinkTarget::Device(4711),
            AttachType::TcxEgress,
            0,
            LinkOptions::None,
        );
        record.done("no device", &host.link_create(&nowhere));
        let map = host.map_create(&skep_host::MapCreate::new(
            skep_abi::MapType::Array,
            "no_ops",
            4,
            8,
            1,
        ))?;
        let of_map = LinkCreate {
            program: LinkSource::StructOps(&map),
            target: LinkTarget::None,
            attach_type: AttachType::StructOps,
            flags: 0,
            options: LinkOptions::None,
        };
        record.done("an array as struct_ops", &host.link_create(&of_map));
        Ok(())
    })
}

fn pinned() -> Outcome {
    let (_mounted, root) = match on_vm() {
        false => {
            let mounted = Bpffs::mount()?;
            let root = mounted.path().to_owned();
            (Some(mounted), root)
        }
        true => (None, "/sys/fs/bpf/links".into()),
    };
    let path = root.join("link");
    let program = program(host(), ProgramType::RawTracepoint, None)?;
    let link = host().raw_tracepoint_open(&program, Some("sys_enter"), 0)?;
    let id = host().link_info(&link)?.id;
    host().obj_pin(link.descriptor(), (&path).into())?;
    drop((link, program));
    ensure(host().link_by_id(id)?.is_some(), || {
        "the link is gone".into()
    })?;
    let after = host().next_id(ObjectId::Link(id - 1))?;
    ensure(after == Some(ObjectId::Link(id)), || format!("{after:?}"))?;
    let refused = host().obj_get((&path).into(), ObjectFlags::RDONLY);
    ensure(is(&refused, Errno::EINVAL), || format!("{refused:?}"))?;
    let Pinned::Link(link) = host().obj_get((&path).into(), ObjectFlags::empty())? else {
        return Err(Stop::fail("not a link"));
    };
    host().obj_unpin(&path)?;
    drop(link);
    skep_testing::eventually("the link's end", || Ok(host().link_by_id(id)?.is_none()))
}

fn near() -> Outcome {
    let program = program(host(), ProgramType::RawTracepoint, None)?;
    let point = AttachPoint::RawTracepoint {
        name: "sys_entre".into(),
        cookie: None,
    };
    let refused = host().attach("p", &program, ProgramType::RawTracepoint, &point);
    let error = skep_testing::expect_err("attached", refused)?;
    let fix = error.cause().map(skep_host::Cause::fix).unwrap_or_default();
    ensure(
        error.errno() == Some(Errno::ENOENT) && fix.contains("sys_enter"),
        || format!("{error}: {fix}"),
    )
}
