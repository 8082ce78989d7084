//! Tristate numbers: all those of four unknown or known bits, at both ends of the 64, with all of
//! their members.

use super::super::Tnum;

/// All tnums of `width` bits, the lowest at `shift`; other bits are zero.
fn tnums(width: u32, shift: u32) -> Vec<Tnum> {
    let mut found = Vec::new();
    for mask in 0..1_u64 << width {
        for value in 0..1_u64 << width {
            if value & mask == 0 {
                found.push(Tnum {
                    value: value << shift,
                    mask: mask << shift,
                });
            }
        }
    }
    found
}

fn members(bits: Tnum) -> Vec<u64> {
    let mut found = Vec::new();
    let mut chosen = 0_u64;
    loop {
        found.push(bits.value | chosen);
        // The next subset of the mask.
        chosen = (chosen | !bits.mask).wrapping_add(1) & bits.mask;
        if chosen == 0 {
            return found;
        }
    }
}

/// The smallest tnum that has numbers.
fn smallest(numbers: impl IntoIterator<Item = u64>) -> Tnum {
    numbers
        .into_iter()
        .map(Tnum::constant)
        .reduce(Tnum::union)
        .expect("at least one number")
}

const PLACES: [u32; 3] = [0, 30, 60];

fn check_all_pairs(abstractly: impl Fn(Tnum, Tnum) -> Tnum, concretely: impl Fn(u64, u64) -> u64) {
    for shift in PLACES {
        for left in tnums(4, shift) {
            for right in tnums(4, shift) {
                let results = members(left)
                    .into_iter()
                    .flat_map(|a| members(right).into_iter().map(move |b| (a, b)))
                    .map(|(a, b)| concretely(a, b));
                assert_eq!(
                    abstractly(left, right),
                    smallest(results),
                    "{left:?} {right:?}"
                );
            }
        }
    }
}

#[test]
fn additions_are_exact() {
    check_all_pairs(Tnum::add, u64::wrapping_add);
}

#[test]
fn subtractions_are_exact() {
    check_all_pairs(Tnum::sub, u64::wrapping_sub);
}

#[test]
fn bitwise_operations_are_exact() {
    check_all_pairs(Tnum::and, |a, b| a & b);
    check_all_pairs(Tnum::or, |a, b| a | b);
    check_all_pairs(Tnum::xor, |a, b| a ^ b);
}

#[test]
fn products_are_sound_and_mostly_exact() {
    let (mut exact, mut all) = (0, 0);
    for (shift, other) in [(0, 0), (60, 0), (30, 31), (28, 2)] {
        for left in tnums(4, shift) {
            for right in tnums(4, other) {
                let product = left.mul(right);
                let results = members(left)
                    .into_iter()
                    .flat_map(|a| members(right).into_iter().map(move |b| a.wrapping_mul(b)));
                let best = smallest(results);
                assert!(best.is_subset_of(product), "{left:?} {right:?} {product:?}");
                all += 1;
                exact += u32::from(best == product);
            }
        }
    }
    assert!(exact * 100 >= all * 90, "{exact} of {all} are exact");
}

#[test]
fn unary_operations_are_exact() {
    for shift in PLACES {
        for bits in tnums(4, shift) {
            let all = members(bits);
            let check = |found: Tnum, of: &dyn Fn(u64) -> u64| {
                assert_eq!(
                    found,
                    smallest(all.iter().map(|&number| of(number))),
                    "{bits:?}"
                );
            };
            check(bits.not(), &|number| !number);
            check(bits.neg(), &u64::wrapping_neg);
            for amount in 0..64 {
                check(bits.shl(amount), &|number| number << amount);
                check(bits.shr(amount), &|number| number >> amount);
                check(bits.sar(amount, 64), &|number| {
                    (number.cast_signed() >> amount).cast_unsigned()
                });
            }
            for amount in 0..32 {
                check(bits.sar(amount, 32), &|number| {
                    i64::from((number as i32) >> amount).cast_unsigned()
                });
            }
            for width in [8, 16, 32, 33, 64] {
                check(bits.truncate(width), &|number| {
                    number & (u64::MAX >> (64 - width))
                });
                check(bits.sign_extend(width), &|number| {
                    (((number << (64 - width)).cast_signed()) >> (64 - width)).cast_unsigned()
                });
            }
            check(bits.swap_bytes(16), &|number| {
                u64::from((number as u16).swap_bytes())
            });
            check(bits.swap_bytes(32), &|number| {
                u64::from((number as u32).swap_bytes())
            });
            check(bits.swap_bytes(64), &u64::swap_bytes);
            assert_eq!(bits.least(), all.iter().copied().min().expect("members"));
            assert_eq!(bits.most(), all.iter().copied().max().expect("members"));
        }
    }
}

#[test]
fn sets_are_exact() {
    for shift in PLACES {
        let all = tnums(4, shift);
        for &left in &all {
            let numbers = members(left);
            for &right in &all {
                let inside = numbers.iter().all(|&number| right.contains(number));
                assert_eq!(left.is_subset_of(right), inside, "{left:?} {right:?}");
                let shared: Vec<u64> = numbers
                    .iter()
                    .copied()
                    .filter(|&number| right.contains(number))
                    .collect();
                assert_eq!(left.overlaps(right), !shared.is_empty());
                let expected = (!shared.is_empty()).then(|| smallest(shared));
                assert_eq!(left.intersect(right), expected, "{left:?} {right:?}");
                let union = left.union(right);
                let either = numbers.iter().copied().chain(members(right));
                assert_eq!(union, smallest(either), "{left:?} {right:?}");
            }
            for limit in 0..16_u64 {
                for limit in [limit << shift, (limit << shift).wrapping_sub(1)] {
                    let above = numbers
                        .iter()
                        .copied()
                        .filter(|&number| number >= limit)
                        .min();
                    let below = numbers
                        .iter()
                        .copied()
                        .filter(|&number| number <= limit)
                        .max();
                    assert_eq!(left.at_least(limit), above, "{left:?} {limit:#x}");
                    assert_eq!(left.at_most(limit), below, "{left:?} {limit:#x}");
                }
            }
        }
    }
}

#[test]
fn ranges_are_exact() {
    for shift in PLACES {
        for least in 0..16_u64 {
            for most in least..16 {
                let numbers = (least..=most).map(|number| number << shift);
                let low = (1 << shift) - 1;
                let found = Tnum::range(least << shift, most << shift | low);
                let best = smallest(numbers.flat_map(|number| [number, number | low]));
                assert_eq!(found, best, "{least} {most}");
            }
        }
    }
    assert_eq!(Tnum::range(0, u64::MAX), Tnum::UNKNOWN);
}
