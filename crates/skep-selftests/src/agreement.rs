//! Three that judge: what the test expects, the running kernel, and we.

use std::collections::BTreeMap;

use skep_selftests::Case;

use crate::hosted::Answer;

/// How often who agreed with whom.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    /// By (expected, kernel, we): how many; `None` where nothing is expected.
    counts: BTreeMap<(Option<bool>, bool, bool), u32>,
    /// Programs that this loader may not load here, whatever they do.
    forbidden: u32,
    /// Programs that we accept and the kernel refuses, with its words.
    pub(crate) false_accepts: Vec<(String, String)>,
    /// Programs that we refuse and the kernel accepts, with ours.
    pub(crate) false_refusals: Vec<(String, String)>,
}

impl Agreement {
    pub(crate) fn add(&mut self, case: &Case<'_>, kernel: &Answer) {
        if kernel.forbidden {
            self.forbidden += 1;
            return;
        }
        let ours = case.accepted();
        let expected = case.expected.map(|expected| expected.accept);
        *self
            .counts
            .entry((expected, kernel.accepted, ours))
            .or_default() += 1;
        let name = format!("{}/{}", case.object, case.program);
        match (ours, kernel.accepted) {
            (true, false) => self.false_accepts.push((name, kernel.message.clone())),
            (false, true) => self.false_refusals.push((name, case.reason())),
            _ => {}
        }
    }

    /// How many of how many verdicts are the kernel's.
    pub(crate) fn with_kernel(&self) -> (u32, u32) {
        let same = self
            .counts
            .iter()
            .filter(|((_, kernel, ours), _)| kernel == ours);
        (
            same.map(|(_, count)| count).sum(),
            self.counts.values().sum(),
        )
    }

    /// The table and the lists.
    pub(crate) fn print(&self) {
        let word = |accepts| if accepts { "accepts" } else { "refuses" };
        println!("test expects  kernel   skep");
        for ((expected, kernel, ours), count) in &self.counts {
            let expected = expected.map_or(
                "nothing",
                |accept| if accept { "success" } else { "failure" },
            );
            println!(
                "{expected:<13} {:<8} {:<8} {count:>5}",
                word(*kernel),
                word(*ours)
            );
        }
        let (same, all) = self.with_kernel();
        println!(
            "as the kernel: {same} of {all}; {} may not be loaded here",
            self.forbidden
        );
        println!(
            "we accept, the kernel refuses: {}",
            self.false_accepts.len()
        );
        for (program, message) in &self.false_accepts {
            println!("  {program}: {message}");
        }
        println!(
            "we refuse, the kernel accepts: {}",
            self.false_refusals.len()
        );
        for (program, reason) in &self.false_refusals {
            println!("  {program}: {reason}");
        }
    }
}
