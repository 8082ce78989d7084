//! Checks that pruning changes no verdict: `pruning FILE…` verifies all programs of objects as they
//! are, with a state kept at every point (`BPF_F_TEST_STATE_FREQ`), and without pruning, and prints
//! those of which the verdicts differ. What is too complex without it tells nothing.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use skep_abi::ProgLoadFlags;
use skep_btf::Btf;
use skep_selftests::{Judge, name_of};
use skep_verifier::{Options, Program, Rule, Verdict, verify};

/// Instructions that are followed without pruning.
const LIMIT: u64 = 50_000;

fn main() -> ExitCode {
    let mut judge = Judge::here().expect("the kernel's types");
    judge.all = true;
    let (mut compared, mut different) = (0_u32, 0_u32);
    for file in std::env::args_os().skip(1).map(PathBuf::from) {
        let result = judge.object(&name_of(&file), &file, |case| {
            let (Ok(image), Some(pruned)) = (case.image, &case.verdict) else {
                return;
            };
            let btf = image.btf.clone().and_then(|bytes| Btf::parse(bytes).ok());
            let btf = btf.map(Arc::new);
            let Some(program) = image.program(case.program) else {
                return;
            };
            let mut subject = Program::from_image(image, program, btf.as_ref());
            subject.flags |= ProgLoadFlags::TEST_STATE_FREQ;
            let often = verify(&subject, &judge.target, &judge.options);
            let mut options = Options::default();
            options.prune = false;
            options.instruction_limit = Some(LIMIT);
            let all = verify(&subject, &judge.target, &options);
            compared += 1;
            for (what, other) in [("all states", &often), ("no pruning", &all)] {
                if differ(pruned, other) {
                    different += 1;
                    println!(
                        "{}/{}: {}; {what}: {}",
                        case.object,
                        case.program,
                        words(pruned),
                        words(other)
                    );
                }
            }
        });
        if let Err(error) = result {
            println!("{}: {error}", file.display());
        }
    }
    println!("{compared} programs, {different} verdicts differ");
    ExitCode::from(u8::from(different > 0))
}

fn words(verdict: &Verdict) -> String {
    let reason = verdict.rejection.as_ref();
    reason.map_or("accepted".to_owned(), ToString::to_string)
}

fn differ(one: &Verdict, other: &Verdict) -> bool {
    let complex = |verdict: &Verdict| {
        verdict
            .rejection
            .as_ref()
            .is_some_and(|why| matches!(why.rule, Rule::TooComplex | Rule::UnboundedLoop))
    };
    !complex(one) && !complex(other) && one.is_accepted() != other.is_accepted()
}
