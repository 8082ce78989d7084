//! Helpers that call functions of the program, or leave it.

use skep_abi::limits::LOOP_ROUNDS;
use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim};
use crate::run::Run;

pub(super) static TABLE: Table = &[(12, shim!(tail_call)), (181, shim!(bpf_loop))];

/// `bpf_loop(nr_loops, callback, callback_ctx, flags)`
fn bpf_loop(run: &Run<'_>, [rounds, callback, context, flags, _]: Arguments) -> Outcome {
    let rounds = rounds as u32;
    if flags != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    if rounds > LOOP_ROUNDS {
        // A 32-bit number, since the kernel puts the loop in the place of the call and its answer
        // with `w0 = -7`.
        return Ok(u64::from(errno(Errno::E2BIG) as u32));
    }
    for round in 0..rounds {
        if run.call_back(callback, [u64::from(round), context, 0, 0, 0])? != 0 {
            return Ok(u64::from(round) + 1);
        }
    }
    Ok(u64::from(rounds))
}

/// `bpf_tail_call(ctx, prog_array_map, index)`
fn tail_call(run: &Run<'_>, [_, map, index, ..]: Arguments) -> Outcome {
    match run.map(map)?.kind.program(index as u32) {
        Some(program) => run.tail_call(program),
        // The program goes on. What R0 is then, no kernel promises.
        None => Ok(errno(Errno::ENOENT)),
    }
}
