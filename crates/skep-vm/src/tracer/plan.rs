//! What is hooked: which points a stop of a tracee fires, and which stops that takes.

use std::sync::Arc;

use super::{
    calls::{CREDENTIALS, EXECVE, EXECVEAT, MOST, NAMESPACES},
    filter::Filter,
    sampling::Samples,
};
use crate::{
    host::address_of,
    machine::{HookKey, Hooks, Point, calls},
};

/// The points of one system call.
#[derive(Debug, Default)]
pub(super) struct CallPoints {
    pub(super) enter: Option<Arc<Point>>,
    pub(super) exit: Option<Arc<Point>>,
    /// The call's function in the kernel, at its entry and its return.
    pub(super) function: Option<Arc<Point>>,
    pub(super) function_return: Option<Arc<Point>>,
    /// Where that is said to be.
    pub(super) address: u64,
}

/// A tracepoint in its two forms.
#[derive(Debug, Default)]
pub(super) struct Points {
    /// With a record.
    pub(super) formatted: Option<Arc<Point>>,
    /// With its arguments (`raw_tp`, `tp_btf`).
    pub(super) raw: Option<Arc<Point>>,
}

impl Points {
    pub(super) fn any(&self) -> bool {
        self.formatted.is_some() || self.raw.is_some()
    }
}

/// All points of interest that have programs.
#[derive(Debug, Default)]
pub(super) struct Plan {
    calls: Vec<Option<Box<CallPoints>>>,
    pub(super) enter: Points,
    pub(super) exit: Points,
    pub(super) exec: Points,
    pub(super) fork: Points,
    pub(super) task_exit: Points,
    /// Whether instructions of binaries are hooked, so that mapping code matters.
    pub(super) code: bool,
    /// Timers, and whom they sample for.
    pub(super) samples: Samples,
    /// Whether a program may ask for the registers of a task, whatever its context is.
    pub(super) registers: bool,
}

impl Plan {
    /// What is attached now.
    pub(super) fn of(hooks: &Hooks) -> Self {
        let mut plan = Self::default();
        for (key, point) in hooks.in_use() {
            plan.registers |= asks_for_registers(&point);
            plan.take(key, point);
        }
        plan
    }

    fn take(&mut self, key: HookKey, point: Arc<Point>) {
        let found = Some(point);
        match key {
            HookKey::Tracepoint { category, name } => match (category.as_str(), name.as_str()) {
                ("syscalls", name) => match calls::of_tracepoint(name) {
                    Some((number, false)) => self.call(number).enter = found,
                    Some((number, true)) => self.call(number).exit = found,
                    None => {}
                },
                ("raw_syscalls", "sys_enter") => self.enter.formatted = found,
                ("raw_syscalls", "sys_exit") => self.exit.formatted = found,
                ("sched", "sched_process_exec") => self.exec.formatted = found,
                ("sched", "sched_process_fork") => self.fork.formatted = found,
                ("sched", "sched_process_exit") => self.task_exit.formatted = found,
                _ => {}
            },
            HookKey::RawTracepoint { name } => match name.as_str() {
                "sys_enter" => self.enter.raw = found,
                "sys_exit" => self.exit.raw = found,
                "sched_process_exec" => self.exec.raw = found,
                "sched_process_fork" => self.fork.raw = found,
                "sched_process_exit" => self.task_exit.raw = found,
                _ => {}
            },
            HookKey::Kprobe {
                function,
                offset: 0,
                at_return,
            } => {
                let Some(number) = calls::of_function(&function) else {
                    return;
                };
                let call = self.call(number);
                call.address = address_of(&function);
                match at_return {
                    false => call.function = found,
                    true => call.function_return = found,
                }
            }
            HookKey::PerfEvent { period, cpu, .. } => {
                self.samples
                    .entry(period)
                    .or_default()
                    .extend(found.map(|point| (cpu, point)));
            }
            HookKey::Uprobe { .. } => self.code = true,
            _ => {}
        }
    }

    fn call(&mut self, number: u32) -> &mut CallPoints {
        let index = number as usize;
        if self.calls.len() <= index {
            self.calls.resize_with(index + 1, || None);
        }
        self.calls[index].get_or_insert_default()
    }

    /// The points of a call.
    pub(super) fn points(&self, number: u32) -> Option<&CallPoints> {
        self.calls.get(number as usize)?.as_deref()
    }

    /// Whether the end of a call is hooked.
    pub(super) fn wants_exit(&self, number: u32) -> bool {
        let points = self.points(number);
        self.exit.any()
            || points.is_some_and(|call| call.exit.is_some() || call.function_return.is_some())
    }

    /// Whether every call is hooked.
    pub(super) fn wants_all(&self) -> bool {
        self.enter.any() || self.exit.any()
    }

    /// The filter that stops a tracee for what is hooked, and for what changes how programs see
    /// it. None where every call must stop it.
    pub(super) fn filter(&self) -> Option<Filter> {
        if self.wants_all() {
            return None;
        }
        let hooked = (0..MOST as u32).filter(|number| self.points(*number).is_some());
        let changing = CREDENTIALS.iter().chain(NAMESPACES).copied();
        Some(Filter {
            calls: hooked.chain(changing).collect(),
            names: true,
            code: self.code,
        })
    }

    /// Whether what is hooked needs stops that the filter does not make.
    pub(super) fn exceeds(&self, filter: &Filter) -> bool {
        let is_filtered = |(number, call): (usize, &Option<Box<CallPoints>>)| {
            call.is_none() || filter.calls.contains(&(number as u32))
        };
        self.wants_all()
            || (self.code && !filter.code)
            || !self.calls.iter().enumerate().all(is_filtered)
    }
}

/// Whether a program asks for registers that are not in its context.
fn asks_for_registers(point: &Point) -> bool {
    const ASKS: &[&str] = &[
        "bpf_task_pt_regs",
        "bpf_get_stackid",
        "bpf_get_stack",
        "bpf_get_task_stack",
        // Whatever comes then.
        "bpf_tail_call",
    ];
    let programs = point.programs();
    programs.list.iter().any(|entry| {
        let code = &entry.program.code;
        let calls = (0..).map_while(|index| code.call(index));
        calls.into_iter().any(|call| ASKS.contains(&call.name))
    })
}

/// Whether a call begins another program.
pub(super) fn is_exec(number: u32) -> bool {
    matches!(number, EXECVE | EXECVEAT)
}
