//! What types say of each other: every reference leads to what may stand there, by value nothing
//! contains itself, and chains are short.
//!
//! Types are followed in the order of their ids, each only as far as it must be. A pointer ends
//! what a structure leads to, and a structure ends what a pointer leads to, so how far is a matter
//! of where one comes from ([`Mode`]): kernels find some faults, and miss some, by that. A type
//! that was not followed yet has no length as an array and is `void` as a typedef. All of this is
//! kept, so that the answer is a kernel's for every order of types.

use super::members::{self, is_regular};
use super::names::Names;
use super::{Fault, NameFault, Part, Refused};
use crate::{Array, Btf, FunctionPrototype, Kind, KindTag, Place, Type, TypeId};
use std::collections::HashMap;

/// How many types may lead to each other (`MAX_RESOLVE_DEPTH`).
const DEPTH: usize = 32;

pub(super) fn check(btf: &Btf) -> Result<(), Refused> {
    let mut resolver = Resolver::new(btf);
    for found in btf.types() {
        let id = found.id();
        if leads_on(found.tag()) {
            resolver.follow(id)?;
        }
        if let Kind::FunctionPrototype(prototype) = found.kind() {
            resolver
                .prototype(prototype)
                .map_err(|why| why.or_at(found))?;
        }
    }
    Ok(())
}

/// What is known of a type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    New,
    /// On the stack.
    Open,
    Done,
}

/// How far types are followed: not decided before a pointer, or a structure or array, was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Undecided,
    /// Through pointers.
    Pointers,
    /// Through members and elements.
    Values,
}

impl Mode {
    /// Whether a type ends what is followed.
    fn ends_at(self, tag: Option<KindTag>) -> bool {
        use KindTag::*;
        match self {
            Self::Undecided => !leads_on(tag),
            Self::Pointers => !is_modifier(tag) && tag != Some(Pointer),
            Self::Values => !is_modifier(tag) && !matches!(tag, Some(Array | Struct | Union)),
        }
    }
}

/// A type that is being followed.
struct Frame<'a> {
    found: Type<'a>,
    /// The next of its members or variables.
    next: u32,
}

/// What to do after a look at a type.
enum Step {
    /// Another one must be followed first.
    Into(TypeId),
    /// It is done.
    Done { resolved: TypeId, len: u32 },
}

/// Why a type was refused, and the type when it is another one than that which was looked at.
pub(super) enum Why {
    Here(Fault),
    There(Refused),
}

impl From<Fault> for Why {
    fn from(why: Fault) -> Self {
        Self::Here(why)
    }
}

impl Why {
    fn or_at(self, found: Type<'_>) -> Refused {
        match self {
            Self::There(refused) => refused,
            Self::Here(why) => refused(found, why),
        }
    }
}

fn refused(found: Type<'_>, why: Fault) -> Refused {
    Refused {
        place: Some(Place {
            offset: found.data_offset(),
            type_id: Some(found.id()),
        }),
        why,
    }
}

pub(super) struct Resolver<'a> {
    btf: &'a Btf,
    /// By id.
    states: Vec<State>,
    /// By id: what typedefs, qualifiers, tags, pointers and variables come to in the end.
    resolved: Vec<TypeId>,
    /// By id: bytes of arrays.
    lens: Vec<u32>,
    mode: Mode,
    stack: Vec<Frame<'a>>,
    /// By prototype: its first parameter that has a type and no name.
    unnamed: HashMap<TypeId, Option<u32>>,
}

impl<'a> Resolver<'a> {
    fn new(btf: &'a Btf) -> Self {
        let count = (btf.type_count() as usize).saturating_add(1);
        Self {
            btf,
            states: vec![State::New; count],
            resolved: vec![TypeId::VOID; count],
            lens: vec![0; count],
            mode: Mode::Undecided,
            stack: Vec::with_capacity(DEPTH),
            unnamed: HashMap::new(),
        }
    }

    /// Follows a type to the end, if that was not done yet.
    fn follow(&mut self, id: TypeId) -> Result<(), Refused> {
        if self.is_done(id) {
            return Ok(());
        }
        self.mode = Mode::Undecided;
        let mut step = Step::Into(id);
        loop {
            match step {
                Step::Into(id) => {
                    let pushed = self.push(id);
                    pushed.map_err(|why| match self.stack.last() {
                        Some(top) => refused(top.found, why),
                        None => why.into(),
                    })?;
                }
                Step::Done { resolved, len } => {
                    if let Some(top) = self.stack.pop() {
                        self.close(top.found.id(), resolved, len);
                    }
                }
            }
            // Taken off while it is looked at, and put back.
            let Some(mut top) = self.stack.pop() else {
                return Ok(());
            };
            let found = top.found;
            step = self.step(&mut top).map_err(|why| refused(found, why))?;
            self.stack.push(top);
        }
    }

    fn push(&mut self, id: TypeId) -> Result<(), Fault> {
        if self.stack.len() >= DEPTH {
            return Err(Fault::TooDeep);
        }
        let found = self.get(Part::Whole, id)?;
        match self.states.get_mut(id.0 as usize) {
            Some(state @ State::New) => *state = State::Open,
            _ => return Err(Fault::Loop { id }),
        }
        if self.mode == Mode::Undecided {
            self.mode = match found.tag() {
                Some(KindTag::Pointer) => Mode::Pointers,
                Some(KindTag::Struct | KindTag::Union | KindTag::Array) => Mode::Values,
                _ => Mode::Undecided,
            };
        }
        self.stack.push(Frame { found, next: 0 });
        Ok(())
    }

    fn close(&mut self, id: TypeId, resolved: TypeId, len: u32) {
        let at = id.0 as usize;
        if let (Some(state), Some(to), Some(bytes)) = (
            self.states.get_mut(at),
            self.resolved.get_mut(at),
            self.lens.get_mut(at),
        ) {
            (*state, *to, *bytes) = (State::Done, resolved, len);
        }
    }

    fn is_done(&self, id: TypeId) -> bool {
        self.states.get(id.0 as usize) == Some(&State::Done)
    }

    /// Whether a type must be followed before the one that leads to it is done.
    fn is_open(&self, found: Type<'_>) -> bool {
        !self.mode.ends_at(found.tag()) && !self.is_done(found.id())
    }

    /// The type that something is of.
    fn get(&self, of: Part, id: TypeId) -> Result<Type<'a>, Fault> {
        let found = self.btf.type_by_id(id);
        found.map_err(|_| Fault::Target { of, id })
    }

    fn resolved(&self, id: TypeId) -> TypeId {
        let known = self.resolved.get(id.0 as usize);
        known.copied().unwrap_or_default()
    }

    fn len(&self, id: TypeId) -> u32 {
        self.lens.get(id.0 as usize).copied().unwrap_or(0)
    }

    /// What a type comes to, and its bytes, if it has any: as far as it is known by now.
    pub(super) fn sized(&self, id: TypeId) -> Option<(Type<'a>, u32)> {
        let found = self.btf.type_by_id(id).ok()?;
        let through = is_modifier(found.tag()) || found.tag() == Some(KindTag::Variable);
        let end = match through {
            true => self.btf.type_by_id(self.resolved(id)).ok()?,
            false => found,
        };
        let bytes = match end.kind() {
            Kind::Int(int) => int.size,
            Kind::Struct(composite) | Kind::Union(composite) => composite.size,
            Kind::Enum(values) | Kind::Enum64(values) => values.size,
            Kind::Float { size } => size,
            Kind::DataSection(section) => section.size,
            Kind::Pointer { .. } => 8,
            Kind::Array(_) => self.len(end.id()),
            _ => return None,
        };
        Some((end, bytes))
    }

    fn step(&mut self, frame: &mut Frame<'a>) -> Result<Step, Fault> {
        let found = frame.found;
        match found.kind() {
            Kind::Pointer { target } => self.target(found, target),
            Kind::Variable(variable) => self.target(found, variable.type_id),
            Kind::Array(array) => self.array(array),
            Kind::Struct(composite) | Kind::Union(composite) => {
                while let Some(member) = composite.members().get(frame.next as usize) {
                    let of = Part::Element(frame.next);
                    let inner = self.inner(of, member.type_id)?;
                    if self.is_open(inner) {
                        return Ok(Step::Into(member.type_id));
                    }
                    members::check(self, of, found, &member)?;
                    frame.next = frame.next.saturating_add(1);
                }
                Ok(Step::done(TypeId::VOID))
            }
            Kind::DataSection(section) => {
                while let Some(entry) = section.entries().get(frame.next as usize) {
                    let of = Part::Element(frame.next);
                    let variable = self.get(of, entry.type_id)?;
                    let Kind::Variable(kind) = variable.kind() else {
                        return Err(of.target(entry.type_id));
                    };
                    if self.is_open(variable) {
                        return Ok(Step::Into(entry.type_id));
                    }
                    match self.sized(kind.type_id) {
                        None => return Err(of.target(kind.type_id)),
                        Some((_, bytes)) if entry.size < bytes => {
                            return Err(Fault::Width { of });
                        }
                        Some(_) => {}
                    }
                    frame.next = frame.next.saturating_add(1);
                }
                Ok(Step::done(TypeId::VOID))
            }
            Kind::Function(function) => {
                let unnamed = self.unnamed(function.prototype)?;
                match unnamed {
                    None => Ok(Step::done(function.prototype)),
                    Some(number) => Err(Fault::Name {
                        of: Part::Element(number),
                        why: NameFault::Missing,
                    }),
                }
            }
            Kind::DeclTag(tag) => self.decl_tag(tag.target, tag.component),
            other => match other.modified() {
                Some(target) => self.target(found, target),
                None => Ok(Step::done(TypeId::VOID)),
            },
        }
    }

    /// Of a pointer, a variable, a typedef or a qualifier.
    fn target(&mut self, found: Type<'a>, id: TypeId) -> Result<Step, Fault> {
        let wrong = || Part::Whole.target(id);
        let next = self.get(Part::Whole, id)?;
        if only_leads(next.tag()) {
            return Err(wrong());
        }
        if self.is_open(next) {
            return Ok(Step::Into(id));
        }
        // What was followed through values has ended at a pointer: it goes on from there.
        if !is_modifier(found.tag()) && is_modifier(next.tag()) {
            let end = self.get(Part::Whole, self.resolved(id))?;
            if end.tag() == Some(KindTag::Pointer) && self.is_open(end) {
                return Ok(Step::Into(end.id()));
            }
        }
        if let Some((end, _)) = self.sized(id) {
            return Ok(Step::done(end.id()));
        }
        let end = match self.is_done(id) {
            true => self.get(Part::Whole, self.resolved(id))?,
            false => next,
        };
        match end.kind() {
            Kind::Void | Kind::Forward { .. } | Kind::FunctionPrototype(_)
                if found.tag() != Some(KindTag::Variable) =>
            {
                Ok(Step::done(end.id()))
            }
            _ => Err(wrong()),
        }
    }

    fn array(&mut self, array: Array) -> Result<Step, Fault> {
        let index = self.inner(Part::Index, array.index)?;
        if self.is_open(index) {
            return Ok(Step::Into(array.index));
        }
        match self.sized(array.index).map(|(end, _)| end.kind()) {
            Some(Kind::Int(int)) if is_regular(int) => {}
            _ => return Err(Part::Index.target(array.index)),
        }
        let element = self.inner(Part::Whole, array.element)?;
        if self.is_open(element) {
            return Ok(Step::Into(array.element));
        }
        let wrong = || Part::Whole.target(array.element);
        let (end, bytes) = self.sized(array.element).ok_or_else(wrong)?;
        if matches!(end.kind(), Kind::Int(int) if !is_regular(int)) {
            return Err(wrong());
        }
        match bytes.checked_mul(array.len) {
            Some(len) => Ok(Step::Done {
                resolved: end.id(),
                len,
            }),
            None => Err(Fault::Size {
                kind: KindTag::Array,
                size: u32::MAX,
            }),
        }
    }

    fn decl_tag(&mut self, id: TypeId, component: Option<u32>) -> Result<Step, Fault> {
        let target = self.get(Part::Whole, id)?;
        let parts = match target.kind() {
            Kind::Struct(composite) | Kind::Union(composite) => composite.members().len(),
            Kind::Function(function) => match self.btf.type_by_id(function.prototype) {
                Ok(prototype) => match prototype.kind() {
                    Kind::FunctionPrototype(prototype) => prototype.params().len(),
                    _ => 0,
                },
                Err(_) => 0,
            },
            Kind::Variable(_) | Kind::Typedef { .. } => 0,
            _ => return Err(Part::Whole.target(id)),
        };
        if self.is_open(target) {
            return Ok(Step::Into(id));
        }
        match component {
            Some(component) if component as usize >= parts => Err(Fault::Component { component }),
            _ => Ok(Step::done(id)),
        }
    }

    /// The type of a member, an element or an index: of those that have a size.
    fn inner(&self, of: Part, id: TypeId) -> Result<Type<'a>, Fault> {
        use KindTag::*;
        let found = self.get(of, id)?;
        match found.tag() {
            Some(Void | Forward | Function | FunctionPrototype) | None => Err(of.target(id)),
            tag if only_leads(tag) => Err(of.target(id)),
            _ => Ok(found),
        }
    }

    /// The first parameter of a function's prototype that has no name: looked for once, as many
    /// functions may share it.
    fn unnamed(&mut self, id: TypeId) -> Result<Option<u32>, Fault> {
        if let Some(known) = self.unnamed.get(&id) {
            return Ok(*known);
        }
        let Kind::FunctionPrototype(prototype) = self.get(Part::Whole, id)?.kind() else {
            return Err(Part::Whole.target(id));
        };
        let first = prototype
            .params()
            .position(|one| one.name_offset.0 == 0 && one.type_id != TypeId::VOID)
            .map(|number| number as u32);
        self.unnamed.insert(id, first);
        Ok(first)
    }

    /// What a function returns and takes has a size, and its parameters have good names or none.
    fn prototype(&mut self, prototype: FunctionPrototype<'a>) -> Result<(), Why> {
        if prototype.return_type != TypeId::VOID {
            self.passed(Part::Return, prototype.return_type)?;
        }
        let names = Names(self.btf.strings());
        let mut parameters = prototype.params();
        for number in 0_u32.. {
            let Some(one) = parameters.next() else { break };
            let of = Part::Element(number);
            if parameters.is_empty() && one.type_id == TypeId::VOID {
                let none = names.none(one.name_offset.0);
                none.map_err(|why| Fault::Name { of, why })?;
                break;
            }
            names
                .identifier_or_none(one.name_offset.0)
                .map_err(|why| Fault::Name { of, why })?;
            self.passed(of, one.type_id)?;
        }
        Ok(())
    }

    /// What is passed to a function or returned.
    fn passed(&mut self, of: Part, id: TypeId) -> Result<(), Why> {
        let found = self.get(of, id)?;
        if only_leads(found.tag()) {
            return Err(of.target(id).into());
        }
        if leads_on(found.tag()) {
            self.follow(id).map_err(Why::There)?;
        }
        match self.sized(id) {
            Some(_) => Ok(()),
            None => Err(of.target(id).into()),
        }
    }
}

impl Step {
    fn done(resolved: TypeId) -> Self {
        Self::Done { resolved, len: 0 }
    }
}

impl Part {
    pub(super) fn target(self, id: TypeId) -> Fault {
        Fault::Target { of: self, id }
    }
}

pub(super) fn is_modifier(tag: Option<KindTag>) -> bool {
    tag.is_some_and(KindTag::is_modifier)
}

/// What others can't lead to: they begin what is followed.
fn only_leads(tag: Option<KindTag>) -> bool {
    use KindTag::*;
    matches!(tag, Some(Variable | DeclTag | DataSection))
}

/// What leads to other types. Prototypes do, too; they are looked at by themselves.
fn leads_on(tag: Option<KindTag>) -> bool {
    use KindTag::*;
    is_modifier(tag)
        || only_leads(tag)
        || matches!(tag, Some(Pointer | Struct | Union | Array | Function))
}
