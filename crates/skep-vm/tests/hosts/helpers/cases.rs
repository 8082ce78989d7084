//! The tables of cases: text, formats, probing, dynptrs, callbacks.

use skep_abi::ProgramType;
use skep_host::Host;
use skep_testing::{Outcome, Test};

use super::{Case, case};
use crate::support::{Record, agree};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("helpers::numbers_in_text", || agree(numbers)),
        Test::new("helpers::strings_compare", || agree(strings)),
        Test::new("helpers::formats", || agree(formats)),
        Test::new("helpers::formats_of_pointers", || agree(pointers)),
        Test::new("helpers::wrong_formats", || agree(wrong_formats)),
        Test::new("helpers::probing_reads", || agree(probing)),
        Test::new("helpers::dynptrs", || agree(dynptrs)),
        Test::new("helpers::signals", || agree(signals)),
        Test::new("helpers::attachment", || agree(attachment)),
    ]
}

fn all(host: &dyn Host, record: &mut Record, cases: &[Case]) -> Outcome {
    for case in cases {
        case.record(host, record)?;
    }
    Ok(())
}

fn numbers(host: &dyn Host, record: &mut Record) -> Outcome {
    let texts: &[(&[u8], i64)] = &[
        (b"123", 0),
        (b"123", 10),
        (b"-123x", 10),
        (b"  42 ", 10),
        (b"\t\n\x0b\x0c\r7", 10),
        (b"+5", 10),
        (b"-", 10),
        (b"--5", 10),
        (b"- 5", 10),
        (b"0x1F", 0),
        (b"0X1f", 16),
        (b"1fg", 16),
        (b"0x", 0),
        (b"0x", 16),
        (b"0xg", 0),
        (b"017", 0),
        (b"018", 0),
        (b"089", 0),
        (b"0", 0),
        (b"777", 8),
        (b"0777", 8),
        (b"8", 8),
        (b"ff", 10),
        (b"", 10),
        (b" ", 10),
        (b"12", 2),
        (b"12", 3),
        (b"12", 36),
        (b"12", 32),
        (b"12", 42),
        (b"12", -1),
        (b"9223372036854775807", 10),
        (b"9223372036854775808", 10),
        (b"-9223372036854775808", 10),
        (b"-9223372036854775809", 10),
        (b"18446744073709551615", 10),
        (b"18446744073709551616", 10),
        (b"0xffffffffffffffff", 0),
        (b"0x10000000000000000", 0),
        (b"-0", 10),
        (
            b"00000000000000000000000000000000000000000000000000000000000000001",
            10,
        ),
        (b"1\x002", 10),
        (b"\xa012", 10),
        (b"1_000", 10),
    ];
    let mut cases = Vec::new();
    for (text, flags) in texts {
        for (name, helper) in [("strtol", 105), ("strtoul", 106)] {
            for len in [text.len(), text.len() + 3] {
                if len == 0 {
                    continue;
                }
                let body = format!(
                    "r1 = r6\n r1 += 64\n r2 = {len}\n r3 = {flags}\n r4 = r6\n r4 += 8\n call {helper}"
                );
                let name = format!("{name} {:?} {len} {flags}", text.escape_ascii().to_string());
                cases.push(case(name, body).with(8, [0xaa; 8]).with(64, text));
            }
        }
    }
    all(host, record, &cases)
}

fn strings(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut cases = Vec::new();
    for (one, other) in [
        ("abc", "abc"),
        ("abc", "abd"),
        ("abd", "abc"),
        ("ab", "abc"),
        ("abc", "ab"),
        ("", ""),
        ("", "a"),
        ("\x7f", "\u{80}"),
    ] {
        for len in [1, 2, 3, 4, 8] {
            let body = format!("r1 = r6\n r1 += 64\n r2 = {len}\n r3 = r7\n call 182");
            let name = format!("strncmp {one:?} {other:?} {len}");
            cases.push(case(name, body).with(64, one).text(other));
        }
    }
    all(host, record, &cases)
}

/// `bpf_snprintf` of a constant format, with as many arguments as `values` has.
fn snprintf(format: &str, values: &[i64], size: usize) -> Case {
    let mut packed = Vec::new();
    for value in values {
        packed.extend_from_slice(&value.to_ne_bytes());
    }
    let body = format!(
        "r1 = r6\n r1 += 512\n r2 = {size}\n r3 = r7\n r4 = r6\n r4 += 128\n r5 = {}\n call 165",
        packed.len()
    );
    case(format!("snprintf {format:?} {values:?} {size}"), body)
        .with(128, packed)
        .with(512, [0xaa; 80])
        .text(format)
}

fn formats(host: &dyn Host, record: &mut Record) -> Outcome {
    let long = i64::MIN;
    let formats: &[(&str, &[i64])] = &[
        ("plain\ttext\n", &[]),
        ("100%%", &[]),
        ("%d %i %u", &[-1, i64::from(i32::MIN), -1]),
        ("%ld %li %lu", &[-1, long, -1]),
        ("%lld %lli %llu", &[-1, long, -1]),
        ("%x %X %lx %lX %llx", &[-1, 0xabcd, -1, 0xabcd_ef01_2345, 1]),
        ("%5d|%-5d|%05d|%+d|% d", &[42, 42, 42, 42, 42]),
        ("%5d|%-5d|%05d|%+d|% d", &[-42, -42, -42, -42, -42]),
        ("%+5d|% 5d|%-+5d|%+05d|%- 5d", &[7, 7, 7, 7, 7]),
        ("%+u|% x|%-08x|%0-8x|%020lx", &[7, 7, 7, 7, 7]),
        ("%1d|%2d|%3d", &[12345, 12345, 12345]),
        ("%c%c|%3c|%-3c|%03c", &[0x41, 0x242, 0x43, 0x44, 0x45]),
        ("%c|", &[0]),
        ("%d%%", &[5]),
        ("%dx%dl%ds", &[1, 2, 3]),
        ("%s|%5s|%-5s|", &[0, 0, 0]),
        ("%d", &[1, 2, 3]),
        ("%00005d|%--5d|%+ d", &[1, 1, 1]),
        ("%60d", &[1]),
        ("%4294967306d|", &[42]),
        ("%4294967295d|%2147483653d|%-4294967299d|", &[42, 42, 42]),
        ("%4294967295s|%4294967300c|", &[0, 0x41]),
        ("%px %lx", &[0x1234, 0x1234]),
        ("%20px|%-20px|%020px", &[0x1234, 0x1234, 0x1234]),
        ("%p,%p ", &[0, -1]),
        ("%pK", &[0]),
        ("%pxyz1 end", &[0x77]),
        ("%pks|%pus|", &[0, 0]),
        ("%pI4|%pi4", &[0, 0]),
        ("%pI6|%pi6", &[0, 0]),
        (
            "%d %d %d %d %d %d %d %d %d %d %d %d",
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        ),
    ];
    let mut cases = Vec::new();
    for (format, values) in formats {
        for size in [64, 1, 8] {
            cases.push(snprintf(format, values, size));
        }
    }
    let body = "r1 = 0\n r2 = 0\n r3 = r7\n r4 = 0\n r5 = 0\n call 165";
    cases.push(case("snprintf to nowhere", body).text("text"));
    all(host, record, &cases)
}

/// Formats of what lies at addresses: of memory, and of what is not there.
fn pointers(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut cases = Vec::new();
    let bytes: Vec<u8> = (1..=16).map(|byte| byte * 13).collect();
    for format in [
        "%s|", "%10s|", "%-10s|", "%2s|", "%010s|", "%pks|", "%10pks|", "%pus|", "%pI4|", "%pi4|",
        "%20pI4|", "%pI4x!", "%pI6|", "%pi6|", "%pI6c|", "%pI6c1 |",
    ] {
        for (what, place, content) in [
            ("text", "r0 = r6\n r0 += 256", b"hello\0world".as_slice()),
            ("bytes", "r0 = r6\n r0 += 256", &bytes),
            ("high bytes", "r0 = r6\n r0 += 256", b"\xff\xfe\x01\0"),
            ("nothing", "r0 = 8", b""),
            ("no address", "r0 = 0x1234567812345678 ll", b""),
        ] {
            let body = format!(
                "{place}
                 *(u64 *)(r6 + 128) = r0
                 r1 = r6\n r1 += 512\n r2 = 80\n r3 = r7\n r4 = r6\n r4 += 128\n r5 = 8
                 call 165
                 *(u64 *)(r6 + 128) = 0"
            );
            let body = format!("{body}\n");
            cases.push(
                case(format!("snprintf {format:?} {what}"), body)
                    .with(256, content)
                    .text(format),
            );
        }
    }
    // Strings share the room of all arguments.
    let long = vec![b'x'; 600];
    for format in ["%s|", "%s|%d", "%s|%s|", "%s|%c", "%d%s|%ld"] {
        let body = "r0 = r6
             r0 += 1024
             *(u64 *)(r6 + 128) = r0
             *(u64 *)(r6 + 136) = r0
             *(u64 *)(r6 + 144) = r0
             r1 = r6\n r1 += 2048\n r2 = 1024\n r3 = r7\n r4 = r6\n r4 += 128\n r5 = 24
             call 165
             *(u64 *)(r6 + 128) = 0
             *(u64 *)(r6 + 136) = 0
             *(u64 *)(r6 + 144) = 0";
        if format.contains("%d%s") {
            continue;
        }
        let case = case(format!("snprintf {format:?} of long text"), body);
        cases.push(case.with(1024, &long).text(format));
    }
    all(host, record, &cases)
}

/// What `bpf_trace_vprintk` refuses: nothing of it is printed.
fn wrong_formats(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut cases = Vec::new();
    let formats: &[&[u8]] = &[
        b"%d\0",
        b"%\0",
        b"%5\0",
        b"%y\0",
        b"%hd\0",
        b"%hhd\0",
        b"%llld\0",
        b"%lld%lld\0",
        b"%f\0",
        b"%o\0",
        b"%#x\0",
        b"%*d\0",
        b"%.5d\0",
        b"%5%\0",
        b"%n\0",
        b"%px %d\0",
        b"%pa\0",
        b"%pI\0",
        b"%pI5\0",
        b"%p4\0",
        b"%pk\0",
        b"%pkx\0",
        b"%pksx\0",
        b"%sx\0",
        b"%s1\0",
        b"%ls\0",
        b"%lc\0",
        b"%lp\0",
        b"\xc3\xa4\0",
        b"\x80\xff\0",
        b"\x01\0",
        b"\x7f\0",
        b"no end",
        b"%pUb\0",
        b"%-\0",
        b"%l\0",
        b"%ll\0",
    ];
    for format in formats {
        for len in [0, 8] {
            // With an argument, these would be printed.
            if len == 8 && matches!(*format, b"%d\0") {
                continue;
            }
            let body = format!(
                "r1 = r6\n r1 += 64\n r2 = {}\n r3 = r6\n r3 += 128\n r4 = {len}\n call 177",
                format.len()
            );
            let name = format!("vprintk {} {len}", format.escape_ascii());
            cases.push(case(name, body).with(64, format));
        }
    }
    for len in [1, 7, 9, 104] {
        let body =
            format!("r1 = r6\n r1 += 64\n r2 = 3\n r3 = r6\n r3 += 128\n r4 = {len}\n call 177");
        cases.push(case(format!("vprintk of {len} bytes"), body).with(64, "%d\0"));
    }
    for (name, format, args) in [
        (
            "printk too many",
            b"%d%d%d%d\0".as_slice(),
            "r3 = 1\n r4 = 2\n r5 = 3",
        ),
        ("printk no end", b"%d", "r3 = 1\n r4 = 2\n r5 = 3"),
        ("printk unknown", b"%y\0", "r3 = 1\n r4 = 2\n r5 = 3"),
    ] {
        let body = format!(
            "r1 = r6\n r1 += 64\n r2 = {}\n {args}\n call 6",
            format.len()
        );
        cases.push(case(name, body).with(64, format));
    }
    all(host, record, &cases)
}

fn probing(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut cases = Vec::new();
    let places = [
        ("memory", "r3 = r6\n r3 += 64".to_owned()),
        ("constant", "r3 = r7".to_owned()),
        (
            "stack",
            "*(u64 *)(r10 - 8) = 0x6162\n r3 = r10\n r3 += -8".to_owned(),
        ),
        ("null", "r3 = 0".to_owned()),
        ("user", "r3 = 0x1000".to_owned()),
        ("last of user", "r3 = 0x7ffffffff000 ll".to_owned()),
        ("behind user", "r3 = 0x800000000000 ll".to_owned()),
        ("behind that", "r3 = 0x800000001000 ll".to_owned()),
        ("no address", "r3 = 0x1234567812345678 ll".to_owned()),
        (
            "hole of the kernel",
            "r3 = 0xffff800000000000 ll".to_owned(),
        ),
        ("before the kernel", "r3 = 0xffff7fffffffffff ll".to_owned()),
    ];
    let helpers = [
        (4, "probe_read"),
        (45, "probe_read_str"),
        (112, "probe_read_user"),
        (113, "probe_read_kernel"),
        (114, "probe_read_user_str"),
        (115, "probe_read_kernel_str"),
        (148, "copy_from_user"),
    ];
    for (helper, name) in helpers {
        let of_user = name.contains("user");
        for (what, place) in &places {
            // Addresses of the machine are user addresses of this process: programs on the kernel
            // can't have them.
            if of_user && matches!(*what, "memory" | "constant" | "stack") {
                continue;
            }
            // What the architecture says of addresses that are none differs with its helper.
            for size in [0, 1, 3, 6, 8, 40] {
                if *what == "stack" && size > 8 {
                    continue;
                }
                let body = format!("{place}\n r1 = r6\n r1 += 512\n r2 = {size}\n call {helper}");
                cases.push(
                    case(format!("{name} {what} {size}"), body)
                        .with(64, b"hello\0world")
                        .with(512, [0xaa; 48])
                        .text("constant"),
                );
            }
        }
    }
    all(host, record, &cases)
}

fn dynptrs(host: &dyn Host, record: &mut Record) -> Outcome {
    let make = |size: u32, flags: u32| {
        format!(
            "r1 = r6\n r1 += 256\n r2 = {size}\n r3 = {flags}\n r4 = r10\n r4 += -16\n call 197\n *(u64 *)(r6 + 8) = r0"
        )
    };
    let read = |offset: i64, len: u32, flags: u32| {
        format!(
            "r1 = r6\n r1 += 512\n r2 = {len}\n r3 = r10\n r3 += -16\n r4 = {offset}\n r5 = {flags}\n call 201"
        )
    };
    let write = |offset: i64, len: u32, flags: u32| {
        format!(
            "r1 = r10\n r1 += -16\n r2 = {offset}\n r3 = r6\n r3 += 64\n r4 = {len}\n r5 = {flags}\n call 202"
        )
    };
    let mut cases = Vec::new();
    let filled = |name: String, body: String| {
        let content: Vec<u8> = (1..=64).collect();
        case(name, body)
            .with(256, content)
            .with(64, b"abcdefghijklmnopqrstuvwxyz")
            .with(512, [0xaa; 64])
    };
    for (size, flags) in [(32, 0), (32, 1), (0, 0), (1, 0)] {
        for (offset, len, inner) in [
            (0_i64, 8, 0),
            (24, 8, 0),
            (25, 8, 0),
            (0, 32, 0),
            (0, 33, 0),
            (32, 0, 0),
            (33, 0, 0),
            (0, 0, 0),
            (-1, 1, 0),
            (-1, 0, 0),
            (0, 8, 1),
        ] {
            let what = format!("{size} {flags}: {offset} {len} {inner}");
            let body = format!("{}\n{}", make(size, flags), read(offset, len, inner));
            cases.push(filled(format!("dynptr read {what}"), body));
            let body = format!("{}\n{}", make(size, flags), write(offset, len, inner));
            cases.push(filled(format!("dynptr write {what}"), body));
            let body = format!(
                "{}\n r1 = r10\n r1 += -16\n r2 = {offset}\n r3 = {len}\n call 203
                 if r0 == 0 goto none
                 r1 = r6\n r1 += 256\n r0 -= r1\n goto done
                 none: r0 = -1
                 done: r1 = r0",
                make(size, flags)
            );
            cases.push(filled(format!("dynptr data {what}"), body));
        }
    }
    // What overlaps is moved as if it did not.
    for (from, to) in [(0, 3), (3, 0), (0, 8), (8, 0), (5, 5)] {
        let body = format!(
            "{}\n r1 = r10\n r1 += -16\n r2 = {to}\n r3 = r6\n r3 += {}\n r4 = 20\n r5 = 0\n call 202",
            make(48, 0),
            256 + from
        );
        cases.push(filled(format!("dynptr overlap {from} {to}"), body));
    }
    all(host, record, &cases)
}

fn signals(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut cases = Vec::new();
    for (helper, name) in [(109, "send_signal"), (117, "send_signal_thread")] {
        cases.push(case(
            format!("signals to this process {name} 0"),
            format!("r1 = 0\n call {helper}"),
        ));
        for signal in [65, 1000, -1] {
            cases.push(case(
                format!("{name} {signal}"),
                format!("r1 = {signal}\n call {helper}"),
            ));
        }
    }
    all(host, record, &cases)
}

fn attachment(host: &dyn Host, record: &mut Record) -> Outcome {
    let case = case("cookie", "r1 = r9\n call 174");
    let bytes = case.run_as(host, ProgramType::RawTracepoint)?;
    record.fact("cookie", &bytes[..8]);
    Ok(())
}
