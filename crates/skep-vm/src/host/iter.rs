//! Iterators: a program that is run for each thing of a kind, and whose text is read.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use skep_abi::{AttachType, Command, LinkType, ProgramType};
use skep_btf::{Kind, TypeId};
use skep_host::{Errno, Error, IterFd, IterScope, IterTarget, LinkDetails, LinkFd, Result};

use super::link::{self, New, Raw};
use crate::{
    Vm,
    machine::{Attached, Link, Object, Task, fire, lock, types},
    map::Map,
    memory::{Block, View},
    program::Program,
    run::Ours,
};

/// What programs of iterators are loaded for: `bpf_iter_` and one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walks {
    Maps,
    Elements,
    Programs,
    Links,
    Tasks,
}

impl Walks {
    fn named(target: &str) -> Option<Self> {
        Some(match target {
            "bpf_map" => Self::Maps,
            "bpf_map_elem" => Self::Elements,
            "bpf_prog" => Self::Programs,
            "bpf_link" => Self::Links,
            "task" => Self::Tasks,
            _ => return None,
        })
    }
}

/// The function that a program is loaded for, without its prefix.
fn target(program: &Program) -> Raw<String> {
    let is_iterator = program.program_type == ProgramType::Tracing
        && program.meta.expected_attach_type == Some(AttachType::TraceIter);
    if !is_iterator {
        return Err(Errno::EINVAL);
    }
    let btf = program.meta.attach_btf.as_ref().ok_or(Errno::EINVAL)?;
    let id = TypeId(program.meta.attach_btf_id);
    let found = btf.btf.type_by_id(id).map_err(|_| Errno::EINVAL)?;
    match found.kind() {
        Kind::Function(_) => {
            let name = found
                .name()
                .strip_prefix("bpf_iter_")
                .ok_or(Errno::EINVAL)?;
            Ok(name.to_owned())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Makes the link of an iterator.
pub(super) fn link(vm: &Vm, program: &Arc<Program>, scope: IterTarget<'_>) -> Raw<LinkFd> {
    let target = target(program)?;
    let walks = Walks::named(&target).ok_or(Errno::ENOENT)?;
    let (map, told) = match (walks, scope) {
        (Walks::Elements, IterTarget::Map(fd)) => {
            let map = Arc::clone(super::map::map(vm, fd)?.0);
            if !has_elements(&map) {
                return Err(Errno::EINVAL);
            }
            let id = map.id;
            (Some(map), IterScope::Map { id })
        }
        (Walks::Elements, _) => return Err(Errno::EBADF),
        (Walks::Tasks, IterTarget::Process(process)) => {
            (None, IterScope::Task { thread: 0, process })
        }
        (Walks::Tasks, IterTarget::Thread(thread)) => {
            (None, IterScope::Task { thread, process: 0 })
        }
        (Walks::Tasks, IterTarget::All) => (
            None,
            IterScope::Task {
                thread: 0,
                process: 0,
            },
        ),
        (_, IterTarget::All) => (None, IterScope::All),
        _ => return Err(Errno::EINVAL),
    };
    let new = New {
        vm,
        program,
        link_type: LinkType::Iter,
        details: LinkDetails::Iterator {
            target,
            scope: told,
        },
    };
    new.finish(map, |_| Ok(Vec::new()))
}

/// Types of maps whose elements can be walked over.
fn has_elements(map: &Map) -> bool {
    use skep_abi::MapType as T;
    matches!(
        map.shape.map_type,
        T::Array
            | T::PercpuArray
            | T::Hash
            | T::LruHash
            | T::PercpuHash
            | T::LruPercpuHash
            | T::Rhash
    )
}

/// A thing that the program is run for.
#[derive(Debug)]
enum Thing {
    Map(Arc<Map>),
    Element(Arc<Map>, Vec<u8>),
    Program(Arc<Program>),
    Link(Arc<Link>),
    Task(Arc<Task>),
    /// All were there: the program is told so.
    End(Walks),
}

/// An open iterator.
#[derive(Debug)]
pub(crate) struct Iter {
    program: Arc<Program>,
    session: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    things: VecDeque<Thing>,
    /// Things that the program was run for.
    number: u64,
    /// Text that nobody has read.
    text: VecDeque<u8>,
}

pub(super) fn create(vm: &Vm, fd: &LinkFd) -> Result<IterFd> {
    created(vm, fd).map_err(|errno| {
        Error::command(
            Command::IterCreate,
            format!("link descriptor {}", fd.raw()),
            errno,
        )
    })
}

fn created(vm: &Vm, fd: &LinkFd) -> Raw<IterFd> {
    static SESSIONS: AtomicU64 = AtomicU64::new(1);
    let link = link::link(vm, fd)?;
    let LinkDetails::Iterator { target, scope } = link.info().details else {
        return Err(Errno::EINVAL);
    };
    let program = link.program().ok_or(Errno::EINVAL)?;
    let walks = Walks::named(&target).ok_or(Errno::EINVAL)?;
    let iter = Iter {
        program,
        session: SESSIONS.fetch_add(1, Relaxed),
        state: Mutex::new(State {
            things: things(vm, walks, scope, link.map()),
            number: 0,
            text: VecDeque::new(),
        }),
    };
    let open = vm.0.registry.files.open(Object::Other(Arc::new(iter)));
    open.map(IterFd::new)
}

/// All that there is now, and the end.
fn things(vm: &Vm, walks: Walks, scope: IterScope, map: Option<Arc<Map>>) -> VecDeque<Thing> {
    let registry = &vm.0.registry;
    let mut things: VecDeque<Thing> = match (walks, map) {
        (Walks::Maps, _) => registry.maps.all().into_iter().map(Thing::Map).collect(),
        (Walks::Programs, _) => registry
            .programs
            .all()
            .into_iter()
            .map(Thing::Program)
            .collect(),
        (Walks::Links, _) => registry.links.all().into_iter().map(Thing::Link).collect(),
        (Walks::Tasks, _) => {
            // The thread that reads is a task as well.
            crate::machine::Tasks::own(&vm.0);
            let (thread, process) = match scope {
                IterScope::Task { thread, process } => (thread, process),
                _ => (0, 0),
            };
            let fits = |task: &Arc<Task>| {
                (thread == 0 || task.info().pid == thread)
                    && (process == 0 || task.info().tgid == process)
            };
            vm.0.tasks
                .all()
                .into_iter()
                .filter(fits)
                .map(Thing::Task)
                .collect()
        }
        (Walks::Elements, Some(map)) => {
            let mut keys = VecDeque::new();
            let mut at: Option<Vec<u8>> = None;
            let mut next = vec![0; map.shape.key_size as usize];
            // A map that changes meanwhile may begin again and again.
            let most = u64::from(map.shape.max_entries).saturating_mul(2);
            while (keys.len() as u64) < most
                && map.kind.user_next_key(at.as_deref(), &mut next).is_ok()
            {
                keys.push_back(Thing::Element(Arc::clone(&map), next.clone()));
                at = Some(next.clone());
            }
            keys
        }
        (Walks::Elements, None) => VecDeque::new(),
    };
    things.push_back(Thing::End(walks));
    things
}

impl Iter {
    /// Reads text, running the program for as many things as it takes to have some.
    ///
    /// # Errors
    /// `EAGAIN`: the program asked to be run again; `EFAULT`: it has a fault; `E2BIG`: what it
    /// wrote for one thing does not fit.
    pub(super) fn read(&self, vm: &Vm, buffer: &mut [u8]) -> Raw<usize> {
        let mut state = lock(&self.state);
        while state.text.is_empty() {
            let Some(thing) = state.things.pop_front() else {
                return Ok(0);
            };
            let number = state.number;
            state.number += 1;
            match self.show(vm, &thing, number) {
                Ok(text) => state.text.extend(text),
                Err(errno) => {
                    if errno == Errno::EAGAIN {
                        state.things.push_front(thing);
                        state.number = number;
                    }
                    return Err(errno);
                }
            }
        }
        let taken = state.text.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(state.text.drain(..taken)) {
            *to = from;
        }
        Ok(taken)
    }

    /// Runs the program for one thing, and gives what it wrote.
    fn show(&self, vm: &Vm, thing: &Thing, number: u64) -> Raw<Vec<u8>> {
        /// Most text for one thing (eight pages).
        const ROOM: usize = 8 * 4096;
        let seq = structure("seq_file", |_| {})?;
        let meta = structure("bpf_iter_meta", |view| {
            set(view, "bpf_iter_meta", "seq", seq.address());
            set(view, "bpf_iter_meta", "session_id", self.session);
            set(view, "bpf_iter_meta", "seq_num", number);
        })?;
        let Some(shown) = Shown::of(thing)? else {
            return Ok(Vec::new());
        };
        let context = Block::new(8 * (1 + shown.pointers.len()))?;
        context.all().set_u64(0, meta.address());
        for (index, pointer) in shown.pointers.iter().enumerate() {
            context.all().set_u64(8 * (index + 1), *pointer);
        }
        let cpu = vm.0.cpus.take(None)?;
        let entry = Attached::new(Arc::clone(&self.program), 0);
        let mut text = None;
        let registers = [context.address(), context.len() as u64];
        let text_of = std::cell::RefCell::new(&mut text);
        let outcome = {
            let grant = |run: &crate::run::Run<'_>, block: &Block, writable| {
                run.grant(Ours {
                    start: block.address(),
                    len: block.len() as u64,
                    writable,
                });
            };
            fire::fire_with(
                &vm.0,
                &cpu,
                &entry,
                registers,
                |run| {
                    run.seq.open(seq.address(), ROOM);
                    for block in [&seq, &meta, &context].into_iter().chain(&shown.blocks) {
                        grant(run, block, false);
                    }
                    // It may have been shown a map's value.
                    run.saw_all();
                    for range in &shown.writable {
                        run.grant(*range);
                    }
                },
                |run| **text_of.borrow_mut() = run.seq.take(),
            )
        };
        match outcome {
            Some(Ok(0)) => text.ok_or(Errno::E2BIG),
            Some(Ok(_)) => Err(Errno::EAGAIN),
            Some(Err(_)) => Err(Errno::EFAULT),
            None => Ok(Vec::new()),
        }
    }
}

/// What a program sees of a thing: the pointers of its context, and the memory behind them.
#[derive(Default)]
struct Shown {
    pointers: Vec<u64>,
    blocks: Vec<Block>,
    writable: Vec<Ours>,
}

impl Shown {
    /// `None`: the thing is gone.
    fn of(thing: &Thing) -> Raw<Option<Self>> {
        let one = |block: Block| Self {
            pointers: vec![block.address()],
            blocks: vec![block],
            ..Self::default()
        };
        Ok(Some(match thing {
            Thing::Map(map) => one(map_structure(map)?),
            Thing::Program(program) => program_structure(program)?,
            Thing::Link(link) => one(structure("bpf_link", |view| {
                set(view, "bpf_link", "id", u64::from(link.id));
                set(view, "bpf_link", "type", u64::from(link.link_type.raw()));
            })?),
            Thing::Task(task) => Self {
                pointers: vec![task.address()],
                ..Self::default()
            },
            Thing::Element(map, key) => match Self::element(map, key)? {
                Some(shown) => shown,
                None => return Ok(None),
            },
            Thing::End(Walks::Elements) => Self {
                pointers: vec![0; 3],
                ..Self::default()
            },
            Thing::End(_) => Self {
                pointers: vec![0],
                ..Self::default()
            },
        }))
    }

    fn element(map: &Arc<Map>, key: &[u8]) -> Raw<Option<Self>> {
        let shown = map_structure(map)?;
        let place = Block::new(key.len())?;
        place.all().write(key);
        let mut this = Self::default();
        let value = match map.shape.map_type.is_per_cpu() {
            // A copy of all CPUs' values.
            true => {
                let mut bytes = vec![0; map.kind.user_value_size()];
                match map.kind.user_lookup(key, &mut bytes, 0) {
                    Err(Errno::ENOENT) => return Ok(None),
                    answer => answer?,
                }
                let copy = Block::new(bytes.len())?;
                copy.all().write(&bytes);
                let address = copy.address();
                this.blocks.push(copy);
                address
            }
            false => {
                let Some(value) = map.kind.lookup(0, place.all()) else {
                    return Ok(None);
                };
                this.writable.push(Ours {
                    start: value.address(),
                    len: value.len() as u64,
                    writable: true,
                });
                value.address()
            }
        };
        this.pointers = vec![shown.address(), place.address(), value];
        this.blocks.extend([shown, place]);
        Ok(Some(this))
    }
}

/// A zeroed structure of the machine, filled.
fn structure(name: &str, fill: impl FnOnce(View<'_>)) -> Raw<Block> {
    let block = Block::new(types::size_of(name).max(8))?;
    fill(block.all());
    Ok(block)
}

/// Sets a number in a structure, as wide as the member is.
fn set(view: View<'_>, name: &str, member: &str, value: u64) {
    let Some((offset, size)) = types::member(name, member) else {
        return;
    };
    match size {
        1 => view.set_u8(offset, value as u8),
        2 => view.set_u16(offset, value as u16),
        4 => view.set_u32(offset, value as u32),
        _ => view.set_u64(offset, value),
    };
}

fn set_text(view: View<'_>, name: &str, member: &str, text: &str) {
    if let Some((offset, size)) = types::member(name, member)
        && let Some(place) = view.part(offset, size.saturating_sub(1))
    {
        place.write(text.as_bytes());
    }
}

fn map_structure(map: &Map) -> Raw<Block> {
    const NAME: &str = "bpf_map";
    structure(NAME, |view| {
        let shape = &map.shape;
        for (member, value) in [
            ("id", map.id),
            ("map_type", shape.map_type.raw()),
            ("key_size", shape.key_size),
            ("value_size", shape.value_size),
            ("max_entries", shape.max_entries),
            ("map_flags", shape.flags.bits()),
        ] {
            set(view, NAME, member, u64::from(value));
        }
        set(view, NAME, "map_extra", shape.map_extra);
        set_text(view, NAME, "name", &map.name);
    })
}

fn program_structure(program: &Program) -> Raw<Shown> {
    const PROGRAM: &str = "bpf_prog";
    const AUX: &str = "bpf_prog_aux";
    let aux = structure(AUX, |view| {
        set(view, AUX, "id", u64::from(program.id));
        set(view, AUX, "used_map_cnt", program.maps.len() as u64);
        set(view, AUX, "func_cnt", u64::from(program.code.functions()));
        let loaded = program.meta.loaded_at.as_nanos();
        set(
            view,
            AUX,
            "load_time",
            u64::try_from(loaded).unwrap_or(u64::MAX),
        );
        set_text(view, AUX, "name", &program.name);
    })?;
    let block = structure(PROGRAM, |view| {
        set(view, PROGRAM, "type", u64::from(program.program_type.raw()));
        let expected = program.meta.expected_attach_type.map_or(0, AttachType::raw);
        set(view, PROGRAM, "expected_attach_type", u64::from(expected));
        set(
            view,
            PROGRAM,
            "len",
            (program.meta.instructions.len() / 8) as u64,
        );
        set(
            view,
            PROGRAM,
            "jited_len",
            program.executable.machine_code().len() as u64,
        );
        if let Some((offset, size)) = types::member(PROGRAM, "tag")
            && let Some(place) = view.part(offset, size)
        {
            place.write(&program.meta.tag);
        }
        set(view, PROGRAM, "aux", aux.address());
    })?;
    set(aux.all(), AUX, "prog", block.address());
    Ok(Shown {
        pointers: vec![block.address()],
        blocks: vec![block, aux],
        ..Shown::default()
    })
}
