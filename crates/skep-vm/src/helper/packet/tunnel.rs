//! Helpers on the tunnel that a packet goes into. The machine has none: what a program sets is kept
//! with the packet, and read back as the kernel reads it.

use skep_host::Errno;

use super::{Arguments, Outcome, errno, expect};
use crate::{
    helper::status,
    memory::View,
    run::{
        Run,
        packet::{PacketKind, Tunnel},
    },
};

/// Bytes of `struct bpf_tunnel_key`, and of its older forms: without local addresses, without
/// the label, without the flags, with an IPv4 address only.
const LEN: usize = 44;
const WITHOUT_LOCAL: usize = 28;
const WITHOUT_LABEL: usize = 24;
const WITHOUT_FLAGS: usize = 22;
const ONLY_V4: usize = 8;

/// `BPF_F_TUNINFO_IPV6`
const IPV6: u64 = 1;
/// `BPF_F_ZERO_CSUM_TX`, `BPF_F_DONT_FRAGMENT`, `BPF_F_SEQ_NUMBER`, `BPF_F_NO_TUNNEL_KEY`
const ZERO_SUM: u64 = 2;
const DONT_FRAGMENT: u64 = 4;
const SEQUENCE: u64 = 8;
const NO_KEY: u64 = 16;
/// `BPF_F_TUNINFO_FLAGS`
const FLAGS: u64 = 16;

/// What `tunnel_flags` shows, in network order.
const SHOW_SUM: u16 = 0x01;
const SHOW_KEY: u16 = 0x04;
const SHOW_SEQUENCE: u16 = 0x08;
const SHOW_DONT_FRAGMENT: u16 = 0x0100;
const SHOW_NO_CACHE: u16 = 0x2000;

fn known_len(len: usize) -> bool {
    matches!(
        len,
        LEN | WITHOUT_LOCAL | WITHOUT_LABEL | WITHOUT_FLAGS | ONLY_V4
    )
}

/// `bpf_skb_get_tunnel_key(skb, key, size, flags)`
pub(super) fn key(run: &Run<'_>, [context, to, size, flags, _]: Arguments) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_skb_get_tunnel_key")?;
    let to = run.view(to, u64::from(size as u32), true)?;
    let tunnel = run.packet.tunnel.borrow();
    let answer = match &*tunnel {
        None => Err(Errno::EINVAL),
        Some(_) if flags & !(IPV6 | FLAGS) != 0 => Err(Errno::EINVAL),
        Some(tunnel) if tunnel.v6 != (flags & IPV6 != 0) => Err(Errno::EPROTO),
        Some(tunnel) if !known_len(to.len()) || (to.len() == ONLY_V4 && tunnel.v6) => {
            Err(Errno::EINVAL)
        }
        Some(tunnel) => {
            to.write(&shown(tunnel, flags & FLAGS != 0));
            Ok(())
        }
    };
    if answer.is_err() {
        to.fill(0);
    }
    Ok(status(answer))
}

/// The key as the one who receives the packet would see it: its remote end is our local one.
fn shown(tunnel: &Tunnel, flags: bool) -> [u8; LEN] {
    let mut key = [0; LEN];
    let view = View::of(&mut key);
    view.set_u32(0, tunnel.id);
    for (at, (local, remote)) in tunnel.local.iter().zip(tunnel.remote).enumerate() {
        view.set_u32(4 + 4 * at, *local);
        view.set_u32(28 + 4 * at, remote);
    }
    view.set_u8(20, tunnel.tos);
    view.set_u8(21, tunnel.ttl);
    view.set_u16(22, if flags { tunnel.flags } else { 0 });
    view.set_u32(24, tunnel.label);
    key
}

/// `bpf_skb_set_tunnel_key(skb, key, size, flags)`
pub(super) fn set_key(run: &Run<'_>, [context, from, size, flags, _]: Arguments) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_skb_set_tunnel_key")?;
    let from = run.view(from, u64::from(size as u32), false)?;
    if flags & !(IPV6 | ZERO_SUM | DONT_FRAGMENT | SEQUENCE | NO_KEY) != 0 || !known_len(from.len())
    {
        return Ok(errno(Errno::EINVAL));
    }
    let mut key = [0; LEN];
    from.read(&mut key);
    let key = View::of(&mut key);
    let word = |at| key.u32_at(at).unwrap_or_default();
    let v6 = flags & IPV6 != 0;
    if (!v6 && word(24) != 0) || key.u16_at(22) != Some(0) {
        return Ok(errno(Errno::EINVAL));
    }
    let address = |at: usize| match v6 {
        true => [word(at), word(at + 4), word(at + 8), word(at + 12)],
        false => [word(at), 0, 0, 0],
    };
    let shown = [
        (flags & ZERO_SUM == 0, SHOW_SUM),
        (flags & NO_KEY == 0, SHOW_KEY),
        (flags & SEQUENCE != 0, SHOW_SEQUENCE),
        (flags & DONT_FRAGMENT != 0, SHOW_DONT_FRAGMENT),
        (true, SHOW_NO_CACHE),
    ];
    let flags = shown
        .iter()
        .filter(|(set, _)| *set)
        .fold(0, |all, (_, flag)| all | flag);
    *run.packet.tunnel.borrow_mut() = Some(Tunnel {
        id: word(0),
        remote: address(4),
        local: address(28),
        tos: key.u8_at(20).unwrap_or_default(),
        ttl: key.u8_at(21).unwrap_or_default(),
        label: if v6 { word(24) } else { 0 },
        v6,
        flags: flags.to_be(),
        options: Vec::new(),
    });
    Ok(0)
}

/// `bpf_skb_get_tunnel_opt(skb, opt, size)`
pub(super) fn options(run: &Run<'_>, [context, to, size, ..]: Arguments) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_skb_get_tunnel_opt")?;
    let to = run.view(to, u64::from(size as u32), true)?;
    let tunnel = run.packet.tunnel.borrow();
    let options = tunnel.as_ref().map(|tunnel| &tunnel.options);
    to.fill(0);
    match options.filter(|options| !options.is_empty()) {
        None => Ok(errno(Errno::ENOENT)),
        Some(options) if options.len() > to.len() => Ok(errno(Errno::ENOMEM)),
        Some(options) => Ok(to.write(options) as u64),
    }
}

/// `bpf_skb_set_tunnel_opt(skb, opt, size)`
pub(super) fn set_options(run: &Run<'_>, [context, from, size, ..]: Arguments) -> Outcome {
    /// `IP_TUNNEL_OPTS_MAX`
    const MOST: usize = 255;
    expect(run, context, PacketKind::Skb, "bpf_skb_set_tunnel_opt")?;
    let from = run.view(from, u64::from(size as u32), false)?;
    let mut tunnel = run.packet.tunnel.borrow_mut();
    let Some(tunnel) = tunnel.as_mut().filter(|_| from.len() % 4 == 0) else {
        return Ok(errno(Errno::EINVAL));
    };
    if from.len() > MOST {
        return Ok(errno(Errno::ENOMEM));
    }
    tunnel.options = from.to_vec();
    Ok(0)
}
