//! Who the program runs for: the current task, what it is attached to, and why.

use std::{
    cell::{Cell, OnceCell, RefCell},
    sync::Arc,
};

use skep_abi::ProgramType;
use skep_host::Errno;

use super::Run;
use crate::{
    machine::{Task, Tasks},
    map::{CgroupEntry, STACK_DEPTH},
};

/// See above. Whoever starts a run sets what is not as by default.
#[derive(Debug, Default)]
pub(crate) struct Current {
    task: OnceCell<Arc<Task>>,
    /// What the attachment was given for its programs (`bpf_get_attach_cookie`).
    pub(crate) cookie: Cell<u64>,
    /// The address of the function that the program is at; 0 at none.
    pub(crate) function: Cell<u64>,
    /// For programs at a function whose context is its arguments: how many there are.
    pub(crate) arguments: Cell<Option<u32>>,
    /// Whether the function's return value stands behind its arguments.
    pub(crate) returned: Cell<bool>,
    /// What programs before this one want a call to return (`bpf_get_retval`).
    pub(crate) return_value: Cell<i32>,
    /// The address of the word that a session keeps between a call and its return; 0 in none.
    pub(crate) session: Cell<u64>,
    /// Where the hook was called from, innermost first: addresses of the machine's own code, and
    /// of the task's. Whoever fires the hook knows them.
    pub(crate) kernel_stack: RefCell<Vec<u64>>,
    pub(crate) user_stack: RefCell<Vec<u64>>,
    /// Whether the task is at the start of a function, which has not made its frame yet.
    pub(crate) user_entry: Cell<bool>,
    /// What it has in storages of cgroups, by the number of the map: a run is for no cgroup, and
    /// has values of its own.
    pub(crate) storages: RefCell<Vec<(u32, Arc<CgroupEntry>)>>,
    /// What `bpf_get_prandom_u32` gives, over and over; chance if there is nothing.
    random: RefCell<Vec<u32>>,
    drawn: Cell<usize>,
    /// For programs that an event fires: how far it has counted (`bpf_perf_prog_read_value`).
    pub(crate) event: Cell<Option<u64>>,
    /// What the function shall return instead of running (`bpf_override_return`).
    pub(crate) overridden: Cell<Option<u64>>,
}

impl Run<'_> {
    /// The current task: the one that the run was given, or else this thread.
    pub(crate) fn task(&self) -> &Arc<Task> {
        self.current.task.get_or_init(|| Tasks::own(self.vm))
    }

    /// Gives the run its task, before it starts.
    pub(crate) fn set_task(&self, task: Arc<Task>) {
        let _ = self.current.task.set(task);
    }

    /// Says what random numbers the program gets, before it starts.
    pub(crate) fn set_random(&self, numbers: &[u32]) {
        if !numbers.is_empty() {
            *self.current.random.borrow_mut() = numbers.to_vec();
        }
    }

    /// The next random number, if it was said what they are.
    pub(crate) fn draw(&self) -> Option<u32> {
        let numbers = self.current.random.borrow();
        let drawn = self.current.drawn.get();
        let number = *numbers.get(drawn.checked_rem(numbers.len())?)?;
        self.current.drawn.set(drawn.wrapping_add(1));
        Some(number)
    }

    /// Addresses of where the program was called from, innermost first: the task's with `user`,
    /// else the machine's, of which the program's own is the first.
    pub(crate) fn stack(&self, user: bool) -> Vec<u64> {
        if user {
            let given = self.current.user_stack.borrow();
            return match given.is_empty() {
                true => self.frames_of_task(),
                false => given.clone(),
            };
        }
        let behind = self.current.kernel_stack.borrow();
        if self.program().program_type == ProgramType::PerfEvent {
            // It samples the task, which is in no code of the machine's.
            return behind.clone();
        }
        let own = crate::program::FUNCTIONS;
        std::iter::once(own).chain(behind.iter().copied()).collect()
    }

    /// The task's stack by its registers and its frame pointers, as the kernel walks over it.
    fn frames_of_task(&self) -> Vec<u64> {
        /// Words of `struct pt_regs`.
        const BP: usize = 4;
        const IP: usize = 16;
        const SP: usize = 19;
        let task = self.task();
        let registers = task.registers();
        let register = |word: usize| registers.and_then(|view| view.u64_at(8 * word));
        let (Some(ip @ 1..), Some(sp), Some(mut frame)) =
            (register(IP), register(SP), register(BP))
        else {
            return Vec::new();
        };
        let mut stack = vec![ip];
        let mut word = [0; 8];
        if self.current.user_entry.get() && task.read_user(sp, &mut word).is_ok() {
            stack.push(u64::from_ne_bytes(word));
        }
        let mut pair = [0u8; 16];
        while stack.len() < STACK_DEPTH
            && super::is_user(frame)
            && task.read_user(frame, &mut pair).is_ok()
        {
            let [next, back] = [0, 8].map(|at| {
                let half = pair.get(at..at + 8).and_then(|half| half.try_into().ok());
                half.map_or(0, u64::from_ne_bytes)
            });
            stack.push(back);
            frame = next;
        }
        stack
    }

    /// Reads the current task's memory, all or nothing.
    pub(crate) fn peek_user(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        self.task().read_user(address, out)
    }

    /// Reads a string of the current task's memory as [`Run::peek_text`] does.
    pub(crate) fn peek_user_text(&self, address: u64, out: &mut [u8]) -> Result<usize, Errno> {
        let task = self.task();
        let read = match task.read_some(address, out) {
            Ok(read) => read,
            Err(_) => self.chunks(address, out)?,
        };
        let part = out.get_mut(..read).unwrap_or_default();
        if let Some(end) = part.iter().position(|byte| *byte == 0) {
            return Ok(end + 1);
        }
        if read < out.len() {
            return Err(Errno::EFAULT);
        }
        if let Some(last) = out.last_mut() {
            *last = 0;
        }
        Ok(read)
    }

    /// Reads up to a NUL, for memory that can only be read all or nothing: no chunk runs over the
    /// end of a page, behind which there may be nothing.
    fn chunks(&self, address: u64, out: &mut [u8]) -> Result<usize, Errno> {
        let task = self.task();
        let mut done = 0;
        while done < out.len() {
            let at = address.wrapping_add(done as u64);
            let to_end = 64 - at as usize % 64;
            let len = to_end.min(out.len() - done);
            let part = out.get_mut(done..done + len).unwrap_or_default();
            task.read_user(at, part)?;
            done += len;
            if part.contains(&0) {
                break;
            }
        }
        Ok(done)
    }

    /// Reads a string of the machine's memory, or else of the task's if it can be there.
    pub(crate) fn peek_any_text(&self, address: u64, out: &mut [u8]) -> Result<usize, Errno> {
        match self.peek_text(address, out) {
            Err(_) if super::is_user(address) => self.peek_user_text(address, out),
            done => done,
        }
    }
}
