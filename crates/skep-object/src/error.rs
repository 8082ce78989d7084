//! What can be wrong with an object, or stand between it and a target: each error is data with
//! its place, and prints as one sentence that names the thing.

use std::{fmt, io, path::PathBuf};

use skep_isa::InsnIndex;

/// The result of parsing and linking.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A place in an object file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The section's name, or what stands for it (`section header 3`, `ELF header`).
    pub section: String,
    /// Bytes from the section's start.
    pub offset: u64,
}

impl Place {
    pub(crate) fn new(section: impl Into<String>, offset: u64) -> Self {
        Self {
            section: section.into(),
            offset,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:#x}", self.section, self.offset)
    }
}

/// An instruction of a program or function, counted from its start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CodePlace {
    /// The program's or function's name.
    pub function: String,
    /// The instruction.
    pub insn: InsnIndex,
}

impl fmt::Display for CodePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, instruction {}", self.function, self.insn)
    }
}

/// Where one of several objects defines or declares a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SymbolPlace {
    /// The object's name.
    pub file: String,
    /// Where its definition is; `None` for a mere declaration.
    pub place: Option<Place>,
    /// The line of source (`dir/prog.bpf.c:12`), if it is a function and the object says it.
    pub source: Option<String>,
}

impl fmt::Display for SymbolPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        match (&self.source, &self.place) {
            (Some(source), _) => write!(f, " ({source})"),
            (None, Some(place)) => write!(f, " ({place})"),
            (None, None) => Ok(()),
        }
    }
}

/// Why an object can't be read, or can't be made ready for a target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are no BPF object.
    #[error("not a BPF object: {reason}")]
    NotBpf {
        /// What they are instead.
        reason: String,
    },
    /// The file breaks a rule of its format.
    #[error("malformed object at {place}: {problem}")]
    Malformed {
        /// Where.
        place: Place,
        /// What was found and what was expected.
        problem: String,
    },
    /// The object goes over a limit that keeps reading it cheap.
    #[error("object too large: {count} {what}, the limit is {limit}")]
    Budget {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        count: u64,
        /// How much there may be.
        limit: u64,
    },
    /// The BTF of the object is malformed.
    #[error("malformed BTF: {0}")]
    Btf(#[from] skep_btf::Error),
    /// A program stands in a section whose name says no program type.
    #[error(
        "unknown section `{section}`{}{}; known names start with {known}",
        program.as_deref().map(|name| format!(" (program `{name}`)")).unwrap_or_default(),
        suggestion.as_deref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
    )]
    UnknownSection {
        /// The section's name.
        section: String,
        /// The first program in it; `None` where only a name was parsed.
        program: Option<String>,
        /// The known name that is nearest.
        suggestion: Option<String>,
        /// The first words of all known names.
        known: String,
    },
    /// Something in the object can't be understood without BTF, and there is none.
    #[error("{what} needs BTF, and the object has none: compile with -g")]
    NeedsBtf {
        /// What needs it.
        what: String,
    },
    /// The definition of a map is wrong.
    #[error("map `{map}`: {problem}")]
    MapDefinition {
        /// The map.
        map: String,
        /// What is wrong with it.
        problem: String,
    },
    /// What an object says of how an XDP program runs beside others is wrong.
    #[error("`XDP_RUN_CONFIG({program})` in section .xdp_run_config: {problem}")]
    RunConfig {
        /// The program.
        program: String,
        /// What is wrong.
        problem: String,
    },
    /// A map's definition has a member that this version does not know.
    #[error(
        "map `{map}`: unknown attribute `{attribute}`; known are type, key, value, key_size, \
         value_size, max_entries, map_flags, map_extra, numa_node, pinning and values"
    )]
    MapAttribute {
        /// The map.
        map: String,
        /// The member.
        attribute: String,
    },
    /// A struct of functions for the kernel does not fit the target's.
    #[error("struct_ops map `{map}` ({section}): {problem}")]
    StructOps {
        /// The map.
        map: String,
        /// The section that defines it.
        section: String,
        /// What of it does not fit, and why.
        problem: String,
    },
    /// An instruction or a datum refers to something that it can't refer to.
    #[error("{place} refers to `{symbol}`: {problem}")]
    Reference {
        /// Where.
        place: Place,
        /// The symbol's name.
        symbol: String,
        /// Why it can't.
        problem: String,
    },
    /// The object uses something that this version does not load.
    #[error("{what} is not supported yet")]
    Unsupported {
        /// What.
        what: String,
    },
    /// The options name something that the object does not have.
    #[error("the object has no {kind} `{name}`{}", known_names(known))]
    Unknown {
        /// `program`, `map` or `variable`.
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A variable was set to a value of another size.
    #[error("variable `{name}` has {expected} bytes, the value given has {given}")]
    VariableSize {
        /// The variable.
        name: String,
        /// Its size by BTF or ELF.
        expected: u32,
        /// The size of the value.
        given: usize,
    },
    /// The object is for machines of the other byte order.
    #[error(
        "the object is {object}-endian, the target {target}-endian: compile with -target {triple}"
    )]
    Endian {
        /// The object's.
        object: &'static str,
        /// The target's.
        target: &'static str,
        /// The compiler's target that fits.
        triple: &'static str,
    },
    /// Something can't be resolved because the target has no BTF.
    #[error("{what} needs the target's kernel BTF, and it has none (CONFIG_DEBUG_INFO_BTF)")]
    NoTargetBtf {
        /// What needs it.
        what: String,
    },
    /// The target does not have what an extern names, and it is not weak.
    #[error("extern `{name}` not provided: {problem}{}", used_at.as_ref().map(|at| format!(" (used in {at})")).unwrap_or_default())]
    Extern {
        /// The extern.
        name: String,
        /// Where it was looked for.
        problem: String,
        /// The first use, where there is one.
        used_at: Option<CodePlace>,
    },
    /// What a program is to be attached to is not in the target's BTF.
    #[error("program `{program}` (`{section}`): {problem}")]
    AttachTarget {
        /// The program.
        program: String,
        /// Its section.
        section: String,
        /// What was looked for.
        problem: String,
    },
    /// A CO-RE relocation breaks a rule of its format, or does not fit its instruction.
    #[error("{place}: CO-RE relocation {relocation}: {problem}")]
    Core {
        /// The instruction.
        place: CodePlace,
        /// What is relocated, such as `byte_offset of struct task_struct.pid (0:5)`.
        relocation: String,
        /// What is wrong.
        problem: String,
    },
    /// The types in the target that a CO-RE relocation may mean do not agree.
    #[error(
        "{place}: CO-RE relocation {relocation} is ambiguous: {first} and {second} give \
         different results"
    )]
    CoreAmbiguous {
        /// The instruction.
        place: CodePlace,
        /// What is relocated.
        relocation: String,
        /// One candidate and what it gives.
        first: String,
        /// Another.
        second: String,
    },
    /// A linker of objects was given none.
    #[error("there is no object to link")]
    NothingToLink,
    /// An object of which the file's name is known is at fault.
    #[error("{file}: {error}")]
    InFile {
        /// Its name.
        file: String,
        /// What is wrong with it.
        error: Box<Error>,
    },
    /// Two objects can't become one.
    #[error("{first} and {second} can't be linked: {problem}")]
    Inputs {
        /// The one.
        first: String,
        /// The other.
        second: String,
        /// What keeps them apart.
        problem: String,
    },
    /// Two objects to be linked define one name, and neither definition is weak.
    #[error(
        "`{symbol}` is defined in {first} and in {second}: rename one, or make it `static`, or \
         `__weak` if the other is to win"
    )]
    DefinedTwice {
        /// The name.
        symbol: String,
        /// The one definition.
        first: Box<SymbolPlace>,
        /// The other.
        second: Box<SymbolPlace>,
    },
    /// Two objects to be linked mean different things by one name.
    #[error(
        "`{symbol}` is not the same in {first} and in {second}: {problem}; let both include one \
         header that declares it"
    )]
    Declarations {
        /// The name.
        symbol: String,
        /// The definition, or the first declaration where there is none.
        first: Box<SymbolPlace>,
        /// What does not fit it.
        second: Box<SymbolPlace>,
        /// How they differ.
        problem: String,
    },
    /// A program with its subprograms is longer than a kernel takes, or a jump in it too far.
    #[error("{place}: {problem}")]
    Code {
        /// The instruction.
        place: CodePlace,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// The error, with the name of the file that it is about, unless it says one already.
    #[must_use]
    pub fn in_file(self, file: &str) -> Self {
        match self {
            Self::Io { .. } | Self::InFile { .. } => self,
            error => Self::InFile {
                file: file.to_owned(),
                error: Box::new(error),
            },
        }
    }

    /// What is wrong, whatever file it is in.
    pub fn without_file(&self) -> &Self {
        match self {
            Self::InFile { error, .. } => error.without_file(),
            error => error,
        }
    }
}

fn known_names(known: &[String]) -> String {
    const SHOWN: usize = 8;
    match known {
        [] => String::new(),
        names => {
            let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
            let more = if names.len() > SHOWN { ", …" } else { "" };
            format!("; it has {}{more}", shown.join(", "))
        }
    }
}
