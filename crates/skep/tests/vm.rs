//! Ordinary C programs on the virtual machine: compiled by clang, relocated against its types,
//! loaded, attached, run and read, without a privilege.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use skep::{Host, Object};
use skep_testing::{Stop, compile};

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The object of a source; `None` where there is no clang for it.
fn object(source: &str) -> Option<Object> {
    match compile(&root().join(source), env!("CARGO_TARGET_TMPDIR")) {
        Ok(bytes) => {
            Some(Object::parse(source, &bytes).unwrap_or_else(|error| panic!("{source}: {error}")))
        }
        Err(Stop::Skip(lacking)) => {
            skep_testing::lacks(lacking);
            None
        }
        Err(Stop::Fail(text)) => panic!("{source}: {text}"),
    }
}

fn check_loads(source: &str) {
    let host = Host::vm().expect("a machine");
    let Some(object) = object(source) else {
        return;
    };
    if let Err(error) = object.load(&host) {
        let mut text = format!("{source}: {error}");
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text += &format!("\n  {error}");
            cause = error.source();
        }
        panic!("{text}");
    }
}

#[test]
fn examples_load() {
    for source in [
        "examples/cgroup_egress.bpf.c",
        "examples/execsnoop.bpf.c",
        "examples/malloc_sizes.bpf.c",
        "examples/opensnoop.bpf.c",
        "examples/profile.bpf.c",
        "examples/syscount.bpf.c",
        "examples/tasks.bpf.c",
        "examples/xdp_count.bpf.c",
    ] {
        check_loads(source);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let host = Host::vm().expect("a machine");
    let Some(object) = object("corpus/variables.bpf.c") else {
        return;
    };
    let error = object.load(&host).expect_err("the vm has no run queues");
    assert!(error.to_string().contains("runqueues"), "{error}");
}

#[test]
fn an_iterator_writes_a_line_a_task() {
    let host = Host::vm().expect("a machine");
    let Some(object) = object("examples/tasks.bpf.c") else {
        return;
    };
    let loaded = object.load(&host).expect("it loads");
    let links = loaded.attach_all().expect("it is attached");
    let mut text = String::new();
    let mut iteration = links[0].iterate().expect("it is opened");
    iteration.read_to_string(&mut text).expect("it is read");
    let mut lines = text.lines();
    assert!(
        lines.next().is_some_and(|line| line.contains("COMM")),
        "{text}"
    );
    let own = std::process::id().to_string();
    let is_own = |line: &str| line.split_whitespace().next() == Some(&own);
    assert!(lines.any(is_own), "{text}");
}

#[test]
fn programs_are_attached_and_listed() {
    let host = Host::vm().expect("a machine");
    let Some(object) = object("examples/syscount.bpf.c") else {
        return;
    };
    let loaded = object.load(&host).expect("it loads");
    let links = loaded.attach_all().expect("it is attached");
    let info = links[0].info().expect("a link");
    let program = loaded
        .programs()
        .next()
        .expect("a program")
        .info()
        .expect("info");
    assert_eq!(info[0].program_id, program.id);
    assert!(
        program.btf_id > 0 && !program.maps.is_empty(),
        "{program:?}"
    );
}

#[cfg(feature = "tokio")]
mod tasks {
    use std::{future::Future, sync::Arc, time::Duration};

    use skep::{AsyncPerfBuffer, AsyncRingBuffer, PerfBuffer, PerfOptions, Program, RingBuffer};
    use skep_host::TestRun;
    use tokio::{runtime, time::timeout};
    use zerocopy::IntoBytes as _;

    use super::*;

    fn run(body: impl Future<Output = ()>) {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            timeout(Duration::from_secs(20), body)
                .await
                .expect("it ends");
        });
    }

    fn first_word(bytes: &[u8]) -> u64 {
        let word = bytes.first_chunk().expect("a word");
        u64::from_ne_bytes(*word)
    }

    /// `count` records from `first` on.
    fn fill_ring(program: &Program, first: u64, count: u32) {
        let mut args = [0_u64; 4];
        (args[0], args[1]) = (u64::from(count), first);
        let mut out = [0; 32];
        let run = program.test_run(&mut TestRun {
            context_in: args.as_bytes(),
            context_out: &mut out,
            ..TestRun::default()
        });
        assert_eq!(run.expect("it runs").return_value, 7);
    }

    #[test]
    fn a_task_awaits_a_ring() {
        let Some(object) = object("crates/skep/tests/c/ring.bpf.c") else {
            return;
        };
        let host = Host::vm().expect("a machine");
        let loaded = object.load(&host).expect("it loads");
        let program = Arc::clone(loaded.program("produce").expect("a program"));
        let map = loaded.map("events").expect("a ring");
        let ring = RingBuffer::<[u8]>::new(Arc::clone(map)).expect("it opens");
        run(async {
            let mut ring = AsyncRingBuffer::new(ring).expect("it is watched");
            let none = timeout(Duration::from_millis(20), ring.next_batch()).await;
            assert!(none.is_err(), "records unasked");
            for turn in 0..20 {
                let writer = Arc::clone(&program);
                let writer = std::thread::spawn(move || fill_ring(&writer, turn, 3));
                let mut numbers = Vec::new();
                while numbers.len() < 3 {
                    let batch = ring.next_batch().await.expect("records");
                    numbers.extend(batch.iter().map(first_word));
                }
                assert_eq!(numbers, [turn, turn + 1, turn + 2]);
                writer.join().expect("it wrote");
            }
        });
    }

    #[test]
    fn a_task_awaits_a_perf_buffer() {
        let Some(object) = object("crates/skep/tests/c/perf.bpf.c") else {
            return;
        };
        let host = Host::vm().expect("a machine");
        let loaded = object.load(&host).expect("it loads");
        let program = loaded.program("produce").expect("a program");
        let map = loaded.map("events").expect("a perf event array");
        let buffer = PerfBuffer::<u64>::new(Arc::clone(map), PerfOptions::default());
        let buffer = buffer.expect("it opens");
        run(async {
            let mut buffer = AsyncPerfBuffer::new(buffer).expect("it is watched");
            let none = timeout(Duration::from_millis(20), buffer.next_batch()).await;
            assert!(none.is_err(), "records unasked");
            for cpu in host.boundary().online_cpus().expect("CPUs") {
                let args = [3_u64, u64::from(cpu)];
                let ran = program.test_run(&mut TestRun {
                    context_in: args.as_bytes(),
                    flags: skep_abi::TestRunFlags::RUN_ON_CPU,
                    cpu,
                    ..TestRun::default()
                });
                ran.expect("it runs");
                let batch = buffer.next_batch().await.expect("records");
                assert_eq!((batch.cpu(), batch.bytes().count()), (Some(cpu), 3));
            }
        });
    }
}
