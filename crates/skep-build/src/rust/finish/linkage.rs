//! Linkage: a function that the file keeps to itself is a subprogram, verified where it is called;
//! one that all see is verified by itself, for any arguments of its types. BTF must say the same of
//! it as the symbol table, which knows what link-time optimisation made local.

use std::collections::BTreeMap;

use skep_btf::{FunctionLinkage, Kind, TypeId, VariableLinkage};
use skep_object::{Binding, ObjectFile, Result, SymbolKind};

pub(super) fn run(file: &mut ObjectFile) -> Result<()> {
    let btf = file.btf()?;
    // By the place where they begin: names of functions differ from their symbols'.
    let mut functions: BTreeMap<TypeId, FunctionLinkage> = BTreeMap::new();
    for symbol in &file.symbols {
        let section = symbol.section.and_then(|index| file.sections.get(index));
        let (Some(section), SymbolKind::Function) = (section, symbol.kind) else {
            continue;
        };
        let Some(records) = file.records.get(&section.name) else {
            continue;
        };
        let begins = |insn: u32| u64::from(insn).checked_mul(8) == Some(symbol.value);
        let found = records.functions.iter().find(|(insn, _)| begins(insn.0));
        if let Some((_, type_id)) = found {
            let linkage = match symbol.binding {
                Binding::Local => FunctionLinkage::Static,
                _ => FunctionLinkage::Global,
            };
            functions.insert(*type_id, linkage);
        }
    }
    for found in btf.types() {
        match found.kind() {
            Kind::Function(function) if function.linkage != FunctionLinkage::Extern => {
                if let Some(linkage) = functions.get(&found.id()) {
                    file.types.set_function_linkage(found.id(), *linkage)?;
                }
            }
            Kind::Variable(variable) if variable.linkage == VariableLinkage::Global => {
                let symbol = file.symbol(found.name());
                if symbol.is_none_or(|(_, symbol)| symbol.binding == Binding::Local) {
                    let linkage = VariableLinkage::Static;
                    file.types.set_variable_linkage(found.id(), linkage)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
