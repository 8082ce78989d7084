//! Deduplicates this kernel's BTF, or the BTF of files appended to each other, and prints how many
//! types are left and how long it took.

use skep_btf::{Btf, Builder, dedup};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<_> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        paths.push("/sys/kernel/btf/vmlinux".into());
    }
    let start = Instant::now();
    let mut all = Builder::new();
    for path in &paths {
        let ids = all.append(&Btf::parse(std::fs::read(path)?)?)?;
        println!("{path}: {} types", ids.iter().count());
    }
    let all = Btf::parse(all.build()?)?;
    println!("appended in {:.1?}", start.elapsed());

    let start = Instant::now();
    let deduped = dedup(&all)?;
    println!(
        "{} of {} types left, {} of {} bytes, in {:.1?}",
        deduped.btf.type_count(),
        all.type_count(),
        deduped.btf.bytes().len(),
        all.bytes().len(),
        start.elapsed()
    );
    Ok(())
}
