//! Places that sections leave open, by flags: hooks of netfilter, routes, XDP beside others.

use std::{net::UdpSocket, process::Command};

use skep::{Host, Object};
use skep_testing::{Bpffs, Outcome, Test, ensure, in_netns, needs_kernel, needs_option};

use crate::support::{Started, boundary, prepare, run, source};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("places::two_runs_share_a_devices_xdp", shared),
        Test::new("places::a_hook_of_netfilter_is_named", netfilter),
        Test::new("places::a_route_is_made_and_goes", route),
        Test::new("places::a_filter_has_the_priority_that_is_said", filter),
        Test::new("places::loaded_programs_are_attached_and_detached", loaded),
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

/// What `skep` says to these words, and whether it succeeded.
fn skep(words: &[&str]) -> Outcome<(bool, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    prepare(&mut command);
    let said = command.args(words).output()?;
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok((said.status.success(), text))
}

fn loaded() -> Outcome {
    needs_kernel(5, 10)?;
    let bytes = skep_testing::compile(&source("places.bpf.c"), env!("CARGO_TARGET_TMPDIR"))?;
    let mut object = Object::parse("places", &bytes)?;
    object.only_programs(&["first"])?;
    let loaded = object.load(&Host::kernel()?)?;
    let bpffs = Bpffs::mount()?;
    let at = |name: &str| bpffs.path().join(name).display().to_string();
    let (program, link) = (at("program"), at("link"));
    loaded.program("first")?.pin(program.as_ref())?;
    let packets = loaded.map("packets")?;
    let counted = || -> Outcome<u64> {
        let count = packets.typed::<u32, u64>()?.get(&71)?;
        Ok(count.unwrap_or(0))
    };
    let right = |words: &[&str], part: &str| -> Outcome {
        let (succeeded, text) = skep(words)?;
        ensure(succeeded && text.contains(part), || text)
    };
    let wrong = |words: &[&str], part: &str| -> Outcome {
        let (succeeded, text) = skep(words)?;
        ensure(!succeeded && text.contains(part), || text)
    };
    in_netns(|_| {
        right(
            &["attach", &program, "xdp", "-i", "lo", "--pin", &link],
            "xdp on device 1",
        )?;
        pass()?;
        ensure(counted()? == 3, || format!("{:?}", counted()))?;
        wrong(&["detach", &program], "is no link")?;
        right(&["detach", &link], "is detached")?;
        pass()?;
        ensure(counted()? == 3, || "it still counts".into())?;
        wrong(&["detach", &link], &link)?;
        let id = boundary().prog_info(loaded.program("first")?.fd())?.id;
        let id = format!("id:{id}");
        right(
            &["attach", &id, "xdp", "-i", "lo", "--pin", &link],
            "is attached",
        )?;
        pass()?;
        ensure(counted()? == 6, || format!("{:?}", counted()))?;
        right(&["detach", &link], "is detached")?;
        // What is not so is told, and leaves nothing.
        wrong(&["attach", &id, "xdp", "--pin", &link], "--device")?;
        wrong(
            &["attach", &id, "tcx/ingress", "-i", "lo", "--pin", &link],
            "is loaded as BPF_PROG_TYPE_XDP",
        )?;
        wrong(
            &["attach", "first", "xdp", "-i", "lo", "--pin", &link],
            "neither id:7 nor a path",
        )?;
        wrong(
            &[
                "attach",
                &id,
                "xdp",
                "-i",
                "lo",
                "--pin",
                "/tmp/skep-no-bpffs",
            ],
            "bpf",
        )?;
        pass()?;
        ensure(counted()? == 6, || "left attached".into())
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
