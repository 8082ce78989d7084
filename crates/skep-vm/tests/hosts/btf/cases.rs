//! Types that are wrong in one way, by themselves and in what they lead to.

use skep_host::{Errno, Host};
use skep_testing::Outcome;

use super::{A, B, BAD, Cases, DATA, FLAG, GOOD, LATER, LOOP, behind_int, info};
use crate::support::Record;

pub(super) fn alone(host: &dyn Host, record: &mut Record) -> Outcome {
    #[rustfmt::skip]
    let cases: Cases<'_> = &[
        ("nothing more", GOOD, &[]),
        ("int without a name", GOOD, &[0, info(1, 0), 4, 32]),
        ("int of 3 bytes", GOOD, &[A, info(1, 0), 3, 24]),
        ("int of 33 bits", BAD, &[A, info(1, 0), 4, 33]),
        ("int of 16 bits behind 17", BAD, &[A, info(1, 0), 4, 17 << 16 | 16]),
        ("int of 129 bits", BAD, &[A, info(1, 0), 32, 129]),
        ("int of two encodings", LATER, &[A, info(1, 0), 4, 3 << 24 | 32]),
        ("int of an unknown bit", BAD, &[A, info(1, 0), 4, 1 << 28 | 32]),
        ("int with a count", BAD, &[A, info(1, 1), 4, 32]),
        ("int with kind_flag", BAD, &[A, info(1, 0) | FLAG, 4, 32]),
        ("kind 0", BAD, &[A, info(0, 0), 4]),
        ("kind 20", BAD, &[A, info(20, 0), 4]),
        ("kind 30", BAD, &[A, info(30, 0), 4]),
        ("bits of the info word", BAD, &[A, info(1, 0) | 1 << 20, 4, 32]),
        ("half a type", BAD, &[A, info(1, 0), 4]),
        ("two words", BAD, &[0, info(2, 0)]),
        ("half a member", BAD, &[A, info(4, 1), 4, B, 1]),
        ("pointer with a name", BAD, &[A, info(2, 0), 1]),
        ("pointer with kind_flag", BAD, &[0, info(2, 0) | FLAG, 1]),
        ("pointer to type 99", BAD, &[0, info(2, 0), 99]),
        ("pointer to nothing", GOOD, &[0, info(2, 0), 0]),
        ("const with a name", BAD, &[A, info(10, 0), 1]),
        ("array with a name", BAD, &[A, info(3, 0), 0, 1, 1, 4]),
        ("array with a size", BAD, &[0, info(3, 0), 5, 1, 1, 4]),
        ("array of void", BAD, &[0, info(3, 0), 0, 0, 1, 4]),
        ("array by void", BAD, &[0, info(3, 0), 0, 1, 0, 4]),
        ("array of nothing", GOOD, &[0, info(3, 0), 0, 1, 1, 0]),
        ("array of 4 GiB", BAD, &[0, info(3, 0), 0, 1, 1, 1 << 30]),
        ("array of nearly 4 GiB", GOOD, &[0, info(3, 0), 0, 1, 1, (1 << 30) - 1]),
        ("struct of nothing", GOOD, &[A, info(4, 0), 0]),
        ("struct", GOOD, &[A, info(4, 2), 8, B, 1, 0, A, 1, 32]),
        ("member of void", BAD, &[A, info(4, 1), 4, B, 0, 0]),
        ("member behind the end", BAD, &[A, info(4, 1), 4, B, 1, 8]),
        ("member at the end", BAD, &[A, info(4, 1), 4, B, 1, 32]),
        ("member in front of another", BAD, &[A, info(4, 2), 8, B, 1, 32, A, 1, 0]),
        ("union", GOOD, &[A, info(5, 2), 8, B, 1, 0, A, 1, 0]),
        ("union with an offset", BAD, &[A, info(5, 1), 8, B, 1, 8]),
        ("bit fields", GOOD, &[A, info(4, 2) | FLAG, 4, B, 1, 3 << 24, A, 1, 29 << 24 | 3]),
        ("bit field of 33 bits", BAD, &[A, info(4, 1) | FLAG, 8, B, 1, 33 << 24]),
        ("bit field behind the end", BAD, &[A, info(4, 1) | FLAG, 4, B, 1, 30 << 24 | 3]),
        ("member between bytes", BAD, &[A, info(4, 1) | FLAG, 8, B, 1, 3]),
        ("int between bytes, as of old", GOOD, &[A, info(4, 1), 8, B, 1, 3]),
        ("enum", GOOD, &[A, info(6, 1), 4, B, 1]),
        ("enum of nothing", GOOD, &[0, info(6, 0), 4]),
        ("enum of 0 bytes", BAD, &[A, info(6, 1), 0, B, 1]),
        ("enum of 3 bytes", BAD, &[A, info(6, 1), 3, B, 1]),
        ("enum of 16 bytes", BAD, &[A, info(6, 1), 16, B, 1]),
        ("enum with signs", GOOD, &[A, info(6, 1) | FLAG, 4, B, 1]),
        ("enum64", GOOD, &[A, info(19, 1), 8, B, 1, 0]),
        ("enum64 of 12 bytes", BAD, &[A, info(19, 1), 12, B, 1, 0]),
        ("forward", GOOD, &[A, info(7, 0), 0]),
        ("forward of a union", GOOD, &[A, info(7, 0) | FLAG, 0]),
        ("forward with a type", BAD, &[A, info(7, 0), 1]),
        ("variable", GOOD, &[A, info(14, 0), 1, 1]),
        ("variable of void", BAD, &[A, info(14, 0), 0, 1]),
        ("variable found elsewhere", BAD, &[A, info(14, 0), 1, 2]),
        ("variable of linkage 7", BAD, &[A, info(14, 0), 1, 7]),
        ("float", GOOD, &[A, info(16, 0), 12]),
        ("float of 5 bytes", BAD, &[A, info(16, 0), 5]),
        ("prototype with a name", BAD, &[A, info(13, 0), 0]),
        ("prototype with kind_flag", BAD, &[0, info(13, 0) | FLAG, 0]),
        ("section of nothing", GOOD, &[DATA, info(15, 0), 4]),
        ("section of 0 bytes", BAD, &[DATA, info(15, 0), 0]),
        ("section with kind_flag", BAD, &[DATA, info(15, 0) | FLAG, 4]),
        ("type tag", GOOD, &[A, info(18, 0), 1]),
        ("type tag of an attribute", GOOD, &[A, info(18, 0) | FLAG, 1]),
        ("type tag of nothing", BAD, &[0, info(18, 0), 1]),
    ];
    behind_int(host, record, cases)
}

pub(super) fn together(host: &dyn Host, record: &mut Record) -> Outcome {
    const VARIABLES: [u32; 8] = [A, info(14, 0), 1, 1, B, info(14, 0), 1, 1];
    let section = |rest: &[u32]| [&VARIABLES[..], rest].concat();
    let (good, overlapping, small, reversed) = (
        section(&[DATA, info(15, 2), 8, 2, 0, 4, 3, 4, 4]),
        section(&[DATA, info(15, 2), 8, 2, 0, 4, 3, 2, 4]),
        section(&[DATA, info(15, 1), 2, 2, 0, 4]),
        section(&[DATA, info(15, 2), 8, 2, 4, 4, 3, 0, 4]),
    );
    // Each type leads to the one after it, or to the one before it.
    let chain = |kind: u32, count: u32| -> Vec<u32> {
        let one = |id| [if kind == 18 { A } else { 0 }, info(kind, 0), id];
        let last = [0, info(10, 0), 1];
        (0..count).flat_map(|n| one(n + 3)).chain(last).collect()
    };
    let back =
        |count: u32| -> Vec<u32> { (1..=count).flat_map(|id| [0, info(10, 0), id]).collect() };
    let (short, long, tags, behind) = (chain(10, 31), chain(10, 32), chain(18, 31), back(100));
    #[rustfmt::skip]
    let cases: Cases<'_> = &[
        ("pointer to itself", LOOP, &[0, info(2, 0), 2]),
        ("typedef of itself", LOOP, &[A, info(8, 0), 2]),
        ("typedefs of each other", LOOP, &[A, info(8, 0), 3, B, info(8, 0), 2]),
        ("pointers to each other", LOOP, &[0, info(2, 0), 3, 0, info(10, 0), 2]),
        ("struct in itself", LOOP, &[A, info(4, 1), 4, B, 2, 0]),
        ("struct in an array in itself", LOOP,
            &[A, info(4, 1), 4, B, 3, 0, 0, info(3, 0), 0, 2, 1, 1]),
        ("struct that points to itself", GOOD, &[A, info(4, 1), 8, B, 3, 0, 0, info(2, 0), 2]),
        ("struct in itself, of which a pointer's const was done", GOOD,
            &[0, info(2, 0), 3, 0, info(10, 0), 4, A, info(4, 1), 4, B, 3, 0]),
        ("array of itself", LOOP, &[0, info(3, 0), 0, 2, 1, 4]),
        ("array by itself", LOOP, &[0, info(3, 0), 0, 1, 2, 4]),
        ("array by a pointer", BAD, &[0, info(2, 0), 1, 0, info(3, 0), 0, 1, 2, 4]),
        ("array by a typedef", GOOD, &[A, info(8, 0), 1, 0, info(3, 0), 0, 1, 2, 4]),
        ("array by 3 bytes", BAD, &[A, info(1, 0), 3, 24, 0, info(3, 0), 0, 1, 2, 4]),
        ("array of 3 bytes", BAD, &[A, info(1, 0), 3, 24, 0, info(3, 0), 0, 2, 1, 4]),
        ("array of const void", BAD, &[0, info(10, 0), 0, 0, info(3, 0), 0, 2, 1, 4]),
        ("arrays of arrays of 4 GiB", BAD,
            &[0, info(3, 0), 0, 1, 1, 1 << 20, 0, info(3, 0), 0, 2, 1, 1 << 20]),
        ("member of a forward", BAD, &[A, info(7, 0), 0, B, info(4, 1), 4, A, 2, 0]),
        ("member of a variable", BAD, &[A, info(14, 0), 1, 1, B, info(4, 1), 4, A, 2, 0]),
        ("pointer to a variable", BAD, &[A, info(14, 0), 1, 1, 0, info(2, 0), 2]),
        ("bit field of a pointer", BAD,
            &[0, info(2, 0), 1, A, info(4, 1) | FLAG, 8, B, 2, 5 << 24]),
        ("bit field of 3 bytes", BAD,
            &[A, info(1, 0), 3, 24, A, info(4, 1) | FLAG, 8, B, 2, 5 << 24]),
        ("enum of 1 byte with bit fields", BAD,
            &[A, info(6, 0), 1, A, info(4, 1) | FLAG, 1, B, 2, 0]),
        ("enum of 1 byte", GOOD, &[A, info(6, 0), 1, A, info(4, 1), 1, B, 2, 0]),
        ("float at 4 bytes", BAD, &[A, info(16, 0), 8, A, info(4, 1), 16, B, 2, 32]),
        ("float at 8 bytes", GOOD, &[A, info(16, 0), 8, A, info(4, 1), 16, B, 2, 64]),
        ("function", GOOD, &[0, info(13, 0), 0, A, info(12, 0), 2]),
        ("function of an int", BAD, &[A, info(12, 0), 1]),
        ("function found elsewhere", BAD, &[0, info(13, 0), 0, A, info(12, 2), 2]),
        ("function of linkage 9", BAD, &[0, info(13, 0), 0, A, info(12, 9), 2]),
        ("function with a nameless argument", BAD,
            &[0, info(13, 1), 1, 0, 1, A, info(12, 0), 2]),
        ("function with more arguments", GOOD,
            &[0, info(13, 2), 1, A, 1, 0, 0, A, info(12, 0), 2]),
        ("prototype with a nameless argument", GOOD, &[0, info(13, 1), 1, 0, 1]),
        ("prototype with a void argument", BAD, &[0, info(13, 2), 1, 0, 0, A, 1]),
        ("prototype with a void argument of a name", BAD, &[0, info(13, 2), 1, B, 1, A, 0]),
        ("prototype that returns a forward", BAD, &[A, info(7, 0), 0, 0, info(13, 0), 2]),
        ("prototype with a variable", BAD, &[A, info(14, 0), 1, 1, 0, info(13, 1), 0, A, 2]),
        ("pointer to a function", GOOD,
            &[0, info(13, 0), 0, A, info(12, 0), 2, 0, info(2, 0), 3]),
        ("pointer to a function to come", BAD,
            &[0, info(2, 0), 3, A, info(12, 0), 4, 0, info(13, 0), 0]),
        ("const of a function", GOOD, &[0, info(13, 0), 0, A, info(12, 0), 2, 0, info(10, 0), 3]),
        ("section", GOOD, &good),
        ("section that overlaps", BAD, &overlapping),
        ("section in reverse", BAD, &reversed),
        ("section too small", BAD, &small),
        ("section with an int", BAD, &[DATA, info(15, 1), 4, 1, 0, 4]),
        ("section that cuts a variable", BAD,
            &[A, info(14, 0), 1, 1, DATA, info(15, 1), 4, 2, 0, 3]),
        ("section before its variables", GOOD,
            &[DATA, info(15, 1), 4, 3, 0, 4, A, info(14, 0), 1, 1]),
        ("tag of a struct", GOOD, &[A, info(4, 0), 0, A, info(17, 0), 2, u32::MAX]),
        ("tag of a member", GOOD, &[A, info(4, 1), 4, B, 1, 0, A, info(17, 0), 2, 0]),
        ("tag behind the members", BAD, &[A, info(4, 1), 4, B, 1, 0, A, info(17, 0), 2, 1]),
        ("tag of component -2", BAD, &[A, info(4, 0), 0, A, info(17, 0), 2, u32::MAX - 1]),
        ("tag of an argument", GOOD,
            &[0, info(13, 1), 0, A, 1, A, info(12, 0), 2, A, info(17, 0), 3, 0]),
        ("tag behind the arguments", BAD,
            &[0, info(13, 1), 0, A, 1, A, info(12, 0), 2, A, info(17, 0), 3, 1]),
        ("tag of a typedef's component", BAD, &[A, info(8, 0), 1, A, info(17, 0), 2, 0]),
        ("tag of an int", BAD, &[A, info(17, 0), 1, u32::MAX]),
        ("tag with kind_flag", GOOD, &[A, info(8, 0), 1, A, info(17, 0) | FLAG, 2, u32::MAX]),
        ("tag without text", BAD, &[A, info(8, 0), 1, 0, info(17, 0), 2, u32::MAX]),
        ("type tag in front of const", GOOD, &[A, info(18, 0), 3, 0, info(10, 0), 1]),
        ("type tag behind const", BAD, &[0, info(10, 0), 3, A, info(18, 0), 1]),
        ("32 behind each other", GOOD, &short),
        ("33 behind each other", Some(Errno::E2BIG), &long),
        ("32 tags behind each other", GOOD, &tags),
        ("100 in front of each other", GOOD, &behind),
        ("a const of 32 that were followed", Some(Errno::ELOOP), &through(32)),
        ("a const of 31 that were followed", GOOD, &through(31)),
    ];
    behind_int(host, record, cases)
}

/// A chain of so many, whose second half was followed from a pointer, and one in front of it.
fn through(count: u32) -> Vec<u32> {
    const FIRST: u32 = 4;
    let last = FIRST + count - 1;
    let chain = (FIRST..=last).flat_map(|id| {
        let next = if id == last { 1 } else { id + 1 };
        [0, info(10, 0), next]
    });
    let before = [0, info(2, 0), FIRST + count / 2, 0, info(10, 0), FIRST];
    before.into_iter().chain(chain).collect()
}
