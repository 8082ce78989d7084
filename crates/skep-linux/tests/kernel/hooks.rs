//! Hooks of many places, of sockets and of netfilter: they fire, their links tell where they are,
//! and what can't be attached says why.

use std::{
    hint::black_box,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
};

use skep_abi::{AttachType, MapType, ProgramType};
use skep_host::{
    AttachPoint, Attachment, Cause, Errno, Host, KernelFunctions, LinkDetails, MultiMode,
    NetfilterHook, NetkitEnd, Order, ProbeSource, ProgramFd, UprobePlace,
};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err, in_netns, needs_kernel, needs_option};

use crate::{
    harness::host,
    programs::{count, counter, counting, load, map},
    tracing::{getppid, place_of},
};

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("hooks::uprobe_multi_fires_at_each_place", uprobe_multi).of_hook("uprobe.multi"),
        Test::new("hooks::uprobe_session_fires_twice", uprobe_session).of_hook("uprobe.session"),
        Test::new("hooks::uprobe_multi_mistakes_are_told", uprobe_mistakes),
        Test::new("hooks::netfilter_drops", netfilter),
        Test::new("hooks::sockmaps_drop", sockmap),
        Test::new("hooks::kprobes_fire_or_say_why_not", kprobes),
        Test::new("hooks::kprobe_multi_fires_or_says_why_not", kprobe_multi),
        Test::new("hooks::netkit_says_what_is_no_pair", netkit),
    ]
}

#[inline(never)]
extern "C" fn skep_hooks_first(number: u64) -> u64 {
    black_box(number).wrapping_mul(5)
}

#[inline(never)]
extern "C" fn skep_hooks_second(number: u64) -> u64 {
    black_box(number).wrapping_mul(7)
}

fn call_both() {
    black_box(skep_hooks_first(1) + skep_hooks_second(2));
}

/// Attaches, and gives what the link tells of itself.
fn attach(
    program: &ProgramFd,
    program_type: ProgramType,
    point: &AttachPoint<'_>,
) -> Result<(Attachment, LinkDetails), Stop> {
    let attachment = host().attach("hooked", program, program_type, point)?;
    let link = attachment.link_fd().ok_or_else(|| Stop::fail("no link"))?;
    let details = host().link_info(link)?.details;
    Ok((attachment, details))
}

/// Both functions of this binary, with cookies.
fn places() -> Result<(std::path::PathBuf, Vec<UprobePlace>), Stop> {
    let (binary, first) = place_of(skep_hooks_first as *const () as usize)?;
    let (_, second) = place_of(skep_hooks_second as *const () as usize)?;
    let place = |offset, cookie| UprobePlace {
        offset,
        semaphore: 0,
        cookie,
    };
    Ok((binary, vec![place(first, 11), place(second, 22)]))
}

/// The text of a program that adds its cookie to a map's first number.
fn adding_cookies(map: &skep_host::MapFd) -> String {
    format!(
        "
        r6 = r1
        *(u32 *)(r10 -4) = 0
        r2 = r10
        r2 += -4
        r1 = map[fd:{}]
        call 1
        if r0 == 0 goto out
        r7 = r0
        r1 = r6
        call 174
        lock *(u64 *)(r7 +0) += r0
        out:
        r0 = 0
        exit",
        map.raw()
    )
}

fn uprobe_multi() -> Outcome {
    needs_kernel(6, 6)?;
    let hits = counter()?;
    let attach_type = MultiMode::Return.uprobe();
    let text = adding_cookies(&hits);
    let program = load(ProgramType::Kprobe, Some(attach_type), &text)?;
    let (binary, places) = places()?;
    let point = AttachPoint::UprobeMulti {
        mode: MultiMode::Return,
        binary: binary.clone(),
        places: places.clone(),
        pid: Some(std::process::id()),
    };
    let (attachment, details) = attach(&program, ProgramType::Kprobe, &point)?;
    call_both();
    call_both();
    ensure(count(&hits)? == 66, || format!("{:?}", count(&hits)))?;
    drop(attachment);
    call_both();
    ensure(count(&hits)? == 66, || "it still fires".into())?;
    needs_kernel(6, 8)?;
    let LinkDetails::UprobeMulti {
        path,
        flags,
        pid,
        offsets,
        semaphores,
        cookies,
    } = &details
    else {
        return Err(Stop::Fail(format!("{details:?}")));
    };
    let right = path.as_str() == binary.to_string_lossy()
        && (*flags, *pid) == (1, std::process::id())
        && *offsets == [places[0].offset, places[1].offset]
        && *semaphores == [0, 0]
        && *cookies == [11, 22];
    ensure(right, || format!("{details:?}"))
}

fn uprobe_session() -> Outcome {
    needs_kernel(6, 13)?;
    let hits = counter()?;
    let attach_type = MultiMode::Session.uprobe();
    // The answer 0 at the call asks for the return, too.
    let text = counting(&hits, None, 0);
    let program = load(ProgramType::Kprobe, Some(attach_type), &text)?;
    let (binary, places) = places()?;
    let point = AttachPoint::UprobeMulti {
        mode: MultiMode::Session,
        binary,
        places,
        pid: Some(std::process::id()),
    };
    let (_attachment, _) = attach(&program, ProgramType::Kprobe, &point)?;
    call_both();
    ensure(count(&hits)? == 4, || format!("{:?}", count(&hits)))
}

fn uprobe_mistakes() -> Outcome {
    needs_kernel(6, 6)?;
    let attach_type = MultiMode::Entry.uprobe();
    let program = load(ProgramType::Kprobe, Some(attach_type), "r0 = 0\n exit")?;
    let (own, places) = places()?;
    for (binary, pid, what) in [
        ("/no/such/file".into(), None, "no file `/no/such/file`"),
        (own, Some(i32::MAX as u32), "no process `2147483647`"),
    ] {
        let point = AttachPoint::UprobeMulti {
            mode: MultiMode::Entry,
            binary,
            places: places.clone(),
            pid,
        };
        let error = expect_err(what, {
            host().attach("hooked", &program, ProgramType::Kprobe, &point)
        })?;
        let cause = error.cause().map(Cause::to_string).unwrap_or_default();
        ensure(cause.contains(what), || format!("{error}: {cause}"))?;
    }
    Ok(())
}

fn netfilter() -> Outcome {
    needs_kernel(6, 4)?;
    needs_option("CONFIG_NETFILTER_BPF_LINK")?;
    let hits = counter()?;
    // NF_DROP
    let text = counting(&hits, None, 0);
    let program = load(ProgramType::Netfilter, Some(AttachType::Netfilter), &text)?;
    let hook = NetfilterHook {
        protocol_family: 2,
        hook: 1,
        priority: -77,
        defragment: false,
    };
    in_netns(|_| {
        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        receiver.set_nonblocking(true)?;
        let address = receiver.local_addr()?;
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        let arrives = || -> Outcome<bool> {
            sender.send_to(b"x", address)?;
            Ok(receiver.recv(&mut [0; 4]).is_ok())
        };
        ensure(arrives()?, || "nothing arrives".into())?;
        let point = AttachPoint::Netfilter(hook);
        let (attachment, details) = attach(&program, ProgramType::Netfilter, &point)?;
        ensure(!arrives()? && count(&hits)? >= 1, || "not dropped".into())?;
        let expected = LinkDetails::Netfilter {
            protocol_family: 2,
            hook: 1,
            priority: -77,
            flags: 0,
        };
        ensure(details == expected, || format!("{details:?}"))?;
        let taken = expect_err("the same priority", {
            host().attach("hooked", &program, ProgramType::Netfilter, &point)
        })?;
        ensure(matches!(taken.cause(), Some(Cause::InUse(_))), || {
            format!("{taken}: {:?}", taken.cause())
        })?;
        let link = attachment.link_fd().ok_or_else(|| Stop::fail("no link"))?;
        let swap = host().link_update(link, (&program).into(), None);
        let error = expect_err("another program", swap)?;
        let cause = error.cause().map(Cause::to_string).unwrap_or_default();
        ensure(cause.contains("keep the program"), || {
            format!("{error}: {cause}")
        })?;
        drop(attachment);
        skep_testing::eventually("a packet", arrives)
    })
}

fn sockmap() -> Outcome {
    needs_kernel(5, 10)?;
    let hits = counter()?;
    // SK_DROP
    let text = counting(&hits, None, 0);
    let attach_type = AttachType::SkMsgVerdict;
    let program = load(ProgramType::SkMsg, Some(attach_type), &text)?;
    let sockets = map(MapType::Sockmap, 4, 4, 1)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    let point = AttachPoint::Sockmap {
        map: &sockets,
        attach_type,
    };
    let attachment = host().attach("hooked", &program, ProgramType::SkMsg, &point)?;
    let details = match attachment.link_fd() {
        Some(link) => Some(host().link_info(link)?.details),
        None => None,
    };
    let raw = sender.as_raw_fd().to_ne_bytes();
    host().map_update_elem(&sockets, &[0; 4], &raw, 0)?;
    let refused = sender.write(b"x").is_err();
    ensure(refused && count(&hits)? == 1, || "not dropped".into())?;
    host().map_delete_elem(&sockets, &[0; 4])?;
    sender.write_all(b"y")?;
    let mut got = [0];
    receiver.read_exact(&mut got)?;
    ensure(&got == b"y", || format!("{got:?}"))?;
    let expected = LinkDetails::Sockmap {
        map: host().map_info(&sockets)?.id,
        attach_type: attach_type.raw(),
    };
    let linked = needs_kernel(6, 10).is_ok();
    ensure(details == linked.then_some(expected), || {
        format!("{details:?}")
    })?;
    attachment.detach()?;
    // Detached, the map's sockets are let alone.
    host().map_update_elem(&sockets, &[0; 4], &raw, 0)?;
    Ok(sender.write_all(b"z")?)
}

/// The kernel function behind a system call.
pub(crate) const GETPPID: &str = if cfg!(target_arch = "x86_64") {
    "__x64_sys_getppid"
} else {
    "__arm64_sys_getppid"
};

/// The cause is that the kernel is built without `option`.
fn told(error: &skep_host::Error, option: &str) -> Outcome {
    match error.cause() {
        Some(Cause::KernelOption(missing)) if *missing == option => Ok(()),
        cause => Err(Stop::Fail(format!("{error}: {cause:?}"))),
    }
}

fn kprobes() -> Outcome {
    let hits = counter()?;
    let text = counting(&hits, Some(std::process::id()), 0);
    let program = load(ProgramType::Kprobe, None, &text)?;
    let point = |at_return, function: &str| AttachPoint::Kprobe {
        at_return,
        function: function.to_owned(),
        offset: 0,
        source: ProbeSource::Auto,
        cookie: None,
    };
    let try_it =
        |point: &AttachPoint<'_>| host().attach("hooked", &program, ProgramType::Kprobe, point);
    if let Ok(None) = host().config("CONFIG_KPROBE_EVENTS") {
        let error = expect_err("a kprobe", try_it(&point(false, GETPPID)))?;
        return told(&error, "CONFIG_KPROBE_EVENTS");
    }
    for at_return in [false, true] {
        let before = count(&hits)?;
        let attachment = try_it(&point(at_return, GETPPID))?;
        getppid();
        ensure(count(&hits)? == before + 1, || format!("{at_return}"))?;
        if let (Some(link), Ok(())) = (attachment.link_fd(), needs_kernel(6, 6)) {
            let details = host().link_info(link)?.details;
            let right = matches!(&details, LinkDetails::Kprobe { at_return: told, function, .. }
                if *told == at_return && function == GETPPID);
            ensure(right, || format!("{details:?}"))?;
        }
        attachment.detach()?;
    }
    let error = expect_err(
        "no such function",
        try_it(&point(false, "no_such_function_x")),
    )?;
    let cause = error.cause();
    ensure(matches!(cause, Some(Cause::NotFound { .. })), || {
        format!("{error}: {cause:?}")
    })
}

fn kprobe_multi() -> Outcome {
    needs_kernel(5, 18)?;
    let hits = counter()?;
    let text = counting(&hits, Some(std::process::id()), 0);
    let program = load(ProgramType::Kprobe, Some(MultiMode::Entry.kprobe()), &text)?;
    let point = AttachPoint::KprobeMulti {
        mode: MultiMode::Entry,
        functions: KernelFunctions::Names([GETPPID].into_iter().collect()),
        cookies: vec![5],
    };
    if let Ok(None) = host().config("CONFIG_FPROBE") {
        let error = expect_err("a link", {
            host().attach("hooked", &program, ProgramType::Kprobe, &point)
        })?;
        return told(&error, "CONFIG_FPROBE");
    }
    let (attachment, details) = attach(&program, ProgramType::Kprobe, &point)?;
    getppid();
    ensure(count(&hits)? == 1, || "not once".into())?;
    if needs_kernel(6, 9).is_ok() {
        let right = matches!(&details, LinkDetails::KprobeMulti { addresses, cookies, .. }
            if addresses.len() == 1 && *cookies == [5]);
        ensure(right, || format!("{details:?}"))?;
    }
    drop(attachment);
    let point = AttachPoint::KprobeMulti {
        mode: MultiMode::Entry,
        // The list of the kernel has one name for each function, and this one has several.
        functions: KernelFunctions::Pattern("__*_sys_getppid".into()),
        cookies: Vec::new(),
    };
    let (_attachment, _) = attach(&program, ProgramType::Kprobe, &point)?;
    getppid();
    ensure(count(&hits)? == 2, || "not twice".into())
}

fn netkit() -> Outcome {
    needs_kernel(6, 7)?;
    let attach_type = AttachType::NetkitPrimary;
    let program = load(ProgramType::SchedCls, Some(attach_type), "r0 = 0\n exit")?;
    let point = AttachPoint::Netkit {
        ifindex: host().device_index("lo")?,
        end: NetkitEnd::Primary,
        order: Order::default(),
    };
    let error = expect_err("no netkit", {
        host().attach("hooked", &program, ProgramType::SchedCls, &point)
    })?;
    if let Ok(None) = host().config("CONFIG_NETKIT") {
        return told(&error, "CONFIG_NETKIT");
    }
    // The loopback device is no end of a pair.
    let cause = error.cause().map(Cause::to_string).unwrap_or_default();
    ensure(
        error.errno() == Some(Errno::ENXIO) && cause.contains("netkit"),
        || format!("{error}: {cause}"),
    )
}
