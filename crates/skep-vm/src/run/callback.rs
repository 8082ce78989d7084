//! Functions of a program that something else than the program starts: timers, work queues.

use std::{cell::Cell, ops::ControlFlow, ptr::NonNull, sync::Arc};

use super::{Ours, Run, Stop};
use crate::{Fault, engine::Status, helper, map::Map, memory::View, program::Program};

/// A function to call with a map, a key and a value.
#[derive(Debug)]
pub(crate) struct Callback<'a> {
    /// Its address in the program.
    pub(crate) function: u64,
    pub(crate) map: &'a Arc<Map>,
    /// Where the value begins.
    pub(crate) value: u64,
    /// A place and the number that must still be there.
    pub(crate) holds: Option<(u64, u64)>,
}

impl Run<'_> {
    /// The program that runs now, to be kept.
    pub(crate) fn shared_program(&self) -> Arc<Program> {
        let now = self.program.get();
        let programs = self.programs.borrow();
        let called = programs.iter().find(|it| NonNull::from(&***it) == now);
        Arc::clone(called.unwrap_or(self.first))
    }

    /// A map of the program, to be kept.
    ///
    /// # Errors
    /// This is no map of the program.
    pub(crate) fn shared_map(&self, handle: u64) -> Result<Arc<Map>, crate::FaultKind> {
        let found = self.map(handle)?;
        let is_it = |map: &&Arc<Map>| std::ptr::eq(&raw const ***map, found);
        let own = self.program().maps.iter().find(is_it).cloned();
        let inner = || self.inner.borrow().iter().find(is_it).cloned();
        own.or_else(inner).ok_or(crate::FaultKind::Argument {
            function: "map argument",
            reason: "this is no map of the program",
        })
    }

    /// Runs one function of the program, as the first and only one; `Ok(false)` if what it is for
    /// is gone.
    ///
    /// # Errors
    /// What stopped it.
    pub(crate) fn start_callback(&self, callback: &Callback<'_>) -> Result<bool, Fault> {
        let maps = &self.program().maps;
        let known = maps.iter().position(|map| Arc::ptr_eq(map, callback.map));
        let handle = known.map_or_else(
            || self.keep(Arc::clone(callback.map)),
            |index| crate::program::MAPS + index as u64,
        );
        if let Some((place, number)) = callback.holds {
            let there = self.known(place, 8, false).and_then(|word| word.u64_at(0));
            if there != Some(number) {
                return Ok(false);
            }
        }
        let mut words = vec![0; (callback.map.shape.key_size as usize).div_ceil(8)];
        let key = View::of_words(&mut words);
        if !find_key(callback.map, self.cpu, callback.value, key) {
            return Ok(false);
        }
        if key.len() > 0 {
            self.grant(Ours {
                start: key.address(),
                len: key.len() as u64,
                writable: false,
            });
        }
        let arguments = [handle, key.address(), callback.value, 0, 0];
        let outcome = self.call_first(callback.function, arguments);
        if key.len() > 0 {
            self.revoke(key.address());
        }
        outcome.map(|_| true)
    }

    /// Calls a function of the program with nothing above it.
    fn call_first(&self, function: u64, arguments: [u64; 5]) -> Result<u64, Fault> {
        let stack = &self.scratch.stack;
        let top = stack.address() + stack.len() as u64;
        // `call_back` puts the callee's frame below this one.
        self.hot.frame.set(top);
        let outcome = self.call_back(function, arguments);
        self.clean(top);
        let leaked = self.leaked();
        helper::give_back(self);
        match outcome {
            Ok(value) => match leaked {
                None => Ok(value),
                Some(leaked) => {
                    self.fail_for(leaked);
                    Err(self.take_fault())
                }
            },
            Err(Stop::Status(Status::Thrown)) => {
                let answer = self.catch(top);
                match answer.status {
                    Status::Done => Ok(answer.value),
                    _ => Err(self.take_fault()),
                }
            }
            Err(Stop::Status(_)) => Err(self.take_fault()),
            Err(Stop::Fault(kind)) => {
                self.trap(kind);
                Err(self.take_fault())
            }
        }
    }
}

/// Finds the key of the value at an address; false if the value is in no entry any more.
fn find_key(map: &Map, cpu: u32, value: u64, key: View<'_>) -> bool {
    let found = Cell::new(false);
    // Of an array that is the first one looked at: see `Array::for_each`, or it is looked for.
    let _ = map.kind.for_each(cpu, &mut |its_key, its_value| {
        if its_value.address() != value {
            return ControlFlow::Continue(());
        }
        key.copy_from(its_key);
        found.set(true);
        ControlFlow::Break(())
    });
    found.get()
}
