//! Kernel functions on open-coded iterators: numbers and bits. An iterator is a few words on the
//! program's stack, which a program in checked mode may write: they only ever are numbers.

use skep_host::Errno;

use super::Table;
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, errno, shim},
    memory::View,
    run::{Run, first_bit},
};

pub(super) static TABLE: Table = &[
    ("bpf_iter_num_new", shim!(num_new)),
    ("bpf_iter_num_next", shim!(num_next)),
    ("bpf_iter_num_destroy", shim!(num_destroy)),
    ("bpf_iter_bits_new", shim!(bits_new)),
    ("bpf_iter_bits_next", shim!(bits_next)),
    ("bpf_iter_bits_destroy", shim!(bits_destroy)),
];

// ── numbers: the current one, and the end ───────────────────────────────────────────────────

fn num<'r>(run: &'r Run<'_>, iterator: u64) -> Result<View<'r>, FaultKind> {
    run.view(iterator, 8, true)
}

/// `bpf_iter_num_new(it, start, end)`
fn num_new(run: &Run<'_>, [iterator, start, end, ..]: Arguments) -> Outcome {
    let state = num(run, iterator)?;
    let (start, end) = (i64::from(start as i32), i64::from(end as i32));
    let failed = if start > end {
        Some(Errno::EINVAL)
    } else if end - start > i64::from(skep_abi::limits::LOOP_ROUNDS) {
        Some(Errno::E2BIG)
    } else {
        None
    };
    if let Some(failed) = failed {
        state.set_u64(0, 0);
        return Ok(errno(failed));
    }
    // The first step goes to the start.
    state.set_u32(0, (start as i32).wrapping_sub(1) as u32);
    state.set_u32(4, end as u32);
    Ok(0)
}

/// `bpf_iter_num_next(it)`
fn num_next(run: &Run<'_>, [iterator, ..]: Arguments) -> Outcome {
    let state = num(run, iterator)?;
    let current = state.u32_at(0).unwrap_or_default() as i32;
    let end = state.u32_at(4).unwrap_or_default() as i32;
    let next = current.wrapping_add(1);
    if next >= end {
        state.set_u64(0, 0);
        return Ok(0);
    }
    state.set_u32(0, next as u32);
    Ok(iterator)
}

/// `bpf_iter_num_destroy(it)`
fn num_destroy(run: &Run<'_>, [iterator, ..]: Arguments) -> Outcome {
    num(run, iterator)?.set_u64(0, 0);
    Ok(0)
}

// ── bits: a word of bits, or the number of more of them; how many; the current one ──────────

/// Words that can be gone through (`BITS_ITER_NR_WORDS_MAX`).
const MOST_WORDS: u32 = 511;

fn bits<'r>(run: &'r Run<'_>, iterator: u64) -> Result<View<'r>, FaultKind> {
    run.view(iterator, 16, true)
}

/// `bpf_iter_bits_new(it, unsafe_ptr, nr_words)`
fn bits_new(run: &Run<'_>, [iterator, from, words, ..]: Arguments) -> Outcome {
    let state = bits(run, iterator)?;
    let words = words as u32;
    state.set_u64(0, 0);
    state.set_u32(8, 0);
    state.set_u32(12, u32::MAX);
    if from == 0 || words == 0 {
        return Ok(errno(Errno::EINVAL));
    }
    if words > MOST_WORDS {
        return Ok(errno(Errno::E2BIG));
    }
    let mut bytes = vec![0; words as usize * 8];
    match run.peek(from, &mut bytes) {
        Ok(()) => {}
        // Of a single word the kernel does not say why.
        Err(_) if words == 1 => return Ok(errno(Errno::EFAULT)),
        Err(failed) => return Ok(errno(failed)),
    }
    let (chunks, _) = bytes.as_chunks();
    let mut all = chunks.iter().map(|word| u64::from_ne_bytes(*word));
    let kept = match words {
        1 => all.next(),
        _ => run.keep_words(all.collect()),
    };
    let Some(kept) = kept else {
        return Ok(errno(Errno::ENOMEM));
    };
    state.set_u64(0, kept);
    state.set_u32(8, words * 64);
    Ok(0)
}

/// `bpf_iter_bits_next(it)`
fn bits_next(run: &Run<'_>, [iterator, ..]: Arguments) -> Outcome {
    let state = bits(run, iterator)?;
    let kept = state.u64_at(0).unwrap_or_default();
    let count = state.u32_at(8).unwrap_or_default();
    let current = state.u32_at(12).unwrap_or_default();
    let from = current.wrapping_add(1);
    if current as i32 >= 0 && current >= count {
        return Ok(0);
    }
    let next = match count {
        0 => return Ok(0),
        64 => first_bit(&[kept], from),
        _ => run.next_bit(kept, from),
    };
    match next.filter(|next| *next < count) {
        Some(next) => {
            state.set_u32(12, next);
            Ok(iterator + 12)
        }
        None => {
            state.set_u32(12, count);
            Ok(0)
        }
    }
}

/// `bpf_iter_bits_destroy(it)`
fn bits_destroy(run: &Run<'_>, [iterator, ..]: Arguments) -> Outcome {
    let state = bits(run, iterator)?;
    if state.u32_at(8).unwrap_or_default() > 64 {
        run.forget_words(state.u64_at(0).unwrap_or_default());
    }
    state.set_u64(0, 0);
    state.set_u32(8, 0);
    Ok(0)
}
