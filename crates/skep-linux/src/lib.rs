//! The running Linux kernel as a host of BPF programs and maps
