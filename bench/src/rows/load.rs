//! Loading an object: what a loader adds to the kernel's own work. `load.c` is the same with
//! libbpf. The time within `bpf(2)` is taken by the preloaded instrument, for all alike.

use std::time::Instant;

use crate::{
    Result,
    instrument::Counters,
    row::{Case, Figures, Goal, How, Line, Row},
};

pub(crate) fn rows() -> Vec<Row> {
    let how = |object| How::Peer {
        arguments: vec!["load".into()],
        object: Some(object),
        counted: true,
    };
    vec![
        Row {
            name: "programs",
            runs: 11,
            how: how("many"),
            lines: vec![
                Line::new("all", "100 programs: load", "ms", 1e6),
                Line::new(
                    "over",
                    "100 programs: load, over the sum of the kernel's PROG_LOAD",
                    "×",
                    1.0,
                )
                .goal(Goal::AtMost(1.1)),
                Line::new("bpf_calls", "100 programs: bpf(2) calls", "", 1.0),
            ],
        },
        Row {
            name: "core",
            runs: 21,
            how: how("core"),
            lines: vec![
                Line::new(
                    "own",
                    "1,000 CO-RE relocations: open and load, without bpf(2)",
                    "ms",
                    1e6,
                )
                .goal(Goal::OfBest(1.0)),
            ],
        },
    ]
}

fn figures(start: Instant, before: &Counters) -> Result<Figures> {
    let all = start.elapsed().as_nanos() as f64;
    let mut figures = before.calls_since()?;
    let of = |name| {
        let found = figures.iter().find(|(figure, _)| *figure == name);
        found.map_or(f64::NAN, |(_, figure)| *figure)
    };
    let (over, own) = (all / of("prog_load"), all - of("bpf"));
    figures.extend([("all", all), ("over", over), ("own", own)]);
    Ok(figures)
}

#[cfg(feature = "skep")]
pub(crate) fn measure(case: &Case) -> Result<Figures> {
    use skep::{Host, Object};
    let before = Counters::now();
    let start = Instant::now();
    let _loaded = Object::open(&case.object)?.load(&Host::kernel()?)?;
    figures(start, &before)
}

#[cfg(feature = "libbpf-rs")]
pub(crate) fn measure(case: &Case) -> Result<Figures> {
    use libbpf_rs::ObjectBuilder;
    let before = Counters::now();
    let start = Instant::now();
    let _loaded = ObjectBuilder::default().open_file(&case.object)?.load()?;
    figures(start, &before)
}

#[cfg(feature = "aya")]
pub(crate) fn measure(case: &Case) -> Result<Figures> {
    use aya::{Ebpf, programs::Xdp};
    let before = Counters::now();
    let start = Instant::now();
    let mut loaded = Ebpf::load_file(&case.object)?;
    for (_, program) in loaded.programs_mut() {
        let program: &mut Xdp = program.try_into()?;
        program.load()?;
    }
    figures(start, &before)
}
