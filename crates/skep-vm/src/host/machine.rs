//! What the machine says of itself: options, symbols, tracepoints; and reading of what it holds
//! open.

use std::{collections::BTreeMap, sync::Arc};

use skep_host::{Descriptor, Errno, Error, Result};

use super::iter::Iter;
use crate::{
    Vm, kfunc,
    machine::{Object, Trace},
    map::{Signal, Waitable},
};

/// The machine's options, as a kernel's `.config` spells them: it is a kernel with all that
/// programs need, for 64 bits, and nothing that only hardware has.
const OPTIONS: &[(&str, &str)] = &[
    ("CONFIG_64BIT", "y"),
    ("CONFIG_BPF", "y"),
    ("CONFIG_BPF_EVENTS", "y"),
    ("CONFIG_BPF_JIT", "y"),
    ("CONFIG_BPF_SYSCALL", "y"),
    ("CONFIG_CGROUPS", "y"),
    ("CONFIG_CGROUP_BPF", "y"),
    ("CONFIG_DEBUG_INFO_BTF", "y"),
    ("CONFIG_HZ", "1000"),
    ("CONFIG_HZ_1000", "y"),
    ("CONFIG_KALLSYMS", "y"),
    ("CONFIG_NET", "y"),
    ("CONFIG_NETFILTER", "y"),
    ("CONFIG_NETKIT", "y"),
    ("CONFIG_NET_CLS_ACT", "y"),
    ("CONFIG_NET_CLS_BPF", "y"),
    ("CONFIG_PERF_EVENTS", "y"),
    ("CONFIG_SYSCALLS", "y"),
    ("CONFIG_TRACEPOINTS", "y"),
    ("CONFIG_UPROBES", "y"),
    ("CONFIG_UPROBE_EVENTS", "y"),
];

pub(super) fn config(vm: &Vm, option: &str) -> Option<String> {
    if option == "CONFIG_NR_CPUS" {
        return Some(vm.0.cpus.count().to_string());
    }
    let found = OPTIONS.iter().find(|(known, _)| *known == option);
    found.map(|(_, value)| (*value).to_owned())
}

/// Where a function of the machine is said to be. It is no address of this process: it is the same
/// in every run, and nothing can be read there.
pub(crate) fn address_of(name: &str) -> u64 {
    const TEXT: u64 = 0xffff_ffff_8100_0000;
    // FNV-1a, folded to 16 MiB in steps of 16 bytes.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    TEXT + (((hash >> 40) ^ hash) & 0xf_ffff) * 16
}

pub(super) fn symbol_addresses(vm: &Vm, names: &[&str]) -> BTreeMap<String, Vec<u64>> {
    let known = |name: &&&str| kfunc::by_name(name).is_some() || vm.0.hooks.has_function(name);
    let found = names.iter().filter(known);
    found
        .map(|name| ((*name).to_owned(), vec![address_of(name)]))
        .collect()
}

/// The stream of `bpf_trace_printk`.
#[derive(Debug)]
pub(crate) struct TracePipe(Arc<Trace>);

impl Waitable for TracePipe {
    fn signal(&self) -> &Signal {
        self.0.signal()
    }

    fn readable(&self) -> bool {
        self.0.readable()
    }
}

pub(super) fn trace_pipe(vm: &Vm) -> Result<Descriptor> {
    let open =
        vm.0.registry
            .files
            .open(Object::Other(Arc::new(TracePipe(Arc::clone(&vm.0.trace)))));
    open.map_err(|errno| Error::system("open", "the trace pipe", errno))
}

/// Reads from an iterator or the trace pipe.
pub(super) fn read(vm: &Vm, descriptor: &Descriptor, buffer: &mut [u8]) -> Result<usize> {
    let mut read = || {
        let Object::Other(thing) = vm.0.registry.files.object(descriptor)? else {
            return Err(Errno::EINVAL);
        };
        if let Some(iter) = thing.downcast_ref::<Iter>() {
            return iter.read(vm, buffer);
        }
        if thing.downcast_ref::<TracePipe>().is_none() {
            return Err(Errno::EINVAL);
        }
        match vm.0.trace.read(buffer) {
            0 if !buffer.is_empty() => Err(Errno::EAGAIN),
            len => Ok(len),
        }
    };
    read().map_err(|errno| Error::system("read", format!("descriptor {}", descriptor.raw()), errno))
}
