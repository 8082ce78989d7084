//! Probes on binaries of real commands, in the machine and, to compare, on the kernel.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod detach;
mod hits;
mod support;
mod tracees;
