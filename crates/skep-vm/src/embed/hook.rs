//! A hook of the embedder: a place in its program where plug-ins run, with a context that both
//! sides know as one struct.

use std::{fmt, marker::PhantomData, sync::Arc};

use skep_host::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    Fault, Vm,
    machine::{HookKey, Point, Task, fire::fire},
    memory::View,
    run::{Ours, Run},
};

impl Vm {
    /// Defines a hook of the embedder's own: programs attach to it as to a tracepoint,
    /// `SEC("tp/CATEGORY/NAME")`, and get a pointer to a `T`, which they may change.
    ///
    /// Defining a hook again gives another handle of the same.
    ///
    /// # Errors
    /// `EINVAL`: a name is empty or has a slash.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use skep_abi::ProgramType;
    /// use skep_host::{AttachPoint, Host, ProgramLoad};
    /// use skep_vm::Vm;
    ///
    /// let vm = Vm::new()?;
    /// let hook = vm.define_hook::<[u32; 2]>("demo", "pair")?;
    ///
    /// let slots = skep_isa::assemble("
    ///     r2 = *(u32 *)(r1 + 0)
    ///     *(u32 *)(r1 + 4) = r2
    ///     r0 = 7
    ///     exit
    /// ")?;
    /// let bytes = skep_isa::encode_slots(&slots, skep_isa::Endian::NATIVE);
    /// let kind = ProgramType::Tracepoint;
    /// let program = vm.prog_load(&ProgramLoad::new(kind, "copies", &bytes))?.fd;
    /// let point = AttachPoint::Tracepoint {
    ///     category: "demo".into(),
    ///     name: "pair".into(),
    ///     cookie: None,
    /// };
    /// let _attached = vm.attach("copies", &program, kind, &point)?;
    ///
    /// let mut pair = [42, 0];
    /// let fired = hook.fire(&mut pair);
    /// assert_eq!((fired.values().collect::<Vec<_>>(), pair), (vec![7], [42, 42]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn define_hook<T: FromBytes + IntoBytes + Immutable>(
        &self,
        category: &str,
        name: &str,
    ) -> Result<Hook<T>, Errno> {
        let bad = |name: &str| name.is_empty() || name.contains('/');
        if bad(category) || bad(name) {
            return Err(Errno::EINVAL);
        }
        self.0.hooks.define(category, name);
        let point = self.0.hooks.point(HookKey::Tracepoint {
            category: category.to_owned(),
            name: name.to_owned(),
        });
        Ok(Hook {
            vm: self.clone(),
            point,
            context: PhantomData,
        })
    }
}

/// A hook whose programs get a `T`. Any thread may fire it, several at once.
pub struct Hook<T> {
    vm: Vm,
    point: Arc<Point>,
    context: PhantomData<fn(&mut T)>,
}

impl<T> Clone for Hook<T> {
    fn clone(&self) -> Self {
        Self {
            vm: self.vm.clone(),
            point: Arc::clone(&self.point),
            context: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Hook<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hook({} programs)", self.point.programs().list.len())
    }
}

impl<T: FromBytes + IntoBytes + Immutable> Hook<T> {
    /// Whether nothing is attached, so that firing does nothing: for contexts that are dear to
    /// make.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.point.is_empty()
    }

    /// Runs the hook's programs one after the other, in the order in which they were attached,
    /// each on what the ones before made of `context`. One that is stopped does not keep the
    /// others from running; one that runs on this thread already is left out.
    pub fn fire(&self, context: &mut T) -> Fired {
        self.fire_for(None, context)
    }

    /// The same for a task: what programs take for the current one.
    pub fn fire_for(&self, task: Option<&Arc<Task>>, context: &mut T) -> Fired {
        let programs = self.point.programs();
        if programs.list.is_empty() {
            return Fired(Vec::new());
        }
        let shared = &self.vm.0;
        let cpu = match shared.cpus.take(None) {
            Ok(cpu) => cpu,
            Err(errno) => {
                let fault = Fault::without_cpu("", errno);
                return Fired(vec![Err(fault)]);
            }
        };
        let view = View::of(context.as_mut_bytes());
        let (start, len) = (view.address(), view.len() as u64);
        let prepare = |run: &Run<'_>| {
            if let Some(task) = task {
                run.set_task(Arc::clone(task));
            }
            if len > 0 {
                run.grant(Ours {
                    start,
                    len,
                    writable: true,
                });
            }
        };
        let outcomes = programs
            .list
            .iter()
            .filter_map(|attached| fire(shared, &cpu, attached, [start, 0], prepare));
        Fired(outcomes.collect())
    }
}

/// What the programs of a hook answered, in the order in which they ran.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "programs may have been stopped"]
pub struct Fired(Vec<Result<u64, Fault>>);

impl Fired {
    /// One outcome a program.
    pub fn outcomes(&self) -> &[Result<u64, Fault>] {
        &self.0
    }

    /// The values of the programs that ran to their end.
    pub fn values(&self) -> impl Iterator<Item = u64> {
        self.0
            .iter()
            .filter_map(|outcome| outcome.as_ref().ok().copied())
    }

    /// What stopped the others.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter().filter_map(|outcome| outcome.as_ref().err())
    }
}
