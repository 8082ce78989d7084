//! Real commands under the tracer.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod calls;
mod faults;
mod life;
mod programs;
mod sampling;
mod support;
