//! Data on stdout: buffered, coloured only where it is wanted, never changed on its way. And the
//! files that users name for it.

use std::{
    fmt, fs,
    io::{self, BufWriter, IsTerminal as _, StdoutLock, Write},
    path::Path,
};

use anstyle::Style;
use anyhow::Context as _;
use clap::ValueEnum;

use crate::exit::Usage;

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    Text,
    /// One JSON object
    Json,
}

/// The user named standard output for a file.
pub(crate) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Refuses what would fill the user's terminal with bytes: `what`, such as `an object`.
pub(crate) fn refuse_terminal(path: &Path, what: &str) -> Result<(), Usage> {
    if is_stdout(path) && io::stdout().is_terminal() {
        return Err(Usage(format!(
            "{what} is not for a terminal: redirect it, or name a file with -o"
        )));
    }
    Ok(())
}

/// Writes a line to standard output.
pub(crate) fn write_line(text: impl fmt::Display) -> io::Result<()> {
    let mut out = Output::new();
    writeln!(out, "{text}")?;
    out.finish()
}

/// Writes a whole file, or to standard output.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if is_stdout(path) {
        let mut out = Output::new();
        out.write_all(bytes)?;
        return Ok(out.finish()?);
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Standard output for data. Errors come back; the buffer is written by [`Output::finish`].
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    color: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        let stdout = io::stdout();
        let color = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
        Self {
            out: BufWriter::with_capacity(1 << 16, stdout.lock()),
            color,
        }
    }

    /// `text` in this style, or plain where colours are not wanted.
    pub(crate) fn paint<T: fmt::Display>(
        &self,
        style: Style,
        text: T,
    ) -> impl fmt::Display + use<T> {
        Painted {
            style: self.color.then_some(style),
            text,
        }
    }

    /// Writes what is still in the buffer.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().map_err(named)
    }
}

/// The error with what it is about.
pub(crate) fn named(error: io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot write to standard output: {error}"),
    )
}

struct Painted<T> {
    style: Option<Style>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            Some(style) => write!(f, "{style}{}{style:#}", self.text),
            None => self.text.fmt(f),
        }
    }
}

/// Carries text to a writer of bytes, and keeps the error that [`fmt::Error`] can't say.
pub(crate) struct TextTo<W> {
    out: W,
    error: Option<io::Error>,
}

impl<W: Write> TextTo<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, error: None }
    }

    /// The writer's own error, if it was one that stopped the text; else `result`.
    pub(crate) fn finish<E: Into<anyhow::Error>>(
        self,
        result: Result<(), E>,
    ) -> anyhow::Result<()> {
        match (self.error, result) {
            (Some(error), _) => Err(error.into()),
            (None, result) => result.map_err(Into::into),
        }
    }
}

impl<W: Write> fmt::Write for TextTo<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}

/// Writes to standard output, with colours where they are wanted.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    let written = anstream::stdout().lock().write_all(text.as_bytes());
    written.context("cannot write to standard output")
}

/// Whether a pipe's reader went away: nobody is there to be told anything more.
pub(crate) fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|error| {
        error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
