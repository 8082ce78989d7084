//! Ring buffers: records that are submitted, discarded, lost and counted, and those of user space.
use skep_ebpf::prelude::*;

license!("GPL");

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Event {
    number: u64,
    text: [u8; 8],
}

#[map]
static EVENTS: RingBuf<4096> = RingBuf::new();

#[map]
static BYTES: RingBuf<4096> = RingBuf::new();

#[map]
static COMMANDS: UserRingBuf<4096> = UserRingBuf::new();

#[global]
static WRONG: u64 = 0;

/// Records that found no room.
#[global]
static REFUSED: u64 = 0;

/// What user space sent, in sum.
#[global]
static COMMANDED: u64 = 0;

fn check(place: u32, right: bool) {
    if !right {
        WRONG.fetch_or(1 << place);
    }
}

fn number(number: u64) -> Result<u64> {
    // Only the verifier and the compiler don't know.
    if number == ktime_ns() {
        Err(Error::EINVAL)
    } else {
        Ok(number)
    }
}

#[xdp]
fn send(_: &XdpContext) -> Result<XdpAction> {
    let mut event = EVENTS.reserve::<Event>()?;
    event.number = number(1)?;
    event.text = *b"reserved";
    event.submit();
    let mut event = EVENTS.reserve::<Event>()?;
    event.number = 2;
    event.discard();
    {
        let mut dropped = EVENTS.reserve::<Event>()?;
        dropped.number = 3;
    }
    let copied = Event {
        number: 4,
        text: *b"copied\0\0",
    };
    EVENTS.output_with(&copied, Wakeup::Never)?;
    check(0, EVENTS.size() == 4096);
    // Two records and two that are discarded, each with a header of 8 bytes.
    check(1, EVENTS.unread() == 4 * 24);
    BYTES.output_bytes(b"some")?;
    BYTES.reserve_bytes(5, |record| record.write_bytes(0, b"bytes"))?;
    let refused: Result = BYTES.reserve_bytes(8, |_| Err(Error::ENODATA));
    check(2, refused == Err(Error::ENODATA));
    let outside = BYTES.reserve_bytes(8, |record| record.write(1, &1_u64));
    check(3, outside == Err(Error::E2BIG));
    Ok(XdpAction::PASS)
}

#[xdp]
fn overfill(_: &XdpContext) -> XdpAction {
    for number in 0..300 {
        let sent = match number % 3 {
            0 => EVENTS.reserve::<Event>().map(Entry::submit),
            1 => EVENTS.output(&number),
            _ => EVENTS.reserve_bytes(16, |record| record.write(0, &number)),
        };
        if sent.is_err() {
            REFUSED.add(1);
        }
    }
    XdpAction::PASS
}

#[xdp]
fn receive(_: &XdpContext) -> Result<XdpAction> {
    let drained = COMMANDS.drain(|command| match command.read::<u64>(0) {
        Ok(number) => {
            check(
                4,
                command.data::<u64>(0).map(|number| number.load()) == Some(number),
            );
            check(5, command.read::<u64>(8) == Err(Error::E2BIG));
            COMMANDED.add(number);
        }
        Err(_) => check(6, false),
    })?;
    check(7, drained == 3);
    Ok(XdpAction::PASS)
}
