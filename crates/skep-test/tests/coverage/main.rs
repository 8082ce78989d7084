//! Coverage of real objects: each case in `c/` is compiled by clang for BPF and run in the virtual
//! machine, run by run; what its report says is compared with goldens, and line for line with what
//! clang's own coverage says of the same source, compiled for this machine.

mod case;
mod golden;
mod lcov;
mod native;
mod sums;
