//! A timer that starts itself again until it was called often enough.
use skep_ebpf::prelude::*;
use skep_ebpf::sync::{Clock, Timed, Timer};

license!("GPL");

#[repr(C)]
#[derive(Plain)]
struct Watch {
    timer: Timer,
    rounds: u64,
    key: u64,
}

#[map]
static WATCHES: HashMap<u32, Watch, 4> = HashMap::new();

#[global]
static WRONG: u64 = 0;

/// Rounds until it rests.
#[setting]
static ROUNDS: u64 = 5;

#[global]
static ROUNDS_DONE: u64 = 0;

fn check(place: u32, right: bool) {
    if !right {
        WRONG.fetch_or(1 << place);
    }
}

struct Tick;

impl Timed<HashMap<u32, Watch, 4>> for Tick {
    fn fire(_: &HashMap<u32, Watch, 4>, key: &u32, watch: Value<'_, Watch>) {
        check(0, *key == 77);
        field!(watch.rounds).add(1);
        ROUNDS_DONE.add(1);
        if field!(watch.rounds).load() < ROUNDS.get() {
            check(1, field!(watch.timer).start(1000).is_ok());
        }
    }
}

#[xdp]
fn begin(_: &XdpContext) -> Result<XdpAction> {
    WATCHES.insert(
        &77,
        &Watch {
            timer: Timer::new(),
            rounds: 0,
            key: 77,
        },
    )?;
    let watch = WATCHES.get(&77).ok_or(Error::ENOENT)?;
    let timer = field!(watch.timer);
    check(2, timer.start(1000) == Err(Error::EINVAL));
    timer.init(&WATCHES, Clock::Monotonic)?;
    check(
        3,
        timer.init(&WATCHES, Clock::Monotonic) == Err(Error::EBUSY),
    );
    timer.set_callback::<_, Tick>(&WATCHES)?;
    timer.start(3_600_000_000_000)?;
    check(4, timer.cancel() == Ok(true));
    check(5, timer.cancel() == Ok(false));
    timer.set_callback::<_, Tick>(&WATCHES)?;
    timer.start_at(ktime_ns() + 1000)?;
    Ok(XdpAction::PASS)
}
