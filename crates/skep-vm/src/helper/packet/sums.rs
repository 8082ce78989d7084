//! Helpers on checksums.

use skep_host::Errno;

use super::{Arguments, Outcome, errno, expect};
use crate::{
    memory::View,
    run::{
        Run,
        packet::{
            PacketKind, Sum,
            sum::{add, fold, narrow, partial, sub},
        },
    },
};

/// `BPF_F_HDR_FIELD_MASK`
const FIELD: u64 = 0xf;
/// `BPF_F_PSEUDO_HDR`
const PSEUDO: u64 = 1 << 4;
/// `BPF_F_MARK_MANGLED_0`
const MANGLED: u64 = 1 << 5;
/// `BPF_F_MARK_ENFORCE`
const ENFORCE: u64 = 1 << 6;
/// `BPF_F_IPV6`
const IPV6: u64 = 1 << 7;

/// Two 16-bit sums together.
const fn add16(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(carry as u16)
}

/// The checksum's two bytes, linear and in the packet.
fn place<'r>(run: &'r Run<'_>, offset: u64) -> Result<View<'r>, Errno> {
    let offset = u64::from(offset as u32);
    if offset > 0xffff || offset % 2 != 0 {
        return Err(Errno::EFAULT);
    }
    run.make_linear(offset + 2).map_err(|_| Errno::EFAULT)?;
    run.packet_bytes(offset, 2).ok_or(Errno::EFAULT)
}

/// `bpf_l3_csum_replace(skb, offset, from, to, size)`
pub(super) fn l3_csum_replace(
    run: &Run<'_>,
    [context, offset, from, to, flags]: Arguments,
) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_l3_csum_replace")?;
    if flags & !FIELD != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    let place = match place(run, offset) {
        Ok(place) => place,
        Err(refused) => return Ok(errno(refused)),
    };
    let old = place.u16_at(0).unwrap_or_default();
    let new = match flags {
        0 if from == 0 => by_difference(old, to as u32),
        2 => !add16(add16(!old, !(from as u16)), to as u16),
        4 => replaced(old, from as u32, to as u32),
        _ => return Ok(errno(Errno::EINVAL)),
    };
    place.set_u16(0, new);
    Ok(0)
}

/// `bpf_l4_csum_replace(skb, offset, from, to, flags)`
pub(super) fn l4_csum_replace(
    run: &Run<'_>,
    [context, offset, from, to, flags]: Arguments,
) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_l4_csum_replace")?;
    if flags & !(FIELD | PSEUDO | MANGLED | ENFORCE | IPV6) != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    let place = match place(run, offset) {
        Ok(place) => place,
        Err(refused) => return Ok(errno(refused)),
    };
    let old = place.u16_at(0).unwrap_or_default();
    if flags & MANGLED != 0 && flags & ENFORCE == 0 && old == 0 {
        return Ok(0);
    }
    let mut skb = run.packet.skb.get();
    let pseudo = flags & PSEUDO != 0;
    let (from, to, new) = match flags & FIELD {
        0 if from == 0 => (0, to as u32, by_difference(old, to as u32)),
        2 => {
            let (from, to) = (u32::from(from as u16), u32::from(to as u16));
            (from, to, replaced(old, from, to))
        }
        4 => (
            from as u32,
            to as u32,
            replaced(old, from as u32, to as u32),
        ),
        _ => return Ok(errno(Errno::EINVAL)),
    };
    if skb.sum == Sum::Complete && pseudo {
        let by_difference = flags & FIELD == 0;
        if by_difference && flags & IPV6 == 0 {
            skb.total = !sub(to, skb.total);
        } else if !by_difference {
            skb.total = !add(sub(!skb.total, from), to);
        }
        run.packet.skb.set(skb);
    }
    // 0 would say that there is no checksum.
    let new = if flags & MANGLED != 0 && new == 0 {
        0xffff
    } else {
        new
    };
    place.set_u16(0, new);
    Ok(0)
}

fn by_difference(old: u16, difference: u32) -> u16 {
    fold(add(difference, !u32::from(old)))
}

fn replaced(old: u16, from: u32, to: u32) -> u16 {
    fold(add(sub(!u32::from(old), from), to))
}

/// `bpf_csum_diff(from, from_size, to, to_size, seed)`
pub(super) fn csum_diff(run: &Run<'_>, [from, from_size, to, to_size, seed]: Arguments) -> Outcome {
    let (from_size, to_size) = (from_size as u32, to_size as u32);
    let from = run.view(from, from_size.into(), false)?;
    let to = run.view(to, to_size.into(), false)?;
    let seed = seed as u32;
    let sum = match (from_size > 0, to_size > 0) {
        (true, true) => sub(partial(to, seed), partial(from, 0)),
        (false, true) => partial(to, seed),
        (true, false) => !partial(from, !seed),
        (false, false) => seed,
    };
    Ok(u64::from(narrow(sum)))
}

/// `bpf_csum_update(skb, csum)`
pub(super) fn csum_update(run: &Run<'_>, [context, sum, ..]: Arguments) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_csum_update")?;
    let mut skb = run.packet.skb.get();
    if skb.sum != Sum::Complete {
        return Ok(errno(Errno::ENOTSUPP));
    }
    skb.total = add(skb.total, sum as u32);
    run.packet.skb.set(skb);
    Ok(u64::from(skb.total))
}

/// `bpf_csum_level(skb, level)`
pub(super) fn csum_level(run: &Run<'_>, [context, level, ..]: Arguments) -> Outcome {
    /// The most that the kernel counts.
    const MOST: u8 = 3;
    expect(run, context, PacketKind::Skb, "bpf_csum_level")?;
    let mut skb = run.packet.skb.get();
    skb.sum = match (level, skb.sum) {
        // BPF_CSUM_LEVEL_QUERY
        (0, Sum::Unnecessary(known)) => return Ok(u64::from(known)),
        (0, _) => return Ok(errno(Errno::EACCES)),
        // BPF_CSUM_LEVEL_INC
        (1, Sum::Unnecessary(known)) => Sum::Unnecessary(MOST.min(known + 1)),
        (1, Sum::None) => Sum::Unnecessary(0),
        // BPF_CSUM_LEVEL_DEC
        (2, Sum::Unnecessary(0)) => Sum::None,
        (2, Sum::Unnecessary(known)) => Sum::Unnecessary(known - 1),
        // BPF_CSUM_LEVEL_RESET
        (3, Sum::Unnecessary(_)) => Sum::None,
        (1..=3, other) => other,
        _ => return Ok(errno(Errno::EINVAL)),
    };
    run.packet.skb.set(skb);
    Ok(0)
}
