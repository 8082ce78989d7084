//! Random packets and numbers, the same each time.

/// A generator of numbers (xorshift).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// One of these.
    pub(super) fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// A frame of Ethernet with this type and so many bytes behind its header.
    pub(super) fn frame(&mut self, kind: u16, len: usize) -> Vec<u8> {
        let mut frame = self.bytes(14 + len);
        let destination: [u8; 6] = self.one(&[[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1], [2; 6]]);
        frame[..6].copy_from_slice(&destination);
        frame[12..14].copy_from_slice(&kind.to_be_bytes());
        let version = if kind == 0x86dd { 0x60 } else { 0x45 };
        if let Some(first) = frame.get_mut(14) {
            *first = version;
        }
        frame
    }

    /// A frame that is likely to be something.
    pub(super) fn packet(&mut self) -> Vec<u8> {
        let kind = self.one(&[0x0800, 0x0800, 0x86dd, 0x86dd, 0x8100, 0x88a8, 0x0806]);
        let len = self.one(&[46, 60, 90, 300, 1400]) + self.below(20) as usize;
        let mut frame = self.frame(kind, len);
        if matches!(kind, 0x8100 | 0x88a8) {
            let inner: u16 = self.one(&[0x0800, 0x86dd, 0x8100, 5]);
            frame[16..18].copy_from_slice(&inner.to_be_bytes());
            let last: u16 = self.one(&[0x0800, 0x86dd, 0x8100, 0x0806]);
            frame[20..22].copy_from_slice(&last.to_be_bytes());
        }
        frame
    }
}
