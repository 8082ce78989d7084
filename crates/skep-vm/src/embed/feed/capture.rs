//! Captures as what is fed.

use std::io::Read;

use super::{Feed, Frame, Outcome};
use crate::capture::{Capture, CaptureError, Ethernet, Packet, Problem};

impl Feed<'_> {
    /// Feeds the device the packets of a capture, at most `most` of them; after each, `each` sees
    /// what became of it. Answers how many there were: less than `most` at the end.
    ///
    /// Packets of whatever interface come by the one device. Those that were captured without an
    /// Ethernet header get one; see [`LinkType::ethernet`](crate::capture::LinkType::ethernet).
    ///
    /// # Errors
    /// The capture is damaged or can't be read; its packets are of a kind of link that nothing can
    /// be made of. All packets before were fed and counted.
    pub fn capture<R: Read, E: From<CaptureError>>(
        &mut self,
        capture: &mut Capture<R>,
        most: u64,
        mut each: impl FnMut(&Self, &Packet<'_>, Outcome) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut buffer = Ethernet::default();
        let line = self.line(self.options.ifindex);
        let device = line.map_or([0; 6], |line| self.lines[line].mac);
        for count in 0..most {
            let offset = capture.offset();
            let packet = match capture.next()? {
                None => return Ok(count),
                Some(packet) if packet.link.is_supported() => packet,
                Some(packet) => {
                    return Err(CaptureError::new(offset, Problem::Link(packet.link)).into());
                }
            };
            self.report.cut += u64::from(packet.is_cut());
            let whole = packet.link.ethernet(packet.bytes, device, &mut buffer);
            let bytes = whole.unwrap_or_default();
            let more = bytes.len().saturating_sub(packet.bytes.len()) as u32;
            if packet.link != crate::capture::LinkType::ETHERNET && whole.is_some() {
                self.report.made_up += 1;
            }
            let frame = Frame {
                ifindex: self.options.ifindex,
                timestamp: packet.timestamp,
                original_len: packet.original_len.saturating_add(more),
                ..Frame::new(bytes)
            };
            let outcome = self.packet(&frame);
            each(self, &packet, outcome)?;
        }
        Ok(most)
    }
}
