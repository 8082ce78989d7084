//! XDP in all its places, and several programs in one.

use std::net::UdpSocket;

use skep::{
    AttachOptions, CpumapValue, DevmapValue, Link, Update, XdpShare, abi::XdpAction,
    boundary::XdpMode,
};
use skep_testing::{
    Bpffs, Outcome, Stop, Test, Tools, ensure, eventually, expect_err, in_netns, needs_kernel,
};

use super::{PORT, five_come, on_device, send_five};
use crate::support::{Running, boundary, host, object};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("network::xdp_in_the_driver", native).of_hook("xdp (native)"),
        Test::new("network::xdp_after_it", generic).of_hook("xdp (generic)"),
        Test::new("network::xdp_with_large_packets", frags).of_hook("xdp.frags"),
        Test::new("network::xdp_on_the_way_to_a_device", devmap).of_hook("xdp/devmap"),
        Test::new("network::xdp_on_another_processor", cpumap).of_hook("xdp/cpumap"),
        Test::new(
            "network::xdp_on_the_way_to_a_device_with_frags",
            devmap_frags,
        )
        .of_hook("xdp.frags/devmap"),
        Test::new("network::xdp_on_another_processor_with_frags", cpumap_frags)
            .of_hook("xdp.frags/cpumap"),
        Test::new("network::who_has_a_devices_xdp_is_told", owner),
        Test::new("network::several_xdp_programs_share_a_device", share).of_hook("xdp (several)"),
        Test::new("network::sharers_of_xdp_chain_by_answers", chain),
        Test::new("network::sharers_of_xdp_run_as_libxdp_has_it_said", said),
        Test::new("network::sharers_of_xdp_come_at_once", race),
        Test::new("network::sharers_of_xdp_pin_nothing", pinned),
        Test::new(
            "network::sharers_of_xdp_detached_by_force_begin_anew",
            forced,
        ),
        Test::new("network::what_can_not_share_xdp_is_told", apart),
    ]
}

fn running(programs: &[&str]) -> Outcome<Running> {
    let mut object = object("xdp")?;
    object.only_programs(programs)?;
    Running::of(object)
}

/// A pair of devices, both of this namespace: what leaves by `near` comes to `far`.
fn pair(tools: &Tools, near: &str, far: &str, net: u8) -> Outcome {
    let address = format!("02:00:00:00:00:{net:02}");
    let peer = format!("type veth peer name {far} address {address}");
    if tools.ip(&format!("link add {near} {peer}")).is_err() {
        return Err(Stop::lacks("veth devices"));
    }
    tools.ip(&format!("link set {near} up"))?;
    tools.ip(&format!("link set {far} up"))?;
    tools.ip(&format!("addr add 10.{net}.0.1/24 dev {near}"))?;
    tools.ip(&format!(
        "neigh add 10.{net}.0.2 lladdr {address} dev {near}"
    ))
}

fn send(net: u8) -> Outcome {
    UdpSocket::bind("0.0.0.0:0")?.send_to(b"x", (format!("10.{net}.0.2").as_str(), PORT))?;
    Ok(())
}

/// Sends a packet by `lo`, and gives the letters of those who saw it, which are so many.
fn letters(running: &Running, count: usize) -> Outcome<String> {
    running.set("written", &0_u64.to_ne_bytes())?;
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", ("127.0.0.1", PORT))?;
    let mut text = String::new();
    eventually(&format!("{count} programs"), || {
        let bytes = running.number("written")?.to_be_bytes();
        let letters = bytes.iter().filter(|byte| **byte != 0);
        text = letters.map(|byte| char::from(*byte)).collect();
        Ok(text.len() >= count)
    })?;
    Ok(text)
}

fn see(running: &Running, expect: &str) -> Outcome {
    let seen = letters(running, expect.len())?;
    ensure(seen == expect, || format!("`{seen}`, not `{expect}`"))
}

fn in_mode(mode: XdpMode, program: &str) -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|tools| {
        pair(tools, "near", "far", 1)?;
        let running = running(&[program])?;
        let options = AttachOptions {
            xdp_mode: mode,
            ..on_device("far")
        };
        let link = running.loaded.program(program)?.attach_with(&options)?;
        send(1)?;
        eventually("a packet", || Ok(running.number("written")? != 0))?;
        let ifindex = boundary().device_index("far")?;
        let there = boundary().device_xdp(ifindex)?;
        let id = boundary()
            .prog_info(running.loaded.program(program)?.fd())?
            .id;
        let word = match mode {
            XdpMode::Generic => "generic",
            _ => "native",
        };
        ensure(there.program() == Some((id, word)), || format!("{there:?}"))?;
        link.detach()?;
        let there = boundary().device_xdp(ifindex)?;
        ensure(there.program().is_none(), || format!("{there:?}"))
    })
}

fn native() -> Outcome {
    in_mode(XdpMode::Native, "b")
}

fn generic() -> Outcome {
    in_mode(XdpMode::Generic, "b")
}

fn frags() -> Outcome {
    needs_kernel(5, 18)?;
    in_netns(|tools| {
        pair(tools, "near", "far", 1)?;
        // More than a page holds: only programs that take several buffers are let be there.
        tools.ip("link set far mtu 9000")?;
        tools.ip("link set near mtu 9000")?;
        let running = running(&["b", "b_frags"])?;
        let native = AttachOptions {
            xdp_mode: XdpMode::Native,
            ..on_device("far")
        };
        let _link = running.loaded.program("b_frags")?.attach_with(&native)?;
        let packet = [0; 8000];
        UdpSocket::bind("0.0.0.0:0")?.send_to(&packet, ("10.1.0.2", PORT))?;
        eventually("a large packet", || Ok(running.number("written")? != 0))
    })
}

fn devmap() -> Outcome {
    needs_kernel(5, 9)?;
    to_device("to_device", "leaves")
}

fn devmap_frags() -> Outcome {
    needs_kernel(5, 18)?;
    to_device("to_device_frags", "leaves_frags")
}

fn to_device(redirects: &str, leaves: &str) -> Outcome {
    in_netns(|tools| {
        pair(tools, "near", "far", 1)?;
        pair(tools, "away", "end", 2)?;
        let running = running(&[redirects, leaves, "arrives"])?;
        let program = |name| running.loaded.program(name);
        let value = DevmapValue {
            ifindex: boundary().device_index("away")?,
            program: program(leaves)?.fd().raw(),
        };
        let devices = running.loaded.map("devices")?;
        devices.typed()?.set(&0_u32, &value, Update::Any)?;
        let native = |device| AttachOptions {
            xdp_mode: XdpMode::Native,
            ..on_device(device)
        };
        // The other end must take such frames.
        let _end = program("arrives")?.attach_with(&native("end"))?;
        let _far = program(redirects)?.attach_with(&native("far"))?;
        send(1)?;
        eventually("on the way", || Ok(running.number("in_devmap")? == 1))?;
        eventually("at the end", || Ok(running.number("arrived")? == 1))
    })
}

fn cpumap() -> Outcome {
    needs_kernel(5, 9)?;
    to_processor("to_processor", "elsewhere")
}

fn cpumap_frags() -> Outcome {
    needs_kernel(5, 18)?;
    to_processor("to_processor_frags", "elsewhere_frags")
}

fn to_processor(redirects: &str, elsewhere: &str) -> Outcome {
    in_netns(|tools| {
        pair(tools, "near", "far", 1)?;
        let running = running(&[redirects, elsewhere])?;
        let value = CpumapValue {
            queue_size: 16,
            program: running.loaded.program(elsewhere)?.fd().raw(),
        };
        let processors = running.loaded.map("processors")?;
        processors.typed()?.set(&0_u32, &value, Update::Any)?;
        let options = AttachOptions {
            xdp_mode: XdpMode::Native,
            ..on_device("far")
        };
        let _link = running.loaded.program(redirects)?.attach_with(&options)?;
        send(1)?;
        eventually("on the processor", || Ok(running.number("in_cpumap")? == 1))
    })
}

fn owner() -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|_| {
        let running = running(&["a", "b"])?;
        let first = running.loaded.program("a")?.attach_with(&on_device("lo"))?;
        let info = first.info()?;
        let (link, id) = (info[0].id, info[0].program_id);
        let second = running.loaded.program("b")?.attach_with(&on_device("lo"));
        let error = expect_err("a second program", second)?;
        let cause = error.cause().map(ToString::to_string).unwrap_or_default();
        for part in [
            "`lo`",
            "`a`",
            &format!("id {id}"),
            &format!("link {link}"),
            "generic",
        ] {
            ensure(cause.contains(part), || format!("no {part} in: {cause}"))?;
        }
        Ok(())
    })
}

fn sharing(priority: u32) -> AttachOptions {
    AttachOptions {
        xdp_share: Some(XdpShare {
            priority: Some(priority),
            ..XdpShare::default()
        }),
        ..on_device("lo")
    }
}

fn attach(running: &Running, program: &str, priority: u32) -> Outcome<Link> {
    Ok(running
        .loaded
        .program(program)?
        .attach_with(&sharing(priority))?)
}

fn share() -> Outcome {
    needs_kernel(5, 10)?;
    in_netns(|_| {
        let running = running(&["a", "b", "c"])?;
        let b = attach(&running, "b", 50)?;
        see(&running, "b")?;
        let a = attach(&running, "a", 10)?;
        let mut c = attach(&running, "c", 50)?;
        see(&running, "abc")?;
        ensure(c.info()?[0].id == b.info()?[0].id, || "not one link".into())?;
        // Another program in the place of one; the order stays.
        c.update(running.loaded.program("a")?)?;
        see(&running, "aba")?;
        b.detach()?;
        see(&running, "aa")?;
        drop(a);
        see(&running, "a")?;
        c.detach()?;
        five_come("without programs", &send_five()?)?;
        let there = boundary().device_xdp(boundary().device_index("lo")?)?;
        ensure(there.program().is_none(), || format!("{there:?}"))
    })
}

fn chain() -> Outcome {
    needs_kernel(5, 10)?;
    in_netns(|_| {
        let running = running(&["a", "b"])?;
        let answers = |action: XdpAction| running.set("answer", &action.raw().to_ne_bytes());
        let a = attach(&running, "a", 10)?;
        let _b = attach(&running, "b", 20)?;
        answers(XdpAction::Drop)?;
        see(&running, "a")?;
        drop(a);
        let on = XdpShare {
            priority: Some(10),
            chain: Some(vec![XdpAction::Pass, XdpAction::Drop]),
        };
        let options = AttachOptions {
            xdp_share: Some(on),
            ..on_device("lo")
        };
        let _a = running.loaded.program("a")?.attach_with(&options)?;
        see(&running, "ab")?;
        // The last one's answer is what becomes of it.
        five_come("passed by the last", &send_five()?)
    })
}

/// An object that was written for libxdp says where its programs run, and what the next one waits for;
/// who attaches them has the last word.
fn said() -> Outcome {
    needs_kernel(5, 10)?;
    in_netns(|_| {
        let running = running(&["b", "early"])?;
        let share = |name: &str, share: XdpShare| -> Outcome<Link> {
            let options = AttachOptions {
                xdp_share: Some(share),
                ..on_device("lo")
            };
            Ok(running.loaded.program(name)?.attach_with(&options)?)
        };
        let _b = share("b", XdpShare::default())?;
        let early = share("early", XdpShare::default())?;
        let place = early.place().to_owned();
        ensure(place.contains("priority 10"), || place.clone())?;
        see(&running, "e")?;
        running.set("answer", &XdpAction::Drop.raw().to_ne_bytes())?;
        see(&running, "eb")?;
        early.detach()?;
        let own = XdpShare {
            priority: Some(60),
            chain: None,
        };
        let early = share("early", own)?;
        see(&running, "be")?;
        early.detach()?;
        let own = XdpShare {
            priority: None,
            chain: Some(vec![XdpAction::Pass]),
        };
        let _early = share("early", own)?;
        see(&running, "e")
    })?;
    let mut object = object("xdp")?;
    object.only_programs(&["mistaken"])?;
    let error = expect_err("a member", object.load(host()))?.to_string();
    for part in ["XDP_RUN_CONFIG(mistaken)", "unknown member `prority`"] {
        ensure(error.contains(part), || error.clone())?;
    }
    Ok(())
}

/// Many come and go at once: each sees its packets, and none is lost.
fn race() -> Outcome {
    needs_kernel(5, 10)?;
    in_netns(|_| {
        let running = running(&["a", "b", "c"])?;
        let _stays = attach(&running, "a", 50)?;
        let namespace = std::fs::File::open("/proc/thread-self/ns/net")?;
        let come = || -> Outcome {
            rustix::thread::move_into_link_name_space(
                std::os::fd::AsFd::as_fd(&namespace),
                Some(rustix::thread::LinkNameSpaceType::Network),
            )?;
            for _ in 0..8 {
                attach(&running, "b", 60)?.detach()?;
                drop(attach(&running, "c", 40)?);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(come)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| Stop::fail("it fell"))?)
        })?;
        see(&running, "a")
    })
}

/// The place is held by processes: a pin of one's part would outlive its program.
fn pinned() -> Outcome {
    needs_kernel(5, 10)?;
    let bpffs = Bpffs::mount()?;
    in_netns(|_| {
        let running = running(&["a"])?;
        let a = attach(&running, "a", 10)?;
        let error = expect_err("a pin", a.pin(&bpffs.path().join("shared")))?.to_string();
        ensure(error.contains("held by their processes"), || error.clone())?;
        see(&running, "a")
    })
}

/// Someone ends the link for all.
fn forced() -> Outcome {
    needs_kernel(5, 10)?;
    in_netns(|_| {
        let running = running(&["a", "b"])?;
        let b = attach(&running, "b", 20)?;
        let a = attach(&running, "a", 10)?;
        boundary().link_detach(
            b.attachments()[0]
                .link_fd()
                .ok_or_else(|| Stop::fail("no link"))?,
        )?;
        five_come("detached by force", &send_five()?)?;
        let again = attach(&running, "b", 20)?;
        see(&running, "b")?;
        // They leave what is not theirs any more alone.
        a.detach()?;
        b.detach()?;
        see(&running, "b")?;
        Ok(again.detach()?)
    })
}

fn apart() -> Outcome {
    needs_kernel(5, 18)?;
    in_netns(|_| {
        let running = running(&["a", "a_frags", "b_frags"])?;
        let told = |what: &str, program: &str, options: &AttachOptions, word: &str| {
            let attached = running.loaded.program(program)?.attach_with(options);
            let error = expect_err(what, attached)?;
            let cause = error.cause().map(ToString::to_string).unwrap_or_default();
            let text = format!("{error}: {cause}");
            ensure(text.contains(word), || text.clone())
        };
        let frags = attach(&running, "a_frags", 10)?;
        let _more = attach(&running, "b_frags", 10)?;
        see(&running, "ab")?;
        told("one buffer", "a", &sharing(10), "several buffers")?;
        let native = AttachOptions {
            xdp_mode: XdpMode::Native,
            ..sharing(10)
        };
        told("another mode", "b_frags", &native, "generic mode")?;
        told("alone", "a", &on_device("lo"), "where Skep runs several")?;
        let more: Outcome<Vec<_>> = (2..16).map(|_| attach(&running, "a_frags", 10)).collect();
        let _more = more?;
        told("too many", "a_frags", &sharing(10), "16 programs")?;
        drop((_more, frags));
        Ok(())
    })
}
