//! The table of section names, held against the list of what there is and against libbpf.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use skep_abi::{AttachType, KernelVersion, ProgramType};
use skep_object::{
    AttachKind, Error, LinkOptions, Object, ParseOptions, SectionHandler, SectionHandlers,
    SectionName, Target,
};

mod common;

/// All names of libbpf 1.8, in short: `name[.a|.b|/c]` is `name`, `name.a`, `name.b` and `name/c`;
/// `name/{a,b}` is `name/a` and `name/b`; a `+` at the end: with a target, too.
const NAMES: &str = "
    kprobe+ kretprobe+ uprobe[.s]+ uretprobe[.s]+ kprobe.multi+ kretprobe.multi+ kprobe.session+
    uprobe.multi[.s]+ uretprobe.multi[.s]+ uprobe.session[.s]+ ksyscall+ kretsyscall+ usdt[.s]+
    tracepoint[.s]+ tp[.s]+ raw_tracepoint[.s|.w]+ raw_tp[.s|.w]+ tp_btf[.s]+ fentry[.s]+ fexit[.s]+
    fmod_ret[.s]+ fsession[.s]+ fentry.multi[.s]+ fexit.multi[.s]+ fsession.multi[.s]+ freplace+
    lsm[.s]+ lsm_cgroup+ iter[.s]+ syscall perf_event
    socket sk_reuseport[/migrate] tc[/ingress|/egress] tcx/ingress tcx/egress classifier action
    netkit/primary netkit/peer xdp[/devmap|/cpumap] xdp.frags[/devmap|/cpumap] lwt_in lwt_out
    lwt_xmit lwt_seg6local sockops sk_skb[/stream_parser|/stream_verdict|/verdict] sk_msg
    lirc_mode2 flow_dissector sk_lookup netfilter
    cgroup_skb/{ingress,egress} cgroup/{skb,sock,sock_create,sock_release,post_bind4,post_bind6}
    cgroup/{bind4,bind6,sysctl,getsockopt,setsockopt,dev}
    cgroup/connect{4,6,_unix} cgroup/sendmsg{4,6,_unix} cgroup/recvmsg{4,6,_unix}
    cgroup/getpeername{4,6,_unix} cgroup/getsockname{4,6,_unix} struct_ops[.s]+";

/// The names that a short one stands for, and whether a target may follow.
fn expand(short: &str) -> Vec<(String, bool)> {
    let (short, target) = match short.strip_suffix('+') {
        Some(short) => (short, true),
        None => (short, false),
    };
    let names: Vec<String> = if let Some((before, rest)) = short.split_once('[') {
        let endings = rest.strip_suffix(']').unwrap().split('|');
        let with = endings.map(|ending| format!("{before}{ending}"));
        std::iter::once(before.to_owned()).chain(with).collect()
    } else if let Some((before, rest)) = short.split_once('{') {
        let endings = rest.strip_suffix('}').unwrap().split(',');
        endings.map(|ending| format!("{before}{ending}")).collect()
    } else {
        vec![short.to_owned()]
    };
    names.into_iter().map(|name| (name, target)).collect()
}

fn listed() -> Vec<(String, bool)> {
    NAMES.split_whitespace().flat_map(expand).collect()
}

#[test]
fn the_table_has_every_name_and_no_other() {
    let listed = listed();
    let names: BTreeSet<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    let known: BTreeSet<&str> = SectionName::known().collect();
    assert_eq!(names, known);
    for (name, target) in &listed {
        let section = SectionName::parse(name).unwrap();
        assert_eq!((section.name(), section.target()), (name.as_str(), None));
        let behind = format!("{name}/there");
        match SectionName::parse(&behind) {
            Ok(section) => {
                assert!(*target, "{behind}");
                assert_eq!(
                    (section.name(), section.target()),
                    (name.as_str(), Some("there"))
                );
            }
            Err(Error::UnknownSection { .. }) => assert!(!target, "{behind}"),
            Err(other) => panic!("{behind}: {other}"),
        }
    }
}

#[test]
fn flags_are_what_the_endings_say() {
    for name in SectionName::known() {
        let section = SectionName::parse(name).unwrap();
        let sleepable = name.ends_with(".s") || name == "syscall";
        assert_eq!(section.is_sleepable(), sleepable, "{name}");
        assert_eq!(section.has_frags(), name.contains(".frags"), "{name}");
        let writable = section.program_type() == ProgramType::RawTracepointWritable;
        assert_eq!(writable, name.ends_with(".w"), "{name}");
        let manual = [
            "syscall",
            "xdp/devmap",
            "xdp/cpumap",
            "xdp.frags/devmap",
            "xdp.frags/cpumap",
        ];
        assert_eq!(section.autoattach(), !manual.contains(&name), "{name}");
        let marked = SectionName::parse(&format!("?{name}")).unwrap();
        assert!(section.autoload() && !marked.autoload());
    }
}

#[test]
fn kernels_are_those_that_brought_it() {
    #[track_caller]
    fn check(name: &str, major: u8, minor: u8) {
        let since = SectionName::parse(name).unwrap().since();
        assert_eq!(since, KernelVersion::new(major, minor), "{name}");
    }
    check("kprobe", 4, 1);
    check("kprobe.multi", 5, 18);
    check("fentry", 5, 5);
    check("fentry.s", 5, 10);
    check("uprobe.s", 6, 0);
    check("uprobe.multi.s", 6, 6);
    check("xdp.frags", 5, 18);
    check("tcx/ingress", 6, 6);
    check("lsm_cgroup", 6, 0);
    check("fsession", 7, 0);
    check("tp_btf.s", 7, 2);
}

#[test]
fn targets_are_needed_where_a_load_needs_them() {
    for name in SectionName::known() {
        let section = SectionName::parse(name).unwrap();
        let word = name.trim_end_matches(".s");
        let needs = [
            "tp_btf",
            "fentry",
            "fexit",
            "fmod_ret",
            "fsession",
            "freplace",
            "lsm",
            "lsm_cgroup",
            "iter",
            "struct_ops",
        ];
        assert_eq!(section.needs_target(), needs.contains(&word), "{name}");
    }
}

#[test]
fn types_are_those_of_libbpf() {
    let folder = tempfile::tempdir().unwrap();
    let oracle = folder.path().join("section_names");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/section_names.c");
    let built = Command::new("cc")
        .arg("-o")
        .arg(&oracle)
        .args([source, "-lbpf"])
        .output();
    if !built.is_ok_and(|built| built.status.success()) {
        return skep_testing::lacks("a C compiler, or libbpf-dev");
    }
    let spelled: Vec<String> = listed()
        .into_iter()
        .map(|(name, target)| {
            if target {
                format!("{name}/there")
            } else {
                name
            }
        })
        .collect();
    let mut child = Command::new(oracle)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(spelled.join("\n").as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let theirs = String::from_utf8(output.stdout).unwrap();
    let mut compared = 0;
    for (name, line) in spelled.iter().zip(theirs.lines()) {
        if line == format!("{name} -") {
            continue;
        }
        let section = SectionName::parse(name).unwrap();
        let attach = section.attach_type().map_or(0, AttachType::raw);
        let program = section.program_type().raw();
        assert_eq!(format!("{name} {program} {attach}"), line);
        compared += 1;
    }
    // libbpf 1.1 knows as many.
    assert!(compared >= 80, "{compared}");
}

fn handlers() -> SectionHandlers {
    SectionHandlers::new()
        .exact(
            "plugin",
            SectionHandler::new(ProgramType::Syscall).sleepable(),
        )
        .prefix(
            "on",
            SectionHandler::new(ProgramType::Xdp)
                .attach_type(AttachType::Xdp)
                .frags(),
        )
}

#[test]
fn handlers_are_asked_first() {
    let parse = |name| SectionName::parse_with(name, &handlers());
    let plugin = parse("?plugin").unwrap();
    assert_eq!(plugin.kind(), AttachKind::Custom);
    assert!(plugin.is_sleepable() && !plugin.autoload() && plugin.autoattach());
    assert!(parse("plugin/x").is_err());
    let on = parse("on/eth0").unwrap();
    assert_eq!((on.name(), on.target()), ("on", Some("eth0")));
    assert_eq!(on.attach_type(), Some(AttachType::Xdp));
    assert!(on.has_frags());
    assert!(parse("only").is_err());
    // A name that is known can be given another meaning.
    let own = SectionHandlers::new().exact("xdp", SectionHandler::new(ProgramType::SchedCls));
    let section = SectionName::parse_with("xdp", &own).unwrap();
    assert_eq!(section.program_type(), ProgramType::SchedCls);
}

#[test]
fn others_take_what_nobody_knows() {
    let others = SectionHandlers::new().others(SectionHandler::new(ProgramType::SocketFilter));
    let parse = |name| SectionName::parse_with(name, &others).unwrap();
    assert_eq!(parse("mine/a").program_type(), ProgramType::SocketFilter);
    assert_eq!(
        (parse("mine/a").name(), parse("mine/a").target()),
        ("mine/a", None)
    );
    assert_eq!(parse("xdp").program_type(), ProgramType::Xdp);
}

#[test]
fn objects_are_parsed_with_handlers() {
    for clang in common::clangs() {
        let bytes = common::compile(clang, "handlers", &[]);
        // Without them, the error names the program and its section.
        let text = Object::parse(&bytes).unwrap_err().to_string();
        assert!(
            text.contains("`plugin`") && text.contains("`called`"),
            "{text}"
        );
        let options = ParseOptions::new("own").handlers(handlers());
        let object = Object::parse_with(&bytes, &options).unwrap();
        let types: Vec<ProgramType> = object
            .programs()
            .iter()
            .map(skep_object::Program::program_type)
            .collect();
        assert_eq!(types, [ProgramType::Syscall, ProgramType::Xdp]);
        let target = Target::new(KernelVersion::new(6, 18));
        let mut choices = LinkOptions::new();
        choices.program("packet").autoattach(false);
        let image = object.link(&choices, &target).unwrap();
        let auto: Vec<bool> = image.programs.iter().map(|each| each.autoattach).collect();
        assert_eq!(auto, [true, false]);
    }
}
