//! From an image to maps and programs that the kernel holds. Everything is owned on the way, so that
//! a failure leaves nothing behind.

use std::borrow::Cow;

use skep_abi::{AttachType, MapCreateFlags, MapType, ProgLoadFlags};
use skep_host::{
    AttachTarget, Attachment, BtfFd, BtfLoad, Host as _, LinkCreate, LinkOptions, LinkSource,
    LinkTarget, LogLevel, MapBtf, MapCreate, MapFd, ProgramBtf, ProgramLoad, Signature,
    open_modules,
};

use crate::{
    Attached, Contents, Error, Image, Inner, Kernel, Map, MapImage, Open, Place, Program,
    ProgramImage, Result, Slot, SlotValue, made_for,
};

/// Bytes of an instruction.
const SLOT: usize = 8;
/// The only key of a map of global variables.
const KEY: [u8; 4] = 0_u32.to_ne_bytes();

/// An image that the kernel holds. Dropping it gives up its programs and maps, unless an attachment
/// or a pin holds them.
#[derive(Debug)]
pub struct Loaded {
    kernel: Kernel,
    image: &'static Image,
    maps: Vec<Map>,
    programs: Vec<Option<Program>>,
}

impl Loaded {
    /// The maps, in the image's order.
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// The map at an index of the image, as a handle of its own.
    ///
    /// # Errors
    /// There is none; or there are too many open files.
    pub fn map(&self, index: usize) -> Result<Map> {
        match self.maps.get(index) {
            Some(map) => map.try_clone(),
            None => Err(Error::Map {
                map: self.image.name,
                reason: format!("there is no map {index}"),
            }),
        }
    }

    /// The programs, in the image's order; `None` for those that were left out.
    pub fn programs(&self) -> &[Option<Program>] {
        &self.programs
    }

    /// The program at an index of the image, as a handle of its own; `None` if it was left out.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn program(&self, index: usize) -> Result<Option<Program>> {
        let program = self.programs.get(index).and_then(Option::as_ref);
        program.map(Program::try_clone).transpose()
    }

    /// The bytes of a global variable as they are now, from an offset in its map's value.
    ///
    /// # Errors
    /// The kernel refused, or they reach beyond the value.
    pub fn bytes<const N: usize>(&self, map: usize, offset: usize) -> Result<[u8; N]> {
        let data = self.data(map)?;
        let bytes = data.get(offset..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or_else(|| Error::Map {
            map: self.image.name,
            reason: format!("it has no {N} bytes at {offset}"),
        })
    }

    /// The bytes of a map of global variables as they are now.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn data(&self, map: usize) -> Result<Vec<u8>> {
        let map = self.map(map)?;
        Ok(map.lookup(&KEY)?.unwrap_or_default())
    }

    /// Attaches all programs whose sections say where, and all structs of functions. They stay until
    /// what is given is dropped.
    ///
    /// # Errors
    /// One can't be attached, or its section does not say all of the place: those before it are
    /// detached again.
    pub fn attach(&self) -> Result<Vec<Attached>> {
        let mut attached = Vec::new();
        for program in self.programs.iter().flatten() {
            if !matches!(program.place(), Place::Never) {
                attached.push(program.attach()?);
            }
        }
        for (map, image) in self.maps.iter().zip(self.image.maps) {
            if let Contents::StructOps { by_link: true, .. } = image.contents {
                let link = self.kernel.link_create(&LinkCreate {
                    program: LinkSource::StructOps(map.fd()),
                    target: LinkTarget::None,
                    attach_type: AttachType::StructOps,
                    flags: 0,
                    options: LinkOptions::None,
                })?;
                attached.push(Attached::new(Attachment::link(link)));
            }
        }
        Ok(attached)
    }
}

pub(crate) fn load(open: &Open, kernel: &Kernel) -> Result<Loaded> {
    let image = open.image;
    if let Some(differs) = made_for::differs(image, kernel) {
        return Err(Error::OtherKernel {
            name: image.name,
            made_for: &image.made_for,
            differs,
        });
    }
    let loader = Loader::new(open, kernel)?;
    let maps = loader.maps()?;
    let programs = loader.programs(&maps)?;
    loader.fill_with_programs(&maps, &programs)?;
    Ok(Loaded {
        kernel: kernel.clone(),
        image,
        maps,
        programs,
    })
}

struct Loader<'a> {
    open: &'a Open,
    image: &'static Image,
    kernel: &'a Kernel,
    btf: Option<BtfFd>,
    modules: Vec<BtfFd>,
}

impl<'a> Loader<'a> {
    fn new(open: &'a Open, kernel: &'a Kernel) -> Result<Self> {
        let image = open.image;
        let btf = (!image.btf.is_empty()).then(|| {
            kernel.btf_load(&BtfLoad {
                object: image.name,
                bytes: image.btf,
                log_level: LogLevel::OnFailure,
                token: None,
            })
        });
        let mut modules = open_modules(&**kernel, image.modules)?;
        let in_order = image.modules.iter();
        Ok(Self {
            open,
            image,
            kernel,
            btf: btf.transpose()?,
            modules: in_order.filter_map(|name| modules.remove(*name)).collect(),
        })
    }

    fn maps(&self) -> Result<Vec<Map>> {
        let mut maps: Vec<Map> = Vec::with_capacity(self.image.maps.len());
        for (index, image) in self.image.maps.iter().enumerate() {
            let map = Map::new(self.kernel, self.create(index, image)?, image);
            self.fill(index, image, map.fd())?;
            maps.push(map);
        }
        // Maps may be named before they are there.
        for (map, Slot { key, value }) in slots(self.image, &maps) {
            if let SlotValue::Map(inner) = value
                && let Some(inner) = maps.get(inner)
            {
                let value = inner.fd().raw().to_ne_bytes();
                map.update(&key.to_ne_bytes(), &value)?;
            }
        }
        Ok(maps)
    }

    fn create(&self, index: usize, map: &MapImage) -> Result<MapFd> {
        let template = map
            .template
            .map(|template| self.create_as(template, None, template.max_entries))
            .transpose()?;
        let entries = self.open.entries(index).unwrap_or(map.inner.max_entries);
        self.create_as(&map.inner, template.as_ref(), entries)
    }

    fn create_as(&self, map: &Inner, template: Option<&MapFd>, entries: u32) -> Result<MapFd> {
        let typed = map.key_type != 0 || map.value_type != 0 || map.kernel_value.is_some();
        let page = u32::try_from(self.kernel.page_size()).unwrap_or(u32::MAX);
        let entries = match map.map_type {
            MapType::PerfEventArray if entries == 0 => {
                u32::try_from(self.kernel.possible_cpus()?).unwrap_or(u32::MAX)
            }
            MapType::Ringbuf | MapType::UserRingbuf => entries
                .max(page)
                .checked_next_power_of_two()
                .unwrap_or(entries),
            _ => entries,
        };
        let request = MapCreate {
            flags: MapCreateFlags::from_bits_retain(map.flags),
            map_extra: map.map_extra,
            numa_node: map.numa_node,
            inner_map: template,
            btf: self.btf.as_ref().filter(|_| typed).map(|btf| MapBtf {
                btf,
                key_type: map.key_type,
                value_type: map.value_type,
                kernel_value_type: map.kernel_value.map_or(0, |value| value.type_id),
                kernel_btf: map
                    .kernel_value
                    .and_then(|value| self.modules.get(value.module?)),
            }),
            ..MapCreate::new(
                map.map_type,
                map.load_name,
                map.key_size,
                map.value_size,
                entries,
            )
        };
        Ok(self.kernel.map_create(&request)?)
    }

    fn fill(&self, index: usize, image: &MapImage, map: &MapFd) -> Result<()> {
        let changed = self.open.changed(index);
        match image.contents {
            Contents::Data(data) => {
                let data = changed.unwrap_or(data);
                self.kernel.map_update_elem(map, &KEY, data, 0)?;
            }
            Contents::Empty => {
                if let Some(data) = changed {
                    self.kernel.map_update_elem(map, &KEY, data, 0)?;
                }
            }
            Contents::PerCpu(data) => {
                let mut value = changed.unwrap_or(data).to_vec();
                value.resize(value.len().next_multiple_of(8), 0);
                let values = value.repeat(self.kernel.possible_cpus()?);
                self.kernel.map_update_elem(map, &KEY, &values, 0)?;
            }
            Contents::Slots(_) | Contents::StructOps { .. } => {}
        }
        if image.frozen {
            self.kernel.map_freeze(map)?;
        }
        Ok(())
    }

    fn programs(&self, maps: &[Map]) -> Result<Vec<Option<Program>>> {
        let images = self.image.programs.iter().enumerate();
        let load = |(index, image)| {
            self.open
                .loads(index)
                .then(|| self.program(image, maps))
                .transpose()
        };
        images.map(load).collect()
    }

    fn program(&self, image: &'static ProgramImage, maps: &[Map]) -> Result<Program> {
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
            attach_btf_id: image.attach_btf_id,
            attach_target: image
                .attach_module
                .and_then(|module| self.modules.get(module))
                .map(AttachTarget::Module),
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
    fn instructions(&self, image: &ProgramImage, maps: &[Map]) -> (Cow<'static, [u8]>, Vec<i32>) {
        let mut instructions = Cow::Borrowed(image.instructions);
        let mut descriptors = Vec::new();
        if !image.signature.is_empty() {
            descriptors.push(0);
            descriptors.extend(self.modules.iter().map(BtfFd::raw));
            descriptors.extend(maps.iter().map(|map| map.fd().raw()));
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
            if let Some(map) = maps.get(reference.map) {
                put(reference.insn, 4, &map.fd().raw().to_ne_bytes());
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

    fn fill_with_programs(&self, maps: &[Map], programs: &[Option<Program>]) -> Result<()> {
        let raw = |index: usize| Some(programs.get(index)?.as_ref()?.fd().raw());
        for (map, Slot { key, value }) in slots(self.image, maps) {
            if let SlotValue::Program(index) = value
                && let Some(raw) = raw(index)
            {
                map.update(&key.to_ne_bytes(), &raw.to_ne_bytes())?;
            }
        }
        for (map, image) in maps.iter().zip(self.image.maps) {
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

/// The slots of all maps.
fn slots<'m>(image: &'static Image, maps: &'m [Map]) -> impl Iterator<Item = (&'m Map, Slot)> {
    maps.iter().zip(image.maps).flat_map(|(map, image)| {
        let slots = match image.contents {
            Contents::Slots(slots) => slots,
            _ => &[],
        };
        slots.iter().map(move |slot| (map, *slot))
    })
}
