//! The command line.

use crate::{Result, peers::Peer, rows};

const USAGE: &str = "\
usage: cargo xtask bench [option]…
       cargo xtask bench --kernel VERSION [--instructions] [option]…

  --rows NAME,…     only these rows; a name stands for all that begin with it
  --peers NAME,…    beside skep only these: libbpf, libbpf-rs, aya
  --runs NUMBER     runs of each peer (each row has its own default)
  --json            as JSON instead of a Markdown table
  --list            print the rows
  --kernel VERSION  on one of the test kernels (5.10, 6.1, 6.12, 7.3), in an emulated machine: ratios
                    count there as they do here
  --instructions    there, by the instructions that are executed, one a nanosecond, instead of time
  --build           build what the rows need, and measure nothing
  --built           measure with what was built before
";

/// What the command line asks for.
pub(crate) enum Choice {
    Run(Options),
    /// A text, and nothing is measured.
    Print(String),
}

/// How to measure.
pub(crate) struct Options {
    /// Prefixes of rows; empty for all.
    rows: Vec<String>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) runs: Option<usize>,
    pub(crate) json: bool,
    pub(crate) stage: Stage,
}

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    All,
    Build,
    Built,
}

impl Options {
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| row.starts_with(wanted))
    }
}

pub(crate) fn parse(arguments: &[String]) -> Result<Choice> {
    let mut options = Options {
        rows: Vec::new(),
        peers: Peer::ALL.to_vec(),
        runs: None,
        json: false,
        stage: Stage::All,
    };
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{option} takes a value"));
        match option.as_str() {
            "--rows" => options.rows = names(value()?),
            "--peers" => {
                options.peers = vec![Peer::Skep];
                for name in names(value()?) {
                    let peer = Peer::named(&name).ok_or(format!("no peer is called `{name}`"))?;
                    if !options.peers.contains(&peer) {
                        options.peers.push(peer);
                    }
                }
                options.peers.sort();
            }
            "--runs" => {
                let runs = value()?.parse().ok().filter(|runs| *runs > 0);
                options.runs = Some(runs.ok_or("--runs takes a number above 0")?);
            }
            "--json" => options.json = true,
            "--build" => options.stage = Stage::Build,
            "--built" => options.stage = Stage::Built,
            "--list" => {
                let names = rows::all();
                let names = names.iter().map(|row| format!("{}\n", row.name));
                return Ok(Choice::Print(names.collect()));
            }
            "-h" | "--help" => return Ok(Choice::Print(USAGE.into())),
            other => return Err(format!("unknown option `{other}`\n\n{USAGE}").into()),
        }
    }
    let all = rows::all();
    let unknown = |name: &&String| !all.iter().any(|row| row.name.starts_with(name.as_str()));
    if let Some(name) = options.rows.iter().find(unknown) {
        return Err(format!("no row begins with `{name}`; --list prints them").into());
    }
    Ok(Choice::Run(options))
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}
