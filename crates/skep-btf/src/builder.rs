//! Writing BTF: [`Builder`] makes new types, and edits those of an object before the kernel sees
//! them (compilers leave sizes and offsets of data sections to the loader).

use crate::new_type::encode;
use crate::strings::Strings;
use crate::walk::split_info;
use crate::words;
use crate::{
    Btf, Endian, Error, FunctionLinkage, IntEncoding, KindTag, NewMember, NewType, Result,
    SectionEntry, StringOffset, TypeId, VariableLinkage,
};

/// Makes BTF type by type, or edits BTF that exists.
///
/// ```
/// use skep_btf::{Btf, Builder, IntEncoding, NewMember};
///
/// # fn main() -> skep_btf::Result<()> {
/// let mut types = Builder::new();
/// let int = types.int("int", 4, IntEncoding::SIGNED);
/// let point = types.structure("point", 8, &[
///     NewMember::new("x", int, 0),
///     NewMember::new("y", int, 32),
/// ]);
/// let btf = Btf::parse(types.build()?)?;
/// assert_eq!(btf.type_by_id(point)?.name(), "point");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    endianness: Endian,
    pub(crate) first_id: u32,
    /// Each type in its words: all that BTF has is made of 32-bit numbers.
    pub(crate) types: Vec<Vec<u32>>,
    pub(crate) strings: Strings,
    /// The first thing that could not be encoded; [`Builder::build`] gives it back.
    error: Option<Error>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// No types yet, and the byte order of this machine.
    pub fn new() -> Self {
        Self {
            endianness: Endian::NATIVE,
            first_id: 1,
            types: Vec::new(),
            strings: Strings::new(),
            error: None,
        }
    }

    /// Types and strings that continue those of `base`, in its byte order: what
    /// [`Btf::parse_split`] reads.
    pub fn split(base: &Btf) -> Self {
        Self {
            endianness: base.endianness(),
            first_id: base.type_count().saturating_add(1),
            types: Vec::new(),
            strings: Strings::from_section(base.string_end(), Vec::new()),
            error: None,
        }
    }

    /// The types of `btf` (of split BTF: those that are not the base's), under the same ids and with
    /// the same string offsets, so that what refers to them (`.BTF.ext`) stays right.
    ///
    /// # Errors
    /// [`Error::UnwritableKind`]: what is not understood can't be written again.
    pub fn from_btf(btf: &Btf) -> Result<Self> {
        let mut types = Vec::with_capacity(btf.types().len());
        for found in btf.types() {
            let mut one = Vec::new();
            words::read(found, &mut one)?;
            types.push(one);
        }
        Ok(Self {
            endianness: btf.endianness(),
            first_id: btf.first_id().0,
            types,
            strings: Strings::from_section(btf.string_base(), btf.strings().to_vec()),
            error: None,
        })
    }

    /// Sets the byte order to write.
    pub fn set_endianness(&mut self, endianness: Endian) -> &mut Self {
        self.endianness = endianness;
        self
    }

    /// The id that the next new type will have.
    pub fn next_id(&self) -> TypeId {
        TypeId(self.first_id.wrapping_add(self.types.len() as u32))
    }

    /// Puts a string into the string section, once, and says where.
    pub fn string(&mut self, text: &str) -> StringOffset {
        self.strings.intern(text.as_bytes())
    }

    /// Puts a string that may not be UTF-8 into the string section, once: a line of source, which
    /// `.BTF.ext` refers to. It ends at its first NUL.
    pub fn string_bytes(&mut self, text: &[u8]) -> StringOffset {
        self.strings.intern(text)
    }

    /// Bytes of the string section so far, without a base's. Whoever adds strings of someone
    /// else's should look at it: a short section can hold many long ones, which overlap.
    pub fn strings_len(&self) -> usize {
        self.strings.bytes().len()
    }

    /// Adds a type.
    pub fn add(&mut self, new: NewType<'_>) -> TypeId {
        let id = self.next_id();
        let words = self.encode(id, new);
        self.types.push(words);
        id
    }

    /// Puts another type in the place of type `id`.
    ///
    /// # Errors
    /// [`Error::NoSuchType`].
    pub fn replace(&mut self, id: TypeId, new: NewType<'_>) -> Result<()> {
        self.words(id)?;
        let words = self.encode(id, new);
        *self.words(id)? = words;
        Ok(())
    }

    fn encode(&mut self, id: TypeId, new: NewType<'_>) -> Vec<u32> {
        let strings = &mut self.strings;
        match encode(id, new, |name| strings.intern(name.as_bytes()).0) {
            Ok(words) => words,
            Err(error) => {
                self.error.get_or_insert(error);
                vec![0, 0, 0]
            }
        }
    }

    fn words(&mut self, id: TypeId) -> Result<&mut Vec<u32>> {
        let last = TypeId(self.next_id().0.saturating_sub(1));
        let index = id.0.checked_sub(self.first_id);
        index
            .and_then(|index| self.types.get_mut(index as usize))
            .ok_or(Error::NoSuchType { id, last })
    }

    /// The words of type `id`, which must be of this kind.
    fn words_of(&mut self, id: TypeId, kind: KindTag) -> Result<&mut Vec<u32>> {
        let words = self.words(id)?;
        let number = words.get(1).map(|info| split_info(*info).0);
        if number == Some(kind as u8) {
            Ok(words)
        } else {
            Err(Error::WrongKind {
                id,
                expected: kind.kernel_name(),
            })
        }
    }

    /// Renames a type.
    ///
    /// # Errors
    /// [`Error::NoSuchType`].
    pub fn rename(&mut self, id: TypeId, name: &str) -> Result<()> {
        let name = self.string(name).0;
        set(self.words(id)?, 0, name);
        Ok(())
    }

    /// Renames types, members, enumerators and parameters: `new` gets what they are called and the
    /// kind of the type that they belong to, and gives another name where it wants one.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] if names become too long all together.
    pub fn rename_all(
        &mut self,
        mut new: impl FnMut(KindTag, &str) -> Option<String>,
    ) -> Result<()> {
        let strings = &mut self.strings;
        for (id, words) in (self.first_id..).map(TypeId).zip(&mut self.types) {
            let number = words.get(1).map_or(0, |info| split_info(*info).0);
            let Some(kind) = KindTag::from_number(number) else {
                continue;
            };
            words::each_reference(words, |_, what, word| {
                if what == words::Reference::Name && *word >= strings.base() {
                    let name = String::from_utf8_lossy(strings.string(StringOffset(*word)));
                    if let Some(name) = new(kind, &name) {
                        *word = strings.intern(name.as_bytes()).0;
                    }
                }
                Ok(())
            })?;
            strings.check_length(id)?;
        }
        Ok(())
    }

    /// Sets the size of a data section, and lets `edit` change its entries.
    ///
    /// # Errors
    /// [`Error::NoSuchType`], [`Error::WrongKind`].
    pub fn set_data_section(
        &mut self,
        id: TypeId,
        size: u32,
        mut edit: impl FnMut(&mut SectionEntry),
    ) -> Result<()> {
        let words = self.words_of(id, KindTag::DataSection)?;
        set(words, 2, size);
        let entries = words.get_mut(3..).unwrap_or_default();
        for [type_id, offset, size] in entries.as_chunks_mut::<3>().0 {
            let mut entry = SectionEntry {
                type_id: TypeId(*type_id),
                offset: *offset,
                size: *size,
            };
            edit(&mut entry);
            (*type_id, *offset, *size) = (entry.type_id.0, entry.offset, entry.size);
        }
        Ok(())
    }

    /// Sorts the entries of a data section by offset, as the kernel demands.
    ///
    /// # Errors
    /// As [`Builder::set_data_section`].
    pub fn sort_data_section(&mut self, id: TypeId) -> Result<()> {
        let words = self.words_of(id, KindTag::DataSection)?;
        let entries = words.get_mut(3..).unwrap_or_default();
        entries
            .as_chunks_mut::<3>()
            .0
            .sort_by_key(|[_, offset, _]| *offset);
        Ok(())
    }

    /// Sets the linkage of a function.
    ///
    /// # Errors
    /// [`Error::NoSuchType`], [`Error::WrongKind`].
    pub fn set_function_linkage(&mut self, id: TypeId, linkage: FunctionLinkage) -> Result<()> {
        let words = self.words_of(id, KindTag::Function)?;
        set(
            words,
            1,
            (KindTag::Function as u32) << 24 | linkage.number() & 0x00ff_ffff,
        );
        Ok(())
    }

    /// Sets the linkage of a variable.
    ///
    /// # Errors
    /// [`Error::NoSuchType`], [`Error::WrongKind`].
    pub fn set_variable_linkage(&mut self, id: TypeId, linkage: VariableLinkage) -> Result<()> {
        set(self.words_of(id, KindTag::Variable)?, 3, linkage.number());
        Ok(())
    }

    /// Sets the type that a pointer, typedef, qualifier, tag, function, prototype (what it returns)
    /// or variable refers to.
    ///
    /// # Errors
    /// [`Error::NoSuchType`], and [`Error::WrongKind`] for a type that refers to none.
    pub fn set_target(&mut self, id: TypeId, target: TypeId) -> Result<()> {
        let words = self.words(id)?;
        let number = words.get(1).map_or(0, |info| split_info(*info).0);
        if !KindTag::from_number(number).is_some_and(KindTag::is_reference) {
            return Err(Error::WrongKind {
                id,
                expected: "a type that refers to another",
            });
        }
        set(words, 2, target.0);
        Ok(())
    }

    /// The BTF, with a header of 24 bytes that every kernel takes.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] when something that was added is beyond the format.
    pub fn build(&self) -> Result<Vec<u8>> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let word_count = self.types.iter().map(Vec::len).sum::<usize>();
        let type_len = u32::try_from(word_count)
            .ok()
            .and_then(|count| count.checked_mul(4));
        let string_len = u32::try_from(self.strings.bytes().len()).ok();
        let (Some(type_len), Some(string_len)) = (type_len, string_len) else {
            return Err(Error::DoesNotFit {
                id: self.next_id(),
                what: "the whole",
            });
        };
        let capacity = self
            .strings
            .bytes()
            .len()
            .saturating_add(type_len as usize)
            .saturating_add(24);
        let mut out = Vec::with_capacity(capacity);
        let magic = crate::header::MAGIC;
        out.extend(match self.endianness {
            Endian::Little => magic.to_le_bytes(),
            Endian::Big => magic.to_be_bytes(),
        });
        out.extend([1, 0]);
        let header = [crate::header::HEADER_LEN, 0, type_len, type_len, string_len];
        for word in header.iter().chain(self.types.iter().flatten()) {
            out.extend(match self.endianness {
                Endian::Little => word.to_le_bytes(),
                Endian::Big => word.to_be_bytes(),
            });
        }
        out.extend(self.strings.bytes());
        Ok(out)
    }
}

/// Shorthands for the commonest [`NewType`]s.
impl Builder {
    /// Adds an integer whose bits fill its size (in bytes).
    pub fn int(&mut self, name: &str, size: u32, encoding: IntEncoding) -> TypeId {
        let bits = size.saturating_mul(8).min(255) as u8;
        self.add(NewType::Int {
            name,
            size,
            bits,
            offset: 0,
            encoding,
        })
    }

    /// Adds a pointer.
    pub fn pointer(&mut self, target: TypeId) -> TypeId {
        self.add(NewType::Pointer { target })
    }

    /// Adds an array.
    pub fn array(&mut self, element: TypeId, index: TypeId, len: u32) -> TypeId {
        self.add(NewType::Array {
            element,
            index,
            len,
        })
    }

    /// Adds a structure of `size` bytes.
    pub fn structure(&mut self, name: &str, size: u32, members: &[NewMember<'_>]) -> TypeId {
        self.add(NewType::Struct {
            name,
            size,
            members,
        })
    }

    /// Adds a union of `size` bytes.
    pub fn union(&mut self, name: &str, size: u32, members: &[NewMember<'_>]) -> TypeId {
        self.add(NewType::Union {
            name,
            size,
            members,
        })
    }

    /// Adds an enumeration of 32-bit values.
    pub fn enumeration(&mut self, name: &str, values: &[(&str, i64)]) -> TypeId {
        let signed = values.iter().any(|(_, value)| *value < 0);
        self.add(NewType::Enum {
            name,
            size: 4,
            signed,
            values,
        })
    }

    /// Adds a typedef.
    pub fn typedef(&mut self, name: &str, target: TypeId) -> TypeId {
        self.add(NewType::Typedef { name, target })
    }

    /// Adds a prototype of a function.
    pub fn prototype(&mut self, return_type: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        self.add(NewType::FunctionPrototype {
            return_type,
            params,
        })
    }

    /// Adds a function.
    pub fn function(&mut self, name: &str, prototype: TypeId, linkage: FunctionLinkage) -> TypeId {
        self.add(NewType::Function {
            name,
            prototype,
            linkage,
        })
    }

    /// Adds a variable.
    pub fn variable(&mut self, name: &str, type_id: TypeId, linkage: VariableLinkage) -> TypeId {
        self.add(NewType::Variable {
            name,
            type_id,
            linkage,
        })
    }
}

fn set(words: &mut [u32], index: usize, value: u32) {
    if let Some(word) = words.get_mut(index) {
        *word = value;
    }
}
