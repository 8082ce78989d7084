//! A function by its name and a static probe point, in a binary of 500 MB with half a million
//! functions: from asking to being attached. `lookup.c` is the same with libbpf.

use std::{
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Result,
    peers::Peer,
    row::{Case, Figures, Goal, How, Line, Row},
    tools,
};

/// How many functions the binary has, and megabytes that stand for its debug information.
const FUNCTIONS: usize = 500_000;
const MEGABYTES: usize = 430;
/// The one that is looked for: behind most, before many.
const WANTED: usize = FUNCTIONS / 10 * 9;

pub(crate) fn rows() -> Vec<Row> {
    let Ok(binary) = binary() else {
        return Vec::new();
    };
    vec![Row {
        name: "lookup",
        runs: 11,
        how: How::Peer {
            arguments: vec![
                "lookup".into(),
                binary.display().to_string(),
                function(WANTED),
            ],
            object: Some("lookup"),
            counted: false,
        },
        lines: vec![
            Line::new(
                "symbol",
                "a binary of 500 MB: attach to a function by name",
                "ms",
                1e6,
            )
            .goal(Goal::Of(Peer::Libbpf, 1.0)),
            Line::new(
                "point",
                "a binary of 500 MB: attach to a static probe point",
                "ms",
                1e6,
            )
            .goal(Goal::Of(Peer::Libbpf, 1.0)),
        ],
    }]
}

/// Names as compilers mangle them: long, and alike at their beginnings.
fn function(number: usize) -> String {
    format!(
        "_ZN5bench6module{:04}14implementation17function_{number:07}Ev",
        number % 1000
    )
}

/// Where the binary is; it is made when the row is measured.
fn binary() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/lookup-large"))
}

/// Makes the binary, unless it is there.
pub(crate) fn prepare() -> Result<()> {
    let made = binary()?;
    if made.exists() {
        return Ok(());
    }
    let source = made.with_extension("s");
    let mut text = BufWriter::new(fs::File::create(&source)?);
    writeln!(text, ".text\n.globl _start\n_start: ret")?;
    for number in 0..FUNCTIONS {
        let name = function(number);
        writeln!(
            text,
            ".globl {name}\n.type {name},@function\n{name}: ret\n.size {name},1"
        )?;
        // A point in every fiftieth.
        if number % 50 == 0 {
            let point = match number == WANTED {
                true => "point".to_owned(),
                false => format!("other_{number}"),
            };
            writeln!(
                text,
                "990: nop\n.pushsection .note.stapsdt,\"?\",\"note\"\n.balign 4\n\
                 .4byte 992f-991f,994f-993f,3\n991: .asciz \"stapsdt\"\n992: .balign 4\n\
                 993: .8byte 990b\n.8byte 0\n.8byte 0\n.asciz \"bench\"\n.asciz \"{point}\"\n\
                 .asciz \"8@%rdi\"\n994: .balign 4\n.popsection"
            )?;
        }
    }
    writeln!(text, ".section .debug_bench,\"\",@progbits")?;
    writeln!(text, ".fill {},1,42", MEGABYTES << 20)?;
    text.flush()?;
    drop(text);
    let mut cc = Command::new("cc");
    cc.args(["-nostdlib", "-static", "-o"]).arg(&made);
    let linked = tools::run(cc.arg(&source));
    fs::remove_file(source)?;
    linked.map(drop)
}

#[cfg(feature = "skep")]
pub(crate) fn measure(case: &Case) -> Result<Figures> {
    use std::time::Instant;

    use skep::{AttachOptions, Host, Object};
    let (binary, symbol) = (case.argument(0)?, case.argument(1)?);
    let mut object = Object::open(&case.object)?;
    object
        .program("at_symbol")?
        .attach_target(format!("{binary}:{symbol}"));
    object
        .program("at_point")?
        .attach_target(format!("{binary}:bench:point"));
    let loaded = object.load(&Host::kernel()?)?;
    let options = AttachOptions::default();
    let mut links = Vec::new();
    let mut attach = |name| -> Result<f64> {
        let start = Instant::now();
        links.push(loaded.program(name)?.attach_with(&options)?);
        Ok(start.elapsed().as_nanos() as f64)
    };
    Ok(vec![
        ("symbol", attach("at_symbol")?),
        ("point", attach("at_point")?),
    ])
}

/// libbpf-rs looks things up by libbpf; Aya has no static probe points.
#[cfg(any(feature = "libbpf-rs", feature = "aya"))]
pub(crate) fn measure(_: &Case) -> Result<Figures> {
    Err("this row is Skep's and libbpf's alone".into())
}
