//! The `bpf(2)` boundary of the machine: the trait's methods, each in the file of its group.

mod batch;
mod differences;
mod map;
mod memory;
mod poller;
mod program;
mod resolve;
mod test_run;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, LazyLock},
};

use skep_abi::{Command, KernelVersion, ObjectFlags, ProgramType};
use skep_host::{
    Access, AttachPoint, Attachment, BatchOutcome, BtfBytes, BtfFd, BtfInfo, BtfLoad, CgroupFd,
    Descriptor, Errno, Error, Feature, Host, HostInfo, HostKind, IterFd, LinkCreate, LinkFd,
    LinkInfo, LinkSource, LoadedProgram, MapBatch, MapCreate, MapFd, MapInfo, MapStatus, Memory,
    ObjectId, PerfOutput, PinPath, Pinned, Poller, Probe, ProgramAttach, ProgramDetails, ProgramFd,
    ProgramInfo, ProgramLoad, ProgramParts, ProgramQuery, ProgramStream, QueryAnswer, Result,
    StatsFd, TaskAttachment, TestRun, TestRunOutcome, TokenFd, TokenInfo,
};

use crate::{Mode, Vm, machine::BtfObject};

pub use differences::{DIFFERENCES, Difference};
pub(crate) use test_run::Failure;

/// Who every machine is.
static INFO: LazyLock<HostInfo> = LazyLock::new(|| HostInfo {
    kind: HostKind::Vm,
    version: KernelVersion::new(7, 3),
    release: concat!("skep-", env!("CARGO_PKG_VERSION")).to_owned(),
});

/// A command that the machine does not have.
fn absent<T>(command: Command, object: &str) -> Result<T> {
    Err(Error::command(command, object, Errno::ENOSYS))
}

impl Vm {
    /// Loads a program in verified mode, in which nothing that it does is checked. The safe way,
    /// [`Host::prog_load`], loads in checked mode.
    ///
    /// # Errors
    /// As [`Host::prog_load`].
    ///
    /// # Safety
    /// A verifier accepted the program for this machine: whatever its context, it accesses only
    /// what it may, and it ends.
    pub unsafe fn load_verified(&self, request: &ProgramLoad<'_>) -> Result<LoadedProgram> {
        program::load(self, request, Mode::Verified)
    }

    /// The machine's own types.
    pub(crate) fn own_btf(&self) -> Option<Arc<BtfObject>> {
        None
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
        program::load(self, request, Mode::Checked)
    }

    fn prog_attach(&self, _request: &ProgramAttach<'_>) -> Result<()> {
        absent(Command::ProgAttach, "program")
    }

    fn prog_detach(&self, _request: &ProgramAttach<'_>) -> Result<()> {
        absent(Command::ProgDetach, "program")
    }

    fn prog_test_run(&self, program: &ProgramFd, run: &mut TestRun<'_>) -> Result<TestRunOutcome> {
        test_run::test_run(self, program, run)
    }

    fn prog_query(&self, _query: &ProgramQuery<'_>) -> Result<QueryAnswer> {
        absent(Command::ProgQuery, "hook")
    }

    fn prog_bind_map(&self, _program: &ProgramFd, _map: &MapFd) -> Result<()> {
        absent(Command::ProgBindMap, "program")
    }

    fn prog_stream_read(
        &self,
        _program: &ProgramFd,
        _stream: ProgramStream,
        _buffer: &mut [u8],
    ) -> Result<usize> {
        absent(Command::ProgStreamReadByFd, "program")
    }

    fn prog_assoc_struct_ops(&self, _program: &ProgramFd, _map: &MapFd) -> Result<()> {
        absent(Command::ProgAssocStructOps, "program")
    }

    fn link_create(&self, _request: &LinkCreate<'_>) -> Result<LinkFd> {
        absent(Command::LinkCreate, "link")
    }

    fn link_update(
        &self,
        _link: &LinkFd,
        _new: LinkSource<'_>,
        _expected: Option<LinkSource<'_>>,
    ) -> Result<()> {
        absent(Command::LinkUpdate, "link")
    }

    fn link_detach(&self, _link: &LinkFd) -> Result<()> {
        absent(Command::LinkDetach, "link")
    }

    fn iter_create(&self, _link: &LinkFd) -> Result<IterFd> {
        absent(Command::IterCreate, "link")
    }

    fn raw_tracepoint_open(
        &self,
        _program: &ProgramFd,
        name: Option<&str>,
        _cookie: u64,
    ) -> Result<LinkFd> {
        absent(Command::RawTracepointOpen, name.unwrap_or_default())
    }

    fn btf_load(&self, request: &BtfLoad<'_>) -> Result<BtfFd> {
        absent(Command::BtfLoad, request.object)
    }

    fn token_create(&self, _bpffs: &Path) -> Result<TokenFd> {
        absent(Command::TokenCreate, "token")
    }

    fn enable_stats(&self) -> Result<StatsFd> {
        let open = self.0.registry.count();
        open.map_err(|errno| Error::command(Command::EnableStats, "run times", errno))
    }

    fn task_fd_query(&self, _pid: u32, _fd: i32) -> Result<TaskAttachment> {
        absent(Command::TaskFdQuery, "task")
    }

    fn obj_pin(&self, _descriptor: &Descriptor, _path: PinPath<'_>) -> Result<()> {
        absent(Command::ObjPin, "pin")
    }

    fn obj_get(&self, _path: PinPath<'_>, _flags: ObjectFlags) -> Result<Pinned> {
        absent(Command::ObjGet, "pin")
    }

    fn obj_unpin(&self, path: &Path) -> Result<()> {
        Err(Error::system(
            "unpin",
            path.display().to_string(),
            Errno::ENOSYS,
        ))
    }

    fn next_id(&self, id: ObjectId) -> Result<Option<ObjectId>> {
        let registry = &self.0.registry;
        Ok(match id {
            ObjectId::Program(id) => registry.programs.after(id).map(ObjectId::Program),
            ObjectId::Map(id) => registry.maps.after(id).map(ObjectId::Map),
            ObjectId::Btf(id) => registry.btf.after(id).map(ObjectId::Btf),
            ObjectId::Link(_) => None,
        })
    }

    fn prog_by_id(&self, _id: u32) -> Result<Option<ProgramFd>> {
        absent(Command::ProgGetFdById, "program")
    }

    fn map_by_id(&self, _id: u32, _flags: ObjectFlags) -> Result<Option<MapFd>> {
        absent(Command::MapGetFdById, "map")
    }

    fn btf_by_id(&self, _id: u32, _token: Option<&TokenFd>) -> Result<Option<BtfFd>> {
        absent(Command::BtfGetFdById, "btf")
    }

    fn link_by_id(&self, _id: u32) -> Result<Option<LinkFd>> {
        absent(Command::LinkGetFdById, "link")
    }

    fn map_info(&self, _map: &MapFd) -> Result<MapInfo> {
        absent(Command::ObjGetInfoByFd, "map")
    }

    fn prog_info(&self, _program: &ProgramFd) -> Result<ProgramInfo> {
        absent(Command::ObjGetInfoByFd, "program")
    }

    fn prog_details(&self, _program: &ProgramFd, _parts: ProgramParts) -> Result<ProgramDetails> {
        absent(Command::ObjGetInfoByFd, "program")
    }

    fn map_hash(&self, _map: &MapFd) -> Result<[u8; 32]> {
        absent(Command::ObjGetInfoByFd, "map")
    }

    fn map_status(&self, _map: &MapFd) -> Result<MapStatus> {
        absent(Command::ObjGetInfoByFd, "map")
    }

    fn token_info(&self, _token: &TokenFd) -> Result<TokenInfo> {
        absent(Command::ObjGetInfoByFd, "token")
    }

    fn btf_info(&self, _btf: &BtfFd) -> Result<BtfInfo> {
        absent(Command::ObjGetInfoByFd, "btf")
    }

    fn link_info(&self, _link: &LinkFd) -> Result<LinkInfo> {
        absent(Command::ObjGetInfoByFd, "link")
    }

    fn attach(
        &self,
        name: &str,
        _program: &ProgramFd,
        _program_type: ProgramType,
        point: &AttachPoint<'_>,
    ) -> Result<Attachment> {
        Err(Error::Attach {
            program: name.to_owned(),
            point: point.to_string(),
            errno: Errno::ENOSYS,
            cause: None,
        })
    }

    fn btf(&self, module: Option<&str>) -> Result<BtfBytes> {
        let what = module.unwrap_or("vmlinux");
        Err(Error::system(
            "read",
            format!("BTF of {what}"),
            Errno::ENOENT,
        ))
    }

    fn btf_modules(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn config(&self, _option: &str) -> Result<Option<String>> {
        Ok(None)
    }

    fn symbol_addresses(&self, _names: &[&str]) -> Result<BTreeMap<String, Vec<u64>>> {
        Ok(BTreeMap::new())
    }

    fn tracepoints(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn cgroup_open(&self, path: &Path) -> Result<CgroupFd> {
        Err(Error::system(
            "open",
            path.display().to_string(),
            Errno::ENOENT,
        ))
    }

    fn device_index(&self, name: &str) -> Result<u32> {
        Err(Error::system(
            "find",
            format!("device `{name}`"),
            Errno::ENODEV,
        ))
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

    fn poller(&self) -> Result<Box<dyn Poller>> {
        Ok(Box::new(poller::VmPoller::new(&self.0.registry.files)?))
    }

    fn read(&self, _descriptor: &Descriptor, _buffer: &mut [u8]) -> Result<usize> {
        Err(Error::system("read", "descriptor", Errno::ENOSYS))
    }

    fn probe(&self, _feature: &Feature) -> Probe {
        Probe::unknown("the vm can't be probed yet")
    }

    fn trace_pipe(&self) -> Result<Descriptor> {
        Err(Error::system("open", "trace pipe", Errno::ENOSYS))
    }
}

#[cfg(test)]
mod tests;
