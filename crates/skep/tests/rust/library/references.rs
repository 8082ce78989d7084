//! A reference to a task in a value: put in, looked at, and taken out.
use skep_ebpf::map::Kptr;
use skep_ebpf::prelude::*;

license!("GPL");

#[kernel(name = "task_struct")]
struct Task {
    pid: i32,
}

#[kfunc]
unsafe extern "C" {
    fn bpf_task_from_pid(pid: i32) -> *mut Task;
    fn bpf_task_release(task: *mut Task);
}

#[repr(C)]
#[derive(Plain)]
struct Kept {
    number: u64,
    task: Kptr<Task>,
}

#[map]
static KEPT: HashMap<u32, Kept, 2> = HashMap::new();

#[setting]
static PID: i32 = 0;

#[global]
static WRONG: u64 = 0;

fn check(place: u32, right: bool) {
    if !right {
        WRONG.fetch_or(1 << place);
    }
}

/// Puts a reference in; it stays behind.
#[tc]
fn put(_: &TcContext) -> Result<TcAction> {
    let new = Kept {
        number: 11,
        task: Kptr::new(),
    };
    KEPT.insert(&1, &new)?;
    let kept = KEPT.get(&1).ok_or(Error::ENOENT)?;
    check(0, field!(kept.task).get().is_none());
    // SAFETY: what is acquired is put away or released.
    let task = unsafe { bpf_task_from_pid(PID.get()) };
    if task.is_null() {
        return Err(Error::ESRCH);
    }
    let before = field!(kept.task).swap(task);
    check(1, before.is_null());
    if !before.is_null() {
        // SAFETY: it was taken out.
        unsafe { bpf_task_release(before) };
    }
    Ok(TcAction::OK)
}

/// Looks at it, and takes it out.
#[tc]
fn take(_: &TcContext) -> Result<TcAction> {
    let kept = KEPT.get(&1).ok_or(Error::ENOENT)?;
    check(2, field!(kept.number).load() == 11);
    match field!(kept.task).get() {
        Some(task) => check(3, core_load!(task.pid) == PID.get()),
        None => check(4, false),
    }
    let task = field!(kept.task).swap(core::ptr::null_mut());
    if task.is_null() {
        return Err(Error::ESRCH);
    }
    check(5, core_load!(task.pid) == PID.get());
    // SAFETY: it was taken out.
    unsafe { bpf_task_release(task) };
    check(6, field!(kept.task).get().is_none());
    Ok(TcAction::OK)
}
