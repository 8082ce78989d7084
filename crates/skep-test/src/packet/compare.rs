//! A packet beside what a test expects of it.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

use super::{
    build::encode,
    layers::{ARP, ETH, ETHER, Field, Form, IP, IP6, LAYERS, Layer, PROTOCOLS, UDP, VLAN},
    packet, pattern, sums,
};
use crate::{
    failure::Mismatch,
    source::{FileError, Parsed},
    typed::{raw_bytes, text_mismatch},
    value::{Kind, Value},
};

/// Compares a packet with what is expected: hexadecimal text with holes, layers by field, a
/// packet of a file, or that it is `unchanged` since it was `given`.
///
/// # Errors
/// The value is no expectation of a packet.
pub(crate) fn compare(
    expected: &Value,
    given: &[u8],
    got: &[u8],
    folder: &Path,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    let whole = |wanted: &[u8], out: &mut Vec<Mismatch>| {
        let pattern = pattern::Pattern::exact(wanted);
        out.extend(pattern.mismatch(got, expected.place.clone()));
    };
    if let Some(wanted) = raw_bytes(expected)? {
        whole(&wanted, out);
        return Ok(());
    }
    match &expected.kind {
        Kind::Text(text) if text == "unchanged" => whole(given, out),
        Kind::Text(text) => {
            let pattern = pattern::Pattern::parse(text).map_err(|what| {
                expected
                    .error(what)
                    .help("write `..` for a byte that may be anything, `*` for all that follow")
            })?;
            out.extend(pattern.mismatch(got, expected.place.clone()));
        }
        Kind::Table(table) if table.iter().any(|entry| entry.name == "file") => {
            whole(&packet(expected, folder)?, out);
        }
        Kind::Table(table) => {
            let dissected = Dissected::of(got);
            for entry in table {
                let path = format!("packet.{}", entry.name);
                match entry.name.as_str() {
                    "length" => {
                        let wanted: usize = entry.value.number("a length")?;
                        if wanted != got.len() {
                            out.push(Mismatch {
                                path,
                                expected: format!("{wanted} bytes"),
                                got: format!("{} bytes", got.len()),
                                place: entry.value.place.clone(),
                            });
                        }
                    }
                    "payload" => payload(&entry.value, dissected.payload, &path, out)?,
                    name => {
                        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
                            let mut known: Vec<&str> =
                                LAYERS.iter().map(|layer| layer.name).collect();
                            known.extend(["payload", "length"]);
                            let place = entry.place.clone();
                            return Err(FileError::unknown(
                                place,
                                "layer of a packet",
                                name,
                                known,
                            ));
                        };
                        header(layer, &entry.value, &dissected, &path, out)?;
                    }
                }
            }
        }
        _ => return Err(expected.wanted("a packet: hexadecimal text, layers, or \"unchanged\"")),
    }
    Ok(())
}

fn payload(value: &Value, got: &[u8], path: &str, out: &mut Vec<Mismatch>) -> Parsed<()> {
    if let Some(wanted) = raw_bytes(value)? {
        if wanted != got {
            out.push(Mismatch {
                path: path.to_owned(),
                expected: pattern::spaced(&wanted),
                got: pattern::spaced(got),
                place: value.place.clone(),
            });
        }
        return Ok(());
    }
    out.extend(text_mismatch(value, &String::from_utf8_lossy(got), path)?);
    Ok(())
}

fn header(
    layer: &'static Layer,
    expected: &Value,
    packet: &Dissected<'_>,
    path: &str,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    let fields = expected.entries("a table of fields")?;
    let Some((_, bytes)) = packet.layers.iter().find(|(l, _)| std::ptr::eq(*l, layer)) else {
        let names: Vec<_> = packet.layers.iter().map(|(layer, _)| layer.name).collect();
        out.push(Mismatch {
            path: path.to_owned(),
            expected: format!("a header of {}", layer.name),
            got: format!("a packet of {}", names.join(", ")),
            place: expected.place.clone(),
        });
        return Ok(());
    };
    for entry in fields {
        let Some(field) = layer.field(&entry.name) else {
            let place = entry.place.clone();
            let kind = format!("field of {} called", layer.name);
            return Err(FileError::unknown(place, &kind, &entry.name, layer.names()));
        };
        let mismatch = |expected: String, got: String| Mismatch {
            path: format!("{path}.{}", entry.name),
            expected,
            got,
            place: entry.value.place.clone(),
        };
        if field.form == Form::Sum && entry.value.as_text() == Some("valid") {
            if let Some(right) = packet.right_sum(layer) {
                let is = field.number(bytes).unwrap_or_default();
                if is != u128::from(right) {
                    out.push(mismatch(format!("{right:#06x}"), format!("{is:#06x}")));
                }
            }
            continue;
        }
        let mut wanted = vec![0; layer.len];
        let value = encode(field, &entry.value)?;
        let _ = field.write(&mut wanted, &value);
        if field.read(&wanted) != field.read(bytes) {
            out.push(mismatch(show(field, &wanted), show(field, bytes)));
        }
    }
    Ok(())
}

/// A field as a test writes it.
fn show(field: &Field, header: &[u8]) -> String {
    let bytes = field.read(header).unwrap_or_default();
    let number = field.number(header).unwrap_or_default();
    match field.form {
        Form::Mac => {
            let parts: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            parts.join(":")
        }
        Form::Ip => match (bytes.first_chunk::<16>(), bytes.first_chunk::<4>()) {
            (Some(bytes), _) => Ipv6Addr::from(*bytes).to_string(),
            (None, Some(bytes)) => Ipv4Addr::from(*bytes).to_string(),
            _ => number.to_string(),
        },
        Form::Flags(names) => {
            let set = names.iter().enumerate();
            let set = set.filter(|(bit, _)| number >> bit & 1 == 1);
            let set: Vec<_> = set.map(|(_, name)| *name).collect();
            match set.as_slice() {
                [] => "none".into(),
                set => set.join(" "),
            }
        }
        Form::Next => {
            let known = PROTOCOLS
                .iter()
                .find(|(known, _)| u128::from(*known) == number);
            known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
        }
        Form::Sum => format!("{number:#06x}"),
        Form::Number => number.to_string(),
    }
}

/// A packet, taken apart as far as its headers say what follows.
struct Dissected<'p> {
    layers: Vec<(&'static Layer, &'p [u8])>,
    /// From the header of IP on.
    network: &'p [u8],
    /// What is behind the header of IP, without what pads the frame.
    segment: &'p [u8],
    payload: &'p [u8],
}

impl<'p> Dissected<'p> {
    fn of(packet: &'p [u8]) -> Self {
        let mut all = Self {
            layers: Vec::new(),
            network: &[],
            segment: &[],
            payload: packet,
        };
        all.link();
        all
    }

    /// Takes a header off, if the rest has so many bytes.
    fn take(&mut self, layer: &'static Layer, len: usize) -> Option<&'p [u8]> {
        let (header, rest) = self.payload.split_at_checked(len.max(layer.len))?;
        self.layers.push((layer, header));
        self.payload = rest;
        Some(header)
    }

    fn link(&mut self) -> Option<()> {
        let header = self.take(&ETH, 0)?;
        let mut kind = u16::from_be_bytes([*header.get(12)?, *header.get(13)?]);
        while named(kind) == Some(VLAN.name) {
            let tag = self.take(&VLAN, 0)?;
            kind = u16::from_be_bytes([*tag.get(2)?, *tag.get(3)?]);
        }
        // Where programs do not see the header, there are zeros in its place.
        let version = self.payload.first().map(|byte| byte >> 4);
        let name = match (named(kind), kind, version) {
            (None, 0, Some(4)) => Some(IP.name),
            (None, 0, Some(6)) => Some(IP6.name),
            (name, ..) => name,
        };
        self.network = self.payload;
        let protocol = match name? {
            name if name == ARP.name => {
                self.take(&ARP, 0)?;
                return None;
            }
            name if name == IP.name => {
                let len = usize::from(self.payload.first()? & 0xf).checked_mul(4)?;
                let header = self.take(&IP, len)?;
                let whole = u16::from_be_bytes([*header.get(2)?, *header.get(3)?]);
                self.cut(usize::from(whole).saturating_sub(header.len()));
                *header.get(9)?
            }
            _ => {
                let header = self.take(&IP6, 0)?;
                let len = u16::from_be_bytes([*header.get(4)?, *header.get(5)?]);
                self.cut(len.into());
                *header.get(6)?
            }
        };
        self.segment = self.payload;
        let (_, name) = PROTOCOLS.iter().find(|(known, _)| *known == protocol)?;
        let layer = LAYERS.iter().find(|layer| layer.name == *name)?;
        let len = match layer.name {
            "tcp" => usize::from(self.payload.get(12)? >> 4).checked_mul(4)?,
            _ => layer.len,
        };
        self.take(layer, len)?;
        None
    }

    /// What a frame is padded with is not the packet's.
    fn cut(&mut self, len: usize) {
        self.payload = self.payload.get(..len).unwrap_or(self.payload);
    }

    /// What the checksum of a header must be.
    fn right_sum(&self, layer: &Layer) -> Option<u16> {
        let field = layer.field("checksum")?;
        if std::ptr::eq(layer, &IP) {
            let (_, header) = self.layers.iter().find(|(l, _)| std::ptr::eq(*l, layer))?;
            let mut header = header.to_vec();
            field.write(&mut header, &[0])?;
            return Some(sums::plain(&header));
        }
        let mut segment = self.segment.to_vec();
        field.write(&mut segment, &[0])?;
        let v6 = self.layers.iter().any(|(l, _)| std::ptr::eq(*l, &IP6));
        let addresses = if v6 { 8..40 } else { 12..20 };
        let addresses = self.network.get(addresses)?;
        let (protocol, _) = PROTOCOLS.iter().find(|(_, name)| *name == layer.name)?;
        Some(match layer.name {
            "icmp" => sums::plain(&segment),
            _ => match sums::with_addresses(addresses, *protocol, &segment) {
                0 if layer.name == UDP.name => 0xffff,
                sum => sum,
            },
        })
    }
}

fn named(kind: u16) -> Option<&'static str> {
    let found = ETHER.iter().find(|(known, _)| *known == kind);
    found.map(|(_, name)| *name)
}
