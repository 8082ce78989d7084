//! Nothing public of `skep-ebpf` goes without an example that is a program.

use std::{collections::BTreeSet, fs};

use skep_testing::{Outcome, ensure};

use super::source::{Example, files, library};

const CO_RE: &str = "machinery of the macros, hidden or private";
const TAKEN: &str = "what macros and attributes take, by a bound";
const RETURNED: &str = "what programs may return, by a bound";
const MODE: &str = "whether a `Packet` is one, or a `PacketMut`";

/// What is public and in no example, and why: a file or folder, and a name in it or all.
const WITHOUT: &[(&str, &str, &str)] = &[
    ("co_re/access.rs", "", CO_RE),
    ("co_re/load.rs", "follow", CO_RE),
    ("co_re/path.rs", "", CO_RE),
    ("co_re/read.rs", "", CO_RE),
    ("co_re/text.rs", "", CO_RE),
    ("co_re/types.rs", "", CO_RE),
    ("co_re/load.rs", "Load", TAKEN),
    ("co_re/bits.rs", "FromBits", TAKEN),
    ("context/arguments.rs", "Arguments", TAKEN),
    ("context/arguments.rs", "Argument", TAKEN),
    ("context/mod.rs", "Context", TAKEN),
    ("context/lookup.rs", "Sealed", "private"),
    ("hook/mod.rs", "Watched", RETURNED),
    ("hook/mod.rs", "Permitted", RETURNED),
    ("hook/mod.rs", "Decided", RETURNED),
    ("hook/mod.rs", "Answered", RETURNED),
    ("hook/mod.rs", "Number", RETURNED),
    ("hook/verdict.rs", "Verdict", RETURNED),
    ("packet/mod.rs", "Mode", MODE),
    ("packet/mod.rs", "Shared", MODE),
    ("packet/mod.rs", "Exclusive", MODE),
    (
        "dynptr.rs",
        "PacketContext",
        "which contexts `with_packet` takes",
    ),
    (
        "helper/task.rs",
        "PidTgid",
        "what a function returns, whose fields are used",
    ),
    (
        "helper/task.rs",
        "UidGid",
        "what a function returns, whose fields are used",
    ),
    (
        "helper/repeat.rs",
        "Step",
        "what closures may return, and examples' do",
    ),
    (
        "external/record.rs",
        "",
        "what the macros leave for who finishes the object",
    ),
    (
        "external/mod.rs",
        "Ksym",
        "what `#[ksym]` makes of a static",
    ),
    (
        "external/mod.rs",
        "Kconfig",
        "what `#[kconfig]` makes of a static",
    ),
    ("external/mod.rs", "Configured", "what `#[kconfig]` takes"),
    ("iterate/", "Numbers", "what a macro begins"),
    ("iterate/", "Bits", "what a macro begins"),
    ("iterate/", "Tasks", "what a macro begins"),
    ("iterate/", "Areas", "what a macro begins"),
    ("iterate/", "Groups", "what a macro begins"),
    (
        "sync/guard.rs",
        "RcuGuard",
        "what a function returns, which is held and dropped",
    ),
    (
        "sync/guard.rs",
        "PreemptGuard",
        "what a function returns, which is held and dropped",
    ),
    ("map/definition.rs", "Number", "how definitions are made"),
    ("map/definition.rs", "Map", "what is common to all maps"),
    (
        "map/definition.rs",
        "MapOptions",
        "what is common to all `Options`",
    ),
    (
        "map/device.rs",
        "Device",
        "the type of values that user space writes",
    ),
    (
        "map/device.rs",
        "Cpu",
        "the type of values that user space writes",
    ),
    ("map/value.rs", "part", "what `field!` is made of"),
    (
        "setting.rs",
        "Setting",
        "what `#[setting]` makes of a static",
    ),
    (
        "show.rs",
        "shared",
        "needs a crate: `skep new --rust` has one that runs",
    ),
    (
        "sync/lock.rs",
        "bpf_spin_lock",
        "the kernel's name of `SpinLock`",
    ),
    (
        "sync/lock.rs",
        "SpinGuard",
        "what `lock` returns, which is held and dropped",
    ),
    ("sync/timer.rs", "bpf_timer", "the kernel's name of `Timer`"),
    ("sync/work.rs", "bpf_wq", "the kernel's name of `WorkQueue`"),
];

/// The names that a file of the library makes public, with the lines they stand in.
fn public(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut hidden, mut exported) = (false, false);
    let (mut listed, mut attribute) = (false, false);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        attribute |= line.starts_with("#[");
        if line.starts_with("//") || attribute {
            attribute &= !line.ends_with(']');
            hidden |= line.starts_with("#[doc(hidden)]");
            exported |= line.starts_with("#[macro_export]");
            continue;
        }
        if let Some(names) = line.strip_prefix("pub use skep_ebpf_macros::") {
            listed = true;
            names_of(names, number, &mut found);
        } else if listed {
            names_of(line, number, &mut found);
        } else if let Some(name) = item(line, exported)
            && !hidden
        {
            found.push((number, name.to_owned()));
        }
        listed &= !line.ends_with(';');
        (hidden, exported) = (false, false);
    }
    found
}

fn names_of(list: &str, line: usize, found: &mut Vec<(usize, String)>) {
    found.extend(words(list).map(|word| (line, word.to_owned())));
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| !word.is_empty())
}

/// The name of a public function, type, trait or macro that begins on a line.
fn item(line: &str, exported: bool) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("macro_rules! ") {
        return words(rest).next().filter(|_| exported);
    }
    let mut rest = line.strip_prefix("pub ")?;
    for modifier in [
        "const fn ",
        "unsafe fn ",
        "const unsafe fn ",
        "unsafe trait ",
    ] {
        if let Some(named) = rest.strip_prefix(modifier) {
            rest = named;
            return name(rest);
        }
    }
    let kinds = ["fn ", "struct ", "enum ", "trait ", "union ", "type "];
    kinds.iter().find_map(|kind| name(rest.strip_prefix(kind)?))
}

/// The name at the front; none where a macro makes it.
fn name(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    text.get(..end?).filter(|name| !name.is_empty())
}

/// Each public name stands in an example, or in the list of those that need not.
pub(super) fn complete() -> Outcome {
    let library = library();
    let examples = Example::all()?;
    let used: BTreeSet<&str> = examples
        .iter()
        .flat_map(|example| words(&example.text))
        .collect();
    let (mut wrong, mut all) = (Vec::new(), BTreeSet::new());
    for path in files(&library)? {
        let file = path.strip_prefix(&library)?.display().to_string();
        if file.contains("generated") {
            continue;
        }
        for (line, name) in public(&fs::read_to_string(&path)?) {
            let excepted = WITHOUT.iter().any(|(at, without, _)| {
                file.starts_with(at) && (without.is_empty() || *without == name)
            });
            if !used.contains(name.as_str()) && !excepted {
                wrong.push(format!(
                    "crates/skep-ebpf/src/{file}:{line}: `{name}` is in no example"
                ));
            }
            all.insert(name);
        }
    }
    for (_, name, _) in WITHOUT.iter().filter(|(_, name, _)| !name.is_empty()) {
        if used.contains(name) || !all.contains(*name) {
            wrong.push(format!(
                "`{name}` need not be in the list of what is in no example"
            ));
        }
    }
    ensure(wrong.is_empty(), || wrong.join("\n"))
}
