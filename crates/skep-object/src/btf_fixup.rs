//! The object's BTF as a kernel takes it: sizes and offsets filled in, externs made ordinary,
//! names that are no identifiers replaced, and kinds that the target is too old for replaced by
//! others of the same place. Type ids stay what they were.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use skep_btf::{Btf, FunctionLinkage, Kind, KindTag, Type, TypeId, VariableLinkage};
use skep_isa::Endian;

use crate::{
    Error, Linkage, Object, Place, Result, Target,
    data::SectionLayout,
    externs::{KCONFIG, KSYMS},
};

/// The BTF of an object for a target; `None` if it has none.
pub(crate) fn for_target(object: &Object, target: &Target) -> Result<Option<Vec<u8>>> {
    let Some(btf) = &object.btf else {
        return Ok(None);
    };
    let mut fixup = Fixup {
        edit: Edit::new(btf)?,
        btf,
        target,
        replaced_kind: BTreeSet::new(),
    };
    fixup.linkages(object)?;
    for layout in &object.layouts {
        match layout.name.as_str() {
            KSYMS => fixup.ksyms(layout)?,
            KCONFIG => fixup.kconfig(object, layout)?,
            _ => fixup.data_section(layout)?,
        }
    }
    fixup.kinds()?;
    fixup.names()?;
    fixup.edit.finish().map(Some)
}

struct Fixup<'a> {
    edit: Edit,
    btf: &'a Btf,
    target: &'a Target,
    /// Types that are no longer of their kind and need no names.
    replaced_kind: BTreeSet<TypeId>,
}

/// `struct btf_type`: name, info, size or type; then what the kind has.
const INFO: u32 = 4;
const SIZE_OR_TYPE: u32 = 8;
const BODY: u32 = 12;

impl Fixup<'_> {
    /// Makes functions and variables that are found elsewhere ordinary ones, and functions that
    /// the linker alone sees static, so that they are not verified by themselves.
    fn linkages(&mut self, object: &Object) -> Result<()> {
        let hidden: BTreeSet<TypeId> = object
            .functions
            .iter()
            .filter(|function| function.linkage == Linkage::Hidden)
            .filter_map(|function| function.type_id)
            .collect();
        let parameter = self.edit.string("arg")?;
        for found in self.btf.types() {
            match found.kind() {
                Kind::Function(function) => {
                    let mut linkage = function.linkage;
                    if hidden.contains(&found.id()) || !self.target.btf_features.global_functions {
                        linkage = FunctionLinkage::Static;
                    } else if linkage == FunctionLinkage::Extern {
                        linkage = FunctionLinkage::Global;
                        self.name_parameters(function.prototype, parameter)?;
                    }
                    if linkage != function.linkage {
                        let info = info(KindTag::Function, linkage.number());
                        self.edit.set(&found, INFO, info)?;
                    }
                }
                Kind::Variable(variable) if variable.linkage == VariableLinkage::Extern => {
                    self.edit
                        .set(&found, BODY, VariableLinkage::Global.number())?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Kernels ask for names of a function's parameters; declarations may leave them out.
    fn name_parameters(&mut self, prototype: TypeId, name: u32) -> Result<()> {
        let found = self.btf.type_by_id(prototype)?;
        let Kind::FunctionPrototype(kind) = found.kind() else {
            return Ok(());
        };
        for (index, parameter) in (0_u32..).zip(kind.params()) {
            if parameter.name_offset.0 == 0 && parameter.type_id != TypeId::VOID {
                self.edit.set(&found, element(index, 8, 0), name)?;
            }
        }
        Ok(())
    }

    /// Writes true sizes and offsets, in the order of offsets.
    fn data_section(&mut self, layout: &SectionLayout) -> Result<()> {
        let found = self.btf.type_by_id(layout.type_id)?;
        self.edit.set(&found, SIZE_OR_TYPE, layout.size)?;
        for (index, entry) in (0_u32..).zip(&layout.entries) {
            self.entry(&found, index, entry.type_id, entry.offset, entry.size)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        section: &Type<'_>,
        index: u32,
        variable: TypeId,
        offset: u32,
        size: u32,
    ) -> Result<()> {
        self.edit.set(section, element(index, 12, 0), variable.0)?;
        self.edit.set(section, element(index, 12, 4), offset)?;
        self.edit.set(section, element(index, 12, 8), size)
    }

    /// Kernel symbols: what the kernel wants of a section are variables with a size, one after
    /// the other. Functions are stood in for by one variable.
    fn ksyms(&mut self, layout: &SectionLayout) -> Result<()> {
        const SIZE: u32 = 4;
        let section = self.btf.type_by_id(layout.type_id)?;
        let int = self.edit.add_int("int", SIZE)?;
        let mut dummy = None;
        let mut offset = 0_u32;
        for (index, entry) in (0_u32..).zip(&layout.entries) {
            let declared = self.btf.type_by_id(entry.type_id)?;
            let variable = match declared.kind() {
                Kind::Variable(_) => {
                    self.edit.set(&declared, SIZE_OR_TYPE, int.0)?;
                    declared.id()
                }
                _ => match dummy {
                    Some(dummy) => dummy,
                    None => *dummy.insert(self.edit.add_variable("dummy_ksym", int)?),
                },
            };
            self.entry(&section, index, variable, offset, SIZE)?;
            offset = offset.saturating_add(SIZE);
        }
        self.edit.set(&section, SIZE_OR_TYPE, offset)
    }

    /// The kernel's configuration, as it was laid out in its map.
    fn kconfig(&mut self, object: &Object, layout: &SectionLayout) -> Result<()> {
        let Some(kconfig) = &object.kconfig else {
            return Ok(());
        };
        let section = self.btf.type_by_id(layout.type_id)?;
        for (index, value) in (0_u32..).zip(&kconfig.values) {
            self.entry(&section, index, value.variable, value.offset, value.size)?;
        }
        self.edit.set(&section, SIZE_OR_TYPE, kconfig.size)
    }

    /// Replaces kinds that the target does not know.
    fn kinds(&mut self) -> Result<()> {
        let features = self.target.btf_features;
        let mut placeholder = None;
        for found in self.btf.types() {
            match found.kind() {
                Kind::Float { size } if !features.floats => {
                    self.replace(&found, info(KindTag::Struct, 0), size)?;
                    self.edit.set(&found, 0, 0)?;
                }
                // A tag has one word after it, as an integer has.
                Kind::DeclTag(_) if !features.decl_tags => {
                    self.replace(&found, info(KindTag::Int, 0), 1)?;
                    self.edit.set(&found, BODY, 8)?;
                }
                Kind::TypeTag { target, .. } if !features.type_tags => {
                    self.replace(&found, info(KindTag::Const, 0), target.0)?;
                    self.edit.set(&found, 0, 0)?;
                }
                Kind::DeclTag(tag) if tag.attribute && !features.tag_attributes => {
                    self.edit.set(&found, INFO, info(KindTag::DeclTag, 0))?;
                }
                Kind::TypeTag {
                    attribute: true, ..
                } if !features.tag_attributes => {
                    self.edit.set(&found, INFO, info(KindTag::TypeTag, 0))?;
                }
                Kind::Enum64(values) if !features.enum64 => {
                    // A name and two words a value, as a union has a name, a type and an offset.
                    let int = match placeholder {
                        Some(int) => int,
                        None => *placeholder.insert(self.edit.add_int("enum64_value", 1)?),
                    };
                    let count = values.values().len();
                    let count = u32::try_from(count).unwrap_or(u32::MAX);
                    self.replace(&found, info(KindTag::Union, count), values.size)?;
                    for index in 0..count {
                        self.edit.set(&found, element(index, 12, 4), int.0)?;
                        self.edit.set(&found, element(index, 12, 8), 0)?;
                    }
                }
                Kind::Enum(values) if values.signed && !features.enum64 => {
                    let count = u32::try_from(values.values().len()).unwrap_or(u32::MAX);
                    self.edit.set(&found, INFO, info(KindTag::Enum, count))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn replace(&mut self, found: &Type<'_>, info: u32, size_or_type: u32) -> Result<()> {
        self.replaced_kind.insert(found.id());
        self.edit.set(found, INFO, info)?;
        self.edit.set(found, SIZE_OR_TYPE, size_or_type)
    }

    /// Replaces names that are no identifiers of C, such as those of Rust's generic types.
    fn names(&mut self) -> Result<()> {
        for found in self.btf.types() {
            let Some(tag) = found.tag() else { continue };
            let checked = matches!(
                tag,
                KindTag::Struct
                    | KindTag::Union
                    | KindTag::Enum
                    | KindTag::Enum64
                    | KindTag::Forward
                    | KindTag::Typedef
                    | KindTag::Variable
                    | KindTag::Function
            );
            if checked {
                self.name(&found, 0, found.name())?;
            }
            match found.kind() {
                Kind::Struct(composite) | Kind::Union(composite) => {
                    for (index, member) in (0_u32..).zip(composite.members()) {
                        self.name(&found, element(index, 12, 0), member.name())?;
                    }
                }
                Kind::Enum(values) => {
                    for (index, value) in (0_u32..).zip(values.values()) {
                        self.name(&found, element(index, 8, 0), value.name())?;
                    }
                }
                Kind::Enum64(values) => {
                    for (index, value) in (0_u32..).zip(values.values()) {
                        self.name(&found, element(index, 12, 0), value.name())?;
                    }
                }
                Kind::FunctionPrototype(prototype) => {
                    for (index, parameter) in (0_u32..).zip(prototype.params()) {
                        self.name(&found, element(index, 8, 0), parameter.name())?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn name(&mut self, found: &Type<'_>, field: u32, name: &str) -> Result<()> {
        /// The kernel's `KSYM_NAME_LEN`, without the NUL.
        const LONGEST: usize = 127;
        if name.is_empty() || self.replaced_kind.contains(&found.id()) && field == 0 {
            return Ok(());
        }
        let fits = |position: usize, byte: u8| {
            matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'.')
                || (position > 0 && byte.is_ascii_digit())
        };
        let mut positions = name.bytes().enumerate();
        if name.len() <= LONGEST && positions.all(|(position, byte)| fits(position, byte)) {
            return Ok(());
        }
        let valid: String = name
            .bytes()
            .enumerate()
            .take(LONGEST)
            .map(|(position, byte)| {
                if fits(position, byte) {
                    char::from(byte)
                } else {
                    '_'
                }
            })
            .collect();
        let offset = self.edit.string(&valid)?;
        self.edit.set(found, field, offset)
    }
}

/// Where a word of an element is, from the start of its type.
fn element(index: u32, len: u32, field: u32) -> u32 {
    BODY.saturating_add(index.saturating_mul(len))
        .saturating_add(field)
}

/// The word of kind and count. Kernels before 7.1 have fewer bits for both; what an object has
/// fits in either.
fn info(tag: KindTag, count: u32) -> u32 {
    (tag as u32) << 24 | count & 0x00ff_ffff
}

/// BTF being changed: words in place, types and strings at the end.
struct Edit {
    endian: Endian,
    /// Where the types are in the data that is changed.
    origin: u32,
    types: Vec<u8>,
    strings: Vec<u8>,
    next_id: u32,
    added: BTreeMap<String, u32>,
}

const HEADER: u32 = 24;

impl Edit {
    fn new(btf: &Btf) -> Result<Self> {
        let data = btf.bytes();
        let endian = crate::endian_of(btf);
        let word = |at| word(data, at, endian).ok_or_else(|| malformed(at));
        let header = word(4)?;
        let section = |field: u32| -> Result<Range<u32>> {
            let start = header.checked_add(word(field)?);
            let end =
                start.and_then(|start| start.checked_add(word(field.saturating_add(4)).ok()?));
            Ok(start.ok_or_else(|| malformed(field))?..end.ok_or_else(|| malformed(field))?)
        };
        let bytes = |range: &Range<u32>| -> Result<Vec<u8>> {
            let start = usize::try_from(range.start).unwrap_or(usize::MAX);
            let end = usize::try_from(range.end).unwrap_or(usize::MAX);
            data.get(start..end)
                .map(<[u8]>::to_vec)
                .ok_or_else(|| malformed(range.start))
        };
        let (types, strings) = (section(8)?, section(16)?);
        Ok(Self {
            endian,
            origin: types.start,
            types: bytes(&types)?,
            strings: bytes(&strings)?,
            next_id: btf.type_count().saturating_add(1),
            added: BTreeMap::new(),
        })
    }

    /// Sets the word at `field` of a type.
    fn set(&mut self, found: &Type<'_>, field: u32, value: u32) -> Result<()> {
        let at = found.data_offset().saturating_add(field);
        let place = at
            .checked_sub(self.origin)
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| self.types.get_mut(at..)?.first_chunk_mut::<4>())
            .ok_or_else(|| malformed(at))?;
        *place = bytes_of(value, self.endian);
        Ok(())
    }

    /// The offset of a string that is added once.
    fn string(&mut self, text: &str) -> Result<u32> {
        if let Some(offset) = self.added.get(text) {
            return Ok(*offset);
        }
        let offset = u32::try_from(self.strings.len()).map_err(|_| malformed(HEADER))?;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        self.added.insert(text.to_owned(), offset);
        Ok(offset)
    }

    fn add(&mut self, words: [u32; 4]) -> TypeId {
        for word in words {
            self.types.extend(bytes_of(word, self.endian));
        }
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        TypeId(id)
    }

    /// Adds a signed integer type of up to 4 bytes.
    fn add_int(&mut self, name: &str, bytes: u32) -> Result<TypeId> {
        const SIGNED: u32 = 1 << 24;
        let name = self.string(name)?;
        let bits = bytes.saturating_mul(8);
        Ok(self.add([name, info(KindTag::Int, 0), bytes, SIGNED | bits]))
    }

    fn add_variable(&mut self, name: &str, of: TypeId) -> Result<TypeId> {
        let name = self.string(name)?;
        let linkage = VariableLinkage::Global.number();
        Ok(self.add([name, info(KindTag::Variable, 0), of.0, linkage]))
    }

    fn finish(self) -> Result<Vec<u8>> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| malformed(HEADER));
        let (types, strings) = (len(&self.types)?, len(&self.strings)?);
        let mut data = Vec::new();
        data.extend(match self.endian {
            Endian::Little => [0x9f, 0xeb, 1, 0],
            Endian::Big => [0xeb, 0x9f, 1, 0],
        });
        for word in [HEADER, 0, types, types, strings] {
            data.extend(bytes_of(word, self.endian));
        }
        data.extend(self.types);
        data.extend(self.strings);
        Ok(data)
    }
}

fn word(data: &[u8], at: u32, endian: Endian) -> Option<u32> {
    let bytes = data.get(usize::try_from(at).ok()?..)?.first_chunk::<4>()?;
    Some(match endian {
        Endian::Little => u32::from_le_bytes(*bytes),
        Endian::Big => u32::from_be_bytes(*bytes),
    })
}

fn bytes_of(word: u32, endian: Endian) -> [u8; 4] {
    match endian {
        Endian::Little => word.to_le_bytes(),
        Endian::Big => word.to_be_bytes(),
    }
}

fn malformed(offset: u32) -> Error {
    Error::Malformed {
        place: Place::new(".BTF", offset.into()),
        problem: "a part lies outside the section".into(),
    }
}
