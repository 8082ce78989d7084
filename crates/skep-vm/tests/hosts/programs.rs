//! Loading and running programs.

use skep_abi::{
    AttachType, KernelVersion, MapCreateFlags, MapType, ProgLoadFlags, ProgramType, TestRunFlags,
};
use skep_host::{
    AttachPoint, Errno, Error, Host, MapCreate, MapFd, ProgramBtf, ProgramLoad, TestRun,
};
use skep_testing::{Outcome, Stop, Test, ensure, host, needs_kernel_of};

use crate::support::{Record, agree, agree_since, code, int_types, is, load_on, on_vm};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("programs::malformed_ones_answer_alike", || agree(malformed)),
        Test::new("programs::requests_answer_alike", || agree(requests)),
        Test::new("programs::targets_answer_alike", || agree(targets)),
        Test::new("programs::instructions_are_counted", counted),
        Test::new("programs::logs_name_instruction_and_reason", logs),
        Test::new("programs::test_runs_answer_alike", || agree(runs)),
        Test::new("programs::exclusive_maps_take_one_program", || {
            agree(exclusive)
        }),
        Test::new("programs::who_may_sleep_answers_alike", || {
            agree_since((6, 18), sleepers)
        }),
        Test::new("programs::sleepers_at_tracepoints", sleepers_at_tracepoints),
        Test::new("programs::values_that_were_given_stay", || agree(given)),
    ]
}

fn malformed(host: &dyn Host, record: &mut Record) -> Outcome {
    for (what, text) in [
        ("jump out", "goto +9\n exit"),
        ("falls through", "r0 = 0"),
        ("unknown helper", "call 9999\n exit"),
        ("wrong helper", "r0 = 0\n call 44\n exit"),
        ("frame pointer", "r10 = 0\n r0 = 0\n exit"),
        ("bad descriptor", "r1 = map[fd:999]\n r0 = 0\n exit"),
        ("good", "r0 = 0\n exit"),
    ] {
        let Ok(code) = code(text) else {
            record.fact(what, "no assembly");
            continue;
        };
        let loaded = host.prog_load(&ProgramLoad::new(ProgramType::SocketFilter, "p", &code));
        record.done(what, &loaded);
    }
    let good = code("r0 = 0\n exit")?;
    for (what, bytes) in [("nothing", &[][..]), ("half an instruction", &good[..4])] {
        let loaded = host.prog_load(&ProgramLoad::new(ProgramType::SocketFilter, "p", bytes));
        record.done(what, &loaded);
    }
    let mut unknown = good.clone();
    unknown[0] = 0xff;
    let loaded = host.prog_load(&ProgramLoad::new(ProgramType::SocketFilter, "p", &unknown));
    record.done("unknown opcode", &loaded);
    Ok(())
}

fn requests(host: &dyn Host, record: &mut Record) -> Outcome {
    let code = code("r0 = 0\n exit")?;
    for &program_type in ProgramType::ALL {
        // Some kernels are built without the one, or forbid the other.
        if matches!(program_type, ProgramType::Lsm | ProgramType::Ext) {
            continue;
        }
        let mut request = ProgramLoad::new(program_type, "p", &code);
        let least = program_type.least_program();
        request.expected_attach_type = least.attach_type;
        if program_type == ProgramType::Syscall {
            record.done("syscall", &host.prog_load(&request));
            request.flags = ProgLoadFlags::SLEEPABLE;
        }
        record.done(format!("type {program_type}"), &host.prog_load(&request));
    }
    for license in ["GPL", "Dual BSD/GPL", "MIT", ""] {
        // bpf_ktime_get_ns is for GPL-compatible programs.
        let code = crate::support::code("call 5\n r0 = 0\n exit")?;
        let mut request = ProgramLoad::new(ProgramType::SocketFilter, "p", &code);
        request.license = license;
        record.done(format!("licence {license}"), &host.prog_load(&request));
    }
    for attach in [
        AttachType::CgroupInetIngress,
        AttachType::CgroupInet4Connect,
        AttachType::Xdp,
    ] {
        for program_type in [
            ProgramType::CgroupSkb,
            ProgramType::Xdp,
            ProgramType::SocketFilter,
        ] {
            let mut request = ProgramLoad::new(program_type, "p", &code);
            request.expected_attach_type = Some(attach);
            record.done(
                format!("{program_type} as {attach}"),
                &host.prog_load(&request),
            );
        }
    }
    let mut request = ProgramLoad::new(ProgramType::SocketFilter, "p", &code);
    request.flags = ProgLoadFlags::SLEEPABLE;
    record.done("a filter that sleeps", &host.prog_load(&request));
    request.flags = ProgLoadFlags::from_bits_retain(1 << 30);
    record.done("unknown flag", &host.prog_load(&request));
    Ok(())
}

/// Targets of programs that have none, types without records, and the oldest attach types.
fn targets(host: &dyn Host, record: &mut Record) -> Outcome {
    let code = code("r0 = 1\n exit")?;
    for &program_type in ProgramType::ALL {
        // Those that have one are for tests of their own.
        if matches!(
            program_type,
            ProgramType::Lsm | ProgramType::Ext | ProgramType::Tracing | ProgramType::StructOps
        ) {
            continue;
        }
        for target in [1, 9999] {
            let mut request = ProgramLoad::new(program_type, "p", &code);
            request.expected_attach_type = program_type.least_program().attach_type;
            request.attach_btf_id = target;
            if program_type == ProgramType::Syscall {
                request.flags = ProgLoadFlags::SLEEPABLE;
            }
            let key = format!("{program_type} for {target}");
            record.done(key, &host.prog_load(&request));
        }
    }
    for program_type in [
        ProgramType::CgroupSock,
        ProgramType::SkReuseport,
        ProgramType::CgroupSkb,
        ProgramType::SkLookup,
    ] {
        let mut request = ProgramLoad::new(program_type, "p", &code);
        request.expected_attach_type = Some(AttachType::CgroupInetIngress);
        let key = format!("{program_type} as 0");
        record.done(key, &host.prog_load(&request));
    }
    let btf = int_types(host)?;
    let mut request = ProgramLoad::new(ProgramType::SocketFilter, "p", &code);
    request.btf = Some(ProgramBtf::new(&btf));
    let loaded = host.prog_load(&request);
    record.done("types without records", &loaded);
    record.fact("their id", host.prog_info(&loaded?.fd)?.btf_id != 0);
    let mut request = ProgramLoad::new(ProgramType::StructOps, "p", &code);
    for license in ["GPL", "MIT"] {
        request.license = license;
        let key = format!("struct_ops for nothing {license}");
        record.done(key, &host.prog_load(&request));
    }
    Ok(())
}

/// The verifier followed both ways of the jump.
fn counted() -> Outcome {
    let text = "r0 = *(u32 *)(r1 + 0)\n if r0 == 0 goto +1\n r0 = 2\n exit";
    let program = load_on(host(), ProgramType::SocketFilter, text, |_| {})?;
    let seen = host().prog_info(&program)?.verified_instructions;
    ensure((4..=6).contains(&seen), || seen.to_string())
}

fn logs() -> Outcome {
    let code = code("r1 = 0\n r0 = 0\n call 9999\n exit")?;
    let refused = host().prog_load(&ProgramLoad::new(ProgramType::SocketFilter, "p", &code));
    let Err(Error::Verifier { log, .. }) = refused else {
        return Err(Stop::fail(format!("{refused:?}")));
    };
    ensure(log.contains("9999"), || log.clone())?;
    ensure(!on_vm() || log.starts_with("2: (85)"), || log.clone())
}

fn runs(host: &dyn Host, record: &mut Record) -> Outcome {
    let code = "r0 = *(u64 *)(r1 +0)\n exit";
    let raw = load_on(host, ProgramType::RawTracepoint, code, |_| {})?;
    let context: Vec<u8> = (0..12u64).flat_map(u64::to_ne_bytes).collect();
    for (what, len, repeat, cpu, flags) in [
        ("all", 96, 0, 0, TestRunFlags::empty()),
        ("less", 16, 0, 0, TestRunFlags::empty()),
        ("short", 0, 0, 0, TestRunFlags::empty()),
        ("repeated", 96, 2, 0, TestRunFlags::empty()),
        ("cpu", 96, 0, 0, TestRunFlags::RUN_ON_CPU),
        ("no cpu", 96, 0, 9999, TestRunFlags::RUN_ON_CPU),
        ("cpu without the flag", 96, 0, 1, TestRunFlags::empty()),
    ] {
        let mut run = TestRun {
            context_in: &context[..len],
            repeat,
            cpu,
            flags,
            ..TestRun::default()
        };
        let outcome = host.prog_test_run(&raw, &mut run);
        let outcome = outcome.map(|outcome| outcome.return_value);
        let key = match what {
            "short" => "short context".to_owned(),
            what => format!("raw tracepoint {what}"),
        };
        record.answer(key, &outcome);
    }
    let text = "r0 = *(u32 *)(r1 +0)\n *(u32 *)(r1 +4) = r0\n exit";
    let syscall = load_on(host, ProgramType::Syscall, text, |request| {
        request.flags = ProgLoadFlags::SLEEPABLE;
    })?;
    for (what, data, repeat) in [("good", 0, 0), ("data", 4, 0), ("repeat", 0, 5)] {
        let mut out = [0; 8];
        let mut run = TestRun {
            data_in: &context[..data],
            context_in: &[9, 0, 0, 0, 1, 1, 1, 1],
            context_out: &mut out,
            repeat,
            ..TestRun::default()
        };
        let outcome = host.prog_test_run(&syscall, &mut run);
        let outcome = outcome.map(|outcome| (outcome.return_value, outcome.context_out_size));
        record.answer(format!("syscall {what}"), &outcome);
        record.fact("context", out);
    }
    let kprobe = load_on(host, ProgramType::Kprobe, "r0 = 0\n exit", |_| {})?;
    record.done(
        "kprobe",
        &host.prog_test_run(&kprobe, &mut TestRun::default()),
    );
    Ok(())
}

/// A program on a map of up to 16 bytes a value: what it sees of key 1 once it is set, what it
/// sees there when it is set anew, and what it finds then, eight bits each.
pub(crate) fn seen_text(map: &MapFd) -> String {
    let look = format!(
        "r1 = map[fd:{}]\n r2 = r10\n r2 += -4\n call 1\n",
        map.raw()
    );
    let look = format!("{look} if r0 == 0 goto none\n");
    let set = |value| {
        format!(
            "*(u64 *)(r10 - 24) = {value}\n *(u64 *)(r10 - 16) = 0\n
             r1 = map[fd:{}]\n r2 = r10\n r2 += -4\n r3 = r10\n r3 += -24\n r4 = 0\n
             call 2\n",
            map.raw()
        )
    };
    // R9: what is seen, eight bits each time.
    let see = |register| format!("r9 <<= 8\n r1 = *(u8 *)({register} + 0)\n r9 |= r1\n");
    [
        "*(u32 *)(r10 - 4) = 1\n r9 = 0\n",
        // Twice before it has any.
        &set(1),
        &set(2),
        &look,
        "r6 = r0\n",
        &see("r6"),
        &set(3),
        &see("r6"),
        &look,
        &see("r0"),
        "r0 = r9\n exit\n none:\n r0 = 0\n exit",
    ]
    .concat()
}

/// An update by a program that has the old value leaves that as it was.
fn given(host: &dyn Host, record: &mut Record) -> Outcome {
    let grows = MapCreateFlags::NO_PREALLOC;
    for (what, map_type, flags) in [
        ("hash", MapType::Hash, MapCreateFlags::empty()),
        ("hash that grows", MapType::Hash, grows),
        ("LRU", MapType::LruHash, MapCreateFlags::empty()),
        ("per CPU", MapType::PercpuHash, MapCreateFlags::empty()),
        ("array", MapType::Array, MapCreateFlags::empty()),
    ] {
        for size in [1, 2, 4, 8, 16] {
            let mut request = MapCreate::new(map_type, "given", 4, size, 8);
            request.flags = flags;
            let map = host.map_create(&request)?;
            let text = seen_text(&map);
            let program = load_on(host, ProgramType::RawTracepoint, &text, |_| {})?;
            for turn in 1..=2 {
                let outcome = host.prog_test_run(&program, &mut TestRun::default());
                let outcome = outcome.map(|outcome| format!("{:#x}", outcome.return_value));
                record.answer(format!("{what} of {size}, {turn}"), &outcome);
            }
        }
    }
    Ok(())
}

fn exclusive(host: &dyn Host, record: &mut Record) -> Outcome {
    needs_kernel_of(host, 6, 18)?;
    let mut request = MapCreate::new(MapType::Array, "mine", 4, 8, 1);
    let hash = [1; 32];
    request.exclusive = Some(&hash);
    let map = host.map_create(&request)?;
    let text = format!("r1 = map[fd:{}]\n r0 = 0\n exit", map.raw());
    let code = code(&text)?;
    let loaded = host.prog_load(&ProgramLoad::new(ProgramType::SocketFilter, "p", &code));
    record.done("another program", &loaded);
    Ok(())
}

/// Programs of each type, for each of its attach types, that want to sleep.
fn sleepers(host: &dyn Host, record: &mut Record) -> Outcome {
    let code = code("r0 = 0\n exit")?;
    for &program_type in ProgramType::ALL {
        // Some kernels are built without the one, or forbid the other; and these may sleep since
        // Linux 7.2: below.
        if matches!(
            program_type,
            ProgramType::Lsm
                | ProgramType::Ext
                | ProgramType::Tracepoint
                | ProgramType::RawTracepoint
        ) {
            continue;
        }
        let types = program_type.attach_types().iter().copied().map(Some);
        for attach_type in types.chain([None]) {
            let of_functions = matches!(
                attach_type,
                Some(AttachType::TraceFentry | AttachType::TraceFexit | AttachType::ModifyReturn)
            );
            if of_functions {
                continue;
            }
            for flags in [ProgLoadFlags::empty(), ProgLoadFlags::SLEEPABLE] {
                let mut request = ProgramLoad::new(program_type, "p", &code);
                request.expected_attach_type = attach_type;
                request.flags = flags;
                let key = format!("{program_type} {attach_type:?} {flags:?}");
                record.done(key, &host.prog_load(&request));
            }
        }
    }
    Ok(())
}

/// Tracepoints of system calls are where programs may sleep, and no others.
fn sleepers_at_tracepoints() -> Outcome {
    let code = code("r0 = 0\n exit")?;
    let load = |program_type| {
        let mut request = ProgramLoad::new(program_type, "p", &code);
        request.flags = ProgLoadFlags::SLEEPABLE;
        host().prog_load(&request).map(|loaded| loaded.fd)
    };
    if host().info().version < KernelVersion::new(7, 2) {
        for program_type in [ProgramType::Tracepoint, ProgramType::RawTracepoint] {
            let refused = is(&load(program_type), Errno::EINVAL);
            ensure(refused, || format!("{program_type} may sleep before 7.2"))?;
        }
        return Ok(());
    }
    let raw = load(ProgramType::RawTracepoint)?;
    for (name, may) in [
        ("sys_enter", true),
        ("sys_exit", true),
        ("sched_process_exec", false),
    ] {
        let opened = host().raw_tracepoint_open(&raw, Some(name), 0);
        let right = if may {
            opened.is_ok()
        } else {
            is(&opened, Errno::EINVAL)
        };
        ensure(right, || format!("{name}: {opened:?}"))?;
    }
    let formatted = load(ProgramType::Tracepoint)?;
    for (category, name, may) in [
        ("syscalls", "sys_enter_getpid", true),
        ("sched", "sched_process_exec", false),
    ] {
        let point = AttachPoint::Tracepoint {
            category: category.to_owned(),
            name: name.to_owned(),
            cookie: None,
        };
        let opened = host().attach("p", &formatted, ProgramType::Tracepoint, &point);
        let right = if may {
            opened.is_ok()
        } else {
            is(&opened, Errno::EINVAL)
        };
        ensure(right, || format!("{category}/{name}: {opened:?}"))?;
    }
    Ok(())
}
