//! Each type by itself: what its words may be, and its names.

use super::header::Sections;
use super::names::Names;
use super::{Fault, MAX_TYPE, NameFault, Part, Refused};
use crate::walk::{Shape, TYPE_LEN};
use crate::{Endian, KindTag, Place, TypeId};

/// The bits of the info word that have a meaning.
const INFO: u32 = 0x9f00_ffff;

/// The words of a type.
struct Words<'a> {
    kind: KindTag,
    name: u32,
    count: u32,
    flag: bool,
    /// A size or a type.
    third: u32,
    body: &'a [u8],
    endian: Endian,
}

pub(super) fn check(sections: &Sections<'_>, endian: Endian) -> Result<(), Refused> {
    let names = Names(sections.strings);
    let mut rest = sections.types;
    let mut id = 1_u32;
    while !rest.is_empty() {
        let before = sections.types.len().saturating_sub(rest.len()) as u32;
        let next = split(rest, names, endian).and_then(|(words, next)| {
            words.check(names)?;
            Ok(next)
        });
        rest = next.map_err(|why| Refused {
            place: Some(Place {
                offset: sections.types_start.saturating_add(before),
                type_id: Some(TypeId(id)),
            }),
            why,
        })?;
        id = id.saturating_add(1);
    }
    Ok(())
}

/// The first type, and the types after it.
fn split<'a>(
    bytes: &'a [u8],
    names: Names<'_>,
    endian: Endian,
) -> Result<(Words<'a>, &'a [u8]), Fault> {
    let (head, rest) = bytes
        .split_at_checked(TYPE_LEN as usize)
        .ok_or(Fault::Cut)?;
    let [name, info, third] = read(endian, head);
    if info & !INFO != 0 {
        return Err(Fault::Info { info });
    }
    let number = (info >> 24 & 0x1f) as u8;
    let kind = KindTag::from_number(number)
        .filter(|kind| *kind != KindTag::Void)
        .ok_or(Fault::Kind { kind: number })?;
    names.inside(name).map_err(whole)?;
    let count = info & 0xffff;
    let Shape { fixed, element } = Shape::of(kind);
    let len = element.saturating_mul(count).saturating_add(fixed);
    let (body, next) = rest.split_at_checked(len as usize).ok_or(Fault::Cut)?;
    let words = Words {
        kind,
        name,
        count,
        flag: info >> 31 != 0,
        third,
        body,
        endian,
    };
    Ok((words, next))
}

/// The first words of some bytes.
fn read<const N: usize>(endian: Endian, bytes: &[u8]) -> [u32; N] {
    let mut words = bytes.as_chunks::<4>().0.iter();
    std::array::from_fn(|_| words.next().map_or(0, |word| endian.u32(*word)))
}

fn whole(why: NameFault) -> Fault {
    Fault::Name {
        of: Part::Whole,
        why,
    }
}

impl Words<'_> {
    fn check(&self, names: Names<'_>) -> Result<(), Fault> {
        use KindTag::*;
        let counts = matches!(
            self.kind,
            Struct | Union | Enum | Enum64 | FunctionPrototype | DataSection | Function
        );
        if !counts && self.count != 0 {
            return Err(Fault::Count {
                kind: self.kind,
                count: self.count,
            });
        }
        let flags = matches!(
            self.kind,
            Struct | Union | Enum | Enum64 | Forward | DeclTag | TypeTag
        );
        if !flags && self.flag {
            return Err(Fault::KindFlag { kind: self.kind });
        }
        match self.kind {
            Void | Int | Float => Ok(()),
            Typedef | Forward | Function | Variable => names.identifier(self.name),
            Struct | Union | Enum | Enum64 => names.identifier_or_none(self.name),
            DataSection => names.section(self.name),
            DeclTag | TypeTag => names.text(self.name),
            Pointer | Array | Volatile | Const | Restrict | FunctionPrototype => {
                names.none(self.name)
            }
        }
        .map_err(whole)?;
        match self.kind {
            Int => self.int(),
            Float => self.size(|size| matches!(size, 2 | 4 | 8 | 12 | 16)),
            Array => self.array(),
            Struct | Union => self.members(names),
            Enum | Enum64 => self.enumerators(names),
            Forward => self.size(|size| size == 0),
            Function => self.linkage(self.count),
            Variable => {
                let [linkage] = read(self.endian, self.body);
                target(Part::Whole, self.third)?;
                self.linkage(linkage)
            }
            DataSection => self.section(),
            DeclTag => {
                let [component] = read(self.endian, self.body);
                match component as i32 {
                    -1.. => Ok(()),
                    _ => Err(Fault::Component { component }),
                }
            }
            Pointer | Typedef | Volatile | Const | Restrict | TypeTag => match self.third {
                0 => Ok(()),
                id => target(Part::Whole, id),
            },
            Void | FunctionPrototype => Ok(()),
        }
    }

    fn size(&self, good: impl Fn(u32) -> bool) -> Result<(), Fault> {
        match good(self.third) {
            true => Ok(()),
            false => Err(Fault::Size {
                kind: self.kind,
                size: self.third,
            }),
        }
    }

    /// Of functions and variables: static or global. What is found elsewhere a loader finds first.
    fn linkage(&self, linkage: u32) -> Result<(), Fault> {
        match linkage {
            0 | 1 => Ok(()),
            _ => Err(Fault::Linkage {
                kind: self.kind,
                linkage,
            }),
        }
    }

    fn int(&self) -> Result<(), Fault> {
        let [word] = read(self.endian, self.body);
        let (bits, offset, encoding) = (word & 0xff, word >> 16 & 0xff, word >> 24);
        let end = bits.saturating_add(offset);
        if end > 128 || end.div_ceil(8) > self.third || encoding > 0xf {
            return Err(Fault::IntBits {
                bits,
                offset,
                size: self.third,
            });
        }
        match encoding {
            0 | 1 | 2 | 4 => Ok(()),
            _ => Err(Fault::Encoding { encoding }),
        }
    }

    fn array(&self) -> Result<(), Fault> {
        let [element, index] = read(self.endian, self.body);
        self.size(|size| size == 0)?;
        target(Part::Whole, element)?;
        target(Part::Index, index)
    }

    fn members(&self, names: Names<'_>) -> Result<(), Fault> {
        let mut last = 0;
        for (number, member) in (0..).zip(self.body.as_chunks::<12>().0) {
            let of = Part::Element(number);
            let [name, id, word] = read(self.endian, member);
            names
                .identifier_or_none(name)
                .map_err(|why| Fault::Name { of, why })?;
            target(of, id)?;
            let offset = if self.flag { word & 0x00ff_ffff } else { word };
            let united = self.kind == KindTag::Union && offset != 0;
            if united || offset < last || offset.div_ceil(8) > self.third {
                return Err(Fault::Position { of });
            }
            last = offset;
        }
        Ok(())
    }

    fn enumerators(&self, names: Names<'_>) -> Result<(), Fault> {
        self.size(|size| matches!(size, 1 | 2 | 4 | 8))?;
        let step = Shape::of(self.kind).element as usize;
        for (number, value) in (0..).zip(self.body.chunks_exact(step)) {
            let [name] = read(self.endian, value);
            names.identifier(name).map_err(|why| Fault::Name {
                of: Part::Element(number),
                why,
            })?;
        }
        Ok(())
    }

    fn section(&self) -> Result<(), Fault> {
        self.size(|size| size != 0)?;
        let mut end = 0;
        for (number, entry) in (0..).zip(self.body.as_chunks::<12>().0) {
            let of = Part::Element(number);
            let [id, offset, size] = read(self.endian, entry);
            target(of, id)?;
            let last = offset.checked_add(size).filter(|last| *last <= self.third);
            match last {
                Some(last) if size != 0 && offset >= end => end = last,
                _ => return Err(Fault::Position { of }),
            }
        }
        Ok(())
    }
}

/// That something may be of this type, as far as its number says.
fn target(of: Part, id: u32) -> Result<(), Fault> {
    match id {
        1..=MAX_TYPE => Ok(()),
        _ => Err(Fault::Target { of, id: TypeId(id) }),
    }
}
