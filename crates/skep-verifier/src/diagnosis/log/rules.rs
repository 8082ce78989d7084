//! Which rule a message of the kernel's verifier is about: one table, from 5.10 to 7.3.
//!
//! A pattern is the pieces of a message that stay the same, with `*` for what stands between them.
//! The first row that fits counts, so what is special stands above what is general.

use crate::Rule::{self, *};

/// Patterns by rule.
const RULES: &[(Rule, &[&str])] = &[
    (
        TooComplex,
        &[
            "program is too large",
            "The sequence of * jumps is too complex",
            "the sequence of * jumps is too complex",
            "bpf_loop iteration limit reached",
        ],
    ),
    (
        TooLarge,
        &[
            "too many subprograms",
            "too many different kernel function calls",
            "too many different module BTFs",
            "total number of maps per program has reached",
        ],
    ),
    (UnboundedLoop, &["back-edge from insn", "loop detected"]),
    (UnreachableCode, &["unreachable"]),
    (
        NoExit,
        &[
            "last insn is not an exit or jmp",
            "no exit or jump at the end",
        ],
    ),
    (
        JumpOutOfRange,
        &[
            "jump out of range",
            "jump into the middle of ldimm64",
            "call to invalid destination",
            "invalid insn idx",
        ],
    ),
    (
        CallTooDeep,
        &[
            "the call stack of",
            "recursive call",
            "recursion is not allowed",
        ],
    ),
    (
        StackOverflow,
        &[
            "combined stack size of",
            "stack size of subprog",
            "stack size * is too large",
            "tail_calls are not allowed when call stack of previous frames",
        ],
    ),
    (
        InvalidOperand,
        &[
            "div by zero",
            "invalid shift",
            "invalid atomic operand size",
        ],
    ),
    (
        AtomicAccess,
        &[
            "BPF_ATOMIC stores into",
            "BPF_ATOMIC loads from",
            "BPF_XADD stores into",
        ],
    ),
    (
        InvalidInstruction,
        &[
            "uses reserved fields",
            "invalid BPF_LD mode",
            "unknown opcode",
            "unknown insn class",
            "invalid BPF_ALU opcode",
            "invalid BPF_JMP",
            "invalid bpf_ld_imm64 insn",
            "invalid BPF_LD_IMM insn",
            "unrecognized bpf_ld_imm64 insn",
            "uses invalid atomic opcode",
            "invalid may_goto",
            "is not pointing to valid bpf_map",
            "fd_idx without fd_array",
            "invalid register number",
            "R* is invalid",
        ],
    ),
    (FramePointerWrite, &["frame pointer is read only"]),
    (
        ReturnValue,
        &[
            "At program exit the register R0",
            "At async callback return the register R0",
            "In program exit the register R0",
            "In async callback the register R0",
            "At callback return the register R0 has",
            "At subprogram exit the register R0",
            "R0 has smin=* should have been in",
            "has unknown scalar value should have been in",
            "smax=* should have been in",
            "R0 not a scalar value",
            "R0 is not a known value",
        ],
    ),
    (UninitialisedRegister, &["!read_ok"]),
    (
        UninitialisedStack,
        &[
            "invalid read from stack",
            "invalid indirect read from stack",
            "indirect access to stack * off=*+",
            "uninit stack in range",
        ],
    ),
    (
        PartialPointer,
        &[
            "attempt to corrupt spilled pointer",
            "invalid size of register spill",
            "invalid size of register fill",
            "corrupted spill memory",
            "spilled ptr in range of var-offset stack write",
        ],
    ),
    (
        ArgumentSize,
        &[
            "unbounded memory access, use",
            "min value is negative, either use unsigned or",
        ],
    ),
    (
        UnboundedIndex,
        &[
            "unbounded memory access, make sure to bounds check",
            "invalid unbounded variable-offset",
            "unbounded memory access",
        ],
    ),
    (
        NegativeIndex,
        &[
            "min value is negative, either use unsigned index",
            "min value is negative",
        ],
    ),
    (
        StackOutOfBounds,
        &[
            "invalid write to stack",
            "invalid * access to stack",
            "invalid stack type",
            "invalid access to stack",
            "invalid variable-offset",
            "variable stack access prohibited",
            "variable offset stack access prohibited",
            "variable offset stack pointer cannot be passed",
            "stack pointer arithmetic goes out of range",
            "invalid stack off",
            "indirect access to stack",
        ],
    ),
    (
        MapValueOrNull,
        &[
            "invalid mem access 'map_value_or_null'",
            "invalid mem access '*map_value_or_null'",
            "pointer arithmetic on map_value_or_null",
            "type=map_value_or_null expected",
        ],
    ),
    (
        PointerOrNull,
        &[
            "invalid mem access '*_or_null",
            "pointer arithmetic on *_or_null",
            "null-check it first",
            "type=*_or_null* expected",
            "Possibly NULL pointer passed",
            "is ptr_or_null_",
        ],
    ),
    (
        CallUnderLock,
        &[
            "function calls are not allowed while holding a lock",
            "global function calls are not allowed while holding a lock",
            "calls are not allowed",
            "inside bpf_spin_lock",
            "inside bpf_*lock-ed region",
            "before calling a function that may sleep",
        ],
    ),
    (
        MaySleep,
        &[
            "might sleep in a non-sleepable prog",
            "must be sleepable to call sleepable",
            "is sleepable within",
            "sleepable helper * in",
            "Syscall programs can only be sleepable",
            "global functions that may sleep",
        ],
    ),
    (
        UnbalancedSection,
        &[
            "bpf_rcu_read_unlock is missing",
            "nested rcu read lock",
            "unmatched rcu read unlock",
            "bpf_preempt_enable* missing",
            "unmatched attempt to enable preemption",
            "bpf_local_irq_restore is missing",
            "in bpf_rcu_read_lock-ed region",
            "in bpf_preempt_disable-ed region",
            "in bpf_local_irq_save-ed region",
            "inside bpf_rcu_read_lock-ed region",
            "inside bpf_preempt_disable-ed region",
            "inside bpf_local_irq_save-ed region",
            "cannot restore irq state out of order",
            "expected an initialized irq flag",
            "expected uninitialized irq flag",
            "is not allowed in bpf_*-ed region",
            "with preemption disabled",
            "irq flag",
        ],
    ),
    (
        LockMisuse,
        &[
            "bpf_spin_unlock is missing",
            "unlock is missing",
            "bpf_spin_unlock of different lock",
            "unlock of different lock",
            "without taking a lock",
            "Locking two bpf_spin_locks are not allowed",
            "second lock",
            "Acquiring the same lock again",
            "unlock cannot be out of order",
            "has no valid bpf_spin_lock",
            "has no valid bpf_res_spin_lock",
            "must be held for",
            "held lock and object are not in the same allocation",
        ],
    ),
    (MapNotAllowed, &["progs cannot use bpf_"]),
    (
        ManagedField,
        &[
            "cannot be accessed directly by load/store",
            "cannot be accessed directly",
            "doesn't point to 'struct bpf_",
            "has no valid bpf_timer",
            "has no valid bpf_wq",
            "has to be at the constant offset",
            "has to be at a constant offset",
        ],
    ),
    (KernelPointerMisuse, &["kptr", "R* must be a rcu pointer"]),
    (ReferenceLeak, &["would lead to reference leak"]),
    (TailCallMisuse, &["tail_call", "tail call within"]),
    (
        ReferenceLeak,
        &[
            "Unreleased reference",
            "cannot be mixed with socket references",
        ],
    ),
    (DynptrMisuse, &["dynptr", "Expected a dynptr"]),
    (
        IteratorMisuse,
        &[
            "expected an initialized iter_",
            "expected uninitialized iter_",
            "expected valid iter pointer",
            "expected pointer to an iterator on stack",
        ],
    ),
    (
        ReferenceRelease,
        &[
            "reference has not been acquired before",
            "must be referenced when passed to release function",
            "expects refcounted PTR_TO_BTF_ID",
            "is an unacquired reference",
            "must have zero offset when passed to release func",
            "release * function * expects",
            "release kernel function * expects",
        ],
    ),
    (
        UntrustedPointer,
        &[
            "must be referenced or trusted",
            "untrusted",
            "type=rcu_ptr_* expected",
            "an RCU CS",
        ],
    ),
    (
        ObjectMisuse,
        &[
            "expected pointer to allocated object",
            "is neither owning or non-owning ref",
            "allocated object must be referenced",
            "not allowed in rbtree cb",
            "in rbtree cb",
            "node input must be non-owning ref",
            "expected for bpf_obj_drop",
            "expected for bpf_percpu_obj_drop",
            "bpf_obj_new",
            "bpf_percpu_obj_new",
            "operation on * expects arg#1",
            "not found at offset=",
            "expected a non-owning",
            "local type ID argument",
            "bpf_refcount",
        ],
    ),
    (
        ExceptionMisuse,
        &["exception c", "bpf_throw", "exception callback"],
    ),
    (
        CallbackMisuse,
        &[
            "callback function",
            "callbacks are not allowed",
            "failed callback verification",
            "R*type=func expected",
            "expected pointer to func",
        ],
    ),
    (
        PointerLeak,
        &[
            "leaks addr",
            "leaking pointer from stack",
            "cannot return stack pointer to the caller",
            "cannot spill pointers to stack into stack frame of the caller",
            "pointer comparison prohibited by",
        ],
    ),
    (PointerComparison, &["pointer comparison prohibited"]),
    (
        PointerPlusUnknown,
        &[
            "register with unbounded min value is not allowed",
            "math between * pointer and",
            "makes * pointer be out of bounds",
            "pointer offset *",
            "pointer and ",
            "unbounded min value",
            "variable offset pointer arithmetic",
        ],
    ),
    (
        PointerArithmetic,
        &[
            "pointer arithmetic",
            "bitwise operator * on pointer",
            "pointer += pointer",
            "pointer * pointer prohibited",
            "tried to subtract pointer from scalar",
            "subtraction from stack pointer",
            "has pointer with unsupported alu operation",
            "tried to * beyond pointer bounds",
            "partial copy of pointer",
            "32-bit pointer",
        ],
    ),
    (
        MixedPointers,
        &["same insn cannot be used with different pointers"],
    ),
    (
        MisalignedAccess,
        &["misaligned * access", "misaligned access"],
    ),
    (
        PacketOutOfBounds,
        &[
            "invalid access to packet",
            "offset is outside of the packet",
        ],
    ),
    (
        ReadOnlyWrite,
        &[
            "cannot write into",
            "write into map forbidden",
            "read from map forbidden",
            "write to change key",
            "the prog does not allow writes to packet data",
            "only read is supported",
            "does not point to a readonly map",
            "R* cannot write into",
            "only read from * is supported",
        ],
    ),
    (
        ContextAccess,
        &[
            "invalid bpf_context access",
            "dereference of modified ctx ptr",
            "negative offset ctx ptr",
            "variable ctx access",
            "must not be passed a modified ctx",
        ],
    ),
    (
        StructAccess,
        &[
            "invalid sock access",
            "invalid tcp_sock access",
            "invalid sock_common access",
            "invalid xdp_sock access",
            "invalid * access off=",
            "access beyond struct",
            "access beyond the end of member",
            "is ptr_* invalid",
            "is ptr_* access",
            "is * invalid negative access",
            "invalid negative access",
            "access is allowed only to CAP_PERFMON",
            "access to member * is not allowed",
            "cannot access ptr member",
            "dereference of modified * ptr",
            "negative offset * ptr",
            "variable * access var_off",
            "write access to",
            "max struct nesting depth",
            "map_ptr access not supported",
        ],
    ),
    (
        MapValueOutOfBounds,
        &[
            "invalid access to map value",
            "invalid access to map key",
            "R* min value is outside of the allowed memory range",
            "R* max value is outside of the allowed memory range",
            "value is outside of the allowed memory range",
        ],
    ),
    (
        MemoryOutOfBounds,
        &[
            "invalid access to memory",
            "invalid variable buffer offset",
            "invalid * buffer access",
            "invalid access to flow keys",
            "invalid negative buffer",
            "invalid buffer access",
        ],
    ),
    (
        ArgumentSize,
        &[
            "invalid zero-sized read",
            "R* invalid zero-sized read",
            "memory, len pair leads to invalid memory access",
            "buf_size exceeds",
        ],
    ),
    (NotAPointer, &["invalid mem access"]),
    (
        ArgumentConstant,
        &[
            "must be a known constant",
            "is not a known constant",
            "is not a constant address",
            "is not a const",
            "doesn't support non-zero flags",
            "unbounded * constant",
            "doesn't point to a const string",
            "string is not zero-terminated",
            "Invalid format string",
            "helper format",
        ],
    ),
    (
        MapHelperMismatch,
        &[
            "cannot pass map_type",
            "cannot update sockmap in this context",
            "invalid map_ptr to access map->",
            "callback function not allowed for map",
            "invalid arg_type for sockmap",
            "no direct value access support",
        ],
    ),
    (
        MapNotAllowed,
        &[
            "progs cannot use * maps",
            "can only use preallocated",
            "bpf_struct_ops map cannot be used",
            "Sleepable programs can only use",
            "can only use * maps",
            "cgroup storage of each type",
            "perf_event programs can only use",
        ],
    ),
    (
        UnknownKfunc,
        &[
            "is not a function",
            "kernel function descriptor",
            "does not have a valid func_proto",
            "cannot find address for kernel function",
        ],
    ),
    (
        KfuncNotAllowed,
        &[
            "calling kernel function",
            "kernel function * is not allowed",
            "css_task_iter is only allowed",
            "destructive kfunc calls require",
        ],
    ),
    (UnknownHelper, &["invalid func unknown#", "invalid func *#"]),
    (
        HelperNotAllowed,
        &[
            "program of this type cannot use helper",
            "helper call is not allowed in probe",
            "helper access to the packet",
            "unknown func",
            "not supported for program type",
            "supported only for fentry/fexit/fmod_ret",
            "BPF_LD_[ABS|IND]",
        ],
    ),
    (
        GplOnly,
        &[
            "GPL-restricted function",
            "non-GPL compatible program",
            "must have a GPL compatible license",
            "programs must have GPL",
        ],
    ),
    (
        GlobalFunction,
        &[
            "Caller passes invalid args into func",
            "Arg#* type * in * is not supported",
            "arg#* type * is not supported",
            "Global function",
            "global function",
            "arg#* reference type",
            "not a static function",
            "invalid func * args",
        ],
    ),
    (
        MissingCapability,
        &[
            "are allowed for CAP_",
            "CAP_BPF and CAP_PERFMON are required",
            "CAP_SYS_ADMIN",
            "prohibited for !root",
        ],
    ),
    (
        AttachTarget,
        &[
            "points to disabled hook",
            "Attaching *rejected",
            "attach to",
            "attach_btf_id",
            "is not a tracing",
            "LSM hook",
            "can't modify return value",
        ],
    ),
    (ProgramFlags, &["programs can be sleepable"]),
    (
        TypeInformation,
        &[
            "LD_ABS is only allowed in functions",
            "LD_ABS is not allowed in subprogs",
            "func_info",
            "line_info",
            "core_relo",
            "has to have BTF",
            "requires prog BTF",
            "in-kernel BTF is malformed",
            "kernel is missing BTF",
            "arena",
        ],
    ),
    (
        ArgumentType,
        &[
            "type=* expected=",
            "expected=",
            "is of type * but * is expected",
            "isn't map pointer",
            "expected pointer to",
            "is not a scalar",
            "doesn't point to a map value",
            "args#* expected pointer to",
            "pointer type * must point to",
            "pointer type",
            "cannot pass in",
            "must be referenced",
            "arg#",
            "is a non-",
        ],
    ),
];

/// The rule that a message is about.
pub(super) fn of(message: &str) -> Option<Rule> {
    let fits =
        |(_, patterns): &&(Rule, &[&str])| patterns.iter().any(|pattern| fits(pattern, message));
    RULES.iter().find(fits).map(|(rule, _)| *rule)
}

/// Whether a message has the pieces of a pattern, in their order.
fn fits(pattern: &str, message: &str) -> bool {
    let mut rest = message;
    pattern
        .split('*')
        .all(|piece| match rest.split_once(piece) {
            Some((_, behind)) => {
                rest = behind;
                true
            }
            None => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order() {
        assert!(fits("a*c", "xabc"));
        assert!(!fits("c*a", "abc"));
        assert!(fits("abc", "abc"));
    }

    #[test]
    fn messages_have_their_rules() {
        for (message, rule) in [
            ("R0 invalid mem access 'map_value_or_null'", MapValueOrNull),
            ("R7 invalid mem access 'mem_or_null'", PointerOrNull),
            ("R6 invalid mem access 'scalar'", NotAPointer),
            ("R6 invalid mem access 'inv'", NotAPointer),
            ("Unreleased reference id=2 alloc_insn=6", ReferenceLeak),
            ("back-edge from insn 3 to 2", UnboundedLoop),
            (
                "invalid access to packet, off=0 size=8, R5(id=3,off=0,r=0)",
                PacketOutOfBounds,
            ),
            ("R1 type=map_value_or_null expected=fp", MapValueOrNull),
            ("R2 type=inv expected=fp, pkt, map_value", ArgumentType),
            ("unknown func bpf_redirect#23", HelperNotAllowed),
            (
                "program of this type cannot use helper bpf_redirect#23",
                HelperNotAllowed,
            ),
            (
                "math between ctx pointer and register with unbounded min value is not allowed",
                PointerPlusUnknown,
            ),
            (
                "math between fp pointer and 2147483647 is not allowed",
                PointerPlusUnknown,
            ),
            (
                "invalid indirect read from stack R2 off -16+4 size 16",
                UninitialisedStack,
            ),
            (
                "invalid read from stack R10 off -16+4 size 8",
                UninitialisedStack,
            ),
            ("R2 !read_ok", UninitialisedRegister),
            (
                "cannot pass map_type 1 into func bpf_get_local_storage#81",
                MapHelperMismatch,
            ),
        ] {
            assert_eq!(of(message), Some(rule), "{message}");
        }
        assert_eq!(of("something new"), None);
    }
}
