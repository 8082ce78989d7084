//! "Will it load there?": an object held against kernels that are not here, of which a version is
//! known, and perhaps types and configuration.
//!
//! An answer is only given where it is certain. What would take the kernel's types or configuration
//! to tell, and they are not at hand, is [`Answer::Unknown`], with what is missing.

mod link;

use std::{collections::BTreeSet, fmt, sync::Arc};

use skep_abi::{AttachType, KernelVersion, ProgramType};
use skep_btf::Btf;
use skep_isa::InsnIndex;
use skep_object::{Downgrade, Image, ImageMap, ImageProgram, LinkOptions, Object, Target};

use crate::{Options, Program, Rejection, Rule, verify};

/// Whether an object loads on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Portability {
    /// The worst of the findings.
    pub answer: Answer,
    /// Why it does not load, or what is not known; the certain ones first.
    pub findings: Vec<Finding>,
    /// What is made less of, since the target lacks what the loader can do without.
    pub downgrades: Vec<Downgrade>,
}

/// Whether something loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It does.
    Loads,
    /// That can't be told by what is known of the target.
    Unknown,
    /// It does not.
    Refused,
}

/// Prints `loads`, `unknown` or `refused`.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Loads => "loads",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
        })
    }
}

/// Something that stands in the way, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// [`Answer::Refused`] if it is certain, else [`Answer::Unknown`].
    pub answer: Answer,
    /// The program or map, if it is about one.
    pub subject: Option<String>,
    /// What it is, in a line.
    pub reason: String,
    /// The verifier's rule, if it is one.
    pub rule: Option<Rule>,
    /// Where in the source.
    pub place: Option<FindingPlace>,
    /// The kernel may load it; what it refuses is to attach it as its section says.
    pub at_attach: bool,
}

/// A place in a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FindingPlace {
    /// The file, as the compiler was given it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// Prints it in a line: `` `count`: bpf_loop needs Linux 5.17 (fw.bpf.c:40)``.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = &self.subject {
            write!(f, "`{subject}`: ")?;
        }
        f.write_str(&self.what())
    }
}

impl Finding {
    /// The reason with its place, if there is one: `bpf_loop needs Linux 5.17 (fw.bpf.c:40)`.
    pub fn what(&self) -> String {
        match &self.place {
            None => self.reason.clone(),
            Some(place) => {
                let name = place.file.rsplit('/').next().unwrap_or(&place.file);
                format!("{} ({name}:{})", self.reason, place.line)
            }
        }
    }
}

/// Whether an object, with the choices of `link`, loads on a target: what its programs and maps
/// are, what they ask of the kernel's types and configuration, and the verifier's verdict.
///
/// Versions are those of the kernels that Linux released; distributions take features back to
/// older ones.
#[must_use]
pub fn portability(
    object: &Object,
    link: &LinkOptions,
    target: &Target,
    options: &Options,
) -> Portability {
    let mut report = Report {
        object,
        link,
        target,
        options,
        findings: Vec::new(),
        downgrades: Vec::new(),
        seen_maps: BTreeSet::new(),
    };
    for program in object.programs() {
        let asked = link.asks_for(&program.name);
        if asked.unwrap_or_else(|| program.section.autoload()) {
            report.program(program);
        }
    }
    let mut findings = report.findings;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.answer));
    Portability {
        answer: findings
            .first()
            .map_or(Answer::Loads, |finding| finding.answer),
        findings,
        downgrades: report.downgrades,
    }
}

/// What is found on the way.
struct Report<'a> {
    object: &'a Object,
    link: &'a LinkOptions,
    target: &'a Target,
    options: &'a Options,
    findings: Vec<Finding>,
    downgrades: Vec<Downgrade>,
    /// Maps that were looked at, for another program.
    seen_maps: BTreeSet<String>,
}

impl Report<'_> {
    fn program(&mut self, program: &skep_object::Program) {
        if !self.has_kind(program) {
            return;
        }
        let mut link = self.link.clone();
        link.only_programs([program.name.clone()]);
        match self.object.link(&link, self.target) {
            Ok(image) => {
                self.image(&image);
                if let Some((found, rejection)) = self.refusal(&image, &program.name) {
                    let types = self.target.kernel_btf.is_none() && asks_types(rejection.rule);
                    let mut finding = finding_of(found, &rejection);
                    if types {
                        finding.answer = Answer::Unknown;
                        finding.reason = format!("without the kernel's types: {}", finding.reason);
                    }
                    self.findings.push(finding);
                }
            }
            Err(error) => self.unlinked(program, &link, error.without_file()),
        }
    }

    /// Whether the target has programs of this kind at all.
    fn has_kind(&mut self, program: &skep_object::Program) -> bool {
        let version = self.target.version;
        let section = &program.section;
        let kind = section.program_type();
        if kind.since() > version {
            let reason = format!("program type {kind} needs Linux {}", kind.since());
            self.refuse(&program.name, Rule::TypeNotHere, reason);
            return false;
        }
        if section.since() > version {
            self.too_new(program);
        }
        let config = &self.target.config;
        let built = |option: &&&str| {
            let value = config.get(**option).map(String::as_str);
            matches!(value, Some("y" | "m"))
        };
        if kind == ProgramType::LircMode2 && config.is_empty() {
            // Others are in nearly every kernel.
            self.unknown(
                &program.name,
                format!("{kind} needs CONFIG_BPF_LIRC_MODE2, which few kernels are built with"),
            );
        }
        let mut options = kind.config_options().iter();
        if let Some(lacking) = options.find(|option| !config.is_empty() && !built(option)) {
            let reason = format!("the kernel is built without {lacking}, which {kind} needs");
            self.refuse(&program.name, Rule::TypeNotHere, reason);
            return false;
        }
        true
    }

    /// A program whose section's name is too new for the target. The kernel refuses it at the load
    /// only if it looks at what the name stands for; else it loads, to no use.
    fn too_new(&mut self, program: &skep_object::Program) {
        let section = &program.section;
        let name = section.name().trim_start_matches('?');
        // Old kernels attach these without a word of it, or in an older way.
        let otherwise = section.attach_type() == Some(AttachType::SkReuseportSelect);
        if otherwise || name.starts_with("tc/") {
            return;
        }
        let needs = format!("needs Linux {}", section.since());
        self.findings.push(Finding {
            answer: Answer::Refused,
            subject: Some(program.name.clone()),
            reason: format!("{name} {needs} to be attached"),
            rule: Some(Rule::TypeNotHere),
            place: None,
            at_attach: true,
        });
    }

    fn refuse(&mut self, subject: &str, rule: Rule, reason: String) {
        self.findings.push(Finding {
            answer: Answer::Refused,
            subject: Some(subject.to_owned()),
            reason,
            rule: Some(rule),
            place: None,
            at_attach: false,
        });
    }

    fn unknown(&mut self, subject: &str, reason: String) {
        self.findings.push(Finding {
            answer: Answer::Unknown,
            subject: Some(subject.to_owned()),
            reason,
            rule: None,
            place: None,
            at_attach: false,
        });
    }

    /// What of an image is not about one instruction: maps, and what was made less of.
    fn image(&mut self, image: &Image) {
        for downgrade in &image.downgrades {
            if !self.downgrades.contains(downgrade) {
                self.downgrades.push(*downgrade);
            }
        }
        for map in image.maps.iter().filter(|map| map.create) {
            if self.seen_maps.insert(map.name.clone()) {
                self.map(map);
            }
        }
    }

    fn map(&mut self, map: &ImageMap) {
        let version = self.target.version;
        let later = |since: &KernelVersion| *since > version;
        let since = map.map_type.since();
        if later(&since) {
            let reason = format!("map type {} needs Linux {since}", map.map_type);
            self.refuse(&map.name, Rule::TypeNotHere, reason);
        } else if let Some(since) = map.flags.since().filter(later) {
            let reason = format!("its flags {} need Linux {since}", map.flags);
            self.refuse(&map.name, Rule::TypeNotHere, reason);
        }
        if let Some(inner) = &map.inner {
            self.map(inner);
        }
    }

    /// Why the verifier refuses a program of an image, if it does.
    fn refusal<'i>(
        &self,
        image: &'i Image,
        name: &str,
    ) -> Option<(&'i ImageProgram, Box<Rejection>)> {
        let program = image.program(name)?;
        let btf = image.btf.clone().and_then(|bytes| Btf::parse(bytes).ok());
        let btf = btf.map(Arc::new);
        let subject = Program::from_image(image, program, btf.as_ref());
        let rejection = verify(&subject, self.target, self.options).rejection?;
        Some((program, rejection))
    }
}

/// Rules that are about what the kernel's types say: without them they prove nothing.
fn asks_types(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::TypeInformation
            | Rule::AttachTarget
            | Rule::StructAccess
            | Rule::UnknownKfunc
            | Rule::KfuncNotAllowed
            | Rule::CoreRelocation
            | Rule::UntrustedPointer
            | Rule::ContextAccess
            | Rule::ArgumentType
    )
}

fn finding_of(program: &ImageProgram, rejection: &Rejection) -> Finding {
    let place = rejection.insn.and_then(|insn| place_of(program, insn));
    Finding {
        answer: Answer::Refused,
        subject: Some(program.name.clone()),
        reason: rejection.message.clone(),
        rule: Some(rejection.rule),
        place,
        at_attach: false,
    }
}

fn place_of(program: &ImageProgram, insn: InsnIndex) -> Option<FindingPlace> {
    let line = program.source_at(insn)?;
    Some(FindingPlace {
        file: line.file.to_owned(),
        line: line.line,
    })
}
