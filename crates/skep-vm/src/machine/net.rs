//! The network of a machine, as programs can ask about it: devices, routes, neighbours, sockets.
//! It is a value that the embedder sets; programs read it without a lock.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use arc_swap::{ArcSwap, Guard};
use skep_host::Errno;

use super::storage::Storage;
use crate::memory::{Block, View};

/// What programs see of the network: devices, the routing table, sockets.
///
/// The default has the device `lo` and nothing else, as a new network namespace of Linux whose
/// `lo` is up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Network {
    /// Devices; `ifindex` is unique.
    pub devices: Vec<Device>,
    /// Routes, of which the longest prefix counts, and of those the first.
    pub routes: Vec<Route>,
    /// Link-layer addresses of neighbours.
    pub neighbours: Vec<Neighbour>,
    /// Sockets that programs can look up.
    pub sockets: Vec<SocketInfo>,
    /// `bpf_get_netns_cookie`
    pub cookie: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            devices: vec![Device::loopback()],
            routes: Vec::new(),
            neighbours: Vec::new(),
            sockets: Vec::new(),
            cookie: 1,
        }
    }
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Its index, from 1 on.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Its link-layer address.
    pub mac: [u8; 6],
    /// Bytes of the longest packet without link-layer header.
    pub mtu: u32,
    /// It is up.
    pub up: bool,
    /// Packets that it receives are forwarded (`net.ipv4.conf.*.forwarding`).
    pub forwarding: bool,
    /// Receive queues.
    pub queues: u32,
}

impl Device {
    /// An Ethernet device that is up and forwards.
    #[must_use]
    pub fn new(ifindex: u32, name: &str, mac: [u8; 6]) -> Self {
        Self {
            ifindex,
            name: name.to_owned(),
            mac,
            mtu: 1500,
            up: true,
            forwarding: true,
            queues: 1,
        }
    }

    fn loopback() -> Self {
        Self {
            mtu: 65536,
            forwarding: false,
            ..Self::new(1, "lo", [0; 6])
        }
    }
}

/// An entry of the routing table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The addresses that it is for.
    pub destination: IpAddr,
    /// How many bits of `destination` count.
    pub prefix: u8,
    /// What happens to packets.
    pub kind: RouteKind,
    /// The device that they leave by.
    pub ifindex: u32,
    /// The next hop, where the destination is not on the link.
    pub gateway: Option<IpAddr>,
    /// The source address that packets get (`BPF_FIB_LOOKUP_SRC`).
    pub source: Option<IpAddr>,
    /// The longest packet, where that is less than the device's.
    pub mtu: Option<u32>,
    /// The table that it is in (`BPF_FIB_LOOKUP_TBID`); 254 is the main one.
    pub table: u32,
    /// Its metric.
    pub metric: u32,
}

impl Route {
    /// A route of the main table out of a device.
    #[must_use]
    pub fn new(destination: IpAddr, prefix: u8, ifindex: u32) -> Self {
        Self {
            destination,
            prefix,
            kind: RouteKind::Unicast,
            ifindex,
            gateway: None,
            source: None,
            mtu: None,
            table: 254,
            metric: 0,
        }
    }

    fn covers(&self, address: IpAddr) -> bool {
        match (self.destination, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = u32::from(network) ^ u32::from(address);
                u32::from(self.prefix) <= differ.leading_zeros()
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = u128::from(network) ^ u128::from(address);
                u32::from(self.prefix) <= differ.leading_zeros()
            }
            _ => false,
        }
    }
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteKind {
    /// Sends packets on.
    Unicast,
    /// They are for this machine.
    Local,
    /// Drops them silently.
    Blackhole,
    /// Says that the host can't be reached.
    Unreachable,
    /// Says that it is forbidden.
    Prohibit,
}

/// The link-layer address of a neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The device that it is behind.
    pub ifindex: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its link-layer address.
    pub mac: [u8; 6],
}

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketInfo {
    /// `bpf_get_socket_cookie`
    pub cookie: u64,
    /// `IPPROTO_TCP` (6) or `IPPROTO_UDP` (17).
    pub protocol: u32,
    /// Its own address.
    pub local: SocketAddr,
    /// Its peer's, where it is connected.
    pub remote: Option<SocketAddr>,
    /// `BPF_TCP_ESTABLISHED` (1) and so on; listeners are in state 10.
    pub state: u32,
    /// The user that it belongs to.
    pub uid: u32,
    /// `SO_MARK`
    pub mark: u32,
    /// `SO_PRIORITY`
    pub priority: u32,
    /// The device that it is bound to, or 0.
    pub bound_device: u32,
    /// The cgroup that it was made in.
    pub cgroup: u64,
}

impl SocketInfo {
    /// A socket that listens (TCP) or waits (UDP) at an address.
    #[must_use]
    pub fn listening(cookie: u64, protocol: u32, local: SocketAddr) -> Self {
        Self {
            cookie,
            protocol,
            local,
            remote: None,
            state: if protocol == TCP { LISTEN } else { CLOSE },
            uid: 0,
            mark: 0,
            priority: 0,
            bound_device: 0,
            cgroup: 1,
        }
    }

    /// How well it fits a packet from `remote` to `local`; `None`: not at all.
    fn fits(&self, protocol: u32, remote: SocketAddr, local: SocketAddr) -> Option<u32> {
        let right = self.protocol == protocol && self.local.port() == local.port();
        let exact = self.local.ip() == local.ip();
        let any = self.local.ip().is_unspecified() && self.local.is_ipv4() == local.is_ipv4();
        match self.remote {
            _ if !right || !(exact || any) => None,
            Some(peer) => (peer == remote).then_some(4 + u32::from(exact)),
            None => Some(1 + u32::from(exact)),
        }
    }
}

/// `IPPROTO_TCP`
pub(crate) const TCP: u32 = 6;
/// `IPPROTO_UDP`
pub(crate) const UDP: u32 = 17;
/// `BPF_TCP_LISTEN`
pub(crate) const LISTEN: u32 = 10;
const CLOSE: u32 = 7;
/// `AF_INET`
pub(crate) const INET: u32 = 2;
/// `AF_INET6`
pub(crate) const INET6: u32 = 10;

/// Bytes of `struct bpf_sock` and of `struct bpf_tcp_sock`.
const SOCK_LEN: usize = 80;
const TCP_SOCK_LEN: usize = 112;

/// A socket with the memory that programs see of it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) info: SocketInfo,
    memory: Block,
    /// What maps keep for it.
    pub(crate) storage: Storage,
}

impl Socket {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(info: SocketInfo) -> Result<Self, Errno> {
        let memory = Block::new(SOCK_LEN + TCP_SOCK_LEN)?;
        let sock = memory.all();
        let family = if info.local.is_ipv4() { INET } else { INET6 };
        let kind = if info.protocol == TCP { 1 } else { 2 };
        sock.set_u32(0, info.bound_device);
        sock.set_u32(4, family);
        sock.set_u32(8, kind);
        sock.set_u32(12, info.protocol);
        sock.set_u32(16, info.mark);
        sock.set_u32(20, info.priority);
        put_address(sock, 24, 28, info.local.ip());
        sock.set_u32(44, u32::from(info.local.port()));
        if let Some(remote) = info.remote {
            sock.set_u16(48, remote.port().to_be());
            put_address(sock, 52, 56, remote.ip());
        }
        sock.set_u32(72, info.state);
        sock.set_u32(76, u32::MAX);
        Ok(Self {
            info,
            memory,
            storage: Storage::default(),
        })
    }

    /// One that a packet belongs to and that nobody looks up: of no protocol.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn of_packet(info: SocketInfo) -> Result<Self, Errno> {
        let socket = Self::new(info)?;
        socket.memory.all().set_u32(8, 0);
        socket.memory.all().set_u32(12, 0);
        Ok(socket)
    }

    /// The address of its `struct bpf_sock`.
    pub(crate) fn address(&self) -> u64 {
        self.memory.address()
    }

    /// The address of its `struct bpf_tcp_sock`.
    pub(crate) fn tcp(&self) -> Option<u64> {
        (self.info.protocol == TCP).then(|| self.address() + SOCK_LEN as u64)
    }

    /// What programs may read.
    pub(crate) fn parts(&self) -> impl Iterator<Item = View<'_>> {
        let tcp = self.tcp().and(self.memory.view(SOCK_LEN, TCP_SOCK_LEN));
        self.memory.view(0, SOCK_LEN).into_iter().chain(tcp)
    }
}

fn put_address(sock: View<'_>, v4: usize, v6: usize, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            sock.set_u32(v4, u32::from_ne_bytes(address.octets()));
        }
        IpAddr::V6(address) => {
            if let Some(place) = sock.part(v6, 16) {
                place.write(&address.octets());
            }
        }
    }
}

/// The network with its sockets' memory.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) network: Network,
    sockets: Vec<Arc<Socket>>,
}

impl Table {
    fn new(network: Network) -> Result<Self, Errno> {
        let sockets = network.sockets.iter().cloned();
        let sockets: Result<_, _> = sockets
            .map(|info| Socket::new(info).map(Arc::new))
            .collect();
        Ok(Self {
            sockets: sockets?,
            network,
        })
    }

    pub(crate) fn device(&self, ifindex: u32) -> Option<&Device> {
        let mut devices = self.network.devices.iter();
        devices.find(|device| device.ifindex == ifindex)
    }

    /// The route for an address, in one table where that is given, out of one device where that
    /// is.
    pub(crate) fn route(
        &self,
        address: IpAddr,
        table: Option<u32>,
        out: Option<u32>,
    ) -> Option<&Route> {
        let routes = self.network.routes.iter();
        let fitting = routes
            .filter(|route| table.is_none_or(|table| route.table == table))
            .filter(|route| out.is_none_or(|out| route.ifindex == out))
            .filter(|route| route.covers(address));
        // The first of the longest: `max_by_key` gives the last.
        fitting.rev().max_by_key(|route| route.prefix)
    }

    pub(crate) fn neighbour(&self, ifindex: u32, address: IpAddr) -> Option<[u8; 6]> {
        let mut all = self.network.neighbours.iter();
        let found = all.find(|one| one.ifindex == ifindex && one.address == address);
        found.map(|one| one.mac)
    }

    /// The socket with a cookie.
    pub(crate) fn by_cookie(&self, cookie: u64) -> Option<Arc<Socket>> {
        let found = self
            .sockets
            .iter()
            .find(|socket| socket.info.cookie == cookie);
        found.cloned()
    }

    /// The socket that a packet from `remote` to `local` is for.
    pub(crate) fn socket(
        &self,
        protocol: u32,
        remote: SocketAddr,
        local: SocketAddr,
    ) -> Option<&Arc<Socket>> {
        let fitting = self.sockets.iter().filter_map(|socket| {
            let score = socket.info.fits(protocol, remote, local)?;
            Some((score, socket))
        });
        let best = fitting.rev().max_by_key(|(score, _)| *score);
        best.map(|(_, socket)| socket)
    }
}

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Net(ArcSwap<Table>);

impl Default for Net {
    fn default() -> Self {
        let table = Table {
            network: Network::default(),
            sockets: Vec::new(),
        };
        Self(ArcSwap::from_pointee(table))
    }
}

impl Net {
    /// The network as it is now.
    pub(crate) fn now(&self) -> Guard<Arc<Table>> {
        self.0.load()
    }

    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn set(&self, network: Network) -> Result<(), Errno> {
        self.0.store(Arc::new(Table::new(network)?));
        Ok(())
    }
}

/// An address of four bytes in network order.
pub(crate) fn v4(word: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(word.to_ne_bytes()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_longest_prefix_counts() {
        let ten = |prefix, ifindex| Route::new(Ipv4Addr::new(10, 1, 0, 0).into(), prefix, ifindex);
        let network = Network {
            routes: vec![ten(0, 2), ten(16, 3), ten(16, 4), ten(8, 5)],
            ..Network::default()
        };
        let net = Net::default();
        net.set(network).expect("memory");
        let now = net.now();
        let out = |address: [u8; 4], device| {
            let route = now.route(IpAddr::from(address), None, device);
            route.map(|route| route.ifindex)
        };
        assert_eq!(out([10, 1, 2, 3], None), Some(3));
        assert_eq!(out([10, 2, 2, 3], None), Some(5));
        assert_eq!(out([11, 2, 2, 3], None), Some(2));
        assert_eq!(out([10, 1, 2, 3], Some(4)), Some(4));
    }

    #[test]
    fn a_connected_socket_goes_before_a_listener() {
        let local: SocketAddr = "10.0.0.1:80".parse().expect("an address");
        let remote: SocketAddr = "10.0.0.2:4000".parse().expect("an address");
        let any: SocketAddr = "0.0.0.0:80".parse().expect("an address");
        let listener = SocketInfo::listening(1, TCP, any);
        let mut connected = SocketInfo::listening(2, TCP, local);
        connected.remote = Some(remote);
        let network = Network {
            sockets: vec![listener, connected],
            ..Network::default()
        };
        let net = Net::default();
        net.set(network).expect("memory");
        let now = net.now();
        let cookie = |protocol, remote| {
            let socket = now.socket(protocol, remote, local);
            socket.map(|socket| socket.info.cookie)
        };
        assert_eq!(cookie(TCP, remote), Some(2));
        assert_eq!(cookie(TCP, any), Some(1));
        assert_eq!(cookie(UDP, remote), None);
    }
}
