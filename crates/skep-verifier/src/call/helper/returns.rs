//! What a helper leaves in R0.

use skep_abi::{MapType, ReturnKind, ValueFlags};
use skep_btf::{KindTag, TypeId};

use super::{Call, MapArgument, id};
use crate::{
    Rule, Scalar,
    state::{BtfRef, BtfSource, FieldKind, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

/// The largest error number that kernel functions return (`MAX_ERRNO`).
const MAX_ERROR: i64 = 4095;

impl Verifier<'_> {
    /// What stands in R0 after a call.
    pub(super) fn result(&mut self, call: &Call<'_>) -> Result<Register> {
        let returns = call.helper.returns();
        let mut register = match returns.kind {
            ReturnKind::Integer => return Ok(Register::scalar(self.number(call))),
            ReturnKind::Void => return Ok(Register::UNINIT),
            ReturnKind::MapValue => self.looked_up(call)?,
            ReturnKind::Socket => Register::pointer(Kind::Socket),
            ReturnKind::SockCommon => Register::pointer(Kind::SockCommon),
            ReturnKind::TcpSock => Register::pointer(Kind::TcpSock),
            ReturnKind::Mem if call.dynptr.is_some() => return Ok(self.data_of_dynptr(call)),
            ReturnKind::Mem => Register::pointer(Kind::Mem {
                size: call.allocation,
            }),
            ReturnKind::BtfId => self.structure(call)?,
            ReturnKind::MemOrBtfId => self.percpu_variable(call)?,
            _ => {
                return Err(self.reject(
                    Rule::InvalidInstruction,
                    format!("what {} returns is not known", call.helper),
                ));
            }
        };
        for (flag, means) in [
            (ValueFlags::MAYBE_NULL, PointerFlags::MAYBE_NULL),
            (ValueFlags::READ_ONLY, PointerFlags::READ_ONLY),
            (ValueFlags::RINGBUF, PointerFlags::RINGBUF),
            (ValueFlags::TRUSTED, PointerFlags::TRUSTED),
        ] {
            if returns.flags.contains(flag) {
                register.flags |= means;
            }
        }
        if self.is_certain(call) {
            register.flags -= PointerFlags::MAYBE_NULL;
        }
        self.identify(call, &mut register);
        Ok(register)
    }

    /// Gives the result its id and its reference.
    fn identify(&mut self, call: &Call<'_>, register: &mut Register) {
        if register.may_be_null() {
            register.id = self.new_id();
        }
        if let Kind::ConstMap {
            map, inner: true, ..
        } = register.kind
            && let Some(inner) = self.map(map, true)
            && inner
                .fields
                .find(|kind| {
                    matches!(
                        kind,
                        FieldKind::Timer | FieldKind::Workqueue | FieldKind::TaskWork
                    )
                })
                .is_some()
        {
            register.kind = Kind::ConstMap {
                map,
                inner: true,
                uid: register.id.0,
            };
        }
        match call.helper.id {
            id::TCP_SOCK
            | id::SK_FULLSOCK
            | id::SKC_TO_TCP_SOCK
            | id::SKC_TO_TCP6_SOCK
            | id::SKC_TO_UDP6_SOCK
            | id::SKC_TO_MPTCP_SOCK
            | id::SKC_TO_TCP_TIMEWAIT_SOCK
            | id::SKC_TO_TCP_REQUEST_SOCK => register.reference = call.reference,
            id::SK_LOOKUP_TCP
            | id::SK_LOOKUP_UDP
            | id::SKC_LOOKUP_TCP
            | id::RINGBUF_RESERVE
            | id::KPTR_XCHG => self.refer(register),
            id::MAP_LOOKUP_ELEM if register.kind == Kind::Socket => self.refer(register),
            _ => {}
        }
    }

    fn refer(&mut self, register: &mut Register) {
        let reference = self.acquire_reference(self.insn);
        register.id = reference;
        register.reference = reference;
    }

    /// Whether a lookup cannot fail: at a constant index in an array.
    fn is_certain(&self, call: &Call<'_>) -> bool {
        matches!(
            (call.helper.id, call.map, call.index),
            (id::MAP_LOOKUP_ELEM, Some(MapArgument { map, .. }), Some(index))
                if index < u64::from(map.max_entries)
        )
    }

    /// What a lookup in a map gives.
    fn looked_up(&mut self, call: &Call<'_>) -> Result<Register> {
        let Some(argument) = call.map else {
            return Err(self.reject(Rule::ArgumentType, format!("{} wants a map", call.helper)));
        };
        let MapArgument {
            map,
            id,
            inner,
            uid,
        } = argument;
        let kind = match map.map_type {
            MapType::ArrayOfMaps | MapType::HashOfMaps if !inner => Kind::ConstMap {
                map: id,
                inner: true,
                uid: 0,
            },
            MapType::Sockmap | MapType::Sockhash => Kind::Socket,
            MapType::Xskmap => Kind::XdpSock,
            _ => Kind::MapValue {
                map: id,
                inner,
                uid,
            },
        };
        let mut register = Register::pointer(kind);
        let locked = map
            .fields
            .find(|kind| matches!(kind, FieldKind::SpinLock | FieldKind::ResilientSpinLock));
        // Locks tell the values of two lookups apart by this.
        if matches!(kind, Kind::MapValue { .. }) && locked.is_some() {
            register.id = self.new_id();
        }
        Ok(register)
    }

    /// The kernel structure that a helper gives.
    fn structure(&mut self, call: &Call<'_>) -> Result<Register> {
        let returns = call.helper.returns();
        if call.helper.id == id::KPTR_XCHG {
            return self.exchanged(call);
        }
        let found = returns.btf_type.and_then(|name| self.kernel_struct(name));
        let Some(type_id) = found else {
            return Err(self.reject(
                Rule::TypeInformation,
                format!(
                    "{} gives a `struct {}`, which the kernel's types don't have",
                    call.helper,
                    returns.btf_type.unwrap_or("?")
                ),
            ));
        };
        Ok(Register::pointer(Kind::Btf(BtfRef {
            btf: BtfSource::Kernel,
            type_id,
        })))
    }

    /// The kernel's structure with a name.
    pub(crate) fn kernel_struct(&self, name: &str) -> Option<TypeId> {
        let btf = self.target.kernel_btf.as_ref()?;
        btf.find(name, KindTag::Struct)
    }

    /// What is known about a number that a helper returns.
    fn number(&self, call: &Call<'_>) -> Scalar {
        match call.helper.id {
            id::GET_STACK
            | id::GET_TASK_STACK
            | id::PROBE_READ_STR
            | id::PROBE_READ_KERNEL_STR
            | id::PROBE_READ_USER_STR => {
                let most = i64::from(i32::try_from(call.size).unwrap_or(i32::MAX));
                Scalar::signed(-MAX_ERROR, most)
            }
            id::GET_SMP_PROCESSOR_ID => Scalar::unsigned(0, self.most_cpus() - 1),
            _ => Scalar::UNKNOWN,
        }
    }

    /// How many CPUs the target can have.
    fn most_cpus(&self) -> u64 {
        const MOST_OF_ALL: u64 = 8192;
        let configured = self.target.config.get("CONFIG_NR_CPUS");
        configured
            .and_then(|number| number.parse().ok())
            .filter(|number| (1..=MOST_OF_ALL).contains(number))
            .unwrap_or(MOST_OF_ALL)
    }
}
