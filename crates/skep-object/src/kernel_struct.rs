//! A struct of functions (`.struct_ops`) laid out as the target's kernel has it: members are found
//! by name, since kernels add, move and drop them.

use std::collections::{BTreeMap, BTreeSet};

use skep_btf::{Btf, Composite, Kind, KindTag, Member, TypeId, essential_name};

use crate::{
    AttachBtf, Contents, Error, ImageMap, Map, Object, ProgramIndex, Result, Target,
    attach::own_type,
};

/// What struct_ops programs are loaded as, by what the maps to be created say of them.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    by_program: BTreeMap<ProgramIndex, Operation>,
}

/// A member of a kernel's struct of functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    /// The struct.
    pub(crate) of: AttachBtf,
    /// Which of its members.
    pub(crate) member: u32,
}

impl Operations {
    /// Lays out the structs that are to be created, with the programs that are to be loaded.
    pub(crate) fn lay_out(
        object: &Object,
        target: &Target,
        loaded: &BTreeSet<ProgramIndex>,
        maps: &mut [ImageMap],
    ) -> Result<Self> {
        let mut operations = Self::default();
        for (map, image) in object.maps.iter().zip(maps) {
            let Contents::StructOps {
                data,
                programs,
                by_link,
            } = &map.contents
            else {
                continue;
            };
            if !image.create {
                continue;
            }
            let wrong = |problem: String| Error::StructOps {
                map: map.name.clone(),
                section: map.section.clone(),
                problem,
            };
            let kernel = KernelStruct::find(object, map, target).map_err(wrong)?;
            let layout = Layout {
                object,
                kernel: &kernel,
                data,
                programs,
                loaded,
            };
            let value = layout.value(map).map_err(wrong)?;
            for (program, member) in value.members {
                let of = kernel.data_type();
                operations
                    .add(object, program, Operation { of, member })
                    .map_err(wrong)?;
            }
            image.value_size = kernel.size;
            image.kernel_value_type = Some(AttachBtf {
                type_id: kernel.value_type,
                module: kernel.module.clone(),
            });
            image.contents = Contents::StructOps {
                data: value.bytes,
                programs: value.programs,
                by_link: *by_link,
            };
        }
        Ok(operations)
    }

    fn add(
        &mut self,
        object: &Object,
        program: ProgramIndex,
        operation: Operation,
    ) -> Result<(), String> {
        match self.by_program.get(&program) {
            Some(known) if *known != operation => {
                let name = object
                    .program_at(program)
                    .map_or("", |program| &program.name);
                Err(format!(
                    "program `{name}` is in different members of structs; a program is loaded for \
                     one member of one struct"
                ))
            }
            _ => {
                self.by_program.insert(program, operation);
                Ok(())
            }
        }
    }

    /// What a program is loaded as.
    pub(crate) fn of(&self, program: ProgramIndex) -> Option<&Operation> {
        self.by_program.get(&program)
    }
}

/// The types that a kernel has for a struct of functions.
struct KernelStruct<'t> {
    btf: &'t Btf,
    module: Option<String>,
    /// `bpf_struct_ops_<name>`: what the map's value is.
    value_type: TypeId,
    size: u32,
    /// `<name>`: the struct itself, a member of the former.
    inner_type: TypeId,
    inner: Composite<'t>,
    /// Where it is in the value.
    offset: u32,
}

/// What no kernel's struct of functions reaches.
const MAX_SIZE: u32 = 1 << 20;

impl<'t> KernelStruct<'t> {
    fn find(object: &Object, map: &Map, target: &'t Target) -> Result<Self, String> {
        let btf = object.btf.as_ref().ok_or("the object has no BTF")?;
        let type_id = map.value_type.unwrap_or_default();
        let local = btf
            .skip_modifiers(type_id)
            .map_err(|error| error.to_string())?;
        let name = essential_name(local.name());
        let value_name = format!("bpf_struct_ops_{name}");
        let kernel = target
            .kernel_btf
            .as_ref()
            .ok_or("it needs the target's kernel BTF, and it has none (CONFIG_DEBUG_INFO_BTF)")?;
        let modules = target
            .modules
            .iter()
            .map(|module| (&module.btf, Some(&module.name)));
        for (btf, module) in std::iter::once((kernel, None)).chain(modules) {
            let Some(value_type) = own_type(btf, &value_name, KindTag::Struct) else {
                continue;
            };
            let found = Self::within(btf, value_type, name, module.cloned());
            return found.ok_or_else(|| {
                format!("the kernel's struct `{value_name}` holds no struct `{name}`")
            });
        }
        Err(format!(
            "the kernel has no struct `{value_name}` in its BTF: `{name}` is no struct of \
             functions that it takes"
        ))
    }

    fn within(
        btf: &'t Btf,
        value_type: TypeId,
        name: &str,
        module: Option<String>,
    ) -> Option<Self> {
        let Kind::Struct(value) = btf.type_by_id(value_type).ok()?.kind() else {
            return None;
        };
        let data = value.members().into_iter().find(|member| {
            let inner = btf.type_by_id(member.type_id);
            inner.is_ok_and(|inner| inner.tag() == Some(KindTag::Struct) && inner.name() == name)
        })?;
        let Kind::Struct(inner) = btf.type_by_id(data.type_id).ok()?.kind() else {
            return None;
        };
        (value.size <= MAX_SIZE).then_some(Self {
            btf,
            module,
            value_type,
            size: value.size,
            inner_type: data.type_id,
            inner,
            offset: data.bit_offset / 8,
        })
    }

    fn data_type(&self) -> AttachBtf {
        AttachBtf {
            type_id: self.inner_type,
            module: self.module.clone(),
        }
    }

    fn member(&self, name: &str) -> Option<(u32, Member<'t>)> {
        (0_u32..)
            .zip(self.inner.members())
            .find(|(_, member)| member.name() == name)
    }
}

/// One struct, being laid out.
struct Layout<'a, 't> {
    object: &'a Object,
    kernel: &'a KernelStruct<'t>,
    /// As the object has it.
    data: &'a [u8],
    programs: &'a [(u32, ProgramIndex)],
    loaded: &'a BTreeSet<ProgramIndex>,
}

/// The value of a map, and what programs are in it.
struct Value {
    bytes: Vec<u8>,
    /// Where descriptors go.
    programs: Vec<(u32, ProgramIndex)>,
    /// Which member of the struct each program is.
    members: Vec<(ProgramIndex, u32)>,
}

impl Layout<'_, '_> {
    fn value(&self, map: &Map) -> Result<Value, String> {
        let btf = self.object.btf.as_ref().ok_or("the object has no BTF")?;
        let type_id = map.value_type.unwrap_or_default();
        let found = btf
            .skip_modifiers(type_id)
            .map_err(|error| error.to_string())?;
        let Kind::Struct(fields) = found.kind() else {
            return Err("its variable is no struct".into());
        };
        let mut value = Value {
            bytes: vec![0; usize::try_from(self.kernel.size).unwrap_or(0)],
            programs: Vec::new(),
            members: Vec::new(),
        };
        for field in fields.members() {
            self.member(btf, &field, &mut value)
                .map_err(|problem| format!("member `{}`: {problem}", field.name()))?;
        }
        Ok(value)
    }

    fn member(&self, btf: &Btf, field: &Member<'_>, value: &mut Value) -> Result<(), String> {
        let text = |error: skep_btf::Error| error.to_string();
        let start = field.bit_offset / 8;
        let size = u32::try_from(btf.size_of(field.type_id).map_err(text)?)
            .map_err(|_| "it has 4 GiB or more")?;
        let given = bytes_at(self.data, start, size).ok_or("it reaches beyond the struct")?;
        let program = self.programs.iter().find(|(offset, _)| *offset == start);
        let program = program.map(|(_, program)| *program);
        let is_zero = program.is_none() && given.iter().all(|byte| *byte == 0);

        let Some((index, there)) = self.kernel.member(field.name()) else {
            return match is_zero {
                true => Ok(()),
                false => Err("the kernel's struct has no such member; leave it zero".into()),
            };
        };
        if field.bitfield_size != 0 || there.bitfield_size != 0 {
            return match is_zero {
                true => Ok(()),
                false => Err("a bit field, which can't be set".into()),
            };
        }
        let local = btf.skip_modifiers(field.type_id).map_err(text)?;
        let kernel = self
            .kernel
            .btf
            .skip_modifiers(there.type_id)
            .map_err(text)?;
        let to = self.kernel.offset.saturating_add(there.bit_offset / 8);
        if let (Kind::Pointer { .. }, Kind::Pointer { target }) = (local.kind(), kernel.kind()) {
            let Some(program) = program else {
                return match is_zero {
                    true => Ok(()),
                    false => Err("a pointer to something that is no program".into()),
                };
            };
            let target = self.kernel.btf.skip_modifiers(target).map_err(text)?;
            if target.tag() != Some(KindTag::FunctionPrototype) {
                return Err("it is no function in the kernel's struct".into());
            }
            if self.loaded.contains(&program) {
                value.programs.push((to, program));
                value.members.push((program, index));
            }
            return Ok(());
        }
        let there_size = self.kernel.btf.size_of(there.type_id).map_err(text)?;
        let same_kind = match (local.tag(), kernel.tag()) {
            (Some(KindTag::Enum | KindTag::Enum64), Some(KindTag::Enum | KindTag::Enum64)) => true,
            (local, kernel) => local == kernel,
        };
        if !same_kind || there_size != u64::from(size) {
            if is_zero {
                return Ok(());
            }
            let kind = |tag: Option<KindTag>| tag.map_or("UNKN", KindTag::kernel_name);
            return Err(format!(
                "{} of {size} bytes in the object, {} of {there_size} bytes in the kernel",
                kind(local.tag()),
                kind(kernel.tag()),
            ));
        }
        let place = usize::try_from(to)
            .ok()
            .and_then(|to| value.bytes.get_mut(to..)?.get_mut(..given.len()))
            .ok_or("the kernel's member lies outside its struct")?;
        place.copy_from_slice(given);
        Ok(())
    }
}

fn bytes_at(data: &[u8], start: u32, size: u32) -> Option<&[u8]> {
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    data.get(start..end)
}
