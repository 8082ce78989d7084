//! Scalars: of all sets of a few numbers that matter, and of random descriptions of a random
//! number.

use proptest::prelude::*;
use skep_isa::{AluOp, CompareOp, Width};

use super::super::{Scalar, Tnum};
use super::{COMPARE_OPS, check_one, check_pair, holds};

/// Numbers that are near each other in some order, or where an order begins anew.
const UNIVERSES: [[u64; 6]; 6] = [
    [0, 1, 2, 3, 4, 5],
    [0, 1, 31, 32, 63, 64],
    [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000],
    [
        0,
        0x7fff_ffff_ffff_ffff,
        0x8000_0000_0000_0000,
        0x8000_0000_0000_0001,
        0xffff_ffff_ffff_fffe,
        0xffff_ffff_ffff_ffff,
    ],
    [
        0xffff_ffff_8000_0000,
        0xffff_ffff_7fff_ffff,
        0xffff_fffe_ffff_ffff,
        0xffff_ffff_ffff_ff80,
        0x7f,
        0x80,
    ],
    [
        0x7fff,
        0x8000,
        0xffff,
        0xffff_ffff_ffff_8000,
        0x1_0000_8000,
        0xff,
    ],
];

fn subsets(universe: &[u64; 6]) -> Vec<(Vec<u64>, Scalar)> {
    (1..64_u32)
        .map(|chosen| {
            let numbers: Vec<u64> = (0..6)
                .filter(|place| chosen >> place & 1 == 1)
                .map(|place| universe[place])
                .collect();
            let set = numbers
                .iter()
                .map(|&number| Scalar::constant(number))
                .reduce(|a, b| a.join(&b))
                .expect("a number");
            (numbers, set)
        })
        .collect()
}

#[test]
fn all_sets_of_numbers_that_matter() {
    for (place, universe) in UNIVERSES.iter().enumerate() {
        let sets = subsets(universe);
        let others = subsets(&UNIVERSES[(place + 1) % UNIVERSES.len()]);
        for (numbers, set) in &sets {
            for &number in numbers {
                check_one(set, number);
            }
            // Only the ends are tried of larger sets: what is between them is in `proptest`s.
            let few = [
                numbers[0],
                numbers[numbers.len() / 2],
                numbers[numbers.len() - 1],
            ];
            let right = sets.iter().chain(&others);
            for (other_numbers, other) in right.step_by(13) {
                for a in few {
                    check_pair(set, other, a, other_numbers[0]);
                    check_pair(set, other, a, other_numbers[other_numbers.len() - 1]);
                }
            }
        }
    }
}

/// Comparisons of small ranges say all that can be said.
#[test]
fn comparisons_of_small_ranges_are_exact() {
    let ranges: Vec<(i64, i64)> = (-3..=3_i64)
        .flat_map(|a| (a..=3).map(move |b| (a, b)))
        .collect();
    let orders = [
        CompareOp::SGt,
        CompareOp::SGe,
        CompareOp::SLt,
        CompareOp::SLe,
        CompareOp::Eq,
    ];
    for &(a, b) in &ranges {
        for &(c, d) in &ranges {
            let (left, right) = (Scalar::signed(a, b), Scalar::signed(c, d));
            for op in orders {
                for width in [Width::W32, Width::W64] {
                    exact(op, width, (&left, a..=b), (&right, c..=d));
                }
            }
        }
    }
}

fn exact(
    op: CompareOp,
    width: Width,
    (left, numbers): (&Scalar, std::ops::RangeInclusive<i64>),
    (right, others): (&Scalar, std::ops::RangeInclusive<i64>),
) {
    let pairs = || {
        let others = others.clone();
        numbers
            .clone()
            .flat_map(move |x| others.clone().map(move |y| (x, y)))
            .map(|(x, y)| (x.cast_unsigned(), y.cast_unsigned()))
    };
    let truths = pairs().filter(|&(x, y)| holds(op, width, x, y)).count();
    let expected = match truths {
        0 => Some(false),
        all if all == pairs().count() => Some(true),
        _ => None,
    };
    assert_eq!(
        Scalar::compare(op, width, left, right),
        expected,
        "{op:?} {left:?} {right:?}"
    );
    let (l, r) = Scalar::refine(op, width, left, right);
    let true_of: Vec<(u64, u64)> = pairs().filter(|&(x, y)| holds(op, width, x, y)).collect();
    if true_of.is_empty() {
        assert!(
            l.is_empty() && r.is_empty(),
            "{op:?} {left:?} {right:?}\n{l:?}\n{r:?}"
        );
        return;
    }
    let ends = |set: &Scalar| (set.smin, set.smax);
    let hull = |numbers: Vec<i64>| {
        (
            *numbers.iter().min().expect("one"),
            *numbers.iter().max().expect("one"),
        )
    };
    let lefts = hull(true_of.iter().map(|pair| pair.0.cast_signed()).collect());
    let rights = hull(true_of.iter().map(|pair| pair.1.cast_signed()).collect());
    assert_eq!(ends(&l), lefts, "{op:?} {width:?} {left:?} {right:?}");
    assert_eq!(ends(&r), rights, "{op:?} {width:?} {left:?} {right:?}");
}

#[test]
fn what_cannot_be_is_empty() {
    let small = Scalar::unsigned(0, 10);
    let large = Scalar::unsigned(20, 30);
    assert!(small.intersect(&large).is_empty());
    assert!(
        Scalar::of_bits(Tnum {
            value: 1,
            mask: 0xfe
        })
        .within_unsigned(2, 2)
        .is_empty()
    );
    for op in COMPARE_OPS {
        for width in [Width::W32, Width::W64] {
            let refined = match Scalar::compare(op, width, &small, &large) {
                Some(true) => Scalar::refine_not(op, width, &small, &large),
                Some(false) => Scalar::refine(op, width, &small, &large),
                None => continue,
            };
            assert!(refined.0.is_empty() && refined.1.is_empty(), "{op:?}");
        }
    }
    assert!(Scalar::alu(AluOp::Add, Width::W64, &Scalar::EMPTY, &small).is_empty());
    assert!(Scalar::EMPTY.settle().is_empty());
    assert!(Scalar::EMPTY.is_subset_of(&small));
    assert_eq!(Scalar::EMPTY.join(&small), small);
}

/// What the kernel's own tests of bounds expect.
#[test]
fn bounds_follow_from_each_other() {
    // The bits that a mask leaves.
    let masked = Scalar::alu(
        AluOp::And,
        Width::W64,
        &Scalar::UNKNOWN,
        &Scalar::constant(0xf0),
    );
    assert_eq!((masked.umin, masked.umax), (0, 0xf0));
    assert_eq!((masked.s32_min, masked.u32_max), (0, 0xf0));
    // Signed bounds from the unsigned, and the other way round.
    assert_eq!(Scalar::unsigned(3, 9).smin, 3);
    assert_eq!(Scalar::signed(-1, -1).as_constant(), Some(u64::MAX));
    // The lower half, of a range that does not leave 32 bits.
    let shifted = Scalar::unsigned(0x7_0000_0010, 0x7_0000_0020);
    assert_eq!((shifted.u32_min, shifted.u32_max), (0x10, 0x20));
    assert_eq!((shifted.s32_min, shifted.s32_max), (0x10, 0x20));
    // A comparison of 32 bits with what is known of the upper half.
    let (narrow, _) = Scalar::refine(
        CompareOp::Lt,
        Width::W32,
        &Scalar::UNKNOWN.zero_extend(),
        &Scalar::constant(16),
    );
    assert_eq!((narrow.umin, narrow.umax), (0, 15));
    // Twice a comparison with different ends, signed and unsigned.
    let (at_least, _) = Scalar::refine(CompareOp::SGe, Width::W64, &Scalar::UNKNOWN, &Scalar::ZERO);
    let (between, _) = Scalar::refine(CompareOp::SLe, Width::W64, &at_least, &Scalar::constant(7));
    assert_eq!((between.umin, between.umax), (0, 7));
    assert_eq!(between.bits, Tnum { value: 0, mask: 7 });
    // An unsigned range on one side of the sign, where the signed one has both.
    let crossing = Scalar::signed(-10, 20).within_unsigned(0, 1 << 40);
    assert_eq!((crossing.smin, crossing.smax), (0, 20));
    // One bit is tested.
    let one = Scalar::constant(8);
    let (set, _) = Scalar::refine(CompareOp::Set, Width::W64, &Scalar::UNKNOWN, &one);
    assert_eq!(set.bits.value, 8);
    let (clear, _) = Scalar::refine_not(CompareOp::Set, Width::W64, &Scalar::UNKNOWN, &one);
    assert_eq!(clear.bits.mask, !8);
}

/// A random number, and a random description that it satisfies.
fn described() -> impl Strategy<Value = (Scalar, u64)> {
    let number = prop_oneof![
        any::<u64>(),
        (0..100_u64),
        (0..100_u64).prop_map(u64::wrapping_neg),
        any::<i32>().prop_map(|number| i64::from(number).cast_unsigned()),
        any::<u32>().prop_map(u64::from),
        (0..64_u32, 0..4_u64).prop_map(|(place, below)| (1_u64 << place).wrapping_sub(below)),
    ];
    let looseness = prop_oneof![
        2 => Just(0_u64),
        2 => 1..40_u64,
        1 => (0..64_u32).prop_map(|place| 1_u64 << place),
        1 => any::<u64>(),
        2 => Just(u64::MAX),
    ];
    let mask = prop_oneof![
        2 => Just(u64::MAX),
        1 => Just(0),
        1 => (0..64_u32).prop_map(|place| u64::MAX >> place),
        2 => any::<u64>(),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(a, b)| a & b),
    ];
    let loose = proptest::array::uniform8(looseness);
    (number, loose, mask).prop_map(|(number, loose, mask)| {
        let signed = number.cast_signed();
        let low = number as u32;
        let down = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
        let half = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
        let half_signed = |amount: u64| i32::try_from(amount).unwrap_or(i32::MAX);
        let set = Scalar {
            bits: Tnum {
                value: number & !mask,
                mask,
            },
            umin: number.saturating_sub(loose[0]),
            umax: number.saturating_add(loose[1]),
            smin: signed.saturating_sub(down(loose[2])),
            smax: signed.saturating_add(down(loose[3])),
            u32_min: low.saturating_sub(half(loose[4])),
            u32_max: low.saturating_add(half(loose[5])),
            s32_min: low.cast_signed().saturating_sub(half_signed(loose[6])),
            s32_max: low.cast_signed().saturating_add(half_signed(loose[7])),
        };
        (set.settle(), number)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn random_sets_are_sound((left, a) in described(), (right, b) in described()) {
        prop_assert!(left.contains(a) && right.contains(b));
        check_pair(&left, &right, a, b);
        // The same number in both: what equality and order say of it.
        check_pair(&left, &left, a, a);
        check_one(&left, a);
    }

    /// Settling forgets no member, and what is settled stays.
    #[test]
    fn settling_keeps_members((set, a) in described(), other in any::<u64>()) {
        let again = set.settle();
        prop_assert!(again.contains(a));
        prop_assert_eq!(again.contains(other), set.contains(other));
    }

    /// The order of sets is that of their members, for operations too: more known, more known.
    #[test]
    fn joins_hold_what_is_joined((left, a) in described(), (right, b) in described()) {
        let joined = left.join(&right);
        prop_assert!(joined.contains(a) && joined.contains(b));
        prop_assert!(left.is_subset_of(&joined.settle()) || joined.settle().contains(a));
    }
}
