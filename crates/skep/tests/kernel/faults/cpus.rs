//! A CPU that is offline, goes offline and comes back: only on a test kernel's machine of two
//! (`cargo xtask vm --cpus 2`), as it would be taken from whoever else uses this one.

use std::{fs, path::Path, time::Duration};

use skep::{AttachOptions, Map, MapSpec, PerfBuffer, Update, abi::MapType, boundary::PerfScope};
use skep_testing::{
    Outcome, Stop, Test, ensure, eventually, expect_err, is_prebuilt, needs_kernel,
};

use crate::{
    perf::{self, Numbered, SMALL, drain},
    support::{Running, boundary, host, object},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("faults::a_cpu_is_offline", offline),
        Test::new("faults::a_cpu_goes_and_comes_back", back),
        Test::new("faults::a_cpu_goes_and_comes_back_unseen", unseen),
        Test::new("faults::samples_go_on_without_a_cpu", samples),
    ]
}

/// The CPU that is switched off; it is on again when this is dropped.
struct Switched;

impl Switched {
    const CPU: u32 = 1;
    const SWITCH: &'static str = "/sys/devices/system/cpu/cpu1/online";

    /// Skips where there is none to switch.
    fn needed() -> Outcome {
        match is_prebuilt() && Path::new(Self::SWITCH).exists() {
            true => Ok(()),
            false => Err(Stop::lacks("a test kernel's machine with a second CPU")),
        }
    }

    fn off() -> Outcome<Self> {
        Self::needed()?;
        fs::write(Self::SWITCH, "0")?;
        let off = Self;
        let online = boundary().online_cpus()?;
        ensure(online == [0], || format!("{online:?} are online"))?;
        Ok(off)
    }

    fn on(self) -> Outcome {
        drop(self);
        let online = boundary().online_cpus()?;
        ensure(online == [0, Self::CPU], || {
            format!("{online:?} are online")
        })
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        // A failure shows when the next test counts CPUs.
        let _ = fs::write(Self::SWITCH, "1");
    }
}

fn offline() -> Outcome {
    let off = Switched::off()?;
    // Values of each CPU are for all that there may be.
    let spec = MapSpec::new(MapType::PercpuArray, "each", 4, 8, 1);
    let map = Map::create(host(), &spec)?;
    let key = 0_u32.to_ne_bytes();
    let value = [7_u64.to_ne_bytes(), 8_u64.to_ne_bytes()].concat();
    map.update(&key, &value, Update::Any)?;
    let entry = map.lookup(&key)?.unwrap_or_default();
    let values: Vec<&[u8]> = map.split_per_cpu(&entry).collect();
    ensure(
        values == [7_u64.to_ne_bytes().as_slice(), &8_u64.to_ne_bytes()],
        || format!("{values:?}"),
    )?;
    // A perf buffer has rings where there are CPUs.
    let (running, program, mut buffer) = perf::open(SMALL)?;
    perf::produce(&program, 0, 0, 5)?;
    let seen = drain(&mut buffer)?;
    ensure(seen == [0, 1, 2, 3, 4], || format!("{seen:?}"))?;
    expect_err(
        "a run on it",
        perf::produce(&program, Switched::CPU, 0, 1).map_err(said),
    )?;
    // It comes, and its ring with it. Until then each record is refused, and counted.
    off.on()?;
    perf::produce(&program, Switched::CPU, 0, 9)?;
    let lost = running.number("lost")?;
    ensure(lost == 9 && drain(&mut buffer)?.is_empty(), || {
        format!("{lost} of 9")
    })?;
    let added = buffer.refresh()?;
    ensure(added == [Switched::CPU], || format!("{added:?}"))?;
    perf::produce(&program, Switched::CPU, 50, 9)?;
    let (seen, lost) = (drain(&mut buffer)?, running.number("lost")?);
    ensure(seen == (50..59).collect::<Vec<u64>>() && lost == 9, || {
        format!("{seen:?}, {lost} lost")
    })
}

fn said(stop: Stop) -> std::io::Error {
    std::io::Error::other(format!("{stop:?}"))
}

fn back() -> Outcome {
    needs_kernel(5, 10)?;
    drop(Switched::off()?);
    let (running, program, mut buffer) = perf::open(SMALL)?;
    let on = |buffer: &PerfBuffer<Numbered>| buffer.descriptors().count();
    ensure(on(&buffer) == 2, || format!("{} rings", on(&buffer)))?;
    // More than fits: the last records, and how many were left out, are read after it is gone.
    perf::produce(&program, Switched::CPU, 0, 100)?;
    let off = Switched::off()?;
    let refused = running.number("lost")?;
    buffer.refresh()?;
    let seen = drain(&mut buffer)?;
    let kept = 100 - refused;
    ensure(
        seen == (0..kept).collect::<Vec<u64>>() && refused > 0,
        || format!("{} of {kept}: {seen:?}", seen.len()),
    )?;
    // Waiting waits, whatever the kernel says of the ring that is done with.
    let nothing = buffer
        .wait(Some(std::time::Duration::from_millis(20)))?
        .is_none();
    ensure(nothing, || "records of nobody".into())?;
    let added = buffer.refresh()?;
    ensure(added.is_empty() && on(&buffer) == 1, || {
        format!("{added:?}")
    })?;
    off.on()?;
    // Each record is either read or told to its program as refused.
    perf::produce(&program, Switched::CPU, 200, 10)?;
    let added = buffer.refresh()?;
    ensure(added == [Switched::CPU], || format!("{added:?}"))?;
    perf::produce(&program, Switched::CPU, 300, 10)?;
    let seen = drain(&mut buffer)?;
    let lost = running.number("lost")? - refused;
    ensure(
        seen == (300..310).collect::<Vec<u64>>() && lost == 10,
        || format!("{seen:?}, {lost} refused"),
    )
}

fn unseen() -> Outcome {
    needs_kernel(5, 10)?;
    let (running, program, mut buffer) = perf::open(SMALL)?;
    Switched::needed()?;
    let nobody = |buffer: &mut PerfBuffer<Numbered>| {
        let waited = buffer.wait(Some(Duration::from_millis(20)))?.is_none();
        ensure(waited, || "records of nobody".into())
    };
    for turn in 0..3 {
        let first = 1_000 * turn;
        // Nothing went: rings stay.
        let added = buffer.refresh()?;
        ensure(added.is_empty(), || format!("{added:?}"))?;
        perf::produce(&program, Switched::CPU, first, 5)?;
        Switched::off()?.on()?;
        // Between two looks, it was off and on again: its ring has ended, with what was in it.
        perf::produce(&program, Switched::CPU, first + 100, 9)?;
        let refused = running.number("lost")?;
        ensure(refused == 9 * (turn + 1), || format!("{refused} refused"))?;
        let added = buffer.refresh()?;
        ensure(added == [Switched::CPU], || format!("{added:?}"))?;
        perf::produce(&program, Switched::CPU, first + 200, 2)?;
        perf::produce(&program, 0, first + 300, 1)?;
        let mut seen = drain(&mut buffer)?;
        seen.sort_unstable();
        let all = [0, 1, 2, 3, 4, 200, 201, 300].map(|number| first + number);
        ensure(seen == all, || format!("{seen:?}"))?;
        nobody(&mut buffer)?;
        // What waits is woken by the ring that came.
        perf::produce(&program, Switched::CPU, first + 400, 1)?;
        let woken = buffer.wait(Some(skep_testing::PATIENCE))?;
        let number = woken.and_then(|batch| batch.iter().next().map(|record| record.number));
        ensure(number == Some(first + 400), || format!("{number:?}"))?;
    }
    ensure(
        buffer.descriptors().count() <= 3 && buffer.lost() == 0,
        || format!("{buffer:?}"),
    )
}

fn samples() -> Outcome {
    let off = Switched::off()?;
    let mut object = object("links")?;
    object.only_programs(&["on_tick"])?;
    let running = Running::of(object)?;
    let program = running.loaded.program("on_tick")?;
    let options = AttachOptions {
        frequency: Some(1_000),
        ..AttachOptions::default()
    };
    let ticks = |than: u64| {
        eventually("ticks", || {
            std::hint::black_box((0..100_000_u64).sum::<u64>());
            Ok(running.number("ticks")? > than)
        })
    };
    let link = program.attach_with(&options)?;
    ensure(link.attachments().len() == 1, || "parts".into())?;
    ticks(0)?;
    link.detach()?;
    let on_it = AttachOptions {
        perf_scope: Some(PerfScope::Cpu(Switched::CPU)),
        ..options.clone()
    };
    let error = expect_err("the CPU that is off", program.attach_with(&on_it))?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    ensure(cause.contains("running CPU `1`"), || {
        format!("{error}: {cause}")
    })?;
    off.on()?;
    // One goes while it is sampled: the others' samples go on, and it is detached as always.
    let link = program.attach_with(&options)?;
    ensure(link.attachments().len() == 2, || "parts".into())?;
    let off = Switched::off()?;
    ticks(running.number("ticks")?)?;
    link.detach()?;
    off.on()
}
