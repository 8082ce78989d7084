//! Timers by a clock that the test moves, and by the real one.

use std::{path::Path, sync::Arc, time::Duration};

use skep::{Loaded, Object};
use skep_host::TestRun;
use skep_testing::{Outcome, Stop, ensure, eventually};
use skep_vm::{Clock, Config, Vm};

/// A machine with the programs of `c/clocked.bpf.c`.
struct Machine {
    vm: Vm,
    clock: Clock,
    object: Object,
    loaded: Loaded,
}

/// What `start` takes, and more.
#[derive(Clone, Copy, Default)]
struct Start {
    key: u32,
    clock: u32,
    delay: u64,
    again: u64,
    flags: u64,
}

const MONOTONIC: u32 = 1;

impl Machine {
    fn new(clock: Clock) -> Outcome<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/clocked.bpf.c");
        let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
        let object = Object::parse("clocked", &bytes)?;
        let mut config = Config::default();
        config.clock = clock.clone();
        config.cpus = 2;
        // Counting changes nothing of what timers do.
        config.coverage = true;
        let vm = Vm::with(config).map_err(|errno| Stop::fail(errno.to_string()))?;
        let loaded = object.load(&skep::Host::new(Arc::new(vm.clone())))?;
        Ok(Self {
            vm,
            clock,
            object,
            loaded,
        })
    }

    /// Runs a program, and gives what its helper answered.
    fn call(&self, program: &str, start: Start) -> Outcome<i64> {
        let mut context = Vec::new();
        context.extend_from_slice(&start.key.to_ne_bytes());
        context.extend_from_slice(&start.clock.to_ne_bytes());
        for word in [start.delay, start.again, start.flags, 0] {
            context.extend_from_slice(&word.to_ne_bytes());
        }
        let mut out = context.clone();
        let mut run = TestRun {
            context_in: &context,
            context_out: &mut out,
            ..TestRun::default()
        };
        let outcome = self.loaded.program(program)?.test_run(&mut run)?;
        ensure(outcome.return_value == 0, || {
            format!("{program} returns {}", outcome.return_value)
        })?;
        Ok(i64::from_ne_bytes(
            out[32..40].try_into().unwrap_or_default(),
        ))
    }

    fn start(&self, key: u32, delay: u64) -> Outcome {
        let start = Start {
            key,
            clock: MONOTONIC,
            delay,
            ..Start::default()
        };
        is("start", self.call("start", start)?, 0)
    }

    fn global(&self, name: &str) -> Outcome<Vec<u8>> {
        let mut all = self.object.spec().variables().iter();
        let found = all.find(|variable| variable.name == name);
        let found = found.ok_or_else(|| Stop::fail(format!("no variable `{name}`")))?;
        Ok(self.loaded.global(found)?)
    }

    /// The keys whose timers fired, in order.
    fn order(&self) -> Outcome<Vec<u32>> {
        let number = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
        let fired = number(&self.global("fired")?) as usize;
        let order = self.global("order")?;
        Ok(order.chunks(4).take(fired).map(number).collect())
    }

    /// When the timer of a key last fired, and how often it did.
    fn fired(&self, key: u32) -> Outcome<(u64, u64)> {
        let map = self.loaded.map("values")?;
        let mut value = vec![0; 40];
        let host = map.host();
        host.map_lookup_elem(map.fd(), &key.to_ne_bytes(), &mut value, 0)?;
        let word = |at: usize| u64::from_ne_bytes(value[at..at + 8].try_into().unwrap_or_default());
        Ok((word(8), word(0)))
    }
}

fn is<T: PartialEq + std::fmt::Debug>(what: &str, is: T, expected: T) -> Outcome {
    ensure(is == expected, || {
        format!("{what}: {is:?}, not {expected:?}")
    })
}

fn run(test: impl FnOnce(&Machine) -> Outcome) {
    on(Clock::manual(Duration::from_nanos(1000)), test);
}

fn on(clock: Clock, test: impl FnOnce(&Machine) -> Outcome) {
    match Machine::new(clock).and_then(|machine| {
        test(&machine)?;
        is("faults", machine.vm.take_timer_faults(), (Vec::new(), 0))
    }) {
        Ok(()) => {}
        Err(Stop::Skip(lacking)) => {
            skep_testing::lacks(format_args!("{lacking:?}"));
        }
        Err(Stop::Fail(why)) => panic!("{why}"),
    }
}

const fn nanos(count: u64) -> Duration {
    Duration::from_nanos(count)
}

#[test]
fn they_fire_in_order_and_at_their_time() {
    run(|machine| {
        machine.start(1, 300)?;
        machine.start(2, 100)?;
        machine.start(3, 200)?;
        machine.start(4, 200)?;
        is("before", machine.order()?, vec![])?;
        machine.clock.advance(nanos(99));
        is("too early", machine.order()?, vec![])?;
        machine.clock.advance(nanos(1));
        is("the first", machine.order()?, vec![2])?;
        machine.clock.advance(nanos(1000));
        is("all", machine.order()?, vec![2, 3, 4, 1])?;
        is("at", machine.fired(1)?, (1300, 1))?;
        is("at", machine.fired(4)?, (1200, 1))?;
        let cancelled = machine.global("cancelled")?;
        is("inside", cancelled, (-35_i64).to_ne_bytes().to_vec())
    });
}

#[test]
fn what_their_callbacks_run_is_counted() {
    run(|machine| {
        machine.start(1, 100)?;
        machine.start(2, 200)?;
        let program = machine.loaded.program("start")?;
        let image = machine.loaded.image().program("start");
        let functions = image.map_or(&[][..], |image| &image.functions);
        let fire = functions.iter().find(|function| function.name == "fire");
        let fire = fire.ok_or(Stop::fail("no callback"))?.start.as_usize();
        let ran = || -> Outcome<u64> {
            let coverage = machine.vm.coverage(program.fd())?;
            let hits = coverage.ok_or(Stop::fail("not counted"))?.hits();
            Ok(hits.get(fire).map_or(0, |hits| hits.ran))
        };
        is("before", ran()?, 0)?;
        machine.clock.advance(nanos(150));
        is("one", ran()?, 1)?;
        machine.clock.advance(nanos(150));
        is("both", ran()?, 2)
    });
}

#[test]
fn they_start_again_from_their_callbacks() {
    run(|machine| {
        let start = Start {
            key: 1,
            clock: MONOTONIC,
            delay: 5,
            again: 3,
            flags: 0,
        };
        machine.call("start", start)?;
        machine.clock.advance(nanos(24));
        is("two", machine.fired(1)?, (1015, 2))?;
        machine.clock.advance(nanos(100));
        is("all", machine.fired(1)?, (1035, 4))
    });
}

/// A timer that never lets go keeps neither the clock for ever, nor the timers of another machine.
#[test]
fn endless_ones_let_the_clock_go() {
    run(|machine| {
        let other = Machine::new(machine.clock.clone())?;
        let start = Start {
            key: 1,
            clock: MONOTONIC,
            again: u64::MAX,
            ..Start::default()
        };
        machine.call("start", start)?;
        other.start(2, 5_000_000)?;
        // Every 10 ns would be half a million times.
        machine.clock.advance(Duration::from_millis(5));
        is("once", machine.fired(1)?.1, 15_000)?;
        is("now", machine.clock.now(), nanos(5_001_000))?;
        is("other", other.fired(2)?, (5_001_000, 1))?;
        machine.clock.advance(Duration::from_millis(5));
        is("twice", machine.fired(1)?.1, 30_000)
    });
}

#[test]
fn clocks_and_absolute_times() {
    run(|machine| {
        for (key, clock) in [(1, 1), (2, 7), (3, 0)] {
            let start = Start {
                key,
                clock,
                delay: 1500,
                again: 0,
                flags: 1,
            };
            is("start", machine.call("start", start)?, 0)?;
        }
        machine.clock.advance(nanos(499));
        is("too early", machine.order()?, vec![])?;
        machine.clock.advance(nanos(1));
        is("all", machine.order()?, vec![1, 2, 3])?;
        let past = Start {
            key: 4,
            clock: MONOTONIC,
            delay: 3,
            again: 0,
            flags: 1 | 2,
        };
        is("start", machine.call("start", past)?, 0)?;
        machine.clock.advance(nanos(0));
        is("what is over fires at once", machine.fired(4)?, (1500, 1))
    });
}

#[test]
fn cancelled_and_deleted_ones_do_not_fire() {
    run(|machine| {
        let of = |key| Start {
            key,
            ..Start::default()
        };
        machine.start(1, 100)?;
        machine.start(2, 100)?;
        machine.start(3, 100)?;
        is("cancel", machine.call("cancel", of(1))?, 1)?;
        is("again", machine.call("cancel", of(1))?, 0)?;
        is("delete", machine.call("forget", of(2))?, 0)?;
        machine.clock.advance(nanos(1000));
        is("one is left", machine.order()?, vec![3])?;
        // The place of a deleted one may be another's.
        machine.start(4, 100)?;
        machine.start(5, 100)?;
        machine.clock.advance(nanos(1000));
        is("new ones", machine.order()?, vec![3, 4, 5])
    });
}

#[test]
fn they_end_with_the_last_user_of_their_map() {
    run(|machine| {
        let second = machine
            .object
            .load(&skep::Host::new(Arc::new(machine.vm.clone())))?;
        machine.start(1, 100)?;
        drop(second);
        machine.clock.advance(nanos(50));
        is("both maps were there", machine.order()?, vec![])
    });
    let clock = Clock::manual(Duration::ZERO);
    on(clock.clone(), |machine| machine.start(1, 100));
    clock.advance(nanos(1000));
}

#[test]
fn the_real_clock_fires_too() {
    on(Clock::real(), |machine| {
        machine.start(1, 1_000_000)?;
        machine.start(2, 3_600_000_000_000)?;
        let again = Start {
            key: 3,
            clock: MONOTONIC,
            delay: 0,
            again: 3,
            flags: 2,
        };
        machine.call("start", again)?;
        eventually("timers fire", || {
            Ok(machine.fired(1)?.1 == 1 && machine.fired(3)?.1 == 4)
        })?;
        is("an hour is not over", machine.fired(2)?.1, 0)
    });
}
