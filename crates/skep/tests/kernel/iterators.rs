//! An iterator of each kind sees what this process made; with parameters it sees that alone.

use std::{
    fs,
    io::Read as _,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    sync::Arc,
};

use skep::{
    AttachOptions, Map, Object, Update,
    abi::CgroupIterOrder,
    btf::{Btf, Kind, Type},
};
use skep_testing::{Cgroup, Outcome, Stop, Test, ensure, expect_err, needs_kernel, needs_option};

use crate::support::{Running, host, me, object};

/// Iterators over all of a kind: the kernel that has it first, and an option that it needs.
macro_rules! over_all {
    ($($kind:literal ($major:literal $minor:literal) $option:literal;)*) => {
        vec![$({
            fn test() -> Outcome {
                needs_kernel($major, $minor)?;
                if !$option.is_empty() {
                    needs_option($option)?;
                }
                all_of($kind)
            }
            Test::new(concat!("iterators::all_of_", $kind), test).of_hook(concat!("iter/", $kind))
        }),*]
    };
}

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = over_all! {
        "task" (5 8) "";
        "task_file" (5 8) "";
        "task_vma" (5 13) "";
        "bpf_map" (5 8) "";
        "bpf_prog" (5 9) "";
        "bpf_link" (5 19) "";
        "netlink" (5 8) "";
        "ipv6_route" (5 8) "CONFIG_IPV6";
        "tcp" (5 9) "CONFIG_PROC_FS";
        "udp" (5 9) "CONFIG_PROC_FS";
        "unix" (5 15) "CONFIG_UNIX";
        "ksym" (6 0) "CONFIG_KALLSYMS";
        "cgroup" (6 1) "CONFIG_CGROUPS";
        "kmem_cache" (6 13) "CONFIG_SLUB_DEBUG";
    };
    tests.extend([
        Test::new("iterators::one_process_or_thread", tasks).of_hook("iter/task (one process)"),
        Test::new("iterators::cgroups_in_an_order", cgroups).of_hook("iter/cgroup (order)"),
        Test::new("iterators::elements_of_a_map", elements).of_hook("iter/bpf_map_elem"),
        Test::new("iterators::sockets_of_a_map", sockets).of_hook("iter/sockmap"),
        Test::new("iterators::storage_of_sockets", storage).of_hook("iter/bpf_sk_storage_map"),
        Test::new("iterators::programs_may_sleep", sleeping).of_hook("iter.s"),
        Test::new("iterators::every_target_of_the_kernel_is_walked", every),
        Test::new("iterators::what_is_missing_is_named", mistakes),
    ]);
    tests
}

fn running(program: &str) -> Outcome<Running> {
    let mut object = object("iterators")?;
    object.only_programs(&[program])?;
    loaded(object, program)
}

fn loaded(object: Object, program: &str) -> Outcome<Running> {
    match object.load(host()) {
        Ok(loaded) => Ok(Running { object, loaded }),
        // Some vendors' kernels let only some of them be used.
        Err(error) if error.to_string().contains("EPERM") => Err(Stop::lacks(format!(
            "the right to programs on iter/{program}"
        ))),
        Err(error) => Err(error.into()),
    }
}

/// How many things it sees.
fn walk(running: &Running, program: &str, options: &AttachOptions) -> Outcome<usize> {
    let link = running.loaded.program(program)?.attach_with(options)?;
    let mut marks = String::new();
    link.iterate()?.read_to_string(&mut marks)?;
    ensure(marks.bytes().all(|mark| mark == b'x'), || marks.clone())?;
    link.detach()?;
    Ok(marks.len())
}

fn all_of(kind: &str) -> Outcome {
    // One of each that is not there anyway.
    let _tcp = TcpListener::bind("127.0.0.1:0")?;
    let _udp = UdpSocket::bind("127.0.0.1:0")?;
    let _unix = UnixDatagram::pair()?;
    let running = running(kind)?;
    let seen = walk(&running, kind, &AttachOptions::default())?;
    ensure(seen > 0, || format!("no {kind} was seen"))
}

fn tasks() -> Outcome {
    needs_kernel(6, 1)?;
    let running = running("task")?;
    let all = walk(&running, "task", &AttachOptions::default())?;
    let process = AttachOptions {
        pid: Some(me()),
        ..AttachOptions::default()
    };
    let thread = AttachOptions {
        thread: Some(me()),
        ..AttachOptions::default()
    };
    let threads = fs::read_dir("/proc/self/task")?.count();
    let seen = walk(&running, "task", &process)?;
    ensure(seen == threads && seen < all, || {
        format!("{seen} of {threads} threads, {all} in all")
    })?;
    let seen = walk(&running, "task", &thread)?;
    ensure(seen == 1, || format!("{seen} threads"))
}

/// The marks are read out of this process, which reads them.
fn sleeping() -> Outcome {
    needs_kernel(5, 18)?;
    let mark = Box::new(b'x');
    let mut object = object("iterators")?;
    object.only_programs(&["task_sleepable"])?;
    object.global("mark_at")?.set(&raw const *mark as u64)?;
    let running = loaded(object, "task_sleepable")?;
    let seen = walk(&running, "task_sleepable", &AttachOptions::default())?;
    ensure(seen > 0, || "no process was seen".into())
}

fn cgroups() -> Outcome {
    needs_kernel(6, 1)?;
    let running = running("cgroup")?;
    let own = Cgroup::new()?;
    fs::create_dir(own.path().join("below"))?;
    let walks = || -> Outcome {
        for (order, wanted) in [
            (None, 2),
            (Some(CgroupIterOrder::DescendantsPost), 2),
            (Some(CgroupIterOrder::SelfOnly), 1),
        ] {
            let options = AttachOptions {
                cgroup: Some(own.path().to_owned()),
                cgroup_order: order,
                ..AttachOptions::default()
            };
            let seen = walk(&running, "cgroup", &options)?;
            ensure(seen == wanted, || format!("{order:?}: {seen} cgroups"))?;
        }
        Ok(())
    };
    let outcome = walks();
    fs::remove_dir(own.path().join("below"))?;
    outcome
}

/// Walks over the elements of a map of the object.
fn over(running: &Running, program: &str, map: &Arc<Map>) -> Outcome<usize> {
    let options = AttachOptions {
        elements: Some(Arc::clone(map)),
        ..AttachOptions::default()
    };
    walk(running, program, &options)
}

fn elements() -> Outcome {
    needs_kernel(5, 9)?;
    let running = running("bpf_map_elem")?;
    let map = running.loaded.map("numbers")?;
    for key in 0..3_u32 {
        map.update(&key.to_ne_bytes(), &7_u64.to_ne_bytes(), Update::Any)?;
    }
    let seen = over(&running, "bpf_map_elem", &map)?;
    ensure(seen == 3, || format!("{seen} elements"))
}

fn sockets() -> Outcome {
    needs_kernel(5, 10)?;
    let running = running("sockmap")?;
    let map = running.loaded.map("sockets")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    for (key, socket) in (0_u32..).zip([&near, &far]) {
        let value = (socket.as_raw_fd() as u64).to_ne_bytes();
        map.update(&key.to_ne_bytes(), &value, Update::Any)?;
    }
    let seen = over(&running, "sockmap", &map)?;
    ensure(seen == 2, || format!("{seen} sockets"))
}

fn storage() -> Outcome {
    needs_kernel(5, 9)?;
    let running = running("bpf_sk_storage_map")?;
    let map = running.loaded.map("kept")?;
    let sockets = [
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    ];
    for socket in &sockets {
        let key = socket.as_raw_fd().to_ne_bytes();
        map.update(&key, &7_u64.to_ne_bytes(), Update::Any)?;
    }
    let seen = over(&running, "bpf_sk_storage_map", &map)?;
    ensure(seen == 2, || format!("{seen} sockets"))
}

/// The names behind `bpf_iter_` of the functions that stand for a kind of thing: those that take what
/// all iterators' contexts begin with.
fn kinds(btf: &Btf) -> Vec<String> {
    let of = |id| btf.type_by_id(id).ok();
    let is_target = |function: &Type<'_>| {
        let Kind::Function(function) = function.kind() else {
            return None;
        };
        let Kind::FunctionPrototype(prototype) = of(function.prototype)?.kind() else {
            return None;
        };
        let Kind::Pointer { target } = of(prototype.params().next()?.type_id)?.kind() else {
            return None;
        };
        (of(target)?.name() == "bpf_iter_meta").then_some(())
    };
    let named = btf.types().filter_map(|function| {
        let kind = function.name().strip_prefix("bpf_iter_")?;
        is_target(&function).map(|()| kind.to_owned())
    });
    let mut kinds: Vec<String> = named.collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// Functions that look as if they stood for a kind, and why they don't.
const NO_KINDS: [(&str, &str); 1] = [("get_info", "finds the program for those that do")];

/// Whatever the kernel's types have: a kind that comes with a newer one is not overlooked.
fn every() -> Outcome {
    needs_kernel(5, 8)?;
    let btf = host().btf()?;
    let kinds = kinds(&btf);
    ensure(kinds.iter().any(|kind| kind == "task"), || {
        format!("{kinds:?}")
    })?;
    let mut failed = Vec::new();
    let no_kind = |kind: &str| NO_KINDS.iter().any(|(name, _)| *name == kind);
    for kind in kinds.iter().filter(|kind| !no_kind(kind)) {
        if let Err(Stop::Fail(problem)) = walked(kind) {
            failed.push(format!("iter/{kind}: {problem}"));
        }
    }
    ensure(failed.is_empty(), || failed.join("\n"))
}

fn walked(kind: &str) -> Outcome {
    let mut object = object("iterators")?;
    object.only_programs(&["any"])?;
    object.program("any")?.attach_target(kind);
    let running = loaded(object, kind)?;
    let map = match kind {
        "bpf_map_elem" => Some("numbers"),
        "sockmap" => Some("sockets"),
        "bpf_sk_storage_map" => Some("kept"),
        _ => None,
    };
    let options = AttachOptions {
        elements: map.map(|map| running.loaded.map(map)).transpose()?,
        ..AttachOptions::default()
    };
    let seen = walk(&running, "any", &options)?;
    ensure(seen == 0, || format!("{seen} marks of nobody"))
}

fn mistakes() -> Outcome {
    needs_kernel(5, 9)?;
    let running = running("bpf_map_elem")?;
    let program = running.loaded.program("bpf_map_elem")?;
    let error = expect_err("no map", program.attach())?.to_string();
    ensure(error.contains("AttachOptions::elements"), || error.clone())?;
    let options = AttachOptions {
        elements: Some(running.loaded.map("sockets")?),
        ..AttachOptions::default()
    };
    let error = expect_err("a map of another kind", program.attach_with(&options))?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    ensure(cause.contains("does not walk over"), || {
        format!("{error}: {cause}")
    })
}
