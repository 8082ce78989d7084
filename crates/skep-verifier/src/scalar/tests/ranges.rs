//! Ranges, written for 8 bits too: with all of their members.

use super::super::range::byte::Range;

/// Ends that matter: the ends of both orders, around zero, and between.
const ENDS: [u8; 16] = [
    0, 1, 2, 3, 7, 8, 16, 100, 126, 127, 128, 129, 200, 240, 254, 255,
];

fn settled() -> Vec<Range> {
    let mut found: Vec<Range> = Vec::new();
    let mut add = |range: Range| {
        let range = range.settle();
        if !range.is_empty() && !found.contains(&range) {
            found.push(range);
        }
    };
    for &a in &ENDS {
        for &b in &ENDS {
            let unsigned = Range::unsigned(a, b);
            let signed = Range::signed(a.cast_signed(), b.cast_signed());
            if a <= b {
                add(unsigned);
            }
            if a.cast_signed() <= b.cast_signed() {
                add(signed);
            }
            for &c in &[1_u8, 127, 128, 250] {
                add(unsigned.intersect(Range::signed(-128, c.cast_signed())));
                add(unsigned.intersect(Range::signed(c.cast_signed(), 127)));
            }
        }
    }
    found
}

fn members(range: Range) -> impl Iterator<Item = u8> {
    (0..=255).filter(move |&number| range.contains(number))
}

/// Checks an operation on every `step`th pair of ranges with all members.
fn check(
    step: usize,
    abstractly: impl Fn(Range, Range) -> Range,
    concretely: impl Fn(u8, u8) -> u8,
) {
    let all = settled();
    let pairs = all
        .iter()
        .flat_map(|left| all.iter().map(move |right| (*left, *right)));
    for (left, right) in pairs.step_by(step) {
        let found = abstractly(left, right).settle();
        for a in members(left) {
            for b in members(right) {
                let result = concretely(a, b);
                assert!(
                    found.contains(result),
                    "{a} {b} = {result}\n{left:?}\n{right:?}\n{found:?}"
                );
            }
        }
    }
}

const STEP: usize = 131;

#[test]
fn settling_is_exact() {
    for &a in &ENDS {
        for &b in &ENDS {
            for &c in &ENDS {
                for &d in &ENDS {
                    let range = Range {
                        umin: a,
                        umax: b,
                        smin: c.cast_signed(),
                        smax: d.cast_signed(),
                    };
                    let expected = members(range)
                        .map(Range::constant)
                        .reduce(Range::union)
                        .unwrap_or(Range::EMPTY);
                    assert_eq!(range.settle(), expected, "{range:?}");
                }
            }
        }
    }
}

#[test]
fn sums_differences_and_products_are_sound() {
    check(STEP, Range::add, u8::wrapping_add);
    check(STEP, Range::sub, u8::wrapping_sub);
    check(STEP, Range::mul, u8::wrapping_mul);
}

#[test]
fn bitwise_operations_are_sound() {
    check(STEP, Range::and, |a, b| a & b);
    check(STEP, Range::or, |a, b| a | b);
    check(STEP, Range::xor, |a, b| a ^ b);
}

#[test]
fn divisions_are_sound() {
    let signed = |a: u8, b: u8| (a.cast_signed(), b.cast_signed());
    check(STEP, Range::div, |a, b| a.checked_div(b).unwrap_or(0));
    check(STEP, Range::rem, |a, b| a.checked_rem(b).unwrap_or(a));
    check(STEP, Range::sdiv, |a, b| {
        let (a, b) = signed(a, b);
        if b == 0 {
            0
        } else {
            a.wrapping_div(b).cast_unsigned()
        }
    });
    check(STEP, Range::srem, |a, b| {
        let (a, b) = signed(a, b);
        if b == 0 {
            a.cast_unsigned()
        } else {
            a.wrapping_rem(b).cast_unsigned()
        }
    });
}

#[test]
fn shifts_are_sound() {
    for left in settled() {
        for least in 0..8 {
            for most in least..8 {
                let (up, down, signed) = (
                    left.shl(least, most).settle(),
                    left.shr(least, most).settle(),
                    left.sar(least, most).settle(),
                );
                for number in members(left) {
                    for amount in least..=most {
                        assert!(up.contains(number << amount), "{number} << {amount}");
                        assert!(down.contains(number >> amount), "{number} >> {amount}");
                        let shifted = (number.cast_signed() >> amount).cast_unsigned();
                        assert!(signed.contains(shifted), "{number} s>> {amount}");
                    }
                }
            }
        }
    }
}

/// Where nothing wraps around, the bounds are the smallest.
#[test]
fn operations_are_exact_where_nothing_wraps() {
    for (a, b) in (0..12_u8).flat_map(|a| (a..12).map(move |b| (a, b))) {
        for (c, d) in (1..12_u8).flat_map(|c| (c..12).map(move |d| (c, d))) {
            let (left, right) = (
                Range::unsigned(a, b).settle(),
                Range::unsigned(c, d).settle(),
            );
            let exact = |found: Range, of: &dyn Fn(u8, u8) -> u8| {
                let best = (a..=b)
                    .flat_map(|x| (c..=d).map(move |y| (x, y)))
                    .map(|(x, y)| Range::constant(of(x, y)))
                    .reduce(Range::union)
                    .expect("members");
                assert_eq!(found.settle(), best, "{left:?} {right:?}");
            };
            exact(left.add(right), &|x, y| x + y);
            exact(left.sub(right), &u8::wrapping_sub);
            exact(left.mul(right), &|x, y| x * y);
            exact(left.div(right), &|x, y| x / y);
            exact(left.sdiv(right), &|x, y| x / y);
        }
    }
}
