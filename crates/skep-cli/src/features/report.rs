//! The questions that a selection comes down to, and their answers.

use std::{panic::resume_unwind, thread};

use clap::ValueEnum;
use skep::{
    Host,
    abi::{AttachType, Helper, KernelVersion, LinkType, MapType, ProgramType},
    features::{Feature, Hook, LoaderFeature, Probe},
    linux::{KERNEL_OPTIONS, MORE_KERNEL_OPTIONS},
};

/// What is asked for.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) kind: Option<Kind>,
    /// Only these features.
    pub(super) names: Vec<String>,
    /// Only calls from programs of this type.
    pub(super) program: Option<ProgramType>,
}

/// The kinds of features, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Programs,
    Maps,
    AttachTypes,
    Links,
    Hooks,
    Loader,
    Options,
    Helpers,
    Kfuncs,
}

impl Kind {
    /// As the command line and JSON spell it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Programs => "programs",
            Self::Maps => "maps",
            Self::AttachTypes => "attach-types",
            Self::Links => "links",
            Self::Hooks => "hooks",
            Self::Loader => "loader",
            Self::Options => "options",
            Self::Helpers => "helpers",
            Self::Kfuncs => "kfuncs",
        }
    }

    /// As titles spell it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Programs => "program types",
            Self::Maps => "map types",
            Self::AttachTypes => "attach types",
            Self::Links => "link types",
            Self::Hooks => "hooks",
            Self::Loader => "loader features",
            Self::Options => "kernel options",
            Self::Helpers => "helpers",
            Self::Kfuncs => "kernel functions",
        }
    }

    /// Whether the answers are by program type.
    fn is_called(self) -> bool {
        matches!(self, Self::Helpers | Self::Kfuncs)
    }

    /// Features of the kind that have one answer each, with their two spellings.
    fn features(self) -> Vec<([&'static str; 2], Feature)> {
        macro_rules! all {
            ($Type:ident, $feature:path) => {
                $Type::ALL
                    .iter()
                    .filter(|kind| !kind.name().ends_with("_UNSPEC"))
                    .map(|&kind| ([kind.short_name(), kind.name()], $feature(kind)))
                    .collect()
            };
        }
        match self {
            Self::Programs => all!(ProgramType, Feature::ProgramType),
            Self::Maps => all!(MapType, Feature::MapType),
            Self::AttachTypes => all!(AttachType, Feature::AttachType),
            Self::Links => all!(LinkType, Feature::LinkType),
            Self::Hooks => named(Hook::ALL, |hook| (hook.name(), Feature::Hook(hook))),
            Self::Loader => named(LoaderFeature::ALL, |feature| {
                (feature.name(), Feature::Loader(feature))
            }),
            Self::Options => [KERNEL_OPTIONS, MORE_KERNEL_OPTIONS]
                .iter()
                .flat_map(|options| {
                    named(options, |option| (option, Feature::KernelOption(option)))
                })
                .collect(),
            Self::Helpers | Self::Kfuncs => Vec::new(),
        }
    }
}

fn named<T: Copy>(
    all: &[T],
    of: impl Fn(T) -> (&'static str, Feature),
) -> Vec<([&'static str; 2], Feature)> {
    let each = all.iter().map(|&one| of(one));
    each.map(|(name, feature)| ([name, name], feature))
        .collect()
}

impl Selection {
    /// The kinds that are asked for.
    fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::value_variants().iter().copied().filter(|kind| {
            self.kind.is_none_or(|only| only == *kind)
                && (self.program.is_none() || kind.is_called() || self.kind.is_some())
        })
    }

    /// Whether there is a feature of this name.
    pub(super) fn knows(&self, name: &str, host: &Host) -> bool {
        self.kinds().any(|kind| match kind {
            Kind::Helpers => Helper::by_name(name).is_some(),
            Kind::Kfuncs => functions(host).iter().any(|known| known == name),
            kind => kind
                .features()
                .iter()
                .any(|(names, _)| names.contains(&name)),
        })
    }

    /// The names of all features that may be asked for.
    pub(super) fn all_names(&self, host: &Host) -> Vec<String> {
        let of_kind = |kind| match kind {
            Kind::Helpers => Helper::all().iter().map(|each| each.name.into()).collect(),
            Kind::Kfuncs => functions(host),
            kind => kind
                .features()
                .into_iter()
                .map(|([name, _], _)| name.to_owned())
                .collect::<Vec<String>>(),
        };
        self.kinds().flat_map(of_kind).collect()
    }

    /// Whether a feature with these spellings is asked for.
    fn wants(&self, names: &[&str]) -> bool {
        let mut wanted = self.names.iter();
        self.names.is_empty() || wanted.any(|name| names.contains(&name.as_str()))
    }
}

/// The kernel functions of the kernel's BTF; without BTF, none.
fn functions(host: &Host) -> Vec<String> {
    host.kernel_functions().unwrap_or_default()
}

/// All answers.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) sections: Vec<Section>,
}

/// The answers for one kind.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) rows: Rows,
}

#[derive(Debug)]
pub(super) enum Rows {
    /// One answer a feature.
    Single(Vec<Single>),
    /// One answer a program type.
    Calls(Vec<Call>),
}

#[derive(Debug)]
pub(super) struct Single {
    pub(super) name: String,
    pub(super) since: Option<KernelVersion>,
    pub(super) probe: Probe,
}

/// A function that programs may call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    /// A helper's number.
    pub(super) id: Option<u32>,
    pub(super) since: Option<KernelVersion>,
    pub(super) probes: Vec<(ProgramType, Probe)>,
}

impl Call {
    /// Whether programs of some type can call it.
    pub(super) fn is_callable(&self) -> bool {
        self.probes.iter().any(|(_, probe)| probe.is_yes())
    }
}

impl Report {
    /// Asks for all that is selected, each kind on a thread of its own: most of the time goes by
    /// waiting for the kernel to take trials off again.
    pub(super) fn of(host: &Host, selection: &Selection) -> Self {
        let answers = |kind| match kind {
            Kind::Helpers => Rows::Calls(helpers(host, selection)),
            Kind::Kfuncs => Rows::Calls(kernel_functions(host, selection)),
            kind => Rows::Single(singles(host, kind, selection)),
        };
        let sections = thread::scope(|scope| {
            let asked: Vec<_> = selection
                .kinds()
                .map(|kind| (kind, scope.spawn(move || answers(kind))))
                .collect();
            asked
                .into_iter()
                .map(|(kind, rows)| {
                    let rows = rows.join().unwrap_or_else(|panic| resume_unwind(panic));
                    Section { kind, rows }
                })
                .filter(|section| !section.is_empty() || selection.kind.is_some())
                .collect()
        });
        Self { sections }
    }
}

impl Section {
    fn is_empty(&self) -> bool {
        match &self.rows {
            Rows::Single(rows) => rows.is_empty(),
            Rows::Calls(calls) => calls.is_empty(),
        }
    }
}

fn singles(host: &Host, kind: Kind, selection: &Selection) -> Vec<Single> {
    let asked = kind.features().into_iter();
    asked
        .filter(|(names, _)| selection.wants(names))
        .map(|([name, _], feature)| Single {
            name: name.to_owned(),
            since: feature.since(),
            probe: host.probe(&feature),
        })
        .collect()
}

/// The program types that calls are tried from. An extension may call what the program that it
/// extends may call.
fn callers(selection: &Selection) -> Vec<ProgramType> {
    let all = ProgramType::ALL.iter().copied();
    all.filter(|kind| !matches!(kind, ProgramType::Unspec | ProgramType::Ext))
        .filter(|kind| selection.program.is_none_or(|only| only == *kind))
        .collect()
}

fn helpers(host: &Host, selection: &Selection) -> Vec<Call> {
    let callers = callers(selection);
    Helper::all()
        .iter()
        .filter(|helper| selection.wants(&[helper.name, helper.short_name()]))
        .map(|helper| Call {
            name: helper.name.to_owned(),
            id: Some(helper.id),
            since: Some(helper.since),
            probes: callers
                .iter()
                .map(|&program| (program, host.probe(&Feature::Helper(helper, program))))
                .collect(),
        })
        .collect()
}

fn kernel_functions(host: &Host, selection: &Selection) -> Vec<Call> {
    let callers = callers(selection);
    functions(host)
        .into_iter()
        .filter(|name| selection.wants(&[name]))
        .map(|name| Call {
            probes: callers
                .iter()
                .map(|&program| {
                    let feature = Feature::KernelFunction(name.clone(), program);
                    (program, host.probe(&feature))
                })
                .collect(),
            name,
            id: None,
            since: None,
        })
        .collect()
}
