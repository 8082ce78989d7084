//! The table of hooks by kernels in the documentation (`HOOKS.md`), written from what a run on all
//! promised kernels saw.

use std::fs;

use super::results::{Cells, Results};
use crate::{Result, root};

/// Where it stands, from the workspace's folder.
const FILE: &str = "HOOKS.md";

const HEAD: &str = "\
# Hooks by kernel

Each cell is a test that ran on that kernel (Debian's, under QEMU): the program was attached by its
section's name, the hook was fired, and the program saw it; detached, it saw no more. Written by
`cargo xtask vm` (or `cargo xtask test --kernels all`); don't edit it by hand.

";

const LEGEND: &str = "
✓: it fires. A version: not there yet in that kernel, Linux brought it with this one. (n): skipped,
for the reason below: the kernel is built or started without it.
";

/// Writes it, if something of it is new. A run in which a hook failed leaves it as it is.
pub(super) fn write(results: &Results) -> Result<()> {
    let Some(text) = markdown(results) else {
        println!("{FILE} is left as it is: not every hook could be tried on every kernel");
        return Ok(());
    };
    let path = root().join(FILE);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text)?;
    println!("{FILE} is new");
    Ok(())
}

fn markdown(results: &Results) -> Option<String> {
    let Cells { kernels, rows, why } = results.hooks()?;
    let mut text = HEAD.to_owned();
    text += &format!("| hook | {} |\n", kernels.join(" | "));
    text += &format!("|---|{}\n", "---|".repeat(kernels.len()));
    for (hook, cells) in rows {
        text += &format!("| `{hook}` | {} |\n", cells.join(" | ").replace("ok", "✓"));
    }
    text += LEGEND;
    for (number, reason) in why.iter().enumerate() {
        text += &format!("\n- ({}) {reason}", number + 1);
    }
    if !why.is_empty() {
        text.push('\n');
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_rows() {
        let mut results = Results::of(&["5.10".to_owned(), "7.3".to_owned()]);
        for (kernel, line) in [
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
        ] {
            results.said(kernel, "skep", line);
        }
        let text = markdown(&results).unwrap();
        assert!(
            text.contains("| hook | 5.10 | 7.3 |\n|---|---|---|\n"),
            "{text}"
        );
        assert!(text.contains("| `kprobe.multi` | 5.18 | ✓ |\n"), "{text}");
        assert!(text.contains("| `lirc` | (1) | (1) |\n"), "{text}");
        assert!(
            text.ends_with("- (1) lacks CONFIG_BPF_LIRC_MODE2\n"),
            "{text}"
        );
        results.said("7.3", "skep", "test [lirc] y ... FAILED");
        assert!(markdown(&results).is_none());
    }
}
