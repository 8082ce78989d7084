//! BTF as Rust: the kernel's types as programs in Rust declare them, with `#[kernel]` of `skep-ebpf`.
//!
//! Only names matter there, and kinds of types: where a field is and how large, the loader finds out.
//! So nothing is said of sizes, padding and order, and typedefs are what they stand for. [`types`]
//! writes a type within another, [`names`] gives each declaration a name.

mod names;
mod types;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt::{self, Write as _};

use crate::{Btf, Composite, Enum, Error, Kind, Result, Type, TypeId};
use names::{Names, field};

/// Anonymous structures in anonymous structures at most.
const DEEPEST: u32 = 64;

/// Where rustfmt breaks lines.
const WIDTH: usize = 100;

/// Writes a module of declarations: with `roots` only these types and what stands in them, else
/// all types with a name.
///
/// What is only pointed to is declared without fields, as there is no end to it otherwise. Names
/// that Rust can't have, or has for something else, get a suffix such as `___2`, which CO-RE ignores. Enumerators
/// of enumerations without a name are constants.
///
/// # Errors
/// [`crate::Error::NoSuchType`], [`crate::Error::TypeLoop`] and [`crate::Error::TooComplex`]
/// for types that no language can have, [`crate::Error::Output`] from `out`.
pub fn rust_module(btf: &Btf, roots: Option<&[TypeId]>, out: &mut impl fmt::Write) -> Result<()> {
    out.write_str(
        "//! Types of the kernel, from its BTF: each loader finds where their fields are by name.\n\
         #![allow(dead_code, unused_imports)]\n\
         #![allow(non_camel_case_types, non_snake_case, non_upper_case_globals)]\n\n\
         use core::ffi::c_void;\n\n\
         use skep_ebpf::co_re::kernel;\n",
    )?;
    let mut dump = RustDump::new(btf);
    match roots {
        Some(roots) => {
            for root in roots {
                dump.want(*root)?;
            }
        }
        None => dump.want_all()?,
    }
    dump.define_waiting(out)?;
    if roots.is_none() {
        dump.want_constants();
        dump.define_waiting(out)?;
    }
    dump.declare_rest()?;
    out.write_str(&dump.out)?;
    Ok(())
}

/// What is written, and what is still to be.
struct RustDump<'a> {
    btf: &'a Btf,
    names: Names,
    /// Types to be defined, in the order in which they were met.
    waiting: VecDeque<TypeId>,
    wanted: HashSet<TypeId>,
    /// Types that are pointed to.
    named: BTreeSet<TypeId>,
    /// Types whose names are those of typedefs.
    typedefs: HashSet<TypeId>,
    out: String,
    /// How many more parts may be printed before the types are called too complex.
    budget: u64,
    /// How many more bytes may be written: names may be long and named often.
    byte_budget: usize,
}

impl<'a> RustDump<'a> {
    fn new(btf: &'a Btf) -> Self {
        let bytes = btf.bytes().len();
        Self {
            btf,
            names: Names::default(),
            waiting: VecDeque::new(),
            wanted: HashSet::new(),
            named: BTreeSet::new(),
            typedefs: HashSet::new(),
            out: String::new(),
            budget: (bytes as u64).saturating_mul(4).saturating_add(1 << 16),
            byte_budget: bytes.saturating_mul(256).saturating_add(1 << 20),
        }
    }

    fn spend(&mut self, id: TypeId) -> Result<()> {
        self.budget = self.budget.checked_sub(1).ok_or(Error::TooComplex { id })?;
        Ok(())
    }

    /// Forgets what was written out.
    fn spend_bytes(&mut self, id: TypeId) -> Result<()> {
        let left = self.byte_budget.checked_sub(self.out.len());
        self.byte_budget = left.ok_or(Error::TooComplex { id })?;
        self.out.clear();
        Ok(())
    }

    /// A type that is to be defined; of a typedef, what it stands for.
    fn want(&mut self, id: TypeId) -> Result<()> {
        let (found, name) = self.named_type(id)?;
        if matches!(
            found.kind(),
            Kind::Struct(_)
                | Kind::Union(_)
                | Kind::Enum(_)
                | Kind::Enum64(_)
                | Kind::Forward { .. }
        ) {
            let id = self.defined(&found);
            self.called(id, name);
            self.wanted_once(id);
        }
        Ok(())
    }

    /// What a type is called, by the name of a typedef where it has none.
    fn called(&mut self, id: TypeId, name: &str) -> String {
        let is_unnamed = |id| {
            let found = self.btf.type_by_id(id);
            found.is_ok_and(|found| found.name().is_empty())
        };
        if !self.names.has(id) && is_unnamed(id) {
            self.typedefs.insert(id);
        }
        self.names.of(id, name)
    }

    fn wanted_once(&mut self, id: TypeId) {
        if self.wanted.insert(id) {
            self.waiting.push_back(id);
        }
    }

    fn want_all(&mut self) -> Result<()> {
        let btf = self.btf;
        // Names of their own come before those that typedefs give to types without one.
        for typedefs in [false, true] {
            for found in btf.types() {
                let wanted = match found.kind() {
                    Kind::Struct(_)
                    | Kind::Union(_)
                    | Kind::Enum(_)
                    | Kind::Enum64(_)
                    | Kind::Forward { .. } => !typedefs && !found.name().is_empty(),
                    Kind::Typedef { .. } => {
                        typedefs && btf.skip_modifiers(found.id())?.name().is_empty()
                    }
                    _ => false,
                };
                if wanted {
                    self.want(found.id())?;
                }
            }
        }
        Ok(())
    }

    /// Enumerations that no type has and that have no name.
    fn want_constants(&mut self) {
        let unnamed = self.btf.types().filter(|found| {
            let is_enum = matches!(found.kind(), Kind::Enum(_) | Kind::Enum64(_));
            is_enum && found.name().is_empty() && !self.wanted.contains(&found.id())
        });
        let unnamed: Vec<TypeId> = unnamed.map(|found| found.id()).collect();
        unnamed.into_iter().for_each(|id| self.wanted_once(id));
    }

    fn define_waiting(&mut self, out: &mut impl fmt::Write) -> Result<()> {
        while let Some(id) = self.waiting.pop_front() {
            self.define(id)?;
            out.write_str(&self.out)?;
            self.spend_bytes(id)?;
        }
        Ok(())
    }

    fn define(&mut self, id: TypeId) -> Result<()> {
        let found = self.btf.type_by_id(id)?;
        match found.kind() {
            Kind::Struct(composite) => self.composite("struct", &found, composite),
            Kind::Union(composite) => self.composite("union", &found, composite),
            Kind::Enum(values) | Kind::Enum64(values) => self.enumeration(&found, values),
            Kind::Forward { .. } => {
                self.named.insert(id);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn composite(&mut self, keyword: &str, of: &Type<'a>, composite: Composite<'a>) -> Result<()> {
        let name = self.names.of(of.id(), of.name());
        let mut fields = String::new();
        self.fields(&name, of.id(), composite, &mut fields, 0)?;
        let kept = if fields.is_empty() { "" } else { "\n" };
        let typedef = self.typedefs.contains(&of.id());
        let attribute = if typedef { "kernel(typedef)" } else { "kernel" };
        writeln!(
            self.out,
            "\n#[{attribute}]\npub {keyword} {name} {{{kept}{fields}}}"
        )?;
        Ok(())
    }

    /// The fields of a structure, with those of its members without a name.
    fn fields(
        &mut self,
        outer: &str,
        id: TypeId,
        composite: Composite<'a>,
        text: &mut String,
        depth: u32,
    ) -> Result<()> {
        if depth > DEEPEST {
            return Err(Error::TypeLoop { id });
        }
        for member in composite.members() {
            self.spend(id)?;
            if member.name().is_empty() {
                let inner = self.btf.skip_modifiers(member.type_id)?;
                if let Kind::Struct(inner_of) | Kind::Union(inner_of) = inner.kind() {
                    let depth = depth.saturating_add(1);
                    self.fields(outer, inner.id(), inner_of, text, depth)?;
                }
                continue;
            }
            let (name, renamed) = field(member.name());
            let of = self.type_of(member.type_id, outer, member.name(), 0)?;
            if let Some(kernel) = renamed {
                writeln!(text, "    #[name = \"{kernel}\"]")?;
            }
            if self.btf.member_bits(&member)?.bitfield {
                text.push_str("    #[bits]\n");
            }
            let line = format!("    {name}: {of},");
            match line.len() {
                0..=WIDTH => writeln!(text, "{line}")?,
                _ => writeln!(text, "    {name}:\n        {of},")?,
            }
        }
        Ok(())
    }

    fn enumeration(&mut self, of: &Type<'a>, values: Enum<'a>) -> Result<()> {
        let letter = if values.signed { 'i' } else { 'u' };
        let bits = values.size.saturating_mul(8);
        if !self.names.has(of.id()) && of.name().is_empty() {
            for value in values.values() {
                self.spend(of.id())?;
                let name = self.names.constant(value.name());
                let value = value.value;
                writeln!(self.out, "\npub const {name}: {letter}{bits} = {value};")?;
            }
            return Ok(());
        }
        let name = self.names.of(of.id(), of.name());
        self.out.push_str("\n#[kernel]\n");
        if (letter, bits) != ('u', 32) {
            writeln!(self.out, "#[repr({letter}{bits})]")?;
        }
        let mut lines = String::new();
        for value in values.values() {
            self.spend(of.id())?;
            let (name, renamed) = field(value.name());
            // An enumerator has no other name than the kernel's.
            let line = format!("    {name} = {},", value.value);
            match (renamed, line.len()) {
                (Some(_), _) => {}
                (None, 0..=WIDTH) => writeln!(lines, "{line}")?,
                (None, _) => writeln!(lines, "    {name} =\n        {},", value.value)?,
            }
        }
        let kept = if lines.is_empty() { "" } else { "\n" };
        writeln!(self.out, "pub enum {name} {{{kept}{lines}}}")?;
        Ok(())
    }

    /// What is pointed to and not defined.
    fn declare_rest(&mut self) -> Result<()> {
        for id in std::mem::take(&mut self.named) {
            let found = self.btf.type_by_id(id)?;
            let keyword = match found.kind() {
                Kind::Union(_) | Kind::Forward { union: true } => "union",
                Kind::Struct(_) | Kind::Forward { .. } => "struct",
                _ => continue,
            };
            let is_forward = matches!(found.kind(), Kind::Forward { .. });
            if !is_forward && self.wanted.contains(&id) {
                continue;
            }
            let name = self.names.of(id, found.name());
            writeln!(self.out, "\n#[kernel]\npub {keyword} {name} {{}}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
