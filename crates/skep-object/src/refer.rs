//! Writes into instructions what they refer to: maps and their values, functions, jump tables and
//! what the target provides.

use std::collections::BTreeMap;

use skep_abi::LoaderFeature;
use skep_isa::{InsnIndex, RawInsn, opcode};

use crate::{
    CodePlace, Error, ExternIndex, FunctionIndex, ImageMap, MapIndex, MapReference,
    MapReferenceKind, ModuleReference, Object, Poisoned, Reference, ReferenceKind, Result,
    code::{Code, shifted},
    features::Lacking,
    link::Relocated,
    references::CALL,
    resolve::{Resolved, Resolver},
};

/// A function that was put into a program.
pub(crate) struct Referring<'a> {
    pub(crate) object: &'a Object,
    pub(crate) part: &'a Relocated,
    /// Where it begins in the program.
    pub(crate) start: InsnIndex,
    /// Where the program's functions begin.
    pub(crate) starts: &'a BTreeMap<FunctionIndex, InsnIndex>,
    pub(crate) maps: &'a [ImageMap],
}

impl Referring<'_> {
    /// Writes all that the function refers to.
    pub(crate) fn refer(
        &self,
        code: &mut Code,
        resolver: &mut Resolver<'_>,
        lacking: &mut Lacking,
    ) -> Result<()> {
        for reference in &self.part.function.references {
            self.write(code, resolver, lacking, reference)?;
        }
        Ok(())
    }

    fn place(&self, reference: &Reference) -> CodePlace {
        CodePlace {
            function: self.part.function.name.clone(),
            insn: reference.insn,
        }
    }

    fn write(
        &self,
        code: &mut Code,
        resolver: &mut Resolver<'_>,
        lacking: &mut Lacking,
        reference: &Reference,
    ) -> Result<()> {
        let place = || self.place(reference);
        let insn = shifted(self.start, reference.insn);
        match reference.kind {
            ReferenceKind::Map(map) => {
                self.map(code, insn, map, MapReferenceKind::Map, lacking);
            }
            ReferenceKind::MapValue { map, offset } => {
                self.map(code, insn, map, MapReferenceKind::Value { offset }, lacking);
            }
            ReferenceKind::Call(callee) => {
                let imm = self
                    .distance(insn, callee)
                    .ok_or_else(|| too_far(place()))?;
                change(code, insn, |first| {
                    (first.src, first.imm) = (opcode::BPF_PSEUDO_CALL, imm);
                });
            }
            ReferenceKind::FunctionAddress(function) => {
                let imm = self
                    .distance(insn, function)
                    .ok_or_else(|| too_far(place()))?;
                change(code, insn, |first| {
                    (first.src, first.imm) = (opcode::BPF_PSEUDO_FUNC, imm);
                });
            }
            ReferenceKind::JumpTable(index) => {
                set(code, insn, opcode::BPF_PSEUDO_MAP_VALUE, 0, 0);
                let table = self.object.jump_tables.get(index.as_usize());
                let table = table.ok_or_else(|| Error::Code {
                    place: place(),
                    problem: "there is no such jump table".into(),
                })?;
                code.jump_tables
                    .refer((index, table), insn, self.part, self.start, place())?;
            }
            ReferenceKind::ExternCall(external) => {
                let resolved = resolver.function(external, place())?;
                extern_call(code, insn, external, resolved);
            }
            ReferenceKind::ExternAddress(external) => {
                let mut resolved = resolver.address(external, place())?;
                let function = matches!(resolved, Resolved::Btf { function: true, .. });
                if function && lacking.uses(LoaderFeature::FunctionAddresses) {
                    // All that a program can do with it is ask whether it is there.
                    resolved = Resolved::Address(1);
                }
                self.extern_address(code, insn, resolved, lacking);
            }
        }
        Ok(())
    }

    /// A reference to a map, or to one that is not created: then nothing may come to it.
    fn map(
        &self,
        code: &mut Code,
        insn: InsnIndex,
        map: MapIndex,
        kind: MapReferenceKind,
        lacking: &Lacking,
    ) {
        if let Some(missing) = self.maps.get(map.as_usize()).filter(|map| !map.create) {
            // As libbpf marks it: no helper has this number.
            const MISSING_MAP: u32 = 2_001_000_000;
            let invalid = RawInsn {
                opcode: CALL,
                imm: MISSING_MAP.saturating_add(map.0).cast_signed(),
                ..RawInsn::default()
            };
            change(code, insn, |first| *first = invalid);
            change(code, shifted(insn, InsnIndex(1)), |second| {
                *second = invalid
            });
            let mut description = format!("map `{}`, which was not created", missing.name);
            if missing.is_global_data() && lacking.is(LoaderFeature::GlobalData) {
                let since = LoaderFeature::GlobalData.since();
                description.push_str(&format!(": global variables need Linux {since}"));
            }
            code.poisoned.push(Poisoned { insn, description });
            return;
        }
        match kind {
            MapReferenceKind::Map => set(code, insn, opcode::BPF_PSEUDO_MAP_FD, 0, 0),
            MapReferenceKind::Value { offset } => {
                let offset = offset.cast_signed();
                set(code, insn, opcode::BPF_PSEUDO_MAP_VALUE, 0, offset);
            }
        }
        code.map_references.push(MapReference { insn, map, kind });
    }

    fn extern_address(
        &self,
        code: &mut Code,
        insn: InsnIndex,
        resolved: Resolved,
        lacking: &Lacking,
    ) {
        match resolved {
            Resolved::Btf {
                type_id, module, ..
            } => {
                let id = type_id.0.cast_signed();
                set(code, insn, opcode::BPF_PSEUDO_BTF_ID, id, 0);
                code.module_references
                    .extend(module.map(|module| ModuleReference { insn, module }));
            }
            Resolved::Kconfig { map, offset } => {
                self.map(code, insn, map, MapReferenceKind::Value { offset }, lacking);
            }
            Resolved::Address(address) => {
                let [a, b, c, d, e, f, g, h] = address.to_le_bytes();
                let low = i32::from_le_bytes([a, b, c, d]);
                let high = i32::from_le_bytes([e, f, g, h]);
                set(code, insn, 0, low, high);
            }
            // A weak symbol that is not there has the address 0.
            Resolved::Missing(_) => set(code, insn, 0, 0, 0),
        }
    }

    /// What a call's immediate is: slots from the one after it to the function's start.
    fn distance(&self, from: InsnIndex, to: FunctionIndex) -> Option<i32> {
        let next = i64::from(from.0).checked_add(1)?;
        i32::try_from(i64::from(self.starts.get(&to)?.0).checked_sub(next)?).ok()
    }
}

fn extern_call(code: &mut Code, insn: InsnIndex, external: ExternIndex, resolved: Resolved) {
    match resolved {
        Resolved::Btf {
            type_id, module, ..
        } => {
            change(code, insn, |first| {
                first.src = opcode::BPF_PSEUDO_KFUNC_CALL;
                first.offset = 0;
                first.imm = type_id.0.cast_signed();
            });
            code.module_references
                .extend(module.map(|module| ModuleReference { insn, module }));
        }
        Resolved::Missing(description) => {
            // As libbpf marks a weak function that is not there: no helper has this number, so
            // it is refused where it is reached.
            const MISSING_FUNCTION: u32 = 2_002_000_000;
            let imm = MISSING_FUNCTION.saturating_add(external.0).cast_signed();
            change(code, insn, |first| {
                *first = RawInsn {
                    opcode: first.opcode,
                    imm,
                    ..RawInsn::default()
                };
            });
            code.poisoned.push(Poisoned { insn, description });
        }
        Resolved::Kconfig { .. } | Resolved::Address(_) => {}
    }
}

fn change(code: &mut Code, insn: InsnIndex, change: impl FnOnce(&mut RawInsn)) {
    if let Some(slot) = code.instructions.get_mut(insn.as_usize()) {
        change(slot);
    }
}

/// Sets what both halves of a `ld_imm64` say.
fn set(code: &mut Code, insn: InsnIndex, src: u8, low: i32, high: i32) {
    change(code, insn, |first| (first.src, first.imm) = (src, low));
    change(code, shifted(insn, InsnIndex(1)), |second| {
        second.imm = high
    });
}

fn too_far(place: CodePlace) -> Error {
    Error::Code {
        place,
        problem: "the function it refers to is not in the program".into(),
    }
}
