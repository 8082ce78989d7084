//! A verdict before a program runs: what it refers to, as the verifier sees it.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use skep_abi::{MapCreateFlags, MapType, ProgLoadFlags};
use skep_btf::TypeId;
use skep_host::{AttachTarget, Errno, ProgramLoad};
use skep_isa::{InsnIndex, RawInsn};
use skep_object::Target;
use skep_verifier::{Function, MapUse, Options, Program, Verdict, verify};

use super::{map::btf_object, resolve::Resolver};
use crate::{
    Vm,
    machine::BtfObject,
    map::{InsnArray, Map, Shape},
};

/// The machine as a target.
fn target(own: Option<&Arc<BtfObject>>) -> Target {
    let mut target = Target::new(super::INFO.version);
    target.name = "vm";
    match own {
        Some(own) => target.with_kernel_btf(Arc::clone(&own.btf)),
        None => target,
    }
}

/// What the verifier says about a program that is being loaded.
///
/// # Errors
/// The request names descriptors that are none of what they must be.
pub(super) fn verdict(
    request: &ProgramLoad<'_>,
    slots: &[RawInsn],
    resolver: &Resolver<'_>,
    log: bool,
) -> Result<Verdict, Errno> {
    let vm = resolver.vm;
    let own = vm.own_btf();
    let target = target(own.as_ref());
    let mut options = Options::default();
    options.log = log;
    options.extensions.hooks = true;
    options.extensions.helpers = resolver
        .customs
        .iter()
        .map(|custom| custom.seen())
        .collect();
    let program = program(vm, request, slots, resolver)?;
    Ok(verify(&program, &target, &options))
}

fn program<'a>(
    vm: &Vm,
    request: &ProgramLoad<'a>,
    slots: &'a [RawInsn],
    resolver: &Resolver<'_>,
) -> Result<Program<'a>, Errno> {
    let btf = match request.btf {
        Some(given) => Some(Arc::clone(&btf_object(vm, given.btf)?.btf)),
        None => None,
    };
    let mut program = Program::new(request.program_type, request.name, slots);
    program.attach_type = request.expected_attach_type;
    program.flags = request.flags;
    // Without a device it says nothing.
    program
        .flags
        .set(ProgLoadFlags::XDP_DEV_BOUND_ONLY, request.ifindex != 0);
    program.license = Cow::Borrowed(request.license);
    program.maps = resolver.maps.iter().map(seen).collect();
    program.map_uses.clone_from(&resolver.uses);
    program.functions = functions(request, btf.as_deref());
    program.btf = btf;
    program.attach = attach(vm, request)?;
    program.attach_member = request.attach_member;
    program.jump_tables = tables(&resolver.maps, &resolver.uses);
    Ok(program)
}

/// The functions of the load's records.
fn functions(request: &ProgramLoad<'_>, btf: Option<&skep_btf::Btf>) -> Vec<Function> {
    let (Some(given), Some(btf)) = (request.btf, btf) else {
        return Vec::new();
    };
    let size = (given.func_info_record_size as usize).max(8);
    let records = given.func_info.chunks_exact(size);
    let function = |record: &[u8]| {
        let word = |at: usize| Some(u32::from_ne_bytes(*record.get(at..)?.first_chunk()?));
        let type_id = TypeId(word(4)?);
        let found = btf.type_by_id(type_id).ok()?;
        Some(Function {
            name: found.name().to_owned(),
            start: InsnIndex(word(0)?),
            type_id: Some(type_id),
        })
    };
    records.filter_map(function).collect()
}

fn attach(
    vm: &Vm,
    request: &ProgramLoad<'_>,
) -> Result<Option<skep_verifier::AttachTarget>, Errno> {
    let type_id = TypeId(request.attach_btf_id);
    Ok(match request.attach_target {
        Some(AttachTarget::Program(fd)) => {
            let attached = super::program::program(vm, fd)?;
            let btf = attached.meta.btf.as_ref().ok_or(Errno::EINVAL)?;
            Some(skep_verifier::AttachTarget::Program {
                btf: Arc::clone(&btf.btf),
                function: type_id,
                program_type: attached.program_type,
            })
        }
        Some(AttachTarget::Module(_)) | None if type_id != TypeId(0) => {
            Some(skep_verifier::AttachTarget::Kernel {
                type_id,
                module: None,
            })
        }
        _ => None,
    })
}

/// A map as the verifier sees it.
fn seen(map: &Arc<Map>) -> skep_verifier::Map {
    let types = map.types.as_ref();
    let mut seen = shape(&map.shape, &map.name);
    seen.btf = types.map(|types| Arc::clone(&types.btf.btf));
    seen.key_type = types
        .map(|types| TypeId(types.key))
        .filter(|id| *id != TypeId(0));
    seen.value_type = types
        .map(|types| TypeId(types.value))
        .filter(|id| *id != TypeId(0));
    if let (Some(btf), Some(value)) = (&seen.btf, seen.value_type) {
        seen.fields = Arc::new(skep_verifier::Fields::of(btf, value));
    }
    seen.frozen = map.frozen.load(SeqCst);
    let constant = seen.frozen && seen.flags.contains(MapCreateFlags::RDONLY_PROG);
    if constant && map.shape.map_type == MapType::Array && map.shape.max_entries == 1 {
        let mut value = vec![0; map.shape.value_size as usize];
        let found = map.kind.user_lookup(&[0; 4], &mut value, 0);
        seen.constant = found.ok().map(|()| Arc::from(value));
    }
    seen
}

fn shape(shape: &Shape, name: &str) -> skep_verifier::Map {
    let mut seen = skep_verifier::Map::new(
        name,
        shape.map_type,
        shape.key_size,
        shape.value_size,
        shape.max_entries,
    );
    seen.flags = shape.flags;
    seen.map_extra = shape.map_extra;
    seen.inner = shape
        .inner
        .as_ref()
        .map(|inner| Arc::new(self::shape(inner, "")));
    seen
}

/// The jump tables: which instructions refer to each, and where it goes.
fn tables(maps: &[Arc<Map>], uses: &[MapUse]) -> Vec<(Vec<InsnIndex>, Vec<InsnIndex>)> {
    let tables = maps.iter().enumerate().filter_map(|(place, map)| {
        let targets = InsnArray::insns(map)?;
        let refers = |used: &&MapUse| used.map.0 as usize == place;
        let references = uses.iter().filter(refers).map(|used| used.insn);
        Some((references.collect(), targets))
    });
    tables.collect()
}
