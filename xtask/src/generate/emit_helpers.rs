//! Rust text for the helper table and for which program type may call which helper.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::c::Header;
use super::prototypes::Prototype;
use super::tables::{self, Row};
use crate::Result;

/// The tables of helpers and of what they take and give: prototypes joined with `helpers.tsv`.
pub(super) fn helpers(prototypes: &[Prototype], rows: &[Row]) -> Result<String> {
    let mut out = String::from("\npub(crate) static HELPERS: &[Helper] = &[\n");
    let mut signatures = String::from(
        "];\n\n/// What each of `HELPERS` takes and gives.\npub(crate) static SIGNATURES: &[Signature] = &[\n",
    );
    let mut facts: BTreeMap<&str, &Row> = BTreeMap::new();
    for row in rows {
        if facts.insert(row.cell(0)?, row).is_some() {
            return Err(format!("{}: a second row for `{}`", row.place, row.cells[0]).into());
        }
    }
    for (index, prototype) in prototypes.iter().enumerate() {
        let name = prototype.name.as_str();
        if prototype.id as usize != index + 1 {
            return Err(format!("the helper numbers have a gap before {}", prototype.id).into());
        }
        let row = facts
            .remove(name)
            .ok_or_else(|| format!("helpers.tsv lacks `{name}`"))?;
        helper(prototype, row, &mut out)
            .and_then(|()| signature(prototype, row, &mut signatures))
            .map_err(|e| format!("{}: {e}", row.place))?;
    }
    if let Some((name, row)) = facts.first_key_value() {
        return Err(format!("{}: the header has no `{name}`", row.place).into());
    }
    out.push_str(&signatures);
    out.push_str(
        "];\n\n/// Places in `HELPERS`, sorted by name.\npub(crate) static BY_NAME: &[u8] = &[\n",
    );
    let mut order: Vec<usize> = (0..prototypes.len()).collect();
    order.sort_by_key(|&index| &prototypes[index].name);
    for chunk in order.chunks(16) {
        let line: Vec<String> = chunk.iter().map(ToString::to_string).collect();
        writeln!(out, "    {},", line.join(", "))?;
    }
    out.push_str("];\n");
    Ok(out)
}

fn helper(prototype: &Prototype, row: &Row, out: &mut String) -> Result<()> {
    let (major, minor) = tables::version(row, 1)?;
    let properties = bits(
        "HelperProperties",
        row.cell(2)?.split(' '),
        &[
            ("gpl", "GPL_ONLY"),
            ("sleeps", "MAY_SLEEP"),
            ("packet", "PACKET_ACCESS"),
            ("changes", "CHANGES_PACKET"),
            ("fastcall", "FASTCALL"),
        ],
    )?;
    writeln!(out, "    Helper {{")?;
    writeln!(out, "        id: {},", prototype.id)?;
    writeln!(out, "        name: \"{}\",", prototype.name)?;
    writeln!(out, "        since: KernelVersion::new({major}, {minor}),")?;
    writeln!(out, "        properties: {properties},")?;
    writeln!(out, "    }},")?;
    Ok(())
}

fn signature(prototype: &Prototype, row: &Row, out: &mut String) -> Result<()> {
    let returned = value(row.cell(3)?, "ReturnKind", &RETURN_KINDS)?;
    writeln!(out, "    // {}", prototype.name)?;
    writeln!(out, "    Signature {{")?;
    writeln!(
        out,
        "        returns: Return {{ c_type: \"{}\", {returned} }},",
        prototype.returns
    )?;
    writeln!(out, "        parameters: &[")?;
    let kinds = &row.cells[4..];
    // The verifier sees five registers; what a variadic helper takes stands in none of its own.
    let fixed = prototype
        .parameters
        .iter()
        .filter(|p| p.c_type != "...")
        .count();
    if fixed != kinds.len() {
        return Err(format!("{fixed} parameters in C, {} in the table", kinds.len()).into());
    }
    for (index, parameter) in prototype.parameters.iter().enumerate() {
        let kind = kinds.get(index).map_or("variadic", String::as_str);
        writeln!(
            out,
            "            Parameter {{ c_type: \"{}\", name: \"{}\", {} }},",
            parameter.c_type,
            parameter.name,
            value(kind, "ArgKind", &ARGUMENT_KINDS)?,
        )?;
    }
    writeln!(out, "        ],\n    }},")?;
    Ok(())
}

const ARGUMENT_KINDS: [(&str, &str); 25] = [
    ("map", "ConstMapPtr"),
    ("map_key", "MapKey"),
    ("map_value", "MapValue"),
    ("mem", "Mem"),
    ("size", "MemSize"),
    ("size_or_zero", "MemSizeOrZero"),
    ("ctx", "Ctx"),
    ("any", "Anything"),
    ("scalar", "Scalar"),
    ("spin_lock", "SpinLock"),
    ("sock_common", "SockCommon"),
    ("socket", "Socket"),
    ("btf", "BtfId"),
    ("ringbuf_mem", "RingbufMem"),
    ("alloc_size", "ConstAllocSizeOrZero"),
    ("btf_sock_common", "BtfIdSockCommon"),
    ("percpu_btf", "PercpuBtfId"),
    ("func", "Func"),
    ("stack", "Stack"),
    ("const_str", "ConstStr"),
    ("timer", "Timer"),
    ("kptr_dest", "KptrXchgDest"),
    ("dynptr", "Dynptr"),
    ("unchecked", "DontCare"),
    ("variadic", "Variadic"),
];

const RETURN_KINDS: [(&str, &str); 9] = [
    ("integer", "Integer"),
    ("void", "Void"),
    ("map_value", "MapValue"),
    ("socket", "Socket"),
    ("tcp_sock", "TcpSock"),
    ("sock_common", "SockCommon"),
    ("mem", "Mem"),
    ("mem_or_btf", "MemOrBtfId"),
    ("btf", "BtfId"),
];

/// `mem:ro:8` as the fields `kind`, `flags`, `size` and `btf_type`.
fn value(text: &str, kind_type: &str, kinds: &[(&str, &str)]) -> Result<String> {
    let mut parts = text.split(':');
    let word = parts.next().unwrap_or_default();
    let (_, kind) = kinds
        .iter()
        .find(|(name, _)| *name == word)
        .ok_or_else(|| format!("`{word}` is no kind of value"))?;
    let (mut size, mut btf_type, mut flags) = ("None".to_owned(), "None".to_owned(), Vec::new());
    for part in parts {
        if let Some(name) = part.strip_prefix('=') {
            btf_type = format!("Some(\"{name}\")");
        } else if part.starts_with(|c: char| c.is_ascii_digit()) {
            size = format!("Some({part})");
        } else {
            flags.push(part);
        }
    }
    let flags = bits(
        "ValueFlags",
        flags.into_iter(),
        &[
            ("null", "MAYBE_NULL"),
            ("ro", "READ_ONLY"),
            ("uninit", "UNINIT"),
            ("write", "WRITE"),
            ("aligned", "ALIGNED"),
            ("release", "RELEASE"),
            ("local", "DYNPTR_LOCAL"),
            ("ringbuf", "RINGBUF"),
            ("trusted", "TRUSTED"),
        ],
    )?;
    let size = if kind_type == "ArgKind" {
        format!(", size: {size}")
    } else {
        String::new()
    };
    Ok(format!(
        "kind: {kind_type}::{kind}, flags: {flags}{size}, btf_type: {btf_type}"
    ))
}

/// A constant set of flags from table words; `-` is none.
pub(super) fn bits<'a>(
    rust: &str,
    words: impl Iterator<Item = &'a str>,
    names: &[(&str, &str)],
) -> Result<String> {
    let mut set = format!("{rust}::empty()");
    for word in words.filter(|word| *word != "-") {
        let (_, name) = names
            .iter()
            .find(|(known, _)| *known == word)
            .ok_or_else(|| format!("`{word}` is not one of {rust}"))?;
        if set.ends_with("empty()") {
            set = format!("{rust}::{name}");
        } else {
            write!(set, ".union({rust}::{name})")?;
        }
    }
    Ok(set)
}

/// A set of helpers: who is in it, and who only sometimes.
#[derive(Clone, Default)]
struct Set {
    members: BTreeMap<usize, bool>,
}

/// Bit sets of helpers by program type, and the capability that a helper needs by itself.
pub(super) fn sets(header: &Header, prototypes: &[Prototype], rows: &[Row]) -> Result<String> {
    let mut sets: BTreeMap<&str, Set> = BTreeMap::new();
    let mut capabilities: BTreeMap<usize, &str> = BTreeMap::new();
    for row in rows {
        let mut set = Set::default();
        for word in row.cell(2)?.split(' ') {
            let (word, sometimes) = match word.strip_suffix('?') {
                Some(word) => (word, true),
                None => (word, false),
            };
            if word == "*" {
                set.members
                    .extend(prototypes.iter().map(|p| (p.id as usize, true)));
            } else if let Some(name) = word.strip_prefix('+') {
                let included = sets
                    .get(name)
                    .ok_or_else(|| format!("{}: no set `{name}`", row.place))?;
                set.members.extend(included.members.iter());
            } else if let Some(name) = word.strip_prefix('-') {
                let id = find(prototypes, name, row)?;
                set.members
                    .remove(&id)
                    .ok_or_else(|| format!("{}: no `{name}`", row.place))?;
            } else {
                let id = find(prototypes, word, row)?;
                set.members.insert(id, sometimes);
                if row.cell(1)? != "-" {
                    capabilities.insert(id, row.cell(1)?);
                }
            }
        }
        if sets.insert(row.cell(0)?, set).is_some() {
            return Err(format!("{}: a second row for `{}`", row.place, row.cells[0]).into());
        }
    }
    let types = &header
        .enumerations
        .iter()
        .find(|e| e.name.as_deref() == Some("bpf_prog_type"))
        .ok_or("the header has no program types")?
        .values;
    let mut out = String::from(
        "\n/// By program type: the helpers it may call, and those of them it may call only sometimes.\n\
         pub(crate) static ALLOWED: &[(HelperBits, HelperBits)] = &[\n",
    );
    let empty = Set::default();
    for (name, _) in types.iter().filter(|(name, _)| !name.starts_with("__")) {
        let set = match sets.get(name.as_str()) {
            Some(set) => set,
            None if name.ends_with("_UNSPEC") => &empty,
            None => return Err(format!("helper_sets.tsv lacks `{name}`").into()),
        };
        writeln!(out, "    // {name}")?;
        writeln!(
            out,
            "    ({}, {}),",
            words(set, |_| true),
            words(set, |sometimes| sometimes)
        )?;
    }
    out.push_str("];\n\n/// Helpers that need a capability by themselves.\n");
    out.push_str("pub(crate) fn capability(id: u32) -> Option<Capability> {\n    match id {\n");
    for wanted in ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN"] {
        let ids: Vec<String> = capabilities
            .iter()
            .filter(|(_, c)| **c == wanted)
            .map(|(id, _)| id.to_string())
            .collect();
        let variant = super::emit::camel_case(&wanted["CAP_".len()..].to_lowercase());
        writeln!(
            out,
            "        {} => Some(Capability::{variant}),",
            ids.join(" | ")
        )?;
    }
    out.push_str("        _ => None,\n    }\n}\n");
    Ok(out)
}

fn find(prototypes: &[Prototype], name: &str, row: &Row) -> Result<usize> {
    prototypes
        .iter()
        .find(|p| p.name.strip_prefix("bpf_") == Some(name))
        .map(|p| p.id as usize)
        .ok_or_else(|| format!("{}: no helper `{name}`", row.place).into())
}

fn words(set: &Set, wanted: impl Fn(bool) -> bool) -> String {
    let mut words = [0u64; 4];
    for (id, sometimes) in &set.members {
        if wanted(*sometimes) {
            words[id / 64] |= 1 << (id % 64);
        }
    }
    let words: Vec<String> = words.iter().map(|word| format!("{word:#x}")).collect();
    format!("[{}]", words.join(", "))
}
