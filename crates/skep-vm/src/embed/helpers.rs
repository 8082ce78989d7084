//! Helpers that an embedder adds: numbers that no kernel has, and what a call of one does.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, RwLock},
};

use skep_abi::Helper;
use skep_verifier::CustomHelper;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Parameter, Prototype};
use crate::{
    FaultKind, Vm,
    helper::{Arguments, Outcome, shim},
    memory::View,
    program,
    run::Run,
};

impl Vm {
    /// Adds a helper of the embedder's own, which programs call by its number. Programs that are
    /// loaded from now on can call it.
    ///
    /// An error in words ends the program that called it with [`FaultKind::Helper`]; a panic of
    /// the helper ends it too. The machine keeps the helper: one that wants to use the machine takes
    /// a [`WeakVm`](crate::WeakVm), since with a [`Vm`] of its own neither would ever end.
    ///
    /// # Errors
    /// The number is not free, or there are too many parameters.
    ///
    /// ```
    /// use skep_vm::{Engine, Prototype, Vm};
    ///
    /// let vm = Vm::new()?;
    /// vm.define_helper(Prototype::new(1000, "triple").number(), |call| Ok(call.number(0) * 3))?;
    /// let slots = skep_isa::assemble("r1 = 14\n call 1000\n exit")?;
    /// let program = vm.bare("triples", &slots, Engine::Interpreter)?;
    /// assert_eq!(program.run(&mut [])?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`FaultKind::Helper`]: crate::FaultKind::Helper
    pub fn define_helper(
        &self,
        prototype: Prototype,
        body: impl Fn(&Call<'_>) -> Result<u64, String> + Send + Sync + 'static,
    ) -> Result<(), HelperError> {
        self.0.helpers.add(prototype, Box::new(body))
    }
}

/// Why a helper can't be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelperError {
    /// The number belongs to a helper of the kernel, or is 0.
    #[error("number {0} belongs to the kernel's helpers; take one from {first} on", first = FIRST)]
    Reserved(u32),
    /// The number has a helper already.
    #[error("number {number} is `{name}` already")]
    Taken {
        /// The number.
        number: u32,
        /// Whose it is.
        name: String,
    },
    /// It would take more than the five registers there are.
    #[error("`{name}` takes {registers} registers, and there are five")]
    TooManyRegisters {
        /// Its name.
        name: String,
        /// How many it takes.
        registers: usize,
    },
}

/// The first number that an embedder may take: far from what kernels might still give away.
const FIRST: u32 = 1000;

/// What a helper does: a number for R0, or why the program must end.
type Body = dyn Fn(&Call<'_>) -> Result<u64, String> + Send + Sync;

/// A helper of the embedder.
pub(crate) struct Custom {
    prototype: Prototype,
    body: Box<Body>,
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prototype.fmt(f)
    }
}

impl Custom {
    /// As the verifier sees it.
    pub(crate) fn seen(&self) -> CustomHelper {
        let parameters = self.prototype.parameters.iter();
        CustomHelper {
            id: self.prototype.id,
            name: self.prototype.name.clone(),
            parameters: parameters.map(|one| one.seen()).collect(),
        }
    }

    /// What a program calls, which has `customs` so far; this helper is among them then.
    pub(crate) fn resolve(self: Arc<Self>, customs: &mut Vec<Arc<Self>>) -> program::Call {
        let known = customs.iter().position(|known| Arc::ptr_eq(known, &self));
        let custom = known.unwrap_or_else(|| {
            customs.push(self);
            customs.len() - 1
        });
        program::Call {
            shim: shim!(call),
            custom: custom as u32,
            name: "helper of the embedder",
        }
    }
}

/// A call of a helper: its arguments, which the machine has checked.
///
/// Arguments are counted as the prototype counts parameters. One that is asked for as what it is
/// not reads as nothing: 0, or no bytes.
#[derive(Debug)]
pub struct Call<'a> {
    arguments: [Option<Value<'a>>; 5],
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Memory { view: View<'a>, write: bool },
}

impl Call<'_> {
    fn memory(&self, index: usize) -> Option<(View<'_>, bool)> {
        match self.arguments.get(index) {
            Some(Some(Value::Memory { view, write })) => Some((*view, *write)),
            _ => None,
        }
    }

    /// A number.
    #[must_use]
    pub fn number(&self, index: usize) -> u64 {
        match self.arguments.get(index) {
            Some(Some(Value::Number(number))) => *number,
            _ => 0,
        }
    }

    /// A copy of a value.
    #[must_use]
    pub fn value<T: FromBytes + IntoBytes>(&self, index: usize) -> T {
        let mut value = T::new_zeroed();
        if let Some((view, _)) = self.memory(index) {
            view.read(value.as_mut_bytes());
        }
        value
    }

    /// A copy of bytes, or of a value's bytes.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Vec<u8> {
        self.memory(index)
            .map_or_else(Vec::new, |(view, _)| view.to_vec())
    }

    /// How many bytes an argument has.
    #[must_use]
    pub fn len(&self, index: usize) -> usize {
        self.memory(index).map_or(0, |(view, _)| view.len())
    }

    /// Copies bytes to an argument that may be written, as far as both reach; answers how many.
    pub fn write(&self, index: usize, bytes: &[u8]) -> usize {
        match self.memory(index) {
            Some((view, true)) => view.write(bytes),
            _ => 0,
        }
    }

    /// Copies a value to an argument that may be written.
    pub fn set<T: IntoBytes + Immutable>(&self, index: usize, value: &T) {
        self.write(index, value.as_bytes());
    }
}

/// The helpers that were added to a machine.
#[derive(Debug, Default)]
pub(crate) struct CustomHelpers(RwLock<BTreeMap<u32, Arc<Custom>>>);

impl CustomHelpers {
    /// Adds one; programs that are loaded later can call it.
    pub(crate) fn add(&self, prototype: Prototype, body: Box<Body>) -> Result<(), HelperError> {
        let (number, registers) = (prototype.id, prototype.registers());
        if number < FIRST || Helper::by_id(number).is_some() {
            return Err(HelperError::Reserved(number));
        }
        if registers > 5 {
            let name = prototype.name;
            return Err(HelperError::TooManyRegisters { name, registers });
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = all.get(&number) {
            let name = other.prototype.name.clone();
            return Err(HelperError::Taken { number, name });
        }
        all.insert(number, Arc::new(Custom { prototype, body }));
        Ok(())
    }

    /// The one with a number.
    pub(crate) fn find(&self, number: u32) -> Option<Arc<Custom>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&number).cloned()
    }
}

/// What programs call: checks the registers against the prototype, then calls the helper.
fn call(run: &Run<'_>, registers: Arguments) -> Outcome {
    let program = run.program();
    let called = program.code.call(run.hot.call.get() as usize);
    let custom = called.and_then(|called| program.customs.get(called.custom as usize));
    let custom = custom.ok_or_else(|| FaultKind::Internal("no such helper".into()))?;
    let mut rest = registers.into_iter();
    let mut next = || rest.next().unwrap_or_default();
    let mut arguments = [None; 5];
    for (place, parameter) in arguments.iter_mut().zip(&custom.prototype.parameters) {
        let first = next();
        let memory = |size, write| {
            let view = run.view(first, size, write)?;
            Ok::<_, FaultKind>(Value::Memory { view, write })
        };
        *place = Some(match *parameter {
            Parameter::Number => Value::Number(first),
            Parameter::Value(size) => memory(u64::from(size), false)?,
            Parameter::ValueMut(size) => memory(u64::from(size), true)?,
            Parameter::Bytes => memory(next(), false)?,
            Parameter::BytesMut => memory(next(), true)?,
        });
    }
    let body = AssertUnwindSafe(|| (custom.body)(&Call { arguments }));
    // What it has broken of its own is the embedder's to know.
    let outcome = catch_unwind(body).unwrap_or_else(|_| Err("it panicked".to_owned()));
    Ok(outcome.map_err(|reason| FaultKind::Helper {
        function: custom.prototype.name.clone(),
        reason,
    })?)
}
