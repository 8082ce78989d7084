//! What the host's types say of the functions that programs call and are attached to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use skep_btf::{Btf, Kind, KindTag, Minimizer, Need, TypeId, essential_name};
use skep_isa::{CallTarget, Insn, decode_program};
use skep_object::{AttachKind, Image, ImageProgram};
use skep_record::{Kfunc, Kfuncs};

use crate::{Host, Result};

/// The host's types, and those of modules that programs refer to.
pub(super) struct Types {
    kernel: Option<Arc<Btf>>,
    modules: BTreeMap<String, Arc<Btf>>,
}

impl Types {
    pub(super) fn of(image: &Image, host: &Host) -> Result<Self> {
        // A host without types has no functions to call, and tracepoints are as wide as they are
        // looked at.
        let kernel = host.btf().ok();
        let mut modules = BTreeMap::new();
        let named = image.programs.iter().flat_map(|program| {
            let attached = program
                .attach_btf
                .iter()
                .filter_map(|btf| btf.module.as_ref());
            let called = program.module_references.iter().map(|it| &it.module);
            attached.chain(called)
        });
        for name in named {
            if let (Some(kernel), false) = (&kernel, modules.contains_key(name)) {
                let bytes = host.boundary().btf(Some(name))?;
                let split = Btf::parse_trusted(bytes, Some(Arc::clone(kernel)))?;
                modules.insert(name.clone(), Arc::new(split));
            }
        }
        Ok(Self { kernel, modules })
    }

    fn btf(&self, module: Option<&str>) -> Option<&Btf> {
        match module {
            Some(name) => self.modules.get(name).map(Arc::as_ref),
            None => self.kernel.as_deref(),
        }
    }

    /// The types that another version of the object may need: whole, those that it looks into,
    /// and what its programs are attached to and call. `None`: it needs none.
    pub(super) fn needed(
        &self,
        object: &skep_object::Object,
        image: &Image,
    ) -> Result<Option<Vec<u8>>> {
        let (Some(kernel), Some(own)) = (&self.kernel, object.btf()) else {
            return Ok(None);
        };
        let mut names = BTreeSet::new();
        for function in object.functions() {
            for asked in &function.core_relocations {
                if let Ok(root) = own.skip_modifiers(asked.type_id) {
                    names.insert(essential_name(root.name()).to_owned());
                }
            }
        }
        let mut wanted = BTreeSet::new();
        for name in names.iter().filter(|name| !name.is_empty()) {
            wanted.extend(kernel.candidates(name));
        }
        for program in &image.programs {
            let attached = program.attach_btf.as_ref();
            let attached = attached.filter(|attach| attach.module.is_none());
            wanted.extend(attached.map(|attach| attach.type_id));
            wanted.extend(trace_type(kernel, program));
            for (_, insn) in decode_program(&program.instructions).flatten() {
                if let Insn::Call(CallTarget::Kfunc { btf_id, .. }) = insn {
                    wanted.insert(TypeId(btf_id));
                }
            }
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let mut minimizer = Minimizer::new(kernel);
        for id in wanted {
            minimizer.keep(id, Need::Whole)?;
        }
        Ok(Some(minimizer.build()?))
    }

    /// The functions of the kernel that the programs call.
    pub(super) fn kfuncs(&self, image: &Image) -> Kfuncs {
        let mut found = Kfuncs::new();
        for program in &image.programs {
            for (at, insn) in decode_program(&program.instructions).flatten() {
                let Insn::Call(CallTarget::Kfunc { btf_id, .. }) = insn else {
                    continue;
                };
                let mut modules = program.module_references.iter();
                let module = modules.find(|reference| reference.insn == at);
                let btf = self.btf(module.map(|reference| reference.module.as_str()));
                if let Some(kfunc) = btf.and_then(|btf| kfunc(btf, TypeId(btf_id))) {
                    found.insert(btf_id, kfunc);
                }
            }
        }
        found
    }

    /// How many words a program gets of the function or tracepoint that it is attached to.
    pub(super) fn words(&self, program: &ImageProgram) -> Option<u32> {
        let (btf, function) = match &program.attach_btf {
            Some(attach) => (self.btf(attach.module.as_deref())?, attach.type_id),
            None => {
                let btf = self.btf(None)?;
                (btf, trace_type(btf, program)?)
            }
        };
        let (parameters, _) = prototype(btf, function)?;
        let parameters = u32::try_from(parameters.len()).ok()?;
        Some(match program.section.kind() {
            // Their first parameter is the tracepoint's own.
            AttachKind::TracepointBtf | AttachKind::RawTracepoint => parameters.saturating_sub(1),
            // Programs get a word for the result also where there is none.
            AttachKind::Fexit | AttachKind::FmodRet | AttachKind::Fsession => {
                parameters.saturating_add(1)
            }
            _ => parameters,
        })
    }
}

/// The type of the function that a tracepoint calls: `typedef void (*btf_trace_NAME)(void *, …)`.
fn trace_type(btf: &Btf, program: &ImageProgram) -> Option<TypeId> {
    let name = format!("btf_trace_{}", program.attach_target.as_deref()?);
    btf.find(&name, KindTag::Typedef)
}

fn kfunc(btf: &Btf, id: TypeId) -> Option<Kfunc> {
    let (parameters, void) = prototype(btf, id)?;
    Some(Kfunc {
        name: btf.type_by_id(id).ok()?.name().to_owned(),
        parameters,
        void,
    })
}

/// The names of a function's parameters, and whether it answers nothing.
fn prototype(btf: &Btf, mut id: TypeId) -> Option<(Vec<String>, bool)> {
    // A typedef of a pointer to a prototype, or a function: few steps.
    for _ in 0..8 {
        let found = btf.type_by_id(id).ok()?;
        id = match found.kind() {
            Kind::FunctionPrototype(prototype) => {
                let parameters = prototype.params().into_iter();
                let names = parameters.map(|parameter| parameter.name().to_owned());
                return Some((names.collect(), prototype.return_type == TypeId::VOID));
            }
            Kind::Function(function) => function.prototype,
            Kind::Pointer { target } => target,
            other => other.modified()?,
        };
    }
    None
}
