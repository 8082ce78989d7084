//! The kernel's BPF vocabulary as data: commands, types, helpers, contexts, and which kernel has what
