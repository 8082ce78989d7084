//! What hosts say: whether they load a program, how long their verifier took, and what the program
//! returns.

use std::{sync::Arc, time::Duration};

use skep::{
    Host, LoadOptions, Loaded,
    abi::{Command, ProgramType},
    boundary::{Errno, Error, LogLevel, TestRun},
    spec::Pinning,
};
use skep_selftests::{Case, TEST_DATA_LEN};
use skep_testing::{Outcome, Stop};

use crate::times::Effort;

/// A time that need not be taken again: chance is little of it.
const ENOUGH: Duration = Duration::from_millis(500);

/// A host that is asked about program after program.
pub(crate) struct Hosted {
    host: Host,
    /// Programs are linked for it, not loaded as they were judged.
    relinks: bool,
}

/// What a host says of a program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// It did not look at the program: such can't be loaded here at all, or not with its object.
    pub(crate) forbidden: bool,
    /// Whether it loads it.
    pub(crate) accepted: bool,
    /// Why it does not.
    pub(crate) message: String,
    /// What its verifier needed, if it tells.
    pub(crate) effort: Option<Effort>,
    /// What a test run returned, if it was run, or why it could not be.
    pub(crate) value: Option<Result<u32, String>>,
}

impl Hosted {
    /// The running kernel.
    ///
    /// # Errors
    /// Skips: it may not be used here.
    pub(crate) fn kernel() -> Outcome<Self> {
        let host = Host::kernel()?;
        if let Some(cause) = Host::auto()?.why_not_kernel() {
            return Err(Stop::lacks(format!("the running kernel: {cause}")));
        }
        Ok(Self {
            host,
            relinks: false,
        })
    }

    /// The virtual machine.
    ///
    /// # Errors
    /// It can't be made.
    pub(crate) fn vm() -> Outcome<Self> {
        Ok(Self {
            host: Host::vm()?,
            relinks: true,
        })
    }

    /// Loads a program, as often as `times` for the least time of its verifier, and runs it if
    /// asked to. What takes it long is not done again.
    pub(crate) fn ask(&mut self, case: &Case<'_>, times: u32, run: bool) -> Answer {
        let mut answer = self.load(case, run);
        for _ in 1..times {
            if answer.effort.is_none_or(|effort| effort.time > ENOUGH) {
                break;
            }
            let again = self.load(case, false).effort;
            let efforts = answer.effort.into_iter().chain(again);
            answer.effort = efforts.min_by_key(|effort| effort.time);
        }
        answer
    }

    fn load(&mut self, case: &Case<'_>, run: bool) -> Answer {
        let refused = |message: String| Answer {
            message,
            ..Answer::default()
        };
        let mut object = skep::Object::from_spec(case.spec.clone());
        if let Some(types) = case.core_btf {
            object.core_btf(Arc::clone(types));
        }
        let programs: Vec<&str> = case.programs.iter().map(String::as_str).collect();
        let image = match self.relinks {
            true => object
                .only_programs(&programs)
                .and_then(|()| object.link(&self.host))
                .map_err(|error| error.to_string()),
            false => case.image.cloned().map_err(ToString::to_string),
        };
        let mut image = match image {
            Ok(image) => image,
            Err(error) => return refused(error),
        };
        for program in &mut image.programs {
            program.flags |= case.expectation.flags;
        }
        // What is asked is the verdict; pins would stay behind.
        for map in &mut image.maps {
            map.pinning = Pinning::None;
        }
        let options = LoadOptions {
            log_level: LogLevel::Statistics,
            ..LoadOptions::default()
        };
        match object.load_image(&self.host, &options, image) {
            Ok(loaded) => {
                let Ok(program) = loaded.program(case.program) else {
                    return refused("it is not among what was loaded".to_owned());
                };
                Answer {
                    accepted: true,
                    forbidden: false,
                    message: String::new(),
                    effort: verification(program.log()),
                    value: run.then(|| {
                        fill_maps(&loaded, case.object)?;
                        test_run(program)
                    }),
                }
            }
            // The verifier ran, and found nothing: what comes behind it is lockdown's.
            Err(skep::Error::Rejected(rejection))
                if rejection.errno == Errno::EPERM && rejection.message.is_empty() =>
            {
                Answer {
                    forbidden: true,
                    ..refused(rejection.to_string())
                }
            }
            Err(skep::Error::Rejected(rejection)) => Answer {
                effort: verification(&rejection.log),
                ..refused(match rejection.message.is_empty() {
                    true => rejection.to_string(),
                    false => rejection.message.clone(),
                })
            },
            // No verifier's log: lockdown, or a container's limits.
            Err(skep::Error::Host(error)) if error.errno() == Some(Errno::EPERM) => Answer {
                forbidden: true,
                ..refused(error.to_string())
            },
            Err(skep::Error::Host(
                error @ Error::Command {
                    command: Command::ProgLoad,
                    ..
                },
            )) => refused(error.to_string()),
            // A map, or what comes after the programs: nothing of the program's.
            Err(error) => Answer {
                forbidden: true,
                ..refused(error.to_string())
            },
        }
    }
}

/// Puts into maps what the tests' own runner puts there before it runs programs of some objects: a
/// `struct test_val` under key 0.
fn fill_maps(loaded: &Loaded, object: &str) -> Result<(), String> {
    let map = match object {
        "verifier_array_access" => "map_array_ro",
        "verifier_value_ptr_arith" => "map_array_48b",
        _ => return Ok(()),
    };
    // Not every program of the object uses it.
    let Ok(map) = loaded.map(map) else {
        return Ok(());
    };
    let mut value = [0; 48];
    for (at, number) in [(0, 28_u32), (28, 0xabcd_ef12)] {
        value[at..at + 4].copy_from_slice(&number.to_ne_bytes());
    }
    let host = loaded.host().boundary();
    host.map_update_elem(map.fd(), &0_u32.to_ne_bytes(), &value, 0)
        .map_err(|error| error.to_string())
}

/// Runs a program as the kernel's own test runner does.
fn test_run(program: &skep::Program) -> Result<u32, String> {
    let packet = [0; TEST_DATA_LEN as usize];
    let mut out = [0; TEST_DATA_LEN as usize * 4];
    let mut run = match program.program_type() {
        ProgramType::Syscall => TestRun::default(),
        _ => TestRun {
            data_in: &packet,
            data_out: &mut out,
            repeat: 1,
            ..TestRun::default()
        },
    };
    match program.test_run(&mut run) {
        Ok(outcome) => Ok(outcome.return_value),
        Err(error) => Err(error.to_string()),
    }
}

/// What the kernel writes at the end of its log: its time, in whole microseconds, and how many
/// instructions it followed.
fn verification(log: &str) -> Option<Effort> {
    let number = |start: &str| {
        let mut lines = log.lines().rev();
        let text = lines.find_map(|line| line.strip_prefix(start))?;
        text.split_whitespace().next()?.parse().ok()
    };
    Some(Effort {
        time: Duration::from_micros(number("verification time ")?),
        instructions: number("processed "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_its_effort() {
        let log = "0: R1=ctx()\nverification time 42 usec\nstack depth 8\nprocessed 12 insns \
                   (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 1\n";
        let effort = verification(log).expect("it is there");
        assert_eq!(effort.time, Duration::from_micros(42));
        assert_eq!(effort.instructions, Some(12));
        assert_eq!(verification("processed 12 insns (limit 1000000)"), None);
    }
}
