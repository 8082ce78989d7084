//! Helpers, one assembled program a case: what R0 is, and what it left in memory.
//!
//! Each program has two maps: R6 is 4 KiB of memory that the case fills and compares, R7 constant
//! text. What R0 was stands in the memory's first word afterwards.

mod cases;

use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_host::{Host, MapCreate, TestRun};
use skep_testing::{Outcome, Test};

use crate::support::{Record, agree, load_on, name};

/// Bytes of memory.
const MEMORY: usize = 4096;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = cases::tests();
    tests.push(Test::new("helpers::current_task_answers_alike", || {
        agree(current_task)
    }));
    for (name, suite) in [
        ("helpers::callbacks", "callbacks"),
        ("helpers::locks", "locks"),
        ("helpers::tasks", "tasks"),
        ("helpers::values", "values"),
        ("helpers::timers", "timers"),
    ] {
        let test: fn() -> Outcome = match suite {
            "callbacks" => || crate::kfuncs::all("callbacks"),
            "locks" => || crate::kfuncs::all("locks"),
            "values" => || crate::kfuncs::all("values"),
            "tasks" => || crate::kfuncs::all("tasks"),
            _ => || crate::kfuncs::all("timers"),
        };
        tests.push(Test::new(name, test));
    }
    tests
}

/// A program of one case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    /// What the record calls it.
    pub(crate) name: String,
    /// What stands in memory before, and where.
    pub(crate) memory: Vec<(usize, Vec<u8>)>,
    /// Constant text.
    pub(crate) text: Vec<u8>,
    /// Its instructions, which leave the answer in R0.
    pub(crate) body: String,
    /// Functions that it calls.
    pub(crate) functions: String,
}

/// A case without memory.
pub(crate) fn case(name: impl Into<String>, body: impl Into<String>) -> Case {
    Case {
        name: name.into(),
        body: body.into(),
        ..Case::default()
    }
}

impl Case {
    pub(crate) fn with(mut self, offset: usize, bytes: impl AsRef<[u8]>) -> Self {
        self.memory.push((offset, bytes.as_ref().to_vec()));
        self
    }

    pub(crate) fn text(mut self, text: impl AsRef<[u8]>) -> Self {
        self.text = text.as_ref().to_vec();
        self.text.push(0);
        self
    }

    /// Runs it, and gives its memory.
    pub(crate) fn run(&self, host: &dyn Host) -> Outcome<Vec<u8>> {
        self.run_as(host, ProgramType::Syscall)
    }

    pub(crate) fn run_as(&self, host: &dyn Host, program_type: ProgramType) -> Outcome<Vec<u8>> {
        let memory_name = name("memory");
        let request = MapCreate::new(MapType::Array, &memory_name, 4, MEMORY as u32, 1);
        let memory = host.map_create(&request)?;
        let mut bytes = vec![0; MEMORY];
        for (offset, part) in &self.memory {
            bytes[*offset..offset + part.len()].copy_from_slice(part);
        }
        host.map_update_elem(&memory, &[0; 4], &bytes, 0)?;
        let text_name = name("text");
        let mut request = MapCreate::new(MapType::Array, &text_name, 4, 1024, 1);
        request.flags = MapCreateFlags::RDONLY_PROG;
        let text = host.map_create(&request)?;
        let mut constant = self.text.clone();
        constant.resize(1024, 0);
        host.map_update_elem(&text, &[0; 4], &constant, 0)?;
        host.map_freeze(&text)?;
        let program = format!(
            "r9 = r1
             r6 = map[fd:{}][0]+0
             r7 = map[fd:{}][0]+0
             {}
             *(u64 *)(r6 + 0) = r0
             r0 = 0
             exit
             {}",
            memory.raw(),
            text.raw(),
            self.body,
            self.functions,
        );
        let program = load_on(host, program_type, &program, |request| {
            if program_type == ProgramType::Syscall {
                request.flags = skep_abi::ProgLoadFlags::SLEEPABLE;
            }
        })?;
        let mut run = TestRun::default();
        if program_type != ProgramType::Syscall && program_type != ProgramType::RawTracepoint {
            run.data_in = &[0; 64];
        }
        host.prog_test_run(&program, &mut run)?;
        host.map_lookup_elem(&memory, &[0; 4], &mut bytes, 0)?;
        Ok(bytes)
    }

    /// Runs it and writes down what came of it: R0, and where memory is not as before.
    pub(crate) fn record(&self, host: &dyn Host, record: &mut Record) -> Outcome {
        let bytes = match self.run(host) {
            Ok(bytes) => bytes,
            Err(skep_testing::Stop::Fail(why)) => {
                record.fact(format!("{}: runs", self.name), "no");
                eprintln!("{}: {why}", self.name);
                return Ok(());
            }
            Err(stop) => return Err(stop),
        };
        let answer = i64::from_ne_bytes(bytes[..8].try_into().unwrap_or_default());
        record.fact(&self.name, answer);
        record.fact(format!("{}: memory", self.name), Memory(&bytes[8..]));
        Ok(())
    }
}

/// Memory, without the zeros.
struct Memory<'a>(&'a [u8]);

impl std::fmt::Debug for Memory<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (line, bytes) in self.0.chunks(32).enumerate() {
            if bytes.iter().any(|byte| *byte != 0) {
                write!(f, "{}: {} ", 8 + 32 * line, bytes.escape_ascii())?;
            }
        }
        Ok(())
    }
}

/// Who runs the program: the same thread on both hosts.
fn current_task(host: &dyn Host, record: &mut Record) -> Outcome {
    use std::os::unix::fs::MetadataExt;
    let namespace = std::fs::metadata("/proc/self/ns/pid")?;
    let (device, inode) = (namespace.dev(), namespace.ino());
    let mut cases = vec![
        case("pid_tgid", "call 14"),
        case("uid_gid", "call 15"),
        case("cgroup", "call 80"),
    ];
    for size in [1, 4, 15, 16, 17, 64] {
        let body = format!("r1 = r6\n r1 += 64\n r2 = {size}\n call 16");
        cases.push(case(format!("comm of {size}"), body).with(64, [0xaa; 64]));
    }
    for level in [-1, 0, 1, 2, 3, 4, 100] {
        cases.push(case(
            format!("ancestor {level}"),
            format!("r1 = {level}\n call 123"),
        ));
    }
    for (what, device, inode, size) in [
        ("own", device, inode, 8),
        ("other", device, inode + 1, 8),
        ("other device", device + 1, inode, 8),
        ("small", device, inode, 4),
        ("large", device, inode, 16),
        ("wide device", device | 1 << 40, inode, 8),
    ] {
        let body = format!(
            "r1 = {device:#x} ll\n r2 = {inode:#x} ll\n r3 = r6\n r3 += 64\n r4 = {size}\n call 120"
        );
        cases.push(case(format!("namespace {what}"), body).with(64, [0xaa; 16]));
    }
    for case in &cases {
        case.record(host, record)?;
    }
    Ok(())
}
