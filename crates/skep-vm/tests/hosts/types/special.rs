//! Arrays of programs, and maps that evict.

use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_host::Host;
use skep_testing::{Outcome, Test, ensure, host};

use super::Spec;
use crate::support::{Record, agree, load_on};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("types::program_arrays", || agree(program_arrays)),
        Test::new("types::lru_maps_take_every_key", lru),
        Test::new("types::lists_of_each_cpu_are_equal", || agree(lists)),
    ]
}

fn program_arrays(host: &dyn Host, record: &mut Record) -> Outcome {
    let spec = Spec::new("", MapType::ProgArray, 4, 4, 3);
    let array = spec.create(host)?;
    let plain = "r0 = 0\nexit\n";
    let filter = load_on(host, ProgramType::SocketFilter, plain, |_| {})?;
    let xdp = load_on(host, ProgramType::Xdp, plain, |_| {})?;
    let set = |index: u32, fd: i32, flags| {
        host.map_update_elem(&array, &index.to_ne_bytes(), &fd.to_ne_bytes(), flags)
    };
    record.answer("no program", &set(0, array.raw(), 0));
    record.answer("a bad descriptor", &set(0, 1 << 24, 0));
    for flags in [1, 2, 4] {
        record.answer(format!("flags {flags}"), &set(0, filter.raw(), flags));
    }
    record.answer("beyond", &set(3, filter.raw(), 0));
    record.answer("the first", &set(1, filter.raw(), 0));
    record.answer("again", &set(1, filter.raw(), 0));
    record.answer("another type", &set(2, xdp.raw(), 0));
    let mut id = [0; 4];
    for index in 0..4_u32 {
        let found = host.map_lookup_elem(&array, &index.to_ne_bytes(), &mut id, 0);
        record.answer(format!("lookup {index}"), &found);
    }
    let known = host.map_lookup_elem(&array, &1_u32.to_ne_bytes(), &mut id, 0)?;
    let by_id = host.prog_by_id(u32::from_ne_bytes(id));
    let found = !matches!(by_id, Ok(None));
    record.fact("by its id", known && found);
    for index in [1, 1, 0, 3_u32] {
        let gone = host.map_delete_elem(&array, &index.to_ne_bytes());
        record.answer(format!("delete {index}"), &gone);
    }
    // Users of the array must be alike too.
    let call = format!(
        "r2 = map[fd:{}]\nr3 = 0\ncall 12\nr0 = 7\nexit\n",
        array.raw()
    );
    let refused = load_on(host, ProgramType::Xdp, &call, |_| {});
    record.fact("a user of another type", refused.is_ok());
    let user = load_on(host, ProgramType::SocketFilter, &call, |_| {});
    record.fact("a user of its type", user.is_ok());
    let user = user?;
    record.answer("itself", &set(0, user.raw(), 0));
    let other = load_on(host, ProgramType::Xdp, plain, |_| {})?;
    record.answer("still another type", &set(2, other.raw(), 0));
    Ok(())
}

/// Each new key is there at once, the map never has more than it may, and none is refused.
fn lru() -> Outcome {
    for (map_type, flags) in [
        (MapType::LruHash, MapCreateFlags::empty()),
        (MapType::LruHash, MapCreateFlags::NO_COMMON_LRU),
        (MapType::LruPercpuHash, MapCreateFlags::empty()),
    ] {
        let spec = Spec::new("", map_type, 4, 8, 64).with(flags);
        let map = spec.create(host())?;
        let value = vec![1; spec.user_value(host())?];
        for key in 0..1000_u32 {
            host().map_update_elem(&map, &key.to_ne_bytes(), &value, 1)?;
            let mut seen = value.clone();
            let there = host().map_lookup_elem(&map, &key.to_ne_bytes(), &mut seen, 0)?;
            ensure(there && seen == value, || format!("{key} is not there"))?;
        }
        let told = host().map_info(&map)?.max_entries;
        ensure(told == 64, || format!("{told} entries"))?;
        let mut count = 0;
        let mut at: Option<[u8; 4]> = None;
        let mut next = [0; 4];
        while host().map_get_next_key(&map, at.as_ref().map(|key| &key[..]), &mut next)? {
            count += 1;
            at = Some(next);
        }
        ensure((1..=64).contains(&count), || format!("{count} entries"))?;
    }
    Ok(())
}

/// The number of entries that a map says it has, when each CPU has a list.
fn lists(host: &dyn Host, record: &mut Record) -> Outcome {
    for entries in [1, 2, 3, 63, 64] {
        for flags in [MapCreateFlags::empty(), MapCreateFlags::NO_COMMON_LRU] {
            let spec = Spec::new("", MapType::LruHash, 4, 8, entries).with(flags);
            let map = spec.create(host)?;
            let info = host.map_info(&map)?;
            record.fact(
                format!("{entries} {flags:?}"),
                (info.max_entries, info.flags),
            );
        }
    }
    Ok(())
}
