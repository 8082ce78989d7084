//! Tests in Rust: the same that files say.

use std::{path::Path, time::Duration};

use skep::Object;
use skep_test::{RunOptions, Suite, Test, Value, junit};

/// An object of a source of these tests; `None` where there is no compiler.
fn object(name: &str) -> Option<Object> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name);
    match skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR")) {
        Ok(bytes) => Some(Object::parse("tested", &bytes).expect("an object")),
        Err(skep_testing::Stop::Skip(lacking)) => {
            skep_testing::lacks(lacking);
            None
        }
        Err(skep_testing::Stop::Fail(text)) => panic!("{text}"),
    }
}

fn udp(dst: &str) -> Value {
    Value::table([
        ("ip", Value::table([("dst", dst)])),
        ("udp", Value::table([("dport", 53)])),
    ])
}

#[test]
fn what_a_program_is_given_and_what_it_does() {
    let Some(object) = object("passing/kinds.bpf.c") else {
        return;
    };
    let ran = Test::new(&object)
        .program("route")
        .packet(udp("10.1.2.3"))
        .map("routes", [("10.1.0.0/16", 9), ("10.0.0.0/8", 8)])
        .run()
        .expect("it runs");
    assert_eq!(ran.returned(), Some(7));
    assert!(ran.packet().len() > 40);
    ran.expect_return("TC_ACT_REDIRECT")
        .expect_packet("unchanged")
        .expect_context(Value::table([("mark", 9)]))
        .check()
        .expect("as expected");
}

#[test]
fn runs_go_on_from_one_another() {
    let Some(object) = object("passing/kinds.bpf.c") else {
        return;
    };
    Test::new(&object)
        .program("arm")
        .time(Duration::from_secs(10))
        .advance(Duration::from_millis(2))
        .run()
        .expect("it runs")
        .expect_map(
            "timers",
            [(0, Value::table([("fired", 10_001_000_000_u64)]))],
        )
        .then(|test| test.program("chance").random(&[1, 2]))
        .expect("it runs")
        .expect_map("numbers", [(1, 2)])
        .expect_map(
            "timers",
            [(0, Value::table([("fired", 10_001_000_000_u64)]))],
        )
        .check()
        .expect("as expected");
}

#[test]
fn all_that_differs_is_told() {
    let Some(object) = object("failing/differs.bpf.c") else {
        return;
    };
    let failure = Test::new(&object)
        .program("filter")
        .packet(udp("10.0.0.1"))
        .run()
        .expect("it runs")
        .expect_return("XDP_DROP")
        .expect_events("events", [Value::table([("pid", 8)])])
        .expect_global("calls", 1)
        .expect_printk(["one 1"])
        .check()
        .expect_err("two things differ");
    let paths: Vec<_> = failure.mismatches.iter().map(|m| m.path.as_str()).collect();
    assert_eq!(paths, ["return", "events.events[0].pid"]);
    let text = failure.to_string();
    assert!(text.contains("XDP_DROP (1)  XDP_PASS (2)"), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn a_fault_that_nobody_expects_fails() {
    let Some(object) = object("failing/differs.bpf.c") else {
        return;
    };
    let wild = || {
        let args = Value::table([("args", [8])]);
        Test::new(&object)
            .program("wild")
            .context(args)
            .run()
            .expect("it runs")
    };
    assert!(wild().fault().is_some());
    let failure = wild().check().expect_err("it was stopped");
    assert!(failure.to_string().contains("differs.bpf.c:"), "{failure}");
    wild()
        .expect_fault("load from 0x8")
        .check()
        .expect("it was to be stopped");
}

#[test]
fn what_can_not_be_is_an_error() {
    let Some(object) = object("failing/differs.bpf.c") else {
        return;
    };
    let test = || Test::new(&object).program("filter").packet(udp("10.0.0.1"));
    let error = test()
        .map("count", [(1, 1)])
        .run()
        .expect_err("no such map");
    assert!(
        error.to_string().contains("did you mean `counts`?"),
        "{error}"
    );
    let error = test()
        .global("cals", 1)
        .run()
        .expect_err("no such variable");
    assert!(
        error.to_string().contains("did you mean `calls`?"),
        "{error}"
    );
    let ran = test().run().expect("it runs").expect_map("count", [(1, 1)]);
    let failure = ran.check().expect_err("no such map");
    assert!(failure.to_string().contains("no map `count`"), "{failure}");
}

#[test]
fn names_are_what_they_are_in_junit() {
    let Some(_) = object("failing/differs.bpf.c") else {
        return;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/failing/hostile.test.toml");
    let text = r#"
        source = "differs.bpf.c"
        program = "filter"
        packet.udp = {}
        [[test]]
        name = "a <b> & \"c\" ]]> \u0001\n'd'"
        expect.return = "XDP_DROP"
        [[test]]
        name = "passes"
        expect.return = "XDP_PASS"
        [[test]]
        name = "elsewhere"
        hosts = ["kernel"]
    "#;
    let suite = Suite::parse(&path, text).expect("tests");
    let report = suite.run(&RunOptions::default());
    let xml = junit(&[report]);
    let name = "name=\"a &lt;b&gt; &amp; &quot;c&quot; ]]&gt; \u{fffd}&#10;'d'\"";
    assert!(xml.contains(name), "{xml}");
    assert!(
        xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""),
        "{xml}"
    );
    assert!(
        xml.contains("message=\"return: expected XDP_DROP (1), got XDP_PASS (2)\""),
        "{xml}"
    );
    assert!(
        xml.contains("<skipped message=\"it is for kernel alone\"/>"),
        "{xml}"
    );
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    assert!(!xml.contains(bad), "{xml:?}");
    // Every tag that is opened is closed.
    for tag in ["testsuites", "testsuite", "testcase", "failure"] {
        let opened = xml.matches(&format!("<{tag} ")).count();
        let closed = xml.matches(&format!("</{tag}>")).count();
        let empty = xml
            .lines()
            .filter(|line| line.contains(&format!("<{tag} ")) && line.ends_with("/>"))
            .count();
        assert_eq!(opened, closed + empty, "{tag}");
    }
}
