//! Prints how many records of ten members a second are formatted as text, and how often the
//! formatting allocates (never, once the output has its size).

use skep_btf::value::{Layout, Value};
use skep_btf::{Btf, Builder, IntEncoding, NewMember, NewType};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut types = Builder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let u64_type = types.int("unsigned long", 8, IntEncoding::UNSIGNED);
    let char_type = types.int("char", 1, IntEncoding::SIGNED);
    let comm = types.array(char_type, int, 16);
    let state = types.enumeration("state", &[("RUNNING", 0), ("SLEEPING", 1), ("STOPPED", 4)]);
    let pid = types.typedef("pid_t", int);
    let pointer = types.pointer(skep_btf::TypeId::VOID);
    let boolean = types.int("_Bool", 1, IntEncoding::BOOL);
    let bits = |name, type_id, bit_offset, bitfield_size| NewMember {
        name,
        type_id,
        bit_offset,
        bitfield_size,
    };
    let members = [
        NewMember::new("time", u64_type, 0),
        NewMember::new("pid", pid, 64),
        NewMember::new("tgid", pid, 96),
        NewMember::new("comm", comm, 128),
        NewMember::new("state", state, 256),
        NewMember::new("result", int, 288),
        NewMember::new("address", pointer, 320),
        bits("kind", int, 384, 3),
        bits("flags", int, 387, 5),
        NewMember::new("last", boolean, 392),
    ];
    let event = types.add(NewType::Struct {
        name: "event",
        size: 56,
        members: &members,
    });
    let btf = Btf::parse(types.build()?)?;
    let layout = Layout::new(&btf, event)?;
    let mut record = [0_u8; 56];
    record[..8].copy_from_slice(&123_456_789_012_u64.to_ne_bytes());
    record[8..12].copy_from_slice(&4711_i32.to_ne_bytes());
    record[16..20].copy_from_slice(b"bash");
    record[40..48].copy_from_slice(&0xffff_8880_1234_5678_u64.to_ne_bytes());

    const COUNT: u32 = 1_000_000;
    let mut line = String::new();
    let start = Instant::now();
    let mut len = 0;
    for count in 0..COUNT {
        record[12..16].copy_from_slice(&count.to_ne_bytes());
        line.clear();
        Value::new(&layout, &record)?.write(Default::default(), &mut line)?;
        len += line.len();
    }
    let time = start.elapsed();
    println!("{line}");
    println!(
        "{COUNT} records, {len} bytes in {time:.1?}: {:.2} M records/s",
        f64::from(COUNT) / time.as_secs_f64() / 1e6
    );
    Ok(())
}
