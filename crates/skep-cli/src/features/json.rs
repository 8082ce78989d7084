//! Features for programs: one object, a list a kind.

use std::io::Write as _;

use serde_json::{Map, Value, json};
use skep::{Host, abi::KernelVersion, features::Probe};

use super::report::{Call, Report, Rows, Single};
use crate::{answers, output::Output};

pub(super) fn print(host: &Host, report: &Report, out: &mut Output) -> anyhow::Result<()> {
    let mut all = Map::new();
    all.insert("skep".into(), env!("CARGO_PKG_VERSION").into());
    all.insert("kernel".into(), host.info().release.clone().into());
    for section in &report.sections {
        let rows: Vec<Value> = match &section.rows {
            Rows::Single(rows) => rows.iter().map(single).collect(),
            Rows::Calls(calls) => calls.iter().map(call).collect(),
        };
        all.insert(section.kind.name().into(), rows.into());
    }
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)?;
    Ok(())
}

fn since(version: Option<KernelVersion>) -> Value {
    version.map_or(Value::Null, |version| version.to_string().into())
}

fn single(row: &Single) -> Value {
    let check = answers::check(row.name.as_str(), &row.probe);
    json!({
        "name": check.name,
        "since": since(row.since),
        "answer": answers::word(check.answer),
        "detail": check.detail,
        "fix": check.fix,
    })
}

fn call(call: &Call) -> Value {
    let programs = |wanted: fn(&Probe) -> bool| -> Vec<&str> {
        let probes = call.probes.iter();
        probes
            .filter(|(_, probe)| wanted(probe))
            .map(|(program, _)| program.short_name())
            .collect()
    };
    json!({
        "name": call.name,
        "id": call.id,
        "since": since(call.since),
        "programs": programs(Probe::is_yes),
        "unknown": programs(|probe| !probe.is_known()),
    })
}
