//! Local storages from user space: cgroups by descriptor, sockets by descriptor on the kernel and
//! by cookie on the machine.

use std::{net::UdpSocket, os::fd::AsRawFd as _};

use skep_abi::MapType;
use skep_host::{Host, HostKind, MapFd};
use skep_testing::{Outcome, Test};
use skep_vm::{Network, SocketInfo, Vm};

use crate::{
    links::tree,
    support::{Record, agree},
    things::storage,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("storages::cgroups_answer_alike", || agree(cgroups)),
        Test::new("storages::sockets_answer_alike", || agree(sockets)),
    ]
}

/// Every operation on the value of an owner.
fn values(host: &dyn Host, record: &mut Record, map: &MapFd, owner: i32) {
    let key = owner.to_ne_bytes();
    for flags in [2_u64, 0, 1, 2, 3, 4, 8, 0] {
        let set = host.map_update_elem(map, &key, &[flags as u8; 4], flags);
        record.answer(format!("update {flags}"), &set);
        let mut value = [9; 4];
        for flags in [0, 4, 1] {
            let found = host.map_lookup_elem(map, &key, &mut value, flags);
            record.answer(format!("lookup {flags}"), &found);
        }
        record.fact("value", value);
    }
    let taken = host.map_lookup_and_delete_elem(map, &key, &mut [0; 4], 0);
    record.answer("take", &taken);
    record.answer("next", &host.map_get_next_key(map, None, &mut [0; 4]));
    record.answer("delete", &host.map_delete_elem(map, &key));
    record.answer("delete again", &host.map_delete_elem(map, &key));
    let found = host.map_lookup_elem(map, &key, &mut [0; 4], 0);
    record.answer("lookup", &found);
}

/// No task is below these cgroups.
fn cgroups(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_kept, above, below) = tree(host)?;
    let map = storage(host, MapType::CgrpStorage)?;
    for cgroup in [&above, &below] {
        values(host, record, &map, cgroup.raw());
    }
    let other = storage(host, MapType::CgrpStorage)?;
    let key = below.raw().to_ne_bytes();
    record.answer("set", &host.map_update_elem(&map, &key, &[1; 4], 0));
    let found = host.map_lookup_elem(&other, &key, &mut [0; 4], 0);
    record.answer("another map", &found);
    Ok(())
}

fn sockets(host: &dyn Host, record: &mut Record) -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    match host.info().kind {
        HostKind::Kernel => {
            let map = storage(host, MapType::SkStorage)?;
            values(host, record, &map, socket.as_raw_fd());
            record_bad(host, record, &map);
        }
        HostKind::Vm => {
            let vm = Vm::new()?;
            let mut network = Network::default();
            network.sockets = vec![SocketInfo::listening(7, 17, socket.local_addr()?)];
            vm.set_network(network)?;
            let map = storage(&vm, MapType::SkStorage)?;
            values(&vm, record, &map, 7);
            record_bad(&vm, record, &map);
        }
    }
    Ok(())
}

fn record_bad(host: &dyn Host, record: &mut Record, map: &MapFd) {
    let found = host.map_lookup_elem(map, &(-1_i32).to_ne_bytes(), &mut [0; 4], 0);
    record.answer("none", &found);
    // Standard input is no socket of the test's, and nobody has cookie 0.
    let found = host.map_lookup_elem(map, &[0; 4], &mut [0; 4], 0);
    record.done("sockets of maps", &found);
}
