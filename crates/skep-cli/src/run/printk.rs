//! Lines of `bpf_printk`, from the kernel's trace pipe.

use std::sync::Arc;

use skep::boundary::{Descriptor, Errno, Host as Boundary};

/// The trace pipe, read without waiting.
#[derive(Debug)]
pub(crate) struct Printk {
    host: Arc<dyn Boundary>,
    pipe: Descriptor,
    /// Bytes of a line whose end has not been read yet.
    begun: Vec<u8>,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PrintkLine<'a> {
    pub(crate) comm: &'a str,
    pub(crate) tid: u32,
    /// Seconds since boot, as the kernel writes them.
    pub(crate) time: &'a str,
    pub(crate) text: &'a str,
}

impl Printk {
    /// Opens the pipe and drops what was printed before.
    pub(crate) fn open(host: &Arc<dyn Boundary>) -> skep::Result<Self> {
        let pipe = host.trace_pipe()?;
        let mut printk = Self {
            host: Arc::clone(host),
            pipe,
            begun: Vec::new(),
        };
        printk.read(|_| {})?;
        Ok(printk)
    }

    /// What to wait for.
    pub(crate) fn descriptor(&self) -> &Descriptor {
        &self.pipe
    }

    /// Hands out all whole lines that are there.
    pub(crate) fn read(&mut self, mut each: impl FnMut(PrintkLine<'_>)) -> skep::Result<()> {
        let mut buffer = [0; 8192];
        loop {
            let read = match self.host.read(&self.pipe, &mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.errno() == Some(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.begun.extend_from_slice(&buffer[..read]);
            let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else {
                continue;
            };
            let rest = self.begun.split_off(end + 1);
            let lines = String::from_utf8_lossy(&self.begun);
            lines.lines().filter_map(parse).for_each(&mut each);
            self.begun = rest;
        }
    }
}

/// `            bash-1234    [001] d..31  5678.901234: bpf_trace_printk: text`
fn parse(line: &str) -> Option<PrintkLine<'_>> {
    let (head, text) = line.split_once("bpf_trace_printk: ")?;
    let (task, rest) = head.split_once(" [")?;
    let (comm, tid) = task.trim().rsplit_once('-')?;
    let time = rest.split_whitespace().last()?.strip_suffix(':')?;
    Some(PrintkLine {
        comm: comm.trim(),
        tid: tid.trim().parse().ok()?,
        time,
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_trace_pipe() {
        let line = "         my-app-1234    [001] d..31  5678.901234: bpf_trace_printk: n = 7";
        let wanted = PrintkLine {
            comm: "my-app",
            tid: 1234,
            time: "5678.901234",
            text: "n = 7",
        };
        assert_eq!(parse(line), Some(wanted));
        assert_eq!(parse("CPU:1 [LOST 12 EVENTS]"), None);
    }
}
