//! A case's programs as the verifier takes them.

use std::sync::Arc;

use skep_abi::{MapCreateFlags, ProgLoadFlags, ProgramType};
use skep_btf::{Btf, KindTag};
use skep_isa::InsnIndex;
use skep_object::Target;
use skep_verifier::{Function, Map, MapId, MapUse, Options, Program, Rejection, Verdict, verify};

use crate::vm::{Body, Case, MAPS, TEXTS, functions};

/// What the verifier says about a program of a case.
///
/// # Errors
/// The target has no such kernel function.
pub fn verdict(
    body: &Body,
    program_type: ProgramType,
    target: &Target,
    options: &Options,
) -> Result<Verdict, String> {
    with(body, program_type, target, |program| {
        verify(program, target, options)
    })
}

/// Does something with a program of a case as the verifier takes it.
pub(super) fn with<T>(
    body: &Body,
    program_type: ProgramType,
    target: &Target,
    then: impl FnOnce(&Program<'_>) -> T,
) -> Result<T, String> {
    let mut slots = body.slots.clone();
    for (slot, name) in &body.kfuncs {
        let btf = target.kernel_btf.as_ref();
        let id = btf.and_then(|btf| btf.find(name, KindTag::Function));
        slots[*slot].imm = id.ok_or_else(|| format!("the target has no {name}"))?.0 as i32;
    }
    let mut program = Program::new(program_type, "fuzz", &slots);
    if program_type == ProgramType::Syscall {
        program.flags = ProgLoadFlags::SLEEPABLE;
    }
    let mut used = Vec::new();
    for (slot, map) in &body.maps {
        let place = used.iter().position(|one| one == map);
        let place = place.unwrap_or_else(|| {
            used.push(*map);
            used.len() - 1
        });
        let value = slots[*slot].src == skep_isa::opcode::BPF_PSEUDO_MAP_VALUE;
        program.map_uses.push(MapUse {
            insn: InsnIndex(*slot as u32),
            map: MapId(place as u32),
            value_offset: value.then(|| slots[*slot + 1].imm.cast_unsigned()),
        });
    }
    program.maps = used.into_iter().map(map).collect();
    if body.functions.len() > 1 {
        let (bytes, records) = functions(&body.functions);
        let btf = Btf::parse(bytes).expect("well-formed");
        program.functions = records
            .as_chunks::<8>()
            .0
            .iter()
            .map(|record| {
                let word = |at: usize| u32::from_ne_bytes(*record[at..].first_chunk().expect("4"));
                let type_id = skep_btf::TypeId(word(4));
                Function {
                    name: btf.type_by_id(type_id).expect("there").name().to_owned(),
                    start: InsnIndex(word(0)),
                    type_id: Some(type_id),
                }
            })
            .collect();
        program.btf = Some(Arc::new(btf));
    }
    Ok(then(&program))
}

/// What the verifier says about all programs of a case: the first rejection.
///
/// # Errors
/// As [`verdict`].
pub fn case_verdict(
    case: &Case,
    target: &Target,
    options: &Options,
) -> Result<Option<Box<Rejection>>, String> {
    for body in std::iter::once(&case.main).chain(&case.tails) {
        let said = verdict(body, case.program_type, target, options)?;
        if said.rejection.is_some() {
            return Ok(said.rejection);
        }
    }
    Ok(None)
}

fn map(place: usize) -> Map {
    let shape = MAPS[place];
    let (key, value) = (shape.key, shape.value);
    let mut map = Map::new("fuzz", shape.map_type, key, value, shape.entries);
    map.flags = shape.flags;
    if shape.flags.contains(MapCreateFlags::RDONLY_PROG) {
        map.frozen = true;
        map.constant = Some(Arc::from(TEXTS));
    }
    map
}
