//! The objects of a run: what it may reach, and the references that it holds.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use super::{Leaked, MOST_HELD, Region, Run};
use crate::{
    FaultKind,
    machine::objects::{Object, ObjectKind},
    map::Range,
    memory::View,
};

/// Iterators that go through words of the run's, at once.
const ITERATORS: usize = 256;

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// Since when it may reach objects; 0 before it first did.
    ticket: Cell<u64>,
    /// References that the program must give back or put somewhere, in the order of their coming,
    /// with the calls that gave them.
    held: RefCell<Vec<(Arc<Object>, u32)>>,
    /// What iterators go through, by the number in the iterator.
    words: RefCell<Vec<Box<[u64]>>>,
}

impl Objects {
    /// The run has reached some.
    pub(super) fn any(&self) -> bool {
        self.ticket.get() != 0 || !self.words.borrow().is_empty()
    }

    /// What iterators went through that were never destroyed.
    pub(super) fn forget_iterators(&mut self) {
        self.words.get_mut().clear();
    }
}

impl Run<'_> {
    fn ticket(&self) -> u64 {
        if self.objects.ticket.get() == 0 {
            self.objects.ticket.set(self.vm.objects.enter());
        }
        self.objects.ticket.get()
    }

    /// The region of an address in an object.
    pub(super) fn object_region(&self, address: u64) -> Option<Range> {
        if !self.vm.objects.any() {
            return None;
        }
        self.vm.objects.region(address, self.ticket())
    }

    /// The living object at an address that the program gives.
    pub(crate) fn object(
        &self,
        address: u64,
        kind: ObjectKind,
        function: &'static str,
    ) -> Result<Arc<Object>, FaultKind> {
        self.ticket();
        let object = self.vm.objects.at(address);
        object
            .filter(|object| object.kind == kind)
            .ok_or(FaultKind::Argument {
                function,
                reason: "this is no such object",
            })
    }

    /// Memory at an address that no verifier vouches for, in either mode.
    pub(crate) fn probed(&self, address: u64, len: u64) -> Option<View<'_>> {
        let ours = self.check(address, len, false) == Region::Ours;
        ours.then(|| self.view(address, len, false).ok()).flatten()
    }

    /// Gives the program a reference, which it must give back; answers the object's address, or 0,
    /// with the reference gone, when it holds too many.
    pub(crate) fn hold(&self, object: Arc<Object>) -> u64 {
        self.ticket();
        if self.objects.held.borrow().len() >= MOST_HELD {
            self.vm.objects.release(&object);
            return 0;
        }
        let address = object.address();
        let call = self.hot.call.get();
        self.objects.held.borrow_mut().push((object, call));
        address
    }

    /// Takes a reference from the program, for whoever keeps or drops it now.
    ///
    /// # Errors
    /// The program has no reference of what is at this address.
    pub(crate) fn take(
        &self,
        address: u64,
        function: &'static str,
    ) -> Result<Arc<Object>, FaultKind> {
        let mut held = self.objects.held.borrow_mut();
        let at = held
            .iter()
            .rposition(|(object, _)| object.address() == address);
        let at = at.ok_or(FaultKind::Argument {
            function,
            reason: "the program holds no reference of this",
        })?;
        Ok(held.remove(at).0)
    }

    /// What the program holds and must give back.
    pub(super) fn leaked(&self) -> Option<Leaked> {
        let object = || {
            let held = self.objects.held.borrow();
            held.first().map(|(_, call)| Leaked {
                what: "a reference of an object",
                call: *call,
            })
        };
        self.held.leaked().or_else(object)
    }

    /// Lets the run reach objects that others drop, to its end.
    pub(crate) fn reach_objects(&self) {
        self.ticket();
    }

    /// Gives back what the program still holds; whether that was anything.
    pub(crate) fn release_objects(&self) -> bool {
        if self.objects.held.borrow().is_empty() {
            return false;
        }
        let held = self.objects.held.take();
        for (object, _) in &held {
            self.vm.objects.release(object);
        }
        !held.is_empty()
    }

    /// Keeps the words that an iterator goes through, one at least; answers their number, which is
    /// not 0. `None` if the run has too many.
    pub(crate) fn keep_words(&self, words: Box<[u64]>) -> Option<u64> {
        let mut all = self.objects.words.borrow_mut();
        let free = all.iter().position(|words| words.is_empty());
        if free.is_none() && all.len() >= ITERATORS {
            return None;
        }
        let at = free.unwrap_or_else(|| {
            all.push(Box::default());
            all.len() - 1
        });
        all[at] = words;
        Some(at as u64 + 1)
    }

    /// One of the words that an iterator goes through.
    pub(crate) fn kept_word(&self, number: u64, index: u32) -> Option<u64> {
        let all = self.objects.words.borrow();
        let words = all.get(usize::try_from(number.checked_sub(1)?).ok()?)?;
        words.get(index as usize).copied()
    }

    /// The first set bit from `from` on, of what an iterator goes through.
    pub(crate) fn next_bit(&self, number: u64, from: u32) -> Option<u32> {
        let all = self.objects.words.borrow();
        let words = all.get(usize::try_from(number.checked_sub(1)?).ok()?)?;
        first_bit(words, from)
    }

    /// Forgets the words of an iterator.
    pub(crate) fn forget_words(&self, number: u64) {
        let mut all = self.objects.words.borrow_mut();
        let at = usize::try_from(number.wrapping_sub(1)).unwrap_or(usize::MAX);
        if let Some(words) = all.get_mut(at) {
            *words = Box::default();
        }
    }

    /// Ends what the run had of objects.
    pub(super) fn leave_objects(&self) {
        self.release_objects();
        let ticket = self.objects.ticket.take();
        if ticket != 0 {
            self.vm.objects.leave(ticket);
        }
    }
}

/// The first set bit from `from` on.
pub(crate) fn first_bit(words: &[u64], from: u32) -> Option<u32> {
    let (first, low) = ((from / 64) as usize, from % 64);
    words.iter().enumerate().skip(first).find_map(|(at, word)| {
        let word = if at == first {
            word >> low << low
        } else {
            *word
        };
        (word != 0).then(|| at as u32 * 64 + word.trailing_zeros())
    })
}
