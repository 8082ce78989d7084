//! The instructions that are relocated, each with its record.
//!
//! A record in `.skep.core` is the instruction's address (8 bytes), the kind of relocation and the
//! bytes of text (4 bytes each), the text, and what pads it to eight bytes. The text reaches the
//! assembler as numbers, since it depends on type parameters, and literals can't.

use super::path::Path;

/// Kinds of relocation: uapi `enum bpf_core_relo_kind`.
pub(super) const BYTE_OFFSET: u32 = 0;
pub(super) const BYTE_SIZE: u32 = 1;
pub(super) const EXISTS: u32 = 2;
pub(super) const SIGNED: u32 = 3;
const LEFT_SHIFT: u32 = 4;
const RIGHT_SHIFT: u32 = 5;
pub(super) const TYPE_ID_LOCAL: u32 = 6;
pub(super) const TYPE_ID_TARGET: u32 = 7;
pub(super) const TYPE_EXISTS: u32 = 8;
pub(super) const TYPE_SIZE: u32 = 9;
pub(super) const ENUMERATOR_EXISTS: u32 = 10;
pub(super) const ENUMERATOR_VALUE: u32 = 11;
pub(super) const TYPE_MATCHES: u32 = 12;
/// Of a record that only declares.
const DECLARED: u32 = 0xff;

/// Defines functions of one instruction, for texts of at most 8, 16 and 32 words.
macro_rules! relocated {
    ($(
        $(#[$doc:meta])*
        fn $name:ident<P: Path $(, const $generic:ident: u32)?>($($arg:ident: $arg_type:ty)?) -> $result:ty =
            $kind:expr, $insn:literal, [$($operand:tt)*], [$($option:ident),*], |$out:ident| $value:expr;
    )*) => { $(
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name<P: Path $(, const $generic: u32)?>($($arg: $arg_type)?) -> $result {
            #[cfg(target_arch = "bpf")]
            {
                let $out: u64;
                macro_rules! emit {
                    ($text:literal, $words:tt) => { relocated!(
                        @asm [$insn], ".quad 777b", $text, $words, $kind,
                        [$($operand)*], [pure, $($option),*]
                    ) };
                }
                relocated!(@by_length P, emit);
                $value
            }
            #[cfg(not(target_arch = "bpf"))]
            {
                $(let _ = $arg;)?
                checked::<P>($kind);
                panic!("the kernel's memory is only there in BPF programs");
            }
        }
    )* };
    (@by_length $path:ident, $emit:ident) => {
        if const { $path::TEXT.len() <= 64 } {
            $emit!(".quad {w0},{w1},{w2},{w3},{w4},{w5},{w6},{w7}", [
                w0 0, w1 1, w2 2, w3 3, w4 4, w5 5, w6 6, w7 7
            ]);
        } else if const { $path::TEXT.len() <= 128 } {
            $emit!(".quad {w0},{w1},{w2},{w3},{w4},{w5},{w6},{w7},{w8},{w9},{w10},{w11},{w12},{w13},{w14},{w15}", [
                w0 0, w1 1, w2 2, w3 3, w4 4, w5 5, w6 6, w7 7,
                w8 8, w9 9, w10 10, w11 11, w12 12, w13 13, w14 14, w15 15
            ]);
        } else {
            $emit!(".quad {w0},{w1},{w2},{w3},{w4},{w5},{w6},{w7},{w8},{w9},{w10},{w11},{w12},{w13},{w14},{w15},{w16},{w17},{w18},{w19},{w20},{w21},{w22},{w23},{w24},{w25},{w26},{w27},{w28},{w29},{w30},{w31}", [
                w0 0, w1 1, w2 2, w3 3, w4 4, w5 5, w6 6, w7 7,
                w8 8, w9 9, w10 10, w11 11, w12 12, w13 13, w14 14, w15 15,
                w16 16, w17 17, w18 18, w19 19, w20 20, w21 21, w22 22, w23 23,
                w24 24, w25 25, w26 26, w27 27, w28 28, w29 29, w30 30, w31 31
            ]);
        }
    };
    (@asm [$($insn:literal)?], $place:literal, $text:literal, [$($word:ident $index:literal),*],
        $kind:expr, [$($operand:tt)*], [$($option:ident),*]) => {
        // SAFETY: the instruction makes a number or address, or a load, which the kernel's verifier
        // allows or refuses; the record is in a section that is not loaded.
        unsafe {
            core::arch::asm!(
                $($insn,)?
                ".pushsection .skep.core,\"\",@progbits",
                $place,
                ".long {kind}, {len}",
                $text,
                ".popsection",
                kind = const $kind,
                len = const P::TEXT.len(),
                $($word = const P::TEXT.word($index),)*
                $($operand)*
                options(nostack, preserves_flags, $($option),*)
            );
        }
    };
}

relocated! {
    /// The number that a relocation gives.
    fn value<P: Path, const KIND: u32>() -> u64 =
        KIND, "777: {out} = 0", [out = lateout(reg) out,], [nomem], |out| out;
    /// The place of a field.
    fn address<P: Path>(base: *const u8) -> *const u8 =
        BYTE_OFFSET, "777: {out} += 0", [out = inlateout(reg) base => out,], [nomem],
        |out| out as *const u8;
    /// A byte, zero-extended.
    fn load_1<P: Path>(base: *const u8) -> u64 =
        BYTE_OFFSET, "777: {out} = *(u8 *)({base} + 0)",
        [out = lateout(reg) out, base = in(reg) base,], [readonly], |out| within(out, 0xff);
    /// Two bytes, zero-extended.
    fn load_2<P: Path>(base: *const u8) -> u64 =
        BYTE_OFFSET, "777: {out} = *(u16 *)({base} + 0)",
        [out = lateout(reg) out, base = in(reg) base,], [readonly], |out| within(out, 0xffff);
    /// Four bytes, zero-extended.
    fn load_4<P: Path>(base: *const u8) -> u64 =
        BYTE_OFFSET, "777: {out} = *(u32 *)({base} + 0)",
        [out = lateout(reg) out, base = in(reg) base,], [readonly], |out| within(out, 0xffff_ffff);
    /// A number that is 0 or 1.
    fn flag<P: Path, const KIND: u32>() -> u64 =
        KIND, "777: {out} = 0", [out = lateout(reg) out,], [nomem], |out| within(out, 1);
    /// The number that a relocation gives, of 64 bits.
    fn value_wide<P: Path, const KIND: u32>() -> u64 =
        KIND, "777: {out} = 0 ll", [out = lateout(reg) out,], [nomem], |out| out;
    /// A number with the bits above a bit field shifted out.
    fn shift_left<P: Path>(loaded: u64) -> u64 =
        LEFT_SHIFT, "777: {out} <<= 0", [out = inlateout(reg) loaded => out,], [nomem], |out| out;
    /// A number with the bits below a bit field shifted out.
    fn shift_right<P: Path>(shifted: u64) -> u64 =
        RIGHT_SHIFT, "777: {out} >>= 0", [out = inlateout(reg) shifted => out,], [nomem], |out| out;
    /// As [`shift_right`], of a signed field.
    fn shift_right_signed<P: Path>(shifted: u64) -> u64 =
        RIGHT_SHIFT, "777: {out} s>>= 0", [out = inlateout(reg) shifted => out,], [nomem], |out| out;
    /// Eight bytes.
    fn load_8<P: Path>(base: *const u8) -> u64 =
        BYTE_OFFSET, "777: {out} = *(u64 *)({base} + 0)",
        [out = lateout(reg) out, base = in(reg) base,], [readonly], |out| out;
}

/// Tells the compiler what the load says: without it, it would mask what is zero.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn within(loaded: u64, most: u64) -> u64 {
    // SAFETY: a load of so many bytes sets the others to zero.
    unsafe { core::hint::assert_unchecked(loaded <= most) };
    loaded
}

/// A record of no instruction.
#[inline(always)]
pub(super) fn declare<P: Path>() {
    #[cfg(target_arch = "bpf")]
    {
        macro_rules! emit {
            ($text:literal, $words:tt) => {
                relocated!(@asm [], ".quad 0", $text, $words, DECLARED, [], [nomem])
            };
        }
        relocated!(@by_length P, emit);
    }
    #[cfg(not(target_arch = "bpf"))]
    checked::<P>(DECLARED);
}

/// Makes a text also where no program is made, so that an editor shows what is wrong with it.
#[cfg(not(target_arch = "bpf"))]
fn checked<P: Path>(_kind: u32) {
    let _ = const { (P::TEXT.len(), P::TEXT.word(0)) };
}

/// Loads without a record, from a place that [`address`] made. As plain Rust they would be a
/// promise to the compiler that there is memory.
macro_rules! plain {
    ($($name:ident $insn:literal,)*) => { $(
        #[inline(always)]
        pub(super) fn $name(place: *const u8) -> u64 {
            #[cfg(target_arch = "bpf")]
            {
                let out: u64;
                // SAFETY: a load, which the kernel's verifier allows or refuses.
                unsafe {
                    core::arch::asm!(
                        $insn,
                        out = lateout(reg) out,
                        place = in(reg) place,
                        options(pure, readonly, nostack, preserves_flags)
                    );
                }
                out
            }
            #[cfg(not(target_arch = "bpf"))]
            {
                let _ = place;
                panic!("the kernel's memory is only there in BPF programs");
            }
        }
    )* };
}

plain! {
    plain_1 "{out} = *(u8 *)({place} + 0)",
    plain_2 "{out} = *(u16 *)({place} + 0)",
    plain_4 "{out} = *(u32 *)({place} + 0)",
    plain_8 "{out} = *(u64 *)({place} + 0)",
}
