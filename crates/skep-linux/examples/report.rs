//! Prints the doctor's report, one check a line.

use skep_linux::{Answer, LinuxHost, report};

fn main() -> skep_host::Result<()> {
    let host = LinuxHost::new()?;
    let report = report(&host);
    println!("Linux {}", report.release);
    for section in &report.sections {
        println!("\n{}", section.title);
        for check in &section.checks {
            let answer = match check.answer {
                Answer::Yes => "yes",
                Answer::No => "no",
                Answer::Unknown => "?",
            };
            println!("  {answer:3}  {:32} {}", check.name, check.detail);
            if !check.fix.is_empty() {
                println!("       {:32} fix: {}", "", check.fix);
            }
        }
    }
    Ok(())
}
