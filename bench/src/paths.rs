//! Hot paths within one process: kernel BTF, rings, maps. `peers/paths.c` is the same with libbpf.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use skep::{Host, Loaded, Object, RingBuffer, Update, boundary::TestRun, btf::KindTag};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::{Result, Table, Tools};

/// Each path is measured so often, in turns with the peer.
const ROUNDS: usize = 11;

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Record {
    words: [u64; 8],
}

/// The kernel's BTF from nothing, and a first search in it.
pub(crate) fn btf(tools: &Tools, table: &mut Table) -> Result<()> {
    let (mut parse, mut find, mut sum) = ((vec![], vec![]), (vec![], vec![]), (vec![], vec![]));
    for _ in 0..2 * ROUNDS {
        let host = Host::kernel()?;
        let start = Instant::now();
        let btf = host.btf()?;
        let parsed = start.elapsed();
        btf.find("vfs_read", KindTag::Function)
            .ok_or("no vfs_read")?;
        let all = start.elapsed();
        parse.0.push(millis(parsed));
        find.0.push(millis(all - parsed));
        sum.0.push(millis(all));
        let peer = tools.peer("btf")?;
        if let (Some(parsed), Some(found)) = (peer.get("parse"), peer.get("find")) {
            parse.1.push(parsed / 1e6);
            find.1.push(found / 1e6);
            sum.1.push((parsed + found) / 1e6);
        }
    }
    table.add("kernel BTF: parse", "ms", parse.0, parse.1);
    table.add(
        "kernel BTF: first find, FUNC vfs_read",
        "ms",
        find.0,
        find.1,
    );
    table.add("kernel BTF: both", "ms", sum.0, sum.1);
    Ok(())
}

/// A ring that was filled beforehand.
pub(crate) fn drain(tools: &Tools, table: &mut Table) -> Result<()> {
    let (mut skep, mut peer) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let loaded = load(tools)?;
        let mut ring = RingBuffer::<Record>::new(loaded.map("ring")?)?;
        run(&loaded, "fill")?;
        let start = Instant::now();
        let (mut seen, mut sum) = (0_u32, 0);
        loop {
            let batch = ring.batch()?;
            if batch.is_empty() {
                break;
            }
            for record in &batch {
                seen += 1;
                sum += record.words[0];
            }
        }
        let took = start.elapsed();
        assert_eq!((seen, sum), (200_000, 199_999 * 100_000));
        skep.push(nanos(took) / f64::from(seen));
        peer.extend(tools.peer("drain")?.get("drain"));
    }
    table.add("ring: drain of 200k records of 64 bytes", "ns", skep, peer);
    Ok(())
}

/// A ring that is read while it is written.
pub(crate) fn both(tools: &Tools, table: &mut Table) -> Result<()> {
    let (mut skep, mut peer) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let loaded = load(tools)?;
        let mut ring = RingBuffer::<Record>::new(loaded.map("ring")?)?;
        let done = AtomicBool::new(false);
        let start = Instant::now();
        let (mut seen, mut sum) = (0_u32, 0_u64);
        thread::scope(|scope| -> Result<()> {
            scope.spawn(|| {
                for _ in 0..20 {
                    run(&loaded, "produce").expect("it ran before");
                }
                done.store(true, Ordering::Release);
            });
            loop {
                let last = done.load(Ordering::Acquire);
                match ring.wait(Some(Duration::from_millis(10)))? {
                    Some(batch) => {
                        for record in &batch {
                            seen += 1;
                            sum = sum.wrapping_add(record.words[0]);
                        }
                    }
                    None if last => return Ok(()),
                    None => {}
                }
            }
        })?;
        let took = start.elapsed() - Duration::from_millis(10);
        assert!(sum > 0);
        skep.push(nanos(took) / f64::from(seen));
        peer.extend(tools.peer("both")?.get("both"));
    }
    table.add("ring: a record, written and read at once", "ns", skep, peer);
    Ok(())
}

/// A hash map of `u32` to `u64`, from user space.
pub(crate) fn map(tools: &Tools, table: &mut Table) -> Result<()> {
    const COUNT: u32 = 10_000;
    const TIMES: u32 = 20;
    let (mut update, mut lookup) = ((vec![], vec![]), (vec![], vec![]));
    for _ in 0..ROUNDS {
        let loaded = load(tools)?;
        let map = loaded.map("hash")?;
        let map = map.typed::<u32, u64>()?;
        let each = |took: Duration| nanos(took) / f64::from(COUNT * TIMES);
        let start = Instant::now();
        for key in (0..TIMES).flat_map(|_| 0..COUNT) {
            map.set(&key, &key.into(), Update::Any)?;
        }
        update.0.push(each(start.elapsed()));
        let start = Instant::now();
        let mut sum = 0;
        for key in (0..TIMES).flat_map(|_| 0..COUNT) {
            sum += map.get(&key)?.ok_or("it was set")?;
        }
        lookup.0.push(each(start.elapsed()));
        assert_eq!(
            sum,
            u64::from(TIMES) * u64::from(COUNT) * u64::from(COUNT - 1) / 2
        );
        let peer = tools.peer("map")?;
        update.1.extend(peer.get("update"));
        lookup.1.extend(peer.get("lookup"));
    }
    table.add("hash map: an update", "ns", update.0, update.1);
    table.add("hash map: a lookup", "ns", lookup.0, lookup.1);
    Ok(())
}

fn load(tools: &Tools) -> Result<Loaded> {
    let object = Object::open(tools.object("paths"))?;
    Ok(object.load(&Host::kernel()?)?)
}

fn run(loaded: &Loaded, program: &str) -> skep::Result<()> {
    let program = loaded.program(program)?;
    program.test_run(&mut TestRun::default()).map(drop)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
