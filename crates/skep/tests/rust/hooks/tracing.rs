//! Programs that watch what this machine lets them watch, by all ways of taking arguments.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static SEEN: Array<u64, 32> = Array::new();

#[setting]
static PROCESS: u32 = 0;

fn see(index: u32, value: u64) {
    if let Some(seen) = SEEN.get(index) {
        seen.store(value);
    }
}

fn is_ours() -> bool {
    current_pid_tgid().tgid == PROCESS.get()
}

#[kernel]
struct task_struct {
    pid: i32,
    tgid: i32,
    group_leader: *const task_struct,
}

#[kernel]
struct pt_regs {
    di: u64,
}

/// `getpgid(2)` of a number that no process has.
const NOBODY: u64 = 987_654_321;

#[tracepoint("syscalls/sys_enter_getpgid")]
fn asked(context: &TracepointContext, pid: u32) {
    if is_ours() {
        see(0, pid.into());
        see(1, context.attach_cookie());
    }
}

#[tracepoint("syscalls/sys_exit_getpgid")]
fn answered(returned: i64) {
    if is_ours() {
        see(2, returned.cast_unsigned());
    }
}

#[tracepoint("raw_syscalls/sys_enter")]
fn any_call(id: i64, args: [u64; 6]) {
    if is_ours() && args[0] == NOBODY {
        see(3, id.cast_unsigned());
    }
}

#[tracepoint("raw_syscalls/sys_exit")]
fn any_exit(context: &TracepointContext<SysExit>) {
    if is_ours() && context.returned() == -3 {
        see(4, context.id().cast_unsigned());
    }
}

#[tracepoint("sched/sched_process_exec")]
fn exec(filename: DynamicField, pid: i32) -> Result {
    let mut text = [0; 16];
    let length = filename.read_str(&mut text)?;
    if text.starts_with(b"/bin/true\0") {
        see(5, length as u64);
        see(6, u64::from(pid != 0));
        see(7, filename.len() as u64);
    }
    Ok(())
}

#[tracepoint("sched/sched_process_fork")]
fn fork(child_pid: i32, parent_pid: i32) {
    if is_ours() {
        see(8, u64::from(child_pid > 0));
        see(9, parent_pid as u64);
    }
}

#[kernel]
struct trace_event_raw_sched_switch {
    prev_comm: [u8; 16],
    prev_pid: i32,
}

#[tracepoint("sched/sched_switch")]
fn switched(context: &TracepointContext<trace_event_raw_sched_switch>) -> Result {
    if is_ours() {
        see(10, core_load!(context.prev_pid) as u64);
        see(11, core_read!(context.prev_comm)?[0].into());
    }
    Ok(())
}

#[raw_tracepoint("sys_enter")]
fn raw(registers: *const pt_regs, id: i64) -> Result {
    if is_ours() && core_read!(registers.di)? == NOBODY {
        see(12, id.cast_unsigned());
    }
    Ok(())
}

#[raw_tracepoint("sched_process_exit", writable)]
fn writable(task: *const task_struct) -> Result {
    see(31, core_read!(task.tgid)? as u64);
    Ok(())
}

#[tp_btf("sys_enter")]
fn typed(registers: &pt_regs, id: i64) {
    if is_ours() && core_load!(registers.di) == NOBODY {
        see(13, id.cast_unsigned());
    }
}

#[tp_btf("sched_switch")]
fn typed_switch(context: &TpBtfContext, _preempt: bool, prev: Option<&task_struct>) {
    let Some(prev) = prev else { return };
    if core_load!(prev.tgid) == PROCESS.get() as i32 {
        see(14, core_load!(prev.pid) as u64);
        let next: Option<&task_struct> = context.argument(2);
        see(15, next.map_or(0, |next| u64::from(core_load!(next.pid) >= 0)));
    }
}

#[uprobe]
fn called(context: &UprobeContext, number: i32) {
    see(16, number as u64);
    see(17, context.attach_cookie());
    see(18, u64::from(context.instruction_pointer() != 0 && context.stack_pointer() != 0));
}

#[uretprobe]
fn left(returned: i32) {
    see(19, returned as u64);
}

#[uprobe(sleepable)]
fn called_and_sleeps(number: i32) {
    see(20, number as u64);
}

#[usdt]
fn probed(context: &UsdtContext, first: i32, _second: i64) -> Result {
    see(21, first as u64);
    see(22, context.argument_count()? as u64);
    see(23, context.argument_size(0)? as u64);
    see(24, context.cookie());
    see(25, context.argument::<i32>(0)? as u64);
    // One more than there are.
    see(26, context.argument::<u8>(context.argument_count()?).is_err().into());
    Ok(())
}

#[perf_event]
fn sampled(context: &PerfEventContext) {
    see(27, context.sample_period());
    see(28, u64::from(context.instruction_pointer() != 0));
    see(29, context.address());
    match context.read_value() {
        Ok(value) => see(30, value.enabled),
        Err(error) => see(31, error.number() as u64),
    }
}

/// A line for each thread, and one at the end.
#[iter("task")]
fn tasks(context: &IterContext, task: Option<&task_struct>) -> Result {
    let Some(task) = task else {
        return seq_printf!(context.seq(), "end\n");
    };
    let leader = core_load!(task.group_leader.pid);
    let number = context.seq_num();
    seq_printf!(context.seq(), "%d %d %llu\n", core_load!(task.pid), leader, number)
}

#[kernel]
struct bpf_map {
    id: u32,
}

/// The ids of maps, as bytes.
#[iter("bpf_map")]
fn maps(context: &IterContext, map: &bpf_map) -> Result {
    context.write(&core_load!(map.id))
}

#[repr(C)]
#[derive(Plain)]
struct Sum {
    left: u64,
    right: u64,
    sum: u64,
}

#[syscall]
fn add(context: &mut SyscallContext) {
    let given = context.arguments_mut::<Sum>();
    given.sum = given.left + given.right;
}
