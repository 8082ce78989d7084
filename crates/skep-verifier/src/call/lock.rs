//! Locks: one `bpf_spin_lock` at a time, resilient ones nested, each released by the one that was
//! taken last.

use std::sync::Arc;

use skep_isa::Reg;

use crate::{
    Rule,
    state::{
        BtfRef, BtfSource, FieldKind, Fields, Held, HeldKind, Id, Kind, PointerFlags, Register,
    },
    verifier::{Result, Verifier},
};

/// Which lock functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockKind {
    /// `bpf_spin_lock`.
    Spin,
    /// `bpf_res_spin_lock`; `irq`: its variant that turns interrupts off.
    Resilient { irq: bool },
}

impl LockKind {
    fn structure(self) -> &'static str {
        match self {
            Self::Spin => "bpf_spin_lock",
            Self::Resilient { .. } => "bpf_res_spin_lock",
        }
    }

    fn is(self, field: &FieldKind) -> bool {
        match self {
            Self::Spin => matches!(field, FieldKind::SpinLock),
            Self::Resilient { .. } => matches!(field, FieldKind::ResilientSpinLock),
        }
    }

    fn held(self, owner: u64) -> HeldKind {
        match self {
            Self::Spin => HeldKind::SpinLock { owner },
            Self::Resilient { irq } => HeldKind::ResilientLock { owner, irq },
        }
    }
}

impl Verifier<'_> {
    /// Takes the lock that a register points to.
    pub(crate) fn take_lock(&mut self, reg: Reg, lock: LockKind) -> Result {
        self.check_no_comparison(reg)?;
        let (owner, id) = self.lock_at(reg, lock)?;
        let held = self.state.held.iter().find(|held| match lock {
            LockKind::Spin => held.kind.is_lock(),
            LockKind::Resilient { .. } => held.id == id && is_of(held.kind, owner),
        });
        if let Some(held) = held {
            let what = match lock {
                LockKind::Spin => "a lock is held",
                LockKind::Resilient { .. } => "this very lock is held",
            };
            return Err(self
                .reject(
                    Rule::LockMisuse,
                    format!("{what} already, since instruction {}", held.insn),
                )
                .of(reg)
                .help("release the first one before"));
        }
        self.state.held.push(Held {
            id,
            kind: lock.held(owner),
            insn: self.insn,
        });
        Ok(())
    }

    /// Releases the lock that a register points to.
    pub(crate) fn release_lock(&mut self, reg: Reg, lock: LockKind) -> Result {
        self.check_no_comparison(reg)?;
        let (owner, id) = self.lock_at(reg, lock)?;
        let last = self.state.held.iter().rposition(|held| held.kind.is_lock());
        let Some(last) = last else {
            return Err(self
                .reject(Rule::LockMisuse, "a lock is released, and none is held")
                .of(reg));
        };
        let held = self.state.held[last];
        if held.id != id || held.kind != lock.held(owner) {
            return Err(self
                .reject(
                    Rule::LockMisuse,
                    format!(
                        "the lock that is released is not the one that was taken last, at instruction {}",
                        held.insn
                    ),
                )
                .of(reg)
                .help("release it through the same pointer, from one lookup"));
        }
        self.state.held.remove(last);
        // What is in a list or tree belongs to who holds its lock.
        self.invalidate(|register| register.flags.contains(PointerFlags::NON_OWNING));
        Ok(())
    }

    /// The function that compares a tree's nodes runs under the tree's lock, and leaves locks alone.
    fn check_no_comparison(&self, reg: Reg) -> Result {
        if !self.in_tree_callback() {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::LockMisuse,
                "a lock is taken or released by the function that compares nodes of a tree",
            )
            .of(reg))
    }

    /// The lock that a register points to: what it is in, and the id of the value at hand.
    fn lock_at(&mut self, reg: Reg, lock: LockKind) -> Result<(u64, Id)> {
        let register = self.reg(reg).clone();
        let name = lock.structure();
        let (fields, owner) = self.holder(&register);
        let field = fields
            .as_ref()
            .and_then(|fields| fields.find(|kind| lock.is(kind)));
        let Some(field) = field else {
            return Err(self
                .reject(
                    Rule::LockMisuse,
                    format!("{reg} must point to a `struct {name}`, and there is none in what it points to"),
                )
                .of(reg)
                .help("locks live in map values and objects whose type is known by BTF"));
        };
        let offset = register
            .value
            .as_constant()
            .map(|value| value.wrapping_add(i64::from(register.offset).cast_unsigned()));
        match offset {
            Some(offset) if offset == u64::from(field.offset) => Ok((owner, register.id)),
            Some(offset) => Err(self
                .reject(
                    Rule::LockMisuse,
                    format!(
                        "{reg} points to byte {} of the value, and the `struct {name}` is at byte {}",
                        offset.cast_signed(),
                        field.offset
                    ),
                )
                .of(reg)),
            None => Err(self
                .reject(
                    Rule::LockMisuse,
                    format!("{reg} must point to the `struct {name}` at a constant offset"),
                )
                .of(reg)),
        }
    }

    /// What the kernel manages of what a register points to, and a number that is the same for the
    /// same map or the same types (0 is none).
    pub(crate) fn holder(&mut self, register: &Register) -> (Option<Arc<Fields>>, u64) {
        match register.kind {
            Kind::MapValue { map, inner, .. } => (
                self.map(map, inner).map(|map| Arc::clone(&map.fields)),
                u64::from(map.0) + 1 + (u64::from(inner) << 32),
            ),
            Kind::Btf(of) if register.flags.contains(PointerFlags::ALLOCATED) => {
                let types = match of.btf {
                    BtfSource::Program => 1,
                    BtfSource::Kernel => 2,
                    BtfSource::Module(module) => 3 + u64::from(module),
                };
                (self.fields_of(of), types << 40)
            }
            _ => (None, 0),
        }
    }

    /// What the kernel manages of the objects of a type that the program allocates.
    pub(crate) fn fields_of(&mut self, of: BtfRef) -> Option<Arc<Fields>> {
        if of.btf != BtfSource::Program {
            return None;
        }
        if let Some(fields) = self.object_fields.get(&of.type_id) {
            return Some(Arc::clone(fields));
        }
        let fields = Arc::new(Fields::of(self.btf(of.btf)?, of.type_id));
        self.object_fields.insert(of.type_id, Arc::clone(&fields));
        Some(fields)
    }

    /// The lock that was taken last, if one is held.
    pub(crate) fn last_lock(&self) -> Option<&Held> {
        self.state.held.iter().rfind(|held| held.kind.is_lock())
    }
}

fn is_of(held: HeldKind, of: u64) -> bool {
    match held {
        HeldKind::SpinLock { owner } | HeldKind::ResilientLock { owner, .. } => owner == of,
        _ => false,
    }
}
