//! What to do about a rule in general, where nothing better is known of the case.

use crate::Rule;

/// A sentence, for rules of which one helps in most cases.
pub(super) fn of(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::MapValueOrNull | Rule::PointerOrNull => "test the pointer first: `if (!pointer) …`",
        Rule::UnboundedLoop => {
            "count rounds with a variable that only grows and is compared with a constant, or use \
             `bpf_for`, `bpf_loop` or `can_loop`"
        }
        Rule::TooComplex => {
            "let loops run in `bpf_loop` or `bpf_for`, which are verified once, and make large \
             functions global, which are verified apart"
        }
        Rule::StackOverflow => {
            "keep large variables in a map (a per-CPU array of one element), or in fewer functions \
             at once"
        }
        Rule::UninitialisedStack => "initialise the variable, padding included: `struct x y = {};`",
        Rule::UnboundedIndex => "compare it with the size first: `if (i >= SIZE) …`",
        Rule::NegativeIndex => "make it unsigned, or test that it is at least 0 first",
        Rule::PacketOutOfBounds => {
            "compare with the packet's end first: `if ((void *)(pointer + 1) > data_end) …`"
        }
        Rule::PointerPlusUnknown => "compare the number with its bounds before it is added",
        Rule::ReferenceLeak => "release it on every path to the end",
        Rule::HelperNotAllowed | Rule::KfuncNotAllowed => {
            "do it in a program of another type that may call it, and hand the result over in a map"
        }
        Rule::GplOnly => {
            "declare a compatible licence: `char LICENSE[] SEC(\"license\") = \"GPL\";`"
        }
        Rule::ContextAccess => "access the fields of the context by their names, each as a whole",
        Rule::MaySleep => {
            "make the program sleepable (`.s` in its section's name), if its hook allows it"
        }
        Rule::TypeInformation => "compile with -g, so that the object has types",
        _ => return None,
    })
}

/// Who takes back what a function gave.
pub(super) fn of_reference(from: &str) -> Option<&'static str> {
    Some(match from {
        "bpf_ringbuf_reserve" => {
            "submit it or discard it on every path: `bpf_ringbuf_submit`, `bpf_ringbuf_discard`"
        }
        "bpf_ringbuf_reserve_dynptr" => {
            "submit it or discard it on every path, also where the call fails: \
             `bpf_ringbuf_submit_dynptr`, `bpf_ringbuf_discard_dynptr`"
        }
        "bpf_sk_lookup_tcp" | "bpf_sk_lookup_udp" | "bpf_skc_lookup_tcp" => {
            "give it back on every path: `bpf_sk_release`"
        }
        "bpf_kptr_xchg" => "put it into a map again, or release it, on every path",
        "bpf_obj_new" | "bpf_obj_new_impl" => "drop it or link it on every path: `bpf_obj_drop`",
        "bpf_percpu_obj_new" | "bpf_percpu_obj_new_impl" => {
            "drop it or store it on every path: `bpf_percpu_obj_drop`"
        }
        "bpf_task_from_pid" | "bpf_task_from_vpid" | "bpf_task_acquire" => {
            "give it back on every path: `bpf_task_release`"
        }
        "bpf_cgroup_from_id"
        | "bpf_cgroup_acquire"
        | "bpf_cgroup_ancestor"
        | "bpf_task_get_cgroup1" => "give it back on every path: `bpf_cgroup_release`",
        "bpf_cpumask_create" | "bpf_cpumask_acquire" => {
            "give it back on every path: `bpf_cpumask_release`"
        }
        _ => return None,
    })
}
