//! Test runs of programs on parts of packets, or on what stands for one.

use std::sync::Arc;

use skep_abi::AttachType;
use skep_host::{Errno, TestRun};

use super::{Answer, Around, context_in, finish, with_packet};
use crate::{
    Vm,
    machine::net::{INET, INET6},
    memory::View,
    program::Program,
    run::{
        Ours,
        packet::{BUFFER, HOOK, KEYS, KEYS_LEN, PacketKind, SkbField, skb::ETH_LEN},
    },
};

/// Where `struct bpf_flow_keys` has its flags.
const FLOW_FLAGS: usize = 48;

/// `struct bpf_flow_keys` for a program that dissects a packet.
pub(super) fn flow_dissector(
    vm: &Vm,
    program: &Arc<Program>,
    run: &mut TestRun<'_>,
    around: &Around<'_>,
) -> Answer {
    /// The longest packet: a page.
    const LONGEST: usize = 4096;
    if !run.flags.is_empty() || run.cpu != 0 || run.batch_size != 0 {
        return Err(Errno::EINVAL.into());
    }
    if !(ETH_LEN as usize..=LONGEST).contains(&run.data_in.len()) {
        return Err(Errno::EINVAL.into());
    }
    let given = context_in::<KEYS_LEN>(run)?;
    let mut flags = [0; 4];
    if let Some(given) = &given {
        let (before, rest) = given.split_at(FLOW_FLAGS);
        let (set, after) = rest.split_at(4);
        if before.iter().chain(after).any(|byte| *byte != 0) {
            return Err(Errno::EINVAL.into());
        }
        flags.copy_from_slice(set);
    }
    let (done, keys) = with_packet(
        vm,
        program,
        around,
        run.repeat,
        |inner| {
            let block = inner.receive_plain(PacketKind::Flow, run.data_in)?;
            let keys = block.part(KEYS, KEYS_LEN).ok_or(Errno::ENOMEM)?;
            keys.set_u16(0, ETH_LEN as u16);
            keys.set_u16(2, ETH_LEN as u16);
            let proto = [run.data_in[12], run.data_in[13]];
            keys.set_u16(10, u16::from_ne_bytes(proto));
            keys.set_u32(FLOW_FLAGS, u32::from_ne_bytes(flags));
            let fields = inner.fields();
            fields.set_u64(SkbField::FLOW_KEYS, keys.address());
            for (view, len, writable) in [(fields, SkbField::LEN, false), (keys, KEYS_LEN, true)] {
                inner.grant(Ours {
                    start: view.address(),
                    len: len as u64,
                    writable,
                });
            }
            Ok(fields.address())
        },
        |inner, done| {
            let mut keys = [0; KEYS_LEN];
            inner
                .packet_part(KEYS, KEYS_LEN)
                .map(|part| part.read(&mut keys));
            // Offsets of headers stay in the packet.
            let len = run.data_in.len() as u16;
            let view = View::of(&mut keys);
            let network = view.u16_at(0).unwrap_or_default();
            let network = network.clamp(ETH_LEN as u16, len);
            let transport = view.u16_at(2).unwrap_or_default();
            view.set_u16(0, network);
            view.set_u16(2, transport.clamp(network, len));
            (*done, keys)
        },
    )?;
    finish(
        run,
        &done,
        &keys,
        KEYS_LEN,
        given.as_ref().map(|given| &given[..]),
    )
}

/// `struct bpf_sk_lookup`
mod lookup {
    pub(super) const LEN: usize = 72;
    pub(super) const COOKIE: usize = 0;
    pub(super) const FAMILY: usize = 8;
    pub(super) const PROTOCOL: usize = 12;
    pub(super) const REMOTE_IP4: usize = 16;
    pub(super) const REMOTE_IP6: usize = 20;
    pub(super) const REMOTE_PORT: usize = 36;
    pub(super) const LOCAL_IP4: usize = 40;
    pub(super) const LOCAL_IP6: usize = 44;
    pub(super) const LOCAL_PORT: usize = 60;
    pub(super) const INGRESS_IFINDEX: usize = 64;
}

/// A program that chooses a socket.
pub(super) fn sk_lookup(
    vm: &Vm,
    program: &Arc<Program>,
    run: &mut TestRun<'_>,
    around: &Around<'_>,
) -> Answer {
    let unused = !run.flags.is_empty() || run.cpu != 0 || run.batch_size != 0;
    if unused || !run.data_in.is_empty() || !run.data_out.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    let mut given = context_in::<{ lookup::LEN }>(run)?.ok_or(Errno::EINVAL)?;
    let fields = View::of(&mut given);
    let word = |at| fields.u32_at(at).unwrap_or_default();
    if fields.u64_at(lookup::COOKIE) != Some(0) || fields.u64_at(lookup::INGRESS_IFINDEX) != Some(0)
    {
        return Err(Errno::EINVAL.into());
    }
    if word(lookup::LOCAL_PORT) > u32::from(u16::MAX) {
        return Err(Errno::ERANGE.into());
    }
    let family = u32::from(word(lookup::FAMILY) as u16);
    if !matches!(family, INET | INET6) {
        return Err(Errno::EAFNOSUPPORT.into());
    }
    let shown = fields.to_vec();
    let (done, cookie) = with_packet(
        vm,
        program,
        around,
        run.repeat,
        |inner| {
            inner.receive_plain(PacketKind::Fields, &[])?;
            let fields = inner.fields();
            fields.write(&shown);
            fields.set_u32(lookup::FAMILY, family);
            let protocol = fields.u32_at(lookup::PROTOCOL).unwrap_or_default();
            fields.set_u32(lookup::PROTOCOL, u32::from(protocol as u16));
            fields.set_u16(lookup::REMOTE_PORT + 2, 0);
            // Each family has fields of its own; those of the other read as zero.
            let (size, places) = match family {
                INET => (16, [lookup::REMOTE_IP6, lookup::LOCAL_IP6]),
                _ => (4, [lookup::REMOTE_IP4, lookup::LOCAL_IP4]),
            };
            for at in places {
                if let Some(part) = fields.part(at, size) {
                    part.fill(0);
                }
            }
            inner.grant(Ours {
                start: fields.address(),
                len: lookup::LEN as u64,
                writable: false,
            });
            Ok(fields.address())
        },
        |inner, done| {
            let selected = inner.packet.selected.borrow();
            let cookie = selected.as_ref().map_or(0, |socket| socket.info.cookie);
            // Without a choice a verdict to drop stays, and all others mean to go on.
            (*done, cookie)
        },
    )?;
    View::of(&mut given).set_u64(lookup::COOKIE, cookie);
    finish(run, &done, &[], 0, Some(&given))
}

/// `struct nf_hook_state`: hook, protocol family, and pointers.
const HOOK_LEN: usize = 48;
/// `NF_INET_LOCAL_OUT`
const LOCAL_OUT: u8 = 3;
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`
const V4: u8 = 2;
const V6: u8 = 10;

/// A netfilter program, which has pointers to a hook's state and to the packet.
pub(super) fn netfilter(
    vm: &Vm,
    program: &Arc<Program>,
    run: &mut TestRun<'_>,
    around: &Around<'_>,
) -> Answer {
    const LONGEST: usize = 4096 - 64 - 320;
    const IPV4_LEN: usize = 20;
    const IPV6_LEN: usize = 40;
    if !run.flags.is_empty() || run.cpu != 0 || run.batch_size != 0 {
        return Err(Errno::EINVAL.into());
    }
    let len = run.data_in.len();
    if !(IPV4_LEN..=LONGEST).contains(&len) {
        return Err(Errno::EINVAL.into());
    }
    let given = context_in::<HOOK_LEN>(run)?;
    let mut state = [LOCAL_OUT, V4];
    if let Some(given) = given {
        if given[8..].iter().any(|byte| *byte != 0) || !matches!(given[1], V4 | V6) {
            return Err(Errno::EINVAL.into());
        }
        state = [given[0], given[1]];
    }
    // Only of packets that are sent the header is not there yet.
    let mut skipped = 0;
    if state[0] != LOCAL_OUT {
        skipped = ETH_LEN as usize;
        let kind = [run.data_in[12], run.data_in[13]];
        let family = match kind {
            _ if len < skipped + IPV4_LEN => return Err(Errno::EINVAL.into()),
            [0x08, 0x00] => V4,
            [0x86, 0xdd] if len < skipped + IPV6_LEN => return Err(Errno::EINVAL.into()),
            [0x86, 0xdd] => V6,
            _ => return Err(Errno::EPROTO.into()),
        };
        if family != state[1] {
            return Err(Errno::EINVAL.into());
        }
    }
    let done = with_packet(
        vm,
        program,
        around,
        run.repeat,
        |inner| {
            let block = inner.receive_plain(PacketKind::Netfilter, &run.data_in[skipped..])?;
            let hook = block.part(HOOK, HOOK_LEN).ok_or(Errno::ENOMEM)?;
            let buffer = block.part(BUFFER, SkbField::LEN).ok_or(Errno::ENOMEM)?;
            hook.write(&state);
            let fields = inner.fields();
            fields.set_u64(0, hook.address());
            fields.set_u64(8, buffer.address());
            for (view, len) in [(fields, 16), (hook, HOOK_LEN), (buffer, SkbField::LEN)] {
                inner.grant(Ours {
                    start: view.address(),
                    len: len as u64,
                    writable: false,
                });
            }
            Ok(fields.address())
        },
        |_, done| *done,
    )?;
    let mut outcome = finish(run, &done, &[], 0, None)?;
    outcome.context_out_size = run.context_out.len() as u32;
    Ok(outcome)
}

/// A tracing program: the kernel calls functions of its own for those that are attached there.
pub(super) fn tracing(program: &Arc<Program>, run: &TestRun<'_>) -> Answer {
    if !run.flags.is_empty() || run.cpu != 0 || run.batch_size != 0 {
        return Err(Errno::EINVAL.into());
    }
    match program.meta.expected_attach_type {
        // There are no such functions.
        Some(AttachType::TraceFentry | AttachType::TraceFexit | AttachType::ModifyReturn) => {
            Err(Errno::ENOTSUPP.into())
        }
        _ => Err(Errno::EFAULT.into()),
    }
}
