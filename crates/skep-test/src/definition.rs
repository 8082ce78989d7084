//! What a test says, taken apart as far as no type must be known for it: names that mean nothing
//! are refused here, before anything runs.

use crate::{
    run::{TestHost, time},
    source::{FileError, Parsed, Place},
    value::{Kind, Value},
};

/// A test.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) place: Option<Place>,
    /// Where it runs; anywhere if nothing is said.
    pub(crate) hosts: Vec<TestHost>,
    pub(crate) setup: Setup,
    pub(crate) steps: Vec<Step>,
    /// The recording that is replayed, in place of steps that run programs.
    pub(crate) replay: Option<Replayed>,
    /// What is expected after the last step, where there are several.
    pub(crate) expect: Option<Expect>,
}

/// What an object is loaded with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setup {
    pub(crate) kconfig: Option<Value>,
    pub(crate) globals: Option<Value>,
    pub(crate) maps: Option<Value>,
    /// When the clock begins, in nanoseconds.
    pub(crate) time: Option<u64>,
    /// How many CPUs the machine has.
    pub(crate) cpus: Option<u32>,
}

/// A recording, or some events of it.
#[derive(Debug, Clone)]
pub(crate) struct Replayed {
    pub(crate) file: String,
    /// By their numbers, in this order; all if nothing is said.
    pub(crate) events: Option<Vec<usize>>,
    pub(crate) place: Option<Place>,
}

/// One run of a program, with what is before and after it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) place: Option<Place>,
    pub(crate) program: Option<(String, Option<Place>)>,
    /// Whether a program runs: not in a step that only lets time pass.
    pub(crate) runs: bool,
    pub(crate) context: Option<Value>,
    pub(crate) packet: Option<Value>,
    pub(crate) maps: Option<Value>,
    pub(crate) task: Option<Value>,
    pub(crate) random: Vec<u32>,
    pub(crate) repeat: u32,
    pub(crate) cpu: Option<u32>,
    pub(crate) cookie: u64,
    pub(crate) retval: i32,
    /// Where it was called from, innermost first, in the kernel and in the task.
    pub(crate) kernel_stack: Vec<u64>,
    pub(crate) user_stack: Vec<u64>,
    /// How much time passes after the run, in nanoseconds.
    pub(crate) advance: Option<u64>,
    pub(crate) expect: Expect,
}

/// What is expected of a run: a table of which only the names are known here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expect(pub(crate) Option<Value>);

/// What can be expected.
const EXPECTATIONS: [&str; 13] = [
    "return",
    "packet",
    "context",
    "maps",
    "events",
    "globals",
    "printk",
    "fault",
    "load_error",
    "redirect",
    "retval",
    "override",
    "output",
];

/// What a step can say.
const STEP: [&str; 15] = [
    "kernel_stack",
    "user_stack",
    "program",
    "context",
    "packet",
    "maps",
    "task",
    "random",
    "repeat",
    "cpu",
    "cookie",
    "retval",
    "advance",
    "expect",
    "name",
];

/// What a test can say beside that.
const TEST: [&str; 8] = [
    "hosts", "globals", "kconfig", "time", "cpus", "run", "cases", "replay",
];

/// What a recording says itself.
const RECORDED: [&str; 16] = [
    "run",
    "program",
    "context",
    "packet",
    "maps",
    "task",
    "random",
    "repeat",
    "cpu",
    "cpus",
    "cookie",
    "retval",
    "time",
    "advance",
    "kernel_stack",
    "user_stack",
];

/// What of it is not each run's.
const WHOLE: [&str; 4] = ["maps", "expect", "advance", "name"];

/// Names that stand at the top of a file for all of its tests.
pub(crate) fn is_default(name: &str) -> bool {
    name != "name"
        && name != "run"
        && name != "cases"
        && (STEP.contains(&name) || TEST.contains(&name))
}

/// Most often that a program is run in a step.
const MOST: u32 = 1_000_000;
/// Most CPUs.
const CPUS: u32 = 64;

impl Definition {
    /// The tests of a table: one, or one a case.
    ///
    /// # Errors
    /// A name means nothing, or a value is not of its kind.
    pub(crate) fn parse(test: &Value) -> Parsed<Vec<Self>> {
        let known: Vec<&str> = STEP.iter().chain(&TEST).copied().collect();
        test.only("part of a test", &known)?;
        let name = test.get("name").ok_or_else(|| {
            test.error("this test has no name")
                .help("name = \"what it shows\"")
        })?;
        let name = name.text("a name")?.to_owned();
        let Some(cases) = test.get("cases") else {
            return Ok(vec![Self::one(name, test)?]);
        };
        let plain = test.without(&["cases"]);
        let cases = cases.array("an array of tables: cases = [{ name = …, … }]")?;
        let cases = cases.iter().enumerate().map(|(index, case)| {
            let known: Vec<&str> = known
                .iter()
                .copied()
                .filter(|name| *name != "cases")
                .collect();
            case.only("part of a case", &known)?;
            let own = match case.get("name") {
                Some(name) => name.text("a name")?.to_owned(),
                None => format!("case {}", index.saturating_add(1)),
            };
            let whole = plain.overlaid(&case.without(&["name"]));
            Self::one(format!("{name}: {own}"), &whole)
        });
        cases.collect()
    }

    fn one(name: String, test: &Value) -> Parsed<Self> {
        let mut hosts = Vec::new();
        if let Some(given) = test.get("hosts") {
            for host in given.array("an array of hosts")? {
                hosts.push(match host.text("a host")? {
                    "vm" => TestHost::Vm,
                    "kernel" => TestHost::Kernel,
                    other => {
                        let place = host.place.clone();
                        return Err(FileError::unknown(place, "host", other, ["vm", "kernel"]));
                    }
                });
            }
        }
        let table = |name: &str| match test.get(name) {
            Some(value) => value.entries("a table").map(|_| Some(value.clone())),
            None => Ok(None),
        };
        let setup = Setup {
            kconfig: table("kconfig")?,
            globals: table("globals")?,
            maps: table("maps")?,
            time: test.get("time").map(time).transpose()?,
            cpus: match test.get("cpus") {
                Some(cpus) => match cpus.number::<u32>("a count of CPUs")? {
                    count @ 1..=CPUS => Some(count),
                    _ => return Err(cpus.error(format!("a machine has 1 to {CPUS} CPUs"))),
                },
                None => None,
            },
        };
        let expect = Expect::parse(test.get("expect"))?;
        if let Some(replay) = test.get("replay") {
            let said = RECORDED
                .iter()
                .find_map(|name| Some((name, test.get(name)?)));
            if let Some((name, value)) = said {
                let what = format!("a test of a recording says no `{name}`: the recording does");
                return Err(value.error(what));
            }
            return Ok(Self {
                name,
                place: test.place.clone(),
                hosts,
                setup,
                steps: Vec::new(),
                replay: Some(Replayed::parse(replay)?),
                expect: Some(expect),
            });
        }
        let Some(runs) = test.get("run") else {
            let mut step = Step::parse(test)?;
            (step.maps, step.runs) = (None, true);
            step.expect = expect;
            return Ok(Self {
                name,
                place: test.place.clone(),
                hosts,
                setup,
                steps: vec![step],
                replay: None,
                expect: None,
            });
        };
        let mut under = test.without(&WHOLE).without(&TEST);
        under.place = None;
        let mut steps = Vec::new();
        for run in runs.array("an array of tables: [[test.run]]")? {
            run.only("part of a run", &STEP)?;
            let whole = under.overlaid(run);
            let mut step = Step::parse(&whole)?;
            // What a step says itself: without any of it, it only lets time pass.
            let says = |name| run.get(name).is_some();
            step.runs = says("program") || says("context") || says("packet") || !says("advance");
            steps.push(step);
        }
        if steps.is_empty() {
            return Err(runs.error("this test has no runs"));
        }
        Ok(Self {
            name,
            place: test.place.clone(),
            hosts,
            setup,
            steps,
            replay: None,
            expect: Some(expect),
        })
    }

    /// All that is expected, of any step.
    pub(crate) fn expectations(&self) -> impl Iterator<Item = &Expect> {
        let steps = self.steps.iter().map(|step| &step.expect);
        steps.chain(&self.expect)
    }
}

impl Replayed {
    fn parse(value: &Value) -> Parsed<Self> {
        let (file, events) = match &value.kind {
            Kind::Text(_) => (value, None),
            _ => {
                value.only("part of a replay", &["file", "event"])?;
                let missing = || value.error("this replay has no file").help("file = \"…\"");
                (value.get("file").ok_or_else(missing)?, value.get("event"))
            }
        };
        let number = |event: &Value| event.number::<usize>("an event's number");
        let events = match events {
            None => None,
            Some(Value {
                kind: Kind::Array(events),
                ..
            }) => Some(events.iter().map(number).collect::<Parsed<_>>()?),
            Some(event) => Some(vec![number(event)?]),
        };
        Ok(Self {
            file: file.text("a recording's file")?.to_owned(),
            events,
            place: value.place.clone().or(file.place.clone()),
        })
    }
}

impl Step {
    fn parse(value: &Value) -> Parsed<Self> {
        let number = |name: &str| value.get(name);
        let random = match value.get("random") {
            None => Vec::new(),
            Some(Value {
                kind: Kind::Array(numbers),
                ..
            }) => {
                let numbers = numbers.iter();
                let numbers = numbers.map(|number| number.number("a random number of 32 bits"));
                numbers.collect::<Parsed<_>>()?
            }
            Some(one) => vec![one.number("a random number of 32 bits")?],
        };
        let stack = |name: &str| -> Parsed<Vec<u64>> {
            let Some(given) = value.get(name) else {
                return Ok(Vec::new());
            };
            let places = given.array("an array of addresses")?.iter();
            places.map(|place| place.number("an address")).collect()
        };
        let repeat = match number("repeat") {
            None => 1,
            Some(repeat) => match repeat.number::<u32>("how often it is run")? {
                count @ 1..=MOST => count,
                _ => return Err(repeat.error(format!("a program is run 1 to {MOST} times"))),
            },
        };
        let program = match value.get("program") {
            Some(program) => Some((
                program.text("a program's name")?.to_owned(),
                program.place.clone(),
            )),
            None => None,
        };
        if let Some(task) = value.get("task") {
            task.only("field of a task", &crate::run::TASK_FIELDS)?;
        }
        if let Some(maps) = value.get("maps") {
            maps.entries("a table of maps")?;
        }
        Ok(Self {
            place: value.place.clone(),
            program,
            runs: true,
            context: value.get("context").cloned(),
            packet: value.get("packet").cloned(),
            maps: value.get("maps").cloned(),
            task: value.get("task").cloned(),
            random,
            repeat,
            cpu: match number("cpu") {
                Some(cpu) => match cpu.number::<u32>("a CPU's number")? {
                    cpu @ 0..CPUS => Some(cpu),
                    _ => return Err(cpu.error(format!("CPUs are 0 to {}", CPUS - 1))),
                },
                None => None,
            },
            cookie: number("cookie").map_or(Ok(0), |cookie| cookie.number("a cookie"))?,
            retval: number("retval").map_or(Ok(0), |retval| retval.number("a return value"))?,
            kernel_stack: stack("kernel_stack")?,
            user_stack: stack("user_stack")?,
            advance: value.get("advance").map(time).transpose()?,
            expect: Expect::parse(value.get("expect"))?,
        })
    }
}

impl Expect {
    pub(crate) fn parse(value: Option<&Value>) -> Parsed<Self> {
        if let Some(value) = value {
            value.only("expectation", &EXPECTATIONS)?;
            for name in ["maps", "events", "globals"] {
                if let Some(table) = value.get(name) {
                    table.entries("a table by name")?;
                }
            }
        }
        Ok(Self(value.cloned()))
    }

    /// What is expected of something.
    pub(crate) fn of(&self, name: &str) -> Option<&Value> {
        self.0.as_ref()?.get(name)
    }
}
