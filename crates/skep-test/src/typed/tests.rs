//! Values of types that a builder makes: round trips, places in errors, comparisons.

use skep::btf::{Builder, IntEncoding, NewMember};

use super::*;
use crate::value::Value;

/// `struct event { pid_t pid; __be16 port; bool ok; char c; __be32 from; char comm[8]; unsigned
/// char mac[6]; unsigned int low : 3, high : 5; enum state state; struct { u64 inner; }; }`
fn event() -> Type {
    let mut types = Builder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let unsigned = types.int("unsigned int", 4, IntEncoding::UNSIGNED);
    let short = types.int("unsigned short", 2, IntEncoding::UNSIGNED);
    let long = types.int("unsigned long", 8, IntEncoding::UNSIGNED);
    let byte = types.int("unsigned char", 1, IntEncoding::UNSIGNED);
    let character = types.int("char", 1, IntEncoding::SIGNED);
    let boolean = types.int("_Bool", 1, IntEncoding::BOOL);
    let pid = types.typedef("pid_t", int);
    let port = types.typedef("__be16", short);
    let from = types.typedef("__be32", unsigned);
    let comm = types.array(character, unsigned, 8);
    let mac = types.array(byte, unsigned, 6);
    let state = types.enumeration("state", &[("IDLE", 0), ("BUSY", 3)]);
    let unnamed = types.structure("", 8, &[NewMember::new("inner", long, 0)]);
    let mut low = NewMember::new("low", unsigned, 32 * 8);
    low.bitfield_size = 3;
    let mut high = NewMember::new("high", unsigned, 32 * 8 + 3);
    high.bitfield_size = 5;
    let id = types.structure(
        "event",
        48,
        &[
            NewMember::new("pid", pid, 0),
            NewMember::new("port", port, 32),
            NewMember::new("ok", boolean, 48),
            NewMember::new("c", character, 56),
            NewMember::new("from", from, 64),
            NewMember::new("comm", comm, 96),
            NewMember::new("mac", mac, 160),
            low,
            high,
            NewMember::new("state", state, 36 * 8),
            NewMember::new("", unnamed, 40 * 8),
        ],
    );
    types.set_endianness(match cfg!(target_endian = "little") {
        true => skep::btf::Endian::Little,
        false => skep::btf::Endian::Big,
    });
    let bytes = types.build().expect("types");
    Type::Btf(Arc::new(Btf::parse(bytes).expect("BTF")), id)
}

fn encode(value: &Value) -> Result<Vec<u8>, String> {
    let of = event();
    let mut encoder = Encoder {
        constants: None,
        pointers: &mut NoPointers,
    };
    encoder
        .encode(&of, value)
        .map_err(|error| error.to_string())
}

fn whole() -> Value {
    Value::table([
        ("pid", Value::from(-7)),
        ("port", 443.into()),
        ("ok", true.into()),
        ("c", "x".into()),
        ("from", "10.0.0.7".into()),
        ("comm", "ls".into()),
        ("mac", "02:00:00:00:00:01".into()),
        ("low", 5.into()),
        ("high", 17.into()),
        ("state", "BUSY".into()),
        ("inner", "0xffff_ffff_ffff_ffff".into()),
    ])
}

#[test]
fn what_is_written_is_shown_again() {
    let bytes = encode(&whole()).expect("it fits");
    let text = show(&event(), &bytes);
    let wanted = "{ pid = -7, port = 443, ok = true, c = \"x\", from = 10.0.0.7, comm = \"ls\", \
                  mac = 02:00:00:00:00:01, low = 5, high = 17, state = BUSY (3), \
                  inner = 18446744073709551615 }";
    assert_eq!(text, wanted);
    assert_eq!(bytes[4..6], [1, 0xbb]);
}

fn check(expected: &Value, wanted: &[&str]) {
    let of = event();
    let bytes = encode(&whole()).expect("it fits");
    let mut encoder = Encoder {
        constants: None,
        pointers: &mut NoPointers,
    };
    let mut out = Vec::new();
    compare(&mut encoder, &of, expected, &bytes, "", &mut out).expect("it can be compared");
    let texts: Vec<_> = out.iter().map(Mismatch::to_string).collect();
    assert_eq!(texts, wanted);
}

use crate::Mismatch;

#[test]
fn only_what_is_named_is_compared() {
    check(&whole(), &[]);
    check(&Value::table([("comm", "ls")]), &[]);
    check(
        &Value::table([("comm", "cat"), ("from", "10.0.0.8"), ("state", "IDLE")]),
        &[
            "comm: expected \"cat\", got \"ls\"",
            "from: expected 10.0.0.8, got 10.0.0.7",
            "state: expected IDLE (0), got BUSY (3)",
        ],
    );
    check(
        &Value::table([("low", 4), ("port", 80)]),
        &["low: expected 4, got 5", "port: expected 80, got 443"],
    );
}

#[test]
fn comparisons() {
    let at = |name: &'static str, how: &'static str, value: Value| {
        Value::table([(name, Value::table([(how, value)]))])
    };
    check(&at("pid", "at_least", (-7).into()), &[]);
    check(&at("pid", "at_most", 0.into()), &[]);
    check(&at("comm", "contains", "s".into()), &[]);
    check(&at("comm", "begins", "l".into()), &[]);
    check(&at("port", "any", true.into()), &[]);
    check(
        &at("port", "not", 443.into()),
        &["port: expected not 443, got 443"],
    );
    check(
        &at("pid", "at_least", 1.into()),
        &["pid: expected at least 1, got -7"],
    );
}

#[test]
fn errors_say_what_would_be_right() {
    let check = |value: Value, wanted: &str| {
        let error = encode(&value).expect_err("it does not fit");
        assert_eq!(error, wanted);
    };
    check(
        Value::table([("pidd", 1)]),
        "no field of struct event called `pidd`: did you mean `pid`?",
    );
    check(
        Value::table([("comm", "much too long")]),
        "this text has 13 bytes, and its field 8",
    );
    check(
        Value::table([("port", 65536)]),
        "65536 does not fit into 2 bytes",
    );
    check(Value::table([("low", 8)]), "8 does not fit into 3 bits");
    check(
        Value::table([("state", "BUZY")]),
        "no value of enum state called `BUZY`: did you mean `BUSY`?",
    );
    check(
        Value::from(1),
        "this is a number, not a table, as struct event is",
    );
}

#[test]
fn values_of_cpus_are_added_up() {
    let one = encode(&whole()).expect("it fits");
    let two = encode(&Value::table([("pid", 9), ("inner", 2)])).expect("it fits");
    let sum = combine(&event(), &[&[0; 48], &one, &two]);
    let text = show(&event(), &sum);
    assert!(
        text.starts_with("{ pid = 2, port = 443, ok = true"),
        "{text}"
    );
    assert!(text.ends_with("inner = 1 }"), "{text}");
}
