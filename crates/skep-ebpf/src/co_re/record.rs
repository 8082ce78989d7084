//! The instructions that are relocated, each with its record.
//!
//! A record in `.skep.core` is the instruction's address (8 bytes), the kind of relocation and the
//! bytes of text (4 bytes each), the text, and what pads it to eight bytes. The text reaches the
//! assembler as numbers, since it depends on type parameters, and literals can't.

use super::path::Path;

/// Kinds of relocation: uapi `enum bpf_core_relo_kind`.
pub(super) const BYTE_OFFSET: u32 = 0;

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
                        @asm $insn, $text, $words, $kind, $out, [$($operand)*], [$($option),*]
                    ) };
                }
                if const { P::TEXT.len() <= 64 } {
                    emit!(".quad {w0},{w1},{w2},{w3},{w4},{w5},{w6},{w7}", [
                        w0 0, w1 1, w2 2, w3 3, w4 4, w5 5, w6 6, w7 7
                    ]);
                } else if const { P::TEXT.len() <= 128 } {
                    emit!(".quad {w0},{w1},{w2},{w3},{w4},{w5},{w6},{w7},{w8},{w9},{w10},{w11},{w12},{w13},{w14},{w15}", [
                        w0 0, w1 1, w2 2, w3 3, w4 4, w5 5, w6 6, w7 7,
                        w8 8, w9 9, w10 10, w11 11, w12 12, w13 13, w14 14, w15 15
                    ]);
                } else {
                    emit!(".quad {w0},{w1},{w2},{w3},{w4},{w5},{w6},{w7},{w8},{w9},{w10},{w11},{w12},{w13},{w14},{w15},{w16},{w17},{w18},{w19},{w20},{w21},{w22},{w23},{w24},{w25},{w26},{w27},{w28},{w29},{w30},{w31}", [
                        w0 0, w1 1, w2 2, w3 3, w4 4, w5 5, w6 6, w7 7,
                        w8 8, w9 9, w10 10, w11 11, w12 12, w13 13, w14 14, w15 15,
                        w16 16, w17 17, w18 18, w19 19, w20 20, w21 21, w22 22, w23 23,
                        w24 24, w25 25, w26 26, w27 27, w28 28, w29 29, w30 30, w31 31
                    ]);
                }
                $value
            }
            #[cfg(not(target_arch = "bpf"))]
            {
                $(let _ = $arg;)?
                // Made here as well, so that an editor shows what is wrong with it.
                let _ = const { (P::TEXT.len(), P::TEXT.word(0)) };
                panic!("the kernel's memory is only there in BPF programs");
            }
        }
    )* };
    (@asm $insn:literal, $text:literal, [$($word:ident $index:literal),*], $kind:expr, $out:ident,
        [$($operand:tt)*], [$($option:ident),*]) => {
        // SAFETY: the instruction makes a number or address, or a load, which the kernel's verifier
        // allows or refuses; the record is in a section that is not loaded.
        unsafe {
            core::arch::asm!(
                $insn,
                ".pushsection .skep.core,\"\",@progbits",
                ".quad 777b",
                ".long {kind}, {len}",
                $text,
                ".popsection",
                kind = const $kind,
                len = const P::TEXT.len(),
                $($word = const P::TEXT.word($index),)*
                $($operand)*,
                options(pure, nostack, preserves_flags, $($option),*)
            );
        }
    };
}

relocated! {
    /// The number that a relocation gives.
    fn value<P: Path, const KIND: u32>() -> u64 =
        KIND, "777: {out} = 0", [out = lateout(reg) out], [nomem], |out| out;
    /// The place of a field.
    fn address<P: Path>(base: *const u8) -> *const u8 =
        BYTE_OFFSET, "777: {out} += 0", [out = inlateout(reg) base => out], [nomem],
        |out| out as *const u8;
    /// A byte, zero-extended.
    fn load_1<P: Path>(base: *const u8) -> u64 =
        BYTE_OFFSET, "777: {out} = *(u8 *)({base} + 0)",
        [out = lateout(reg) out, base = in(reg) base], [readonly], |out| within(out, 0xff);
    /// Two bytes, zero-extended.
    fn load_2<P: Path>(base: *const u8) -> u64 =
        BYTE_OFFSET, "777: {out} = *(u16 *)({base} + 0)",
        [out = lateout(reg) out, base = in(reg) base], [readonly], |out| within(out, 0xffff);
    /// Four bytes, zero-extended.
    fn load_4<P: Path>(base: *const u8) -> u64 =
        BYTE_OFFSET, "777: {out} = *(u32 *)({base} + 0)",
        [out = lateout(reg) out, base = in(reg) base], [readonly], |out| within(out, 0xffff_ffff);
    /// Eight bytes.
    fn load_8<P: Path>(base: *const u8) -> u64 =
        BYTE_OFFSET, "777: {out} = *(u64 *)({base} + 0)",
        [out = lateout(reg) out, base = in(reg) base], [readonly], |out| out;
}

/// Tells the compiler what the load says: without it, it would mask what is zero.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn within(loaded: u64, most: u64) -> u64 {
    // SAFETY: a load of so many bytes sets the others to zero.
    unsafe { core::hint::assert_unchecked(loaded <= most) };
    loaded
}
