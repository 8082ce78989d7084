//! Building a packet of layers: what a test leaves out follows from the rest, or is as usual.

use super::{
    layers::{
        ARP, ETH, ETHER, Field, Form, ICMP, ICMP6, IP, IP6, LAYERS, Layer, PROTOCOLS, TCP, UDP,
        VLAN,
    },
    sums,
};
use crate::{
    source::{FileError, Parsed},
    typed::{address, hex, mac},
    value::{Kind, Value},
};

/// The longest packet that is built.
const LONGEST: usize = 65_535;

/// Builds it.
pub(super) fn build(value: &Value) -> Parsed<Vec<u8>> {
    let mut known: Vec<&str> = LAYERS.iter().map(|layer| layer.name).collect();
    known.extend(["payload", "length"]);
    value.only("layer of a packet", &known)?;

    let given = |layer: &Layer| value.get(layer.name);
    let transport = one(value, &[&TCP, &UDP, &ICMP, &ICMP6])?;
    let mut network = one(value, &[&IP, &IP6, &ARP])?;
    if let Some(transport) = transport {
        let usual = if std::ptr::eq(transport, &ICMP6) {
            &IP6
        } else {
            &IP
        };
        network = network.or(Some(usual));
        if network.is_some_and(|network| std::ptr::eq(network, &ARP)) {
            return Err(value.error(format!("{} does not go over arp", transport.name)));
        }
    }

    let mut bytes = match value.get("payload") {
        Some(payload) => payload_bytes(payload)?,
        None => Vec::new(),
    };
    if let Some(length) = value.get("length") {
        let length: usize = length.number("a packet's length")?;
        if length > LONGEST {
            return Err(value.error(format!("packets have at most {LONGEST} bytes")));
        }
        let headers = [Some(&ETH), given(&VLAN).map(|_| &VLAN), network, transport];
        let headers: usize = headers.iter().flatten().map(|layer| layer.len).sum();
        bytes.resize(length.saturating_sub(headers), 0);
    }
    if bytes.len() > LONGEST {
        return Err(value.error(format!("packets have at most {LONGEST} bytes")));
    }

    let mut segment = Vec::new();
    let mut sum = None;
    if let Some(layer) = transport {
        segment = header(layer, given(layer))?;
        let set = |segment: &mut Vec<u8>, name: &str, number: usize| {
            derive(layer, given(layer), segment, name, number);
        };
        if std::ptr::eq(layer, &TCP) {
            let words = segment.len() / 4;
            set(&mut segment, "header_len", words);
        }
        if std::ptr::eq(layer, &UDP) {
            let len = segment.len().saturating_add(bytes.len());
            set(&mut segment, "length", len);
        }
        sum = Some(layer).filter(|_| !says(given(layer), "checksum"));
    }
    segment.append(&mut bytes);
    let mut packet = match network {
        Some(layer) => under_network(layer, given(layer), transport, sum, &mut segment)?,
        None => Vec::new(),
    };
    packet.append(&mut segment);

    let ether = |layer: Option<&Layer>| {
        let found = ETHER
            .iter()
            .find(|(_, name)| layer.is_some_and(|layer| layer.name == *name));
        found.map_or(0, |(number, _)| usize::from(*number))
    };
    let mut inner = ether(network);
    if let Some(vlan) = given(&VLAN) {
        let mut tag = header(&VLAN, Some(vlan))?;
        derive(&VLAN, Some(vlan), &mut tag, "type", inner);
        packet.splice(0..0, tag);
        inner = ether(Some(&VLAN));
    }
    let mut frame = header(&ETH, given(&ETH))?;
    derive(&ETH, given(&ETH), &mut frame, "type", inner);
    frame.append(&mut packet);
    Ok(frame)
}

/// The one of these layers that is given.
fn one(value: &Value, layers: &[&'static Layer]) -> Parsed<Option<&'static Layer>> {
    let mut found = layers
        .iter()
        .filter(|layer| value.get(layer.name).is_some());
    let first = found.next().copied();
    if let (Some(first), Some(second)) = (first, found.next()) {
        let what = format!("a packet has {} or {}, not both", first.name, second.name);
        return Err(value.error(what));
    }
    Ok(first)
}

/// The header below a segment; sets the segment's checksum if `sum` is its protocol.
fn under_network(
    layer: &'static Layer,
    given: Option<&Value>,
    transport: Option<&Layer>,
    sum: Option<&Layer>,
    segment: &mut [u8],
) -> Parsed<Vec<u8>> {
    let mut bytes = header(layer, given)?;
    if std::ptr::eq(layer, &ARP) {
        return Ok(bytes);
    }
    let mut protocols = PROTOCOLS.iter();
    let protocol = protocols.find(|(_, name)| transport.is_some_and(|layer| layer.name == *name));
    let protocol = protocol.map_or(0, |(number, _)| *number);
    let v6 = std::ptr::eq(layer, &IP6);
    let addresses = if v6 { 8..40 } else { 12..20 };
    if v6 {
        derive(layer, given, &mut bytes, "length", segment.len());
        derive(layer, given, &mut bytes, "next", protocol.into());
    } else {
        let whole = bytes.len().saturating_add(segment.len());
        let words = bytes.len() / 4;
        derive(layer, given, &mut bytes, "header_len", words);
        derive(layer, given, &mut bytes, "length", whole);
        derive(layer, given, &mut bytes, "protocol", protocol.into());
        let own = sums::plain(&bytes);
        derive(layer, given, &mut bytes, "checksum", own.into());
    }
    if let Some(layer) = sum {
        let addresses = bytes.get(addresses).unwrap_or_default();
        let mut value = match layer.name {
            "icmp" => sums::plain(segment),
            _ => sums::with_addresses(addresses, protocol, segment),
        };
        // Of UDP, none at all is written as zero.
        if value == 0 && layer.name == "udp" {
            value = 0xffff;
        }
        derive(layer, None, segment, "checksum", value.into());
    }
    Ok(bytes)
}

fn says(given: Option<&Value>, name: &str) -> bool {
    given.is_some_and(|given| given.get(name).is_some())
}

/// Sets a field that follows from the packet, if the test does not say it.
fn derive(layer: &Layer, given: Option<&Value>, header: &mut [u8], name: &str, number: usize) {
    if let (Some(field), false) = (layer.field(name), says(given, name)) {
        let _ = field.write(header, &number.to_be_bytes());
    }
}

/// A header with its options: what is said, and else what is usual.
fn header(layer: &Layer, given: Option<&Value>) -> Parsed<Vec<u8>> {
    let mut bytes = vec![0; layer.len];
    for field in layer.fields {
        let _ = field.write(&mut bytes, field.default);
    }
    let Some(given) = given else {
        return Ok(bytes);
    };
    for entry in given.entries("a table of fields")? {
        if entry.name == "options" && layer.has_options() {
            let text = entry.value.text("hexadecimal text")?;
            let mut options = hex(text).map_err(|what| entry.value.error(what))?;
            options.resize(options.len().next_multiple_of(4), 0);
            if options.len() > 40 {
                return Err(entry
                    .value
                    .error("headers have at most 40 bytes of options"));
            }
            bytes.append(&mut options);
            continue;
        }
        let Some(field) = layer.field(&entry.name) else {
            let place = entry.place.clone();
            let kind = format!("field of {} called", layer.name);
            return Err(FileError::unknown(place, &kind, &entry.name, layer.names()));
        };
        let value = encode(field, &entry.value)?;
        let _ = field.write(&mut bytes, &value);
    }
    Ok(bytes)
}

/// The bytes of a field.
pub(super) fn encode(field: &Field, value: &Value) -> Parsed<Vec<u8>> {
    let number = |number: i128| {
        let end = 1_i128.checked_shl(field.bits as u32).unwrap_or(i128::MAX);
        match (0..end).contains(&number) {
            true => Ok(number.to_be_bytes().to_vec()),
            false => {
                let what = format!("{number} does not fit into {} bits", field.bits);
                Err(value.error(what))
            }
        }
    };
    match (&value.kind, field.form) {
        (Kind::Integer(given), _) => number(*given),
        (Kind::Bool(given), _) if field.bits == 1 => number((*given).into()),
        (Kind::Text(text), Form::Mac) => match mac(text) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Err(value.error(format!("{text:?} is no MAC address"))),
        },
        (Kind::Text(text), Form::Ip) => match address(text) {
            Some(bytes) if bytes.len() * 8 == field.bits => Ok(bytes),
            _ => {
                let family = if field.bits == 32 { "IPv4" } else { "IPv6" };
                Err(value.error(format!("{text:?} is no {family} address")))
            }
        },
        (Kind::Text(text), Form::Next) => {
            let found = PROTOCOLS.iter().find(|(_, name)| name == text);
            match found {
                Some((known, _)) => number((*known).into()),
                None => {
                    let names = PROTOCOLS.iter().map(|(_, name)| *name);
                    let place = value.place.clone();
                    Err(FileError::unknown(place, "protocol", text, names))
                }
            }
        }
        (Kind::Text(text), Form::Flags(names)) => {
            let mut bits = 0;
            for word in text.split([' ', ',', '|']).filter(|word| !word.is_empty()) {
                let Some(bit) = names.iter().position(|name| *name == word) else {
                    let place = value.place.clone();
                    let names = names.iter().copied();
                    return Err(FileError::unknown(place, "flag", word, names));
                };
                bits |= 1 << bit;
            }
            number(bits)
        }
        (Kind::Array(values), Form::Flags(_)) => {
            let mut bits = vec![0];
            for value in values {
                let one = encode(field, value)?;
                bits[0] |= one.last().copied().unwrap_or(0);
            }
            Ok(bits)
        }
        _ => Err(value.wanted("a number")),
    }
}

/// The bytes behind all headers: a text, `{ bytes = "…" }` or `{ zeros = 100 }`.
fn payload_bytes(value: &Value) -> Parsed<Vec<u8>> {
    if let Some(bytes) = crate::typed::raw_bytes(value)? {
        return Ok(bytes);
    }
    match &value.kind {
        Kind::Text(text) => Ok(text.as_bytes().to_vec()),
        Kind::Table(_) => {
            value.only("kind of payload", &["bytes", "zeros"])?;
            let zeros = value.get("zeros").unwrap_or(value);
            let count: usize = zeros.number("a count of bytes")?;
            if count > LONGEST {
                return Err(zeros.error(format!("packets have at most {LONGEST} bytes")));
            }
            Ok(vec![0; count])
        }
        _ => Err(value.wanted("a payload: a text, { bytes = \"…\" } or { zeros = 100 }")),
    }
}
