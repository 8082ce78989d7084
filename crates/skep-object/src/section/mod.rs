//! The names of program sections: one table says for each what program it holds, how it is
//! attached and what may follow the name. `SEC("?fentry.s/do_unlinkat")` is read here.

mod handlers;
mod suggest;
mod table;

use std::{fmt, ops::Deref, sync::Arc};

use skep_abi::{AttachType, KernelVersion, ProgramProperties, ProgramType};

use crate::{Error, Result};
pub use handlers::{SectionHandler, SectionHandlers};
use suggest::{first_words, suggestion};
use table::{Row, TABLE, Target};

/// The way a program is attached, as its section name says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttachKind {
    /// By no rule: the user of the program says where.
    Manual,
    /// As the caller who gave the section's name a [`SectionHandler`] says.
    Custom,
    /// Entry of a kernel function, `func[+offset]`.
    Kprobe,
    /// Return of a kernel function.
    Kretprobe,
    /// Entries of all kernel functions that match a pattern. Since 5.18.
    KprobeMulti,
    /// Their returns. Since 5.18.
    KretprobeMulti,
    /// Entry and return with one program. Since 6.10.
    KprobeSession,
    /// A system call's function, named without its architecture's prefix.
    Ksyscall,
    /// Its return.
    Kretsyscall,
    /// An instruction in user space, `binary:function[+offset]`.
    Uprobe,
    /// The return of a function in user space.
    Uretprobe,
    /// All functions of a binary that match a pattern. Since 6.6.
    UprobeMulti,
    /// Their returns. Since 6.6.
    UretprobeMulti,
    /// Entry and return with one program. Since 6.13.
    UprobeSession,
    /// A static probe in user space, `binary:provider:name`.
    Usdt,
    /// A tracepoint, `category/name`.
    Tracepoint,
    /// A tracepoint without its formatted record, by name.
    RawTracepoint,
    /// A tracepoint with typed arguments, by name. Since 5.5.
    TracepointBtf,
    /// Entry of a kernel function with typed arguments. Since 5.5.
    Fentry,
    /// Its return. Since 5.5.
    Fexit,
    /// Its return value, changed. Since 5.7.
    FmodRet,
    /// Entry and return with one program. Since 7.0.
    Fsession,
    /// Entries of many functions by one program. Since 7.2.
    FentryMulti,
    /// Their returns. Since 7.2.
    FexitMulti,
    /// Both. Since 7.2.
    FsessionMulti,
    /// The place of a function of another BPF program. Since 5.6.
    Freplace,
    /// A hook of the Linux security modules. Since 5.7.
    Lsm,
    /// The same for the processes of a cgroup. Since 6.0.
    LsmCgroup,
    /// A reader of kernel objects. Since 5.8.
    Iterator,
    /// A sample of a perf event.
    PerfEvent,
    /// Nothing: it runs when asked to (`BPF_PROG_TEST_RUN`). Since 5.14.
    Syscall,
    /// A socket's incoming packets.
    SocketFilter,
    /// A network device's packets, first thing.
    Xdp,
    /// The traffic-control hook, by tcx or, before 6.6, by a clsact filter.
    Tc,
    /// A netkit device. Since 6.7.
    Netkit,
    /// A netfilter hook. Since 6.4.
    Netfilter,
    /// A cgroup; the attach type says which of its hooks.
    Cgroup,
    /// A sockmap or sockhash.
    Sockmap,
    /// A network namespace.
    Netns,
    /// A lightweight tunnel, by netlink.
    Lwt,
    /// An infrared device.
    Lirc,
    /// A group of listening sockets.
    Reuseport,
    /// A member of a `struct_ops` map.
    StructOps,
}

/// A program's section name, read.
///
/// ```
/// use skep_object::{AttachKind, SectionName};
/// let section = SectionName::parse("?fentry.s/do_unlinkat")?;
/// assert_eq!(section.kind(), AttachKind::Fentry);
/// assert_eq!(section.target(), Some("do_unlinkat"));
/// assert!(section.is_sleepable() && !section.autoload());
/// # Ok::<(), skep_object::Error>(())
/// ```
#[derive(Clone)]
pub struct SectionName {
    spelled: String,
    row: Definition,
}

/// Where a name's meaning stands.
#[derive(Clone)]
enum Definition {
    Known(&'static Row),
    Custom(Arc<Row>),
}

impl Deref for Definition {
    type Target = Row;

    fn deref(&self) -> &Row {
        match self {
            Self::Known(row) => row,
            Self::Custom(row) => row,
        }
    }
}

impl Row {
    /// Whether it is about a section of this name, without `?`.
    fn fits(&self, name: &str) -> bool {
        match name.strip_prefix(&*self.name) {
            Some("") => true,
            Some(rest) => self.target == Target::Optional && rest.starts_with('/'),
            None => false,
        }
    }
}

impl SectionName {
    /// Reads the name of a section.
    ///
    /// # Errors
    /// [`Error::UnknownSection`], with the nearest known name.
    pub fn parse(spelled: &str) -> Result<Self> {
        Self::parse_with(spelled, &SectionHandlers::new())
    }

    /// Reads the name of a section, by the caller's handlers first: they may give a known name
    /// another meaning.
    ///
    /// # Errors
    /// [`Error::UnknownSection`], with the nearest known name.
    pub fn parse_with(spelled: &str, handlers: &SectionHandlers) -> Result<Self> {
        let name = spelled.strip_prefix('?').unwrap_or(spelled);
        let known = || {
            TABLE
                .iter()
                .find(|row| row.fits(name))
                .map(Definition::Known)
        };
        let row = handlers.find(name).map(Definition::Custom).or_else(known);
        match row.or_else(|| handlers.fallback(name).map(Definition::Custom)) {
            Some(row) => Ok(Self {
                spelled: spelled.to_owned(),
                row,
            }),
            None => Err(Error::UnknownSection {
                section: spelled.to_owned(),
                program: None,
                suggestion: suggestion(name),
                known: first_words(),
            }),
        }
    }

    /// All names that are known, without their targets.
    pub fn known() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| &*row.name)
    }

    /// The name as it is spelled in the object.
    pub fn as_str(&self) -> &str {
        &self.spelled
    }

    /// The known name: all before the target.
    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// The program type that it stands for.
    pub fn program_type(&self) -> ProgramType {
        self.row.program_type
    }

    /// What the program is loaded to be attached as, where its type leaves a choice.
    pub fn attach_type(&self) -> Option<AttachType> {
        self.row.attach_type
    }

    /// How the program is attached.
    pub fn kind(&self) -> AttachKind {
        self.row.kind
    }

    /// What follows the name and a slash, such as the function of a kprobe.
    pub fn target(&self) -> Option<&str> {
        let name = self.spelled.strip_prefix('?').unwrap_or(&self.spelled);
        name.strip_prefix(&*self.row.name)?
            .strip_prefix('/')
            .filter(|target| self.row.target == Target::Optional && !target.is_empty())
    }

    /// Whether the program may sleep (`.s`). Since 5.10.
    #[doc(alias = "BPF_F_SLEEPABLE")]
    pub fn is_sleepable(&self) -> bool {
        self.row.flags.sleepable
    }

    /// Whether an XDP program takes packets in several buffers (`.frags`). Since 5.18.
    #[doc(alias = "BPF_F_XDP_HAS_FRAGS")]
    pub fn has_frags(&self) -> bool {
        self.row.flags.frags
    }

    /// Whether the program can only be loaded for a target, which its name or an option says: a
    /// function, tracepoint, LSM hook or iterator of the kernel's BTF, or a function of a program.
    #[doc(alias = "SEC_ATTACH_BTF")]
    pub fn needs_target(&self) -> bool {
        use AttachKind::{FentryMulti, FexitMulti, FsessionMulti};
        let needs = self.row.program_type.properties();
        needs.contains(ProgramProperties::NEEDS_TARGET)
            && !matches!(self.row.kind, FentryMulti | FexitMulti | FsessionMulti)
    }

    /// Whether its hook can be limited to one process when the program is attached: places in
    /// user space, perf events (5.10), and iterators over tasks (6.1).
    pub fn takes_process(&self) -> bool {
        use AttachKind as Kind;
        match self.row.kind {
            Kind::Uprobe | Kind::Uretprobe | Kind::Usdt | Kind::PerfEvent => true,
            Kind::UprobeMulti | Kind::UretprobeMulti | Kind::UprobeSession => true,
            Kind::Iterator => matches!(self.target(), Some("task" | "task_file" | "task_vma")),
            _ => false,
        }
    }

    /// Whether attaching all programs of an object attaches this one. Those that only run when
    /// they are called (`syscall`), or out of a map (`xdp/devmap`), are left alone.
    pub fn autoattach(&self) -> bool {
        !matches!(self.row.kind, AttachKind::Manual | AttachKind::Syscall)
    }

    /// The first kernel that takes programs of this name, as far as versions say it.
    pub fn since(&self) -> KernelVersion {
        let own = self.row.since.into_iter();
        let attach = self.row.attach_type.map(AttachType::since).into_iter();
        own.chain(attach)
            .fold(self.row.program_type.since(), Ord::max)
    }

    /// Whether the program is loaded unless the user says otherwise: no leading `?`.
    pub fn autoload(&self) -> bool {
        !self.spelled.starts_with('?')
    }
}

impl fmt::Debug for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SectionName({:?})", self.spelled)
    }
}

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelled)
    }
}

impl PartialEq for SectionName {
    fn eq(&self, other: &Self) -> bool {
        self.spelled == other.spelled
    }
}

impl Eq for SectionName {}

#[cfg(test)]
mod tests;
