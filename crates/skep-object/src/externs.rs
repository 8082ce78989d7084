//! Externs: what an object declares and the target provides, of sections `.kconfig` and `.ksyms`.
//! Both are only in the BTF; the file has undefined symbols for them.

use std::collections::{BTreeMap, BTreeSet};

use skep_abi::{MapCreateFlags, MapType};
use skep_btf::{Btf, Kind, KindTag, TypeId};

use crate::{
    Contents, Error, Extern, ExternIndex, ExternKind, Map, MapIndex, Result,
    data::{SectionLayout, map_name},
    elf::{Elf, SymbolHome},
    order,
};

pub(crate) const KCONFIG: &str = ".kconfig";
pub(crate) const KSYMS: &str = ".ksyms";

/// The externs of an object, by name.
#[derive(Debug, Default)]
pub(crate) struct Externs {
    pub(crate) list: Vec<Extern>,
    by_name: BTreeMap<String, ExternIndex>,
}

/// The map that holds the kernel's configuration as the object asks for it.
#[derive(Debug, Clone)]
pub(crate) struct KconfigLayout {
    pub(crate) map: MapIndex,
    pub(crate) size: u32,
    /// Where each value is.
    pub(crate) values: Vec<KconfigValue>,
}

/// One value of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KconfigValue {
    pub(crate) external: ExternIndex,
    /// Its variable in the BTF.
    pub(crate) variable: TypeId,
    pub(crate) offset: u32,
    pub(crate) size: u32,
}

pub(crate) fn read(elf: &Elf<'_>, btf: Option<&Btf>, layouts: &[SectionLayout]) -> Result<Externs> {
    let mut externs = Externs::default();
    let Some(btf) = btf else { return Ok(externs) };
    let weak = elf.symbols.iter();
    let weak = weak.filter(|symbol| symbol.home == SymbolHome::Undefined && symbol.weak);
    let weak: BTreeSet<&str> = order::set(weak.map(|symbol| symbol.name));
    for layout in layouts {
        for entry in &layout.entries {
            let declared = btf.type_by_id(entry.type_id)?;
            let (kind, type_id) = match (layout.name.as_str(), declared.kind()) {
                (KCONFIG, Kind::Variable(variable)) => (ExternKind::Kconfig, variable.type_id),
                (KSYMS, Kind::Variable(variable)) => {
                    let typed = btf.skip_modifiers(variable.type_id)?.tag() != Some(KindTag::Void);
                    (ExternKind::KernelVariable { typed }, variable.type_id)
                }
                (KSYMS, Kind::Function(_)) => (ExternKind::KernelFunction, declared.id()),
                _ => continue,
            };
            let name = declared.name().to_owned();
            if let Some(before) = externs.find(&name).and_then(|index| externs.at(index)) {
                return Err(Error::Extern {
                    problem: format!("it is declared twice, as {} and as {kind}", before.kind),
                    name,
                    used_at: None,
                });
            }
            let weak = weak.contains(declared.name());
            externs.add(Extern {
                name,
                kind,
                weak,
                type_id,
            });
        }
    }
    Ok(externs)
}

impl Externs {
    fn add(&mut self, external: Extern) -> ExternIndex {
        let index = ExternIndex::from_usize(self.list.len());
        self.by_name.insert(external.name.clone(), index);
        self.list.push(external);
        index
    }

    fn at(&self, index: ExternIndex) -> Option<&Extern> {
        self.list.get(index.as_usize())
    }

    /// The extern with this name.
    pub(crate) fn find(&self, name: &str) -> Option<ExternIndex> {
        self.by_name.get(name).copied()
    }

    /// An extern that only the symbol table knows, as Rust and assembly make them: a call without
    /// a type.
    pub(crate) fn find_or_add_untyped(&mut self, name: &str, weak: bool) -> ExternIndex {
        self.find(name).unwrap_or_else(|| {
            self.add(Extern {
                name: name.to_owned(),
                kind: ExternKind::KernelFunction,
                weak,
                type_id: TypeId::VOID,
            })
        })
    }

    /// Lays the values of the configuration out and adds the map that holds them.
    pub(crate) fn kconfig(
        &self,
        btf: Option<&Btf>,
        layouts: &[SectionLayout],
        object: &str,
        maps: &mut Vec<Map>,
    ) -> Result<Option<KconfigLayout>> {
        let layout = layouts.iter().find(|layout| layout.name == KCONFIG);
        let (Some(btf), Some(layout)) = (btf, layout) else {
            return Ok(None);
        };
        let mut wanted = Vec::new();
        for entry in &layout.entries {
            let variable = btf.type_by_id(entry.type_id)?;
            let Some(external) = self.find(variable.name()) else {
                continue;
            };
            let size = u32::try_from(btf.size_of(variable.id())?).unwrap_or(u32::MAX);
            if size == 0 || size > MAX_KCONFIG {
                return Err(Error::Extern {
                    name: variable.name().to_owned(),
                    problem: format!("a configuration value of {size} bytes"),
                    used_at: None,
                });
            }
            let align = u32::try_from(btf.align_of(variable.id())?)
                .unwrap_or(1)
                .max(1);
            wanted.push((
                std::cmp::Reverse(align),
                size,
                variable.name(),
                external,
                variable.id(),
            ));
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        wanted.sort_unstable();
        let mut end = 0_u32;
        let mut values = Vec::with_capacity(wanted.len());
        for (align, size, _, external, variable) in wanted {
            let offset = end.checked_next_multiple_of(align.0).unwrap_or(u32::MAX);
            end = offset.saturating_add(size);
            values.push(KconfigValue {
                external,
                variable,
                offset,
                size,
            });
        }
        if end > MAX_KCONFIG {
            let (count, limit) = (end.into(), MAX_KCONFIG.into());
            return Err(Error::Budget {
                what: "bytes of kernel configuration",
                count,
                limit,
            });
        }

        let index = MapIndex::from_usize(maps.len());
        let mut map = Map::new(&map_name(object, KCONFIG), KCONFIG, MapType::Array);
        map.key_size = 4;
        map.value_size = end;
        map.max_entries = 1;
        map.flags = MapCreateFlags::RDONLY_PROG | MapCreateFlags::MMAPABLE;
        map.value_type = Some(layout.type_id);
        map.contents = Contents::Zeroes;
        map.frozen = true;
        maps.push(map);
        Ok(Some(KconfigLayout {
            map: index,
            size: end,
            values,
        }))
    }
}

/// Configurations are small: numbers and short texts.
const MAX_KCONFIG: u32 = 1 << 16;
