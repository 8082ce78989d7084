//! Work that runs later and tells what it was called with.
use skep_ebpf::prelude::*;
use skep_ebpf::sync::{Work, WorkQueue};

license!("GPL");

#[repr(C)]
#[derive(Plain)]
struct Job {
    work: WorkQueue,
    number: u64,
}

#[map]
static JOBS: HashMap<u32, Job, 4> = HashMap::new();

#[global]
static DONE: u64 = 0;

#[global]
static WRONG: u64 = 0;

fn check(place: u32, right: bool) {
    if !right {
        WRONG.fetch_or(1 << place);
    }
}

struct Count;

impl Work<HashMap<u32, Job, 4>> for Count {
    fn run(_: &HashMap<u32, Job, 4>, key: &u32, job: Value<'_, Job>) {
        check(0, *key == 77);
        DONE.add(field!(job.number).load());
    }
}

#[tc]
fn begin(_: &TcContext) -> Result<TcAction> {
    let new = Job {
        work: WorkQueue::new(),
        number: 11,
    };
    JOBS.insert(&77, &new)?;
    let job = JOBS.get(&77).ok_or(Error::ENOENT)?;
    let work = field!(job.work);
    check(1, work.start() == Err(Error::EINVAL));
    work.init(&JOBS)?;
    check(2, work.init(&JOBS) == Err(Error::EBUSY));
    work.set_callback::<_, Count>(&JOBS)?;
    work.start()?;
    Ok(TcAction::OK)
}
