//! Skep's hot paths beside libbpf's, in one run, as ratios: absolute times drift with the machine.
//! Needs root, clang, and for the peer a C compiler and libbpf-dev; without those, only Skep's
//! own figures are printed.

mod events;
mod paths;
mod start;
mod table;
mod tools;

use std::{env, error::Error};

use table::Table;
use tools::Tools;

/// Anything may fail, and then the run ends with it.
type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let only: Vec<String> = env::args().skip(1).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let tools = Tools::build()?;
    let mut table = Table::new();
    if wanted("btf") {
        paths::btf(&tools, &mut table)?;
    }
    if wanted("start") {
        start::run(&tools, &mut table)?;
    }
    if wanted("ring") {
        paths::drain(&tools, &mut table)?;
        paths::both(&tools, &mut table)?;
    }
    if wanted("map") {
        paths::map(&tools, &mut table)?;
    }
    if wanted("events") {
        events::run(&tools, &mut table)?;
    }
    table.print();
    Ok(())
}
