//! What came of tests as JSON: an object a line.

use std::time::Duration;

use serde_json::{Value, json};
use skep_test::{Outcome, Report, Summary, TestReport};

/// A test that ran.
pub(super) fn test(report: &Report, test: &TestReport) -> String {
    let place = test.place.as_ref();
    let mut value = json!({
        "file": report.path.display().to_string(),
        "program": report.program.as_ref().map(|program| program.display().to_string()),
        "line": place.map(|place| place.line_column().0),
        "name": test.name,
        "host": test.host.name(),
        "seconds": test.duration.as_secs_f64(),
    });
    let (outcome, more) = match &test.outcome {
        Outcome::Passed => ("passed", json!({})),
        Outcome::Skipped(reason) => ("skipped", json!({ "reason": reason })),
        Outcome::Failed(failure) => {
            let mismatches = failure.mismatches.iter().map(|mismatch| {
                json!({
                    "path": mismatch.path,
                    "expected": mismatch.expected,
                    "got": mismatch.got,
                    "line": mismatch.place.as_ref().map(|place| place.line_column().0),
                })
            });
            let mismatches: Vec<Value> = mismatches.collect();
            let error = failure.error.as_ref().map(ToString::to_string);
            let more = json!({
                "mismatches": mismatches,
                "error": error,
                "printk": failure.printed,
            });
            ("failed", more)
        }
        _ => ("unknown", json!({})),
    };
    value["outcome"] = outcome.into();
    if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
        value.extend(more.clone());
    }
    value.to_string()
}

/// A test that is only listed.
pub(super) fn listed(path: &str, name: &str) -> String {
    json!({ "file": path, "name": name }).to_string()
}

/// The last line.
pub(super) fn summary(summary: &Summary, unopened: usize, took: Duration) -> String {
    json!({
        "passed": summary.passed,
        "failed": summary.failed,
        "skipped": summary.skipped,
        "not_begun": summary.left,
        "files_not_opened": unopened,
        "seconds": took.as_secs_f64(),
    })
    .to_string()
}
