//! The `bpf(2)` boundary of the machine: the trait's methods, each in the file of its group.

mod attach;
mod batch;
mod btf;
mod differences;
mod info;
mod iter;
mod link;
mod machine;
mod map;
mod memory;
mod misc;
mod pin;
mod poller;
mod probe;
mod program;
mod resolve;
mod test_run;
mod tree;
mod verify;

use std::{collections::BTreeMap, path::Path, sync::LazyLock};

use skep_abi::{Command, KernelVersion, ObjectFlags, ProgramType};
use skep_host::{
    Access, AttachPoint, Attachment, BatchOutcome, BtfBytes, BtfFd, BtfInfo, BtfLoad, Cause,
    CgroupFd, Descriptor, DeviceXdp, Errno, Error, Feature, Filter, FilterParent, Host, HostInfo,
    HostKind, IterFd, LinkCreate, LinkFd, LinkInfo, LinkSource, LoadedProgram, MapBatch, MapCreate,
    MapFd, MapInfo, MapStatus, Memory, ObjectId, PerfOutput, PinPath, Pinned, Poller, Probe,
    ProgramAttach, ProgramDetails, ProgramFd, ProgramInfo, ProgramLoad, ProgramParts, ProgramQuery,
    ProgramStream, QueryAnswer, Result, StatsFd, TaskAttachment, TestRun, TestRunOutcome, TokenFd,
    TokenInfo,
};

use program::Promise;

use crate::Vm;

pub use differences::{DIFFERENCES, Difference};
pub(crate) use machine::address_of;
pub(crate) use program::program as program_of;
pub(crate) use test_run::{Answer, Around, Failure, dispatch, takes_packets};

/// Who every machine is.
static INFO: LazyLock<HostInfo> = LazyLock::new(|| HostInfo {
    kind: HostKind::Vm,
    version: KernelVersion::new(7, 3),
    release: concat!("skep-", env!("CARGO_PKG_VERSION")).to_owned(),
});

/// There are no tokens: whoever holds a machine has all rights to it.
fn no_token(command: Command, object: String) -> Error {
    Error::command(command, object, Errno::EINVAL).because(Some(Cause::Other {
        what: "the vm has no tokens".into(),
        fix: "do without: whoever holds a vm has all rights".into(),
    }))
}

impl Vm {
    /// Loads a program in verified mode, in which nothing that it does is checked, without asking the
    /// verifier. The safe way, [`Host::prog_load`], does as [`Config::safety`] says.
    ///
    /// [`Config::safety`]: crate::Config::safety
    ///
    /// # Errors
    /// As [`Host::prog_load`].
    ///
    /// # Safety
    /// A verifier accepted the program for this machine: whatever its context, it accesses only
    /// what it may, and it ends.
    pub unsafe fn load_verified(&self, request: &ProgramLoad<'_>) -> Result<LoadedProgram> {
        program::load(self, request, Promise::Caller)
    }
}

impl Host for Vm {
    fn info(&self) -> &HostInfo {
        &INFO
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
        map::lookup(self, map, key, value, flags)
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
        map::take(self, map, key, value, flags)
    }

    fn map_freeze(&self, map: &MapFd) -> Result<()> {
        map::freeze(self, map)
    }

    fn map_lookup_batch(&self, map: &MapFd, batch: &mut MapBatch<'_>) -> Result<BatchOutcome> {
        batch::lookup(self, Command::MapLookupBatch, map, batch)
    }

    fn map_lookup_and_delete_batch(
        &self,
        map: &MapFd,
        batch: &mut MapBatch<'_>,
    ) -> Result<BatchOutcome> {
        batch::lookup(self, Command::MapLookupAndDeleteBatch, map, batch)
    }

    fn map_update_batch(
        &self,
        map: &MapFd,
        keys: &[u8],
        values: &[u8],
        count: u32,
        element_flags: u64,
    ) -> Result<u32> {
        batch::write(self, map, keys, Some(values), count, element_flags)
    }

    fn map_delete_batch(
        &self,
        map: &MapFd,
        keys: &[u8],
        count: u32,
        element_flags: u64,
    ) -> Result<u32> {
        batch::write(self, map, keys, None, count, element_flags)
    }

    fn prog_load(&self, request: &ProgramLoad<'_>) -> Result<LoadedProgram> {
        program::load(self, request, Promise::Machine(self.0.safety))
    }

    fn prog_attach(&self, request: &ProgramAttach<'_>) -> Result<()> {
        tree::attach(self, request)
    }

    fn prog_detach(&self, request: &ProgramAttach<'_>) -> Result<()> {
        tree::detach(self, request)
    }

    fn prog_test_run(&self, program: &ProgramFd, run: &mut TestRun<'_>) -> Result<TestRunOutcome> {
        test_run::test_run(self, program, run)
    }

    fn prog_query(&self, query: &ProgramQuery<'_>) -> Result<QueryAnswer> {
        tree::query(self, query)
    }

    fn prog_bind_map(&self, program: &ProgramFd, map: &MapFd) -> Result<()> {
        misc::bind_map(self, program, map)
    }

    fn prog_stream_read(
        &self,
        program: &ProgramFd,
        stream: ProgramStream,
        buffer: &mut [u8],
    ) -> Result<usize> {
        misc::stream_read(self, program, stream, buffer)
    }

    fn prog_assoc_struct_ops(&self, program: &ProgramFd, map: &MapFd) -> Result<()> {
        misc::assoc_struct_ops(self, program, map)
    }

    fn link_create(&self, request: &LinkCreate<'_>) -> Result<LinkFd> {
        let link = link::create(self, request)?;
        self.0.hooks.settle();
        Ok(link)
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
        link::detach(self, link)?;
        self.0.hooks.settle();
        Ok(())
    }

    fn iter_create(&self, link: &LinkFd) -> Result<IterFd> {
        iter::create(self, link)
    }

    fn raw_tracepoint_open(
        &self,
        program: &ProgramFd,
        name: Option<&str>,
        cookie: u64,
    ) -> Result<LinkFd> {
        let link = link::raw_tracepoint_open(self, program, name, cookie)?;
        self.0.hooks.settle();
        Ok(link)
    }

    fn btf_load(&self, request: &BtfLoad<'_>) -> Result<BtfFd> {
        btf::load(self, request)
    }

    fn token_create(&self, bpffs: &Path) -> Result<TokenFd> {
        let object = bpffs.display().to_string();
        Err(no_token(Command::TokenCreate, object))
    }

    fn enable_stats(&self) -> Result<StatsFd> {
        let open = self.0.registry.count();
        open.map_err(|errno| Error::command(Command::EnableStats, "run times", errno))
    }

    fn task_fd_query(&self, pid: u32, fd: i32) -> Result<TaskAttachment> {
        misc::task_fd_query(self, pid, fd)
    }

    fn obj_pin(&self, descriptor: &Descriptor, path: PinPath<'_>) -> Result<()> {
        pin::pin(self, descriptor, path)
    }

    fn obj_get(&self, path: PinPath<'_>, flags: ObjectFlags) -> Result<Pinned> {
        pin::get(self, path, flags)
    }

    fn obj_unpin(&self, path: &Path) -> Result<()> {
        pin::unpin(self, path)?;
        self.0.hooks.settle();
        Ok(())
    }

    fn next_id(&self, id: ObjectId) -> Result<Option<ObjectId>> {
        info::next_id(self, id)
    }

    fn prog_by_id(&self, id: u32) -> Result<Option<ProgramFd>> {
        info::prog_by_id(self, id)
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
        info::map_info(self, map)
    }

    fn prog_info(&self, program: &ProgramFd) -> Result<ProgramInfo> {
        info::prog_info(self, program)
    }

    fn prog_details(&self, program: &ProgramFd, parts: ProgramParts) -> Result<ProgramDetails> {
        info::prog_details(self, program, parts)
    }

    fn map_hash(&self, map: &MapFd) -> Result<[u8; 32]> {
        info::map_hash(self, map)
    }

    fn map_status(&self, map: &MapFd) -> Result<MapStatus> {
        info::map_status(self, map)
    }

    fn token_info(&self, token: &TokenFd) -> Result<TokenInfo> {
        let object = format!("token descriptor {}", token.raw());
        Err(no_token(Command::ObjGetInfoByFd, object))
    }

    fn btf_info(&self, btf: &BtfFd) -> Result<BtfInfo> {
        btf::info(self, btf)
    }

    fn link_info(&self, link: &LinkFd) -> Result<LinkInfo> {
        link::info(self, link)
    }

    fn attach(
        &self,
        name: &str,
        program: &ProgramFd,
        _program_type: ProgramType,
        point: &AttachPoint<'_>,
    ) -> Result<Attachment> {
        let attached = attach::attach(self, name, program, point)?;
        self.0.hooks.settle();
        Ok(attached)
    }

    fn btf(&self, module: Option<&str>) -> Result<BtfBytes> {
        btf::bytes(self, module)
    }

    fn btf_modules(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn config(&self, option: &str) -> Result<Option<String>> {
        Ok(machine::config(self, option))
    }

    fn symbol_addresses(&self, names: &[&str]) -> Result<BTreeMap<String, Vec<u64>>> {
        Ok(machine::symbol_addresses(self, names))
    }

    fn tracepoints(&self) -> Result<Vec<String>> {
        Ok(self.0.hooks.tracepoints())
    }

    fn cgroup_open(&self, path: &Path) -> Result<CgroupFd> {
        tree::cgroup_open(self, path)
    }

    fn device_index(&self, name: &str) -> Result<u32> {
        tree::device_index(self, name)
    }

    fn device_xdp(&self, ifindex: u32) -> Result<DeviceXdp> {
        tree::device_xdp(self, ifindex)
    }

    fn filters(&self, _: FilterParent) -> Result<Vec<Filter>> {
        // Traffic control is tcx here, and has no other form.
        Ok(Vec::new())
    }

    fn filter_remove(&self, _: &Filter) -> Result<bool> {
        Ok(false)
    }

    fn possible_cpus(&self) -> Result<usize> {
        Ok(self.0.cpus.count() as usize)
    }

    fn online_cpus(&self) -> Result<Vec<u32>> {
        Ok((0..self.0.cpus.count()).collect())
    }

    fn page_size(&self) -> usize {
        crate::memory::PAGE
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
        memory::perf_output(self, cpu, pages, wakeup)
    }

    fn perf_output_runs(&self, _output: &PerfOutput) -> Result<bool> {
        // The machine's CPUs are always there.
        Ok(true)
    }

    fn perf_output_lost(&self, output: &PerfOutput) -> Result<Option<u64>> {
        memory::perf_output_lost(self, output)
    }

    fn poller(&self) -> Result<Box<dyn Poller>> {
        Ok(Box::new(poller::VmPoller::new(&self.0.registry.files)?))
    }

    fn read(&self, descriptor: &Descriptor, buffer: &mut [u8]) -> Result<usize> {
        machine::read(self, descriptor, buffer)
    }

    fn probe(&self, feature: &Feature) -> Probe {
        probe::probe(self, feature)
    }

    fn trace_pipe(&self) -> Result<Descriptor> {
        machine::trace_pipe(self)
    }
}

// Mapped memory, which Miri does not have.
#[cfg(all(test, not(miri)))]
mod tests;
