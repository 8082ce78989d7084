//! Which BTF can be loaded: types that are made by hand, each wrong in one way, and many that chance
//! has made. Both hosts must take the same, and refuse the others by the same number.

use skep_abi::{KernelVersion, MapType, ProgramType};
use skep_host::{BtfFd, BtfLoad, Errno, Host, HostKind, LogLevel, MapCreate, Result};
use skep_testing::{Outcome, Stop, Test, ensure};

use crate::support::{Record, agree, agree_since, load_on, name};

mod cases;
mod chance;
mod special;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("btf::types_by_themselves", || held(cases::alone)),
        Test::new("btf::types_that_lead_to_each_other", || {
            held(cases::together)
        }),
        Test::new("btf::names", || held(names)),
        Test::new("btf::headers", || held(headers)),
        Test::new("btf::many_types", || held(many)),
        Test::new("btf::types_made_by_chance", || held(chance::made)),
        Test::new("btf::mutated_types", || held(chance::mutated)),
        Test::new("btf::special_fields", || held(special::fields)),
        Test::new("btf::a_descriptor_of_something_else", || agree(strangers)),
    ]
}

/// The rules are those of 6.18; since 7.1 types may have more elements, and headers more fields.
fn held(walk: fn(&dyn Host, &mut Record) -> Outcome) -> Outcome {
    agree_since((6, 18), |host, record| {
        let info = host.info();
        if info.kind == HostKind::Kernel && info.version >= KernelVersion::new(7, 1) {
            return Err(Stop::lacks("a kernel before 7.1"));
        }
        walk(host, record)
    })
}

const STRINGS: &[u8] = b"\0int\0a\0b.c\0.data\0v-x\0\xe9t\xe9\0\xd7\0 ?\0";
const INT: u32 = 1;
const A: u32 = 5;
const B: u32 = 7;
const DATA: u32 = 11;
const DASH: u32 = 17;
const LATIN: u32 = 21;
const TIMES: u32 = 25;
const SPACE: u32 = 27;
const FLAG: u32 = 1 << 31;

/// The second word of a type.
const fn info(kind: u32, count: u32) -> u32 {
    kind << 24 | count
}

fn btf(types: &[u32], strings: &[u8]) -> Vec<u8> {
    let len = types.len() as u32 * 4;
    let header = [24, 0, len, len, strings.len() as u32];
    let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
    bytes.extend([1, 0]);
    for word in header.iter().chain(types) {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(strings);
    bytes
}

fn load(host: &dyn Host, bytes: &[u8]) -> Result<BtfFd> {
    host.btf_load(&BtfLoad {
        object: "test",
        bytes,
        log_level: LogLevel::OnFailure,
        token: None,
    })
}

/// Loads, notes the answer, and holds it against what must come out.
fn expect(
    host: &dyn Host,
    record: &mut Record,
    label: &str,
    bytes: &[u8],
    wanted: Option<Errno>,
) -> Outcome {
    let got = load(host, bytes);
    record.done(format!("btf {label}"), &got);
    let errno = got.as_ref().err().and_then(|error| error.errno());
    ensure(errno == wanted, || {
        format!("{label}: {errno:?}, not {wanted:?}")
    })
}

type Cases<'a> = &'a [(&'a str, Option<Errno>, &'a [u32])];

/// Types behind an `int` of 4 bytes, which is type 1.
fn behind_int(host: &dyn Host, record: &mut Record, cases: Cases<'_>) -> Outcome {
    for (label, wanted, types) in cases {
        let mut all = vec![INT, info(1, 0), 4, 32];
        all.extend(*types);
        expect(host, record, label, &btf(&all, STRINGS), *wanted)?;
    }
    Ok(())
}

const GOOD: Option<Errno> = None;
const BAD: Option<Errno> = Some(Errno::EINVAL);
const LOOP: Option<Errno> = Some(Errno::EEXIST);
const LATER: Option<Errno> = Some(Errno::ENOTSUPP);

fn names(host: &dyn Host, record: &mut Record) -> Outcome {
    // Where a name may stand, with the word that it is, and whether there must be one.
    let places: [(&str, usize, &[u32], [bool; 6]); 10] = [
        // none, an identifier, a dash, Latin letters, a sign, spaces
        ("int", 0, &[0, info(1, 0), 4, 32], [true; 6]),
        ("float", 0, &[0, info(16, 0), 4], [true; 6]),
        (
            "struct",
            0,
            &[0, info(4, 0), 4],
            [true, true, false, true, false, false],
        ),
        (
            "member",
            3,
            &[A, info(4, 1), 4, 0, 1, 0],
            [true, true, false, true, false, false],
        ),
        (
            "enum",
            0,
            &[0, info(6, 0), 4],
            [true, true, false, true, false, false],
        ),
        (
            "value",
            3,
            &[A, info(6, 1), 4, 0, 1],
            [false, true, false, true, false, false],
        ),
        (
            "forward",
            0,
            &[0, info(7, 0), 0],
            [false, true, false, true, false, false],
        ),
        (
            "typedef",
            0,
            &[0, info(8, 0), 1],
            [false, true, false, true, false, false],
        ),
        (
            "variable",
            0,
            &[0, info(14, 0), 1, 0],
            [false, true, false, true, false, false],
        ),
        (
            "section",
            0,
            &[0, info(15, 0), 4],
            [false, true, true, true, true, true],
        ),
    ];
    for (label, at, words, good) in places {
        for (name, good) in [0, B, DASH, LATIN, TIMES, SPACE].into_iter().zip(good) {
            let mut words = words.to_vec();
            words[at] = name;
            let label = format!("{label} named {name}");
            behind_int(host, record, &[(&label, BAD.filter(|_| !good), &words)])?;
        }
        let mut words = words.to_vec();
        words[at] = STRINGS.len() as u32;
        let label = format!("{label} named outside");
        behind_int(host, record, &[(&label, BAD, &words)])?;
    }
    for len in [511, 512, 513] {
        for (kind, words) in [
            ("typedef", &[1, info(8, 0), 0][..]),
            ("section", &[1, info(15, 0), 4]),
            ("type tag", &[1, info(18, 0), 0]),
        ] {
            let strings = [&[0], &vec![b'a'; len][..], &[0]].concat();
            let wanted = BAD.filter(|_| len > 512 && kind != "type tag");
            let label = format!("{kind} of {len} letters");
            expect(host, record, &label, &btf(words, &strings), wanted)?;
        }
    }
    Ok(())
}

fn headers(host: &dyn Host, record: &mut Record) -> Outcome {
    let int = [INT, info(1, 0), 4, 32];
    let good = btf(&int, STRINGS);
    let mut cases = vec![
        ("no types", BAD, btf(&[], STRINGS)),
        ("no strings", BAD, btf(&[0, info(1, 0), 4, 32], b"")),
        ("strings without an end", BAD, btf(&int, b"\0int")),
        ("strings without a begin", BAD, btf(&int, b"int\0")),
        ("one string", GOOD, btf(&[0, info(1, 0), 4, 32], b"\0")),
        ("more behind", BAD, [&good[..], &[0]].concat()),
        ("a header alone", BAD, good[..24].to_vec()),
        ("other bytes", BAD, good[..3].to_vec()),
    ];
    for (label, wanted, at, value) in [
        ("magic", BAD, 0, 0xff),
        ("version 0", LATER, 2, 0),
        ("version 2", LATER, 2, 2),
        ("flags", LATER, 3, 1),
        ("header of 0 bytes", BAD, 4, 0),
        ("header of 2 bytes", LATER, 4, 2),
        ("header of 3 bytes", BAD, 4, 3),
        ("header of 20 bytes", BAD, 4, 20),
        ("header of 28 bytes", Some(Errno::E2BIG), 4, 28),
        ("header of 200 bytes", BAD, 4, 200),
        ("types at 4", BAD, 8, 4),
        ("types at 1", BAD, 8, 1),
        ("types of 15 bytes", BAD, 12, 15),
        ("strings at 20", BAD, 16, 20),
        ("strings of 2 bytes", BAD, 20, 2),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        cases.push((label, wanted, bytes));
    }
    for (label, more) in [("four more zeros", 4), ("a zero more", 1)] {
        let mut bytes = good.clone();
        bytes[4] += more;
        bytes.splice(24..24, vec![0; usize::from(more)]);
        cases.push((label, GOOD, bytes));
    }
    for (label, wanted, bytes) in &cases {
        expect(host, record, label, bytes, *wanted)?;
    }
    for len in 0..good.len() {
        expect(host, record, &format!("cut to {len}"), &good[..len], BAD)?;
    }
    let large = vec![0; (16 << 20) + 1];
    expect(host, record, "too large", &large, Some(Errno::E2BIG))
}

/// More than ids can name: those behind the last one are not looked at.
fn many(host: &dyn Host, record: &mut Record) -> Outcome {
    let types: Vec<u32> = (0..0x0010_0001).flat_map(|_| [0, info(2, 0), 0]).collect();
    record.done("btf of more types", &load(host, &btf(&types, b"\0")));
    Ok(())
}

fn strangers(host: &dyn Host, record: &mut Record) -> Outcome {
    let map = host.map_create(&MapCreate::new(MapType::Array, &name("map"), 4, 8, 1))?;
    let program = load_on(host, ProgramType::SocketFilter, "r0 = 0\n exit", |_| {})?;
    for (what, descriptor) in [
        ("map", map.into_descriptor()),
        ("program", program.into_descriptor()),
    ] {
        record.done(
            format!("btf info of a {what}"),
            &host.btf_info(&BtfFd::new(descriptor)),
        );
    }
    Ok(())
}
