//! Runs eBPF programs in user space. So far only the machine's BTF is here.
