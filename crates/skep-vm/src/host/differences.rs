//! Where the machine answers otherwise than a kernel on purpose: one table, which the suites of
//! both hosts and the documentation go by.

/// A difference between the machine and a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The command, flag, map type or hook: what records of the suites call it.
    pub subject: &'static str,
    /// What a kernel does.
    pub kernel: &'static str,
    /// What the machine does.
    pub vm: &'static str,
    /// Why.
    pub why: &'static str,
}

impl Difference {
    /// Whether it speaks of this key of a record: the subject itself, or more words after it.
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        key.strip_prefix(self.subject)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }
}

macro_rules! differences {
    ($($subject:literal: $kernel:literal => $vm:literal, $why:literal;)*) => {
        /// All differences there are on purpose.
        pub const DIFFERENCES: &[Difference] = &[$(Difference {
            subject: $subject,
            kernel: $kernel,
            vm: $vm,
            why: $why,
        }),*];
    };
}

differences! {
    "prog_load": "verifies, and refuses what may go wrong" =>
        "loads what is well formed, and stops it when it goes wrong",
        "programs run in checked mode until a verifier stands before the machine";
    "batch position": "of a hash map is the number of a bucket" => "is the last key",
        "buckets of the machine are not the kernel's, and no program can tell";
    "ifindex": "offloads a map or program to a device" => "EINVAL",
        "devices of the machine have no processor of their own";
    "context too short": "EINVAL, before the program runs" => "EFAULT, when it reads behind the end",
        "which fields a program reads is what a verifier knows";
}
