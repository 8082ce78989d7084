//! What objects ask of the kernel: configuration, symbols, functions; on this kernel, by programs
//! that read them.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use skep::{
    Error, Object,
    abi::KernelVersion,
    boundary::{BtfLoad, LogLevel, TestRun},
    spec::{ExternKind, LinkOptions, Target},
};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err, needs_kernel};

use crate::support::{Running, boundary, host, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("externs::configuration_is_this_kernels", configuration),
        Test::new("externs::configuration_can_be_set", chosen),
        Test::new("externs::a_value_must_fit_its_type", misfits),
        Test::new("externs::symbols_have_their_addresses", symbols),
        Test::new("externs::variables_are_read_on_their_cpu", variables),
        Test::new("externs::a_symbol_of_two_places_is_refused", ambiguous),
        Test::new("externs::functions_are_called_if_they_are_there", functions),
        Test::new("externs::what_is_not_there_is_named", missing),
        Test::new("externs::relocations_by_a_btf_file", btf_file),
        Test::new("externs::btf_made_for_older_kernels_is_sound", older),
    ]
}

/// Loads an object and runs one of its programs.
pub(crate) fn run(object: Object, program: &str) -> Outcome<Running> {
    needs_kernel(5, 10)?; // test runs of raw tracepoints
    let running = Running::of(object)?;
    let loaded = running.loaded.program(program)?;
    loaded.test_run(&mut TestRun::default())?;
    Ok(running)
}

/// `externs.bpf.c` with one of its programs.
fn only(program: &str) -> Outcome<Object> {
    let mut object = object("externs")?;
    object.only_programs(&[program])?;
    Ok(object)
}

/// A global of up to eight bytes, as an unsigned number.
fn number(running: &Running, name: &str) -> Outcome<u64> {
    let mut all = [0; 8];
    let bytes = running.bytes(name)?;
    all[..bytes.len()].copy_from_slice(&bytes);
    Ok(u64::from_le_bytes(all))
}

pub(crate) fn check(running: &Running, name: &str, wanted: u64) -> Outcome {
    let got = number(running, name)?;
    ensure(got == wanted, || format!("{name}: {got}, not {wanted}"))
}

/// This kernel's options; a test that needs them passes over where they can't be read.
pub(crate) fn options() -> Outcome<impl Fn(&str) -> Outcome<String>> {
    boundary()
        .config("CONFIG_BPF")
        .map_err(|_| Stop::lacks("the kernel's configuration"))?;
    Ok(|name: &str| {
        let value = boundary().config(name)?;
        value.ok_or_else(|| Stop::lacks(format!("{name} in the kernel's configuration")))
    })
}

/// Globals have the numbers of this kernel's options.
pub(crate) fn check_options(running: &Running, globals: &[(&str, &str)]) -> Outcome {
    let option = options()?;
    for &(name, global) in globals {
        let text = option(name)?;
        let wanted = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        check(running, global, wanted.map_err(|_| Stop::fail(text))?)?;
    }
    Ok(())
}

fn configuration() -> Outcome {
    let option = options()?;
    let running = run(only("configuration")?, "configuration")?;
    let code = boundary().info().version.code();
    check(&running, "version", code.into())?;
    check(&running, "bpf_syscall", 1)?;
    check(&running, "bpf_letter", b'y'.into())?;
    check(&running, "missing_option", 0)?;
    check(&running, "missing_module", 0)?;
    check_options(
        &running,
        &[
            ("CONFIG_HZ", "hz"),
            ("CONFIG_NR_CPUS", "cpus"),
            ("CONFIG_PANIC_TIMEOUT", "panic_timeout"),
            ("CONFIG_PHYSICAL_START", "physical_start"),
        ],
    )?;
    let jit = if option("CONFIG_BPF_JIT")? == "m" {
        2
    } else {
        1
    };
    check(&running, "bpf_jit", jit)?;
    let (hostname, compiler) = (running.bytes("hostname")?, running.bytes("compiler")?);
    let hostname = format!("\"{}\"", skep::text(&hostname));
    ensure(hostname == option("CONFIG_DEFAULT_HOSTNAME")?, || {
        hostname.clone()
    })?;
    // Longer than its array: cut, and ended.
    let whole = option("CONFIG_CC_VERSION_TEXT")?;
    ensure(compiler == [&whole.as_bytes()[1..4], &[0]].concat(), || {
        format!("{compiler:?} of {whole}")
    })?;
    check(
        &running,
        "has_wrapper",
        u64::from(cfg!(target_arch = "x86_64")),
    )
}

/// A value for each setting of `externs.bpf.c`, other than kernels have.
fn given(name: &str) -> &'static str {
    match name {
        "CONFIG_BPF_SYSCALL" => "n",
        "CONFIG_BPF_JIT" => "m",
        "CONFIG_BPF" => "m",
        "CONFIG_HZ" => "0xffff",
        "CONFIG_PHYSICAL_START" => "18446744073709551615",
        "CONFIG_NR_CPUS" => "-9",
        "CONFIG_DEFAULT_HOSTNAME" => "\"a name\"",
        "CONFIG_CC_VERSION_TEXT" => "\"\"",
        "CONFIG_NO_SUCH_OPTION" => "-1",
        "CONFIG_NO_SUCH_MODULE" => "y",
        "LINUX_HAS_BPF_COOKIE" => "y",
        "LINUX_HAS_SYSCALL_WRAPPER" => "n",
        _ => "7",
    }
}

fn chosen() -> Outcome {
    let mut object = only("configuration")?;
    let externs = object.spec().externs().to_vec();
    let settings = externs
        .iter()
        .filter(|found| found.kind == ExternKind::Kconfig);
    // All are given, so that nothing is read.
    for setting in settings {
        object.config(&setting.name, given(&setting.name))?;
    }
    let error = expect_err("no such option", object.config("CONFIG_BPFF", "y"))?.to_string();
    ensure(
        error.contains("CONFIG_BPFF") && error.contains("CONFIG_BPF"),
        || error.clone(),
    )?;
    let running = run(object, "configuration")?;
    for (global, wanted) in [
        ("bpf_syscall", 0),
        ("bpf_jit", 2),
        ("bpf_letter", b'm'.into()),
        ("panic_timeout", 7),
        ("hz", 0xffff),
        ("physical_start", u64::MAX),
        ("cpus", (-9_i64).cast_unsigned()),
        ("version", 7),
        ("missing_option", 0xffff_ffff),
        ("missing_module", 1),
        ("has_cookie", 1),
        ("has_wrapper", 0),
        ("compiler", 0),
    ] {
        check(&running, global, wanted)?;
    }
    let hostname = running.bytes("hostname")?;
    ensure(skep::text(&hostname) == "a name", || {
        format!("{hostname:?}")
    })
}

fn misfits() -> Outcome {
    for (name, value, part) in [
        ("CONFIG_BPF_SYSCALL", "m", "_Bool takes `y` or `n`"),
        ("CONFIG_BPF_SYSCALL", "1", "_Bool"),
        ("CONFIG_BPF_JIT", "\"y\"", "tristate"),
        ("CONFIG_PANIC_TIMEOUT", "256", "too small"),
        ("CONFIG_PANIC_TIMEOUT", "-1", "too small"),
        ("CONFIG_HZ", "y", "takes a number"),
        ("CONFIG_NR_CPUS", "9223372036854775808", "too small"),
        ("CONFIG_DEFAULT_HOSTNAME", "none", "text in quotes"),
        // Weak does not mean that anything fits.
        ("CONFIG_NO_SUCH_OPTION", "\"text\"", "takes a number"),
    ] {
        let mut object = only("configuration")?;
        object.config(name, value)?;
        let error = expect_err(value, object.link(host()))?.to_string();
        let told = error.contains(name) && error.contains(part) && error.contains(value);
        ensure(told, || error.clone())?;
    }
    Ok(())
}

/// The kernel's symbols as `/proc/kallsyms` has them.
pub(crate) fn kallsyms() -> Outcome<BTreeMap<String, Vec<u64>>> {
    let text = fs::read_to_string("/proc/kallsyms")?;
    let mut symbols: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let address = words
            .next()
            .and_then(|word| u64::from_str_radix(word, 16).ok());
        if let (Some(address), Some(name)) = (address, words.nth(1)) {
            symbols.entry(name.to_owned()).or_default().push(address);
        }
    }
    match symbols.get("bpf_prog_put").map(Vec::as_slice) {
        Some([address]) if *address != 0 => Ok(symbols),
        _ => Err(Stop::lacks("addresses in /proc/kallsyms")),
    }
}

fn symbols() -> Outcome {
    let kallsyms = kallsyms()?;
    let running = run(only("symbols")?, "symbols")?;
    check(&running, "put", kallsyms["bpf_prog_put"][0])?;
    check(&running, "nothing", 0)?;
    check(&running, "nothing_typed", 0)?;
    // Variables are there with CONFIG_KALLSYMS_ALL.
    if let Some(banner) = kallsyms.get("linux_banner") {
        check(&running, "banner", banner[0])?;
        let text = running.bytes("banner_text")?;
        ensure(text == b"Linux ve", || format!("{text:?}"))?;
    } else {
        check(&running, "banner", 0)?;
    }
    Ok(())
}

fn variables() -> Outcome {
    let object = only("variables")?;
    let btf = host().btf()?;
    let there = |name| btf.find(name, skep::btf::KindTag::Variable).is_some();
    if !kallsyms()?.contains_key("linux_banner") {
        // The kernel itself looks for the address of a variable that its types have.
        if there("bpf_prog_active") {
            let error = expect_err("no addresses", object.load(host()))?;
            let cause = error.cause().map(ToString::to_string).unwrap_or_default();
            ensure(cause.contains("CONFIG_KALLSYMS_ALL"), || {
                format!("{error:?}")
            })?;
        }
        return Err(Stop::lacks("CONFIG_KALLSYMS_ALL"));
    }
    let running = run(object, "variables")?;
    if there("init_task") {
        check(&running, "init_there", 1)?;
        check(&running, "init_pid", 0)?;
    }
    if there("bpf_prog_active") {
        let active = number(&running, "active")?;
        ensure(active < 8, || format!("{active} programs running"))?;
    }
    Ok(())
}

fn ambiguous() -> Outcome {
    if skep_testing::is_prebuilt() {
        // The program is one of this kernel's symbols.
        return Err(Stop::lacks("a compiler"));
    }
    let c_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let kallsyms = kallsyms()?;
    let mut several = kallsyms
        .iter()
        .filter(|(name, addresses)| c_name(name) && addresses.iter().any(|a| *a != addresses[0]));
    let (name, addresses) = several
        .next()
        .ok_or_else(|| Stop::lacks("two symbols of one name"))?;
    let text = format!(
        "extern const void {name} __ksym;\n\
         SEC(\"raw_tp/sys_enter\") long p(void *ctx) {{ return (long)&{name}; }}"
    );
    let said = refusal("ambiguous", &text)?;
    let mut sorted = addresses.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let part = format!(
        "several symbols of that name, at {:#x} and {:#x}",
        sorted[0], sorted[1]
    );
    ensure(said.contains(&part) && said.contains(name), || said.clone())?;
    // As the host has it: names that it does not know are left out.
    let asked = boundary().symbol_addresses(&[name, "no_such_symbol"])?;
    let wanted = BTreeMap::from([(name.clone(), sorted)]);
    ensure(asked == wanted, || format!("{asked:?}"))
}

fn functions() -> Outcome {
    let btf = host().btf()?;
    let there = btf
        .find("bpf_rcu_read_lock", skep::btf::KindTag::Function)
        .is_some();
    let running = run(only("functions")?, "functions")?;
    check(&running, "locked", there.into())?;
    check(&running, "called", 0)?;
    let image = running.loaded.image();
    let poisoned = &image
        .program("functions")
        .ok_or_else(|| Stop::fail("no image"))?
        .poisoned;
    let named = |name: &str| poisoned.iter().any(|p| p.description.contains(name));
    ensure(named("bpf_no_such_function"), || format!("{poisoned:?}"))?;
    ensure(named("bpf_rcu_read_lock") != there, || {
        format!("{poisoned:?}")
    })
}

/// Compiles a program that does one thing.
fn compiled(name: &str, text: &str) -> Outcome<Object> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let source = folder.join(format!("{name}.bpf.c"));
    fs::write(
        &source,
        format!(
            "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n\
             char LICENSE[] SEC(\"license\") = \"GPL\";\n{text}"
        ),
    )?;
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    Ok(Object::parse(name, &bytes)?)
}

/// Why a program that does one thing can't be linked.
fn refusal(name: &str, text: &str) -> Outcome<String> {
    let error = expect_err(name, compiled(name, text)?.link(host()))?;
    ensure(matches!(error, Error::Object(_)), || format!("{error:?}"))?;
    Ok(error.to_string())
}

fn missing() -> Outcome {
    let program = |body: &str| format!("SEC(\"raw_tp/sys_enter\") long p(void *ctx) {{ {body} }}");
    let body = program("return (long)&no_such_symbol;");
    for (name, declared, body, part) in [
        (
            "no_symbol",
            "extern const void no_such_symbol __ksym;",
            body.clone(),
            "extern `no_such_symbol` not provided: the kernel has no symbol of that name",
        ),
        (
            "no_variable",
            "extern const int no_such_symbol __ksym;",
            body,
            // Of the kernel, or also of its modules.
            "variable of that name in",
        ),
        (
            "no_function",
            "extern int bpf_nothing(int) __ksym;",
            program("return bpf_nothing(1);"),
            "extern `bpf_nothing` not provided",
        ),
        (
            "no_option",
            "extern int CONFIG_NOTHING __kconfig;",
            program("return CONFIG_NOTHING;"),
            "extern `CONFIG_NOTHING` not provided: the target's configuration does not have it",
        ),
        (
            "other_function",
            "extern int bpf_prog_put(int) __ksym;",
            program("return bpf_prog_put(1);"),
            "the kernel's function of that name has another type: `void bpf_prog_put(struct \
             bpf_prog *prog)`, and here it is `int bpf_prog_put(int)`",
        ),
    ] {
        let said = refusal(name, &format!("{declared}\n{body}"))?;
        ensure(said.contains(part), || format!("{name}: {said}"))?;
        ensure(said.contains("used in `p`"), || format!("{name}: {said}"))?;
    }
    // To pass a pointer on, a declaration of its struct is enough; but only of its struct.
    let passes = |name: &str, kind: &str| {
        let text = format!(
            "struct bpf_prog; struct bpf_map; union bpf_prog_aux;
             extern void bpf_prog_put({kind} *thing) __ksym;
             SEC(\"raw_tp/sys_enter\") long p(void *ctx) {{ bpf_prog_put(ctx); return 0; }}"
        );
        Ok::<_, Stop>(compiled(name, &text)?.link(host()))
    };
    passes("declared", "struct bpf_prog")??;
    for (name, other) in [
        ("another", "struct bpf_map"),
        ("union", "union bpf_prog_aux"),
    ] {
        let error = expect_err(other, passes(name, other)?)?.to_string();
        ensure(error.contains("has another type"), || error.clone())?;
    }
    Ok(())
}

fn btf_file() -> Outcome {
    // Another layout of the struct than any kernel has: offsets must be of the file.
    let mut types = skep::btf::Builder::new();
    let int = types.int("int", 4, skep::btf::IntEncoding::SIGNED);
    let members = [
        skep::btf::NewMember::new("tgid", int, 64),
        skep::btf::NewMember::new("favourite_colour", int, 160),
    ];
    types.structure("task_struct", 32, &members);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("other.btf");
    fs::write(&path, types.build()?)?;
    let mut object = object("missing_field")?;
    object.core_btf(Arc::new(skep::open_btf(&path)?));
    let image = object.link(host())?;
    let look = image
        .program("look")
        .ok_or_else(|| Stop::fail("no program"))?;
    ensure(look.poisoned.is_empty(), || format!("{:?}", look.poisoned))?;
    let has = |imm| look.instructions.iter().any(|insn| insn.imm == imm);
    ensure(has(20), || format!("{:?}", look.instructions))?;
    // Types in an ELF file, and files without any.
    let source = crate::support::source("missing_field.bpf.c");
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let elf = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("with-types.o");
    fs::write(&elf, bytes)?;
    let found = skep::open_btf(&elf)?;
    ensure(
        found
            .find("task_struct", skep::btf::KindTag::Struct)
            .is_some(),
        || "no struct".into(),
    )?;
    for (path, part) in [
        ("/proc/self/exe", "no section .BTF"),
        ("/etc/passwd", "neither BTF nor an ELF file"),
        ("/no/such.btf", "No such file"),
    ] {
        let error = expect_err(path, skep::open_btf(path.as_ref()))?.to_string();
        ensure(error.contains(part), || error.clone())?;
    }
    Ok(())
}

fn older() -> Outcome {
    // What older kernels take, newer ones take, too: so this one can judge what is made for them.
    let there = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../skep-object/tests/c/old.bpf.c");
    let bytes = skep_testing::compile(&there, env!("CARGO_TARGET_TMPDIR"))?;
    let btf = host().btf()?;
    for object in [
        Object::parse("old", &bytes)?,
        object("externs")?,
        object("basics")?,
    ] {
        let spec = object.spec();
        let this = boundary().info().version;
        let versions = [
            (4, 18),
            (4, 20),
            (5, 1),
            (5, 4),
            (5, 12),
            (5, 15),
            (5, 16),
            (5, 19),
            (6, 8),
        ];
        let versions = versions.map(|(major, minor)| KernelVersion::new(major, minor));
        for version in versions.into_iter().filter(|version| *version <= this) {
            let mut target = Target::new(version).with_kernel_btf(Arc::clone(&btf));
            target.symbols.insert("bpf_prog_put".into(), vec![1]);
            let mut options = LinkOptions::new();
            let externs = spec.externs().iter();
            for setting in externs.filter(|found| found.kind == ExternKind::Kconfig) {
                options.config(&setting.name, given(&setting.name));
            }
            let image = spec.link(&options, &target)?;
            let bytes = image.btf.as_deref().ok_or_else(|| Stop::fail("no BTF"))?;
            let loaded = boundary().btf_load(&BtfLoad {
                object: &image.name,
                bytes,
                log_level: LogLevel::OnFailure,
                token: None,
            });
            loaded.map_err(|error| {
                Stop::fail(format!(
                    "{} for {version}: {error}\n{:?}",
                    image.name,
                    error.log()
                ))
            })?;
        }
    }
    Ok(())
}
