//! The bpf(2) boundary: one typed method per command, errors, descriptors
