//! What types list: members, parameters, enumerators, variables of a section. One iterator reads
//! them in place.

use crate::{Btf, StringOffset, TypeId};
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

/// The elements that a type lists, read one by one.
pub struct Elements<'a, E> {
    btf: &'a Btf,
    base: u32,
    next: u32,
    end: u32,
    flag: bool,
    element: PhantomData<fn() -> E>,
}

impl<'a, E> Elements<'a, E> {
    pub(crate) fn new(btf: &'a Btf, base: u32, count: u32, flag: bool) -> Self {
        Self {
            btf,
            base,
            next: 0,
            end: count,
            flag,
            element: PhantomData,
        }
    }

    pub(crate) fn btf(&self) -> &'a Btf {
        self.btf
    }

    pub(crate) fn base(&self) -> u32 {
        self.base
    }

    /// How many are left.
    #[inline]
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.next) as usize
    }

    /// Whether none is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.next >= self.end
    }
}

impl<'a, E: Element<'a>> Elements<'a, E> {
    /// The element at `index`, counted from the first that is left.
    #[inline]
    pub fn get(&self, index: usize) -> Option<E> {
        let index = u32::try_from(index).ok()?.checked_add(self.next)?;
        (index < self.end).then(|| self.read(index))
    }

    #[inline]
    fn read(&self, index: u32) -> E {
        let at = self.base.wrapping_add(index.wrapping_mul(E::LEN));
        E::read(self.btf, at, self.flag)
    }
}

impl<E> Clone for Elements<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Elements<'_, E> {}

impl<'a, E: Element<'a>> Iterator for Elements<'a, E> {
    type Item = E;

    #[inline]
    fn next(&mut self) -> Option<E> {
        let found = self.get(0)?;
        self.next = self.next.wrapping_add(1);
        Some(found)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }

    fn nth(&mut self, skip: usize) -> Option<E> {
        let skip = u32::try_from(skip).unwrap_or(u32::MAX);
        self.next = self.next.saturating_add(skip).min(self.end);
        self.next()
    }
}

impl<'a, E: Element<'a>> DoubleEndedIterator for Elements<'a, E> {
    fn next_back(&mut self) -> Option<E> {
        let last = self.end.checked_sub(1).filter(|last| *last >= self.next)?;
        self.end = last;
        Some(self.read(last))
    }
}

impl<'a, E: Element<'a>> ExactSizeIterator for Elements<'a, E> {}
impl<'a, E: Element<'a>> FusedIterator for Elements<'a, E> {}

impl<E> fmt::Debug for Elements<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements", self.len())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Something that a type lists; only this crate has them.
pub trait Element<'a>: sealed::Sealed {
    /// Its bytes in BTF.
    #[doc(hidden)]
    const LEN: u32;
    #[doc(hidden)]
    fn read(btf: &'a Btf, at: u32, flag: bool) -> Self;
}

/// A member of a structure or union: `struct btf_member`.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    btf: &'a Btf,
    /// Where the name stands; 0 for an anonymous structure or union.
    pub name_offset: StringOffset,
    /// Its type.
    pub type_id: TypeId,
    /// Bits from the start of the structure. Of a bit field: to its least significant bit in
    /// little-endian data, to its most significant one in big-endian data.
    pub bit_offset: u32,
    /// Bits of a bit field; 0 for any other member.
    ///
    /// BTF of before 2018 has bit fields as integers of fewer bits than their size
    /// ([`Int::bits`](crate::Int::bits)) and 0 here.
    pub bitfield_size: u8,
}

impl<'a> Member<'a> {
    /// The name, or an empty string for an anonymous structure, union or bit field.
    #[inline]
    pub fn name(&self) -> &'a str {
        self.btf.name(self.name_offset)
    }
}

impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name())
            .field("type_id", &self.type_id)
            .field("bit_offset", &self.bit_offset)
            .field("bitfield_size", &self.bitfield_size)
            .finish()
    }
}

impl sealed::Sealed for Member<'_> {}
impl<'a> Element<'a> for Member<'a> {
    const LEN: u32 = 12;

    #[inline]
    fn read(btf: &'a Btf, at: u32, flag: bool) -> Self {
        let offset = btf.word(at.wrapping_add(8));
        let (bit_offset, bitfield_size) = if flag {
            (offset & 0x00ff_ffff, (offset >> 24) as u8)
        } else {
            (offset, 0)
        };
        Self {
            btf,
            name_offset: StringOffset(btf.word(at)),
            type_id: TypeId(btf.word(at.wrapping_add(4))),
            bit_offset,
            bitfield_size,
        }
    }
}

/// A parameter of a function prototype: `struct btf_param`.
#[derive(Clone, Copy)]
pub struct Parameter<'a> {
    btf: &'a Btf,
    /// Where the name stands; 0 when it has none.
    pub name_offset: StringOffset,
    /// Its type.
    pub type_id: TypeId,
}

impl<'a> Parameter<'a> {
    /// The name, or an empty string.
    #[inline]
    pub fn name(&self) -> &'a str {
        self.btf.name(self.name_offset)
    }

    /// Whether it stands for `...`.
    pub fn is_variadic(&self) -> bool {
        self.type_id == TypeId::VOID && self.name_offset.0 == 0
    }
}

impl fmt::Debug for Parameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameter")
            .field("name", &self.name())
            .field("type_id", &self.type_id)
            .finish()
    }
}

impl sealed::Sealed for Parameter<'_> {}
impl<'a> Element<'a> for Parameter<'a> {
    const LEN: u32 = 8;

    #[inline]
    fn read(btf: &'a Btf, at: u32, _flag: bool) -> Self {
        Self {
            btf,
            name_offset: StringOffset(btf.word(at)),
            type_id: TypeId(btf.word(at.wrapping_add(4))),
        }
    }
}

/// A variable in a data section: `struct btf_var_secinfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionEntry {
    /// The variable, or in `.ksyms` the function.
    pub type_id: TypeId,
    /// Bytes from the start of the section; 0 before a loader has set it.
    pub offset: u32,
    /// Bytes that it takes.
    pub size: u32,
}

impl sealed::Sealed for SectionEntry {}
impl<'a> Element<'a> for SectionEntry {
    const LEN: u32 = 12;

    #[inline]
    fn read(btf: &'a Btf, at: u32, _flag: bool) -> Self {
        Self {
            type_id: TypeId(btf.word(at)),
            offset: btf.word(at.wrapping_add(4)),
            size: btf.word(at.wrapping_add(8)),
        }
    }
}

/// A name and value of an enumeration: `struct btf_enum`, `struct btf_enum64`.
#[derive(Clone, Copy)]
pub struct Enumerator<'a> {
    btf: &'a Btf,
    /// Where the name stands.
    pub name_offset: StringOffset,
    /// The value, sign-extended when the enumeration is signed, else zero-extended.
    pub value: i128,
}

impl<'a> Enumerator<'a> {
    /// The name.
    #[inline]
    pub fn name(&self) -> &'a str {
        self.btf.name(self.name_offset)
    }

    #[inline]
    pub(crate) fn read(btf: &'a Btf, base: u32, index: u32, wide: bool, signed: bool) -> Self {
        let len = if wide { 12 } else { 8 };
        let at = base.wrapping_add(index.wrapping_mul(len));
        let low = btf.word(at.wrapping_add(4));
        let value = if wide {
            let value = u64::from(btf.word(at.wrapping_add(8))) << 32 | u64::from(low);
            if signed {
                i128::from(value as i64)
            } else {
                i128::from(value)
            }
        } else if signed {
            i128::from(low as i32)
        } else {
            i128::from(low)
        };
        Self {
            btf,
            name_offset: StringOffset(btf.word(at)),
            value,
        }
    }
}

impl fmt::Debug for Enumerator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.name(), self.value)
    }
}
