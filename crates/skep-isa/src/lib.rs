//! eBPF instructions: encode, decode, disassemble, assemble (RFC 9669 and what kernels added since)
