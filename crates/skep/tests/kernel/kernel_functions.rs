//! What a load has to get right around functions of the kernel: those of a module, by a descriptor
//! of its BTF; exceptions, by the function that catches them; and programs that are attached while
//! one of their functions is replaced.

use std::{io::ErrorKind, net::UdpSocket, time::Duration};

use skep::{
    AttachOptions, Error, TargetProgram,
    boundary::{Cause, TestRun},
};
use skep_testing::{Outcome, Stop, Test, ensure, in_netns, is_preparing, needs_kernel};

use crate::support::{Running, host, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("kernel_functions::of_a_module_are_called", of_module),
        Test::new(
            "kernel_functions::exceptions_end_in_their_callback",
            exceptions,
        ),
        Test::new(
            "kernel_functions::an_attached_program_is_replaced",
            attached_is_replaced,
        ),
    ]
}

/// What a program answers to 64 bytes of packet, or to none.
fn answer(running: &Running, program: &str, packet: &[u8]) -> Outcome<u32> {
    let mut run = TestRun {
        data_in: packet,
        ..TestRun::default()
    };
    Ok(running
        .loaded
        .program(program)?
        .test_run(&mut run)?
        .return_value)
}

fn of_module() -> Outcome {
    const ENOENT: i64 = -2;
    const EPROTO: i64 = -71;
    needs_kernel(6, 1)?;
    let tracked = object("conntrack")?;
    let modules = host().boundary().btf_modules()?;
    if !modules.iter().any(|module| module == "nf_conntrack") && !is_preparing() {
        return Err(Stop::lacks("the module nf_conntrack, with BTF"));
    }
    let running = Running::of(tracked)?;
    let image = running.loaded.image();
    let named = |program: &skep::spec::ImageProgram| {
        let references = &program.module_references;
        !references.is_empty() && references.iter().all(|one| one.module == "nf_conntrack")
    };
    ensure(image.programs.iter().all(named), || format!("{image:?}"))?;
    // There is no such connection, which takes a call to find out.
    in_netns(|_| {
        let verdicts = (
            answer(&running, "of_skb", &[0; 64])?,
            answer(&running, "of_xdp", &[0; 64])?,
        );
        ensure(verdicts == (0, 2), || format!("{verdicts:?}"))
    })?;
    let number = |name: &str| running.number(name).map(u64::cast_signed);
    let errors = (number("error_of_skb")?, number("error_of_xdp")?);
    ensure(errors == (ENOENT, ENOENT), || format!("{errors:?}"))?;
    ensure(number("error_of_protocol")? == EPROTO, || {
        "another error".into()
    })?;
    ensure(number("calls")? == 3, || "more calls, or fewer".into())
}

fn exceptions() -> Outcome {
    needs_kernel(6, 7)?;
    let running = Running::new("exceptions")?;
    let number = |name: &str| running.number(name);
    // The second call throws: what came after it in three functions does not happen.
    ensure(answer(&running, "with_callback", &[])? == 35, || {
        "not caught".into()
    })?;
    let state = (
        number("depth_reached")?,
        number("came_back")?,
        number("cookie_caught")?,
    );
    ensure(state == (3, 1, 30), || format!("{state:?}"))?;
    // Without a callback the cookie is the answer.
    ensure(answer(&running, "without", &[])? == 16, || {
        "not the cookie".into()
    })?;
    ensure(number("cookie_caught")? == 30, || {
        "caught by another's".into()
    })?;
    ensure(answer(&running, "not_thrown", &[])? == 7, || {
        "not run".into()
    })?;
    ensure(number("came_back")? == 2, || "did not come back".into())
}

/// The target runs on a device before, while and after one of its functions is replaced.
fn attached_is_replaced() -> Outcome {
    needs_kernel(5, 10)?;
    let filter = Running::new("replaced")?;
    let mut replacing = object("replacing")?;
    replacing.only_programs(&["nothing_is"])?;
    in_netns(|_| {
        let device = AttachOptions {
            device: Some("lo".into()),
            ..AttachOptions::default()
        };
        let _filters = filter.loaded.program("filter")?.attach_with(&device)?;
        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        receiver.set_read_timeout(Some(Duration::from_millis(500)))?;
        ensure(arrives(&receiver)?, || "dropped at first".into())?;
        let target = TargetProgram::new(filter.loaded.program("filter")?)?;
        replacing.attach_to_program("nothing_is", &target)?;
        let loaded = match replacing.load(host()) {
            Ok(loaded) => loaded,
            Err(error) if refuses_patching(&error) => {
                return Err(Stop::lacks("a kernel that lets programs patch functions"));
            }
            Err(error) => return Err(error.into()),
        };
        let link = loaded.program("nothing_is")?.attach()?;
        ensure(!arrives(&receiver)?, || "not replaced".into())?;
        link.detach()?;
        ensure(arrives(&receiver)?, || "still replaced".into())
    })
}

fn refuses_patching(error: &Error) -> bool {
    matches!(error.cause(), Some(Cause::Other { what, .. }) if what.contains("refuses all programs"))
}

/// Whether a packet that is sent comes.
fn arrives(receiver: &UdpSocket) -> Outcome<bool> {
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.send_to(b"a packet", receiver.local_addr()?)?;
    match receiver.recv(&mut [0; 16]) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
