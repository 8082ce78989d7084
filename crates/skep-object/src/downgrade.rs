//! What a target that is too old makes of maps, programs and instructions; for BTF see
//! `btf_fixup`. Each use of what it lacks is counted.

use skep_abi::{Helper, LoaderFeature as Feature, MapCreateFlags};
use skep_isa::RawInsn;

use crate::{ImageMap, ImageProgram, features::Lacking, references::CALL};

/// Takes away from a map what the target is too old for.
pub(crate) fn map(map: &mut ImageMap, lacking: &mut Lacking) {
    if lacking.uses(Feature::ObjectNames) {
        map.load_name.clear();
    }
    let global = map.is_global_data();
    if lacking.is(Feature::Btf) || (global && lacking.is(Feature::BtfDataSections)) {
        (map.key_type, map.value_type) = (None, None);
    }
    if global && lacking.uses(Feature::GlobalData) {
        map.create = false;
    } else if global
        && map.flags.contains(MapCreateFlags::MMAPABLE)
        && lacking.uses(Feature::MappedArrays)
    {
        map.flags.remove(MapCreateFlags::MMAPABLE);
    }
    if let Some(inner) = &mut map.inner {
        self::map(inner, lacking);
    }
}

/// Takes away from a program what the target is too old for.
pub(crate) fn program(program: &mut ImageProgram, lacking: &mut Lacking) {
    if lacking.uses(Feature::ObjectNames) {
        program.load_name.clear();
    }
    if program.attach_type.is_some() && lacking.uses(Feature::AttachTypes) {
        program.attach_type = None;
    }
}

/// Has memory read by the helpers of before Linux 5.5, which try the kernel's and the process's.
pub(crate) fn probe_reads(instructions: &mut [RawInsn], lacking: &mut Lacking) {
    const READERS: [(&str, &str); 4] = [
        ("bpf_probe_read_kernel", "bpf_probe_read"),
        ("bpf_probe_read_user", "bpf_probe_read"),
        ("bpf_probe_read_kernel_str", "bpf_probe_read_str"),
        ("bpf_probe_read_user_str", "bpf_probe_read_str"),
    ];
    let number = |name| Helper::by_name(name).and_then(|helper| i32::try_from(helper.id).ok());
    let readers = READERS.map(|(new, old)| (number(new), number(old)));
    for insn in instructions {
        // The second half of a `ld_imm64` has the opcode 0.
        if insn.opcode != CALL || insn.src != 0 {
            continue;
        }
        let found = readers.iter().find(|(new, _)| *new == Some(insn.imm));
        if let Some((_, Some(old))) = found {
            lacking.uses(Feature::ProbeReads);
            insn.imm = *old;
        }
    }
}
