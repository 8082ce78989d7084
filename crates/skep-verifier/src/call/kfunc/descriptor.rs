//! What a kernel function takes and gives, read from its BTF and from the suffixes of its parameters'
//! names once for each verification.

use std::rc::Rc;

use skep_abi::{Kfunc, KfuncFlags};
use skep_btf::{Btf, FunctionPrototype, Kind, KindTag, Type, TypeId};
use skep_isa::{CallTarget, Insn};

use crate::{
    Rule,
    call::function::is_context,
    state::{BtfRef, BtfSource},
    verifier::{Result, Verifier},
};

/// A kernel function.
#[derive(Debug)]
pub(crate) struct Descriptor {
    pub(crate) name: String,
    pub(crate) flags: KfuncFlags,
    pub(crate) special: Special,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) returns: Returns,
}

impl Descriptor {
    pub(crate) fn is(&self, flags: KfuncFlags) -> bool {
        self.flags.intersects(flags)
    }

    /// Whether its pointer arguments must be valid: what it releases must be, too.
    pub(crate) fn trusts_arguments(&self) -> bool {
        self.is(KfuncFlags::TRUSTED_ARGS | KfuncFlags::RELEASE)
    }
}

/// A parameter.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) kind: ParameterKind,
    /// Null may be passed (`__nullable`, and `__opt` before it).
    pub(crate) nullable: bool,
    /// What it points to is made by the function (`__uninit`).
    pub(crate) uninit: bool,
}

/// What a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParameterKind {
    /// Not looked at (`__ign`, `__prog`).
    Ignored,
    /// A number.
    Scalar {
        /// It must be a constant (`__k`).
        constant: bool,
        /// It is the size of the memory that is returned: whether that is read-only.
        result_size: Option<bool>,
    },
    /// The size of the memory before it (`__sz`, `__szk`), which must be a constant or not.
    Size {
        constant: bool,
    },
    Context,
    /// An object of the program's own (`__alloc`).
    Allocated,
    /// One with a reference count (`__refcounted_kptr`).
    Refcounted,
    Dynptr,
    Iterator {
        of: BtfRef,
        slots: usize,
    },
    ListHead,
    ListNode,
    TreeRoot,
    TreeNode,
    ConstantString,
    Map,
    Workqueue,
    TaskWork,
    Timer,
    IrqFlag,
    ResilientLock,
    /// A structure or memory, as the argument is.
    Pointer(Pointee),
    Callback,
    /// Something that no program can pass.
    Unsupported,
}

/// What a plain pointer parameter points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pointee {
    pub(crate) of: BtfRef,
    pub(crate) is_struct: bool,
    /// Whether plain memory will do: a number, or a structure of numbers only; `void` if a size
    /// follows.
    pub(crate) is_memory: bool,
    pub(crate) size: Option<u32>,
    /// Whether the next parameter is its size.
    pub(crate) sized: bool,
}

/// What a kernel function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returns {
    Nothing,
    /// A number of so many bytes.
    Scalar(u32),
    VoidPointer,
    Struct(BtfRef),
    /// Memory, of a size that the type says.
    Memory(Option<u32>),
}

macro_rules! special {
    ($($variant:ident = $name:literal,)*) => {
        /// Kernel functions with rules of their own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Special {
            None,
            $($variant,)*
        }

        impl Special {
            /// By its newest name.
            fn of(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    _ => Self::None,
                }
            }
        }
    };
}

special! {
    ObjNew = "bpf_obj_new",
    ObjDrop = "bpf_obj_drop",
    PercpuObjNew = "bpf_percpu_obj_new",
    PercpuObjDrop = "bpf_percpu_obj_drop",
    RefcountAcquire = "bpf_refcount_acquire",
    ListPushFront = "bpf_list_push_front",
    ListPushBack = "bpf_list_push_back",
    ListPopFront = "bpf_list_pop_front",
    ListPopBack = "bpf_list_pop_back",
    ListFront = "bpf_list_front",
    ListBack = "bpf_list_back",
    TreeAdd = "bpf_rbtree_add",
    TreeRemove = "bpf_rbtree_remove",
    TreeFirst = "bpf_rbtree_first",
    TreeRoot = "bpf_rbtree_root",
    TreeLeft = "bpf_rbtree_left",
    TreeRight = "bpf_rbtree_right",
    CastToKernelContext = "bpf_cast_to_kern_ctx",
    ReadOnlyCast = "bpf_rdonly_cast",
    RcuLock = "bpf_rcu_read_lock",
    RcuUnlock = "bpf_rcu_read_unlock",
    PreemptDisable = "bpf_preempt_disable",
    PreemptEnable = "bpf_preempt_enable",
    IrqSave = "bpf_local_irq_save",
    IrqRestore = "bpf_local_irq_restore",
    ResilientLock = "bpf_res_spin_lock",
    ResilientUnlock = "bpf_res_spin_unlock",
    ResilientLockIrq = "bpf_res_spin_lock_irqsave",
    ResilientUnlockIrq = "bpf_res_spin_unlock_irqrestore",
    DynptrFromSkb = "bpf_dynptr_from_skb",
    DynptrFromSkbMeta = "bpf_dynptr_from_skb_meta",
    DynptrFromXdp = "bpf_dynptr_from_xdp",
    DynptrFromFile = "bpf_dynptr_from_file",
    DynptrFileDiscard = "bpf_dynptr_file_discard",
    DynptrSlice = "bpf_dynptr_slice",
    DynptrSliceReadWrite = "bpf_dynptr_slice_rdwr",
    DynptrClone = "bpf_dynptr_clone",
    DynptrAdjust = "bpf_dynptr_adjust",
    Throw = "bpf_throw",
    WqSetCallback = "bpf_wq_set_callback",
    TaskWorkSignal = "bpf_task_work_schedule_signal",
    TaskWorkResume = "bpf_task_work_schedule_resume",
    CssTaskNew = "bpf_iter_css_task_new",
    NumNew = "bpf_iter_num_new",
    NumNext = "bpf_iter_num_next",
    NumDestroy = "bpf_iter_num_destroy",
    SessionCookie = "bpf_session_cookie",
    SessionIsReturn = "bpf_session_is_return",
    GetKmemCache = "bpf_get_kmem_cache",
    SockDestroy = "bpf_sock_destroy",
    XdpPullData = "bpf_xdp_pull_data",
}

impl Special {
    /// Whether it works on lists and trees, under their lock.
    pub(crate) fn is_graph(self) -> bool {
        self.is_list() || self.is_tree() || self == Self::RefcountAcquire
    }

    pub(crate) fn is_list(self) -> bool {
        matches!(
            self,
            Self::ListPushFront
                | Self::ListPushBack
                | Self::ListPopFront
                | Self::ListPopBack
                | Self::ListFront
                | Self::ListBack
        )
    }

    pub(crate) fn is_tree(self) -> bool {
        matches!(
            self,
            Self::TreeAdd
                | Self::TreeRemove
                | Self::TreeFirst
                | Self::TreeRoot
                | Self::TreeLeft
                | Self::TreeRight
        )
    }

    /// Whether it may be called while a lock is held.
    pub(crate) fn allowed_under_lock(self) -> bool {
        self.is_graph()
            || matches!(
                self,
                Self::NumNew
                    | Self::NumNext
                    | Self::NumDestroy
                    | Self::ResilientLock
                    | Self::ResilientUnlock
                    | Self::ResilientLockIrq
                    | Self::ResilientUnlockIrq
            )
    }
}

impl Verifier<'_> {
    /// The kernel function with a BTF id, which the instruction at a slot calls.
    pub(crate) fn kernel_function(&mut self, btf_id: u32, slot: usize) -> Result<Rc<Descriptor>> {
        let source = self.kernel_function_source(slot)?;
        let key = (source, btf_id);
        if let Some(found) = self.kernel_functions.get(&key) {
            return Ok(Rc::clone(found));
        }
        let found = Rc::new(self.describe(source, btf_id)?);
        self.kernel_functions.insert(key, Rc::clone(&found));
        Ok(found)
    }

    /// Whose BTF the instruction at a slot refers to.
    fn kernel_function_source(&self, slot: usize) -> Result<BtfSource> {
        let mut modules = self.program.modules.iter();
        let Some((_, name)) = modules.find(|(insn, _)| insn.as_usize() == slot) else {
            let insn = self.code.insns.get(slot).copied().flatten();
            if let Some(Insn::Call(CallTarget::Kfunc { fd_index, .. })) = insn
                && fd_index != 0
            {
                let message = format!(
                    "a function of the module in place {fd_index} of the load's descriptors is \
                     called, and the program names none there"
                );
                return Err(self.reject(Rule::UnknownKfunc, message));
            }
            return Ok(BtfSource::Kernel);
        };
        let mut known = self.target.modules.iter();
        match known.position(|module| module.name == *name) {
            Some(place) => Ok(BtfSource::Module(u16::try_from(place).unwrap_or(u16::MAX))),
            None => Err(self.reject(
                Rule::UnknownKfunc,
                format!("the module `{name}`, whose function is called, is not among the target's"),
            )),
        }
    }

    fn describe(&self, source: BtfSource, btf_id: u32) -> Result<Descriptor> {
        let unknown = || {
            self.reject(
                Rule::UnknownKfunc,
                format!("the target's types have no kernel function with the id {btf_id}"),
            )
        };
        if btf_id == 0 {
            return Err(self
                .reject(
                    Rule::UnknownKfunc,
                    "a kernel function that the target does not have is called",
                )
                .help("test first whether it is there: `if (bpf_ksym_exists(function))`"));
        }
        let Some(btf) = self.btf(source) else {
            return Err(unknown());
        };
        let function = btf.type_by_id(TypeId(btf_id)).map_err(|_| unknown())?;
        let Kind::Function(of) = function.kind() else {
            return Err(unknown());
        };
        let prototype = btf.type_by_id(of.prototype).map_err(|_| unknown())?;
        let Kind::FunctionPrototype(prototype) = prototype.kind() else {
            return Err(unknown());
        };
        let name = function.name();
        let Some(known) = Kfunc::by_name(name) else {
            return Err(self.reject(
                Rule::KfuncNotAllowed,
                format!("`{name}` is no function that programs may call, as far as Skep knows"),
            ));
        };
        let mut tags = btf.decl_tags(function.id(), None);
        self.check_callable(known, || tags.any(|tag| tag == "bpf_kfunc"))?;
        if prototype.params().len() > 5 {
            return Err(self.reject(
                Rule::UnknownKfunc,
                format!("`{name}` takes more than the five arguments that a program can pass"),
            ));
        }
        Ok(Descriptor {
            name: name.into(),
            flags: known.flags,
            special: if source == BtfSource::Kernel {
                Special::of(known.newest_name())
            } else {
                Special::None
            },
            parameters: self.parameters_of(btf, source, known, &prototype),
            returns: returns(btf, source, prototype.return_type),
        })
    }

    fn parameters_of(
        &self,
        btf: &Btf,
        source: BtfSource,
        known: &Kfunc,
        prototype: &FunctionPrototype<'_>,
    ) -> Vec<Parameter> {
        let names: Vec<_> = prototype.params().into_iter().collect();
        let mut parameters = Vec::with_capacity(names.len());
        for (index, parameter) in names.iter().enumerate() {
            let next = names.get(index + 1).map(|next| next.name());
            let kind = self.parameter_kind(
                btf,
                source,
                known,
                index,
                parameter.name(),
                parameter.type_id,
                next,
            );
            let name = parameter.name();
            parameters.push(Parameter {
                kind,
                nullable: name.ends_with("__nullable") || name.ends_with("__opt"),
                uninit: name.ends_with("__uninit"),
            });
        }
        parameters
    }

    #[expect(clippy::too_many_arguments, reason = "all of it is one parameter")]
    fn parameter_kind(
        &self,
        btf: &Btf,
        source: BtfSource,
        known: &Kfunc,
        index: usize,
        name: &str,
        type_id: TypeId,
        next: Option<&str>,
    ) -> ParameterKind {
        if name.ends_with("__ign") || name.ends_with("__prog") {
            return ParameterKind::Ignored;
        }
        let Ok(of) = btf.skip_modifiers(type_id) else {
            return ParameterKind::Unsupported;
        };
        let target = match of.kind() {
            Kind::Int(_) | Kind::Enum(_) | Kind::Enum64(_) => return scalar(name),
            Kind::Pointer { target } => target,
            _ => return ParameterKind::Unsupported,
        };
        if known.name == "bpf_cast_to_kern_ctx" {
            return ParameterKind::Context;
        }
        let kernel = self.target.kernel_btf.as_deref();
        if is_context(btf, target, self.effective_type(), kernel) {
            return ParameterKind::Context;
        }
        let suffixes = [
            ("__alloc", ParameterKind::Allocated),
            ("__refcounted_kptr", ParameterKind::Refcounted),
            ("__str", ParameterKind::ConstantString),
            ("__map", ParameterKind::Map),
            ("__const_map", ParameterKind::Map),
            ("__irq_flag", ParameterKind::IrqFlag),
        ];
        let by_suffix = suffixes
            .into_iter()
            .find(|(suffix, _)| name.ends_with(suffix));
        if let Some((_, kind)) = by_suffix {
            return kind;
        }
        let Ok(pointee) = btf.skip_modifiers(target) else {
            return ParameterKind::Unsupported;
        };
        let of = normal(btf, source, pointee.id());
        let iterates = KfuncFlags::ITER_NEW | KfuncFlags::ITER_NEXT | KfuncFlags::ITER_DESTROY;
        if (index == 0 && known.flags.intersects(iterates)) || name.ends_with("__iter") {
            return iterator(btf, pointee, of);
        }
        if pointee.tag() == Some(KindTag::Struct) {
            match pointee.name() {
                "bpf_dynptr" => return ParameterKind::Dynptr,
                "bpf_list_head" => return ParameterKind::ListHead,
                "bpf_list_node" => return ParameterKind::ListNode,
                "bpf_rb_root" => return ParameterKind::TreeRoot,
                "bpf_rb_node" => return ParameterKind::TreeNode,
                "bpf_wq" => return ParameterKind::Workqueue,
                "bpf_task_work" => return ParameterKind::TaskWork,
                "bpf_timer" => return ParameterKind::Timer,
                "bpf_res_spin_lock" => return ParameterKind::ResilientLock,
                _ => {}
            }
        }
        if pointee.tag() == Some(KindTag::FunctionPrototype) {
            return ParameterKind::Callback;
        }
        let sized = next.is_some_and(|next| next.ends_with("__sz") || next.ends_with("__szk"));
        let is_void = pointee.tag() == Some(KindTag::Void);
        ParameterKind::Pointer(Pointee {
            of,
            is_struct: matches!(pointee.tag(), Some(KindTag::Struct | KindTag::Union)),
            is_memory: (is_void && sized) || is_plain(btf, pointee, 4),
            size: btf
                .size_of(target)
                .ok()
                .and_then(|size| u32::try_from(size).ok()),
            sized,
        })
    }
}

fn scalar(name: &str) -> ParameterKind {
    if name.ends_with("__sz") {
        ParameterKind::Size { constant: false }
    } else if name.ends_with("__szk") {
        ParameterKind::Size { constant: true }
    } else {
        ParameterKind::Scalar {
            constant: name.ends_with("__k"),
            result_size: match name {
                "rdonly_buf_size" => Some(true),
                "rdwr_buf_size" => Some(false),
                _ => None,
            },
        }
    }
}

fn iterator(btf: &Btf, pointee: Type<'_>, of: BtfRef) -> ParameterKind {
    let size = btf.size_of(pointee.id()).unwrap_or(0);
    let slots = usize::try_from(size / 8).unwrap_or(0);
    let is_iterator = pointee.tag() == Some(KindTag::Struct)
        && pointee.name().starts_with("bpf_iter_")
        && size.is_multiple_of(8)
        && (1..=64).contains(&slots);
    if is_iterator {
        ParameterKind::Iterator { of, slots }
    } else {
        ParameterKind::Unsupported
    }
}

fn returns(btf: &Btf, source: BtfSource, type_id: TypeId) -> Returns {
    let Ok(of) = btf.skip_modifiers(type_id) else {
        return Returns::Nothing;
    };
    let target = match of.kind() {
        Kind::Int(int) => return Returns::Scalar(int.size),
        Kind::Enum(values) | Kind::Enum64(values) => return Returns::Scalar(values.size),
        Kind::Pointer { target } => target,
        _ => return Returns::Nothing,
    };
    let Ok(pointee) = btf.skip_modifiers(target) else {
        return Returns::VoidPointer;
    };
    match pointee.tag() {
        Some(KindTag::Void) => Returns::VoidPointer,
        Some(KindTag::Struct) => Returns::Struct(normal(btf, source, pointee.id())),
        _ => Returns::Memory(
            btf.size_of(target)
                .ok()
                .and_then(|size| u32::try_from(size).ok()),
        ),
    }
}

/// A type of a module's BTF that is the kernel's, as the kernel's.
pub(crate) fn normal(btf: &Btf, source: BtfSource, type_id: TypeId) -> BtfRef {
    let base = matches!(source, BtfSource::Module(_)) && type_id < btf.first_id();
    BtfRef {
        btf: if base { BtfSource::Kernel } else { source },
        type_id,
    }
}

/// Whether a type is a number, or a structure of numbers and such structures only.
pub(crate) fn is_plain(btf: &Btf, of: Type<'_>, depth: u32) -> bool {
    match of.kind() {
        Kind::Int(_) | Kind::Enum(_) | Kind::Enum64(_) => true,
        Kind::Struct(composite) | Kind::Union(composite) => {
            depth > 0
                && composite.members().into_iter().all(|member| {
                    let Ok(of) = btf.skip_modifiers(member.type_id) else {
                        return false;
                    };
                    match of.kind() {
                        Kind::Array(array) => {
                            let element = btf.skip_modifiers(array.element);
                            array.len > 0
                                && element.is_ok_and(|element| {
                                    matches!(
                                        element.tag(),
                                        Some(KindTag::Int | KindTag::Enum | KindTag::Enum64)
                                    )
                                })
                        }
                        _ => is_plain(btf, of, depth - 1),
                    }
                })
        }
        _ => false,
    }
}
