//! Random programs on this machine's kernel and on the virtual machine, the same ones every time.
//! More of them: `SKEP_FUZZ_RUNS=100000 cargo test --release -p skep-fuzz --test vm_kernel`;
//! `SKEP_FUZZ_SEED` starts elsewhere, `SKEP_FUZZ_REFUSED=1` says what the verifier did not take.

use std::env;

use skep_fuzz::vm::kernel::Judge;
use skep_linux::LinuxHost;
use skep_testing::Lacking;

#[test]
fn what_the_kernel_accepts_ends_as_it_does_there() {
    let name = "what_the_kernel_accepts_ends_as_it_does_there";
    if !rustix::process::geteuid().is_root() {
        return skep_testing::skip("vm_kernel", name, &Lacking::Root);
    }
    let kernel = LinuxHost::new().unwrap();
    let mut judge = Judge::new(&kernel);
    let number = |name| {
        env::var(name)
            .ok()
            .map(|text: String| text.parse::<u64>().unwrap())
    };
    let first = number("SKEP_FUZZ_SEED").unwrap_or(0);
    let runs = number("SKEP_FUZZ_RUNS").unwrap_or(300);
    let most = number("SKEP_FUZZ_DIFFERENCES").unwrap_or(0) as usize;
    let mut found = Vec::new();
    for seed in first..first + runs {
        if let Err(difference) = judge.judge(&seed.to_le_bytes()) {
            println!(
                "DIFFERENCE seed {seed}, {}:\n{}",
                difference.machine, difference.text
            );
            found.push(seed);
            if found.len() > most {
                break;
            }
        }
    }
    println!("{:?}, {:?}", judge.count, judge.features().types);
    assert!(found.is_empty(), "seeds {found:?}");
    assert!(
        judge.count.compared * 10 >= judge.count.made * 3,
        "{:?}",
        judge.count
    );
}
