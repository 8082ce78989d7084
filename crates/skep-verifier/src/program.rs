//! What is verified: one program as a host would be given it, with the maps and types it uses.

use std::{borrow::Cow, sync::Arc};

use skep_abi::{AttachType, MapCreateFlags, MapType, ProgLoadFlags, ProgramType};
use skep_btf::{Btf, TypeId};
use skep_isa::{InsnIndex, RawInsn};
use skep_object::{Contents, Image, ImageMap, ImageProgram, MapIndex, MapReferenceKind};

use crate::state::Fields;

/// One program to verify.
#[derive(Debug, Clone)]
pub struct Program<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its type.
    pub program_type: ProgramType,
    /// What it is loaded to be attached as.
    pub attach_type: Option<AttachType>,
    /// How it is loaded.
    pub flags: ProgLoadFlags,
    /// Its licence.
    pub license: Cow<'a, str>,
    /// Its instructions, subprograms behind it.
    pub instructions: Cow<'a, [RawInsn]>,
    /// The maps it uses.
    pub maps: Vec<Map>,
    /// Where it uses them, by instruction.
    pub map_uses: Vec<MapUse>,
    /// Its types.
    pub btf: Option<Arc<Btf>>,
    /// Its functions, by their first instruction; the program itself is the first.
    pub functions: Vec<Function>,
    /// What it is loaded to be attached to.
    pub attach: Option<AttachTarget>,
    /// The member of the struct which it is, for struct_ops programs.
    pub attach_member: Option<u32>,
    /// Modules by the instruction (a kernel function's call, a variable's address) that refers to
    /// their BTF.
    pub modules: Vec<(InsnIndex, String)>,
    /// Its jump tables: the instructions that refer to each, and the targets.
    pub jump_tables: Vec<(Vec<InsnIndex>, Vec<InsnIndex>)>,
    /// What its lines of source are, if known.
    pub source: Option<&'a ImageProgram>,
}

/// The place of a map in [`Program::maps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId(pub u32);

/// An instruction that refers to a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapUse {
    /// The `ld_imm64`.
    pub insn: InsnIndex,
    /// The map.
    pub map: MapId,
    /// A place in its first value, in bytes; `None`: the map itself.
    pub value_offset: Option<u32>,
}

/// A map, as far as it matters to a verdict.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Map {
    /// Its name.
    pub name: String,
    /// Its type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// How it is made.
    pub flags: MapCreateFlags,
    /// What the type defines.
    pub map_extra: u64,
    /// The BTF of its key and value.
    pub btf: Option<Arc<Btf>>,
    /// The type of a key.
    pub key_type: Option<TypeId>,
    /// The type of a value.
    pub value_type: Option<TypeId>,
    /// What of its value the kernel manages (locks, timers, kernel pointers …).
    pub fields: Arc<Fields>,
    /// The maps in it.
    pub inner: Option<Arc<Map>>,
    /// Its first value, if it is frozen, read-only to programs, and known.
    pub constant: Option<Arc<[u8]>>,
    /// Whether it is frozen.
    pub frozen: bool,
}

/// A function in a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its first instruction.
    pub start: InsnIndex,
    /// Its type (`FUNC`) in the program's BTF.
    pub type_id: Option<TypeId>,
}

/// What a program is loaded to be attached to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AttachTarget {
    /// A type of the kernel's BTF, or of a module's.
    Kernel {
        /// The type.
        type_id: TypeId,
        /// The module; `None` for the kernel's own BTF.
        module: Option<String>,
    },
    /// A function of another program.
    Program {
        /// That program's types.
        btf: Arc<Btf>,
        /// The function.
        function: TypeId,
        /// That program's type.
        program_type: ProgramType,
    },
}

/// Bytes of an entry of a jump table, as programs read it: an address.
pub(crate) const JUMP_TABLE_ENTRY: u64 = 8;

impl Map {
    /// Bytes that programs reach at the address of a value: the value's, or a whole jump table.
    pub(crate) fn direct_size(&self) -> u64 {
        match self.map_type {
            MapType::InsnArray => JUMP_TABLE_ENTRY.saturating_mul(self.max_entries.into()),
            _ => self.value_size.into(),
        }
    }

    /// A map without types and contents.
    pub fn new(
        name: &str,
        map_type: MapType,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> Self {
        Self {
            name: name.to_owned(),
            map_type,
            key_size,
            value_size,
            max_entries,
            flags: MapCreateFlags::empty(),
            map_extra: 0,
            btf: None,
            key_type: None,
            value_type: None,
            fields: Arc::default(),
            inner: None,
            constant: None,
            frozen: false,
        }
    }

    /// A map of an image, with the image's BTF.
    pub fn from_image(map: &ImageMap, btf: Option<&Arc<Btf>>) -> Self {
        let read_only = map.flags.contains(MapCreateFlags::RDONLY_PROG);
        let constant = match &map.contents {
            Contents::Data(bytes) if map.frozen && read_only => Some(Arc::from(bytes.as_slice())),
            Contents::Zeroes if map.frozen && read_only => {
                Some(Arc::from(vec![0_u8; map.value_size as usize]))
            }
            _ => None,
        };
        let fields = match (btf, map.value_type) {
            (Some(btf), Some(value)) => Arc::new(Fields::of(btf, value)),
            _ => Arc::default(),
        };
        Self {
            name: map.name.clone(),
            map_type: map.map_type,
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: map.max_entries,
            flags: map.flags,
            map_extra: map.map_extra,
            btf: btf.cloned(),
            key_type: map.key_type,
            value_type: map.value_type,
            fields,
            inner: map
                .inner
                .as_ref()
                .map(|inner| Arc::new(Self::from_image(inner, btf))),
            constant,
            frozen: map.frozen,
        }
    }
}

impl<'a> Program<'a> {
    /// A program with a GPL licence that uses nothing.
    pub fn new(program_type: ProgramType, name: &'a str, instructions: &'a [RawInsn]) -> Self {
        Self {
            name: Cow::Borrowed(name),
            program_type,
            attach_type: None,
            flags: ProgLoadFlags::empty(),
            license: Cow::Borrowed("GPL"),
            instructions: Cow::Borrowed(instructions),
            maps: Vec::new(),
            map_uses: Vec::new(),
            btf: None,
            functions: Vec::new(),
            attach: None,
            attach_member: None,
            modules: Vec::new(),
            jump_tables: Vec::new(),
            source: None,
        }
    }

    /// A program of an image. `btf` is the image's BTF, parsed.
    pub fn from_image(image: &'a Image, program: &'a ImageProgram, btf: Option<&Arc<Btf>>) -> Self {
        let mut used: Vec<MapIndex> = Vec::new();
        let mut map_uses = Vec::new();
        for reference in &program.map_references {
            let place = used.iter().position(|&map| map == reference.map);
            let place = place.unwrap_or_else(|| {
                used.push(reference.map);
                used.len() - 1
            });
            map_uses.push(MapUse {
                insn: reference.insn,
                map: MapId(u32::try_from(place).unwrap_or(u32::MAX)),
                value_offset: match reference.kind {
                    MapReferenceKind::Map => None,
                    MapReferenceKind::Value { offset } => Some(offset),
                },
            });
        }
        let mut maps: Vec<Map> = used
            .iter()
            .filter_map(|index| image.maps.get(index.as_usize()))
            .map(|map| Map::from_image(map, btf))
            .collect();
        for table in &program.jump_tables {
            let place = MapId(u32::try_from(maps.len()).unwrap_or(u32::MAX));
            let entries = u32::try_from(table.targets.len()).unwrap_or(u32::MAX);
            maps.push(Map::new("jump table", MapType::InsnArray, 4, 16, entries));
            map_uses.extend(table.references.iter().map(|&insn| MapUse {
                insn,
                map: place,
                value_offset: Some(0),
            }));
        }
        Self {
            name: Cow::Borrowed(&program.name),
            program_type: program.program_type,
            attach_type: program.attach_type,
            flags: program.flags,
            license: Cow::Borrowed(&program.license),
            instructions: Cow::Borrowed(&program.instructions),
            maps,
            map_uses,
            btf: btf.cloned(),
            functions: program
                .functions
                .iter()
                .map(|function| Function {
                    name: function.name.clone(),
                    start: function.start,
                    type_id: function.type_id,
                })
                .collect(),
            attach: program
                .attach_btf
                .as_ref()
                .map(|attach| AttachTarget::Kernel {
                    type_id: attach.type_id,
                    module: attach.module.clone(),
                }),
            attach_member: program.attach_member,
            modules: program
                .module_references
                .iter()
                .map(|reference| (reference.insn, reference.module.clone()))
                .collect(),
            jump_tables: program
                .jump_tables
                .iter()
                .map(|table| (table.references.clone(), table.targets.clone()))
                .collect(),
            source: Some(program),
        }
    }

    /// A map; `inner`: one that is in it.
    pub(crate) fn map(&self, map: MapId, inner: bool) -> Option<&Map> {
        let map = self.maps.get(map.0 as usize)?;
        if inner {
            map.inner.as_deref()
        } else {
            Some(map)
        }
    }

    /// Whether it is loaded to sleep.
    pub fn is_sleepable(&self) -> bool {
        self.flags.contains(ProgLoadFlags::SLEEPABLE)
    }
}
