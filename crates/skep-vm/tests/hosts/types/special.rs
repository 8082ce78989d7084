//! Arrays of programs, and maps that evict.

use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_host::{Host, TestRun};
use skep_testing::{Outcome, Stop, Test, ensure, host};

use super::Spec;
use crate::support::{Record, agree, load_on, on_vm};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("types::program_arrays", || agree(program_arrays)),
        Test::new("types::lru_maps_take_every_key", lru),
        Test::new("types::lru_maps_take_what_nobody_used", evicted),
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

/// Which element goes, on the machine (`lru eviction` of the differences): none while there is room,
/// then the first that nobody looked up since the last round. On a kernel it is one that was not used
/// lately, too, but may be another, and before the map is full.
fn evicted() -> Outcome {
    if !on_vm() {
        return Err(Stop::lacks("an order that can be relied on"));
    }
    for map_type in [MapType::LruHash, MapType::LruPercpuHash] {
        let spec = Spec::new("", map_type, 4, 8, 8);
        let map = spec.create(host())?;
        let value = vec![1; spec.user_value(host())?];
        let put = |key: u32| host().map_update_elem(&map, &key.to_ne_bytes(), &value, 0);
        // By a program: what user space looks up is not used by that.
        let looks = |key: u32| -> Outcome {
            let text = format!(
                "r1 = map[fd:{}]\n *(u32 *)(r10 - 4) = {key}\n r2 = r10\n r2 += -4\n call 1\n \
                 r6 = r0\n r0 = 0\n if r6 == 0 goto pc+1\n r0 = 1\n exit",
                map.raw()
            );
            let program = load_on(host(), ProgramType::RawTracepoint, &text, |_| {})?;
            let found = host().prog_test_run(&program, &mut TestRun::default())?;
            ensure(found.return_value == 1, || format!("{key} is gone"))
        };
        let there = || -> Outcome<Vec<u32>> {
            let mut keys = Vec::new();
            let mut next = [0; 4];
            while host().map_get_next_key(
                &map,
                keys.last()
                    .map(|key: &u32| key.to_ne_bytes())
                    .as_ref()
                    .map(|key| &key[..]),
                &mut next,
            )? {
                keys.push(u32::from_ne_bytes(next));
            }
            keys.sort_unstable();
            Ok(keys)
        };
        let is = |what: &str, wanted: &[u32]| -> Outcome {
            let found = there()?;
            ensure(found == wanted, || format!("{map_type} {what}: {found:?}"))
        };
        for key in 0..8 {
            put(key)?;
        }
        is("as many as there may be", &[0, 1, 2, 3, 4, 5, 6, 7])?;
        for used in [0, 1, 3, 5] {
            looks(used)?;
        }
        for key in 0..8_u32 {
            let mut seen = value.clone();
            host().map_lookup_elem(&map, &key.to_ne_bytes(), &mut seen, 0)?;
        }
        put(8)?;
        is("passed over 0 and 1", &[0, 1, 3, 4, 5, 6, 7, 8])?;
        put(9)?;
        is("passed over 3", &[0, 1, 3, 5, 6, 7, 8, 9])?;
        put(10)?;
        is("passed over 5", &[0, 1, 3, 5, 7, 8, 9, 10])?;
        put(11)?;
        is("7, the last", &[0, 1, 3, 5, 8, 9, 10, 11])?;
        // The next round: 0 and 8 were used once more.
        looks(0)?;
        looks(8)?;
        put(12)?;
        is("1, not used again", &[0, 3, 5, 8, 9, 10, 11, 12])?;
        put(13)?;
        is("passed over 8", &[0, 5, 8, 9, 10, 11, 12, 13])?;
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
