//! Text: printed, compared, and numbers in it.
use core::cmp::Ordering;

use skep_ebpf::helper::{
    compare_text, find_byte, find_text, find_text_within, order_texts, parse_i64, parse_u64,
    text_len,
};
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static TEXTS: Array<[u8; 64], 4> = Array::new();

#[map]
static RECORDS: RingBuf<4096> = RingBuf::new();

#[global]
static WRONG: u64 = 0;

fn check(place: u32, right: bool) {
    if !right {
        WRONG.fetch_or(1 << place);
    }
}

fn text(bytes: &[u8]) -> [u8; 16] {
    let mut text = [0; 16];
    for (to, from) in text.iter_mut().zip(bytes) {
        *to = *from;
    }
    text
}

#[tc]
fn test(_: &TcContext) -> Result<TcAction> {
    let name = text(b"skep");
    let mut line = RECORDS.reserve::<[u8; 64]>()?;
    let printed = snprintf!(
        &mut *line,
        "%s: %d of %-4u| %08llx %c%%",
        &name,
        -7_i32,
        12_u32,
        0xbeef_u64,
        b'!'
    );
    check(0, printed == Ok(30));
    TEXTS.set(0, &line)?;
    line.discard();
    let mut short = RECORDS.reserve::<[u8; 8]>()?;
    check(
        1,
        snprintf!(&mut *short, "%llu", 1_234_567_890_123_u64) == Ok(14),
    );
    check(2, *short == *b"1234567\0");
    short.discard();
    check(3, compare_text(&text(b"bash"), c"bash") == Ordering::Equal);
    check(4, compare_text(&text(b"basg"), c"bash") == Ordering::Less);
    check(5, compare_text(&text(b"bat"), c"bash") == Ordering::Greater);
    Ok(TcAction::OK)
}

#[xdp]
fn numbers(_: &XdpContext) -> XdpAction {
    check(6, parse_i64(&text(b" -42 more")) == Ok((-42, 4)));
    check(7, parse_u64(&text(b"0x1f")) == Ok((31, 4)));
    check(8, parse_u64(&text(b"none")) == Err(Error::EINVAL));
    check(
        9,
        parse_i64(&text(b"99999999999999")) == Ok((99_999_999_999_999, 14)),
    );
    XdpAction::PASS
}

#[tc]
fn strings(_: &TcContext) -> Result<TcAction> {
    let name = text(b"kworker/7:1");
    let name = name.as_ptr();
    let constant = |text: &'static core::ffi::CStr| text.as_ptr().cast::<u8>();
    check(
        10,
        text_len(name, 16) == Ok(11) && text_len(name, 4) == Ok(4),
    );
    check(11, find_byte(name, 16, b'/') == Ok(7));
    check(12, find_byte(name, 5, b'/') == Err(Error::ENOENT));
    check(13, find_text(name, constant(c"work")) == Ok(1));
    check(
        14,
        find_text(name, constant(c"works")) == Err(Error::ENOENT),
    );
    check(15, find_text_within(name, constant(c"k"), 1) == Ok(0));
    check(
        16,
        find_text_within(name, constant(c"w"), 1) == Err(Error::ENOENT),
    );
    check(
        17,
        order_texts(name, constant(c"kworker/7:1")) == Ok(Ordering::Equal),
    );
    check(
        18,
        order_texts(name, constant(c"kworker/8")) == Ok(Ordering::Less),
    );
    check(
        19,
        order_texts(name, constant(c"apple")) == Ok(Ordering::Greater),
    );
    check(20, text_len(core::ptr::null(), 4).is_err());
    Ok(TcAction::OK)
}
