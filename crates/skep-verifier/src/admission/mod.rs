//! Whether the kernel lets such a program in at all, before it looks at its paths: type, attach
//! type, flags, licence, the loader's capabilities, and what the program attaches to.

mod target;

pub(crate) use target::Attached;
