//! Every field of every context that `skep-ebpf` has a method for, read and written: a program
//! each, made of the library's own list, at the hooks where the list says that it is there.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use skep::Object;
use skep_testing::{Outcome, Stop, Test, ensure, is_prebuilt, needs_kernel};

use crate::support::host;

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("rust_fields::each_is_read_and_written", all)]
}

/// How programs come to a context: its attribute, and the way from the attribute's context, which
/// makes a `place`.
struct Way {
    context: &'static str,
    attribute: &'static str,
    takes: &'static str,
    through: &'static str,
}

const fn way(context: &'static str, attribute: &'static str) -> Way {
    Way {
        context,
        attribute,
        takes: context,
        through: "let place = context;",
    }
}

const WAYS: &[Way] = &[
    way("XdpContext", "xdp"),
    way("TcContext", "tc"),
    way("CgroupSkbContext", "cgroup_skb(egress)"),
    way("SocketFilterContext", "socket_filter"),
    way("LwtContext", "lwt_xmit"),
    way("SkSkbContext", "sk_skb(stream_verdict)"),
    way("FlowDissectorContext", "flow_dissector"),
    way("SkMsgContext", "sk_msg"),
    way("SkLookupContext", "sk_lookup"),
    way("ReuseportContext", "sk_reuseport(migrate)"),
    way("SockOpsContext", "sock_ops"),
    way("SockContext", "cgroup_sock(create)"),
    way("SockAddrContext", "cgroup_sock_addr(connect4)"),
    way("SysctlContext", "cgroup_sysctl"),
    way("SockoptContext", "cgroup_sockopt(get)"),
    way("DeviceContext", "cgroup_device"),
    Way {
        context: "Sock",
        attribute: "sk_msg",
        takes: "SkMsgContext",
        through: "let place = context.sk();",
    },
    Way {
        context: "SockCommon",
        attribute: "tc",
        takes: "TcContext",
        through: "let Some(place) = context.sk() else { return 0 };",
    },
    Way {
        context: "TcpSock",
        attribute: "cgroup_sockopt(set)",
        takes: "SockoptContext",
        through: "let Some(place) = context.sk().tcp() else { return 0 };",
    },
    Way {
        context: "FlowKeys",
        attribute: "flow_dissector",
        takes: "FlowDissectorContext",
        through: "let place = context.flow_keys();",
    },
];

/// Attach types that the list names, and the attributes for them.
const PLACES: &[(&str, &str)] = &[
    ("BPF_XDP_DEVMAP", "xdp(devmap)"),
    ("BPF_CGROUP_INET_SOCK_CREATE", "cgroup_sock(create)"),
    ("BPF_CGROUP_INET4_POST_BIND", "cgroup_sock(post_bind4)"),
    ("BPF_CGROUP_INET6_POST_BIND", "cgroup_sock(post_bind6)"),
    ("BPF_CGROUP_INET4_BIND", "cgroup_sock_addr(bind4)"),
    ("BPF_CGROUP_INET6_BIND", "cgroup_sock_addr(bind6)"),
    ("BPF_CGROUP_UDP4_SENDMSG", "cgroup_sock_addr(sendmsg4)"),
    ("BPF_CGROUP_UDP6_SENDMSG", "cgroup_sock_addr(sendmsg6)"),
    ("BPF_CGROUP_GETSOCKOPT", "cgroup_sockopt(get)"),
    ("BPF_CGROUP_SETSOCKOPT", "cgroup_sockopt(set)"),
];

/// A line of the list: `rw u32 mark set_mark @ 16;`, and what its documentation says of places.
struct Field {
    kind: String,
    is_array: bool,
    name: String,
    set: Option<String>,
    read_at: Option<&'static str>,
    written_at: Option<&'static str>,
}

/// The fields by the context's name.
fn fields(list: &str) -> Outcome<BTreeMap<String, Vec<Field>>> {
    let mut found: BTreeMap<String, Vec<Field>> = BTreeMap::new();
    let (mut context, mut read_at, mut written_at) = (String::new(), None, None);
    for line in list.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("/// ") {
            let place = || {
                PLACES
                    .iter()
                    .find(|(kind, _)| said.contains(&format!("`{kind}`")))
            };
            if said.starts_with("Read of") {
                let place = place().ok_or_else(|| Stop::fail(format!("no place: {said}")))?;
                read_at = Some(place.1);
            } else if said.starts_with("Written of") {
                let place = place().ok_or_else(|| Stop::fail(format!("no place: {said}")))?;
                written_at = Some(place.1);
            }
            continue;
        }
        let Some(line) = line.strip_suffix(';') else {
            continue;
        };
        if !line.contains(' ') {
            line.clone_into(&mut context);
        } else if let Some((declared, _)) = line.split_once(" @ ") {
            let is_array = declared.contains('[');
            let names = match declared.split_once(']') {
                Some((_, names)) => names.split_whitespace().collect::<Vec<_>>(),
                None => declared.split_whitespace().skip(2).collect(),
            };
            let kind = declared.split_whitespace().next().unwrap_or_default();
            let Some(name) = names.first() else {
                return Err(Stop::fail(format!("no name: {line}")));
            };
            found.entry(context.clone()).or_default().push(Field {
                kind: kind.to_owned(),
                is_array,
                name: (*name).to_owned(),
                set: names.get(1).map(|name| (*name).to_owned()),
                read_at: read_at.take(),
                written_at: written_at.take(),
            });
        }
    }
    Ok(found)
}

/// A source with a program for each way to use a field, and how many these are.
fn source(way: &Way, fields: &[Field]) -> Outcome<(String, usize)> {
    let mut text =
        "#![no_std]\n#![no_main]\nuse skep_ebpf::prelude::*;\n\nlicense!(\"GPL\");\n".to_owned();
    let mut programs = 0;
    for (index, field) in fields.iter().enumerate() {
        let Field { name, .. } = field;
        let read = match (field.kind.as_str(), field.is_array) {
            ("perhaps", _) => format!("place.{name}().is_some()"),
            ("always", _) => format!("!place.{name}().as_ptr().is_null()"),
            ("packet", _) => format!("place.{name}() as u64 == 7"),
            (_, true) => format!("place.{name}().contains(&7)"),
            _ => format!("place.{name}() == 7"),
        };
        let mut program = |at: Option<&str>, verb: &str, body: &str| {
            programs += 1;
            let (attribute, through) = (at.unwrap_or(way.attribute), way.through);
            write!(
                text,
                "\n#[{attribute}]\nfn {verb}_{index}(context: &{}) -> i32 {{\n    {through}\n    {body}\n}}\n",
                way.takes
            )
        };
        program(field.read_at, "read", &format!("i32::from({read})"))?;
        if let Some(set) = &field.set {
            let value = match field.is_array {
                true => "0, 1",
                false => "1",
            };
            program(
                field.written_at,
                "write",
                &format!("place.{set}({value});\n    1"),
            )?;
        }
    }
    Ok((text, programs))
}

/// Loads programs one by one; those that the kernel does not take.
fn refused(way: &Way, fields: &[Field]) -> Outcome<(Vec<String>, usize)> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust_fields");
    fs::create_dir_all(&folder)?;
    let path: PathBuf = folder.join(format!("{}.rs", way.context));
    let (text, programs) = source(way, fields)?;
    fs::write(&path, text)?;
    let bytes = skep_testing::compile(&path, env!("CARGO_TARGET_TMPDIR"))?;
    let object = Object::parse(way.context, &bytes)?;
    ensure(object.spec().programs().len() == programs, || {
        format!("{}: not {programs} programs", way.context)
    })?;
    let mut wrong = Vec::new();
    for program in object.spec().programs() {
        let mut object = Object::from_spec(object.spec().clone());
        object.only_programs(&[&program.name])?;
        if let Err(error) = object.load(host()) {
            let index = program
                .name
                .rsplit('_')
                .next()
                .and_then(|at| at.parse().ok());
            let field = index.and_then(|index: usize| fields.get(index));
            let name = field.map_or("?", |field| &field.name);
            wrong.push(format!(
                "{}: {} ({name}): {error}",
                way.context, program.name
            ));
        }
    }
    Ok((wrong, programs))
}

fn all() -> Outcome {
    needs_kernel(6, 6)?;
    if is_prebuilt() {
        return Err(Stop::lacks("the library's source"));
    }
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../skep-ebpf/src/context/generated.rs");
    let contexts = fields(&fs::read_to_string(list)?)?;
    let (mut wrong, mut programs) = (Vec::new(), 0);
    for (context, fields) in &contexts {
        let way = WAYS.iter().find(|way| way.context == context);
        let way = way.ok_or_else(|| Stop::fail(format!("no way to {context}")))?;
        let (refused, tried) = refused(way, fields)?;
        wrong.extend(refused);
        programs += tried;
    }
    ensure(programs > 300, || format!("only {programs} programs"))?;
    ensure(wrong.is_empty(), || wrong.join("\n"))
}
