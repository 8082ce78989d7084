//! Replaying a recording in the virtual machine: its programs see again what they saw, event by
//! event, and their maps, rings and texts are as they were.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_abi::{KernelVersion, MapType, ProgramType};
use skep_btf::Btf;
use skep_isa::InsnIndex;
use skep_object::{Contents, Image, MapIndex, Target};
use skep_record::{Event, MapState, Recording, Sites};
use skep_vm::{Clock, Config, Input, Prototype, Task, TaskInfo, Vm};

use crate::{Error, Host, LoadOptions, Loaded, Object, Result, Update};

mod answers;

use answers::{Answers, Asked, Matching};

/// The length of an Ethernet header.
const ETHERNET: usize = 14;
/// The longest packet that the machine's rules of test runs take in one piece.
const LONGEST: usize = 3400;
/// Tasks that are kept for events of the same thread.
const TASKS: usize = 1024;

/// A recording, loaded into a virtual machine of its own.
pub struct Replay {
    recording: Arc<Recording>,
    host: Host,
    vm: Vm,
    clock: Clock,
    object: Object,
    loaded: Loaded,
    /// For each program of the recording, the name of the loaded one.
    programs: Vec<Option<String>>,
    answers: Arc<Mutex<Answers>>,
    matching: Matching,
    tasks: HashMap<(u32, Vec<u8>), Arc<Task>>,
}

/// Why an event did not come out as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The event, from 0.
    pub event: usize,
    /// The program.
    pub program: String,
    /// What was otherwise, and where.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "event {} (`{}`): {}",
            self.event, self.program, self.what
        )
    }
}

impl Replay {
    /// Makes a recording ready to be replayed by its own programs.
    ///
    /// # Errors
    /// Its object is damaged, or has what the virtual machine does not.
    pub fn new(recording: Arc<Recording>) -> Result<Self> {
        let header = recording.header();
        let name = object_name(&header.program);
        let object = Object::parse(&name, recording.object())?;
        let image = recording.image().clone();
        Self::with(recording, object, image, Matching::Places)
    }

    /// The same by another version of the object, which is linked for the host of the recording:
    /// what it asks for is looked for in an event by what it is (for reads of memory: by the
    /// address, too), wherever it is asked. Global variables that had been set for the recorded run
    /// are set again, unless they are already.
    ///
    /// # Errors
    /// As [`new`](Self::new), of this object; or it needs what the recording does not have.
    pub fn by(recording: Arc<Recording>, mut object: Object) -> Result<Self> {
        let version = KernelVersion::from_code(recording.header().version);
        let mut target = Target::new(version);
        if let Some(types) = recording.types() {
            target = target.with_kernel_btf(Arc::new(Btf::parse(types.to_vec())?));
        }
        target.config = recording.image().settings.clone();
        let name = object_name(&recording.header().program);
        let recorded = Object::parse(&name, recording.object())?;
        choose_again(&recording, &recorded, &mut object)?;
        let image = object.link_for(&target)?;
        Self::with(recording, object, image, Matching::Kinds)
    }

    fn with(
        recording: Arc<Recording>,
        object: Object,
        mut image: Image,
        matching: Matching,
    ) -> Result<Self> {
        let clock = Clock::manual(Duration::from_nanos(recording.header().zero));
        // Its host let the program run; what stands in for helpers here is no verifier's matter.
        let mut config = Config::checked();
        config.cpus = recording.header().cpus.clamp(1, 4096);
        config.clock = clock.clone();
        let vm = Vm::with(config).map_err(|errno| {
            skep_host::Error::system("make", "a virtual machine for the recording", errno)
        })?;
        let host = Host::of_vm(vm.clone());
        for map in &mut image.maps {
            // Stacks come from the recording, and helpers that would store some are not called.
            if map.map_type == MapType::StackTrace {
                map.map_type = MapType::Hash;
                map.flags = skep_abi::MapCreateFlags::empty();
            }
        }
        if matching == Matching::Places {
            put_globals(&mut image, recording.before());
        }
        let words = |program: &skep_object::ImageProgram| {
            let mut known = recording.sites().programs.iter();
            known
                .find(|known| known.name == program.name)
                .and_then(|known| known.words)
        };
        let (image, sites) = skep_record::replayed(&image, &recording.sites().kfuncs, &words)?;
        let answers = Arc::new(Mutex::new(Answers::new(
            Arc::clone(&recording),
            sites.clone(),
            matching,
        )));
        define(&vm, &answers)?;
        let programs = matched(recording.sites(), &sites);
        let loaded = object.load_image(&host, &LoadOptions::default(), image)?;
        let replay = Self {
            recording,
            host,
            vm,
            clock,
            object,
            loaded,
            programs,
            answers,
            matching,
            tasks: HashMap::new(),
        };
        replay.fill_maps()?;
        Ok(replay)
    }

    /// The recording.
    pub fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }

    /// The virtual machine.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The program's object.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Its programs and maps.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Its programs and maps alone, when all that shall be replayed has been.
    #[must_use]
    pub fn into_loaded(self) -> Loaded {
        self.loaded
    }

    /// The map with the stacks of the recording, which are not stored by programs here.
    pub fn stacks(&self) -> Option<&Arc<crate::Map>> {
        let mut maps = (0..).zip(&self.recording.image().maps);
        let (index, _) = maps.find(|(_, map)| map.map_type == MapType::StackTrace)?;
        self.loaded.map_at(MapIndex(index))
    }

    /// Runs the program of an event on what it saw. `None`: it came out as it was recorded, or it
    /// is of a program that is not here.
    ///
    /// Events are to be run in order, each once: maps are as the ones before left them.
    ///
    /// # Errors
    /// There is no such event, or the machine could not run it.
    pub fn run(&mut self, number: usize) -> Result<Option<Difference>> {
        let recording = Arc::clone(&self.recording);
        let Some(event) = recording.event(number) else {
            let problem = format!("there is no event {number}");
            return Err(skep_record::Error::Record(problem).into());
        };
        let index = event.program() as usize;
        let Some(name) = self.programs.get(index).cloned().flatten() else {
            return Ok(None);
        };
        let differs = |what: String| {
            Ok(Some(Difference {
                event: number,
                program: name.clone(),
                what,
            }))
        };
        if let Some(cut) = event.cut() {
            return differs(match cut {
                skep_record::Cut::Item => {
                    "it is not whole: a call wrote more than is recorded of one".into()
                }
                _ => "it is not whole: it passed more places than are recorded of one run".into(),
            });
        }
        if let Some((bytes, len)) = event.packet()
            && len > bytes.len() as u64
            && lock(&self.answers).reads_packet(&name)
        {
            return differs(format!(
                "its packet was {len} bytes long, of which {} were recorded",
                bytes.len()
            ));
        }
        let program = Arc::clone(self.loaded.program(&name)?);
        let passed = event.time().saturating_sub(self.now());
        self.clock.advance(Duration::from_nanos(passed));
        let packet = packet(&event, program.section().program_type());
        let mut input = Input::default();
        input.context = event.context().unwrap_or_default();
        input.packet = &packet;
        input.cpu = Some(event.cpu());
        input.task = Some(self.task(&event));
        lock(&self.answers).begin(number, index, &name);
        let ran = self.vm.fire_program(program.fd(), &input)?;
        let mut answers = lock(&self.answers);
        let value = match ran.result {
            Ok(value) => value,
            Err(fault) => {
                let place = self.place(&name, fault.at);
                let what = answers.take_mismatch().unwrap_or_else(|| match place {
                    Some(place) => format!("{fault} ({place})"),
                    None => fault.to_string(),
                });
                return differs(what);
            }
        };
        if self.matching == Matching::Kinds {
            return Ok(None);
        }
        if let Some(left) = answers.left() {
            return differs(format!(
                "it ended, and when it was recorded, {left} came next"
            ));
        }
        // Types whose result has 64 bits look at 32 of them.
        let (value, was) = (value & 0xffff_ffff, event.result() & 0xffff_ffff);
        if value != was {
            return differs(format!(
                "it returned {}, and {} when it was recorded",
                signed(value),
                signed(was)
            ));
        }
        Ok(None)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.now().as_nanos()).unwrap_or(u64::MAX)
    }

    fn task(&mut self, event: &Event<'_>) -> Arc<Task> {
        let key = (event.pid(), event.comm().to_vec());
        if let Some(known) = self.tasks.get(&key) {
            return Arc::clone(known);
        }
        if self.tasks.len() >= TASKS {
            self.tasks.clear();
        }
        let mut info = TaskInfo::default();
        (info.pid, info.tgid) = (event.pid(), event.tgid());
        info.comm = String::from_utf8_lossy(event.comm()).into_owned();
        let task = self.vm.task(info);
        self.tasks.insert(key, Arc::clone(&task));
        task
    }

    /// The line of source of a changed program's instruction.
    fn place(&self, program: &str, at: InsnIndex) -> Option<String> {
        let line = self.loaded.image().program(program)?.source_at(at)?;
        Some(format!("{}:{}", line.file, line.line))
    }

    fn fill_maps(&self) -> Result<()> {
        let recording = &self.recording;
        for state in recording.before().iter().chain(recording.after()) {
            let there = recording.image().maps.get(state.map as usize);
            if there.is_none_or(|map| map.is_global_data()) {
                continue;
            }
            let Some(map) = there.and_then(|map| self.loaded.map(&map.name).ok()) else {
                continue;
            };
            for (key, value) in &state.entries {
                map.update(key, value, Update::Any)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("events", &self.recording.len())
            .finish_non_exhaustive()
    }
}

fn signed(value: u64) -> i32 {
    u32::try_from(value).unwrap_or_default().cast_signed()
}

fn lock(answers: &Mutex<Answers>) -> MutexGuard<'_, Answers> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The object's name as libbpf would have it: the file's, up to its first dot.
fn object_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or_default().to_owned()
}

/// Global variables begin as they were.
fn put_globals(image: &mut Image, before: &[MapState]) {
    for state in before {
        let map = image.maps.get_mut(state.map as usize);
        let (Some(map), [(_, value), ..]) = (map, &state.entries[..]) else {
            continue;
        };
        if map.is_global_data() && value.len() >= map.value_size as usize {
            map.contents = Contents::Data(value[..map.value_size as usize].to_vec());
        }
    }
}

/// What was chosen for the recorded run is chosen for another version, unless something else is:
/// variables that did not begin with what the object says.
fn choose_again(recording: &Recording, recorded: &Object, object: &mut Object) -> Result<()> {
    for was in recorded.spec().variables() {
        let mut states = recording.before().iter();
        let state = states.find(|state| state.map == was.map.0);
        let (start, size) = (was.offset as usize, was.size as usize);
        let part = |bytes: &[u8]| bytes.get(start..start + size).map(<[u8]>::to_vec);
        let began = state
            .and_then(|state| state.entries.first())
            .and_then(|(_, value)| part(value))
            .unwrap_or_else(|| vec![0; size]);
        let map = recorded.spec().maps().get(was.map.as_usize());
        let says = map.and_then(|map| map.contents.bytes()).and_then(part);
        if began == says.unwrap_or_else(|| vec![0; size]) || object.has_set(&was.name) {
            continue;
        }
        let mut all = object.spec().variables().iter();
        if all.any(|variable| variable.name == was.name && variable.size == was.size) {
            object.global(&was.name)?.set_bytes(&began)?;
        }
    }
    Ok(())
}

/// For each program of a recording, the one that takes its events.
fn matched(recorded: &Sites, here: &Sites) -> Vec<Option<String>> {
    let find = |wanted: &skep_record::ProgramSites| {
        let mut programs = here.programs.iter();
        let found = programs.find(|program| program.name == wanted.name);
        found.map(|found| found.name.clone())
    };
    recorded.programs.iter().map(find).collect()
}

/// Gives the machine the functions that hand out what was recorded.
fn define(vm: &Vm, answers: &Arc<Mutex<Answers>>) -> Result<()> {
    let failed =
        |error: skep_vm::HelperError| Error::from(skep_record::Error::Record(error.to_string()));
    let shared = Arc::clone(answers);
    vm.define_helper(
        Prototype::new(skep_record::VALUE, "what was recorded").number(),
        move |call| lock(&shared).value(call.number(0)),
    )
    .map_err(failed)?;
    let shared = Arc::clone(answers);
    vm.define_helper(
        Prototype::new(skep_record::BYTES, "what was recorded")
            .number()
            .bytes_mut()
            .number(),
        move |call| {
            let asked = Asked {
                site: call.number(0),
                size: call.len(1),
                from: call.number(2),
            };
            lock(&shared).bytes(&asked, |bytes| {
                call.write(1, bytes);
            })
        },
    )
    .map_err(failed)?;
    let shared = Arc::clone(answers);
    vm.define_helper(
        Prototype::new(skep_record::CHECK, "what was recorded")
            .number()
            .number(),
        move |call| lock(&shared).check(call.number(0), call.number(1)),
    )
    .map_err(failed)
}

/// The packet of an event, from its link-layer header on, as long as it was if it was no longer than
/// [`LONGEST`]: what was not recorded is zero.
fn packet(event: &Event<'_>, program_type: ProgramType) -> Vec<u8> {
    let Some((bytes, len)) = event.packet() else {
        return Vec::new();
    };
    let mut packet = Vec::new();
    if program_type == ProgramType::CgroupSkb {
        // Programs of cgroups see packets from their network header on.
        packet.resize(ETHERNET, 0);
        let ethertype: [u8; 2] = match bytes.first().map(|byte| byte >> 4) {
            Some(6) => [0x86, 0xdd],
            _ => [0x08, 0x00],
        };
        packet[ETHERNET - 2..].copy_from_slice(&ethertype);
    }
    packet.extend_from_slice(bytes);
    let whole = usize::try_from(len).unwrap_or(usize::MAX);
    let whole = packet.len() - bytes.len() + whole;
    if whole <= LONGEST {
        packet.resize(whole, 0);
    }
    packet
}
