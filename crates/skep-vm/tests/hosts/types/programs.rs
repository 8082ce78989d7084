//! The same operations from inside programs.

use skep_abi::{MapType, ProgramType, TestRunFlags};
use skep_host::{Host, MapFd, TestRun};
use skep_testing::{Outcome, Test};

use super::{Spec, specs};
use crate::support::{Record, agree, load_on};

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("types::operations_of_programs", || {
        agree(operations)
    })]
}

/// Runs a program with a map in R1, whose key is the 64 bytes from fp-64 on and whose value the
/// 64 bytes before. Gives R0 and the value's bytes afterwards.
///
/// Key and value come and go by an array, since programs that can get a context of bytes may
/// sleep, and those can't use all maps.
fn run(
    host: &dyn Host,
    map: &MapFd,
    body: &str,
    key: &[u8],
    value: &[u8],
) -> Outcome<(u64, Vec<u8>)> {
    const BYTES: usize = 136;
    let io = Spec::new("", MapType::Array, 4, BYTES as u32, 1).create(host)?;
    let mut text = format!("r6 = map[fd:{}][0]+0\n", io.raw());
    for at in (0..64).step_by(8) {
        text += &format!("r1 = *(u64 *)(r6 + {})\n", 8 + at);
        text += &format!("*(u64 *)(r10 - {}) = r1\n", 64 - at);
        text += &format!("r1 = *(u64 *)(r6 + {})\n", 72 + at);
        text += &format!("*(u64 *)(r10 - {}) = r1\n", 128 - at);
    }
    text += &format!("r1 = map[fd:{}]\n", map.raw());
    text += body;
    text += "*(u64 *)(r6 + 0) = r0\n";
    for at in (0..64).step_by(8) {
        text += &format!("r1 = *(u64 *)(r10 - {})\n", 128 - at);
        text += &format!("*(u64 *)(r6 + {}) = r1\n", 72 + at);
    }
    text += "r0 = 0\nexit\n";
    let program = load_on(host, ProgramType::RawTracepoint, &text, |_| {})?;
    let mut bytes = vec![0; BYTES];
    bytes[8..8 + key.len()].copy_from_slice(key);
    bytes[72..72 + value.len()].copy_from_slice(value);
    host.map_update_elem(&io, &[0; 4], &bytes, 0)?;
    // Values of each CPU would be others on another one.
    let mut run = TestRun {
        flags: TestRunFlags::RUN_ON_CPU,
        ..TestRun::default()
    };
    host.prog_test_run(&program, &mut run)?;
    host.map_lookup_elem(&io, &[0; 4], &mut bytes, 0)?;
    let answer = u64::from_ne_bytes(*bytes.first_chunk().expect("136 bytes"));
    Ok((answer, bytes[72..].to_vec()))
}

const KEY: &str = "r2 = r10\nr2 += -64\n";

fn update(flags: u64) -> String {
    format!("{KEY}r3 = r10\nr3 += -128\nr4 = {flags}\ncall 2\n")
}

/// Looks up, and copies the first bytes of the value to the context's.
fn lookup(value: u32) -> String {
    let mut text = format!("{KEY}call 1\nif r0 == 0 goto +{}\n", 2 * value.min(8) + 1);
    for at in 0..value.min(8) {
        text += &format!(
            "r1 = *(u8 *)(r0 + {at})\n*(u8 *)(r10 - {}) = r1\n",
            128 - at
        );
    }
    text + "r0 = 1\n"
}

fn operations(host: &dyn Host, record: &mut Record) -> Outcome {
    for spec in specs() {
        let map = spec.create(host)?;
        let label = spec.label;
        if spec.key == 0 {
            values(host, record, &spec, &map)?;
            continue;
        }
        let mut key = vec![1; spec.key as usize];
        if matches!(spec.map_type, MapType::Array | MapType::PercpuArray) {
            key = 1_u32.to_ne_bytes().to_vec();
        }
        if spec.map_type == MapType::LpmTrie {
            key[..4].copy_from_slice(&9_u32.to_ne_bytes());
        }
        let mut other = key.clone();
        other[spec.key as usize - 1] ^= 0x80;
        for flags in [0, 1, 2, 3, 4, 5, 8, 1 << 20, 0] {
            let value = [flags as u8 + 1; 12];
            let set = run(host, &map, &update(flags), &key, &value)?;
            record.fact(format!("{label} update {flags}"), set.0);
            for at in [&key, &other] {
                let found = run(host, &map, &lookup(spec.value), at, &[])?;
                record.fact(format!("{label} lookup {at:?}"), found);
            }
        }
        let mut all = vec![0; spec.user_value(host)?];
        let found = host.map_lookup_elem(&map, &key, &mut all, 0);
        record.answer(format!("{label} from user space"), &found);
        for at in [&other, &key, &key] {
            // Programs can't delete from arrays.
            let gone = run(host, &map, &format!("{KEY}call 3\n"), at, &[])?;
            record.fact(format!("{label} delete {at:?}"), gone.0);
        }
        let again = run(host, &map, &update(2), &key, &[3; 12])?;
        record.fact(format!("{label} update what was deleted"), again.0);
    }
    Ok(())
}

/// Queues, stacks and bloom filters.
fn values(host: &dyn Host, record: &mut Record, spec: &Spec, map: &MapFd) -> Outcome {
    const VALUE: &str = "r2 = r10\nr2 += -128\n";
    let label = spec.label;
    let bloom = spec.map_type == MapType::BloomFilter;
    let peek = format!("{VALUE}call 89\n");
    let pop = format!("{VALUE}call 88\n");
    for round in 0..2 {
        for (number, flags) in [0, 0, 1, 2, 3, 4, 0, 0, 2].into_iter().enumerate() {
            let value = [number as u8 + round * 16; 12];
            let push = format!("{VALUE}r3 = {flags}\ncall 87\n");
            let pushed = run(host, map, &push, &[], &value)?;
            record.fact(format!("{label} push {flags}"), pushed.0);
            let seen = run(host, map, &peek, &[], &value)?;
            record.fact(format!("{label} peek"), seen);
        }
        if bloom {
            continue;
        }
        for _ in 0..5 {
            record.fact(
                format!("{label} peek"),
                run(host, map, &peek, &[], &[7; 12])?,
            );
            record.fact(format!("{label} pop"), run(host, map, &pop, &[], &[7; 12])?);
        }
    }
    Ok(())
}
