//! Rust text for structure layouts, and for the facts about program and map types.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::c::Header;
use super::emit::camel_case;
use super::emit_helpers::bits;
use super::layout::Layout;
use super::tables::Row;
use crate::Result;

/// Every structure of the header, sorted by name.
pub(super) fn structures(layouts: &BTreeMap<String, Layout>) -> Result<String> {
    let mut out = String::from("\npub(crate) static STRUCTURES: &[StructLayout] = &[\n");
    for (name, layout) in layouts {
        writeln!(out, "    StructLayout {{")?;
        writeln!(
            out,
            "        name: \"{name}\",\n        is_union: {},\n        size: {},\n        align: {},\n        fields: &[",
            layout.union, layout.size, layout.align,
        )?;
        for field in &layout.fields {
            let bits = match field.bits {
                Some((first, width)) => {
                    format!("Some(BitRange {{ first: {first}, width: {width} }})")
                }
                None => "None".to_owned(),
            };
            writeln!(
                out,
                "            FieldLayout {{ name: \"{}\", c_type: \"{}\", offset: {}, size: {}, count: {}, bits: {bits} }},",
                field.name, field.c_type, field.offset, field.size, field.count,
            )?;
        }
        writeln!(out, "        ],\n    }},")?;
    }
    out.push_str("];\n");
    Ok(out)
}

/// Names of a C enumeration, in order, as they stand in arrays indexed by number.
fn names<'a>(header: &'a Header, c: &str) -> Result<Vec<&'a str>> {
    let enumeration = header
        .enumerations
        .iter()
        .find(|e| e.name.as_deref() == Some(c))
        .ok_or_else(|| format!("the header has no `enum {c}`"))?;
    let mut names: Vec<&str> = Vec::new();
    for (name, value) in &enumeration.values {
        // A later name of the same number is the one in use (`X_DEPRECATED`, then `X`).
        match usize::try_from(*value) {
            Ok(index) if index + 1 == names.len() => names[index] = name,
            Ok(index) if index == names.len() && !name.starts_with("__") => names.push(name),
            _ => {}
        }
    }
    Ok(names)
}

/// Rows by their first cell; each must name one of `known`.
fn by_name<'a>(rows: &'a [Row], known: &[&str]) -> Result<BTreeMap<&'a str, &'a Row>> {
    let mut map = BTreeMap::new();
    for row in rows {
        let name = row.cell(0)?;
        if !known.contains(&name) {
            return Err(format!("{}: the header has no `{name}`", row.place).into());
        }
        if map.insert(name, row).is_some() {
            return Err(format!("{}: a second row for `{name}`", row.place).into());
        }
    }
    Ok(map)
}

fn variant(c: &str, strip: &str) -> String {
    camel_case(&c.strip_prefix(strip).unwrap_or(c).to_lowercase())
}

fn capabilities(cell: &str) -> String {
    let list: Vec<String> = cell
        .split(' ')
        .filter(|name| *name != "-")
        .map(|name| format!("Capability::{}", variant(name, "CAP_")))
        .collect();
    list.join(", ")
}

/// Facts about program types, indexed by number.
pub(super) fn programs(
    header: &Header,
    layouts: &BTreeMap<String, Layout>,
    rows: &[Row],
    contexts: &[Row],
) -> Result<String> {
    let known = names(header, "bpf_prog_type")?;
    let (rows, contexts) = (by_name(rows, &known)?, by_name(contexts, &known)?);
    let mut out = String::from("\npub(crate) static PROGRAMS: &[ProgramFacts] = &[\n");
    for name in &known {
        writeln!(out, "    // {name}")?;
        let Some(row) = rows.get(name) else {
            if name.ends_with("_UNSPEC") {
                out.push_str("    ProgramFacts::UNSPEC,\n");
                continue;
            }
            return Err(format!("program_types.tsv lacks `{name}`").into());
        };
        program(row, layouts, contexts.get(name).copied(), &mut out)
            .map_err(|e| format!("{}: {e}", row.place))?;
    }
    out.push_str("];\n");
    Ok(out)
}

fn program(
    row: &Row,
    layouts: &BTreeMap<String, Layout>,
    context: Option<&Row>,
    out: &mut String,
) -> Result<()> {
    let cell = row.cell(1)?;
    let (kind, access) = match (cell.strip_prefix("struct "), context) {
        (Some(name), Some(rules)) => {
            let layout = layouts
                .get(name)
                .ok_or_else(|| format!("no `struct {name}`"))?;
            (
                format!("ContextKind::Struct(\"{name}\")"),
                field_access(layout, rules)?,
            )
        }
        (None, None) => (format!("ContextKind::{}", camel_case(cell)), String::new()),
        _ => {
            return Err(
                "contexts.tsv must have a row exactly for contexts with a structure".into(),
            );
        }
    };
    let properties = bits(
        "ProgramProperties",
        row.cell(4)?.split(' '),
        &[
            ("free", "UNPRIVILEGED"),
            ("sleepable", "SLEEPABLE"),
            ("sleeps", "ALWAYS_SLEEPABLE"),
            ("target", "NEEDS_TARGET"),
        ],
    )?;
    let attach: Vec<String> = row
        .cell(5)?
        .split(' ')
        .filter(|name| *name != "-")
        .map(|name| format!("AttachType::{}", variant(name, "BPF_")))
        .collect();
    writeln!(out, "    ProgramFacts {{")?;
    writeln!(out, "        context: {kind},")?;
    writeln!(out, "        access: &[\n{access}        ],")?;
    writeln!(
        out,
        "        expected: ExpectedAttachType::{},",
        camel_case(row.cell(2)?)
    )?;
    writeln!(
        out,
        "        capabilities: &[{}],",
        capabilities(row.cell(3)?)
    )?;
    writeln!(out, "        properties: {properties},")?;
    writeln!(
        out,
        "        attach_types: &[{}],\n        least: {},\n    }},",
        attach.join(", "),
        least(row)?
    )?;
    Ok(())
}

/// The least program of a type that loads.
fn least(row: &Row) -> Result<String> {
    let attach_type = match row.cell(6)? {
        "-" => "None".to_owned(),
        name => format!("Some(AttachType::{})", variant(name, "BPF_")),
    };
    let target = match row.cell(7)? {
        "-" => "None".to_owned(),
        "program" => "Program".to_owned(),
        name => match name.split_once('.') {
            Some((structure, member)) => {
                format!("Member {{ structure: \"{structure}\", member: \"{member}\" }}")
            }
            None if name.starts_with("btf_trace_") => format!("Tracepoint(\"{name}\")"),
            None => format!("Function(\"{name}\")"),
        },
    };
    let answer: i32 = row.cell(8)?.parse()?;
    Ok(format!(
        "LeastProgram {{ attach_type: {attach_type}, target: ProgramTarget::{target}, answer: {answer} }}"
    ))
}

/// One `FieldAccess` a field of the structure, from the rules of a row of `contexts.tsv`.
fn field_access(layout: &Layout, rules: &Row) -> Result<String> {
    let mut access = vec!["-"; layout.fields.len()];
    for rule in &rules.cells[1..] {
        let (fields, what) = rule
            .split_once('=')
            .ok_or_else(|| format!("{}: `{rule}` is no rule", rules.place))?;
        for name in fields.split(',') {
            let mut found = false;
            for (field, access) in layout.fields.iter().zip(&mut access) {
                if name == "*" || field.name == name {
                    *access = what;
                    found = true;
                }
            }
            if !found {
                return Err(format!("{}: no field `{name}`", rules.place).into());
            }
        }
    }
    let mut out = String::new();
    for (field, access) in layout.fields.iter().zip(access) {
        let (access, pointer) = access.split_once(':').unwrap_or((access, ""));
        let letters: Vec<String> = access.chars().map(String::from).collect();
        let set = bits(
            "Access",
            letters.iter().map(String::as_str),
            &[("r", "READ"), ("w", "WRITE"), ("?", "SOMETIMES")],
        )?;
        let pointer = match pointer {
            "" => "None".to_owned(),
            pointer => format!("Some(ContextPointer::{})", camel_case(pointer)),
        };
        let name = &field.name;
        writeln!(
            out,
            "            FieldAccess {{ access: {set}, pointer: {pointer} }}, // {name}"
        )?;
    }
    Ok(out)
}

/// Rules of map types, indexed by number.
pub(super) fn maps(header: &Header, rows: &[Row]) -> Result<String> {
    let known = names(header, "bpf_map_type")?;
    let rows = by_name(rows, &known)?;
    let mut out = String::from("\npub(crate) static MAPS: &[MapRules] = &[\n");
    for name in &known {
        writeln!(out, "    // {name}")?;
        let Some(row) = rows.get(name) else {
            if name.ends_with("_UNSPEC") {
                out.push_str("    MapRules::UNSPEC,\n");
                continue;
            }
            return Err(format!("map_types.tsv lacks `{name}`").into());
        };
        map(row, &mut out).map_err(|e| format!("{}: {e}", row.place))?;
    }
    out.push_str("];\n");
    Ok(out)
}

fn map(row: &Row, out: &mut String) -> Result<()> {
    let entries = match row.cell(3)? {
        "+" => "Positive",
        "0" => "Zero",
        "1" => "One",
        "ring" => "RingBytes",
        "pages" => "ArenaPages",
        other => return Err(format!("`{other}` is no rule for entries").into()),
    };
    let capability = match capabilities(row.cell(4)?).as_str() {
        "" => "None".to_owned(),
        one => format!("Some({one})"),
    };
    let flags = match row.cell(5)? {
        "-" => "empty()".to_owned(),
        flag => flag.strip_prefix("BPF_F_").unwrap_or(flag).to_owned(),
    };
    let properties = bits(
        "MapProperties",
        row.cell(6)?.split(' '),
        &[
            ("percpu", "PER_CPU"),
            ("mmap", "MMAP"),
            ("mmap_flag", "MMAP_WITH_FLAG"),
            ("batch", "BATCH"),
            ("pop", "LOOKUP_AND_DELETE"),
            ("fd", "DESCRIPTORS"),
            ("inner", "INNER_MAPS"),
            ("btf", "NEEDS_BTF"),
            ("vmlinux", "NEEDS_KERNEL_TYPE"),
            ("no_btf", "NO_BTF"),
            ("extra", "EXTRA"),
            ("lock", "SPIN_LOCK"),
            ("timer", "TIMER"),
            ("kptr", "KPTR"),
            ("list", "COLLECTIONS"),
            ("uptr", "UPTR"),
        ],
    )?;
    writeln!(out, "    MapRules {{")?;
    writeln!(out, "        key_size: SizeRule::{},", size(row.cell(1)?)?)?;
    writeln!(
        out,
        "        value_size: SizeRule::{},",
        size(row.cell(2)?)?
    )?;
    writeln!(out, "        max_entries: EntriesRule::{entries},")?;
    writeln!(out, "        capability: {capability},")?;
    writeln!(out, "        required_flags: MapCreateFlags::{flags},")?;
    writeln!(out, "        properties: {properties},\n    }},")?;
    Ok(())
}

fn size(cell: &str) -> Result<String> {
    Ok(if cell == "0" {
        "Zero".to_owned()
    } else if cell == "+" {
        "Positive".to_owned()
    } else if let Some(unit) = cell.strip_prefix('*') {
        format!("MultipleOf({unit})")
    } else if let Some((low, high)) = cell.split_once('-') {
        format!("Between({low}, {high})")
    } else {
        let sizes: Vec<u32> = cell
            .split('|')
            .map(str::parse)
            .collect::<std::result::Result<_, _>>()?;
        format!("OneOf(&{sizes:?})")
    })
}
