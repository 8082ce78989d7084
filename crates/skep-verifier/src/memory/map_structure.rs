//! Maps themselves: their kernel structures can be read.

use skep_btf::KindTag;

use super::{
    Visit,
    structure::{Found, find_member},
    words,
};
use crate::{
    MapId, Rule,
    state::{BtfRef, BtfSource, PointerFlags, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// A load of a member of a map's structure.
    pub(super) fn reach_map_structure(
        &mut self,
        pointer: &Register,
        map: MapId,
        inner: bool,
        visit: Visit,
    ) -> Result<Register> {
        let span = visit.span(pointer);
        if visit.is_write() {
            return Err(self
                .reject(
                    Rule::ReadOnlyWrite,
                    "a map's structure is read-only to programs",
                )
                .of(visit.base));
        }
        if !self.options.perfmon {
            return Err(self
                .reject(
                    Rule::MissingCapability,
                    "a map's structure is read with CAP_PERFMON",
                )
                .of(visit.base));
        }
        let name = self
            .map(map, inner)
            .map_or("bpf_map", |map| map.map_type.kernel_structure());
        let found = self.btf(BtfSource::Kernel).and_then(|btf| {
            btf.find(name, KindTag::Struct)
                .map(|structure| (btf, structure))
        });
        let Some((btf, structure)) = found else {
            return Err(self
                .reject(
                    Rule::TypeInformation,
                    format!("the kernel's types have no `struct {name}`, which is read"),
                )
                .of(visit.base));
        };
        let mut walked = PointerFlags::empty();
        let offset = u32::try_from(span.offset).ok();
        let found = match offset.filter(|_| pointer.value.as_constant() == Some(0)) {
            Some(offset) => find_member(btf, structure, offset, visit.size, &mut walked),
            None => Err("that is no member".into()),
        };
        match found {
            Ok(Found::Scalar) => Ok(Register::unknown()),
            Ok(Found::Pointer { to, .. }) => {
                let to = BtfRef {
                    btf: BtfSource::Kernel,
                    type_id: to,
                };
                Ok(self.structure_pointer(to, walked))
            }
            Err(why) => Err(self
                .reject(
                    Rule::StructAccess,
                    format!(
                        "{} at offset {} of `struct {name}`: {why}",
                        words::span(span),
                        span.offset
                    ),
                )
                .of(visit.base)),
        }
    }
}
