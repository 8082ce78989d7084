//! What test runs take and refuse, type by type.

use skep_abi::{AttachType, ProgLoadFlags, ProgramType, TestRunFlags};
use skep_host::Host;
use skep_testing::{Outcome, Test};

use super::{How, allowed, random::Random, run};
use crate::support::{Record, agree, load_on};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("packets::contexts_of_buffers_agree", || agree(contexts)),
        Test::new("packets::lengths_of_buffers_agree", || agree(lengths)),
        Test::new("packets::fields_are_seen_alike", || agree(fields)),
        Test::new("packets::flow_dissectors_agree", || agree(dissectors)),
        Test::new("packets::socket_lookups_agree", || agree(lookups)),
        Test::new("packets::netfilter_programs_agree", || agree(netfilter)),
        Test::new("packets::types_without_test_runs_agree", || agree(without)),
        Test::new("packets::other_test_runs_agree", || agree(others)),
    ]
}

/// Types that run on an `sk_buff`, each with what lets it load.
const BUFFERS: [ProgramType; 7] = [
    ProgramType::SchedCls,
    ProgramType::SchedAct,
    ProgramType::SocketFilter,
    ProgramType::CgroupSkb,
    ProgramType::LwtIn,
    ProgramType::LwtXmit,
    ProgramType::LwtSeg6local,
];

/// A context with one word set.
fn context(at: usize, word: u32) -> Vec<u8> {
    let mut context = vec![0; 192];
    context[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    context
}

fn contexts(host: &dyn Host, record: &mut Record) -> Outcome {
    let program = load_on(host, ProgramType::SchedCls, "r0 = 0\nexit", |_| {})?;
    let packet = Random::new(11).frame(0x0800, 50);
    let mut show = |name: &str, how: How<'_>| run(host, record, name, &program, how);
    for at in (0..192).step_by(4) {
        let context = context(at, 1);
        show(&format!("1 at {at}"), How::with(&packet, &context));
    }
    for (at, word) in [
        (160, 64),
        (160, 63),
        (160, 65),
        (160, 65536),
        (160, 65537),
        (164, 65535),
        (164, 65536),
        (176, 65535),
        (176, 65536),
        (40, 4711),
        (8, u32::MAX),
    ] {
        let context = context(at, word);
        show(&format!("{word} at {at}"), How::with(&packet, &context));
    }
    for size in [1, 8, 48, 100, 191, 192] {
        let context = vec![0; size];
        let mut how = How::with(&packet, &context);
        show(&format!("{size} bytes"), how);
        how.context_out = size;
        show(&format!("{size} bytes, as many out"), how);
        how.data_out = 10;
        show(&format!("{size} bytes, as many out, little data"), how);
    }
    let mut how = How::of(&packet);
    how.context_out = 192;
    show("a context out only", how);
    Ok(())
}

fn lengths(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut random = Random::new(12);
    for program_type in BUFFERS {
        let program = load_on(host, program_type, "r0 = 0\nexit", |_| {})?;
        for kind in [0x0800, 0x86dd, 0x0806] {
            for len in [0, 1, 13, 14, 15, 33, 34, 53, 54, 64, 1514, 3712, 3713, 5000] {
                let packet = random.frame(kind, len);
                let packet = &packet[..len];
                let key = format!("{program_type:?} {kind:x} {len}");
                run(host, record, &key, &program, How::of(packet));
            }
        }
        let packet = random.frame(0x0800, 50);
        for flags in [1, 2, 4, 8] {
            let mut how = How::of(&packet);
            how.flags = TestRunFlags::from_bits_retain(flags);
            run(
                host,
                record,
                &format!("{program_type:?} flags {flags}"),
                &program,
                how,
            );
        }
        let mut how = How::of(&packet);
        how.cpu = 1;
        run(
            host,
            record,
            &format!("{program_type:?} cpu"),
            &program,
            how,
        );
        how.cpu = 0;
        how.batch_size = 1;
        run(
            host,
            record,
            &format!("{program_type:?} batch"),
            &program,
            how,
        );
        for data_out in [0, 1, 63, 64, 65] {
            let mut how = How::of(&packet);
            how.data_out = data_out;
            run(
                host,
                record,
                &format!("{program_type:?} out {data_out}"),
                &program,
                how,
            );
        }
    }
    Ok(())
}

/// Each field that a type may read, as it is at first and after being set.
fn fields(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut random = Random::new(13);
    let mut context = vec![0; 192];
    for (at, word) in [
        (8, 1_u32),
        (32, 2),
        (36, 3),
        (40, 1),
        (152, 4),
        (160, 200),
        (164, 5),
    ] {
        context[at..at + 4].copy_from_slice(&(word).to_ne_bytes());
    }
    for (at, byte) in context.iter_mut().enumerate().take(68).skip(48) {
        *byte = at as u8;
    }
    for kind in [0x0800, 0x86dd, 0x0806, 0x8100] {
        let packet = random.frame(kind, 80);
        for program_type in BUFFERS {
            for at in (0..192).step_by(4) {
                // Addresses, numbers that depend on the machine, and parts of longer fields.
                if matches!(at, 76 | 80 | 84 | 140 | 144 | 148 | 156 | 168 | 172 | 188) {
                    continue;
                }
                let size = match at {
                    152 | 184 => "u64",
                    180 => "u8",
                    _ => "u32",
                };
                // `cgroup_skb` may only return 0 or 1.
                let cut = match program_type {
                    ProgramType::CgroupSkb => {
                        "r7 = r0\nr7 >>= 3\nr0 ^= r7\nr7 >>= 6\nr0 ^= r7\nr0 &= 1\n"
                    }
                    _ => "",
                };
                let read = format!("r0 = *({size} *)(r1 + {at})\n{cut}exit");
                let write = format!(
                    "r2 = 7\n*({size} *)(r1 + {at}) = r2\nr0 = *({size} *)(r1 + {at})\n{cut}exit"
                );
                for text in [read, write] {
                    if !allowed(program_type, &text) {
                        continue;
                    }
                    let program = load_on(host, program_type, &text, |_| {})?;
                    let key = format!("{program_type:?} {text}");
                    run(host, record, &key, &program, How::with(&packet, &context));
                }
            }
        }
    }
    Ok(())
}

fn dissectors(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut random = Random::new(14);
    let write = |at: usize, size: &str, word: u32| {
        format!("r2 = *(u64 *)(r1 + 144)\nr3 = {word}\n*({size} *)(r2 + {at}) = r3\nr0 = 0\nexit")
    };
    let mut programs = vec![
        "r0 = 0\nexit".to_owned(),
        "r0 = 2\nexit".to_owned(),
        "r0 = 129\nexit".to_owned(),
        "r2 = r10\nr2 += -4\nr3 = r2\nr2 = 0\nr4 = 4\ncall 26\nexit".to_owned(),
        "r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr0 = r3\nr0 -= r2\nexit".to_owned(),
    ];
    for word in [0, 13, 14, 20, 34, 64, 65, 9999] {
        programs.push(write(0, "u16", word));
        programs.push(write(2, "u16", word));
        programs.push(write(4, "u16", word));
    }
    for text in programs {
        let program = load_on(host, ProgramType::FlowDissector, &text, |_| {});
        let Ok(program) = program else {
            record.fact(&text, "refused");
            continue;
        };
        for kind in [0x0800, 0x86dd, 0x8100] {
            let packet = random.frame(kind, 50);
            run(host, record, &text, &program, How::of(&packet));
            let mut keys = vec![0; 56];
            for at in [0, 8, 48, 52] {
                keys[at] = 3;
                run(
                    host,
                    record,
                    &format!("{text} {at}"),
                    &program,
                    How::with(&packet, &keys),
                );
                keys[at] = 0;
            }
        }
    }
    let program = load_on(host, ProgramType::FlowDissector, "r0 = 0\nexit", |_| {})?;
    for len in [0, 13, 14, 4096, 4097] {
        let packet = random.frame(0x0800, len);
        run(
            host,
            record,
            &format!("{len}"),
            &program,
            How::of(&packet[..len]),
        );
    }
    Ok(())
}

fn lookups(host: &dyn Host, record: &mut Record) -> Outcome {
    let read: Vec<_> = [8, 12, 16, 20, 32, 36, 40, 44, 56, 60, 64]
        .iter()
        .map(|at| format!("r0 = *(u32 *)(r1 + {at})\nr2 = r0\nr2 >>= 8\nr0 ^= r2\nr2 >>= 8\nr0 ^= r2\nr0 &= 1\nexit"))
        .collect();
    let mut texts = vec![
        "r0 = 0\nexit".to_owned(),
        "r0 = 1\nexit".to_owned(),
        "r2 = 0\nr3 = 0\ncall 124\nr0 = 1\nexit".to_owned(),
        "r2 = 0\nr3 = 4\ncall 124\nr0 &= 1\nexit".to_owned(),
    ];
    texts.extend(read);
    for text in texts {
        let program = load_on(host, ProgramType::SkLookup, &text, |request| {
            request.expected_attach_type = Some(AttachType::SkLookup);
        })?;
        let mut how = How::of(&[]);
        how.data_out = 0;
        run(host, record, &format!("{text} no context"), &program, how);
        for family in [0, 2, 10] {
            let mut context = vec![0x11; 72];
            context[..8].fill(0);
            context[8..12].copy_from_slice(&u32::to_ne_bytes(family));
            context[62..].fill(0);
            let mut how = How::with(&[], &context);
            how.data_out = 0;
            run(host, record, &format!("{text} {family}"), &program, how);
            let mut wrong = context.clone();
            for at in [0, 62, 64, 68] {
                wrong[at] = 1;
                let mut how = How::with(&[], &wrong);
                how.data_out = 0;
                run(
                    host,
                    record,
                    &format!("{text} {family} {at}"),
                    &program,
                    how,
                );
                wrong[at] = context[at];
            }
        }
    }
    Ok(())
}

fn netfilter(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut random = Random::new(15);
    let program = load_on(host, ProgramType::Netfilter, "r0 = 1\nexit", |request| {
        request.expected_attach_type = Some(AttachType::Netfilter);
    })?;
    for kind in [0x0800, 0x86dd, 0x0806] {
        for len in [13, 14, 19, 20, 33, 34, 53, 54, 64, 3712, 3713] {
            let packet = random.frame(kind, len);
            let packet = &packet[..len];
            run(
                host,
                record,
                &format!("{kind:x} {len}"),
                &program,
                How::of(packet),
            );
            for (hook, family) in [
                (0, 2),
                (0, 10),
                (1, 2),
                (3, 2),
                (3, 10),
                (4, 2),
                (5, 2),
                (0, 3),
            ] {
                let mut context = vec![0; 48];
                context[0] = hook;
                context[1] = family;
                let key = format!("{kind:x} {len} {hook} {family}");
                run(host, record, &key, &program, How::with(packet, &context));
            }
        }
    }
    Ok(())
}

fn without(host: &dyn Host, record: &mut Record) -> Outcome {
    let types = [
        (ProgramType::Kprobe, None),
        (ProgramType::Tracepoint, None),
        (ProgramType::PerfEvent, None),
        (ProgramType::SkSkb, None),
        (ProgramType::SkMsg, None),
        (ProgramType::SockOps, None),
        (ProgramType::CgroupDevice, None),
        (
            ProgramType::CgroupSock,
            Some(AttachType::CgroupInetSockCreate),
        ),
        (
            ProgramType::CgroupSockAddr,
            Some(AttachType::CgroupInet4Connect),
        ),
        (
            ProgramType::CgroupSockopt,
            Some(AttachType::CgroupGetsockopt),
        ),
        (ProgramType::CgroupSysctl, None),
        (
            ProgramType::SkReuseport,
            Some(AttachType::SkReuseportSelect),
        ),
        (ProgramType::RawTracepointWritable, None),
    ];
    let packet = Random::new(16).frame(0x0800, 50);
    for (program_type, attach_type) in types {
        let program = load_on(host, program_type, "r0 = 1\nexit", |request| {
            request.expected_attach_type = attach_type;
        });
        let key = format!("{program_type:?}");
        let Ok(program) = program else {
            record.fact(key, "refused");
            continue;
        };
        run(host, record, &key, &program, How::of(&packet));
        run(
            host,
            record,
            &format!("{key} nothing"),
            &program,
            How {
                data_out: 0,
                ..How::of(&[])
            },
        );
    }
    Ok(())
}

fn others(host: &dyn Host, record: &mut Record) -> Outcome {
    let sleepable = load_on(
        host,
        ProgramType::Syscall,
        "r2 = *(u32 *)(r1 + 0)\nr2 += 1\n*(u32 *)(r1 + 0) = r2\nr0 = r2\nexit",
        |request| request.flags = ProgLoadFlags::SLEEPABLE,
    )?;
    let raw = load_on(
        host,
        ProgramType::RawTracepoint,
        "r0 = *(u64 *)(r1 + 8)\nexit",
        |_| {},
    )?;
    for (name, program) in [("syscall", &sleepable), ("raw_tracepoint", &raw)] {
        for size in [0, 4, 8, 15, 16, 96, 97, 4096, 65535, 65536] {
            let context: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let mut how = How::of(&[]);
            how.data_out = 0;
            how.repeat = 0;
            how.context = &context;
            let short = size < if name == "syscall" { 4 } else { 16 };
            let name = if short { "context too short" } else { name };
            run(host, record, &format!("{name} {size}"), program, how);
            how.context_out = size;
            run(host, record, &format!("{name} {size} out"), program, how);
        }
        let context = [1; 96];
        let plain = How {
            data_out: 0,
            repeat: 0,
            context: &context,
            ..How::of(&[])
        };
        for (what, how) in [
            (
                "data",
                How {
                    data: &[1],
                    ..plain
                },
            ),
            (
                "data out",
                How {
                    data_out: 1,
                    ..plain
                },
            ),
            ("repeat", How { repeat: 1, ..plain }),
            (
                "batch",
                How {
                    batch_size: 1,
                    ..plain
                },
            ),
            ("cpu", How { cpu: 1, ..plain }),
            (
                "on cpu 0",
                How {
                    flags: TestRunFlags::RUN_ON_CPU,
                    ..plain
                },
            ),
            (
                "on cpu 1",
                How {
                    flags: TestRunFlags::RUN_ON_CPU,
                    cpu: 1,
                    ..plain
                },
            ),
            (
                "on no cpu",
                How {
                    flags: TestRunFlags::RUN_ON_CPU,
                    cpu: 100_000,
                    ..plain
                },
            ),
            (
                "flags",
                How {
                    flags: TestRunFlags::XDP_LIVE_FRAMES,
                    ..plain
                },
            ),
        ] {
            run(host, record, &format!("{name} {what}"), program, how);
        }
    }
    Ok(())
}
