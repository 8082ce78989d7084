//! Sockets as programs see them (`bpf_sock`, `bpf_tcp_sock`, `bpf_xdp_sock`), flow keys, and
//! buffers whose size is known when the program is attached.

use skep_abi::{StructLayout, field_sizes, socket_field_is_common};

use super::{Span, Visit, words};
use crate::{
    Rule,
    state::{Kind, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// A load of a socket's field.
    pub(super) fn reach_socket(&mut self, pointer: &Register, visit: Visit) -> Result<Register> {
        let name = match pointer.kind {
            Kind::TcpSock => "bpf_tcp_sock",
            Kind::XdpSock => "bpf_xdp_sock",
            _ => "bpf_sock",
        };
        if visit.is_write() {
            return Err(self
                .reject(
                    Rule::ReadOnlyWrite,
                    format!("`struct {name}` is read-only to programs"),
                )
                .of(visit.base));
        }
        let span = visit.span(pointer);
        if pointer.value.smin < 0 || pointer.value.as_constant() != Some(0) {
            return Err(self
                .reject(
                    Rule::StructAccess,
                    format!("read of `struct {name}` at an offset that is not known"),
                )
                .of(visit.base));
        }
        let layout = StructLayout::by_name(name);
        let allowed = u32::try_from(span.offset).ok().and_then(|offset| {
            layout?.fields_at(offset).find(|field| {
                let common = pointer.kind != Kind::SockCommon || socket_field_is_common(field.name);
                common && field_sizes(name, field.name).allow(field, offset, visit.size, false)
            })
        });
        match allowed {
            Some(_) => Ok(Register::unknown()),
            None => Err(self
                .reject(
                    Rule::StructAccess,
                    format!(
                        "{} at offset {} of {}: `struct {name}` has no field that is read so there",
                        words::span(span),
                        span.offset,
                        words::kind(pointer)
                    ),
                )
                .of(visit.base)),
        }
    }

    /// An access of a flow dissector's keys.
    pub(super) fn reach_flow_keys(&mut self, pointer: &Register, visit: Visit) -> Result<Register> {
        let size = StructLayout::by_name("bpf_flow_keys").map_or(0, |layout| layout.size);
        let span = visit.span(pointer);
        self.check_bounds(pointer, span, size.into(), Rule::MemoryOutOfBounds)?;
        Ok(Register::unknown())
    }

    /// An access of a buffer: how far it goes is only known at run time, where the most that the
    /// program accesses is compared.
    pub(super) fn reach_buffer(&mut self, pointer: &Register, visit: Visit) -> Result<Register> {
        let span = visit.span(pointer);
        self.check_writable(pointer, span)?;
        self.check_buffer(pointer, span)?;
        Ok(Register::unknown())
    }

    pub(super) fn check_buffer(&mut self, pointer: &Register, span: Span) -> Result {
        if span.offset >= 0 && pointer.value.as_constant() == Some(0) {
            let end = span.offset.cast_unsigned().saturating_add(span.size);
            let end = u32::try_from(end).unwrap_or(u32::MAX);
            self.stats.buffer_bytes = self.stats.buffer_bytes.max(end);
            return Ok(());
        }
        Err(self
            .reject(
                Rule::MemoryOutOfBounds,
                format!(
                    "{} of {} at an offset that {}",
                    words::span(span),
                    words::kind(pointer),
                    if span.offset < 0 {
                        "is negative"
                    } else {
                        "is not constant"
                    }
                ),
            )
            .of(span.base))
    }
}
