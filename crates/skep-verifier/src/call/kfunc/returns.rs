//! What kernel functions give in R0.

use skep_abi::KfuncFlags;
use skep_btf::{Kind as TypeKind, KindTag, TypeId};
use skep_isa::Reg;

use super::{
    Call, Special,
    descriptor::{Returns, is_plain},
};
use crate::{
    Rule,
    memory::Access,
    state::{BtfRef, BtfSource, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

/// The most bytes that an object that each CPU has one of can have (`BPF_GLOBAL_PERCPU_MA_MAX_SIZE`).
const MOST_PER_CPU: u32 = 512;

impl Verifier<'_> {
    /// Puts what the call gives into R0, and forgets what it leaves undefined. `next` of an iterator
    /// has two outcomes: the other one is put aside.
    pub(super) fn kernel_result(&mut self, call: &Call) -> Result {
        let mut result = self.kernel_return(call)?;
        let function = &call.function;
        if result.is_pointer() {
            let null = function.is(KfuncFlags::RET_NULL)
                && !(function.special == Special::RefcountAcquire && call.owning);
            if null {
                result.flags |= PointerFlags::MAYBE_NULL;
                result.id = self.new_id();
            }
            if function.is(KfuncFlags::ACQUIRE) {
                let reference = self.acquire_reference(self.insn);
                result.reference = reference;
                if null {
                    result.id = reference;
                }
            } else if matches!(
                function.special,
                Special::TreeFirst
                    | Special::TreeRoot
                    | Special::TreeLeft
                    | Special::TreeRight
                    | Special::ListFront
                    | Special::ListBack
            ) {
                result = self.lent(result);
            }
            if !result.id.is_some() && self.may_hold_lock(&result) {
                result.id = self.new_id();
            }
        }
        self.forget_caller_saved();
        *self.state.register_mut(Reg::R0) = result;
        match call.iterator {
            Some(place) if function.is(KfuncFlags::ITER_NEXT) => self.iterate(place),
            _ => Ok(()),
        }
    }

    /// Whether a lock could be in what a register points to, so that copies must be known.
    fn may_hold_lock(&mut self, register: &Register) -> bool {
        let Kind::Btf(of) = register.kind else {
            return false;
        };
        register.flags.contains(PointerFlags::ALLOCATED) && self.fields_of(of).is_some()
    }

    fn kernel_return(&mut self, call: &Call) -> Result<Register> {
        match call.function.special {
            Special::ObjNew | Special::PercpuObjNew => return self.new_object(call),
            Special::RefcountAcquire => {
                let Some(of) = call.object else {
                    return Err(self.unsaid(call));
                };
                return Ok(Register::pointer(Kind::Btf(of)).with(PointerFlags::ALLOCATED));
            }
            Special::ListPopFront
            | Special::ListPopBack
            | Special::ListFront
            | Special::ListBack
            | Special::TreeRemove
            | Special::TreeFirst
            | Special::TreeRoot
            | Special::TreeLeft
            | Special::TreeRight => {
                let Some(contains) = call.contains else {
                    return Err(self.unsaid(call));
                };
                return Ok(self.node(contains));
            }
            Special::CastToKernelContext => return self.kernel_context(call),
            Special::ReadOnlyCast => return self.read_only_cast(call),
            Special::DynptrSlice | Special::DynptrSliceReadWrite => return self.slice(call),
            Special::ResilientLock | Special::ResilientLockIrq => return Ok(Register::constant(0)),
            Special::SessionCookie => {
                return Ok(Register::pointer(Kind::Mem { size: 8 }));
            }
            _ => {}
        }
        match call.function.returns {
            Returns::Nothing => Ok(Register::UNINIT),
            Returns::Scalar(_) | Returns::VoidPointer => Ok(Register::unknown()),
            Returns::Memory(by_type) => {
                let (size, read_only) = match (call.result_size, by_type) {
                    (Some((size, read_only)), _) => (u32::try_from(size).unwrap_or(0), read_only),
                    (None, Some(size)) => (size, true),
                    (None, None) => return Err(self.unsaid(call)),
                };
                let mut memory = Register::pointer(Kind::Mem { size });
                if read_only {
                    memory.flags |= PointerFlags::READ_ONLY;
                }
                memory.reference = call.reference;
                Ok(memory)
            }
            Returns::Struct(of) => {
                let mut structure = Register::pointer(Kind::Btf(of));
                if call.function.is(KfuncFlags::ITER_NEXT) {
                    structure.flags |= match call.iterator {
                        Some(place) if self.iterates_by_rcu(place) => PointerFlags::RCU,
                        _ => PointerFlags::TRUSTED,
                    };
                } else if call.function.special == Special::GetKmemCache {
                    structure.flags |= PointerFlags::UNTRUSTED;
                } else if call.function.is(KfuncFlags::RCU_PROTECTED) {
                    structure.flags |= PointerFlags::RCU;
                }
                Ok(structure)
            }
        }
    }

    fn new_object(&mut self, call: &Call) -> Result<Register> {
        let percpu = call.function.special == Special::PercpuObjNew;
        let Some(btf) = self.program.btf.clone() else {
            return Err(self.reject(
                Rule::TypeInformation,
                format!("{} needs the program's BTF", call.function.name),
            ));
        };
        let id = call.constant.and_then(|id| u32::try_from(id).ok());
        let of = id.and_then(|id| btf.type_by_id(TypeId(id)).ok());
        let Some(of) = of.filter(|of| of.tag() == Some(KindTag::Struct)) else {
            return Err(self
                .reject(
                    Rule::ObjectMisuse,
                    format!(
                        "r1 of {} must be the id of a struct in the program's BTF",
                        call.function.name
                    ),
                )
                .of(Reg::R1));
        };
        let found = BtfRef {
            btf: BtfSource::Program,
            type_id: of.id(),
        };
        let fields = self.fields_of(found);
        if let Some(problem) = fields.as_ref().and_then(|fields| fields.problem.clone()) {
            return Err(self.reject(
                Rule::ObjectMisuse,
                format!("`struct {}` can't be allocated: {problem}", of.name()),
            ));
        }
        let mut flags = PointerFlags::ALLOCATED;
        if percpu {
            let size = btf.size_of(of.id()).unwrap_or(u64::MAX);
            let managed = fields.is_some_and(|fields| !fields.fields.is_empty());
            if size > MOST_PER_CPU.into() || managed || !is_plain(&btf, of, 4) {
                return Err(self.reject(
                    Rule::ObjectMisuse,
                    format!(
                        "`struct {}` can't be one for each CPU: that must be of at most {MOST_PER_CPU} bytes, with numbers in it only",
                        of.name()
                    ),
                ));
            }
            flags |= PointerFlags::PERCPU;
        }
        Ok(Register::pointer(Kind::Btf(found)).with(flags))
    }

    /// `bpf_cast_to_kern_ctx`: the kernel's structure behind the context.
    fn kernel_context(&mut self, call: &Call) -> Result<Register> {
        let name = self.effective_type().kernel_context();
        let type_id = name.and_then(|name| self.kernel_struct(name));
        let Some(type_id) = type_id else {
            return Err(self.reject(
                Rule::KfuncNotAllowed,
                format!(
                    "{} does not know what is behind this context",
                    call.function.name
                ),
            ));
        };
        let of = BtfRef {
            btf: BtfSource::Kernel,
            type_id,
        };
        Ok(Register::pointer(Kind::Btf(of)).with(PointerFlags::TRUSTED))
    }

    /// `bpf_rdonly_cast`: any address as a type of the kernel's, that may be wrong.
    fn read_only_cast(&mut self, call: &Call) -> Result<Register> {
        let id = call.constant.and_then(|id| u32::try_from(id).ok());
        let btf = self.target.kernel_btf.as_ref();
        let of = id
            .zip(btf)
            .and_then(|(id, btf)| btf.type_by_id(TypeId(id)).ok());
        match of.map(|of| (of.kind(), of.id())) {
            Some((TypeKind::Struct(_) | TypeKind::Union(_), type_id)) => {
                let of = BtfRef {
                    btf: BtfSource::Kernel,
                    type_id,
                };
                Ok(Register::pointer(Kind::Btf(of)).with(PointerFlags::UNTRUSTED))
            }
            Some((TypeKind::Void, _)) if self.since(6, 17) => {
                let flags = PointerFlags::UNTRUSTED | PointerFlags::READ_ONLY;
                Ok(Register::pointer(Kind::Mem { size: 0 }).with(flags))
            }
            _ => Err(self
                .reject(
                    Rule::ArgumentType,
                    "r2 of bpf_rdonly_cast must be the id of a struct in the kernel's BTF",
                )
                .of(Reg::R2)),
        }
    }

    fn slice(&mut self, call: &Call) -> Result<Register> {
        let (Some(dynptr), Some(size)) = (call.dynptr, call.constant) else {
            return Err(self.unsaid(call));
        };
        let Ok(size) = u32::try_from(size) else {
            return Err(self.reject(
                Rule::ArgumentSize,
                format!("a slice of {size} bytes is larger than any dynptr"),
            ));
        };
        let mut slice = self.dynptr_slice(&dynptr, size);
        slice.flags -= PointerFlags::MAYBE_NULL;
        if call.function.special == Special::DynptrSlice {
            slice.flags |= PointerFlags::READ_ONLY;
        } else if !self.packet_access(Access::Write) {
            return Err(self.reject(
                Rule::ReadOnlyWrite,
                "programs of this kind may not write to packets, and bpf_dynptr_slice_rdwr is for that",
            ).help("use bpf_dynptr_slice"));
        }
        Ok(slice)
    }

    #[cold]
    fn unsaid(&self, call: &Call) -> Box<crate::Rejection> {
        self.reject(
            Rule::UnknownKfunc,
            format!(
                "what {} gives is not known from its types",
                call.function.name
            ),
        )
    }
}
