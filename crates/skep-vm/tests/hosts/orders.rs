//! Every way to say where among others a program is to be, on devices and cgroups: what is taken,
//! what is refused, and what is told first where two things are wrong.

use skep_abi::{AttachFlags, AttachType, ProgramType, QueryFlags};
use skep_host::{
    Error, Host, HostKind, LinkCreate, LinkFd, LinkOptions, LinkTarget, ProgramAttach, ProgramFd,
    ProgramQuery,
};
use skep_testing::{Outcome, Test, in_netns};

use crate::{
    links::tree,
    support::{Record, agree_since, load_on},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("orders::devices", || {
            agree_since((6, 18), |host, record| match host.info().kind {
                HostKind::Kernel => in_netns(|_| devices(host, record)),
                HostKind::Vm => devices(host, record),
            })
        }),
        Test::new("orders::updates_of_devices", || {
            agree_since((6, 18), |host, record| match host.info().kind {
                HostKind::Kernel => in_netns(|_| device_updates(host, record)),
                HostKind::Vm => device_updates(host, record),
            })
        }),
        Test::new("orders::updates_of_cgroups", || {
            agree_since((6, 18), cgroup_updates)
        }),
        Test::new("orders::cgroups", || agree_since((6, 18), cgroups)),
        Test::new("orders::cgroups_first_to_last", || {
            agree_since((6, 18), preorder)
        }),
    ]
}

/// Whom a request speaks of.
const WHOM: [&str; 6] = [
    "nobody",
    "the program",
    "the link",
    "itself",
    "a stranger",
    "none",
];

/// A hook with three programs of a walk: one by a link, one without, and one that comes and goes.
struct Hook<'a> {
    host: &'a dyn Host,
    target: LinkTarget<'a>,
    attach_type: AttachType,
    /// What a program without a link has to say.
    alone: AttachFlags,
    programs: Vec<ProgramFd>,
    ids: Vec<u32>,
}

/// A request on it.
#[derive(Clone, Copy)]
struct Ask<'p> {
    flags: AttachFlags,
    relative: u32,
    revision: u64,
    replace: Option<&'p ProgramFd>,
}

impl Ask<'_> {
    fn plain(flags: AttachFlags) -> Self {
        Self {
            flags,
            relative: 0,
            revision: 0,
            replace: None,
        }
    }
}

impl<'a> Hook<'a> {
    fn new(
        host: &'a dyn Host,
        target: LinkTarget<'a>,
        attach_type: AttachType,
        kind: ProgramType,
        alone: AttachFlags,
    ) -> Outcome<Self> {
        let expected = (kind == ProgramType::CgroupSkb).then_some(attach_type);
        let (mut programs, mut ids) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let program = load_on(host, kind, "r0 = 1\n exit", |request| {
                request.expected_attach_type = expected;
            })?;
            ids.push(host.prog_info(&program)?.id);
            programs.push(program);
        }
        Ok(Self {
            host,
            target,
            attach_type,
            alone,
            programs,
            ids,
        })
    }

    fn request<'r>(&'r self, program: Option<&'r ProgramFd>, ask: Ask<'r>) -> ProgramAttach<'r> {
        ProgramAttach {
            target: self.target,
            program,
            attach_type: self.attach_type,
            flags: ask.flags,
            replace: ask.replace,
            relative: ask.relative,
            expected_revision: ask.revision,
        }
    }

    fn put(&self, program: usize, ask: Ask<'_>) -> Result<(), Error> {
        let program = Some(&self.programs[program]);
        self.host.prog_attach(&self.request(program, ask))
    }

    fn take(&self, program: Option<usize>, ask: Ask<'_>) -> Result<(), Error> {
        let program = program.map(|program| &self.programs[program]);
        self.host.prog_detach(&self.request(program, ask))
    }

    fn link(&self, program: usize, flags: u32, options: LinkOptions<'_>) -> Result<LinkFd, Error> {
        self.host.link_create(&LinkCreate {
            program: (&self.programs[program]).into(),
            target: self.target,
            attach_type: self.attach_type,
            flags,
            options,
        })
    }

    /// One program by a link and one without.
    fn fill(&self) -> Outcome<LinkFd> {
        let link = self.link(0, 0, LinkOptions::None)?;
        self.put(1, Ask::plain(self.alone))?;
        Ok(link)
    }

    /// Takes everybody off. Links are detached first: whoever lists the links of this system has
    /// them open for a moment, and they would stay until then.
    fn clear(&self, links: impl IntoIterator<Item = LinkFd>) -> Outcome {
        for link in links {
            self.host.link_detach(&link)?;
        }
        for program in 0..self.programs.len() {
            let _ = self.take(Some(program), Ask::plain(AttachFlags::empty()));
        }
        Ok(())
    }

    /// The number that names somebody, by descriptor or by id.
    fn whom(&self, whom: &str, flags: AttachFlags, link: &LinkFd) -> Outcome<u32> {
        let program = |at: usize| match flags.contains(AttachFlags::ID) {
            true if flags.contains(AttachFlags::LINK) => 999_999,
            true => self.ids[at],
            false => self.programs[at].raw().cast_unsigned(),
        };
        Ok(match whom {
            "nobody" => 0,
            "the program" => program(1),
            "itself" => program(2),
            "a stranger" => program(3),
            // What else has a link's id is chance.
            "the link" if flags.contains(AttachFlags::ID | AttachFlags::LINK) => {
                self.host.link_info(link)?.id
            }
            "the link" if flags.contains(AttachFlags::ID) => 999_999,
            "the link" => link.raw().cast_unsigned(),
            _ => 999_999,
        })
    }

    /// Who is there, by place in `programs`, and how often it changed since `from`.
    fn seen(&self, record: &mut Record, key: &str, from: u64) -> Outcome {
        let answer = self.host.prog_query(&ProgramQuery {
            target: self.target,
            attach_type: self.attach_type,
            flags: QueryFlags::empty(),
        })?;
        let place = |id: &u32| self.ids.iter().position(|known| known == id);
        let places: Vec<_> = answer.programs.iter().map(place).collect();
        record.fact(key, (places, answer.revision.wrapping_sub(from)));
        Ok(())
    }

    fn revision(&self) -> Outcome<u64> {
        let answer = self.host.prog_query(&ProgramQuery {
            target: self.target,
            attach_type: self.attach_type,
            flags: QueryFlags::empty(),
        })?;
        Ok(answer.revision)
    }

    /// Attaches by each of these flags, and takes off by the same.
    fn walk(&self, record: &mut Record, flags: &[u32]) -> Outcome {
        for bits in flags {
            let replaces = bits & AttachFlags::REPLACE.bits() != 0;
            for whom in WHOM {
                let stale = matches!(whom, "nobody" | "none").then_some((99, None));
                // Who is in the way, where that may matter.
                let others: &[Option<usize>] = match (replaces, whom) {
                    (true, _) => &[None, Some(0), Some(1), Some(3)],
                    (false, "nobody") => &[None, Some(1)],
                    _ => &[None],
                };
                let plain = others.iter().map(|replaced| (0, *replaced));
                for (revision, replaced) in plain.chain(stale) {
                    self.step(record, *bits, whom, revision, replaced)?;
                }
            }
        }
        Ok(())
    }

    fn step(
        &self,
        record: &mut Record,
        bits: u32,
        whom: &str,
        revision: u64,
        replaced: Option<usize>,
    ) -> Outcome {
        let flags = AttachFlags::from_bits_retain(bits);
        let kept = self.fill()?;
        let from = self.revision()?;
        let ask = Ask {
            flags,
            relative: self.whom(whom, flags, &kept)?,
            revision: if revision == 0 { 0 } else { from + revision },
            replace: replaced.map(|at| &self.programs[at]),
        };
        let key = format!("{bits:#x} {whom} +{revision} for {replaced:?}");
        record.answer(key.clone(), &self.put(2, ask));
        self.seen(record, &key, from)?;
        if replaced.is_none() {
            for named in [None, Some(1)] {
                let key = format!("{key} {named:?} off");
                record.answer(key.clone(), &self.take(named, ask));
                self.seen(record, &key, from)?;
            }
        }
        self.clear([kept])
    }

    /// The same by links.
    fn links(&self, record: &mut Record, flags: &[u32]) -> Outcome {
        for bits in flags {
            for whom in WHOM {
                for revision in [0, 99] {
                    if revision != 0 && whom != "none" {
                        continue;
                    }
                    let kept = self.fill()?;
                    let from = self.revision()?;
                    let flags = AttachFlags::from_bits_retain(*bits);
                    let options = LinkOptions::Ordered {
                        relative: self.whom(whom, flags, &kept)?,
                        expected_revision: if revision == 0 { 0 } else { from + revision },
                    };
                    let key = format!("link {bits:#x} {whom} +{revision}");
                    let made = self.link(2, *bits, options);
                    record.done(key.clone(), &made);
                    self.seen(record, &key, from)?;
                    self.clear(made.ok().into_iter().chain([kept]))?;
                }
            }
        }
        Ok(())
    }
}

fn devices(host: &dyn Host, record: &mut Record) -> Outcome {
    let hook = Hook::new(
        host,
        LinkTarget::Device(1),
        AttachType::TcxIngress,
        ProgramType::SchedCls,
        AttachFlags::empty(),
    )?;
    let flags = [0, 1, 4, 8, 0xc, 0x10, 0x14, 0x18, 0x20, 0x28, 0x40];
    hook.walk(record, &flags)?;
    hook.links(
        record,
        &[0, 1, 4, 8, 0x20, 0x28, 0x48, 0x2000, 0x2008, 0x2028],
    )
}

fn cgroups(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_kept, cgroup, _below) = tree(host)?;
    let hook = Hook::new(
        host,
        LinkTarget::Cgroup(&cgroup),
        AttachType::CgroupInetEgress,
        ProgramType::CgroupSkb,
        AttachFlags::ALLOW_MULTI,
    )?;
    let flags = [
        0, 1, 2, 3, 4, 6, 8, 0xa, 0xe, 0x12, 0x1a, 0x22, 0x26, 0x2a, 0x4a, 0x82,
    ];
    hook.walk(record, &flags)?;
    hook.links(
        record,
        &[0, 4, 8, 0x18, 0x20, 0x48, 0x2000, 0x2008, 0x2030, 0x2048],
    )
}

impl Hook<'_> {
    /// Links that change their program, and programs that are replaced, by what is there already.
    fn updates(&self, record: &mut Record) -> Outcome {
        let (first, last) = (
            self.link(0, 0, LinkOptions::None)?,
            self.link(2, 0, LinkOptions::None)?,
        );
        self.put(1, Ask::plain(self.alone))?;
        let from = self.revision()?;
        for (who, link) in [("first", &first), ("last", &last)] {
            for state in ["attached", "detached"] {
                for to in [0, 1, 2, 3, 3, 0] {
                    for expected in [None, Some(0), Some(3)] {
                        let old = expected.map(|at: usize| (&self.programs[at]).into());
                        let done = self
                            .host
                            .link_update(link, (&self.programs[to]).into(), old);
                        let key = format!("{state} {who} to {to} from {expected:?}");
                        record.answer(key.clone(), &done);
                        self.seen(record, &key, from)?;
                    }
                }
                for (new, old) in [(1, 1), (1, 3), (3, 1), (2, 1), (0, 0), (1, 2)] {
                    let ask = Ask {
                        replace: Some(&self.programs[old]),
                        ..Ask::plain(self.alone | AttachFlags::REPLACE)
                    };
                    let key = format!("{state} {who}: {new} for {old}");
                    record.answer(key.clone(), &self.put(new, ask));
                    self.seen(record, &key, from)?;
                }
                self.host.link_detach(link)?;
            }
        }
        self.clear([first, last])
    }
}

fn device_updates(host: &dyn Host, record: &mut Record) -> Outcome {
    Hook::new(
        host,
        LinkTarget::Device(1),
        AttachType::TcxEgress,
        ProgramType::SchedCls,
        AttachFlags::empty(),
    )?
    .updates(record)
}

fn cgroup_updates(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_kept, cgroup, _below) = tree(host)?;
    Hook::new(
        host,
        LinkTarget::Cgroup(&cgroup),
        AttachType::CgroupInetEgress,
        ProgramType::CgroupSkb,
        AttachFlags::ALLOW_MULTI,
    )?
    .updates(record)
}

/// Programs that asked to go before all have their places among each other.
fn preorder(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_kept, cgroup, _below) = tree(host)?;
    let hook = Hook::new(
        host,
        LinkTarget::Cgroup(&cgroup),
        AttachType::CgroupInetEgress,
        ProgramType::CgroupSkb,
        AttachFlags::ALLOW_MULTI,
    )?;
    let first = AttachFlags::ALLOW_MULTI | AttachFlags::PREORDER;
    for (alone, more) in [
        (AttachFlags::ALLOW_MULTI, AttachFlags::ALLOW_MULTI),
        (AttachFlags::ALLOW_MULTI, first),
        (first, AttachFlags::ALLOW_MULTI),
        (first, first),
    ] {
        for way in [AttachFlags::BEFORE, AttachFlags::AFTER] {
            let from = hook.revision()?;
            hook.put(0, Ask::plain(alone))?;
            let ask = Ask {
                relative: hook.programs[0].raw().cast_unsigned(),
                ..Ask::plain(more | way)
            };
            let key = format!("{alone:?}, {more:?} {way:?}");
            record.answer(key.clone(), &hook.put(1, ask));
            hook.seen(record, &key, from)?;
            hook.clear([])?;
        }
    }
    Ok(())
}
