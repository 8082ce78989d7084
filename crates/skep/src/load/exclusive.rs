//! Maps for one program alone: the hash that the kernel knows the program by.

use sha2::{Digest as _, Sha256};
use skep_object::{Error, ImageMap, ImageProgram};

use super::{Loader, instructions::Instructions};
use crate::Result;

impl Loader<'_> {
    /// The hash of the program that alone may use a map, if there is one.
    pub(super) fn exclusive_hash(&self, map: &ImageMap) -> Result<Option<[u8; 32]>> {
        let Some(index) = map.exclusive else {
            return Ok(None);
        };
        let mut programs = self.image.programs.iter();
        match programs.find(|program| program.index == index) {
            Some(program) => Ok(Some(self.hash(program))),
            None => Err(self.blame(Error::MapDefinition {
                map: map.name.clone(),
                problem: "it is exclusive to a program that is not loaded".into(),
            })),
        }
    }

    /// SHA-256 of the instructions as they are loaded, but that both immediates of a `ld_imm64`
    /// that refers to a map are zero: descriptors differ from load to load
    /// (`bpf_prog_calc_tag()`, `kernel/bpf/core.c`).
    fn hash(&self, program: &ImageProgram) -> [u8; 32] {
        let mut instructions = Instructions::of(program, &self.modules);
        let of_maps = program.map_references.iter().map(|map| map.insn);
        let of_tables = program
            .jump_tables
            .iter()
            .flat_map(|table| &table.references);
        for insn in of_maps.chain(of_tables.copied()) {
            instructions.set_imm(insn, 0);
            instructions.set_second_imm(insn, 0);
        }
        Sha256::digest(&instructions.bytes).into()
    }
}
