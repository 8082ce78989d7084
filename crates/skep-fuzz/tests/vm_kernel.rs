//! Random programs on this machine's kernel and on the virtual machine, the same ones every time.
//! More of them: `SKEP_FUZZ_RUNS=100000 cargo test --release -p skep-fuzz --test vm_kernel`;
//! `SKEP_FUZZ_SEED` starts elsewhere, `SKEP_FUZZ_REFUSED=1` says what the verifier did not take.

use std::env;

use skep_fuzz::vm::{
    Choices,
    kernel::{Count, Difference, Judge},
};
use skep_linux::LinuxHost;
use skep_testing::Lacking;

#[test]
fn what_the_kernel_accepts_ends_as_it_does_there() {
    let Some(kernel) = kernel("programs") else {
        return;
    };
    let mut judge = Judge::new(&kernel);
    check(300, |input| judge.judge(input));
    println!("{:?}, {:?}", judge.count, judge.features().types);
    let Count { made, compared, .. } = judge.count;
    assert!(compared * 10 >= made * 3, "{:?}", judge.count);
}

#[test]
fn maps_answer_as_the_kernels() {
    let Some(kernel) = kernel("maps") else {
        return;
    };
    let mut judge = Judge::new(&kernel);
    check(1000, |input| judge.judge_maps(input));
    let Count { made, compared, .. } = judge.count;
    println!("{compared} of {made} scripts compared");
    assert!(compared * 10 >= made * 9, "{:?}", judge.count);
}

fn kernel(test: &str) -> Option<LinuxHost> {
    if !rustix::process::geteuid().is_root() {
        skep_testing::skip("vm_kernel", test, &Lacking::Root);
        return None;
    }
    Some(LinuxHost::new().unwrap())
}

fn check(runs: u64, mut judge: impl FnMut(&[u8]) -> Result<(), Difference>) {
    let number = |name| {
        env::var(name)
            .ok()
            .map(|text: String| text.parse::<u64>().unwrap())
    };
    let first = number("SKEP_FUZZ_SEED").unwrap_or(0);
    let runs = number("SKEP_FUZZ_RUNS").unwrap_or(runs);
    let most = number("SKEP_FUZZ_DIFFERENCES").unwrap_or(0) as usize;
    let mut found = Vec::new();
    for seed in first..first + runs {
        if let Err(Difference { machine, text }) = judge(&Choices::bytes_of(seed)) {
            println!("DIFFERENCE seed {seed}, {machine}:\n{text}");
            found.push(seed);
            if found.len() > most {
                break;
            }
        }
    }
    assert!(found.is_empty(), "seeds {found:?}");
}
