//! What the flags choose of an object before it is loaded: globals, sizes, programs.

use std::sync::Arc;

use skep::{BtfArchive, Host, Object};

use super::args::RunArgs;
use crate::exit::Usage;

/// Names under which programs keep the process they are limited to.
const PID: &[&str] = &[
    "target_pid",
    "targ_pid",
    "targ_tgid",
    "target_tgid",
    "filter_pid",
    "my_pid",
];
const TID: &[&str] = &["target_tid", "targ_tid", "filter_tid"];
const UID: &[&str] = &["target_uid", "targ_uid", "filter_uid"];

/// Applies the flags to the object.
pub(crate) fn apply(object: &mut Object, args: &RunArgs) -> anyhow::Result<()> {
    if !args.only.is_empty() {
        let names: Vec<&str> = args.only.iter().map(String::as_str).collect();
        object.only_programs(&names)?;
    }
    let filters = [
        (args.pid, PID, "-p", "process"),
        (args.tid, TID, "-t", "thread"),
        (args.uid, UID, "-u", "user"),
    ];
    for (value, names, flag, what) in filters {
        let Some(value) = value else { continue };
        let Some(name) = first_present(object, names) else {
            // Hooks that take a process need no help.
            if flag == "-p" && limits_by_itself(object) {
                continue;
            }
            return Err(Usage(format!(
                "{flag}: this program has no global to limit it to a {what}; it would be named {}",
                names.join(", ")
            ))
            .into());
        };
        object.global(name)?.set_text(&value.to_string())?;
    }
    for choice in &args.set {
        let (name, value) = assignment(choice, "--set")?;
        object.global(name)?.set_text(value)?;
    }
    for choice in &args.config {
        let (name, value) = assignment(choice, "--config")?;
        object.config(name, value)?;
    }
    match &args.btf {
        Some(path) if path.is_dir() => {
            object.btf_where_none(BtfArchive::folder(path));
        }
        Some(path) => {
            object.core_btf(Arc::new(skep::open_btf(path)?));
        }
        None => {}
    }
    for forms in &args.fall_back {
        let names: Vec<&str> = forms.split(',').collect();
        object.fall_back(&names)?;
    }
    for choice in &args.map_size {
        let (name, value) = assignment(choice, "--map-size")?;
        let entries = value.parse().map_err(|_| {
            Usage(format!(
                "--map-size {choice}: `{value}` is no number of entries"
            ))
        })?;
        object.map(name)?.max_entries(entries);
    }
    Ok(())
}

/// There is a global that limits the object to a process.
pub(crate) fn has_process_filter(object: &Object) -> bool {
    first_present(object, PID).is_some()
}

/// Limits the object to the command's process; by which global, or `None` if it has none.
pub(crate) fn limit_to(
    object: &mut Object,
    host: &Host,
    pid: u32,
) -> anyhow::Result<Option<String>> {
    let Some(name) = first_present(object, PID) else {
        return Ok(None);
    };
    let seen = host.kernel_pid(pid)?;
    object.global(name)?.set_text(&seen.to_string())?;
    Ok(Some(match seen == pid {
        true => name.to_owned(),
        false => format!("{name}: {seen}, its number outside of this PID namespace"),
    }))
}

/// In a PID namespace, says the processes that flags name as programs know them.
pub(crate) fn translate(object: &mut Object, host: &Host, args: &RunArgs) -> anyhow::Result<()> {
    for (number, names, what) in [(args.pid, PID, "process"), (args.tid, TID, "thread")] {
        let (Some(number), Some(name)) = (number, first_present(object, names)) else {
            continue;
        };
        let seen = host.kernel_pid(number)?;
        if seen != number {
            object.global(name)?.set_text(&seen.to_string())?;
            say!("{what} {number} is {seen} outside of this PID namespace, and for programs");
        }
    }
    Ok(())
}

fn first_present(object: &Object, names: &[&'static str]) -> Option<&'static str> {
    names
        .iter()
        .find(|name| {
            object
                .spec()
                .variables()
                .iter()
                .any(|variable| variable.name == **name)
        })
        .copied()
}

/// Each program's hook can be limited to a process, with no global's help.
pub(crate) fn limits_by_itself(object: &Object) -> bool {
    let mut programs = object.chosen_programs();
    programs.all(|program| program.section.takes_process())
}

fn assignment<'a>(choice: &'a str, flag: &str) -> anyhow::Result<(&'a str, &'a str)> {
    match choice.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.trim(), value)),
        _ => Err(Usage(format!("{flag} {choice}: write it as NAME=VALUE")).into()),
    }
}
