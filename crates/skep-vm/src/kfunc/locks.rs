//! Kernel functions on sections in which nothing else runs, and on resilient spin locks.
//!
//! On a virtual CPU nothing ever interrupts a program, and what it can reach stays until it ends:
//! sections are counted, so that each is left as often as it was entered, and no more.

use std::sync::atomic::AtomicU32;

use skep_host::Errno;

use super::Table;
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, shim, status},
    run::{Depth, Run},
};

pub(super) static TABLE: Table = &[
    ("bpf_rcu_read_lock", shim!(rcu_read_lock)),
    ("bpf_rcu_read_unlock", shim!(rcu_read_unlock)),
    ("bpf_preempt_disable", shim!(preempt_disable)),
    ("bpf_preempt_enable", shim!(preempt_enable)),
    ("bpf_local_irq_save", shim!(local_irq_save)),
    ("bpf_local_irq_restore", shim!(local_irq_restore)),
    ("bpf_res_spin_lock", shim!(res_spin_lock)),
    ("bpf_res_spin_unlock", shim!(res_spin_unlock)),
    ("bpf_res_spin_lock_irqsave", shim!(res_spin_lock_irqsave)),
    (
        "bpf_res_spin_unlock_irqrestore",
        shim!(res_spin_unlock_irqrestore),
    ),
];

fn leave(depth: &Depth, function: &'static str) -> Outcome {
    let reason = "the program is in no such section";
    match depth.leave() {
        true => Ok(0),
        false => Err(FaultKind::Argument { function, reason }.into()),
    }
}

/// `bpf_rcu_read_lock()`
fn rcu_read_lock(run: &Run<'_>, _: Arguments) -> Outcome {
    run.held.rcu.enter(run.hot.call.get());
    Ok(0)
}

/// `bpf_rcu_read_unlock()`
fn rcu_read_unlock(run: &Run<'_>, _: Arguments) -> Outcome {
    leave(&run.held.rcu, "bpf_rcu_read_unlock")
}

/// `bpf_preempt_disable()`
fn preempt_disable(run: &Run<'_>, _: Arguments) -> Outcome {
    run.held.preemption.enter(run.hot.call.get());
    Ok(0)
}

/// `bpf_preempt_enable()`
fn preempt_enable(run: &Run<'_>, _: Arguments) -> Outcome {
    leave(&run.held.preemption, "bpf_preempt_enable")
}

/// Remembers a section without interrupts by where its flags are.
fn save(run: &Run<'_>, flags: u64) -> Result<(), FaultKind> {
    // Interrupts were on, unless in such a section already.
    let was_on = run.held.interrupts.borrow().is_empty();
    let before = if was_on { 0x200 } else { 0 };
    run.view(flags, 8, true)?.set_u64(0, before);
    let mut sections = run.held.interrupts.borrow_mut();
    if sections.len() >= crate::run::MOST_HELD {
        let reason = "there are too many sections in one another";
        return Err(FaultKind::Argument {
            function: "bpf_local_irq_save",
            reason,
        });
    }
    sections.push(run.taken(flags));
    Ok(())
}

/// Leaves the section that was entered last.
fn restore(run: &Run<'_>, flags: u64, function: &'static str) -> Result<(), FaultKind> {
    let mut sections = run.held.interrupts.borrow_mut();
    if sections.last().map(|last| last.address) != Some(flags) {
        let reason = "these are not the flags of the innermost section";
        return Err(FaultKind::Argument { function, reason });
    }
    sections.pop();
    Ok(())
}

/// `bpf_local_irq_save(flags)`
fn local_irq_save(run: &Run<'_>, [flags, ..]: Arguments) -> Outcome {
    save(run, flags)?;
    Ok(0)
}

/// `bpf_local_irq_restore(flags)`
fn local_irq_restore(run: &Run<'_>, [flags, ..]: Arguments) -> Outcome {
    restore(run, flags, "bpf_local_irq_restore")?;
    Ok(0)
}

fn word<'r>(run: &'r Run<'_>, lock: u64) -> Result<&'r AtomicU32, FaultKind> {
    run.view(lock, 4, true)?.word(0).ok_or(FaultKind::Argument {
        function: "bpf_res_spin_lock",
        reason: "the lock is not aligned",
    })
}

fn unlock(run: &Run<'_>, lock: u64) -> Result<(), FaultKind> {
    let word = word(run, lock)?;
    let mut held = run.held.resilient.borrow_mut();
    let last = held.last().map(|last| last.address);
    if last != Some(lock) || !run.vm.locks.give(run.cpu, lock, Some(word)) {
        return Err(FaultKind::Argument {
            function: "bpf_res_spin_unlock",
            reason: "this is not the lock that was taken last",
        });
    }
    held.pop();
    Ok(())
}

/// `bpf_res_spin_lock(lock)`
fn res_spin_lock(run: &Run<'_>, [lock, ..]: Arguments) -> Outcome {
    let taken = run.vm.locks.take(run.cpu, lock, word(run, lock)?);
    match taken {
        Ok(()) => run.held.resilient.borrow_mut().push(run.taken(lock)),
        Err(Errno::ETIMEDOUT) => run.pay_for_waiting()?,
        Err(_) => {}
    }
    Ok(status(taken))
}

/// `bpf_res_spin_unlock(lock)`
fn res_spin_unlock(run: &Run<'_>, [lock, ..]: Arguments) -> Outcome {
    unlock(run, lock)?;
    Ok(0)
}

/// `bpf_res_spin_lock_irqsave(lock, flags)`
fn res_spin_lock_irqsave(run: &Run<'_>, [lock, flags, ..]: Arguments) -> Outcome {
    let answer = res_spin_lock(run, [lock, 0, 0, 0, 0])?;
    if answer == 0 {
        save(run, flags)?;
    }
    Ok(answer)
}

/// `bpf_res_spin_unlock_irqrestore(lock, flags)`
fn res_spin_unlock_irqrestore(run: &Run<'_>, [lock, flags, ..]: Arguments) -> Outcome {
    unlock(run, lock)?;
    restore(run, flags, "bpf_res_spin_unlock_irqrestore")?;
    Ok(0)
}

/// Gives back all locks that the run holds, and leaves all sections.
pub(crate) fn give_up(run: &Run<'_>) {
    let held = run.held.resilient.take();
    for lock in held.iter().rev() {
        // What it was in may be the program's no more: then nobody else can wait for it.
        let word = word(run, lock.address).ok();
        run.vm.locks.give(run.cpu, lock.address, word);
    }
    run.held.rcu.leave_all();
    run.held.preemption.leave_all();
    run.held.interrupts.take();
}
