//! Beginning a command that is traced from before its first instruction.
//!
//! The standard library forks; what it runs in the child before it executes the command tells the
//! tracer the child's number, waits until it may go on, installs the filter and stops itself. All
//! that in a thread of its own, since `Command::spawn` returns only when the command was executed.
//!
//! Where it can't be executed, the standard library would wait for its child, which is the
//! tracer's to wait for: the tracer sees what `exec` answered, and ends the child before it tells.

use std::{
    io::{self, PipeReader, PipeWriter, Read, Write},
    mem,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::{Child, Command},
    thread::{self, JoinHandle},
};

use libc::pid_t;

use super::filter::Insn;

/// Instructions that a filter has at most (`BPF_MAXINSNS`).
const MOST: usize = 4096;

/// A child before its command.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) pid: pid_t,
    go: PipeWriter,
    /// What the child says if it does not get to its command.
    said: PipeReader,
    spawning: JoinHandle<io::Result<Child>>,
}

/// Where the child's closure has its ends of the pipes.
struct Ends {
    say: OwnedFd,
    go: OwnedFd,
    /// The tracer's ends, which the child must close: a pipe that it can write itself never ends.
    theirs: [RawFd; 2],
}

/// Forks a child for the command, which waits.
///
/// # Errors
/// What `Command::spawn` says, of all that it does before.
pub(super) fn hold(mut command: Command) -> io::Result<Held> {
    let (mut said, say) = io::pipe()?;
    let (go, let_go) = io::pipe()?;
    let ends = Ends {
        say: say.into(),
        go: go.into(),
        theirs: [said.as_raw_fd(), let_go.as_raw_fd()],
    };
    let mut program: Vec<u64> = vec![0; MOST];
    // SAFETY: the closure only makes system calls and touches memory that was there before the
    // fork: it may run in the child of a process with threads.
    unsafe { command.pre_exec(move || wait_in_child(&ends, &mut program)) };
    let spawning = thread::Builder::new()
        .name("skep-spawn".into())
        // The closure goes with the command, and with it the child's ends.
        .spawn(move || command.spawn())?;
    let mut pid = [0; 4];
    match said.read_exact(&mut pid) {
        Ok(()) => Ok(Held {
            pid: pid_t::from_ne_bytes(pid),
            go: let_go,
            said,
            spawning,
        }),
        // It never got there.
        Err(unread) => match spawning.join() {
            Ok(Err(error)) => Err(error),
            _ => Err(unread),
        },
    }
}

impl Held {
    /// Lets the child go on: with this filter, of which it may ask not to gain privileges. It says
    /// what became of the filter, and stops itself.
    pub(super) fn go(
        mut self,
        filter: &[Insn],
        no_new_privileges: bool,
    ) -> io::Result<(Said, Going)> {
        let mut message = Vec::with_capacity(8 + filter.len() * 8);
        message.extend_from_slice(&(filter.len() as u32).to_ne_bytes());
        message.extend_from_slice(&u32::from(no_new_privileges).to_ne_bytes());
        for insn in filter {
            message.extend_from_slice(&insn.code.to_ne_bytes());
            message.extend_from_slice(&[insn.jt, insn.jf]);
            message.extend_from_slice(&insn.k.to_ne_bytes());
        }
        self.go.write_all(&message)?;
        let going = Going {
            spawning: self.spawning,
        };
        Ok((Said(self.said), going))
    }
}

/// Where the child says whether it has its filter.
#[derive(Debug)]
pub(super) struct Said(PipeReader);

impl Said {
    /// Whether the filter is in force: to be asked when the child has stopped itself.
    pub(super) fn filtered(mut self) -> bool {
        let mut answer = [0; 4];
        self.0.read_exact(&mut answer).is_ok() && answer == [0; 4]
    }
}

/// A child on its way to its command.
#[derive(Debug)]
pub(super) struct Going {
    spawning: JoinHandle<io::Result<Child>>,
}

impl Going {
    /// Waits until the child has become the command, or is gone.
    pub(super) fn arrived(self) -> io::Result<Child> {
        match self.spawning.join() {
            Ok(done) => done,
            Err(_) => Err(io::Error::other("the thread that spawns panicked")),
        }
    }
}

/// What runs in the child.
fn wait_in_child(ends: &Ends, program: &mut [u64]) -> io::Result<()> {
    // SAFETY: closes the child's copies of descriptors that it does not use; a number.
    let own = unsafe {
        libc::close(ends.theirs[0]);
        libc::close(ends.theirs[1]);
        libc::getpid()
    };
    let bytes = own.to_ne_bytes();
    // SAFETY: reads 4 bytes at `bytes`.
    let sent = unsafe { libc::write(ends.say.as_raw_fd(), bytes.as_ptr().cast(), 4) };
    if sent != 4 {
        give_up(own);
    }
    let mut head = [0_u32; 2];
    // SAFETY: numbers without padding, seen as bytes.
    let head_bytes = unsafe { std::slice::from_raw_parts_mut(head.as_mut_ptr().cast::<u8>(), 8) };
    if !fill(ends.go.as_raw_fd(), head_bytes) {
        give_up(own);
    }
    let [len, restrict] = head;
    let len = (len as usize).min(MOST);
    let Some(room) = program.get_mut(..len) else {
        give_up(own)
    };
    // SAFETY: as above.
    let room_bytes =
        unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<u8>(), len * 8) };
    if !fill(ends.go.as_raw_fd(), room_bytes) {
        give_up(own);
    }
    let refused = if len > 0 {
        install(room, restrict != 0)
    } else {
        0
    };
    let bytes = refused.to_ne_bytes();
    // SAFETY: reads 4 bytes at `bytes`.
    let sent = unsafe { libc::write(ends.say.as_raw_fd(), bytes.as_ptr().cast(), 4) };
    if sent != 4 {
        give_up(own);
    }
    // The tracer takes this for the sign that what comes now is the command's.
    // SAFETY: touches no memory.
    unsafe { libc::kill(own, libc::SIGSTOP) };
    Ok(())
}

/// Reads exactly as much.
fn fill(from: RawFd, mut to: &mut [u8]) -> bool {
    while !to.is_empty() {
        // SAFETY: writes at most `to.len()` bytes at `to`.
        let read = unsafe { libc::read(from, to.as_mut_ptr().cast(), to.len()) };
        match usize::try_from(read) {
            Ok(0) => return false,
            Ok(read) => to = mem::take(&mut to).get_mut(read..).unwrap_or_default(),
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Ends the child: the command shall not begin.
fn give_up(own: pid_t) -> ! {
    // SAFETY: ends the process, which has no other threads.
    unsafe {
        libc::kill(own, libc::SIGKILL);
        libc::_exit(126)
    }
}

/// Installs the filter; answers why that was refused, or 0.
fn install(program: &mut [u64], restrict: bool) -> i32 {
    const SET_MODE_FILTER: libc::c_long = 1;
    /// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: speculation stays as it is without the filter.
    const SPECULATE: libc::c_long = 1 << 2;
    let all = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr().cast(),
    };
    // SAFETY: the filter is read from `program`, which has `len` instructions of 8 bytes.
    let done = unsafe {
        if restrict {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        }
        let flagged = libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            SPECULATE,
            &raw const all,
        );
        match flagged {
            0 => 0,
            _ => libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const all),
        }
    };
    match done {
        0 => 0,
        _ => io::Error::last_os_error().raw_os_error().unwrap_or(-1),
    }
}
