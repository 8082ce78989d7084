//! The names of program sections: one table says for each what program it holds, how it is
//! attached and what may follow the name. `SEC("?fentry.s/do_unlinkat")` is read here.

use std::fmt;

use skep_abi::{AttachType, ProgramType};

use crate::{Error, Result};

/// The way a program is attached, as its section name says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttachKind {
    /// By no rule: the user of the program says where.
    Manual,
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

/// What may follow the name in a section's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Nothing.
    None,
    /// `/` and what to attach to, or nothing.
    Optional,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Flags {
    sleepable: bool,
    frags: bool,
}

/// One known name.
#[derive(Debug)]
struct Row {
    name: &'static str,
    program_type: ProgramType,
    attach_type: Option<AttachType>,
    kind: AttachKind,
    target: Target,
    flags: Flags,
}

/// Reads `"name" Type AttachType Kind [marks];`, with `-` for no attach type. Marks are `+` (a
/// target may follow), `sleepable` and `frags`.
macro_rules! table {
    ($($name:literal $program:ident $attach:tt $kind:ident [$($mark:tt)*];)*) => {
        &[$({
            let row = Row {
                name: $name,
                program_type: ProgramType::$program,
                attach_type: table!(@attach $attach),
                kind: AttachKind::$kind,
                target: Target::None,
                flags: Flags { sleepable: false, frags: false },
            };
            $(let row = table!(@mark $mark row);)*
            row
        }),*]
    };
    (@attach -) => { None };
    (@attach $attach:ident) => { Some(AttachType::$attach) };
    (@mark + $row:ident) => { Row { target: Target::Optional, ..$row } };
    (@mark sleepable $row:ident) => {
        Row { flags: Flags { sleepable: true, ..$row.flags }, ..$row }
    };
    (@mark frags $row:ident) => { Row { flags: Flags { frags: true, ..$row.flags }, ..$row } };
}

/// All names, grouped as users meet them.
const TABLE: &[Row] = table! {
    "kprobe" Kprobe - Kprobe [+];
    "kretprobe" Kprobe - Kretprobe [+];
    "uprobe" Kprobe - Uprobe [+];
    "uprobe.s" Kprobe - Uprobe [+ sleepable];
    "uretprobe" Kprobe - Uretprobe [+];
    "uretprobe.s" Kprobe - Uretprobe [+ sleepable];
    "kprobe.multi" Kprobe TraceKprobeMulti KprobeMulti [+];
    "kretprobe.multi" Kprobe TraceKprobeMulti KretprobeMulti [+];
    "kprobe.session" Kprobe TraceKprobeSession KprobeSession [+];
    "uprobe.multi" Kprobe TraceUprobeMulti UprobeMulti [+];
    "uprobe.multi.s" Kprobe TraceUprobeMulti UprobeMulti [+ sleepable];
    "uretprobe.multi" Kprobe TraceUprobeMulti UretprobeMulti [+];
    "uretprobe.multi.s" Kprobe TraceUprobeMulti UretprobeMulti [+ sleepable];
    "uprobe.session" Kprobe TraceUprobeSession UprobeSession [+];
    "uprobe.session.s" Kprobe TraceUprobeSession UprobeSession [+ sleepable];
    "ksyscall" Kprobe - Ksyscall [+];
    "kretsyscall" Kprobe - Kretsyscall [+];
    "usdt" Kprobe - Usdt [+];
    "usdt.s" Kprobe - Usdt [+ sleepable];

    "tracepoint" Tracepoint - Tracepoint [+];
    "tracepoint.s" Tracepoint - Tracepoint [+ sleepable];
    "tp" Tracepoint - Tracepoint [+];
    "tp.s" Tracepoint - Tracepoint [+ sleepable];
    "raw_tracepoint" RawTracepoint - RawTracepoint [+];
    "raw_tracepoint.s" RawTracepoint - RawTracepoint [+ sleepable];
    "raw_tracepoint.w" RawTracepointWritable - RawTracepoint [+];
    "raw_tp" RawTracepoint - RawTracepoint [+];
    "raw_tp.s" RawTracepoint - RawTracepoint [+ sleepable];
    "raw_tp.w" RawTracepointWritable - RawTracepoint [+];
    "tp_btf" Tracing TraceRawTp TracepointBtf [+];
    "tp_btf.s" Tracing TraceRawTp TracepointBtf [+ sleepable];
    "fentry" Tracing TraceFentry Fentry [+];
    "fentry.s" Tracing TraceFentry Fentry [+ sleepable];
    "fexit" Tracing TraceFexit Fexit [+];
    "fexit.s" Tracing TraceFexit Fexit [+ sleepable];
    "fmod_ret" Tracing ModifyReturn FmodRet [+];
    "fmod_ret.s" Tracing ModifyReturn FmodRet [+ sleepable];
    "fsession" Tracing TraceFsession Fsession [+];
    "fsession.s" Tracing TraceFsession Fsession [+ sleepable];
    "fentry.multi" Tracing TraceFentryMulti FentryMulti [+];
    "fentry.multi.s" Tracing TraceFentryMulti FentryMulti [+ sleepable];
    "fexit.multi" Tracing TraceFexitMulti FexitMulti [+];
    "fexit.multi.s" Tracing TraceFexitMulti FexitMulti [+ sleepable];
    "fsession.multi" Tracing TraceFsessionMulti FsessionMulti [+];
    "fsession.multi.s" Tracing TraceFsessionMulti FsessionMulti [+ sleepable];
    "freplace" Ext - Freplace [+];
    "lsm" Lsm LsmMac Lsm [+];
    "lsm.s" Lsm LsmMac Lsm [+ sleepable];
    "lsm_cgroup" Lsm LsmCgroup LsmCgroup [+];
    "iter" Tracing TraceIter Iterator [+];
    "iter.s" Tracing TraceIter Iterator [+ sleepable];
    "syscall" Syscall - Syscall [sleepable];
    "perf_event" PerfEvent - PerfEvent [];

    "socket" SocketFilter - SocketFilter [];
    "sk_reuseport" SkReuseport SkReuseportSelect Reuseport [];
    "sk_reuseport/migrate" SkReuseport SkReuseportSelectOrMigrate Reuseport [];
    "tc" SchedCls - Tc [];
    "tc/ingress" SchedCls TcxIngress Tc [];
    "tc/egress" SchedCls TcxEgress Tc [];
    "tcx/ingress" SchedCls TcxIngress Tc [];
    "tcx/egress" SchedCls TcxEgress Tc [];
    "classifier" SchedCls - Tc [];
    "action" SchedAct - Tc [];
    "netkit/primary" SchedCls NetkitPrimary Netkit [];
    "netkit/peer" SchedCls NetkitPeer Netkit [];
    "xdp" Xdp Xdp Xdp [];
    "xdp/devmap" Xdp XdpDevmap Manual [];
    "xdp/cpumap" Xdp XdpCpumap Manual [];
    "xdp.frags" Xdp Xdp Xdp [frags];
    "xdp.frags/devmap" Xdp XdpDevmap Manual [frags];
    "xdp.frags/cpumap" Xdp XdpCpumap Manual [frags];
    "lwt_in" LwtIn - Lwt [];
    "lwt_out" LwtOut - Lwt [];
    "lwt_xmit" LwtXmit - Lwt [];
    "lwt_seg6local" LwtSeg6local - Lwt [];
    "sockops" SockOps CgroupSockOps Cgroup [];
    "sk_skb" SkSkb - Sockmap [];
    "sk_skb/stream_parser" SkSkb SkSkbStreamParser Sockmap [];
    "sk_skb/stream_verdict" SkSkb SkSkbStreamVerdict Sockmap [];
    "sk_skb/verdict" SkSkb SkSkbVerdict Sockmap [];
    "sk_msg" SkMsg SkMsgVerdict Sockmap [];
    "lirc_mode2" LircMode2 LircMode2 Lirc [];
    "flow_dissector" FlowDissector FlowDissector Netns [];
    "sk_lookup" SkLookup SkLookup Netns [];
    "netfilter" Netfilter Netfilter Netfilter [];

    "cgroup_skb/ingress" CgroupSkb CgroupInetIngress Cgroup [];
    "cgroup_skb/egress" CgroupSkb CgroupInetEgress Cgroup [];
    "cgroup/skb" CgroupSkb - Cgroup [];
    "cgroup/sock" CgroupSock CgroupInetSockCreate Cgroup [];
    "cgroup/sock_create" CgroupSock CgroupInetSockCreate Cgroup [];
    "cgroup/sock_release" CgroupSock CgroupInetSockRelease Cgroup [];
    "cgroup/post_bind4" CgroupSock CgroupInet4PostBind Cgroup [];
    "cgroup/post_bind6" CgroupSock CgroupInet6PostBind Cgroup [];
    "cgroup/bind4" CgroupSockAddr CgroupInet4Bind Cgroup [];
    "cgroup/bind6" CgroupSockAddr CgroupInet6Bind Cgroup [];
    "cgroup/connect4" CgroupSockAddr CgroupInet4Connect Cgroup [];
    "cgroup/connect6" CgroupSockAddr CgroupInet6Connect Cgroup [];
    "cgroup/connect_unix" CgroupSockAddr CgroupUnixConnect Cgroup [];
    "cgroup/sendmsg4" CgroupSockAddr CgroupUdp4Sendmsg Cgroup [];
    "cgroup/sendmsg6" CgroupSockAddr CgroupUdp6Sendmsg Cgroup [];
    "cgroup/sendmsg_unix" CgroupSockAddr CgroupUnixSendmsg Cgroup [];
    "cgroup/recvmsg4" CgroupSockAddr CgroupUdp4Recvmsg Cgroup [];
    "cgroup/recvmsg6" CgroupSockAddr CgroupUdp6Recvmsg Cgroup [];
    "cgroup/recvmsg_unix" CgroupSockAddr CgroupUnixRecvmsg Cgroup [];
    "cgroup/getpeername4" CgroupSockAddr CgroupInet4Getpeername Cgroup [];
    "cgroup/getpeername6" CgroupSockAddr CgroupInet6Getpeername Cgroup [];
    "cgroup/getpeername_unix" CgroupSockAddr CgroupUnixGetpeername Cgroup [];
    "cgroup/getsockname4" CgroupSockAddr CgroupInet4Getsockname Cgroup [];
    "cgroup/getsockname6" CgroupSockAddr CgroupInet6Getsockname Cgroup [];
    "cgroup/getsockname_unix" CgroupSockAddr CgroupUnixGetsockname Cgroup [];
    "cgroup/sysctl" CgroupSysctl CgroupSysctl Cgroup [];
    "cgroup/getsockopt" CgroupSockopt CgroupGetsockopt Cgroup [];
    "cgroup/setsockopt" CgroupSockopt CgroupSetsockopt Cgroup [];
    "cgroup/dev" CgroupDevice CgroupDevice Cgroup [];

    "struct_ops" StructOps - StructOps [+];
    "struct_ops.s" StructOps - StructOps [+ sleepable];
};

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
    row: &'static Row,
}

impl SectionName {
    /// Reads the name of a section.
    ///
    /// # Errors
    /// [`Error::UnknownSection`], with the nearest known name.
    pub fn parse(spelled: &str) -> Result<Self> {
        let name = spelled.strip_prefix('?').unwrap_or(spelled);
        let fits = |row: &&Row| match name.strip_prefix(row.name) {
            Some("") => true,
            Some(rest) => row.target == Target::Optional && rest.starts_with('/'),
            None => false,
        };
        match TABLE.iter().find(fits) {
            Some(row) => Ok(Self {
                spelled: spelled.to_owned(),
                row,
            }),
            None => Err(Error::UnknownSection {
                section: spelled.to_owned(),
                program: String::new(),
                suggestion: suggestion(name),
                known: first_words(),
            }),
        }
    }

    /// All names that are known, without their targets.
    pub fn known() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.name)
    }

    /// The name as it is spelled in the object.
    pub fn as_str(&self) -> &str {
        &self.spelled
    }

    /// The known name: all before the target.
    pub fn name(&self) -> &'static str {
        self.row.name
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
        name.strip_prefix(self.row.name)?
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

/// The first words of all names, for error messages.
fn first_words() -> String {
    let mut words: Vec<&str> = Vec::new();
    for row in TABLE {
        let word = row.name.split(['/', '.']).next().unwrap_or(row.name);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(", ")
}

/// The known name nearest to a wrong one, by what precedes its target.
fn suggestion(wrong: &str) -> Option<String> {
    // Names are short; what is longer is no slip of the keyboard.
    const LONGEST: usize = 64;
    let (word, rest) = match wrong.split_once('/') {
        Some((word, rest)) => (word, Some(rest)),
        None => (wrong, None),
    };
    let distances = TABLE.iter().map(|row| {
        let whole = edit_distance(wrong, row.name);
        // A target belongs to the wrong name only where the right one takes a target, too.
        let by_word = if row.name.contains('/') {
            whole
        } else {
            edit_distance(word, row.name)
        };
        (whole.min(by_word), by_word < whole, row)
    });
    let (distance, by_word, row) = distances.min_by_key(|(distance, ..)| *distance)?;
    let near = wrong.len() <= LONGEST && distance <= word.len().div_ceil(3);
    near.then(|| match (rest, row.target) {
        (Some(rest), Target::Optional) if by_word => format!("{}/{rest}", row.name),
        _ => row.name.to_owned(),
    })
}

/// The number of letters to insert, drop or change to get from one word to the other.
pub(crate) fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (done, letter) in (1_usize..).zip(from.chars()) {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), done);
        let mut left = done;
        for (cell, other) in row.iter_mut().skip(1).zip(&to) {
            let change = diagonal.saturating_add(usize::from(letter != *other));
            diagonal = *cell;
            left = change
                .min(cell.saturating_add(1))
                .min(left.saturating_add(1));
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_name_reads_as_itself() {
        for row in TABLE {
            let plain = SectionName::parse(row.name).unwrap();
            assert_eq!(plain.name(), row.name);
            assert_eq!(plain.target(), None);
            assert!(plain.autoload());
            let with_target = SectionName::parse(&format!("?{}/target", row.name));
            match row.target {
                Target::Optional => {
                    let section = with_target.unwrap();
                    assert_eq!(
                        (section.name(), section.target()),
                        (row.name, Some("target"))
                    );
                    assert!(!section.autoload());
                }
                Target::None => assert!(with_target.is_err(), "{}", row.name),
            }
        }
    }

    #[test]
    fn names_say_type_attach_type_and_flags() {
        let section = SectionName::parse("lsm.s/file_open").unwrap();
        assert_eq!(section.program_type(), ProgramType::Lsm);
        assert_eq!(section.attach_type(), Some(AttachType::LsmMac));
        assert!(section.is_sleepable());
        let section = SectionName::parse("xdp.frags").unwrap();
        assert!(section.has_frags() && !section.is_sleepable());
        let section = SectionName::parse("tp/syscalls/sys_enter_openat").unwrap();
        assert_eq!(section.target(), Some("syscalls/sys_enter_openat"));
    }

    fn refused(name: &str, expect: &str) {
        let text = SectionName::parse(name).unwrap_err().to_string();
        assert!(text.contains(expect), "{text}");
        assert!(
            text.contains("known names start with kprobe, kretprobe,"),
            "{text}"
        );
    }

    #[test]
    fn unknown_names_are_answered_with_the_nearest() {
        refused("xpd", "unknown section `xpd`");
        refused("xpd", "did you mean `xdp`?");
        refused("kporbe/do_exit", "did you mean `kprobe/do_exit`?");
        refused("tracepiont/a/b", "did you mean `tracepoint/a/b`?");
        refused("cgroup/conect4", "did you mean `cgroup/connect4`?");
        refused("xdp/mine", "did you mean `xdp`?");
        let text = SectionName::parse("something_else")
            .unwrap_err()
            .to_string();
        assert!(!text.contains("did you mean"), "{text}");
    }
}
