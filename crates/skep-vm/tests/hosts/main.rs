//! One suite, two hosts: each test of a command is written once against [`skep_host::Host`], and
//! runs on the kernel (`kernel::…`, as root) and on the machine (`vm::…`).
//!
//! A test that says what must be so uses `host()`. One that compares writes down what it sees
//! (`agree`): on the machine the same is done on the kernel too, and both records must be the
//! same but for what `skep_vm::DIFFERENCES` lists.

mod btf;
mod cgroup_iterators;
mod cgroup_storages;
mod commands;
mod helpers;
mod iterators;
mod kfuncs;
mod links;
mod mappings;
mod maps;
mod orders;
mod packets;
mod pins;
mod places;
mod programs;
mod rings;
mod storages;
mod struct_ops;
mod support;
mod things;
mod types;
mod unread;
mod users;

use skep_testing::On;

fn main() -> std::process::ExitCode {
    let hosts = [
        On {
            name: "kernel",
            host: support::kernel,
            needs_root: true,
        },
        On {
            name: "vm",
            host: support::vm,
            needs_root: false,
        },
    ];
    let mut tests = Vec::new();
    for group in [
        maps::tests,
        mappings::tests,
        pins::tests,
        storages::tests,
        btf::tests,
        commands::tests,
        programs::tests,
        links::tests,
        orders::tests,
        places::tests,
        iterators::tests,
        rings::tests,
        things::tests,
        kfuncs::tests,
        cgroup_iterators::tests,
        helpers::tests,
        packets::tests,
        types::tests,
        cgroup_storages::tests,
        struct_ops::tests,
        unread::tests,
        users::tests,
    ] {
        tests.extend(group());
    }
    skep_testing::run_on("skep-vm", &hosts, &tests)
}
