//! Calls of kernel functions: what they ask, hold and give. The kernel's types are made here, so that
//! no kernel is needed.

use std::sync::Arc;

use skep_abi::ProgramType;
use skep_btf::{Btf, Builder, FunctionLinkage, IntEncoding, NewMember, TypeId};
use skep_object::Target;
use skep_verifier::{Options, Program, Rule, Verdict, verify};

/// Kernel functions by name, and the types to find them in.
struct Kernel {
    types: Builder,
    functions: Vec<(&'static str, TypeId)>,
}

impl Kernel {
    fn new() -> Self {
        let mut types = Builder::new();
        let int = types.int("int", 4, IntEncoding::SIGNED);
        let long = types.int("unsigned long", 8, IntEncoding::UNSIGNED);
        let flags = types.pointer(long);
        let task = types.structure("task_struct", 8, &[NewMember::new("pid", int, 0)]);
        let task = types.pointer(task);
        let numbers = types.structure("bpf_iter_num", 8, &[NewMember::new("opaque", long, 0)]);
        let numbers = types.pointer(numbers);
        let number = types.pointer(int);
        let mut kernel = Self {
            types,
            functions: Vec::new(),
        };
        let void = TypeId::VOID;
        kernel.add("bpf_rcu_read_lock", void, &[]);
        kernel.add("bpf_rcu_read_unlock", void, &[]);
        kernel.add("bpf_preempt_disable", void, &[]);
        kernel.add("bpf_preempt_enable", void, &[]);
        kernel.add("bpf_local_irq_save", void, &[("flags__irq_flag", flags)]);
        kernel.add("bpf_local_irq_restore", void, &[("flags__irq_flag", flags)]);
        kernel.add("bpf_task_from_pid", task, &[("pid", int)]);
        kernel.add("bpf_task_release", void, &[("p", task)]);
        kernel.add(
            "bpf_iter_num_new",
            int,
            &[("it", numbers), ("start", int), ("end", int)],
        );
        kernel.add("bpf_iter_num_next", number, &[("it", numbers)]);
        kernel.add("bpf_iter_num_destroy", void, &[("it", numbers)]);
        kernel.add("bpf_throw", void, &[("cookie", long)]);
        // One that was renamed in 6.16, by both names.
        kernel.add("css_rstat_updated", void, &[("css", task), ("cpu", int)]);
        kernel.add(
            "cgroup_rstat_updated",
            void,
            &[("cgrp", task), ("cpu", int)],
        );
        kernel.add("no_kfunc", void, &[]);
        kernel
    }

    fn add(&mut self, name: &'static str, returns: TypeId, parameters: &[(&str, TypeId)]) {
        let prototype = self.types.prototype(returns, parameters);
        let function = self
            .types
            .function(name, prototype, FunctionLinkage::Global);
        self.functions.push((name, function));
    }

    /// A program's text with `kfunc NAME` for calls.
    fn text(&self, text: &str) -> String {
        let mut lines = String::new();
        for line in text.lines() {
            let line = match line.trim().strip_prefix("kfunc ") {
                Some(name) => {
                    let found = self.functions.iter().find(|(known, _)| *known == name);
                    let id = found.expect("a function of this test").1;
                    format!("call kernel-function#{}", id.0)
                }
                None => line.to_owned(),
            };
            lines.push_str(&line);
            lines.push('\n');
        }
        lines
    }
}

fn verdict(text: &str, change: impl FnOnce(&mut Program<'_>), version: &str) -> Verdict {
    let kernel = Kernel::new();
    let types = Btf::parse(kernel.types.build().expect("types")).expect("BTF");
    let target = Target::new(version.parse().expect("a version")).with_kernel_btf(Arc::new(types));
    let slots = skep_isa::assemble(&kernel.text(text)).expect("a program");
    let mut program = Program::new(ProgramType::SchedCls, "kfuncs", &slots);
    change(&mut program);
    verify(&program, &target, &Options::default())
}

/// The rule that a program breaks, if it breaks one.
fn judge(text: &str, change: impl FnOnce(&mut Program<'_>), version: &str) -> Option<Rule> {
    let verdict = verdict(text, change, version);
    verdict.rejection.map(|why| why.rule)
}

#[track_caller]
fn check(text: &str, expected: Option<Rule>) {
    assert_eq!(judge(text, |_| {}, "6.18"), expected, "{text}");
}

const END: &str = "r0 = 0\nexit";

#[test]
fn rcu_sections_are_opened_and_closed() {
    let (lock, unlock) = ("kfunc bpf_rcu_read_lock", "kfunc bpf_rcu_read_unlock");
    check(&format!("{lock}\n{unlock}\n{END}"), None);
    let broken = Some(Rule::UnbalancedSection);
    check(&format!("{lock}\n{END}"), broken);
    check(&format!("{unlock}\n{END}"), broken);
    check(
        &format!("{lock}\n{lock}\n{unlock}\n{unlock}\n{END}"),
        broken,
    );
    let nested = format!("{lock}\n{lock}\n{unlock}\n{unlock}\n{END}");
    assert_eq!(judge(&nested, |_| {}, "6.19"), None);
}

#[test]
fn preemption_is_turned_on_as_often_as_off() {
    let (off, on) = ("kfunc bpf_preempt_disable", "kfunc bpf_preempt_enable");
    check(&format!("{off}\n{off}\n{on}\n{on}\n{END}"), None);
    check(
        &format!("{off}\n{off}\n{on}\n{END}"),
        Some(Rule::UnbalancedSection),
    );
    check(
        &format!("{off}\n{on}\n{on}\n{END}"),
        Some(Rule::UnbalancedSection),
    );
}

#[test]
fn interrupts_are_restored_in_the_opposite_order() {
    let save = |at: i32| format!("r1 = r10\nr1 += {at}\nkfunc bpf_local_irq_save\n");
    let restore = |at: i32| format!("r1 = r10\nr1 += {at}\nkfunc bpf_local_irq_restore\n");
    let program = |parts: &[String]| format!("{}{END}", parts.concat());
    check(
        &program(&[save(-8), save(-16), restore(-16), restore(-8)]),
        None,
    );
    let broken = Some(Rule::UnbalancedSection);
    check(
        &program(&[save(-8), save(-16), restore(-8), restore(-16)]),
        broken,
    );
    check(&program(&[save(-8)]), broken);
    check(&program(&[save(-8), save(-8)]), broken);
    check(&program(&[restore(-8)]), broken);
    check(&program(&[save(-12)]), broken);
    check(&program(&[save(0)]), broken);
}

#[test]
fn what_is_acquired_is_tested_and_released() {
    let get = "r1 = 1\nkfunc bpf_task_from_pid\n";
    let test = "if r0 == 0 goto +2\n";
    let put = "r1 = r0\nkfunc bpf_task_release\n";
    check(&format!("{get}{test}{put}{END}"), None);
    check(&format!("{get}{put}{END}"), Some(Rule::PointerOrNull));
    check(
        &format!("{get}if r0 == 0 goto +1\nr1 = *(u32 *)(r0 + 0)\n{END}"),
        Some(Rule::ReferenceLeak),
    );
    let twice = format!(
        "{get}r6 = r0\nif r6 == 0 goto +4\nr1 = r6\nkfunc bpf_task_release\nr1 = r6\nkfunc bpf_task_release\n{END}"
    );
    assert!(judge(&twice, |_| {}, "6.18").is_some());
}

const NEW: &str = "r1 = r10\nr1 += -8\nr2 = 0\nr3 = 10\nkfunc bpf_iter_num_new\n";
const NEXT: &str = "r1 = r10\nr1 += -8\nkfunc bpf_iter_num_next\n";
const DESTROY: &str = "r1 = r10\nr1 += -8\nkfunc bpf_iter_num_destroy\n";

#[test]
fn iterators_are_made_moved_and_destroyed() {
    let body = "if r0 == 0 goto +2\nr6 = *(u32 *)(r0 + 0)\ngoto -6\n";
    check(&format!("{NEW}{NEXT}{body}{DESTROY}{END}"), None);
    check(
        &format!("{NEW}{NEXT}{body}{END}"),
        Some(Rule::ReferenceLeak),
    );
    check(&format!("{NEXT}{END}"), Some(Rule::IteratorMisuse));
    check(
        &format!("{NEW}{DESTROY}{DESTROY}{END}"),
        Some(Rule::IteratorMisuse),
    );
    check(
        &format!("{NEW}{NEW}{DESTROY}{END}"),
        Some(Rule::IteratorMisuse),
    );
    // What `next` gives is null at the end.
    let unchecked = format!("{NEW}{NEXT}r6 = *(u32 *)(r0 + 0)\n{DESTROY}{END}");
    assert!(judge(&unchecked, |_| {}, "6.18").is_some());
    // A store makes a number of the iterator.
    let overwritten = format!("{NEW}*(u64 *)(r10 - 8) = 0\n{DESTROY}{END}");
    check(&overwritten, Some(Rule::IteratorMisuse));
}

#[test]
fn an_exception_leaves_nothing_held() {
    check("r1 = 0\nkfunc bpf_throw\nr0 = 0\nexit", None);
    let held = format!(
        "r1 = 1\nkfunc bpf_task_from_pid\nif r0 == 0 goto +2\nr1 = 0\nkfunc bpf_throw\n{END}"
    );
    check(&held, Some(Rule::ReferenceLeak));
    check(
        "kfunc bpf_rcu_read_lock\nr1 = 0\nkfunc bpf_throw\nr0 = 0\nexit",
        Some(Rule::UnbalancedSection),
    );
}

#[test]
fn renamed_functions_are_there_by_the_kernels_name_for_them() {
    let call = |name: &str| {
        format!("r1 = 1\nkfunc bpf_task_from_pid\nr1 = r0\nr2 = 0\nkfunc {name}\n{END}")
    };
    let tracing = |program: &mut Program<'_>| program.program_type = ProgramType::Tracepoint;
    let is_there = |name, version| judge(&call(name), tracing, version) != Some(Rule::UnknownKfunc);
    assert!(is_there("cgroup_rstat_updated", "6.12") && !is_there("css_rstat_updated", "6.12"));
    assert!(!is_there("cgroup_rstat_updated", "6.16") && is_there("css_rstat_updated", "6.16"));
    let verdict = verdict(&call("cgroup_rstat_updated"), tracing, "6.16");
    let why = verdict.rejection.expect("a rejection");
    assert_eq!(
        why.message,
        "cgroup_rstat_updated is gone since Linux 6.16: it is called css_rstat_updated now, and \
         the target is 6.16"
    );
    assert!(
        why.remedy
            .is_some_and(|remedy| remedy.contains("bpf_ksym_exists(css_rstat_updated)"))
    );
}

#[test]
fn functions_are_for_some_programs_and_kernels() {
    let get = format!(
        "r1 = 1\nkfunc bpf_task_from_pid\nif r0 == 0 goto +2\nr1 = r0\nkfunc bpf_task_release\n{END}"
    );
    let of = |program_type| judge(&get, |program| program.program_type = program_type, "6.18");
    assert_eq!(of(ProgramType::SchedCls), None);
    assert_eq!(of(ProgramType::Kprobe), Some(Rule::KfuncNotAllowed));
    let free = judge(
        &get,
        |program| program.license = "Proprietary".into(),
        "6.18",
    );
    assert_eq!(free, Some(Rule::GplOnly));
    assert_eq!(judge(&get, |_| {}, "6.1"), Some(Rule::UnknownKfunc));
    check(
        &format!("kfunc no_kfunc\n{END}"),
        Some(Rule::KfuncNotAllowed),
    );
    check(
        &format!("call kernel-function#0\n{END}"),
        Some(Rule::UnknownKfunc),
    );
    check(
        &format!("call kernel-function#9999\n{END}"),
        Some(Rule::UnknownKfunc),
    );
}
