//! What a path tells about a rejection, by rule: where the value at fault came from, what bounded it
//! or failed to, what is held, which loop it is.

mod holding;
mod numbers;
mod pointers;

use skep_btf::Kind as TypeKind;
use skep_isa::{CallTarget, Insn, InsnIndex, Reg};

use super::{
    Diagnosis, Label, Place,
    history::{Hop, Origin, Trail},
    names,
    trace::Path,
    words,
};
use crate::{
    Program, Rule,
    memory::words as memory_words,
    state::{Kind, Register},
};

/// Adds to a diagnosis what the path to the rejection tells.
pub(super) fn explain(diagnosis: &mut Diagnosis, path: &Path<'_>) {
    let mut story = Story { diagnosis, path };
    match story.diagnosis.rule {
        Rule::MapValueOrNull | Rule::PointerOrNull => story.nullable(),
        Rule::NotAPointer => story.no_pointer(),
        Rule::PacketOutOfBounds => story.packet(),
        Rule::MapValueOutOfBounds
        | Rule::MemoryOutOfBounds
        | Rule::StackOutOfBounds
        | Rule::UnboundedIndex
        | Rule::NegativeIndex
        | Rule::ArgumentSize
        | Rule::ArgumentConstant
        | Rule::ReturnValue
        | Rule::PointerPlusUnknown => story.number(),
        Rule::ReferenceLeak | Rule::LockMisuse | Rule::CallUnderLock | Rule::UnbalancedSection => {
            story.held();
        }
        Rule::TooComplex | Rule::UnboundedLoop => story.rounds(),
        Rule::UninitialisedRegister => story.unwritten(),
        _ => story.source_of_register(),
    }
    story.argument();
    story.callers();
}

/// A diagnosis that is being explained.
struct Story<'d, 'p, 'a> {
    diagnosis: &'d mut Diagnosis,
    path: &'p Path<'a>,
}

impl Story<'_, '_, '_> {
    fn program(&self) -> &Program<'_> {
        self.path.verifier.program
    }

    /// The place of a step.
    fn place(&self, step: usize) -> Option<Place> {
        let insn = self.path.steps.get(step)?.insn;
        Some(self.place_of(insn))
    }

    fn place_of(&self, insn: usize) -> Place {
        let insn = InsnIndex(u32::try_from(insn).unwrap_or(u32::MAX));
        Place::of(self.program(), insn)
    }

    /// Adds a label, unless something is said there already.
    fn label(&mut self, step: usize, text: impl Into<String>) {
        if let Some(place) = self.place(step) {
            self.label_at(place, text);
        }
    }

    fn label_at(&mut self, place: Place, text: impl Into<String>) {
        let same = |other: &Place| match (&place.source, &other.source) {
            (Some(one), Some(other)) => {
                one.file == other.file && one.line == other.line && one.column == other.column
            }
            _ => place.insn == other.insn,
        };
        let mut labels = self.diagnosis.labels.iter();
        let primary = self.diagnosis.place.as_ref();
        if labels.any(|label| same(&label.place)) || primary.is_some_and(same) {
            return;
        }
        self.diagnosis.labels.push(Label {
            place,
            text: text.into(),
        });
    }

    /// Whether a step is on the line of the fault itself.
    fn is_here(&self, step: usize) -> bool {
        let here = self
            .diagnosis
            .place
            .as_ref()
            .and_then(|place| place.source.as_ref());
        let there = self.place(step).and_then(|place| place.source);
        match (here, there) {
            (Some(here), Some(there)) => here.file == there.file && here.line == there.line,
            _ => false,
        }
    }

    /// The variable that has the value of a trail, if the line of the fault and what says its name
    /// (the line that made it, or the parameter that it was passed as) agree.
    fn variable(&self, trail: &Trail) -> Option<String> {
        for hop in &trail.hops {
            match hop {
                // Computed with since, it is another value.
                Hop::Changed(_) | Hop::Returned(_) => return None,
                Hop::Passed(step) => return self.parameter(trail, step + 1),
                _ => {}
            }
        }
        match trail.origin {
            Origin::Argument => self.parameter(trail, 0),
            _ => self.origin(trail),
        }
    }

    /// The parameter that a value is, in a function that begins at a step.
    fn parameter(&self, trail: &Trail, step: usize) -> Option<String> {
        let reg = trail.register_before(step)?;
        let index = usize::from(reg.number()).checked_sub(1)?;
        let code = &self.path.verifier.code;
        let insn = self.path.steps.get(step)?.insn;
        let function = code.subprograms.get(code.subprogram_at(insn))?;
        if function.start != insn {
            return None;
        }
        let btf = self.program().btf.as_deref()?;
        let TypeKind::Function(kind) = btf.type_by_id(function.type_id?).ok()?.kind() else {
            return None;
        };
        let TypeKind::FunctionPrototype(prototype) = btf.type_by_id(kind.prototype).ok()?.kind()
        else {
            return None;
        };
        let name = prototype.params().nth(index)?.name().to_owned();
        let here = self.diagnosis.place.as_ref()?.source.as_ref()?;
        let mentioned = !name.is_empty() && names::find(&here.text, &name, here.column).is_some();
        mentioned.then_some(name)
    }

    /// The variable that the value had which a trail began with, in the same way.
    fn origin(&self, trail: &Trail) -> Option<String> {
        let made = match trail.origin {
            Origin::Call(step) | Origin::Load(step) => step,
            _ => return None,
        };
        let source = self.place(made)?.source?;
        let name = names::assigned(&source.text, source.column)?;
        let here = self.diagnosis.place.as_ref()?.source.as_ref()?;
        let mentioned =
            here.file == source.file && names::find(&here.text, name, here.column).is_some();
        mentioned.then(|| name.to_owned())
    }

    /// The register at fault, with its state at the end.
    fn register(&self) -> Option<(Reg, &Register)> {
        let reg = self.diagnosis.register?;
        Some((reg, self.path.register(self.path.last(), reg)?))
    }

    /// A register that nothing was written to.
    fn unwritten(&mut self) {
        let Some(reg) = self.diagnosis.register else {
            return;
        };
        if let Origin::Overwritten(step) | Origin::Void(step) =
            self.path.trail(self.path.last(), reg).origin
        {
            self.overwritten(step, reg);
        }
    }

    fn overwritten(&mut self, step: usize, reg: Reg) {
        let called = self.path.called(step);
        let called = words::quoted(called.as_deref(), "the call");
        self.label(
            step,
            format!("{called} leaves nothing in {reg}: calls use up r1 to r5"),
        );
    }

    /// Where the register at fault got its value, if that is another line.
    fn source_of_register(&mut self) {
        let Some((reg, register)) = self.register() else {
            return;
        };
        let what = match register.kind {
            Kind::Uninit => return,
            Kind::Scalar => match register.value.as_constant() {
                Some(value) => format!("the number {}", value.cast_signed()),
                None => "the number".into(),
            },
            _ => memory_words::kind(register).to_owned(),
        };
        let trail = self.path.trail(self.path.last(), reg);
        if let Some(name) = self.variable(&trail) {
            self.diagnosis.focus = Some(name);
        }
        match trail.origin {
            Origin::Call(step) if !self.is_here(step) => {
                let called = self.path.called(step);
                let called = words::quoted(called.as_deref(), "the call");
                self.label(step, format!("{called} gives {what}"));
            }
            Origin::Load(step) if !self.is_here(step) => {
                self.label(step, format!("{what} comes from here"));
            }
            Origin::Void(step) => self.void(step, &trail),
            _ => {}
        }
    }

    /// The argument at fault, where the line is a call that has it in it.
    fn argument(&mut self) {
        let last = self.path.last();
        let Some(number) = self.diagnosis.register.map(Reg::number) else {
            return;
        };
        let is_call = matches!(
            self.path.insn(last),
            Some(Insn::Call(CallTarget::Helper(_) | CallTarget::Kfunc { .. }))
        );
        if !is_call || self.diagnosis.focus.is_some() {
            return;
        }
        let place = self.diagnosis.place.as_ref();
        let source = place.and_then(|place| place.source.as_ref());
        if let (Some(source), Some(called), 1..=5) = (source, self.path.called(last), number) {
            let number = usize::from(number) - 1;
            let argument = names::argument(&source.text, source.column, &called, number);
            self.diagnosis.focus = argument.map(str::to_owned);
        }
    }

    /// The calls that lead to the function that runs.
    fn callers(&mut self) {
        let Some(last) = self.path.steps.last() else {
            return;
        };
        let frames: Vec<(usize, bool, u32)> = last
            .state
            .frames
            .iter()
            .skip(1)
            .map(|frame| (frame.call_site, frame.callback.is_some(), frame.subprogram))
            .collect();
        for (site, callback, subprogram) in frames {
            let function = self.path.verifier.code.subprograms.get(subprogram as usize);
            let name = function
                .map(|one| one.name.clone())
                .filter(|name| !name.is_empty());
            let name = words::quoted(name.as_deref(), "the function");
            let place = self.place_of(site);
            let verb = if callback { "called back" } else { "called" };
            self.label_at(place, format!("{name} is {verb} from here"));
        }
    }
}
