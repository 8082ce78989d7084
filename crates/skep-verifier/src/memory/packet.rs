//! Packets and the metadata before them.

use skep_abi::ProgramType;

use super::{Access, Visit, words};
use crate::{
    Rule,
    state::Register,
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    pub(super) fn reach_packet(&mut self, pointer: &Register, visit: Visit) -> Result<Register> {
        if visit.is_write() && !self.packet_access(Access::Write) {
            return Err(self
                .reject(
                    Rule::ReadOnlyWrite,
                    format!(
                        "programs of type {} only read their packet",
                        self.program.program_type
                    ),
                )
                .of(visit.base));
        }
        let offset = i64::from(pointer.offset) + i64::from(visit.offset);
        self.check_packet(pointer, visit, offset, visit.size.into())?;
        Ok(Register::unknown())
    }

    /// Whether bytes of a packet, from an offset on, are known to be in it.
    fn check_packet(&self, pointer: &Register, visit: Visit, offset: i64, size: i64) -> Result {
        let doing = words::doing(visit.access());
        let what = words::kind(pointer);
        if pointer.value.smin < 0 {
            return Err(self
                .reject(
                    Rule::NegativeIndex,
                    format!("{doing} of {size} bytes of {what} at an offset that may be negative"),
                )
                .of(visit.base)
                .help("use an unsigned index, or test that it is at least 0 first"));
        }
        let range = i64::from(pointer.range);
        if offset >= 0 && offset.saturating_add(size) <= range {
            return Ok(());
        }
        let known = match range {
            0 => "nothing of it is known to be there".to_owned(),
            range => format!(
                "only {} from there are known to be in it",
                words::bytes(range as u64)
            ),
        };
        Err(self
            .reject(
                Rule::PacketOutOfBounds,
                format!("{doing} of {size} bytes at offset {offset} of {what}, but {known}"),
            )
            .of(visit.base)
            .help(format!(
                "compare with the packet's end first: `if (pointer + {} > data_end) return …;`",
                offset.saturating_add(size)
            )))
    }

    /// Whether programs of this type access packets directly.
    pub(crate) fn packet_access(&self, access: Access) -> bool {
        use ProgramType as P;
        match self.program.program_type {
            P::LwtIn
            | P::LwtOut
            | P::LwtSeg6local
            | P::SkReuseport
            | P::FlowDissector
            | P::CgroupSkb => access == Access::Read,
            P::SchedCls | P::SchedAct | P::Xdp | P::LwtXmit | P::SkSkb | P::SkMsg => true,
            P::CgroupSockopt => true,
            _ => false,
        }
    }
}
