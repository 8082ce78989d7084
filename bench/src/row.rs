//! What a row of the table is: who measures it, and what is said of its figures.

use std::path::PathBuf;

use crate::{Result, peers::Peer, tools::Tools};

/// What one run measured, by name.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// One measurement, repeated in turns by all peers; it may give several lines of the table.
pub(crate) struct Row {
    /// As it is chosen on the command line.
    pub(crate) name: &'static str,
    pub(crate) lines: Vec<Line>,
    pub(crate) how: How,
    /// How often by default.
    pub(crate) runs: usize,
}

/// How a row is measured.
pub(crate) enum How {
    /// By each peer's runner, in a process of its own.
    Peer {
        /// The file in `rows/`, then what it takes.
        arguments: Vec<String>,
        /// The BPF object that it opens.
        object: Option<&'static str>,
        /// With `counters.c` preloaded.
        counted: bool,
    },
    /// From outside.
    Outside(fn(&Tools, Peer) -> Result<Measured>),
}

/// What one run measured from outside, by name.
pub(crate) type Measured = Vec<(String, f64)>;

/// One line of the table; less is better, always.
pub(crate) struct Line {
    /// The figure it shows.
    pub(crate) figure: &'static str,
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    /// Figures are divided by it.
    pub(crate) scale: f64,
    pub(crate) goal: Goal,
}

/// What Skep is to reach.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    None,
    /// At most that, in the line's unit.
    AtMost(f64),
    /// Less than that, in the line's unit.
    Below(f64),
    /// At most that many times the figure of the best peer.
    OfBest(f64),
    /// At most that many times the figure of this peer.
    Of(Peer, f64),
}

impl Line {
    pub(crate) fn new(
        figure: &'static str,
        what: impl Into<String>,
        unit: &'static str,
        scale: f64,
    ) -> Self {
        Self {
            figure,
            what: what.into(),
            unit,
            scale,
            goal: Goal::None,
        }
    }

    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self { goal, ..self }
    }
}

/// What a peer's runner is asked to measure.
#[cfg_attr(
    not(any(feature = "skep", feature = "libbpf-rs", feature = "aya")),
    expect(dead_code, reason = "no peer is built in")
)]
pub(crate) struct Case {
    pub(crate) arguments: Vec<String>,
    pub(crate) object: PathBuf,
}

impl Case {
    /// The argument at `index`.
    pub(crate) fn argument(&self, index: usize) -> Result<&str> {
        let found = self.arguments.get(index).map(String::as_str);
        found.ok_or_else(|| format!("argument {index} is missing").into())
    }
}
