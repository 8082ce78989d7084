//! The dispatcher's instructions: for each program a function that tail-calls it, and what of its
//! answer the next one waits for.

use std::fmt::Write as _;

use skep_abi::{AttachType, ProgLoadFlags, ProgramType};
use skep_btf::{Builder, FunctionLinkage, IntEncoding, TypeId};
use skep_host::{
    BtfLoad, Error, Host, LogLevel, MapFd, ProgramBtf, ProgramFd, ProgramLoad, Result,
};
use skep_isa::{Endian, assemble, encode_slots};

use super::{NAME, state::State};

/// `XDP_PASS`: what becomes of packets that no program saw.
const PASS: u32 = 2;
/// `bpf_tail_call`.
const TAIL_CALL: u32 = 12;
/// What a function answers whose program is not there; no program's answer.
const NOBODY: u32 = 31;

/// The assembly, and the line of instructions that each function starts at.
fn text(state: &State, slots: i32) -> String {
    let mut text = format!("r6 = r1\n r0 = {PASS}\n");
    let last = state.entries.len().saturating_sub(1);
    for (number, entry) in state.entries.iter().enumerate() {
        // `write!` to a string can't fail.
        let _ = write!(text, "r7 = r0\n r1 = r6\n call slot{number}\n");
        // Nobody was there: the answer is still that of the one before.
        let _ = write!(text, "if w0 != {NOBODY} goto answer{number}\n r0 = r7\n");
        let _ = write!(text, "goto next{number}\n answer{number}:\n");
        if number < last {
            // An answer that is no `XDP_*` is for the kernel to see.
            let _ = write!(text, "if w0 > {NOBODY} goto out\n r1 = 1\n w1 <<= w0\n");
            let _ = write!(text, "w1 &= {:#x}\n if w1 == 0 goto out\n", entry.chain);
        }
        let _ = writeln!(text, "next{number}:");
    }
    text.push_str("out:\n exit\n");
    for (number, entry) in state.entries.iter().enumerate() {
        let slot = entry.slot;
        let _ = write!(
            text,
            "slot{number}:\n r2 = map[fd:{slots}]\n r3 = {slot}\n call {TAIL_CALL}\n \
             r0 = {NOBODY}\n exit\n"
        );
    }
    text
}

/// Where each function starts: the program itself, and behind every other exit.
fn starts(state: &State, count: usize) -> Vec<u32> {
    // A function is six slots long: one instruction takes two.
    const LENGTH: usize = 6;
    let functions = state.entries.len();
    let first = count.saturating_sub(functions * LENGTH);
    let behind = (0..functions).map(|function| first + function * LENGTH);
    std::iter::once(0)
        .chain(behind)
        .map(|start| u32::try_from(start).unwrap_or(u32::MAX))
        .collect()
}

/// Types that say the least that the kernel asks for: tail calls only in functions that answer an
/// `int`. They are global, so that the verifier takes any answer for possible: it goes only by what
/// follows a tail call that fails, and would take that for the answer of a function of the file.
fn types(functions: usize) -> Result<(Vec<u8>, Vec<TypeId>)> {
    let mut builder = Builder::new();
    builder.set_endianness(Endian::NATIVE);
    let int = builder.int("int", 4, IntEncoding::SIGNED);
    // By its name the kernel knows the context.
    let context = builder.structure("xdp_md", 24, &[]);
    let pointer = builder.pointer(context);
    let prototype = builder.prototype(int, &[("ctx", pointer)]);
    let mut ids = vec![builder.function(NAME, prototype, FunctionLinkage::Static)];
    for slot in 0..functions {
        let name = format!("slot{slot}");
        ids.push(builder.function(&name, prototype, FunctionLinkage::Global));
    }
    Ok((builder.build().map_err(internal)?, ids))
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Request {
        object: format!("program `{NAME}`"),
        reason: error.to_string(),
    }
}

/// Loads a dispatcher that calls what is in `slots`.
pub(super) fn load(host: &dyn Host, state: &State, slots: &MapFd) -> Result<ProgramFd> {
    let slots = assemble(&text(state, slots.raw())).map_err(internal)?;
    let (types, functions) = types(state.entries.len())?;
    let btf = host.btf_load(&BtfLoad {
        object: NAME,
        bytes: &types,
        log_level: LogLevel::OnFailure,
        token: None,
    })?;
    let starts = starts(state, slots.len());
    let records: Vec<u8> = starts
        .iter()
        .zip(&functions)
        .flat_map(|(start, function)| [*start, function.0])
        .flat_map(u32::to_ne_bytes)
        .collect();
    let instructions = encode_slots(&slots, Endian::NATIVE);
    let mut load = ProgramLoad::new(ProgramType::Xdp, NAME, &instructions);
    load.expected_attach_type = Some(AttachType::Xdp);
    load.btf = Some(ProgramBtf {
        func_info: &records,
        func_info_record_size: 8,
        ..ProgramBtf::new(&btf)
    });
    if state.frags() {
        load.flags |= ProgLoadFlags::XDP_HAS_FRAGS;
    }
    Ok(host.prog_load(&load)?.fd)
}

#[cfg(test)]
mod tests {
    use super::{super::state::Entry, *};

    #[test]
    fn functions_start_behind_exits() {
        for count in 0..=super::super::MOST {
            let mut state = State::default();
            for slot in 0..count {
                state.insert(Entry {
                    slot: slot as u32,
                    priority: 50,
                    chain: u32::MAX,
                    frags: false,
                });
            }
            let slots = assemble(&text(&state, 3)).unwrap();
            let starts = starts(&state, slots.len());
            assert_eq!(starts.len(), count + 1);
            for &start in &starts[1..] {
                let exit = slots[start as usize - 1].opcode;
                assert_eq!(exit, 0x95, "an exit before {start}");
            }
        }
    }
}
