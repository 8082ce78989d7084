//! Words for a rejection: the line of source, how the program came to it, what to do.
//!
//! [`Diagnosis::of`] makes data of a [`Rejection`]; [`render`](Diagnosis::render) shows them beside
//! the source, as compilers do.

mod explain;
mod history;
mod log;
mod names;
mod place;
mod remedy;
mod render;
mod states;
mod trace;
mod words;

pub use log::{KernelLog, LogLine};
pub use place::{Place, Source};
pub use states::states;
pub(crate) use trace::Trace;

use skep_isa::{InsnIndex, Reg};
use skep_object::Target;

use crate::{Options, Program, Rejection, Rule};
use trace::Path;

/// A rejection in words, with the places in the source that explain it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The program's name.
    pub program: String,
    /// The rule that it breaks.
    pub rule: Rule,
    /// What is wrong, in one line.
    pub message: String,
    /// Where; `None` for what concerns the program as a whole.
    pub place: Option<Place>,
    /// What to say at that place; empty if the message says it all.
    pub label: String,
    /// The word of that line which it is about, where one can be told.
    pub focus: Option<String>,
    /// The register that is at fault, where there is one.
    pub register: Option<Reg>,
    /// Other places that explain it, in the order of the path.
    pub labels: Vec<Label>,
    /// What else is to be known, a sentence each.
    pub notes: Vec<String>,
    /// What to do about it, a sentence each.
    pub help: Vec<String>,
    /// The instructions of the path that led there, in order; empty if it is not known.
    pub path: Vec<InsnIndex>,
}

/// A place that explains something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Label {
    /// Where.
    pub place: Place,
    /// What happened there.
    pub text: String,
}

impl Diagnosis {
    /// Finds the words for the rejection that [`verify`](crate::verify) gave of a program. It is
    /// verified again, to see how it came to it.
    #[must_use]
    pub fn of(
        program: &Program<'_>,
        target: &Target,
        options: &Options,
        rejection: &Rejection,
    ) -> Self {
        let mut diagnosis = Self::without_path(program, rejection);
        let options = Options {
            log: false,
            count: false,
            ..options.clone()
        };
        if let Some(path) = Path::to(program, target, &options, rejection) {
            diagnosis.path = path
                .insns
                .iter()
                .map(|insn| InsnIndex(u32::try_from(*insn).unwrap_or(u32::MAX)))
                .collect();
            explain::explain(&mut diagnosis, &path);
        }
        if diagnosis.help.is_empty() {
            diagnosis
                .help
                .extend(remedy::of(diagnosis.rule).map(str::to_owned));
        }
        diagnosis
    }

    /// The words of the kernel's verifier about a program that it refused. `None` if its message is
    /// none of those that are known.
    #[must_use]
    pub fn of_log(program: &Program<'_>, log: &KernelLog) -> Option<Self> {
        let rejection = Rejection {
            rule: log.rule?,
            insn: log.insn,
            register: log.register,
            message: log.message.clone(),
            remedy: log.suggestion.clone(),
            path: log.path.clone(),
        };
        let mut diagnosis = Self::without_path(program, &rejection);
        diagnosis.label = log.reason.clone().unwrap_or_default();
        if diagnosis.help.is_empty() {
            diagnosis
                .help
                .extend(remedy::of(diagnosis.rule).map(str::to_owned));
        }
        Some(diagnosis)
    }

    /// Changes the names of files.
    pub fn rename_files(&mut self, rename: impl Fn(&str) -> Option<String>) {
        let labels = self.labels.iter_mut().map(|label| &mut label.place);
        for place in self.place.iter_mut().chain(labels) {
            if let Some(source) = &mut place.source
                && let Some(name) = rename(&source.file)
            {
                source.file = name;
            }
        }
    }

    /// The words of the rejection itself.
    fn without_path(program: &Program<'_>, rejection: &Rejection) -> Self {
        Self {
            program: program.name.clone().into_owned(),
            rule: rejection.rule,
            message: rejection.message.clone(),
            place: rejection.insn.map(|insn| Place::of(program, insn)),
            label: String::new(),
            focus: None,
            register: rejection.register,
            labels: Vec::new(),
            notes: Vec::new(),
            help: rejection.remedy.iter().cloned().collect(),
            path: rejection.path.clone(),
        }
    }
}
