//! Programs on packets by test run: what they return, what is left of packet and context, and what
//! a host refuses.

mod buffers;
mod frames;
mod random;
mod rules;
mod sockets;

use skep_abi::{ProgramType, TestRunFlags};
use skep_host::{Host, ProgramFd, TestRun};
use skep_testing::{Outcome, Test};

use crate::support::{Record, kernel, load_on};

pub(crate) fn tests() -> Vec<Test> {
    [
        frames::tests(),
        buffers::tests(),
        rules::tests(),
        sockets::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Room for what comes out.
const DATA: usize = 20_000;
const CONTEXT: usize = 256;

/// How a program is run.
#[derive(Clone, Copy)]
struct How<'a> {
    data: &'a [u8],
    context: &'a [u8],
    data_out: usize,
    context_out: usize,
    repeat: u32,
    flags: TestRunFlags,
    cpu: u32,
    batch_size: u32,
}

impl<'a> How<'a> {
    fn of(data: &'a [u8]) -> Self {
        Self {
            data,
            context: &[],
            data_out: DATA,
            context_out: 0,
            repeat: 1,
            flags: TestRunFlags::empty(),
            cpu: 0,
            batch_size: 0,
        }
    }

    fn with(data: &'a [u8], context: &'a [u8]) -> Self {
        Self {
            context,
            context_out: CONTEXT,
            ..Self::of(data)
        }
    }
}

/// Runs a program and writes down all that came out of it but the time.
fn run(host: &dyn Host, record: &mut Record, key: &str, program: &ProgramFd, how: How<'_>) {
    let mut data = vec![0xee; how.data_out];
    let mut context = vec![0xee; how.context_out];
    let mut request = TestRun {
        data_in: how.data,
        data_out: &mut data,
        context_in: how.context,
        context_out: &mut context,
        repeat: how.repeat,
        flags: how.flags,
        cpu: how.cpu,
        batch_size: how.batch_size,
    };
    let answer = host.prog_test_run(program, &mut request);
    let shown = match answer {
        Ok(outcome) => {
            data.truncate(outcome.data_out_size as usize);
            context.truncate(outcome.context_out_size as usize);
            format!(
                "{} ({}, {}) data {} context {}",
                outcome.return_value,
                outcome.data_out_size,
                outcome.context_out_size,
                hex(&data),
                hex(&context)
            )
        }
        Err(error) => format!("{:?}", error.errno()),
    };
    record.fact(key.replace('\n', "; "), shown);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Loads a program and runs it once.
fn once(
    host: &dyn Host,
    record: &mut Record,
    program_type: ProgramType,
    text: &str,
    how: How<'_>,
) -> Outcome {
    let program = load_on(host, program_type, text, |_| {})?;
    run(host, record, text, &program, how);
    Ok(())
}

/// Whether the kernel loads it: the machine, which does not verify, loads all.
fn allowed(program_type: ProgramType, text: &str) -> bool {
    !rustix::process::geteuid().is_root() || load_on(kernel(), program_type, text, |_| {}).is_ok()
}
