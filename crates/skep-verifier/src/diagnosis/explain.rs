//! What a path tells about a rejection, by rule: where the value at fault came from, what bounded it
//! or failed to, what is held, which loop it is.

use skep_btf::Kind as TypeKind;
use skep_isa::{AluOp, CallTarget, Insn, InsnIndex, Operand, Reg};

use super::{
    Diagnosis, Label, Place,
    history::{Hop, Origin, Trail},
    names, remedy,
    trace::Path,
    words,
};
use crate::{
    Program, Rule,
    memory::words as memory_words,
    state::{Held, HeldKind, Kind, Register},
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

    /// A pointer that may be null.
    fn nullable(&mut self) {
        let Some((reg, _)) = self.register() else {
            return;
        };
        let trail = self.path.trail(self.path.last(), reg);
        let name = self.variable(&trail);
        let doing = access(self.path.insn(self.path.last()));
        if let Some(name) = &name {
            let what = match doing {
                Some((doing, _)) => format!("`{name}` may be null when it is {doing}"),
                None => format!("`{name}` may be null when it is used"),
            };
            self.diagnosis.message = what;
            self.diagnosis.focus = Some(name.clone());
        }
        self.diagnosis.label = match doing {
            Some((doing, bytes)) if name.is_some() => {
                let noun = if doing == "read" { "read" } else { "write" };
                let bytes = memory_words::bytes(bytes);
                format!("{noun} of {bytes} through a pointer that may be null")
            }
            // The message says it.
            _ if name.is_none() => "this pointer may be null".into(),
            _ => "a pointer that may be null is used here".into(),
        };
        match trail.origin {
            Origin::Call(step) => {
                let called = self.path.called(step);
                let lookup = called
                    .as_deref()
                    .is_some_and(|name| name.contains("lookup"));
                let what = if self.diagnosis.rule == Rule::MapValueOrNull && lookup {
                    "the lookup gives a value or null".into()
                } else {
                    format!(
                        "{} gives a pointer or null",
                        words::quoted(called.as_deref(), "the call")
                    )
                };
                self.label(step, what);
            }
            Origin::Load(step) => self.label(step, "what is read here may be null"),
            _ => {}
        }
        let end = format!("return {};", neutral_return(self.program()));
        let passed = trail.hops.iter().any(|hop| matches!(hop, Hop::Passed(_)));
        let help = match &name {
            Some(name) if passed => {
                format!("test it before it is passed, or here: `if (!{name}) return …;`")
            }
            Some(name) => format!("test it first: `if (!{name}) {end}`"),
            None => format!("test the pointer first, such as `if (!pointer) {end}`"),
        };
        self.diagnosis.help = vec![help];
    }

    /// What is dereferenced is no pointer: perhaps it was one.
    fn no_pointer(&mut self) {
        let Some((reg, register)) = self.register() else {
            return;
        };
        let said = match register.kind {
            Kind::Scalar => Some(words::range(&register.value)),
            _ => None,
        };
        let trail = self.path.trail(self.path.last(), reg);
        match trail.origin {
            Origin::Void(step) => self.void(step, &trail),
            Origin::Call(step) => {
                let called = self.path.called(step);
                let called = words::quoted(called.as_deref(), "the call");
                self.label(step, format!("{called} gives a number"));
            }
            Origin::Load(step) => {
                self.label(step, "what is read here is a number to the verifier");
            }
            Origin::Constant(step) => {
                let said = said.unwrap_or_else(|| "a number".into());
                self.label(step, format!("{said} is no pointer"));
            }
            Origin::Overwritten(step) => self.overwritten(step, reg),
            _ => {}
        }
        if let (true, Some(what)) = (self.diagnosis.label.is_empty(), self.register()) {
            let (_, register) = what;
            if register.kind == Kind::Scalar && words::is_unbounded(&register.value) {
                self.diagnosis.label = "a number is used as a pointer here".into();
            }
        }
    }

    /// A call made a pointer void: a packet's, after the packet may have moved, or one that belonged
    /// to what was given back.
    fn void(&mut self, step: usize, trail: &Trail) {
        let was = trail.value_before(self.path, step).cloned();
        let called = self.path.called(step);
        let called = words::quoted(called.as_deref(), "the call");
        let packet = was
            .as_ref()
            .is_some_and(|was| was.is_packet() || was.kind == Kind::PacketEnd);
        if packet {
            self.diagnosis.message =
                format!("packet pointer used after {called}, which may have moved the packet");
            self.label(
                step,
                format!("{called} may move the packet: pointers into it are void from here on"),
            );
            let compared = (0..step).rev().find(|&at| {
                matches!(self.path.insn(at), Some(Insn::JumpIf { dst, src, .. }) if {
                    let is_end = |reg| self.path.register(at, reg).is_some_and(|one| one.kind == Kind::PacketEnd);
                    is_end(dst) || matches!(src, Operand::Reg(src) if is_end(src))
                })
            });
            if let Some(compared) = compared {
                self.label(compared, "compared with the packet's end before that");
            }
            self.diagnosis.label = "a pointer into the packet as it was".into();
            self.diagnosis.help = vec![
                "after the call, take `data` and `data_end` from the context again, and compare \
                 again"
                    .into(),
            ];
        } else {
            let what = was.as_ref().map_or("the pointer", memory_words::kind);
            self.label(
                step,
                format!("{called} gives it back: {what} is void from here on"),
            );
            self.diagnosis.label = "used after that".into();
        }
    }

    /// A packet access without its comparison.
    fn packet(&mut self) {
        let Some((reg, register)) = self.register() else {
            return;
        };
        let (range, variable) = (register.range, register.value.as_constant().is_none());
        let trail = self.path.trail(self.path.last(), reg);
        let learnt = trail.hops.iter().find_map(|hop| match hop {
            Hop::Compared(step) => Some(*step),
            _ => None,
        });
        match learnt {
            Some(step) if range > 0 => {
                let bytes = memory_words::bytes(range.into());
                self.label(step, format!("this comparison makes sure of {bytes}"));
            }
            _ if variable => {
                self.diagnosis.label =
                    "not compared with the packet's end since a number was added".into();
                let added = self.added(&trail);
                if let Some((step, scalar)) = added {
                    let value = self
                        .path
                        .register(step, scalar)
                        .map(|one| words::range(&one.value));
                    let value = value.unwrap_or_else(|| "a number".into());
                    self.label(step, format!("what is added here can be {value}"));
                }
            }
            _ => {
                self.diagnosis.label = "never compared with the packet's end on this path".into();
            }
        }
        if let Origin::Load(step) = trail.origin {
            self.label(step, "the pointer into the packet comes from here");
        }
    }

    /// Where a number that is not known was added to a pointer, and the register it was in.
    fn added(&self, trail: &Trail) -> Option<(usize, Reg)> {
        trail.hops.iter().find_map(|hop| {
            let Hop::Changed(step) = *hop else {
                return None;
            };
            self.operand(step).map(|reg| (step, reg))
        })
    }

    /// The register with an unknown number in an addition or subtraction at a step.
    fn operand(&self, step: usize) -> Option<Reg> {
        let Some(Insn::Alu {
            op: AluOp::Add | AluOp::Sub,
            dst,
            src: Operand::Reg(src),
            ..
        }) = self.path.insn(step)
        else {
            return None;
        };
        [src, dst].into_iter().find(|&reg| {
            let register = self.path.register(step, reg);
            register.is_some_and(|one| one.is_scalar() && one.as_constant().is_none())
        })
    }

    /// A number that is not bounded as it must be: an index, a size, what is added to a pointer.
    fn number(&mut self) {
        let last = self.path.last();
        let Some((reg, register)) = self.register() else {
            return;
        };
        let (step, scalar) = if register.is_scalar() {
            (last, reg)
        } else if let Some(reg) = self.operand(last) {
            (last, reg)
        } else if register.value.as_constant().is_none() {
            match self.added(&self.path.trail(last, reg)) {
                Some(added) => added,
                None => return,
            }
        } else {
            // The size of the memory that a pointer argument is for stands behind it.
            match (self.path.insn(last), following(reg)) {
                (Some(Insn::Call(_)), Some(size))
                    if self
                        .path
                        .register(last, size)
                        .is_some_and(|one| one.is_scalar() && one.as_constant().is_none()) =>
                {
                    (last, size)
                }
                _ => return self.source_of_register(),
            }
        };
        let Some(value) = self.path.register(step, scalar).map(|one| one.value) else {
            return;
        };
        let trail = self.path.trail(step, scalar);
        let name = self.variable(&trail);
        let origin = self.origin(&trail);
        let it = match (&name, &origin) {
            (Some(name), _) => format!("`{name}`"),
            (None, Some(origin)) => format!("what is made of `{origin}`"),
            (None, None) => "the number".into(),
        };
        let can = words::range(&value);
        let at_most = match (value.as_constant(), words::is_unbounded(&value)) {
            (Some(_), _) => format!("{it} is {can} here"),
            (None, true) if value.umax != u64::MAX => {
                format!("{it} is only known to be at most {} here", value.umax)
            }
            (None, _) => format!("{it} can be {can} here"),
        };
        if step == last || self.is_here(step) {
            self.diagnosis.label = at_most;
            self.diagnosis.focus.clone_from(&origin);
        } else {
            self.label(step, format!("{at_most}, and is added to the pointer"));
        }
        self.bounds(&trail, step, name.as_deref());
        match trail.origin {
            Origin::Call(made) => {
                let called = self.path.called(made);
                let called = words::quoted(called.as_deref(), "the call");
                let given = self.given(made, Reg::R0);
                self.label(made, format!("{called} gives {given}"));
            }
            Origin::Load(made) => {
                let dst = match self.path.insn(made) {
                    Some(Insn::Load { dst, .. } | Insn::LoadSigned { dst, .. }) => dst,
                    _ => Reg::R0,
                };
                let what = words::quoted(origin.as_deref(), "the number");
                let given = self.given(made, dst);
                let compared = trail.hops.iter().any(|hop| matches!(hop, Hop::Compared(_)));
                let unbounded = if compared {
                    ""
                } else {
                    ", and nothing bounds it since"
                };
                self.label(made, format!("{what} is read here: {given}{unbounded}"));
            }
            _ => {}
        }
    }

    /// The value that a register has behind a step, in words.
    fn given(&self, step: usize, reg: Reg) -> String {
        match self.path.register(step + 1, reg) {
            Some(register) if register.is_scalar() => words::range(&register.value),
            _ => "a number".into(),
        }
    }

    /// Where a number's bound was learnt, lost, or put on a copy only.
    fn bounds(&mut self, trail: &Trail, end: usize, name: Option<&str>) {
        let it = words::quoted(name, "it");
        let limit = |value: &crate::Scalar| value.umax < u64::from(u32::MAX);
        // From the origin on.
        let mut bounded = None;
        for hop in trail.hops.iter().rev() {
            let step = hop.step();
            let before = trail.value_before(self.path, step).map(|one| one.value);
            let after = self.behind(trail, step, end);
            let (Some(before), Some(after)) = (before, after) else {
                continue;
            };
            match hop {
                Hop::Compared(_) if after != before => {
                    bounded = Some(step);
                    let range = words::range(&after);
                    self.label(step, format!("after this comparison, {it} can be {range}"));
                }
                Hop::Changed(_) if limit(&before) && !limit(&after) => {
                    let most = before.umax;
                    self.label(
                        step,
                        format!("the bound is lost here: before, it was at most {most}"),
                    );
                }
                Hop::Changed(_) if limit(&before) && after.smin < 0 && before.smin >= 0 => {
                    self.label(step, "computed here, it can become negative");
                }
                _ => {}
            }
        }
        if bounded.is_none() {
            for step in self.path.compared_copies(trail, end) {
                self.label(
                    step,
                    "this compares a copy: the bound does not reach the value that is used",
                );
            }
        }
    }

    /// What is known about a trail's value behind a step of it.
    fn behind(&self, trail: &Trail, step: usize, end: usize) -> Option<crate::Scalar> {
        let next = (step + 1).min(end);
        trail.value_before(self.path, next).map(|one| one.value)
    }

    /// What the program holds at the end.
    fn held(&mut self) {
        let state = match self.path.steps.last() {
            Some(step) => step.state.clone(),
            None => return,
        };
        let leak = self.diagnosis.rule == Rule::ReferenceLeak;
        let mut first = None;
        if leak {
            self.leaked(&state.held);
        }
        for held in &state.held {
            let text = match held.kind {
                HeldKind::Reference if leak => "taken here, and not given back on this path",
                HeldKind::Reference => continue,
                HeldKind::Irq => "interrupts are turned off here",
                HeldKind::SpinLock { .. } | HeldKind::ResilientLock { .. } => {
                    "the lock is taken here"
                }
            };
            first = first.or(Some(held.insn));
            let place = self.place_of(held.insn);
            self.label_at(place, text);
        }
        for (deep, text) in [
            (state.rcu > 0, "the RCU section begins here"),
            (state.preempt > 0, "preemption is turned off here"),
        ] {
            if deep {
                let began = self.path.steps.windows(2).rposition(|pair| match text {
                    "the RCU section begins here" => pair[1].state.rcu > pair[0].state.rcu,
                    _ => pair[1].state.preempt > pair[0].state.preempt,
                });
                if let Some(step) = began {
                    self.label(step, text);
                }
            }
        }
        // Which of the ways to the end it was.
        let Some(taken) = first.filter(|_| leak) else {
            return;
        };
        let taken = self.path.steps.iter().rposition(|step| step.insn == taken);
        let branch = (taken.unwrap_or_default()..self.path.last())
            .rev()
            .find(|&step| matches!(self.path.insn(step), Some(Insn::JumpIf { .. })));
        if let Some(branch) = branch {
            self.label(branch, "the path that does not give it back parts here");
        }
    }

    /// Names what is not given back, and who takes it back.
    fn leaked(&mut self, held: &[Held]) {
        let Some(held) = held.iter().find(|held| held.kind == HeldKind::Reference) else {
            return;
        };
        let source = self.place_of(held.insn).source;
        let name = source
            .as_ref()
            .and_then(|source| names::assigned(&source.text, source.column));
        if let Some(name) = name {
            self.diagnosis.message = format!("`{name}` is not given back before the program ends");
        }
        let step = self
            .path
            .steps
            .iter()
            .rposition(|step| step.insn == held.insn);
        let called = step.and_then(|step| self.path.called(step));
        if let Some(help) = called.as_deref().and_then(remedy::of_reference) {
            self.diagnosis.help = vec![help.to_owned()];
        }
    }

    /// Which loop it is.
    fn rounds(&mut self) {
        let code = &self.path.verifier.code;
        let mut rounds = std::collections::BTreeMap::<(usize, usize), u32>::new();
        for pair in self.path.insns.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let same = code.subprogram_at(from) == code.subprogram_at(to);
            let jump = matches!(
                code.insns.get(from).copied().flatten(),
                Some(Insn::JumpIf { .. } | Insn::Jump { .. } | Insn::JumpLong { .. })
            );
            if to <= from && same && jump {
                *rounds.entry((from, to)).or_default() += 1;
            }
        }
        let Some((&(from, to), &count)) = rounds.iter().max_by_key(|(_, count)| **count) else {
            return;
        };
        let instructions = self.path.insns.len();
        let text =
            format!("{count} rounds of this loop are on one path of {instructions} instructions");
        let (head, end) = (self.place_of(to), self.place_of(from));
        let line = |place: &Place| {
            let source = place.source.as_ref();
            source.map(|source| (source.file.clone(), source.line))
        };
        let is_here = self.diagnosis.place.as_ref().map(line);
        if self.diagnosis.rule == Rule::TooComplex || is_here == Some(line(&head)) {
            // Where it gave up is of no interest.
            if self.diagnosis.rule == Rule::TooComplex {
                self.diagnosis.help = vec![
                    "let the loop end after a constant number of rounds that is not too large, or \
                     run its body in `bpf_loop` or `bpf_for`, which are verified once"
                        .into(),
                ];
            }
            self.diagnosis.place = Some(head);
            self.diagnosis.label = text;
        } else if is_here == Some(line(&end)) {
            self.diagnosis.label = text;
            self.label_at(head, "each round begins here");
        } else {
            self.label_at(head, text);
        }
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

/// What an instruction does to memory, and how many bytes.
fn access(insn: Option<Insn>) -> Option<(&'static str, u64)> {
    match insn? {
        Insn::Load { size, .. } | Insn::LoadAcquire { size, .. } => {
            Some(("read", size.bytes() as u64))
        }
        Insn::LoadSigned { size, .. } => Some(("read", size.bytes() as u64)),
        Insn::Store { size, .. } | Insn::StoreRelease { size, .. } => {
            Some(("written", size.bytes() as u64))
        }
        Insn::Atomic { width, .. } => Some((
            "written",
            match width {
                skep_isa::Width::W32 => 4,
                skep_isa::Width::W64 => 8,
            },
        )),
        _ => None,
    }
}

/// The argument register behind another.
fn following(reg: Reg) -> Option<Reg> {
    [Reg::R1, Reg::R2, Reg::R3, Reg::R4]
        .iter()
        .position(|one| *one == reg)
        .and_then(|at| [Reg::R2, Reg::R3, Reg::R4, Reg::R5].get(at).copied())
}

/// What a program of this type returns that has nothing to say.
fn neutral_return(program: &Program<'_>) -> &'static str {
    use skep_abi::ProgramType as T;
    match program.program_type {
        T::Xdp => "XDP_PASS",
        T::SchedCls | T::SchedAct => "TC_ACT_OK",
        T::SkSkb | T::SkMsg => "SK_PASS",
        T::CgroupSkb | T::CgroupSock | T::CgroupSockAddr | T::CgroupDevice | T::CgroupSysctl => "1",
        _ => "0",
    }
}
