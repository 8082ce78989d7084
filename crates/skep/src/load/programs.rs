//! Programs: descriptors go into their instructions, and the host verifies them.

use std::{collections::BTreeMap, sync::Arc};

use skep_abi::{AttachType, KernelVersion, MapType, ProgramType};
use skep_host::{AttachTarget, Feature, Hook, MapCreate, MapFd, ProgramBtf, ProgramLoad};
use skep_object::{
    AttachKind, Contents, Error as LinkError, ImageJumpTable, ImageProgram, MapReferenceKind, Slot,
    SlotValue,
};

use super::{Loader, MadeMaps, instructions::Instructions, made_at};
use crate::{
    Error, Program, Rejection, Result,
    program::Usdt,
    usdt::{self, Specs},
};

/// What a host and an object offer to programs on static probe points of user space.
pub(super) struct UsdtOffer {
    /// The host attaches to many places by one link.
    multi: bool,
    specs: Option<Arc<Specs>>,
}

impl Loader<'_> {
    /// How programs of this object are attached to static probe points of user space, if it has
    /// such programs.
    pub(super) fn usdt(&self, maps: &MadeMaps) -> Option<UsdtOffer> {
        /// Before, a link for one process fired in its first thread only.
        const PROCESSES: KernelVersion = KernelVersion::new(6, 10);
        /// What the header asks to know how it is told which point fired.
        const COOKIES: &str = "LINUX_HAS_BPF_COOKIE";
        let mut programs = self.image.programs.iter();
        if !programs.any(|program| program.section.kind() == AttachKind::Usdt) {
            return None;
        }
        let of_name = |name| {
            let mut made = maps.iter().flatten().map(|made| &made.map);
            made.find(|map| map.name() == name).map(Arc::clone)
        };
        let by_address = self
            .image
            .settings
            .get(COOKIES)
            .is_some_and(|has| has == "n");
        let addresses = of_name(usdt::ADDRESSES).filter(|_| by_address);
        Some(UsdtOffer {
            multi: self.host.info().version >= PROCESSES
                && self.host.probe(&Feature::Hook(Hook::UprobeMulti)).is_yes(),
            specs: of_name(usdt::SPECS).map(|specs| Arc::new(Specs::new(specs, addresses))),
        })
    }

    pub(super) fn load_program(
        &self,
        program: &ImageProgram,
        maps: &MadeMaps,
        usdt: Option<&UsdtOffer>,
    ) -> Result<Program> {
        let mut instructions = Instructions::of(program, &self.modules);
        for reference in &program.map_references {
            let made = made_at(maps, reference.map, &program.name)?;
            instructions.set_imm(reference.insn, made.map.fd().raw());
            if let (MapReferenceKind::Value { offset }, 1..) = (reference.kind, made.data_offset) {
                let offset = offset.wrapping_add(made.data_offset);
                instructions.set_second_imm(reference.insn, offset.cast_signed());
            }
        }
        // They live on in the program.
        let mut tables = Vec::with_capacity(program.jump_tables.len());
        for table in &program.jump_tables {
            let map = self.jump_table(table)?;
            for insn in &table.references {
                instructions.set_imm(*insn, map.raw());
            }
            tables.push(map);
        }

        let usdt = usdt.filter(|_| program.section.kind() == AttachKind::Usdt);
        // What the user says it is attached as counts.
        let multi = usdt.is_some_and(|usdt| match program.attach_type {
            Some(chosen) => chosen == AttachType::TraceUprobeMulti,
            None => usdt.multi,
        });
        let target = program.attach_btf.as_ref();
        let target_module = target
            .and_then(|target| target.module.as_deref())
            .and_then(|module| self.modules.get(module));
        let function = self.given.targets.get(&program.name);
        if function.is_none() && program.program_type == ProgramType::Ext {
            return Err(Error::Attach {
                program: program.name.clone(),
                section: program.section.to_string(),
                reason:
                    "it takes the place of a function of another program, which must be loaded \
                         first: say which (`Object::attach_to_program`)"
                        .into(),
            });
        }
        let request = ProgramLoad {
            expected_attach_type: match multi {
                true => Some(AttachType::TraceUprobeMulti),
                false => program.attach_type,
            },
            attach_member: program.attach_member,
            license: &program.license,
            kernel_version: program.kernel_version.code(),
            flags: program.flags,
            ifindex: program.ifindex,
            btf: self
                .btf
                .as_ref()
                .filter(|_| !program.func_info.is_empty())
                .map(|btf| ProgramBtf {
                    func_info: &program.func_info.bytes,
                    func_info_record_size: program.func_info.record_size,
                    line_info: &program.line_info.bytes,
                    line_info_record_size: program.line_info.record_size,
                    ..ProgramBtf::new(btf)
                }),
            attach_btf_id: match function {
                Some(function) => function.type_id().0,
                None => target.map_or(0, |target| target.type_id.0),
            },
            attach_target: match function {
                Some(function) => Some(AttachTarget::Program(function.program())),
                None => target_module.map(AttachTarget::Module),
            },
            fd_array: &instructions.fd_array,
            log_level: self.options.log_level,
            ..ProgramLoad::new(
                program.program_type,
                &program.load_name,
                &instructions.bytes,
            )
        };
        let run_config = match program.program_type {
            ProgramType::Xdp => self.spec.xdp_run_config(&program.name)?,
            _ => None,
        };
        match self.host.prog_load(&request) {
            Ok(loaded) => {
                // A program that does not look at the map asks for no argument.
                let asks = program.map_references.iter().any(|reference| {
                    let made = maps.get(reference.map.as_usize()).and_then(Option::as_ref);
                    made.is_some_and(|made| made.map.name() == usdt::SPECS)
                });
                let usdt = usdt.map(|usdt| Usdt {
                    multi,
                    specs: usdt.specs.clone().filter(|_| asks),
                });
                let host = Arc::clone(self.host);
                Ok(Program::new(host, loaded, program, usdt, run_config))
            }
            Err(skep_host::Error::Verifier {
                errno, log, cause, ..
            }) => {
                if let Some(error) = self.without_per_cpu_data(program, &log) {
                    return Err(error);
                }
                Err(Box::new(Rejection::new(program, errno, log, cause)).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What a kernel means that refuses variables of each CPU: it does not name the map.
    fn without_per_cpu_data(&self, program: &ImageProgram, log: &str) -> Option<Error> {
        if !log.contains("no direct value access support for this map type") {
            return None;
        }
        let maps = program
            .map_references
            .iter()
            .filter_map(|reference| self.image.maps.get(reference.map.as_usize()));
        let map = maps
            .into_iter()
            .find(|map| matches!(map.contents, Contents::PerCpu(_)))?;
        Some(self.blame(LinkError::MapDefinition {
            map: map.name.clone(),
            problem: format!(
                "program `{}` refers to variables of which each CPU has its own, and Linux {} \
                 takes none; Linux 7.3 does",
                program.name,
                self.host.info().version
            ),
        }))
    }

    /// A map of the places that a `gotox` may jump to: one value each, of which user space sets
    /// the first word, and frozen.
    fn jump_table(&self, table: &ImageJumpTable) -> Result<MapFd> {
        const VALUE: u32 = 16;
        let entries = u32::try_from(table.targets.len()).unwrap_or(u32::MAX);
        let request = MapCreate::new(MapType::InsnArray, ".jumptables", 4, VALUE, entries);
        let map = self.host.map_create(&request)?;
        for (key, target) in (0_u32..).zip(&table.targets) {
            let mut value = [0; VALUE as usize];
            value[..4].copy_from_slice(&target.0.to_ne_bytes());
            self.host
                .map_update_elem(&map, &key.to_ne_bytes(), &value, 0)?;
        }
        self.host.map_freeze(&map)?;
        Ok(map)
    }

    /// Fills the slots that hold programs.
    pub(super) fn fill_with_programs(
        &self,
        maps: &MadeMaps,
        programs: &BTreeMap<String, Arc<Program>>,
    ) -> Result<()> {
        for (map, made) in self.image.maps.iter().zip(maps) {
            let (Contents::Slots(slots), Some(made)) = (&map.contents, made) else {
                continue;
            };
            for Slot { key, value } in slots {
                let SlotValue::Program(index) = value else {
                    continue;
                };
                // A program that was left out leaves its slot empty: a tail call into it falls
                // through.
                let program = self.spec.program_at(*index);
                let Some(program) = program.and_then(|program| programs.get(&program.name)) else {
                    continue;
                };
                let value = program.fd().raw().to_ne_bytes();
                self.host
                    .map_update_elem(made.map.fd(), &key.to_ne_bytes(), &value, 0)?;
            }
        }
        Ok(())
    }
}
