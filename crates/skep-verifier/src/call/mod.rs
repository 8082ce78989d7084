//! Calls: helpers, kernel functions, subprograms and callbacks, and `exit`.

mod function;
mod helper;
mod kfunc;
