//! Helpers on sockets: looking them up in the machine's table, and choosing one.

use std::net::{IpAddr, SocketAddr};

use skep_host::Errno;

use super::{Arguments, Outcome, errno, kind};
use crate::{
    helper::status,
    machine::net::{INET, LISTEN, TCP, UDP, v4},
    memory::View,
    run::{Run, packet::PacketKind},
};

/// Sockets of a type for packets of the types behind them: `ESOCKTNOSUPPORT`, `EPROTOTYPE`.
const NO_SUCH_TYPE: Errno = Errno(94);
const WRONG_PROTOCOL: Errno = Errno(91);

/// `bpf_sk_lookup_tcp(ctx, tuple, tuple_size, netns, flags)`, and `bpf_skc_lookup_tcp`
pub(super) fn lookup_tcp(run: &Run<'_>, arguments: Arguments) -> Outcome {
    look_up(run, TCP, arguments)
}

/// `bpf_sk_lookup_udp(ctx, tuple, tuple_size, netns, flags)`
pub(super) fn lookup_udp(run: &Run<'_>, arguments: Arguments) -> Outcome {
    look_up(run, UDP, arguments)
}

fn look_up(
    run: &Run<'_>,
    protocol: u32,
    [context, tuple, len, netns, flags]: Arguments,
) -> Outcome {
    kind(run, context, "a lookup of sockets")?;
    let len = u64::from(len as u32);
    let tuple = run.view(tuple, len, false)?;
    // Only this network: a negative number, on 32 or 64 bits.
    if flags != 0 || (netns as i32) >= 0 {
        return Ok(0);
    }
    let Some((remote, local)) = addresses(tuple) else {
        return Ok(0);
    };
    let net = run.vm.net.now();
    let socket = net.socket(protocol, remote, local);
    Ok(socket.map_or(0, |socket| run.show_socket(socket)))
}

/// The two ends in a `struct bpf_sock_tuple`: source, destination.
fn addresses(tuple: View<'_>) -> Option<(SocketAddr, SocketAddr)> {
    let port = |at| tuple.u16_at(at).map(u16::from_be);
    match tuple.len() {
        12 => {
            let remote = SocketAddr::new(v4(tuple.u32_at(0)?), port(8)?);
            Some((remote, SocketAddr::new(v4(tuple.u32_at(4)?), port(10)?)))
        }
        36 => {
            let address = |at| {
                let mut octets = [0; 16];
                tuple.part(at, 16)?.read(&mut octets);
                Some(IpAddr::from(octets))
            };
            let remote = SocketAddr::new(address(0)?, port(32)?);
            Some((remote, SocketAddr::new(address(16)?, port(34)?)))
        }
        _ => None,
    }
}

/// `bpf_sk_release(sk)`: sockets stay as long as the run.
pub(super) fn release(_: &Run<'_>, _: Arguments) -> Outcome {
    Ok(0)
}

/// `bpf_sk_fullsock(sk)`
pub(super) fn full(run: &Run<'_>, [socket, ..]: Arguments) -> Outcome {
    Ok(run.socket(socket).map_or(0, |socket| socket.address()))
}

/// `bpf_tcp_sock(sk)`
pub(super) fn tcp(run: &Run<'_>, [socket, ..]: Arguments) -> Outcome {
    let socket = run.socket(socket);
    Ok(socket.and_then(|socket| socket.tcp()).unwrap_or_default())
}

/// `bpf_get_listener_sock(sk)`
pub(super) fn listener(run: &Run<'_>, [socket, ..]: Arguments) -> Outcome {
    let socket = run.socket(socket);
    let socket = socket.filter(|socket| socket.info.state == LISTEN);
    Ok(socket.map_or(0, |socket| socket.address()))
}

/// `bpf_sk_assign(ctx, sk, flags)`
pub(super) fn assign(run: &Run<'_>, [context, socket, flags, ..]: Arguments) -> Outcome {
    let kind = kind(run, context, "bpf_sk_assign")?;
    if kind != PacketKind::Fields {
        // Of packets: only while a device receives them.
        let refused = if flags != 0 {
            Errno::EINVAL
        } else {
            Errno::EOPNOTSUPP
        };
        return Ok(errno(refused));
    }
    Ok(status(choose(run, socket, flags)))
}

/// Chooses the socket that a new connection or datagram is for.
fn choose(run: &Run<'_>, socket: u64, flags: u64) -> Result<(), Errno> {
    /// `BPF_SK_LOOKUP_F_REPLACE`
    const REPLACE: u64 = 1;
    /// `BPF_SK_LOOKUP_F_NO_REUSEPORT`
    const NO_REUSEPORT: u64 = 2;
    if flags & !(REPLACE | NO_REUSEPORT) != 0 {
        return Err(Errno::EINVAL);
    }
    let chosen = run.socket(socket);
    if let Some(socket) = &chosen {
        let fields = run.fields();
        let info = &socket.info;
        if info.remote.is_some() {
            return Err(NO_SUCH_TYPE);
        }
        if fields.u32_at(12) != Some(info.protocol) {
            return Err(WRONG_PROTOCOL);
        }
        let v4 = fields.u32_at(8) == Some(INET);
        if v4 != info.local.is_ipv4() && info.local.is_ipv4() {
            return Err(Errno::EAFNOSUPPORT);
        }
    }
    let mut selected = run.packet.selected.borrow_mut();
    if selected.is_some() && flags & REPLACE == 0 {
        return Err(Errno::EEXIST);
    }
    // The field `sk` of the context: its first.
    run.fields()
        .set_u64(0, chosen.as_ref().map_or(0, |socket| socket.address()));
    *selected = chosen;
    Ok(())
}
