//! Reports as lcov tracefiles (geninfo(1)), for genhtml, editors and coverage services.

use std::fmt::Write as _;

use super::{FileReport, Report, files};

impl Report {
    /// The report as an lcov tracefile, with functions, branches and lines.
    ///
    /// Each branch is a block of its own at its line, with its ways 0 and 1; `-` stands for one that
    /// control never came to.
    pub fn lcov(&self) -> String {
        let mut text = String::new();
        for file in &self.files {
            // Writing to a string does not fail.
            let _ = write(&mut text, file);
        }
        text
    }
}

fn write(text: &mut String, file: &FileReport) -> std::fmt::Result {
    writeln!(text, "TN:")?;
    // Relative paths are looked for from where the tool runs, others everywhere.
    writeln!(
        text,
        "SF:{}",
        files::clean(&file.path.display().to_string())
    )?;
    for function in &file.functions {
        writeln!(
            text,
            "FN:{},{}",
            function.line,
            files::clean(&function.name)
        )?;
    }
    for function in &file.functions {
        writeln!(
            text,
            "FNDA:{},{}",
            function.calls,
            files::clean(&function.name)
        )?;
    }
    let (called, functions) = file.functions_called();
    writeln!(text, "FNF:{functions}\nFNH:{called}")?;
    let (mut line, mut block) = (0, 0);
    for branch in &file.branches {
        block = if branch.line == line { block + 1 } else { 0 };
        line = branch.line;
        for (number, way) in branch.ways.iter().enumerate() {
            write!(text, "BRDA:{line},{block},{number},")?;
            match branch.ran() {
                true => writeln!(text, "{}", way.taken)?,
                false => writeln!(text, "-")?,
            }
        }
    }
    let (taken, ways) = file.branches_taken();
    if ways > 0 {
        writeln!(text, "BRF:{ways}\nBRH:{taken}")?;
    }
    for (line, count) in &file.lines {
        writeln!(text, "DA:{line},{count}")?;
    }
    let (run, lines) = file.lines_run();
    writeln!(text, "LF:{lines}\nLH:{run}\nend_of_record")
}
