//! Kernel structures as arguments of kernel functions: whether they can be trusted, and are of the
//! type that is asked for.

use skep_abi::KfuncFlags;
use skep_isa::Reg;

use super::{
    Call,
    descriptor::{ParameterKind, normal},
};
use crate::{
    Rule,
    state::{BtfRef, BtfSource, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

/// Flags that vouch for a pointer.
const TRUSTED: PointerFlags = PointerFlags::ALLOCATED
    .union(PointerFlags::TRUSTED)
    .union(PointerFlags::NON_OWNING);

/// Flags that say nothing about whether a pointer is valid.
const NEUTRAL: PointerFlags = PointerFlags::REFERENCED.union(PointerFlags::UNINIT);

/// Whether a pointer has a flag that makes it unsafe.
fn is_unsafe(register: &Register) -> bool {
    !(register.flags - TRUSTED - NEUTRAL).is_empty()
}

impl Verifier<'_> {
    /// Whether a register holds a kernel structure, or what the kernel takes for one.
    pub(super) fn is_structure_like(&self, register: &Register) -> bool {
        matches!(register.kind, Kind::Btf(_)) || known_structure(register.kind).is_some()
    }

    /// Checks that a pointer is as valid as the function asks.
    pub(super) fn check_trust(
        &self,
        call: &Call,
        kind: ParameterKind,
        reg: Reg,
        register: &Register,
    ) -> Result {
        let function = &call.function;
        let concerned = match kind {
            ParameterKind::Map | ParameterKind::Allocated => true,
            ParameterKind::Pointer(pointee) => {
                pointee.is_struct && self.is_structure_like(register)
            }
            _ => false,
        };
        let rcu = function.is(KfuncFlags::RCU);
        if !concerned || !(function.trusts_arguments() || rcu) {
            return Ok(());
        }
        let trusted = register.reference.is_some()
            || (known_structure(register.kind).is_some() && !is_unsafe(register))
            || (register.flags.intersects(TRUSTED) && !is_unsafe(register));
        if trusted || (rcu && register.flags.contains(PointerFlags::RCU)) {
            return Ok(());
        }
        let what = if rcu {
            "must be held, trusted, or protected by RCU"
        } else {
            "must be held, or trusted"
        };
        Err(self
            .reject(
                Rule::UntrustedPointer,
                format!(
                    "{reg} of {} {what}: the kernel does not vouch for this one",
                    function.name
                ),
            )
            .of(reg)
            .help("get a reference first, such as by bpf_task_acquire()"))
    }

    /// Checks that a pointer to a structure is of the type that is asked for.
    pub(super) fn structure_argument(
        &self,
        call: &Call,
        wanted: BtfRef,
        reg: Reg,
        register: &Register,
    ) -> Result {
        let found = match register.kind {
            Kind::Btf(found) => {
                if is_unsafe(register) && !register.flags.contains(PointerFlags::RCU) {
                    let what = if register.may_be_null() {
                        "may be null"
                    } else {
                        "is not one that the kernel vouches for"
                    };
                    return Err(self
                        .reject(
                            if register.may_be_null() {
                                Rule::PointerOrNull
                            } else {
                                Rule::UntrustedPointer
                            },
                            format!("{reg} of {} {what}", call.function.name),
                        )
                        .of(reg));
                }
                found
            }
            kind => {
                if register.may_be_null() {
                    return Err(self
                        .reject(
                            Rule::PointerOrNull,
                            format!("{reg} of {} may be null", call.function.name),
                        )
                        .of(reg));
                }
                let name = known_structure(kind).unwrap_or_default();
                let Some(type_id) = self.kernel_struct(name) else {
                    return Err(self.wrong_kind(call, reg, register, "a kernel structure"));
                };
                BtfRef {
                    btf: BtfSource::Kernel,
                    type_id,
                }
            }
        };
        let (has, wants) = (self.struct_name(found), self.struct_name(wanted));
        let releases = call.function.is(KfuncFlags::RELEASE) && register.reference.is_some();
        let strict = releases || is_init_alias(has, wants);
        let offset = u32::try_from(register.offset).unwrap_or(u32::MAX);
        let projected = matches!(
            (wants, has),
            ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff")
        );
        if projected || self.struct_matches(found, offset, wanted, strict) {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::ArgumentType,
                format!(
                    "{reg} of {} must be a `struct {wants}`, and is a `struct {has}`",
                    call.function.name
                ),
            )
            .of(reg))
    }

    /// Whether a type is another, or has it at an offset. `strict`: whether it must be all of it.
    pub(crate) fn struct_matches(
        &self,
        found: BtfRef,
        offset: u32,
        wanted: BtfRef,
        strict: bool,
    ) -> bool {
        let Some(btf) = self.btf(found.btf) else {
            return false;
        };
        let found = normal(btf, found.btf, found.type_id);
        if offset == 0 && found == wanted {
            return true;
        }
        if strict {
            return false;
        }
        crate::memory::embeds(btf, found.type_id, offset, |member| {
            normal(btf, found.btf, member) == wanted
        })
    }
}

/// Sockets and maps are structures to kernel functions.
fn known_structure(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Socket => "sock",
        Kind::SockCommon => "sock_common",
        Kind::TcpSock => "tcp_sock",
        Kind::ConstMap { .. } => "bpf_map",
        _ => return None,
    })
}

/// Whether one of two names is the other of a structure that is not made ready yet: such can't be
/// passed for each other, though they look the same.
fn is_init_alias(left: &str, right: &str) -> bool {
    left.strip_suffix("___init") == Some(right) || right.strip_suffix("___init") == Some(left)
}
