//! What became of packets, as it is printed: a table of verdicts, and a line of outcomes.

use skep::vm::feed::{Outcome, Report};

use super::super::{
    Format, Output,
    losses::Losses,
    table::{self, Align, Column},
};

/// Prints verdicts by hook and program.
pub(super) fn print(report: &Report, output: &mut Output) -> anyhow::Result<()> {
    match output.format {
        Format::Table => output.write(&text(report)),
        Format::Json => {
            for program in &report.programs {
                let (hook, name) = (program.hook.to_string(), &program.program);
                for verdict in &program.verdicts {
                    let line = serde_json::json!({
                        "hook": hook,
                        "program": name,
                        "verdict": verdict.name,
                        "value": verdict.value,
                        "packets": verdict.count,
                    });
                    output.write(&format!("{line}\n"))?;
                }
                if program.faults > 0 {
                    let line = serde_json::json!({
                        "hook": hook,
                        "program": name,
                        "faults": program.faults,
                    });
                    output.write(&format!("{line}\n"))?;
                }
            }
            let mut line = serde_json::Map::new();
            line.insert("packets".into(), report.packets.into());
            for outcome in Outcome::ALL {
                line.insert(outcome.name().into(), report.count(outcome).into());
            }
            output.write(&format!("{}\n", serde_json::Value::from(line)))
        }
    }
}

fn text(report: &Report) -> String {
    let mut rows = Vec::new();
    for program in &report.programs {
        let row = |verdict: &str, count: u64| {
            vec![
                program.hook.to_string(),
                program.program.clone(),
                verdict.to_owned(),
                count.to_string(),
            ]
        };
        let verdicts = program.verdicts.iter();
        rows.extend(verdicts.map(|verdict| row(&verdict.name, verdict.count)));
        if program.faults > 0 {
            rows.push(row("fault", program.faults));
        }
        if program.verdicts.is_empty() && program.faults == 0 {
            rows.push(row("-", 0));
        }
    }
    let columns = vec![
        Column::new("HOOK", 0, Align::Left),
        Column::new("PROGRAM", 0, Align::Left),
        Column::new("VERDICT", 0, Align::Left),
        Column::new("PACKETS", 0, Align::Right),
    ];
    table::whole(columns, &rows)
}

/// One line of all outcomes: `1000 packets: 812 passed, 188 dropped`.
pub(super) fn summary(report: &Report) -> String {
    let outcomes = Outcome::ALL
        .iter()
        .map(|outcome| (*outcome, report.count(*outcome)));
    let counted: Vec<String> = outcomes
        .filter(|(_, count)| *count > 0)
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    let packets = match report.packets {
        1 => "1 packet".to_owned(),
        count => format!("{count} packets"),
    };
    match counted.is_empty() {
        true => packets,
        false => format!("{packets}: {}", counted.join(", ")),
    }
}

/// Says what is to be known of the packets beside their verdicts.
pub(super) fn losses(report: &Report, losses: &mut Losses) {
    let first = report
        .faults
        .iter()
        .map(|fault| format!("packet {}, {}: {}", fault.packet, fault.hook, fault.fault));
    losses.faults(
        report.programs.iter().map(|program| program.faults).sum(),
        first,
    );
    for (count, what) in [
        (
            report.cut,
            "packets are not whole in the capture; programs saw what there is",
        ),
        (
            report.made_up,
            "packets were captured without an Ethernet header and got one made up",
        ),
        (
            report.backwards,
            "packets are older than the one before; the clock stood still",
        ),
        (
            report.loops,
            "packets went around in circles and were dropped",
        ),
    ] {
        if count > 0 {
            losses.say(format!("{count} {what}"));
        }
    }
}
