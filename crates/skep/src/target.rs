//! Linking for a host: what an object asks of it is read, and no more; what its version says it
//! lacks is probed for, and what the kernel proper lacks is looked for in modules, before a link
//! does without.

use std::{collections::BTreeSet, sync::Arc};

use skep_btf::{Btf, BtfData, KindTag};
use skep_host::{Cause, Errno, Feature, HostKind, Probe};
use skep_object::{
    AttachKind, CoreKind, Error as LinkError, ExternKind, Image, LinkOptions, Object, Target,
};

use crate::{Error, Host, Result};

/// Links an object for a host; `core_btf` takes the place of the host's types for CO-RE.
pub(crate) fn link(
    object: &Object,
    options: &LinkOptions,
    host: &Host,
    core_btf: Option<&Arc<Btf>>,
) -> Result<Image> {
    let needs = Needs::of(object, options, core_btf.is_some());
    let mut offer = Offer::new(host, &needs);
    if let Some(btf) = core_btf {
        offer.target = offer.target.with_core_btf(Arc::clone(btf));
    }
    let mut linked = object.link(options, &offer.target);
    if !linked.as_ref().is_ok_and(|image| image.complete) && offer.add_modules(host)? {
        linked = object.link(options, &offer.target);
    }
    // Vendors bring features to kernels whose version says nothing of it.
    let used = linked.as_ref().map_or(&[][..], |image| &image.downgrades);
    let mut features = offer.target.features;
    for downgrade in used {
        if host.boundary().probe(&Feature::Loader(downgrade.feature)) == Probe::Yes {
            features = features.with(downgrade.feature);
        }
    }
    if features != offer.target.features {
        offer.target.features = features;
        linked = object.link(options, &offer.target);
    }
    linked.map_err(|error| offer.explain(object, error))
}

/// All of a host that counts for verdicts on an image's programs.
#[cfg(feature = "verifier")]
pub(crate) fn of(host: &Host, image: &Image) -> Result<Target> {
    let needs = Needs {
        types: true,
        ..Needs::default()
    };
    let mut offer = Offer::new(host, &needs);
    if let Some(error) = offer.types {
        return Err(error);
    }
    let by_module = |program: &skep_object::ImageProgram| {
        let attach = program.attach_btf.as_ref();
        !program.module_references.is_empty()
            || attach.is_some_and(|attach| attach.module.is_some())
    };
    if image.programs.iter().any(by_module) {
        offer.add_modules(host)?;
    }
    Ok(offer.target)
}

/// What of a host an object asks for.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// The kernel's types.
    pub(crate) types: bool,
    /// Options that it was built with.
    config: BTreeSet<String>,
    /// Addresses.
    symbols: BTreeSet<String>,
    /// Whether system calls have wrappers, which names tell.
    wrappers: bool,
}

impl Needs {
    pub(crate) fn of(object: &Object, options: &LinkOptions, has_core_btf: bool) -> Self {
        let mut needs = Self {
            types: object.programs().iter().any(by_btf),
            ..Self::default()
        };
        let mut relocations = object
            .functions()
            .iter()
            .flat_map(|function| &function.core_relocations);
        needs.types |=
            !has_core_btf && relocations.any(|asked| asked.kind != CoreKind::TypeIdLocal);
        for external in object.externs() {
            let name = external.name.clone();
            match external.kind {
                ExternKind::Kconfig if options.config_of(&name).is_some() => {}
                ExternKind::Kconfig if name == "LINUX_HAS_SYSCALL_WRAPPER" => {
                    (needs.types, needs.wrappers) = (true, true);
                }
                ExternKind::Kconfig if name.starts_with("CONFIG_") => {
                    needs.config.insert(name);
                }
                ExternKind::KernelVariable { typed: false } => {
                    needs.symbols.insert(name);
                }
                ExternKind::Kconfig => {}
                _ => needs.types = true,
            }
        }
        needs
    }
}

/// Loading or attaching it names a type of the kernel.
fn by_btf(program: &skep_object::Program) -> bool {
    matches!(
        program.section.kind(),
        AttachKind::TracepointBtf
            | AttachKind::Fentry
            | AttachKind::Fexit
            | AttachKind::FmodRet
            | AttachKind::Fsession
            | AttachKind::Lsm
            | AttachKind::LsmCgroup
            | AttachKind::Iterator
            | AttachKind::StructOps
    )
}

/// What a host offers to an object, and what it refused to show. That is an error only if the
/// object can't do without, which the link finds out.
struct Offer {
    kind: HostKind,
    target: Target,
    types: Option<Error>,
    config: Option<Error>,
    symbols: Option<Error>,
}

impl Offer {
    fn new(host: &Host, needs: &Needs) -> Self {
        let mut offer = Self {
            kind: host.info().kind,
            target: Target::new(host.info().version),
            types: None,
            config: None,
            symbols: None,
        };
        if offer.kind == HostKind::Vm {
            offer.target.name = "vm";
        }
        if needs.types {
            match host.btf() {
                Ok(btf) => offer.target = offer.target.with_kernel_btf(btf),
                Err(error) => offer.types = Some(error),
            }
        }
        for option in &needs.config {
            match host.boundary().config(option) {
                Ok(Some(value)) => {
                    offer.target.config.insert(option.clone(), value);
                }
                Ok(None) => {}
                Err(error) => {
                    offer.config = Some(error.into());
                    break;
                }
            }
        }
        let mut symbols: Vec<&str> = needs.symbols.iter().map(String::as_str).collect();
        let typed = |name: &&str| {
            let types = offer.target.kernel_btf.as_ref();
            types.is_some_and(|types| types.find(name, KindTag::Function).is_some())
        };
        if needs.wrappers && !Target::SYSCALL_WRAPPERS.iter().any(typed) {
            symbols.extend(Target::SYSCALL_WRAPPERS);
        }
        if !symbols.is_empty() {
            match host.boundary().symbol_addresses(&symbols) {
                Ok(found) => offer.target.symbols = found,
                Err(error) => offer.symbols = Some(error.into()),
            }
        }
        offer
    }

    /// Adds the types of the host's modules; answers whether there are any.
    fn add_modules(&mut self, host: &Host) -> Result<bool> {
        let Some(kernel) = self.target.kernel_btf.clone() else {
            return Ok(false);
        };
        for name in host.boundary().btf_modules()? {
            let bytes = BtfData::from(host.boundary().btf(Some(&name))?);
            let split = Btf::parse_trusted(bytes, Some(Arc::clone(&kernel)))?;
            let btf = Arc::new(split);
            self.target
                .modules
                .push(skep_object::ModuleBtf { name, btf });
        }
        Ok(!self.target.modules.is_empty())
    }

    /// A link's error, or what lies behind it.
    fn explain(self, object: &Object, error: LinkError) -> Error {
        let behind = match error.without_file() {
            LinkError::NoTargetBtf { .. } => self.types,
            LinkError::Extern { name, .. } => {
                let mut externs = object.externs().iter();
                match externs
                    .find(|external| external.name == *name)
                    .map(|found| found.kind)
                {
                    Some(ExternKind::Kconfig) => self.config,
                    Some(ExternKind::KernelVariable { typed: false }) => self.symbols,
                    _ => self.types,
                }
            }
            LinkError::AttachTarget { program, .. } if self.kind == HostKind::Vm => {
                not_in_user_space(object, program)
            }
            _ => None,
        };
        behind.unwrap_or_else(|| error.into())
    }
}

/// What to say of a program that is for a hook of kernels, on a host that has only those of user
/// space.
fn not_in_user_space(object: &Object, program: &str) -> Option<Error> {
    let mut programs = object.programs().iter();
    let section = &programs.find(|known| known.name == program)?.section;
    let kind = match section.kind() {
        AttachKind::TracepointBtf => "tracepoint",
        AttachKind::Lsm | AttachKind::LsmCgroup => "LSM hook",
        _ => "kernel function",
    };
    let what = format!("{kind} `{}`", section.target()?);
    Some(Error::Host(skep_host::Error::Attach {
        program: program.to_owned(),
        point: section.to_string(),
        errno: Errno::ENOENT,
        cause: Some(Box::new(Cause::NotInUserSpace(what))),
    }))
}
