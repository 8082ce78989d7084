//! The two hosts, small programs, and records of what a host answers, to be compared.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use skep_abi::{MapType, ProgramType};
use skep_btf::{Builder, IntEncoding, TypeId};
use skep_host::{
    BtfFd, BtfLoad, Errno, Error, Host, HostKind, LogLevel, MapCreate, MapFd, ProgramFd,
    ProgramLoad,
};
use skep_isa::{Endian, assemble, encode_slots};
use skep_linux::LinuxHost;
use skep_testing::{Outcome, Stop, host, needs_kernel_of};
use skep_vm::{Config, Engine, Vm};

/// The running kernel.
pub(crate) fn kernel() -> &'static dyn Host {
    &**linux()
}

/// The same, to be shared.
pub(crate) fn linux() -> &'static Arc<LinuxHost> {
    static HOST: LazyLock<Arc<LinuxHost>> = LazyLock::new(|| {
        let host = LinuxHost::new().expect("a kernel that says its version");
        // What the host keeps open for itself is no leak of the first test that needs it.
        let _ = host.tracepoints();
        let _ = skep_linux::report(&host);
        Arc::new(host)
    });
    &HOST
}

/// The machine, with as many CPUs as there are here, so that per-CPU values are alike.
pub(crate) fn vm() -> &'static dyn Host {
    machine()
}

/// The same, to be shared.
pub(crate) fn machine() -> &'static Vm {
    static HOST: LazyLock<Vm> = LazyLock::new(|| {
        let mut config = Config::default();
        config.engine = Engine::Interpreter;
        if let Ok(cpus) = kernel().possible_cpus() {
            config.cpus = cpus as u32;
        }
        Vm::with(config).expect("a machine")
    });
    &HOST
}

/// Whether the test runs on the machine.
pub(crate) fn on_vm() -> bool {
    host().info().kind == HostKind::Vm
}

/// A name for a program or map of this process.
pub(crate) fn name(rest: &str) -> String {
    format!("t{}_{rest}", std::process::id())
}

/// Assembles a program for this machine.
pub(crate) fn code(text: &str) -> Outcome<Vec<u8>> {
    Ok(encode_slots(&assemble(text)?, Endian::NATIVE))
}

/// Loads a program after `change` has set more of the request.
pub(crate) fn load_on(
    host: &dyn Host,
    program_type: ProgramType,
    text: &str,
    change: impl FnOnce(&mut ProgramLoad<'_>),
) -> Outcome<ProgramFd> {
    let (code, name) = (code(text)?, name("prog"));
    let mut request = ProgramLoad::new(program_type, &name, &code);
    change(&mut request);
    match host.prog_load(&request) {
        Ok(loaded) => Ok(loaded.fd),
        Err(error) => Err(Stop::Fail(format!(
            "{error}; cause: {:?}\n{}",
            error.cause(),
            error.log().unwrap_or("")
        ))),
    }
}

/// The one type of [`int_types`].
pub(crate) const INT: u32 = 1;

/// Loads types: `int`, which is [`INT`].
pub(crate) fn int_types(host: &dyn Host) -> Outcome<BtfFd> {
    let mut types = Builder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    assert_eq!(int, TypeId(INT));
    Ok(host.btf_load(&BtfLoad {
        object: "types",
        bytes: &types.build()?,
        log_level: LogLevel::OnFailure,
        token: None,
    })?)
}

/// A map on the test's host.
pub(crate) fn map(map_type: MapType, key: u32, value: u32, entries: u32) -> Outcome<MapFd> {
    Ok(host().map_create(&MapCreate::new(map_type, &name("map"), key, value, entries))?)
}

/// What a host answered, line by line: a key, which is what `DIFFERENCES` speaks of, and the
/// answer in words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Record(Vec<(String, String)>);

impl Record {
    /// Writes down an answer; of errors only the number.
    pub(crate) fn answer<T: fmt::Debug>(
        &mut self,
        key: impl Into<String>,
        answer: &Result<T, Error>,
    ) {
        let text = match answer {
            Ok(value) => format!("{value:?}"),
            Err(error) => self::errno(error),
        };
        self.0.push((key.into(), text));
    }

    /// Writes down whether it worked, and not what it gave: for descriptors and ids.
    pub(crate) fn done<T>(&mut self, key: impl Into<String>, answer: &Result<T, Error>) {
        let text = match answer {
            Ok(_) => "done".to_owned(),
            Err(error) => self::errno(error),
        };
        self.0.push((key.into(), text));
    }

    /// Writes down a fact.
    pub(crate) fn fact(&mut self, key: impl Into<String>, fact: impl fmt::Debug) {
        self.0.push((key.into(), format!("{fact:?}")));
    }
}

fn errno(error: &Error) -> String {
    match error.errno() {
        Some(errno) => format!("{errno:?}"),
        // Lengths that a host refuses before it asks.
        None => "request".to_owned(),
    }
}

/// Whether an error has this number.
pub(crate) fn is<T>(answer: &Result<T, Error>, errno: Errno) -> bool {
    matches!(answer, Err(error) if error.errno() == Some(errno))
}

/// As [`agree`], with kernels since this one: before, they answer otherwise or have nothing of it.
pub(crate) fn agree_since(
    (major, minor): (u8, u8),
    walk: impl Fn(&dyn Host, &mut Record) -> Outcome,
) -> Outcome {
    agree(|host, record| {
        needs_kernel_of(host, major, minor)?;
        walk(host, record)
    })
}

/// On the machine: does the same on the kernel too, and compares the records. Without root the
/// walk is only taken.
pub(crate) fn agree(walk: impl Fn(&dyn Host, &mut Record) -> Outcome) -> Outcome {
    let mut ours = Record::default();
    walk(host(), &mut ours)?;
    if !on_vm() || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let mut theirs = Record::default();
    walk(kernel(), &mut theirs)?;
    let mut faults = Vec::new();
    if ours.0.len() != theirs.0.len() {
        faults.push(format!(
            "{} answers on the kernel, {} on the vm",
            theirs.0.len(),
            ours.0.len()
        ));
    }
    for ((key, ours), (of, theirs)) in ours.0.iter().zip(&theirs.0) {
        let listed = skep_vm::DIFFERENCES
            .iter()
            .any(|difference| difference.covers(key));
        if key != of || (ours != theirs && !listed) {
            faults.push(format!("{key}: kernel {theirs}, vm {ours}"));
        }
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Stop::Fail(faults.join("\n"))),
    }
}
