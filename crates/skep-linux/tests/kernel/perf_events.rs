//! Perf events of every kind: what they count is done, and the program sees it.

use std::{hint::black_box, sync::atomic::AtomicU64, sync::atomic::Ordering};

use skep_abi::ProgramType;
use skep_host::{AttachPoint, Attachment, Error, Host, LinkDetails, PerfEvent, PerfScope};
use skep_testing::{Outcome, Stop, Test, ensure, eventually, expect_err, needs_kernel};

use crate::{
    harness::host,
    programs::{count, counter, counting, load},
    tracing::me,
};

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("perf_events::software_counters_fire", software).of_hook("perf_event (software)"),
        Test::new("perf_events::breakpoints_fire", breakpoint).of_hook("perf_event (breakpoint)"),
        Test::new("perf_events::hardware_counters_fire", hardware).of_hook("perf_event (hardware)"),
        Test::new("perf_events::cache_counters_fire", cache).of_hook("perf_event (cache)"),
        Test::new("perf_events::a_source_has_its_own_numbers", source),
        Test::new("perf_events::wrong_breakpoints_are_told", mistakes),
    ]
}

fn attach(event: PerfEvent, hits: &skep_host::MapFd) -> Outcome<Result<Attachment, Error>> {
    let program = load(ProgramType::PerfEvent, None, &counting(hits, None, 0))?;
    let point = AttachPoint::PerfEvent {
        event,
        scope: PerfScope::Process(me()),
        cookie: None,
    };
    Ok(host().attach("sampling", &program, ProgramType::PerfEvent, &point))
}

/// It counts while it is attached, and no longer.
fn fires(text: &str, fire: impl Fn()) -> Outcome {
    let event: PerfEvent = text.parse()?;
    let hits = counter()?;
    fire();
    let attachment = attach(event, &hits)?.map_err(|error| match error.cause() {
        Some(cause) if cause.to_string().contains("no such hardware counter") => {
            Stop::lacks("hardware counters")
        }
        _ => error.into(),
    })?;
    eventually("a hit", || {
        fire();
        Ok(count(&hits)? > 0)
    })?;
    if let (Some(link), Ok(())) = (attachment.link_fd(), needs_kernel(6, 6)) {
        let details = host().link_info(link)?.details;
        ensure(matches!(details, LinkDetails::PerfEvent { .. }), || {
            format!("{details:?}")
        })?;
    }
    attachment.detach()?;
    let before = count(&hits)?;
    fire();
    ensure(count(&hits)? == before, || "it still fires".into())
}

/// Touches fresh memory: more than an allocator keeps, and not there before.
fn touch() {
    let mut fresh = vec![0_u8; 40 << 20];
    for page in fresh.chunks_mut(1 << 20) {
        page[0] = black_box(1);
    }
    black_box(&fresh);
}

fn software() -> Outcome {
    fires("page-faults:1", touch)?;
    fires("context-switches", || {
        std::thread::sleep(std::time::Duration::from_millis(1));
    })
}

fn breakpoint() -> Outcome {
    static WATCHED: AtomicU64 = AtomicU64::new(0);
    let address = WATCHED.as_ptr() as usize;
    let event: PerfEvent = format!("mem:{address:#x}/8:w").parse()?;
    let hits = counter()?;
    let attachment = attach(event, &hits)??;
    for number in 0..3 {
        WATCHED.store(number, Ordering::SeqCst);
        black_box(WATCHED.load(Ordering::SeqCst));
    }
    ensure(count(&hits)? == 3, || {
        format!("{} hits", count(&hits).unwrap_or(0))
    })?;
    attachment.detach()?;
    WATCHED.store(4, Ordering::SeqCst);
    ensure(count(&hits)? == 3, || "it still fires".into())?;

    // At execution.
    let function = crate::tracing::skep_linux_probed as *const () as usize;
    let event: PerfEvent = format!("mem:{function:#x}:x").parse()?;
    let attachment = attach(event, &hits)??;
    let before = count(&hits)?;
    crate::tracing::skep_linux_probed(1);
    ensure(count(&hits)? == before + 1, || "not executed".into())?;
    drop(attachment);
    Ok(())
}

fn spin() {
    let mut sum = 0_u64;
    for number in 0..3_000_000_u64 {
        sum = black_box(sum.wrapping_add(number));
    }
}

fn hardware() -> Outcome {
    fires("instructions:100000", spin)
}

fn cache() -> Outcome {
    fires("L1-dcache-loads:100000", spin)
}

/// The same as a name says, by the numbers of its source.
fn source() -> Outcome {
    let event = PerfEvent::Source {
        kind: 1,
        config: 2,
        config1: 0,
        config2: 0,
        period: 1,
    };
    let hits = counter()?;
    let _attachment = attach(event, &hits)??;
    touch();
    ensure(count(&hits)? > 0, || "no page fault".into())
}

fn mistakes() -> Outcome {
    for (text, told) in [
        ("mem:0x1001/4:w", "no multiple of 4"),
        ("mem:0x1000/1:x", "length of 1"),
        ("mem:0x1000/4:r", "breakpoint"),
    ] {
        let event: PerfEvent = text.parse()?;
        let error = expect_err(text, attach(event, &counter()?)?)?;
        let cause = error.cause().map(ToString::to_string).unwrap_or_default();
        ensure(cause.contains(told), || format!("{error}: {cause}"))?;
    }
    Ok(())
}
