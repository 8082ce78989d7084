//! Dynptrs: accesses within and outside of their bounds.
use core::mem::MaybeUninit;

use skep_ebpf::dynptr::{Dynptr, with_memory, with_packet};
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static BUFFER: Array<[u8; 64], 1> = Array::new();

/// Where to write.
#[setting]
static OFFSET: u32 = 40;

#[global]
static WRONG: u64 = 0;

fn check(place: u32, right: bool) {
    if !right {
        WRONG.fetch_or(1 << place);
    }
}

fn accesses(memory: &Dynptr<'_>) -> Result {
    let at = OFFSET.get();
    memory.write(at, &0x1122_3344_u32)?;
    check(0, memory.read::<u32>(at) == Ok(0x1122_3344));
    check(
        1,
        memory.read::<u8>(at + 3) == Ok(0x1122_3344_u32.to_ne_bytes()[3]),
    );
    check(2, memory.write(62, &1_u32) == Err(Error::E2BIG));
    check(3, memory.read::<u64>(57) == Err(Error::E2BIG));
    check(4, memory.read::<u64>(u32::MAX) == Err(Error::E2BIG));
    memory.write_bytes(0, b"begin")?;
    let word = memory.data::<u64>(48).ok_or(Error::E2BIG)?;
    word.store(5);
    word.add(6);
    check(5, memory.read::<u64>(48) == Ok(11));
    check(6, memory.data::<u64>(60).is_none());
    check(7, memory.data::<u64>(64).is_none());
    check(8, memory.data::<u32>(2).is_none());
    check(9, memory.data::<[u8; 3]>(61).is_some());
    Ok(())
}

#[xdp]
fn test(_: &XdpContext) -> Result<XdpAction> {
    let buffer = BUFFER.get(0).ok_or(Error::ENOENT)?;
    with_memory(buffer, accesses)?;
    Ok(XdpAction::PASS)
}

#[xdp]
fn packet(context: &XdpContext) -> Result<XdpAction> {
    with_packet(context, |packet| {
        check(10, packet.size() == 64);
        packet.write(62, &[7_u8, 8])?;
        let mut buffer = MaybeUninit::uninit();
        let last = packet.slice::<[u8; 3]>(61, &mut buffer);
        check(11, last.map(|last| last.load()) == Some([0, 7, 8]));
        let mut buffer = MaybeUninit::uninit();
        check(12, packet.slice::<[u8; 3]>(62, &mut buffer).is_none());
        check(13, packet.read::<u16>(63) == Err(Error::E2BIG));
        Ok(XdpAction::PASS)
    })
}
