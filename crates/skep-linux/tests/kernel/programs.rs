//! Small programs in assembly, and waiting for what they count.

use skep_abi::{AttachType, MapType, ProgramType};
use skep_host::{Host, MapCreate, MapFd, ProgramFd, ProgramLoad};
use skep_isa::{Endian, assemble, encode_slots};

use skep_testing::Stop;

use crate::harness::{host, name};

/// Assembles a program for this machine.
pub(crate) fn code(text: &str) -> Result<Vec<u8>, Stop> {
    Ok(encode_slots(&assemble(text)?, Endian::NATIVE))
}

/// Loads a program of this process's name.
pub(crate) fn load(
    program_type: ProgramType,
    attach_type: Option<AttachType>,
    text: &str,
) -> Result<ProgramFd, Stop> {
    load_with(program_type, text, |request| {
        request.expected_attach_type = attach_type
    })
}

/// Loads a program after `change` has set more of the request.
pub(crate) fn load_with(
    program_type: ProgramType,
    text: &str,
    change: impl FnOnce(&mut ProgramLoad<'_>),
) -> Result<ProgramFd, Stop> {
    let (code, name) = (code(text)?, name("prog"));
    let mut request = ProgramLoad::new(program_type, &name, &code);
    change(&mut request);
    match host().prog_load(&request) {
        Ok(loaded) => Ok(loaded.fd),
        Err(error) => Err(Stop::Fail(format!(
            "{error}; cause: {:?}\n{}",
            error.cause(),
            error.log().unwrap_or("")
        ))),
    }
}

/// An array of one 64-bit number.
pub(crate) fn counter() -> Result<MapFd, Stop> {
    map(MapType::Array, 4, 8, 1)
}

/// A map of this process's name.
pub(crate) fn map(map_type: MapType, key: u32, value: u32, entries: u32) -> Result<MapFd, Stop> {
    Ok(host().map_create(&MapCreate::new(map_type, &name("map"), key, value, entries))?)
}

/// The text of a program that adds one to `map`'s first number and answers with `answer`; only
/// in the process `pid`, if one is given.
pub(crate) fn counting(map: &MapFd, pid: Option<u32>, answer: i32) -> String {
    let only = match pid {
        Some(pid) => format!("call 14\n r0 >>= 32\n if r0 != {pid} goto out"),
        None => String::new(),
    };
    format!(
        "
        {only}
        *(u32 *)(r10 -4) = 0
        r2 = r10
        r2 += -4
        r1 = map[fd:{}]
        call 1
        if r0 == 0 goto out
        r1 = 1
        lock *(u64 *)(r0 +0) += r1
        out:
        r0 = {answer}
        exit",
        map.raw()
    )
}

/// The first number in an array.
pub(crate) fn count(map: &MapFd) -> Result<u64, Stop> {
    let mut value = [0; 8];
    if !host().map_lookup_elem(map, &0u32.to_ne_bytes(), &mut value, 0)? {
        return Err(Stop::Fail("an array without its first element".into()));
    }
    Ok(u64::from_ne_bytes(value))
}
