//! The trait's methods, each in the file of its group.

use std::{collections::BTreeMap, path::Path};

use skep_abi::{Command, KernelVersion, ObjectFlags, ProgramType};
use skep_host::{
    Access, AttachPoint, Attachment, BatchOutcome, BtfBytes, BtfFd, BtfInfo, BtfLoad, Cause,
    CgroupFd, Descriptor, DeviceXdp, Error, Feature, Filter, FilterParent, Host, HostInfo, IterFd,
    LinkCreate, LinkFd, LinkInfo, LinkSource, LoadedProgram, MapBatch, MapCreate, MapFd, MapInfo,
    MapStatus, Memory, ObjectId, PerfOutput, PinPath, Pinned, Poller, Probe, ProgramAttach,
    ProgramDetails, ProgramFd, ProgramInfo, ProgramLoad, ProgramParts, ProgramQuery, ProgramStream,
    QueryAnswer, Result, StatsFd, TaskAttachment, TestRun, TestRunOutcome, TokenFd, TokenInfo,
};

use super::{LinuxHost, cpu_list};
use crate::{
    attach, btf, files::Kind, info, link, map, memory, perf, pin, poll, program, symbols, sys,
};

/// The first kernel that opens BTF by a token.
const TOKEN_BY_ID: KernelVersion = KernelVersion::new(6, 16);

impl Host for LinuxHost {
    fn info(&self) -> &HostInfo {
        &self.info
    }

    fn map_create(&self, request: &MapCreate<'_>) -> Result<MapFd> {
        map::create(self, &self.delegate_map(request))
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
        program::load(self, &self.delegate_program(request))
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
        btf::load(self, &self.delegate_btf(request))
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
        // Kernels before call a token here invalid.
        let own = || self.token().filter(|_| self.version() >= TOKEN_BY_ID);
        info::btf_by_id(self, id, token.or_else(own))
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

    fn device_xdp(&self, ifindex: u32) -> Result<DeviceXdp> {
        attach::device_xdp(ifindex)
    }

    fn filters(&self, parent: FilterParent) -> Result<Vec<Filter>> {
        attach::filters(parent)
    }

    fn filter_remove(&self, filter: &Filter) -> Result<bool> {
        attach::filter_remove(filter)
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

    fn perf_output_runs(&self, output: &PerfOutput) -> Result<bool> {
        perf::output_runs(&output.event)
    }

    fn perf_output_lost(&self, output: &PerfOutput) -> Result<Option<u64>> {
        perf::output_lost(&output.event)
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
        #[cfg(feature = "probes")]
        return crate::probe::probe(self, feature);
        #[cfg(not(feature = "probes"))]
        Probe::unknown(format!(
            "this program is built without Skep's probes (`skep-linux`'s feature), so {feature:?} is \
             not tried"
        ))
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
