//! XDP: heads, tails, metadata, copies, fragments, and the rules of its test runs.

use skep_abi::{ProgramType, TestRunFlags};
use skep_host::Host;
use skep_testing::{Outcome, Test};

use super::{How, once, random::Random, run};
use crate::support::{Record, agree, load_on};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("packets::frames_are_adjusted_alike", || agree(adjusted)),
        Test::new("packets::frames_with_fragments_agree", || agree(fragments)),
        Test::new("packets::frames_keep_the_same_rules", || agree(rules)),
        Test::new("packets::frames_are_redirected_alike", || agree(redirects)),
    ]
}

const XDP: ProgramType = ProgramType::Xdp;

/// Mixes R0 into R7.
const MIX: &str = "r7 *= 31\nr7 += r0\n";

/// Shows in R7 what the context says of the packet.
const LOOK: &str = "
    r1 = *(u32 *)(r6 + 0)
    r2 = *(u32 *)(r6 + 4)
    r3 = *(u32 *)(r6 + 8)
    r2 -= r1
    r1 -= r3
    r7 *= 31
    r7 += r1
    r7 *= 31
    r7 += r2
    r1 = *(u32 *)(r6 + 12)
    r7 *= 31
    r7 += r1
    r1 = *(u32 *)(r6 + 16)
    r7 += r1
";

/// Some helper of XDP with some arguments.
fn step(random: &mut Random) -> String {
    let by = |random: &mut Random| {
        let near = random.below(64) as i64 - 32;
        random.one(&[
            near,
            near * 4,
            near * 40,
            0,
            -216,
            255,
            4000,
            -4000,
            i64::from(i32::MIN),
        ])
    };
    let call = match random.below(6) {
        0 => format!("r2 = {}\ncall 44\n", by(random)),
        1 => format!(
            "r2 = {}\ncall 54\n",
            by(random) / 4 * 4 + random.one(&[0, 0, 0, 1])
        ),
        2 => format!("r2 = {}\ncall 65\n", by(random)),
        3 => "call 188\n".to_owned(),
        4 => {
            let offset = random.one(&[0, 3, 14, 60, 100, 1400, 70_000]);
            let len = random.one(&[1, 2, 7, 8, 16]);
            format!(
                "r2 = {offset}\nr3 = r10\nr3 += -16\nr4 = {len}\ncall 189\n{MIX}r0 = *(u64 *)(r10 - 16)\n"
            )
        }
        _ => {
            let offset = random.one(&[0, 3, 14, 60, 100, 1400]);
            let len = random.one(&[1, 2, 7, 8, 16]);
            format!("r2 = {offset}\nr3 = r10\nr3 += -16\nr4 = {len}\ncall 190\n")
        }
    };
    format!("r1 = r6\n{call}{MIX}")
}

fn program(random: &mut Random) -> String {
    let mut text = format!(
        "r6 = r1\nr7 = 0\nr1 = {} ll\n*(u64 *)(r10 - 16) = r1\n*(u64 *)(r10 - 8) = r1\n",
        random.next() as i64
    );
    for _ in 0..=random.below(4) {
        text += &step(random);
    }
    text + LOOK + "r0 = r7\nexit\n"
}

fn adjusted(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut random = Random::new(1);
    for _ in 0..150 {
        let text = program(&mut random);
        let program = load_on(host, XDP, &text, |_| {})?;
        for _ in 0..3 {
            let packet = random.packet();
            let mut how = How::of(&packet);
            how.repeat = random.one(&[1, 1, 2, 3]);
            let meta = random
                .one(&[0, 4, 32, 36, 252])
                .min(packet.len() as u32 / 4 * 4);
            let context = [meta, packet.len() as u32, 0, 0, 0, 0]
                .map(u32::to_ne_bytes)
                .concat();
            if random.below(2) == 0 {
                how.context = &context;
                how.context_out = 24;
            }
            run(host, record, &text, &program, how);
        }
    }
    Ok(())
}

fn fragments(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut random = Random::new(2);
    for round in 0..60 {
        let text = program(&mut random);
        // Programs must say that they know fragments.
        let program = load_on(host, XDP, &text, |request| {
            request.flags = skep_abi::ProgLoadFlags::XDP_HAS_FRAGS;
        })?;
        let len = match round {
            0 => 3520,
            1 => 3521,
            2 => 3520 + 4096,
            3 => 3520 + 4097,
            4 => 70_000,
            _ => 3400 + random.below(12_000) as usize,
        };
        let packet = random.frame(0x0800, len - 14);
        let mut how = How::of(&packet);
        how.data_out = random.one(&[90_000, 90_000, 0, 100, 4000, 9000]);
        run(host, record, &text, &program, how);
    }
    Ok(())
}

fn rules(host: &dyn Host, record: &mut Record) -> Outcome {
    let pass = load_on(host, XDP, "r0 = 2\nexit", |_| {})?;
    let packet = Random::new(3).frame(0x0800, 50);
    let mut show = |name: &str, how: How<'_>| run(host, record, name, &pass, how);
    for len in [0, 1, 13, 14, 15, 64] {
        show(&format!("{len} bytes"), How::of(&packet[..len]));
    }
    for data_out in [0, 1, 63, 64, 65] {
        let mut how = How::of(&packet);
        how.data_out = data_out;
        show(&format!("{data_out} bytes out"), how);
        how.context_out = 24;
        show(&format!("{data_out} bytes out and a context"), how);
    }
    let md = |words: [u32; 6]| words.map(u32::to_ne_bytes).concat();
    let len = packet.len() as u32;
    for words in [
        [0, len, 0, 0, 0, 0],
        [0, len - 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [4, len, 0, 0, 0, 0],
        [3, len, 0, 0, 0, 0],
        [60, len, 0, 0, 0, 0],
        [64, len, 0, 0, 0, 0],
        [68, len, 0, 0, 0, 0],
        [0, len, 4, 0, 0, 0],
        [0, len, 0, 1, 0, 0],
        [0, len, 0, 1, 1, 0],
        [0, len, 0, 0, 1, 0],
        [0, len, 0, 12345, 0, 0],
        [0, len, 0, 0, 0, 1],
    ] {
        show(
            &format!("context {words:?}"),
            How::with(&packet, &md(words)),
        );
    }
    let whole = md([0, len, 0, 0, 0, 0]);
    for size in [1, 8, 20, 24] {
        let mut how = How::with(&packet, &whole[..size]);
        show(&format!("{size} bytes of context"), how);
        how.context_out = size;
        show(&format!("{size} bytes of context, as many out"), how);
    }
    let mut longer = whole.clone();
    longer.extend([0; 8]);
    show("a longer context of zeroes", How::with(&packet, &longer));
    longer[30] = 1;
    show("a longer context", How::with(&packet, &longer));
    longer.resize(5000, 0);
    show("a context longer than a page", How::with(&packet, &longer));
    let mut how = How::of(&packet);
    how.cpu = 1;
    show("a CPU", how);
    how.cpu = 0;
    how.batch_size = 1;
    show("a batch", how);
    how.flags = TestRunFlags::XDP_LIVE_FRAMES;
    show("live frames with output", how);
    how.data_out = 0;
    for batch in [0, 1, 256, 257] {
        how.batch_size = batch;
        show(&format!("live frames, batch {batch}"), how);
    }
    let longest = Random::new(3).frame(0x0800, 3600);
    for len in (3300..3420).step_by(4) {
        let mut how = How::of(&longest[..len]);
        how.flags = TestRunFlags::XDP_LIVE_FRAMES;
        how.data_out = 0;
        show(&format!("live frames of {len} bytes"), how);
    }
    for flags in [1, 4, 8] {
        let mut how = How::of(&packet);
        how.flags = TestRunFlags::from_bits_retain(flags);
        show(&format!("flags {flags}"), how);
    }
    Ok(())
}

fn redirects(host: &dyn Host, record: &mut Record) -> Outcome {
    let packet = Random::new(4).frame(0x0800, 50);
    for (ifindex, flags) in [(1, 0), (1, 1), (77, 0), (0, 0)] {
        let text = format!("r1 = {ifindex}\nr2 = {flags}\ncall 23\nexit");
        once(host, record, XDP, &text, How::of(&packet))?;
    }
    for (ifindex, len, by, flags) in [
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (1, 65536, 0, 0),
        (1, 65537, 0, 0),
        (0, 100, 65436, 0),
        (0, 100, 65437, 0),
        (0, 0, -100, 0),
        (4711, 0, 0, 0),
        (1, 0, 0, 1),
        (1, 0, 0, 2),
    ] {
        let text = format!(
            "r2 = {ifindex}\nr3 = r10\nr3 += -4\nr4 = {len}\n*(u32 *)(r10 - 4) = r4\nr4 = {by}\n\
             r5 = {flags}\ncall 163\nr1 = *(u32 *)(r10 - 4)\nr0 *= 1000000\nr0 += r1\nexit"
        );
        once(host, record, XDP, &text, How::of(&packet))?;
        once(host, record, ProgramType::SchedCls, &text, How::of(&packet))?;
    }
    for (family, ifindex, size, flags) in [
        (2, 1, 64, 0),
        (10, 1, 64, 0),
        (3, 1, 64, 0),
        (2, 4711, 64, 0),
        (2, 1, 63, 0),
        (2, 1, 64, 2),
        (2, 1, 64, 64),
    ] {
        let zero: String = (1..=8)
            .map(|at| format!("*(u64 *)(r10 - {}) = r0\n", 8 * at))
            .collect();
        let text = format!(
            "r0 = 0\n{zero}*(u8 *)(r10 - 64) = {family}\n*(u32 *)(r10 - 56) = {ifindex}\n\
             r2 = r10\nr2 += -64\nr3 = {size}\nr4 = {flags}\ncall 69\nexit"
        );
        once(host, record, XDP, &text, How::of(&packet))?;
        once(host, record, ProgramType::SchedCls, &text, How::of(&packet))?;
    }
    Ok(())
}
