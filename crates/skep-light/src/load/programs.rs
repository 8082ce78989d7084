//! Programs: descriptors go into their instructions, and the kernel verifies them.

use std::borrow::Cow;

use skep_abi::ProgLoadFlags;
use skep_host::{AttachTarget, BtfFd, Host as _, ProgramBtf, ProgramLoad, Signature};

use super::{
    KEY, Loader,
    maps::{Made, slots},
};
use crate::{Contents, Error, Program, ProgramImage, Result, Slot, SlotValue};

/// Bytes of an instruction.
const SLOT: usize = 8;

impl Loader<'_> {
    pub(super) fn programs(&self, maps: &[Made]) -> Result<Vec<Option<Program>>> {
        let images = self.image.programs.iter().enumerate();
        let load = |(index, image)| {
            self.open
                .loads(index)
                .then(|| self.program(index, image, maps))
                .transpose()
        };
        images.map(load).collect()
    }

    fn program(
        &self,
        index: usize,
        image: &'static ProgramImage,
        maps: &[Made],
    ) -> Result<Program> {
        let target = self.open.target(index);
        if image.on_program && target.is_none() {
            return Err(Error::Attach {
                program: image.name,
                reason: "it is on a function of another program, which must be loaded first: say \
                         which (`Open::set_target`), or leave it out",
            });
        }
        let (instructions, descriptors) = self.instructions(image, maps);
        let has_records = image.func_info.size != 0;
        let request = ProgramLoad {
            expected_attach_type: image.attach_type,
            attach_member: image.attach_member,
            license: image.license,
            kernel_version: image.kernel_version,
            flags: ProgLoadFlags::from_bits_retain(image.flags),
            btf: self
                .btf
                .as_ref()
                .filter(|_| has_records)
                .map(|btf| ProgramBtf {
                    func_info: image.func_info.bytes,
                    func_info_record_size: image.func_info.size,
                    line_info: image.line_info.bytes,
                    line_info_record_size: image.line_info.size,
                    ..ProgramBtf::new(btf)
                }),
            attach_btf_id: target.map_or(image.attach_btf_id, |target| target.type_id),
            attach_target: match target {
                Some(target) => Some(AttachTarget::Program(&target.program)),
                None => image
                    .attach_module
                    .and_then(|module| self.modules.get(module))
                    .map(AttachTarget::Module),
            },
            fd_array: &descriptors,
            signature: (!image.signature.is_empty()).then_some(Signature {
                bytes: image.signature,
                keyring: self.open.keyring,
            }),
            ..ProgramLoad::new(image.program_type, image.load_name, &instructions)
        };
        let loaded = self.kernel.prog_load(&request)?;
        Ok(Program::new(self.kernel, loaded.fd, image))
    }

    /// The instructions with descriptors in them, and the array of those that calls name by index,
    /// in which 0 stands for the kernel's own types.
    fn instructions(&self, image: &ProgramImage, maps: &[Made]) -> (Cow<'static, [u8]>, Vec<i32>) {
        let mut instructions = Cow::Borrowed(image.instructions);
        let mut descriptors = Vec::new();
        if !image.signature.is_empty() {
            descriptors.push(0);
            descriptors.extend(self.modules.iter().map(BtfFd::raw));
            descriptors.extend(maps.iter().map(|made| made.map.fd().raw()));
            return (instructions, descriptors);
        }
        let mut put = |insn: usize, offset: usize, bytes: &[u8]| {
            let start = insn * SLOT + offset;
            let place = instructions.to_mut().get_mut(start..start + bytes.len());
            if let Some(place) = place {
                place.copy_from_slice(bytes);
            }
        };
        for reference in image.map_references {
            let Some(Made { map, .. }) = maps.get(reference.map) else {
                continue;
            };
            put(reference.insn, 4, &map.fd().raw().to_ne_bytes());
            if let (Some(offset), Some(arena)) = (reference.offset, map.arena_place()) {
                let offset = offset.wrapping_add(arena.variables);
                put(reference.insn, SLOT + 4, &offset.to_ne_bytes());
            }
        }
        if !image.module_references.is_empty() {
            descriptors.push(0);
            descriptors.extend(self.modules.iter().map(BtfFd::raw));
        }
        for reference in image.module_references {
            if reference.call {
                let position = i16::try_from(reference.module + 1).unwrap_or(i16::MAX);
                put(reference.insn, 2, &position.to_ne_bytes());
            } else if let Some(module) = self.modules.get(reference.module) {
                put(reference.insn, SLOT + 4, &module.raw().to_ne_bytes());
            }
        }
        (instructions, descriptors)
    }

    pub(super) fn fill_with_programs(
        &self,
        maps: &[Made],
        programs: &[Option<Program>],
    ) -> Result<()> {
        let raw = |index: usize| Some(programs.get(index)?.as_ref()?.fd().raw());
        for (map, Slot { key, value }) in slots(self.image, maps) {
            if let SlotValue::Program(index) = value
                && let Some(raw) = raw(index)
            {
                map.update(&key.to_ne_bytes(), &raw.to_ne_bytes())?;
            }
        }
        for (Made { map, .. }, image) in maps.iter().zip(self.image.maps) {
            let Contents::StructOps { data, programs, .. } = image.contents else {
                continue;
            };
            let mut value = data.to_vec();
            for (offset, index) in programs {
                if let (Some(raw), Some(place)) = (raw(*index), value.get_mut(*offset..*offset + 8))
                {
                    // A function pointer's place takes the descriptor.
                    place.copy_from_slice(&i64::from(raw).to_ne_bytes());
                }
            }
            map.update(&KEY, &value)?;
        }
        Ok(())
    }
}
