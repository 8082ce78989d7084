//! What can't be: each refusal names the program, the line, and what would help.

use skep::{
    AttachOptions, Error, Object, Rejection,
    abi::{KernelVersion, MapType},
    boundary::MapCreate,
};
use skep_testing::{Bpffs, Outcome, Stop, Test, ensure, expect_err, needs_kernel, needs_option};

use crate::{
    hooks::needs_security_programs,
    support::{Running, host, me, object},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("refusals::a_rejection_has_reason_line_and_log", rejected),
        Test::new("refusals::a_field_the_kernel_lacks_is_named", missing_field),
        Test::new(
            "refusals::an_instruction_the_kernel_lacks_is_named",
            too_new,
        ),
        Test::new("refusals::what_a_hook_needs_is_asked_for", options),
        Test::new("refusals::functions_that_take_none_are_named", targets),
        Test::new("refusals::security_hooks_that_take_none_are_named", hooks),
        Test::new("refusals::those_who_refuse_are_named", refuser),
        Test::new("refusals::a_truncated_object_is_refused", truncated),
        Test::new("refusals::other_files_are_no_objects", no_object),
        Test::new("refusals::the_file_is_named", file_is_named),
    ]
}

fn rejection(name: &str) -> Outcome<Box<Rejection>> {
    match expect_err(name, object(name)?.load(host()))? {
        Error::Rejected(rejection) => Ok(rejection),
        other => Err(Stop::fail(format!("{other:?}"))),
    }
}

fn rejected() -> Outcome {
    let rejection = rejection("rejected")?;
    let said = rejection.to_string();
    ensure(rejection.program == "count", || said.clone())?;
    ensure(rejection.message.contains("map_value_or_null"), || {
        said.clone()
    })?;
    ensure(
        rejection.insn.is_some() && rejection.missing.is_none(),
        || said.clone(),
    )?;
    let place = rejection
        .source
        .as_ref()
        .ok_or_else(|| Stop::fail("no source"))?;
    let line = std::fs::read_to_string(crate::support::source("rejected.bpf.c"))?
        .lines()
        .position(|line| line.contains("*value += 1"));
    let right = place.file.ends_with("rejected.bpf.c")
        && line.is_some_and(|line| place.line as usize == line + 1)
        && place.text.contains("*value += 1;");
    ensure(right, || format!("{place:?}"))?;
    ensure(
        said.contains("rejected.bpf.c:") && said.contains("*value += 1"),
        || said.clone(),
    )?;
    // From the first state to the statistics.
    let log = &rejection.log;
    ensure(log.contains("0: ") && log.contains("processed "), || {
        log.clone()
    })
}

fn missing_field() -> Outcome {
    let rejection = rejection("missing_field")?;
    let said = rejection.to_string();
    let named = ["look", "task_struct", "favourite_colour"];
    ensure(named.iter().all(|part| said.contains(part)), || {
        said.clone()
    })?;
    ensure(rejection.missing.is_some(), || said.clone())?;
    ensure(said.contains("missing_field.bpf.c:"), || said.clone())
}

/// What is said of a program of `targets.bpf.c`: it has all of this.
fn refused(program: &str, parts: &[&str]) -> Outcome {
    let mut object = object("targets")?;
    object.only_programs(&[program])?;
    let error = expect_err(program, object.load(host()))?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    if cause.contains("refuses all programs") {
        return Err(Stop::lacks("a kernel that lets programs patch functions"));
    }
    let fix = error.fix().unwrap_or_default();
    let said = format!("{error}; {cause}; {fix}");
    let missing = parts.iter().find(|part| !said.contains(**part));
    ensure(missing.is_none(), || format!("no {missing:?} in: {said}"))
}

fn targets() -> Outcome {
    needs_kernel(5, 10)?;
    refused(
        "unknown",
        &["`security_file_opne`", "did you mean `security_file_open`"],
    )?;
    let unmodifiable = [
        "`unmodifiable`",
        "`vfs_read`",
        "security_",
        "`fexit/vfs_read`",
    ];
    refused("unmodifiable", &unmodifiable)?;
    refused("unsleepable", &["`vfs_read`", "leave the `.s` off"])?;
    refused("returning", &["`returning`", "R0", "targets.bpf.c:"])
}

fn hooks() -> Outcome {
    needs_kernel(5, 11)?;
    needs_option("CONFIG_BPF_LSM")?;
    refused("misspelt", &["`file_opne`", "did you mean `file_open`"])?;
    refused("awake", &["`task_free`", "leave the `.s` off"])?;
    needs_kernel(6, 12)?;
    refused("disabled", &["`getprocattr`", "another hook"])?;
    refused(
        "positive",
        &["`positive`", "R0", "[-4095, 0]", "targets.bpf.c:"],
    )
}

/// A security program lets this process make no map, although it has the capabilities.
fn refuser() -> Outcome {
    needs_kernel(5, 7)?;
    needs_option("CONFIG_BPF_LSM")?;
    needs_security_programs()?;
    let mut guard = object("targets")?;
    guard.only_programs(&["guarding"])?;
    guard.global("guarded")?.set(me())?;
    let guard = Running::of(guard)?;
    let map = MapCreate::new(MapType::Array, "refused", 4, 4, 1);
    let make = || host().boundary().map_create(&map);
    let link = guard.loaded.program("guarding")?.attach()?;
    let refused = make();
    link.detach()?;
    let error = expect_err("a map", refused)?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    ensure(cause.contains("a program of the BPF LSM"), || {
        format!("{error}: {cause}")
    })?;
    make()?;
    Ok(())
}

/// Before 5.12 the kernel only says that reserved fields are used.
fn too_new() -> Outcome {
    if host().info().version >= KernelVersion::new(5, 12) {
        return object("new_atomic")?
            .load(host())
            .map(drop)
            .map_err(Into::into);
    }
    let rejection = rejection("new_atomic")?;
    let diagnosis = rejection.diagnosis.as_ref();
    let said = diagnosis.map(|diagnosis| diagnosis.to_string());
    let said = said.unwrap_or_else(|| rejection.to_string());
    let parts = ["atomic64_fetch_add", "needs Linux 5.12", "new_atomic.bpf.c"];
    ensure(parts.iter().all(|part| said.contains(part)), || {
        said.clone()
    })
}

fn options() -> Outcome {
    let running = Running::new("network")?;
    let attach = |name: &str, options: &AttachOptions| -> Outcome<String> {
        let error = expect_err(name, running.loaded.program(name)?.attach_with(options))?;
        Ok(format!("{error}; {}", error.fix().unwrap_or_default()))
    };
    for (name, part) in [
        ("device", "--device lo"),
        ("coming", "--device lo"),
        ("received", "socket"),
    ] {
        let said = attach(name, &AttachOptions::default())?;
        ensure(said.contains(name) && said.contains(part), || said.clone())?;
    }
    let lost = AttachOptions {
        device: Some("no-such-device".into()),
        cgroup: Some("/no/such/cgroup".into()),
        socket: Some(-1),
        ..AttachOptions::default()
    };
    for (name, part) in [
        ("device", "no-such-device"),
        ("going", "no-such-device"),
        ("sending", "/no/such/cgroup"),
        ("received", "-1"),
    ] {
        let said = attach(name, &lost)?;
        ensure(said.contains(part), || format!("{name}: {said}"))?;
    }
    Ok(())
}

fn truncated() -> Outcome {
    let source = crate::support::source("basics.bpf.c");
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    for length in [
        0,
        3,
        63,
        64,
        65,
        bytes.len() / 3,
        bytes.len() / 2,
        bytes.len() - 1,
    ] {
        let error = expect_err(
            &format!("{length} bytes"),
            Object::parse("cut", &bytes[..length]),
        )?;
        ensure(!error.to_string().is_empty(), || "no words".into())?;
    }
    Ok(())
}

fn no_object() -> Outcome {
    for (path, part) in [
        ("/etc/passwd", "ELF"),
        ("/proc/self/exe", "BPF"),
        ("/no/such/object.o", "/no/such/object.o"),
    ] {
        let error = expect_err(path, Object::open(path))?.to_string();
        ensure(error.contains(part), || error.clone())?;
    }
    Ok(())
}

/// What is wrong in an object is told with its file, its place, and what to do.
fn file_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bad.bpf.o");
    let file = path.display().to_string();
    let write = |text: &str| -> Outcome {
        let source = folder.path().join("bad.bpf.c");
        let head = "#include \"vmlinux.h\"\n#include <bpf/bpf_helpers.h>\n";
        let license = "char _license[] SEC(\"license\") = \"GPL\";\n";
        std::fs::write(&source, [head, text, license].concat())?;
        let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
        Ok(std::fs::write(&path, bytes)?)
    };
    let told = |error: Error, parts: &[&str]| {
        let said = error.to_string();
        let all = parts.iter().all(|part| said.contains(part));
        ensure(all && said.matches(&file).count() == 1, || said.clone())
    };
    let program = "SEC(\"socket\") int p(void *ctx) { return 0; }\n";
    let map = |fields: &str| {
        format!(
            "struct {{ __uint(type, BPF_MAP_TYPE_HASH); {fields} }} m SEC(\".maps\");\n{program}"
        )
    };

    write(&program.replace("socket", "scoket"))?;
    let error = expect_err("section", Object::open(&path))?;
    told(
        error,
        &[
            "unknown section `scoket` (program `p`)",
            "did you mean `socket`",
        ],
    )?;
    write(&map("__type(key, int); __uint(key_size, 8);"))?;
    let error = expect_err("sizes", Object::open(&path))?;
    told(
        error,
        &["map `m`: its key has 4 bytes by one attribute, 8 by another"],
    )?;

    write("extern int none(void) __ksym; SEC(\"socket\") int p(void *ctx) { return none(); }\n")?;
    let error = expect_err("extern", Object::open(&path)?.load(host()))?;
    told(error, &["extern `none`", "used in `p`, instruction 0"])?;
    write(&map("__type(key, int); __type(value, int);"))?;
    let error = expect_err("entries", Object::open(&path)?.load(host()))?;
    told(
        error,
        &[
            "map `m`: max_entries of a hash map must be greater than 0",
            "--map-size",
        ],
    )?;

    let mut object = Object::open(&path)?;
    object.map("m")?.max_entries(1);
    let pins = Bpffs::mount()?;
    let pin = pins.path().join("shape");
    object.load(host())?.map("m")?.pin(&pin)?;
    let place = pin.display().to_string();
    object.map("m")?.max_entries(2).pin_path(&*place);
    let error = expect_err("a pin", object.load(host()))?;
    told(
        error,
        &[
            &place,
            "map `m` of ",
            "it has 1 entries, not 2",
            "remove the pin",
        ],
    )
}
