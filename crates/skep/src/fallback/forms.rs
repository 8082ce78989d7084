//! Programs in several forms, of which one is loaded: which belong together, and which of them a host
//! takes.

use std::collections::BTreeSet;

use skep_btf::{Btf, KindTag};
use skep_object::{AttachKind, LinkOptions, Object as Spec};

use super::{Fallback, RefusedForm};
use crate::{Error, Host, LoadOptions, Program, Result, load::Given, target};

/// The tag of a program that is loaded in place of another one.
const INSTEAD_OF: &str = "skep:instead_of=";

/// Programs in several forms, each with its forms, the best first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forms(Vec<Vec<String>>);

impl Forms {
    /// Those that the object's own tags tell.
    ///
    /// # Errors
    /// A tag names no program, or itself, or what another one stands in for already.
    pub(crate) fn of(&self, spec: &Spec) -> Result<Vec<Vec<String>>> {
        let mut groups = self.0.clone();
        let Some(btf) = spec.btf() else {
            return Ok(groups);
        };
        let names = || spec.programs().iter().map(|program| program.name.as_str());
        let tagged: Vec<(&str, &str)> = names()
            .filter_map(|name| Some((name, better(btf, name)?)))
            .collect();
        let wrong = |name: &str, reason: String| {
            let program = spec.programs().iter().find(|known| known.name == name);
            Error::Attach {
                program: name.to_owned(),
                section: program.map_or_else(String::new, |found| found.section.to_string()),
                reason,
            }
        };
        let mut taken = BTreeSet::new();
        for (name, better) in &tagged {
            if !names().any(|known| known == *better) {
                return Err(Error::unknown("program", better, names()));
            }
            if !taken.insert(better) {
                let reason = format!("another program stands in for `{better}` already");
                return Err(wrong(name, reason));
            }
        }
        let mut left = tagged.len();
        for (_, first) in &tagged {
            // What stands in for nothing begins a group.
            if tagged.iter().any(|(name, _)| name == first) {
                continue;
            }
            let mut group = vec![(*first).to_owned()];
            let next = |group: &[String]| {
                let last = group.last()?;
                let found = tagged.iter().find(|(_, better)| better == last)?;
                Some(found.0.to_owned())
            };
            while let Some(name) = next(&group) {
                group.push(name);
                left -= 1;
            }
            groups.push(group);
        }
        match tagged.first() {
            Some((name, _)) if left > 0 => Err(wrong(
                name,
                "it stands in for itself, by way of what stands in for it".into(),
            )),
            _ => {
                in_one_group(&groups)?;
                Ok(groups)
            }
        }
    }

    /// Adds one that the user tells.
    pub(crate) fn add(&mut self, names: &[&str]) -> Result<()> {
        let group = names.iter().map(|&name| name.to_owned()).collect();
        self.0.push(group);
        in_one_group(&self.0)
    }
}

/// What a program is tagged to stand in for.
fn better<'b>(btf: &'b Btf, name: &str) -> Option<&'b str> {
    let function = btf.find(name, KindTag::Function)?;
    let mut tags = btf.decl_tags(function, None);
    tags.find_map(|tag| tag.strip_prefix(INSTEAD_OF))
}

fn in_one_group(groups: &[Vec<String>]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match groups.iter().flatten().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => Err(Error::Attach {
            program: name.clone(),
            section: "fall-back".into(),
            reason: "it is told twice to be one of several forms".into(),
        }),
    }
}

/// Chooses of each group the best form that the host takes, and leaves out the others.
pub(crate) fn choose(
    groups: &[Vec<String>],
    spec: &Spec,
    options: &mut LinkOptions,
    attempt: &Attempt<'_>,
) -> Result<Vec<Fallback>> {
    let mut fallbacks = Vec::new();
    let section = |name: &str| {
        let mut programs = spec.programs().iter();
        let found = programs.find(|program| program.name == name);
        let section = found.map_or_else(String::new, |program| program.section.to_string());
        section.trim_start_matches('?').to_owned()
    };
    for group in groups {
        let Some(first) = group.first() else { continue };
        let by_section = spec
            .programs()
            .iter()
            .find(|program| program.name == *first)
            .is_some_and(|program| program.section.autoload());
        // Who chose among the forms, or wants none of them, has it so.
        let asked = options.asks_for(first);
        if options.chooses_programs() && asked != Some(true) {
            continue;
        }
        let mut forms: Vec<&String> = group.iter().collect();
        if asked == Some(false) || (asked.is_none() && !by_section) {
            forms.remove(0);
        }
        forms.retain(|name| {
            *name == first || options.asks_for(name) != Some(false) || options.chooses_programs()
        });
        let Some((last, better)) = forms.split_last() else {
            continue;
        };
        let mut refused = Vec::new();
        let mut used = *last;
        for name in better {
            match attempt.of(spec, options, name) {
                Ok(()) => {
                    used = *name;
                    break;
                }
                Err(why) => refused.push(why.of(name, section(name))),
            }
        }
        // Where the last one can't be loaded either, its own error would hide those of the others.
        if !refused.is_empty()
            && used == *last
            && let Err(Why::Load(error)) = attempt.of(spec, options, last)
        {
            let error = Box::new(error);
            refused.push(RefusedForm::by(&error, last, section(last)));
            return Err(Error::NoForm {
                program: first.clone(),
                refused,
                last: error,
            });
        }
        let because: Vec<String> = refused.into_iter().map(|form| form.reason).collect();
        options.choose_among(group, used);
        if used != first && !because.is_empty() {
            fallbacks.push(Fallback::Program {
                wanted: (first.clone(), section(first)),
                used: (used.clone(), section(used)),
                because,
            });
        }
    }
    Ok(fallbacks)
}

/// What a form is tried with.
pub(crate) struct Attempt<'a> {
    pub(crate) host: &'a Host,
    pub(crate) load: &'a LoadOptions,
    pub(crate) given: &'a Given,
    pub(crate) core_btf: Option<&'a std::sync::Arc<Btf>>,
}

/// Why a form can't be used.
enum Why {
    /// It can't be loaded.
    Load(Error),
    /// It can, and there is nothing that it could be attached to.
    Place(String),
}

impl Why {
    fn of(self, program: &str, section: String) -> RefusedForm {
        match self {
            Self::Load(error) => RefusedForm::by(&error, program, section),
            Self::Place(reason) => RefusedForm {
                program: program.to_owned(),
                section,
                reason,
                fix: None,
            },
        }
    }
}

impl RefusedForm {
    fn by(error: &Error, program: &str, section: String) -> Self {
        Self {
            program: program.to_owned(),
            section,
            reason: in_short(error),
            fix: error.fix(),
        }
    }
}

impl Attempt<'_> {
    /// Loads it alone, looks whether its place is there, and gives it up again.
    fn of(&self, spec: &Spec, options: &LinkOptions, name: &str) -> Result<(), Why> {
        let mut options = options.clone();
        options.only_programs([name]);
        for map in spec.maps() {
            options.map(&map.name).unpinned();
        }
        let load = LoadOptions {
            explain: false,
            ..self.load.clone()
        };
        let tried = target::link(spec, &options, self.host, self.core_btf)
            .and_then(|image| crate::load::load(spec, image, self.host, &load, self.given));
        let loaded = tried.map_err(Why::Load)?;
        let program = loaded.program(name).map_err(Why::Load)?;
        place(program).map_or(Ok(()), |reason| Err(Why::Place(reason)))
    }
}

/// An error in a line: its cause, where one is known.
fn in_short(error: &Error) -> String {
    if let Some(cause) = error.cause() {
        return cause.to_string();
    }
    let text = match error {
        Error::Object(error) => error.without_file().to_string(),
        error => error.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}

/// What is in the way of attaching a program that loads, as far as a look can tell: nothing is
/// attached for it.
fn place(program: &Program) -> Option<String> {
    use skep_host::{Feature, Hook, Probe};
    let host = program.host();
    let hook = match program.section().kind() {
        AttachKind::Kprobe
        | AttachKind::Kretprobe
        | AttachKind::Ksyscall
        | AttachKind::Kretsyscall => Hook::Kprobe,
        AttachKind::KprobeMulti | AttachKind::KretprobeMulti | AttachKind::KprobeSession => {
            Hook::KprobeMulti
        }
        AttachKind::Fentry | AttachKind::Fexit | AttachKind::Fsession | AttachKind::FmodRet => {
            Hook::Fentry
        }
        AttachKind::Lsm => Hook::Lsm,
        AttachKind::Tracepoint => Hook::Tracepoint,
        AttachKind::RawTracepoint => Hook::RawTracepoint,
        AttachKind::UprobeMulti | AttachKind::UretprobeMulti | AttachKind::UprobeSession => {
            Hook::UprobeMulti
        }
        AttachKind::Uprobe | AttachKind::Uretprobe => Hook::Uprobe,
        AttachKind::Tc => Hook::Tcx,
        _ => return None,
    };
    if let Probe::No { cause } = host.probe(&Feature::Hook(hook)) {
        return Some(cause.to_string());
    }
    let target = program.target()?;
    match hook {
        Hook::Kprobe => {
            let function = target.split('+').next()?;
            // System calls are named without what the kernel puts before them.
            let plain = matches!(
                program.section().kind(),
                AttachKind::Kprobe | AttachKind::Kretprobe
            );
            let known = host.symbol_addresses(&[function]).ok()?;
            (plain && known.is_empty()).then(|| format!("there is no function `{function}` here"))
        }
        Hook::Tracepoint => {
            let known = host.tracepoints().ok()?;
            (!known.iter().any(|name| name == target))
                .then(|| format!("there is no tracepoint `{target}` here"))
        }
        _ => None,
    }
}
