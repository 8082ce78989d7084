//! Unit tests for eBPF programs: what a program is given, and what is expected of it. They need no
//! privileges and no kernel: each test runs in a virtual machine of its own. The same tests run on
//! the kernel where it can run programs by hand ([`TestHost::Kernel`]).
//!
//! | to | use |
//! |---|---|
//! | write tests beside a program | a file, `fw.test.toml` beside `fw.bpf.c`, and `skep test` |
//! | run such a file in `cargo test` | [`assert_passes`] |
//! | run it and look at what came of it | [`Suite`], [`Report`] |
//! | write tests in Rust | [`Test`] |
//! | know what of the source ran | [`coverage`] |
//!
//! # Files
//! ```toml
//! # fw.test.toml
//! [[test]]
//! name = "a blocked source is dropped and counted"
//! program = "xdp_fw"
//! packet = { ip = { src = "10.0.0.7" }, tcp = { dport = 80 } }
//! maps.blocked = [{ key = "10.0.0.7", value = 1 }]
//! expect.return = "XDP_DROP"
//! expect.maps.hits = [{ key = "10.0.0.7", value = 1 }]
//! ```
//!
//! At the top of a file stand `source` (a source in C or Rust, an object, or an array of them; else
//! what has the file's name: `fw.bpf.c` and `fw.bpf.rs` both, as twins have the same tests),
//! `include` and `define` for the compiler, `features` and `default_features` for cargo (of a
//! package), and whatever all tests have in common, by the names
//! that tests have. A name that means nothing is an error.
//!
//! | a test says | |
//! |---|---|
//! | `name` | what it shows |
//! | `program` | which program; need not be said if there is one |
//! | `context` | fields by name: of the uapi struct, of a tracepoint (`filename`), registers (`di`, `rdi`, `args`, `ret`), arguments (`args = [1, 2]`, or by name); or `{ bytes = "…" }` |
//! | `packet` | layers `eth`, `vlan`, `arp`, `ip`, `ip6`, `tcp`, `udp`, `icmp`, `icmp6`, `payload`, `length`; hexadecimal text; or `{ file = "x.pcap", index = 0 }` |
//! | `maps.NAME` | entries before: `[{ key = …, value = … }]`; `values = […]` by CPU; names of maps and programs where those are the values; `"10.0.0.0/8"` as key of a trie |
//! | `globals.NAME`, `kconfig.NAME` | variables, and values of the kernel's configuration |
//! | `task` | `pid`, `tgid`, `uid`, `gid`, `comm`, `start_time`, `parent`, `args` (its command's words), and `memory = [{ address = …, string = "…" }]` |
//! | `time`, `advance` | when the clock begins (1 s), and how much time passes after the run: timers fire |
//! | `random` | what `bpf_get_prandom_u32` gives, over and over |
//! | `repeat`, `cpu`, `cpus`, `cookie`, `retval` | how often; where, of how many (2); what `bpf_get_attach_cookie` and `bpf_get_retval` give |
//! | `user_stack`, `kernel_stack` | addresses that stack traces show, innermost first |
//! | `hosts` | `["vm"]`: it is for that alone |
//! | `replay` | a file of `skep run --record`, or `{ file = "x.rec", event = 17 }` (or a list of them): the program sees again what the recorded one saw; to ask for what was not recorded fails. In place of all that says what a run sees; not counted in coverage |
//! | `run` | steps, each a table of these: `[[test.run]]`. Maps and variables last from one to the next. One with `advance` and no program, context or packet of its own only lets time pass |
//! | `cases` | tables that are laid over the test: one test each |
//! | `expect` | see below |
//!
//! | `expect.` | of a step; in a test with steps: of the last one, and of all events |
//! |---|---|
//! | `return` | a number, or its name: `"XDP_DROP"`, `"-EPERM"` |
//! | `packet` | layers by field (`ip.checksum = "valid"`), hexadecimal text in which `..` is any byte and `*` any rest, or `"unchanged"` |
//! | `context` | fields |
//! | `maps.NAME` | an array: these entries and no others (of arrays: zeros are none); or `{ contains = […], absent = [keys], count = 1 }`. Of a value by CPU, the sum |
//! | `events.NAME` | an array: these records of the ring or perf buffer, in their order; or `{ contains = […], count = 1 }` |
//! | `globals.NAME` | the variable's value |
//! | `printk` | lines |
//! | `output` | what an iterator wrote: a text, or an array of lines |
//! | `redirect` | `{ ifindex = 5 }`, `{ key = 1 }`, or `false` |
//! | `retval`, `override` | what `bpf_set_retval`, `bpf_override_return` set |
//! | `fault` | what the machine says of a program that it stopped: a part of it, or `true`. A fault that is not expected fails the test |
//! | `load_error` | what the host says of an object that it refuses |
//!
//! # Values
//! Values are what their BTF type says: numbers, tables by field, arrays, texts for `char[]`, names
//! of enumerators. Fields that a test leaves out are zero where it gives a value, and may be
//! anything where it expects one. Numbers of network order (`__be16`) are said as people say them.
//!
//! | a text | stands for |
//! |---|---|
//! | `"10.0.0.7"`, `"fd00::1"`, `"02:00:00:00:00:01"` | an address, where there are as many bytes |
//! | `"-EPERM"`, `"EPERM"` | an error's number |
//! | `"1.5s"`, `"10ms"` | nanoseconds, in 8 bytes |
//! | `"0xffff_ffff_ffff_ffff"` | a number that TOML has no room for |
//! | `"IPPROTO_TCP"` | an enumerator of the program's source |
//! | `"current"` | the address of the task |
//!
//! `{ bytes = "0a ff" }` are the bytes of a value of any type. What a context or a map points to:
//! `{ string = "/etc/passwd" }` and `{ memory = "0a ff" }` are put into the task's memory; a table of
//! fields where a typed pointer to a structure is (`task`, `regs`) is put into the kernel's.
//!
//! Where a single value is expected, a table compares: `{ at_least = 1 }`, `{ at_most = 9 }`,
//! `{ not = 0 }`, `{ any = true }`, and of texts `{ contains = "x" }`, `{ begins = "x" }`.
//!
//! # On the kernel
//! What its test run can't do is skipped, with the reason: programs of other types than those that
//! it runs by hand (packets, `raw_tp`, `syscall`, `sk_lookup`; iterators read themselves), and tests
//! that say `task`, `time`, `advance`, `random`, `cookie`, or expect `printk`, `fault`, `redirect`.
#![forbid(unsafe_code)]

mod api;
pub mod coverage;
mod definition;
mod error;
mod failure;
mod packet;
mod report;
mod run;
mod runner;
mod source;
mod suite;
mod typed;
mod value;

pub use api::{Ran, Test, assert_passes};
pub use error::Error;
pub use failure::Mismatch;
pub use report::{
    Failure, Outcome, Report, Summary, TestReport, junit, name_width, show_failure, show_line,
};
pub use run::TestHost;
pub use runner::RunOptions;
pub use source::{FileError, Place};
pub use suite::{Suite, find};
pub use value::Value;
