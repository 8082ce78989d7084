//! Hooks of the kernel's and of processes' code, fired.

use std::{hint::black_box, path::PathBuf};

use skep_abi::{AttachType, ProgramType};
use skep_host::{
    AttachPoint, Cause, Errno, Host, LinkDetails, MapFd, PerfEvent, PerfScope, ProbeSource,
};
use skep_testing::{Outcome, Stop, Test, ensure, eventually, needs_kernel};

use crate::{
    harness::host,
    programs::{count, counter, counting, load, load_with},
};

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("tracing::tracepoints_fire_and_stop", tracepoint),
        Test::new(
            "tracing::unknown_tracepoints_name_near_ones",
            unknown_tracepoint,
        ),
        Test::new("tracing::raw_tracepoints_fire", raw_tracepoint),
        Test::new(
            "tracing::unknown_raw_tracepoints_name_near_ones",
            unknown_raw_tracepoint,
        ),
        Test::new("tracing::typed_tracepoints_fire", typed_tracepoint),
        Test::new("tracing::cookies_reach_the_program", cookies),
        Test::new("tracing::uprobes_fire", uprobe).of_hook("uprobe"),
        Test::new("tracing::uretprobes_fire_in_one_process", uretprobe).of_hook("uretprobe"),
        Test::new("tracing::uprobe_mistakes_are_told", uprobe_mistakes),
        Test::new("tracing::timers_fire_on_a_cpu", timer).of_hook("perf_event"),
        Test::new(
            "tracing::timers_fire_in_a_process_with_threads",
            process_timer,
        ),
        Test::new("tracing::hardware_counters_are_told_apart", hardware),
    ]
}

pub(crate) fn me() -> u32 {
    std::process::id()
}

/// A system call that nothing else in this process makes.
pub(crate) fn getppid() {
    // SAFETY: asks a number.
    #[expect(unsafe_code, reason = "a system call without effect")]
    black_box(unsafe { libc::syscall(libc::SYS_getppid) });
}

fn tracepoint_at(name: &str) -> AttachPoint<'static> {
    AttachPoint::Tracepoint {
        category: "syscalls".into(),
        name: name.into(),
        cookie: None,
    }
}

fn tracepoint() -> Outcome {
    let hits = counter()?;
    let program = load(
        ProgramType::Tracepoint,
        None,
        &counting(&hits, Some(me()), 0),
    )?;
    let point = tracepoint_at("sys_enter_getppid");
    let attachment = host().attach("count", &program, ProgramType::Tracepoint, &point)?;
    for _ in 0..5 {
        getppid();
    }
    ensure(count(&hits)? == 5, || "not five".into())?;
    if let Some(link) = attachment.link_fd() {
        let info = host().link_info(link)?;
        ensure(info.program_id == host().prog_info(&program)?.id, || {
            format!("{info:?}")
        })?;
        if needs_kernel(6, 6).is_ok() {
            let LinkDetails::Tracepoint { name, .. } = &info.details else {
                return Err(Stop::Fail(format!("{info:?}")));
            };
            ensure(name == "sys_enter_getppid", || format!("{info:?}"))?;
        }
    }
    attachment.detach()?;
    getppid();
    ensure(count(&hits)? == 5, || "it still fires".into())
}

fn unknown_tracepoint() -> Outcome {
    let program = load(ProgramType::Tracepoint, None, "r0 = 0\n exit")?;
    for (category, name, near) in [
        ("syscalls", "sys_enter_opneat", "syscalls/sys_enter_openat"),
        ("sched", "sched_swich", "sched/sched_switch"),
        ("task", "sched_switch", "sched/sched_switch"),
        ("..", "x", ""),
    ] {
        let point = AttachPoint::Tracepoint {
            category: category.into(),
            name: name.into(),
            cookie: None,
        };
        let error = host()
            .attach("lost", &program, ProgramType::Tracepoint, &point)
            .expect_err("no such tracepoint");
        let Some(Cause::NotFound { near: names, .. }) = error.cause() else {
            return Err(Stop::Fail(format!("{error}: {:?}", error.cause())));
        };
        let first = names.first().map(String::as_str).unwrap_or_default();
        ensure(near.is_empty() || first == near, || format!("{names:?}"))?;
    }
    Ok(())
}

fn raw_tracepoint() -> Outcome {
    let hits = counter()?;
    let program = load(
        ProgramType::RawTracepoint,
        None,
        &counting(&hits, Some(me()), 0),
    )?;
    let point = AttachPoint::RawTracepoint {
        name: "sys_enter".into(),
        cookie: None,
    };
    let attachment = host().attach("count", &program, ProgramType::RawTracepoint, &point)?;
    getppid();
    ensure(count(&hits)? >= 1, || "it did not fire".into())?;
    let link = attachment
        .link_fd()
        .ok_or_else(|| Stop::Fail("no link".into()))?;
    if needs_kernel(5, 8).is_ok() {
        let details = host().link_info(link)?.details;
        ensure(
            matches!(&details, LinkDetails::RawTracepoint { name, .. } if name == "sys_enter"),
            || format!("{details:?}"),
        )?;
    }
    Ok(())
}

fn unknown_raw_tracepoint() -> Outcome {
    let program = load(ProgramType::RawTracepoint, None, "r0 = 0\n exit")?;
    let point = AttachPoint::RawTracepoint {
        name: "sys_enter_openat".into(),
        cookie: None,
    };
    let error = host()
        .attach("lost", &program, ProgramType::RawTracepoint, &point)
        .expect_err("a tracepoint that is none");
    ensure(
        error.errno() == Some(Errno::ENOENT)
            && error
                .cause()
                .is_some_and(|cause| cause.fix().contains("`sys_enter`")),
        || format!("{error}: {:?}", error.cause()),
    )
}

fn typed_tracepoint() -> Outcome {
    needs_kernel(5, 5)?;
    let btf = skep_btf::Btf::parse_trusted(host().btf(None)?, None)?;
    let target = btf
        .find("btf_trace_sys_enter", skep_btf::KindTag::Typedef)
        .ok_or_else(|| Stop::Fail("no btf_trace_sys_enter".into()))?;
    let hits = counter()?;
    let text = counting(&hits, Some(me()), 0);
    let program = load_with(ProgramType::Tracing, &text, |request| {
        request.expected_attach_type = Some(AttachType::TraceRawTp);
        request.attach_btf_id = target.0;
    })?;
    let point = AttachPoint::Tracing {
        attach_type: AttachType::TraceRawTp,
        target: "tp_btf/sys_enter".into(),
        cookie: None,
    };
    let _attachment = host().attach("count", &program, ProgramType::Tracing, &point)?;
    getppid();
    ensure(count(&hits)? >= 1, || "it did not fire".into())
}

/// A program that stores its cookie in an array.
fn cookie_keeper(map: &MapFd) -> String {
    format!(
        "r6 = r1
        call 14
        r0 >>= 32
        if r0 != {} goto out
        r1 = r6
        call 174
        *(u64 *)(r10 -16) = r0
        *(u32 *)(r10 -4) = 0
        r1 = map[fd:{}]
        r2 = r10
        r2 += -4
        r3 = r10
        r3 += -16
        r4 = 0
        call 2
        out:
        r0 = 0
        exit",
        me(),
        map.raw()
    )
}

fn cookies() -> Outcome {
    needs_kernel(5, 15)?;
    let kept = counter()?;
    let program = load(ProgramType::Tracepoint, None, &cookie_keeper(&kept))?;
    let point = AttachPoint::Tracepoint {
        category: "syscalls".into(),
        name: "sys_enter_getppid".into(),
        cookie: Some(0xfeed_beef_0000_0001),
    };
    let attachment = host().attach("keep", &program, ProgramType::Tracepoint, &point)?;
    getppid();
    ensure(count(&kept)? == 0xfeed_beef_0000_0001, || {
        format!("{:#x}", count(&kept).unwrap_or(0))
    })?;
    drop(attachment);
    needs_kernel(6, 10)?;
    let program = load(ProgramType::RawTracepoint, None, &cookie_keeper(&kept))?;
    let point = AttachPoint::RawTracepoint {
        name: "sys_enter".into(),
        cookie: Some(5),
    };
    let _attachment = host().attach("keep", &program, ProgramType::RawTracepoint, &point)?;
    getppid();
    ensure(count(&kept)? == 5, || "not five".into())
}

/// What the uprobes sit on.
#[unsafe(no_mangle)]
#[inline(never)]
#[expect(unsafe_code, reason = "a symbol to probe")]
pub(crate) extern "C" fn skep_linux_probed(number: u64) -> u64 {
    black_box(number).wrapping_mul(3)
}

/// This binary and the place of a function in its file.
pub(crate) fn place_of(function: usize) -> Result<(PathBuf, u64), Stop> {
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        let mut fields = line.split_whitespace();
        let (Some(range), Some(_), Some(offset)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let Some((start, end)) = range.split_once('-') else {
            continue;
        };
        let (start, end) = (
            usize::from_str_radix(start, 16)?,
            usize::from_str_radix(end, 16)?,
        );
        if (start..end).contains(&function) {
            let offset = u64::from_str_radix(offset, 16)?;
            return Ok((std::env::current_exe()?, offset + (function - start) as u64));
        }
    }
    Err(Stop::Fail("the function is nowhere".into()))
}

fn probe(
    at_return: bool,
    pid: Option<u32>,
    cookie: Option<u64>,
) -> Result<AttachPoint<'static>, Stop> {
    let (binary, offset) = place_of(skep_linux_probed as *const () as usize)?;
    Ok(AttachPoint::Uprobe {
        at_return,
        binary,
        offset,
        pid,
        semaphore: 0,
        source: ProbeSource::Auto,
        cookie,
    })
}

fn uprobe() -> Outcome {
    let hits = counter()?;
    let program = load(ProgramType::Kprobe, None, &counting(&hits, None, 0))?;
    let attachment = host().attach(
        "count",
        &program,
        ProgramType::Kprobe,
        &probe(false, None, None)?,
    )?;
    for number in 0..3 {
        skep_linux_probed(number);
    }
    ensure(count(&hits)? == 3, || format!("{:?} hits", count(&hits)))?;
    drop(attachment);
    skep_linux_probed(3);
    ensure(count(&hits)? == 3, || "it still fires".into())
}

fn uretprobe() -> Outcome {
    // The argument registers are gone at the return; the answer is there.
    let register = if cfg!(target_arch = "x86_64") { 80 } else { 0 };
    let kept = counter()?;
    let text = format!(
        "r1 = *(u64 *)(r1 +{register})
        *(u64 *)(r10 -16) = r1
        *(u32 *)(r10 -4) = 0
        r1 = map[fd:{}]
        r2 = r10
        r2 += -4
        r3 = r10
        r3 += -16
        r4 = 0
        call 2
        r0 = 0
        exit",
        kept.raw()
    );
    let program = load(ProgramType::Kprobe, None, &text)?;
    let point = probe(true, Some(me()), None)?;
    let _attachment = host().attach("keep", &program, ProgramType::Kprobe, &point)?;
    skep_linux_probed(14);
    ensure(count(&kept)? == 42, || format!("{:?}", count(&kept)))
}

fn uprobe_mistakes() -> Outcome {
    let program = load(ProgramType::Kprobe, None, "r0 = 0\n exit")?;
    let at = |binary: &str, pid| AttachPoint::Uprobe {
        at_return: false,
        binary: binary.into(),
        offset: 0x40,
        pid,
        semaphore: 0,
        source: ProbeSource::Auto,
        cookie: None,
    };
    let error = host()
        .attach(
            "lost",
            &program,
            ProgramType::Kprobe,
            &at("/no/such/file", None),
        )
        .expect_err("no file");
    let named = matches!(error.cause(), Some(Cause::NotFound { kind: "file", .. }));
    ensure(named, || format!("{error}: {:?}", error.cause()))?;
    let error = host()
        .attach(
            "lost",
            &program,
            ProgramType::Kprobe,
            &at("/proc/self/exe", Some(0x3fff_fff0)),
        )
        .expect_err("no process");
    let named = matches!(
        error.cause(),
        Some(Cause::NotFound {
            kind: "process",
            ..
        })
    );
    ensure(named, || format!("{error}: {:?}", error.cause()))
}

/// Keeps a CPU busy for a while.
fn spin() {
    for number in 0..200_000u64 {
        black_box(number);
    }
}

fn timer() -> Outcome {
    for cpu in host().online_cpus()? {
        let hits = counter()?;
        let program = load(ProgramType::PerfEvent, None, &counting(&hits, None, 0))?;
        let point = AttachPoint::PerfEvent {
            event: PerfEvent::CpuClock { frequency: 999 },
            scope: PerfScope::Cpu(cpu),
            cookie: None,
        };
        let attachment = host().attach("tick", &program, ProgramType::PerfEvent, &point)?;
        // The clock ticks while the CPU works: a thread of ours sees to that.
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| pinned(cpu, &hits));
            worker
                .join()
                .map_err(|_| Stop::Fail("the worker fell".into()))?
        })?;
        drop(attachment);
        let after = count(&hits)?;
        spin();
        ensure(count(&hits)? == after, || "it still ticks".into())?;
    }
    Ok(())
}

/// Works on one CPU until ten ticks came.
fn pinned(cpu: u32, hits: &MapFd) -> Outcome {
    // SAFETY: an all-zero set is empty; the calls read and write that set alone.
    #[expect(unsafe_code, reason = "to run on one CPU")]
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu as usize, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
    eventually("ten ticks", || {
        spin();
        Ok(count(hits)? >= 10)
    })
}

fn process_timer() -> Outcome {
    let hits = counter()?;
    let program = load(ProgramType::PerfEvent, None, &counting(&hits, None, 0))?;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let busy = std::thread::spawn(move || {
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            spin();
        }
    });
    let point = AttachPoint::PerfEvent {
        event: PerfEvent::CpuClock { frequency: 999 },
        scope: PerfScope::Process(me()),
        cookie: None,
    };
    let outcome = host()
        .attach("tick", &program, ProgramType::PerfEvent, &point)
        .map_err(Stop::from)
        .and_then(|_attachment| eventually("ten ticks", || Ok(count(&hits)? >= 10)));
    drop(stop);
    busy.join()
        .map_err(|_| Stop::Fail("the worker fell".into()))?;
    outcome
}

fn hardware() -> Outcome {
    let program = load(ProgramType::PerfEvent, None, "r0 = 0\n exit")?;
    let point = AttachPoint::PerfEvent {
        event: PerfEvent::Hardware {
            config: 0,
            period: 1_000_000,
        },
        scope: PerfScope::Cpu(0),
        cookie: None,
    };
    match host().attach("cycles", &program, ProgramType::PerfEvent, &point) {
        Ok(_) => Ok(()),
        Err(error) => ensure(
            error
                .cause()
                .is_some_and(|cause| cause.to_string().contains("hardware counter")),
            || format!("{error}: {:?}", error.cause()),
        ),
    }
}
