//! The task that a test's programs run for.

use std::sync::Arc;

use skep::vm::{AddressSpace, Task, TaskInfo, Vm};

use super::memory::UserSpace;
use crate::{
    source::Parsed,
    typed::{duration, hex},
    value::{Kind, Value},
};

/// What a task can be said to be.
pub(crate) const FIELDS: [&str; 9] = [
    "pid",
    "tgid",
    "uid",
    "gid",
    "comm",
    "start_time",
    "parent",
    "memory",
    "args",
];

/// A task of this number and name, if nothing is said.
const PID: u32 = 1000;
const COMM: &str = "test";

/// Makes it.
///
/// # Errors
/// The value is no task.
pub(crate) fn task(vm: &Vm, value: Option<&Value>, memory: &Arc<UserSpace>) -> Parsed<Arc<Task>> {
    let mut info = TaskInfo::default();
    (info.pid, info.tgid, info.uid, info.gid) = (PID, PID, PID, PID);
    info.comm = COMM.to_owned();
    info.memory = Some(Arc::clone(memory) as _);
    if let Some(value) = value {
        describe(&mut info, value)?;
        if let Some(args) = value.get("args") {
            let mut bytes = Vec::new();
            for arg in args.array("an array of a command's words")? {
                bytes.extend_from_slice(arg.text("a word")?.as_bytes());
                bytes.push(0);
            }
            let start = memory.put(&bytes);
            let mut space = AddressSpace::default();
            space.arguments = start..start.saturating_add(bytes.len() as u64);
            info.address_space = Some(space);
        }
        if let Some(parent) = value.get("parent") {
            parent.only(
                "field of a task's parent",
                &["pid", "tgid", "uid", "gid", "comm"],
            )?;
            let mut other = TaskInfo::default();
            (other.pid, other.tgid) = (1, 1);
            describe(&mut other, parent)?;
            info.parent = Some(vm.task(other));
        }
        for part in value
            .get("memory")
            .map(|memory| memory.array("an array"))
            .into_iter()
            .flatten()
        {
            for part in part {
                put(memory, part)?;
            }
        }
    }
    Ok(vm.task(info))
}

fn describe(info: &mut TaskInfo, value: &Value) -> Parsed<()> {
    for entry in value.entries("a table of a task's fields")? {
        let number = || entry.value.number::<u32>("a task's number");
        match entry.name.as_str() {
            "pid" => {
                info.pid = number()?;
                if value.get("tgid").is_none() {
                    info.tgid = info.pid;
                }
            }
            "tgid" => {
                info.tgid = number()?;
                if value.get("pid").is_none() {
                    info.pid = info.tgid;
                }
            }
            "uid" => info.uid = number()?,
            "gid" => info.gid = number()?,
            "comm" => info.comm = entry.value.text("a task's name")?.to_owned(),
            "start_time" => info.start_time = time(&entry.value)?,
            _ => {}
        }
    }
    Ok(())
}

/// A part of its memory: `{ address = 0x1000, string = "…" }`.
fn put(memory: &UserSpace, value: &Value) -> Parsed<()> {
    value.only("part of a task's memory", &["address", "string", "bytes"])?;
    let address = value
        .get("address")
        .ok_or_else(|| value.error("this memory has no address"))?;
    let address: u64 = address.number("an address")?;
    let bytes = match (value.get("string"), value.get("bytes")) {
        (Some(text), None) => {
            let mut bytes = text.text("a text")?.as_bytes().to_vec();
            bytes.push(0);
            bytes
        }
        (None, Some(text)) => {
            let digits = text.text("hexadecimal text")?;
            hex(digits).map_err(|what| text.error(what))?
        }
        _ => return Err(value.error("memory has either a string or bytes")),
    };
    match memory.put_at(address, &bytes) {
        true => Ok(()),
        false => Err(value.error("the task has something on these pages already")),
    }
}

/// Nanoseconds, or a text such as `1.5s`.
///
/// # Errors
/// It is neither.
pub(crate) fn time(value: &Value) -> Parsed<u64> {
    match &value.kind {
        Kind::Text(text) => duration(text).ok_or_else(|| {
            value
                .error(format!("{text:?} is no time"))
                .help("times are \"1.5s\", \"10ms\", \"3us\", or nanoseconds")
        }),
        _ => value.number("a time: nanoseconds, or \"1.5s\""),
    }
}
