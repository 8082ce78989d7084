//! Loading: the log, whole; test runs; causes.

use skep_abi::{AttachType, ProgramType};
use skep_btf::{Btf, KindTag};
use skep_host::{BtfLoad, Cause, Errno, Error, Host, LogLevel, ProgramLoad, TestRun};
use skep_testing::{Outcome, Stop, Test, ensure};

use crate::{
    harness::{host, name},
    programs::{code, load, load_with},
};

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("loading::a_refusal_has_the_whole_log", refusal),
        Test::new("loading::a_long_log_is_whole", long_log),
        Test::new("loading::logs_are_kept_on_request", verbose),
        Test::new("loading::bad_btf_has_its_log", bad_btf),
        Test::new("loading::test_runs_give_packet_and_answer", test_run),
        Test::new("loading::programs_are_described", described),
        Test::new("loading::what_forbids_fentry_is_told", fentry),
    ]
}

fn refusal() -> Outcome {
    let (code, name) = (code("r0 = *(u64 *)(r1 +4096)\n exit")?, name("bad"));
    let error = host()
        .prog_load(&ProgramLoad::new(ProgramType::SocketFilter, &name, &code))
        .expect_err("a read outside the context");
    let Error::Verifier {
        program,
        errno,
        log,
        cause,
    } = error
    else {
        return Err(Stop::Fail(format!("{error:?}")));
    };
    ensure(program == name && errno == Errno::EACCES, || {
        format!("{program}: {errno}")
    })?;
    ensure(
        log.contains("invalid bpf_context access") && log.contains("processed"),
        || log.clone(),
    )?;
    ensure(cause.is_none(), || format!("{cause:?}"))
}

/// A path of 600,000 instructions ends in a mistake.
fn long_log() -> Outcome {
    if skep_testing::is_prebuilt() {
        return Err(Stop::lacks("a machine that is not emulated"));
    }
    let mut text = String::from("r2 = 0\n");
    for number in 0..600_000 {
        text.push_str(&format!("r{} = {number}\n", 2 + number % 8));
    }
    text.push_str("r0 = *(u64 *)(r1 +4096)\n exit");
    let (code, name) = (code(&text)?, name("long"));
    let error = host()
        .prog_load(&ProgramLoad::new(ProgramType::SocketFilter, &name, &code))
        .expect_err("a read outside the context");
    let log = error.log().ok_or_else(|| Stop::Fail(error.to_string()))?;
    ensure(log.starts_with("0: ") || log.contains("\n0: "), || {
        log.chars().take(200).collect()
    })?;
    ensure(log.contains("invalid bpf_context access"), || {
        "the end is missing".into()
    })?;
    // Larger than the first buffer.
    ensure(log.len() > 16 << 20, || format!("{} bytes", log.len()))
}

fn verbose() -> Outcome {
    let (code, name) = (code("r0 = 0\n exit")?, name("ok"));
    let mut request = ProgramLoad::new(ProgramType::SocketFilter, &name, &code);
    ensure(host().prog_load(&request)?.log.is_empty(), || {
        "a log unasked".into()
    })?;
    for level in [LogLevel::Verbose, LogLevel::States] {
        request.log_level = level;
        let log = host().prog_load(&request)?.log;
        ensure(log.contains("processed 2 insns"), || {
            format!("{level:?}: {log}")
        })?;
    }
    Ok(())
}

fn bad_btf() -> Outcome {
    // A header, one type of an unknown kind, an empty string.
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    for word in [24u32, 0, 12, 12, 1] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 0x1f, 0, 0, 0, 0, 0]);
    let request = BtfLoad {
        object: "broken.o",
        bytes: &bytes,
        log_level: LogLevel::OnFailure,
        token: None,
    };
    let error = host().btf_load(&request).expect_err("an unknown kind");
    let Error::Btf { object, log, .. } = &error else {
        return Err(Stop::Fail(format!("{error:?}")));
    };
    ensure(object == "broken.o" && log.contains("[1]"), || {
        format!("{error}: {log}")
    })
}

fn test_run() -> Outcome {
    // Swaps the first two bytes of the packet and passes it.
    let text = "
        r2 = *(u32 *)(r1 +0)
        r3 = *(u32 *)(r1 +4)
        r4 = r2
        r4 += 14
        if r4 > r3 goto drop
        r5 = *(u8 *)(r2 +0)
        r6 = *(u8 *)(r2 +1)
        *(u8 *)(r2 +0) = r6
        *(u8 *)(r2 +1) = r5
        r0 = 2
        exit
        drop:
        r0 = 1
        exit";
    let program = load(ProgramType::Xdp, None, text)?;
    let packet: Vec<u8> = (0..64).collect();
    let mut out = [0; 64];
    let outcome = host().prog_test_run(
        &program,
        &mut TestRun {
            data_in: &packet,
            data_out: &mut out,
            repeat: 10,
            ..TestRun::default()
        },
    )?;
    ensure(
        outcome.return_value == 2 && outcome.data_out_size == 64,
        || format!("{outcome:?}"),
    )?;
    ensure(out[..3] == [1, 0, 2] || out[..3] == [0, 1, 2], || {
        format!("{out:?}")
    })?;
    let once = host().prog_test_run(
        &program,
        &mut TestRun {
            data_in: &packet,
            data_out: &mut out,
            ..TestRun::default()
        },
    )?;
    ensure(once.return_value == 2 && out[..3] == [1, 0, 2], || {
        format!("{out:?}")
    })?;
    // Too short a buffer: the run counts, and the size says what there was.
    let mut short = [0; 8];
    let cut = host().prog_test_run(
        &program,
        &mut TestRun {
            data_in: &packet,
            data_out: &mut short,
            ..TestRun::default()
        },
    )?;
    ensure(cut.data_out_size == 64 && short[..3] == [1, 0, 2], || {
        format!("{cut:?} {short:?}")
    })
}

fn described() -> Outcome {
    let map = crate::programs::counter()?;
    let text = crate::programs::counting(&map, None, 0);
    let program = load(ProgramType::SocketFilter, None, &text)?;
    let info = host().prog_info(&program)?;
    ensure(
        info.program_type() == Some(ProgramType::SocketFilter),
        || format!("{info:?}"),
    )?;
    ensure(info.maps == [host().map_info(&map)?.id], || {
        format!("{info:?}")
    })?;
    ensure(
        info.name.starts_with(&name("")) && info.gpl_compatible,
        || format!("{info:?}"),
    )?;
    ensure(info.translated_size > 0 && info.tag != [0; 8], || {
        format!("{info:?}")
    })?;
    let same = host()
        .prog_by_id(info.id)?
        .ok_or_else(|| Stop::Fail("gone".into()))?;
    ensure(host().prog_info(&same)?.id == info.id, || {
        "another program".into()
    })?;
    ensure(host().prog_by_id(u32::MAX)?.is_none(), || {
        "an id that can't be".into()
    })
}

/// Where fentry loads, nothing is to be told; where not, the cause must not be a guess at
/// capabilities that the process has.
fn fentry() -> Outcome {
    let btf = Btf::parse_trusted(host().btf(None)?, None)?;
    let target = btf
        .find("do_nanosleep", KindTag::Function)
        .ok_or_else(|| Stop::Fail("no do_nanosleep".into()))?;
    let outcome = load_with(ProgramType::Tracing, "r0 = 0\n exit", |request| {
        request.expected_attach_type = Some(AttachType::TraceFentry);
        request.attach_btf_id = target.0;
    });
    if outcome.is_ok() {
        return Ok(());
    }
    let (code, name) = (code("r0 = 0\n exit")?, name("fentry"));
    let mut request = ProgramLoad::new(ProgramType::Tracing, &name, &code);
    request.expected_attach_type = Some(AttachType::TraceFentry);
    request.attach_btf_id = target.0;
    let error = host()
        .prog_load(&request)
        .expect_err("refused a moment ago");
    match error.cause() {
        Some(Cause::Other { what, fix }) => ensure(
            what.contains("refuses all programs") && fix.contains("tp_btf"),
            || format!("{what}: {fix}"),
        ),
        cause => Err(Stop::Fail(format!("{error}: {cause:?}"))),
    }
}
