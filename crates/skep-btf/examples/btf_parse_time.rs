//! Prints how long it takes to parse this kernel's BTF (or that of a file), to build the name index
//! by the first search, and to search again: the figures that peers are compared by.

use skep_btf::{Btf, KindTag};
use std::time::{Duration, Instant};

const ROUNDS: usize = 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "/sys/kernel/btf/vmlinux".into());
    let bytes: &'static [u8] = std::fs::read(&path)?.leak();

    let (mut parse, mut trusted) = (vec![], vec![]);
    let (mut first, mut again) = (vec![], vec![]);
    let mut types = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let btf = Btf::parse(bytes)?;
        parse.push(start.elapsed());

        let start = Instant::now();
        Btf::parse_trusted(bytes, None)?;
        trusted.push(start.elapsed());
        types = btf.type_count();

        let start = Instant::now();
        let found = btf.find("vfs_read", KindTag::Function);
        first.push(start.elapsed());

        let start = Instant::now();
        assert_eq!(btf.find("vfs_read", KindTag::Function), found);
        again.push(start.elapsed());
    }
    println!(
        "{path}: {} bytes, {types} types; {ROUNDS} rounds",
        bytes.len()
    );
    print("parse", parse);
    print("parse_trusted", trusted);
    print("first find (builds the index)", first);
    print("find", again);
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
