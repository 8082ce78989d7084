//! A run is given its packet: a frame, a packet with an `__sk_buff`, or bytes alone.

use skep_host::Errno;

use super::{
    AREA, Direct, HEADROOM, LEN, LONGEST, MIDDLE, PacketKind, Place, SHARED_INFO, Skb, XdpField,
    XdpInput,
};
use crate::{
    memory::View,
    run::{Ours, Run},
};

impl Run<'_> {
    /// Gives the run a frame; answers the context's address. A frame that it had is gone.
    ///
    /// # Errors
    /// `ENOMEM`; `E2BIG`: it is longer than packets are.
    pub(crate) fn receive_frame(&self, input: &XdpInput<'_>) -> Result<u64, Errno> {
        let block = self.packet_block()?;
        let len = input.bytes.len();
        if len > LONGEST || input.meta > HEADROOM || input.linear < input.meta {
            return Err(Errno::E2BIG);
        }
        let first = AREA + HEADROOM - input.meta;
        let frame = block.view(first, len).ok_or(Errno::E2BIG)?;
        frame.write(input.bytes);
        let meta = frame.address();
        let end = meta + input.linear.min(len) as u64;
        let low = block.address() + AREA as u64;
        let page = low + (4096 - SHARED_INFO) as u64;
        let old = self.packet.place.get();
        self.packet.place.set(Place {
            kind: PacketKind::Xdp,
            low,
            high: page.max(end),
            meta,
            data: meta + input.meta as u64,
            end,
            tail: meta + len as u64,
            clean: meta,
            fragments: end,
            direct: true,
            writable: true,
            granted: old.granted,
        });
        self.forget_packet();
        let fields = self.fields();
        fields.set_u32(XdpField::INGRESS_IFINDEX, input.ifindex);
        fields.set_u32(XdpField::RX_QUEUE_INDEX, input.queue);
        fields.set_u32(XdpField::EGRESS_IFINDEX, 0);
        if old.kind == PacketKind::Nothing {
            self.grant_xdp_context();
        }
        self.moved();
        Ok(fields.address())
    }

    pub(super) fn grant_xdp_context(&self) {
        self.grant(Ours {
            start: self.fields().address(),
            len: XdpField::LEN as u64,
            writable: false,
        });
    }

    /// Gives the run a packet with a link-layer header and the context of an `__sk_buff`; answers
    /// the context's address. `linear` bytes of it lie in one piece; `l2`: the program sees the
    /// header; `device` is the address of the device that it came from.
    ///
    /// # Errors
    /// As [`Run::receive_frame`]; `EINVAL`: it has no header.
    pub(crate) fn receive_skb(
        &self,
        bytes: &[u8],
        linear: usize,
        l2: bool,
        direct: Direct,
        device: [u8; 6],
    ) -> Result<u64, Errno> {
        let block = self.packet_block()?;
        let len = bytes.len();
        if len > LONGEST {
            return Err(Errno::E2BIG);
        }
        let packet = block.view(MIDDLE, len).ok_or(Errno::E2BIG)?;
        packet.write(bytes);
        let mac = packet.address();
        let skb = Skb::received(mac, bytes, device).ok_or(Errno::EINVAL)?;
        let data = if l2 { mac } else { skb.network };
        let end = mac + linear.min(len) as u64;
        let old = self.packet.place.get();
        self.packet.place.set(Place {
            kind: PacketKind::Skb,
            low: block.address() + AREA as u64,
            high: block.address() + LEN as u64,
            meta: data,
            data,
            end,
            tail: mac + len as u64,
            clean: mac,
            fragments: end,
            direct: direct != Direct::No,
            writable: direct == Direct::Write,
            granted: old.granted,
        });
        self.packet.skb.set(skb);
        self.forget_packet();
        self.fields().fill(0);
        if old.kind == PacketKind::Nothing {
            self.grant_skb_context();
        }
        self.moved();
        Ok(self.fields().address())
    }

    /// Gives the run a packet that it has by other means than a context.
    ///
    /// # Errors
    /// As [`Run::receive_skb`].
    pub(crate) fn receive_plain(&self, kind: PacketKind, bytes: &[u8]) -> Result<View<'_>, Errno> {
        let block = self.packet_block()?;
        if bytes.len() > LONGEST {
            return Err(Errno::E2BIG);
        }
        let packet = block.view(MIDDLE, bytes.len()).ok_or(Errno::E2BIG)?;
        packet.write(bytes);
        let data = packet.address();
        let old = self.packet.place.get();
        let tail = data + bytes.len() as u64;
        self.packet.place.set(Place {
            kind,
            low: block.address() + AREA as u64,
            high: block.address() + LEN as u64,
            meta: data,
            data,
            end: tail,
            tail,
            clean: data,
            fragments: tail,
            direct: kind == PacketKind::Flow,
            writable: false,
            granted: old.granted,
        });
        self.forget_packet();
        let block = block.view(0, AREA).ok_or(Errno::ENOMEM)?;
        block.fill(0);
        self.moved();
        Ok(block)
    }

    /// Forgets what belonged to the packet before, but what it sent elsewhere.
    pub(super) fn forget_packet(&self) {
        let packet = &self.packet;
        packet.redirect.set(None);
        *packet.own_socket.borrow_mut() = None;
        *packet.selected.borrow_mut() = None;
        *packet.tunnel.borrow_mut() = None;
        for socket in packet.sockets.borrow_mut().drain(..) {
            for part in socket.parts() {
                self.revoke(part.address());
            }
        }
    }
}
