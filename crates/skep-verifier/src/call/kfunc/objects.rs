//! Objects that programs allocate: owned, or in a list or tree and then only lent while its lock is
//! held.

use skep_isa::Reg;

use super::{Call, Contents, Descriptor, Special, descriptor::ParameterKind};
use crate::{
    Rule,
    call::LockKind,
    state::{BtfRef, FieldKind, HeldKind, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Checks an argument that is an object of the program, or a list or tree of such.
    pub(super) fn object_argument(
        &mut self,
        call: &mut Call,
        kind: ParameterKind,
        reg: Reg,
        register: &Register,
    ) -> Result {
        match kind {
            ParameterKind::Allocated => self.dropped_object(call, reg, register),
            ParameterKind::Refcounted => self.refcounted_object(call, reg, register),
            ParameterKind::ListHead | ParameterKind::TreeRoot => {
                self.root_argument(call, kind, reg, register)
            }
            _ => self.node_argument(call, kind, reg, register),
        }
    }

    fn dropped_object(&mut self, call: &mut Call, reg: Reg, register: &Register) -> Result {
        let percpu = call.function.special == Special::PercpuObjDrop;
        let expected = if percpu {
            PointerFlags::ALLOCATED | PointerFlags::PERCPU
        } else {
            PointerFlags::ALLOCATED
        };
        let Kind::Btf(of) = register.kind else {
            return Err(self.wrong_kind(
                call,
                reg,
                register,
                "an object that the program allocated",
            ));
        };
        if register.flags != expected {
            return Err(self.no_object(call, reg, "not an object of the kind that it drops"));
        }
        if !register.reference.is_some() {
            return Err(self.no_object(call, reg, "an object that the program does not own"));
        }
        call.object = Some(of);
        Ok(())
    }

    fn refcounted_object(&mut self, call: &mut Call, reg: Reg, register: &Register) -> Result {
        let Kind::Btf(of) = register.kind else {
            return Err(self.wrong_kind(
                call,
                reg,
                register,
                "an object that the program allocated",
            ));
        };
        if !register.flags.contains(PointerFlags::ALLOCATED) {
            return Err(self.no_object(call, reg, "not an object that the program allocated"));
        }
        let fields = self.fields_of(of);
        let counted =
            fields.is_some_and(|fields| fields.find(|kind| *kind == FieldKind::Refcount).is_some());
        if !counted {
            return Err(self
                .no_object(call, reg, "an object without a reference count")
                .help("give its type a member of type `struct bpf_refcount`"));
        }
        call.owning =
            !register.flags.contains(PointerFlags::NON_OWNING) && register.reference.is_some();
        call.object = Some(of);
        Ok(())
    }

    /// The head of a list or root of a tree.
    fn root_argument(
        &mut self,
        call: &mut Call,
        kind: ParameterKind,
        reg: Reg,
        register: &Register,
    ) -> Result {
        let (name, list) = if kind == ParameterKind::ListHead {
            ("struct bpf_list_head", true)
        } else {
            ("struct bpf_rb_root", false)
        };
        let fits = match register.kind {
            Kind::MapValue { .. } => register.flags.is_empty(),
            Kind::Btf(_) => register.flags == PointerFlags::ALLOCATED,
            _ => false,
        };
        if !fits {
            let wanted = format!("a `{name}` in a map's value or in an object");
            return Err(self.wrong_kind(call, reg, register, &wanted));
        }
        if matches!(register.kind, Kind::Btf(_)) && !register.reference.is_some() {
            return Err(self.no_object(call, reg, "in an object that the program does not own"));
        }
        if list != call.function.special.is_list() {
            return Err(self.wrong_kind(call, reg, register, &format!("a `{name}`")));
        }
        let field = self.field_at(reg, register, name, |field| match field {
            FieldKind::ListHead { .. } => list,
            FieldKind::TreeRoot { .. } => !list,
            _ => false,
        })?;
        self.check_locked(call, reg, register)?;
        let (object, node) = match field.kind {
            FieldKind::ListHead { object, node } | FieldKind::TreeRoot { object, node } => {
                (object, node)
            }
            _ => return Ok(()),
        };
        call.contains = Some(Contents {
            object: BtfRef {
                btf: crate::state::BtfSource::Program,
                type_id: object,
            },
            node,
        });
        Ok(())
    }

    /// Checks that the lock beside a list or tree is held.
    fn check_locked(&mut self, call: &Call, reg: Reg, register: &Register) -> Result {
        let (_, of) = self.holder(register);
        let held = self.state.held.iter().any(|held| {
            let owner = match held.kind {
                HeldKind::SpinLock { owner } | HeldKind::ResilientLock { owner, .. } => owner,
                _ => return false,
            };
            owner == of && held.id == register.id
        });
        if held {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::ObjectMisuse,
                format!(
                    "{} is called without the lock of its list or tree",
                    call.function.name
                ),
            )
            .of(reg)
            .help("take the bpf_spin_lock in the same value or object first"))
    }

    /// A node of an object.
    fn node_argument(
        &mut self,
        call: &mut Call,
        kind: ParameterKind,
        reg: Reg,
        register: &Register,
    ) -> Result {
        let special = call.function.special;
        let Kind::Btf(of) = register.kind else {
            return Err(self.wrong_kind(call, reg, register, "a node of an object"));
        };
        let lent = register.flags.contains(PointerFlags::NON_OWNING);
        match special {
            Special::TreeRemove | Special::TreeLeft | Special::TreeRight => {
                let allocated = register.flags.contains(PointerFlags::ALLOCATED);
                // Since 6.16 one that the program owns will do too: it may be in the tree as well.
                let owned = register.reference.is_some();
                let held = if self.since(6, 16) {
                    lent || owned
                } else {
                    lent && !owned
                };
                if !held || !allocated || register.may_be_null() {
                    return Err(self.no_object(call, reg, "not a node that is in a tree"));
                }
                if special == Special::TreeRemove && self.in_tree_callback() {
                    return Err(self.reject(
                        Rule::ObjectMisuse,
                        "a node is removed by the function that compares nodes of the tree",
                    ));
                }
            }
            _ => {
                if register.flags != PointerFlags::ALLOCATED {
                    return Err(self.no_object(call, reg, "not a node of an object that is owned"));
                }
                if !register.reference.is_some() {
                    return Err(self.no_object(call, reg, "a node of an object that is not owned"));
                }
            }
        }
        let list = kind == ParameterKind::ListNode;
        let name = if list {
            "struct bpf_list_node"
        } else {
            "struct bpf_rb_node"
        };
        let field = self.field_at(reg, register, name, |field| match field {
            FieldKind::ListNode => list,
            FieldKind::TreeNode => !list,
            _ => false,
        })?;
        call.object = Some(of);
        let Some(contains) = call.contains else {
            return Err(self.no_object(call, reg, "a node without its list or tree"));
        };
        if contains.object != of || contains.node != field.offset {
            return Err(self.no_object(
                call,
                reg,
                &format!(
                    "not the node of `struct {}` that the list or tree is of",
                    self.struct_name(contains.object)
                ),
            ));
        }
        Ok(())
    }

    /// What was put into a list or tree is owned by it: the program has it lent.
    pub(super) fn give_to_collection(&mut self, call: &Call) -> Result {
        let reference = self.reg(Reg::R2).reference;
        self.give_up_reference(reference)?;
        let counted = call
            .object
            .and_then(|of| self.fields_of(of))
            .is_some_and(|fields| fields.find(|kind| *kind == FieldKind::Refcount).is_some());
        let mut lent = PointerFlags::NON_OWNING;
        if counted {
            lent |= PointerFlags::RCU;
        }
        self.state.change_registers(
            |register| register.reference == reference,
            |register| {
                register.reference = crate::state::Id::NONE;
                register.flags |= lent;
            },
        );
        Ok(())
    }

    /// The node that a list or tree function gives.
    pub(super) fn node(&mut self, contains: Contents) -> Register {
        let mut node = Register::pointer(Kind::Btf(contains.object)).with(PointerFlags::ALLOCATED);
        node.offset = i32::try_from(contains.node).unwrap_or(0);
        node
    }

    /// The same, lent.
    pub(super) fn lent(&mut self, mut node: Register) -> Register {
        node.flags |= PointerFlags::NON_OWNING;
        if let Kind::Btf(of) = node.kind
            && let Some(fields) = self.fields_of(of)
            && fields.find(|kind| *kind == FieldKind::Refcount).is_some()
        {
            node.flags |= PointerFlags::RCU;
        }
        node
    }

    /// Whether a function that compares nodes of a tree runs, or one that it calls.
    pub(crate) fn in_tree_callback(&self) -> bool {
        self.state.frames.iter().any(|frame| {
            frame.callback.is_some()
                && matches!(
                    self.code.insns.get(frame.call_site),
                    Some(Some(skep_isa::Insn::Call(skep_isa::CallTarget::Kfunc { btf_id, .. })))
                        if self.is_tree_add(*btf_id, frame.call_site)
                )
        })
    }

    fn is_tree_add(&self, btf_id: u32, slot: usize) -> bool {
        let of_module = self
            .program
            .modules
            .iter()
            .any(|(insn, _)| insn.as_usize() == slot);
        let key = (crate::state::BtfSource::Kernel, btf_id);
        !of_module
            && self
                .kernel_functions
                .get(&key)
                .is_some_and(|function| function.special == Special::TreeAdd)
    }

    /// A resilient lock, which is taken or released.
    pub(super) fn resilient_lock(
        &mut self,
        function: &Descriptor,
        reg: Reg,
        register: &Register,
    ) -> Result {
        let fits = match register.kind {
            Kind::MapValue { .. } => register.flags.is_empty(),
            Kind::Btf(_) => register.flags == PointerFlags::ALLOCATED,
            _ => false,
        };
        if !fits {
            return Err(self
                .reject(
                    Rule::ArgumentType,
                    format!(
                        "{reg} of {} must be a `struct bpf_res_spin_lock` in a map's value or an object",
                        function.name
                    ),
                )
                .of(reg)
                .help("test what a lookup gave before its lock is taken"));
        }
        let irq = matches!(
            function.special,
            Special::ResilientLockIrq | Special::ResilientUnlockIrq
        );
        let lock = LockKind::Resilient { irq };
        match function.special {
            Special::ResilientLock | Special::ResilientLockIrq => self.take_lock(reg, lock),
            _ => self.release_lock(reg, lock),
        }
    }

    #[cold]
    fn no_object(&self, call: &Call, reg: Reg, what: &str) -> Box<crate::Rejection> {
        self.reject(
            Rule::ObjectMisuse,
            format!("{reg} of {} is {what}", call.function.name),
        )
        .of(reg)
    }
}
