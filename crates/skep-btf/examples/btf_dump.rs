//! Prints BTF as a C header or, with `raw`, line by line: `btf_dump [FILE] [raw]`.

use skep_btf::{Btf, RawDump, c_header};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args
        .next()
        .unwrap_or_else(|| "/sys/kernel/btf/vmlinux".into());
    let btf = Btf::parse(std::fs::read(path)?)?;
    let mut text = String::new();
    let start = Instant::now();
    if args.next().as_deref() == Some("raw") {
        text = RawDump(&btf).to_string();
    } else {
        c_header(&btf, None, &mut text)?;
    }
    eprintln!("{} bytes in {:.1?}", text.len(), start.elapsed());
    print!("{text}");
    Ok(())
}
