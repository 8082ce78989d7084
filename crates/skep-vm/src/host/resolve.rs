//! What instructions refer to when a program is loaded: maps by descriptor or index, helpers by
//! number, kernel functions and variables by the machine's types.

use std::sync::Arc;

use skep_abi::{Helper, HelperAccess, HelperProperties, ProgramType};
use skep_btf::{Btf, Kind, KindTag, TypeId};
use skep_host::{Errno, ProgramLoad};
use skep_isa::{Imm64, InsnIndex};
use skep_verifier::{MapId, MapUse};

use crate::{
    LoadError, Vm,
    embed::Custom,
    engine::Known,
    helper, kfunc,
    machine::{BtfObject, MOST_MAPS, Object},
    map::{Array, CgroupStorage, Map},
    program::{Call, MAPS, Resolve},
};

/// What programs see as the address of a kernel function, but for its number: nothing is there.
const FUNCTIONS: u64 = 0x5ce9_5000_0000_0000;

/// Resolves one program; afterwards it has the maps that the program uses.
pub(super) struct Resolver<'a> {
    pub(super) vm: &'a Vm,
    pub(super) request: &'a ProgramLoad<'a>,
    pub(super) program_type: ProgramType,
    pub(super) gpl_compatible: bool,
    pub(super) sleepable: bool,
    pub(super) maps: Vec<Arc<Map>>,
    /// The place of each map that an instruction names, in their order.
    pub(super) references: Vec<usize>,
    /// Which instruction names which map.
    pub(super) uses: Vec<MapUse>,
    /// And those of the embedder's helpers that it calls.
    pub(super) customs: Vec<Arc<Custom>>,
    /// The values of maps whose addresses instructions hold. The program keeps the maps, and an
    /// array's values stay where they are.
    pub(super) known: Vec<Known>,
    /// What the kernel would answer for the fault that was found, where it is not `EINVAL`.
    pub(super) errno: Option<Errno>,
}

impl Resolver<'_> {
    fn refuse<T>(&mut self, at: InsnIndex, errno: Errno, what: String) -> Result<T, LoadError> {
        self.errno = Some(errno);
        Err(LoadError::Reference { at, what })
    }

    /// The place of a map among those of the program.
    pub(super) fn place(&mut self, map: Arc<Map>) -> Result<usize, Errno> {
        if let Some(known) = self.maps.iter().position(|known| Arc::ptr_eq(known, &map)) {
            return Ok(known);
        }
        let storage = map.of::<CgroupStorage>().is_some();
        let like = |known: &Arc<Map>| known.shape.map_type == map.shape.map_type;
        if storage && self.maps.iter().any(like) {
            return Err(Errno::EBUSY);
        }
        if self.maps.len() >= MOST_MAPS {
            return Err(Errno::E2BIG);
        }
        self.maps.push(map);
        Ok(self.maps.len() - 1)
    }

    fn map(
        &mut self,
        at: InsnIndex,
        fd: i32,
        value_offset: Option<u32>,
    ) -> Result<(usize, Arc<Map>), LoadError> {
        let map = match self.vm.0.registry.files.map(fd) {
            Ok(map) => map,
            Err(errno) => return self.refuse(at, errno, format!("descriptor {fd} is no map")),
        };
        match self.place(Arc::clone(&map)) {
            Ok(place) => {
                self.references.push(place);
                self.uses.push(MapUse {
                    insn: at,
                    map: MapId(place as u32),
                    value_offset,
                });
                Ok((place, map))
            }
            Err(Errno::EBUSY) => {
                let what = "a program has one storage of cgroups of each type".to_owned();
                self.refuse(at, Errno::EBUSY, what)
            }
            Err(errno) => self.refuse(at, errno, format!("more than {MOST_MAPS} maps")),
        }
    }

    fn listed(&mut self, at: InsnIndex, index: i32) -> Result<i32, LoadError> {
        let listed = usize::try_from(index).ok();
        match listed.and_then(|index| self.request.fd_array.get(index)) {
            Some(fd) => Ok(*fd),
            None => self.refuse(
                at,
                Errno::EPROTO,
                format!("there is no descriptor number {index} in the load's list"),
            ),
        }
    }

    fn map_value(&mut self, at: InsnIndex, fd: i32, offset: u32) -> Result<u64, LoadError> {
        let (_, map) = self.map(at, fd, Some(offset))?;
        match map.kind.direct_value(offset) {
            Ok(address) => {
                self.know(&map, address);
                Ok(address)
            }
            Err(errno) => {
                let what = format!("map `{}` has no value at offset {offset}", map.name);
                self.refuse(at, errno, what)
            }
        }
    }

    /// What accesses to a map's value need not look up again. Pages of arenas come and go; and what
    /// programs may only write they may not read, which no known memory says.
    fn know(&mut self, map: &Map, address: u64) {
        let range = match map.of::<Array>() {
            Some(_) if map.shape.readable_by_programs() => map.kind.region(address),
            _ => None,
        };
        let known = range.map(|range| Known {
            start: range.start,
            len: range.len,
            writable: range.writable,
        });
        let news = known.filter(|known| !self.known.contains(known));
        self.known.extend(news);
    }

    /// The types that a kernel function or variable is named in: the machine's own, or those of a
    /// descriptor.
    fn types(&mut self, at: InsnIndex, fd: i32) -> Result<Arc<BtfObject>, LoadError> {
        let found = match fd {
            0 => self.vm.own_btf().ok_or(Errno::ENOENT),
            fd => match self.vm.0.registry.files.by_number(fd) {
                Ok(Object::Btf(btf)) => Ok(btf),
                Ok(_) => Err(Errno::EINVAL),
                Err(errno) => Err(errno),
            },
        };
        found.or_else(|errno| self.refuse(at, errno, format!("descriptor {fd} is no BTF")))
    }

    fn name(&mut self, at: InsnIndex, btf: &Btf, id: u32) -> Result<String, LoadError> {
        match btf.type_by_id(TypeId(id)).map(|found| found.kind()) {
            Ok(Kind::Function(_) | Kind::Variable(_)) => {
                let name = btf
                    .type_by_id(TypeId(id))
                    .map(|found| found.name().to_owned());
                Ok(name.unwrap_or_default())
            }
            _ => self.refuse(
                at,
                Errno::EINVAL,
                format!("type {id} is neither a function nor a variable"),
            ),
        }
    }
}

impl Resolve for Resolver<'_> {
    fn helper(&mut self, at: InsnIndex, id: u32) -> Result<Call, LoadError> {
        if let Some(custom) = self.vm.0.helpers.find(id) {
            return Ok(custom.resolve(&mut self.customs));
        }
        let Some(known) = Helper::by_id(id) else {
            return self.refuse(at, Errno::EINVAL, format!("there is no helper number {id}"));
        };
        let name = known.name;
        if known.access_from(self.program_type) == HelperAccess::No {
            let what = format!("programs of type {} can't call {name}", self.program_type);
            return self.refuse(at, Errno::EINVAL, what);
        }
        if known.gpl_only() && !self.gpl_compatible {
            let what = format!("{name} is for programs with a GPL-compatible licence only");
            return self.refuse(at, Errno::EINVAL, what);
        }
        if known.properties.contains(HelperProperties::MAY_SLEEP) && !self.sleepable {
            let what = format!("{name} may sleep, and the program is not sleepable");
            return self.refuse(at, Errno::EINVAL, what);
        }
        match helper::by_id(id) {
            Some(shim) => Ok(Call {
                shim,
                custom: 0,
                name,
            }),
            None => Err(LoadError::Missing {
                at,
                what: name.to_owned(),
            }),
        }
    }

    fn kfunc(&mut self, at: InsnIndex, btf_id: u32, fd_index: i16) -> Result<Call, LoadError> {
        let fd = match fd_index {
            0 => 0,
            index => self.listed(at, i32::from(index))?,
        };
        let types = self.types(at, fd)?;
        let name = self.name(at, &types.btf, btf_id)?;
        match kfunc::by_name(&name) {
            Some((name, shim)) => Ok(Call {
                shim,
                custom: 0,
                name,
            }),
            None => Err(LoadError::Missing {
                at,
                what: format!("kernel function {name}"),
            }),
        }
    }

    fn exception_callback(&self) -> Option<InsnIndex> {
        exception_callback(self.vm, self.request)
    }

    fn value(&mut self, at: InsnIndex, value: Imm64) -> Result<u64, LoadError> {
        match value {
            Imm64::MapFd { fd } => Ok(MAPS + self.map(at, fd, None)?.0 as u64),
            Imm64::MapIndex { index } => {
                let fd = self.listed(at, index)?;
                Ok(MAPS + self.map(at, fd, None)?.0 as u64)
            }
            Imm64::MapValue { fd, offset } => self.map_value(at, fd, offset),
            Imm64::MapIndexValue { index, offset } => {
                let fd = self.listed(at, index)?;
                self.map_value(at, fd, offset)
            }
            Imm64::BtfId { id, btf_fd } => {
                let types = self.types(at, btf_fd)?;
                let name = self.name(at, &types.btf, id)?;
                // Programs ask whether a function is there (`bpf_ksym_exists`).
                if kfunc::by_name(&name).is_some() {
                    return Ok(FUNCTIONS + u64::from(id));
                }
                let found = types.btf.type_by_id(TypeId(id));
                let kind = match found.map(|found| found.kind()) {
                    Ok(Kind::Function(_)) => "kernel function",
                    _ => "variable",
                };
                Err(LoadError::Missing {
                    at,
                    what: format!("{kind} {name}"),
                })
            }
            other => self.refuse(at, Errno::EINVAL, format!("{other:?} has no meaning here")),
        }
    }
}

/// Where the function begins that the tag `exception_callback:NAME` on the program names.
fn exception_callback(vm: &Vm, request: &ProgramLoad<'_>) -> Option<InsnIndex> {
    let given = request.btf?;
    let btf = &super::map::btf_object(vm, given.btf).ok()?.btf;
    let size = usize::try_from(given.func_info_record_size).ok()?;
    let mut records = given
        .func_info
        .chunks_exact(size.max(8))
        .filter_map(|record| {
            let word = |at: usize| Some(u32::from_ne_bytes(*record.get(at..)?.first_chunk()?));
            Some((word(0)?, TypeId(word(4)?)))
        });
    let (_, main) = records.next().filter(|(at, _)| *at == 0)?;
    let mut tags = btf.decl_tags(main, None);
    let name = tags.find_map(|tag| tag.strip_prefix("exception_callback:"))?;
    let callback = btf.find(name, KindTag::Function)?;
    let (at, _) = records.find(|(_, id)| *id == callback)?;
    Some(InsnIndex(at))
}
