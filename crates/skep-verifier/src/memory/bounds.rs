//! Whether an access stays inside memory of a known size, and whether it is aligned.

use skep_abi::ProgLoadFlags;

use super::{Span, Visit, words};
use crate::{
    Rejection, Rule,
    state::{Kind, Register},
    verifier::{Result, Verifier},
};

/// Variable parts of pointers stay below this (`BPF_MAX_VAR_OFF`).
pub(super) const MAX_VARIABLE_OFFSET: u64 = 1 << 29;

/// Why an access does not stay inside.
enum Outside {
    /// It may begin before the memory.
    Negative,
    /// It may begin this far before it, or reach behind it, at its lowest.
    Least(i64),
    /// No upper bound is known.
    Unbounded,
    /// It may reach behind it, at its highest.
    Most(i64),
}

fn outside(pointer: &Register, offset: i64, size: u64, limit: u64) -> Option<Outside> {
    let fits = |offset: i64| {
        u64::try_from(offset).is_ok_and(|offset| {
            offset
                .checked_add(size)
                .is_some_and(|behind| behind <= limit)
        })
    };
    let value = &pointer.value;
    let least = offset.checked_add(value.smin);
    if value.smin < 0 {
        match least {
            Some(least) if least >= 0 && i32::try_from(least).is_ok() => {}
            _ => return Some(Outside::Negative),
        }
    }
    match least {
        Some(least) if fits(least) => {}
        least => return Some(Outside::Least(least.unwrap_or(i64::MIN))),
    }
    if value.umax >= MAX_VARIABLE_OFFSET {
        return Some(Outside::Unbounded);
    }
    let most = offset.saturating_add(value.umax as i64);
    (!fits(most)).then_some(Outside::Most(most))
}

impl Verifier<'_> {
    /// Whether an access stays inside memory of `limit` bytes, which the pointer points to the start
    /// of when its offset is zero.
    pub(super) fn check_bounds(
        &self,
        pointer: &Register,
        span: Span,
        limit: u64,
        rule: Rule,
    ) -> Result {
        match outside(pointer, span.offset, span.size, limit) {
            None => Ok(()),
            Some(why) => Err(self.out_of_bounds(pointer, span, limit, rule, &why)),
        }
    }

    #[cold]
    fn out_of_bounds(
        &self,
        pointer: &Register,
        span: Span,
        limit: u64,
        rule: Rule,
        why: &Outside,
    ) -> Box<Rejection> {
        let what = words::kind(pointer);
        let doing = words::span(span);
        let bytes = words::bytes(limit);
        let rejection = match *why {
            Outside::Negative => self
                .reject(
                    Rule::NegativeIndex,
                    format!("{doing} of {what} of {bytes}, at an offset that may be negative"),
                )
                .help("use an unsigned index, or test that it is at least 0 first"),
            Outside::Unbounded => self
                .reject(
                    Rule::UnboundedIndex,
                    format!("{doing} of {what} of {bytes}, at an offset without an upper bound"),
                )
                .help(format!(
                    "test the index first, so that the access ends within {bytes}"
                )),
            Outside::Most(at) if pointer.value.as_constant().is_none() => self
                .reject(
                    rule,
                    format!(
                        "{doing} of {what} of {bytes}, at an offset that can be as large as {at}"
                    ),
                )
                .help(format!(
                    "test the index against a smaller bound: the access must end within {bytes}"
                )),
            Outside::Least(at) | Outside::Most(at) => {
                self.reject(rule, format!("{doing} at offset {at} of {what} of {bytes}"))
            }
        };
        rejection.of(span.base)
    }

    /// Whether an instruction's access is aligned as far as it must.
    pub(super) fn check_alignment(&self, pointer: &Register, visit: Visit) -> Result {
        let strict = match pointer.kind {
            Kind::Stack { .. } => true,
            Kind::Arena => return Ok(()),
            _ => visit.aligned || self.strict_alignment(),
        };
        if !strict || visit.size == 1 {
            return Ok(());
        }
        // The kernel keeps IP headers aligned: packets begin two bytes off.
        let packet = if pointer.is_packet() { 2 } else { 0 };
        let offset = i64::from(pointer.offset) + i64::from(visit.offset) + packet;
        let bits = pointer.value.bits;
        let low = u64::from(visit.size) - 1;
        let known = bits.value.wrapping_add(offset.cast_unsigned());
        if (bits.mask | known) & low == 0 {
            return Ok(());
        }
        let what = words::kind(pointer);
        let doing = words::doing(visit.access());
        Err(self
            .reject(
                Rule::MisalignedAccess,
                format!(
                    "{doing} of {} bytes of {what} at an offset that is no multiple of {0}",
                    visit.size
                ),
            )
            .of(visit.base))
    }

    fn strict_alignment(&self) -> bool {
        let flags = self.program.flags;
        flags.contains(ProgLoadFlags::STRICT_ALIGNMENT)
            && !flags.contains(ProgLoadFlags::ANY_ALIGNMENT)
    }
}
