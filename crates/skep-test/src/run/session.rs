//! A session: an object loaded on a host for one test, and all that lasts from one of its steps to
//! the next.

use std::{sync::Arc, time::Duration};

use skep::{
    Host, Loaded, Object,
    abi::{AttachType, MapType, ProgramType},
    vm::{Clock, Config, Engine, Fault, Task, Vm},
};

use super::{
    TestHost,
    context::{Context, Places, is_empty},
    events::{Events, Mark},
    fill,
    fire::{self, Fired, has_packet, kernel_runs},
    layout::{Layout, call_number},
    maps::chain,
    memory::UserSpace,
    object::Prepared,
    task,
};
use crate::{
    definition::{Definition, Setup, Step},
    packet,
    source::{FileError, Parsed, Place},
    typed::{Encoder, NoPointers, Type},
    value::{Kind, Value},
};

/// When the clock begins if nothing is said: one second, so that no time is zero.
const START: u64 = 1_000_000_000;
/// How many CPUs a machine has if nothing is said.
const CPUS: u32 = 2;
/// From so many runs on, machine code pays for being made.
const COMPILED: u32 = 20_000;

/// Why a test does not come to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It can't run here.
    Skip(String),
    /// The object was not loaded.
    Refused(String),
    /// It says what can't be.
    File(FileError),
}

impl From<FileError> for Stop {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// See above.
pub(crate) struct Session {
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) loaded: Loaded,
    machine: Option<Machine>,
    memory: Arc<UserSpace>,
    pub(crate) events: Events,
    pub(crate) last: Option<Fired>,
    /// Where the log was when the last step began.
    pub(crate) mark: Mark,
    /// What callbacks of timers did wrong, as text.
    pub(crate) timer_faults: Vec<String>,
}

/// A machine of the session's own.
struct Machine {
    vm: Vm,
    clock: Clock,
}

/// What is asked of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wishes<'a> {
    pub(crate) host: TestHost,
    /// The kernel, made once for all sessions.
    pub(crate) kernel: Option<&'a Host>,
    pub(crate) coverage: bool,
    /// How often a program is run in one step, at most.
    pub(crate) repeat: u32,
    /// The CPUs that steps name, at most.
    pub(crate) cpu: u32,
}

impl Session {
    /// Loads an object for a test: `programs` of it, by name, and those that they may call.
    ///
    /// # Errors
    /// It can't be, or the host refuses it.
    pub(crate) fn open(
        prepared: &Arc<Prepared>,
        setup: &Setup,
        programs: &[&str],
        wishes: Wishes<'_>,
    ) -> Result<Self, Stop> {
        let (host, machine) = match wishes.host {
            TestHost::Kernel => match wishes.kernel {
                Some(host) => (host.clone(), None),
                None => return Err(Stop::Skip("there is no kernel to run on".into())),
            },
            TestHost::Vm => {
                let machine = Machine::new(setup, wishes)?;
                (Host::of_vm(machine.vm.clone()), Some(machine))
            }
        };
        let mut object = Object::from_spec(prepared.spec.clone());
        choose(&mut object, prepared, setup, programs)?;
        let loaded = object
            .load(&host)
            .map_err(|error| Stop::Refused(chain(&error)))?;
        let events = Events::open(&loaded, machine.is_some());
        let events = events.map_err(|error| Stop::Refused(chain(&error)))?;
        let session = Self {
            machine,
            ..Self::of(prepared, loaded, events)
        };
        if let Some(maps) = &setup.maps {
            session.fill(maps, None, 0)?;
        }
        Ok(session)
    }

    /// A session of what is loaded already, on whatever host; it runs no steps.
    pub(crate) fn of(prepared: &Arc<Prepared>, loaded: Loaded, events: Events) -> Self {
        Self {
            prepared: Arc::clone(prepared),
            loaded,
            machine: None,
            memory: Arc::default(),
            events,
            last: None,
            mark: Mark::default(),
            timer_faults: Vec::new(),
        }
    }

    /// Whether it has a machine of its own.
    pub(crate) fn on_vm(&self) -> bool {
        self.machine.is_some()
    }

    fn fill(&self, maps: &Value, task: Option<&Arc<Task>>, cpu: u32) -> Parsed<()> {
        for entry in maps.entries("a table of maps")? {
            let mut places = Places {
                user: self.machine.as_ref().map(|_| &*self.memory),
                task,
                constants: self.prepared.btf().map(|btf| &**btf),
                lent: None,
            };
            let named = Value {
                place: entry.value.place.clone().or(entry.place.clone()),
                kind: entry.value.kind.clone(),
            };
            fill::fill(&self.loaded, &entry.name, &named, cpu as usize, &mut places)?;
        }
        Ok(())
    }

    /// Carries out a step: fills maps, runs the program, lets time pass.
    ///
    /// # Errors
    /// The step says what can't be, or can't be done on this host.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), Stop> {
        self.mark = self.events.mark(&self.loaded)?;
        let task = match &self.machine {
            Some(machine) => Some(task::task(&machine.vm, step.task.as_ref(), &self.memory)?),
            None => None,
        };
        let cpu = step.cpu.unwrap_or(0);
        if let Some(maps) = &step.maps {
            self.fill(maps, task.as_ref(), cpu)?;
        }
        if step.runs {
            self.last = Some(self.run(step, task.as_ref())?);
        }
        if let Some(advance) = step.advance {
            self.advance(Duration::from_nanos(advance))?;
        }
        Ok(())
    }

    /// Lets time pass; timers that are due fire.
    pub(crate) fn advance(&mut self, by: Duration) -> Result<(), Stop> {
        let Some(machine) = &self.machine else {
            return Err(Stop::Skip("the kernel's clock can't be moved".into()));
        };
        machine.clock.advance(by);
        let (faults, more) = machine.vm.take_timer_faults();
        let faults: Vec<_> = faults.iter().map(|fault| self.fault_text(fault)).collect();
        self.timer_faults.extend(faults);
        if more > 0 {
            self.timer_faults
                .push(format!("{more} more faults of timers"));
        }
        Ok(())
    }

    fn run(&self, step: &Step, task: Option<&Arc<Task>>) -> Result<Fired, Stop> {
        let named = step.program.as_ref();
        let place = named
            .and_then(|(_, place)| place.as_ref())
            .or(step.place.as_ref());
        let of = self
            .prepared
            .program(named.map(|(name, _)| name.as_str()), place)?;
        let program = self
            .loaded
            .program(&of.name)
            .map_err(|error| FileError::new(place.cloned(), chain(&error)))?;
        let kind = of.program_type();
        if of.attach_type() == Some(AttachType::TraceIter) {
            return iterate(program, place);
        }
        let packet = match &step.packet {
            Some(_) if !has_packet(kind) => {
                let what = format!("programs of type {kind} have no packets");
                return Err(step
                    .packet
                    .as_ref()
                    .map_or_else(
                        || FileError::new(None, what.as_str()),
                        |packet| packet.error(what.as_str()),
                    )
                    .into());
            }
            Some(packet) => packet::packet(packet, &self.prepared.folder)?,
            None if has_packet(kind) => {
                let what = "a program of packets needs one";
                let error = FileError::new(place.cloned(), what);
                return Err(error
                    .help("packet = { tcp = {} } is one with all as usual")
                    .into());
            }
            None => Vec::new(),
        };
        let layout = self.layout(of);
        let mut context = match &step.context {
            Some(value) if !is_empty(value) => {
                let mut lent = Vec::new();
                let places = Places {
                    user: self.machine.as_ref().map(|_| &*self.memory),
                    task,
                    constants: self.prepared.btf().map(|btf| &**btf),
                    lent: Some(&mut lent),
                };
                Context::encode(&layout, value, places)?
            }
            _ => Context::default(),
        };
        complete(&mut context, &layout, of, step, packet.len());
        let failed = |error: &skep::boundary::Error| {
            let text = error
                .cause()
                .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
            Stop::File(FileError::new(place.cloned(), text))
        };
        match (&self.machine, task) {
            (Some(machine), Some(task)) => {
                fire::on_vm(&machine.vm, program, step, &context, &packet, task)
                    .map_err(|error| failed(&error))
            }
            _ if !kernel_runs(kind, of.attach_type()) => Err(Stop::Skip(format!(
                "the kernel runs no programs of type {kind} by hand"
            ))),
            _ if !context.lent.is_empty() => Err(Stop::Skip(
                "the kernel's test run takes a context without memory behind it".into(),
            )),
            _ => fire::on_kernel(program, step, &context, &packet).map_err(|error| match &error {
                skep::Error::Host(error) => failed(error),
                error => Stop::File(FileError::new(place.cloned(), chain(error))),
            }),
        }
    }

    /// The context of a program.
    pub(crate) fn layout(&self, program: &skep::spec::Program) -> Layout {
        let host = self.loaded.host().btf().ok();
        self.prepared.layout(program, host.as_ref())
    }

    /// A fault with the line of source that it happened in.
    pub(crate) fn fault_text(&self, fault: &Fault) -> String {
        let mut programs = self.loaded.image().programs.iter();
        let program = programs.find(|program| program.load_name == fault.program);
        let line = program.and_then(|program| program.source_at(fault.at));
        match line {
            Some(line) => {
                let file = std::path::Path::new(line.file);
                let file = file
                    .file_name()
                    .map_or(line.file.into(), |name| name.to_string_lossy());
                format!("{fault} ({file}:{})", line.line)
            }
            None => fault.to_string(),
        }
    }
}

impl Machine {
    fn new(setup: &Setup, wishes: Wishes<'_>) -> Result<Self, Stop> {
        let clock = Clock::manual(Duration::from_nanos(setup.time.unwrap_or(START)));
        // A fault is a result that a test can expect: what the verifier thinks, `skep check` says.
        let mut config = Config::checked();
        config.cpus = setup.cpus.unwrap_or(CPUS).max(wishes.cpu.saturating_add(1));
        config.clock = clock.clone();
        config.coverage = wishes.coverage;
        // Most tests run a program a few times: making machine code of it takes longer.
        config.engine = match wishes.repeat >= COMPILED && !wishes.coverage {
            true => config.engine,
            false => Engine::Interpreter,
        };
        let vm = Vm::with(config);
        let vm = vm.map_err(|errno| Stop::Refused(format!("no virtual machine: {errno}")))?;
        Ok(Self { vm, clock })
    }
}

/// Runs an iterator over everything; its text is what it gives.
fn iterate(program: &Arc<skep::Program>, place: Option<&Place>) -> Result<Fired, Stop> {
    let mut output = String::new();
    let text = program.attach().and_then(|link| {
        let mut iteration = link.iterate()?;
        Ok(std::io::Read::read_to_string(&mut iteration, &mut output))
    });
    match text {
        Ok(Ok(_)) => Ok(Fired::of_text(program.program_type(), output)),
        Ok(Err(error)) => Err(FileError::new(place.cloned(), chain(&error)).into()),
        Err(error) => Err(FileError::new(place.cloned(), chain(&error)).into()),
    }
}

/// Makes the choices of a test for an object.
pub(crate) fn choose(
    object: &mut Object,
    prepared: &Prepared,
    setup: &Setup,
    programs: &[&str],
) -> Result<(), Stop> {
    let calls = object
        .spec()
        .maps()
        .iter()
        .any(|map| map.map_type == MapType::ProgArray);
    let ops = object
        .spec()
        .maps()
        .iter()
        .any(|map| map.map_type == MapType::StructOps);
    if !calls && !ops && !programs.is_empty() {
        let only = object.only_programs(programs);
        only.map_err(|error| FileError::new(None, chain(&error)))?;
    }
    for entry in setup
        .kconfig
        .iter()
        .flat_map(|all| all.entries("a table"))
        .flatten()
    {
        let text = match &entry.value.kind {
            Kind::Bool(true) => "y".to_owned(),
            Kind::Bool(false) => "n".to_owned(),
            Kind::Text(text) if text.len() == 1 && "ynm".contains(text) => text.clone(),
            Kind::Text(text) => format!("{text:?}"),
            Kind::Integer(number) => number.to_string(),
            _ => {
                return Err(entry
                    .value
                    .wanted("a value of a kernel's configuration")
                    .into());
            }
        };
        let set = object.config(&entry.name, &text);
        set.map_err(|error| FileError::new(entry.place.clone(), chain(&error)))?;
    }
    for entry in setup
        .globals
        .iter()
        .flat_map(|all| all.entries("a table"))
        .flatten()
    {
        let bytes = {
            let (variable, of) = variable(prepared, &entry.name, entry.place.as_ref())?;
            let mut encoder = Encoder {
                constants: prepared.btf().map(|btf| &**btf),
                pointers: &mut NoPointers,
            };
            // Fields that the test does not name are as in the source.
            let mut bytes = match prepared.spec.initial_value(variable) {
                Some(bytes) if matches!(entry.value.kind, Kind::Table(_)) => bytes.to_vec(),
                _ => vec![0; of.size()],
            };
            encoder.write(&of, &entry.value, &mut bytes, 0)?;
            bytes
        };
        let global = object.global(&entry.name);
        let set = global.and_then(|global| global.set_bytes(&bytes));
        set.map_err(|error| FileError::new(entry.place.clone(), chain(&error)))?;
    }
    Ok(())
}

/// A global variable and its type.
pub(crate) fn variable<'p>(
    prepared: &'p Prepared,
    name: &str,
    place: Option<&Place>,
) -> Parsed<(&'p skep::spec::Variable, Type)> {
    let Some(found) = prepared.spec.variable(name) else {
        let known = prepared
            .spec
            .variables()
            .iter()
            .map(|variable| variable.name.as_str());
        return Err(FileError::unknown(
            place.cloned(),
            "global variable",
            name,
            known,
        ));
    };
    let of = match (found.type_id, prepared.btf()) {
        (Some(id), Some(btf)) => Type::Btf(Arc::clone(btf), id),
        _ => Type::Plain(crate::typed::Plain::opaque(found.size as usize)),
    };
    Ok((found, of))
}

/// Says what of a context follows from the rest.
fn complete(
    context: &mut Context,
    layout: &Layout,
    program: &skep::spec::Program,
    step: &Step,
    packet: usize,
) {
    let says = |name: &str| {
        step.context
            .as_ref()
            .is_some_and(|value| value.get(name).is_some())
    };
    let put = |bytes: &mut Vec<u8>, name: &str, number: u64| {
        let field = layout.fields.iter().find(|field| field.name == name);
        if let (Some(field), false) = (field, says(name)) {
            let size = field.of.size().min(8);
            if let Some(part) = bytes.get_mut(field.offset..field.offset.saturating_add(size)) {
                part.copy_from_slice(number.to_le_bytes().get(..size).unwrap_or_default());
                if cfg!(target_endian = "big") {
                    part.reverse();
                }
            }
        }
    };
    match program.program_type() {
        // Programs that are run by the rules of test runs take a context or none.
        ProgramType::FlowDissector | ProgramType::Netfilter => {}
        ProgramType::SkSkb | ProgramType::LwtSeg6local => {}
        ProgramType::Xdp => {
            context.bytes.resize(layout.size, 0);
            put(&mut context.bytes, "data_end", packet as u64);
        }
        ProgramType::Tracepoint => {
            let least = context.bytes.len().max(layout.size);
            context.bytes.resize(least, 0);
            let target = program.section.target().unwrap_or_default();
            if let Some(number) = call_number(target) {
                put(&mut context.bytes, "id", number.into());
            }
        }
        ProgramType::CgroupSockopt => {
            context
                .bytes
                .resize(layout.size.max(context.bytes.len()), 0);
            let value = layout.fields.iter().find(|field| field.name == "optval");
            let len = value.and_then(|field| {
                let mut lent = context.lent.iter();
                lent.find(|memory| memory.at == field.offset)
                    .map(|memory| memory.bytes.len())
            });
            if let Some(len) = len {
                put(&mut context.bytes, "optlen", len as u64);
            }
        }
        _ => {
            let least = context.bytes.len().max(layout.size);
            context.bytes.resize(least, 0);
        }
    }
}

/// The programs that a test runs, by name.
///
/// # Errors
/// It names one that is not there.
pub(crate) fn programs_of<'p>(
    prepared: &'p Prepared,
    definition: &Definition,
) -> Parsed<Vec<&'p str>> {
    let mut names = Vec::new();
    for step in definition.steps.iter().filter(|step| step.runs) {
        let named = step.program.as_ref();
        let place = named
            .and_then(|(_, place)| place.as_ref())
            .or(definition.place.as_ref());
        let program = prepared.program(named.map(|(name, _)| name.as_str()), place)?;
        if !names.contains(&program.name.as_str()) {
            names.push(program.name.as_str());
        }
    }
    Ok(names)
}
