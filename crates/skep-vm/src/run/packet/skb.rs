//! What an `sk_buff` has beside its bytes: headers, VLAN tag, checksum, hash; and how its bytes
//! grow and shrink.

use skep_host::Errno;

use super::{Ours, Place, Run, SkbField, sum};

/// Bytes of a link-layer header.
pub(crate) const ETH_LEN: u64 = 14;
/// The longest that a packet can grow to.
pub(crate) const SKB_LONGEST: u64 = 16384 - 320;

/// EtherTypes.
pub(crate) mod ether {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const IPV6: u16 = 0x86dd;
    pub(crate) const VLAN: u16 = 0x8100;
    pub(crate) const VLAN_AD: u16 = 0x88a8;
    /// Not a type: frames of Novell's without one.
    pub(crate) const RAW_802_3: u16 = 1;
    /// Not a type: frames with an LLC header.
    pub(crate) const LLC: u16 = 4;
    /// The smallest type; below are lengths.
    pub(crate) const SMALLEST: u16 = 0x0600;

    /// Whether it is a VLAN tag's.
    pub(crate) const fn is_vlan(proto: u16) -> bool {
        matches!(proto, VLAN | VLAN_AD)
    }
}

/// What is known of the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sum {
    /// Nothing.
    #[default]
    None,
    /// This many checksums more than one are right.
    Unnecessary(u8),
    /// The device has summed the packet from its network header on.
    Complete,
}

/// A header that offsets count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    Mac,
    Network,
}

/// See the top of the file. Headers are addresses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Skb {
    pub(crate) mac: u64,
    pub(crate) network: u64,
    /// 0 where none was set.
    pub(crate) transport: u64,
    /// In host order.
    pub(crate) protocol: u16,
    pub(crate) packet_type: u8,
    /// The tag that is not in its bytes: type and control information.
    pub(crate) vlan: Option<(u16, u16)>,
    pub(crate) hash: u32,
    /// A program has set the hash.
    pub(crate) hash_set: bool,
    pub(crate) encapsulated: bool,
    pub(crate) sum: Sum,
    /// The sum, of a packet that was summed.
    pub(crate) total: u32,
    pub(crate) gso_size: u32,
    pub(crate) gso_segments: u32,
}

impl Skb {
    /// Of a packet that a device has received: with a link-layer header, which begins at `mac`.
    /// `device` is the device's own address.
    pub(super) fn received(mac: u64, bytes: &[u8], device: [u8; 6]) -> Option<Self> {
        let destination: &[u8; 6] = bytes.first_chunk()?;
        let kind = u16::from_be_bytes([*bytes.get(12)?, *bytes.get(13)?]);
        let packet_type = match destination {
            own if *own == device => HOST,
            // `lo` has no address for all.
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] if device != [0; 6] => BROADCAST,
            [first, ..] if first & 1 != 0 => MULTICAST,
            _ => OTHER_HOST,
        };
        Some(Self {
            mac,
            network: mac + ETH_LEN,
            protocol: protocol(kind, bytes.get(14..16)),
            packet_type,
            ..Self::default()
        })
    }

    /// The same with a hash that is to be computed.
    #[must_use]
    pub(crate) const fn without_hash(mut self) -> Self {
        self.hash = 0;
        self.hash_set = false;
        self
    }

    /// The same, everything `by` bytes further behind.
    pub(super) fn shifted(mut self, by: i64) -> Self {
        self.mac = self.mac.wrapping_add_signed(by);
        self.network = self.network.wrapping_add_signed(by);
        if self.transport != 0 {
            self.transport = self.transport.wrapping_add_signed(by);
        }
        self
    }
}

/// What `__sk_buff.protocol` says of a type field and the bytes behind it.
pub(crate) fn protocol(kind: u16, behind: Option<&[u8]>) -> u16 {
    match behind {
        _ if kind >= ether::SMALLEST => kind,
        Some([0xff, 0xff]) => ether::RAW_802_3,
        _ => ether::LLC,
    }
}

/// `PACKET_HOST` and its like.
pub(crate) const HOST: u8 = 0;
const BROADCAST: u8 = 1;
const MULTICAST: u8 = 2;
/// `PACKET_OTHERHOST`, the last that a program can set.
pub(crate) const OTHER_HOST: u8 = 3;

impl Run<'_> {
    pub(super) fn grant_skb_context(&self) {
        let start = self.fields().address();
        for (offset, len) in SkbField::WRITABLE {
            self.grant(Ours {
                start: start + offset as u64,
                len: len as u64,
                writable: true,
            });
        }
        self.grant(Ours {
            start,
            len: SkbField::LEN as u64,
            writable: false,
        });
    }

    /// Writes the fields of the context that say where and what the packet is.
    pub(super) fn show_skb(&self, place: &Place, fields: crate::memory::View<'_>) {
        let skb = self.packet.skb.get();
        let (proto, tci) = skb.vlan.unwrap_or_default();
        let len = place.tail.saturating_sub(place.data);
        fields.set_u32(SkbField::PACKET_LEN, len as u32);
        fields.set_u32(SkbField::PKT_TYPE, u32::from(skb.packet_type));
        fields.set_u32(SkbField::PROTOCOL, u32::from(skb.protocol.to_be()));
        fields.set_u32(SkbField::VLAN_PRESENT, u32::from(skb.vlan.is_some()));
        fields.set_u32(SkbField::VLAN_TCI, u32::from(tci));
        fields.set_u32(SkbField::VLAN_PROTO, u32::from(proto.to_be()));
        fields.set_u32(SkbField::HASH, skb.hash);
        fields.set_u32(SkbField::GSO_SEGS, skb.gso_segments);
        fields.set_u32(SkbField::GSO_SIZE, skb.gso_size);
        if place.direct {
            fields.set_u32(SkbField::DATA, place.data as u32);
            fields.set_u32(SkbField::DATA_END, place.end as u32);
            fields.set_u32(SkbField::DATA_META, place.meta as u32);
        }
    }

    /// Changes the packet's headers and tells the program.
    pub(crate) fn set_skb(&self, skb: Skb) {
        self.packet.skb.set(skb);
        self.moved();
    }

    /// The offset of a header from the packet's first byte; negative before it.
    pub(crate) fn header_offset(&self, header: Header) -> i64 {
        let (place, skb) = (self.packet.place.get(), self.packet.skb.get());
        let at = match header {
            Header::Mac => skb.mac,
            Header::Network => skb.network,
        };
        at.wrapping_sub(place.data) as i64
    }

    /// Makes `len` bytes linear, as far as the packet goes.
    ///
    /// # Errors
    /// `ENOMEM`: it has not so many.
    pub(crate) fn make_linear(&self, len: u64) -> Result<(), Errno> {
        let mut place = self.packet.place.get();
        let end = place.data.checked_add(len).ok_or(Errno::ENOMEM)?;
        if end > place.tail {
            return Err(Errno::ENOMEM);
        }
        if end > place.end {
            place.end = end;
            self.move_packet(place);
        }
        Ok(())
    }

    /// Makes room for `len` bytes before the packet, which then begins there; what they hold is
    /// left as it is. Headers stay where their bytes are.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn push(&self, len: u64) -> Result<(), Errno> {
        let mut place = self.packet.place.get();
        if place.data.saturating_sub(place.low) < len {
            self.to_the_back(&mut place, len)?;
        }
        place.data -= len;
        place.meta = place.data;
        place.clean = place.clean.min(place.data);
        self.packet.place.set(place);
        Ok(())
    }

    /// Moves the packet to the end of the block.
    fn to_the_back(&self, place: &mut Place, wanted: u64) -> Result<(), Errno> {
        let skb = self.packet.skb.get();
        let first = place.data.min(skb.mac).min(place.meta);
        let len = place.tail.saturating_sub(first);
        // Room behind it stays, for it to grow.
        let to = place.high - len - SKB_LONGEST;
        if to.saturating_sub(place.low) < wanted || to <= first {
            return Err(Errno::ENOMEM);
        }
        let bytes = self.packet_at(first, len).ok_or(Errno::ENOMEM)?.to_vec();
        self.packet_at(to, len).ok_or(Errno::ENOMEM)?.write(&bytes);
        let by = (to - first) as i64;
        for at in [
            &mut place.meta,
            &mut place.data,
            &mut place.end,
            &mut place.tail,
            &mut place.fragments,
        ] {
            *at = at.wrapping_add_signed(by);
        }
        place.clean = to;
        self.packet.skb.set(skb.shifted(by));
        Ok(())
    }

    /// Puts `len` zero bytes behind the first `offset` ones; the headers up to there move with
    /// their bytes.
    ///
    /// # Errors
    /// `ENOMEM`, `EFAULT`.
    pub(crate) fn insert(&self, offset: u64, len: u64) -> Result<(), Errno> {
        if self.packet_len() < offset {
            return Err(Errno::EFAULT);
        }
        self.push(len)?;
        let before = self
            .packet_bytes(len, offset)
            .ok_or(Errno::EFAULT)?
            .to_vec();
        self.packet_bytes(0, offset)
            .ok_or(Errno::EFAULT)?
            .write(&before);
        self.packet_bytes(offset, len).ok_or(Errno::EFAULT)?.fill(0);
        Ok(())
    }

    /// Takes `len` bytes out behind the first `offset` ones.
    ///
    /// # Errors
    /// `ENOMEM`: it has not so many.
    pub(crate) fn remove(&self, offset: u64, len: u64) -> Result<(), Errno> {
        self.make_linear(offset.saturating_add(len))?;
        self.forget_sum(offset, len);
        let before = self.packet_bytes(0, offset).ok_or(Errno::ENOMEM)?.to_vec();
        let mut place = self.packet.place.get();
        place.data += len;
        place.meta = place.data;
        self.packet.place.set(place);
        self.packet_bytes(0, offset)
            .ok_or(Errno::ENOMEM)?
            .write(&before);
        Ok(())
    }

    /// Takes bytes out of a complete checksum, before they go or change.
    pub(crate) fn forget_sum(&self, offset: u64, len: u64) {
        self.change_sum(offset, len, sum::sub);
    }

    /// Adds bytes to a complete checksum.
    pub(crate) fn remember_sum(&self, offset: u64, len: u64) {
        self.change_sum(offset, len, sum::add);
    }

    fn change_sum(&self, offset: u64, len: u64, change: fn(u32, u32) -> u32) {
        let mut skb = self.packet.skb.get();
        if let (Sum::Complete, Some(bytes)) = (skb.sum, self.packet_bytes(offset, len)) {
            skb.total = change(skb.total, sum::block(bytes, offset));
            self.packet.skb.set(skb);
        }
    }
}
