//! What the host says of the system: BTF, configuration, CPUs, tracepoints, the report.

use std::fs;

use skep_abi::{MapType, ProgramType};
use skep_host::{
    AttachPoint, BtfLoad, Cause, Error, Feature, Hook, Host, LogLevel, MapCreate, ObjectId, Probe,
    ProgramLoad,
};
use skep_testing::{Outcome, Stop, Test, ensure, without_capabilities};

use crate::harness::host;

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("system::kernel_btf_is_mapped", kernel_btf),
        Test::new("system::btf_round_trips_through_the_kernel", btf_info),
        Test::new("system::configuration_is_read", config),
        Test::new("system::cpus_are_listed", cpus),
        Test::new("system::tracepoints_are_listed", tracepoints),
        Test::new("system::the_report_tells_yes_no_and_unknown", report),
        Test::new(
            "system::missing_capabilities_are_named",
            missing_capabilities,
        ),
    ]
}

fn kernel_btf() -> Outcome {
    let bytes = host().btf(None)?;
    let bytes: &[u8] = (*bytes).as_ref();
    let read = fs::read("/sys/kernel/btf/vmlinux")?;
    ensure(bytes == read, || {
        format!("{} bytes, {} read", bytes.len(), read.len())
    })?;
    ensure(host().btf(Some("no_such_module")).is_err(), || {
        "a module that is none".into()
    })?;
    ensure(host().btf(Some("../../etc")).is_err(), || "a path".into())?;
    for module in host().btf_modules()? {
        host().btf(Some(&module))?;
    }
    Ok(())
}

fn btf_info() -> Outcome {
    // int a; — a header, one INT, and its name.
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    for word in [24u32, 0, 16, 16, 5, 1, 0x0100_0000, 4, 0x0100_0020] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(b"\0int\0");
    let request = BtfLoad {
        object: "one.o",
        bytes: &bytes,
        log_level: LogLevel::OnFailure,
        token: None,
    };
    let btf = host().btf_load(&request)?;
    let info = host().btf_info(&btf)?;
    ensure(info.bytes == bytes && !info.kernel, || format!("{info:?}"))?;
    let again = host()
        .btf_by_id(info.id, None)?
        .ok_or_else(|| Stop::Fail("gone".into()))?;
    ensure(host().btf_info(&again)?.id == info.id, || "another".into())?;
    let next = host().next_id(ObjectId::Btf(info.id - 1))?;
    ensure(next == Some(ObjectId::Btf(info.id)), || format!("{next:?}"))
}

fn config() -> Outcome {
    let Ok(hz) = host().config("CONFIG_HZ") else {
        return Err(Stop::lacks("a readable kernel configuration"));
    };
    let hz: u32 = hz.unwrap_or_default().parse()?;
    ensure((24..=10_000).contains(&hz), || format!("{hz}"))?;
    ensure(
        host().config("CONFIG_BPF_SYSCALL")?.as_deref() == Some("y"),
        || "no BPF".into(),
    )?;
    ensure(host().config("CONFIG_NO_SUCH_THING")?.is_none(), || {
        "an unknown option".into()
    })
}

fn cpus() -> Outcome {
    let (possible, online) = (host().possible_cpus()?, host().online_cpus()?);
    ensure(!online.is_empty() && online.len() <= possible, || {
        format!("{online:?} {possible}")
    })?;
    ensure(host().page_size().is_power_of_two(), || "pages".into())
}

fn tracepoints() -> Outcome {
    let all = host().tracepoints()?;
    ensure(all.is_sorted() && all.len() > 100, || {
        format!("{} of them", all.len())
    })?;
    for name in ["sched/sched_switch", "syscalls/sys_enter_openat"] {
        ensure(all.binary_search(&name.to_owned()).is_ok(), || {
            format!("no {name}")
        })?;
    }
    Ok(())
}

fn report() -> Outcome {
    let report = skep_linux::report(host());
    let find = |name: &str| {
        report
            .checks()
            .find(|check| check.name == name)
            .ok_or_else(|| Stop::Fail(format!("no check `{name}`")))
    };
    for name in [
        "program xdp",
        "map hash",
        "hook tracepoint",
        "hook xdp",
        "CAP_BPF",
    ] {
        let check = find(name)?;
        ensure(check.answer == skep_linux::Answer::Yes, || {
            format!("{check:?}")
        })?;
    }
    // What is answered with "no" comes with a way out, and never with a bare errno.
    for check in report.checks() {
        if check.answer == skep_linux::Answer::No {
            ensure(!check.detail.is_empty() && !check.fix.is_empty(), || {
                format!("{check:?}")
            })?;
        }
    }
    Ok(())
}

fn lacks(error: &Error, capabilities: &[&str]) -> Outcome {
    match error.cause() {
        Some(Cause::MissingCapability(names)) if names == capabilities => Ok(()),
        cause => Err(Stop::Fail(format!(
            "{error}: {cause:?}, wanted {capabilities:?}"
        ))),
    }
}

/// What everyone may do is forbidden by a sysctl.
fn unprivileged(error: &Error) -> Outcome {
    ensure(
        matches!(error.cause(), Some(Cause::Unprivileged(value)) if value != "0"),
        || format!("{error}: {:?}", error.cause()),
    )
}

fn missing_capabilities() -> Outcome {
    skep_testing::needs_kernel(5, 8)?;
    if fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled")?.trim() == "0" {
        return Err(Stop::lacks("kernel.unprivileged_bpf_disabled"));
    }
    let tracepoint = crate::programs::load(ProgramType::Tracepoint, None, "r0 = 0\n exit")?;
    let code = crate::programs::code("r0 = 0\n exit")?;
    without_capabilities(|| {
        let refused = host()
            .map_create(&MapCreate::new(MapType::Hash, "m", 4, 4, 1))
            .expect_err("no capability");
        unprivileged(&refused)?;
        let refused = host()
            .prog_load(&ProgramLoad::new(ProgramType::SocketFilter, "p", &code))
            .expect_err("no capability");
        unprivileged(&refused)?;
        let refused = host()
            .map_create(&MapCreate::new(MapType::LpmTrie, "m", 8, 4, 1))
            .expect_err("no capability");
        lacks(&refused, &["CAP_BPF"])?;
        for (program_type, capabilities) in [
            (ProgramType::Xdp, &["CAP_BPF", "CAP_NET_ADMIN"]),
            (ProgramType::Tracepoint, &["CAP_BPF", "CAP_PERFMON"]),
        ] {
            let refused = host()
                .prog_load(&ProgramLoad::new(program_type, "p", &code))
                .expect_err("no capability");
            lacks(&refused, capabilities)?;
        }
        let refused = host()
            .next_id(ObjectId::Program(0))
            .expect_err("no capability");
        lacks(&refused, &["CAP_SYS_ADMIN"])?;
        let refused = host().perf_output(0, 1, 1).expect_err("no capability");
        lacks(&refused, &["CAP_PERFMON"])?;
        let point = AttachPoint::Tracepoint {
            category: "sched".into(),
            name: "sched_process_exit".into(),
            cookie: None,
        };
        let refused = host()
            .attach("p", &tracepoint, ProgramType::Tracepoint, &point)
            .expect_err("no capability");
        lacks(&refused, &["CAP_PERFMON"])?;
        // Not being allowed to ask is no answer; the shared host remembers better days.
        let host = skep_linux::LinuxHost::new()?;
        for hook in [
            Hook::RawTracepoint,
            Hook::Xdp,
            Hook::Uprobe,
            Hook::SocketFilter,
        ] {
            let probe = host.probe(&Feature::Hook(hook));
            ensure(
                matches!(&probe, Probe::Unknown { fix, .. } if !fix.is_empty()),
                || format!("{hook:?}: {probe:?}"),
            )?;
        }
        let probe = host.probe(&Feature::MapType(MapType::Hash));
        ensure(matches!(probe, Probe::Unknown { .. }), || {
            format!("{probe:?}")
        })
    })
}
