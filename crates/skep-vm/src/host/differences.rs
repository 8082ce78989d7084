//! Where the machine answers otherwise than a kernel on purpose: one table, which the suites of
//! both hosts and the documentation go by.

/// A difference between the machine and a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The command, flag, map type or hook: what records of the suites call it.
    pub subject: &'static str,
    /// What a kernel does.
    pub kernel: &'static str,
    /// What the machine does.
    pub vm: &'static str,
    /// Why.
    pub why: &'static str,
}

impl Difference {
    /// Whether it speaks of this key of a record: the subject itself, or more words after it.
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        key.strip_prefix(self.subject)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }
}

macro_rules! differences {
    ($($subject:literal: $kernel:literal => $vm:literal, $why:literal;)*) => {
        /// All differences there are on purpose.
        pub const DIFFERENCES: &[Difference] = &[$(Difference {
            subject: $subject,
            kernel: $kernel,
            vm: $vm,
            why: $why,
        }),*];
    };
}

differences! {
    "prog_load": "verifies, and refuses what may go wrong" =>
        "does so too, by skep's own verifier; with Config::checked it loads what is well formed, and stops it when it goes wrong",
        "an embedder may rather have a program stopped than refused";
    "ifindex": "offloads a map or program to a device" => "EINVAL",
        "devices of the machine have no processor of their own; XDP programs can be bound to one";
    "context too short": "EINVAL, before the program runs" => "EFAULT, when it reads behind the end",
        "which fields a program reads is what a verifier knows";
    "function tags": "are hashed with addresses of the kernel in them" =>
        "are hashes of the instructions as they were loaded",
        "the machine does not patch instructions";
    "short context": "of a test run is refused if the program reads more (EINVAL)" =>
        "is filled up with zeros",
        "no verifier says how much the program reads";
    "type ext": "replaces a function of another program" => "EINVAL",
        "calls inside a program are bound when it is loaded";
    "type lirc_mode2": "sees the pulses of infrared receivers" => "EINVAL",
        "the machine has none";
    "token": "delegates rights to who has none" => "EINVAL, as before Linux 6.9",
        "everybody who holds a machine has all rights";
    "pin directory": "may be open, and a pin's path relative to it" => "EBADF",
        "open directories of the process are not in the machine's tree of pins, where every directory is there";
    "pin parent": "must be a directory, in a bpffs" => "is there as soon as something is pinned below it",
        "nothing of the boundary makes directories";
    "arena at an address": "can be made with any, and mapped there while it is free" =>
        "ENOMEM while it is not free, as all below 4 GiB",
        "programs use the same addresses as users, all 4 GiB of a window";
    "cpumap entries": "are as many as the kernel was built for CPUs (NR_CPUS), else E2BIG" =>
        "can be any number",
        "only those of the machine's CPUs can be set";
    "sockets of maps": "are put into sockmaps, and name values of sk_storage, by descriptor" =>
        "by cookie, and cookies that no socket has are EBADF",
        "the machine's sockets are those of its network, and no descriptors of the process";
    "lru eviction": "takes one of the elements that were not used lately, of a list or a CPU's own, before the map is full" =>
        "takes one that no program looked up since the last round, when the map is full",
        "kernels give away order and room for scaling, which no program can rely on";
    "verified instructions": "of a program are those that the kernel's verifier followed" =>
        "are those that skep's verifier followed, and 0 where a program runs by checks alone",
        "how many depends on where states are kept to compare with";
    "cgroup": "is a directory below /sys/fs/cgroup" => "is made by Vm::make_cgroup",
        "the tree is in memory";
    "fentry": "traces every function of the kernel" => "ENOENT but for functions that the embedder defines",
        "nobody calls functions of the machine but programs; so with kprobe, fexit, fmod_ret and lsm";
    "fentry of a program": "traces another program's functions" => "EOPNOTSUPP",
        "calls inside a program are bound when it is loaded";
    "hardware counter": "samples by the processor's counters" => "ENOENT, as without one",
        "the machine's instructions are not the processor's";
    "perf event of a process": "samples one thread, and counts the time that it had a CPU" =>
        "samples all threads of a traced process, once for each period that one had a CPU",
        "a process is what is asked for; threads are seen as often as their time says";
    "perf event of a CPU": "samples whatever runs there, the kernel too" =>
        "samples traced tasks, in user space",
        "nothing else can be stopped without privileges";
    "signals to this process": "are sent by bpf_send_signal, as to any other" =>
        "EPERM, for signal 0 too, which asks whether one could be sent",
        "it runs the machine, and a program may not end it; processes that are traced get them";
    "user stack of this process": "is walked by bpf_get_stack and bpf_get_stackid" => "is empty",
        "what calls a program there is the machine itself; processes that are traced have one";
    "software counter": "counts page faults, context switches and the like" => "EOPNOTSUPP",
        "the kernel's counters are not to be had; cpu-clock and task-clock are timers";
    "raw uprobe": "breaks in every process that maps the file" => "breaks in processes that the embedder traces",
        "without privileges only those can be";
    "uretprobe": "takes a return's place on the stack, 64 of them at most, and of a function that was jumped out of at the same place" =>
        "breaks where functions return to, and leaves stacks alone",
        "exceptions and whoever walks over stacks pass through probed functions; a function that is met again at the same place of the stack returns once";
    "sent live frames": "of XDP test runs go out of devices and into the kernel" =>
        "are verdicts, counted and dropped",
        "no device of the machine sends by itself; Vm::feed and Vm::packets tell where each would go";
    "packet hash": "depends on a random key of the kernel" => "depends on the packet's flow alone",
        "runs of the machine can be repeated";
    "helpers of protocols": "set options, bind sockets, answer SYN cookies, push and pop messages, write routing headers" =>
        "are missing when a program is loaded",
        "sockets of the machine are looked up and chosen, and send nothing";
    "helpers of files and commands": "read paths, hashes of files, areas of a task's memory and branch records, or give commands" =>
        "are missing when a program is loaded",
        "the machine has no files and no processor; commands are the embedder's to give";
    "helpers of other hooks": "read and set sysctls, repeat infrared keys, wrap packets of lightweight tunnels, redirect messages of sockets" =>
        "are missing when a program is loaded",
        "nothing calls programs of these types but test runs";
    "inode storage": "keeps values of open files" => "can be made, and answers EBADF for every file",
        "the machine has no inodes, and no hook shows one to a program";
    "btf pointer": "to a type of the kernel (`__kptr`) is refused with all types where the kernel has no function to give such an object back" =>
        "is loaded with them",
        "whether a program can use it is seen where it does";
    "kernel variable": "is read by a program that declares it (`__ksym` with a type)" =>
        "is refused by name when the program is loaded",
        "the machine's types and functions are a kernel's, it has no image with variables";
    "struct_ops type": "is one of the kernel's own, or of a module's" => "is what Vm::define_struct_ops defined",
        "the embedder is who calls it";
    "struct_ops licence": "must be compatible with the GPL" => "may be any",
        "the programs extend the embedder's program, not Linux";
    "struct_ops registered again": "is what the subsystem says, EEXIST for a name" =>
        "is possible, or EBUSY where there can only be one",
        "the machine does not know what members mean";
    "cgroup programs": "run for the sockets and devices of tasks in the cgroup" =>
        "run in test runs, with storages of cgroups of their own; those of cgroup_skb also on packets that are fed",
        "tasks of the machine open nothing";
    "iterators over other things": "walk over open files, areas of memory, cgroups, symbols, slab caches, DMA buffers, sockets, routes and socket storages" =>
        "are not among the machine's types: it has those over maps, their elements, programs, links and tasks",
        "the machine has none of these things, or keeps no list of them";
    "loops over other things": "go over areas of a task's memory, slab caches and DMA buffers, by open-coded iterators" =>
        "are missing when a program is loaded",
        "the machine has none of these things, or keeps no list of them";
    "kernel functions of subsystems": "work on sockets, connections, tunnels, keys, ciphers, files, schedulers, queues and input devices" =>
        "are missing when a program is loaded",
        "the machine has none of these things";
    "kernel functions since Linux 7.0": "take elements out of the middle of lists, cancel timers without waiting, print stacks into streams" =>
        "are missing when a program is loaded, but for those on strings and those with new names",
        "what a verifier asks of them is not known here yet";
    "other raw tracepoints": "such as sched_switch are there for whatever the kernel does" =>
        "ENOENT, but for sys_enter, sys_exit, sched_process_exec, _exit and _fork, and what Vm::define_tracepoint adds",
        "nothing else of a kernel happens in the machine; an embedder fires tracepoints of its own";
    "arena mapped again": "EBUSY without map_extra, but at the first one's address" =>
        "is another view of the same memory",
        "the arena's own address is the machine's choice, whoever maps it";
    "perf record over 64 KiB": "is written with a length that is cut to 16 bits" => "E2BIG",
        "readers could not find the next record";
}
