//! Coverage: which lines, branches and functions of the source ran.
//!
//! A machine made with [`Config::coverage`](skep::vm::Config::coverage) counts how often each
//! instruction ran; the object says by its BTF which line each comes from. A [`Tally`] sums the
//! counts of any number of loads, objects and machines; its [`Report`] has them by file, and writes
//! them for people and as an lcov tracefile.
//!
//! ```no_run
//! use skep::{Host, Object, vm::{Config, Vm}};
//! use skep_test::coverage::Tally;
//!
//! let mut config = Config::default();
//! config.coverage = true;
//! let host = Host::of_vm(Vm::with(config)?);
//! let object = Object::open("fw.bpf.o")?;
//! let loaded = object.load(&host)?;
//! // … run the programs …
//! let mut tally = Tally::default();
//! tally.add(object.spec(), &loaded)?;
//! let report = tally.report();
//! println!("{report}");
//! std::fs::write("coverage.lcov", report.lcov())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What the figures mean
//! Programs are optimised (`-O2`) whether they are tested or not, so what is counted is what is left
//! of the source:
//!
//! - A **line** counts if there are instructions for it, and ran if one of them did. Its count is
//!   the highest of its instructions', summed over the functions it is compiled into. A line without
//!   instructions, such as a `return 1;` that became part of a comparison, is left out: neither
//!   covered nor missed.
//! - An instruction that control jumps to, and that the compiler gave no line of its own, has none;
//!   it would otherwise count for the line that happens to stand before it. Compilers also merge the
//!   ends of copies, and leave what was merged without a line: where copies of a jump lead to the
//!   same instructions, and some have a line, the others get it.
//! - A **branch** is a way of a conditional jump, which has two. Copies of a jump (of an inlined
//!   function, of an unrolled loop), by their place and by what they ask, are one: their counts are
//!   summed. Conditions that the compiler decided, or turned into arithmetic, are no branches. Of a
//!   `switch`, each value is a jump; comparisons that only search for the value are left out. The way
//!   out of a `may_goto` (`cond_break`) is for the verifier and no branch.
//! - A **function** is one that is left as such: what was inlined everywhere is part of its callers.
//! - Programs that were not loaded, and functions that no program calls, count as not run.
//! - Files of libraries are left out: see [`is_library`].

mod files;
mod lcov;
mod places;
mod report;
mod show;
mod tally;

pub use files::is_library;
pub use report::{Branch, FileReport, FunctionReport, Report, Way};
pub use tally::{Error, Tally};
