//! The table of hooks by kernels in the documentation (`HOOKS.md`), written from what the newest runs
//! on the promised kernels saw.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use skep_object::{AttachKind, SectionName};

use super::{
    kept::Kept,
    kernel::PROMISED,
    own,
    results::{Cells, FAILED, Results, UNTRIED},
};
use crate::{Result, root};

/// Where it stands, from the workspace's folder.
const FILE: &str = "HOOKS.md";

const HEAD: &str = "\
# Hooks by kernel

Each cell is a test that ran on that kernel (Debian's, under QEMU): the program was attached by its
section's name or by the library, the hook was fired, and the program saw it. Written by
`cargo xtask vm` on all of them (or `cargo xtask test --kernels all`); don't edit it by hand.
A test is a row by `.of_hook(\"NAME\")`, and by nothing else.

";

const LEGEND: &str = "
✓: it fires. A version: not there yet in that kernel, Linux brought it with this one. (n): skipped,
for the reason below: the kernel is built or started without it.
";

/// Writes it, if something of it is new. Unless it `must`, it is left as it is where a hook failed or
/// was not tried.
pub(super) fn write(folder: &Path, must: bool) -> Result<()> {
    let mut kept = Vec::new();
    for version in PROMISED {
        kept.push((version.to_owned(), Kept::read(folder, version)?));
    }
    let mut results = Results::of(&PROMISED.map(str::to_owned));
    for (version, kept) in &kept {
        kept.tell(version, &mut results);
    }
    let cells = results.cells();
    if !must && !cells.is_whole() {
        println!("{FILE} is left as it is: not every hook fired or was skipped on every kernel");
        return Ok(());
    }
    let missing = missing(cells.rows.iter().map(|(hook, _)| *hook));
    if !missing.is_empty() {
        return Err(format!(
            "no test is a row of {FILE} for sections of these names: {}",
            missing.join(", ")
        )
        .into());
    }
    let text = markdown(&cells, &kept, &own_kernels(folder)?);
    let path = root().join(FILE);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text)?;
    println!("{FILE} is new");
    Ok(())
}

/// What runs on kernels of the user's own kept.
fn own_kernels(folder: &Path) -> Result<Vec<(String, Kept)>> {
    let mut own = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".hooks").filter(|name| own::is_own(name)) {
            own.push((name.to_owned(), Kept::read(folder, name)?));
        }
    }
    own.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(own)
}

/// The hooks that a promised kernel was built without and that fired on one of the user's own.
fn shown_elsewhere(cells: &Cells<'_>, name: &str, kept: &Kept) -> Vec<String> {
    let without = cells.rows.iter().filter(|(_, row)| {
        let mut row = row.iter();
        row.any(|cell| cell.starts_with('('))
    });
    let without: BTreeSet<&str> = without.map(|(hook, _)| *hook).collect();
    let mut results = Results::of(&[name.to_owned()]);
    kept.tell(name, &mut results);
    let rows = results.cells().rows.into_iter();
    rows.filter(|(hook, row)| row == &["ok"] && without.contains(hook))
        .map(|(hook, _)| hook.to_owned())
        .collect()
}

fn markdown(cells: &Cells<'_>, kept: &[(String, Kept)], own: &[(String, Kept)]) -> String {
    let Cells { kernels, rows, why } = cells;
    let mut text = HEAD.to_owned();
    text += &format!("| hook | {} |\n", kernels.join(" | "));
    text += &format!("|---|{}\n", "---|".repeat(kernels.len()));
    let sign = |cell: &String| match cell.as_str() {
        "ok" => "✓".to_owned(),
        FAILED => "✗".to_owned(),
        UNTRIED => "–".to_owned(),
        _ => cell.clone(),
    };
    for (hook, cells) in rows {
        let cells: Vec<String> = cells.iter().map(sign).collect();
        text += &format!("| `{hook}` | {} |\n", cells.join(" | "));
    }
    text += LEGEND;
    if !cells.is_whole() {
        text += "✗: its test failed. –: its test is newer than the newest run on that kernel.\n";
    }
    for (number, reason) in why.iter().enumerate() {
        text += &format!("\n- ({}) {reason}", number + 1);
    }
    if !why.is_empty() {
        text.push('\n');
    }
    let mut elsewhere = Vec::new();
    for (name, kept) in own {
        let shown = shown_elsewhere(cells, name, kept);
        if !shown.is_empty() {
            elsewhere.push(kept);
            text += &format!(
                "\nOn a kernel that is built with what those lack ({}; CONTRIBUTING.md says how) these\n\
                 fired, too: `{}`.\n",
                kept.release,
                shown.join("`, `")
            );
        }
    }
    text += "\nThe kernels, and the runs that the cells are of:\n\n";
    // Most often it is one run on all.
    let mut runs: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for kept in kept.iter().map(|(_, kept)| kept).chain(elsewhere) {
        let of_kernel = kept.runs().into_iter().collect();
        runs.entry(of_kernel).or_default().push(&kept.release);
    }
    for (runs, releases) in runs {
        text += &format!("- {}: {}\n", releases.join(", "), runs.join("; "));
    }
    text
}

/// The names of sections that no row is called by. A row `tc (clsact)` is one of `tc`, and `tcx` of
/// all `tcx/…`; names that mean the same have one row, and a name that leaves open how it is attached
/// (`sk_skb`) that of another which does not.
fn missing<'r>(rows: impl Iterator<Item = &'r str>) -> Vec<&'static str> {
    let known = |name: &str| SectionName::parse(name).ok();
    let mut named: Vec<SectionName> = Vec::new();
    for row in rows {
        let name = row.split(" (").next().unwrap_or(row);
        match known(name) {
            Some(section) => named.push(section),
            None => {
                let family = format!("{name}/");
                let all = SectionName::known().filter(|known| known.starts_with(&family));
                named.extend(all.filter_map(known));
            }
        }
    }
    let has_row = |name: &&str| {
        let Some(section) = known(name) else {
            return true;
        };
        named.iter().any(|row| {
            let same = row.attach_type() == section.attach_type()
                && row.is_sleepable() == section.is_sleepable()
                && row.has_frags() == section.has_frags();
            let open = section.attach_type().is_none();
            row.program_type() == section.program_type()
                && row.kind() == section.kind()
                && (same || open && !section.is_sleepable())
        })
    };
    // Programs of `syscall` are run by hand.
    let hooks = SectionName::known()
        .filter(|name| known(name).is_some_and(|known| known.kind() != AttachKind::Syscall));
    hooks.filter(|name| !has_row(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a run on two kernels said.
    fn ran(lines: &[(&str, &str)]) -> Vec<(String, Kept)> {
        let versions = ["5.10", "7.3"].map(str::to_owned);
        let mut results = Results::of(&versions);
        results.configured("5.10", "");
        for (kernel, line) in lines {
            results.said(kernel, "skep", line);
        }
        let kept = versions.map(|version| {
            let mut kept = Kept::default();
            kept.release = format!("{version}.1-cloud-amd64");
            kept.take(
                results.of_hooks(&version),
                "2026-11-29 11:20 UTC",
                &["skep"],
            );
            (version, kept)
        });
        kept.into()
    }

    fn text_of(kept: &[(String, Kept)]) -> String {
        let mut results = Results::of(&["5.10".to_owned(), "7.3".to_owned()]);
        for (version, kept) in kept {
            kept.tell(version, &mut results);
        }
        let own = Kept::default();
        markdown(&results.cells(), kept, &[("7.3 (image)".into(), own)])
    }

    #[test]
    fn hooks_are_rows() {
        let text = text_of(&ran(&[
            (
                "5.10",
                "test [kprobe.multi] x ... ignored (lacks Linux 5.18)",
            ),
            ("7.3", "test [kprobe.multi] x ... ok"),
            (
                "5.10",
                "test [lirc] y ... ignored (lacks CONFIG_BPF_LIRC_MODE2)",
            ),
            (
                "7.3",
                "test [lirc] y ... ignored (lacks CONFIG_BPF_LIRC_MODE2)",
            ),
            ("7.3", "test of_nothing ... ok"),
        ]));
        for part in [
            "| hook | 5.10 | 7.3 |\n|---|---|---|\n| `kprobe.multi` | 5.18 | ✓ |\n| `lirc` | (1) | (1) |\n",
            "\n- (1) lacks CONFIG_BPF_LIRC_MODE2\n",
            "\n- 5.10.1-cloud-amd64, 7.3.1-cloud-amd64: 2026-11-29 11:20 UTC\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains('✗'), "{text}");
    }

    /// Each name of a section is a row, by a test that fires it.
    #[test]
    fn the_table_has_a_row_for_every_name() {
        let text = fs::read_to_string(root().join(FILE)).unwrap();
        let rows = text.lines().filter_map(|line| {
            let (hook, _) = line.strip_prefix("| `")?.split_once('`')?;
            Some(hook)
        });
        assert_eq!(missing(rows), [""; 0]);
    }

    #[test]
    fn hooks_that_fired_on_ones_own_kernel_are_told() {
        let line = "test [lirc_mode2] y ... ";
        let lacks = format!("{line}ignored (lacks CONFIG_BPF_LIRC_MODE2)");
        let promised = ran(&[("7.3", &lacks), ("7.3", "test [xdp] x ... ok")]);
        let mut results = Results::of(&["7.3".to_owned()]);
        promised[1].1.tell("7.3", &mut results);
        let mut own = Kept::default();
        own.release = "6.12.1-mine".into();
        let name = "6.12 (image)";
        let mut said = Results::of(&[name.to_owned()]);
        for line in [&format!("{line}ok"), "test [xdp] x ... ok"] {
            said.said(name, "skep", line);
        }
        own.take(said.of_hooks(name), "2026-11-29 15:20 UTC", &["skep"]);
        let text = markdown(&results.cells(), &promised, &[(name.to_owned(), own)]);
        for part in [
            "(6.12.1-mine; CONTRIBUTING.md says how)",
            "fired, too: `lirc_mode2`.\n",
            "- 6.12.1-mine: 2026-11-29 15:20 UTC\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn names_without_a_row_are_told() {
        let all = missing([].into_iter());
        let rows = [
            "tracepoint",
            "tc (clsact)",
            "netkit (order)",
            "sk_skb/verdict",
            "uprobe",
            "usdt",
        ];
        let rest = missing(rows.into_iter());
        for name in ["tp", "tc", "classifier", "netkit/peer", "sk_skb", "usdt"] {
            assert!(
                all.contains(&name) && !rest.contains(&name),
                "{name}: {rest:?}"
            );
        }
        for name in [
            "tp.s",
            "tcx/ingress",
            "sk_skb/stream_parser",
            "uprobe.s",
            "kprobe",
            "xdp",
        ] {
            assert!(rest.contains(&name), "{name}: {rest:?}");
        }
        assert!(!all.contains(&"syscall"), "{all:?}");
    }

    #[test]
    fn what_failed_or_was_not_tried_is_told() {
        let text = text_of(&ran(&[
            ("5.10", "test [xdp] x ... FAILED"),
            // That kernel has it.
            ("7.3", "test [xdp] x ... ignored (lacks Linux 5.9)"),
            ("7.3", "test [tcx] y ... ok"),
        ]));
        assert!(
            text.contains("| `tcx` | – | ✓ |\n| `xdp` | ✗ | ✗ |\n"),
            "{text}"
        );
        assert!(text.contains("✗: its test failed."), "{text}");
    }
}
