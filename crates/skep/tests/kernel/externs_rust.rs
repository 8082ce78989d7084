//! What programs in Rust ask of the kernel by name, on this kernel; by Skep, by libbpf and by bpftool.

use std::{fs, path::PathBuf, process::Command};

use skep::{Object, btf::KindTag};
use skep_testing::{Bpffs, Libbpf, Outcome, Stop, Test, ensure, expect_err};

use crate::{
    externs::{self, check, check_options, kallsyms, options},
    support::{Running, boundary, host, needs_function},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("externs_rust::configuration_is_this_kernels", configuration),
        Test::new("externs_rust::symbols_have_their_addresses", symbols),
        Test::new("externs_rust::variables_are_read", variables),
        Test::new("externs_rust::functions_are_called", functions),
        Test::new("externs_rust::libbpf_and_bpftool_load_it", others),
        Test::new("externs_rust::what_is_not_there_is_named", missing),
    ]
}

fn bytes(name: &str) -> Outcome<Vec<u8>> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/rust/{name}.rs"));
    skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))
}

/// Runs one program of tests/rust.
fn run(name: &str, program: &str) -> Outcome<Running> {
    let mut object = Object::parse(name, &bytes(name)?)?;
    object.only_programs(&[program])?;
    externs::run(object, program)
}

fn configuration() -> Outcome {
    let option = options()?;
    let running = run("externs", "configuration")?;
    let code = boundary().info().version.code();
    check(&running, "version", code.into())?;
    check(&running, "bpf_syscall", 1)?;
    check(&running, "bpf_letter", b'y'.into())?;
    check(&running, "missing_option", 0)?;
    check(&running, "missing_module", 0)?;
    check(&running, "bpf_jit", 1)?;
    check(&running, "has_cookie", u64::from(code >= 0x05_0f_00))?;
    check_options(
        &running,
        &[
            ("CONFIG_HZ", "hz"),
            ("CONFIG_NR_CPUS", "cpus"),
            ("CONFIG_PHYSICAL_START", "physical_start"),
        ],
    )?;
    let mut wanted = [0; 8];
    let name = option("CONFIG_DEFAULT_HOSTNAME")?;
    let letters = name.trim_matches('"').bytes();
    wanted
        .iter_mut()
        .zip(letters)
        .for_each(|(to, from)| *to = from);
    check(&running, "hostname", u64::from_ne_bytes(wanted))
}

fn symbols() -> Outcome {
    let kallsyms = kallsyms()?;
    let running = run("externs", "symbols")?;
    check(&running, "put", kallsyms["bpf_prog_put"][0])?;
    check(&running, "nothing", 0)?;
    check(&running, "nothing_typed", 0)?;
    // Variables are there with CONFIG_KALLSYMS_ALL.
    match kallsyms.get("linux_banner") {
        Some(banner) => {
            check(&running, "banner", banner[0])?;
            check(&running, "letter", b'L'.into())
        }
        None => {
            check(&running, "banner", 0)?;
            check(&running, "letter", 77)
        }
    }
}

fn variables() -> Outcome {
    if !skep_testing::is_preparing() && !kallsyms()?.contains_key("linux_banner") {
        return Err(Stop::lacks("CONFIG_KALLSYMS_ALL"));
    }
    let running = run("kernel_variables", "variables")?;
    let btf = host().btf()?;
    let there = |name| btf.find(name, KindTag::Variable).is_some();
    if there("init_task") {
        check(&running, "init_pid", 0)?;
    }
    if there("bpf_prog_active") {
        for name in ["active", "first_active"] {
            let active = running.number(name)?;
            ensure(active < 8, || format!("{name}: {active} programs running"))?;
        }
        check(&running, "no_cpu", 1)?;
    }
    check(&running, "nothing", 0)
}

/// Whether this kernel has a function.
fn there(name: &str) -> Outcome<bool> {
    Ok(host().btf()?.find(name, KindTag::Function).is_some())
}

/// The first function that the programs call.
fn needs_functions() -> Outcome {
    needs_function("bpf_rcu_read_lock", "6.2")
}

fn functions() -> Outcome {
    needs_functions()?;
    let running = run("externs", "functions")?;
    check(&running, "locked", 1)?;
    check(&running, "called", 0)?;
    let image = running.loaded.image().program("functions");
    let poisoned = &image.ok_or_else(|| Stop::fail("no image"))?.poisoned;
    let named = |name: &str| poisoned.iter().any(|p| p.description.contains(name));
    ensure(named("bpf_no_such_function"), || format!("{poisoned:?}"))?;
    let both = there("bpf_task_from_pid")? && there("bpf_task_release")?;
    let running = run("externs", "tasks")?;
    check(&running, "released", if both { 1 } else { 77 })
}

fn others() -> Outcome {
    needs_functions()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("externs.o");
    fs::write(&file, bytes("externs")?)?;
    let view = Libbpf::build(folder.path())?.load(&file)?;
    ensure(view.refusal.is_none(), || format!("{:?}", view.refusal))?;
    let bpffs = Bpffs::mount()?;
    let pins = bpffs.path().join("externs");
    let bpftool = Command::new("bpftool")
        .args(["prog", "loadall"])
        .args([&file, &pins])
        .output();
    let bpftool = bpftool.map_err(|_| Stop::lacks("bpftool"))?;
    let said = String::from_utf8_lossy(&bpftool.stderr);
    ensure(bpftool.status.success(), || said.into_owned())?;
    for program in ["configuration", "symbols", "functions", "tasks"] {
        let pin = pins.join(program);
        ensure(pin.exists(), || format!("no {}", pin.display()))?;
    }
    Ok(())
}

fn missing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let libbpf = Libbpf::build(folder.path())?;
    let before = "#![no_std]\n#![no_main]\nuse skep_ebpf::prelude::*;\nlicense!(\"GPL\");";
    let program = |body: &str| {
        format!(
            "#[raw_tracepoint(\"sys_enter\")]\nfn p(_: &RawTracepointContext) -> i32 {{ {body} }}"
        )
    };
    for (name, declared, body, part) in [
        (
            "no_such_symbol",
            "#[ksym] static no_such_symbol: ();",
            "no_such_symbol.address() as i32",
            "extern `no_such_symbol` not provided: the kernel has no symbol of that name",
        ),
        (
            "no_such_variable",
            "#[ksym] static no_such_variable: i32;",
            "no_such_variable.get()",
            "no variable of that name in its BTF",
        ),
        (
            "bpf_nothing",
            "#[kfunc] unsafe extern \"C\" { safe fn bpf_nothing(number: i32) -> i32; }",
            "bpf_nothing(1)",
            "extern `bpf_nothing` not provided",
        ),
        (
            "CONFIG_NOTHING",
            "#[kconfig] static CONFIG_NOTHING: i32;",
            "CONFIG_NOTHING.get()",
            "extern `CONFIG_NOTHING` not provided: the target's configuration does not have it",
        ),
        (
            "bpf_prog_put",
            "#[kfunc] unsafe extern \"C\" { safe fn bpf_prog_put(prog: i32) -> i32; }",
            "bpf_prog_put(1)",
            "the kernel's function of that name has another type: `void bpf_prog_put(struct \
             bpf_prog *prog)`, and here it is `int bpf_prog_put(int prog)`",
        ),
    ] {
        let source = folder.path().join(format!("missing_{name}.rs"));
        fs::write(&source, format!("{before}\n{declared}\n{}", program(body)))?;
        let object = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
        let error = expect_err(name, Object::parse(name, &object)?.link(host()))?.to_string();
        ensure(error.contains(part), || format!("{name}: {error}"))?;
        ensure(error.contains("used in `p`"), || format!("{name}: {error}"))?;
        let file = folder.path().join(format!("{name}.o"));
        fs::write(&file, object)?;
        let theirs = libbpf.load(&file)?.refusal;
        let theirs = theirs.ok_or_else(|| Stop::fail(format!("libbpf loads {name}")))?;
        ensure(theirs.contains(name), || format!("{name}: {theirs}"))?;
    }
    Ok(())
}
