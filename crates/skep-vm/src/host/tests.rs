//! The boundary's core: maps and programs by descriptors, test runs.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use skep_abi::{
    Helper, LoaderFeature, MapType, ObjectFlags, ProgLoadFlags, ProgramType, TaskFdType,
};
use skep_host::{
    AttachPoint, Errno, Error, Feature, Hook, Host as _, LinkDetails, MapCreate, ObjectId,
    ProgramLoad, ProgramStream, TestRun,
};
use skep_isa::{Endian, assemble, encode_slots};

use crate::{
    Config, Engine, Vm,
    machine::{Watcher, lock},
};

fn vm() -> Vm {
    Vm::with(Config {
        engine: Engine::Interpreter,
        ..Config::checked()
    })
    .unwrap()
}

fn code(text: &str) -> Vec<u8> {
    encode_slots(&assemble(text).unwrap(), Endian::NATIVE)
}

#[test]
fn a_program_counts_in_an_array() {
    let vm = vm();
    let map = vm
        .map_create(&MapCreate::new(MapType::Array, "hits", 4, 8, 4))
        .unwrap();
    let code = code(&format!(
        "
        *(u32 *)(r10 -4) = 2
        r2 = r10
        r2 += -4
        r1 = map[fd:{}]
        call 1
        if r0 == 0 goto out
        r1 = 5
        lock *(u64 *)(r0 +0) += r1
        out:
        r0 = 7
        exit",
        map.raw()
    ));
    let mut request = ProgramLoad::new(ProgramType::Syscall, "count", &code);
    request.flags = ProgLoadFlags::SLEEPABLE;
    let program = vm.prog_load(&request).unwrap().fd;
    // The program keeps the map.
    let copy = map.try_clone().unwrap();
    drop(map);
    for _ in 0..2 {
        let outcome = vm.prog_test_run(&program, &mut TestRun::default()).unwrap();
        assert_eq!(outcome.return_value, 7);
    }
    let mut value = [0; 8];
    assert!(
        vm.map_lookup_elem(&copy, &2_u32.to_ne_bytes(), &mut value, 0)
            .unwrap()
    );
    assert_eq!(u64::from_ne_bytes(value), 10);
}

#[test]
fn a_context_is_read_and_written() {
    let vm = vm();
    let code = code("r0 = *(u32 *)(r1 +0)\n *(u32 *)(r1 +4) = 9\n exit");
    let mut request = ProgramLoad::new(ProgramType::Syscall, "context", &code);
    request.flags = ProgLoadFlags::SLEEPABLE;
    let program = vm.prog_load(&request).unwrap().fd;
    let mut out = [0; 8];
    let mut run = TestRun {
        context_in: &[3, 0, 0, 0, 0, 0, 0, 0],
        context_out: &mut out,
        ..TestRun::default()
    };
    assert_eq!(
        vm.prog_test_run(&program, &mut run).unwrap().return_value,
        3
    );
    assert_eq!(out[4], 9);
    let fault = vm
        .prog_test_run(&program, &mut TestRun::default())
        .unwrap_err();
    assert_eq!(fault.errno(), Some(Errno::EFAULT));
    assert!(
        fault.cause().unwrap().to_string().contains("instruction 0"),
        "{fault}"
    );
}

#[test]
fn what_is_not_there_is_named() {
    let vm = vm();
    let code = code("r1 = 1\n call 69\n r0 = 0\n exit");
    let error = vm
        .prog_load(&ProgramLoad::new(ProgramType::SocketFilter, "no", &code))
        .unwrap_err();
    let Error::Verifier { errno, log, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(errno, Errno::EINVAL);
    assert!(log.contains("1: (85)") && log.contains("bpf_"), "{log}");
}

#[test]
fn another_machines_descriptor_is_bad() {
    let (one, other) = (vm(), vm());
    let map = one
        .map_create(&MapCreate::new(MapType::Array, "a", 4, 8, 1))
        .unwrap();
    let error = other
        .map_update_elem(&map, &[0; 4], &[0; 8], 0)
        .unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EBADF));
}

fn tracepoint(category: &str, name: &str) -> AttachPoint<'static> {
    AttachPoint::Tracepoint {
        category: category.to_owned(),
        name: name.to_owned(),
        cookie: Some(5),
    }
}

#[test]
fn a_fault_at_a_hook_is_told_in_the_programs_stream() {
    let vm = vm();
    let hook = vm.define_hook::<[u64; 1]>("demo", "fault").unwrap();
    let code = code("r0 = *(u64 *)(r1 +8)\n exit");
    let kind = ProgramType::Tracepoint;
    let program = vm
        .prog_load(&ProgramLoad::new(kind, "reads_over", &code))
        .unwrap()
        .fd;
    let attached = vm
        .attach("p", &program, kind, &tracepoint("demo", "fault"))
        .unwrap();
    let _counted = vm.enable_stats().unwrap();
    let fired = hook.fire(&mut [0]);
    assert!(fired.outcomes()[0].is_err());
    let mut text = [0; 200];
    let len = vm
        .prog_stream_read(&program, ProgramStream::Error, &mut text)
        .unwrap();
    let text = String::from_utf8_lossy(&text[..len]).into_owned();
    assert!(
        text.contains("reads_over") && text.contains("instruction 0"),
        "{text}"
    );
    assert_eq!(vm.prog_info(&program).unwrap().run_count, 1);
    let link = vm.link_info(attached.link_fd().unwrap()).unwrap();
    assert_eq!(
        link.details,
        LinkDetails::Tracepoint {
            name: "fault".to_owned(),
            cookie: 5
        }
    );
    drop(attached);
    assert!(hook.is_empty());
}

#[test]
fn an_update_takes_effect_and_the_last_descriptor_detaches() {
    let vm = vm();
    let map = vm
        .map_create(&MapCreate::new(MapType::Array, "kept", 4, 8, 1))
        .unwrap();
    let id = vm.map_info(&map).unwrap().id;
    let code = code(&format!("r1 = map[fd:{}]\n r0 = 0\n exit", map.raw()));
    let program = vm
        .prog_load(&ProgramLoad::new(ProgramType::RawTracepoint, "p", &code))
        .unwrap()
        .fd;
    let link = vm
        .raw_tracepoint_open(&program, Some("sched_process_exec"), 0)
        .unwrap();
    drop((map, program));
    let copy = link.try_clone().unwrap();
    drop(link);
    assert!(vm.map_by_id(id, ObjectFlags::empty()).unwrap().is_some());
    drop(copy);
    assert!(vm.map_by_id(id, ObjectFlags::empty()).unwrap().is_none());
    assert_eq!(vm.next_id(ObjectId::Link(0)).unwrap(), None);
    assert_eq!(vm.next_id(ObjectId::Program(0)).unwrap(), None);
}

#[test]
fn probes_agree_with_what_can_be_done() {
    let vm = vm();
    let lookup = Helper::by_name("bpf_map_lookup_elem").unwrap();
    let yes = [
        Feature::MapType(MapType::Array),
        Feature::MapType(MapType::Ringbuf),
        Feature::ProgramType(ProgramType::Xdp),
        Feature::Helper(lookup, ProgramType::Xdp),
        Feature::Hook(Hook::Tracepoint),
        // Those of system calls.
        Feature::Hook(Hook::Kprobe),
        Feature::Loader(LoaderFeature::GlobalData),
        Feature::KernelOption("CONFIG_BPF"),
    ];
    for feature in yes {
        assert!(vm.probe(&feature).is_yes(), "{feature}");
    }
    let no = [
        Feature::ProgramType(ProgramType::LircMode2),
        Feature::Hook(Hook::PerfHardware),
        Feature::Hook(Hook::Fentry),
        Feature::Loader(LoaderFeature::Tokens),
        Feature::KernelOption("CONFIG_BPF_LIRC_MODE2"),
    ];
    for feature in no {
        let answer = vm.probe(&feature);
        assert!(answer.is_known() && !answer.is_yes(), "{feature}");
    }
    vm.define_function("do_something");
    assert!(vm.probe(&Feature::Hook(Hook::Fentry)).is_yes());
}

#[test]
fn functions_of_the_embedder_can_be_probed() {
    let vm = vm();
    let code = code("r0 = 0\n exit");
    let kind = ProgramType::Kprobe;
    let program = vm
        .prog_load(&ProgramLoad::new(kind, "p", &code))
        .unwrap()
        .fd;
    let point = || AttachPoint::Kprobe {
        at_return: false,
        function: "do_somethink".to_owned(),
        offset: 0,
        source: skep_host::ProbeSource::Auto,
        cookie: None,
    };
    let refused = vm.attach("p", &program, kind, &point()).unwrap_err();
    assert_eq!(refused.errno(), Some(Errno::ENOENT));
    vm.define_function("do_something");
    let refused = vm.attach("p", &program, kind, &point()).unwrap_err();
    let fix = refused.cause().unwrap().fix();
    assert!(fix.contains("do_something"), "{fix}");
    vm.define_function("do_somethink");
    let attached = vm.attach("p", &program, kind, &point()).unwrap();
    let info = vm.link_info(attached.link_fd().unwrap()).unwrap();
    let LinkDetails::Kprobe { address, .. } = info.details else {
        panic!("{info:?}");
    };
    let symbols = vm.symbol_addresses(&["do_somethink", "absent"]).unwrap();
    assert_eq!(symbols["do_somethink"], [address]);
    assert!(!symbols.contains_key("absent"));
}

#[test]
fn places_of_a_binary_can_be_probed() {
    let vm = vm();
    let code = code("r0 = 0\n exit");
    let kind = ProgramType::Kprobe;
    let program = vm
        .prog_load(&ProgramLoad::new(kind, "p", &code))
        .unwrap()
        .fd;
    let point = |binary: &str| AttachPoint::Uprobe {
        at_return: true,
        binary: binary.into(),
        offset: 0x40,
        pid: None,
        semaphore: 0,
        source: skep_host::ProbeSource::Auto,
        cookie: Some(3),
    };
    let own = vm
        .attach("p", &program, kind, &point("/proc/self/exe"))
        .unwrap();
    let fd = own.link_fd().unwrap();
    let told = vm.task_fd_query(std::process::id(), fd.raw()).unwrap();
    assert_eq!(
        (told.offset, told.kind),
        (0x40, TaskFdType::Uretprobe.raw())
    );
    let refused = vm.attach("p", &program, kind, &point("/no/such/binary"));
    assert_eq!(refused.unwrap_err().errno(), Some(Errno::ENOENT));
    assert_eq!(
        vm.task_fd_query(1, fd.raw()).unwrap_err().errno(),
        Some(Errno::ENOENT)
    );
}

#[test]
fn what_programs_print_is_read_once() {
    let vm = vm();
    // "hi\n" and its NUL.
    let code = code(
        "*(u32 *)(r10 -4) = 682344
         r1 = r10
         r1 += -4
         r2 = 4
         call 6
         r0 = 0
         exit",
    );
    let mut request = ProgramLoad::new(ProgramType::Syscall, "prints", &code);
    request.flags = ProgLoadFlags::SLEEPABLE;
    let program = vm.prog_load(&request).unwrap().fd;
    let pipe = vm.trace_pipe().unwrap();
    let mut line = [0; 200];
    let nothing = vm.read(&pipe, &mut line).unwrap_err();
    assert_eq!(nothing.errno(), Some(Errno::EAGAIN));
    vm.prog_test_run(&program, &mut TestRun::default()).unwrap();
    let len = vm.read(&pipe, &mut line).unwrap();
    assert!(line[..len].ends_with(b"bpf_trace_printk: hi\n"));
}

/// How many hooks had programs whenever it was waited for.
#[derive(Debug)]
struct Waits(Vm, Mutex<Vec<usize>>);

impl Watcher for Waits {
    fn changed(&self) {}

    fn settle(&self) {
        lock(&self.1).push(self.0.0.hooks.in_use().len());
    }
}

/// A tracer has taken its breakpoints out when whoever closed the last of a link goes on.
#[test]
fn an_attachment_is_waited_for_once_it_is_there_and_once_it_is_gone() {
    let vm = vm();
    let waits = Arc::new(Waits(vm.clone(), Mutex::default()));
    let watcher: Arc<dyn Watcher> = Arc::clone(&waits) as _;
    vm.0.hooks.watch(&watcher);
    let waited = || std::mem::take(&mut *lock(&waits.1));
    let code = code("r0 = 0\n exit");
    let load = |kind| {
        vm.prog_load(&ProgramLoad::new(kind, "none", &code))
            .unwrap()
            .fd
    };

    let traces = load(ProgramType::RawTracepoint);
    let link = vm
        .raw_tracepoint_open(&traces, Some("sys_enter"), 0)
        .unwrap();
    assert_eq!(waited(), [1]);
    let path = Path::new("/sys/fs/bpf/link");
    vm.obj_pin(link.descriptor(), path.into()).unwrap();
    let copy = link.try_clone().unwrap();
    drop(link);
    drop(copy);
    assert!(waited().iter().all(|in_use| *in_use == 1));
    vm.obj_unpin(path).unwrap();
    assert_eq!(waited(), [0]);

    let link = vm.raw_tracepoint_open(&traces, Some("sys_exit"), 0);
    drop(link.unwrap());
    assert_eq!(waited(), [1, 0]);

    let filters = load(ProgramType::SocketFilter);
    let point = AttachPoint::SocketFilter { socket: 3 };
    let attach = || {
        vm.attach("none", &filters, ProgramType::SocketFilter, &point)
            .unwrap()
    };
    drop(attach());
    assert_eq!(waited(), [1, 0]);
    attach().detach().unwrap();
    assert_eq!(waited(), [1, 0]);
}
