//! `kprobe.multi` on ten thousand functions of the kernel, by their names and by a pattern: from
//! asking to being attached. `functions.c` is the same with libbpf. Where the kernel has no kprobes,
//! `cargo xtask bench --kernel VERSION --rows functions` measures it on another one.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use crate::{
    Result,
    peers::Peer,
    row::{Case, Figures, Goal, How, Line, Row},
};

/// How many functions.
const FUNCTIONS: usize = 10_000;
/// Where the kernel says which functions can be probed.
const PROBED: &str = "/sys/kernel/tracing/available_filter_functions";

pub(crate) fn rows() -> Vec<Row> {
    let pattern = "tcp_*";
    let line = |figure, what: &str| {
        let what = format!("kprobe.multi: attach {what}");
        Line::new(figure, what, "ms", 1e6).goal(Goal::Of(Peer::Libbpf, 1.0))
    };
    vec![Row {
        name: "functions",
        runs: 5,
        how: How::Peer {
            arguments: vec![
                "functions".into(),
                list().display().to_string(),
                pattern.into(),
            ],
            object: Some("functions"),
            counted: false,
        },
        lines: vec![
            line("names", "to 10,000 functions by name"),
            line("pattern", &format!("by the pattern `{pattern}`")),
        ],
    }]
}

/// The names, a line each; it is made when the row is measured.
fn list() -> PathBuf {
    env::temp_dir().join("skep-bench-functions")
}

/// Chooses the functions: those of the kernel itself whose names stand for one each.
pub(crate) fn prepare() -> Result<()> {
    let Ok(text) = fs::read_to_string(PROBED) else {
        // The row will say so of each peer.
        return Ok(());
    };
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for name in text.lines().filter_map(|line| line.split(' ').next()) {
        *times.entry(name).or_default() += 1;
    }
    let plain = |line: &&str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        line.bytes().all(fits) && !line.starts_with("__ftrace") && times.get(line) == Some(&1)
    };
    let names: Vec<&str> = text.lines().filter(plain).take(FUNCTIONS).collect();
    Ok(fs::write(list(), names.join("\n") + "\n")?)
}

#[cfg(feature = "skep")]
pub(crate) fn measure(case: &Case) -> Result<Figures> {
    use std::time::Instant;

    use skep::{
        Host, Object,
        boundary::{AttachPoint, FunctionNames, KernelFunctions, MultiMode},
    };
    let names = fs::read_to_string(case.argument(0)?)?;
    let names: FunctionNames = names.lines().collect();
    if names.len() < FUNCTIONS {
        return Err(format!("the kernel has {} such functions", names.len()).into());
    }
    let pattern = case.argument(1)?.to_owned();
    let loaded = Object::open(&case.object)?.load(&Host::kernel()?)?;
    let program = loaded.program("at_functions")?;
    let attach = |functions| -> Result<f64> {
        // Made before and dropped after, as the names in C are.
        let point = AttachPoint::KprobeMulti {
            mode: MultiMode::Entry,
            functions,
            cookies: Vec::new(),
        };
        let start = Instant::now();
        let link = program.attach_to(&point)?;
        let time = start.elapsed().as_nanos() as f64;
        link.detach()?;
        Ok(time)
    };
    Ok(vec![
        ("names", attach(KernelFunctions::Names(names))?),
        ("pattern", attach(KernelFunctions::Pattern(pattern))?),
    ])
}

/// libbpf-rs attaches by libbpf; Aya has no kprobe.multi.
#[cfg(any(feature = "libbpf-rs", feature = "aya"))]
pub(crate) fn measure(_: &Case) -> Result<Figures> {
    Err("this row is Skep's and libbpf's alone".into())
}
