//! What a global function takes, by its BTF prototype and the tags of its parameters.

use skep_btf::{Btf, Kind, KindTag, TypeId, essential_name};

use super::context_type::{is_context, is_valid_tagged_context};
use crate::{
    Rule,
    state::{BtfRef, BtfSource},
    verifier::{Result, Verifier},
};

/// What a function takes in one register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Argument {
    /// The program's context.
    Context,
    /// A number.
    Scalar,
    /// A dynptr, not to be changed.
    Dynptr,
    /// Memory.
    Memory { size: u32, nullable: bool },
    /// Memory that may be anywhere: read with faults handled.
    UntrustedMemory,
    /// A kernel structure.
    Struct {
        of: BtfRef,
        nullable: bool,
        trusted: bool,
    },
    /// A place in an arena, or a number that becomes one.
    Arena,
}

/// The tags of a parameter: `__attribute__((btf_decl_tag("arg:…")))`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tags {
    context: bool,
    trusted: bool,
    nonnull: bool,
    nullable: bool,
    arena: bool,
    untrusted: bool,
}

impl Tags {
    const NONE: Self = Self {
        context: false,
        trusted: false,
        nonnull: false,
        nullable: false,
        arena: false,
        untrusted: false,
    };

    /// Whether there are no tags but those for which `allowed` was cleared.
    fn only(self, clear: impl FnOnce(&mut Self)) -> bool {
        let mut rest = self;
        clear(&mut rest);
        rest == Self::NONE
    }
}

impl Verifier<'_> {
    /// What a global function takes.
    pub(super) fn read_arguments(&self, function: usize) -> Result<Vec<Argument>> {
        let title = self.code.subprograms[function].title();
        let type_id = self.code.subprograms[function].type_id;
        let (Some(btf), Some(type_id)) = (self.program.btf.as_deref(), type_id) else {
            return Err(self.reject(
                Rule::TypeInformation,
                format!("the global function {title} has no BTF, which says what it takes"),
            ));
        };
        let prototype = btf.type_by_id(type_id).ok().and_then(|found| {
            let Kind::Function(function) = found.kind() else {
                return None;
            };
            match btf.type_by_id(function.prototype).ok()?.kind() {
                Kind::FunctionPrototype(prototype) => Some(prototype),
                _ => None,
            }
        });
        let Some(prototype) = prototype else {
            return Err(self.reject(
                Rule::TypeInformation,
                format!("the BTF of the global function {title} is no function's"),
            ));
        };
        let count = prototype.params().len();
        if count > 5 {
            return Err(self.reject(
                Rule::GlobalFunction,
                format!("the global function {title} takes {count} arguments, and at most 5 fit"),
            ));
        }
        let result = btf.skip_modifiers(prototype.return_type);
        if !result.is_ok_and(|result| is_scalar(result.tag())) {
            return Err(self
                .reject(
                    Rule::GlobalFunction,
                    format!("the global function {title} does not return a number"),
                )
                .help(
                    "let it return `int` or another number, or make it `static`: then the \
                     verifier follows it from each call",
                ));
        }
        let mut arguments = Vec::with_capacity(count);
        for (index, parameter) in prototype.params().enumerate() {
            let argument = self
                .read_argument(btf, type_id, index, parameter.type_id)
                .map_err(|problem| {
                    let place = match parameter.name() {
                        "" => format!("argument {}", index + 1),
                        name => format!("`{name}`"),
                    };
                    self.reject(
                        Rule::GlobalFunction,
                        format!("{place} of the global function {title} {problem}"),
                    )
                })?;
            arguments.push(argument);
        }
        Ok(arguments)
    }

    /// What one parameter takes, or what is wrong with it.
    fn read_argument(
        &self,
        btf: &Btf,
        function: TypeId,
        index: usize,
        type_id: TypeId,
    ) -> std::result::Result<Argument, String> {
        let tags = self.read_tags(btf, function, index)?;
        let found = btf
            .skip_modifiers(type_id)
            .map_err(|error| format!("has no type: {error}"))?;
        let Kind::Pointer { target } = found.kind() else {
            if tags != Tags::NONE {
                return Err("is tagged as a pointer, and is none".to_owned());
            }
            return if is_scalar(found.tag()) {
                Ok(Argument::Scalar)
            } else {
                Err("is neither a number nor a pointer".to_owned())
            };
        };
        let mixed = || Err("has tags that don't go together".to_owned());
        let program_type = self.effective_type();
        let kernel = self.target.kernel_btf.as_deref();
        if tags.context || is_context(btf, target, program_type, kernel) {
            if !tags.only(|tags| tags.context = false) {
                return mixed();
            }
            if tags.context {
                let attach_type = self.program.attach_type;
                is_valid_tagged_context(btf, target, program_type, attach_type, kernel)?;
            }
            return Ok(Argument::Context);
        }
        let pointee = btf
            .skip_modifiers(target)
            .map_err(|error| format!("points to no type: {error}"))?;
        if pointee.name() == "bpf_dynptr"
            && matches!(
                pointee.kind(),
                Kind::Struct(_) | Kind::Forward { union: false }
            )
        {
            return if tags == Tags::NONE {
                Ok(Argument::Dynptr)
            } else {
                mixed()
            };
        }
        if tags.trusted {
            if tags.nonnull {
                return mixed();
            }
            return Ok(Argument::Struct {
                of: self.kernel_type_like(pointee.name(), pointee.tag())?,
                nullable: tags.nullable,
                trusted: true,
            });
        }
        if tags.untrusted {
            if !tags.only(|tags| tags.untrusted = false) {
                return mixed();
            }
            if matches!(pointee.kind(), Kind::Void) || is_scalar(pointee.tag()) {
                return Ok(Argument::UntrustedMemory);
            }
            let of = self.kernel_type_like(pointee.name(), pointee.tag())?;
            if pointee.tag() != Some(KindTag::Struct) {
                return Err("is untrusted, and points to neither a structure nor a number".into());
            }
            return Ok(Argument::Struct {
                of,
                nullable: false,
                trusted: false,
            });
        }
        if tags.arena {
            return if tags.only(|tags| tags.arena = false) {
                Ok(Argument::Arena)
            } else {
                mixed()
            };
        }
        if tags.nullable {
            return mixed();
        }
        let size = btf
            .size_of(target)
            .ok()
            .and_then(|size| u32::try_from(size).ok());
        match size {
            Some(size) => Ok(Argument::Memory {
                size,
                nullable: !tags.nonnull,
            }),
            None => Err("points to something whose size is not known".to_owned()),
        }
    }

    fn read_tags(
        &self,
        btf: &Btf,
        function: TypeId,
        index: usize,
    ) -> std::result::Result<Tags, String> {
        let mut tags = Tags::NONE;
        if !self.since(6, 8) {
            return Ok(tags);
        }
        let index = u32::try_from(index).ok();
        for tag in btf.decl_tags(function, index) {
            let Some(tag) = tag.strip_prefix("arg:") else {
                continue;
            };
            let known = match tag {
                "ctx" => Some(&mut tags.context),
                "nonnull" => Some(&mut tags.nonnull),
                "trusted" if self.since(6, 9) => Some(&mut tags.trusted),
                "nullable" if self.since(6, 9) => Some(&mut tags.nullable),
                "arena" if self.since(6, 9) => Some(&mut tags.arena),
                "untrusted" if self.since(6, 17) => Some(&mut tags.untrusted),
                _ => None,
            };
            match known {
                Some(known) => *known = true,
                None => {
                    return Err(format!(
                        "has the tag `arg:{tag}`, which {} does not know",
                        self.kernel()
                    ));
                }
            }
        }
        Ok(tags)
    }

    /// The kernel's structure that is meant by one of the program.
    fn kernel_type_like(
        &self,
        name: &str,
        tag: Option<KindTag>,
    ) -> std::result::Result<BtfRef, String> {
        let name = essential_name(name);
        let kernel = self.target.kernel_btf.as_deref();
        let mut found = kernel.into_iter().flat_map(|kernel| {
            kernel
                .candidates(name)
                .filter(move |id| kernel.type_by_id(*id).is_ok_and(|found| found.tag() == tag))
        });
        match (found.next(), found.next()) {
            (Some(type_id), None) => Ok(BtfRef {
                btf: BtfSource::Kernel,
                type_id,
            }),
            (Some(_), Some(_)) => Err(format!("is a `{name}`, of which the kernel has several")),
            (None, _) => Err(format!("is a `{name}`, which the kernel does not have")),
        }
    }
}

/// Whether values of a kind are numbers.
pub(super) fn is_scalar(tag: Option<KindTag>) -> bool {
    matches!(tag, Some(KindTag::Int | KindTag::Enum | KindTag::Enum64))
}
