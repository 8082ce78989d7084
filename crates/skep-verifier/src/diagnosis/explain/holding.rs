//! What a program holds when it may not: references, locks, sections; and loops that don't end in
//! time.

use skep_isa::Insn;

use super::Story;
use crate::{
    Rule,
    diagnosis::{Place, names, remedy},
    state::{Held, HeldKind},
};

impl Story<'_, '_, '_> {
    /// What the program holds at the end.
    pub(super) fn held(&mut self) {
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
    pub(super) fn leaked(&mut self, held: &[Held]) {
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
    pub(super) fn rounds(&mut self) {
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
}
