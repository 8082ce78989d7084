//! Every helper, called from every hook: whether it may be called there at all.

use skep_abi::Helper;
use skep_isa::assemble;
use skep_testing::{Outcome, lacks};
use skep_verifier::{Options, Program, Rule, verify};

use super::{hooks::HOOKS, judge, target};

/// What the kernel says when the call itself is what it does not want.
const REFUSALS: &[&str] = &[
    "program of this type cannot use helper",
    "unknown func",
    "cannot call GPL-restricted function",
    "helper call is not allowed in probe",
    "helper call might sleep in a non-sleepable",
    "supported only for fentry",
    "not supported for program type",
];

const RULES: &[Rule] = &[
    Rule::UnknownHelper,
    Rule::HelperNotHere,
    Rule::HelperNotAllowed,
    Rule::GplOnly,
    Rule::MissingCapability,
    Rule::MaySleep,
];

/// Differences with a reason.
const KNOWN: &[(&str, &str)] = &[
    (
        "bpf_probe_write_user ",
        "a kernel in lockdown has no writes to user memory, and its types don't tell",
    ),
    (
        "bpf_override_return ",
        "an option of the kernel (CONFIG_BPF_KPROBE_OVERRIDE)",
    ),
];

pub(super) fn everyone() -> Outcome {
    let target = target()?;
    let mut differences = Vec::new();
    let mut compared = 0;
    for hook in HOOKS {
        if !hook.is_here() {
            lacks(format!("a kernel that loads programs for {}", hook.name));
            continue;
        }
        for helper in Helper::all() {
            let text = format!("call {}\n r0 = {}\n exit", helper.id, hook.answer);
            let code = crate::programs::code(&text)?;
            let kernel = hook.kernel(&code);
            let slots = assemble(&text)?;
            let mut program = Program::new(hook.program, "caller", &slots);
            hook.describe(&mut program);
            let ours = verify(&program, target, &Options::default()).rejection;
            let here = |log: &str| !REFUSALS.iter().any(|refusal| log.contains(refusal));
            let kernel_may = kernel.as_ref().map_or_else(|log| here(log), |()| true);
            let we_may = ours.as_ref().is_none_or(|why| !RULES.contains(&why.rule));
            compared += 1;
            if kernel_may != we_may {
                let log = kernel.err().unwrap_or_else(|| "loads".into());
                let last = log
                    .lines()
                    .rev()
                    .find(|line| !line.starts_with("processed"));
                let ours = ours.map_or("accepted".into(), |why| why.to_string());
                differences.push(format!(
                    "{} from {}: kernel: {}; here: {ours}",
                    helper.name,
                    hook.name,
                    last.unwrap_or("")
                ));
            }
        }
    }
    judge(compared, differences, KNOWN)
}
