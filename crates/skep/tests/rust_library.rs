//! What `skep-ebpf` gives programs, by its behaviour: a program for each part of it, run on the
//! kernel and on the virtual machine, with the same values wanted of both.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, LazyLock},
    thread,
};

use skep::{
    Host, Loaded, Map, Object, RingBuffer, UserRingBuffer,
    boundary::{self, HostKind, TestRun},
    btf::Kind,
    linux::LinuxHost,
};
use skep_testing::{On, Outcome, Stop, Test, ensure, eventually, needs_kernel};

/// What a program that has nothing against a packet returns.
const XDP_PASS: u32 = 2;

/// A host, as the library and as the harness has it.
type Both = (Arc<dyn boundary::Host>, Host);

static KERNEL: LazyLock<Both> = LazyLock::new(|| {
    let kernel = Arc::new(LinuxHost::new().expect("a kernel that says its version"));
    let host = Host::new(Arc::clone(&kernel) as _);
    // What the host keeps open for itself is no leak of the first test that needs it.
    let _ = host.btf();
    let _ = skep::linux::report(&kernel);
    (kernel, host)
});

static VM: LazyLock<Both> = LazyLock::new(|| {
    let host = Host::vm().expect("a machine");
    let _ = host.btf();
    (Arc::clone(host.boundary()), host)
});

fn main() -> ExitCode {
    let hosts = [
        On {
            name: "kernel",
            host: || &*KERNEL.0,
            needs_root: true,
        },
        On {
            name: "vm",
            host: || &*VM.0,
            needs_root: false,
        },
    ];
    let tests = [
        Test::new("maps", maps),
        Test::new("rings::records", records),
        Test::new("rings::losses_are_counted", losses),
        Test::new("rings::from_user_space", commands),
        Test::new("dynptrs::of_memory", dynptrs),
        Test::new("locks", locks),
        Test::new("timers", timers),
        Test::new("loops::closures", closures),
        Test::new("loops::open_ended", open_ended),
        Test::new("text::printed_and_compared", text),
        Test::new("text::numbers", numbers),
        Test::new("text::anywhere", strings),
        Test::new("dynptrs::of_packets", packets),
        Test::new("work", work),
        Test::new("arenas", arenas),
        Test::new("references", references),
    ];
    skep_testing::run_on("skep-ebpf", &hosts, &tests)
}

/// A program of `tests/rust/library`, loaded into the test's host.
fn load(name: &str) -> Outcome<Loaded> {
    load_with(name, |_| Ok(()))
}

fn load_with(name: &str, change: impl FnOnce(&mut Object) -> skep::Result<()>) -> Outcome<Loaded> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rust/library");
    let source = folder.join(format!("{name}.rs"));
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let mut object = Object::parse(name, &bytes)?;
    change(&mut object)?;
    let host = match skep_testing::host().info().kind {
        HostKind::Vm => &VM.1,
        _ => &KERNEL.1,
    };
    Ok(object.load(host)?)
}

/// Only some of its programs, where others need a newer kernel.
fn only(name: &str, programs: &[&str]) -> Outcome<Loaded> {
    load_with(name, |object| object.only_programs(programs))
}

/// Runs a program once, with a packet; gives what it returned.
fn run(loaded: &Loaded, program: &str) -> Outcome<u32> {
    let packet = [0; 64];
    let mut out = packet;
    let mut run = TestRun {
        data_in: &packet,
        data_out: &mut out,
        ..TestRun::default()
    };
    Ok(loaded.program(program)?.test_run(&mut run)?.return_value)
}

/// The same, for a program that must not fail.
fn passes(loaded: &Loaded, program: &str) -> Outcome {
    let returned = run(loaded, program)?;
    right(loaded)?;
    ensure(returned == XDP_PASS, || format!("{program}: {returned}"))
}

/// That no check of the program's failed: `WRONG` has a bit for each.
fn right(loaded: &Loaded) -> Outcome {
    let wrong: u64 = loaded.live("WRONG")?.get()?;
    let bits = (0..64).filter(|bit| wrong >> bit & 1 != 0);
    ensure(wrong == 0, || {
        format!("checks {:?} failed", bits.collect::<Vec<_>>())
    })
}

fn number(loaded: &Loaded, name: &str) -> Outcome<u64> {
    Ok(loaded.live(name)?.get()?)
}

fn wants(loaded: &Loaded, name: &str, wanted: u64) -> Outcome {
    let got = number(loaded, name)?;
    ensure(got == wanted, || format!("{name}: {got}, not {wanted}"))
}

fn maps() -> Outcome {
    needs_kernel(5, 19)?; // `bpf_map_lookup_percpu_elem`
    let loaded = load("maps")?;
    let steps = loaded.map("STEPS")?;
    steps
        .slots::<u32>()?
        .set_program(&1, loaded.program("next")?)?;
    passes(&loaded, "test")?;
    wants(&loaded, "SUM", (1 + 2 + 13 + 101) * 7)?;
    let counts = loaded.map("COUNTS")?;
    let mut values: Vec<u64> = Vec::new();
    for entry in counts.entries() {
        let (_, value) = entry?;
        values.extend(value.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes)));
    }
    values.sort_unstable();
    ensure(values == [1, 2, 13, 101], || format!("{values:?}"))?;
    let names = names_of(&counts, "second");
    let wanted = [("Early".to_owned(), 1), ("Late".to_owned(), 200)];
    ensure(names.as_deref() == Some(&wanted[..]), || {
        format!("{names:?}")
    })
}

/// The names that a number has in a map's keys, by which readers show it.
fn names_of(map: &Map, field: &str) -> Option<Vec<(String, i128)>> {
    let types = map.types()?;
    let btf = &types.btf;
    let Kind::Struct(key) = btf.type_by_id(types.key).ok()?.kind() else {
        return None;
    };
    let member = key.members().find(|member| member.name() == field)?;
    match btf.type_by_id(member.type_id).ok()?.kind() {
        Kind::Enum(names) if names.size == 4 => Some(
            names
                .values()
                .map(|value| (value.name().to_owned(), value.value))
                .collect(),
        ),
        _ => None,
    }
}

/// The records of a ring, one after the other.
fn bytes_of(loaded: &Loaded, ring: &str) -> Outcome<Vec<Vec<u8>>> {
    let mut ring = RingBuffer::<[u8]>::new(loaded.map(ring)?)?;
    let batch = ring.batch()?;
    Ok(batch.iter().map(<[u8]>::to_vec).collect())
}

fn records() -> Outcome {
    needs_kernel(6, 1)?; // Dynptrs.
    let loaded = load("rings")?;
    passes(&loaded, "send")?;
    let event = |number: u64, text: &[u8; 8]| [&number.to_ne_bytes()[..], text].concat();
    let events = bytes_of(&loaded, "EVENTS")?;
    let wanted = [event(1, b"reserved"), event(4, b"copied\0\0")];
    ensure(events == wanted, || format!("{events:?}"))?;
    let bytes = bytes_of(&loaded, "BYTES")?;
    ensure(bytes == [&b"some"[..], b"bytes"], || format!("{bytes:?}"))?;
    wants(&loaded, "skep_lost", 0)
}

fn losses() -> Outcome {
    needs_kernel(6, 1)?;
    let loaded = load("rings")?;
    passes(&loaded, "overfill")?;
    let refused = number(&loaded, "REFUSED")?;
    let here = bytes_of(&loaded, "EVENTS")?.len() as u64;
    ensure(refused > 100 && refused + here == 300, || {
        format!("{refused} refused, {here} here")
    })?;
    wants(&loaded, "skep_lost", refused)
}

fn commands() -> Outcome {
    needs_kernel(6, 1)?;
    let loaded = load("rings")?;
    let mut ring = UserRingBuffer::new(loaded.map("COMMANDS")?)?;
    for number in [5_u64, 70, 900] {
        ensure(ring.send(&number)?, || "no room".into())?;
    }
    passes(&loaded, "receive")?;
    wants(&loaded, "COMMANDED", 975)
}

fn dynptrs() -> Outcome {
    needs_kernel(6, 1)?;
    let loaded = only("memory", &["test"])?;
    passes(&loaded, "test")?;
    let buffer = loaded.map("BUFFER")?;
    let buffer = buffer.lookup(&[0; 4])?.unwrap_or_default();
    let mut wanted = [0; 64];
    wanted[..5].copy_from_slice(b"begin");
    wanted[40..44].copy_from_slice(&0x1122_3344_u32.to_ne_bytes());
    wanted[48] = 11;
    ensure(buffer == wanted, || format!("{buffer:?}"))
}

/// Both numbers stay in step although threads pay at the same time.
fn locks() -> Outcome {
    let loaded = load("locks")?;
    let all: Vec<Outcome> = thread::scope(|scope| {
        let pay = || -> Outcome {
            for _ in 0..500 {
                ensure(run(&loaded, "pay")? == XDP_PASS, || "not paid".into())?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(pay)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|ended| ended.unwrap_or_else(|_| Err(Stop::fail("a thread panicked"))))
            .collect()
    });
    all.into_iter().collect::<Outcome>()?;
    let mut account = [0xff; 16];
    let accounts = loaded.map("ACCOUNTS")?;
    ensure(accounts.lookup_locked(&[0; 4], &mut account)?, || {
        "no account".into()
    })?;
    let mut wanted = [0; 16];
    wanted[4..8].copy_from_slice(&2000_u32.to_ne_bytes());
    wanted[8..].copy_from_slice(&6000_u64.to_ne_bytes());
    ensure(account == wanted, || format!("{account:?}"))
}

fn timers() -> Outcome {
    needs_kernel(6, 4)?; // `BPF_F_TIMER_ABS`
    let loaded = load_with("timers", |object| object.global("ROUNDS")?.set(3_u64))?;
    passes(&loaded, "begin")?;
    eventually("the third round", || {
        Ok(number(&loaded, "ROUNDS_DONE")? == 3)
    })?;
    right(&loaded)?;
    let watches = loaded.map("WATCHES")?;
    let watch = watches.lookup(&77_u32.to_ne_bytes())?.unwrap_or_default();
    ensure(watch.get(16..24) == Some(&3_u64.to_ne_bytes()[..]), || {
        format!("{watch:?}")
    })
}

fn closures() -> Outcome {
    needs_kernel(5, 17)?; // `bpf_loop`
    let loaded = only("loops", &["test"])?;
    passes(&loaded, "test")?;
    wants(&loaded, "SUM", 4_999_950_000)
}

fn open_ended() -> Outcome {
    needs_kernel(6, 9)?; // `may_goto`
    let loaded = load("loops")?;
    passes(&loaded, "open_ended")?;
    wants(&loaded, "SUM", 5000)
}

fn text() -> Outcome {
    needs_kernel(5, 17)?; // `bpf_strncmp`
    let loaded = only("text", &["test"])?;
    let returned = run(&loaded, "test")?;
    right(&loaded)?;
    ensure(returned == 0, || format!("{returned}"))?;
    let texts = loaded.map("TEXTS")?;
    let line = texts.lookup(&[0; 4])?.unwrap_or_default();
    let line = String::from_utf8_lossy(until_zero(&line)).into_owned();
    ensure(line == "skep: -7 of 12  | 0000beef !%", || line.clone())
}

/// The bytes before the first zero.
fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn numbers() -> Outcome {
    needs_kernel(6, 1)?; // `bpf_strtol` of all programs.
    passes(&only("text", &["numbers"])?, "numbers")
}

fn strings() -> Outcome {
    needs_kernel(6, 17)?;
    let loaded = only("text", &["strings"])?;
    let returned = run(&loaded, "strings")?;
    right(&loaded)?;
    ensure(returned == 0, || format!("{returned}"))
}

fn packets() -> Outcome {
    needs_kernel(6, 5)?; // `bpf_dynptr_size`
    passes(&only("memory", &["packet"])?, "packet")
}

fn work() -> Outcome {
    needs_kernel(6, 10)?;
    let loaded = load("work")?;
    let returned = run(&loaded, "begin")?;
    right(&loaded)?;
    ensure(returned == 0, || format!("{returned}"))?;
    eventually("the work", || Ok(number(&loaded, "DONE")? == 11))?;
    right(&loaded)
}

/// Runs a program that user space calls.
fn call(loaded: &Loaded, program: &str) -> Outcome {
    let ran = loaded.program(program)?.test_run(&mut TestRun::default())?;
    right(loaded)?;
    let returned = ran.return_value;
    ensure(returned == 0, || format!("{program}: {returned}"))
}

fn references() -> Outcome {
    needs_kernel(6, 4)?;
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    for takes_it_out in [true, false] {
        let loaded = load_with("references", |object| object.global("PID")?.set(thread))?;
        let programs: &[&str] = if takes_it_out {
            &["put", "take"]
        } else {
            &["put"]
        };
        for program in programs {
            let returned = run(&loaded, program)?;
            right(&loaded)?;
            ensure(returned == 0, || format!("{program}: {returned}"))?;
        }
        // Otherwise the kernel releases it with the map.
    }
    Ok(())
}

fn arenas() -> Outcome {
    needs_kernel(6, 9)?;
    let loaded = load("arena")?;
    call(&loaded, "build")?;
    call(&loaded, "sum")?;
    wants(&loaded, "SUM", 5 + 6 + 7)?;
    // The list, as user space follows it.
    let memory = loaded.map("MEMORY")?;
    let arena = memory.arena()?;
    let (mut item, mut numbers) = (number(&loaded, "FIRST")?, Vec::new());
    while item != 0 && numbers.len() < 10 {
        let word = |offset| -> Outcome<u64> {
            let at = arena.offset_of(item + offset);
            let at = at.ok_or_else(|| Stop::fail(format!("{item:#x} is outside")))?;
            let mut bytes = [0; 8];
            arena.read(at, &mut bytes)?;
            Ok(u64::from_ne_bytes(bytes))
        };
        numbers.push(word(8)?);
        item = word(0)?;
    }
    ensure(numbers == [7, 6, 5], || format!("{numbers:?}"))
}
