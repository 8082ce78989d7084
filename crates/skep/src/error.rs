//! What can go wrong between a file and its events; each error names the thing, the cause and
//! the remedy.

use std::path::PathBuf;

use skep_host::Cause;

use crate::{Map, RefusedForm, Rejection};

/// The result of Skep's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object is malformed, or can't be made ready for the host.
    #[error(transparent)]
    Object(#[from] skep_object::Error),
    /// The host refused.
    #[error(transparent)]
    Host(#[from] skep_host::Error),
    /// The host's or object's BTF is malformed.
    #[error(transparent)]
    Btf(#[from] skep_btf::Error),
    /// The verifier refused a program.
    #[error(transparent)]
    Rejected(#[from] Box<Rejection>),
    /// A program can't be recorded, or a file is no recording.
    #[error(transparent)]
    Recording(#[from] skep_record::Error),
    /// A recording can't be written.
    #[error("cannot write the recording: {0}")]
    Unwritten(std::io::Error),
    /// There is no program, map or variable of that name.
    #[error("there is no {kind} `{name}`{}", among(.known))]
    Unknown {
        /// What kind of thing.
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A map can't be used that way.
    #[error("map `{map}`: {reason}")]
    Map {
        /// The map's name.
        map: String,
        /// Why not.
        reason: String,
    },
    /// The host refused an entry among many; those before it are done.
    #[error("entry {index} of the batch: {error}")]
    Entry {
        /// Which one, from 0.
        index: usize,
        /// Why.
        error: skep_host::Error,
    },
    /// A global variable can't take that value.
    #[error("variable `{variable}`: {reason}")]
    Variable {
        /// The variable's name.
        variable: String,
        /// Why not.
        reason: String,
    },
    /// A pin is not what it should be.
    #[error("{}: {reason}", .path.display())]
    Pin {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A user-space binary or its symbol could not be found.
    #[error("{binary}: {reason}")]
    Binary {
        /// Which binary.
        binary: String,
        /// Why not.
        reason: String,
    },
    /// A program can't be attached by what is known.
    #[error("program `{program}` ({section}): {reason}")]
    Attach {
        /// The program's name.
        program: String,
        /// Its section's name.
        section: String,
        /// What is missing, and how to give it.
        reason: String,
    },
    /// A program has several forms, and the host takes none of them.
    #[error("none of the {} forms of `{program}` can be loaded here:{}", .refused.len(), each(.refused))]
    NoForm {
        /// The best form's name.
        program: String,
        /// Each form with what is in its way, the best first.
        refused: Vec<RefusedForm>,
        /// The whole error of the last one.
        last: Box<Error>,
    },
    /// An object has something that its light form (`skep gen light`) can't have.
    #[error("{what} can't be in light form: {reason}")]
    NotLight {
        /// What of the object.
        what: String,
        /// Why not.
        reason: String,
    },
    /// No host can run programs here.
    #[error("no host can run BPF here: {reason}")]
    NoHost {
        /// Why not.
        reason: String,
        /// What to do.
        fix: String,
    },
}

impl Error {
    pub(crate) fn map(map: &Map, reason: &str) -> Self {
        Self::Map {
            map: map.name().to_owned(),
            reason: reason.to_owned(),
        }
    }

    pub(crate) fn entry(index: usize, error: skep_host::Error) -> Self {
        Self::Entry { index, error }
    }

    pub(crate) fn binary(binary: &str, reason: impl Into<String>) -> Self {
        Self::Binary {
            binary: binary.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn unknown<'n>(
        kind: &'static str,
        name: &str,
        known: impl Iterator<Item = &'n str>,
    ) -> Self {
        let known = known.map(str::to_owned).collect();
        Self::Unknown {
            kind,
            name: name.to_owned(),
            known,
        }
    }

    /// The likely cause of a host's refusal, and with it the remedy.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Host(error) | Self::Entry { error, .. } => error.cause(),
            Self::Rejected(rejection) => rejection.cause.as_deref(),
            _ => None,
        }
    }

    /// What to do about it, where that is known.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::NoHost { fix, .. } => Some(fix.clone()),
            Self::Rejected(rejection) if rejection.cause.is_none() => rejection.suggestion.clone(),
            _ => self.cause().map(Cause::fix),
        }
    }

    /// The verifier's or BTF checker's whole log.
    pub fn log(&self) -> Option<&str> {
        match self {
            Self::Host(error) => error.log(),
            Self::Rejected(rejection) => Some(&rejection.log),
            Self::NoForm { last, .. } => last.log(),
            _ => None,
        }
    }
}

/// A line for each form, and one for its remedy.
fn each(forms: &[RefusedForm]) -> String {
    let lines = forms.iter().map(|form| format!("\n  {form}"));
    lines.collect()
}

fn among(known: &[String]) -> String {
    const SHOWN: usize = 12;
    if known.is_empty() {
        return String::new();
    }
    let names: Vec<String> = known
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if known.len() > SHOWN { ", …" } else { "" };
    format!("; there is {}{more}", names.join(", "))
}
