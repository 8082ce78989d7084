//! Linking: an object, the user's choices and a target become an image.

use std::collections::BTreeMap;

use skep_abi::{MapCreateFlags, MapProperties, MapType, ProgLoadFlags, ProgramType};
use skep_isa::Endian;

use crate::{
    Contents, Error, Extern, ExternKind, FunctionIndex, Image, ImageMap, ImageProgram, LinkOptions,
    Map, MapOptions, Object, Poisoned, Program, ProgramIndex, Result, SlotValue, Target, attach,
    btf_fixup, code,
    core::Relocator,
    downgrade,
    features::Lacking,
    kconfig,
    kernel_struct::{Operation, Operations},
    names, order,
    resolve::Resolver,
    ring_or_perf,
};

impl Object {
    /// Makes the object ready for a target: relocates its instructions, puts subprograms behind
    /// programs, resolves externs and attach targets, and applies the user's choices.
    ///
    /// This is one object's way to one kernel; what makes one object of several files is
    /// [`StaticLinker`](crate::StaticLinker).
    ///
    /// What the target lacks is an error where it is always needed (an attach target, an extern
    /// that is not weak). A field that it lacks only poisons the instruction that reads it, since
    /// programs test for fields before they read them: see [`ImageProgram::poisoned`].
    ///
    /// # Errors
    /// Choices that do not fit the object, and whatever the target lacks, each with its name.
    pub fn link(&self, options: &LinkOptions, target: &Target) -> Result<Image> {
        self.image(options, target)
            .map_err(|error| self.blame(error))
    }

    fn image(&self, options: &LinkOptions, target: &Target) -> Result<Image> {
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
        let mut maps: Vec<ImageMap> = self
            .maps
            .iter()
            .map(|map| self.image_map(map, options.maps.get(&map.name)))
            .collect::<Result<_>>()?;
        self.leave_out_maps(options, &mut maps)?;
        let chosen = self.chosen_programs(options, &maps);
        let loaded = order::set(chosen.iter().copied());
        let operations = Operations::lay_out(self, target, &loaded, &mut maps)?;
        self.set_variables(options, &mut maps)?;

        let mut lacking = Lacking::new(ring_or_perf::features(self, target));
        ring_or_perf::downgrade(self, &mut maps, &mut lacking);
        for map in &mut maps {
            downgrade::map(map, &mut lacking);
        }
        let (functions, all_types) = self.relocated_functions(&chosen, target)?;
        let mut resolver = Resolver::new(self, target);
        let mut programs = Vec::with_capacity(chosen.len());
        let mut budget = code::Budget::default();
        for index in chosen {
            let Some(program) = self.program_at(index) else {
                continue;
            };
            let code = code::assemble(
                self,
                program,
                &functions,
                &mut resolver,
                &maps,
                &mut lacking,
                &mut budget,
            )?;
            let operation = operations.of(index);
            let mut program =
                self.image_program(index, program, code, operation, options, target)?;
            downgrade::program(&mut program, &mut lacking);
            programs.push(program);
        }
        let settings = kconfig::fill(self, options, target, resolver.used(), &mut maps)?;
        Ok(Image {
            name: self.name.clone(),
            endian: self.endian,
            btf: btf_fixup::for_target(self, &mut lacking)?,
            maps,
            programs,
            settings,
            downgrades: lacking.downgrades(),
            complete: all_types && resolver.has_found_all(),
        })
    }

    fn check_names(&self, options: &LinkOptions) -> Result<()> {
        let programs = || self.program_names();
        let maps = || self.maps.iter().map(|map| map.name.clone()).collect();
        let settings = || self.settings().map(|found| found.name.clone());
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
        for name in options.config.keys() {
            if !settings().any(|known| known == *name) {
                return Err(unknown("configuration value", name, settings().collect()));
            }
        }
        Ok(())
    }

    /// What it asks of the kernel's configuration.
    fn settings(&self) -> impl Iterator<Item = &Extern> {
        let externs = self.externs.iter();
        externs.filter(|external| external.kind == ExternKind::Kconfig)
    }

    fn program_names(&self) -> Vec<String> {
        let names = self.programs.iter().map(|program| program.name.clone());
        names.collect()
    }

    /// Decides which maps are not created: beside those that the options or the object leave out,
    /// structs of functions none of whose programs are among those asked for.
    fn leave_out_maps(&self, options: &LinkOptions, images: &mut [ImageMap]) -> Result<()> {
        for (map, image) in self.maps.iter().zip(images.iter_mut()) {
            let asked = options.maps.get(&map.name).and_then(|map| map.autocreate);
            image.create = asked.unwrap_or(map.autocreate);
            if let (Contents::StructOps { programs, .. }, Some(only), None) =
                (&map.contents, &options.only, asked)
            {
                let mut names = programs
                    .iter()
                    .filter_map(|(_, index)| self.program_at(*index));
                image.create &= names.any(|program| only.contains(&program.name));
            }
        }
        for (map, image) in self.maps.iter().zip(images.iter()) {
            let Contents::Slots(slots) = &map.contents else {
                continue;
            };
            let missing = slots.iter().find_map(|slot| match slot.value {
                SlotValue::Map(inner) => images
                    .get(inner.as_usize())
                    .filter(|inner| !inner.create)
                    .map(|inner| (slot.key, &inner.name)),
                SlotValue::Program(_) => None,
            });
            if let (true, Some((key, inner))) = (image.create, missing) {
                return Err(Error::MapDefinition {
                    map: map.name.clone(),
                    problem: format!("its slot {key} holds map `{inner}`, which is not created"),
                });
            }
        }
        Ok(())
    }

    fn chosen_programs(&self, options: &LinkOptions, maps: &[ImageMap]) -> Vec<ProgramIndex> {
        // For each program that structs of functions hold, whether one of them is created.
        let mut held = BTreeMap::new();
        for (map, image) in self.maps.iter().zip(maps) {
            if let Contents::StructOps { programs, .. } = &map.contents {
                for (_, program) in programs {
                    *held.entry(*program).or_insert(false) |= image.create;
                }
            }
        }
        let chosen = |(index, program): (usize, &Program)| {
            let index = ProgramIndex::from_usize(index);
            let by_itself = || match held.get(&index) {
                Some(created) => *created,
                None => program.section.autoload(),
            };
            let load = options.asks_for(&program.name).unwrap_or_else(by_itself);
            load.then_some(index)
        };
        self.programs
            .iter()
            .enumerate()
            .filter_map(chosen)
            .collect()
    }

    fn image_map(&self, map: &Map, options: Option<&MapOptions>) -> Result<ImageMap> {
        let defaults = MapOptions::default();
        let options = options.unwrap_or(&defaults);
        let (key, value) = (options.key_size, options.value_size);
        let wrong = |problem: String| Error::MapDefinition {
            map: map.name.clone(),
            problem,
        };
        let fixed = map.is_global_data() || matches!(map.contents, Contents::StructOps { .. });
        if fixed && (key.is_some() || options.map_type.is_some()) {
            return Err(wrong(
                "it holds global variables or functions: its type and key are fixed".into(),
            ));
        }
        let exclusive = match &options.exclusive {
            Some(name) => {
                let index = self
                    .programs
                    .iter()
                    .position(|program| program.name == *name);
                Some(ProgramIndex::from_usize(index.ok_or_else(|| {
                    unknown("program", name, self.program_names())
                })?))
            }
            None => None,
        };
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
            create: true,
            map_type,
            key_size: key.unwrap_or(map.key_size),
            value_size: value.unwrap_or(map.value_size),
            max_entries: options.max_entries.unwrap_or(map.max_entries),
            flags: map.flags,
            map_extra: options.map_extra.unwrap_or(map.map_extra),
            numa_node: options.numa_node.or(map.numa_node),
            pinning: options.pinning.unwrap_or(map.pinning),
            pin_path: options.pin_path.clone(),
            key_type: map
                .key_type
                .filter(|_| key.is_none_or(|size| size == map.key_size)),
            value_type: map
                .value_type
                .filter(|_| value.is_none_or(|size| size == map.value_size)),
            kernel_value_type: None,
            exclusive,
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
            let Some(data) = map.contents.bytes_mut() else {
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

    /// The functions that the chosen programs need, relocated; and whether the target has all
    /// types that they ask for.
    fn relocated_functions(
        &self,
        chosen: &[ProgramIndex],
        target: &Target,
    ) -> Result<(BTreeMap<FunctionIndex, Relocated>, bool)> {
        let mut functions = BTreeMap::new();
        let mut all_types = true;
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
                all_types &= relocated.poisoned.is_empty();
            }
            all_types &= relocator.has_found_all();
        }
        Ok((functions, all_types))
    }

    fn image_program(
        &self,
        index: ProgramIndex,
        program: &Program,
        code: code::Code,
        operation: Option<&Operation>,
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
        let device = options.and_then(|options| options.device);
        if device.is_some() {
            flags |= ProgLoadFlags::XDP_DEV_BOUND_ONLY;
        }
        let attach_btf = match operation {
            Some(operation) => Some(operation.of.clone()),
            None if options.is_some_and(|options| options.of_program) => None,
            None => attach::resolve(program, attach_target.as_deref(), target)?,
        };
        if program.program_type() == ProgramType::StructOps && attach_btf.is_none() {
            return Err(Error::AttachTarget {
                program: program.name.clone(),
                section: program.section.to_string(),
                problem: "no struct_ops map that is created holds it: name it in a struct of \
                          section .struct_ops.link, or turn its load off"
                    .into(),
            });
        }
        Ok(ImageProgram {
            index,
            name: program.name.clone(),
            load_name: names::kernel_name(&program.name),
            section: program.section.clone(),
            program_type: program.program_type(),
            attach_type,
            attach_btf,
            attach_member: operation.map(|operation| operation.member),
            attach_target,
            flags,
            ifindex: device.unwrap_or(0),
            autoattach: options
                .and_then(|options| options.autoattach)
                .unwrap_or_else(|| program.section.autoattach()),
            license: self.license.clone(),
            kernel_version: target.version,
            instructions: code.instructions,
            map_references: code.map_references,
            module_references: code.module_references,
            jump_tables: code.jump_tables.finish(),
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
        }
        // Other loaders set the sizes that these can have, too.
        MapType::PerfEventArray => (map.key_size, map.value_size) = (4, 4),
        MapType::ProgArray | MapType::CgroupArray => {
            if map.key_size == 0 {
                map.key_size = 4;
            }
            if map.value_size == 0 {
                map.value_size = 4;
            }
        }
        _ => {}
    }
    let no_btf = matches!(map.map_type, MapType::ProgArray | MapType::StructOps)
        || map
            .map_type
            .rules()
            .properties
            .contains(MapProperties::NO_BTF);
    if no_btf {
        (map.key_type, map.value_type) = (None, None);
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
