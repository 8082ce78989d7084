//! What the context of a program looks like: its fields by name, from the one who knows them best:
//! the uapi header for its structures, the host's types for its registers and records, a table for
//! system calls, and what the program says itself.

use std::sync::{Arc, OnceLock};

use skep::{
    abi::{AttachType, ProgramType, StructLayout},
    btf::{Btf, Kind, KindTag, TypeId},
    spec::{Object, Program},
};

use crate::typed::{Plain, Shape, Type, fields, structure};

/// A context by its fields.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// What it is, for errors.
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: usize,
    pub(crate) fields: Vec<ContextField>,
    /// Where arguments stand, in their order: for `args = [1, 2]`.
    pub(crate) arguments: Vec<usize>,
    /// A system call's registers stand behind the first argument's pointer.
    pub(crate) behind: bool,
}

/// A field of a context.
#[derive(Debug, Clone)]
pub(crate) struct ContextField {
    pub(crate) name: String,
    pub(crate) offset: usize,
    pub(crate) of: Type,
    /// Where the address of its end stands: what it points to is given in place of a number.
    pub(crate) end_at: Option<usize>,
}

const fn number(size: usize) -> Type {
    Type::Plain(Plain {
        size,
        count: None,
        signed: false,
        network: false,
    })
}

impl Layout {
    fn push(&mut self, name: impl Into<String>, offset: usize, of: Type) {
        self.fields.push(ContextField {
            name: name.into(),
            offset,
            of,
            end_at: None,
        });
    }

    fn of_structure(name: &str, of: &Type) -> Option<Self> {
        let Shape::Struct { btf, composite, .. } = of.shape() else {
            return None;
        };
        let mut layout = Self {
            name: name.to_owned(),
            size: of.size(),
            ..Self::default()
        };
        for field in fields(btf, &composite) {
            if field.bits == 0 {
                layout.push(field.name.clone(), field.offset(), field.of);
            }
        }
        Some(layout)
    }

    /// Of a program of an object, on a host with these types.
    pub(crate) fn of(object: &Object, program: &Program, host: Option<&Arc<Btf>>) -> Self {
        let kind = program.program_type();
        let section = &program.section;
        let target = section.target().unwrap_or_default();
        let own = || parameter(object, program, host);
        match kind {
            ProgramType::Tracepoint => tracepoint(target, host).or_else(own),
            ProgramType::Kprobe => registers(section.name(), host),
            ProgramType::PerfEvent => by_name(host, "bpf_perf_event_data"),
            ProgramType::RawTracepoint | ProgramType::RawTracepointWritable => {
                Some(raw_tracepoint(target, 12, host))
            }
            ProgramType::Tracing if program.attach_type() == Some(AttachType::TraceRawTp) => {
                Some(raw_tracepoint(target, 0, host))
            }
            ProgramType::Tracing if program.attach_type() != Some(AttachType::TraceIter) => {
                Some(function(target, program.attach_type(), host))
            }
            ProgramType::Lsm => Some(function(&format!("bpf_lsm_{target}"), None, host)),
            ProgramType::StructOps => Some(words("arguments", 12)),
            ProgramType::FlowDissector => StructLayout::by_name("bpf_flow_keys").map(uapi),
            ProgramType::Netfilter => Some(netfilter()),
            ProgramType::SkReuseport | ProgramType::SkMsg => kind.context_layout().map(uapi),
            _ => kind.context_layout().map(uapi).or_else(own),
        }
        .unwrap_or_default()
    }
}

fn by_name(host: Option<&Arc<Btf>>, name: &str) -> Option<Layout> {
    Layout::of_structure(&format!("struct {name}"), &structure(host?, name)?)
}

/// The structure that a program's function takes a pointer to: by the host's layout if it has the
/// same, since the program is relocated to that.
fn parameter(object: &Object, program: &Program, host: Option<&Arc<Btf>>) -> Option<Layout> {
    let btf = object.btf()?;
    let function = object.functions().get(program.function.as_usize())?;
    let Kind::Function(function) = btf.type_by_id(function.type_id?).ok()?.kind() else {
        return None;
    };
    let Kind::FunctionPrototype(prototype) = btf.type_by_id(function.prototype).ok()?.kind() else {
        return None;
    };
    let first = prototype.params().get(0)?.type_id;
    let Kind::Pointer { target } = btf.skip_modifiers(first).ok()?.kind() else {
        return None;
    };
    let target = btf.skip_modifiers(target).ok()?;
    if !matches!(target.kind(), Kind::Struct(_)) {
        return None;
    }
    let name = format!("struct {}", target.name());
    by_name(host, target.name())
        .or_else(|| Layout::of_structure(&name, &Type::Btf(Arc::clone(btf), target.id())))
}

/// A system call.
struct Call {
    number: Option<u32>,
    arguments: Vec<&'static str>,
}

fn call(name: &str) -> Option<Call> {
    static TABLE: &str = include_str!("../../data/syscalls.tsv");
    static LINES: OnceLock<Vec<(&str, &str, &str)>> = OnceLock::new();
    let lines = LINES.get_or_init(|| {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        let mut lines: Vec<_> = lines
            .filter_map(|line| {
                let mut columns = line.split('\t');
                Some((columns.next()?, columns.next()?, columns.next()?))
            })
            .collect();
        lines.sort_unstable();
        lines
    });
    let at = lines.binary_search_by_key(&name, |(name, ..)| *name).ok()?;
    let (_, number, arguments) = lines.get(at)?;
    Some(Call {
        number: number.parse().ok(),
        arguments: arguments.split_whitespace().collect(),
    })
}

/// The number of the system call that a tracepoint is for.
pub(crate) fn call_number(target: &str) -> Option<u32> {
    let name = target.strip_prefix("syscalls/")?;
    let name = name
        .strip_prefix("sys_enter_")
        .or(name.strip_prefix("sys_exit_"))?;
    call(name)?.number
}

fn tracepoint(target: &str, host: Option<&Arc<Btf>>) -> Option<Layout> {
    let (category, name) = target.split_once('/')?;
    let is_call = category == "syscalls";
    if let (true, Some(call_name)) = (is_call, name.strip_prefix("sys_enter_")) {
        let mut layout = by_name(host, "trace_event_raw_sys_enter")?;
        layout.name = format!("the tracepoint {target}");
        let args = layout.fields.iter().find(|field| field.name == "args")?;
        let first = args.offset;
        layout.arguments = (0..6_usize)
            .map(|index| first.saturating_add(index * 8))
            .collect();
        layout.fields.retain(|field| field.name != "args");
        for (index, name) in call(call_name)
            .iter()
            .flat_map(|call| &call.arguments)
            .enumerate()
        {
            let offset = first.saturating_add(index.saturating_mul(8));
            layout.push(*name, offset, number(8));
        }
        return Some(layout);
    }
    if is_call && name.starts_with("sys_exit_") {
        let mut layout = by_name(host, "trace_event_raw_sys_exit")?;
        layout.name = format!("the tracepoint {target}");
        return Some(layout);
    }
    let mut layout = by_name(host, &format!("trace_event_raw_{name}"))?;
    layout.name = format!("the tracepoint {target}");
    if let Some(args) = layout.fields.iter().find(|field| field.name == "args") {
        let first = args.offset;
        layout.arguments = (0..6_usize)
            .map(|index| first.saturating_add(index * 8))
            .collect();
        layout.fields.retain(|field| field.name != "args");
    }
    Some(layout)
}

/// The registers of arguments, of functions and of system calls, and of what is returned.
#[cfg(not(target_arch = "aarch64"))]
const ARGUMENTS: [&str; 6] = ["di", "si", "dx", "cx", "r8", "r9"];
#[cfg(not(target_arch = "aarch64"))]
const CALL_ARGUMENTS: [&str; 6] = ["di", "si", "dx", "r10", "r8", "r9"];
/// The machine's registers are those of x86-64 everywhere.
#[cfg(target_arch = "aarch64")]
const ARGUMENTS: [&str; 6] = ["di", "si", "dx", "cx", "r8", "r9"];
#[cfg(target_arch = "aarch64")]
const CALL_ARGUMENTS: [&str; 6] = ["di", "si", "dx", "r10", "r8", "r9"];

fn registers(section: &str, host: Option<&Arc<Btf>>) -> Option<Layout> {
    let mut layout = by_name(host, "pt_regs")?;
    let behind = section.contains("syscall") && !section.contains("ret");
    let order = if behind { CALL_ARGUMENTS } else { ARGUMENTS };
    let find = |layout: &Layout, name: &str| {
        let found = layout.fields.iter().find(|field| field.name == name);
        found.map(|field| field.offset)
    };
    layout.arguments = order
        .iter()
        .filter_map(|name| find(&layout, name))
        .collect();
    layout.behind = behind;
    if let Some(offset) = find(&layout, "ax") {
        layout.push("ret", offset, number(8));
    }
    // As assemblers call them.
    let known: Vec<_> = layout.fields.clone();
    for field in known.iter().filter(|field| field.name.len() == 2) {
        if !field.name.starts_with('r') {
            layout.push(format!("r{}", field.name), field.offset, field.of.clone());
        }
    }
    Some(layout)
}

/// Words by their numbers alone.
fn words(name: &str, count: usize) -> Layout {
    Layout {
        name: name.to_owned(),
        size: count.saturating_mul(8),
        arguments: (0..count).map(|index| index.saturating_mul(8)).collect(),
        ..Layout::default()
    }
}

/// What raw tracepoints' arguments are called: their types have no names.
const RAW: [(&str, &[&str]); 5] = [
    ("sys_enter", &["regs", "id"]),
    ("sys_exit", &["regs", "ret"]),
    ("sched_process_exec", &["task", "old_pid", "bprm"]),
    ("sched_process_exit", &["task"]),
    ("sched_process_fork", &["parent", "child"]),
];

fn raw_tracepoint(target: &str, least: usize, host: Option<&Arc<Btf>>) -> Layout {
    let types = host.and_then(|btf| {
        let id = btf.find(&format!("btf_trace_{target}"), KindTag::Typedef)?;
        let Kind::Pointer { target } = btf.skip_modifiers(id).ok()?.kind() else {
            return None;
        };
        parameters(btf, target)
    });
    let known = RAW.iter().find(|(name, _)| *name == target);
    let names = known.map(|(_, names)| *names).unwrap_or_default();
    // The first parameter is the tracer's own.
    let types: Vec<_> = types.into_iter().flatten().skip(1).collect();
    let mut layout = words(
        &format!("the arguments of {target}"),
        least.max(types.len()).max(names.len()),
    );
    name_words(&mut layout, &types, names);
    layout
}

/// The parameters of a prototype: names and types.
fn parameters(btf: &Arc<Btf>, prototype: TypeId) -> Option<Vec<(String, Type)>> {
    let Kind::FunctionPrototype(prototype) = btf.type_by_id(prototype).ok()?.kind() else {
        return None;
    };
    let all = prototype.params().into_iter().map(|parameter| {
        let of = Type::Btf(Arc::clone(btf), parameter.type_id);
        (parameter.name().to_owned(), of)
    });
    Some(all.collect())
}

/// Names arguments that are a word each. Numbers are as wide as their word, so that they are
/// extended by their sign; pointers keep what they point to.
fn name_words(layout: &mut Layout, types: &[(String, Type)], names: &[&str]) {
    for index in 0..types.len().max(names.len()) {
        let (own, of) = match types.get(index) {
            Some((name, of)) => (name.as_str(), of.clone()),
            None => ("", number(8)),
        };
        let of = match of.shape() {
            Shape::Pointer(..) => of.clone(),
            _ => number(8),
        };
        let name = match (own, names.get(index)) {
            ("", Some(name)) => (*name).to_owned(),
            ("", None) => format!("arg{index}"),
            (own, _) => own.to_owned(),
        };
        layout.push(name, index.saturating_mul(8), of);
    }
}

/// The arguments of a function of the host, and what it returns where the program is called after.
fn function(name: &str, attach: Option<AttachType>, host: Option<&Arc<Btf>>) -> Layout {
    let types = host.and_then(|btf| {
        let id = btf.find(name, KindTag::Function)?;
        let Kind::Function(function) = btf.type_by_id(id).ok()?.kind() else {
            return None;
        };
        parameters(btf, function.prototype)
    });
    let returns = matches!(
        attach,
        Some(AttachType::TraceFexit | AttachType::ModifyReturn | AttachType::TraceFsession)
    );
    let known = types.is_some();
    let types = types.unwrap_or_default();
    let count = if known { types.len() } else { 6 };
    let mut layout = words(&format!("the arguments of {name}"), count);
    name_words(&mut layout, &types, &[]);
    if returns {
        layout.push("ret", layout.size, number(8));
        layout.size = layout.size.saturating_add(8);
    }
    layout
}

/// `struct nf_hook_state`, as far as test runs let users set it.
fn netfilter() -> Layout {
    let mut layout = Layout {
        name: "struct nf_hook_state".into(),
        size: 48,
        ..Layout::default()
    };
    layout.push("hook", 0, number(1));
    layout.push("pf", 1, number(1));
    layout
}

/// A structure of the uapi header.
fn uapi(of: &'static StructLayout) -> Layout {
    let mut layout = Layout {
        name: format!("struct {}", of.name),
        size: of.size as usize,
        ..Layout::default()
    };
    for field in of.fields.iter().filter(|field| field.bits.is_none()) {
        let end = format!("{}_end", field.name);
        let end_at = of.field(&end).filter(|_| field.size == 8);
        layout.fields.push(ContextField {
            name: field.name.to_owned(),
            offset: field.offset as usize,
            of: Type::Plain(Plain {
                size: field.size as usize,
                count: (field.count != 1).then_some(field.count as usize),
                signed: matches!(field.c_type, "__s32" | "__s64" | "int"),
                network: matches!(field.c_type, "__be16" | "__be32"),
            }),
            end_at: end_at.map(|end| end.offset as usize),
        });
    }
    layout
}
