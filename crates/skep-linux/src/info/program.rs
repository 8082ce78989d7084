//! What the kernel tells of a program: one call for its numbers, a second for the parts that are
//! as long as the first one said.

use std::time::Duration;

use skep_host::{Errno, ProgramDetails, ProgramFd, ProgramInfo, ProgramParts, Records, Result};

use super::{ask, failed};
use crate::{
    LinuxHost,
    attr::{self, text},
    files::{self, Kind},
    sys::address_mut,
};

/// Maps whose ids the first call has room for; more take a second call.
const FEW_MAPS: usize = 64;

/// More of anything than a program has: a million instructions, and what hangs on them.
const MOST: u32 = 1 << 26;

pub(crate) fn info(host: &LinuxHost, program: &ProgramFd) -> Result<ProgramInfo> {
    let (info, maps) = numbers(program).map_err(|errno| fail(host, program, errno))?;
    Ok(told(&info, maps))
}

fn fail(host: &LinuxHost, program: &ProgramFd, errno: Errno) -> skep_host::Error {
    failed(host, "program", program.raw(), errno)
}

/// The numbers, and the ids of the maps.
fn numbers(program: &ProgramFd) -> Result<(attr::ProgInfo, Vec<u32>), Errno> {
    files::expect(program.descriptor(), |kind| kind == Kind::Program)?;
    let mut few = [0; FEW_MAPS];
    let info = with_maps(program, &mut few)?;
    let count = info.nr_map_ids as usize;
    if let Some(maps) = few.get(..count) {
        return Ok((info, maps.to_vec()));
    }
    // Binding a map to a program adds one: the number may have grown since it was told.
    let mut room = count;
    loop {
        let mut maps = vec![0; room.min(MOST as usize)];
        let info = with_maps(program, &mut maps)?;
        let count = info.nr_map_ids as usize;
        if count <= maps.len() || maps.len() == MOST as usize {
            maps.truncate(count);
            return Ok((info, maps));
        }
        room = count;
    }
}

fn with_maps(program: &ProgramFd, maps: &mut [u32]) -> Result<attr::ProgInfo, Errno> {
    let mut info = attr::ProgInfo {
        nr_map_ids: maps.len() as u32,
        map_ids: address_mut(maps),
        ..Default::default()
    };
    // SAFETY: the descriptor is a program's (`numbers` made sure); the only address is of `maps`,
    // with its length beside it.
    unsafe { ask(program.raw(), &mut info) }?;
    Ok(info)
}

fn told(info: &attr::ProgInfo, maps: Vec<u32>) -> ProgramInfo {
    ProgramInfo {
        id: info.id,
        name: text(&info.name),
        type_raw: info.kind,
        tag: info.tag,
        loaded_at: Duration::from_nanos(info.load_time),
        created_by_uid: info.created_by_uid,
        maps,
        gpl_compatible: info.gpl_compatible & 1 != 0,
        ifindex: info.ifindex,
        netns_device: info.netns_dev,
        netns_inode: info.netns_ino,
        translated_size: info.xlated_prog_len,
        jited_size: info.jited_prog_len,
        btf_id: info.btf_id,
        run_time: Duration::from_nanos(info.run_time_ns),
        run_count: info.run_cnt,
        recursion_misses: info.recursion_misses,
        verified_instructions: info.verified_insns,
        attach_btf_object: info.attach_btf_obj_id,
        attach_btf_id: info.attach_btf_id,
    }
}

pub(crate) fn details(
    host: &LinuxHost,
    program: &ProgramFd,
    parts: ProgramParts,
) -> Result<ProgramDetails> {
    read_parts(program, parts).map_err(|errno| fail(host, program, errno))
}

/// `count` zeroed elements if they are wanted.
fn room<T: Clone + Default>(wanted: bool, count: u32) -> Vec<T> {
    if wanted {
        vec![T::default(); count.min(MOST) as usize]
    } else {
        Vec::new()
    }
}

/// A part as it came back: the kernel takes its address away when it hides it.
fn part<T>(wanted: bool, mut items: Vec<T>, address: u64, count: u32) -> Option<Vec<T>> {
    items.truncate(count as usize);
    let hidden = !items.is_empty() && address == 0;
    (wanted && !hidden).then_some(items)
}

fn read_parts(program: &ProgramFd, parts: ProgramParts) -> Result<ProgramDetails, Errno> {
    let (sizes, maps) = numbers(program)?;
    // Kernels before 5.0 know no records; a size of theirs is bounded like the rest.
    let record = |size: u32| size.min(1 << 10);
    let (function, line) = (
        record(sizes.func_info_rec_size),
        record(sizes.line_info_rec_size),
    );
    let mut translated = room::<u8>(parts.translated, sizes.xlated_prog_len);
    let mut jited = room::<u8>(parts.jited, sizes.jited_prog_len);
    let mut symbols = room::<u64>(parts.symbols, sizes.nr_jited_ksyms);
    let mut lengths = room::<u32>(parts.symbols, sizes.nr_jited_func_lens);
    let mut functions = room::<u8>(parts.functions, sizes.nr_func_info.saturating_mul(function));
    let mut lines = room::<u8>(parts.lines, sizes.nr_line_info.saturating_mul(line));
    let mut jited_lines = room::<u64>(parts.jited_lines, sizes.nr_jited_line_info);
    let mut tags = room::<[u8; 8]>(parts.tags, sizes.nr_prog_tags);
    let mut info = attr::ProgInfo {
        xlated_prog_insns: address_mut(&mut translated),
        xlated_prog_len: translated.len() as u32,
        jited_prog_insns: address_mut(&mut jited),
        jited_prog_len: jited.len() as u32,
        jited_ksyms: address_mut(&mut symbols),
        nr_jited_ksyms: symbols.len() as u32,
        jited_func_lens: address_mut(&mut lengths),
        nr_jited_func_lens: lengths.len() as u32,
        func_info: address_mut(&mut functions),
        func_info_rec_size: function,
        nr_func_info: (functions.len() / function.max(1) as usize) as u32,
        line_info: address_mut(&mut lines),
        line_info_rec_size: line,
        nr_line_info: (lines.len() / line.max(1) as usize) as u32,
        jited_line_info: address_mut(&mut jited_lines),
        jited_line_info_rec_size: sizes.jited_line_info_rec_size,
        nr_jited_line_info: jited_lines.len() as u32,
        prog_tags: address_mut(&mut tags),
        nr_prog_tags: tags.len() as u32,
        ..Default::default()
    };
    // SAFETY: the descriptor is a program's (`numbers` made sure). Each address is null or of a
    // buffer above that lives through the call and is as long as the count beside it says, in
    // elements of the size that the kernel writes: 8 bytes for addresses and tags, 4 for lengths,
    // the record sizes passed here for records (the kernel refuses sizes that are not its own).
    unsafe { ask(program.raw(), &mut info) }?;
    let records = |wanted, bytes, address, count: u32, size: u32| {
        part(wanted, bytes, address, count.saturating_mul(size)).map(|bytes| Records {
            bytes,
            record_size: size as usize,
        })
    };
    Ok(ProgramDetails {
        translated: part(
            parts.translated,
            translated,
            info.xlated_prog_insns,
            info.xlated_prog_len,
        ),
        jited: part(
            parts.jited,
            jited,
            info.jited_prog_insns,
            info.jited_prog_len,
        ),
        symbols: part(
            parts.symbols,
            symbols,
            info.jited_ksyms,
            info.nr_jited_ksyms,
        ),
        symbol_lengths: part(
            parts.symbols,
            lengths,
            info.jited_func_lens,
            info.nr_jited_func_lens,
        ),
        functions: records(
            parts.functions,
            functions,
            info.func_info,
            info.nr_func_info,
            function,
        ),
        lines: records(parts.lines, lines, info.line_info, info.nr_line_info, line),
        jited_lines: part(
            parts.jited_lines,
            jited_lines,
            info.jited_line_info,
            info.nr_jited_line_info,
        ),
        tags: part(parts.tags, tags, info.prog_tags, info.nr_prog_tags),
        info: told(&info, maps),
    })
}
