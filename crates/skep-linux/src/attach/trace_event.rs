//! Probes as events of tracefs (`kprobe_events`, `uprobe_events`): for kernels without perf event
//! sources of probes (before 4.17), or where someone wants to see them there.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    sync::atomic::{AtomicU32, Ordering},
};

use skep_host::{Attachment, Detach, Errno, Error, ProgramFd, Result};

use super::{Refusal, perf_event};
use crate::{
    LinuxHost,
    mounts::missing_tracefs,
    perf::{self, Place},
    sys::errno_of,
};

/// The group that they are in.
const GROUP: &str = "skep";

/// Names take no more bytes, with what goes around this part.
const PART: usize = 30;

/// An event that was made. Dropping it takes it away again, if nothing holds it any more.
#[derive(Debug)]
pub(super) struct TraceEvent {
    /// The file of all events of its kind.
    list: File,
    /// The file with what each of them missed, for kprobes.
    profile: Option<File>,
    name: String,
    id: u64,
    gone: bool,
}

impl TraceEvent {
    /// A kprobe's event; its kind is `p`, `r` or `r7`. What the kernel says of the place is the inner error; `None` there: it
    /// has no such events.
    pub(super) fn kprobe(
        host: &LinuxHost,
        kind: &str,
        function: &str,
        place: &str,
    ) -> Result<Result<Self, Option<Errno>>, Refusal> {
        let made = Self::make(host, "kprobe_events", kind, function, place)?;
        Ok(made.map(|mut event| {
            let tree = host.tracefs();
            event.profile = tree.and_then(|tree| File::open(tree.path("kprobe_profile")).ok());
            event
        }))
    }

    /// A uprobe's.
    pub(super) fn uprobe(
        host: &LinuxHost,
        at_return: bool,
        place: &str,
    ) -> Result<Result<Self, Option<Errno>>, Refusal> {
        let kind = if at_return { "r" } else { "p" };
        Self::make(host, "uprobe_events", kind, "u", place)
    }

    fn make(
        host: &LinuxHost,
        list: &str,
        kind: &str,
        part: &str,
        place: &str,
    ) -> Result<Result<Self, Option<Errno>>, Refusal> {
        /// Tells events of this process from one another.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // A place is one word of a line.
        if place.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(Errno::EINVAL.into());
        }
        let tree = host.tracefs().ok_or_else(|| missing_tracefs(host))?;
        let mut list = match OpenOptions::new().append(true).open(tree.path(list)) {
            Ok(list) => list,
            Err(error) if errno_of(&error) == Errno::ENOENT => return Ok(Err(None)),
            Err(error) => return Err(errno_of(&error).into()),
        };
        let part: String = part
            .chars()
            .filter_map(|letter| match letter {
                '.' | ':' => Some('_'),
                letter if letter.is_ascii_alphanumeric() || letter == '_' => Some(letter),
                _ => None,
            })
            .take(PART)
            .collect();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{part}_{}_{number}", std::process::id());
        // In one write, which is what the kernel takes for a line.
        if let Err(error) = list.write_all(format!("{kind}:{GROUP}/{name} {place}\n").as_bytes()) {
            return Ok(Err(Some(errno_of(&error))));
        }
        let mut event = Self {
            list,
            profile: None,
            name,
            id: 0,
            gone: false,
        };
        let id = tree
            .read(&format!("events/{GROUP}/{}/id", event.name))
            .map_err(|error| errno_of(&error))?;
        event.id = id.trim().parse().map_err(|_| Errno::EIO)?;
        Ok(Ok(event))
    }

    /// What it left out, as the kernel counts it: the third word of its line.
    fn missed(&self) -> Option<u64> {
        let mut profile = self.profile.as_ref()?;
        profile.rewind().ok()?;
        let mut text = String::new();
        profile.read_to_string(&mut text).ok()?;
        text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let same = words.next()? == self.name;
            same.then(|| words.nth(1)?.parse().ok())?
        })
    }

    fn take_away(&mut self) -> Result<(), Errno> {
        if std::mem::replace(&mut self.gone, true) {
            return Ok(());
        }
        let line = format!("-:{GROUP}/{}\n", self.name);
        match self.list.write_all(line.as_bytes()) {
            Ok(()) => Ok(()),
            Err(error) => match errno_of(&error) {
                // Someone else took it away, or a pinned link still has it.
                Errno::ENOENT | Errno::EBUSY => Ok(()),
                errno => Err(errno),
            },
        }
    }
}

impl Drop for TraceEvent {
    fn drop(&mut self) {
        // Nobody is left to tell; `detach` is there for those who ask.
        let _ = self.take_away();
    }
}

/// Puts a program on it; in one process or all.
pub(super) fn hold(
    host: &LinuxHost,
    program: &ProgramFd,
    event: TraceEvent,
    pid: Option<u32>,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    let mut attr = perf::attributes(perf::TYPE_TRACEPOINT, event.id);
    attr.sample_period = 1;
    attr.flags = perf::FLAG_DISABLED;
    let place = pid.map_or_else(|| perf::any_cpu(host), Place::Thread);
    let opened = perf::open(&attr, place).map_err(|errno| Refusal {
        errno,
        cause: perf::open_cause(host, errno),
    })?;
    let attachment = perf_event::hold(host, program, vec![opened], cookie)?;
    Ok(attachment.beside(|holder| Box::new(Holder { holder, event })))
}

/// The program's place on the event, which must go before the event does.
#[derive(Debug)]
struct Holder {
    holder: Option<Box<dyn Detach>>,
    event: TraceEvent,
}

impl Detach for Holder {
    fn detach(&mut self) -> Result<()> {
        if let Some(mut holder) = self.holder.take() {
            holder.detach()?;
        }
        self.event.take_away().map_err(|errno| {
            let object = format!("event {GROUP}/{} from tracefs", self.event.name);
            Error::system("take away", object, errno)
        })
    }

    fn update(&mut self, program: &ProgramFd) -> Result<()> {
        match &mut self.holder {
            Some(holder) => holder.update(program),
            None => Err(Error::Unsupported {
                host: "the kernel",
                what: "way to swap the program of a perf event; attach anew".into(),
            }),
        }
    }

    fn missed(&self) -> Option<u64> {
        self.event.missed()
    }
}
