//! CO-RE from Rust: what `core_read!` and its siblings give on this kernel, and for types that are
//! made up; by Skep and by libbpf.

use std::{fs, path::PathBuf, process::Command, sync::Arc};

use skep::{
    Object,
    boundary::TestRun,
    btf::{Btf, Builder, IntEncoding, KindTag, NewMember, rust_module},
};
use skep_testing::{Libbpf, Outcome, Stop, Test, View, ensure, expect_err, needs_kernel};

use crate::support::{Running, host};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("core_rust::a_tasks_fields_are_true", fields),
        Test::new("core_rust::what_the_types_say_is_true", numbers),
        Test::new("core_rust::moved_fields_are_followed", moved),
        Test::new("core_rust::a_removed_field_is_named", removed),
        Test::new(
            "core_rust::declarations_come_from_the_kernels_types",
            generated,
        ),
    ]
}

fn bytes(name: &str) -> Outcome<Vec<u8>> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/rust/{name}.rs"));
    skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))
}

/// `kernel_types.rs`, with one of its programs run.
fn run(program: &str) -> Outcome<Running> {
    needs_kernel(5, 11)?; // `bpf_get_current_task_btf`
    let running = Running::of(Object::parse("kernel_types", &bytes("kernel_types")?)?)?;
    let loaded = running.loaded.program(program)?;
    loaded.test_run(&mut TestRun::default())?;
    Ok(running)
}

fn check(running: &Running, name: &str, wanted: u64) -> Outcome {
    let got = running.number(name)?;
    ensure(got == wanted, || format!("{name}: {got}, not {wanted}"))
}

fn fields() -> Outcome {
    let thread = rustix::thread::gettid().as_raw_nonzero().get() as u64;
    let process = u64::from(std::process::id());
    let parent = rustix::process::getppid().map_or(0, |id| id.as_raw_nonzero().get() as u64);
    let helpers = run("by_helpers")?;
    let name = fs::read(format!("/proc/self/task/{thread}/comm"))?;
    for (name, wanted) in [
        ("pid", thread),
        ("tgid", process),
        ("parent", parent),
        ("letters", name.trim_ascii_end().len() as u64),
        ("reset", 0),
    ] {
        check(&helpers, name, wanted)?;
    }
    // By a way that begins at what only a typedef names, and by one that passes there.
    let users = helpers.number("users")?;
    ensure((1..1 << 16).contains(&users), || format!("{users} users"))?;
    check(&helpers, "users_by_path", users)?;
    let loads = run("by_loads")?;
    for (name, wanted) in [
        ("loaded_pid", thread),
        ("loaded_tgid", process),
        ("loaded_parent", parent),
        ("guarded", 5),
    ] {
        check(&loads, name, wanted)?;
    }
    // The nice value 0 is priority 120; this process may have another, between 100 and 139.
    let priority = loads.number("loaded_priority")?;
    ensure((100..140).contains(&priority), || format!("{priority}"))?;
    check(&helpers, "priority", priority)?;
    ensure(loads.number("vruntime")? != 77, || "not written".into())
}

fn numbers() -> Outcome {
    let running = run("by_loads")?;
    let btf = host().btf()?;
    let task = btf.find("task_struct", KindTag::Struct);
    let task = task.ok_or_else(|| Stop::fail("no task_struct"))?;
    for (name, wanted) in [
        ("has_pid", 1),
        ("has_never", 0),
        ("has_far", 1),
        ("comm_size", 16),
        ("pid_signed", 1),
        ("vruntime_signed", 0),
        ("type_there", 1),
        ("type_missing", 0),
        ("task_size", btf.size_of(task)?),
        ("list_matches", 1),
        ("other_matches", 0),
        ("task_id", task.0.into()),
        ("ringbuf", 27),
        ("has_hash", 1),
        ("has_never_type", 0),
        ("atomic_there", 1),
        ("atomic_named", 0),
        ("atomic_size", 4),
    ] {
        check(&running, name, wanted)?;
    }
    ensure(running.number("offset")? > 3, || "an offset of 0".into())
}

/// Where the number is in what `task_struct.count` points to, which only a typedef names.
const COUNTED: u32 = 76;

/// A `task_struct` in which `pid` is at `pid` bytes, if at all, and the bit field at `mode` bits.
fn types(pid: Option<u32>, inner: u32, mode: u32) -> Outcome<Vec<u8>> {
    let mut types = Builder::new();
    let int = types.int("unsigned int", 4, IntEncoding::UNSIGNED);
    let deep = types.structure("inner", 8, &[NewMember::new("deep", int, 32)]);
    let mut members = vec![NewMember::new("inner", deep, inner * 8)];
    members.push(NewMember {
        bitfield_size: 3,
        ..NewMember::new("mode", int, mode)
    });
    members.extend(pid.map(|pid| NewMember::new("pid", int, pid * 8)));
    let value = [NewMember::new("value", int, COUNTED * 8)];
    let count = types.structure("", 80, &value);
    let count = types.typedef("count_t", count);
    let count = types.pointer(count);
    members.push(NewMember::new("count", count, 1088));
    types.structure("task_struct", 256, &members);
    Ok(types.build()?)
}

/// What Skep and libbpf make of `kernel_fields.rs` for these types: the same instructions.
fn both(types: Vec<u8>) -> Outcome<(skep::spec::Image, View)> {
    let folder = tempfile::tempdir()?;
    let libbpf = Libbpf::build(folder.path())?;
    let (object_file, btf_file) = (folder.path().join("fields.o"), folder.path().join("t.btf"));
    let bytes = bytes("kernel_fields")?;
    fs::write(&object_file, &bytes)?;
    fs::write(&btf_file, &types)?;
    let mut object = Object::parse("fields", &bytes)?;
    object.core_btf(Arc::new(Btf::parse(types)?));
    let image = object.link(host())?;
    let theirs = libbpf.load_by(&object_file, &btf_file)?;
    let ours = View::of(object.spec(), &image, 1);
    ensure(ours.programs == theirs.programs, || {
        format!("{:#?}\nlibbpf: {:#?}", ours.programs, theirs.programs)
    })?;
    Ok((image, theirs))
}

fn moved() -> Outcome {
    for (pid, inner, mode) in [(8, 16, 256), (100, 40, 261), (200, 4, 1021)] {
        let (image, theirs) = both(types(Some(pid), inner, mode)?)?;
        let look = image
            .program("look")
            .ok_or_else(|| Stop::fail("no program"))?;
        ensure(look.poisoned.is_empty(), || format!("{:?}", look.poisoned))?;
        let byte = mode / 32 * 4;
        let shifts = [64 - 3 - mode % 32, 64 - 3];
        for number in [pid, inner + 4, byte, shifts[0], shifts[1], COUNTED] {
            let number = number as i32;
            let has = look.instructions.iter().any(|insn| insn.imm == number);
            ensure(has, || format!("no {number} in {:?}", look.instructions))?;
        }
        ensure(theirs.refusal.is_none(), || format!("{:?}", theirs.refusal))?;
    }
    Ok(())
}

fn removed() -> Outcome {
    let types = types(None, 16, 256)?;
    let mut object = Object::parse("fields", &bytes("kernel_fields")?)?;
    object.core_btf(Arc::new(Btf::parse(types.clone())?));
    let error = expect_err("a removed field", object.load(host()))?.to_string();
    for word in ["task_struct", "pid"] {
        ensure(error.contains(word), || error.clone())?;
    }
    let folder = tempfile::tempdir()?;
    let libbpf = Libbpf::build(folder.path())?;
    let (object_file, btf_file) = (folder.path().join("fields.o"), folder.path().join("t.btf"));
    fs::write(&object_file, bytes("kernel_fields")?)?;
    fs::write(&btf_file, types)?;
    let theirs = libbpf.load_by(&object_file, &btf_file)?.refusal;
    let theirs = theirs.ok_or_else(|| Stop::fail("libbpf loads it"))?;
    ensure(theirs.contains("task_struct.pid"), || theirs.clone())
}

fn generated() -> Outcome {
    needs_kernel(5, 11)?; // `bpf_get_current_task_btf`
    if skep_testing::is_prebuilt() {
        return Err(Stop::lacks("a compiler"));
    }
    let btf = host().btf()?;
    let find = |name, kind| {
        let found = btf.find(name, kind);
        found.ok_or_else(|| Stop::fail(format!("no {name}")))
    };
    let roots = [
        find("task_struct", KindTag::Struct)?,
        find("bpf_map_type", KindTag::Enum)?,
    ];
    let mut module = String::new();
    rust_module(&btf, Some(&roots), &mut module)?;
    let folder = tempfile::tempdir()?;
    let vmlinux = folder.path().join("vmlinux.rs");
    fs::write(&vmlinux, &module)?;
    let rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--check"])
        .arg(&vmlinux)
        .output();
    if let Ok(rustfmt) = rustfmt {
        let said = String::from_utf8_lossy(&rustfmt.stdout);
        ensure(rustfmt.status.success(), || said.into_owned())?;
    }
    let source = folder.path().join("generated_types.rs");
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rust/generated_types.rs");
    fs::copy(program, &source)?;
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let running = Running::of(Object::parse("generated_types", &bytes)?)?;
    let loaded = running.loaded.program("look")?;
    loaded.test_run(&mut TestRun::default())?;
    let thread = rustix::thread::gettid().as_raw_nonzero().get() as u64;
    let parent = rustix::process::getppid().map_or(0, |id| id.as_raw_nonzero().get() as u64);
    check(&running, "pid", thread)?;
    check(&running, "parent", parent)?;
    check(&running, "ringbuf", 27)?;
    let counted = running.number("counted")?;
    ensure((1..1000).contains(&counted), || {
        format!("{counted} references")
    })
}
