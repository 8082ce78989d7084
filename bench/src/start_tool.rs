//! A tiny tool: opens an object, loads, attaches, says so, waits. `peers/start.c` is the same with
//! libbpf.

use std::io::{Read as _, stdin};

use skep::{Host, Object, RingBuffer};

fn main() -> skep::Result<()> {
    let path = std::env::args_os().nth(1).unwrap_or_default();
    let host = Host::kernel()?;
    let loaded = Object::open(path)?.load(&host)?;
    let _links = loaded.attach_all()?;
    let _events = RingBuffer::<[u8]>::new(loaded.map("events")?)?;
    println!("ready");
    let _ = stdin().read(&mut [0]);
    Ok(())
}
