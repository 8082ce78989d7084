//! Sockets that programs look up: real ones on the kernel, the same in the machine's table.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    sync::Arc,
};

use skep::Object;
use skep_host::{Host, HostKind, TestRun};
use skep_testing::{Outcome, Test};
use skep_vm::{Config, Network, SocketInfo, Vm};

use crate::{
    kfuncs::{host_of, loaded_with_log, written_down},
    support::{Record, agree_since},
};

pub(super) fn tests() -> Vec<Test> {
    vec![Test::new("packets::sockets_are_found_alike", || {
        agree_since((5, 12), walk)
    })]
}

const PROGRAMS: [&str; 6] = ["of_tcp", "of_groups", "common", "of_udp", "none", "packet"];

/// `TCP_ESTABLISHED`
const ESTABLISHED: u32 = 1;

/// A machine with these sockets, as the kernel has them.
fn with(listener: SocketAddr, client: SocketAddr, datagrams: SocketAddr) -> Outcome<Vm> {
    let vm = Vm::with(Config::default())?;
    let mut network = Network::default();
    let mut connected = SocketInfo::listening(2, 6, listener);
    (connected.remote, connected.state) = (Some(client), ESTABLISHED);
    network.sockets = vec![
        SocketInfo::listening(1, 6, listener),
        connected,
        SocketInfo::listening(3, 17, datagrams),
    ];
    vm.set_network(network)?;
    Ok(vm)
}

fn walk(host: &dyn Host, record: &mut Record) -> Outcome {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/sockets.bpf.c");
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let any = (Ipv4Addr::LOCALHOST, 0);
    let (listening, datagrams) = (TcpListener::bind(any)?, UdpSocket::bind(any)?);
    let connected = TcpStream::connect(listening.local_addr()?)?;
    let _accepted = listening.accept()?;
    let (listener, client) = (listening.local_addr()?, connected.local_addr()?);
    let datagrams_at = datagrams.local_addr()?;
    let host = match host.info().kind {
        HostKind::Vm => skep::Host::new(Arc::new(with(listener, client, datagrams_at)?)),
        _ => host_of(host),
    };
    for name in PROGRAMS {
        let mut object = Object::parse("sockets", &bytes)?;
        object.only_programs(&[name])?;
        object.global("listener")?.set(listener.port())?;
        object.global("client")?.set(client.port())?;
        object.global("datagrams")?.set(datagrams_at.port())?;
        let loaded = loaded_with_log(&object, name, &host)?;
        let outcome = loaded.program(name)?.test_run(&mut TestRun {
            data_in: &[1; 64],
            ..TestRun::default()
        })?;
        record.fact(format!("{name} returns"), outcome.return_value);
        written_down(record, "sockets", name, &object, &loaded)?;
    }
    Ok(())
}
