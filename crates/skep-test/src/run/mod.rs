//! Running tests: an object made ready, a session on a host, what it is given, and what is
//! expected of it.

mod context;
mod events;
mod expect;
mod fill;
mod fire;
mod layout;
mod maps;
mod memory;
mod object;
mod replay;
mod session;
mod task;

pub(crate) use events::Mark;
pub(crate) use expect::said;
pub(crate) use fire::kernel_runs;
pub(crate) use object::Prepared;
pub(crate) use replay::replay;
pub(crate) use session::{Session, Stop, Wishes, programs_of};
pub(crate) use task::{FIELDS as TASK_FIELDS, time};

/// What tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TestHost {
    /// A virtual machine of each test's own, in this process.
    #[default]
    Vm,
    /// The running kernel, by `BPF_PROG_TEST_RUN`: for the types of programs that it runs so, and
    /// for tests that need no clock, task or chance of their own. Needs the privileges to load.
    Kernel,
}

impl TestHost {
    /// `vm` or `kernel`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Kernel => "kernel",
        }
    }
}

impl std::fmt::Display for TestHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
