//! Helpers that ask what the program is attached to: cookies, function addresses, return values,
//! arguments. Whoever fires a program says so in the run's [`Current`](crate::run::Current).

use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim};
use crate::{FaultKind, run::Run};

pub(super) static TABLE: Table = &[
    (58, shim!(override_return)),
    (173, shim!(get_func_ip)),
    (174, shim!(get_attach_cookie)),
    (183, shim!(get_func_arg)),
    (184, shim!(get_func_ret)),
    (185, shim!(get_func_arg_cnt)),
    (186, shim!(get_retval)),
    (187, shim!(set_retval)),
];

/// `bpf_override_return(regs, rc)`
fn override_return(run: &Run<'_>, [_, value, ..]: Arguments) -> Outcome {
    run.current.overridden.set(Some(value));
    Ok(0)
}

/// `bpf_get_func_ip(ctx)`
fn get_func_ip(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run.current.function.get())
}

/// `bpf_get_attach_cookie(ctx)`
fn get_attach_cookie(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run.current.cookie.get())
}

/// Copies a word of a context that holds the arguments of a function.
fn word(run: &Run<'_>, context: u64, index: u32, to: u64) -> Result<u64, FaultKind> {
    let to = run.view(to, 8, true)?;
    let from = run.view(context.wrapping_add(8 * u64::from(index)), 8, false)?;
    to.set_u64(0, from.u64_at(0).unwrap_or_default());
    Ok(0)
}

/// `bpf_get_func_arg(ctx, n, value)`
fn get_func_arg(run: &Run<'_>, [context, index, to, ..]: Arguments) -> Outcome {
    let count = run.current.arguments.get().unwrap_or_default();
    match index as u32 {
        index if index < count => Ok(word(run, context, index, to)?),
        _ => Ok(errno(Errno::EINVAL)),
    }
}

/// `bpf_get_func_ret(ctx, value)`
fn get_func_ret(run: &Run<'_>, [context, to, ..]: Arguments) -> Outcome {
    match run.current.arguments.get() {
        Some(count) if run.current.returned.get() => Ok(word(run, context, count, to)?),
        _ => Ok(errno(Errno::EOPNOTSUPP)),
    }
}

/// `bpf_get_func_arg_cnt(ctx)`
fn get_func_arg_cnt(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(u64::from(run.current.arguments.get().unwrap_or_default()))
}

/// `bpf_get_retval()`
fn get_retval(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(i64::from(run.current.return_value.get()) as u64)
}

/// `bpf_set_retval(retval)`
fn set_retval(run: &Run<'_>, [value, ..]: Arguments) -> Outcome {
    run.current.return_value.set(value as i32);
    Ok(0)
}
