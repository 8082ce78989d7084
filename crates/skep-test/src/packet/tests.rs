//! Packets built, and compared by field.

use std::{path::Path, sync::Arc};

use super::{compare, packet};
use crate::{
    source::Source,
    value::{Value, parse},
};

/// The value of `it` in a text of TOML.
fn value(text: &str) -> Value {
    let source = Arc::new(Source {
        path: "a.toml".into(),
        text: format!("it = {text}\n"),
    });
    let whole = parse(&source).unwrap_or_else(|error| panic!("{error}"));
    whole.get("it").cloned().expect("it")
}

fn built(text: &str) -> Vec<u8> {
    packet(&value(text), Path::new(".")).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn differs(packet: &[u8], expected: &str, wanted: &[&str]) {
    let mut out = Vec::new();
    compare(&value(expected), packet, packet, Path::new("."), &mut out)
        .unwrap_or_else(|error| panic!("{error}"));
    let texts: Vec<_> = out.iter().map(ToString::to_string).collect();
    assert_eq!(texts, wanted);
}

#[test]
fn what_is_left_out_is_as_usual() {
    let bytes = built("{ tcp = { dport = 443 }, payload = \"hi\" }");
    assert_eq!(bytes.len(), 14 + 20 + 20 + 2);
    // The sums are right: over the whole they are 0xffff.
    differs(
        &bytes,
        r#"{ eth = { type = 0x800 }, ip = { length = 42, protocol = "tcp", checksum = "valid" },
             tcp = { dport = 443, sport = 40000, flags = "syn", header_len = 5, checksum = "valid" },
             payload = "hi", length = 56 }"#,
        &[],
    );
}

#[test]
fn the_sum_is_what_others_compute() {
    // The example of RFC 1071 and of many a text: this header has the sum 0xb861.
    let bytes = built(
        r#"{ ip = { tos = 0, id = 0, df = true, ttl = 64, protocol = "udp", length = 115,
              src = "192.168.0.1", dst = "192.168.0.199" } }"#,
    );
    assert_eq!(bytes[24..26], [0xb8, 0x61]);
}

#[test]
fn every_layer() {
    let bytes = built(
        r#"{ vlan = { id = 7, priority = 3 }, ip6 = { src = "::1" }, udp = {}, payload = { zeros = 3 } }"#,
    );
    differs(
        &bytes,
        r#"{ vlan = { id = 7, priority = 3, type = 0x86dd }, ip6 = { next = "udp", length = 11, src = "::1" },
             udp = { length = 11, checksum = "valid" }, payload = { bytes = "00 00 00" } }"#,
        &[],
    );
    let arp = built(r#"{ arp = { target = "10.9.8.7" } }"#);
    differs(
        &arp,
        r#"{ arp = { op = 1, target = "10.9.8.7", sender_mac = "02:00:00:00:00:01" } }"#,
        &[],
    );
    let ping = built("{ icmp6 = { seq = 9 } }");
    differs(
        &ping,
        r#"{ icmp6 = { type = 128, seq = 9, checksum = "valid" } }"#,
        &[],
    );
    let ping = built("{ icmp = {}, length = 60 }");
    differs(
        &ping,
        r#"{ icmp = { type = 8, checksum = "valid" }, length = 60 }"#,
        &[],
    );
    let options = built(r#"{ tcp = { options = "02 04 05 b4" } }"#);
    differs(
        &options,
        r#"{ tcp = { header_len = 6, checksum = "valid" }, length = 58 }"#,
        &[],
    );
}

#[test]
fn fields_that_differ() {
    let bytes = built(r#"{ ip = { ttl = 63, checksum = 0 }, udp = {}, payload = "x" }"#);
    differs(
        &bytes,
        r#"{ ip = { ttl = 64, dst = "10.0.0.3", checksum = "valid" }, udp = { dport = 54 }, payload = "y" }"#,
        &[
            "packet.ip.ttl: expected 64, got 63",
            "packet.ip.dst: expected 10.0.0.3, got 10.0.0.2",
            "packet.ip.checksum: expected 0x67ce, got 0x0000",
            "packet.udp.dport: expected 54, got 53",
            "packet.payload: expected \"y\", got \"x\"",
        ],
    );
    differs(
        &bytes,
        "{ tcp = {}, length = 7 }",
        &[
            "packet.tcp: expected a header of tcp, got a packet of eth, ip, udp",
            "packet.length: expected 7 bytes, got 43 bytes",
        ],
    );
    differs(&bytes, "\"unchanged\"", &[]);
}

#[track_caller]
fn refused(text: &str, wanted: &str) {
    let error = packet(&value(text), Path::new(".")).expect_err("it is no packet");
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn errors_name_their_place() {
    refused(
        "{ tcp = { dprt = 1 } }",
        "a.toml:1:16: no field of tcp called `dprt`: did you mean `dport`?",
    );
    refused(
        "{ tcp = {}, udp = {} }",
        "a.toml:1:6: a packet has tcp or udp, not both",
    );
    refused(
        "{ tcp = { dport = 65536 } }",
        "a.toml:1:24: 65536 does not fit into 16 bits",
    );
    refused(
        r#"{ ip = { src = "fd00::1" } }"#,
        "a.toml:1:21: \"fd00::1\" is no IPv4 address",
    );
    refused(
        r#"{ tcp = { flags = "sin" } }"#,
        "a.toml:1:24: no flag `sin`: did you mean `fin`, `syn`?",
    );
    refused(
        r#"{ file = "nowhere.pcap" }"#,
        "a.toml:1:15: ./nowhere.pcap: No such file or directory (os error 2)",
    );
    refused(
        "{ length = 100000 }",
        "a.toml:1:6: packets have at most 65535 bytes",
    );
}
