//! Packets and the metadata before them.

use skep_abi::ProgramType;

use super::{Access, Span, Visit, words};
use crate::{
    Rejection, Rule,
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
        self.check_packet(pointer, visit.span(pointer))?;
        Ok(Register::unknown())
    }

    /// Whether bytes of a packet are known to be in it.
    pub(super) fn check_packet(&self, pointer: &Register, span: Span) -> Result {
        let range = i64::from(pointer.range);
        let end = span.offset.saturating_add_unsigned(span.size);
        if pointer.value.smin >= 0 && span.offset >= 0 && end <= range {
            return Ok(());
        }
        Err(self.outside_packet(pointer, span, range, end))
    }

    #[cold]
    fn outside_packet(
        &self,
        pointer: &Register,
        span: Span,
        range: i64,
        end: i64,
    ) -> Box<Rejection> {
        let doing = words::span(span);
        let what = words::kind(pointer);
        if pointer.value.smin < 0 {
            return self
                .reject(
                    Rule::NegativeIndex,
                    format!("{doing} of {what} at an offset that may be negative"),
                )
                .of(span.base)
                .help("use an unsigned index, or test that it is at least 0 first");
        }
        let known = match range {
            0 => "nothing of it is known to be there".to_owned(),
            range => format!(
                "only the first {} from there are known to be in it",
                words::bytes(range.cast_unsigned())
            ),
        };
        self.reject(
            Rule::PacketOutOfBounds,
            format!("{doing} at offset {} of {what}, but {known}", span.offset),
        )
        .of(span.base)
        .help(format!(
            "compare with the packet's end first: `if (pointer + {end} > data_end) return …;`"
        ))
    }

    /// Whether programs of this type access packets directly.
    pub(crate) fn packet_access(&self, access: Access) -> bool {
        use ProgramType as P;
        match self.effective_type() {
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
