//! What `skep test` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use skep_test::TestHost;

/// Run unit tests of programs
///
/// A test file stands beside a program: fw.test.toml beside fw.bpf.c or fw.bpf.rs, or both, which
/// then have the same tests. Each test in it says what a program is given (a context, a packet, maps, a task, the time) and what is expected of it
/// (its return value, the packet, maps, events, what it prints).
///
/// Tests run in Skep's virtual machine, without privileges, each with a load of its own.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct TestArgs {
    /// Test files, programs beside one, or folders; without any, the current folder
    ///
    /// Of folders, all files whose names end with .test.toml are taken.
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(super) files: Vec<PathBuf>,

    /// What to run tests on
    #[arg(long, value_enum, value_name = "HOST", default_value_t)]
    pub(super) host: Host,

    /// Only tests that have this in their name
    #[arg(long, value_name = "NAME")]
    pub(super) filter: Option<String>,

    /// Only list the tests
    #[arg(long)]
    pub(super) list: bool,

    /// How to say what came of them
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(super) format: Format,

    /// Also write what came of them to this file, as JUnit's XML
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) junit: Option<PathBuf>,

    /// Count which lines and branches of the programs run, and write that to this file (lcov)
    ///
    /// What did not run is said on stderr; with -v, the whole source with its counts.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "coverage.lcov",
        value_hint = ValueHint::FilePath
    )]
    pub(super) coverage: Option<PathBuf>,

    /// Begin no test after the first that fails
    #[arg(long)]
    pub(super) fail_fast: bool,
}

/// What is a test like, and what does the command answer.
const EXAMPLE: &str = "\
A test file:
  [[test]]
  name = \"a blocked source is dropped and counted\"
  program = \"xdp_fw\"
  packet = { ip = { src = \"10.0.0.7\" }, tcp = { dport = 80 } }
  maps.blocked = [{ key = \"10.0.0.7\", value = 1 }]
  expect.return = \"XDP_DROP\"
  expect.maps.hits = [{ key = \"10.0.0.7\", value = 1 }]

The command fails (1) if a test does, or is refused by its host; 2 says that a
test file is wrong, 3 that its program does not compile.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Host {
    /// A virtual machine of each test's own
    #[default]
    Vm,
    /// The running kernel, for what it can run by hand; other tests are skipped
    Kernel,
}

impl From<Host> for TestHost {
    fn from(host: Host) -> Self {
        match host {
            Host::Vm => Self::Vm,
            Host::Kernel => Self::Kernel,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// A line a test, and a table of what was otherwise than expected
    #[default]
    Table,
    /// An object a line
    Json,
}
