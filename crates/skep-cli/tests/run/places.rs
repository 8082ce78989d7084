//! Places that sections leave open, by flags: hooks of netfilter, routes, XDP beside others.

use std::net::UdpSocket;

use skep_testing::{Outcome, Test, ensure, in_netns, needs_kernel, needs_option};

use crate::support::{Started, run, source};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("places::two_runs_share_a_devices_xdp", shared),
        Test::new("places::a_hook_of_netfilter_is_named", netfilter),
        Test::new("places::a_route_is_made_and_goes", route),
        Test::new("places::a_filter_has_the_priority_that_is_said", filter),
        Test::new("places::what_is_no_place_is_told", wrong),
    ]
}

fn started(flags: &str) -> Outcome<Started> {
    let flags: Vec<&str> = flags.split_whitespace().collect();
    Started::attached(&source("places.bpf.c"), &flags)
}

fn send(to: &str) -> Outcome {
    let sender = UdpSocket::bind("0.0.0.0:0")?;
    for _ in 0..3 {
        sender.send_to(b"x", to)?;
    }
    Ok(())
}

/// Sends itself packets and waits for them: by then they have passed what there is.
fn pass() -> Outcome {
    let receiver = UdpSocket::bind("127.0.0.1:4242")?;
    receiver.set_read_timeout(Some(skep_testing::PATIENCE))?;
    send("127.0.0.1:4242")?;
    for _ in 0..3 {
        receiver.recv(&mut [0; 4])?;
    }
    Ok(())
}

fn shared() -> Outcome {
    needs_kernel(5, 10)?;
    in_netns(|_| {
        let first = started("--only first -i lo --xdp-share=10")?;
        let second = started("--only second -i lo --xdp-share --xdp-chain pass,drop")?;
        pass()?;
        first.interrupt()?.ended_with(0)?.with_row(&["71", "3"])?;
        pass()?;
        second.interrupt()?.ended_with(0)?.with_row(&["72", "6"])?;
        // Alone, one does not let another be, and says who is there.
        let alone = started("--only first -i lo")?;
        let flags = ["--only", "second", "-i", "lo", "--xdp-share"];
        let refused = run(&source("places.bpf.c"), &flags)?;
        refused
            .ended_with(1)?
            .saying(&["`second`", "`lo`", "`first`", "bpftool link detach"])?;
        alone.interrupt()?.ended_with(0)?;
        Ok(())
    })
}

fn netfilter() -> Outcome {
    needs_kernel(6, 4)?;
    needs_option("CONFIG_NETFILTER_BPF_LINK")?;
    in_netns(|_| {
        let run = started("--only filter --netfilter ipv4/local-in:-7")?;
        pass()?;
        run.interrupt()?.ended_with(0)?.with_row(&["73", "3"])?;
        Ok(())
    })
}

fn route() -> Outcome {
    needs_option("CONFIG_LWTUNNEL_BPF")?;
    in_netns(|tools| {
        let run = started("--only routed -i lo --route 10.99.0.0/24")?;
        send("10.99.0.1:4242")?;
        run.interrupt()?.ended_with(0)?.with_row(&["74", "3"])?;
        let left = tools.ip("route get 10.99.0.1");
        ensure(left.is_err(), || "the route is still there".into())
    })
}

fn filter() -> Outcome {
    in_netns(|_| {
        let run = started("-v --only coming -i lo --filter 17:0x5")?;
        pass()?;
        run.interrupt()?
            .ended_with(0)?
            .saying(&["tc/ingress (clsact)", "priority 17, handle 0x5"])?
            .with_row(&["75", "3"])?;
        Ok(())
    })
}

fn wrong() -> Outcome {
    for (flags, part) in [
        (&["--order", "beside"][..], "before:link:7"),
        (&["--netfilter", "ipv4/input"], "local-in"),
        (&["-i", "lo", "--route", "10.1/16"], "10.1.0.0/16"),
        (&["--xdp-share", "--xdp-chain", "go"], "redirect"),
        (&["--xdp-chain", "drop"], "--xdp-share"),
        (&["-i", "lo", "--filter", "0"], "10:0x1:replace"),
        (&["-i", "lo", "--block", "7"], "--device"),
    ] {
        let ran = run(&source("places.bpf.c"), flags)?;
        ran.ended_with(2)?.saying(&[part])?;
    }
    Ok(())
}
