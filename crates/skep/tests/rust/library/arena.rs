//! A list in an arena, which programs make and user space follows.
use skep_ebpf::map::{Arena, ArenaPointer};
use skep_ebpf::prelude::*;
use skep_ebpf::sync::barrier;

license!("GPL");

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Item {
    next: ArenaPointer<Item>,
    number: u64,
}

#[map]
static MEMORY: Arena<8> = Arena::new();

#[global]
static FIRST: ArenaPointer<Item> = ArenaPointer::null();

#[global]
static SUM: u64 = 0;

#[global]
static WRONG: u64 = 0;

fn check(place: u32, right: bool) {
    if !right {
        WRONG.fetch_or(1 << place);
    }
}

/// Three items, the last one first.
#[syscall]
fn build(_: &SyscallContext) -> Result {
    let items = MEMORY.allocate::<Item>(1)?;
    for index in 0..3 {
        let item = items.add(index);
        let place = MEMORY.get(item).ok_or(Error::EFAULT)?;
        check(0, place.load().number == 0);
        place.store(Item {
            next: FIRST.load(),
            number: 5 + index,
        });
        FIRST.store(item);
    }
    check(1, MEMORY.allocate::<u64>(8) == Err(Error::ENOMEM));
    check(2, MEMORY.get(ArenaPointer::<u64>::null()).is_none());
    let crooked = items.cast::<u8>().add(3).cast::<u64>();
    check(3, MEMORY.get(crooked).is_none());
    let freed = MEMORY.allocate::<u64>(1)?;
    MEMORY.get(freed).ok_or(Error::EFAULT)?.store(9);
    MEMORY.free(freed, 1);
    check(4, MEMORY.get(freed).map(|place| place.load()) == Some(0));
    Ok(())
}

/// User space has changed the numbers.
#[syscall]
fn sum(_: &SyscallContext) {
    let mut item = FIRST.load();
    // Else the compiler makes one load of this one and that in the loop.
    barrier();
    while can_loop() {
        let Some(place) = MEMORY.get(item) else {
            break;
        };
        SUM.add(field!(place.number).load());
        item = field!(place.next).load();
    }
}
