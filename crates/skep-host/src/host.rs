//! The `Host` trait: all 39 commands, attaching, reading.

use std::{collections::BTreeMap, fmt, path::Path};

use skep_abi::{KernelVersion, ObjectFlags, ProgramType};

use crate::{
    Access, AttachPoint, Attachment, BatchOutcome, BtfFd, BtfInfo, BtfLoad, CgroupFd, Descriptor,
    DeviceXdp, Feature, Filter, FilterParent, IterFd, LinkCreate, LinkFd, LinkInfo, LinkSource,
    MapBatch, MapCreate, MapFd, MapInfo, MapStatus, Memory, ObjectId, PerfOutput, PinPath, Pinned,
    Poller, Probe, ProgramAttach, ProgramDetails, ProgramFd, ProgramInfo, ProgramLoad,
    ProgramParts, ProgramQuery, ProgramStream, QueryAnswer, Result, StatsFd, TaskAttachment,
    TestRun, TestRunOutcome, TokenFd, TokenInfo,
};

/// BTF in bytes, mapped or owned.
pub type BtfBytes = Box<dyn AsRef<[u8]> + Send + Sync>;

/// Which kind of host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostKind {
    /// The running Linux kernel.
    Kernel,
    /// The embedded virtual machine.
    Vm,
}

/// Who a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInfo {
    /// Its kind.
    pub kind: HostKind,
    /// The kernel version that it is, or stands for.
    pub version: KernelVersion,
    /// Its full release, such as `6.12.107-cloud-amd64`.
    pub release: String,
}

impl fmt::Display for HostInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            HostKind::Kernel => write!(f, "kernel {}", self.release),
            HostKind::Vm => write!(f, "vm {}", self.release),
        }
    }
}

/// What runs BPF images: the boundary that both hosts implement.
///
/// One method a command of `bpf(2)`, named after it. Methods take `&self` and may be called
/// from many threads at once. Every error names the command and the object (a map's or
/// program's name where the host knows it) and carries a likely cause where one can be found.
pub trait Host: Send + Sync + fmt::Debug {
    /// Who this is.
    fn info(&self) -> &HostInfo;

    // ── maps ────────────────────────────────────────────────────────────────────────────────

    /// Creates a map.
    #[doc(alias = "BPF_MAP_CREATE")]
    fn map_create(&self, request: &MapCreate<'_>) -> Result<MapFd>;

    /// Copies a value out; `Ok(false)` when the key is not there. Per-CPU maps give one value a
    /// possible CPU, each rounded up to 8 bytes.
    #[doc(alias = "BPF_MAP_LOOKUP_ELEM")]
    fn map_lookup_elem(
        &self,
        map: &MapFd,
        key: &[u8],
        value: &mut [u8],
        flags: u64,
    ) -> Result<bool>;

    /// Sets a value; `key` is empty for queues, stacks and bloom filters.
    #[doc(alias = "BPF_MAP_UPDATE_ELEM")]
    fn map_update_elem(&self, map: &MapFd, key: &[u8], value: &[u8], flags: u64) -> Result<()>;

    /// Deletes an entry; `Ok(false)` when it was not there.
    #[doc(alias = "BPF_MAP_DELETE_ELEM")]
    fn map_delete_elem(&self, map: &MapFd, key: &[u8]) -> Result<bool>;

    /// The key after `key` (the first for `None`); `Ok(false)` at the end.
    #[doc(alias = "BPF_MAP_GET_NEXT_KEY")]
    fn map_get_next_key(&self, map: &MapFd, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool>;

    /// Takes an entry out; `Ok(false)` when it was not there. `key` is empty for queues and
    /// stacks. Since 4.20; hash maps since 5.14.
    #[doc(alias = "BPF_MAP_LOOKUP_AND_DELETE_ELEM")]
    fn map_lookup_and_delete_elem(
        &self,
        map: &MapFd,
        key: &[u8],
        value: &mut [u8],
        flags: u64,
    ) -> Result<bool>;

    /// Forbids writes from user space for good. Since 5.2.
    #[doc(alias = "BPF_MAP_FREEZE")]
    fn map_freeze(&self, map: &MapFd) -> Result<()>;

    /// Copies many entries out. Since 5.6.
    #[doc(alias = "BPF_MAP_LOOKUP_BATCH")]
    fn map_lookup_batch(&self, map: &MapFd, batch: &mut MapBatch<'_>) -> Result<BatchOutcome>;

    /// Takes many entries out. Since 5.6.
    #[doc(alias = "BPF_MAP_LOOKUP_AND_DELETE_BATCH")]
    fn map_lookup_and_delete_batch(
        &self,
        map: &MapFd,
        batch: &mut MapBatch<'_>,
    ) -> Result<BatchOutcome>;

    /// Sets many entries; answers how many were set: fewer than `count` if one was refused, and
    /// then asking again from there on says why. Since 5.6.
    #[doc(alias = "BPF_MAP_UPDATE_BATCH")]
    fn map_update_batch(
        &self,
        map: &MapFd,
        keys: &[u8],
        values: &[u8],
        count: u32,
        element_flags: u64,
    ) -> Result<u32>;

    /// Deletes many entries; answers how many were deleted: fewer than `count` if one was refused,
    /// and then asking again from there on says why (`ENOENT`: it is not there). Since 5.6.
    #[doc(alias = "BPF_MAP_DELETE_BATCH")]
    fn map_delete_batch(
        &self,
        map: &MapFd,
        keys: &[u8],
        count: u32,
        element_flags: u64,
    ) -> Result<u32>;

    // ── programs ────────────────────────────────────────────────────────────────────────────

    /// Verifies and loads a program.
    #[doc(alias = "BPF_PROG_LOAD")]
    fn prog_load(&self, request: &ProgramLoad<'_>) -> Result<LoadedProgram>;

    /// Attaches without a link: stays until detached, even when this process ends.
    #[doc(alias = "BPF_PROG_ATTACH")]
    fn prog_attach(&self, request: &ProgramAttach<'_>) -> Result<()>;

    /// Detaches what was attached without a link.
    #[doc(alias = "BPF_PROG_DETACH")]
    fn prog_detach(&self, request: &ProgramAttach<'_>) -> Result<()>;

    /// Runs a program on given input.
    #[doc(alias = "BPF_PROG_TEST_RUN")]
    #[doc(alias = "BPF_PROG_RUN")]
    fn prog_test_run(&self, program: &ProgramFd, run: &mut TestRun<'_>) -> Result<TestRunOutcome>;

    /// What is attached to a hook.
    #[doc(alias = "BPF_PROG_QUERY")]
    fn prog_query(&self, query: &ProgramQuery<'_>) -> Result<QueryAnswer>;

    /// Ties a map's life to a program's. Since 5.10.
    #[doc(alias = "BPF_PROG_BIND_MAP")]
    fn prog_bind_map(&self, program: &ProgramFd, map: &MapFd) -> Result<()>;

    /// Reads what a program wrote to its stream; answers the bytes read, 0 when there is nothing
    /// now. Since 6.17.
    #[doc(alias = "BPF_PROG_STREAM_READ_BY_FD")]
    fn prog_stream_read(
        &self,
        program: &ProgramFd,
        stream: ProgramStream,
        buffer: &mut [u8],
    ) -> Result<usize>;

    /// Associates a program with a struct_ops map. Since 7.0.
    #[doc(alias = "BPF_PROG_ASSOC_STRUCT_OPS")]
    fn prog_assoc_struct_ops(&self, program: &ProgramFd, map: &MapFd) -> Result<()>;

    // ── links ───────────────────────────────────────────────────────────────────────────────

    /// Creates a link. [`attach`](Host::attach) is the comfortable way.
    #[doc(alias = "BPF_LINK_CREATE")]
    fn link_create(&self, request: &LinkCreate<'_>) -> Result<LinkFd>;

    /// Swaps what a link holds, if it still is `expected`. Since 5.7; struct_ops since 6.4.
    #[doc(alias = "BPF_LINK_UPDATE")]
    fn link_update(
        &self,
        link: &LinkFd,
        new: LinkSource<'_>,
        expected: Option<LinkSource<'_>>,
    ) -> Result<()>;

    /// Detaches a link while descriptors of it stay open. Since 5.9.
    #[doc(alias = "BPF_LINK_DETACH")]
    fn link_detach(&self, link: &LinkFd) -> Result<()>;

    /// Opens an iterator over an iterator link. Since 5.8.
    #[doc(alias = "BPF_ITER_CREATE")]
    fn iter_create(&self, link: &LinkFd) -> Result<IterFd>;

    /// Opens a raw tracepoint; closing the link detaches.
    #[doc(alias = "BPF_RAW_TRACEPOINT_OPEN")]
    fn raw_tracepoint_open(
        &self,
        program: &ProgramFd,
        name: Option<&str>,
        cookie: u64,
    ) -> Result<LinkFd>;

    // ── BTF, tokens, statistics ─────────────────────────────────────────────────────────────

    /// Loads BTF.
    #[doc(alias = "BPF_BTF_LOAD")]
    fn btf_load(&self, request: &BtfLoad<'_>) -> Result<BtfFd>;

    /// Makes a token from the root of a bpffs that delegates; the caller must be in the user
    /// namespace that the bpffs belongs to. Since 6.9.
    #[doc(alias = "BPF_TOKEN_CREATE")]
    fn token_create(&self, bpffs: &Path) -> Result<TokenFd>;

    /// Counts run times while the descriptor is open; the only kind of statistics there is.
    /// Since 5.8.
    #[doc(alias = "BPF_ENABLE_STATS")]
    fn enable_stats(&self) -> Result<StatsFd>;

    /// What a perf event of a task carries.
    #[doc(alias = "BPF_TASK_FD_QUERY")]
    fn task_fd_query(&self, pid: u32, fd: i32) -> Result<TaskAttachment>;

    // ── pins, ids, info ─────────────────────────────────────────────────────────────────────

    /// Keeps a thing in the host's tree under `path`.
    #[doc(alias = "BPF_OBJ_PIN")]
    fn obj_pin(&self, descriptor: &Descriptor, path: PinPath<'_>) -> Result<()>;

    /// Opens what is pinned at `path`; of `flags`, maps take `RDONLY` and `WRONLY`.
    #[doc(alias = "BPF_OBJ_GET")]
    fn obj_get(&self, path: PinPath<'_>, flags: ObjectFlags) -> Result<Pinned>;

    /// Removes a pin.
    fn obj_unpin(&self, path: &Path) -> Result<()>;

    /// The id after `id` in its list; start with 0. `None` at the end.
    #[doc(alias = "BPF_PROG_GET_NEXT_ID")]
    #[doc(alias = "BPF_MAP_GET_NEXT_ID")]
    #[doc(alias = "BPF_BTF_GET_NEXT_ID")]
    #[doc(alias = "BPF_LINK_GET_NEXT_ID")]
    fn next_id(&self, id: ObjectId) -> Result<Option<ObjectId>>;

    /// Opens a program by id; `None` when it is gone.
    #[doc(alias = "BPF_PROG_GET_FD_BY_ID")]
    fn prog_by_id(&self, id: u32) -> Result<Option<ProgramFd>>;

    /// Opens a map by id, with `RDONLY` or `WRONLY` for one way only (since 4.15); `None` when
    /// it is gone.
    #[doc(alias = "BPF_MAP_GET_FD_BY_ID")]
    fn map_by_id(&self, id: u32, flags: ObjectFlags) -> Result<Option<MapFd>>;

    /// Opens BTF by id; `None` when it is gone. With a token since 6.16.
    #[doc(alias = "BPF_BTF_GET_FD_BY_ID")]
    fn btf_by_id(&self, id: u32, token: Option<&TokenFd>) -> Result<Option<BtfFd>>;

    /// Opens a link by id; `None` when it is gone.
    #[doc(alias = "BPF_LINK_GET_FD_BY_ID")]
    fn link_by_id(&self, id: u32) -> Result<Option<LinkFd>>;

    /// What the host knows of a map.
    #[doc(alias = "BPF_OBJ_GET_INFO_BY_FD")]
    fn map_info(&self, map: &MapFd) -> Result<MapInfo>;

    /// What the host knows of a program.
    #[doc(alias = "BPF_OBJ_GET_INFO_BY_FD")]
    fn prog_info(&self, program: &ProgramFd) -> Result<ProgramInfo>;

    /// What the host knows of a program, with the parts that are asked for: code and debug
    /// records. [`prog_info`](Host::prog_info) is cheaper.
    #[doc(alias = "BPF_OBJ_GET_INFO_BY_FD")]
    fn prog_details(&self, program: &ProgramFd, parts: ProgramParts) -> Result<ProgramDetails>;

    /// The SHA-256 of a frozen array's contents, as signed loaders check it. Since 6.18.
    #[doc(alias = "BPF_OBJ_GET_INFO_BY_FD")]
    fn map_hash(&self, map: &MapFd) -> Result<[u8; 32]>;

    /// What the host tells of a map beside its info: whether it is frozen, its memory.
    fn map_status(&self, map: &MapFd) -> Result<MapStatus>;

    /// What a token delegates. Since 6.17.
    #[doc(alias = "BPF_OBJ_GET_INFO_BY_FD")]
    fn token_info(&self, token: &TokenFd) -> Result<TokenInfo>;

    /// What the host knows of BTF, and its bytes.
    #[doc(alias = "BPF_OBJ_GET_INFO_BY_FD")]
    fn btf_info(&self, btf: &BtfFd) -> Result<BtfInfo>;

    /// What the host knows of a link.
    #[doc(alias = "BPF_OBJ_GET_INFO_BY_FD")]
    fn link_info(&self, link: &LinkFd) -> Result<LinkInfo>;

    // ── outside bpf(2) ──────────────────────────────────────────────────────────────────────

    /// Attaches a program to a hook, by a link where the host has one. `name` is the program's,
    /// for errors.
    fn attach(
        &self,
        name: &str,
        program: &ProgramFd,
        program_type: ProgramType,
        point: &AttachPoint<'_>,
    ) -> Result<Attachment>;

    /// The host's own BTF: the kernel's (`None`) or a module's.
    fn btf(&self, module: Option<&str>) -> Result<BtfBytes>;

    /// The modules that have BTF.
    fn btf_modules(&self) -> Result<Vec<String>>;

    /// The host's build option, such as `CONFIG_HZ`, as `.config` spells it (`y`, `1000`,
    /// `"text"`): `Ok(None)` when it is not set.
    ///
    /// # Errors
    /// The host's configuration can't be read: nothing is known about any option.
    fn config(&self, option: &str) -> Result<Option<String>>;

    /// The addresses of functions and variables of the host, by name; what it does not have is
    /// left out, and static ones of one name have several. The table is read at most once.
    ///
    /// # Errors
    /// The host has no such table, or does not show addresses to this process.
    #[doc(alias = "kallsyms")]
    fn symbol_addresses(&self, names: &[&str]) -> Result<BTreeMap<String, Vec<u64>>>;

    /// The host's tracepoints as `category/name`, sorted.
    fn tracepoints(&self) -> Result<Vec<String>>;

    /// Opens a cgroup directory.
    fn cgroup_open(&self, path: &Path) -> Result<CgroupFd>;

    /// The index of a network device.
    fn device_index(&self, name: &str) -> Result<u32>;

    /// The XDP programs of a device of this thread's network namespace, however they were attached:
    /// what [`prog_query`](Self::prog_query) tells of other hooks.
    ///
    /// # Errors
    /// There is no such device (`ENODEV`).
    #[doc(alias = "IFLA_XDP")]
    fn device_xdp(&self, ifindex: u32) -> Result<DeviceXdp>;

    /// The filters of traffic control that a parent has, in the order that they run, whoever made
    /// them; none where there is no such device, discipline or block. Tcx programs are not among
    /// them.
    #[doc(alias = "bpf_tc_query")]
    fn filters(&self, parent: FilterParent) -> Result<Vec<Filter>>;

    /// Takes a filter off that [`filters`](Self::filters) told of, if it still has the same
    /// program; `Ok(false)` if it is gone, or another's by now. Its discipline stays.
    ///
    /// # Errors
    /// The host refused (`CAP_NET_ADMIN`).
    #[doc(alias = "bpf_tc_detach")]
    fn filter_remove(&self, filter: &Filter) -> Result<bool>;

    /// How many CPUs there can ever be: the number of values in a per-CPU entry.
    fn possible_cpus(&self) -> Result<usize>;

    /// The CPUs that are running now.
    fn online_cpus(&self) -> Result<Vec<u32>>;

    /// Bytes of a page of mapped memory.
    fn page_size(&self) -> usize;

    /// Maps memory of a map: an mmapable array, a ring buffer's pages, an arena.
    fn map_memory(
        &self,
        map: &MapFd,
        offset: u64,
        len: usize,
        access: Access,
    ) -> Result<Box<dyn Memory>>;

    /// Opens one CPU's output event for a perf event array, with a ring of `pages` pages (a
    /// power of two), waking its reader every `wakeup` records.
    fn perf_output(&self, cpu: u32, pages: usize, wakeup: u32) -> Result<PerfOutput>;

    /// Whether programs can still send to an output event. One whose CPU went offline has ended for
    /// good, and does not begin again when the CPU comes back.
    fn perf_output_runs(&self, output: &PerfOutput) -> Result<bool>;

    /// Records that an output event had no room for since it was opened, those too that no record in
    /// its ring tells of yet. `None` where the host does not say (Linux before 6.0, and of an event
    /// that it has ended).
    #[doc(alias = "PERF_FORMAT_LOST")]
    fn perf_output_lost(&self, output: &PerfOutput) -> Result<Option<u64>>;

    /// A new poller.
    fn poller(&self) -> Result<Box<dyn Poller>>;

    /// Reads from an iterator or the trace pipe; `Ok(0)` at the end, `EAGAIN` when there is
    /// nothing yet.
    fn read(&self, descriptor: &Descriptor, buffer: &mut [u8]) -> Result<usize>;

    /// Whether the host has something, found by trying it harmlessly. Known answers that other
    /// probes rest on are kept for as long as the host lives; unknown ones never are.
    fn probe(&self, feature: &Feature) -> Probe;

    /// Opens the stream of `bpf_trace_printk` lines, non-blocking. Each line is read once, by
    /// whoever reads first.
    fn trace_pipe(&self) -> Result<Descriptor>;
}

/// A loaded program, and the log if one was asked for.
#[derive(Debug)]
pub struct LoadedProgram {
    /// Owns the program.
    pub fd: ProgramFd,
    /// The verifier's log; empty unless asked for.
    pub log: String,
}
