//! Light forms as their users have them: generated, compiled by cargo in a package of its own, run.

mod package;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, LazyLock},
};

use skep::{
    Host, LoadOptions, Object,
    abi::{AttachType, ProgramType},
    boundary::{Host as _, ProgramLoad, TestRun},
    linux::LinuxHost,
    spec::Target,
};
use skep_testing::{Bpffs, Outcome, Stop, Test, ensure, expect_err, needs_kernel};

use package::{Package, output, source};

static KERNEL: LazyLock<Arc<LinuxHost>> = LazyLock::new(|| {
    let kernel = LinuxHost::new().expect("a kernel that says its version");
    Arc::new(kernel)
});

fn main() -> std::process::ExitCode {
    let tests = vec![
        Test::new("light::loads_fires_and_reads", loads),
        Test::new("light::another_kernel_is_refused_by_name", another),
        Test::new(
            "light::signed_instructions_load_as_they_were_signed",
            signed,
        ),
        Test::new("light::maps_are_shared_by_their_pins", pins),
        Test::new("light::variables_are_in_an_arena", arena),
        Test::new("light::programs_are_on_functions_of_others", replaces),
        Test::new("light::what_has_no_light_form_is_named", not_light),
    ];
    skep_testing::run("skep-light", || &**KERNEL, tests)
}

fn host() -> Host {
    Host::new(Arc::clone(&KERNEL) as _)
}

fn object(path: &str) -> Outcome<Object> {
    let bytes = skep_testing::compile(&source(path), env!("CARGO_TARGET_TMPDIR"))?;
    Ok(Object::parse("light", &bytes)?)
}

fn light() -> Outcome<String> {
    needs_kernel(6, 2)?;
    Ok(object("light.bpf.c")?.light(&host())?.to_rust("light"))
}

fn loads() -> Outcome {
    let package = Package::new()?;
    let said = package.run(&light()?)?;
    let wanted = "ring: 8192\n\
                  event: [110, 101, 42, 1, 0, 0, 0, 0]\n\
                  event: [110, 101, 42, 1, 0, 0, 0, 0]\n\
                  event: [110, 101, 42, 1, 0, 0, 0, 0]\n\
                  came: true 3\n\
                  seen: 3, then 3\n\
                  offset: 8\n\
                  first: Some(18)\n\
                  rest: false\n";
    ensure(said == wanted, || said.clone())?;
    // The names of its functions are in it, and there is none of what reads files.
    let binary = std::fs::read(package.binary())?;
    let has = |text: &str| {
        binary
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    ensure(has("skep_light"), || "a binary without names".into())?;
    for parser in ["skep_btf", "skep_object", "ElfFile"] {
        ensure(!has(parser), || format!("{parser} is in the binary"))?;
    }
    Ok(())
}

/// Offsets of another build of the kernel do nothing here; nor does a newer kernel's program.
fn another() -> Outcome {
    let package = Package::new()?;
    let source = light()?;
    let changed = |from: &str, to: &str| {
        let (before, rest) = source.split_once(from)?;
        let (_, after) = rest.split_once([',', '"'])?;
        let end = &rest[rest.len() - after.len() - 1..];
        Some(format!("{before}{from}{to}{end}"))
    };
    let other = changed("release: \"", "6.18.0-other").zip(changed("fingerprint: ", "0x1"));
    let (_, other_types) = other.ok_or_else(|| skep_testing::Stop::fail("another form"))?;
    let other_types = other_types.replacen("release: \"", "release: \"0-", 1);
    let said = package.run(&other_types)?;
    ensure(
        said.starts_with("error: the programs of `light` were relocated for Linux 0-")
            && said.contains("has other types: make them again there (`skep gen light`)"),
        || said.clone(),
    )?;
    let newer = source.replacen("KernelVersion::new(", "KernelVersion::new(2", 1);
    let said = package.run(&newer)?;
    ensure(said.contains("which is older"), || said.clone())
}

/// Instructions that are signed have no descriptor in them, and load by an array of those; a kernel
/// that checks no signatures says so, and one that does refuses what is none.
fn signed() -> Outcome {
    needs_kernel(5, 17)?;
    let object = object("../../skep/tests/c/token.bpf.c")?;
    let host = host();
    let mut light = object.light(&host)?;
    let loaded = object.load(&host)?;
    let maps = loaded.maps().iter().map(|map| map.fd().raw());
    let descriptors: Vec<i32> = std::iter::once(0).chain(maps).collect();
    let code = light.to_sign()?;
    let code = code
        .first()
        .map(|(_, code)| code.clone())
        .unwrap_or_default();
    let request = ProgramLoad {
        fd_array: &descriptors,
        expected_attach_type: Some(AttachType::Xdp),
        ..ProgramLoad::new(ProgramType::Xdp, "by_place", &code)
    };
    let program = KERNEL.prog_load(&request)?.fd;
    let mut run = TestRun {
        data_in: &[0; 64],
        ..TestRun::default()
    };
    let passed = KERNEL.prog_test_run(&program, &mut run)?.return_value == 2;
    let mut variables = object.spec().variables().iter();
    let seen = variables.find(|variable| variable.name == "seen");
    let seen = seen.map(|seen| loaded.global(seen)).transpose()?;
    ensure(passed && seen == Some(1_u64.to_ne_bytes().to_vec()), || {
        format!("{passed} {seen:?}")
    })?;

    needs_kernel(6, 18)?;
    if needs_kernel(7, 3).is_ok() {
        let error = expect_err("maps", light.sign("packet", b"none"))?.to_string();
        return ensure(error.contains("since Linux 7.3"), || error.clone());
    }
    light.sign("packet", b"none")?;
    let package = Package::of("signed")?;
    let said = package.run(&light.to_rust("light"))?;
    let words = match KERNEL.config("CONFIG_SYSTEM_DATA_VERIFICATION")? {
        Some(_) => "cause: the signature is none that the kernel can read",
        None => "cause: this kernel is built without CONFIG_SYSTEM_DATA_VERIFICATION",
    };
    ensure(said.contains(words), || said.clone())
}

/// A map that is pinned by its name is made once, whoever comes first; what is there of another shape,
/// or is no map, is named with its path.
fn pins() -> Outcome {
    needs_kernel(5, 17)?;
    let object = object("shared.bpf.c")?;
    let light = object.light(&host())?.to_rust("light");
    let bpffs = Bpffs::mount()?;
    let folder = bpffs.path();
    let said = Package::of("shared")?.run_with(&light, &[folder.as_os_str()])?;
    let shared = folder.join("shared");
    let wanted = format!(
        "count: Some(1)\ncount: Some(2)\n\
         larger: {}: map `shared` of `light` is pinned there with another shape: it has 4 entries, \
         not 8; remove the pin, or pin it elsewhere\n\
         elsewhere: true\n",
        shared.display()
    );
    ensure(said == wanted, || said.clone())?;
    // The crate `skep` finds the same map there.
    let options = LoadOptions {
        pin_folder: folder.to_owned(),
        ..LoadOptions::default()
    };
    let loaded = object.load_with(&host(), &options)?;
    let value = loaded.map("shared")?.lookup(&1_u32.to_ne_bytes())?;
    ensure(value == Some(2_u64.to_ne_bytes().to_vec()), || {
        format!("{value:?}")
    })
}

fn arena() -> Outcome {
    needs_kernel(6, 9)?;
    // By a compiler that knows address spaces.
    let path = source("../../skep/tests/c/arena.bpf.c");
    let bytes = skep_testing::compile_with("clang-19", &path, env!("CARGO_TARGET_TMPDIR"))?;
    let object = Object::parse("light", &bytes)?;
    let light = object.light(&host())?.to_rust("light");
    let said = Package::of("arena")?.run(&light)?;
    let wanted = "walk: Some(45)\nsum: 45\nnumber: 45\nsmaller: 5\n\
                  none: map `arena`: its variables take";
    ensure(said.starts_with(wanted), || said.clone())
}

/// A function of a loaded program is replaced, and another traced, by programs that were linked when
/// nobody knew which one that would be. They ask for no kernel's types: one form is for all.
fn replaces() -> Outcome {
    needs_kernel(5, 10)?;
    let program = skep_testing::made_by("cargo", "a program with two light forms", || {
        let target = Target::of_release("5.10")?;
        let form = |mut object: Object, name: &str| -> Outcome<String> {
            if name == "patch" {
                object.program("after")?.of_program(true);
            }
            Ok(object.light_for(&target, "5.10")?.to_rust(name))
        };
        let firewall = form(object("firewall.bpf.c")?, "light")?;
        let patch = form(object("patch.bpf.c")?, "patch")?;
        let package = Package::of("replacing")?;
        package.build(&[("light", &firewall), ("patch", &patch)])?;
        Ok(fs::read(package.binary())?)
    })?;
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("replacing");
    fs::write(&place, program)?;
    fs::set_permissions(&place, Permissions::from_mode(0o755))?;
    let said = output(&place, &[])?;
    let before = "before: 2\n\
                  unknown: program `filter`, as a place for another: it has no function `nobody`; it \
                  has `filter`, `is_allowed`\n\
                  untold: program `nothing_is`: it is on a function of another program";
    ensure(said.starts_with(before), || said.clone())?;
    if said.contains("refuses all programs") {
        return Err(Stop::lacks("a kernel that lets programs patch functions"));
    }
    ensure(
        said.ends_with("replaced: 1\nafter: 2\ncalls: 1\nleft: 1\n"),
        || said.clone(),
    )
}

fn not_light() -> Outcome {
    needs_kernel(6, 18)?;
    let host = host();
    for (path, words) in [
        ("../../skep/tests/c/usdt.bpf.c", "static probe points"),
        (
            "../../skep/tests/c/exclusive.bpf.c",
            "exclusive to a program",
        ),
    ] {
        let mut object = object(path)?;
        if path.ends_with("exclusive.bpf.c") {
            object.map("secret")?.exclusive("owner");
        }
        let error = expect_err(path, object.light(&host))?.to_string();
        ensure(
            error.contains(words) && error.contains("light form"),
            || format!("{path}: {error}"),
        )?;
    }
    Ok(())
}
