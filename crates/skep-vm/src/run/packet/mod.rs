//! The packet that a program works on, and what it asked to be done with it.
//!
//! Context and packet lie in one block below 4 GiB that each virtual CPU keeps, so that the 32-bit
//! fields of `xdp_md` and `__sk_buff` hold real addresses and nothing is allocated for a packet.
//! What is kept here is the truth; the fields of the context are written from it whenever it
//! changes, and nothing that a program writes into its context moves the packet.

mod layout;
mod load;
mod receive;
pub(crate) mod skb;
pub(crate) mod sum;
mod travel;

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use skep_abi::ProgramType;
use skep_host::Errno;

use super::{Ours, Run};
use crate::{
    machine::net::Socket,
    memory::{Block, View},
};

pub(crate) use layout::{SkbField, XdpField};
pub(crate) use skb::{Header, Skb, Sum, ether};
pub(crate) use travel::Travelling;

/// The context's place in the block, and the most bytes that one has.
const CONTEXT: usize = 0;
const CONTEXT_LEN: usize = 256;
/// `struct bpf_flow_keys`, where the context points to one.
pub(crate) const KEYS: usize = 256;
/// Bytes of `struct bpf_flow_keys`.
pub(crate) const KEYS_LEN: usize = 56;
/// `struct nf_hook_state`, where the context points to one.
pub(crate) const HOOK: usize = 512;
/// What stands for a `struct sk_buff` that a program has by address.
pub(crate) const BUFFER: usize = 1024;
/// Where packets may begin.
const AREA: usize = 4096;
/// Where packets with much to grow before them begin.
const MIDDLE: usize = AREA + (64 << 10);
/// All of it.
const LEN: usize = 256 << 10;

/// Bytes before a packet that an XDP program may use.
pub(crate) const HEADROOM: usize = 256;
/// Bytes at the start of the headroom that it may not: `struct xdp_frame`.
pub(crate) const FRAME_HEAD: u64 = 40;
/// Bytes of a page that no packet has: `struct skb_shared_info`.
pub(crate) const SHARED_INFO: usize = 320;
/// Bytes of a fragment.
const FRAGMENT: u64 = 4096;
/// The longest packet there is.
pub(crate) const LONGEST: usize = 128 << 10;

/// The memory of a CPU's packets.
#[derive(Debug)]
pub(crate) struct Memory(Block);

impl Memory {
    pub(crate) fn new() -> Result<Self, Errno> {
        Block::low(LEN).map(Self)
    }
}

/// What kind of packet a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PacketKind {
    /// None.
    #[default]
    Nothing,
    /// A frame with a `struct xdp_md`.
    Xdp,
    /// One with a `struct __sk_buff`.
    Skb,
    /// A flow dissector's.
    Flow,
    /// One that a netfilter program has by address.
    Netfilter,
    /// None, but a context of a few fields.
    Fields,
}

/// Where it is, as addresses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) kind: PacketKind,
    /// Where it may begin.
    pub(crate) low: u64,
    /// Where its linear part may end.
    pub(crate) high: u64,
    /// Where its metadata begins; `data` if it has none.
    pub(crate) meta: u64,
    /// Its first byte.
    pub(crate) data: u64,
    /// The end of what programs reach directly.
    pub(crate) end: u64,
    /// The end of all.
    pub(crate) tail: u64,
    /// The first address of its headroom that holds nothing of earlier packets.
    pub(crate) clean: u64,
    /// Where its fragments began.
    fragments: u64,
    /// Programs reach it by address.
    direct: bool,
    /// They may write there.
    writable: bool,
    /// Where its region begins that the run has.
    granted: u64,
}

/// A packet with everything that belongs to it.
#[derive(Debug, Default)]
pub(crate) struct Packet {
    pub(crate) place: Cell<Place>,
    pub(crate) skb: Cell<Skb>,
    redirect: Cell<Option<Redirect>>,
    /// The sockets that the program has looked up.
    sockets: RefCell<Vec<Arc<Socket>>>,
    own_socket: RefCell<Option<Arc<Socket>>>,
    /// Copies that it sent elsewhere.
    pub(crate) clones: RefCell<Vec<Sent>>,
    /// The socket that a `sk_lookup` program has chosen.
    pub(crate) selected: RefCell<Option<Arc<Socket>>>,
    /// The tunnel that it goes into, or came from.
    pub(crate) tunnel: RefCell<Option<Tunnel>>,
}

/// A copy of a packet that a program sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where to.
    pub to: Redirect,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its mark (`skb->mark`).
    pub mark: u32,
}

/// What is known of a tunnel (`struct bpf_tunnel_key`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tunnel {
    pub(crate) id: u32,
    /// What the program set as remote: words of `remote_ipv6`, of which IPv4 has the first.
    pub(crate) remote: [u32; 4],
    pub(crate) local: [u32; 4],
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) label: u32,
    pub(crate) v6: bool,
    /// As `tunnel_flags` shows them.
    pub(crate) flags: u16,
    pub(crate) options: Vec<u8>,
}

/// Where a program sends a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redirect {
    /// Out of a device, or into it.
    Device {
        /// Its index.
        ifindex: u32,
        /// `BPF_F_INGRESS`: as if the device had received it.
        ingress: bool,
    },
    /// To the device's peer in another namespace.
    Peer {
        /// The device's index.
        ifindex: u32,
    },
    /// Out of a device, with the link-layer addresses filled in.
    Neighbour {
        /// The device's index.
        ifindex: u32,
    },
    /// To an entry of a map: a device, a CPU, a socket.
    Map {
        /// The map's id.
        map: u32,
        /// The entry's key.
        key: u32,
        /// The first four bytes of its value: the device's index, the CPU's queue size.
        value: u32,
        /// `BPF_F_BROADCAST` and `BPF_F_EXCLUDE_INGRESS`.
        flags: u64,
    },
    /// To the socket with this cookie.
    Socket {
        /// The cookie.
        cookie: u64,
    },
}

/// A frame for an XDP program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct XdpInput<'a> {
    /// Metadata, then the packet.
    pub(crate) bytes: &'a [u8],
    /// How many of them are metadata: at most 216.
    pub(crate) meta: usize,
    /// How many of them lie in one piece, for the program to reach by address.
    pub(crate) linear: usize,
    pub(crate) ifindex: u32,
    pub(crate) queue: u32,
}

/// What of a packet programs of a type reach by address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direct {
    No,
    Read,
    Write,
}

/// `XDP_REDIRECT` and `TC_ACT_REDIRECT`
const XDP_REDIRECT: u32 = 4;
const TC_REDIRECT: u32 = 7;
/// `SK_PASS`, which also sends to a socket.
const SK_PASS: u32 = 1;

/// What programs of a type see of a packet that has an `sk_buff`: whether the link-layer header,
/// and how.
pub(crate) const fn shape(program_type: ProgramType) -> Option<(bool, Direct)> {
    match program_type {
        ProgramType::SchedCls | ProgramType::SchedAct => Some((true, Direct::Write)),
        ProgramType::LwtXmit | ProgramType::SkSkb => Some((false, Direct::Write)),
        ProgramType::LwtIn
        | ProgramType::LwtOut
        | ProgramType::LwtSeg6local
        | ProgramType::CgroupSkb => Some((false, Direct::Read)),
        ProgramType::SocketFilter => Some((false, Direct::No)),
        _ => None,
    }
}

impl Run<'_> {
    fn packet_block(&self) -> Result<&Block, Errno> {
        self.scratch.packet().map(|memory| &memory.0)
    }

    /// A part of the block, which is there once the run has a packet.
    pub(crate) fn packet_part(&self, offset: usize, len: usize) -> Option<View<'_>> {
        self.packet_block().ok()?.view(offset, len)
    }

    /// `len` bytes of the packet from an address on.
    pub(crate) fn packet_at(&self, address: u64, len: u64) -> Option<View<'_>> {
        let len = usize::try_from(len).ok()?;
        self.packet_block().ok()?.at(address, len)
    }

    /// The context as its fields.
    pub(crate) fn fields(&self) -> View<'_> {
        let fields = self.packet_part(CONTEXT, CONTEXT_LEN);
        fields.unwrap_or_else(|| View::of(&mut []))
    }

    /// Writes the context's addresses and moves the packet's region to where the packet is now.
    pub(crate) fn moved(&self) {
        let mut place = self.packet.place.get();
        let fields = self.fields();
        match place.kind {
            PacketKind::Xdp => {
                fields.set_u32(XdpField::DATA, place.data as u32);
                fields.set_u32(XdpField::DATA_END, place.end as u32);
                fields.set_u32(XdpField::DATA_META, place.meta as u32);
            }
            PacketKind::Skb => self.show_skb(&place, fields),
            PacketKind::Flow => {
                fields.set_u32(SkbField::DATA, place.data as u32);
                fields.set_u32(SkbField::DATA_END, place.end as u32);
            }
            _ => {}
        }
        if place.direct {
            let region = Ours {
                start: place.meta,
                len: place.end.saturating_sub(place.meta),
                writable: place.writable,
            };
            // A packet that lies where the one before it did is known already.
            if self.regions.borrow_mut().replace(place.granted, region) {
                self.hot.caches.clear();
                place.granted = place.meta;
                self.packet.place.set(place);
            }
        }
    }

    /// Changes where the packet is, and tells the program.
    pub(crate) fn move_packet(&self, place: Place) {
        self.packet.place.set(place);
        self.moved();
    }

    /// Lets the packet or its metadata begin at `first`, and zeroes what no program of this packet
    /// has seen yet.
    pub(crate) fn expose(&self, place: &mut Place, first: u64) {
        if let Some(len) = place.clean.checked_sub(first) {
            if let Some(fresh) = self.packet_at(first, len) {
                fresh.fill(0);
            }
            place.clean = first;
        }
    }

    /// Whether an address is what the program has for its packet.
    pub(crate) fn is_packet(&self, address: u64) -> bool {
        let place = self.packet.place.get();
        match place.kind {
            PacketKind::Nothing => false,
            PacketKind::Netfilter => {
                let buffer = self.packet_part(BUFFER, 8);
                buffer.is_some_and(|buffer| buffer.address() == address)
            }
            _ => address == self.context(),
        }
    }

    /// Bytes of the whole packet.
    pub(crate) fn packet_len(&self) -> u64 {
        let place = self.packet.place.get();
        place.tail.saturating_sub(place.data)
    }

    /// `len` bytes of the packet from `offset` on, its fragments too; `None` if it has not so many.
    pub(crate) fn packet_bytes(&self, offset: u64, len: u64) -> Option<View<'_>> {
        let place = self.packet.place.get();
        let end = offset.checked_add(len)?;
        if end > place.tail.saturating_sub(place.data) {
            return None;
        }
        self.packet_at(place.data + offset, len)
    }

    /// The bytes of its metadata.
    pub(crate) fn packet_meta(&self) -> Option<View<'_>> {
        let place = self.packet.place.get();
        self.packet_at(place.meta, place.data.saturating_sub(place.meta))
    }

    /// Where the program sends the packet, if its verdict is to send it.
    pub(crate) fn redirect(&self) -> Option<Redirect> {
        self.packet.redirect.get()
    }

    /// Where the packet goes that a program of this run's type answered so.
    pub(crate) fn sends(&self, value: u32) -> Option<Redirect> {
        let sends = match self.first_type() {
            ProgramType::Xdp => value == XDP_REDIRECT,
            ProgramType::SkSkb => value == SK_PASS,
            _ => value == TC_REDIRECT,
        };
        if sends { self.redirect() } else { None }
    }

    /// Says where the packet shall go.
    pub(crate) fn set_redirect(&self, to: Option<Redirect>) {
        self.packet.redirect.set(to);
    }

    /// Lets the program see a socket until the run ends; answers its address.
    pub(crate) fn show_socket(&self, socket: &Arc<Socket>) -> u64 {
        let mut sockets = self.packet.sockets.borrow_mut();
        if !sockets.iter().any(|shown| Arc::ptr_eq(shown, socket)) {
            sockets.push(Arc::clone(socket));
            for part in socket.parts() {
                self.grant(Ours {
                    start: part.address(),
                    len: part.len() as u64,
                    writable: false,
                });
            }
        }
        socket.address()
    }

    /// The socket that the packet belongs to.
    pub(crate) fn packet_socket(&self) -> Option<Arc<Socket>> {
        self.packet.own_socket.borrow().clone()
    }

    /// Says which socket the packet belongs to; answers its address.
    pub(crate) fn set_packet_socket(&self, socket: Arc<Socket>) -> u64 {
        let address = self.show_socket(&socket);
        *self.packet.own_socket.borrow_mut() = Some(socket);
        address
    }

    /// The socket that the program has at this address.
    pub(crate) fn socket(&self, address: u64) -> Option<Arc<Socket>> {
        let sockets = self.packet.sockets.borrow();
        let found = sockets.iter().find(|socket| socket.address() == address);
        found.cloned()
    }
}

impl Place {
    /// Bytes of it that are in fragments.
    pub(crate) const fn in_fragments(&self) -> u64 {
        self.tail.saturating_sub(self.end)
    }

    /// The bytes that the last fragment can grow by.
    pub(crate) fn fragment_room(&self) -> u64 {
        let all = self.tail.saturating_sub(self.fragments);
        FRAGMENT - (all.saturating_sub(1) % FRAGMENT + 1)
    }
}
