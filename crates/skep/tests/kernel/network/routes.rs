//! Programs that ride on routes: what is sent there passes them, and the route goes with them.

use std::net::UdpSocket;

use skep::{
    AttachOptions,
    boundary::{AttachPoint, Route},
};
use skep_testing::{
    Outcome, Stop, Test, Tools, ensure, eventually, expect_err, in_netns, needs_option,
};

use super::{on_device, sockets::running};
use crate::support::{Running, boundary};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("network::lwt_in_sees_what_comes_by_its_route", lwt_in).of_hook("lwt_in"),
        Test::new("network::lwt_out_sees_what_goes_by_its_route", lwt_out).of_hook("lwt_out"),
        Test::new("network::lwt_xmit_sees_what_goes_by_its_route", lwt_xmit).of_hook("lwt_xmit"),
        Test::new("network::lwt_seg6local_ends_a_segment", segment).of_hook("lwt_seg6local"),
        Test::new("network::routes_have_programs_of_their_own", two),
        Test::new("network::a_route_takes_another_program", swap),
        Test::new("network::routes_that_can_not_be_are_told", refused),
    ]
}

fn to(route: &str) -> Outcome<AttachOptions> {
    Ok(AttachOptions {
        route: Some(route.parse().map_err(Stop::Fail)?),
        ..on_device("lo")
    })
}

fn send(to: &str) -> Outcome {
    let from = if to.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    UdpSocket::bind(from)?.send_to(b"x", to)?;
    Ok(())
}

/// Attached to a route, it sees what is sent there; with the program the route goes.
fn rides(program: &str, tools: &Tools) -> Outcome {
    let running = running(program)?;
    let link = running
        .loaded
        .program(program)?
        .attach_with(&to("10.99.0.0/24")?)?;
    send("10.99.0.1:9")?;
    eventually("a packet on the route", || Ok(running.number("hits")? > 0))?;
    let there = tools.ip("route get 10.99.0.1");
    link.detach()?;
    there?;
    let gone = expect_err(
        "a route without its program",
        tools.ip("route get 10.99.0.1"),
    )?;
    ensure(format!("{gone:?}").contains("unreachable"), || {
        format!("{gone:?}")
    })
}

fn lwt_in() -> Outcome {
    needs_option("CONFIG_LWTUNNEL_BPF")?;
    in_netns(|tools| rides("lwt_in", tools))
}

fn lwt_out() -> Outcome {
    needs_option("CONFIG_LWTUNNEL_BPF")?;
    in_netns(|tools| rides("lwt_out", tools))
}

fn lwt_xmit() -> Outcome {
    needs_option("CONFIG_LWTUNNEL_BPF")?;
    in_netns(|tools| rides("lwt_xmit", tools))
}

/// A packet is sent along two segments, of which the first ends here.
fn segment() -> Outcome {
    needs_option("CONFIG_IPV6_SEG6_BPF")?;
    in_netns(|tools| {
        let running = running("lwt_seg6local")?;
        let program = running.loaded.program("lwt_seg6local")?;
        let made = "link add near type veth peer name far address 02:00:00:00:00:02";
        if tools.ip(made).is_err() {
            return Err(Stop::lacks("veth devices"));
        }
        tools.ip("link set near up")?;
        tools.ip("link set far up")?;
        tools.ip("-6 addr add fc00::1/128 dev near nodad")?;
        let encapsulation = "encap seg6 mode encap segs fc01::1,fc02::1";
        tools.ip(&format!("-6 route add fc03::/64 {encapsulation} dev near"))?;
        // It comes to the other end of the pair, which is here, too.
        tools.ip("-6 neigh add fc01::1 lladdr 02:00:00:00:00:02 dev near")?;
        let ends = AttachOptions {
            device: Some("near".to_owned()),
            ..to("fc01::1/128")?
        };
        let link = program.attach_with(&ends)?;
        send("[fc03::1]:9")?;
        eventually("the end of a segment", || Ok(running.number("hits")? > 0))?;
        link.detach()?;
        let wrong = expect_err("IPv4", program.attach_with(&to("10.99.0.0/24")?))?;
        let cause = wrong.cause().map(ToString::to_string).unwrap_or_default();
        ensure(cause.contains("IPv6"), || format!("{wrong}: {cause}"))
    })
}

fn counts(running: &Running, expect: u64) -> Outcome {
    send("10.99.0.1:9")?;
    eventually("a packet", || Ok(running.number("hits")? >= expect))?;
    let hits = running.number("hits")?;
    ensure(hits == expect, || format!("{hits}, not {expect}"))
}

/// The kernel takes routes by the same device for the same, unless their programs' names differ.
fn two() -> Outcome {
    needs_option("CONFIG_LWTUNNEL_BPF")?;
    in_netns(|_| {
        let (one, other) = (running("lwt_xmit")?, running("lwt_xmit")?);
        let here = one.loaded.program("lwt_xmit")?;
        let _here = here.attach_with(&to("10.99.0.0/24")?)?;
        let there = other.loaded.program("lwt_xmit")?;
        let _there = there.attach_with(&to("10.98.0.0/24")?)?;
        counts(&one, 1)?;
        ensure(other.number("hits")? == 0, || "the other's packet".into())?;
        send("10.98.0.1:9")?;
        eventually("its own packet", || Ok(other.number("hits")? == 1))?;
        counts(&one, 2)
    })
}

fn swap() -> Outcome {
    needs_option("CONFIG_LWTUNNEL_BPF")?;
    in_netns(|tools| {
        let (one, other) = (running("lwt_xmit")?, running("lwt_xmit")?);
        let mut link = one
            .loaded
            .program("lwt_xmit")?
            .attach_with(&to("10.99.0.0/24")?)?;
        counts(&one, 1)?;
        link.update(other.loaded.program("lwt_xmit")?)?;
        counts(&other, 1)?;
        counts(&other, 2)?;
        let hits = one.number("hits")?;
        ensure(hits == 1, || format!("{hits} hits of what was replaced"))?;
        // What is taken off elsewhere is no error.
        tools.ip("route del 10.99.0.0/24")?;
        Ok(link.detach()?)
    })
}

fn refused() -> Outcome {
    needs_option("CONFIG_LWTUNNEL_BPF")?;
    in_netns(|tools| {
        let running = running("lwt_xmit")?;
        let program = running.loaded.program("lwt_xmit")?;
        let told = |what: &str, options: &AttachOptions, word: &str| {
            let error = expect_err(what, program.attach_with(options))?;
            let cause = error.cause().map(ToString::to_string).unwrap_or_default();
            let text = format!("{error}: {cause}");
            ensure(text.contains(word), || text)
        };
        tools.ip("route add 10.99.0.0/24 dev lo")?;
        told("a route twice", &to("10.99.0.0/24")?, "already")?;
        // It is still the one that was there.
        tools.ip("route del 10.99.0.0/24 dev lo")?;
        told(
            "an unreachable router",
            &to("10.98.0.0/24 via 10.97.0.1")?,
            "router",
        )?;
        told("no destination", &on_device("lo"), "--route")?;
        let ifindex = boundary().device_index("lo")?;
        let roomy = AttachPoint::Lwt(Route {
            headroom: Some(4096),
            ..Route::new([10, 99, 0, 0].into(), 24, ifindex)
        });
        let error = expect_err("too much headroom", program.attach_to(&roomy))?;
        let cause = error.cause().map(ToString::to_string).unwrap_or_default();
        ensure(cause.contains("256"), || format!("{error}: {cause}"))
    })
}
