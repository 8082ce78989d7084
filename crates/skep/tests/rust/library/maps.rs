//! Maps of all common kinds, by what a program reads and writes in them.
use skep_ebpf::prelude::*;

license!("GPL");

pub enum Order {
    Early = 1,
    Late = 200,
}

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Pair {
    first: u32,
    #[show(named = Order)]
    second: u32,
}

#[map]
static COUNTS: HashMap<Pair, u64, 4> = HashMap::new();

#[map]
static RECENT: LruHashMap<u32, u32, 128> = LruHashMap::new();

#[map]
static OWN: PerCpuArray<[u64; 2], 1> = PerCpuArray::new();

#[map]
static OWN_COUNTS: PerCpuHashMap<u32, u64, 8> = PerCpuHashMap::new();

#[map]
static ROUTES: LpmTrie<[u8; 4], u32, 8> = LpmTrie::new();

#[map]
static WAITING: Queue<u64, 2> = Queue::new();

#[map]
static LATEST: Stack<u64, 2> = Stack::new();

#[map]
static SEEN: BloomFilter<u64, 16> = BloomFilter::new();

#[map]
static NUMBERS: Array<i64, 4> = Array::new();

#[map]
static STEPS: ProgramArray<2> = ProgramArray::new();

/// What went wrong, a bit each.
#[global]
static WRONG: u64 = 0;

/// What user space is to see.
#[global]
static SUM: u64 = 0;

fn check(place: u32, right: bool) {
    if !right {
        WRONG.fetch_or(1 << place);
    }
}

fn hash() -> Result {
    let key = |first| Pair { first, second: 7 };
    check(0, COUNTS.get(&key(0)).is_none());
    check(1, COUNTS.remove(&key(0)) == Err(Error::ENOENT));
    for first in 0..4 {
        COUNTS.insert(&key(first), &first.into())?;
    }
    check(2, COUNTS.insert(&key(4), &0) == Err(Error::E2BIG));
    let exists = COUNTS.insert_with(&key(1), &9, UpdateFlags::NO_EXIST);
    check(3, exists == Err(Error::EEXIST));
    COUNTS.get_or_insert(&key(3), &100)?.add(10);
    COUNTS.remove(&key(0))?;
    COUNTS.get_or_insert(&key(4), &100)?.add(1);
    let mut sum = 0;
    let called = COUNTS.for_each(|key, count| sum += count.load() * u64::from(key.second))?;
    check(4, called == 4);
    SUM.store(sum); // (1 + 2 + 13 + 101) * 7
    Ok(())
}

fn others() -> Result {
    RECENT.insert(&1, &2)?;
    check(5, RECENT.get(&1).map(|value| value.load()) == Some(2));
    let own = OWN.get(0).ok_or(Error::ENOENT)?;
    own.at(1).ok_or(Error::ENOENT)?.store(8);
    check(6, own.at(2).is_none());
    let here = OWN.get_for_cpu(0, processor_id()).ok_or(Error::ENOENT)?;
    check(7, here.load() == [0, 8]);
    OWN_COUNTS.get_or_insert(&3, &4)?.update(|count| count + 1);
    check(8, OWN_COUNTS.get(&3).map(|count| count.load()) == Some(5));
    ROUTES.insert(&Prefix::new(8, [10, 0, 0, 0]), &1)?;
    ROUTES.insert(&Prefix::new(16, [10, 1, 0, 0]), &2)?;
    let route = |address| {
        ROUTES
            .get(&Prefix::whole(address))
            .map(|route| route.load())
    };
    check(9, route([10, 1, 2, 3]) == Some(2));
    check(10, route([10, 2, 2, 3]) == Some(1));
    check(11, route([11, 1, 2, 3]).is_none());
    Ok(())
}

fn without_keys() -> Result {
    WAITING.push(&1)?;
    WAITING.push(&2)?;
    check(12, WAITING.push(&3) == Err(Error::E2BIG));
    WAITING.push_over(&3)?;
    check(13, WAITING.peek() == Ok(2) && WAITING.pop() == Ok(2));
    check(
        14,
        WAITING.pop() == Ok(3) && WAITING.pop() == Err(Error::ENOENT),
    );
    LATEST.push(&1)?;
    LATEST.push(&2)?;
    check(15, LATEST.pop() == Ok(2));
    SEEN.add(&77)?;
    check(16, SEEN.may_contain(&77));
    Ok(())
}

fn numbers() -> Result {
    let number = NUMBERS.get(0).ok_or(Error::ENOENT)?;
    check(17, NUMBERS.get(4).is_none());
    check(18, NUMBERS.set(4, &1) == Err(Error::E2BIG));
    number.store(-5);
    check(19, number.fetch_add(7) == -5 && number.fetch_sub(1) == 2);
    check(20, number.fetch_or(6) == 1 && number.fetch_and(3) == 7);
    check(21, number.fetch_xor(1) == 3 && number.swap(9) == 2);
    check(22, number.compare_exchange(9, 4) == Ok(9));
    check(23, number.compare_exchange(9, 5) == Err(4));
    number.add(-1);
    check(24, number.load() == 3);
    Ok(())
}

#[xdp]
fn test(context: &XdpContext) -> Result<XdpAction> {
    hash()?;
    others()?;
    without_keys()?;
    numbers()?;
    STEPS.tail_call(context, 0); // Nothing is there.
    STEPS.tail_call(context, 1);
    Ok(XdpAction::DROP) // The next program passes.
}

#[xdp]
fn next(_: &XdpContext) -> XdpAction {
    XdpAction::PASS
}
