//! A tiny tool: opens an object, loads, attaches, says so, waits. With Skep, libbpf-rs or Aya,
//! whichever is built in; `start.c` is the same with libbpf.

use std::{
    error::Error,
    ffi::OsString,
    io::{Read as _, stdin},
};

fn main() -> Result<(), Box<dyn Error>> {
    run(std::env::args_os().nth(1).unwrap_or_default())
}

fn wait() {
    println!("ready");
    let _ = stdin().read(&mut [0]);
}

#[cfg(feature = "skep")]
fn run(path: OsString) -> Result<(), Box<dyn Error>> {
    use skep::{Host, Object, RingBuffer};
    let loaded = Object::open(path)?.load(&Host::kernel()?)?;
    let _links = loaded.attach_all()?;
    let _events = RingBuffer::<[u8]>::new(loaded.map("events")?)?;
    wait();
    Ok(())
}

#[cfg(feature = "libbpf-rs")]
fn run(path: OsString) -> Result<(), Box<dyn Error>> {
    use libbpf_rs::{MapCore as _, ObjectBuilder, RingBufferBuilder};
    let loaded = ObjectBuilder::default().open_file(path)?.load()?;
    let attached = loaded.progs_mut().map(|program| program.attach());
    let _links = attached.collect::<Result<Vec<_>, _>>()?;
    let map = loaded.maps().find(|map| map.name() == "events");
    let map = map.ok_or("no map")?;
    let mut builder = RingBufferBuilder::new();
    builder.add(&map, |_| 0)?;
    let _events = builder.build()?;
    wait();
    Ok(())
}

#[cfg(feature = "aya")]
fn run(path: OsString) -> Result<(), Box<dyn Error>> {
    use aya::{Btf, Ebpf, maps::RingBuf, programs::BtfTracePoint};
    let mut loaded = Ebpf::load_file(path)?;
    let program = loaded.program_mut("on_switch").ok_or("no program")?;
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load("sched_switch", &Btf::from_sys_fs()?)?;
    program.attach()?;
    let _events = RingBuf::try_from(loaded.take_map("events").ok_or("no map")?)?;
    wait();
    Ok(())
}
