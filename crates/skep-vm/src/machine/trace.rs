//! What programs print: the trace pipe.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    map::{Signal, Waitable},
    run::Run,
};

/// Bytes that wait for a reader; older lines make room for newer ones.
const ROOM: usize = 1 << 20;

/// Lines of `bpf_trace_printk` that nobody has read, and how many were lost.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: Mutex<Lines>,
    written: Signal,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    lost: u64,
}

impl Waitable for Trace {
    fn signal(&self) -> &Signal {
        &self.written
    }

    fn readable(&self) -> bool {
        let lines = self.lock();
        !lines.waiting.is_empty() || lines.lost > 0
    }
}

impl Trace {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line of the current task, as the kernel's tracer lays it out.
    pub(crate) fn line(&self, run: &Run<'_>, text: &[u8]) {
        let task = run.task();
        let now = run.vm.clock.now();
        let micros = now.subsec_micros();
        let mut line = format!(
            "{:>16}-{:<7} [{:03}] ..... {:>5}.{micros:06}: bpf_trace_printk: ",
            task.info().comm,
            task.info().pid,
            run.cpu,
            now.as_secs(),
        )
        .into_bytes();
        line.extend_from_slice(text);
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        let mut lines = self.lock();
        lines.bytes += line.len();
        lines.waiting.push_back(line);
        while lines.bytes > ROOM {
            let Some(oldest) = lines.waiting.pop_front() else {
                break;
            };
            lines.bytes -= oldest.len();
            lines.lost += 1;
        }
        drop(lines);
        self.written.wake();
    }

    /// Takes what waits, whole lines as far as they fit, the first one cut if it does not; 0 when
    /// there is nothing.
    pub(crate) fn read(&self, out: &mut [u8]) -> usize {
        let mut lines = self.lock();
        if lines.lost > 0 {
            let lost = std::mem::take(&mut lines.lost);
            let line = format!("CPU:0 [LOST {lost} EVENTS]\n").into_bytes();
            lines.bytes += line.len();
            lines.waiting.push_front(line);
        }
        let mut done = 0;
        while let Some(mut line) = lines.waiting.pop_front() {
            let room = out.len() - done;
            if line.len() > room && done > 0 {
                lines.waiting.push_front(line);
                break;
            }
            let len = line.len().min(room);
            if let Some(to) = out.get_mut(done..done + len) {
                to.copy_from_slice(&line[..len]);
            }
            done += len;
            lines.bytes -= len;
            if len < line.len() {
                line.drain(..len);
                lines.waiting.push_front(line);
                break;
            }
        }
        done
    }
}
