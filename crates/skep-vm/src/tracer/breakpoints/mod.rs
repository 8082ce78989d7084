//! Breakpoints in tracees: uprobes, uretprobes and what USDT needs, without the kernel's help.
//!
//! Each place that programs are attached to has an `int3` in every address space that maps its
//! file. A thread that meets one stops; programs run; and it goes on in a slot, where a copy of the
//! instruction is ([`relocate`]), so that a hit is one stop, and the breakpoint never missing for
//! other threads. Returns are breakpoints where functions return to ([`returns`]). All of it is
//! done by the tracer's thread, which tells of every stop that matters.
//!
//! Otherwise than the kernel's probes, these leave return addresses alone, so exceptions pass
//! through probed functions, and count a function that is called at the same place of the stack
//! again, without having returned, once at its return.
//!
//! Two things can't be hidden from a tracee: it finds `0xcc` where it reads its own code, and where
//! it blocks or ignores `SIGTRAP` in particular, the kernel resets that when it meets a breakpoint
//! (where it blocks all signals, as the C library does at times, that is put right).

mod areas;
#[cfg(target_arch = "x86_64")]
mod hit;
mod inject;
mod maps;
mod places;
mod refused;
mod relocate;
mod returns;
mod space;
mod starts;
mod thread;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use libc::{c_int, pid_t, user_regs_struct};
use skep_host::Errno;

use self::{
    areas::Areas,
    places::Places,
    refused::{Reason, Report},
    space::{Access, Space, Step},
    starts::Starts,
    thread::{Quiet, Statuses, Stepped},
};
use super::{Refused, fire::Firing, process, system};
use crate::machine::Hooks;

/// `SI_KERNEL`: what `int3` says of itself.
const SI_KERNEL: c_int = 0x80;

/// What a stop for `SIGTRAP` was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trap {
    /// A breakpoint of ours: the thread goes on without a signal.
    Ours,
    /// The tracee's own matter: the signal is delivered.
    Theirs,
    /// The thread is gone.
    Gone,
}

/// The breakpoints of all tracees of a tracer.
#[derive(Debug, Default)]
pub(super) struct Breakpoints {
    places: Places,
    spaces: BTreeMap<u32, Space>,
    /// The address space of each thread.
    threads: BTreeMap<pid_t, u32>,
    next: u32,
    /// Address spaces without threads, the newest first.
    former: VecDeque<Space>,
    report: Report,
    starts: Starts,
    statuses: Statuses,
    /// Seccomp filters that a tracee has without its own doing.
    usual_filters: u32,
}

impl Breakpoints {
    pub(super) fn new() -> Self {
        Self {
            usual_filters: space::filters(std::process::id() as pid_t),
            ..Self::default()
        }
    }

    /// Whether the tracer gives a seccomp filter to its tracees.
    pub(super) fn gives_filter(&mut self, gives: bool) {
        self.usual_filters += u32::from(gives);
    }

    /// Takes in what is attached now. `true`: it is something else than before, and each address
    /// space is to be brought up to date, by [`Breakpoints::sync`].
    pub(super) fn plan(&mut self, hooks: &Hooks) -> bool {
        let (missing, changed) = self.places.read(hooks);
        for path in missing {
            self.report.refuse_at(Arc::new(path), 0, Reason::NoFile);
        }
        changed
    }

    /// Whether there are places, or anything of ours is in a tracee.
    pub(super) fn are_needed(&self) -> bool {
        !self.places.is_empty() || self.spaces.values().any(|space| !space.is_empty())
    }

    /// The threads of each address space.
    pub(super) fn spaces(&self) -> Vec<Vec<pid_t>> {
        let mut spaces: BTreeMap<u32, Vec<pid_t>> = BTreeMap::new();
        for (tid, space) in &self.threads {
            spaces.entry(*space).or_default().push(*tid);
        }
        spaces.into_values().collect()
    }

    /// A thread is traced from now on, alone as far as is known.
    pub(super) fn add(&mut self, tid: pid_t) {
        if !self.threads.contains_key(&tid) {
            let id = self.new_space(Space::default());
            self.threads.insert(tid, id);
        }
    }

    /// A thread is traced from now on that `parent` made, in its address space if `shared` or with
    /// a copy of it. The child has not run yet, or was not let go since.
    pub(super) fn add_child(&mut self, parent: pid_t, tid: pid_t, shared: bool) {
        let Some(of) = self.threads.get(&parent).copied() else {
            return self.add(tid);
        };
        let id = match (shared, self.spaces.get(&of)) {
            (false, Some(space)) => {
                let copy = space.clone();
                // A child that is gone already needs nothing.
                let _ = copy.adopt(tid);
                self.new_space(copy)
            }
            _ => of,
        };
        if let Some(before) = self.threads.insert(tid, id) {
            self.sweep(before);
        }
    }

    /// A thread is traced from now on whose parent is gone, or not known: its memory is a copy of
    /// one that is known, or was.
    pub(super) fn add_orphan(&mut self, tid: pid_t) {
        if self.threads.contains_key(&tid) {
            return;
        }
        let mut known = self.spaces.values().chain(&self.former);
        let space = known.find(|space| space.is_copied_to(tid)).cloned();
        if let Some(space) = &space {
            let _ = space.adopt(tid);
        }
        let id = self.new_space(space.unwrap_or_default());
        self.threads.insert(tid, id);
    }

    fn new_space(&mut self, space: Space) -> u32 {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.spaces.insert(id, space);
        id
    }

    /// A thread executes another program: it has an address space of its own, without breakpoints.
    pub(super) fn executed(&mut self, tid: pid_t) {
        self.remove(tid);
        self.add(tid);
    }

    /// A thread is gone, or no longer traced.
    pub(super) fn remove(&mut self, tid: pid_t) {
        if let Some(space) = self.threads.remove(&tid) {
            self.sweep(space);
        }
    }

    fn sweep(&mut self, space: u32) {
        /// How many that are gone are remembered for children that nobody has told of yet.
        const FORMER: usize = 64;
        if self.threads.values().any(|of| *of == space) {
            return;
        }
        if let Some(space) = self.spaces.remove(&space)
            && !space.points.is_empty()
        {
            self.former.push_front(space);
            self.former.truncate(FORMER);
        }
    }

    /// Brings a thread's address space up to date, after a change of what is attached, a new
    /// program or a new mapping. With `may_call` the thread stands where it could receive a signal,
    /// in no system call: it may be made to map memory. `false`: the thread has no memory any more.
    pub(super) fn sync(&mut self, tid: pid_t, may_call: bool) -> bool {
        let space = self
            .threads
            .get(&tid)
            .and_then(|id| self.spaces.get_mut(id));
        let Some(space) = space else {
            return false;
        };
        let mut access = Access {
            tid,
            may_call,
            usual_filters: self.usual_filters,
            statuses: &mut self.statuses,
        };
        let (report, starts) = (&mut self.report, &mut self.starts);
        let done = space.sync(&mut access, &self.places, starts, &mut |place, reason| {
            report.refuse(place, reason);
        });
        done.is_ok()
    }

    /// Memory of a thread's address space was mapped or made executable; with `fresh` it is not what
    /// it was before. To be brought up to date then.
    pub(super) fn mapped(&mut self, tid: pid_t, start: u64, len: u64, fresh: bool) {
        let space = self
            .threads
            .get(&tid)
            .and_then(|id| self.spaces.get_mut(id));
        if let Some(space) = space {
            space.mapped(tid, start..start.saturating_add(len), fresh);
        }
    }

    /// Whether this thread's address space waits for a thread that stands where [`Breakpoints::sync`]
    /// may make it map memory.
    pub(super) fn wants_call(&self, tid: pid_t) -> bool {
        self.space(tid).is_some_and(|space| space.wants_call)
    }

    /// Whether any does.
    pub(super) fn any_wants_call(&self) -> bool {
        self.spaces.values().any(|space| space.wants_call)
    }

    fn space(&self, tid: pid_t) -> Option<&Space> {
        self.spaces.get(self.threads.get(&tid)?)
    }

    /// A thread stands at a `SIGTRAP` that is about to be delivered. Without `firing` nobody looks
    /// any more.
    pub(super) fn trap(&mut self, tid: pid_t, firing: Option<&Firing<'_>>) -> Trap {
        match self.trapped(tid, firing) {
            Ok(trap) => trap,
            Err(Errno::ESRCH) => Trap::Gone,
            Err(_) => Trap::Theirs,
        }
    }

    /// `firing`: `None` where only the thread is to be put right.
    fn trapped(&mut self, tid: pid_t, firing: Option<&Firing<'_>>) -> Result<Trap, Errno> {
        let Some(space) = self
            .threads
            .get(&tid)
            .and_then(|id| self.spaces.get_mut(id))
        else {
            return Ok(Trap::Theirs);
        };
        if space.points.is_empty() {
            return Ok(Trap::Theirs);
        }
        let mut registers = system::registers(tid)?;
        let address = registers.rip.wrapping_sub(1);
        let Some(point) = space.points.get(&address) else {
            return Ok(Trap::Theirs);
        };
        // Behind an instruction of one byte, a thread may be for any reason.
        if point.len == 1 && thread::signal_info(tid)?.si_code != SI_KERNEL {
            return Ok(Trap::Theirs);
        }
        registers.rip = address;
        thread::keep_trap_back(tid)?;
        if !point.inserted {
            // It was taken out after the thread had met it.
            thread::set_ip(tid, address)?;
            return Ok(Trap::Ours);
        }
        if let Some(firing) = firing {
            let mut access = Access {
                tid,
                may_call: true,
                usual_filters: self.usual_filters,
                statuses: &mut self.statuses,
            };
            let report = &mut self.report;
            hit::fire(space, &mut access, firing, report, &registers, address);
        }
        let ip = match space.points.get(&address).map(|point| &point.step) {
            Some(Step::Skip(to)) => *to,
            Some(Step::Slot(slot, _)) => *slot,
            None => address,
        };
        thread::set_ip(tid, ip)?;
        Ok(Trap::Ours)
    }

    /// A thread stands at a signal that is about to be delivered, which is not a [`Trap::Ours`]: if
    /// it is in a slot, it is put where it would be without.
    pub(super) fn before_signal(&mut self, tid: pid_t, signal: c_int) {
        let Some(space) = self.space(tid) else {
            return;
        };
        if space.areas.is_empty() {
            return;
        }
        if let Ok(registers) = system::registers(tid)
            && space.areas.contain(registers.rip)
        {
            // A thread that is gone needs nothing.
            let _ = self.out_of_slot(tid, registers, Some(signal));
        }
    }

    /// Puts a thread that is in a slot where it would be without.
    fn out_of_slot(
        &mut self,
        tid: pid_t,
        mut registers: user_regs_struct,
        signal: Option<c_int>,
    ) -> Result<(), Stepped> {
        /// Steps until an instruction with many repetitions is left in its slot.
        const STEPS: usize = 64;
        let raised = match signal {
            Some(signal) if thread::is_raised(signal) => {
                let mut info = thread::signal_info(tid)?;
                let raised = info.si_code > 0;
                // Some signals name the instruction.
                if raised && matches!(signal, libc::SIGILL | libc::SIGFPE | libc::SIGTRAP) {
                    self.rename(tid, &mut info, &registers);
                    thread::set_signal_info(tid, &info)?;
                }
                raised
            }
            _ => false,
        };
        for _ in 0..STEPS {
            let Some(space) = self.space(tid) else {
                return Ok(());
            };
            if !space.areas.contain(registers.rip) {
                return Ok(());
            }
            let inside = inside(space, registers.rip);
            match inside {
                // To go back to it would be another hit, unless it is gone or failed.
                Some(inside) if !inside.before || raised || signal.is_none() => {
                    registers.rip = inside.ip;
                    registers.rsp = registers.rsp.wrapping_add(inside.popped);
                    system::set_registers(tid, &registers)?;
                    return Ok(());
                }
                Some(inside) if inside.is_system_call => return Ok(()),
                _ => {}
            }
            Quiet::new(tid, &mut self.statuses)?.step()?;
            registers = system::registers(tid)?;
        }
        Ok(())
    }

    /// Lets a signal name the original instruction in place of the slot's.
    fn rename(&self, tid: pid_t, info: &mut libc::siginfo_t, registers: &user_regs_struct) {
        // SAFETY: a `siginfo_t` of these signals has an address there, and any bits are one.
        let named = unsafe { info.si_addr() } as u64;
        let inside = self.space(tid).and_then(|space| inside(space, named));
        if let (Some(inside), true) = (inside, named == registers.rip) {
            thread::set_address(info, inside.ip);
        }
    }

    /// Nobody looks any more: takes everything out of all tracees. Their threads may be in slots
    /// still.
    pub(super) fn end(&mut self) {
        self.places = Places::default();
        for threads in self.spaces() {
            // A thread that is gone has no memory; another may still have it.
            threads.into_iter().find(|tid| self.sync(*tid, false));
        }
    }

    /// Makes a thread that stands ready to be let go, after [`Breakpoints::end`]: it is in no slot,
    /// and will not be told of a breakpoint that is gone. `may_call` as in [`Breakpoints::sync`].
    pub(super) fn leave(&mut self, tid: pid_t, may_call: bool) {
        // A thread that is gone needs nothing.
        let _ = self.left(tid, may_call);
    }

    /// Whether a thread has to make calls before it is let go: it is the last of an address space
    /// with slots, or the first of one that hides its memory.
    pub(super) fn needs_call_to_leave(&self, tid: pid_t) -> bool {
        let Some(id) = self.threads.get(&tid) else {
            return false;
        };
        self.spaces.get(id).is_some_and(|space| {
            space.has_inserted() || (space.has_to_unmap() && self.is_last_of(*id))
        })
    }

    /// Takes out what [`Breakpoints::end`] could not, since the process does not let its memory be
    /// read and written.
    fn take_out_hidden(&mut self, tid: pid_t, id: u32) -> Result<(), Errno> {
        if let Some(space) = self.spaces.get(&id) {
            space.show_memory(tid, true, &mut self.statuses)?;
        }
        self.sync(tid, false);
        match self.spaces.get(&id) {
            Some(space) => space.show_memory(tid, false, &mut self.statuses),
            None => Ok(()),
        }
    }

    fn is_last_of(&self, id: u32) -> bool {
        self.threads.values().filter(|space| **space == id).count() == 1
    }

    fn left(&mut self, tid: pid_t, may_call: bool) -> Result<(), Stepped> {
        let Some(id) = self.threads.get(&tid).copied() else {
            return Ok(());
        };
        if self.spaces.get(&id).is_none_or(Space::is_empty) {
            return Ok(());
        }
        let hidden = |space: &Space| space.has_inserted();
        if may_call && self.spaces.get(&id).is_some_and(hidden) {
            self.take_out_hidden(tid, id)?;
        }
        let Some(space) = self.spaces.get(&id) else {
            return Ok(());
        };
        let mut registers = system::registers(tid)?;
        let met = space.points.contains_key(&registers.rip.wrapping_sub(1));
        if met && may_call && process::has_trap(tid) {
            Quiet::new(tid, &mut self.statuses)?.meet_trap()?;
            self.trapped(tid, None)?;
            registers = system::registers(tid)?;
        }
        self.out_of_slot(tid, registers, None)?;
        let last = self.is_last_of(id);
        if let (true, true, Some(space)) = (last, may_call, self.spaces.get_mut(&id)) {
            space.unmap(tid, &mut self.statuses);
        }
        Ok(())
    }

    /// A status that was waited for here and is for the tracer.
    pub(super) fn status(&mut self) -> Option<(pid_t, c_int)> {
        self.statuses.pop_front()
    }

    /// Places without breakpoints, with the reason, if there are more than before.
    pub(super) fn new_refusals(&mut self) -> Option<Vec<Refused>> {
        self.report.news()
    }
}

/// What a thread at this address of a slot would be doing.
fn inside(space: &Space, ip: u64) -> Option<relocate::Inside> {
    let start = Areas::slot_of(ip);
    let of = |point: &space::Breakpoint| match &point.step {
        Step::Slot(slot, code) if *slot == start => code.inside(ip - start),
        _ => None,
    };
    space.points.values().find_map(of)
}
