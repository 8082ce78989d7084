//! Values by their types, in the words of `bpf_snprintf_btf`: `(struct list_head){.next = ..,}`.
//!
//! Another text than `skep-btf`'s, which reads better: here what is zero is left out, elements of
//! arrays have no type, and every part ends with a comma.

use std::fmt::Write as _;

use skep_btf::{Array, Btf, Composite, Enum, Int, Kind, Member, TypeId};
use skep_host::Errno;

use crate::{FaultKind, helper::text::format::hashed, machine::types::types, run::Run};

/// `BTF_F_COMPACT`: all in one line.
const COMPACT: u64 = 1;
/// `BTF_F_NONAME`: without names and types.
const NO_NAME: u64 = 2;
/// `BTF_F_PTR_RAW`: pointers as they are.
const RAW: u64 = 4;
/// `BTF_F_ZERO`: also what is zero.
const ZERO: u64 = 8;

/// Bytes of a value, at most.
const LARGEST: u64 = 1 << 20;
/// How deeply types are nested, at most.
const DEPTH: usize = 32;

/// The text of the value that a `struct btf_ptr` of the program names.
///
/// # Errors
/// Inside: `EINVAL` for flags, sizes and types that are none, `EFAULT`-like numbers where nothing
/// is at the value's address. Outside: the structure is not the program's memory.
pub(crate) fn text(
    run: &Run<'_>,
    place: u64,
    size: u64,
    flags: u64,
) -> Result<Result<String, Errno>, FaultKind> {
    let place = run.view(place, u64::from(size as u32), false)?;
    if place.len() != 16 || flags & !(COMPACT | NO_NAME | RAW | ZERO) != 0 {
        return Ok(Err(Errno::EINVAL));
    }
    let address = place.u64_at(0).unwrap_or_default();
    let id = TypeId(place.u32_at(8).unwrap_or_default());
    let types = types();
    if id == TypeId::VOID {
        return Ok(Err(Errno::EINVAL));
    }
    if types.type_by_id(id).is_err() {
        return Ok(Err(Errno::ENOENT));
    }
    let size = types.size_of(id).unwrap_or_default();
    if size == 0 || size > LARGEST {
        return Ok(Err(Errno::EINVAL));
    }
    let mut data = vec![0; size as usize];
    if let Err(failed) = run.peek(address, &mut data) {
        return Ok(Err(failed));
    }
    let mut show = Show {
        types,
        data: &data,
        flags,
        out: String::new(),
        steps: LARGEST,
    };
    let whole = Part {
        id,
        at: 0,
        bits: None,
        name: "",
        depth: 0,
        element: None,
    };
    let done = show.part(whole);
    run.pay_fault(LARGEST.saturating_sub(show.steps))?;
    Ok(done.map(|_| show.out))
}

/// A part of the value.
#[derive(Clone, Copy)]
struct Part<'a> {
    id: TypeId,
    /// Where it begins.
    at: usize,
    /// Of a bit field: its first bit, and how many it has.
    bits: Option<(usize, u32)>,
    name: &'a str,
    depth: usize,
    /// Of an element of an array: whether they are characters.
    element: Option<bool>,
}

struct Show<'a> {
    types: &'a Btf,
    data: &'a [u8],
    flags: u64,
    out: String,
    /// Parts that may still be looked at, so that no type takes too long.
    steps: u64,
}

impl Show<'_> {
    fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    /// Bytes of the value as a number, in the machine's order.
    fn number(&self, at: usize, size: usize) -> u128 {
        let bytes = at
            .checked_add(size)
            .and_then(|end| self.data.get(at..end))
            .filter(|bytes| bytes.len() <= 16)
            .unwrap_or_default();
        let mut all = [0; 16];
        all[..bytes.len()].copy_from_slice(bytes);
        u128::from_le_bytes(all)
    }

    fn step(&mut self) -> Result<(), Errno> {
        self.steps = self.steps.checked_sub(1).ok_or(Errno::E2BIG)?;
        Ok(())
    }

    /// Writes a part, unless all of it is zero; whether the array that it is in ends here.
    fn part(&mut self, part: Part<'_>) -> Result<bool, Errno> {
        self.step()?;
        if part.depth > DEPTH {
            return Err(Errno::E2BIG);
        }
        let base = self
            .types
            .skip_modifiers(part.id)
            .map_err(|_| Errno::EINVAL)?;
        if part.depth > 0 && !self.has(ZERO) && !self.shows(part)? {
            return Ok(part.element == Some(true) && self.number(part.at, 1) == 0);
        }
        match base.kind() {
            Kind::Struct(composite) | Kind::Union(composite) => self.composite(part, composite)?,
            Kind::Array(array) => self.array(part, array)?,
            Kind::Int(_) if part.element == Some(true) && self.number(part.at, 1) == 0 => {
                return Ok(true);
            }
            kind => {
                let text = self.scalar(part, &kind);
                self.begin(part);
                self.out.push_str(&text);
                self.end(part);
            }
        }
        Ok(false)
    }

    /// Whether anything of a part is not zero. A value of an enumeration that has a name always
    /// counts.
    fn shows(&mut self, part: Part<'_>) -> Result<bool, Errno> {
        self.step()?;
        if part.depth > DEPTH {
            return Err(Errno::E2BIG);
        }
        let base = self
            .types
            .skip_modifiers(part.id)
            .map_err(|_| Errno::EINVAL)?;
        Ok(match base.kind() {
            Kind::Struct(composite) | Kind::Union(composite) => {
                for member in composite.members() {
                    if self.shows(inside(part, member))? {
                        return Ok(true);
                    }
                }
                false
            }
            Kind::Array(array) => {
                for element in self.elements(part, array) {
                    if element.element == Some(true) && self.number(element.at, 1) == 0 {
                        return Ok(false);
                    }
                    if self.shows(element)? {
                        return Ok(true);
                    }
                }
                false
            }
            Kind::Enum(found) | Kind::Enum64(found) => {
                let value = self.number(part.at, found.size as usize);
                value != 0 || self.enumerator(part, &found).is_some()
            }
            Kind::Int(int) => self.int(part, int) != 0,
            Kind::Pointer { .. } => self.number(part.at, 8) != 0,
            _ => true,
        })
    }

    fn int(&self, part: Part<'_>, int: Int) -> u128 {
        match part.bits {
            None => self.number(part.at, int.size as usize),
            Some((first, count)) => {
                let bytes = (first % 8 + count as usize).div_ceil(8);
                let value = self.number(first / 8, bytes) >> (first % 8);
                value & (1_u128 << count.min(127)).wrapping_sub(1)
            }
        }
    }

    fn enumerator(&self, part: Part<'_>, found: &Enum<'_>) -> Option<String> {
        let value = self.number(part.at, found.size as usize);
        let mask = (1_u128 << (8 * found.size).min(64)).wrapping_sub(1);
        let mut values = found.values();
        let known = values.find(|known| known.value as u128 & mask == value & mask);
        known.map(|known| known.name().to_owned())
    }

    fn scalar(&self, part: Part<'_>, kind: &Kind<'_>) -> String {
        match kind {
            Kind::Int(int) => {
                let value = self.int(part, *int);
                let character = u8::try_from(value).ok().filter(|byte| {
                    part.element == Some(true) && (byte.is_ascii_graphic() || *byte == b' ')
                });
                let shift = 128 - 8 * int.size.min(16);
                match character {
                    Some(byte) => format!("'{}'", char::from(byte)),
                    None if part.bits.is_some() || int.size > 8 => format!("{value:#x}"),
                    None if int.encoding.is_signed() && shift < 128 => {
                        ((value << shift) as i128 >> shift).to_string()
                    }
                    None => value.to_string(),
                }
            }
            Kind::Enum(found) | Kind::Enum64(found) => {
                let value = self.number(part.at, found.size as usize) as u64;
                self.enumerator(part, found)
                    .unwrap_or_else(|| match (found.signed, found.size) {
                        (true, 8) => (value as i64).to_string(),
                        (true, _) => (value as i32).to_string(),
                        (false, _) => value.to_string(),
                    })
            }
            Kind::Pointer { .. } => {
                let value = self.number(part.at, 8) as u64;
                let value = if self.has(RAW) { value } else { hashed(value) };
                format!("0x{value:016x}")
            }
            _ => "<unsupported kind>".to_owned(),
        }
    }

    fn composite(&mut self, part: Part<'_>, composite: Composite<'_>) -> Result<(), Errno> {
        self.begin(part);
        self.open('{');
        for member in composite.members() {
            self.part(inside(part, member))?;
        }
        self.close(part, '}');
        Ok(())
    }

    fn array(&mut self, part: Part<'_>, array: Array) -> Result<(), Errno> {
        self.begin(part);
        self.open('[');
        for element in self.elements(part, array) {
            if self.part(element)? {
                break;
            }
        }
        self.close(part, ']');
        Ok(())
    }

    fn elements<'p>(
        &self,
        part: Part<'p>,
        array: Array,
    ) -> impl Iterator<Item = Part<'p>> + use<'p> {
        let size = self.types.size_of(array.element).unwrap_or_default() as usize;
        let base = self.types.skip_modifiers(array.element);
        let integer = base.is_ok_and(|base| matches!(base.kind(), Kind::Int(_)));
        (0..array.len as usize).map(move |index| Part {
            id: array.element,
            at: part.at + index * size,
            bits: None,
            name: "",
            depth: part.depth + 1,
            element: Some(integer && size == 1),
        })
    }

    fn indent(&mut self, depth: usize) {
        if !self.has(COMPACT) {
            self.out.extend(std::iter::repeat_n(' ', depth));
        }
    }

    fn new_line(&mut self) {
        if !self.has(COMPACT) {
            self.out.push('\n');
        }
    }

    /// What stands before a part.
    fn begin(&mut self, part: Part<'_>) {
        self.indent(part.depth);
        if self.has(NO_NAME) {
            return;
        }
        if !part.name.is_empty() {
            let _ = write!(self.out, ".{} = ", part.name);
        }
        if part.element.is_none() {
            let name = self.type_name(part.id);
            let _ = write!(self.out, "({name})");
        }
    }

    /// What stands behind a part.
    fn end(&mut self, part: Part<'_>) {
        if part.depth > 0 {
            self.out.push(',');
        }
        self.new_line();
    }

    fn open(&mut self, bracket: char) {
        self.out.push(bracket);
        self.new_line();
    }

    fn close(&mut self, part: Part<'_>, bracket: char) {
        self.indent(part.depth);
        self.out.push(bracket);
        self.end(part);
    }

    /// A type as a cast has it: the outermost typedef's name, else that of what it is.
    fn type_name(&self, id: TypeId) -> String {
        let (mut id, mut stars, mut brackets) = (id, String::new(), "");
        for _ in 0..DEPTH {
            let Ok(this) = self.types.type_by_id(id) else {
                break;
            };
            let prefix = match this.kind() {
                Kind::Typedef { .. } => "",
                Kind::Pointer { target } => {
                    stars.push('*');
                    id = target;
                    continue;
                }
                Kind::Array(array) => {
                    brackets = "[]";
                    id = array.element;
                    continue;
                }
                Kind::Const { target }
                | Kind::Volatile { target }
                | Kind::Restrict { target }
                | Kind::TypeTag { target, .. } => {
                    id = target;
                    continue;
                }
                Kind::Struct(_) | Kind::Forward { union: false } => "struct",
                Kind::Union(_) | Kind::Forward { union: true } => "union",
                Kind::Enum(_) | Kind::Enum64(_) => "enum",
                _ => "",
            };
            // `void` has no name of its own: `( *)`, as the kernel has it.
            let name = this.name();
            let space = if prefix.is_empty() || name.is_empty() {
                ""
            } else {
                " "
            };
            let gap = if stars.is_empty() { "" } else { " " };
            return format!("{prefix}{space}{name}{gap}{stars}{brackets}");
        }
        String::new()
    }
}

/// A member of a part.
fn inside<'a>(part: Part<'_>, member: Member<'a>) -> Part<'a> {
    let first = part.at * 8 + member.bit_offset as usize;
    let bits = member.bitfield_size;
    Part {
        id: member.type_id,
        at: first / 8,
        bits: (bits != 0).then_some((first, u32::from(bits))),
        name: member.name(),
        depth: part.depth + 1,
        element: None,
    }
}
