//! BPF ELF objects as pure data, and their relocation for a target into an image
