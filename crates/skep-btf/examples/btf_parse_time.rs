//! Prints how long it takes to parse this kernel's BTF (or that of a file), and to search it by name:
//! at first by a look at all names, the fifth time by building the index, then by the index.

use skep_btf::{Btf, KindTag};
use std::time::{Duration, Instant};

const ROUNDS: usize = 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "/sys/kernel/btf/vmlinux".into());
    let bytes: &'static [u8] = std::fs::read(&path)?.leak();

    let (mut parse, mut trusted) = (vec![], vec![]);
    let (mut first, mut fifth) = (vec![], vec![]);
    let (mut again, mut candidates) = (vec![], vec![]);
    let mut types = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let btf = Btf::parse(bytes)?;
        parse.push(start.elapsed());

        let start = Instant::now();
        Btf::parse_trusted(bytes, None)?;
        trusted.push(start.elapsed());
        types = btf.type_count();

        let find = |times: &mut Vec<Duration>| {
            let start = Instant::now();
            let found = btf.find("vfs_read", KindTag::Function);
            times.push(start.elapsed());
            assert!(found.is_some());
        };
        find(&mut first);
        (0..3).for_each(|_| find(&mut vec![]));
        find(&mut fifth);
        find(&mut again);
        let start = Instant::now();
        let found = btf.candidates("task_struct").count();
        candidates.push(start.elapsed());
        assert!(found > 0);
    }
    println!(
        "{path}: {} bytes, {types} types; {ROUNDS} rounds",
        bytes.len()
    );
    print("parse", parse);
    print("parse_trusted", trusted);
    print("first find", first);
    print("fifth find (builds the index)", fifth);
    print("find by the index", again);
    print("candidates by the index", candidates);
    Ok(())
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!(
        "{what:32} median {:>10.1?}  min {:>10.1?}",
        times[times.len() / 2],
        times[0]
    );
}
