//! What stands between braces: members with the padding that puts them where the BTF has them, and
//! enumerators.

use super::CDump;
use super::declarator::keyword;
use super::names::Space;
use crate::resolve::DEPTH;
use crate::{Composite, Enum, Error, Kind, Result, TypeId};
use std::fmt::Write;

impl CDump<'_> {
    /// Prints the definition of a structure, union, enumeration or typedef, or a forward
    /// declaration; what it needs has been printed.
    pub(super) fn print_definition(&mut self, id: TypeId) -> Result<()> {
        let one = self.btf.type_by_id(id)?;
        match one.kind() {
            Kind::Struct(composite) | Kind::Union(composite) => {
                let keyword = keyword(&one);
                self.out.push_str(keyword);
                self.out.push(' ');
                if !one.name().is_empty() {
                    let name = self.names.of_type(id, one.name(), Space::Tag(keyword));
                    self.out.push_str(&name);
                    self.out.push(' ');
                }
                self.write_body(id, composite, DEPTH)?;
            }
            Kind::Enum(values) | Kind::Enum64(values) => {
                self.set_state(id, |state| state.defined = true);
                self.out.push_str("enum ");
                if !one.name().is_empty() {
                    let name = self.names.of_type(id, one.name(), Space::Tag("enum"));
                    self.out.push_str(&name);
                    self.out.push(' ');
                }
                self.write_enumerators(id, values)?;
            }
            Kind::Typedef { target } => {
                let name = self.names.of_type(id, one.name(), Space::Ordinary);
                self.out.push_str("typedef ");
                self.declare(target, &name)?;
            }
            _ => self.write_specifier(id, DEPTH)?,
        }
        self.out.push_str(";\n\n");
        Ok(())
    }

    /// Writes `{ … }` of a structure or union, with attributes.
    pub(super) fn write_body(
        &mut self,
        id: TypeId,
        composite: Composite<'_>,
        depth: u32,
    ) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or(Error::TypeLoop { id })?;
        let btf = self.btf;
        let union = matches!(btf.type_by_id(id)?.kind(), Kind::Union(_));
        let align = btf.align_within(id, DEPTH, &mut self.aligns)?;
        let mut natural_align = 1;
        for member in composite.members() {
            let one = btf.align_within(member.type_id, DEPTH, &mut self.aligns)?;
            natural_align = one.max(natural_align);
        }
        let packed = align < natural_align;

        if composite.size == 0 && composite.members().is_empty() {
            self.out.push_str("{}");
            return Ok(());
        }
        self.out.push_str("{\n");
        self.indent = self.indent.saturating_add(1);
        let (mut cursor, mut union_end) = (0_u64, 0_u64);
        for member in composite.members() {
            self.spend(id)?;
            let place = btf.member_bits(&member)?;
            let anonymous = member.name().is_empty();
            let composite = anonymous
                .then(|| btf.skip_modifiers(member.type_id))
                .transpose()?
                .and_then(|one| match one.kind() {
                    Kind::Struct(inner) | Kind::Union(inner) => Some((one, inner)),
                    _ => None,
                });
            // A bit field without a name is nothing but padding.
            if anonymous && composite.is_none() {
                continue;
            }
            let natural = if union {
                0
            } else if place.bitfield {
                let unit = btf.size_of(member.type_id)?.saturating_mul(8);
                let used = cursor.checked_rem(unit).unwrap_or(0);
                if packed || used.saturating_add(place.bits) <= unit {
                    cursor
                } else {
                    round_up(cursor, unit)
                }
            } else {
                let one = btf.align_within(member.type_id, DEPTH, &mut self.aligns)?;
                round_up(cursor, if packed { 8 } else { one.saturating_mul(8) })
            };
            if place.offset > natural {
                self.write_padding(cursor, place.offset)?;
            }
            self.write_indent();
            match composite {
                // Printed in place even when it has a name: without -fms-extensions, a member that
                // is only a structure's name declares nothing.
                Some((one, inner)) => {
                    self.out.push_str(keyword(&one));
                    self.out.push(' ');
                    self.write_body(one.id(), inner, depth)?;
                }
                None => {
                    let name = self.names.identifier(member.name());
                    self.declare_within(member.type_id, &name, depth)?;
                }
            }
            if place.bitfield {
                write!(self.out, ": {}", place.bits)?;
            }
            self.out.push_str(";\n");
            cursor = place.offset.saturating_add(place.bits).max(cursor);
            if union {
                union_end = union_end.max(cursor);
                cursor = 0;
            }
        }
        let size = u64::from(composite.size).saturating_mul(8);
        let align_bits = if packed { 8 } else { align.saturating_mul(8) };
        if union {
            if size > round_up(union_end, align_bits) {
                self.write_indent();
                writeln!(self.out, "unsigned char __skep_size[{}];", composite.size)?;
            }
        } else if size > round_up(cursor, align_bits) {
            self.write_padding(cursor, size)?;
        }
        self.indent = self.indent.saturating_sub(1);
        self.write_indent();
        self.out.push('}');
        if packed {
            self.out.push_str(" __attribute__((packed))");
        }
        Ok(())
    }

    /// Writes members without names from bit to bit.
    fn write_padding(&mut self, from: u64, to: u64) -> Result<()> {
        /// Beyond this, an array with a name is easier on readers and compilers.
        const MANY: u64 = 64 * 64;
        let mut cursor = from;
        while cursor < to {
            self.write_indent();
            let left = to.saturating_sub(cursor);
            if left > MANY && cursor.is_multiple_of(64) {
                let (bytes, place) = (left / 8, cursor / 8);
                writeln!(self.out, "unsigned char __skep_pad_{place}[{bytes}];")?;
                cursor = cursor.saturating_add(bytes.saturating_mul(8));
            } else {
                // No bit field may cross its unit.
                let bits = left.min(64_u64.saturating_sub(cursor % 64));
                writeln!(self.out, "long: {bits};")?;
                cursor = cursor.saturating_add(bits);
            }
        }
        Ok(())
    }

    /// Writes `{ … }` of an enumeration, with attributes.
    pub(super) fn write_enumerators(&mut self, id: TypeId, values: Enum<'_>) -> Result<()> {
        let btf = self.btf;
        let values_of = match btf.type_by_id(id)?.kind() {
            Kind::Enum(values) | Kind::Enum64(values) => values.values(),
            _ => return Ok(()),
        };
        self.out.push_str("{\n");
        self.indent = self.indent.saturating_add(1);
        if values_of.len() == 0 {
            // C has no enumeration without a value.
            self.write_indent();
            writeln!(self.out, "__skep_empty_enum_{id},")?;
        }
        let mut wide = false;
        for value in values_of {
            self.spend(id)?;
            self.write_indent();
            let name = self.names.of_enumerator(value.name());
            self.out.push_str(&name);
            let suffix = match (values.wide, values.signed) {
                (false, _) => "",
                (true, true) => "LL",
                (true, false) => "ULL",
            };
            wide |= i32::try_from(value.value).is_err() && u32::try_from(value.value).is_err();
            if value.value == i128::from(i64::MIN) {
                // C reads the digits before the sign.
                self.out.push_str(" = -9223372036854775807LL - 1,\n");
            } else {
                writeln!(self.out, " = {}{suffix},", value.value)?;
            }
        }
        self.indent = self.indent.saturating_sub(1);
        self.write_indent();
        self.out.push('}');
        self.out.push_str(match values.size {
            1 => " __attribute__((mode(byte)))",
            2 => " __attribute__((mode(HI)))",
            8 if !wide => " __attribute__((mode(DI)))",
            _ => "",
        });
        Ok(())
    }

    fn write_indent(&mut self) {
        for _ in 0..self.indent {
            self.out.push('\t');
        }
    }
}

fn round_up(bits: u64, to: u64) -> u64 {
    bits.checked_next_multiple_of(to.max(1)).unwrap_or(u64::MAX)
}
