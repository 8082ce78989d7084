//! The object's BTF as a kernel takes it: sizes and offsets filled in, externs made ordinary,
//! names that are no identifiers replaced, and kinds that the target is too old for replaced by
//! others of the same size. Type ids and string offsets stay what they were.

mod kinds;
mod names;

use std::collections::BTreeSet;

use skep_abi::LoaderFeature as Feature;
use skep_btf::{
    Btf, Builder, FunctionLinkage, IntEncoding, Kind, NewType, SectionEntry, TypeId,
    VariableLinkage,
};

use crate::{
    Linkage, Object, Result,
    data::SectionLayout,
    externs::{KCONFIG, KSYMS},
    features::Lacking,
    order,
};

/// The BTF of an object for a target; `None` if it has none, or the target takes none.
pub(crate) fn for_target(object: &Object, lacking: &mut Lacking) -> Result<Option<Vec<u8>>> {
    let Some(btf) = &object.btf else {
        return Ok(None);
    };
    if lacking.uses(Feature::Btf) {
        return Ok(None);
    }
    let builder = Builder::from_btf(btf)?;
    let mut fixup = Fixup {
        builder,
        btf,
        lacking,
        prototypes: BTreeSet::new(),
    };
    fixup.linkages(object)?;
    for layout in &object.layouts {
        match layout.name.as_str() {
            _ if fixup.lacking.uses(Feature::BtfDataSections) => fixup.as_struct(layout)?,
            KSYMS => fixup.ksyms(layout)?,
            KCONFIG => fixup.kconfig(object, layout)?,
            _ if layout.entries.is_empty() && layout.size > 0 => fixup.unnamed(layout)?,
            _ => fixup.set_entries(layout.type_id, layout.size, layout.entries.iter().copied())?,
        }
        fixup.valid_section_name(layout)?;
    }
    for found in btf.types() {
        if !fixup.replace_kind(&found)? {
            fixup.valid_names(&found)?;
        }
    }
    Ok(Some(fixup.builder.build()?))
}

struct Fixup<'a> {
    builder: Builder,
    btf: &'a Btf,
    lacking: &'a mut Lacking,
    /// Prototypes of functions, not only of pointers to some.
    prototypes: BTreeSet<TypeId>,
}

impl Fixup<'_> {
    /// Makes functions and variables that are found elsewhere ordinary ones, and functions that
    /// the linker alone sees static, so that they are not verified by themselves.
    fn linkages(&mut self, object: &Object) -> Result<()> {
        let hidden = object.functions.iter();
        let hidden = hidden.filter(|function| function.linkage == Linkage::Hidden);
        let hidden: BTreeSet<TypeId> = order::set(hidden.filter_map(|function| function.type_id));
        for found in self.btf.types() {
            match found.kind() {
                Kind::Function(function) => {
                    self.prototypes.insert(function.prototype);
                    let linkage = match function.linkage {
                        _ if hidden.contains(&found.id()) => FunctionLinkage::Static,
                        FunctionLinkage::Static => FunctionLinkage::Static,
                        _ if self.lacking.uses(Feature::BtfGlobalFunctions) => {
                            FunctionLinkage::Static
                        }
                        FunctionLinkage::Extern => FunctionLinkage::Global,
                        other => other,
                    };
                    if linkage != function.linkage {
                        self.builder.set_function_linkage(found.id(), linkage)?;
                    }
                }
                Kind::Variable(variable) if variable.linkage == VariableLinkage::Extern => {
                    self.builder
                        .set_variable_linkage(found.id(), VariableLinkage::Global)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the size of a data section and its entries, in the order of offsets.
    fn set_entries(
        &mut self,
        section: TypeId,
        size: u32,
        mut entries: impl Iterator<Item = SectionEntry>,
    ) -> Result<()> {
        self.builder.set_data_section(section, size, |entry| {
            *entry = entries.next().unwrap_or(*entry);
        })?;
        Ok(())
    }

    /// A section of constants without names: Linux 5.10 refuses one that has no variable.
    fn unnamed(&mut self, layout: &SectionLayout) -> Result<()> {
        let byte = self.builder.int("char", 1, IntEncoding::SIGNED);
        let linkage = VariableLinkage::Static;
        let entry = SectionEntry {
            type_id: self.builder.variable("unnamed", byte, linkage),
            offset: 0,
            size: 1,
        };
        let section = NewType::DataSection {
            name: &layout.name,
            size: layout.size,
            entries: &[entry],
        };
        self.builder.replace(layout.type_id, section)?;
        Ok(())
    }

    /// Kernel symbols: what the kernel wants of a section are variables with a size, one after
    /// the other. Functions are stood in for by one variable.
    fn ksyms(&mut self, layout: &SectionLayout) -> Result<()> {
        const SIZE: u32 = 4;
        let int = self.builder.int("int", SIZE, IntEncoding::SIGNED);
        let mut dummy = None;
        let mut entries = Vec::with_capacity(layout.entries.len());
        let mut offset = 0_u32;
        for entry in &layout.entries {
            let declared = self.btf.type_by_id(entry.type_id)?;
            let type_id = match declared.kind() {
                Kind::Variable(_) => {
                    self.builder.set_target(declared.id(), int)?;
                    declared.id()
                }
                _ => *dummy.get_or_insert_with(|| {
                    self.builder
                        .variable("dummy_ksym", int, VariableLinkage::Global)
                }),
            };
            entries.push(SectionEntry {
                type_id,
                offset,
                size: SIZE,
            });
            offset = offset.saturating_add(SIZE);
        }
        self.set_entries(layout.type_id, offset, entries.into_iter())
    }

    /// The kernel's configuration, as it was laid out in its map.
    fn kconfig(&mut self, object: &Object, layout: &SectionLayout) -> Result<()> {
        let Some(kconfig) = &object.kconfig else {
            return Ok(());
        };
        let entries = kconfig.values.iter().map(|value| SectionEntry {
            type_id: value.variable,
            offset: value.offset,
            size: value.size,
        });
        self.set_entries(layout.type_id, kconfig.size, entries)
    }
}
