//! What `ld_imm64` loads: numbers, maps and places in them, functions, the kernel's variables.

use skep_abi::MapType;
use skep_btf::{Kind as TypeKind, KindTag, TypeId};
use skep_isa::{Imm64, Reg, Width};

use crate::{
    MapId, Rule, Scalar,
    state::{BtfRef, BtfSource, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Does a `ld_imm64`.
    pub(super) fn load_constant(&mut self, dst: Reg, value: Imm64) -> Result {
        self.writable(dst)?;
        let register = match value {
            Imm64::Value(value) => {
                // A map may be referred to by the place of its use alone.
                match self.code.maps.get(self.insn).copied().flatten() {
                    Some((map, offset)) => self.map_reference(map, offset)?,
                    None => {
                        self.set_number(dst, Width::W64, Scalar::constant(value));
                        return Ok(());
                    }
                }
            }
            Imm64::MapFd { .. }
            | Imm64::MapIndex { .. }
            | Imm64::MapValue { .. }
            | Imm64::MapIndexValue { .. } => {
                let Some((map, offset)) = self.code.maps.get(self.insn).copied().flatten() else {
                    return Err(self.reject(
                        Rule::InvalidInstruction,
                        "the instruction refers to a map that the program does not have",
                    ));
                };
                let encoded = match value {
                    Imm64::MapValue { offset, .. } | Imm64::MapIndexValue { offset, .. } => {
                        Some(offset)
                    }
                    _ => None,
                };
                self.map_reference(map, offset.or(encoded))?
            }
            Imm64::Subprogram { offset } => self.function_reference(self.target_of(offset))?,
            Imm64::BtfId { id, .. } => self.variable_reference(TypeId(id))?,
        };
        *self.state.register_mut(dst) = register;
        Ok(())
    }

    fn map_reference(&self, id: MapId, offset: Option<u32>) -> Result<Register> {
        let Some(map) = self.program.map(id, false) else {
            return Err(self.reject(
                Rule::InvalidInstruction,
                "the instruction refers to a map that the program does not have",
            ));
        };
        let Some(offset) = offset else {
            return Ok(Register::pointer(Kind::ConstMap {
                map: id,
                inner: false,
                uid: 0,
            }));
        };
        match map.map_type {
            // Addresses in an arena are numbers until they are cast.
            MapType::Arena => return Ok(Register::unknown()),
            MapType::Array | MapType::InsnArray => {}
            // The place of each CPU's own (`.percpu`).
            MapType::PercpuArray if self.since(7, 1) => {}
            _ => {
                let message = format!(
                    "the address of a value in the map `{}`, which is no array",
                    map.name
                );
                return Err(self.reject(Rule::MapNotAllowed, message));
            }
        }
        if u64::from(offset) >= map.direct_size()
            || map.max_entries != 1 && map.map_type != MapType::InsnArray
        {
            let message = format!(
                "the address of byte {offset} of the first value of `{}`, which has {} values of {} \
                 bytes",
                map.name, map.max_entries, map.value_size
            );
            return Err(self.reject(Rule::MapValueOutOfBounds, message));
        }
        let mut register = Register::pointer(Kind::MapValue {
            map: id,
            inner: false,
            uid: 0,
        });
        // Values are below 4 GiB; those above 2 GiB can't be reached by an offset anyway.
        register.offset = i32::try_from(offset).unwrap_or(i32::MAX);
        Ok(register)
    }

    /// A function to be called back: one of the program's own, and static.
    fn function_reference(&self, start: usize) -> Result<Register> {
        let index = self.code.subprogram_at(start);
        let Some(function) = self.code.subprograms.get(index) else {
            return Err(self.reject(Rule::CallbackMisuse, "the program has no such function"));
        };
        if function.start != start {
            return Err(self.reject(
                Rule::CallbackMisuse,
                format!("instruction {start} is not the start of a function"),
            ));
        }
        if index == 0 {
            return Err(self.reject(
                Rule::CallbackMisuse,
                "the program itself can't be called back",
            ));
        }
        if function.global {
            let message = format!(
                "`{}` is a global function, so it can't be called back",
                function.name
            );
            return Err(self
                .reject(Rule::CallbackMisuse, message)
                .help("make the function `static`"));
        }
        Ok(Register::pointer(Kind::Function {
            subprogram: u32::try_from(index).unwrap_or(u32::MAX),
        }))
    }

    /// A variable or function of the kernel or of a module, by its id in their BTF.
    fn variable_reference(&mut self, id: TypeId) -> Result<Register> {
        let known = self.facts.get(self.insn).and_then(|facts| facts.variable);
        let (kind, flags) = match known {
            Some(known) => known,
            None => {
                let found = self.find_variable(id)?;
                if let Some(facts) = self.facts.get_mut(self.insn) {
                    facts.variable = Some(found);
                }
                found
            }
        };
        Ok(Register::pointer(kind).with(flags))
    }

    fn find_variable(&self, id: TypeId) -> Result<(Kind, PointerFlags)> {
        let wrong = |message: String| self.reject(Rule::TypeInformation, message);
        let module = self
            .program
            .modules
            .iter()
            .find(|(insn, _)| insn.as_usize() == self.insn)
            .map(|(_, name)| name);
        let source = match module {
            None => BtfSource::Kernel,
            Some(name) => {
                let place = self.target.modules.iter().position(|one| one.name == *name);
                match place.and_then(|place| u16::try_from(place).ok()) {
                    Some(place) => BtfSource::Module(place),
                    None => return Err(wrong(format!("the target has no module `{name}`"))),
                }
            }
        };
        let Some(btf) = self.btf(source) else {
            return Err(wrong(
                "a kernel variable is used, but the target's kernel has no BTF".to_owned(),
            ));
        };
        let found = btf
            .type_by_id(id)
            .map_err(|error| wrong(error.to_string()))?;
        let variable = match found.kind() {
            TypeKind::Function { .. } => {
                return Ok((Kind::Mem { size: 0 }, PointerFlags::READ_ONLY));
            }
            TypeKind::Variable(variable) => variable.type_id,
            _ => {
                return Err(wrong(format!(
                    "type {} of the kernel is no variable and no function",
                    id.0
                )));
            }
        };
        let own = btf.find(".data..percpu", KindTag::DataSection);
        let percpu = own.filter(|section| *section >= btf.first_id());
        let percpu = percpu
            .and_then(|section| btf.type_by_id(section).ok())
            .is_some_and(|section| match section.kind() {
                TypeKind::DataSection(section) => {
                    section.entries().any(|entry| entry.type_id == id)
                }
                _ => false,
            });
        let typed = btf
            .skip_modifiers(variable)
            .map_err(|error| wrong(error.to_string()))?;
        let is_struct = matches!(typed.kind(), TypeKind::Struct(_) | TypeKind::Union(_));
        if percpu || is_struct {
            let flags = if percpu {
                PointerFlags::PERCPU
            } else {
                PointerFlags::empty()
            };
            let kind = Kind::Btf(BtfRef {
                btf: source,
                type_id: typed.id(),
            });
            return Ok((kind, flags));
        }
        let size = btf
            .size_of(variable)
            .map_err(|error| wrong(error.to_string()))?;
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        Ok((Kind::Mem { size }, PointerFlags::READ_ONLY))
    }
}
