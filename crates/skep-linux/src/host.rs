//! `LinuxHost`: what is kept of the running kernel, and the trait's methods, each in the file
//! of its group.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, OnceLock},
};

use skep_abi::{Command, KernelVersion, ObjectFlags, ProgramType};
use skep_host::{
    Access, AttachPoint, Attachment, BatchOutcome, BtfBytes, BtfFd, BtfInfo, BtfLoad, Cause,
    CgroupFd, Descriptor, Errno, Error, Feature, Host, HostInfo, HostKind, IterFd, LinkCreate,
    LinkFd, LinkInfo, LinkSource, LoadedProgram, MapBatch, MapCreate, MapFd, MapInfo, MapStatus,
    Memory, ObjectId, PerfOutput, PinPath, Pinned, Poller, Probe, ProgramAttach, ProgramDetails,
    ProgramFd, ProgramInfo, ProgramLoad, ProgramParts, ProgramQuery, ProgramStream, QueryAnswer,
    Result, StatsFd, TaskAttachment, TestRun, TestRunOutcome, TokenFd, TokenInfo,
};

use crate::{
    attach, btf,
    cause::{NO_MEMLOCK, Subject},
    config::KernelConfig,
    files::{Files, Kind},
    info, link, map, memory,
    mounts::{FileSystem, Tree},
    perf, pin, poll, probe, process, program,
    symbols::{self, Symbols},
    sys,
};

/// The running kernel.
///
/// Making one costs a `uname(2)`, and before Linux 5.11, which counts maps against it, raises
/// this process' limit of locked memory; everything else is looked up when it is first needed
/// and kept for as long as the value lives. It may hold a descriptor of a tracefs or securityfs
/// that is mounted nowhere (see [`tracepoints`](Host::tracepoints)).
#[derive(Debug)]
pub struct LinuxHost {
    info: HostInfo,
    files: Arc<Files>,
    tracefs: OnceLock<Option<Tree>>,
    securityfs: OnceLock<Option<Tree>>,
    config: OnceLock<Result<KernelConfig, Errno>>,
    symbols: OnceLock<Result<Symbols, Errno>>,
    possible_cpus: OnceLock<usize>,
    common_attributes: OnceLock<bool>,
    found: probe::Found,
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<LinuxHost>();
};

impl LinuxHost {
    /// The kernel that this process runs on.
    ///
    /// Before Linux 5.11 the kernel counts maps, programs and BTF against `RLIMIT_MEMLOCK`, whose
    /// default of 64 KiB holds next to nothing; there this lifts the process's limit as far as it
    /// may, with `CAP_SYS_RESOURCE` wholly. Newer kernels leave the limit alone.
    ///
    /// # Errors
    /// The kernel's release is not a version that Skep can read.
    pub fn new() -> Result<Self> {
        let release =
            sys::release().map_err(|errno| Error::system("ask", "the kernel's release", errno))?;
        let version: KernelVersion = release.parse().map_err(|_| Error::Request {
            object: format!("kernel release `{release}`"),
            reason: "it does not start with a version".into(),
        })?;
        if version < NO_MEMLOCK {
            sys::raise_memlock_limit();
        }
        Ok(Self {
            info: HostInfo {
                kind: HostKind::Kernel,
                version,
                release,
            },
            files: Arc::default(),
            tracefs: OnceLock::new(),
            securityfs: OnceLock::new(),
            config: OnceLock::new(),
            symbols: OnceLock::new(),
            possible_cpus: OnceLock::new(),
            common_attributes: OnceLock::new(),
            found: probe::Found::default(),
        })
    }

    /// The descriptor table.
    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// What probes have found out.
    pub(crate) fn found(&self) -> &probe::Found {
        &self.found
    }

    /// The running version.
    pub(crate) fn version(&self) -> KernelVersion {
        self.info.version
    }

    /// Tracefs, mounted or opened for this host alone; `None` when neither can be had.
    pub(crate) fn tracefs(&self) -> Option<&Tree> {
        self.tracefs
            .get_or_init(|| Tree::open(FileSystem::Tracefs))
            .as_ref()
    }

    /// Securityfs, mounted or opened for this host alone; `None` when neither can be had.
    pub(crate) fn securityfs(&self) -> Option<&Tree> {
        self.securityfs
            .get_or_init(|| Tree::open(FileSystem::Securityfs))
            .as_ref()
    }

    /// The build configuration.
    pub(crate) fn kernel_config(&self) -> Result<&KernelConfig, Errno> {
        self.config
            .get_or_init(|| KernelConfig::read(&self.info.release))
            .as_ref()
            .map_err(|errno| *errno)
    }

    /// The kernel's symbols, once they were read.
    pub(crate) fn symbols(&self) -> &OnceLock<Result<Symbols, Errno>> {
        &self.symbols
    }

    /// Whether commands take a log beside their own attribute (7.2): found out when a command
    /// first fails, and kept once the kernel has said yes or no.
    pub(crate) fn takes_common_attributes(&self) -> bool {
        if let Some(known) = self.common_attributes.get() {
            return *known;
        }
        match sys::knows_common_attributes() {
            Ok(known) => *self.common_attributes.get_or_init(|| known),
            // Something else stood in the way: no answer, so nothing to keep.
            Err(_) => false,
        }
    }

    /// How many CPUs there can be.
    pub(crate) fn possible(&self) -> Result<usize> {
        if let Some(count) = self.possible_cpus.get() {
            return Ok(*count);
        }
        let cpus = cpu_list("/sys/devices/system/cpu/possible")?;
        // As the kernel counts: a gap in the numbers takes no place in a per-CPU value.
        let count = cpus.len().max(1);
        Ok(*self.possible_cpus.get_or_init(|| count))
    }

    /// The likely cause of a failure.
    pub(crate) fn cause(
        &self,
        command: Command,
        errno: Errno,
        subject: Subject<'_>,
    ) -> Option<Cause> {
        crate::cause::of_command(self, command, errno, subject)
    }

    /// A failed command with its likely cause.
    pub(crate) fn failed(
        &self,
        command: Command,
        object: impl Into<String>,
        errno: Errno,
        subject: Subject<'_>,
    ) -> Error {
        Error::command(command, object, errno).because(self.cause(command, errno, subject))
    }
}

fn cpu_list(path: &str) -> Result<Vec<u32>> {
    let text = fs::read_to_string(path)
        .map_err(|error| Error::system("read", path, sys::errno_of(&error)))?;
    process::parse_cpu_list(&text).ok_or_else(|| Error::Request {
        object: path.into(),
        reason: "it is no list of CPUs".into(),
    })
}

impl Host for LinuxHost {
    fn info(&self) -> &HostInfo {
        &self.info
    }

    fn map_create(&self, request: &MapCreate<'_>) -> Result<MapFd> {
        map::create(self, request)
    }

    fn map_lookup_elem(
        &self,
        map: &MapFd,
        key: &[u8],
        value: &mut [u8],
        flags: u64,
    ) -> Result<bool> {
        map::lookup(self, Command::MapLookupElem, map, key, value, flags)
    }

    fn map_update_elem(&self, map: &MapFd, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
        map::update(self, map, key, value, flags)
    }

    fn map_delete_elem(&self, map: &MapFd, key: &[u8]) -> Result<bool> {
        map::delete(self, map, key)
    }

    fn map_get_next_key(&self, map: &MapFd, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool> {
        map::next_key(self, map, key, next)
    }

    fn map_lookup_and_delete_elem(
        &self,
        map: &MapFd,
        key: &[u8],
        value: &mut [u8],
        flags: u64,
    ) -> Result<bool> {
        map::lookup(
            self,
            Command::MapLookupAndDeleteElem,
            map,
            key,
            value,
            flags,
        )
    }

    fn map_freeze(&self, map: &MapFd) -> Result<()> {
        map::freeze(self, map)
    }

    fn map_lookup_batch(&self, map: &MapFd, batch: &mut MapBatch<'_>) -> Result<BatchOutcome> {
        map::lookup_batch(self, Command::MapLookupBatch, map, batch)
    }

    fn map_lookup_and_delete_batch(
        &self,
        map: &MapFd,
        batch: &mut MapBatch<'_>,
    ) -> Result<BatchOutcome> {
        map::lookup_batch(self, Command::MapLookupAndDeleteBatch, map, batch)
    }

    fn map_update_batch(
        &self,
        map: &MapFd,
        keys: &[u8],
        values: &[u8],
        count: u32,
        element_flags: u64,
    ) -> Result<u32> {
        map::write_batch(self, map, keys, Some(values), count, element_flags)
    }

    fn map_delete_batch(
        &self,
        map: &MapFd,
        keys: &[u8],
        count: u32,
        element_flags: u64,
    ) -> Result<u32> {
        map::write_batch(self, map, keys, None, count, element_flags)
    }

    fn prog_load(&self, request: &ProgramLoad<'_>) -> Result<LoadedProgram> {
        program::load(self, request)
    }

    fn prog_attach(&self, request: &ProgramAttach<'_>) -> Result<()> {
        program::attach(self, Command::ProgAttach, request)
    }

    fn prog_detach(&self, request: &ProgramAttach<'_>) -> Result<()> {
        program::attach(self, Command::ProgDetach, request)
    }

    fn prog_test_run(&self, program: &ProgramFd, run: &mut TestRun<'_>) -> Result<TestRunOutcome> {
        program::test_run(self, program, run)
    }

    fn prog_query(&self, query: &ProgramQuery<'_>) -> Result<QueryAnswer> {
        program::query(self, query)
    }

    fn prog_bind_map(&self, program: &ProgramFd, map: &MapFd) -> Result<()> {
        program::bind_map(self, program, map)
    }

    fn prog_stream_read(
        &self,
        program: &ProgramFd,
        stream: ProgramStream,
        buffer: &mut [u8],
    ) -> Result<usize> {
        program::stream_read(self, program, stream, buffer)
    }

    fn prog_assoc_struct_ops(&self, program: &ProgramFd, map: &MapFd) -> Result<()> {
        program::assoc_struct_ops(self, program, map)
    }

    fn link_create(&self, request: &LinkCreate<'_>) -> Result<LinkFd> {
        link::create(self, request)
    }

    fn link_update(
        &self,
        link: &LinkFd,
        new: LinkSource<'_>,
        expected: Option<LinkSource<'_>>,
    ) -> Result<()> {
        link::update(self, link, new, expected)
    }

    fn link_detach(&self, link: &LinkFd) -> Result<()> {
        link::detach(self, link)
    }

    fn iter_create(&self, link: &LinkFd) -> Result<IterFd> {
        link::iterate(self, link)
    }

    fn raw_tracepoint_open(
        &self,
        program: &ProgramFd,
        name: Option<&str>,
        cookie: u64,
    ) -> Result<LinkFd> {
        link::raw_tracepoint(self, program, name, cookie)
    }

    fn btf_load(&self, request: &BtfLoad<'_>) -> Result<BtfFd> {
        btf::load(self, request)
    }

    fn token_create(&self, bpffs: &Path) -> Result<TokenFd> {
        btf::token(self, bpffs)
    }

    fn enable_stats(&self) -> Result<StatsFd> {
        btf::enable_stats(self)
    }

    fn task_fd_query(&self, pid: u32, fd: i32) -> Result<TaskAttachment> {
        info::task_fd(self, pid, fd)
    }

    fn obj_pin(&self, descriptor: &Descriptor, path: PinPath<'_>) -> Result<()> {
        pin::pin(self, descriptor, path)
    }

    fn obj_get(&self, path: PinPath<'_>, flags: ObjectFlags) -> Result<Pinned> {
        pin::open(self, path, flags)
    }

    fn obj_unpin(&self, path: &Path) -> Result<()> {
        pin::unpin(path)
    }

    fn next_id(&self, id: ObjectId) -> Result<Option<ObjectId>> {
        info::next_id(self, id)
    }

    fn prog_by_id(&self, id: u32) -> Result<Option<ProgramFd>> {
        info::program_by_id(self, id)
    }

    fn map_by_id(&self, id: u32, flags: ObjectFlags) -> Result<Option<MapFd>> {
        info::map_by_id(self, id, flags)
    }

    fn btf_by_id(&self, id: u32, token: Option<&TokenFd>) -> Result<Option<BtfFd>> {
        info::btf_by_id(self, id, token)
    }

    fn link_by_id(&self, id: u32) -> Result<Option<LinkFd>> {
        info::link_by_id(self, id)
    }

    fn map_info(&self, map: &MapFd) -> Result<MapInfo> {
        info::map::info(self, map)
    }

    fn prog_info(&self, program: &ProgramFd) -> Result<ProgramInfo> {
        info::program::info(self, program)
    }

    fn prog_details(&self, program: &ProgramFd, parts: ProgramParts) -> Result<ProgramDetails> {
        info::program::details(self, program, parts)
    }

    fn map_hash(&self, map: &MapFd) -> Result<[u8; 32]> {
        info::map::hash(self, map)
    }

    fn map_status(&self, map: &MapFd) -> Result<MapStatus> {
        info::map::status(self, map)
    }

    fn token_info(&self, token: &TokenFd) -> Result<TokenInfo> {
        info::token(self, token)
    }

    fn btf_info(&self, btf: &BtfFd) -> Result<BtfInfo> {
        info::btf(self, btf)
    }

    fn link_info(&self, link: &LinkFd) -> Result<LinkInfo> {
        info::link::info(self, link)
    }

    fn attach(
        &self,
        name: &str,
        program: &ProgramFd,
        program_type: ProgramType,
        point: &AttachPoint<'_>,
    ) -> Result<Attachment> {
        attach::attach(self, name, program, program_type, point)
    }

    fn btf(&self, module: Option<&str>) -> Result<BtfBytes> {
        btf::kernel(self, module)
    }

    fn btf_modules(&self) -> Result<Vec<String>> {
        btf::modules()
    }

    fn config(&self, option: &str) -> Result<Option<String>> {
        let config = self.kernel_config().map_err(|errno| {
            Error::system("read", "the kernel's configuration", errno).because(Some(Cause::Other {
                what: "this kernel shows no /proc/config.gz, and /boot has no config file of it"
                    .into(),
                fix: "install the kernel's config file as /boot/config-$(uname -r)".into(),
            }))
        })?;
        Ok(config.spelling(option).map(str::to_owned))
    }

    fn symbol_addresses(&self, names: &[&str]) -> Result<BTreeMap<String, Vec<u64>>> {
        symbols::addresses(self, names)
    }

    fn tracepoints(&self) -> Result<Vec<String>> {
        let tree = self
            .tracefs()
            .ok_or_else(|| crate::mounts::missing_tracefs(self))?;
        attach::tracepoint::list(tree)
    }

    fn cgroup_open(&self, path: &Path) -> Result<CgroupFd> {
        let fail = |errno| Error::system("open", format!("cgroup `{}`", path.display()), errno);
        let name = pin::c_path(path)?;
        let fd = sys::open(&name, libc::O_RDONLY | libc::O_DIRECTORY).map_err(fail)?;
        Ok(CgroupFd::new(self.files.own(fd, Kind::Other)))
    }

    fn device_index(&self, name: &str) -> Result<u32> {
        attach::device_index(name)
    }

    fn possible_cpus(&self) -> Result<usize> {
        self.possible()
    }

    fn online_cpus(&self) -> Result<Vec<u32>> {
        cpu_list("/sys/devices/system/cpu/online")
    }

    fn page_size(&self) -> usize {
        sys::page_size()
    }

    fn map_memory(
        &self,
        map: &MapFd,
        offset: u64,
        len: usize,
        access: Access,
    ) -> Result<Box<dyn Memory>> {
        memory::of_map(self, map, offset, len, access)
    }

    fn perf_output(&self, cpu: u32, pages: usize, wakeup: u32) -> Result<PerfOutput> {
        perf::output(self, cpu, pages, wakeup)
    }

    fn poller(&self) -> Result<Box<dyn Poller>> {
        Ok(Box::new(poll::Epoll::new()?))
    }

    fn read(&self, descriptor: &Descriptor, buffer: &mut [u8]) -> Result<usize> {
        sys::read(descriptor.raw(), buffer).map_err(|errno| {
            Error::system("read", format!("descriptor {}", descriptor.raw()), errno)
        })
    }

    fn probe(&self, feature: &Feature) -> Probe {
        probe::probe(self, feature)
    }

    fn trace_pipe(&self) -> Result<Descriptor> {
        let tree = self
            .tracefs()
            .ok_or_else(|| crate::mounts::missing_tracefs(self))?;
        let path = tree.path("trace_pipe");
        let fd = sys::open(&pin::c_path(&path)?, libc::O_RDONLY | libc::O_NONBLOCK)
            .map_err(|errno| Error::system("open", "trace_pipe", errno))?;
        Ok(self.files.own(fd, Kind::Other))
    }
}
