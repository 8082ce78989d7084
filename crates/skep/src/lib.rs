//! Open, load, attach and read eBPF programs, maps and events
