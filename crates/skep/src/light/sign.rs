//! Signed programs: instructions that are the same at every load, which a signature can be made of.

use skep_abi::KernelVersion;
use skep_isa::{Endian, opcode::BPF_PSEUDO_MAP_IDX};
use skep_object::{Contents, ImageProgram, MapReferenceKind};

use super::{Light, modules, refusal};
use crate::{Error, Result};

/// Bytes of an instruction.
const SLOT: usize = 8;

impl Light<'_> {
    /// The instructions of each program, by name, exactly as a kernel is given them once they are
    /// signed: what to sign, detached, in PKCS #7 and DER (`openssl cms -sign -binary -noattr -outform
    /// DER`).
    ///
    /// No descriptor is in them: maps and modules are named by their places in an array beside them,
    /// which the signature does not cover; nor does it what is in maps, or what a program is attached
    /// to.
    ///
    /// # Errors
    /// A program refers to a variable of a module, which takes a descriptor in it, or in an arena.
    pub fn to_sign(&self) -> Result<Vec<(&str, Vec<u8>)>> {
        let programs = self.image.programs.iter();
        programs
            .map(|program| Ok((program.name.as_str(), self.constant(program)?)))
            .collect()
    }

    /// Adds a program's signature, which the kernel checks at the load by the keys of a keyring
    /// (`skep_light::Open::set_keyring`). Since 6.18.
    ///
    /// # Errors
    /// There is no program of that name, or it can't be signed: from Linux 7.3 on signed programs may
    /// use no maps but frozen arrays of their own whose contents are signed with them, and no types of
    /// modules, and the light form has no such maps.
    pub fn sign(&mut self, program: &str, signature: &[u8]) -> Result<()> {
        let Some(known) = self.image.program(program) else {
            let known = self.image.programs.iter();
            let known = known.map(|known| known.name.as_str());
            return Err(Error::unknown("program", program, known));
        };
        let uses = !known.map_references.is_empty() || !known.module_references.is_empty();
        if uses && self.made_for.version >= KernelVersion::new(7, 3) {
            return Err(Error::NotLight {
                what: format!("the signature of program `{program}`"),
                reason:
                    "since Linux 7.3 a signed program may use no maps and modules that are not \
                         signed with it"
                        .into(),
            });
        }
        self.constant(known)?;
        self.signatures
            .insert(program.to_owned(), signature.to_vec());
        Ok(())
    }

    /// A program's signature, and the instructions that it is of.
    pub(super) fn signed(&self, program: &ImageProgram) -> Option<(&[u8], Vec<u8>)> {
        let signature = self.signatures.get(&program.name)?;
        Some((signature, self.constant(program).ok()?))
    }

    /// Instructions with places for descriptors: 0 is the kernel's own types, then come the modules
    /// and the maps.
    fn constant(&self, program: &ImageProgram) -> Result<Vec<u8>> {
        let endian = self.image.endian;
        let mut code = program.instruction_bytes(endian);
        let modules = modules(&self.image);
        let number = |number: usize| {
            let fits = i32::try_from(number);
            fits.map_err(|_| {
                refusal(
                    format!("program `{}`", program.name),
                    "it has too many maps",
                )
            })
        };
        for reference in &program.map_references {
            let Some(map) = self.place_of(reference.map.as_usize()) else {
                continue;
            };
            let of = self.image.maps.get(reference.map.as_usize());
            let in_arena = of.is_some_and(|map| matches!(map.contents, Contents::Arena(_)));
            if in_arena && matches!(reference.kind, MapReferenceKind::Value { .. }) {
                return Err(Error::NotLight {
                    what: format!("the signature of program `{}`", program.name),
                    reason:
                        "it refers to variables in an arena, whose place in it is found at the \
                             load"
                            .into(),
                });
            }
            let imm = number(1 + modules.len() + map)?;
            let start = reference.insn.as_usize() * SLOT;
            let Some(insn) = code.get_mut(start..start + SLOT) else {
                continue;
            };
            // By descriptor it is 1 and 2, by place 5 and 6.
            let by_place = BPF_PSEUDO_MAP_IDX - 1;
            insn[1] += match endian {
                Endian::Little => by_place << 4,
                Endian::Big => by_place,
            };
            insn[4..].copy_from_slice(&bytes(endian, imm));
        }
        for reference in &program.module_references {
            let start = reference.insn.as_usize() * SLOT;
            let place = modules
                .iter()
                .position(|module| *module == reference.module);
            let place = number(1 + place.unwrap_or_default())?;
            match code.get_mut(start..start + SLOT) {
                // `call`
                Some(insn) if insn[0] == 0x85 => {
                    let word = bytes(endian, place);
                    insn[2..4].copy_from_slice(match endian {
                        Endian::Little => &word[..2],
                        Endian::Big => &word[2..],
                    });
                }
                _ => {
                    return Err(Error::NotLight {
                        what: format!("the signature of program `{}`", program.name),
                        reason: "it refers to a variable of a module, by a descriptor that is \
                                 another at each load"
                            .into(),
                    });
                }
            }
        }
        Ok(code)
    }
}

fn bytes(endian: Endian, word: i32) -> [u8; 4] {
    match endian {
        Endian::Little => word.to_le_bytes(),
        Endian::Big => word.to_be_bytes(),
    }
}
