//! What a program attaches to, looked up in BTF.

use skep_abi::{AttachType, LsmHook, ProgramType, TracedFunction};
use skep_btf::{Btf, Kind, KindTag, Type, TypeId};

use super::prototype::check_prototype;
use crate::{
    AttachTarget, Rejection, Rule,
    state::{BtfSource, Id},
    verifier::{Result, Verifier},
};

/// What a program attaches to: a function, or what is called like one.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    /// The name of the function, tracepoint (`btf_trace_…`), iterator, or struct_ops member.
    pub(crate) name: String,
    /// Whose BTF the types are in.
    pub(crate) btf: BtfSource,
    /// The prototype (`FUNC_PROTO`), if there is one.
    pub(crate) prototype: Option<TypeId>,
    /// Whether it gives no result.
    pub(crate) returns_void: bool,
    /// The arguments that the program gets for its own, with the references to them.
    pub(crate) references: Vec<(usize, Id)>,
}

impl Default for Attached {
    fn default() -> Self {
        Self {
            name: String::new(),
            btf: BtfSource::Kernel,
            prototype: None,
            returns_void: false,
            references: Vec::new(),
        }
    }
}

/// What programs for many functions are verified against.
const MULTI: &str = "bpf_multi_func";

impl Verifier<'_> {
    /// Looks up what the program attaches to, and checks that it may.
    pub(super) fn find_attach_target(&mut self) -> Result {
        let program_type = self.program.program_type;
        match program_type {
            ProgramType::Tracing | ProgramType::Lsm | ProgramType::StructOps => {}
            ProgramType::Ext => return self.check_extension(),
            _ => return Ok(()),
        }
        if matches!(program_type, ProgramType::Lsm | ProgramType::StructOps) && !self.is_gpl() {
            return Err(Rejection::new(
                Rule::GplOnly,
                format!(
                    "programs of type {program_type} need a licence that is compatible with the \
                     GPL, and this one's is `{}`",
                    self.program.license
                ),
            )
            .help("say so: `char LICENSE[] SEC(\"license\") = \"GPL\";`"));
        }
        match &self.program.attach {
            Some(AttachTarget::Kernel { type_id, module }) => {
                let source = self.target_source(module.as_deref())?;
                self.attach_to_kernel(source, *type_id)
            }
            Some(AttachTarget::Program { btf, function, .. }) => {
                self.check_traced_program(btf, *function)
            }
            None if self.is_multi() => {
                // It stands for all that the program is attached to later.
                let kernel = self.target.kernel_btf.as_ref();
                match kernel.and_then(|btf| btf.find(MULTI, KindTag::Function)) {
                    Some(id) => self.attach_to_kernel(BtfSource::Kernel, id),
                    None => Err(Rejection::new(
                        Rule::AttachTarget,
                        format!("the target's types have no `{MULTI}`, by which it attaches"),
                    )),
                }
            }
            None => Err(Rejection::new(
                Rule::AttachTarget,
                "nothing says what the program attaches to",
            )
            .help("name it in the section: `SEC(\"fentry/FUNCTION\")`")),
        }
    }

    /// Whether the program is attached to many functions, which are named when that is done.
    pub(super) fn is_multi(&self) -> bool {
        matches!(
            self.program.attach_type,
            Some(
                AttachType::TraceFentryMulti
                    | AttachType::TraceFexitMulti
                    | AttachType::TraceFsessionMulti
            )
        )
    }

    fn target_source(&self, module: Option<&str>) -> Result<BtfSource> {
        let Some(name) = module else {
            return Ok(BtfSource::Kernel);
        };
        let place = self.target.modules.iter().position(|one| one.name == name);
        match place.and_then(|place| u16::try_from(place).ok()) {
            Some(place) => Ok(BtfSource::Module(place)),
            None => Err(Rejection::new(
                Rule::AttachTarget,
                format!("the target has no module `{name}`"),
            )),
        }
    }

    /// Attaches the program to a type of the kernel's or a module's BTF.
    fn attach_to_kernel(&mut self, source: BtfSource, type_id: TypeId) -> Result {
        let wrong = |message: String| Err(Rejection::new(Rule::AttachTarget, message));
        let found = self.btf(source).and_then(|btf| {
            let found = btf.type_by_id(type_id).ok()?;
            Some((btf, found))
        });
        let Some((btf, found)) = found else {
            return wrong(format!(
                "the target has no type {}, which the program attaches to",
                type_id.0
            ));
        };
        let mut name = found.name();
        let mut structure = "";
        let start = match (found.kind(), self.program.program_type) {
            (Kind::Struct(operations), ProgramType::StructOps) => {
                structure = name;
                self.check_operations(name)?;
                let member = self
                    .program
                    .attach_member
                    .and_then(|member| operations.members().get(member as usize));
                name = member.map_or("", |member| member.name());
                member.map(|member| member.type_id)
            }
            (Kind::Typedef { target }, ProgramType::Tracing)
                if self.program.attach_type == Some(AttachType::TraceRawTp)
                    && name.starts_with("btf_trace_") =>
            {
                Some(target)
            }
            (Kind::Function(function), ProgramType::Tracing)
                if self.program.attach_type != Some(AttachType::TraceRawTp) =>
            {
                Some(function.prototype)
            }
            (Kind::Function(function), ProgramType::Lsm) => Some(function.prototype),
            _ => None,
        };
        let Some(prototype) = start.and_then(|start| prototype_behind(btf, start)) else {
            return wrong(format!(
                "the program attaches to `{name}`, and programs of its type can't"
            ));
        };
        let Kind::FunctionPrototype(signature) = prototype.kind() else {
            return wrong(format!("`{name}` has no prototype"));
        };
        let attached = Attached {
            name: name.to_owned(),
            btf: source,
            prototype: Some(prototype.id()),
            returns_void: signature.return_type == TypeId::VOID,
            references: Vec::new(),
        };
        let prototype = prototype.id();
        self.check_hook(btf, &attached, prototype)?;
        self.check_sleepable_target(&attached, structure)?;
        self.attach = attached;
        Ok(())
    }

    /// Checks that programs may be attached to a function of the kernel.
    fn check_hook(&self, btf: &Btf, attached: &Attached, prototype: TypeId) -> Result {
        let name = attached.name.as_str();
        let wrong = |message: String| Err(Rejection::new(Rule::AttachTarget, message));
        let kind = self.program.attach_type;
        if self.program.program_type == ProgramType::Lsm {
            let Some(hook) = LsmHook::of_function(name) else {
                return wrong(format!("`{name}` is no LSM hook"));
            };
            if self.since(6, 12) && !hook.is_enabled() {
                return wrong(format!(
                    "no program may be attached to the LSM hook `{}`",
                    hook.name
                ));
            }
        }
        if self.program.program_type == ProgramType::Tracing {
            let function = TracedFunction { name };
            match kind {
                Some(AttachType::TraceRawTp) => return Ok(()),
                Some(AttachType::TraceIter) => return self.check_iterator(btf, name),
                _ => {}
            }
            if function.is_denied() {
                return wrong(format!(
                    "no program may be attached to `{name}`, which tracing itself calls"
                ));
            }
            let after = matches!(
                kind,
                Some(AttachType::TraceFexit | AttachType::ModifyReturn | AttachType::TraceFsession)
            );
            if after && function.never_returns() && self.since(6, 15) {
                return wrong(format!(
                    "`{name}` never returns, so that nothing runs after it"
                ));
            }
            if kind == Some(AttachType::ModifyReturn)
                && !self.program.is_sleepable()
                && !function.may_be_modified()
            {
                return wrong(format!(
                    "the result of `{name}` can't be changed: only those of system calls, of \
                     `security_…` functions and of functions that errors may be injected into can"
                ));
            }
        }
        if self.program.program_type != ProgramType::StructOps
            && let Err(problem) = check_prototype(btf, prototype)
        {
            return wrong(format!("the program attaches to `{name}`, which {problem}"));
        }
        Ok(())
    }

    /// Checks that a function stands for an iterator.
    fn check_iterator(&self, btf: &Btf, name: &str) -> Result {
        let context = name
            .strip_prefix("bpf_iter_")
            .map(|of| format!("bpf_iter__{of}"));
        if context.is_some_and(|context| btf.find(&context, KindTag::Struct).is_some()) {
            return Ok(());
        }
        Err(Rejection::new(
            Rule::AttachTarget,
            format!("`{name}` is no iterator of the kernel"),
        ))
    }

    /// Checks that a structure is one of operations that programs can be.
    fn check_operations(&self, name: &str) -> Result {
        let registered = format!("bpf_struct_ops_{name}");
        let kernel = self.target.kernel_btf.iter();
        let modules = self.target.modules.iter().map(|module| &module.btf);
        let mut known = kernel.chain(modules);
        if known.any(|btf| btf.find(&registered, KindTag::Struct).is_some()) {
            return Ok(());
        }
        Err(Rejection::new(
            Rule::AttachTarget,
            format!("the kernel takes no programs for `struct {name}`"),
        ))
    }

    /// Checks a program that traces a function of another program.
    fn check_traced_program(&mut self, btf: &Btf, function: TypeId) -> Result {
        let kind = self.program.attach_type;
        let wrong = |message: &str| Err(Rejection::new(Rule::AttachTarget, message));
        if self.program.program_type != ProgramType::Tracing
            || !matches!(
                kind,
                Some(AttachType::TraceFentry | AttachType::TraceFexit | AttachType::TraceFsession)
            )
        {
            return wrong("only `fentry` and `fexit` programs can trace other programs");
        }
        if self.program.is_sleepable() {
            return wrong("a program that traces another program can't be sleepable");
        }
        match btf.type_by_id(function).map(|found| found.kind()) {
            Ok(Kind::Function(_)) => Ok(()),
            _ => wrong("what is traced is no function of the other program"),
        }
    }
}

/// The prototype that a type is, or points to.
pub(crate) fn prototype_behind(btf: &Btf, id: TypeId) -> Option<Type<'_>> {
    let found = btf.skip_modifiers(id).ok()?;
    let found = match found.kind() {
        Kind::Pointer { target } => btf.skip_modifiers(target).ok()?,
        _ => found,
    };
    matches!(found.kind(), Kind::FunctionPrototype(_)).then_some(found)
}
