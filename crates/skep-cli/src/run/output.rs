//! Where the data of a run goes: to whoever reads standard output, however slowly. A reader that
//! stands still must not keep a run from ending: its hooks would stay with it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::{Errno, write},
};

use super::{Format, stop::Stop};
use crate::output::named;

/// Bytes that are gathered before they are written.
const ENOUGH: usize = 1 << 16;

/// Bytes that a pipe takes at once, when it says that it takes any: `PIPE_BUF`.
const PART: usize = 4096;

/// A buffered standard output that is flushed when there is nothing to do.
pub(crate) struct Output {
    stdout: io::Stdout,
    /// What is not written yet begins at `written`.
    buffer: Vec<u8>,
    written: usize,
    /// What ends a wait for the reader.
    stop: Option<Stop>,
    end: Option<Instant>,
    /// Most that is written at once: files take all.
    most: usize,
    pub(crate) format: Format,
}

impl Output {
    /// Nothing is written yet. Once `stop` is asked for, nothing waits for the reader, until
    /// [`insist`](Self::insist).
    pub(crate) fn new(format: Format, stop: Option<Stop>) -> Self {
        let stdout = io::stdout();
        let is_file = fstat(&stdout)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        Self {
            stdout,
            buffer: Vec::with_capacity(ENOUGH),
            written: 0,
            stop,
            end: None,
            most: if is_file { usize::MAX } else { PART },
            format,
        }
    }

    /// Adds text.
    pub(crate) fn write(&mut self, text: &str) -> anyhow::Result<()> {
        self.write_bytes(text.as_bytes())
    }

    /// Adds bytes.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.buffer.extend_from_slice(bytes);
        match self.buffer.len() - self.written >= ENOUGH {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Hands out what was added. When the run is to end and the reader takes nothing, that stays
    /// here.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        while self.written < self.buffer.len() {
            match self.reader_takes() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(errno) => return Err(named(errno.into()).into()),
            }
            let rest = &self.buffer[self.written..];
            match write(&self.stdout, &rest[..rest.len().min(self.most)]) {
                Ok(taken) => self.written += taken,
                // Whoever asked for the end is heard before the next try.
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(named(errno.into()).into()),
            }
        }
        self.buffer.clear();
        self.written = 0;
        Ok(())
    }

    /// The run ends then: nothing waits for the reader any longer.
    pub(crate) fn ends_at(&mut self, end: Option<Instant>) {
        self.end = end;
    }

    /// From now on all is handed out, however long the reader takes: nothing is attached any more
    /// that waits for it.
    pub(crate) fn insist(&mut self) {
        self.stop = None;
        self.end = None;
    }

    /// Waits until the reader takes something; `false` when the run is to end before that.
    fn reader_takes(&self) -> Result<bool, Errno> {
        loop {
            let mut files = vec![PollFd::from_borrowed_fd(
                self.stdout.as_fd(),
                PollFlags::OUT,
            )];
            let woken: Option<BorrowedFd<'_>> = self.stop.as_ref().map(Stop::woken);
            files.extend(woken.map(|woken| PollFd::from_borrowed_fd(woken, PollFlags::IN)));
            let left = self
                .end
                .map(|end| end.saturating_duration_since(Instant::now()));
            // A time that poll can't say is as good as none.
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut files, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            // Errors show when it is written to.
            if !files[0].revents().is_empty() {
                return Ok(true);
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            if let Some(stop) = &self.stop {
                if stop.asked() {
                    return Ok(false);
                }
                stop.looks();
            }
        }
    }
}
