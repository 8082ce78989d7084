//! What is used where a kernel lacks the better way: the best form of a program that it takes, and types
//! that come along. Each is told, and nothing is where all is there.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use rustix::mount::{MountFlags, mount};
use skep::{
    BtfArchive, Error, Fallback, LoadOptions, Loaded, Object, PerfBuffer, RingBuffer,
    abi::{LoaderFeature, MapType},
    boundary::{Feature, Hook, TestRun},
    btf::{Btf, KindTag, Minimizer},
};
use skep_testing::{Outcome, Stop, Test, ensure, eventually, expect_err, find_tool, needs_kernel};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::{
    hooks::{call, read},
    perf::{SMALL, a_cpu},
    support::{Running, boundary, host, me, object},
};

/// The part of a process that can't see the kernel's types.
pub(crate) const PART: &str = "without types";

/// Where that finds others, and whom it counts.
const FOLDER: &str = "SKEP_TEST_TYPES";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("fallbacks::the_best_form_is_loaded_alone", best),
        Test::new(
            "fallbacks::a_form_whose_place_lacks_is_passed_over",
            passed_over,
        ),
        Test::new("fallbacks::who_chooses_a_form_has_it", chosen),
        Test::new("fallbacks::forms_that_can_t_be_are_told", wrong),
        Test::new("fallbacks::each_of_no_forms_is_told", none),
        Test::new(
            "fallbacks::types_of_an_archive_are_used_where_none_are",
            types,
        ),
        Test::new("fallbacks::records_come_by_ring_or_perf_buffer", outputs),
    ]
}

/// The languages that programs are written in.
const LANGUAGES: [fn(&str) -> Outcome<Object>; 2] = [object, in_rust];

/// The object of `tests/rust/<name>.rs`.
fn in_rust(name: &str) -> Outcome<Object> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/rust/{name}.rs"));
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    Ok(Object::parse(name, &bytes)?)
}

fn forms() -> Outcome<Object> {
    of_mine(object("forms")?)
}

/// That counts for this process.
fn of_mine(mut object: Object) -> Outcome<Object> {
    object.global("target_pid")?.set(me())?;
    Ok(object)
}

/// The forms, the best first: program, counter, and whether this kernel has its hook.
fn each_form() -> [(&'static str, &'static str, bool); 3] {
    let has = |hook| boundary().probe(&Feature::Hook(hook)).is_yes();
    [
        ("at_entry", "by_entry", has(Hook::Fentry)),
        ("probed", "by_probe", has(Hook::Kprobe)),
        ("traced", "by_tracepoint", true),
    ]
}

/// Only this form is loaded, fires, and is gone again.
fn is_used(object: Object, program: &str) -> Outcome<Loaded> {
    let running = Running::of(object)?;
    let names: Vec<&str> = running
        .loaded
        .programs()
        .map(|known| known.name())
        .collect();
    ensure(names == [program], || format!("{names:?}, not {program}"))?;
    let links = running.loaded.attach_all()?;
    read()?;
    drop(links);
    for (name, counter, _) in each_form() {
        let hits = running.number(counter)?;
        ensure((hits > 0) == (name == program), || {
            format!("{counter} is {hits}, with {program}")
        })?;
    }
    Ok(running.loaded)
}

/// What was told of a load, as text.
fn told(loaded: &Loaded) -> Vec<String> {
    let all = loaded.fallbacks().iter();
    all.map(ToString::to_string).collect()
}

fn best() -> Outcome {
    needs_kernel(5, 8)?;
    LANGUAGES
        .iter()
        .try_for_each(|object| best_of(of_mine(object("forms")?)?))
}

fn best_of(forms: Object) -> Outcome {
    let forms_here = each_form();
    let best = forms_here.iter().position(|(.., there)| *there);
    let best = best.unwrap_or(forms_here.len() - 1);
    let program = forms_here[best].0;
    let loaded = is_used(forms, program)?;
    let said = told(&loaded);
    match loaded.fallbacks() {
        [] => ensure(best == 0, || format!("{program} in silence")),
        [
            Fallback::Program {
                wanted,
                used,
                because,
            },
        ] => {
            let right = wanted.0 == "at_entry" && used.0 == program && because.len() == best;
            ensure(right && best > 0, || format!("{said:?}"))?;
            let line = &said[0];
            let parts = [
                "fentry/vfs_read",
                "in place of `at_entry`",
                because[0].as_str(),
            ];
            ensure(parts.iter().all(|part| line.contains(part)), || {
                line.clone()
            })
        }
        _ => Err(Stop::fail(format!("{said:?}"))),
    }
}

/// The first form has no function here, on no kernel.
fn passed_over() -> Outcome {
    needs_kernel(5, 8)?;
    let mut object = forms()?;
    object
        .program("at_entry")?
        .attach_target("no_such_function");
    let expected = if each_form()[1].2 { "probed" } else { "traced" };
    let loaded = is_used(object, expected)?;
    let said = told(&loaded).join("\n");
    ensure(said.contains("no_such_function"), || said.clone())?;
    // And neither has the second.
    let mut object = forms()?;
    for name in ["at_entry", "probed"] {
        object.program(name)?.attach_target("no_such_function");
    }
    let loaded = is_used(object, "traced")?;
    let said = told(&loaded).join("\n");
    ensure(said.starts_with("`traced` (tracepoint/"), || said.clone())?;
    // The choice can be made before, and stays.
    let mut object = forms()?;
    object
        .program("at_entry")?
        .attach_target("no_such_function");
    let settled = object.settle(host(), &LoadOptions::default())?.to_vec();
    let loaded = is_used(object, expected)?;
    ensure(loaded.fallbacks() == settled && settled.len() == 1, || {
        format!("{settled:?}, {:?}", loaded.fallbacks())
    })
}

fn chosen() -> Outcome {
    needs_kernel(5, 8)?;
    let mut object = forms()?;
    object.only_programs(&["traced"])?;
    let loaded = is_used(object, "traced")?;
    ensure(told(&loaded).is_empty(), || format!("{:?}", told(&loaded)))?;
    // One that is left out is not tried.
    let mut object = forms()?;
    object.program("at_entry")?.autoload(false);
    object.program("probed")?.autoload(false);
    let loaded = is_used(object, "traced")?;
    ensure(told(&loaded).is_empty(), || format!("{:?}", told(&loaded)))
}

fn wrong() -> Outcome {
    let mut object = object("links")?;
    let error = expect_err("a name", object.fall_back(&["on_raw", "on_row"]))?.to_string();
    ensure(error.contains("on_row") && error.contains("on_raw"), || {
        error.clone()
    })?;
    object.fall_back(&["on_typed", "on_raw"])?;
    let error = expect_err("twice", object.fall_back(&["on_raw", "on_tracepoint"]))?.to_string();
    ensure(
        error.contains("`on_raw`") && error.contains("twice"),
        || error.clone(),
    )?;

    let folder = tempfile::tempdir()?;
    let source = folder.path().join("bad.bpf.c");
    let program = |name: &str, instead: &str| {
        format!("SEC(\"raw_tp/sys_enter\") {instead} int {name}(void *ctx) {{ return 0; }}\n")
    };
    for (programs, part) in [
        (
            [program("one", ""), program("two", "SKEP_INSTEAD_OF(none)")],
            "`none`",
        ),
        (
            [
                program("one", "SKEP_INSTEAD_OF(two)"),
                program("two", "SKEP_INSTEAD_OF(one)"),
            ],
            "stands in for itself",
        ),
    ] {
        let head = "#include \"vmlinux.h\"\n#include <bpf/bpf_helpers.h>\n#include \"skep.h\"\n";
        let license = "char _license[] SEC(\"license\") = \"GPL\";\n";
        fs::write(&source, [head, &programs.concat(), license].concat())?;
        let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
        let error = expect_err(part, Object::parse("bad", &bytes)?.load(host()))?.to_string();
        ensure(error.contains(part), || error.clone())?;
    }
    Ok(())
}

/// No form can be loaded: each is told with its own reason.
fn none() -> Outcome {
    needs_kernel(5, 8)?;
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("none.bpf.c");
    // Numbers are no addresses, for the verifier.
    let bad = "{ return *(volatile int *)bpf_get_current_pid_tgid(); }\n";
    let programs = [
        "#include \"vmlinux.h\"\n#include <bpf/bpf_helpers.h>\n#include \"skep.h\"\n",
        "SEC(\"fentry/no_such_function\") int first(void *ctx) { return 0; }\n",
        "SEC(\"kprobe/no_such_function\") SKEP_INSTEAD_OF(first) int second(void *ctx) { return 0; }\n",
        "SEC(\"raw_tp/sys_enter\") SKEP_INSTEAD_OF(second) int third(void *ctx) ",
        bad,
        "SEC(\"raw_tp/sys_exit\") SKEP_INSTEAD_OF(third) int fourth(void *ctx) ",
        bad,
        "char _license[] SEC(\"license\") = \"GPL\";\n",
    ];
    fs::write(&source, programs.concat())?;
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let error = expect_err("forms", Object::parse("none", &bytes)?.load(host()))?;
    let text = error.to_string();
    let Error::NoForm {
        program,
        refused,
        last,
    } = error
    else {
        return Err(Stop::fail(text));
    };
    let names: Vec<&str> = refused.iter().map(|form| form.program.as_str()).collect();
    ensure(
        program == "first" && names == ["first", "second", "third", "fourth"],
        || text.clone(),
    )?;
    ensure(matches!(*last, Error::Rejected(_)), || last.to_string())?;
    // In their order, a line each.
    let mut lines = text.lines().filter(|line| line.starts_with("  `"));
    for (name, section, part) in [
        ("first", "fentry/no_such_function", "no_such_function"),
        ("second", "kprobe/no_such_function", ""),
        ("third", "raw_tp/sys_enter", "third"),
        ("fourth", "raw_tp/sys_exit", "fourth"),
    ] {
        let line = lines.next().unwrap_or_default();
        let begin = format!("  `{name}` ({section}): ");
        ensure(line.starts_with(&begin) && line.contains(part), || {
            text.clone()
        })?;
    }
    ensure(text.contains("none of the 4 forms of `first`"), || {
        text.clone()
    })
}

fn relocated() -> Outcome<Object> {
    let mut object = object("forms")?;
    object.only_programs(&["relocated"])?;
    Ok(object)
}

#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Numbered {
    number: u64,
    check: u64,
}

/// Has so many records made.
fn produce(running: &Running, count: u64) -> Outcome {
    let context = [count.to_ne_bytes(), [0; 8]].concat();
    let program = running.loaded.program("produce")?;
    program.test_run(&mut TestRun {
        context_in: &context,
        flags: skep::abi::TestRunFlags::RUN_ON_CPU,
        cpu: a_cpu()?,
        ..TestRun::default()
    })?;
    Ok(())
}

/// Has 512 records made, and one more when there is room again; what came, and how many did not.
fn sent(running: &Running) -> Outcome<(Vec<u64>, u64)> {
    let map = running.loaded.map("events")?;
    let mut numbers = Vec::new();
    let mut take = |record: &Numbered| {
        let whole = record.check == record.number ^ 0x5555;
        numbers.push(record.number);
        ensure(whole, || format!("{record:?}"))
    };
    let in_buffer = match map.map_type() {
        Some(MapType::PerfEventArray) => {
            let mut buffer = PerfBuffer::<Numbered>::new(map, SMALL)?;
            for count in [512, 1] {
                produce(running, count)?;
                loop {
                    let batch = buffer.batch();
                    if batch.is_empty() {
                        break;
                    }
                    batch.iter().try_for_each(|record| take(&record))?;
                }
            }
            buffer.lost()
        }
        _ => {
            let mut ring = RingBuffer::<Numbered>::new(map)?;
            for count in [512, 1] {
                produce(running, count)?;
                ring.batch()?.iter().try_for_each(&mut take)?;
            }
            0
        }
    };
    // Each loss is counted once.
    Ok((numbers, in_buffer + running.number("skep_lost")?))
}

fn outputs() -> Outcome {
    needs_kernel(5, 10)?;
    LANGUAGES
        .iter()
        .try_for_each(|language| outputs_of(*language))
}

fn outputs_of(object: fn(&str) -> Outcome<Object>) -> Outcome {
    // What the kernel has by its own types, and by others, in which the helper is not.
    let types = host().btf()?;
    let mut minimizer = Minimizer::new(&types);
    let helpers = types.find("bpf_func_id", KindTag::Enum);
    for (id, need) in object("outputs")?.spec().needed_types(&types)? {
        if Some(id) != helpers {
            minimizer.keep(id, need)?;
        }
    }
    let without = Arc::new(Btf::parse(minimizer.build()?)?);
    for (pretending, kind) in [(false, MapType::Ringbuf), (true, MapType::PerfEventArray)] {
        let mut object = object("outputs")?;
        if pretending {
            object.core_btf(Arc::clone(&without));
        }
        let running = Running::of(object)?;
        let found = running.loaded.map("events")?.map_type();
        ensure(found == Some(kind), || format!("{found:?}, not {kind}"))?;
        let said: Vec<String> = running
            .loaded
            .downgrades()
            .iter()
            .filter(|downgrade| downgrade.feature == LoaderFeature::RingBuffers)
            .map(ToString::to_string)
            .collect();
        let told = match said.as_slice() {
            [] => !pretending,
            [line] => pretending && line.contains("1 made perf buffers"),
            _ => false,
        };
        ensure(told, || format!("{said:?}"))?;
        let (numbers, lost) = sent(&running)?;
        let all: Vec<u64> = (0..512 - lost).chain([0]).collect();
        let whole = numbers == all;
        ensure(whole && lost > 0 && lost < 512, || {
            format!(
                "{kind}: {} and {lost} lost of 512: {numbers:?}",
                numbers.len()
            )
        })?;
    }
    Ok(())
}

/// Another process can't see the kernel's types, and finds what it needs of them in a folder.
fn types() -> Outcome {
    needs_kernel(5, 8)?;
    let object = relocated()?;
    let types = host().btf()?;
    let mut minimizer = Minimizer::new(&types);
    for (id, need) in object.spec().needed_types(&types)? {
        minimizer.keep(id, need)?;
    }
    let folder = tempfile::tempdir()?;
    let file = format!("{}.btf", host().info().release);
    let built = minimizer.build()?;
    fs::write(folder.path().join(file), built)?;
    let ran = Command::new(find_tool("unshare")?)
        .args(["--mount", "--"])
        .arg(env::current_exe()?)
        .env(skep_testing::PART, PART)
        .env(FOLDER, folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8_lossy(&ran.stdout);
    ensure(said.ends_with("done\n"), || said.into_owned())
}

/// What that process does.
pub(crate) fn without_types() -> Outcome {
    let folder = PathBuf::from(env::var_os(FOLDER).ok_or_else(|| Stop::fail(FOLDER))?);
    // Compiled before: its header is the types that are hidden then.
    let mut object = relocated()?;
    // Nobody else sees this mount.
    let none = MountFlags::empty();
    mount("none", "/sys/kernel/btf", "tmpfs", none, None)?;
    object.global("target_pid")?.set(me())?;
    let error = expect_err("a load without types", object.load(host()))?;
    let fix = error.fix().unwrap_or_default();
    ensure(fix.contains("--btf"), || format!("{error}: {fix}"))?;
    object.btf_where_none(BtfArchive::folder(folder.join("none")));
    let error = expect_err("an empty archive", object.load(host()))?.to_string();
    ensure(error.contains("no BTF of kernel"), || error.clone())?;
    object.btf_where_none(BtfArchive::folder(&folder));
    let running = Running::of(object)?;
    let said = told(&running.loaded);
    let told = match said.as_slice() {
        [line] => line.contains(&folder.display().to_string()) && line.contains("types"),
        _ => false,
    };
    ensure(told, || format!("{said:?}"))?;
    let link = running.loaded.program("relocated")?.attach()?;
    call()?;
    eventually("a hit", || Ok(running.number("relocated_hits")? > 0))?;
    Ok(link.detach()?)
}
