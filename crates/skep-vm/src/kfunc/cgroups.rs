//! Kernel functions on cgroups: references, and loops over them and their tasks.

use skep_host::Errno;

use super::{
    Table,
    tasks::{acquire, release},
};
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, errno, shim},
    machine::{objects::ObjectKind, types::offset_of},
    memory::View,
    run::Run,
};

pub(super) static TABLE: Table = &[
    ("bpf_cgroup_acquire", shim!(cgroup_acquire)),
    ("bpf_cgroup_release", shim!(cgroup_release)),
    ("bpf_cgroup_ancestor", shim!(cgroup_ancestor)),
    ("bpf_cgroup_from_id", shim!(cgroup_from_id)),
    ("bpf_iter_css_new", shim!(css_new)),
    ("bpf_iter_css_next", shim!(css_next)),
    ("bpf_iter_css_destroy", shim!(css_destroy)),
    ("bpf_iter_css_task_new", shim!(css_task_new)),
    ("bpf_iter_css_task_next", shim!(css_task_next)),
    ("bpf_iter_css_task_destroy", shim!(css_task_destroy)),
];

/// The ancestors of a cgroup, itself the last, as addresses.
fn ancestor(cgroup: View<'_>, level: u32) -> Option<u64> {
    let own = cgroup.u32_at(offset_of("cgroup", "level")?)?;
    let first = offset_of("cgroup", "ancestors")?;
    if level > own {
        return None;
    }
    cgroup.u64_at(first.checked_add(8 * level as usize)?)
}

/// `bpf_cgroup_acquire(cgrp)`
fn cgroup_acquire(run: &Run<'_>, [cgroup, ..]: Arguments) -> Outcome {
    acquire(run, cgroup, ObjectKind::Cgroup, "bpf_cgroup_acquire")
}

/// `bpf_cgroup_release(cgrp)`
fn cgroup_release(run: &Run<'_>, [cgroup, ..]: Arguments) -> Outcome {
    release(run, cgroup, ObjectKind::Cgroup, "bpf_cgroup_release")
}

/// `bpf_cgroup_ancestor(cgrp, level)`
fn cgroup_ancestor(run: &Run<'_>, [cgroup, level, ..]: Arguments) -> Outcome {
    let object = run.object(cgroup, ObjectKind::Cgroup, "bpf_cgroup_ancestor")?;
    let address = ancestor(object.memory(), level as u32);
    let found = address.and_then(|address| run.vm.objects.at(address));
    Ok(match found {
        Some(found) if found.acquire() => run.hold(found),
        _ => 0,
    })
}

/// `bpf_cgroup_from_id(cgid)`
fn cgroup_from_id(run: &Run<'_>, [id, ..]: Arguments) -> Outcome {
    run.reach_objects();
    Ok(match run.vm.tasks.any_cgroup(run.vm, id) {
        Some(found) if found.acquire() => run.hold(found),
        _ => 0,
    })
}

// ── cgroups of a tree: where it begins, the current one, which way ─────────────────────────────

/// `BPF_CGROUP_ITER_DESCENDANTS_PRE`
const DOWN: u32 = 2;
/// `BPF_CGROUP_ITER_DESCENDANTS_POST`
const DOWN_CHILDREN_FIRST: u32 = 3;
/// `BPF_CGROUP_ITER_ANCESTORS_UP`
const UP: u32 = 4;

/// The cgroups that there are, in the order in which they were made: each with its parent, 0 for none.
struct Tree(Vec<(u64, u64)>);

impl Tree {
    /// Of the machine, for a program that pays for looking at all.
    fn of(run: &Run<'_>) -> Result<Self, crate::run::Stop> {
        let all = run.vm.tasks.all_cgroups(run.vm);
        run.pay(all.len() as u32)?;
        let parent = |cgroup: View<'_>| {
            let level = cgroup.u32_at(offset_of("cgroup", "level")?)?;
            ancestor(cgroup, level.checked_sub(1)?)
        };
        let places = all.iter().map(|object| {
            let parent = parent(object.memory());
            (object.address(), parent.unwrap_or_default())
        });
        Ok(Self(places.collect()))
    }

    fn parent(&self, of: u64) -> Option<u64> {
        let place = self.0.iter().find(|(cgroup, _)| *cgroup == of)?;
        Some(place.1).filter(|parent| *parent != 0)
    }

    fn first_child(&self, of: u64) -> Option<u64> {
        let mut all = self.0.iter();
        all.find_map(|(cgroup, parent)| (*parent == of).then_some(*cgroup))
    }

    fn next_sibling(&self, of: u64) -> Option<u64> {
        let parent = self.parent(of)?;
        let mut later = self
            .0
            .iter()
            .skip_while(|(cgroup, _)| *cgroup != of)
            .skip(1);
        later.find_map(|(cgroup, of)| (*of == parent).then_some(*cgroup))
    }

    /// The first that has no children, going down by first children.
    fn deepest(&self, from: u64) -> u64 {
        std::iter::successors(Some(from), |at| self.first_child(*at))
            .last()
            .unwrap_or(from)
    }

    /// What comes behind `at` below `root`, parents first.
    fn behind(&self, at: u64, root: u64) -> Option<u64> {
        if let Some(child) = self.first_child(at) {
            return Some(child);
        }
        let above = std::iter::successors(Some(at), |at| self.parent(*at));
        above
            .take_while(|at| *at != root)
            .find_map(|at| self.next_sibling(at))
    }

    /// What comes behind `at` below `root`, children first.
    fn behind_children(&self, at: u64, root: u64) -> Option<u64> {
        if at == root {
            return None;
        }
        let next = self.next_sibling(at).map(|next| self.deepest(next));
        next.or_else(|| self.parent(at))
    }
}

fn css<'r>(run: &'r Run<'_>, iterator: u64) -> Result<View<'r>, FaultKind> {
    run.view(iterator, 24, true)
}

/// `bpf_iter_css_new(it, start, flags)`
fn css_new(run: &Run<'_>, [iterator, start, flags, ..]: Arguments) -> Outcome {
    let state = css(run, iterator)?;
    state.fill(0);
    // What it begins with is the cgroup's first field.
    run.object(start, ObjectKind::Cgroup, "bpf_iter_css_new")?;
    if !(DOWN..=UP).contains(&(flags as u32)) {
        return Ok(errno(Errno::EINVAL));
    }
    state.set_u64(0, start);
    state.set_u32(16, flags as u32);
    Ok(0)
}

/// `bpf_iter_css_next(it)`; behind the last one it begins again, as the kernel's does.
fn css_next(run: &Run<'_>, [iterator, ..]: Arguments) -> Outcome {
    let state = css(run, iterator)?;
    let word = |offset| state.u64_at(offset).unwrap_or_default();
    let (start, current) = (word(0), word(8));
    if start == 0 {
        return Ok(0);
    }
    let flags = state.u32_at(16).unwrap_or_default();
    run.reach_objects();
    let tree = Tree::of(run)?;
    let next = match (flags, current) {
        (DOWN_CHILDREN_FIRST, 0) => Some(tree.deepest(start)),
        (DOWN_CHILDREN_FIRST, at) => tree.behind_children(at, start),
        (_, 0) => Some(start),
        (DOWN, at) => tree.behind(at, start),
        (_, at) => tree.parent(at),
    };
    let next = next.unwrap_or_default();
    state.set_u64(8, next);
    Ok(next)
}

/// `bpf_iter_css_destroy(it)`
fn css_destroy(run: &Run<'_>, [iterator, ..]: Arguments) -> Outcome {
    css(run, iterator)?.fill(0);
    Ok(0)
}

// ── tasks of a cgroup: the number of a list of them, and which one is next ─────────────────────

/// `CSS_TASK_ITER_PROCS`
const PROCESSES: u32 = 1;
/// `CSS_TASK_ITER_THREADED`, of which there is none
const THREADED: u32 = 2;

fn css_task<'r>(run: &'r Run<'_>, iterator: u64) -> Result<View<'r>, FaultKind> {
    run.view(iterator, 8, true)
}

/// `bpf_iter_css_task_new(it, css, flags)`
fn css_task_new(run: &Run<'_>, [iterator, cgroup, flags, ..]: Arguments) -> Outcome {
    let state = css_task(run, iterator)?;
    state.set_u64(0, 0);
    let object = run.object(cgroup, ObjectKind::Cgroup, "bpf_iter_css_task_new")?;
    let flags = flags as u32;
    if flags & !(PROCESSES | THREADED) != 0 || flags == THREADED {
        return Ok(errno(Errno::EINVAL));
    }
    // This thread is a task, too.
    run.task();
    let all = run.vm.tasks.all();
    run.pay(all.len() as u32)?;
    let of_cgroup = all.iter().map(|task| task.info()).filter(|info| {
        let own = info.cgroups.last();
        let own = own.and_then(|id| run.vm.tasks.cgroup_by_id(*id));
        own.is_some_and(|own| own.address() == object.address())
            && (flags & PROCESSES == 0 || info.pid == info.tgid)
    });
    // Something is in the list, that it is one.
    let words = std::iter::once(0).chain(of_cgroup.map(|info| info.pid.into()));
    let Some(kept) = run.keep_words(words.collect()) else {
        return Ok(errno(Errno::ENOMEM));
    };
    state.set_u32(0, kept as u32);
    state.set_u32(4, 1);
    Ok(0)
}

/// `bpf_iter_css_task_next(it)`
fn css_task_next(run: &Run<'_>, [iterator, ..]: Arguments) -> Outcome {
    let state = css_task(run, iterator)?;
    let number = |offset| state.u32_at(offset).unwrap_or_default();
    let (kept, mut next) = (number(0), number(4));
    run.reach_objects();
    loop {
        let Some(pid) = run.kept_word(kept.into(), next) else {
            return Ok(0);
        };
        run.pay(1)?;
        next = next.saturating_add(1);
        state.set_u32(4, next);
        // It may have ended meanwhile.
        if let Some(task) = run.vm.tasks.by_pid(pid as u32)
            && task.object().is_some()
        {
            return Ok(task.address());
        }
    }
}

/// `bpf_iter_css_task_destroy(it)`
fn css_task_destroy(run: &Run<'_>, [iterator, ..]: Arguments) -> Outcome {
    let state = css_task(run, iterator)?;
    let kept = state.u32_at(0).unwrap_or_default();
    run.forget_words(kept.into());
    state.set_u64(0, 0);
    Ok(0)
}
