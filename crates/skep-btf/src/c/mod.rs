//! BTF as C: a whole header (`vmlinux.h`), a single type's name, a single declaration.
//!
//! [`order`] decides what must stand before what, [`body`] prints the contents of structures so
//! that a compiler lays them out as the BTF says, [`declarator`] prints types around names, and
//! [`names`] keeps two types of one name apart.

mod body;
mod declarator;
mod names;
mod order;

use crate::resolve::Aligns;
use crate::{Btf, Kind, KindTag, Result, TypeId};
use names::Names;
use std::fmt;

/// Prints types as C.
///
/// Output that clang compiles for its BPF target: what a type needs stands before it, structures
/// have the sizes and offsets that the BTF has (by padding, bit fields without names and `packed`
/// where they are needed), and a second type of one name gets a suffix such as `___2`.
#[derive(Debug)]
pub struct CDump<'a> {
    btf: &'a Btf,
    /// What has been printed of each type, by id.
    states: Vec<order::State>,
    aligns: Aligns,
    names: Names<'a>,
    out: String,
    /// How many more parts may be printed before the types are called too complex.
    budget: u64,
    /// How many more bytes may be written: names may be long and named often.
    byte_budget: usize,
    indent: u32,
}

impl<'a> CDump<'a> {
    /// A printer that has printed nothing yet.
    pub fn new(btf: &'a Btf) -> Self {
        let count = (btf.type_count() as usize).saturating_add(1);
        Self {
            btf,
            states: vec![order::State::default(); count],
            aligns: Aligns::default(),
            names: Names::default(),
            out: String::new(),
            // No honest BTF has so many parts inside parts that each is printed 16 times.
            budget: (btf.bytes().len() as u64)
                .saturating_mul(4)
                .saturating_add(1 << 16),
            byte_budget: btf
                .bytes()
                .len()
                .saturating_mul(256)
                .saturating_add(1 << 20),
            indent: 0,
        }
    }

    /// Writes the definition of a type and of all that it needs, except what was written before.
    ///
    /// # Errors
    /// [`crate::Error::NoSuchType`], [`crate::Error::TypeLoop`] and [`crate::Error::TooComplex`]
    /// for types that C cannot have, [`crate::Error::Output`] from `out`.
    pub fn define(&mut self, id: TypeId, out: &mut impl fmt::Write) -> Result<()> {
        self.define_root(id)?;
        out.write_str(&self.out)?;
        self.byte_budget = self.byte_budget.saturating_sub(self.out.len());
        self.out.clear();
        Ok(())
    }

    /// Writes the definitions of all types (of split BTF: with those of the base that they need).
    ///
    /// # Errors
    /// As [`CDump::define`].
    pub fn define_all(&mut self, out: &mut impl fmt::Write) -> Result<()> {
        let btf = self.btf;
        self.mark_referenced()?;
        for one in btf.types() {
            let wanted = match one.kind() {
                // Anonymous ones are printed where they are used; unused enumerators are constants
                // that are worth having.
                Kind::Struct(_) | Kind::Union(_) => !one.name().is_empty(),
                Kind::Enum(_) | Kind::Enum64(_) => {
                    !one.name().is_empty() || !self.state(one.id()).referenced
                }
                Kind::Typedef { .. } | Kind::Forward { .. } => true,
                _ => false,
            };
            if wanted {
                self.define(one.id(), out)?;
            }
        }
        Ok(())
    }
}

/// Writes a whole header: with `roots` only these types and what they need, else all.
///
/// It is what BPF programs include as `vmlinux.h`: guarded by `__VMLINUX_H__`, every structure with
/// `preserve_access_index`, so that accesses become CO-RE relocations (unless
/// `BPF_NO_PRESERVE_ACCESS_INDEX` is defined).
///
/// # Errors
/// As [`CDump::define`].
pub fn c_header(btf: &Btf, roots: Option<&[TypeId]>, out: &mut impl fmt::Write) -> Result<()> {
    out.write_str(concat!(
        "#ifndef __VMLINUX_H__\n",
        "#define __VMLINUX_H__\n\n",
        "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n",
        "#pragma clang attribute push (__attribute__((preserve_access_index)), ",
        "apply_to = record)\n",
        "#endif\n\n",
    ))?;
    let mut dump = CDump::new(btf);
    match roots {
        Some(roots) => roots.iter().try_for_each(|root| dump.define(*root, out))?,
        None => dump.define_all(out)?,
    }
    out.write_str(concat!(
        "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n",
        "#pragma clang attribute pop\n",
        "#endif\n\n",
        "#endif /* __VMLINUX_H__ */\n",
    ))?;
    Ok(())
}

impl Btf {
    /// The type as C has it without a name: `struct task_struct *`, `int (*)(void *)`.
    ///
    /// # Errors
    /// As [`CDump::define`].
    pub fn type_name(&self, id: TypeId) -> Result<String> {
        let mut dump = CDump::new(self);
        dump.declare(id, "")?;
        Ok(dump.out)
    }

    /// One type with its members, without what it needs: `struct point { … };`, a typedef, a
    /// function's prototype or a variable.
    ///
    /// # Errors
    /// As [`CDump::define`].
    pub fn declaration(&self, id: TypeId) -> Result<String> {
        let mut dump = CDump::new(self);
        let one = self.type_by_id(id)?;
        match one.kind() {
            Kind::Function(function) => {
                let name = dump.names.identifier(one.name());
                dump.declare(function.prototype, &name)?;
            }
            Kind::Variable(variable) => {
                let name = dump.names.identifier(one.name());
                dump.declare(variable.type_id, &name)?;
            }
            _ if one.tag().is_some_and(|tag| {
                matches!(
                    tag,
                    KindTag::Struct
                        | KindTag::Union
                        | KindTag::Enum
                        | KindTag::Enum64
                        | KindTag::Forward
                        | KindTag::Typedef
                )
            }) =>
            {
                dump.print_definition(id)?;
                dump.out.truncate(dump.out.trim_end().len());
                return Ok(dump.out);
            }
            _ => dump.declare(id, "")?,
        }
        dump.out.push(';');
        Ok(dump.out)
    }
}
