//! Programs on an `sk_buff`: helpers that read, write, sum, grow and shrink it, with random
//! packets and arguments.

use skep_abi::{ProgramType, TestRunFlags};
use skep_host::Host;
use skep_testing::{Outcome, Test};

use super::{How, allowed, once, random::Random, run};
use crate::support::{Record, agree, load_on};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("packets::buffers_change_shape_alike", || agree(shapes)),
        Test::new("packets::buffers_have_the_same_sums", || agree(sums)),
        Test::new("packets::buffers_are_read_alike", || agree(reads)),
        Test::new("packets::classic_loads_agree", || agree(classic)),
        Test::new("packets::differences_of_sums_agree", || agree(differences)),
    ]
}

const TC: ProgramType = ProgramType::SchedCls;

const MIX: &str = "r7 *= 31\nr7 += r0\n";

/// Mixes into R7 what the context says.
fn look() -> String {
    let fields = [0, 4, 16, 20, 24, 28, 164, 176];
    let mut text: String = fields
        .iter()
        .map(|at| format!("r0 = *(u32 *)(r6 + {at})\n{MIX}"))
        .collect();
    text += "r0 = *(u32 *)(r6 + 80)\nr1 = *(u32 *)(r6 + 76)\nr2 = *(u32 *)(r6 + 140)\nr0 -= r1\nr1 -= r2\nr0 += r1\n";
    text += MIX;
    text + "r0 = r7\nexit\n"
}

fn begin(random: &mut Random) -> String {
    format!(
        "r6 = r1\nr7 = 0\nr1 = {} ll\n*(u64 *)(r10 - 16) = r1\nr1 = {} ll\n*(u64 *)(r10 - 8) = r1\n",
        random.next() as i64,
        random.next() as i64
    )
}

fn shape(random: &mut Random) -> String {
    let call = match random.below(9) {
        0 | 1 => {
            let by = random.below(130) as i64 - 60;
            let by = random.one(&[by, by * 4, 20, -20, 40, -40, 0, 4095, 4096, -4096]);
            let mode = random.one(&[0, 0, 1, 1, 2]);
            let bits = random.next();
            let flags = random.one(&[
                0,
                0,
                1,
                bits & 0x7f,
                2,
                4,
                2 | 8,
                4 | 16,
                2 | 0x40 | 14 << 56,
                4 | 3 << 56,
                0x80,
                0x100,
                0x20,
                bits & 0x1ff,
                0x200,
                bits & 0xffff,
            ]);
            format!(
                "r2 = {by}\nr3 = {mode}\nr4 = {} ll\ncall 50\n",
                flags as i64
            )
        }
        2 => {
            let len = random.below(2000);
            let len = random.one(&[len, 14, 13, 20, 34, 16064, 16065, 8000, 0]);
            format!("r2 = {len}\nr3 = {}\ncall 38\n", random.one(&[0, 0, 0, 1]))
        }
        3 => {
            let len = random.below(200);
            let len = random.one(&[len, 14, 0, 4000, 15000, 16000]);
            format!("r2 = {len}\nr3 = {}\ncall 43\n", random.one(&[0, 0, 0, 1]))
        }
        4 => {
            let proto: u16 = random.one(&[0x0800, 0x86dd, 0x86dd, 0x0806]);
            let flags = random.one(&[0, 0, 0, 1]);
            format!("r2 = {}\nr3 = {flags}\ncall 31\n", proto.to_be())
        }
        5 | 6 => {
            let proto: u16 = random.one(&[0x8100, 0x88a8, 0x0800]);
            format!(
                "r2 = {}\nr3 = {}\ncall 18\n",
                proto.to_be(),
                random.below(0x1_0000)
            )
        }
        7 => "call 19\n".to_owned(),
        _ => format!("r2 = {}\ncall 32\n", random.below(6)),
    };
    format!("r1 = r6\n{call}{MIX}")
}

fn sum(random: &mut Random) -> String {
    let value = random.next();
    let any =
        |random: &mut Random| random.one(&[value, 0, 0xffff, 0xffff_ffff, value & 0xff]) as i64;
    let call = match random.below(6) {
        0 => {
            let offset = random.one(&[24, 16, 0, 14, 15, 40, 65536, 2000]);
            let size = random.one(&[0, 2, 4, 3, 0x12]);
            let from = if size == 0 {
                random.one(&[0, 0, 1])
            } else {
                any(random)
            };
            let to = any(random);
            format!("r2 = {offset}\nr3 = {from} ll\nr4 = {to} ll\nr5 = {size}\ncall 10\n")
        }
        1 | 2 => {
            let offset = random.one(&[40, 50, 24, 0, 15, 65536, 2000]);
            let size = random.one(&[0, 2, 4, 3]);
            let flags = size | random.one(&[0, 0x10, 0x20, 0x30, 0x60, 0x90, 0x70, 0x100]);
            let from = if size == 0 {
                random.one(&[0, 0, 1])
            } else {
                any(random)
            };
            let to = any(random);
            format!("r2 = {offset}\nr3 = {from} ll\nr4 = {to} ll\nr5 = {flags}\ncall 11\n")
        }
        3 => format!("r2 = {}\ncall 135\n", random.below(5)),
        4 => {
            let offset = random.one(&[14, 15, 20, 33, 40, 2000]);
            let len = random.one(&[1, 2, 3, 7, 8, 16]);
            let flags = random.one(&[0, 1, 1, 3, 2, 4]);
            format!("r2 = {offset}\nr3 = r10\nr3 += -16\nr4 = {len}\nr5 = {flags}\ncall 9\n")
        }
        _ => format!("r2 = {}\ncall 39\n", random.one(&[0, 1, 14, 60, 5000])),
    };
    format!("r1 = r6\n{call}{MIX}")
}

fn walk(
    host: &dyn Host,
    record: &mut Record,
    seed: u64,
    steps: &[fn(&mut Random) -> String],
    flags: TestRunFlags,
) -> Outcome {
    let mut random = Random::new(seed);
    for _ in 0..250 {
        let mut text = begin(&mut random);
        for _ in 0..=random.below(4) {
            let step = random.one(steps);
            text += &step(&mut random);
        }
        text += &look();
        let program = load_on(host, TC, &text, |_| {})?;
        for _ in 0..3 {
            let packet = random.packet();
            let mut how = How::of(&packet);
            how.repeat = random.one(&[1, 1, 2, 3]);
            how.flags = flags;
            run(host, record, &text, &program, how);
        }
    }
    Ok(())
}

fn shapes(host: &dyn Host, record: &mut Record) -> Outcome {
    walk(host, record, 5, &[shape], TestRunFlags::empty())
}

fn sums(host: &dyn Host, record: &mut Record) -> Outcome {
    walk(host, record, 6, &[sum], TestRunFlags::empty())?;
    walk(
        host,
        record,
        7,
        &[sum, sum, shape],
        TestRunFlags::SKB_CHECKSUM_COMPLETE,
    )
}

fn reads(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut random = Random::new(8);
    let packet = random.frame(0x0800, 80);
    let types = [
        TC,
        ProgramType::SocketFilter,
        ProgramType::CgroupSkb,
        ProgramType::LwtIn,
        ProgramType::LwtXmit,
    ];
    for program_type in types {
        for offset in [0_i64, 1, 14, 80, 90, 94, 93, -1, 0x7fff_ffff] {
            for len in [1, 4, 7] {
                let text = format!(
                    "r2 = {offset}\nr3 = r10\nr3 += -8\nr4 = {len}\n*(u64 *)(r10 - 8) = r4\n\
                     call 26\nr1 = *(u64 *)(r10 - 8)\nr0 *= 31\nr0 += r1\nr0 &= 1\nexit"
                );
                once(host, record, program_type, &text, How::of(&packet))?;
            }
        }
        if program_type == ProgramType::LwtIn || program_type == ProgramType::LwtXmit {
            continue;
        }
        for (offset, header) in [(0, 0), (0, 1), (60, 1), (80, 1), (77, 1), (94, 0), (1, 2)] {
            let text = format!(
                "r2 = {offset}\nr3 = r10\nr3 += -8\nr4 = 4\nr5 = {header}\n*(u64 *)(r10 - 8) = r4\n\
                 call 68\nr1 = *(u64 *)(r10 - 8)\nr0 *= 31\nr0 += r1\nr0 &= 1\nexit"
            );
            once(host, record, program_type, &text, How::of(&packet))?;
        }
    }
    // Marks of congestion, which only `cgroup_skb` programs set.
    for tos in 0..4 {
        for kind in [0x0800, 0x86dd, 0x0806] {
            let mut packet = random.frame(kind, 60);
            if kind == 0x86dd {
                packet[15] = tos << 4;
            } else {
                packet[15] = tos;
            }
            once(
                host,
                record,
                ProgramType::CgroupSkb,
                "call 97\nr0 &= 1\nexit",
                How::of(&packet),
            )?;
        }
    }
    for (stamp, clock) in [(0, 0), (5, 0), (5, 1), (0, 1), (5, 2), (0, 2), (5, 3)] {
        for kind in [0x0800, 0x0806] {
            let packet = random.frame(kind, 60);
            let text = format!(
                "r6 = r1\nr2 = {stamp}\nr3 = {clock}\ncall 192\nr1 = *(u64 *)(r6 + 152)\nr0 *= 31\nr0 += r1\nexit"
            );
            once(host, record, TC, &text, How::of(&packet))?;
        }
    }
    for text in [
        "r2 = 77\ncall 48\nexit",
        "r6 = r1\nr2 = 77\ncall 48\nr1 = r6\ncall 34\nexit",
        "r6 = r1\nr2 = 77\ncall 48\nr0 = *(u32 *)(r6 + 68)\nexit",
        "r6 = r1\nr2 = 77\ncall 48\nr1 = r6\ncall 41\nr0 = *(u32 *)(r6 + 68)\nexit",
        "call 24\nexit",
        "call 47\nexit",
        "call 17\nexit",
        "r2 = 0\ncall 40\nexit",
        "r2 = 1\nr3 = 0\ncall 13\nexit",
        "r2 = 77\nr3 = 0\ncall 13\nexit",
        "r2 = 1\nr3 = 2\ncall 13\nexit",
        "r1 = 1\nr2 = 0\ncall 23\nexit",
        "r1 = 1\nr2 = 1\ncall 23\nexit",
        "r1 = 1\nr2 = 2\ncall 23\nexit",
        "r1 = 1\nr2 = 0\ncall 155\nexit",
        "r1 = 1\nr2 = 1\ncall 155\nexit",
        "r1 = 1\nr2 = 0\nr3 = 0\nr4 = 0\ncall 152\nexit",
        "r1 = 1\nr2 = 0\nr3 = 0\nr4 = 1\ncall 152\nexit",
    ] {
        once(host, record, TC, text, How::of(&packet))?;
    }
    tunnels(host, record, &packet)
}

fn tunnels(host: &dyn Host, record: &mut Record, packet: &[u8]) -> Outcome {
    let fill: String = (0..6)
        .map(|at| {
            format!(
                "r1 = 0x{:x} ll\n*(u64 *)(r10 - {}) = r1\n",
                (0x1122_3344_5566_7788_u64 * (at + 1)) >> 8,
                48 - 8 * at
            )
        })
        .collect();
    for (size, flags) in [
        (44, 0),
        (44, 1),
        (28, 0),
        (28, 1),
        (24, 0),
        (22, 0),
        (8, 0),
        (8, 1),
        (12, 0),
        (44, 0x20),
        (44, 14),
        (44, 16),
    ] {
        for again in [(44, 0), (44, 1), (44, 16), (8, 0), (12, 0)] {
            let text = format!(
                "r6 = r1\n{fill}r1 = 0\n*(u16 *)(r10 - 26) = r1\n*(u32 *)(r10 - 24) = r1\n\
                 r1 = r6\nr2 = r10\nr2 += -48\nr3 = {size}\nr4 = {flags}\ncall 21\nr7 = r0\n\
                 r1 = r6\nr2 = r10\nr2 += -48\nr3 = {}\nr4 = {}\ncall 20\n{MIX}\
                 r0 = *(u64 *)(r10 - 48)\n{MIX}r0 = *(u64 *)(r10 - 40)\n{MIX}\
                 r0 = *(u64 *)(r10 - 32)\n{MIX}r0 = *(u64 *)(r10 - 24)\n{MIX}\
                 r0 = *(u64 *)(r10 - 16)\n{MIX}r0 = r7\nexit",
                again.0, again.1
            );
            once(host, record, TC, &text, How::of(packet))?;
        }
    }
    // Options, of a packet that has no tunnel yet, or goes into one.
    for (key, size, room) in [
        ("", 8, 8),
        ("call 21\nr7 = r0\n", 8, 8),
        ("call 21\nr7 = r0\n", 8, 16),
        ("call 21\nr7 = r0\n", 8, 4),
        ("call 21\nr7 = r0\n", 6, 8),
        ("call 21\nr7 = r0\n", 44, 44),
    ] {
        let text = format!(
            "r6 = r1\nr7 = 0\n{fill}r1 = 0\n*(u16 *)(r10 - 26) = r1\n*(u32 *)(r10 - 24) = r1\n\
             r1 = r6\nr2 = r10\nr2 += -48\nr3 = 28\nr4 = 0\n{key}\
             r1 = r6\nr2 = r10\nr2 += -48\nr3 = {size}\ncall 30\n{MIX}\
             r1 = r6\nr2 = r10\nr2 += -48\nr3 = {room}\ncall 29\n{MIX}\
             r0 = *(u64 *)(r10 - 48)\n{MIX}r0 = *(u64 *)(r10 - 40)\n{MIX}r0 = r7\nexit"
        );
        once(host, record, TC, &text, How::of(packet))?;
    }
    Ok(())
}

fn classic(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut random = Random::new(9);
    let packet = random.frame(0x0800, 60);
    let (net, link) = (-0x10_0000_i64, -0x20_0000_i64);
    for program_type in [TC, ProgramType::SocketFilter] {
        for offset in [
            0,
            1,
            12,
            57,
            59,
            60,
            70,
            72,
            73,
            74,
            -1,
            net,
            net + 9,
            net + 56,
            net + 57,
            net + 60,
            link,
            link + 12,
            link + 70,
            link + 71,
            net - 4,
            link - 1,
            -0x1000,
            -0x1000 + 4,
        ] {
            for size in ["u8", "u16", "u32"] {
                let offset = offset as i32;
                for text in [
                    format!("r6 = r1\nr0 = *({size} *)skb[{offset}]\nexit"),
                    format!("r6 = r1\nr7 = {offset}\nr7 += 1\nr0 = *({size} *)skb[r7 - 1]\nexit"),
                    format!(
                        "r6 = r1\ncall f\nr0 += 1\nexit\nf:\nr6 = r1\nr0 = *({size} *)skb[{offset}]\nexit"
                    ),
                ] {
                    if !allowed(program_type, &text) {
                        continue;
                    }
                    let program = load_on(host, program_type, &text, |_| {})?;
                    run(host, record, &text, &program, How::of(&packet));
                }
            }
        }
    }
    Ok(())
}

fn differences(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut random = Random::new(10);
    let packet = random.frame(0x0800, 60);
    for _ in 0..150 {
        let mut text = String::new();
        for at in 1..=8 {
            let word = random.next();
            let word = random.one(&[word, 0, u64::MAX]) as i64;
            text += &format!("r1 = {word} ll\n*(u64 *)(r10 - {}) = r1\n", 8 * at);
        }
        let (from, to) = (
            random.one(&[0, 4, 8, 12, 32, 3]),
            random.one(&[0, 4, 8, 28, 32, 6]),
        );
        let place = |len, at| match len {
            0 => "0".to_owned(),
            _ => format!("r10\nr{at} += -{}", 32 * ((at + 1) / 2)),
        };
        let word = random.next();
        let seed = random.one(&[word, 0, 0xffff_ffff, 0xffff]) as i64;
        text += &format!(
            "r1 = {}\nr2 = {from}\nr3 = {}\nr4 = {to}\nr5 = {seed} ll\ncall 28\nexit",
            place(from, 1),
            place(to, 3)
        );
        once(host, record, TC, &text, How::of(&packet))?;
    }
    Ok(())
}
