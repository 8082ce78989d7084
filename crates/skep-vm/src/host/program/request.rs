//! What a program that is to be loaded is: whether type, attach type, target, flags and device go
//! together.

use skep_abi::{AttachType, ExpectedAttachType, ProgLoadFlags, ProgramProperties, ProgramType};
use skep_host::{AttachTarget, Errno, ProgramBtf, ProgramLoad};

use super::{Refusal, said};
use crate::{
    Vm,
    host::{map, probe, tree},
    machine::struct_ops::MemberKind,
};

/// The request without what nobody looks at: types without records, and 0 for the oldest attach
/// type of two.
pub(super) fn plain<'a>(request: &ProgramLoad<'a>) -> ProgramLoad<'a> {
    let mut plain = request.clone();
    let has_records = |btf: &ProgramBtf<'_>| !btf.func_info.is_empty() || !btf.line_info.is_empty();
    plain.btf = request.btf.filter(has_records);
    if has_oldest(request.program_type) {
        plain.expected_attach_type = request
            .expected_attach_type
            .filter(|attach| attach.raw() != 0);
    }
    plain
}

/// Whether attach type 0, which is another type's, means the oldest one of these programs.
fn has_oldest(program_type: ProgramType) -> bool {
    matches!(
        program_type,
        ProgramType::CgroupSock | ProgramType::SkReuseport
    )
}

/// # Errors
/// Its parts do not go together, or what it is for is not there.
pub(super) fn check(vm: &Vm, request: &ProgramLoad<'_>) -> Result<(), Refusal> {
    check_module(vm, request)?;
    check_kind(request)?;
    check_device(vm, request)?;
    if request.program_type == ProgramType::StructOps {
        check_member(vm, request)?;
    }
    // Records are in types of the program's own.
    match request.btf {
        Some(btf) if map::btf_object(vm, btf.btf)?.kernel => Err(Errno::EACCES.into()),
        _ => Ok(()),
    }
}

/// Whether the types of a target are a kernel's: they are looked at even if no type of them is named.
fn check_module(vm: &Vm, request: &ProgramLoad<'_>) -> Result<(), Errno> {
    match request.attach_target {
        Some(AttachTarget::Module(btf)) => match map::btf_object(vm, btf) {
            Ok(btf) if btf.kernel => Ok(()),
            Ok(_) => Err(Errno::ENOTSUPP),
            Err(_) => Err(Errno::EINVAL),
        },
        _ => Ok(()),
    }
}

/// What a program type asks of attach type, target and flags.
fn check_kind(request: &ProgramLoad<'_>) -> Result<(), Refusal> {
    let program_type = request.program_type;
    let properties = program_type.properties();
    let sleepable = request.flags.contains(ProgLoadFlags::SLEEPABLE);
    if !probe::hosts(program_type) {
        let text = format!("the vm has no programs of type {program_type}");
        return Err(said(Errno::EINVAL, text));
    }
    // A token is told otherwise, and there is none here.
    let named = request
        .flags
        .iter_names()
        .fold(0, |all, (_, flag)| all | flag.bits());
    if named != request.flags.bits() || request.flags.contains(ProgLoadFlags::TOKEN_FD) {
        return Err(Errno::EINVAL.into());
    }
    if properties.contains(ProgramProperties::ALWAYS_SLEEPABLE) && !sleepable {
        let text = format!("programs of type {program_type} must be sleepable (BPF_F_SLEEPABLE)");
        return Err(said(Errno::EINVAL, text));
    }
    let may =
        properties.intersects(ProgramProperties::ALWAYS_SLEEPABLE | ProgramProperties::SLEEPABLE);
    if sleepable && !may {
        let text = format!("programs of type {program_type} can't sleep");
        return Err(said(Errno::EINVAL, text));
    }
    let to_many = matches!(
        request.expected_attach_type,
        Some(
            AttachType::TraceFentryMulti
                | AttachType::TraceFexitMulti
                | AttachType::TraceFsessionMulti
        )
    );
    if !target_fits(request) {
        let text = format!("programs of type {program_type} have no such target");
        return Err(said(Errno::EINVAL, text));
    }
    if properties.contains(ProgramProperties::NEEDS_TARGET)
        && request.attach_btf_id == 0
        && !to_many
    {
        // The kernel looks at the licence before the target; here any will do for the rest.
        let free = skep_abi::is_gpl_compatible(request.license);
        let errno = match program_type {
            ProgramType::StructOps if free => Errno::ENOTSUPP,
            _ => Errno::EINVAL,
        };
        let text = format!("programs of type {program_type} are loaded for a target");
        return Err(said(errno, text));
    }
    let expected = request.expected_attach_type;
    let number = expected.map_or(0, AttachType::raw);
    let fits = match program_type.expected_attach_type() {
        ExpectedAttachType::Required => {
            let types = program_type.attach_types();
            (number == 0 && has_oldest(program_type))
                || types.iter().any(|known| known.raw() == number)
        }
        ExpectedAttachType::Zero => number == 0,
        _ => true,
    };
    if !fits {
        let name = expected.map_or("attach type 0", AttachType::name);
        let text = format!("programs of type {program_type} are not attached as {name}");
        return Err(said(Errno::EINVAL, text));
    }
    Ok(())
}

/// Whether programs of the type have a target like this: a type's number, and whose type it is.
fn target_fits(request: &ProgramLoad<'_>) -> bool {
    let program_type = request.program_type;
    let of_programs = matches!(program_type, ProgramType::Tracing | ProgramType::Ext);
    let of_types = of_programs || matches!(program_type, ProgramType::Lsm | ProgramType::StructOps);
    match request.attach_target {
        Some(AttachTarget::Program(_)) if !of_programs => false,
        Some(AttachTarget::Module(_)) if request.attach_btf_id == 0 => false,
        _ => of_types || request.attach_btf_id == 0,
    }
}

/// Whether the device that a program is bound to is there; a bound program stays on the machine's
/// own processor.
fn check_device(vm: &Vm, request: &ProgramLoad<'_>) -> Result<(), Refusal> {
    if request.ifindex == 0 {
        return Ok(());
    }
    let bound = request.flags.contains(ProgLoadFlags::XDP_DEV_BOUND_ONLY);
    let text = match (bound, request.program_type) {
        (false, _) => "the vm has no device to offload a program to".to_owned(),
        (true, ProgramType::Xdp) => match tree::device(vm, request.ifindex) {
            Ok(()) => return Ok(()),
            Err(_) => format!("there is no device with index {}", request.ifindex),
        },
        (true, other) => format!("programs of type {other} are bound to no device"),
    };
    Err(said(Errno::EINVAL, text))
}

/// Whether a `struct_ops` program is for a function of a struct that the embedder has defined.
fn check_member(vm: &Vm, request: &ProgramLoad<'_>) -> Result<(), Refusal> {
    let of_machine = match request.attach_target {
        None => true,
        Some(AttachTarget::Module(btf)) => map::btf_object(vm, btf)?.kernel,
        Some(AttachTarget::Program(_)) => return Err(Errno::EINVAL.into()),
    };
    let ops = of_machine
        .then(|| vm.0.struct_ops.by_data(request.attach_btf_id))
        .flatten();
    let ops = ops.ok_or_else(|| {
        let text = format!(
            "type {} is no struct of functions that was defined: Vm::define_struct_ops",
            request.attach_btf_id
        );
        said(Errno::ENOTSUPP, text)
    })?;
    let index = request.attach_member.unwrap_or_default() as usize;
    let kind = ops.members.get(index).map(|member| member.kind);
    if !matches!(kind, Some(MemberKind::Function { .. })) {
        let text = format!("member {index} of struct {} is no function", ops.name);
        return Err(said(Errno::EINVAL, text));
    }
    Ok(())
}

/// The attach type that a program counts as loaded for: of two types, 0 stands for the oldest.
pub(super) fn attach_type(request: &ProgramLoad<'_>) -> Option<AttachType> {
    let number = request.expected_attach_type.map_or(0, AttachType::raw);
    match (request.program_type, number) {
        (ProgramType::CgroupSock, 0) => Some(AttachType::CgroupInetSockCreate),
        (ProgramType::SkReuseport, 0) => Some(AttachType::SkReuseportSelect),
        (kind, 0) if kind.attach_types().contains(&AttachType::CgroupInetIngress) => {
            Some(AttachType::CgroupInetIngress)
        }
        _ => request.expected_attach_type,
    }
}
