//! A test's context as bytes, with the memory that it points to; and what a run left of it beside
//! what is expected.

use std::sync::Arc;

use skep::{btf::Btf, vm::Task};

use super::{
    layout::{ContextField, Layout},
    memory::UserSpace,
};
use crate::{
    failure::Mismatch,
    source::{FileError, Parsed},
    typed::{Encoder, NoPointers, Pointers, Type, compare, hex, raw_bytes},
    value::{Entry, Kind, Value},
};

/// A context made ready for a run.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) bytes: Vec<u8>,
    /// Memory of the kernel that it points to.
    pub(crate) lent: Vec<Memory>,
}

/// See [`skep::vm::Lent`].
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) at: usize,
    pub(crate) end_at: Option<usize>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) writable: bool,
}

/// Where pointers of a context, or of a map's value, lead.
pub(crate) struct Places<'a> {
    /// The task's memory; `None` where tests have no task.
    pub(crate) user: Option<&'a UserSpace>,
    pub(crate) task: Option<&'a Arc<Task>>,
    pub(crate) constants: Option<&'a Btf>,
    /// Memory of the kernel; `None` where only the task's can be pointed to.
    pub(crate) lent: Option<&'a mut Vec<Memory>>,
}

impl Pointers for Places<'_> {
    fn pointer(&mut self, value: &Value, at: usize, target: Option<&Type>) -> Parsed<u64> {
        if value.as_text() == Some("current") {
            let none = || value.error("there is no task here");
            return self.task.map(|task| task.address()).ok_or_else(none);
        }
        let table = value.entries("an address, { string = \"…\" } or { memory = \"0a ff\" }")?;
        let bytes = match table.as_slice() {
            [Entry { name, value, .. }] if name == "string" => {
                let mut bytes = value.text("a text")?.as_bytes().to_vec();
                bytes.push(0);
                Some(bytes)
            }
            [Entry { name, value, .. }] if name == "memory" => {
                let text = value.text("hexadecimal text")?;
                Some(hex(text).map_err(|what| value.error(what))?)
            }
            _ => None,
        };
        if let Some(bytes) = bytes {
            let none = || value.error("there is no task here whose memory could have it");
            return self.user.map(|user| user.put(&bytes)).ok_or_else(none);
        }
        let (Some(lent), Some(target)) = (self.lent.as_deref_mut(), target) else {
            let what = "nothing is known of what this points to";
            return Err(value
                .error(what)
                .help("point to the task's memory: { string = \"…\" }, { memory = \"0a ff\" }"));
        };
        let mut inner = Places {
            user: self.user,
            task: self.task,
            constants: self.constants,
            lent: None,
        };
        let mut encoder = Encoder {
            constants: self.constants,
            pointers: &mut inner,
        };
        let bytes = encoder.encode(target, value)?;
        lent.push(Memory {
            at,
            end_at: None,
            bytes,
            writable: false,
        });
        // The machine writes the address when it runs the program.
        Ok(0)
    }
}

impl Context {
    /// The bytes of a context of this layout.
    ///
    /// # Errors
    /// The value is none; the error says where.
    pub(crate) fn encode(layout: &Layout, value: &Value, places: Places<'_>) -> Parsed<Self> {
        if let Some(bytes) = raw_bytes(value)? {
            return Ok(Self {
                bytes,
                lent: Vec::new(),
            });
        }
        let table = value.entries("a table of fields")?;
        let mut context = Self {
            bytes: vec![0; layout.size],
            lent: Vec::new(),
        };
        let Places {
            user,
            task,
            constants,
            ..
        } = places;
        // Arguments of a system call stand in registers of their own, behind a pointer.
        let mut behind = layout.behind.then(|| vec![0; layout.size]);
        for entry in table {
            let mut inner = Places {
                user,
                task,
                constants,
                lent: Some(&mut context.lent),
            };
            let mut encoder = Encoder {
                constants,
                pointers: &mut inner,
            };
            if entry.name == "args" && !layout.arguments.is_empty() {
                let out = behind.as_mut().unwrap_or(&mut context.bytes);
                arguments(&mut encoder, layout, &entry.value, out)?;
                continue;
            }
            let found = layout.fields.iter().find(|field| field.name == entry.name);
            if let Some(field) = found {
                let memory = lent_bytes(field, &entry.value)?;
                match memory {
                    Some(bytes) => context.lent.push(Memory {
                        at: field.offset,
                        end_at: field.end_at,
                        bytes,
                        writable: true,
                    }),
                    None => put(&mut encoder, field, &entry.value, &mut context.bytes)?,
                }
                continue;
            }
            let located = format!("__data_loc_{}", entry.name);
            match layout.fields.iter().find(|field| field.name == located) {
                Some(field) => append(field, &entry.value, &mut context.bytes)?,
                None => return Err(unknown(layout, entry)),
            }
        }
        if let (Some(bytes), Some(at)) = (behind, layout.arguments.first()) {
            context.lent.push(Memory {
                at: *at,
                end_at: None,
                bytes,
                writable: false,
            });
        }
        Ok(context)
    }
}

/// What a field of the type of `optval` points to, if that is what a test gives.
fn lent_bytes(field: &ContextField, value: &Value) -> Parsed<Option<Vec<u8>>> {
    if field.end_at.is_none() {
        return Ok(None);
    }
    match value.as_text() {
        Some(text) => Ok(Some(text.as_bytes().to_vec())),
        None => raw_bytes(value),
    }
}

fn put(
    encoder: &mut Encoder<'_>,
    field: &ContextField,
    value: &Value,
    bytes: &mut [u8],
) -> Parsed<()> {
    let end = field.offset.saturating_add(field.of.size());
    let part = bytes.get_mut(field.offset..end);
    let part = part.ok_or_else(|| value.error("this field has no room in the context"))?;
    encoder.write(&field.of, value, part, field.offset)
}

fn arguments(
    encoder: &mut Encoder<'_>,
    layout: &Layout,
    value: &Value,
    bytes: &mut [u8],
) -> Parsed<()> {
    let values = value.array("an array of arguments")?;
    let count = layout.arguments.len();
    if values.len() > count {
        let what = format!(
            "these are {} arguments, and there are at most {count}",
            values.len()
        );
        return Err(value.error(what));
    }
    for (value, offset) in values.iter().zip(&layout.arguments) {
        let known = layout.fields.iter().find(|field| field.offset == *offset);
        let field = match known.filter(|field| field.of.size() == 8) {
            Some(field) => field.clone(),
            None => ContextField {
                name: "args".into(),
                offset: *offset,
                of: Type::Plain(crate::typed::Plain::opaque(8)),
                end_at: None,
            },
        };
        put(encoder, &field, value, bytes)?;
    }
    Ok(())
}

/// Text of a record that stands behind its fields: `__data_loc_NAME` says where, and how long it
/// is.
fn append(field: &ContextField, value: &Value, bytes: &mut Vec<u8>) -> Parsed<()> {
    let mut text = value.text("a text")?.as_bytes().to_vec();
    text.push(0);
    let place = (text.len() << 16 | bytes.len()) as u32;
    let at = bytes.get_mut(field.offset..field.offset.saturating_add(4));
    at.ok_or_else(|| value.error("this field has no room"))?
        .copy_from_slice(&place.to_ne_bytes());
    bytes.append(&mut text);
    Ok(())
}

fn unknown(layout: &Layout, entry: &Entry) -> FileError {
    if layout.size == 0 {
        let what = "nothing is known of this program's context but its bytes";
        return FileError::new(entry.place.clone(), what)
            .help("give them: context = { bytes = \"0a ff\" }");
    }
    let mut known: Vec<&str> = layout
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    if !layout.arguments.is_empty() {
        known.push("args");
    }
    let kind = format!("field of {} called", layout.name);
    FileError::unknown(entry.place.clone(), &kind, &entry.name, known)
}

/// Compares what a run left of a context with what is expected.
///
/// # Errors
/// The value is no context of this layout.
pub(crate) fn compare_context(
    layout: &Layout,
    expected: &Value,
    got: &[u8],
    lent: &[(usize, Vec<u8>)],
    constants: Option<&Btf>,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    let mut encoder = Encoder {
        constants,
        pointers: &mut NoPointers,
    };
    for entry in expected.entries("a table of fields")? {
        let path = format!("context.{}", entry.name);
        let Some(field) = layout.fields.iter().find(|field| field.name == entry.name) else {
            return Err(unknown(layout, entry));
        };
        let end = field.offset.saturating_add(field.of.size());
        let part = got.get(field.offset..end).unwrap_or_default();
        if let Some(wanted) = lent_bytes(field, &entry.value)? {
            let found = lent.iter().find(|(at, _)| *at == field.offset);
            let found = found.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
            let of = Type::Plain(crate::typed::Plain::opaque(found.len().max(wanted.len())));
            if found != wanted {
                out.push(Mismatch {
                    path,
                    expected: crate::typed::show(&of, &wanted),
                    got: crate::typed::show(&of, found),
                    place: entry.value.place.clone(),
                });
            }
            continue;
        }
        compare(&mut encoder, &field.of, &entry.value, part, &path, out)?;
    }
    Ok(())
}

/// Whether a value is a table without any field.
pub(crate) fn is_empty(value: &Value) -> bool {
    matches!(&value.kind, Kind::Table(table) if table.is_empty())
}
