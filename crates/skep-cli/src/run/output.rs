//! Where the data of a run goes.

use std::io::{self, Write as _};

use super::Format;
use crate::output::named;

/// Where data goes: a locked, buffered stdout that is flushed when there is nothing to do.
pub(crate) struct Output {
    stdout: io::BufWriter<io::Stdout>,
    pub(crate) format: Format,
}

impl Output {
    /// Nothing is written yet.
    pub(crate) fn new(format: Format) -> Self {
        Self {
            stdout: io::BufWriter::with_capacity(1 << 16, io::stdout()),
            format,
        }
    }

    /// Adds text.
    pub(crate) fn write(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.stdout.write_all(text.as_bytes()).map_err(named)?)
    }

    /// Hands out what was added.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.stdout.flush().map_err(named)?)
    }
}
