//! What a stop of a tracee means.

use std::sync::Arc;

use libc::{c_int, pid_t};

use super::{
    breakpoints::Trap,
    calls::{ARCH, CREDENTIALS, MMAP, MOST, NAMESPACES, PRCTL, PROT_EXEC_CALLS},
    filter::MARK,
    fire::{REGISTERS, Tally},
    plan::is_exec,
    process,
    system::{self, CallStop},
    thread::Tracer,
};
use crate::memory::View;

/// `PR_SET_NAME`
const SET_NAME: u64 = 15;

/// The event in a stop's status.
const fn event_of(status: c_int) -> c_int {
    status >> 16
}

impl Tracer<'_> {
    /// A tracee stopped or ended.
    pub(super) fn happened(&mut self, pid: pid_t, status: c_int) {
        if !libc::WIFSTOPPED(status) {
            return self.ended(pid, status);
        }
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return self.newborn(pid, status);
        };
        tracee.standing = true;
        tracee.may_call = false;
        let signal = libc::WSTOPSIG(status);
        let tells = event_of(status) != 0 && event_of(status) != libc::PTRACE_EVENT_SECCOMP;
        if tells && self.plan.registers {
            // Programs at the life of tasks may ask where they are.
            self.fetch_registers(pid);
        }
        match event_of(status) {
            0 if signal == libc::SIGTRAP | 0x80 => self.at_call(pid, false),
            0 => self.signalled(pid, signal),
            libc::PTRACE_EVENT_SECCOMP => self.at_call(pid, true),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                self.forked(pid, event_of(status));
                self.resume(pid, 0);
            }
            libc::PTRACE_EVENT_EXEC => {
                self.executed(pid);
                self.breakpoints.executed(pid);
                self.sync_breakpoints(pid);
                self.resume_in_call(pid);
            }
            libc::PTRACE_EVENT_EXIT => {
                self.exits(pid);
                self.breakpoints.remove(pid);
                self.resume(pid, 0);
            }
            libc::PTRACE_EVENT_STOP => self.halted(pid, signal),
            _ => self.resume(pid, 0),
        }
    }

    /// Its process is stopped by a signal, or it was interrupted.
    fn halted(&mut self, pid: pid_t, signal: c_int) {
        self.sample(pid);
        let by_signal = matches!(
            signal,
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU
        );
        if !by_signal || self.leaving {
            // A process that is let go stops again if it was stopped.
            self.may_call(pid);
        }
        if !by_signal && self.breakpoints.wants_call(pid) {
            self.sync_breakpoints(pid);
        }
        if !by_signal || self.leaving {
            return self.resume_in_call(pid);
        }
        // Breakpoints that wait for a thread to stand wait for that too, but nobody waits for them.
        self.follow_owed_anyway();
        // It must not run before SIGCONT comes, which listening waits for.
        if let Some(tracee) = self.tracees.get_mut(&pid) {
            tracee.standing = false;
        }
        let _ = system::listen(pid);
    }

    /// A signal is about to be delivered.
    fn signalled(&mut self, pid: pid_t, signal: c_int) {
        let starting = self.starting.is_some() && pid == self.first;
        let before = self.tracees.get(&pid).is_some_and(|tracee| tracee.before);
        if starting && before && signal == libc::SIGSTOP {
            self.ready(pid);
            return self.resume(pid, 0);
        }
        // One that stops the process is delivered at once, wherever the thread is: if it took a
        // step first, a SIGCONT that comes meanwhile would not take the stop back.
        let stops = process::is_to_stop(pid, signal);
        if !stops {
            self.may_call(pid);
        }
        if !stops && self.breakpoints.are_needed() {
            if signal == libc::SIGTRAP && !before {
                match self.trapped(pid) {
                    Trap::Ours => return self.resume(pid, 0),
                    // The next wait tells.
                    Trap::Gone => return,
                    Trap::Theirs => {}
                }
            }
            if self.breakpoints.wants_call(pid) {
                self.sync_breakpoints(pid);
            }
            self.breakpoints.before_signal(pid, signal);
        }
        self.resume(pid, signal);
    }

    /// It stands where it could receive a signal.
    fn may_call(&mut self, pid: pid_t) {
        if let Some(tracee) = self.tracees.get_mut(&pid) {
            tracee.may_call = true;
        }
    }

    /// It stands at a `SIGTRAP`, which may be a breakpoint's.
    fn trapped(&mut self, pid: pid_t) -> Trap {
        let Some(tracee) = self.tracees.get(&pid) else {
            return Trap::Theirs;
        };
        let task = Arc::clone(&tracee.task);
        let mut breakpoints = std::mem::take(&mut self.breakpoints);
        let trap = breakpoints.trap(pid, self.firing(&task).as_ref());
        self.breakpoints = breakpoints;
        self.report_breakpoints();
        trap
    }

    /// Goes on inside of a system call whose end may be wanted.
    pub(super) fn resume_in_call(&mut self, pid: pid_t) {
        let call = self.tracees.get(&pid).and_then(|tracee| tracee.call);
        match call {
            Some((number, argument)) if self.wants_exit(pid, number, argument) => {
                self.resume_to_exit(pid);
            }
            _ if self.breakpoints.wants_call(pid) => self.resume_to_exit(pid),
            _ => self.resume(pid, 0),
        }
    }

    fn wants_exit(&self, pid: pid_t, number: u32, argument: u64) -> bool {
        self.plan.wants_exit(number)
            || changes_task(number, argument)
            || self
                .tracees
                .get(&pid)
                .is_some_and(|tracee| tracee.maps.is_some())
    }

    /// At the start or the end of a system call.
    fn at_call(&mut self, pid: pid_t, by_filter: bool) {
        match system::call_stop(pid) {
            Ok(CallStop::Entry {
                arch,
                number,
                arguments,
                data,
            }) => {
                if by_filter && data != Some(MARK) {
                    return self.refuse(pid);
                }
                let seen = by_filter
                    && self
                        .tracees
                        .get(&pid)
                        .is_some_and(|tracee| tracee.call.is_some());
                match u32::try_from(number) {
                    _ if seen => self.resume_in_call(pid),
                    Ok(number) if arch == ARCH && (number as usize) < MOST => {
                        self.enters(pid, number, &arguments);
                    }
                    _ => {
                        if self.plan.wants_all() {
                            Tally::add(&self.control.tally.foreign);
                        }
                        self.resume(pid, 0);
                    }
                }
            }
            Ok(CallStop::Exit { arch, value }) if arch == ARCH => self.leaves(pid, value),
            // Of another machine, or it is gone meanwhile.
            _ => self.resume(pid, 0),
        }
    }

    fn enters(&mut self, pid: pid_t, number: u32, arguments: &[u64; 6]) {
        let starting = self.starting.is_some() && pid == self.first;
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return;
        };
        if tracee.before {
            return self.resume(pid, 0);
        }
        tracee.call = Some((number, arguments[0]));
        let maps = self.plan.code && maps_code(number, arguments);
        tracee.maps = maps.then_some(arguments[1]);
        if starting && !is_exec(number) {
            return self.not_executed(pid);
        }
        self.registers(pid, number);
        let tracee = &self.tracees[&pid];
        if let Some(firing) = self.firing(&tracee.task) {
            let points = self.plan.points(number);
            firing.enter(&self.plan.enter, points, number, arguments);
        }
        match self.wants_exit(pid, number, arguments[0]) {
            true => self.resume_to_exit(pid),
            false => {
                if !self.stepping
                    && let Some(tracee) = self.tracees.get_mut(&pid)
                {
                    // Its end won't be seen.
                    tracee.call = None;
                }
                self.resume(pid, 0);
            }
        }
    }

    fn leaves(&mut self, pid: pid_t, value: i64) {
        let starting = self.starting.is_some() && pid == self.first;
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return;
        };
        if tracee.before {
            return self.resume(pid, 0);
        }
        let known = tracee.call.take();
        tracee.may_call = true;
        let maps = tracee.maps.take();
        let call = known.or_else(|| {
            // It was in the call already when tracing began, or only its end was wanted.
            let number = system::registers(pid).ok()?.orig_rax;
            let number = u32::try_from(number).ok()?;
            ((number as usize) < MOST).then_some((number, 0))
        });
        let Some((number, argument)) = call else {
            if self.breakpoints.wants_call(pid) {
                self.sync_breakpoints(pid);
            }
            return self.resume(pid, 0);
        };
        if starting && let Some(starting) = &mut self.starting {
            // Of the folders in which the command was looked for, the first reason that is more
            // than not being there.
            let errno = -value as i32;
            if value < 0 && starting.failure != Some(libc::EACCES) {
                starting.failure = Some(errno);
            }
        }
        if value >= 0 && changes_task(number, argument) {
            self.changed(pid, number);
        }
        self.registers(pid, number);
        if let Some(len) = maps.filter(|_| !(-4095..0).contains(&value)) {
            let start = match number {
                MMAP => value as u64,
                _ => argument,
            };
            self.breakpoints.mapped(pid, start, len, number == MMAP);
            self.sync_breakpoints(pid);
        } else if self.breakpoints.wants_call(pid) {
            self.sync_breakpoints(pid);
        }
        let tracee = &self.tracees[&pid];
        if let Some(firing) = self.firing(&tracee.task) {
            let points = self.plan.points(number);
            firing.exit(&self.plan.exit, points, number, value);
        }
        self.resume(pid, 0);
    }

    /// Fetches a tracee's registers, if a program can see them.
    fn registers(&self, pid: pid_t, number: u32) {
        let raw = self.plan.enter.raw.is_some() || self.plan.exit.raw.is_some();
        let points = self.plan.points(number);
        let function =
            points.is_some_and(|call| call.function.is_some() || call.function_return.is_some());
        if raw || function || self.plan.registers {
            self.fetch_registers(pid);
        }
    }

    fn fetch_registers(&self, pid: pid_t) {
        if let Some(tracee) = self.tracees.get(&pid)
            && let Ok(registers) = system::registers(pid)
        {
            let mut words = pt_regs(&registers);
            let view = View::of_words(&mut words);
            tracee.task.set_registers(&view.to_vec());
        }
    }

    /// A filter of the tracee's own asks for a tracer: without one, the call fails.
    fn refuse(&mut self, pid: pid_t) {
        if let Ok(mut registers) = system::registers(pid) {
            registers.orig_rax = u64::MAX;
            registers.rax = -i64::from(libc::ENOSYS) as u64;
            let _ = system::set_registers(pid, &registers);
        }
        self.resume_in_call(pid);
    }
}

/// Whether a call changes what programs see of its task.
fn changes_task(number: u32, argument: u64) -> bool {
    match number {
        PRCTL => argument as u32 as u64 == SET_NAME,
        _ => CREDENTIALS.contains(&number) || NAMESPACES.contains(&number),
    }
}

/// Whether a call may map code, or a file's data that can be changed.
fn maps_code(number: u32, arguments: &[u64; 6]) -> bool {
    let [_, _, protection, flags, ..] = *arguments;
    let is = |bits: i32| protection & bits as u64 != 0;
    let of_file = number == MMAP && flags & libc::MAP_ANONYMOUS as u64 == 0;
    PROT_EXEC_CALLS.contains(&number) && (is(libc::PROT_EXEC) || (of_file && is(libc::PROT_WRITE)))
}

/// Registers as programs see them: `struct pt_regs` is the beginning of what ptrace gives.
pub(super) fn pt_regs(from: &libc::user_regs_struct) -> [u64; REGISTERS] {
    [
        from.r15,
        from.r14,
        from.r13,
        from.r12,
        from.rbp,
        from.rbx,
        from.r11,
        from.r10,
        from.r9,
        from.r8,
        from.rax,
        from.rcx,
        from.rdx,
        from.rsi,
        from.rdi,
        from.orig_rax,
        from.rip,
        from.cs,
        from.eflags,
        from.rsp,
        from.ss,
    ]
}
