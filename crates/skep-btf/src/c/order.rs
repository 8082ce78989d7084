//! What must stand before what: a structure's members by value before it, a declaration before a
//! pointer, a typedef before its name.

use super::CDump;
use crate::words::{self, Reference};
use crate::{Error, Kind, Result, Type, TypeId};

/// How deep definitions may call for one another. The kernel's go to about 30.
const DEPTH: u32 = 200;

/// What has been printed of a type.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// Its definition.
    pub(super) defined: bool,
    /// What it needs is being printed: to need it again by value makes no sense.
    in_progress: bool,
    /// A declaration: enough for pointers.
    declared: bool,
    /// Some type refers to it.
    pub(super) referenced: bool,
}

/// What somebody needs of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Its name, behind a pointer.
    Name,
    /// Its size.
    Whole,
}

impl CDump<'_> {
    pub(super) fn state(&self, id: TypeId) -> State {
        self.states.get(id.0 as usize).copied().unwrap_or_default()
    }

    pub(super) fn set_state(&mut self, id: TypeId, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.states.get_mut(id.0 as usize) {
            change(state);
        }
    }

    /// Notes which types others refer to.
    pub(super) fn mark_referenced(&mut self) -> Result<()> {
        let mut one = Vec::new();
        for found in self.btf.types().filter(|found| found.tag().is_some()) {
            one.clear();
            words::read(found, &mut one)?;
            words::each_reference(&mut one, |_, what, id| {
                if what == Reference::Type {
                    self.set_state(TypeId(*id), |state| state.referenced = true);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(super) fn define_root(&mut self, id: TypeId) -> Result<()> {
        let one = self.btf.type_by_id(id)?;
        match one.kind() {
            Kind::Variable(variable) => self.need(variable.type_id, Need::Whole, DEPTH),
            Kind::Function(function) => self.need(function.prototype, Need::Name, DEPTH),
            Kind::DataSection(section) => section.entries().try_for_each(|entry| {
                match self.btf.type_by_id(entry.type_id)?.kind() {
                    Kind::Variable(variable) => self.need(variable.type_id, Need::Whole, DEPTH),
                    _ => Ok(()),
                }
            }),
            // A root without a name has no user to be printed in.
            Kind::Enum(_) | Kind::Enum64(_) if one.name().is_empty() => {
                if self.state(id).defined {
                    Ok(())
                } else {
                    self.print_definition(id)
                }
            }
            _ => self.need(id, Need::Whole, DEPTH),
        }
    }

    /// Prints what `id` needs, and its own definition when it is of a kind that has a name.
    fn need(&mut self, id: TypeId, need: Need, depth: u32) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or(Error::TypeLoop { id })?;
        self.spend(id)?;
        let one = self.btf.type_by_id(id)?;
        match one.kind() {
            Kind::Pointer { target } => self.need(target, Need::Name, depth),
            // An array's elements must be whole even behind a pointer.
            Kind::Array(array) => self.need(array.element, Need::Whole, depth),
            Kind::FunctionPrototype(prototype) => {
                self.need(prototype.return_type, Need::Name, depth)?;
                let mut params = prototype.params();
                params.try_for_each(|param| self.need(param.type_id, Need::Name, depth))
            }
            Kind::Typedef { target } => self.need_typedef(one, target, need, depth),
            Kind::Struct(composite) | Kind::Union(composite) => {
                if self.state(id).defined {
                    return Ok(());
                }
                if !one.name().is_empty() && need == Need::Name {
                    return self.declare_once(id);
                }
                if self.state(id).in_progress {
                    return Err(Error::TypeLoop { id });
                }
                self.set_state(id, |state| state.in_progress = true);
                for member in composite.members() {
                    self.need(member.type_id, Need::Whole, depth)?;
                }
                self.set_state(id, |state| {
                    (state.in_progress, state.defined) = (false, true)
                });
                // One without a name is printed where it is used.
                if one.name().is_empty() {
                    Ok(())
                } else {
                    self.print_definition(id)
                }
            }
            Kind::Enum(_) | Kind::Enum64(_) => {
                if one.name().is_empty() || self.state(id).defined {
                    return Ok(());
                }
                self.print_definition(id)
            }
            Kind::Forward { .. } => self.declare_once(id),
            other => match other.modified() {
                Some(target) => self.need(target, need, depth),
                None => Ok(()),
            },
        }
    }

    fn need_typedef(
        &mut self,
        one: Type<'_>,
        target: TypeId,
        need: Need,
        depth: u32,
    ) -> Result<()> {
        let id = one.id();
        // The name first, before what it names is whole: structures often have pointers to their
        // own typedefs.
        if !self.state(id).declared {
            if self.state(id).in_progress {
                return Err(Error::TypeLoop { id });
            }
            self.set_state(id, |state| state.in_progress = true);
            self.need(target, Need::Name, depth)?;
            self.set_state(id, |state| {
                (state.in_progress, state.declared) = (false, true)
            });
            self.print_definition(id)?;
        }
        if need == Need::Whole && !self.state(id).defined {
            self.set_state(id, |state| state.defined = true);
            self.need(target, Need::Whole, depth)?;
        }
        Ok(())
    }

    fn declare_once(&mut self, id: TypeId) -> Result<()> {
        if self.state(id).declared {
            return Ok(());
        }
        self.set_state(id, |state| state.declared = true);
        self.write_specifier(id, DEPTH)?;
        self.out.push_str(";\n\n");
        Ok(())
    }

    /// Counts one more printed part.
    pub(super) fn spend(&mut self, id: TypeId) -> Result<()> {
        self.budget = self.budget.checked_sub(1).ok_or(Error::TooComplex { id })?;
        if self.out.len() > self.byte_budget {
            return Err(Error::TooComplex { id });
        }
        Ok(())
    }
}
