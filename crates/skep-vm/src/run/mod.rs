//! A run: one program, its context, and all that it may touch, from its first instruction to its
//! end. Helpers get a `&Run` and find everything there.
//!
//! A run belongs to one thread and one virtual CPU. Its fields are cells, since compiled code,
//! helpers and callbacks see it at the same time.

mod access;
mod budget;
mod callback;
mod cpu;
mod current;
mod dynptr;
mod held;
mod objects;
pub(crate) mod packet;
mod peek;
mod regions;
mod seq;

use std::{
    cell::{Cell, RefCell},
    ptr::NonNull,
    sync::Arc,
    time::Instant,
};

use skep_abi::ProgramType;
use skep_isa::InsnIndex;

use crate::{
    FaultKind,
    engine::{Answer, FRAME, Mode, Status},
    helper,
    map::Map,
    program::Program,
    vm::Shared,
};

use budget::FIRST;
pub use budget::Limits;
pub(crate) use callback::Callback;
pub(crate) use cpu::{Cpu, Cpus, Scratch};
pub(crate) use current::Current;
pub(crate) use dynptr::{Dynptr, DynptrKind, MAX as MAX_DYNPTR};
pub(crate) use held::{Depth, Held, Leaked, MOST as MOST_HELD};
pub(crate) use objects::{Objects, first_bit};
pub(crate) use packet::Packet;
pub(crate) use peek::{is_user, may_be_user};
pub(crate) use regions::{Cached, Caches, Ours, Regions};
pub(crate) use seq::Seq;

/// Frames that a run's stack has (`MAX_CALL_FRAMES` of the newest kernel), and those of callbacks.
pub(crate) const FRAMES: u64 = 16;

/// Whether an access is the program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Region {
    /// It is.
    Ours,
    /// It is in an arena, where no page is: a load gives 0, a store is lost.
    Void,
    /// It is not.
    Nothing,
    /// The budget did not suffice to look for it: the fault is set.
    Spent,
}

/// What compiled code reads and writes, by offset.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Hot {
    /// Instructions left of this slice.
    pub(crate) budget: Cell<i64>,
    /// The frame of the function that calls a helper.
    pub(crate) frame: Cell<u64>,
    /// The lowest frame that any function had.
    pub(crate) lowest: Cell<u64>,
    /// Frames may not end lower than this.
    pub(crate) floor: Cell<u64>,
    /// Which of the program's calls this is, in its table of them.
    pub(crate) call: Cell<u32>,
    /// The regions that accesses last were in.
    pub(crate) caches: Caches,
    /// Where guarded accesses go that are nowhere: see [`Run::guard`].
    pub(crate) nowhere: Cell<u64>,
}

/// A run of a program.
#[repr(C)]
pub(crate) struct Run<'a> {
    pub(crate) hot: Hot,
    /// The machine.
    pub(crate) vm: &'a Shared,
    /// The virtual CPU that it is on.
    pub(crate) cpu: u32,
    mode: Mode,
    /// The program that runs now: after a tail call, another one. Kept by `programs` or the caller.
    program: Cell<NonNull<Program>>,
    /// The one that it began with.
    first: &'a Arc<Program>,
    programs: RefCell<Vec<Arc<Program>>>,
    /// The address of the context.
    context: Cell<u64>,
    scratch: &'a Scratch,
    regions: RefCell<Regions>,
    /// Of which maps it was given values, a bit of each by their ids.
    seen: Cell<u64>,
    /// The inner maps that the program has looked up.
    inner: RefCell<Vec<Arc<Map>>>,
    fault: RefCell<Option<(Option<InsnIndex>, FaultKind)>>,
    /// The program of a tail call that is on its way.
    next: RefCell<Option<Arc<Program>>>,
    tail_calls: Cell<u32>,
    /// What an exception carries.
    thrown: Cell<u64>,
    limits: Limits,
    /// Instructions of the whole budget that are not in the current slice.
    beyond: Cell<u64>,
    started: Cell<Option<Instant>>,
    /// How deep callbacks are nested.
    callbacks: Cell<u32>,
    pub(crate) current: Current,
    pub(crate) held: Held,
    pub(crate) objects: Objects,
    pub(crate) packet: Packet,
    pub(crate) seq: Seq,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        vm: &'a Shared,
        program: &'a Arc<Program>,
        cpu: u32,
        scratch: &'a Scratch,
        limits: Limits,
    ) -> Self {
        let slice = FIRST.min(i64::try_from(limits.instructions).unwrap_or(i64::MAX));
        let stack = &scratch.stack;
        let top = stack.address() + stack.len() as u64;
        let mut regions = scratch.regions.take();
        regions.clear();
        regions.push(Ours::stack(stack.address(), stack.len() as u64));
        Self {
            hot: Hot {
                budget: Cell::new(slice),
                frame: Cell::new(top),
                lowest: Cell::new(top),
                floor: Cell::new(stack.address() + FRAME),
                call: Cell::new(0),
                caches: Caches::default(),
                nowhere: Cell::new(0),
            },
            vm,
            cpu,
            mode: program.mode,
            program: Cell::new(NonNull::from(&**program)),
            first: program,
            programs: RefCell::default(),
            context: Cell::new(0),
            scratch,
            regions: RefCell::new(regions),
            seen: Cell::new(scratch.seen()),
            inner: RefCell::default(),
            fault: RefCell::default(),
            next: RefCell::default(),
            tail_calls: Cell::new(0),
            thrown: Cell::new(0),
            limits,
            beyond: Cell::new(limits.instructions.saturating_sub(slice.unsigned_abs())),
            started: Cell::new(None),
            callbacks: Cell::new(0),
            current: Current::default(),
            held: Held::default(),
            objects: Objects::default(),
            packet: Packet::default(),
            seq: Seq::default(),
        }
    }

    /// Makes it ready to be started again, with what it has, as if it had not run.
    #[inline]
    pub(crate) fn rewind(&mut self) {
        self.program.set(NonNull::from(&**self.first));
        let (programs, inner) = (self.programs.get_mut(), self.inner.get_mut());
        let arena = self.first.code.arena().is_some();
        let things = self.held.has_values() || self.objects.any() || arena;
        if things || !programs.is_empty() || !inner.is_empty() {
            // What those kept alive may go now, so nothing may remember where it was. What else
            // was touched stays: the run's own memory, and that of the program's maps.
            programs.clear();
            inner.clear();
            self.held.forget_values();
            self.objects.forget_iterators();
            self.hot.caches.clear();
        }
        self.seen.set(self.scratch.seen());
        self.tail_calls.set(0);
        let limit = self.limits.instructions;
        let slice = FIRST.min(i64::try_from(limit).unwrap_or(i64::MAX));
        self.hot.budget.set(slice);
        self.beyond.set(limit.saturating_sub(slice.unsigned_abs()));
        self.started.set(None);
        let stack = &self.scratch.stack;
        let top = stack.address() + stack.len() as u64;
        self.hot.frame.set(top);
        self.hot.lowest.set(top);
    }

    /// The program that runs now.
    #[inline]
    pub(crate) fn program(&self) -> &Program {
        // SAFETY: the first program is borrowed for longer than the run; those of tail calls are
        // kept in `programs`, of which nothing is removed while the run lives.
        unsafe { self.program.get().as_ref() }
    }

    /// The type of the program that the run began with.
    pub(crate) fn first_type(&self) -> ProgramType {
        self.first.program_type
    }

    /// The address of the context, for helpers that compare it with what they are given.
    pub(crate) fn context(&self) -> u64 {
        self.context.get()
    }

    /// Whether accesses are checked.
    #[inline]
    pub(crate) fn checked(&self) -> bool {
        self.mode == Mode::Checked
    }

    /// Lets the program use `len` bytes at `address` until [`Run::revoke`].
    pub(crate) fn grant(&self, region: Ours) {
        self.regions.borrow_mut().push(region);
    }

    /// Takes back the region that begins at `address`.
    pub(crate) fn revoke(&self, address: u64) {
        self.regions.borrow_mut().remove(address);
        self.hot.caches.clear();
    }

    /// Runs the program from its first instruction, with its context at `context`, to its end.
    ///
    /// # Errors
    /// The first fault, with the program that had it.
    pub(crate) fn start(&self, context: u64) -> Result<u64, crate::Fault> {
        self.start_with(context, 0)
    }

    /// The same with a number in R2.
    pub(crate) fn start_with(&self, context: u64, second: u64) -> Result<u64, crate::Fault> {
        self.context.set(context);
        let stack = &self.scratch.stack;
        let top = stack.address() + stack.len() as u64;
        let answer = self.enter([context, second], top);
        let answer = self.finish(answer, top);
        self.clean(top);
        let leaked = self.leaked();
        helper::give_back(self);
        match answer.status {
            Status::Done => match leaked {
                None => Ok(answer.value),
                Some(leaked) => {
                    self.fail_for(leaked);
                    Err(self.take_fault())
                }
            },
            Status::Fault | Status::TailCall | Status::Thrown => Err(self.take_fault()),
        }
    }

    /// Calls the current program's first function.
    fn enter(&self, [r1, r2]: [u64; 2], frame: u64) -> Answer {
        let program = self.program();
        // SAFETY: the run is of this program and its mode (a tail call goes only to programs of
        // the same mode); loading in verified mode is `unsafe`, and its caller vouches for a
        // verifier; the frame is one of the stack's.
        unsafe { program.executable.call(self, 0, [r1, r2, 0, 0, 0], frame) }
    }

    /// Goes on with the programs of tail calls, until one ends.
    /// An exception ends where the program does whose frame ends at `frame`.
    fn finish(&self, mut answer: Answer, frame: u64) -> Answer {
        while answer.status == Status::TailCall {
            let Some(next) = self.next.take() else {
                return self.fail(InsnIndex(0), FaultKind::Internal("no tail call".into()));
            };
            self.program.set(NonNull::from(&*next));
            self.programs.borrow_mut().push(next);
            answer = self.enter([self.context.get(), 0], self.hot.frame.get());
        }
        match answer.status {
            Status::Thrown => self.catch(frame),
            _ => answer,
        }
    }

    /// Gives an exception to the program's callback, if it has one; what that returns, or else
    /// what was thrown, is what the program returns. What the program held is given back.
    #[cold]
    fn catch(&self, frame: u64) -> Answer {
        helper::give_back(self);
        let thrown = self.thrown.get();
        let program = self.program();
        let Some(callback) = program.code.exception_callback() else {
            return Answer::done(thrown);
        };
        let executable = &program.executable;
        // SAFETY: as in `enter`; a frame of the stack, whose function has ended.
        let answer = unsafe { executable.call(self, callback, [thrown, 0, 0, 0, 0], frame) };
        match answer.status {
            Status::Thrown => Answer::done(self.thrown.get()),
            _ => answer,
        }
    }

    /// Zeroes what of the stack was used, so that no program sees another's.
    fn clean(&self, top: u64) {
        let lowest = self.hot.lowest.get().saturating_sub(FRAME);
        let len = (top - lowest.min(top)) as usize;
        if let (true, Some(used)) = (self.checked(), self.scratch.stack.at(lowest, len)) {
            // SAFETY: the stack is the run's alone, which has ended.
            unsafe { used.wipe() };
        }
    }

    // ── what engines ask ────────────────────────────────────────────────────────────────────

    /// Ends the run with a fault at an instruction.
    #[cold]
    pub(crate) fn fail(&self, at: InsnIndex, kind: FaultKind) -> Answer {
        *self.fault.borrow_mut() = Some((Some(at), kind));
        Answer::stopped(Status::Fault)
    }

    /// Ends the run with a fault of a helper; the engine adds where it was called.
    #[cold]
    pub(crate) fn trap(&self, kind: FaultKind) -> Answer {
        *self.fault.borrow_mut() = Some((None, kind));
        Answer::stopped(Status::Fault)
    }

    /// Ends the run at `at`, with the fault that is set and has no place yet.
    #[cold]
    pub(crate) fn spent(&self, at: InsnIndex) -> Answer {
        self.stopped(Answer::stopped(Status::Fault), at, 0)
    }

    /// Ends the run for what the program holds, where it took it.
    #[cold]
    fn fail_for(&self, Leaked { what, call }: Leaked) -> Answer {
        let at = self.program().code.place_of_call(call as usize);
        self.fail(at.unwrap_or_default(), FaultKind::Held { what })
    }

    pub(crate) fn take_fault(&self) -> crate::Fault {
        let fault = self.fault.take();
        let (at, kind) = fault.unwrap_or((
            None,
            FaultKind::Internal("a run ended without a reason".into()),
        ));
        let program = self.program();
        let at = at.unwrap_or_default();
        let call = program.code.call_index(at);
        let call = call.and_then(|index| program.code.call(index));
        crate::Fault {
            program: program.name.clone(),
            at,
            call: call.map(|call| call.name),
            kind,
        }
    }

    /// Whether the stack has room for a frame that ends here; in checked mode only.
    #[inline]
    pub(crate) fn enter_frame(&self, frame: u64, at: InsnIndex) -> bool {
        if frame < self.hot.floor.get() {
            self.fail(at, FaultKind::CallDepth);
            return false;
        }
        if frame < self.hot.lowest.get() {
            self.hot.lowest.set(frame);
        }
        true
    }

    /// What a helper may want to know of its caller.
    #[inline]
    pub(crate) fn before_call(&self, frame: u64, call: u32) {
        self.hot.frame.set(frame);
        self.hot.call.set(call);
    }

    /// A helper that was not done: a fault gets its place, and a tail call below the program's
    /// first function runs to its end, since it takes only the place of that function.
    #[cold]
    pub(crate) fn stopped(&self, answer: Answer, at: InsnIndex, depth: usize) -> Answer {
        match answer.status {
            Status::Fault => {
                if let Some((place, _)) = &mut *self.fault.borrow_mut() {
                    place.get_or_insert(at);
                }
                answer
            }
            Status::TailCall if depth > 0 => {
                let back = self.program.get();
                let answer = self.finish(answer, self.hot.frame.get());
                if answer.status != Status::Done {
                    return answer;
                }
                if let Some(leaked) = self.leaked() {
                    helper::give_back(self);
                    return self.fail_for(leaked);
                }
                self.program.set(back);
                answer
            }
            _ => answer,
        }
    }

    // ── what helpers ask ────────────────────────────────────────────────────────────────────

    /// Calls a function of the program back.
    ///
    /// # Errors
    /// The address is no function's; or the fault is set, and the answer is `Err` of its status.
    pub(crate) fn call_back(&self, address: u64, arguments: [u64; 5]) -> Result<u64, Stop> {
        let program = self.program();
        let function = program
            .code
            .callback(address)
            .ok_or(FaultKind::Jump { target: address })?;
        let frame = self.hot.frame.get();
        if self.callbacks.get() >= FRAMES as u32 {
            return Err(FaultKind::CallDepth.into());
        }
        self.callbacks.set(self.callbacks.get() + 1);
        // SAFETY: as in `enter`; a frame below the caller's, which the callee checks.
        let answer = unsafe {
            program
                .executable
                .call(self, function, arguments, frame - FRAME)
        };
        self.callbacks.set(self.callbacks.get() - 1);
        // After a tail call the next program takes the place of the callback, not of its caller.
        self.hot.frame.set(frame - FRAME);
        let answer = self.stopped(answer, InsnIndex(0), 1);
        self.hot.frame.set(frame);
        match answer.status {
            Status::Done => Ok(answer.value),
            status => Err(Stop::Status(status)),
        }
    }

    /// Makes `program` the next one, unless too many came before it.
    ///
    /// # Errors
    /// The program holds what the next one could not give back; else that it goes on there.
    pub(crate) fn tail_call(&self, program: Arc<Program>) -> Result<u64, Stop> {
        if let Some(leaked) = self.leaked() {
            return Err(Stop::Status(self.fail_for(leaked).status));
        }
        let count = self.tail_calls.get();
        if count >= skep_abi::limits::TAIL_CALLS || program.mode != self.mode {
            return Ok(-1_i64 as u64);
        }
        self.tail_calls.set(count + 1);
        *self.next.borrow_mut() = Some(program);
        Err(Stop::Status(Status::TailCall))
    }

    /// Throws an exception with this value.
    pub(crate) fn throw(&self, cookie: u64) -> Stop {
        self.thrown.set(cookie);
        Stop::Status(Status::Thrown)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.leave_objects();
        self.scratch.regions.replace(self.regions.take());
    }
}

/// Why a helper does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// With a fault.
    Fault(FaultKind),
    /// With what a callback, a tail call or an exception said: the run knows the rest.
    Status(Status),
}

impl From<FaultKind> for Stop {
    fn from(kind: FaultKind) -> Self {
        Self::Fault(kind)
    }
}
