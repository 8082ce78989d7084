//! Seed of the fuzz target `finish`.
#![no_std]
use skep_ebpf::prelude::*;

license!("GPL");

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Event {
    #[show(pid)]
    pid: u32,
    parent: i32,
}

#[map(event = Event)]
static EVENTS: RingBuf<4096> = RingBuf::new();

#[kernel]
struct task_struct {
    tgid: i32,
    real_parent: *const task_struct,
}

#[tracepoint("syscalls/sys_enter_getpid")]
fn enter(_: &TracepointContext) -> Result {
    let task: *const task_struct = current_task();
    let mut event = EVENTS.reserve::<Event>()?;
    event.pid = current_pid_tgid().tgid;
    event.parent = core_read!(task.real_parent.tgid)?;
    event.submit();
    Ok(())
}
