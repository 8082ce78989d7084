//! From an image to things that a host holds: BTF, maps with their contents, programs.
//!
//! Everything made on the way is owned, so a failure anywhere leaves nothing behind.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_abi::{Command, MapType, ObjectFlags};
use skep_host::{
    AttachTarget, BtfFd, BtfLoad, Errno, Host as Boundary, LogLevel, MapBtf, MapCreate, MapFd,
    MapInfo, Pinned, ProgramBtf, ProgramLoad,
};
use skep_isa::{
    RawInsn,
    opcode::{BPF_DW, BPF_IMM, BPF_LD},
};
use skep_object::{Contents, Image, ImageMap, ImageProgram, MapIndex, Pinning, Slot, SlotValue};

use crate::{Error, Host, Loaded, Map, MapTypes, Program, Rejection, Result};

/// `ld_imm64`
const LOAD_IMM64: u8 = BPF_LD | BPF_IMM | BPF_DW;

/// How an object is loaded.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// How much of the verifier's log to keep of programs that load.
    pub log_level: LogLevel,
    /// Where maps that are shared by name are pinned.
    pub pin_folder: PathBuf,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            log_level: LogLevel::OnFailure,
            pin_folder: "/sys/fs/bpf".into(),
        }
    }
}

pub(crate) fn load(
    spec: &skep_object::Object,
    image: Image,
    host: &Host,
    options: &LoadOptions,
) -> Result<Loaded> {
    let loader = Loader {
        host: host.boundary(),
        options,
        btf: load_btf(&image, host.boundary())?,
    };
    let mut maps = Vec::new();
    for (map, original) in image.maps.iter().zip(spec.maps()) {
        maps.push(Arc::new(loader.create_map(spec, original, map)?));
    }
    for (map, made) in image.maps.iter().zip(&maps) {
        loader.fill_with_maps(map, made, &maps)?;
    }
    let mut programs: BTreeMap<String, Arc<Program>> = BTreeMap::new();
    for program in &image.programs {
        let loaded = loader.load_program(program, &maps)?;
        programs.insert(program.name.clone(), Arc::new(loaded));
    }
    for (map, made) in image.maps.iter().zip(&maps) {
        loader.fill_with_programs(spec, map, made, &programs)?;
    }
    Ok(Loaded::new(host.clone(), image, maps, programs))
}

fn load_btf(image: &Image, host: &Arc<dyn Boundary>) -> Result<Option<BtfFd>> {
    let Some(bytes) = &image.btf else {
        return Ok(None);
    };
    let request = BtfLoad {
        object: &image.name,
        bytes,
        log_level: LogLevel::OnFailure,
        token: None,
    };
    Ok(Some(host.btf_load(&request)?))
}

struct Loader<'a> {
    host: &'a Arc<dyn Boundary>,
    options: &'a LoadOptions,
    btf: Option<BtfFd>,
}

impl Loader<'_> {
    fn create_map(
        &self,
        spec: &skep_object::Object,
        original: &skep_object::Map,
        map: &ImageMap,
    ) -> Result<Map> {
        let types = spec.btf().map(|btf| MapTypes {
            btf: Arc::clone(btf),
            key: original.key_type.unwrap_or_default(),
            value: original.value_type.unwrap_or_default(),
        });
        let pin = self.pin_path(map);
        let (fd, reused) = match pin
            .as_deref()
            .map(|path| self.reuse(map, path))
            .transpose()?
        {
            Some(Some(fd)) => (fd, true),
            _ => (self.make_map(map)?, false),
        };
        // The host knows only the first 15 bytes of the name.
        let info = MapInfo {
            name: map.name.clone(),
            ..self.host.map_info(&fd)?
        };
        let made = Map::new(Arc::clone(self.host), fd, info, types)?;
        if reused {
            return Ok(made);
        }
        self.fill(map, &made)?;
        if let Some(path) = pin {
            made.pin(&path)?;
        }
        Ok(made)
    }

    fn make_map(&self, map: &ImageMap) -> Result<MapFd> {
        if matches!(map.contents, Contents::StructOps { .. }) {
            return Err(Error::Map {
                map: map.name.clone(),
                reason: "struct_ops maps can't be loaded by this version of Skep".into(),
            });
        }
        let inner = map
            .inner
            .as_deref()
            .map(|inner| self.make_map(inner))
            .transpose()?;
        let btf = self
            .btf
            .as_ref()
            .filter(|_| map.key_type.is_some() || map.value_type.is_some());
        let request = MapCreate {
            flags: map.flags,
            map_extra: map.map_extra,
            inner_map: inner.as_ref(),
            numa_node: map.numa_node,
            btf: btf.map(|btf| MapBtf {
                btf,
                key_type: map.key_type.unwrap_or_default().0,
                value_type: map.value_type.unwrap_or_default().0,
                kernel_value_type: 0,
                kernel_btf: None,
            }),
            ..MapCreate::new(
                map.map_type,
                &map.load_name,
                map.key_size,
                map.value_size,
                self.entries(map)?,
            )
        };
        self.host
            .map_create(&request)
            .map_err(|error| self.explain(&request, map, error))
    }

    /// A refusal in the words of the rule that the map breaks, if it breaks one that is known.
    fn explain(&self, request: &MapCreate<'_>, map: &ImageMap, error: skep_host::Error) -> Error {
        if error.errno() != Some(Errno::EINVAL) {
            return error.into();
        }
        let rules = request.map_type.rules();
        let page = u32::try_from(self.host.page_size()).unwrap_or(u32::MAX);
        let kind = request.map_type;
        let reason = if !rules.key_size.allows(request.key_size) {
            format!(
                "a key of a {kind} map must be {} bytes, not {}",
                rules.key_size, request.key_size
            )
        } else if !rules.value_size.allows(request.value_size) {
            let size = request.value_size;
            format!(
                "a value of a {kind} map must be {} bytes, not {size}",
                rules.value_size
            )
        } else if !rules.max_entries.allows(request.max_entries, page) {
            let hint = "the object leaves it to its loader (`--map-size`, `Object::map`)";
            let entries = request.max_entries;
            let hint = if entries == 0 {
                format!("; {hint}")
            } else {
                String::new()
            };
            format!(
                "max_entries of a {kind} map must be {}, not {entries}{hint}",
                rules.max_entries
            )
        } else {
            return error.into();
        };
        Error::Map {
            map: map.name.clone(),
            reason,
        }
    }

    /// What the object leaves to the machine: one entry a CPU, whole pages of a ring.
    fn entries(&self, map: &ImageMap) -> Result<u32> {
        let page = u32::try_from(self.host.page_size()).unwrap_or(u32::MAX);
        Ok(match map.map_type {
            MapType::PerfEventArray if map.max_entries == 0 => {
                u32::try_from(self.host.possible_cpus()?).unwrap_or(u32::MAX)
            }
            MapType::Ringbuf | MapType::UserRingbuf => map
                .max_entries
                .max(page)
                .checked_next_power_of_two()
                .unwrap_or(map.max_entries),
            _ => map.max_entries,
        })
    }

    fn fill(&self, map: &ImageMap, made: &Map) -> Result<()> {
        if let Contents::Data(data) = &map.contents {
            self.host
                .map_update_elem(made.fd(), &0_u32.to_ne_bytes(), data, 0)?;
        }
        if map.frozen {
            self.host.map_freeze(made.fd())?;
        }
        Ok(())
    }

    fn fill_with_maps(&self, map: &ImageMap, made: &Map, maps: &[Arc<Map>]) -> Result<()> {
        let Contents::Slots(slots) = &map.contents else {
            return Ok(());
        };
        for Slot { key, value } in slots {
            let SlotValue::Map(index) = value else {
                continue;
            };
            let inner = map_at(maps, *index, &map.name)?;
            let value = inner.fd().raw().to_ne_bytes();
            self.host
                .map_update_elem(made.fd(), &key.to_ne_bytes(), &value, 0)?;
        }
        Ok(())
    }

    fn fill_with_programs(
        &self,
        spec: &skep_object::Object,
        map: &ImageMap,
        made: &Map,
        programs: &BTreeMap<String, Arc<Program>>,
    ) -> Result<()> {
        let Contents::Slots(slots) = &map.contents else {
            return Ok(());
        };
        for Slot { key, value } in slots {
            let SlotValue::Program(index) = value else {
                continue;
            };
            let name = spec
                .program_at(*index)
                .map_or("", |program| program.name.as_str());
            // A program that was left out leaves its slot empty: a tail call into it falls through.
            let Some(program) = programs.get(name) else {
                continue;
            };
            let value = program.fd().raw().to_ne_bytes();
            self.host
                .map_update_elem(made.fd(), &key.to_ne_bytes(), &value, 0)?;
        }
        Ok(())
    }

    fn pin_path(&self, map: &ImageMap) -> Option<PathBuf> {
        match (&map.pin_path, map.pinning) {
            (Some(path), _) => Some(path.into()),
            (None, Pinning::ByName) => Some(self.options.pin_folder.join(&map.name)),
            _ => None,
        }
    }

    /// The map pinned at `path`, if there is one: it must be of the same shape.
    fn reuse(&self, map: &ImageMap, path: &Path) -> Result<Option<MapFd>> {
        let fault = |reason: String| Error::Pin {
            path: path.into(),
            reason,
        };
        let fd = match self.host.obj_get(path.into(), ObjectFlags::empty()) {
            Ok(Pinned::Map(fd)) => fd,
            Ok(_) => {
                return Err(fault(format!(
                    "map `{}` should be pinned there, and it is no map",
                    map.name
                )));
            }
            Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let info = self.host.map_info(&fd)?;
        let wanted = (
            map.map_type.raw(),
            map.key_size,
            map.value_size,
            self.entries(map)?,
        );
        let there = (
            info.type_raw,
            info.key_size,
            info.value_size,
            info.max_entries,
        );
        if there != wanted {
            let shape = |(kind, key, value, entries): (u32, u32, u32, u32)| {
                let kind =
                    MapType::from_raw(kind).map_or_else(|| kind.to_string(), |k| k.to_string());
                format!("{kind}, key {key}, value {value}, {entries} entries")
            };
            return Err(fault(format!(
                "map `{}` is pinned there with another shape ({}, not {}); remove the pin, or pin it elsewhere",
                map.name,
                shape(there),
                shape(wanted)
            )));
        }
        Ok(Some(fd))
    }

    fn load_program(&self, program: &ImageProgram, maps: &[Arc<Map>]) -> Result<Program> {
        let mut instructions = program.instructions.clone();
        for reference in &program.map_references {
            let map = map_at(maps, reference.map, &program.name)?;
            patch(&mut instructions, reference.insn.as_usize(), |insn| {
                insn.imm = map.fd().raw()
            });
        }
        let modules = self.module_btf(program)?;
        // Position 0 stands for the kernel's own BTF.
        let fd_array: Vec<i32> = std::iter::once(0)
            .chain(modules.iter().map(|(_, btf)| btf.raw()))
            .collect();
        for reference in &program.module_references {
            let found = modules
                .iter()
                .position(|(name, _)| *name == reference.module);
            let Some(position) = found.map(|position| position + 1) else {
                continue;
            };
            let at = reference.insn.as_usize();
            if instructions
                .get(at)
                .is_some_and(|insn| insn.opcode == LOAD_IMM64)
            {
                // A variable of the module: its BTF stands in the second half.
                patch(&mut instructions, at + 1, |insn| {
                    insn.imm = fd_array[position]
                });
            } else {
                patch(&mut instructions, at, |insn| {
                    insn.offset = i16::try_from(position).unwrap_or(i16::MAX);
                });
            }
        }
        let bytes = skep_isa::encode_slots(&instructions, skep_isa::Endian::NATIVE);
        let target = program.attach_btf.as_ref();
        let target_module = target
            .and_then(|target| target.module.as_ref())
            .and_then(|module| {
                modules
                    .iter()
                    .find(|(name, _)| name == module)
                    .map(|(_, btf)| btf)
            });
        let request = ProgramLoad {
            expected_attach_type: program.attach_type,
            license: &program.license,
            kernel_version: program.kernel_version.code(),
            flags: program.flags,
            btf: self
                .btf
                .as_ref()
                .filter(|_| !program.func_info.is_empty())
                .map(|btf| ProgramBtf {
                    btf,
                    func_info: &program.func_info.bytes,
                    func_info_record_size: program.func_info.record_size,
                    line_info: &program.line_info.bytes,
                    line_info_record_size: program.line_info.record_size,
                    ..ProgramBtf::new(btf)
                }),
            attach_btf_id: target.map_or(0, |target| target.type_id.0),
            attach_target: target_module.map(AttachTarget::Module),
            fd_array: if modules.is_empty() { &[] } else { &fd_array },
            log_level: self.options.log_level,
            ..ProgramLoad::new(program.program_type, &program.load_name, &bytes)
        };
        match self.host.prog_load(&request) {
            Ok(loaded) => Ok(Program::new(Arc::clone(self.host), loaded, program)),
            Err(skep_host::Error::Verifier {
                errno, log, cause, ..
            }) => Err(Box::new(Rejection::new(program, errno, log, cause)).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The loaded BTF of each module that the program refers to.
    fn module_btf(&self, program: &ImageProgram) -> Result<Vec<(String, BtfFd)>> {
        let mut wanted: Vec<&str> = program
            .module_references
            .iter()
            .map(|reference| reference.module.as_str())
            .collect();
        wanted.extend(
            program
                .attach_btf
                .as_ref()
                .and_then(|target| target.module.as_deref()),
        );
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = Vec::new();
        let mut id = skep_host::ObjectId::Btf(0);
        while found.len() < wanted.len() {
            let Some(next) = self.host.next_id(id)? else {
                let missing = wanted
                    .iter()
                    .find(|name| !found.iter().any(|(f, _)| f == *name));
                return Err(skep_host::Error::command(
                    Command::BtfGetFdById,
                    format!("the BTF of module `{}`", missing.unwrap_or(&"")),
                    Errno::ENOENT,
                )
                .into());
            };
            id = next;
            let skep_host::ObjectId::Btf(number) = next else {
                break;
            };
            if let Some(btf) = self.host.btf_by_id(number, None)? {
                let info = self.host.btf_info(&btf)?;
                if info.kernel && wanted.contains(&info.name.as_str()) {
                    found.push((info.name, btf));
                }
            }
        }
        Ok(found)
    }
}

fn map_at<'m>(maps: &'m [Arc<Map>], index: MapIndex, user: &str) -> Result<&'m Arc<Map>> {
    maps.get(index.as_usize()).ok_or_else(|| Error::Map {
        map: format!("#{index}"),
        reason: format!("`{user}` refers to it, and it was not made before"),
    })
}

fn patch(instructions: &mut [RawInsn], index: usize, change: impl FnOnce(&mut RawInsn)) {
    if let Some(insn) = instructions.get_mut(index) {
        change(insn);
    }
}
