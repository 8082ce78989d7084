//! Dynptrs: 16 bytes in program memory that stand for a piece of memory, laid out as the kernel's
//! `struct bpf_dynptr_kern`: data, size with type and a read-only bit, offset.
//!
//! In checked mode a program can write what it likes into them. Nothing here is believed: memory is
//! reached through the run's regions, packets through the run's own packet.

use skep_host::Errno;

use super::Run;
use crate::{FaultKind, helper::packet, memory::View};

/// Bytes of a dynptr in program memory.
pub(crate) const SIZE: u64 = 16;

/// The most bytes that one can stand for.
pub(crate) const MAX: u64 = (1 << 24) - 1;

const KIND_SHIFT: u32 = 28;
const READ_ONLY: u32 = 1 << 31;

/// What a dynptr stands for: `enum bpf_dynptr_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum DynptrKind {
    /// Nothing.
    Invalid = 0,
    /// Memory of the program.
    Local = 1,
    /// A record of a ring buffer.
    Ringbuf = 2,
    /// A packet with its `sk_buff`; the data is the context's address.
    Skb = 3,
    /// A packet of XDP; the data is the context's address.
    Xdp = 4,
    /// The metadata before a packet; the data is the context's address.
    SkbMeta = 5,
    /// A file; the data is the file's address.
    File = 6,
}

impl DynptrKind {
    const fn from_bits(bits: u32) -> Self {
        match bits {
            1 => Self::Local,
            2 => Self::Ringbuf,
            3 => Self::Skb,
            4 => Self::Xdp,
            5 => Self::SkbMeta,
            6 => Self::File,
            _ => Self::Invalid,
        }
    }

    /// Whether its bytes lie at an address.
    pub(crate) const fn is_memory(self) -> bool {
        matches!(self, Self::Local | Self::Ringbuf)
    }
}

/// A dynptr as it was read from program memory. One whose `data` is 0 stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dynptr {
    /// Where the memory, or what has the bytes, is.
    pub(crate) data: u64,
    pub(crate) kind: DynptrKind,
    pub(crate) read_only: bool,
    /// Bytes from `offset` on.
    pub(crate) size: u32,
    /// Bytes before the first.
    pub(crate) offset: u32,
}

impl Dynptr {
    /// What stands for nothing.
    pub(crate) const NULL: Self = Self {
        data: 0,
        kind: DynptrKind::Invalid,
        read_only: false,
        size: 0,
        offset: 0,
    };

    /// All of `size` bytes at `data`.
    pub(crate) const fn new(kind: DynptrKind, data: u64, size: u32) -> Self {
        Self {
            data,
            kind,
            read_only: false,
            size,
            offset: 0,
        }
    }

    /// The same, but not to be written.
    #[must_use]
    pub(crate) const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The dynptr at an address of the program.
    ///
    /// # Errors
    /// The address is not the program's.
    pub(crate) fn load(run: &Run<'_>, address: u64) -> Result<Self, FaultKind> {
        let place = run.view(address, SIZE, false)?;
        let size = place.u32_at(8).unwrap_or_default();
        Ok(Self {
            data: place.u64_at(0).unwrap_or_default(),
            kind: DynptrKind::from_bits(size >> KIND_SHIFT & 7),
            read_only: size & READ_ONLY != 0,
            size: size & MAX as u32,
            offset: place.u32_at(12).unwrap_or_default(),
        })
    }

    /// Writes it to an address of the program.
    ///
    /// # Errors
    /// The address is not the program's.
    pub(crate) fn store(self, run: &Run<'_>, address: u64) -> Result<(), FaultKind> {
        self.write_to(run.view(address, SIZE, true)?);
        Ok(())
    }

    /// Writes it to memory that the program does not reach by itself.
    pub(crate) fn write_to(self, place: View<'_>) {
        let read_only = if self.read_only { READ_ONLY } else { 0 };
        let size = self.size & MAX as u32 | (self.kind as u32) << KIND_SHIFT | read_only;
        place.set_u64(0, self.data);
        place.set_u32(8, size);
        place.set_u32(12, self.offset);
    }

    /// Whether it stands for nothing.
    pub(crate) const fn is_null(self) -> bool {
        self.data == 0
    }

    /// Whether `len` bytes at `offset` are inside.
    ///
    /// # Errors
    /// `E2BIG`.
    pub(crate) const fn check(self, offset: u32, len: u32) -> Result<(), Errno> {
        if len > self.size || offset > self.size - len {
            return Err(Errno::E2BIG);
        }
        Ok(())
    }

    /// The address of its byte at `offset`, of one whose bytes lie at an address.
    pub(crate) const fn address(self, offset: u32) -> u64 {
        self.data
            .wrapping_add(self.offset as u64)
            .wrapping_add(offset as u64)
    }

    /// Reads its bytes from `offset` on, as many as `to` has.
    ///
    /// # Errors
    /// `EINVAL`: it stands for nothing; `E2BIG`; what packets say. The outer error: it was forged.
    pub(crate) fn read(
        self,
        run: &Run<'_>,
        offset: u32,
        to: View<'_>,
    ) -> Result<Result<(), Errno>, FaultKind> {
        if self.is_null() {
            return Ok(Err(Errno::EINVAL));
        }
        if let Err(errno) = self.check(offset, to.len() as u32) {
            return Ok(Err(errno));
        }
        match self.kind {
            DynptrKind::Local | DynptrKind::Ringbuf => {
                let from = run.view(self.address(offset), to.len() as u64, false)?;
                shift(to, from);
                Ok(Ok(()))
            }
            DynptrKind::Skb | DynptrKind::Xdp | DynptrKind::SkbMeta => {
                Ok(self.read_packet(run, offset, to))
            }
            DynptrKind::File | DynptrKind::Invalid => Ok(Err(Errno::EINVAL)),
        }
    }

    /// Writes its bytes from `offset` on. `flags` are those of the packet's helper.
    ///
    /// # Errors
    /// `EINVAL`: it stands for nothing, is read-only, or does not know the flags; `E2BIG`; what
    /// packets say. The outer error: it was forged.
    pub(crate) fn write(
        self,
        run: &Run<'_>,
        offset: u32,
        from: View<'_>,
        flags: u64,
    ) -> Result<Result<(), Errno>, FaultKind> {
        if self.is_null() || self.read_only {
            return Ok(Err(Errno::EINVAL));
        }
        if let Err(errno) = self.check(offset, from.len() as u32) {
            return Ok(Err(errno));
        }
        match self.kind {
            DynptrKind::Local | DynptrKind::Ringbuf if flags == 0 => {
                let to = run.view(self.address(offset), from.len() as u64, true)?;
                shift(to, from);
                Ok(Ok(()))
            }
            DynptrKind::Skb | DynptrKind::Xdp | DynptrKind::SkbMeta => {
                Ok(self.write_packet(run, offset, from, flags))
            }
            _ => Ok(Err(Errno::EINVAL)),
        }
    }

    /// Reads from the run's packet, as its helper does.
    fn read_packet(self, run: &Run<'_>, offset: u32, to: View<'_>) -> Result<(), Errno> {
        let offset = self.packet_offset(run, offset)?;
        match self.kind {
            DynptrKind::Xdp => packet::copy_out(run, offset, to),
            DynptrKind::SkbMeta => {
                let meta = run.packet_meta().ok_or(Errno::EFAULT)?;
                let from = meta.part(offset as usize, to.len());
                shift(to, from.ok_or(Errno::EFAULT)?);
                Ok(())
            }
            _ => packet::load_bytes(run, offset, to),
        }
    }

    /// Writes to the run's packet.
    fn write_packet(
        self,
        run: &Run<'_>,
        offset: u32,
        from: View<'_>,
        flags: u64,
    ) -> Result<(), Errno> {
        let offset = self.packet_offset(run, offset)?;
        match self.kind {
            DynptrKind::Skb => packet::store_bytes(run, offset, from, flags),
            _ if flags != 0 => Err(Errno::EINVAL),
            DynptrKind::Xdp => packet::copy_in(run, offset, from),
            _ => {
                let meta = run.packet_meta().ok_or(Errno::EFAULT)?;
                let to = meta.part(offset as usize, from.len());
                shift(to.ok_or(Errno::EFAULT)?, from);
                Ok(())
            }
        }
    }

    /// The offset in the packet, if it is this run's packet.
    fn packet_offset(self, run: &Run<'_>, offset: u32) -> Result<u32, Errno> {
        if !run.is_packet(self.data) {
            return Err(Errno::EFAULT);
        }
        self.offset.checked_add(offset).ok_or(Errno::EFAULT)
    }
}

/// Copies bytes that may overlap, as `memmove` does.
fn shift(to: View<'_>, from: View<'_>) {
    let distance = to.address().wrapping_sub(from.address());
    if distance != 0 && distance < from.len() as u64 {
        to.write(&from.to_vec());
    } else if distance != 0 {
        to.copy_from(from);
    }
}
