//! A container's process: root of a user namespace only, with a bpffs that lets it do some of BPF.
//! It loads, attaches and reads like any other; what is not delegated is named.

use std::{net::UdpSocket, path::Path, process::Command, time::Duration};

use rustix::mount::{MoveMountFlags, move_mount};
use skep::{
    AttachOptions, Error, Host, Object, RingBuffer,
    linux::{Answer, LinuxHost, report},
};
use skep_testing::{
    MountOptions, Outcome, Stop, Test, delegated_bpffs, ensure, expect_err, find_tool,
    in_user_namespace, needs_kernel,
};

use crate::support::object;

/// The child's side.
pub(crate) const PART: &str = "token";

/// Ring buffers and the arrays that hold globals, and XDP.
const DELEGATED: MountOptions<'_> = &[
    ("delegate_cmds", "map_create:prog_load:btf_load"),
    ("delegate_maps", "array:ringbuf"),
    ("delegate_progs", "xdp"),
    ("delegate_attachs", "any"),
];

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new(
        "token::a_container_without_cap_bpf_loads_by_a_delegated_bpffs",
        || {
            needs_kernel(6, 9)?;
            // Compiled out here, where the cache may be written.
            object("token")?;
            in_user_namespace(PART, &[&[], DELEGATED])
        },
    )]
}

pub(crate) fn in_namespace() -> Outcome {
    let mut wanted = object("token")?;
    wanted.global("number")?.set(7_u32)?;
    let (_root, nothing) = delegated_bpffs()?;
    without(&wanted, &nothing)?;
    let (root, path) = delegated_bpffs()?;
    loads(&wanted, &Host::kernel_by_token(&path)?)?;

    // Where containers have it, it is found.
    move_mount(
        &root,
        "",
        rustix::fs::CWD,
        "/sys/fs/bpf",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    let host = Host::auto_for(&wanted)?;
    ensure(host.info().kind == skep::boundary::HostKind::Kernel, || {
        format!("{:?}", host.why_not_kernel())
    })?;
    loads(&wanted, &host)?;
    refuses(wanted, &host)?;
    doctor()
}

/// Without a token nothing can be loaded, and the error says why there is none.
fn without(object: &Object, nothing: &Path) -> Outcome {
    let error = expect_err("a token", Host::kernel_by_token(nothing))?;
    says(&error, "delegates nothing")?;
    let error = expect_err("a load", object.load(&Host::kernel()?))?;
    says(&error, "in a user namespace only")?;
    says(&error, "there is no BPF token: ")
}

/// The cause of an error has these words.
fn says(error: &Error, words: &str) -> Outcome {
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    ensure(cause.contains(words), || format!("{error}: {cause}"))
}

/// A packet is seen by a program that the token let in.
fn loads(object: &Object, host: &Host) -> Outcome {
    let loaded = object.load(host)?;
    ensure(loaded.refused_btf().is_none(), || {
        format!("{:?}", loaded.refused_btf())
    })?;
    let ip = Command::new(find_tool("ip")?)
        .args(["link", "set", "lo", "up"])
        .status()?;
    ensure(ip.success(), || format!("{ip}"))?;
    let options = AttachOptions {
        device: Some("lo".into()),
        ..AttachOptions::default()
    };
    let _links = loaded.attach_all_with(&options)?;
    let mut ring = RingBuffer::<u32>::new(loaded.map("packets")?)?;
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"a packet", "127.0.0.1:4242")?;
    let batch = ring.wait(Some(Duration::from_secs(5)))?;
    let batch = batch.ok_or_else(|| Stop::fail("no record"))?;
    ensure(batch.iter().all(|number| *number == 7), || {
        "another number".into()
    })
}

/// What is not delegated is named, where tokens tell.
fn refuses(mut object: Object, host: &Host) -> Outcome {
    object.only_programs(&["other"])?;
    let error = expect_err("a socket filter", object.load(host))?;
    let tells = host.info().version >= skep::abi::KernelVersion::new(6, 17);
    says(
        &error,
        match tells {
            true => "the token does not delegate programs of type socket_filter",
            false => "its BPF token does not delegate this",
        },
    )
}

/// The doctor says what the token is good for, and finds it to be so.
fn doctor() -> Outcome {
    let host = LinuxHost::new()?;
    let report = report(&host);
    let find = |name: &str| {
        let found = report.checks().find(|check| check.name == name);
        found.ok_or_else(|| Stop::Fail(format!("no check of {name}")))
    };
    let token = find("BPF token")?;
    let tells = skep::boundary::Host::info(&host).version >= skep::abi::KernelVersion::new(6, 17);
    ensure(
        token.answer == Answer::Yes
            && (!tells || token.detail.contains("maps: array ringbuf; programs: xdp;")),
        || format!("{token:?}"),
    )?;
    for (name, answer) in [
        ("program xdp", true),
        ("program socket_filter", false),
        ("map ringbuf", true),
        ("map hash", false),
        ("hook xdp", true),
    ] {
        let check = find(name)?;
        ensure((check.answer == Answer::Yes) == answer, || {
            format!("{check:?}")
        })?;
    }
    Ok(())
}
