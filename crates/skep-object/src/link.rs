//! Linking: an object, the user's choices and a target become an image.

use std::collections::BTreeMap;

use skep_abi::{MapCreateFlags, MapType, ProgLoadFlags, ProgramType};
use skep_isa::Endian;

use crate::{
    Contents, Error, FunctionIndex, Image, ImageMap, ImageProgram, LinkOptions, Map, MapOptions,
    Object, Poisoned, Program, ProgramIndex, Result, Target, attach, btf_fixup, code,
    core::Relocator, kconfig, names, resolve::Resolver,
};

impl Object {
    /// Makes the object ready for a target: relocates its instructions, puts subprograms behind
    /// programs, resolves externs and attach targets, and applies the user's choices.
    ///
    /// What the target lacks is an error where it is always needed (an attach target, an extern
    /// that is not weak). A field that it lacks only poisons the instruction that reads it, since
    /// programs test for fields before they read them: see [`ImageProgram::poisoned`].
    ///
    /// # Errors
    /// Choices that do not fit the object, and whatever the target lacks, each with its name.
    pub fn link(&self, options: &LinkOptions, target: &Target) -> Result<Image> {
        if self.endian != target.endian {
            let (triple, name) = match target.endian {
                Endian::Little => ("bpfel", "little"),
                Endian::Big => ("bpfeb", "big"),
            };
            let object = if name == "little" { "big" } else { "little" };
            return Err(Error::Endian {
                object,
                target: name,
                triple,
            });
        }
        self.check_names(options)?;
        let chosen = self.chosen_programs(options)?;
        let mut maps: Vec<ImageMap> = self
            .maps
            .iter()
            .map(|map| self.image_map(map, options.maps.get(&map.name)))
            .collect::<Result<_>>()?;
        self.set_variables(options, &mut maps)?;

        let functions = self.relocated_functions(&chosen, target)?;
        let mut resolver = Resolver::new(self, target);
        let mut programs = Vec::with_capacity(chosen.len());
        let mut budget = code::Budget::default();
        for index in chosen {
            let Some(program) = self.program_at(index) else {
                continue;
            };
            let code = code::assemble(self, program, &functions, &mut resolver, &mut budget)?;
            programs.push(self.image_program(index, program, code, options, target)?);
        }
        kconfig::fill(self, target, resolver.used(), &mut maps)?;
        Ok(Image {
            name: self.name.clone(),
            endian: self.endian,
            btf: btf_fixup::for_target(self, target)?,
            maps,
            programs,
        })
    }

    fn check_names(&self, options: &LinkOptions) -> Result<()> {
        let programs = || {
            self.programs
                .iter()
                .map(|program| program.name.clone())
                .collect()
        };
        let maps = || self.maps.iter().map(|map| map.name.clone()).collect();
        let variables = || {
            self.variables
                .iter()
                .map(|variable| variable.name.clone())
                .collect()
        };
        let only = options.only.iter().flatten();
        for name in options.programs.keys().chain(only) {
            if self.program(name).is_none() {
                return Err(unknown("program", name, programs()));
            }
        }
        for name in options.maps.keys() {
            if self.map(name).is_none() {
                return Err(unknown("map", name, maps()));
            }
        }
        for name in options.variables.keys() {
            if self.variable(name).is_none() {
                return Err(unknown("variable", name, variables()));
            }
        }
        Ok(())
    }

    fn chosen_programs(&self, options: &LinkOptions) -> Result<Vec<ProgramIndex>> {
        let mut chosen = Vec::new();
        for (index, program) in self.programs.iter().enumerate() {
            let asked = options
                .programs
                .get(&program.name)
                .and_then(|asked| asked.autoload);
            let load = match &options.only {
                Some(only) => only.contains(&program.name),
                None => asked.unwrap_or(program.section.autoload()),
            };
            if !load {
                continue;
            }
            if program.program_type() == ProgramType::StructOps {
                return Err(Error::Unsupported {
                    what: format!(
                        "program `{}` ({}): struct_ops",
                        program.name, program.section
                    ),
                });
            }
            chosen.push(ProgramIndex::from_usize(index));
        }
        Ok(chosen)
    }

    fn image_map(&self, map: &Map, options: Option<&MapOptions>) -> Result<ImageMap> {
        if let Contents::StructOps { .. } = map.contents {
            return Err(Error::Unsupported {
                what: format!("map `{}` ({}): struct_ops", map.name, map.section),
            });
        }
        let defaults = MapOptions::default();
        let options = options.unwrap_or(&defaults);
        let (key, value) = (options.key_size, options.value_size);
        let wrong = |problem: String| Error::MapDefinition {
            map: map.name.clone(),
            problem,
        };
        if map.is_global_data() && (key.is_some() || options.map_type.is_some()) {
            return Err(wrong(
                "it holds global variables: its type and key are fixed".into(),
            ));
        }
        let map_type = options.map_type.unwrap_or(map.map_type);
        let inner = map
            .inner
            .as_deref()
            .map(|inner| self.image_map(inner, None))
            .transpose()?;
        let is_of_maps = matches!(map_type, MapType::ArrayOfMaps | MapType::HashOfMaps);
        if is_of_maps && inner.is_none() {
            return Err(wrong(
                "it is a map of maps and does not say of which: __array(values, …)".into(),
            ));
        }
        let mut image = ImageMap {
            name: map.name.clone(),
            load_name: names::kernel_name(&map.name),
            map_type,
            key_size: key.unwrap_or(map.key_size),
            value_size: value.unwrap_or(map.value_size),
            max_entries: options.max_entries.unwrap_or(map.max_entries),
            flags: map.flags,
            map_extra: map.map_extra,
            numa_node: options.numa_node.or(map.numa_node),
            pinning: options.pinning.unwrap_or(map.pinning),
            pin_path: options.pin_path.clone(),
            key_type: map
                .key_type
                .filter(|_| key.is_none_or(|size| size == map.key_size)),
            value_type: map
                .value_type
                .filter(|_| value.is_none_or(|size| size == map.value_size)),
            inner: inner.map(Box::new),
            contents: map.contents.clone(),
            frozen: map.frozen,
        };
        if image.numa_node.is_some() {
            image.flags |= MapCreateFlags::NUMA_NODE;
        }
        for_the_kernel(&mut image);
        Ok(image)
    }

    fn set_variables(&self, options: &LinkOptions, maps: &mut [ImageMap]) -> Result<()> {
        for (name, value) in &options.variables {
            let Some(variable) = self.variable(name) else {
                continue;
            };
            let wrong_size = Error::VariableSize {
                name: name.clone(),
                expected: variable.size,
                given: value.len(),
            };
            if u32::try_from(value.len()) != Ok(variable.size) {
                return Err(wrong_size);
            }
            let Some(map) = maps.get_mut(variable.map.as_usize()) else {
                continue;
            };
            if let Contents::Zeroes = map.contents {
                let size = usize::try_from(map.value_size).unwrap_or(usize::MAX);
                map.contents = Contents::Data(vec![0; size]);
            }
            let Contents::Data(data) = &mut map.contents else {
                continue;
            };
            let start = usize::try_from(variable.offset).unwrap_or(usize::MAX);
            let place = start
                .checked_add(value.len())
                .and_then(|end| data.get_mut(start..end));
            place.ok_or(wrong_size)?.copy_from_slice(value);
        }
        Ok(())
    }

    /// The functions that the chosen programs need, relocated.
    fn relocated_functions(
        &self,
        chosen: &[ProgramIndex],
        target: &Target,
    ) -> Result<BTreeMap<FunctionIndex, Relocated>> {
        let mut functions = BTreeMap::new();
        for program in chosen.iter().filter_map(|index| self.program_at(*index)) {
            for index in std::iter::once(&program.function).chain(&program.subprograms) {
                if let Some(function) = self.function(*index) {
                    functions.entry(*index).or_insert_with(|| Relocated {
                        function: function.clone(),
                        poisoned: Vec::new(),
                    });
                }
            }
        }
        if let Some(btf) = &self.btf {
            let mut relocator = Relocator::new(btf, target);
            for relocated in functions.values() {
                relocator.prepare(&relocated.function)?;
            }
            for relocated in functions.values_mut() {
                relocated.poisoned = relocator.relocate(&mut relocated.function)?;
            }
        }
        Ok(functions)
    }

    fn image_program(
        &self,
        index: ProgramIndex,
        program: &Program,
        code: code::Code,
        options: &LinkOptions,
        target: &Target,
    ) -> Result<ImageProgram> {
        let options = options.programs.get(&program.name);
        let attach_type = options
            .and_then(|options| options.attach_type)
            .or_else(|| program.attach_type());
        let attach_target = options
            .and_then(|options| options.attach_target.clone())
            .or_else(|| program.section.target().map(str::to_owned));
        let mut flags = ProgLoadFlags::empty();
        if program.section.is_sleepable() {
            flags |= ProgLoadFlags::SLEEPABLE;
        }
        if program.section.has_frags() {
            flags |= ProgLoadFlags::XDP_HAS_FRAGS;
        }
        Ok(ImageProgram {
            index,
            name: program.name.clone(),
            load_name: names::kernel_name(&program.name),
            section: program.section.clone(),
            program_type: program.program_type(),
            attach_type,
            attach_btf: attach::resolve(program, attach_target.as_deref(), target)?,
            attach_target,
            flags,
            license: self.license.clone(),
            kernel_version: target.version,
            instructions: code.instructions,
            map_references: code.map_references,
            module_references: code.module_references,
            functions: code.functions,
            func_info: code.func_info,
            line_info: code.line_info,
            poisoned: code.poisoned,
            source: code.source,
        })
    }
}

/// A function with the target's numbers in it.
#[derive(Debug)]
pub(crate) struct Relocated {
    pub(crate) function: crate::Function,
    /// From the function's start.
    pub(crate) poisoned: Vec<Poisoned>,
}

/// Takes away what an object may say and a kernel does not take: the types of buffers' events,
/// of maps' and programs' slots.
fn for_the_kernel(map: &mut ImageMap) {
    match map.map_type {
        // A value is an event's type for us and nothing for the kernel.
        MapType::Ringbuf | MapType::UserRingbuf => {
            (map.key_size, map.value_size) = (0, 0);
            (map.key_type, map.value_type) = (None, None);
        }
        MapType::PerfEventArray => {
            (map.key_size, map.value_size) = (4, 4);
            (map.key_type, map.value_type) = (None, None);
        }
        MapType::ProgArray | MapType::CgroupArray => {
            if map.key_size == 0 {
                map.key_size = 4;
            }
            if map.value_size == 0 {
                map.value_size = 4;
            }
            (map.key_type, map.value_type) = (None, None);
        }
        MapType::StackTrace
        | MapType::ArrayOfMaps
        | MapType::HashOfMaps
        | MapType::Devmap
        | MapType::DevmapHash
        | MapType::Cpumap
        | MapType::Xskmap
        | MapType::Sockmap
        | MapType::Sockhash
        | MapType::Queue
        | MapType::Stack
        | MapType::ReuseportSockarray
        | MapType::InsnArray
        | MapType::Arena => (map.key_type, map.value_type) = (None, None),
        _ => {}
    }
    // Kernels take both types or none; a value's alone only where there is no key.
    let keyless = map.map_type == MapType::BloomFilter || map.contents != Contents::Empty;
    if map.value_type.is_none() || (map.key_type.is_none() && !keyless) {
        (map.key_type, map.value_type) = (None, None);
    }
}

fn unknown(kind: &'static str, name: &str, known: Vec<String>) -> Error {
    Error::Unknown {
        kind,
        name: name.to_owned(),
        known,
    }
}
