//! Reports of all cases, as people read them, beside goldens; `UPDATE_GOLDEN=1` writes them anew.

use std::{fs, path::Path};

use skep_testing::{Outcome, Stop, ensure};

use crate::case::{self, ALL, Case, folder, run};

#[test]
fn cases() {
    run("goldens", || {
        if case::clang()? != case::CLANG {
            return Err(Stop::lacks(format!("clang {}", case::CLANG)));
        }
        ALL.iter().try_for_each(|name| golden(name))
    });
}

fn golden(name: &str) -> Outcome {
    let case = Case::new(name)?;
    let report = case.report(&case.runs)?;
    let folder = folder();
    let here = |text: String| text.replace(&format!("{}/", folder.display()), "");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).display().to_string();
    let text = format!(
        "{report}\n\n{}\n{}\n{}",
        report.uncovered(),
        report.annotated(),
        report.lcov()
    );
    let text = here(text).replace("tests/coverage/c/", "");
    assert!(!text.contains(&root), "{text}");
    let path = folder
        .with_file_name("golden")
        .join(name)
        .with_extension("txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text)?;
        return Ok(());
    }
    let expected = fs::read_to_string(&path)?;
    ensure(text == expected, || {
        let both = text.lines().zip(expected.lines());
        let differ = both.enumerate().find(|(_, (is, was))| is != was);
        format!(
            "{} differs ({differ:?}); UPDATE_GOLDEN=1 writes it anew",
            path.display()
        )
    })
}
