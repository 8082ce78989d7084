//! Whether a pointer parameter is the program's context, by the name of what it points to.

use skep_abi::{AttachType, ProgramType};
use skep_btf::{Btf, Kind, KindTag, TypeId};

/// Whether a pointer to `target` is taken for the context without a tag.
pub(crate) fn is_context(
    btf: &Btf,
    target: TypeId,
    program_type: ProgramType,
    kernel: Option<&Btf>,
) -> bool {
    if program_type == ProgramType::Kprobe && is_registers_typedef(btf, target) {
        return true;
    }
    let Ok(found) = btf.skip_modifiers(target) else {
        return false;
    };
    if found.tag() != Some(KindTag::Struct) {
        return false;
    }
    let Some(context) = program_type.context_type() else {
        return false;
    };
    let name = found.name();
    name == context
        || name == structure_behind(context, kernel)
        || matches!(
            (context, name),
            ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff")
        )
}

/// Checks the type of a parameter that is tagged as the context, and says what is wrong with it.
pub(super) fn is_valid_tagged_context(
    btf: &Btf,
    target: TypeId,
    program_type: ProgramType,
    attach_type: Option<AttachType>,
    kernel: Option<&Btf>,
) -> Result<(), String> {
    if matches!(program_type, ProgramType::Kprobe | ProgramType::PerfEvent)
        && is_registers_typedef(btf, target)
    {
        return Ok(());
    }
    let found = btf
        .skip_modifiers(target)
        .map_err(|error| format!("points to no type: {error}"))?;
    let name = found.name();
    let is_struct = found.tag() == Some(KindTag::Struct);
    let is_u64 = matches!(found.kind(), Kind::Int(int) if int.size == 8);
    if matches!(found.kind(), Kind::Void) {
        return Ok(());
    }
    if name.is_empty() {
        return Err("is tagged as the context, and points to a type without a name".to_owned());
    }
    let special = match program_type {
        ProgramType::Kprobe => is_struct && name == "pt_regs",
        ProgramType::PerfEvent => {
            is_struct && name == structure_behind("bpf_user_pt_regs_t", kernel)
        }
        ProgramType::RawTracepoint
        | ProgramType::RawTracepointWritable
        | ProgramType::Lsm
        | ProgramType::StructOps => is_u64,
        ProgramType::Tracing => match attach_type {
            Some(AttachType::TraceRawTp) => {
                is_u64 || is_struct && name == "bpf_raw_tracepoint_args"
            }
            Some(AttachType::TraceIter) => is_struct && name.starts_with("bpf_iter__"),
            Some(AttachType::TraceFentry | AttachType::TraceFexit | AttachType::ModifyReturn) => {
                is_u64
            }
            _ => false,
        },
        ProgramType::Tracepoint | ProgramType::Syscall | ProgramType::Ext => true,
        _ => false,
    };
    if special {
        return Ok(());
    }
    match program_type.context_type() {
        Some(context) => {
            let structure = structure_behind(context, kernel);
            if is_struct && name == structure {
                Ok(())
            } else {
                Err(format!(
                    "is tagged as the context, and is no `struct {structure} *`"
                ))
            }
        }
        None => Err("is tagged as the context, and is no `void *`".to_owned()),
    }
}

/// Whether a type is `bpf_user_pt_regs_t`, by its typedef.
fn is_registers_typedef(btf: &Btf, target: TypeId) -> bool {
    let mut now = btf.type_by_id(target).ok();
    for _ in 0..16 {
        let Some(found) = now else { return false };
        match found.kind() {
            Kind::Typedef { .. } => return found.name() == "bpf_user_pt_regs_t",
            kind => now = kind.modified().and_then(|next| btf.type_by_id(next).ok()),
        }
    }
    false
}

/// The structure that a context's type is, where it is a typedef that depends on the machine.
fn structure_behind<'a>(context: &'a str, kernel: Option<&'a Btf>) -> &'a str {
    if context != "bpf_user_pt_regs_t" {
        return context;
    }
    let structure = kernel.and_then(|kernel| {
        let typedef = kernel.find(context, KindTag::Typedef)?;
        let found = kernel.skip_modifiers(typedef).ok()?;
        (found.tag() == Some(KindTag::Struct)).then(|| found.name())
    });
    structure.unwrap_or("pt_regs")
}
