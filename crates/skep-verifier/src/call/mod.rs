//! Calls: helpers, kernel functions, subprograms and callbacks, and `exit`.

mod dynptr;
mod function;
mod helper;
mod iterator;
mod kfunc;
mod lock;
mod place;

pub(crate) use dynptr::DynptrArgument;
pub(crate) use function::{Callback, Functions, Leaving};
pub(crate) use helper::KernelPointer;
pub(crate) use kfunc::Descriptor;
pub(crate) use lock::LockKind;
pub(crate) use place::Place;
