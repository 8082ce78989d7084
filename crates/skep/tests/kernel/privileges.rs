//! What is said to those who may not: the capability, and how to get it.

use std::fs;

use skep::{Error, PerfBuffer, PerfOptions, boundary::Cause};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err, needs_kernel, without_capabilities};

use crate::support::{Running, host, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("privileges::a_load_without_them_names_what_lacks", loading),
        Test::new(
            "privileges::attaching_without_them_names_what_lacks",
            attaching,
        ),
    ]
}

fn lacks(error: &Error, capability: &str) -> Outcome {
    let named = match error.cause() {
        Some(Cause::MissingCapability(names)) => names.contains(&capability),
        _ => false,
    };
    let fix = error.fix().unwrap_or_default();
    ensure(named && fix.contains("setcap"), || {
        format!("{error}: {:?}; {fix}", error.cause())
    })
}

fn loading() -> Outcome {
    needs_kernel(5, 8)?;
    if fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled")?.trim() == "0" {
        return Err(Stop::lacks("kernel.unprivileged_bpf_disabled"));
    }
    let (network, tracing) = (object("network")?, object("links")?);
    without_capabilities(|| {
        lacks(&expect_err("network", network.load(host()))?, "CAP_BPF")?;
        lacks(&expect_err("tracing", tracing.load(host()))?, "CAP_BPF")
    })
}

fn attaching() -> Outcome {
    needs_kernel(5, 8)?;
    let running = Running::new("missing_event")?;
    let perf = Running::new("perf")?;
    without_capabilities(|| {
        let error = expect_err("attaching", running.loaded.attach_all())?;
        lacks(&error, "CAP_PERFMON")?;
        let map = perf.loaded.map("events")?;
        let error = expect_err(
            "a perf buffer",
            PerfBuffer::<u8>::new(map, PerfOptions::default()),
        )?;
        lacks(&error, "CAP_PERFMON")
    })
}
