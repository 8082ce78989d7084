//! Packets as tests write them: layer by layer, in hexadecimal, or out of a capture; and what is
//! expected of one.

mod build;
mod compare;
mod layers;
mod pattern;
mod sums;

use std::{fs::File, path::Path};

use skep::vm::capture::{Capture, Ethernet};

use crate::{
    source::{FileError, Parsed},
    typed::{hex, raw_bytes},
    value::{Kind, Value},
};

pub(crate) use compare::compare;

/// The bytes of a packet, from its Ethernet header on; `folder` is where files are looked for.
///
/// # Errors
/// It is no packet; the error says where.
pub(crate) fn packet(value: &Value, folder: &Path) -> Parsed<Vec<u8>> {
    if let Some(bytes) = raw_bytes(value)? {
        return Ok(bytes);
    }
    match &value.kind {
        Kind::Text(text) => hex(text).map_err(|what| {
            let help =
                "a text is a packet in hexadecimal; or give layers: { ip = { … }, tcp = {} }";
            value.error(what).help(help)
        }),
        Kind::Table(table) if table.iter().any(|entry| entry.name == "file") => {
            of_file(value, folder)
        }
        Kind::Table(_) => build::build(value),
        _ => Err(value.wanted("a packet: hexadecimal text, layers, or a file")),
    }
}

/// A packet of a capture: `{ file = "syn.pcap", index = 0 }`.
fn of_file(value: &Value, folder: &Path) -> Parsed<Vec<u8>> {
    value.only("option of a packet from a file", &["file", "index"])?;
    let name = value.get("file").unwrap_or(value);
    let path = folder.join(name.text("a file's name")?);
    let index: usize = match value.get("index") {
        Some(index) => index.number("the number of a packet")?,
        None => 0,
    };
    let failed = |error: &dyn std::fmt::Display| {
        FileError::new(name.place.clone(), format!("{}: {error}", path.display()))
    };
    let file = File::open(&path).map_err(|error| failed(&error))?;
    // A device or a pipe may have no end.
    if !file.metadata().is_ok_and(|data| data.is_file()) {
        return Err(failed(&"this is no file"));
    }
    let mut capture = Capture::new(file).map_err(|error| failed(&error))?;
    let mut count = 0_usize;
    while let Some(found) = capture.next().map_err(|error| failed(&error))? {
        if count == index {
            let mut buffer = Ethernet::default();
            let frame = found.link.ethernet(found.bytes, [0; 6], &mut buffer);
            let frame = frame.ok_or_else(|| failed(&"this packet has no Ethernet header"))?;
            return Ok(frame.to_vec());
        }
        count = count.saturating_add(1);
    }
    let what = format!("it has {count} packets, and none at index {index}");
    Err(failed(&what))
}

#[cfg(test)]
mod tests;
