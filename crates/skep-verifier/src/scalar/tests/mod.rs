//! Soundness of the scalar domain, member by member: whatever an operation, a comparison or a
//! refinement says about sets of numbers is true of all numbers in them. Where the smallest answer is
//! known, it is asked for.

mod bits;
mod ranges;
mod sets;

use skep_isa::{AluOp, CompareOp, Width};

use super::Scalar;

const ALU_OPS: [AluOp; 13] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Div,
    AluOp::SDiv,
    AluOp::Mod,
    AluOp::SMod,
    AluOp::Or,
    AluOp::And,
    AluOp::Xor,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Arsh,
];

const COMPARE_OPS: [CompareOp; 11] = [
    CompareOp::Eq,
    CompareOp::Ne,
    CompareOp::Gt,
    CompareOp::Ge,
    CompareOp::Lt,
    CompareOp::Le,
    CompareOp::SGt,
    CompareOp::SGe,
    CompareOp::SLt,
    CompareOp::SLe,
    CompareOp::Set,
];

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];

/// What an operation gives, by what the instruction set says, written apart from the domain. `None`
/// for shifts by the width and more.
fn calculate(op: AluOp, width: Width, left: u64, right: u64) -> Option<u64> {
    let bits = width.bits();
    let cut = |number: i128| {
        let mask = (1_i128 << bits) - 1;
        (number & mask) as u64
    };
    let unsigned = |number: u64| i128::from(cut(number.into()));
    let signed = |number: u64| {
        let up = 64 - bits;
        i128::from(((number << up).cast_signed()) >> up)
    };
    let (a, b, sa, sb) = (unsigned(left), unsigned(right), signed(left), signed(right));
    Some(cut(match op {
        AluOp::Add => a + b,
        AluOp::Sub => a - b,
        AluOp::Mul => sa * sb,
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::SDiv => sa.checked_div(sb).unwrap_or(0),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::SMod => sa.checked_rem(sb).unwrap_or(a),
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh if b < bits.into() => a << b,
        AluOp::Rsh if b < bits.into() => a >> b,
        AluOp::Arsh if b < bits.into() => sa >> b,
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => return None,
    }))
}

fn holds(op: CompareOp, width: Width, left: u64, right: u64) -> bool {
    let up = 64 - width.bits();
    let (a, b) = (left << up, right << up);
    let (sa, sb) = (a.cast_signed(), b.cast_signed());
    match op {
        CompareOp::Eq => a == b,
        CompareOp::Ne => a != b,
        CompareOp::Gt => a > b,
        CompareOp::Ge => a >= b,
        CompareOp::Lt => a < b,
        CompareOp::Le => a <= b,
        CompareOp::SGt => sa > sb,
        CompareOp::SGe => sa >= sb,
        CompareOp::SLt => sa < sb,
        CompareOp::SLe => sa <= sb,
        CompareOp::Set => a & b != 0,
    }
}

/// Everything that can be asked about two sets, for one member of each.
fn check_pair(left: &Scalar, right: &Scalar, a: u64, b: u64) {
    for width in WIDTHS {
        for op in ALU_OPS {
            if let Some(result) = calculate(op, width, a, b) {
                let set = Scalar::alu(op, width, left, right);
                assert!(
                    set.contains(result),
                    "{op:?} {width:?} {a:#x} {b:#x} = {result:#x}\n{left:?}\n{right:?}\n{set:?}"
                );
            }
        }
        for op in COMPARE_OPS {
            let truth = holds(op, width, a, b);
            let says = Scalar::compare(op, width, left, right);
            assert_ne!(
                says,
                Some(!truth),
                "{op:?} {width:?} {a:#x} {b:#x}\n{left:?}\n{right:?}"
            );
            let (l, r) = if truth {
                Scalar::refine(op, width, left, right)
            } else {
                Scalar::refine_not(op, width, left, right)
            };
            assert!(
                l.contains(a) && r.contains(b),
                "{op:?} {width:?} {truth} {a:#x} {b:#x}\n{left:?}\n{right:?}\n{l:?}\n{r:?}"
            );
            assert!(
                l.is_subset_of(left) && r.is_subset_of(right),
                "{op:?} {width:?}"
            );
        }
    }
    let joined = left.join(right);
    assert!(
        joined.contains(a) && joined.contains(b),
        "{left:?}\n{right:?}"
    );
    assert!(left.is_subset_of(&joined) && right.is_subset_of(&joined));
    let both = left.intersect(right);
    assert_eq!(both.contains(a), left.contains(a) && right.contains(a));
    if left.is_subset_of(right) {
        assert!(right.contains(a), "{left:?}\n{right:?}");
    }
}

/// The same for one set.
fn check_one(set: &Scalar, a: u64) {
    assert!(set.settle().contains(a), "{set:?}");
    for width in WIDTHS {
        let negated = calculate(AluOp::Sub, width, 0, a).expect("no shift");
        assert!(set.neg(width).contains(negated), "{set:?} {a:#x}");
        for bits in [8, 16, 32] {
            if bits == 32 && width == Width::W32 {
                continue;
            }
            let up = 64 - bits;
            let extended = ((a << up).cast_signed() >> up).cast_unsigned();
            let extended = match width {
                Width::W64 => extended,
                Width::W32 => u64::from(extended as u32),
            };
            let found = set.sign_extend(bits, width);
            assert!(
                found.contains(extended),
                "{bits} {width:?} {a:#x}\n{set:?}\n{found:?}"
            );
        }
    }
    for bits in [8_u32, 16, 32, 64] {
        let cut = a & (u64::MAX >> (64 - bits));
        assert!(set.truncate(bits).contains(cut), "{bits} {a:#x}\n{set:?}");
        if bits > 8 {
            let swapped = cut.swap_bytes() >> (64 - bits);
            assert!(
                set.swap_bytes(bits).contains(swapped),
                "{bits} {a:#x}\n{set:?}"
            );
        }
    }
    assert!(set.zero_extend().contains(u64::from(a as u32)), "{set:?}");
    let low = set.with_constant_half(a as u32);
    assert!(low.contains(a), "{set:?}\n{low:?}");
}
