//! Helpers on stacks: where the program was called from.

use skep_abi::StackFlags;
use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim};
use crate::{
    FaultKind,
    map::{STACK_DEPTH, StackTraces, encode_stack},
    memory::View,
    run::Run,
};

pub(super) static TABLE: Table = &[
    (27, shim!(get_stackid)),
    (67, shim!(get_stack)),
    (141, shim!(get_task_stack)),
];

/// The low bits of the flags: frames to skip (`BPF_F_SKIP_FIELD_MASK`).
const SKIP: u64 = 0xff;

/// Flags without the frames to skip, if only these are among them.
fn flags(flags: u64, known: StackFlags) -> Option<(StackFlags, usize)> {
    let rest = StackFlags::from_bits_retain(flags & !SKIP);
    known
        .contains(rest)
        .then_some((rest, (flags & SKIP) as usize))
}

/// `bpf_get_stackid(ctx, map, flags)`
fn get_stackid(run: &Run<'_>, [_, map, given, ..]: Arguments) -> Outcome {
    let wrong = FaultKind::Argument {
        function: "bpf_get_stackid",
        reason: "the map is no stack trace map",
    };
    let map = run.map(map)?.of::<StackTraces>().ok_or(wrong)?;
    let known = StackFlags::USER_STACK | StackFlags::FAST_STACK_CMP | StackFlags::REUSE_STACKID;
    let Some((flags, skip)) = flags(given, known) else {
        return Ok(errno(Errno::EINVAL));
    };
    let mut stack = run.stack(flags.contains(StackFlags::USER_STACK));
    if stack.len() <= skip {
        return Ok(errno(Errno::EFAULT));
    }
    stack.drain(..skip);
    Ok(map.id(&stack, flags).map_or_else(errno, u64::from))
}

/// `bpf_get_stack(ctx, buf, size, flags)`
fn get_stack(run: &Run<'_>, [_, to, size, given, _]: Arguments) -> Outcome {
    let to = run.view(to, u64::from(size as u32), true)?;
    Ok(fill(to, given, |user| run.stack(user)))
}

/// `bpf_get_task_stack(task, buf, size, flags)`: of a task that is not the current one, nothing is
/// known.
fn get_task_stack(run: &Run<'_>, [task, to, size, given, _]: Arguments) -> Outcome {
    let to = run.view(to, u64::from(size as u32), true)?;
    let current = run.task().address() == task;
    Ok(fill(to, given, |user| match current {
        true => run.stack(user),
        false => Vec::new(),
    }))
}

/// Writes a stack; answers its bytes or what is wrong.
fn fill(to: View<'_>, given: u64, stack: impl FnOnce(bool) -> Vec<u64>) -> u64 {
    let known = StackFlags::USER_STACK | StackFlags::USER_BUILD_ID;
    let Some((flags, skip)) = flags(given, known) else {
        to.fill(0);
        return errno(Errno::EINVAL);
    };
    let user = flags.contains(StackFlags::USER_STACK);
    let build_ids = flags.contains(StackFlags::USER_BUILD_ID);
    let unit = if build_ids { 32 } else { 8 };
    if (build_ids && !user) || !to.len().is_multiple_of(unit) {
        to.fill(0);
        return errno(Errno::EINVAL);
    }
    let mut stack = stack(user);
    if stack.len() < skip {
        to.fill(0);
        return errno(Errno::EFAULT);
    }
    stack.truncate(STACK_DEPTH);
    stack.drain(..skip.min(stack.len()));
    stack.truncate(to.len() / unit);
    let mut bytes = encode_stack(&stack, build_ids);
    let len = bytes.len();
    bytes.resize(to.len(), 0);
    to.write(&bytes);
    len as u64
}
