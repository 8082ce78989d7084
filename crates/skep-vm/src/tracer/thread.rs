//! The thread that traces: it answers requests, waits for stops, and lets go.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use libc::{c_int, pid_t};
use skep_host::Errno;

use super::{
    TraceError,
    breakpoints::Breakpoints,
    control::{Control, Request},
    filter::Filter,
    fire::{Firing, Tally},
    launch::{Held, Said},
    life,
    plan::Plan,
    process,
    sampling::{Sampled, Sampler},
    system::{self, Waited},
    wait::Wait,
    wake::Waker,
};
use crate::{
    Vm,
    machine::{ClockKind, Task},
    vm::Shared,
};

/// A thread of a traced process.
#[derive(Debug)]
pub(super) struct Tracee {
    pub(super) task: Arc<Task>,
    pub(super) tgid: pid_t,
    /// It stands until it is resumed.
    pub(super) standing: bool,
    /// It was resumed to the next start or end of a system call.
    pub(super) stepping: bool,
    /// The system call that it is in, where its start was seen, and the first argument.
    pub(super) call: Option<(u32, u64)>,
    /// It was seen to exit.
    pub(super) exiting: bool,
    /// It runs code that is not the command's yet.
    pub(super) before: bool,
    /// The system call that it is in maps code, or counters of probes: this many bytes.
    pub(super) maps: Option<u64>,
    /// It stands where it could receive a signal, and so can be made to call the system.
    pub(super) may_call: bool,
    pub(super) sampling: Sampled,
}

/// Numbers of tasks are as good as their hash.
#[derive(Default)]
pub(super) struct PidHasher(u64);

impl Hasher for PidHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(31).wrapping_add((*byte).into());
        }
    }

    fn write_i32(&mut self, pid: i32) {
        // The map looks at the upper bits too.
        self.0 = (pid as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

pub(super) type Tracees = HashMap<pid_t, Tracee, BuildHasherDefault<PidHasher>>;

/// What the thread knows.
#[derive(Debug)]
pub(super) struct Tracer<'a> {
    /// Until nobody looks any more.
    pub(super) vm: Option<Vm>,
    pub(super) control: &'a Control,
    pub(super) tracees: Tracees,
    /// New tasks that stand, whose birth was not told of yet.
    pub(super) newborns: HashMap<pid_t, c_int>,
    pub(super) plan: Plan,
    pub(super) breakpoints: Breakpoints,
    /// A change of what is hooked that is in effect once all breakpoints are.
    owed: Option<u64>,
    pub(super) sampler: Sampler,
    /// The filter that is in force; empty if none is.
    pub(super) filter: Filter,
    filtered: bool,
    /// Every call stops every tracee.
    pub(super) stepping: bool,
    /// The process that was to be traced.
    pub(super) first: pid_t,
    /// A command on its way to be executed.
    pub(super) starting: Option<Starting>,
    options: c_int,
    /// Tracees are let go when they next stop.
    pub(super) leaving: bool,
    ended: bool,
    /// The tick of a manual clock that is being worked off; 0 if none is.
    ticket: u64,
}

/// A command between being let go and being executed.
#[derive(Debug)]
pub(super) struct Starting {
    pub(super) said: Option<Said>,
    /// What `exec` answered, so far.
    pub(super) failure: Option<i32>,
}

/// Whether this process may set a filter without promising to gain no privileges.
fn may_filter() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    let sets = capabilities(None);
    sets.is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

impl<'a> Tracer<'a> {
    /// The thread's whole life.
    pub(super) fn run(vm: Vm, control: &'a Control, pid: pid_t, command: bool) {
        let mut tracer = Self {
            plan: Plan::of(&vm.0.hooks),
            vm: Some(vm),
            control,
            tracees: Tracees::default(),
            newborns: HashMap::new(),
            breakpoints: Breakpoints::new(),
            owed: None,
            sampler: Sampler::default(),
            filter: Filter::default(),
            filtered: false,
            stepping: false,
            first: pid,
            starting: None,
            options: system::OPTIONS,
            leaving: false,
            ended: false,
            ticket: 0,
        };
        let begun = tracer.begin(command);
        let failed = begun.is_err();
        control.set(|state| {
            state.begun = Some(begun);
            state.ended |= failed;
        });
        if failed {
            return;
        }
        tracer.attend();
        control.set(|state| {
            state.alive = 0;
            state.left = true;
            state.ended = true;
        });
    }

    fn begin(&mut self, command: bool) -> Result<(), TraceError> {
        let what = "make the signal that wakes the tracer";
        let waker = Waker::new().map_err(|errno| TraceError::System { what, errno })?;
        self.control.is_here(waker);
        match command {
            true => self.seize_command(),
            false => self.seize_process(),
        }
    }

    /// A held child of ours. If this process dies, so does it: with a filter or breakpoints in
    /// it, it could not go on alone.
    fn seize_command(&mut self) -> Result<(), TraceError> {
        let pid = self.first;
        self.options |= libc::PTRACE_O_EXITKILL;
        self.seize(pid)
            .map_err(|errno| TraceError::seizing(pid as u32, true, errno))?;
        let mut added = self.add(pid)?;
        added.before = true;
        self.tracees.insert(pid, added);
        self.alive();
        Ok(())
    }

    /// A process that runs: its threads, until there are no new ones.
    fn seize_process(&mut self) -> Result<(), TraceError> {
        let pid = self.first;
        let seizing = |errno| TraceError::seizing(pid as u32, false, errno);
        if process::Status::of(pid).is_none_or(|status| status.tgid != pid as u32) {
            return Err(TraceError::NoProcess { pid: pid as u32 });
        }
        self.seize(pid).map_err(seizing)?;
        let leader = self.add(pid)?;
        self.tracees.insert(pid, leader);
        self.breakpoints.add(pid);
        loop {
            let mut new = false;
            for thread in process::threads(pid) {
                if self.tracees.contains_key(&thread) {
                    continue;
                }
                match self.seize(thread) {
                    Ok(()) => {
                        new = true;
                        if let Ok(added) = self.add(thread) {
                            self.tracees.insert(thread, added);
                            self.breakpoints.add_child(pid, thread, true);
                        }
                    }
                    // It ended meanwhile, or an already traced one began it.
                    Err(Errno::ESRCH | Errno::EPERM) => {}
                    Err(errno) => return Err(seizing(errno)),
                }
            }
            if !new {
                break;
            }
        }
        self.alive();
        self.plan_anew();
        Ok(())
    }

    fn seize(&self, pid: pid_t) -> Result<(), Errno> {
        system::seize(pid, self.options)
    }

    /// A tracee that `/proc` describes.
    fn add(&self, pid: pid_t) -> Result<Tracee, TraceError> {
        let gone = TraceError::NoProcess { pid: pid as u32 };
        let machine = self.machine().ok_or(TraceError::Begun)?;
        let task = life::known_or_new(machine, pid).ok_or(gone)?;
        Tally::add(&self.control.tally.tasks);
        Ok(Tracee {
            tgid: task.info().tgid as pid_t,
            task,
            standing: false,
            stepping: false,
            call: None,
            exiting: false,
            before: false,
            maps: None,
            may_call: false,
            sampling: Sampled::default(),
        })
    }

    /// The machine, while anybody looks.
    pub(super) fn machine(&self) -> Option<&Shared> {
        self.vm.as_ref().map(|vm| &*vm.0)
    }

    /// What fires points for a task.
    pub(super) fn firing<'b>(&'b self, task: &'b Arc<Task>) -> Option<Firing<'b>> {
        Some(Firing {
            vm: self.machine()?,
            tally: &self.control.tally,
            task,
        })
    }

    /// Tells how many are alive.
    pub(super) fn alive(&self) {
        let alive = self.tracees.len();
        self.control.state().alive = alive;
    }

    /// Answers requests and stops until nothing is traced any more.
    fn attend(&mut self) {
        let mut interrupted = false;
        let mut asked = false;
        let mut wait = Wait::new();
        while !self.ended {
            if self.control.woken(interrupted) {
                self.requests();
                self.plan_anew();
            }
            self.tick();
            interrupted = false;
            // Those who made newborns tell of them soon, if they live.
            let block = asked || self.newborns.is_empty();
            match wait.next(&self.tracees, block) {
                Waited::Status(pid, status) => {
                    asked = false;
                    self.happened(pid, status);
                    // What was waited for while a thread took steps.
                    while let Some((pid, status)) = self.breakpoints.status() {
                        self.happened(pid, status);
                    }
                    self.sampled();
                }
                Waited::Interrupted => interrupted = true,
                Waited::Nothing => {
                    self.adopt_orphans();
                    asked = true;
                }
                Waited::Nobody => {
                    self.control.tally.lose(self.tracees.len() as u64);
                    return;
                }
            }
            if self.tracees.is_empty() && self.newborns.is_empty() {
                return;
            }
        }
    }

    /// Follows what is attached now.
    fn plan_anew(&mut self) {
        let change = self.control.hooks();
        if let Some(vm) = &self.vm {
            self.plan = Plan::of(&vm.0.hooks);
        }
        self.follow_samples();
        let begun = self.starting.is_none() && !self.tracees.values().any(|one| one.before);
        let stepping = begun && self.plan.exceeds(&self.filter);
        if stepping && !self.stepping {
            for (pid, tracee) in &self.tracees {
                if !tracee.standing && !tracee.stepping {
                    // It stops soon, and then goes on in steps.
                    let _ = system::interrupt(*pid);
                }
            }
        }
        self.stepping = stepping;
        if self.breakpoints_anew() {
            self.control.followed(change);
        } else {
            self.owed = Some(change);
        }
    }

    /// Brings the breakpoints of all tracees up to date. `false`: some need a thread that stands;
    /// one is on its way to.
    fn breakpoints_anew(&mut self) -> bool {
        let Some(vm) = &self.vm else {
            return true;
        };
        if !self.breakpoints.plan(&vm.0.hooks) {
            return self.owed.is_none();
        }
        let mut done = true;
        for threads in self.breakpoints.spaces() {
            let mut threads = threads.into_iter();
            let Some(pid) = threads.find(|pid| self.breakpoints.sync(*pid, false)) else {
                continue;
            };
            if self.breakpoints.wants_call(pid) {
                done &= system::interrupt(pid).is_err();
            }
        }
        self.report_breakpoints();
        done
    }

    /// Brings those of a tracee's address space up to date. What could not be done before is done
    /// where it stands so that it can be.
    pub(super) fn sync_breakpoints(&mut self, pid: pid_t) {
        let may_call = self.tracees.get(&pid).is_some_and(|tracee| tracee.may_call);
        self.breakpoints.sync(pid, may_call);
        self.report_breakpoints();
        self.follow_owed();
    }

    /// Tells that changes are in effect, if that waited for breakpoints.
    pub(super) fn follow_owed(&mut self) {
        if !self.breakpoints.any_wants_call()
            && let Some(change) = self.owed.take()
        {
            self.control.followed(change);
        }
    }

    /// The same, also where some wait for a process that is stopped.
    pub(super) fn follow_owed_anyway(&mut self) {
        if let Some(change) = self.owed.take() {
            self.control.followed(change);
        }
    }

    /// Tells of places that have no breakpoint, if there are new ones.
    pub(super) fn report_breakpoints(&mut self) {
        if let Some(refused) = self.breakpoints.new_refusals() {
            self.control.tally.refuse(refused);
        }
    }

    fn follow_samples(&mut self) {
        if let Some(machine) = self.vm.as_ref().map(|vm| &*vm.0) {
            let (now, manual) = (
                machine.clock.read(ClockKind::Monotonic),
                machine.clock.is_manual(),
            );
            self.sampler.follow(&self.plan.samples, now, manual);
            self.control.tick_at(self.sampler.due());
        }
    }

    /// A tick of a manual clock is done when all whom it stops have given their samples.
    fn sampled(&mut self) {
        if self.ticket > 0 && !self.is_sampling() {
            let ticket = std::mem::take(&mut self.ticket);
            self.control.set(|state| state.sampled = ticket);
        }
    }

    fn requests(&mut self) {
        let requests = std::mem::take(&mut self.control.state().requests);
        for request in requests {
            match request {
                Request::Go(held) => self.go(held),
                Request::Drop => {
                    let _ = system::kill(self.first, libc::SIGKILL);
                    self.vm = None;
                    self.plan = Plan::default();
                }
                Request::Leave => self.leave(),
                Request::Sample(due, ticket) => {
                    self.tick_by_hand(&due);
                    self.ticket = ticket;
                    self.sampled();
                }
            }
        }
    }

    /// Lets the held command go on to be executed.
    fn go(&mut self, held: Held) {
        if let Some(vm) = &self.vm {
            self.plan = Plan::of(&vm.0.hooks);
            self.breakpoints.plan(&vm.0.hooks);
        }
        let filter = self.plan.filter();
        let instructions = filter.as_ref().map(Filter::instructions);
        let sent = held.go(&instructions.unwrap_or_default(), !may_filter());
        self.filter = filter.unwrap_or_default();
        let going = match sent {
            Ok((said, going)) => {
                self.starting = Some(Starting {
                    said: Some(said),
                    failure: None,
                });
                Ok(going)
            }
            Err(error) => Err(TraceError::System {
                what: "let the command go",
                errno: Errno(error.raw_os_error().unwrap_or_default()),
            }),
        };
        self.control.set(|state| state.going = Some(going));
    }

    /// The command's process has done what comes before the command.
    pub(super) fn ready(&mut self, pid: pid_t) {
        let said = self
            .starting
            .as_mut()
            .and_then(|starting| starting.said.take());
        self.filtered = !self.filter.calls.is_empty() && said.is_some_and(Said::filtered);
        if !self.filtered {
            self.filter = Filter::default();
        }
        self.control.state().bound = self.filtered;
        if let Some(tracee) = self.tracees.get_mut(&pid) {
            tracee.before = false;
        }
        self.stepping = self.plan.exceeds(&self.filter);
        self.breakpoints.gives_filter(self.filtered);
    }

    /// Nobody looks any more: lets all go, or where a filter needs a tracer, stays with them.
    fn leave(&mut self) {
        self.vm = None;
        self.plan = Plan::default();
        self.stepping = false;
        self.breakpoints.end();
        self.owed = None;
        if !self.filtered {
            self.leaving = true;
            let running = self.tracees.iter().filter(|(_, tracee)| !tracee.standing);
            for (pid, _) in running {
                let _ = system::interrupt(*pid);
            }
        }
        let stays = self.filtered;
        self.control.set(|state| state.left = stays);
    }

    /// Lets a tracee that stands go on, with a signal or 0.
    pub(super) fn resume(&mut self, pid: pid_t, signal: c_int) {
        let stepping = self.stepping;
        self.resume_as(pid, stepping, signal);
    }

    /// The same, to the end of its system call.
    pub(super) fn resume_to_exit(&mut self, pid: pid_t) {
        self.resume_as(pid, true, 0);
    }

    fn resume_as(&mut self, pid: pid_t, stepping: bool, signal: c_int) {
        let starting = self.starting.is_some() && pid == self.first;
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return;
        };
        tracee.standing = false;
        let may_call = tracee.may_call;
        // A thread that was killed while it stood is gone: its end is told of by the next wait.
        if self.leaving {
            let stops = process::is_to_stop(pid, signal);
            if stops || (!may_call && self.breakpoints.needs_call_to_leave(pid)) {
                // It stops once more, where its process is stopped already, and where it can be
                // made to unmap what is ours.
                let _ = system::interrupt(pid);
                let _ = system::resume(pid, false, signal);
                return;
            }
            self.breakpoints.leave(pid, may_call);
            if system::detach(pid, signal).is_ok() {
                self.breakpoints.remove(pid);
                self.tracees.remove(&pid);
                self.alive();
            }
            return;
        }
        let stepping = stepping || starting;
        tracee.stepping = stepping;
        if !may_call && self.owed.is_some() && self.breakpoints.wants_call(pid) {
            // It was to stop where it can make calls, and came here first, which counts as that.
            let _ = system::interrupt(pid);
        }
        let _ = system::resume(pid, stepping, signal);
    }
}
