//! The machine: what all its programs and maps share.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use skep_abi::{Command, Helper, ProgramType};
use skep_host::{Errno, Error, ProgramFd};
use skep_isa::{Imm64, InsnIndex, RawInsn};

use crate::{
    Coverage, Engine, Fault, Limits, LoadError, Mode,
    embed::{Custom, CustomHelpers},
    helper,
    host::program_of,
    machine::{
        Cgroups, Clock, Hooks, Locks, MapMemory, Net, Objects, Registry, Task, TaskInfo, Tasks,
        Ticks, Timers, Trace, net::Network, struct_ops::OpsTypes,
    },
    program::{Call, Code, Meta, Program, Resolve, executable},
    run::{Cpus, Ours, Run},
};

/// A virtual machine for eBPF, in this process: a host beside the Linux kernel.
///
/// Cloning is cheap; clones are the same machine.
///
/// A thread that runs programs needs a stack of a megabyte, since callbacks (`bpf_loop`) may be
/// nested as deep as a run has frames, 16; 512 KiB have been enough for them in debug builds.
#[derive(Clone)]
pub struct Vm(pub(crate) Arc<Shared>);

/// A [`Vm`] that is not kept: [`Vm::downgrade`].
#[derive(Debug, Clone, Default)]
pub struct WeakVm(Weak<Shared>);

impl WeakVm {
    /// The machine, unless its last owner is gone.
    #[must_use]
    pub fn upgrade(&self) -> Option<Vm> {
        self.0.upgrade().map(Vm)
    }
}

/// What a machine is made with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Virtual CPUs: how many programs run at once, and how many values a per-CPU entry has; 8,192
    /// at most, as Linux has (`NR_CPUS`), and 0 is 1.
    pub cpus: u32,
    /// What a run may take. Where `safety` is [`Safety::Verdict`], limits of instructions or time
    /// that are lower than the default ones make it [`Safety::Both`]: without checks, nothing looks
    /// at them.
    pub limits: Limits,
    /// What executes programs that are loaded through the boundary.
    pub engine: Engine,
    /// Where programs and timers take the time from.
    pub clock: Clock,
    /// What makes programs safe that are loaded through the boundary.
    pub safety: Safety,
    /// Whether it is counted how often each instruction runs: see [`Vm::coverage`]. All programs
    /// are interpreted then, whatever `engine` says.
    pub coverage: bool,
    /// Whether coverage also keeps what each instruction found in its registers and its frame:
    /// [`Coverage::steps`]. For tests of verifiers; it is slow.
    pub steps: bool,
}

impl Default for Config {
    /// As many CPUs as this machine has, and machine code where it can be made.
    fn default() -> Self {
        Self {
            cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
            limits: Limits::default(),
            engine: if cfg!(feature = "jit") {
                Engine::Jit
            } else {
                Engine::Interpreter
            },
            clock: Clock::real(),
            safety: Safety::Verdict,
            coverage: false,
            steps: false,
        }
    }
}

impl Config {
    /// The default, but programs are checked while they run, and none is verified: for programs that
    /// no verifier would accept, and for [`Limits`] that hold.
    #[must_use]
    pub fn checked() -> Self {
        Self {
            safety: Safety::Checks,
            ..Self::default()
        }
    }
}

/// What makes programs safe that are loaded through the boundary ([`Host::prog_load`]).
///
/// [`Host::prog_load`]: skep_host::Host::prog_load
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Safety {
    /// The verifier: what it refuses does not load, and what it accepts runs without checks; but
    /// programs for structs of functions ([`Vm::define_struct_ops`]), whose arguments have no types,
    /// are checked instead, as are all where [`Config::limits`] are lower than the default.
    Verdict,
    /// Checks while they run, of every access, jump and call; no verifier.
    Checks,
    /// Both: what the verifier refuses does not load, and what it accepts is checked all the same,
    /// and kept to its [`Limits`].
    Both,
}

/// What all of a machine share.
pub(crate) struct Shared {
    /// Itself.
    pub(crate) me: Weak<Shared>,
    pub(crate) cpus: Cpus,
    pub(crate) limits: Limits,
    pub(crate) memory: Arc<MapMemory>,
    pub(crate) engine: Engine,
    pub(crate) safety: Safety,
    /// Whether programs' instructions are counted.
    counts: bool,
    /// Whether what they find is kept.
    steps: bool,
    interrupted: AtomicBool,
    /// When it was made: what it calls its boot.
    pub(crate) made: std::time::Instant,
    pub(crate) cgroups: Cgroups,
    pub(crate) clock: Clock,
    pub(crate) helpers: CustomHelpers,
    pub(crate) hooks: Hooks,
    pub(crate) net: Net,
    pub(crate) objects: Objects,
    pub(crate) locks: Locks,
    pub(crate) registry: Registry,
    pub(crate) struct_ops: OpsTypes,
    pub(crate) tasks: Tasks,
    pub(crate) ticks: Ticks,
    pub(crate) timers: Timers,
    pub(crate) trace: Arc<Trace>,
}

impl Shared {
    /// Whether runs shall stop.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// Where a new program's instructions are counted, if they are.
    pub(crate) fn coverage(&self, name: &str, code: &Code) -> Option<Arc<Coverage>> {
        let made = || {
            let cpus = self.cpus.count();
            Arc::new(Coverage::new(name, code.slots(), cpus, self.steps))
        };
        self.counts.then(made)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vm({} cpus)", self.cpus.count())
    }
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Vm {
    /// A machine with as many CPUs as this one has, and default limits.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new() -> Result<Self, Errno> {
        Self::with(Config::default())
    }

    /// A machine as `config` says.
    ///
    /// # Errors
    /// `ENOMEM`; `EINVAL` for more CPUs than [`Config::cpus`] may be.
    pub fn with(config: Config) -> Result<Self, Errno> {
        let safety = match config.safety {
            Safety::Verdict if config.limits.are_lower() => Safety::Both,
            safety => safety,
        };
        let cpus = Cpus::new(config.cpus)?;
        let clock = config.clock.clone();
        let hooks = Hooks::default();
        let registry = Registry::new(Arc::clone(hooks.watchers()));
        let machine = Arc::new_cyclic(|me| Shared {
            me: Weak::clone(me),
            cpus,
            limits: config.limits,
            memory: MapMemory::new(config.limits.memory),
            engine: config.engine,
            safety,
            counts: config.coverage || config.steps,
            steps: config.steps,
            interrupted: AtomicBool::new(false),
            made: std::time::Instant::now(),
            cgroups: Cgroups::default(),
            clock: config.clock,
            helpers: CustomHelpers::default(),
            hooks,
            net: Net::default(),
            objects: Objects::default(),
            locks: Locks::new(config.cpus),
            registry,
            struct_ops: OpsTypes::default(),
            tasks: Tasks::default(),
            ticks: Ticks::default(),
            timers: Timers::default(),
            trace: Arc::default(),
        });
        clock.watch(Arc::downgrade(&machine));
        Ok(Self(machine))
    }

    /// The machine, without keeping it: for a helper of the embedder's own, or what else the machine
    /// keeps and which wants to come back to it.
    ///
    /// ```
    /// use skep_vm::{Prototype, Vm};
    ///
    /// let vm = Vm::new()?;
    /// let machine = vm.downgrade();
    /// vm.define_helper(Prototype::new(1000, "stop_all"), move |_| {
    ///     machine.upgrade().ok_or("the machine is gone")?.interrupt();
    ///     Ok(0)
    /// })?;
    /// let machine = vm.downgrade();
    /// drop(vm);
    /// assert!(machine.upgrade().is_none(), "its helper does not keep it");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> WeakVm {
        WeakVm(Arc::downgrade(&self.0))
    }

    /// Makes a task that programs can run for, and find by its number for as long as somebody
    /// holds it.
    #[must_use]
    pub fn task(&self, info: TaskInfo) -> Arc<Task> {
        Task::new(&self.0.me, info)
    }

    /// Stops the runs that are checked, those under way and those to come, until [`Vm::resume`]:
    /// they end in [`FaultKind::Interrupted`](crate::FaultKind::Interrupted) where they would look
    /// at the clock ([`Limits::time`]). Where somebody presses Ctrl-C, or a plug-in is taken out.
    pub fn interrupt(&self) {
        self.0.interrupted.store(true, Relaxed);
    }

    /// Lets programs run again.
    pub fn resume(&self) {
        self.0.interrupted.store(false, Relaxed);
    }

    /// Takes the faults of timers' callbacks, the first 64, and how many more there were.
    #[must_use]
    pub fn take_timer_faults(&self) -> (Vec<Fault>, u64) {
        self.0.timers.take_faults()
    }

    /// Sets what programs see of the network: runs that begin afterwards see it.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn set_network(&self, network: Network) -> Result<(), Errno> {
        self.0.net.set(network)
    }

    /// How often the instructions of a program ran, by their places as it was loaded: its own, and
    /// those of its subprograms and callbacks, whoever ran them: a hook, a test run, a timer, a tail
    /// call. `None` if the machine was not made to count ([`Config::coverage`]).
    ///
    /// # Errors
    /// This is no descriptor of a program of this machine.
    pub fn coverage(&self, program: &ProgramFd) -> skep_host::Result<Option<Arc<Coverage>>> {
        let found = program_of(self, program);
        let failed = |errno| Error::command(Command::ObjGetInfoByFd, "coverage", errno);
        Ok(found.map_err(failed)?.coverage.clone())
    }

    /// Makes a program of instructions alone, without maps, to be run in checked mode.
    ///
    /// # Errors
    /// It is no program, or calls what the machine does not have.
    pub fn bare(
        &self,
        name: &str,
        instructions: &[RawInsn],
        engine: Engine,
    ) -> Result<BareProgram, LoadError> {
        self.bare_with(name, instructions, engine, Mode::Checked, Vec::new())
    }

    /// The same in verified mode, in which nothing is checked.
    ///
    /// # Errors
    /// As [`Vm::bare`].
    ///
    /// # Safety
    /// A verifier accepted the program: whatever its context, it accesses only what it may, and
    /// it ends.
    pub unsafe fn bare_verified(
        &self,
        name: &str,
        instructions: &[RawInsn],
        engine: Engine,
    ) -> Result<BareProgram, LoadError> {
        self.bare_with(name, instructions, engine, Mode::Verified, Vec::new())
    }

    /// The same in either mode, in verified mode with guarded accesses ([`Code::with_guarded`]).
    pub(crate) fn bare_with(
        &self,
        name: &str,
        instructions: &[RawInsn],
        engine: Engine,
        mode: Mode,
        guarded: Vec<InsnIndex>,
    ) -> Result<BareProgram, LoadError> {
        let mut resolver = Bare {
            vm: &self.0,
            customs: Vec::new(),
        };
        let code = Code::new(instructions, &mut resolver)?;
        let code = Arc::new(code.with_guarded(guarded));
        let coverage = self.0.coverage(name, &code);
        let executable = executable(&code, engine, mode, coverage.as_ref());
        let executable = executable.map_err(|errno| LoadError::Missing {
            at: InsnIndex(0),
            what: format!("{engine:?} engine for it: {errno}"),
        })?;
        let program = Program {
            id: 0,
            name: name.to_owned(),
            program_type: ProgramType::Unspec,
            mode,
            maps: Vec::new(),
            customs: resolver.customs,
            code,
            executable,
            coverage,
            meta: Meta::default(),
        };
        Ok(BareProgram {
            vm: self.clone(),
            program: Arc::new(program),
        })
    }
}

/// Resolves what needs no host.
struct Bare<'a> {
    vm: &'a Shared,
    customs: Vec<Arc<Custom>>,
}

impl Resolve for Bare<'_> {
    fn helper(&mut self, at: InsnIndex, id: u32) -> Result<Call, LoadError> {
        if let Some(custom) = self.vm.helpers.find(id) {
            return Ok(custom.resolve(&mut self.customs));
        }
        let known = Helper::by_id(id);
        let missing = || LoadError::Missing {
            at,
            what: known.map_or_else(|| format!("helper {id}"), |known| known.name.to_owned()),
        };
        Ok(Call {
            shim: helper::by_id(id).ok_or_else(missing)?,
            custom: 0,
            name: known.map_or("helper", |known| known.name),
        })
    }

    fn kfunc(&mut self, at: InsnIndex, btf_id: u32, _fd: i16) -> Result<Call, LoadError> {
        let what = format!("kernel function {btf_id} for a bare program");
        Err(LoadError::Missing { at, what })
    }

    fn value(&mut self, at: InsnIndex, _value: Imm64) -> Result<u64, LoadError> {
        let what = "a bare program has no maps and no types".to_owned();
        Err(LoadError::Reference { at, what })
    }
}

/// A program of instructions alone.
#[derive(Debug)]
pub struct BareProgram {
    vm: Vm,
    program: Arc<Program>,
}

impl BareProgram {
    /// Its machine code, for who wants to disassemble it; empty where it is interpreted.
    #[must_use]
    pub fn machine_code(&self) -> &[u8] {
        self.program.executable.machine_code()
    }

    /// How often its instructions ran; `None` if the machine was not made to count.
    #[must_use]
    pub fn coverage(&self) -> Option<&Arc<Coverage>> {
        self.program.coverage.as_ref()
    }

    /// Runs it with R1 at `memory` and R2 its length, and gives R0.
    ///
    /// # Errors
    /// What stopped it.
    pub fn run(&self, memory: &mut [u8]) -> Result<u64, Fault> {
        self.run_maybe_for(None, memory)
    }

    /// The same for a task, which is the current one for the program: its numbers and its memory.
    ///
    /// # Errors
    /// As [`BareProgram::run`].
    pub fn run_for(&self, task: &Arc<Task>, memory: &mut [u8]) -> Result<u64, Fault> {
        self.run_maybe_for(Some(task), memory)
    }

    fn run_maybe_for(&self, task: Option<&Arc<Task>>, memory: &mut [u8]) -> Result<u64, Fault> {
        let shared = &self.vm.0;
        let cpu = shared.cpus.take(None);
        let cpu = cpu.map_err(|errno| Fault::without_cpu(&self.program.name, errno))?;
        let run = Run::new(
            shared,
            &self.program,
            cpu.id(),
            cpu.scratch(),
            shared.limits,
        );
        if let Some(task) = task {
            run.set_task(Arc::clone(task));
        }
        let memory = crate::memory::View::of(memory);
        let (start, len) = (memory.address(), memory.len() as u64);
        if len > 0 {
            run.grant(Ours {
                start,
                len,
                writable: true,
            });
        }
        run.start_with(if len > 0 { start } else { 0 }, len)
    }
}
