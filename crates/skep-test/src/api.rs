//! Tests in Rust: what files say, said by methods.

use std::{path::Path, sync::Arc, time::Duration};

use skep::{Host, Loaded, Object, vm::Fault};

use crate::{
    Error, Failure, FileError, Mismatch, RunOptions, Suite, TestHost, Value,
    definition::{Expect, Setup, Step},
    run::{Mark, Prepared, Session, Stop, Wishes},
    value::{Entry, Kind},
};

/// A test of a program: what it is given. [`run`](Self::run) runs it, and answers a [`Ran`] that
/// is asked what is expected.
///
/// ```no_run
/// use skep::Object;
/// use skep_test::{Test, Value};
///
/// let object = Object::open("fw.bpf.o")?;
/// let tcp = Value::table([("ip", Value::table([("src", "10.0.0.7")]))]);
/// Test::new(&object)
///     .program("xdp_fw")
///     .packet(tcp)
///     .map("blocked", [("10.0.0.7", 1)])
///     .run()?
///     .expect_return("XDP_DROP")
///     .expect_map("hits", [("10.0.0.7", 1)])
///     .check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Values are what they are in test files: see [`Value`]. A file of tests is run by
/// [`assert_passes`].
#[derive(Debug, Clone)]
#[must_use = "it runs when it is told to"]
pub struct Test {
    prepared: Arc<Prepared>,
    host: TestHost,
    setup: Setup,
    step: Step,
}

/// Adds a value to a table by name.
fn add(table: &mut Option<Value>, name: &str, value: Value) {
    let mut entries = match table.take() {
        Some(Value {
            kind: Kind::Table(entries),
            ..
        }) => entries,
        _ => Vec::new(),
    };
    entries.retain(|entry| entry.name != name);
    entries.push(Entry {
        name: name.to_owned(),
        place: None,
        value,
    });
    *table = Some(Value::new(Kind::Table(entries)));
}

/// Keys and values as a test file writes them.
fn entries<K: Into<Value>, V: Into<Value>>(pairs: impl IntoIterator<Item = (K, V)>) -> Value {
    let pairs = pairs
        .into_iter()
        .map(|(key, value)| Value::table([("key", key.into()), ("value", value.into())]));
    Value::from(pairs.collect::<Vec<_>>())
}

impl Test {
    /// A test of a program of this object, in the virtual machine. What was chosen for the object
    /// (globals, sizes of maps) is not the test's: it says that itself.
    pub fn new(object: &Object) -> Self {
        Self {
            prepared: Arc::new(Prepared::new(object.spec().clone(), Path::new("."))),
            host: TestHost::Vm,
            setup: Setup::default(),
            step: Step {
                repeat: 1,
                runs: true,
                ..Step::default()
            },
        }
    }

    /// Runs it on another host.
    pub fn on(mut self, host: TestHost) -> Self {
        self.host = host;
        self
    }

    /// Which program; need not be said where there is only one.
    pub fn program(mut self, name: &str) -> Self {
        self.step.program = Some((name.to_owned(), None));
        self
    }

    /// Its packet: layers, hexadecimal text, or [`Value::bytes`].
    pub fn packet(mut self, packet: impl Into<Value>) -> Self {
        self.step.packet = Some(packet.into());
        self
    }

    /// Its context: a table of fields, or [`Value::bytes`].
    pub fn context(mut self, context: impl Into<Value>) -> Self {
        self.step.context = Some(context.into());
        self
    }

    /// What is in a map before: keys and values.
    pub fn map<K: Into<Value>, V: Into<Value>>(
        mut self,
        name: &str,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        add(&mut self.setup.maps, name, entries(pairs));
        self
    }

    /// What a global variable begins with.
    pub fn global(mut self, name: &str, value: impl Into<Value>) -> Self {
        add(&mut self.setup.globals, name, value.into());
        self
    }

    /// What a value of the kernel's configuration is.
    pub fn kconfig(mut self, name: &str, value: impl Into<Value>) -> Self {
        add(&mut self.setup.kconfig, name, value.into());
        self
    }

    /// Who it runs for: a table of `pid`, `tgid`, `uid`, `gid`, `comm`, …
    pub fn task(mut self, task: impl Into<Value>) -> Self {
        self.step.task = Some(task.into());
        self
    }

    /// When the clock begins.
    pub fn time(mut self, time: Duration) -> Self {
        self.setup.time = Some(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self
    }

    /// How much time passes after the run; timers that are due fire.
    pub fn advance(mut self, by: Duration) -> Self {
        self.step.advance = Some(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
        self
    }

    /// What `bpf_get_prandom_u32` gives, over and over.
    pub fn random(mut self, numbers: &[u32]) -> Self {
        self.step.random = numbers.to_vec();
        self
    }

    /// How often it runs on the same input.
    pub fn repeat(mut self, times: u32) -> Self {
        self.step.repeat = times.max(1);
        self
    }

    /// How many CPUs the machine has.
    pub fn cpus(mut self, count: u32) -> Self {
        self.setup.cpus = Some(count);
        self
    }

    /// The CPU that it runs on.
    pub fn cpu(mut self, cpu: u32) -> Self {
        self.step.cpu = Some(cpu);
        self
    }

    /// What `bpf_get_attach_cookie` gives.
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.step.cookie = cookie;
        self
    }

    /// Loads the object and runs the program.
    ///
    /// # Errors
    /// The object is refused, the test says what can't be, or it can't run on this host.
    pub fn run(self) -> Result<Ran, Error> {
        let kernel = match self.host {
            TestHost::Kernel => Host::kernel().ok(),
            TestHost::Vm => None,
        };
        let wishes = Wishes {
            host: self.host,
            kernel: kernel.as_ref(),
            coverage: false,
            repeat: self.step.repeat,
            cpu: self.step.cpu.unwrap_or(0),
        };
        let mut session = Session::open(&self.prepared, &self.setup, &[], wishes)?;
        session.step(&self.step)?;
        Ok(Ran {
            session,
            test: self,
            differ: Vec::new(),
            error: None,
            fault_expected: false,
        })
    }
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Skip(reason) => Self::Unsupported(reason),
            Stop::Refused(text) => Self::Refused(text),
            Stop::File(error) => Self::File(error),
        }
    }
}

/// A test that has run: to be asked what is expected, and to be run on.
///
/// Each `expect_…` notes what is otherwise; [`check`](Self::check) tells of all of it.
#[must_use = "`check` says whether all was as expected"]
pub struct Ran {
    session: Session,
    test: Test,
    differ: Vec<Mismatch>,
    error: Option<FileError>,
    fault_expected: bool,
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ran({} mismatches)", self.differ.len())
    }
}

impl Ran {
    /// What the program returned (R0, of programs with packets its lower half); `None` if it was
    /// stopped.
    #[must_use]
    pub fn returned(&self) -> Option<u64> {
        self.session.last.as_ref()?.result.as_ref().ok().copied()
    }

    /// What stopped it.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.session.last.as_ref()?.result.as_ref().err()
    }

    /// The packet that it left.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        self.session
            .last
            .as_ref()
            .map_or(&[], |fired| &fired.packet)
    }

    /// The context that it left.
    #[must_use]
    pub fn context(&self) -> &[u8] {
        self.session
            .last
            .as_ref()
            .map_or(&[], |fired| &fired.context)
    }

    /// The object as it is loaded: its maps, to be looked at by other means.
    #[must_use]
    pub fn loaded(&self) -> &Loaded {
        &self.session.loaded
    }

    /// Runs a program again, with what it was given the last time and what `change` makes of that;
    /// maps and variables are as the run before left them.
    ///
    /// # Errors
    /// As [`Test::run`].
    pub fn then(mut self, change: impl FnOnce(Test) -> Test) -> Result<Self, Error> {
        self.settle();
        let mut next = change(self.test.clone());
        // What the setup says was for the beginning; maps that are said now are filled now.
        next.step.maps = next.setup.maps.take();
        self.session.step(&next.step)?;
        next.step.maps = None;
        self.test = next;
        Ok(self)
    }

    /// Notes a fault that nobody expected.
    fn settle(&mut self) {
        if self.fault_expected {
            self.fault_expected = false;
            return;
        }
        self.ask(&Expect::default());
    }

    fn ask(&mut self, expect: &Expect) {
        if self.error.is_some() {
            return;
        }
        let since = self.session.mark.clone();
        let step = &self.test.step;
        let checked = self
            .session
            .check(expect, Some(step), &since, &mut self.differ);
        self.error = checked.err();
    }

    /// Asks for one thing by its name in test files: `return`, `packet`, `context`, `printk`, …
    fn about(mut self, name: &str, value: Value) -> Self {
        let table = Value::table([(name, value)]);
        match Expect::parse(Some(&table)) {
            // A fault would be told of with each question.
            Ok(expect) if name == "fault" || self.fault().is_none() => self.ask(&expect),
            Ok(_) => {}
            Err(error) => self.error = self.error.or(Some(error)),
        }
        self
    }

    /// Expects a return value, by number or name: `"XDP_DROP"`, `"-EPERM"`.
    pub fn expect_return(self, value: impl Into<Value>) -> Self {
        self.about("return", value.into())
    }

    /// Expects the packet that it leaves: layers, hexadecimal text with holes, or `"unchanged"`.
    pub fn expect_packet(self, value: impl Into<Value>) -> Self {
        self.about("packet", value.into())
    }

    /// Expects fields of the context that it leaves.
    pub fn expect_context(self, value: impl Into<Value>) -> Self {
        self.about("context", value.into())
    }

    /// Expects these entries in a map, and no others.
    pub fn expect_map<K: Into<Value>, V: Into<Value>>(
        self,
        name: &str,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.about("maps", Value::table([(name, entries(pairs))]))
    }

    /// Expects these records in a ring or perf buffer since the run began, and no others.
    pub fn expect_events<V: Into<Value>>(
        self,
        name: &str,
        records: impl IntoIterator<Item = V>,
    ) -> Self {
        let records: Vec<Value> = records.into_iter().map(Into::into).collect();
        self.about("events", Value::table([(name, Value::from(records))]))
    }

    /// Expects the value of a global variable.
    pub fn expect_global(self, name: &str, value: impl Into<Value>) -> Self {
        self.about("globals", Value::table([(name, value.into())]))
    }

    /// Expects lines of `bpf_printk`.
    pub fn expect_printk<V: Into<Value>>(self, lines: impl IntoIterator<Item = V>) -> Self {
        let lines: Vec<Value> = lines.into_iter().map(Into::into).collect();
        self.about("printk", Value::from(lines))
    }

    /// Expects that the machine stopped the program, and said this among other things.
    pub fn expect_fault(mut self, text: &str) -> Self {
        self.fault_expected = true;
        self.about("fault", text.into())
    }

    /// Tells of all that was otherwise than expected; a fault that was not expected is, too.
    ///
    /// # Errors
    /// Something was: it prints as a table of what was expected and what there was.
    pub fn check(mut self) -> Result<(), Failure> {
        self.settle();
        if self.differ.is_empty() && self.error.is_none() {
            return Ok(());
        }
        let lines = self
            .session
            .events
            .lines(&self.session.loaded, &Mark::default());
        Err(Failure {
            printed: lines.map(<[String]>::to_vec).unwrap_or_default(),
            mismatches: self.differ,
            error: self.error,
        })
    }
}

/// Runs a file's tests in the virtual machine, on each program that it is about, and panics, with a
/// table of what was otherwise than expected, if one fails: for `cargo test`.
///
/// ```no_run
/// #[test]
/// fn firewall() {
///     skep_test::assert_passes("programs/fw.test.toml");
/// }
/// ```
///
/// # Panics
/// A test fails, or the file can't be opened.
#[track_caller]
#[expect(clippy::panic, reason = "how tests fail")]
pub fn assert_passes(path: impl AsRef<Path>) {
    let run = |suite: Suite| {
        let report = suite.run(&RunOptions::default());
        assert!(report.passed(), "{}\n{report}", report.name().display());
    };
    let opened = Suite::open_all(path);
    for suite in opened.unwrap_or_else(|error| vec![Err(error)]) {
        match suite {
            Ok(suite) => run(suite),
            Err(error) => {
                let mut text = error.to_string();
                let mut cause = std::error::Error::source(&error);
                while let Some(error) = cause {
                    text = format!("{text}: {error}");
                    cause = error.source();
                }
                panic!("{text}");
            }
        }
    }
}
