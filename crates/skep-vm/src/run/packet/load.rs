//! The packet loads of classic BPF, which some program types still have.

use super::{PacketKind, Run};

/// Offsets from here up to -1 count from the network header.
const NETWORK: i64 = -0x10_0000;
/// Offsets from here up to [`NETWORK`] count from the link-layer header.
const LINK: i64 = -0x20_0000;

impl Run<'_> {
    /// A number in network order at an offset of the packet; `None` outside it.
    pub(crate) fn load_packet(&self, context: u64, offset: i32, size: u8) -> Option<u64> {
        let place = self.packet.place.get();
        if place.kind != PacketKind::Skb || context != self.context() {
            return None;
        }
        let (offset, size) = (i64::from(offset), u64::from(size));
        let (address, end) = if offset >= 0 {
            (place.data.checked_add_signed(offset)?, place.tail)
        } else {
            // The kernel reads these from the linear part only.
            let skb = self.packet.skb.get();
            let address = match offset {
                NETWORK.. => skb.network.checked_add_signed(offset - NETWORK)?,
                LINK.. => skb.mac.checked_add_signed(offset - LINK)?,
                _ => return None,
            };
            (address, place.end)
        };
        if address.checked_add(size)? > end || address < place.low {
            return None;
        }
        let bytes = self.packet_at(address, size)?;
        Some(match size {
            1 => u64::from(bytes.u8_at(0)?),
            2 => u64::from(u16::from_be(bytes.u16_at(0)?)),
            4 => u64::from(u32::from_be(bytes.u32_at(0)?)),
            _ => return None,
        })
    }
}
