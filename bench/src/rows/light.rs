//! The tool of `start.rs` in light form, relocated beforehand and with no parser in it: Skep's
//! (`skep gen light`, `light_tool.rs`) and libbpf's light skeleton (`bpftool gen skeleton -L`,
//! `light.c`), which has its kernel's loader be a program of its own.

use std::{fs, path::Path};

use super::start;
use crate::{
    Result,
    peers::Peer,
    row::{Goal, How, Line, Measured, Row},
    tools::{Linkage, Tools},
};

/// The object that is put in light form.
pub(crate) const OBJECT: &str = "start";

pub(crate) fn rows() -> Vec<Row> {
    let line = |figure, what: &str, unit, scale| {
        Line::new(figure, format!("tool in light form: {what}"), unit, scale)
    };
    vec![Row {
        name: "light",
        runs: 31,
        how: How::Outside(once),
        lines: vec![
            line("attached", "start to attached", "ms", 1e6).goal(Goal::Of(Peer::Libbpf, 1.0)),
            line("peak", "peak of resident memory", "MiB", 1048576.0),
            line("dynamic", "size, with libc as a library", "kB", 1e3),
            line("static", "size, all in it", "kB", 1e3),
        ],
    }]
}

fn once(tools: &Tools, peer: Peer) -> Result<Measured> {
    let tool = tools.light_tool(peer, Linkage::Dynamic)?;
    let mut figures = start::measured(&tool, Path::new(""))?;
    let mut size = |name: &str, linkage| -> Result<()> {
        let len = fs::metadata(tools.light_tool(peer, linkage)?)?.len();
        figures.push((name.to_owned(), len as f64));
        Ok(())
    };
    size("dynamic", Linkage::Dynamic)?;
    size("static", Linkage::Static)?;
    Ok(figures)
}

/// Writes the light form of an object for this kernel, as `light_tool.rs` takes it in.
#[cfg(feature = "skep")]
pub(crate) fn write(object: &Path, out: &Path) -> Result<()> {
    let object = skep::Object::open(object)?;
    let form = object.light(&skep::Host::kernel()?)?.to_rust(OBJECT);
    // What speaks of the whole file can't be where it is included.
    let inner = |line: &&str| !line.starts_with("//!") && !line.starts_with("#![");
    let lines: Vec<&str> = form.lines().filter(inner).collect();
    Ok(fs::write(out, lines.join("\n"))?)
}

/// The driver is built with Skep.
#[cfg(not(feature = "skep"))]
pub(crate) fn write(_: &Path, _: &Path) -> Result<()> {
    Err("this build has no Skep in it".into())
}
