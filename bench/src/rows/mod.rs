//! The rows, a file each: what is measured, how Skep, libbpf-rs and Aya do it (one of them is
//! built in), and beside it in C how libbpf does.

mod btf;
mod events;
pub(crate) mod functions;
mod hash;
pub(crate) mod light;
mod load;
pub(crate) mod lookup;
mod ring;
mod start;

use crate::{
    Result,
    row::{Case, Figures, Row},
};

/// All rows, as the table shows them.
pub(crate) fn all() -> Vec<Row> {
    let rows = [
        btf::rows(),
        start::rows(),
        light::rows(),
        load::rows(),
        lookup::rows(),
        functions::rows(),
        ring::rows(),
        hash::rows(),
        events::rows(),
    ];
    rows.into_iter().flatten().collect()
}

/// Measures what `file` measures, with the peer that is built in.
pub(crate) fn measure(file: &str, case: &Case) -> Result<Figures> {
    match file {
        "btf" => btf::measure(case),
        "load" => load::measure(case),
        "lookup" => lookup::measure(case),
        "functions" => functions::measure(case),
        "ring" => ring::measure(case),
        "hash" => hash::measure(case),
        _ => Err(format!("no row is measured by `{file}`").into()),
    }
}
