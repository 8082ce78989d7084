//! Hooks inside the network stack: netfilter, and both ends of a netkit pair.

use std::net::UdpSocket;

use skep::{
    AttachOptions,
    boundary::{LinkDetails, NetfilterHook, Position},
};
use skep_testing::{
    Outcome, Stop, Test, ensure, eventually, expect_err, in_netns, needs_kernel, needs_option,
};

use super::{
    PORT, five_come, none_come, on_device,
    order::{at, loaded},
    send_five,
    sockets::{refuse, running},
};
use crate::support::{Running, boundary};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("network::netfilter_hooks_drop", netfilter).of_hook("netfilter"),
        Test::new("network::netfilter_defragments", defragmented).of_hook("netfilter (defrag)"),
        Test::new("network::netkit_sees_what_the_primary_sends", primary).of_hook("netkit/primary"),
        Test::new("network::netkit_sees_what_the_peer_sends", peer).of_hook("netkit/peer"),
    ]
}

fn hooked(hook: &str) -> Outcome<AttachOptions> {
    Ok(AttachOptions {
        netfilter: Some(hook.parse().map_err(Stop::Fail)?),
        ..AttachOptions::default()
    })
}

fn netfilter() -> Outcome {
    needs_kernel(6, 4)?;
    needs_option("CONFIG_NETFILTER_BPF_LINK")?;
    in_netns(|_| {
        let running = running("filter")?;
        let program = running.loaded.program("filter")?;
        let link = program.attach_with(&hooked("ipv4/local-in:-5")?)?;
        five_come("passed", &send_five()?)?;
        let hits = running.number("hits")?;
        ensure(hits == 5, || format!("{hits} hits"))?;
        let info = link.info()?;
        let right = matches!(
            info[0].details,
            LinkDetails::Netfilter {
                protocol_family: 2,
                hook: 1,
                priority: -5,
                ..
            }
        );
        ensure(right, || format!("{info:?}"))?;
        // Others are there at other priorities and hooks, and one only at the same.
        let _late = program.attach_with(&hooked("ipv4/local-in:5")?)?;
        let _out = program.attach_with(&hooked("ipv4/local-out:-5")?)?;
        let twice = expect_err("twice", program.attach_with(&hooked("ipv4/local-in:-5")?))?;
        let cause = twice.cause().map(ToString::to_string).unwrap_or_default();
        let named = format!("link {}", info[0].id);
        ensure(cause.contains(&named) && cause.contains("`filter`"), || {
            cause.clone()
        })?;
        refuse(&running, true)?;
        let receiver = UdpSocket::bind(("127.0.0.1", PORT))?;
        let error = UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", ("127.0.0.1", PORT));
        ensure(error.is_err(), || "local-out lets it go".into())?;
        drop(_out);
        UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", ("127.0.0.1", PORT))?;
        none_come("refused", &receiver)?;
        drop((_late, receiver));
        link.detach()?;
        five_come("detached", &send_five()?)?;
        let none = expect_err("no hook", program.attach())?.to_string();
        ensure(none.contains("--netfilter"), || none.clone())
    })
}

/// A datagram that takes three packets is seen as one.
fn defragmented() -> Outcome {
    needs_kernel(6, 6)?;
    needs_option("CONFIG_NETFILTER_BPF_LINK")?;
    in_netns(|tools| {
        tools.ip("link set lo mtu 1500")?;
        let running = running("filter")?;
        let program = running.loaded.program("filter")?;
        let receiver = UdpSocket::bind(("127.0.0.1", PORT))?;
        receiver.set_read_timeout(Some(skep_testing::PATIENCE))?;
        let seen = |hook: NetfilterHook| -> Outcome<u64> {
            let before = running.number("hits")?;
            let options = AttachOptions {
                netfilter: Some(hook),
                ..AttachOptions::default()
            };
            let _link = match program.attach_with(&options) {
                Ok(link) => link,
                Err(error) => {
                    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
                    if cause.contains("nf_defrag_ipv4") {
                        return Err(Stop::lacks("the module nf_defrag_ipv4"));
                    }
                    return Err(error.into());
                }
            };
            UdpSocket::bind("127.0.0.1:0")?.send_to(&[0; 4000], ("127.0.0.1", PORT))?;
            receiver.recv(&mut [0; 4096])?;
            Ok(running.number("hits")? - before)
        };
        let mut hook: NetfilterHook = "ipv4/pre-routing".parse().map_err(Stop::Fail)?;
        let fragments = seen(hook)?;
        ensure(fragments == 3, || format!("{fragments} fragments"))?;
        hook.defragment = true;
        let whole = seen(hook)?;
        ensure(whole == 1, || format!("{whole} packets"))
    })
}

/// Letters of the programs that saw a packet to `to`.
fn letters(running: &Running, to: &str, expect: &str) -> Outcome {
    running.set("written", &0_u64.to_ne_bytes())?;
    UdpSocket::bind("0.0.0.0:0")?.send_to(b"x", (to, PORT))?;
    let mut seen = String::new();
    eventually(&format!("`{expect}`"), || {
        let bytes = running.number("written")?.to_be_bytes();
        let letters = bytes.iter().filter(|byte| **byte != 0);
        seen = letters.map(|byte| char::from(*byte)).collect();
        Ok(seen.len() >= expect.len())
    })?;
    ensure(seen == expect, || format!("`{seen}`, not `{expect}`"))
}

/// Programs at an end of a pair, in order.
fn at_end(end: &str, to: &str) -> Outcome {
    needs_kernel(6, 7)?;
    needs_option("CONFIG_NETKIT")?;
    in_netns(|tools| {
        // The other end gets a name of its own.
        tools.ip("link add primary type netkit")?;
        for (device, net) in [("primary", 1), ("nk0", 2)] {
            tools.ip(&format!("link set {device} up"))?;
            tools.ip(&format!("addr add 10.{net}.0.1/24 dev {device}"))?;
        }
        let names = ["a", "b"].map(|letter| format!("netkit_{end}_{letter}"));
        let [first, second] = &names;
        let running = loaded(&[first, second])?;
        let program = |name: &str| running.loaded.program(name);
        let device = on_device("primary");
        let mut b = program(second)?.attach_with(&device)?;
        letters(&running, to, "b")?;
        let a = program(first)?.attach_with(&at(&device, Position::First))?;
        letters(&running, to, "ab")?;
        let info = b.info()?;
        // Where it runs, not where it was attached.
        let runs_on = if end == "peer" { "nk0" } else { "primary" };
        let ifindex = boundary().device_index(runs_on)?;
        let here =
            matches!(info[0].details, LinkDetails::Device { ifindex: on, .. } if on == ifindex);
        ensure(here, || format!("{info:?}"))?;
        a.detach()?;
        b.update(program(first)?)?;
        letters(&running, to, "a")?;
        b.detach()?;
        // The peer is told by its primary.
        let wrong = program(first)?.attach_with(&on_device("nk0"));
        let error = expect_err("the peer", wrong)?;
        let fix = error.fix().unwrap_or_default();
        ensure(fix.contains("netkit"), || format!("{error}: {fix}"))
    })
}

fn primary() -> Outcome {
    at_end("primary", "10.1.0.2")
}

fn peer() -> Outcome {
    at_end("peer", "10.2.0.2")
}
