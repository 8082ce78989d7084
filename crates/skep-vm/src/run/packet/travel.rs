//! A packet on its way from one program to the next: it stays where it lies in the CPU's block,
//! and the next run takes over what is known of it.

use super::{
    AREA, Direct, LEN, MIDDLE, PacketKind, Place, Run, Skb, SkbField, XdpField, ether,
    skb::protocol,
};

/// What a run leaves to the next, on the same CPU.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Travelling {
    place: Place,
    skb: Skb,
}

/// `PACKET_OUTGOING`
const OUTGOING: u8 = 4;
/// Bytes of a VLAN tag: its type and what it says.
const TAG: u64 = 4;
/// Bytes of the two addresses of a frame.
const ADDRESSES: usize = 12;
/// The same with the longest metadata there is before them.
const META_AND_ADDRESSES: usize = 256 + ADDRESSES;

impl Travelling {
    /// Bytes of the frame, without a tag that is beside it.
    pub(crate) fn len(&self) -> u64 {
        self.place.tail.saturating_sub(self.place.data)
    }

    /// The same as packet sockets see it that is sent.
    pub(crate) fn outgoing(&self) -> Self {
        let mut copy = *self;
        copy.skb.packet_type = OUTGOING;
        copy
    }
}

impl Run<'_> {
    /// What the packet is now, for the next run.
    pub(crate) fn packet_left(&self) -> Travelling {
        Travelling {
            place: self.packet.place.get(),
            skb: self.packet.skb.get(),
        }
    }

    /// Takes over a frame that another XDP program has left; answers the context's address.
    pub(crate) fn take_frame(&self, left: &Travelling, egress: u32) -> u64 {
        let old = self.packet.place.get();
        self.packet.place.set(Place {
            granted: old.granted,
            ..left.place
        });
        self.forget_packet();
        let fields = self.fields();
        fields.set_u32(XdpField::EGRESS_IFINDEX, egress);
        if old.kind == PacketKind::Nothing {
            self.grant_xdp_context();
        }
        self.moved();
        fields.address()
    }

    /// Makes an `sk_buff` of a frame that an XDP program has left, as the device `device` does it:
    /// a VLAN tag is taken out of its bytes, metadata stays. `None`: it is no frame any more.
    pub(crate) fn received(&self, left: &Travelling, device: [u8; 6]) -> Option<Travelling> {
        let mut place = left.place;
        place.kind = PacketKind::Skb;
        if let Some(block) = self.packet_part(0, LEN) {
            place.low = block.address() + AREA as u64;
            place.high = block.address() + LEN as u64;
        }
        place.fragments = place.end;
        let mut head = [0; 18];
        let known = self
            .packet_at(place.data, head.len() as u64)?
            .read(&mut head);
        let len = usize::try_from(place.tail.checked_sub(place.data)?).ok()?;
        let bytes = head.get(..known.min(len))?;
        let mut skb = Skb::received(place.data, bytes, device)?;
        if ether::is_vlan(skb.protocol) {
            self.take_tag(&mut place, &mut skb, bytes.get(14..18)?)?;
        }
        self.fields().fill(0);
        Some(Travelling { place, skb })
    }

    /// Puts a packet into the block and makes an `sk_buff` of it.
    pub(crate) fn received_bytes(&self, bytes: &[u8], device: [u8; 6]) -> Option<Travelling> {
        let packet = self.packet_part(MIDDLE, bytes.len())?;
        packet.write(bytes);
        let data = packet.address();
        let tail = data + bytes.len() as u64;
        let place = Place {
            meta: data,
            data,
            end: tail,
            tail,
            clean: data,
            ..Place::default()
        };
        let skb = Skb::default();
        self.received(&Travelling { place, skb }, device)
    }

    /// Moves a tag from the packet's bytes beside them.
    fn take_tag(&self, place: &mut Place, skb: &mut Skb, behind: &[u8]) -> Option<()> {
        let word = |at: usize| {
            let part = behind.get(at..)?.first_chunk()?;
            Some(u16::from_be_bytes(*part))
        };
        let (tag, kind) = (word(0)?, word(2)?);
        let first = place.meta;
        let kept = usize::try_from(place.data.checked_sub(first)?).ok()? + ADDRESSES;
        let mut bytes = [0; META_AND_ADDRESSES];
        let bytes = bytes.get_mut(..kept)?;
        self.packet_at(first, kept as u64)?.read(bytes);
        self.packet_at(first + TAG, kept as u64)?.write(bytes);
        place.meta += TAG;
        place.data += TAG;
        place.clean = place.clean.max(place.meta);
        let mut behind = [0; 2];
        self.packet_at(place.data + 14, 2)?.read(&mut behind);
        *skb = skb.shifted(TAG as i64);
        skb.vlan = Some((skb.protocol, tag));
        skb.protocol = protocol(kind, Some(&behind));
        Some(())
    }

    /// Takes over an `sk_buff`, of which the program sees the link-layer header or not; answers
    /// the context's address. What programs before it have written into the context stays, but
    /// `cb` where `clear` says so.
    pub(crate) fn take_skb(
        &self,
        left: &Travelling,
        l2: bool,
        direct: Direct,
        clear: bool,
    ) -> Option<u64> {
        let old = self.packet.place.get();
        let mut place = left.place;
        place.direct = direct != Direct::No;
        place.writable = direct == Direct::Write;
        place.granted = old.granted;
        if !l2 {
            if left.skb.network < place.data || left.skb.network > place.end {
                return None;
            }
            place.data = left.skb.network;
            place.meta = place.data;
        }
        self.packet.place.set(place);
        self.packet.skb.set(left.skb);
        self.forget_packet();
        let fields = self.fields();
        if clear {
            self.clear_cb();
        }
        // What only some see is for those alone.
        fields.set_u32(SkbField::DATA, 0);
        fields.set_u32(SkbField::DATA_END, 0);
        fields.set_u32(SkbField::DATA_META, 0);
        if old.kind == PacketKind::Nothing {
            self.grant_skb_context();
        }
        self.moved();
        Some(fields.address())
    }

    /// Clears what programs note in the packet (`cb`).
    pub(crate) fn clear_cb(&self) {
        if let Some(cb) = self.fields().part(SkbField::CB, SkbField::CB_LEN) {
            cb.fill(0);
        }
    }

    /// Copies the frame out, a tag that is beside it in its place; at most `most` bytes.
    pub(crate) fn copy_left(&self, left: &Travelling, most: usize, out: &mut Vec<u8>) {
        out.clear();
        let len = left.len();
        let Some(frame) = self.packet_at(left.place.data, len) else {
            return;
        };
        out.resize(len as usize, 0);
        frame.read(out);
        if let Some((kind, tag)) = left.skb.vlan.filter(|_| out.len() >= ADDRESSES) {
            let [a, b, c, d] = (u32::from(kind) << 16 | u32::from(tag)).to_be_bytes();
            out.splice(ADDRESSES..ADDRESSES, [a, b, c, d]);
        }
        out.truncate(most);
    }

    /// Puts back the bytes of a frame that was copied out.
    pub(crate) fn restore_frame(&self, left: &Travelling, bytes: &[u8]) {
        if let Some(frame) = self.packet_at(left.place.data, left.len()) {
            frame.write(bytes);
        }
    }

    /// Where an IP packet goes.
    pub(crate) fn destination(&self, left: &Travelling) -> Option<std::net::IpAddr> {
        let network = left.skb.network;
        let read = |offset: u64, out: &mut [u8]| {
            let at = network + offset;
            let fits = at + out.len() as u64 <= left.place.tail;
            let part = self.packet_at(at, out.len() as u64).filter(|_| fits)?;
            part.read(out);
            Some(())
        };
        match left.skb.protocol {
            ether::IPV4 => {
                let mut octets = [0; 4];
                read(16, &mut octets)?;
                Some(octets.into())
            }
            ether::IPV6 => {
                let mut octets = [0; 16];
                read(24, &mut octets)?;
                Some(octets.into())
            }
            _ => None,
        }
    }

    /// Writes the link-layer addresses of a frame.
    pub(crate) fn set_addresses(&self, left: &Travelling, to: [u8; 6], from: [u8; 6]) {
        if let Some(head) = self.packet_at(left.place.data, ADDRESSES as u64) {
            head.write(&[to, from].concat());
        }
    }
}

impl Travelling {
    /// Whether IP takes it: it has a whole header of the version that its type says.
    pub(crate) fn is_ip(&self) -> bool {
        let header = match self.skb.protocol {
            ether::IPV4 => 20,
            ether::IPV6 => 40,
            _ => return false,
        };
        self.skb.network.saturating_add(header) <= self.place.tail
    }
}
