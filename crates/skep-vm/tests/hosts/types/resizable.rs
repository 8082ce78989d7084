//! `BPF_MAP_TYPE_RHASH`: hash maps that grow. What is done to their elements answers as on any
//! hash map; kernels have them since 7.2.

use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_host::{Errno, HostKind, TestRun};
use skep_testing::{Outcome, Test, ensure, host, needs_kernel};

use super::{
    Spec,
    script::{Random, Stage, Step},
};
use crate::{
    programs::seen_text,
    support::{Record, is, load_on},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("types::resizable_hashes_are_made", made),
        Test::new("types::resizable_hashes_answer_as_others", elements),
        Test::new("types::resizable_hashes_change_in_place", in_place),
    ]
}

fn has_them() -> Outcome {
    match host().info().kind {
        HostKind::Kernel => needs_kernel(7, 2),
        HostKind::Vm => Ok(()),
    }
}

const GROWS: MapCreateFlags = MapCreateFlags::NO_PREALLOC;

fn made() -> Outcome {
    has_them()?;
    let plain = Spec::new("rhash", MapType::Rhash, 4, 8, 4);
    let seeded = GROWS | MapCreateFlags::ZERO_SEED;
    for (flags, extra, key, errno) in [
        (GROWS, 0, 4, None),
        (GROWS, 4, 4, None),
        (GROWS, 5, 4, Some(Errno::EINVAL)),
        (GROWS, 1 << 16, 4, Some(Errno::E2BIG)),
        (GROWS, 1 << 40, 4, Some(Errno::EINVAL)),
        (GROWS, 0, 0, Some(Errno::EINVAL)),
        (GROWS, 0, 1 << 16, Some(Errno::E2BIG)),
        (MapCreateFlags::empty(), 0, 4, Some(Errno::EINVAL)),
        (seeded, 0, 4, Some(Errno::EINVAL)),
    ] {
        let mut spec = plain.clone().with(flags);
        (spec.extra, spec.key) = (extra, key);
        let made = spec.create(host());
        let fits = match errno {
            None => made.is_ok(),
            Some(errno) => is(&made, errno),
        };
        ensure(fits, || format!("{flags:?} {extra} {key}: {made:?}"))?;
    }
    Ok(())
}

/// Who was given a value sees it change, unlike that of another hash map.
fn in_place() -> Outcome {
    has_them()?;
    for size in [1, 8, 16] {
        let map = Spec::new("rhash", MapType::Rhash, 4, size, 4)
            .with(GROWS)
            .create(host())?;
        let text = seen_text(&map);
        let program = load_on(host(), ProgramType::RawTracepoint, &text, |_| {})?;
        let seen = host().prog_test_run(&program, &mut TestRun::default())?;
        let seen = seen.return_value;
        ensure(seen == 0x02_03_03, || format!("{size}: {seen:#x}"))?;
    }
    Ok(())
}

fn elements() -> Outcome {
    has_them()?;
    for (key, value) in [(4, 8), (8, 3), (37, 12)] {
        for seed in 1..30 {
            let record = |map_type| -> Outcome<Record> {
                let spec = Spec::new("", map_type, key, value, 4).with(GROWS);
                let stage = Stage::new(host(), &spec)?;
                let (mut random, mut record) = (Random::new(seed), Record::default());
                for number in 0..60 {
                    stage.play(&mut record, number, &Step::some(&spec, &mut random));
                }
                stage.contents(&mut record, "all");
                Ok(record)
            };
            let (ours, theirs) = (record(MapType::Rhash)?, record(MapType::Hash)?);
            ensure(ours == theirs, || {
                format!("seed {seed}: {ours:?}\n{theirs:?}")
            })?;
        }
    }
    Ok(())
}
