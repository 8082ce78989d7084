//! Pages: given out, taken back, reserved, and written to by users.

use skep_abi::MapType;

use super::*;
use crate::{Config, Vm};

fn arena(pages: u32, extra: u64) -> Result<Arena, Errno> {
    let shape = Shape {
        flags: MapCreateFlags::MMAPABLE,
        map_extra: extra,
        ..Shape::test(MapType::Arena, 0, 0, pages)
    };
    Arena::check(&shape)?;
    Arena::new(&shape)
}

const PAGES: u32 = 100;
const BYTES: usize = PAGES as usize * PAGE;

#[test]
fn pages_are_given_out_and_taken_back() {
    let arena = arena(PAGES, 0).expect("an arena");
    assert_eq!(arena.allocate(0, 1), 0, "nobody has mapped it");
    assert!(arena.mappable(0, BYTES, Access::ReadWrite).is_ok());
    let first = arena.allocate(0, 2);
    assert_eq!(first, arena.window());
    assert_eq!(arena.allocate(0, 1), first + 2 * PAGE as u64);
    assert_eq!(arena.allocate(first, 1), 0, "taken");
    let last = first + (BYTES - PAGE) as u64;
    assert_eq!(arena.allocate(last, 1), last);
    assert_eq!(arena.allocate(last, 2), 0, "beyond");
    assert_eq!(arena.memory_used(), 4 * PAGE as u64);
    let region = arena.region(first + 5).expect("a page");
    assert_eq!((region.start, region.len), (first, 3 * PAGE as u64));
    arena.view(BYTES).expect("memory").set_u64(0, 7);
    arena.free(first, 2);
    assert!(arena.region(first).is_none());
    assert_eq!(arena.allocate(0, 2), first, "the smallest gap");
    assert_eq!(arena.view(BYTES).expect("memory").u64_at(0), Some(0));
    assert_eq!(arena.reserve(first, 1), Err(Errno::EBUSY));
    assert_eq!(arena.reserve(last, 2), Err(Errno::EINVAL));
    assert_eq!(arena.reserve(last - PAGE as u64, 1), Ok(()));
    assert_eq!(arena.allocate(last - PAGE as u64, 1), 0, "reserved");
}

#[test]
fn pages_are_taken_of_the_machines_memory() {
    let mut config = Config::checked();
    config.limits.memory = 3 * PAGE as u64;
    let vm = Vm::with(config).expect("a machine");
    let made = || {
        let mut shape = Shape::test(MapType::Arena, 0, 0, PAGES);
        shape.machine = vm.0.me.clone();
        let arena = Arena::new(&shape).expect("an arena");
        assert!(arena.mappable(0, BYTES, Access::ReadWrite).is_ok());
        arena
    };
    let (first, second) = (made(), made());
    let two = first.allocate(0, 2);
    assert_ne!(two, 0);
    assert_eq!(first.allocate(0, 2), 0, "one is left");
    assert_ne!(second.allocate(0, 1), 0);
    assert_eq!(second.allocate(0, 1), 0, "none is left");
    first.free(two, 1);
    first.free(two, 1);
    assert_ne!(second.allocate(0, 1), 0);
    drop(first);
    assert_ne!(second.allocate(0, 1), 0);
    // A user's own pages are there, whatever the limit says.
    let view = second.view(BYTES).expect("memory");
    view.set_u64(50 * PAGE, 1);
    assert!(second.region(second.window() + 50 * PAGE as u64).is_some());
    assert_eq!(second.allocate(0, 1), 0);
}

#[test]
#[cfg_attr(miri, ignore)]
fn what_users_write_to_is_there() {
    let arena = arena(PAGES, 0).expect("an arena");
    let view = arena.mappable(0, BYTES, Access::ReadWrite).expect("memory");
    let at = |page: usize| arena.window() + (page * PAGE) as u64;
    assert_eq!(view.u64_at(3 * PAGE), Some(0));
    assert!(arena.region(at(3)).is_none(), "a load is no write");
    view.set_u64(PAGE, 1);
    assert!(arena.region(at(1)).is_some());
    assert!(arena.region(at(2)).is_none());
    view.set_u64(4 * PAGE, 1);
    assert_eq!(
        arena.allocate(0, 3),
        at(5),
        "neither over one nor the other"
    );
}

#[test]
fn addresses_can_be_asked_for() {
    let arena = |extra: u64| arena(PAGES, extra).map(|arena| arena.start());
    assert_eq!(arena(5 << 40 | 0x1000), Ok(5 << 40 | 0x1000));
    assert_eq!(arena(5 << 40 | 0x10), Err(Errno::EINVAL));
    assert_eq!(arena(5 << 40 | 0xffff_f000), Err(Errno::ERANGE));
}
