//! Rust text for enumerations, flag sets and constants: what the header says joined with
//! what the tables say. Each generated file is a list of macro calls, easy to review.

use std::fmt::Write as _;

use super::c::Header;
use super::tables::{self, Group, Row};
use crate::Result;

/// Enumerations, and return codes, which have the same shape.
pub(super) fn enumerations(header: &Header, groups: &[Group]) -> Result<String> {
    let mut out = String::new();
    for group in groups {
        enumeration(header, group, &mut out)?;
    }
    Ok(out)
}

fn enumeration(header: &Header, group: &Group, out: &mut String) -> Result<()> {
    let head = &group.head;
    let (rust, c, repr) = (head.cell(0)?, head.cell(1)?, head.cell(2)?);
    let (strip, doc) = (head.cell(3)?, head.cell(4)?);
    let mut listed: Vec<(&Row, &str, i128)> = Vec::new();
    for row in &group.rows {
        let name = row.cell(0)?;
        let value = header
            .value(name)
            .map_err(|e| format!("{}: {e}", row.place))?;
        listed.push((row, name, value));
    }
    let aliases = aliases(header, c, head, &listed)?;
    listed.retain(|(row, ..)| row.cells[1] != "skip");

    writeln!(out, "\nkernel_enum! {{\n    /// {doc}")?;
    if c != "-" {
        writeln!(out, "    ///\n    /// `enum {c}` of the uapi headers.")?;
        writeln!(out, "    #[doc(alias = \"{c}\")]")?;
    }
    writeln!(out, "    pub enum {rust}: {repr} {{")?;
    for (row, name, value) in &listed {
        let short = short_name(name, strip, row)?;
        let others: Vec<String> = aliases
            .iter()
            .filter(|(_, v)| v == value)
            .flat_map(|(alias, _)| {
                let short = alias.strip_prefix(strip).unwrap_or(alias).to_lowercase();
                [format!("\"{alias}\""), format!("\"{short}\"")]
            })
            .collect();
        let (major, minor) = tables::version(row, 1)?;
        writeln!(out, "        /// {}", row.cell(2)?)?;
        writeln!(
            out,
            "        ///\n        /// `{name}`. Since Linux {major}.{minor}."
        )?;
        writeln!(
            out,
            "        {} = {value}, ({major}, {minor}), \"{name}\" | \"{short}\" [{}];",
            camel_case(&short),
            others.join(" | "),
        )?;
    }
    writeln!(out, "    }}\n}}")?;
    Ok(())
}

/// Checks that a table lists all of a C enumeration, and gives the second names in it.
fn aliases(
    header: &Header,
    c: &str,
    head: &Row,
    listed: &[(&Row, &str, i128)],
) -> Result<Vec<(String, i128)>> {
    if c == "-" {
        return Ok(Vec::new());
    }
    let enumeration = header
        .enumerations
        .iter()
        .find(|e| e.name.as_deref() == Some(c))
        .ok_or_else(|| format!("{}: the headers have no `enum {c}`", head.place))?;
    let mut aliases = Vec::new();
    for (name, value) in &enumeration.values {
        if name.starts_with("__") || listed.iter().any(|(_, listed, _)| listed == name) {
            continue;
        }
        if !listed.iter().any(|(.., listed)| listed == value) {
            return Err(format!(
                "{}: `{name}` = {value} of the header is not listed",
                head.place
            )
            .into());
        }
        aliases.push((name.clone(), *value));
    }
    Ok(aliases)
}

/// Flag sets.
pub(super) fn flags(header: &Header, groups: &[Group]) -> Result<String> {
    let mut out = String::new();
    for group in groups {
        let head = &group.head;
        let (rust, repr, strip, doc) = (head.cell(0)?, head.cell(1)?, head.cell(2)?, head.cell(3)?);
        writeln!(
            out,
            "\nkernel_flags! {{\n    /// {doc}\n    pub struct {rust}: {repr} {{"
        )?;
        for row in &group.rows {
            let name = row.cell(0)?;
            let value = header
                .value(name)
                .map_err(|e| format!("{}: {e}", row.place))?;
            if value.count_ones() != 1 {
                return Err(format!("{}: `{name}` = {value} is not one bit", row.place).into());
            }
            let (major, minor) = tables::version(row, 1)?;
            let short = short_name(name, strip, row)?.to_uppercase();
            let short = short.strip_prefix("F_").unwrap_or(&short).to_owned();
            writeln!(out, "        /// {}", row.cell(2)?)?;
            writeln!(
                out,
                "        ///\n        /// `{name}`. Since Linux {major}.{minor}."
            )?;
            writeln!(
                out,
                "        {short} = 1 << {}, ({major}, {minor}), \"{name}\";",
                value.trailing_zeros(),
            )?;
        }
        writeln!(out, "    }}\n}}")?;
    }
    Ok(out)
}

/// Single constants.
pub(super) fn constants(header: &Header, rows: &[Row], version: &str) -> Result<String> {
    let mut out = format!(
        "\n/// The Linux release whose uapi headers this crate was generated from.\n\
         pub const UAPI_RELEASE: &str = \"{version}\";\n"
    );
    for row in rows {
        let (c, rust, kind, doc) = (row.cell(0)?, row.cell(1)?, row.cell(2)?, row.cell(3)?);
        let value = header.value(c).map_err(|e| format!("{}: {e}", row.place))?;
        let value = if (0..4096).contains(&value) || value < 0 {
            value.to_string()
        } else {
            format!("{value:#x}")
        };
        writeln!(out, "\n/// {doc} `{c}`.")?;
        if c != rust {
            writeln!(out, "#[doc(alias = \"{c}\")]")?;
        }
        writeln!(out, "pub const {rust}: {kind} = {value};")?;
    }
    Ok(out)
}

/// Fails if the header has a `BPF_F_*` constant that no table mentions: a new flag must be
/// sorted into its set by a person.
pub(super) fn nothing_forgotten(header: &Header, flags: &[Group], constants: &[Row]) -> Result<()> {
    // Names without a bit of their own, or that only spell the default.
    const KNOWN: [&str; 1] = ["BPF_F_REDIRECT_FLAGS"];
    let listed: Vec<&str> = flags
        .iter()
        .flat_map(|group| &group.rows)
        .chain(constants)
        .map(|row| row.cells[0].as_str())
        .collect();
    let forgotten: Vec<&str> = header
        .constant_names()
        .into_iter()
        .filter(|name| name.starts_with("BPF_F_") || name.starts_with("XDP_FLAGS_"))
        .filter(|name| !listed.contains(name) && !KNOWN.contains(name))
        .collect();
    match forgotten.as_slice() {
        [] => Ok(()),
        names => Err(format!(
            "flags of the header that data/flags.tsv lacks: {}",
            names.join(" ")
        )
        .into()),
    }
}

fn short_name(name: &str, strip: &str, row: &Row) -> Result<String> {
    match name.strip_prefix(strip) {
        Some(short) => Ok(short.to_lowercase()),
        None => Err(format!("{}: `{name}` does not start with `{strip}`", row.place).into()),
    }
}

/// `map_create` as `MapCreate`.
pub(super) fn camel_case(snake: &str) -> String {
    snake
        .split('_')
        .map(|word| {
            let mut chars = word.chars();
            chars
                .next()
                .map(|c| c.to_ascii_uppercase())
                .into_iter()
                .chain(chars)
                .collect::<String>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_turn_into_rust() {
        assert_eq!(camel_case("cgroup_inet4_post_bind"), "CgroupInet4PostBind");
        assert_eq!(camel_case("xdp"), "Xdp");
    }
}
