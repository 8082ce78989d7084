//! Helpers of XDP: the frame's head, tail and metadata.

use skep_host::Errno;

use super::{Arguments, Outcome, errno, expect};
use crate::{
    helper::status,
    memory::View,
    run::{
        Run,
        packet::{FRAME_HEAD, PacketKind, skb::ETH_LEN},
    },
};

/// The most bytes of metadata.
const META_LONGEST: u64 = 255;

/// The context is a frame's.
pub(crate) fn frame(
    run: &Run<'_>,
    context: u64,
    function: &'static str,
) -> Result<(), crate::FaultKind> {
    expect(run, context, PacketKind::Xdp, function)
}

/// `bpf_xdp_adjust_head(xdp_md, delta)`
pub(super) fn adjust_head(run: &Run<'_>, [context, delta, ..]: Arguments) -> Outcome {
    frame(run, context, "bpf_xdp_adjust_head")?;
    let delta = i64::from(delta as i32);
    let mut place = run.packet.place.get();
    let meta_len = place.data - place.meta;
    let data = place.data.wrapping_add_signed(delta);
    if data < place.low + FRAME_HEAD + meta_len || data > place.end.saturating_sub(ETH_LEN) {
        return Ok(errno(Errno::EINVAL));
    }
    let meta = run.packet_meta().map(|meta| meta.to_vec());
    run.expose(&mut place, data - meta_len);
    place.data = data;
    place.meta = data - meta_len;
    if let (Some(meta), Some(to)) = (meta, run.packet_at(place.meta, meta_len)) {
        to.write(&meta);
    }
    run.move_packet(place);
    Ok(0)
}

/// `bpf_xdp_adjust_meta(xdp_md, delta)`
pub(super) fn adjust_meta(run: &Run<'_>, [context, delta, ..]: Arguments) -> Outcome {
    frame(run, context, "bpf_xdp_adjust_meta")?;
    let mut place = run.packet.place.get();
    let meta = place.meta.wrapping_add_signed(i64::from(delta as i32));
    if meta < place.low + FRAME_HEAD || meta > place.data {
        return Ok(errno(Errno::EINVAL));
    }
    let len = place.data - meta;
    if !len.is_multiple_of(4) || len > META_LONGEST {
        return Ok(errno(Errno::EACCES));
    }
    run.expose(&mut place, meta);
    place.meta = meta;
    run.move_packet(place);
    Ok(0)
}

/// `bpf_xdp_adjust_tail(xdp_md, delta)`
pub(super) fn adjust_tail(run: &Run<'_>, [context, delta, ..]: Arguments) -> Outcome {
    frame(run, context, "bpf_xdp_adjust_tail")?;
    let delta = i64::from(delta as i32);
    let mut place = run.packet.place.get();
    let len = place.tail - place.data;
    let fragments = place.in_fragments();
    if fragments > 0 && delta == i64::from(i32::MIN) {
        // Its absolute value is no `int`, and the kernel then takes nothing away.
        return Ok(0);
    }
    let by = delta.unsigned_abs();
    let refused = match (fragments > 0, delta >= 0) {
        (true, true) => by > place.fragment_room(),
        (false, true) => place.end + by > place.high,
        (_, false) => by > len.saturating_sub(ETH_LEN),
    };
    if refused {
        return Ok(errno(Errno::EINVAL));
    }
    if delta > 0
        && let Some(new) = run.packet_at(place.tail, by)
    {
        new.fill(0);
    }
    place.tail = place.tail.wrapping_add_signed(delta);
    if fragments == 0 || place.tail < place.end {
        place.end = place.tail;
    }
    run.move_packet(place);
    Ok(0)
}

/// `bpf_xdp_get_buff_len(xdp_md)`
pub(super) fn buff_len(run: &Run<'_>, [context, ..]: Arguments) -> Outcome {
    frame(run, context, "bpf_xdp_get_buff_len")?;
    Ok(run.packet_len())
}

/// Bytes of the frame, its fragments too.
fn part<'r>(run: &'r Run<'_>, offset: u32, len: usize) -> Result<View<'r>, Errno> {
    if offset > 0xffff || len > 0xffff {
        return Err(Errno::EFAULT);
    }
    run.packet_bytes(offset.into(), len as u64)
        .ok_or(Errno::EINVAL)
}

/// Copies bytes of the frame.
///
/// # Errors
/// `EFAULT`: no frame is so long; `EINVAL`: this one is not.
pub(crate) fn copy_out(run: &Run<'_>, offset: u32, to: View<'_>) -> Result<(), Errno> {
    to.copy_from(part(run, offset, to.len())?);
    Ok(())
}

/// Copies bytes into the frame.
///
/// # Errors
/// As [`copy_out`].
pub(crate) fn copy_in(run: &Run<'_>, offset: u32, from: View<'_>) -> Result<(), Errno> {
    part(run, offset, from.len())?.copy_from(from);
    Ok(())
}

/// `bpf_xdp_load_bytes(xdp_md, offset, buf, len)`
pub(super) fn load_bytes(run: &Run<'_>, [context, offset, to, len, _]: Arguments) -> Outcome {
    frame(run, context, "bpf_xdp_load_bytes")?;
    let to = run.view(to, u64::from(len as u32), true)?;
    Ok(status(copy_out(run, offset as u32, to)))
}

/// `bpf_xdp_store_bytes(xdp_md, offset, buf, len)`
pub(super) fn store_bytes(run: &Run<'_>, [context, offset, from, len, _]: Arguments) -> Outcome {
    frame(run, context, "bpf_xdp_store_bytes")?;
    let from = run.view(from, u64::from(len as u32), false)?;
    Ok(status(copy_in(run, offset as u32, from)))
}

/// Makes the first `len` bytes linear (`bpf_xdp_pull_data`).
///
/// # Errors
/// `EINVAL`: the frame is not so long, or so many do not fit in a page.
pub(crate) fn pull(run: &Run<'_>, len: u32) -> Result<(), Errno> {
    let mut place = run.packet.place.get();
    let linear = place.end - place.data;
    let Some(more) = u64::from(len).checked_sub(linear).filter(|more| *more > 0) else {
        return Ok(());
    };
    let head = place.meta.saturating_sub(place.low + FRAME_HEAD);
    let room = place.high.saturating_sub(place.end);
    if u64::from(len) > run.packet_len() || more > head + room {
        return Err(Errno::EINVAL);
    }
    // The kernel moves the packet back in its page; here the page moves on.
    let shift = more.saturating_sub(room);
    place.low += shift;
    place.high += shift;
    place.end += more;
    run.move_packet(place);
    Ok(())
}
