//! A hash map from user space: updates, lookups, and a walk over 100,000 entries by the fastest
//! way that each library offers: with libbpf in batches (`hash.c`), with Aya, which has none, and
//! libbpf-rs, whose batches lose entries, one by one.

use std::time::Instant;

use crate::{
    Result,
    peers::Peer,
    row::{Case, Figures, Goal, How, Line, Row},
};

const COUNT: u32 = 100_000;

pub(crate) fn rows() -> Vec<Row> {
    vec![Row {
        name: "hash",
        runs: 11,
        how: How::Peer {
            arguments: vec!["hash".into()],
            object: Some("hash"),
            counted: false,
        },
        lines: vec![
            Line::new("entry", "hash map: walk 100k, an entry", "ns", 1.0)
                .goal(Goal::Of(Peer::Aya, 0.2)),
            Line::new("update", "hash map: an update", "ns", 1.0),
            Line::new("lookup", "hash map: a lookup", "ns", 1.0),
        ],
    }]
}

/// Times filling by `set`, reading by `find`, and walking by `walk`, which gives the number and
/// the sum of the values that it saw.
fn figures(
    mut set: impl FnMut(u32, u64) -> Result<()>,
    mut find: impl FnMut(u32) -> Result<u64>,
    walk: impl FnOnce() -> Result<(u64, u64)>,
) -> Result<Figures> {
    let each = |start: Instant| start.elapsed().as_nanos() as f64 / f64::from(COUNT);
    let start = Instant::now();
    for key in 0..COUNT {
        set(key, key.into())?;
    }
    let update = each(start);
    let start = Instant::now();
    let mut found = 0;
    for key in 0..COUNT {
        found += find(key)?;
    }
    let lookup = each(start);
    let start = Instant::now();
    let (seen, sum) = walk()?;
    let entry = each(start);
    let (count, all) = (
        u64::from(COUNT),
        u64::from(COUNT) * u64::from(COUNT - 1) / 2,
    );
    if (seen, sum, found) != (count, all, all) {
        return Err(format!("{seen} entries, sum {sum} and {found} of {all}").into());
    }
    Ok(vec![
        ("update", update),
        ("lookup", lookup),
        ("entry", entry),
    ])
}

#[cfg(feature = "skep")]
pub(crate) fn measure(case: &Case) -> Result<Figures> {
    use skep::{Host, Object, Update};
    let loaded = Object::open(&case.object)?.load(&Host::kernel()?)?;
    let map = loaded.map("hash")?;
    let map = map.typed::<u32, u64>()?;
    figures(
        |key, value| Ok(map.set(&key, &value, Update::Any)?),
        |key| Ok(map.get(&key)?.ok_or("it was set")?),
        || {
            let (mut seen, mut sum) = (0, 0);
            for entry in map.iter() {
                seen += 1;
                sum += entry?.1;
            }
            Ok((seen, sum))
        },
    )
}

#[cfg(feature = "libbpf-rs")]
pub(crate) fn measure(case: &Case) -> Result<Figures> {
    use libbpf_rs::{MapCore as _, MapFlags, ObjectBuilder};
    let loaded = ObjectBuilder::default().open_file(&case.object)?.load()?;
    let map = loaded.maps().find(|map| map.name() == "hash");
    let map = map.ok_or("no map")?;
    let word = |value: &[u8]| -> Result<u64> { Ok(u64::from_ne_bytes(value.try_into()?)) };
    figures(
        |key, value| Ok(map.update(&key.to_ne_bytes(), &value.to_ne_bytes(), MapFlags::ANY)?),
        |key| {
            let mut value = [0; 8];
            map.lookup_into(&key.to_ne_bytes(), &mut value, MapFlags::ANY)?;
            word(&value)
        },
        || {
            let (mut seen, mut sum) = (0, 0);
            // Not `lookup_batch`: it ends at the first batch that a hash map leaves short.
            let mut value = [0; 8];
            for key in map.keys() {
                map.lookup_into(&key, &mut value, MapFlags::ANY)?;
                seen += 1;
                sum += word(&value)?;
            }
            Ok((seen, sum))
        },
    )
}

#[cfg(feature = "aya")]
pub(crate) fn measure(case: &Case) -> Result<Figures> {
    use aya::{Ebpf, maps::HashMap};
    use std::cell::RefCell;
    let mut loaded = Ebpf::load_file(&case.object)?;
    let map = loaded.take_map("hash").ok_or("no map")?;
    let map = RefCell::new(HashMap::<_, u32, u64>::try_from(map)?);
    figures(
        |key, value| Ok(map.borrow_mut().insert(key, value, 0)?),
        |key| Ok(map.borrow().get(&key, 0)?),
        || {
            let (mut seen, mut sum) = (0, 0);
            for entry in map.borrow().iter() {
                seen += 1;
                sum += entry?.1;
            }
            Ok((seen, sum))
        },
    )
}
