//! Kernel functions: programs in C write down what they are answered, on both hosts.

use std::{path::Path, sync::Arc, time::Duration};

use skep::{Loaded, Object};
use skep_abi::{KernelVersion, ProgramType};
use skep_host::{Host, HostKind, ProgramStream, TestRun};
use skep_testing::{Outcome, Stop, Test, ensure, host, needs_kernel};
use skep_vm::{Config, Engine, Vm};

use crate::support::{Record, agree_since, kernel, machine, on_vm};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("kfuncs::strings", || all("strings")),
        Test::new("kfuncs::graphs", || all("graphs")),
        Test::new("kfuncs::kept_objects", || all("kept")),
        Test::new("kfuncs::iterators", || all("iterators")),
        Test::new("kfuncs::cpumasks", || all("cpumasks")),
        Test::new("kfuncs::dynptrs", || all("dynptrs")),
        Test::new("kfuncs::engines_agree", engines),
        Test::new("kfuncs::older_names_do_the_same", older_names),
        Test::new("kfuncs::exceptions", || all("exceptions")),
        Test::new("kfuncs::sections", || all("sections")),
        Test::new("kfuncs::misc", || all("misc")),
        Test::new("kfuncs::work_is_done_later", later),
        Test::new("kfuncs::strings_of_newer_kernels", newer),
        Test::new("kfuncs::what_is_absent_is_named", absent),
        Test::new("kfuncs::streams_have_what_was_written", streams),
        Test::new("kfuncs::packets", || all("packets")),
    ]
}

/// The facts of every program of `tests/c/<name>.bpf.c`, compared.
pub(crate) fn all(name: &'static str) -> Outcome {
    let file = by_kernel(name);
    agree_since((6, 17), |host, record| walk(&host_of(host), record, &file))
}

/// The file of a test that calls what it calls by the names of the running kernel: those with new
/// names have a second one (`tests/c/renamed.h`).
fn by_kernel(name: &str) -> String {
    let renamed = match name {
        "misc" | "later" => (7, 0),
        "graphs" | "kept" => (7, 1),
        _ => return name.to_owned(),
    };
    let new = kernel().info().version >= KernelVersion::new(renamed.0, renamed.1);
    format!("{name}{}", if new { "" } else { "_impl" })
}

/// What was renamed can be called by either name on the machine.
fn older_names() -> Outcome {
    if !on_vm() {
        return Ok(());
    }
    for name in ["graphs", "kept", "misc"] {
        let (mut old, mut new) = (Record::default(), Record::default());
        let host = host_of(host());
        walk(&host, &mut new, name)?;
        walk(&host, &mut old, &format!("{name}_impl"))?;
        ensure(old == new, || format!("{name}: {old:#?}\n{new:#?}"))?;
    }
    Ok(())
}

/// An object of `tests/c`, with one program, on the test's host.
fn one(name: &str, program: &str) -> Outcome<(Object, Loaded)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/c/{name}.bpf.c"));
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let mut object = Object::parse(name, &bytes)?;
    object.only_programs(&[program])?;
    let loaded = object.load(&host_of(host()))?;
    Ok((object, loaded))
}

/// A 32-bit global.
fn number(object: &Object, loaded: &Loaded, name: &str) -> Outcome<i32> {
    let mut all = object.spec().variables().iter();
    let found = all.find(|variable| variable.name == name);
    let found = found.ok_or_else(|| Stop::fail(format!("no variable `{name}`")))?;
    let bytes = loaded.global(found)?;
    Ok(i32::from_le_bytes(bytes.try_into().unwrap_or_default()))
}

fn later() -> Outcome {
    needs_kernel(6, 18)?;
    match on_vm() {
        true => ["later", "later_impl"]
            .into_iter()
            .try_for_each(works_later),
        false => works_later(&by_kernel("later")),
    }
}

fn works_later(file: &str) -> Outcome {
    for (program, key) in [
        ("by_queue", 101),
        ("for_a_task", 102),
        ("for_a_resumed_task", 103),
    ] {
        let (object, loaded) = one(file, program)?;
        loaded.program(program)?.test_run(&mut TestRun::default())?;
        let done = || number(&object, &loaded, "done_key");
        // Nothing says when; but that it happens.
        for _ in 0..2000 {
            if done()? != 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        ensure(done()? == key, || format!("{program}: {:?}", done()))?;
        let (wanted, pid) = (
            number(&object, &loaded, "wanted_pid")?,
            number(&object, &loaded, "done_pid")?,
        );
        ensure(wanted == pid, || {
            format!("{program}: for {pid}, not {wanted}")
        })?;
    }
    Ok(())
}

fn newer() -> Outcome {
    if !on_vm() {
        needs_kernel(7, 0)?;
    }
    let (_, loaded) = one("newer", "whatever_case")?;
    let run = loaded
        .program("whatever_case")?
        .test_run(&mut TestRun::default())?;
    ensure(run.return_value == 0, || {
        format!("tests/c/newer.bpf.c:{}", run.return_value)
    })
}

fn absent() -> Outcome {
    if !on_vm() {
        return Ok(());
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/absent.bpf.c");
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let object = Object::parse("absent", &bytes)?;
    let Err(error) = object.load(&host_of(host())) else {
        return Err(Stop::fail("it loads"));
    };
    let text = error.to_string();
    let named = text.contains("bpf_iter_kmem_cache_new") && text.contains("vm");
    ensure(named, || text)
}

fn streams() -> Outcome {
    if !on_vm() {
        return Ok(());
    }
    let (_, loaded) = one("misc", "streams")?;
    let program = loaded.program("streams")?;
    program.test_run(&mut TestRun::default())?;
    for stream in [ProgramStream::Output, ProgramStream::Error] {
        let mut bytes = [0; 64];
        let read = host().prog_stream_read(program.fd(), stream, &mut bytes)?;
        let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
        ensure(text == "7 and hello\n", || format!("{text:?}"))?;
    }
    Ok(())
}

/// The same facts of both engines.
fn engines() -> Outcome {
    needs_kernel(6, 17)?;
    if !on_vm() {
        return Ok(());
    }
    let mut config = Config::default();
    config.engine = Engine::Jit;
    config.cpus = machine().possible_cpus()? as u32;
    let compiled = skep::Host::new(Arc::new(Vm::with(config)?));
    for name in [
        "strings",
        "graphs",
        "iterators",
        "cpumasks",
        "dynptrs",
        "exceptions",
        "sections",
        "misc",
    ] {
        let (mut ours, mut theirs) = (Record::default(), Record::default());
        walk(
            &skep::Host::new(Arc::new(machine().clone())),
            &mut ours,
            name,
        )?;
        walk(&compiled, &mut theirs, name)?;
        ensure(ours == theirs, || format!("{name}: {ours:#?}\n{theirs:#?}"))?;
    }
    Ok(())
}

/// The host as the library has it.
pub(crate) fn host_of(host: &dyn Host) -> skep::Host {
    match host.info().kind {
        HostKind::Vm => skep::Host::new(Arc::new(crate::support::machine().clone())),
        _ => skep::Host::new(Arc::clone(crate::support::linux()) as _),
    }
}

/// A packet of UDP, a page or so long.
fn packet() -> Vec<u8> {
    let mut packet: Vec<u8> = (0..3600).map(|at| (at * 7 + at / 256) as u8).collect();
    packet[..12].fill(0);
    packet[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
    packet
}

fn walk(host: &skep::Host, record: &mut Record, name: &str) -> Outcome {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/c/{name}.bpf.c"));
    let folder = env!("CARGO_TARGET_TMPDIR");
    let bytes = match name {
        // Type tags, which older compilers leave out.
        "kept" | "kept_impl" | "arena" => skep_testing::compile_with("clang-19", &source, folder),
        _ => skep_testing::compile(&source, folder),
    }?;
    let names: Vec<_> = Object::parse(name, &bytes)?
        .spec()
        .programs()
        .iter()
        .map(|program| program.name.clone())
        .collect();
    for program in names {
        let mut object = Object::parse(name, &bytes)?;
        object.only_programs(&[&program])?;
        let loaded = loaded_with_log(&object, &program, host)?;
        let loaded_program = loaded.program(&program)?;
        let packet = match name {
            "packets" => packet(),
            _ if loaded_program.program_type() != ProgramType::Syscall => vec![1; 64],
            _ => Vec::new(),
        };
        let mut left = vec![0; 2 * packet.len()];
        let outcome = loaded_program.test_run(&mut TestRun {
            data_in: &packet,
            data_out: &mut left,
            ..TestRun::default()
        });
        let outcome = outcome.map_err(|error| {
            let cause = error.cause().map(ToString::to_string).unwrap_or_default();
            Stop::fail(format!("{error}: {cause}"))
        })?;
        record.fact(format!("{program} returns"), outcome.return_value as i32);
        left.truncate(outcome.data_out_size as usize);
        record.fact(format!("{program} leaves"), left);
        written_down(record, name, &program, &object, &loaded)?;
    }
    Ok(())
}

/// Loads an object with this one program; a failure has the verifier's log.
pub(crate) fn loaded_with_log(
    object: &Object,
    program: &str,
    host: &skep::Host,
) -> Outcome<Loaded> {
    object.load(host).map_err(|error| {
        let log = error.log().unwrap_or_default();
        let cause = error.cause().map(ToString::to_string).unwrap_or_default();
        Stop::fail(format!("{program}: {error}: {cause}\n{log}"))
    })
}

/// Records what a program of `tests/c/<name>.bpf.c` has written down (`facts.h`).
pub(crate) fn written_down(
    record: &mut Record,
    name: &str,
    program: &str,
    object: &Object,
    loaded: &Loaded,
) -> Outcome {
    let global = |name: &str| {
        let mut all = object.spec().variables().iter();
        let found = all.find(|variable| variable.name == name);
        let found = found.ok_or_else(|| Stop::fail(format!("no variable `{name}`")))?;
        Ok::<_, Stop>(loaded.global(found)?)
    };
    let numbers = global("facts")?;
    let lines = global("lines")?;
    let count = global("count")?;
    let count = u32::from_le_bytes(count.try_into().unwrap_or_default()) as usize;
    ensure(count > 0, || format!("{program} wrote nothing down"))?;
    let facts = numbers.chunks_exact(8).zip(lines.chunks_exact(4));
    for (fact, line) in facts.take(count) {
        let fact = i64::from_le_bytes(fact.try_into().unwrap_or_default());
        let line = u32::from_le_bytes(line.try_into().unwrap_or_default());
        let source = name.trim_end_matches("_impl");
        record.fact(format!("{source}.bpf.c:{line}, {program}"), fact);
    }
    Ok(())
}
