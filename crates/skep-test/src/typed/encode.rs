//! What a test says, as the bytes of its type.

use skep::btf::Btf;

use super::{
    Field, Meaning, Number, Shape, Type, address, constant, duration, errno_by_name, fields, hex,
    mac, write_bits,
};
use crate::{
    source::{FileError, Parsed},
    value::{Kind, Value},
};

/// Where what pointers point to is put.
pub(crate) trait Pointers {
    /// The address for a value that is no number, which stands at byte `at` of the whole.
    ///
    /// # Errors
    /// There is no such thing here.
    fn pointer(&mut self, value: &Value, at: usize, target: Option<&Type>) -> Parsed<u64>;
}

/// No memory to point to.
pub(crate) struct NoPointers;

impl Pointers for NoPointers {
    fn pointer(&mut self, value: &Value, _at: usize, _target: Option<&Type>) -> Parsed<u64> {
        Err(value.wanted("an address"))
    }
}

/// Turns values into bytes.
pub(crate) struct Encoder<'a> {
    /// Where names of constants are looked for, beside a value's own enumeration.
    pub(crate) constants: Option<&'a Btf>,
    pub(crate) pointers: &'a mut dyn Pointers,
}

impl Encoder<'_> {
    /// The bytes of a value of a type.
    ///
    /// # Errors
    /// It is none; the error says where.
    pub(crate) fn encode(&mut self, of: &Type, value: &Value) -> Parsed<Vec<u8>> {
        let mut bytes = vec![0; of.size()];
        self.write(of, value, &mut bytes, 0)?;
        Ok(bytes)
    }

    /// Writes a value over bytes that are as many as its type has; `at` is where they stand in the
    /// whole.
    pub(crate) fn write(
        &mut self,
        of: &Type,
        value: &Value,
        out: &mut [u8],
        at: usize,
    ) -> Parsed<()> {
        if let Some(bytes) = raw_bytes(value)? {
            return fill(value, &bytes, out, of);
        }
        match of.shape() {
            Shape::Number(number) => self.number(number, value, out, at),
            Shape::Enum { number, btf, id } => {
                if let Some(name) = value.as_text() {
                    let known = enumerators(btf, id);
                    if let Some((_, found)) = known.iter().find(|(known, _)| *known == name) {
                        put(number, *found, out);
                        return Ok(());
                    }
                    if self.word(name, number.size).is_none() {
                        let names = known.iter().map(|(known, _)| *known);
                        let place = value.place.clone();
                        let kind = format!("value of {} called", of.name());
                        return Err(FileError::unknown(place, &kind, name, names));
                    }
                }
                self.number(number, value, out, at)
            }
            Shape::Float(size) => {
                let number = match value.kind {
                    Kind::Float(number) => number,
                    Kind::Integer(number) => number as f64,
                    _ => return Err(value.wanted("a number")),
                };
                let bytes = match size {
                    4 => (number as f32).to_ne_bytes().to_vec(),
                    _ => number.to_ne_bytes().to_vec(),
                };
                fill(value, &bytes, out, of)
            }
            Shape::Pointer(size, target) => {
                let number = match value.kind {
                    Kind::Integer(number) => number,
                    _ => self.pointers.pointer(value, at, Some(&target))?.into(),
                };
                let plain = Number {
                    size,
                    signed: false,
                    network: false,
                    meaning: Meaning::Plain,
                };
                put(plain, number, out);
                Ok(())
            }
            Shape::Text(len) => match &value.kind {
                Kind::Text(text) => fit_text(value, text, len, out),
                Kind::Array(values) => self.elements(value, values, None, 1, len, out, at),
                _ => Err(value.wanted("a text")),
            },
            Shape::Array {
                element,
                stride,
                len,
                byte,
            } => match &value.kind {
                Kind::Array(values) => {
                    self.elements(value, values, Some(&element), stride, len, out, at)
                }
                Kind::Text(text) if byte => match as_bytes(text, out.len()) {
                    Some(bytes) => fill(value, &bytes, out, of),
                    None => fit_text(value, text, len, out),
                },
                Kind::Text(text) => match as_bytes(text, out.len()) {
                    Some(bytes) => fill(value, &bytes, out, of),
                    None => Err(value.wanted("an array")),
                },
                // One of an array of one.
                _ if len == 1 => self.write(&element, value, out, at),
                _ => Err(value.wanted(&format!("an array of {len}"))),
            },
            Shape::Struct {
                btf,
                composite,
                union,
            } => match &value.kind {
                Kind::Table(table) => {
                    let known = fields(btf, &composite);
                    for entry in table {
                        let Some(field) = known.iter().find(|field| field.name == entry.name)
                        else {
                            let place = entry.place.clone();
                            let kind = format!("field of {} called", of.name());
                            let names = known.iter().map(|field| field.name.as_str());
                            return Err(FileError::unknown(place, &kind, &entry.name, names));
                        };
                        self.field(field, &entry.value, out, at)?;
                    }
                    Ok(())
                }
                Kind::Text(text) => match as_bytes(text, out.len()) {
                    Some(bytes) => fill(value, &bytes, out, of),
                    None => Err(value.wanted(&format!("a table, as {} is", of.name()))),
                },
                Kind::Array(values) if !union => {
                    let known = fields(btf, &composite);
                    if values.len() > known.len() {
                        let what = format!("{} has {} fields", of.name(), known.len());
                        return Err(value.error(what));
                    }
                    known
                        .iter()
                        .zip(values)
                        .try_for_each(|(field, value)| self.field(field, value, out, at))
                }
                _ => Err(value.wanted(&format!("a table, as {} is", of.name()))),
            },
            Shape::Nothing => Err(value.error(format!("{} has no values", of.name()))),
        }
    }

    /// Writes a member of a structure into its bytes.
    pub(crate) fn field(
        &mut self,
        field: &Field,
        value: &Value,
        out: &mut [u8],
        at: usize,
    ) -> Parsed<()> {
        if field.bits == 0 {
            let (offset, size) = (field.offset(), field.of.size());
            let inner = at.saturating_add(offset);
            // An array of open length, or of a type that makes no sense.
            let part = out.get_mut(offset..offset.saturating_add(size));
            let part = part.ok_or_else(|| value.error("this field has no room"))?;
            return self.write(&field.of, value, part, inner);
        }
        let number = self.integer(value, field.of.size())?;
        let end = 1_i128.checked_shl(field.bits.into()).unwrap_or(i128::MAX);
        if !(-(end / 2)..end).contains(&number) {
            let what = format!("{number} does not fit into {} bits", field.bits);
            return Err(value.error(what));
        }
        let room = write_bits(out, field.bit_offset, field.bits, number);
        room.ok_or_else(|| value.error("this field has no room"))
    }

    #[expect(clippy::too_many_arguments, reason = "an array, and where it stands")]
    fn elements(
        &mut self,
        whole: &Value,
        values: &[Value],
        element: Option<&Type>,
        stride: usize,
        len: usize,
        out: &mut [u8],
        at: usize,
    ) -> Parsed<()> {
        if values.len() > len {
            let what = format!("these are {} values, and the type has {len}", values.len());
            return Err(whole.error(what));
        }
        let plain = Type::Plain(super::Plain::opaque(1));
        let element = element.unwrap_or(&plain);
        for (index, (value, part)) in values
            .iter()
            .zip(out.chunks_exact_mut(stride.max(1)))
            .enumerate()
        {
            let inner = at.saturating_add(index.saturating_mul(stride));
            self.write(element, value, part, inner)?;
        }
        Ok(())
    }

    fn number(&mut self, number: Number, value: &Value, out: &mut [u8], at: usize) -> Parsed<()> {
        if let Kind::Table(_) = value.kind {
            // A word that programs take for an address: an argument of a system call.
            if number.size == 8 {
                let address = self.pointers.pointer(value, at, None)?;
                put(number, address.into(), out);
                return Ok(());
            }
            return Err(value.wanted("a number"));
        }
        if let Some(text) = value.as_text() {
            if let Some(bytes) = as_bytes(text, number.size) {
                return match out.get_mut(..number.size) {
                    Some(out) => {
                        out.copy_from_slice(&bytes);
                        Ok(())
                    }
                    None => Err(value.error("this number has no room")),
                };
            }
            if number.size == 8 && text == "current" {
                let address = self.pointers.pointer(value, at, None)?;
                put(number, address.into(), out);
                return Ok(());
            }
            let mut chars = text.chars();
            if let (Meaning::Char, Some(c), None) = (number.meaning, chars.next(), chars.next()) {
                put(number, u32::from(c).into(), out);
                return Ok(());
            }
        }
        let found = self.integer(value, number.size)?;
        if !number.fits(found) {
            let what = format!("{found} does not fit into {} bytes", number.size);
            return Err(value.error(what));
        }
        put(number, found, out);
        Ok(())
    }

    /// A whole number, by itself or by a word that stands for one.
    pub(crate) fn integer(&self, value: &Value, size: usize) -> Parsed<i128> {
        match &value.kind {
            Kind::Integer(number) => Ok(*number),
            Kind::Bool(value) => Ok(i128::from(*value)),
            Kind::Text(text) => self.word(text, size).ok_or_else(|| {
                let error = value.error(format!("{text:?} is no number and no name of one"));
                error.help("names are those of the program's enumerations and of errors (-EPERM)")
            }),
            _ => Err(value.wanted("a number")),
        }
    }

    fn word(&self, text: &str, size: usize) -> Option<i128> {
        if let Some(name) = text.strip_prefix('-') {
            return errno_by_name(name).map(|number| -i128::from(number));
        }
        if let Some(digits) = text.strip_prefix("0x") {
            return i128::from_str_radix(&digits.replace('_', ""), 16).ok();
        }
        if let Ok(number) = text.parse() {
            return Some(number);
        }
        if let Some(number) = errno_by_name(text) {
            return Some(number.into());
        }
        if let (Some(time), 8) = (duration(text), size) {
            return Some(time.into());
        }
        constant(self.constants?, text)
    }
}

/// The enumerators of a type.
pub(super) fn enumerators(btf: &Btf, id: skep::btf::TypeId) -> Vec<(&str, i128)> {
    use skep::btf::Kind as BtfKind;
    match btf.type_by_id(id).map(|found| found.kind()) {
        Ok(BtfKind::Enum(known) | BtfKind::Enum64(known)) => known
            .values()
            .map(|value| (value.name(), value.value))
            .collect(),
        _ => Vec::new(),
    }
}

fn put(number: Number, value: i128, out: &mut [u8]) {
    // The caller has as many bytes as the type.
    let _ = number.write(value, out);
}

/// The bytes of an address that is as long as the type.
pub(super) fn as_bytes(text: &str, size: usize) -> Option<Vec<u8>> {
    match size {
        4 | 16 => address(text).filter(|bytes| bytes.len() == size),
        6 => mac(text).map(Vec::from),
        _ => None,
    }
}

/// Bytes that a test gives as such: `{ bytes = "0a 0b" }`.
pub(crate) fn raw_bytes(value: &Value) -> Parsed<Option<Vec<u8>>> {
    match &value.kind {
        Kind::Bytes(bytes) => Ok(Some(bytes.clone())),
        Kind::Table(table) => match table.as_slice() {
            [only] if only.name == "bytes" => {
                let text = only.value.text("hexadecimal text")?;
                let bytes = hex(text).map_err(|what| only.value.error(what))?;
                Ok(Some(bytes))
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

fn fill(value: &Value, bytes: &[u8], out: &mut [u8], of: &Type) -> Parsed<()> {
    match out.get_mut(..bytes.len()) {
        Some(part) => {
            part.copy_from_slice(bytes);
            Ok(())
        }
        None => {
            let (given, room) = (bytes.len(), out.len());
            Err(value.error(format!(
                "these are {given} bytes, and {} has {room}",
                of.name()
            )))
        }
    }
}

fn fit_text(value: &Value, text: &str, len: usize, out: &mut [u8]) -> Parsed<()> {
    match out.get_mut(..text.len()) {
        Some(part) => {
            part.copy_from_slice(text.as_bytes());
            Ok(())
        }
        None => Err(value.error(format!(
            "this text has {} bytes, and its field {len}",
            text.len()
        ))),
    }
}
