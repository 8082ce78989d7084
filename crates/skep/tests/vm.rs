//! Ordinary C programs on the virtual machine: compiled by clang, relocated against its types,
//! loaded, attached, run and read, without a privilege.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use skep::{Host, Object};
use skep_testing::{Stop, compile};

#[path = "../../../examples/plugin_engine/main.rs"]
#[allow(dead_code, reason = "its `main`")]
mod plugin_engine;

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
        "examples/usdt_imports.bpf.c",
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

mod struct_ops {
    use std::sync::Arc;

    use skep::{
        Loaded,
        vm::{Argument, FaultKind, StructOps, StructOpsType, Vm},
    };
    use skep_host::{Errno, LinkDetails};
    use zerocopy::IntoBytes as _;

    use super::*;

    const SOURCE: &str = "crates/skep/tests/c/pricing.bpf.c";

    fn pricing() -> StructOpsType {
        StructOpsType::new("pricing")
            .text("name", 16)
            .integer("version", 4)
            .function("price", 2)
            .optional_function("sold", 1)
    }

    fn machine(definition: &StructOpsType) -> (Host, StructOps) {
        let vm = Vm::new().expect("a machine");
        let ops = vm.define_struct_ops(definition).expect("it is defined");
        (Host::new(Arc::new(vm)), ops)
    }

    fn loaded(definition: &StructOpsType) -> Option<(Loaded, StructOps)> {
        let (host, ops) = machine(definition);
        let loaded = object(SOURCE)?.load(&host);
        Some((loaded.expect("it loads"), ops))
    }

    /// Cents, and what the function returned.
    fn price(ops: &StructOps, items: u64, customer: u64) -> Option<(u64, u64)> {
        let mut order = [items, 0];
        let mut arguments = [order.as_mut_bytes().into(), customer.into()];
        let returned = ops.call("price", &mut arguments)?.expect("no fault");
        Some((order[1], returned))
    }

    fn errno(error: &skep::Error) -> Option<Errno> {
        match error {
            skep::Error::Host(error) => error.errno(),
            _ => None,
        }
    }

    #[test]
    fn a_link_registers_until_dropped() {
        let Some((loaded, ops)) = loaded(&pricing()) else {
            return;
        };
        assert_eq!(price(&ops, 3, 1), None);
        let regular = loaded.struct_ops("usual").expect("it is there");
        let mut link = regular.attach().expect("it is attached");
        assert_eq!(price(&ops, 3, 1), Some((299, 3)));
        let sold = ops.call("sold", &mut [5.into()]).expect("a program");
        assert!(sold.is_ok(), "{sold:?}");
        assert!(ops.call("name", &mut []).is_none());
        assert!(ops.call("nothing", &mut []).is_none());

        let instances = ops.instances();
        let [instance] = &instances[..] else {
            panic!("{instances:?}");
        };
        assert_eq!(instance.name(), "usual");
        assert_eq!(instance.data("version"), Some(7_u32.as_bytes()));
        assert_eq!(
            instance.data("name").map(|name| &name[..6]),
            Some(&b"usual\0"[..])
        );
        assert!(instance.has("sold") && instance.data("sold").is_none());
        let info = link.info().expect("a link");
        let map = instance.map_id();
        assert_eq!(info[0].details, LinkDetails::StructOps { map });

        let sale = loaded.struct_ops("sale").expect("it is there");
        link.update_struct_ops(sale).expect("it is swapped");
        assert_eq!(price(&ops, 3, 1), Some((0, 0)));
        assert!(ops.call("sold", &mut [1.into()]).is_none());
        // Who has the one before calls it still.
        let mut order = [2_u64, 0];
        let arguments = &mut [order.as_mut_bytes().into(), Argument::Number(0)];
        let returned = instance.call("price", arguments);
        assert_eq!((returned, order[1]), (Some(Ok(2)), 200));

        drop(link);
        assert_eq!(price(&ops, 3, 1), None);
        let link = sale.attach().expect("it can be attached again");
        link.detach().expect("it is detached");
        assert!(ops.instances().is_empty());
    }

    #[test]
    fn a_map_registers_once() {
        let Some((loaded, ops)) = loaded(&pricing()) else {
            return;
        };
        let unlinked = loaded.struct_ops("unlinked").expect("it is there");
        let value = |unlinked: &skep::StructOps| {
            let mut value = [0; 128];
            let map = unlinked.map();
            let found = map.host().map_lookup_elem(map.fd(), &[0; 4], &mut value, 0);
            assert!(found.expect("it is read"));
            let words: Vec<u32> = value
                .chunks_exact(4)
                .map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
                .collect();
            words
        };
        assert_eq!(value(unlinked)[..2], [0, 0]);
        let link = unlinked.attach().expect("it is registered");
        let words = value(unlinked);
        assert_eq!(words[..2], [1, 1], "a holder, in use");
        let id = loaded.program("wrong").and_then(|program| program.info());
        assert!(words.contains(&id.expect("info").id), "{words:?}");
        let fault = ops
            .call("price", &mut [])
            .expect("a program")
            .expect_err("a fault");
        assert!(matches!(fault.kind, FaultKind::Memory { .. }), "{fault}");
        let error = unlinked.attach().expect_err("it is registered already");
        assert_eq!(errno(&error), Some(Errno::EBUSY), "{error}");
        drop(link);
        assert!(ops.instances().is_empty());
        assert_eq!(value(unlinked)[1], 2, "to be freed");
        let error = unlinked.attach().expect_err("it was registered once");
        assert_eq!(errno(&error), Some(Errno::EBUSY), "{error}");
    }

    #[test]
    fn one_at_a_time_or_many() {
        let Some((first, ops)) = loaded(&pricing().single()) else {
            return;
        };
        let regular = first.struct_ops("usual").expect("it is there");
        let sale = first.struct_ops("sale").expect("it is there");
        let link = regular.attach().expect("it is attached");
        let error = sale.attach().expect_err("there is one");
        assert_eq!(errno(&error), Some(Errno::EBUSY), "{error}");
        drop(link);
        let _link = sale.attach().expect("it is attached");

        let Some((many, ops_of_many)) = loaded(&pricing()) else {
            return;
        };
        let links = many.attach_all().expect("all are attached");
        assert_eq!((links.len(), ops_of_many.instances().len()), (3, 3));
        assert_eq!(ops.instances().len(), 1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let Some(mut needs_more) = object(SOURCE) else {
            return;
        };
        let (host, _) = machine(&pricing());
        needs_more
            .map("without_price")
            .expect("it is there")
            .autocreate(true);
        let error = needs_more.load(&host).expect_err("no price");
        assert_eq!(errno(&error), Some(Errno::EINVAL), "{error}");

        let mut newer = object(SOURCE).expect("as before");
        newer
            .map("of_the_future")
            .expect("it is there")
            .autocreate(true);
        let error = newer
            .load(&host)
            .expect_err("an unknown member")
            .to_string();
        assert!(error.contains("of_the_future"), "{error}");

        // A machine without the struct, and one where a function is a number.
        let error = object(SOURCE)
            .expect("as before")
            .load(&Host::vm().expect("a machine"));
        let error = error.expect_err("no such struct").to_string();
        assert!(error.contains("pricing"), "{error}");
        let (host, _) = machine(
            &StructOpsType::new("pricing")
                .integer("price", 8)
                .text("name", 16),
        );
        let error = object(SOURCE).expect("as before").load(&host);
        let error = error.expect_err("no function").to_string();
        assert!(error.contains("price"), "{error}");
    }

    #[test]
    fn definitions_are_checked() {
        let vm = Vm::new().expect("a machine");
        let refused = |definition: &StructOpsType| vm.define_struct_ops(definition).err();
        let new = StructOpsType::new;
        let einval = Some(Errno::EINVAL);
        assert_eq!(refused(&new("empty")), einval);
        assert_eq!(refused(&new("no name").function("f", 0)), einval);
        assert_eq!(
            refused(&new("twice").function("f", 0).integer("f", 4)),
            einval
        );
        assert_eq!(refused(&new("odd").integer("three", 3)), einval);
        assert_eq!(refused(&new("long").function("f", 13)), einval);
        assert_eq!(
            refused(&new("task_struct").function("f", 0)),
            Some(Errno::EEXIST)
        );
        assert_eq!(refused(&pricing()), None);
        assert_eq!(refused(&pricing()), None);
        assert_eq!(refused(&pricing().single()), Some(Errno::EEXIST));
        assert!(vm.struct_ops("pricing").is_some() && vm.struct_ops("other").is_none());
    }
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
        let ring = RingBuffer::<[u8]>::new(map).expect("it opens");
        run(async {
            let mut ring = AsyncRingBuffer::new(ring).expect("it is watched");
            let none = timeout(Duration::from_millis(20), ring.next_batch())
                .await
                .is_err();
            assert!(none, "records unasked");
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
        let buffer = PerfBuffer::<u64>::new(map, PerfOptions::default());
        let buffer = buffer.expect("it opens");
        run(async {
            let mut buffer = AsyncPerfBuffer::new(buffer).expect("it is watched");
            let none = timeout(Duration::from_millis(20), buffer.next_batch())
                .await
                .is_err();
            assert!(none, "records unasked");
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

/// A program that embeds the machine says what README shows of it, wherever its stack is.
#[test]
fn the_plug_in_engine_says_what_the_readme_shows() {
    if object("examples/plugin_engine/rules.bpf.c").is_none() {
        return;
    }
    let mut said = Vec::new();
    plugin_engine::shop(&mut said).expect("the shop goes on");
    let plain = |line: &str| {
        let words = line.split(' ').map(|word| match word.strip_prefix("0x") {
            Some(_) => "0x…",
            None => word,
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let said = String::from_utf8(said).expect("text");
    let said: Vec<_> = said.lines().map(plain).collect();
    let readme = std::fs::read_to_string(root().join("README.md")).expect("it is there");
    let (_, shown) = readme
        .split_once("--example plugin_engine\n")
        .expect("README shows it");
    let (shown, _) = shown.split_once("```").expect("an end");
    for line in shown.lines().filter(|line| *line != "…").map(plain) {
        assert!(said.contains(&line), "{line}: {said:#?}");
    }
    assert_eq!(
        said.iter()
            .filter(|line| line.starts_with("stopped"))
            .count(),
        2
    );
}
