//! The kernel as an engine of the corpus: programs run as type `syscall`, with the context as
//! theirs.

use std::collections::BTreeSet;

use skep_abi::ProgramType;
use skep_btf::{Builder, FunctionLinkage, IntEncoding};
use skep_host::{BtfLoad, Host, LogLevel, ProgramBtf, ProgramFd, ProgramLoad, TestRun};
use skep_isa::RawInsn;

use crate::parse::Row;

/// Runs a row, and gives R0 and the context afterwards.
///
/// The system call tells only the lower half of R0. For the upper half the program is run a
/// second time, as a function of one that shifts it down, unless `low_half_only`.
pub(crate) fn run(
    host: &dyn Host,
    row: &Row,
    low_half_only: bool,
) -> Result<(u64, Vec<u8>), String> {
    let (low, context) = run_once(host, &row.slots, &row.context)?;
    if low_half_only {
        return Ok((low.into(), context));
    }
    // call +2; r0 >>= 32; exit
    let mut slots = vec![raw(0x85, 1, 2), raw(0x77, 0, 32), raw(0x95, 0, 0)];
    slots.extend_from_slice(&row.slots);
    let (high, _) = run_once(host, &slots, &row.context)?;
    Ok((u64::from(high) << 32 | u64::from(low), context))
}

fn raw(code: u8, src: u8, imm: i32) -> RawInsn {
    let mut slot = RawInsn::default();
    (slot.opcode, slot.src, slot.imm) = (code, src, imm);
    slot
}

fn run_once(host: &dyn Host, slots: &[RawInsn], context: &[u8]) -> Result<(u32, Vec<u8>), String> {
    let program = load(host, slots)?;
    let mut after = vec![0; context.len()];
    let mut run = TestRun {
        context_in: context,
        context_out: &mut after,
        ..Default::default()
    };
    let outcome = host
        .prog_test_run(&program, &mut run)
        .map_err(|e| format!("{e}"))?;
    Ok((outcome.return_value, after))
}

fn load(host: &dyn Host, slots: &[RawInsn]) -> Result<ProgramFd, String> {
    let code: Vec<u8> = slots
        .iter()
        .flat_map(|slot| slot.to_bytes(skep_isa::Endian::NATIVE))
        .collect();
    let (bytes, func_info) = functions(slots).map_err(|e| e.to_string())?;
    let btf = host
        .btf_load(&BtfLoad {
            object: "corpus",
            bytes: &bytes,
            log_level: LogLevel::OnFailure,
            token: None,
        })
        .map_err(|e| format!("{e}"))?;
    let mut request = ProgramLoad::new(ProgramType::Syscall, "corpus", &code);
    request.flags = skep_abi::ProgLoadFlags::SLEEPABLE;
    request.btf = Some(ProgramBtf {
        func_info: &func_info,
        func_info_record_size: 8,
        ..ProgramBtf::new(&btf)
    });
    let loaded = host.prog_load(&request).map_err(|e| format!("{e:?}"))?;
    Ok(loaded.fd)
}

/// A function's record for each function of the program (the kernel takes no callbacks without),
/// and the BTF that they refer to.
fn functions(slots: &[RawInsn]) -> skep_btf::Result<(Vec<u8>, Vec<u8>)> {
    let mut starts = BTreeSet::from([0]);
    for (index, slot) in slots.iter().enumerate() {
        let is_call = slot.opcode == 0x85 && slot.src == 1;
        let is_address = slot.opcode == 0x18 && slot.src == 4;
        if is_call || is_address {
            starts.insert(index as i64 + 1 + i64::from(slot.imm));
        }
    }
    let mut types = Builder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let prototype = types.prototype(int, &[]);
    let mut records = Vec::new();
    for start in starts {
        let linkage = FunctionLinkage::Static;
        let function = types.function(&format!("f{start}"), prototype, linkage);
        records.extend((start as u32).to_ne_bytes());
        records.extend(function.0.to_ne_bytes());
    }
    Ok((types.build()?, records))
}
