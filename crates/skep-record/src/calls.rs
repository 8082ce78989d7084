//! What a recording does about each helper: those that a machine does by itself in a replay, those
//! whose answer is the world's, and those that can't be recorded.

use skep_abi::{ArgKind, Helper, HelperProperties, ReturnKind, ValueFlags};
use skep_isa::Reg;

/// What a call is to a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A replay does it again, and nothing need be known of it.
    Own,
    /// A replay does it again, and must come to the same: its answer is recorded.
    Checked {
        /// Only whether it is null counts.
        pointer: bool,
    },
    /// Its answer is the world's; a replay does not call it.
    World {
        /// What it writes beside R0.
        output: Option<Output>,
        /// Whether it answers nothing.
        void: bool,
    },
    /// It can't be recorded.
    Refused(&'static str),
}

/// Memory that a call writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) buffer: Reg,
    pub(crate) size: Size,
    /// It writes as much as it answers, and all of it if it fails.
    pub(crate) text: bool,
    /// The address that it reads from, which is recorded too: it says what was read.
    pub(crate) from: Option<Reg>,
}

/// How long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Register(Reg),
    Fixed(u32),
}

const TIMERS: &str = "a timer runs a function of the program by itself";
const STORAGE: &str = "storage that belongs to an object of the kernel";
const KERNEL_OBJECTS: &str = "it keeps objects of the kernel in maps";
const FILES: &str = "it writes into a file of the kernel";

/// What a recording does about a helper.
pub(crate) fn of_helper(id: u32) -> Call {
    let Some(helper) = Helper::by_id(id) else {
        return Call::Refused("this version of Skep does not know it");
    };
    let checked = |pointer| Call::Checked { pointer };
    match helper.short_name() {
        "map_lookup_elem" | "map_lookup_percpu_elem" | "ringbuf_reserve" | "dynptr_data" => {
            checked(true)
        }
        "map_update_elem"
        | "map_delete_elem"
        | "map_push_elem"
        | "map_pop_elem"
        | "map_peek_elem"
        | "ringbuf_output"
        | "ringbuf_reserve_dynptr" => checked(false),
        "ringbuf_submit"
        | "ringbuf_discard"
        | "ringbuf_submit_dynptr"
        | "ringbuf_discard_dynptr"
        | "perf_event_output"
        | "trace_printk"
        | "trace_vprintk"
        | "snprintf"
        | "strtol"
        | "strtoul"
        | "strncmp"
        | "csum_diff"
        | "spin_lock"
        | "spin_unlock"
        | "for_each_map_elem"
        | "loop"
        | "dynptr_from_mem"
        | "dynptr_read"
        | "dynptr_write" => Call::Own,
        "tail_call" => Call::Refused("the program that it goes to would not be replayed"),
        "timer_init" | "timer_set_callback" | "timer_start" | "timer_cancel" => {
            Call::Refused(TIMERS)
        }
        "sk_storage_get"
        | "sk_storage_delete"
        | "task_storage_get"
        | "task_storage_delete"
        | "inode_storage_get"
        | "inode_storage_delete"
        | "cgrp_storage_get"
        | "cgrp_storage_delete"
        | "get_local_storage" => Call::Refused(STORAGE),
        "kptr_xchg" | "sock_map_update" | "sock_hash_update" => Call::Refused(KERNEL_OBJECTS),
        "seq_printf" | "seq_write" | "seq_printf_btf" => Call::Refused(FILES),
        "user_ringbuf_drain" | "find_vma" => {
            Call::Refused("what it gives to its callback is the world's")
        }
        "skb_output" | "xdp_output" => Call::Refused("it sends a packet of the kernel"),
        "sys_bpf" | "sys_close" | "btf_find_by_name_kind" => Call::Refused("it is a loader's"),
        // The machine's packet changes as the kernel's did.
        _ if helper.properties.contains(HelperProperties::CHANGES_PACKET) => checked(false),
        name => world(helper, name),
    }
}

/// Helpers that read memory of the kernel or of a process: `(to, size, from, …)`.
pub(crate) fn reads_memory(name: &str) -> bool {
    name.starts_with("probe_read") || name.starts_with("copy_from_user")
}

fn world(helper: &Helper, name: &str) -> Call {
    let parameters = helper.parameters();
    let registers = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
    let mut output = None;
    for ((parameter, register), next) in parameters.iter().zip(registers).zip(1..) {
        if !parameter.flags.contains(ValueFlags::WRITE) {
            continue;
        }
        let sized = parameters
            .get(next)
            .is_some_and(|next| matches!(next.kind, ArgKind::MemSize | ArgKind::MemSizeOrZero));
        let size = match (sized, parameter.size) {
            (true, _) => registers.get(next).copied().map(Size::Register),
            (false, Some(size)) => Some(Size::Fixed(size.into())),
            (false, None) => None,
        };
        match (size, output) {
            (Some(size), None) => {
                output = Some(Output {
                    buffer: register,
                    size,
                    text: name.ends_with("_str"),
                    from: reads_memory(name).then_some(Reg::R3),
                });
            }
            _ => return Call::Refused("what it writes has no size that is known"),
        }
    }
    Call::World {
        output,
        void: helper.returns().kind == ReturnKind::Void,
    }
}

/// The same of a kernel function, of which only its name and its parameters' are known.
pub(crate) fn of_kfunc(name: &str, parameters: &[String], void: bool) -> Call {
    const REFUSED: &[(&str, &str)] = &[
        ("bpf_obj_", KERNEL_OBJECTS),
        ("bpf_percpu_obj_", KERNEL_OBJECTS),
        ("bpf_refcount_", KERNEL_OBJECTS),
        ("bpf_list_", KERNEL_OBJECTS),
        ("bpf_rbtree_", KERNEL_OBJECTS),
        ("bpf_arena_", "an arena is shared with user space"),
        ("bpf_wq_", TIMERS),
        ("bpf_throw", "an exception ends the program anywhere"),
        ("bpf_dynptr_", "dynptrs by kernel functions"),
    ];
    if let Some((_, why)) = REFUSED.iter().find(|(start, _)| name.starts_with(start)) {
        return Call::Refused(why);
    }
    let memory = parameters
        .iter()
        .any(|parameter| parameter.ends_with("__sz") || parameter.ends_with("__szk"));
    if memory {
        return Call::Refused("what it writes is not known");
    }
    Call::World { output: None, void }
}
