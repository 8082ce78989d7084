//! Probes on one function: by address, by events of tracefs; and what is said of functions that
//! can't be probed, are there twice, or are not there as the source has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{LazyLock, mpsc},
    thread,
};

use rustix::{
    fs::{FlockOperation, flock},
    thread::gettid,
};

use skep_abi::ProgramType;
use skep_host::{AttachPoint, Attachment, Cause, Error, Host, LinkDetails, ProbeSource, ProgramFd};
use skep_testing::{
    Outcome, Stop, Test, Tracefs, ensure, eventually, expect_err, needs_kernel, needs_option,
};

use crate::{
    harness::host,
    hooks::GETPPID,
    programs::{count, counter, counting, load},
    tracing::{getppid, me, place_of, skep_linux_probed},
};

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("kprobes::an_address_is_a_place", by_address).of_hook("kprobe (address)"),
        Test::new("kprobes::events_of_tracefs_fire_and_go", by_tracefs).of_hook("kprobe (tracefs)"),
        Test::new(
            "kprobes::uprobes_are_events_of_tracefs_too",
            uprobe_by_tracefs,
        )
        .of_hook("uprobe (tracefs)"),
        Test::new("kprobes::returns_without_room_are_counted", maxactive)
            .of_hook("kretprobe (maxactive)"),
        Test::new("kprobes::slips_are_told_with_near_names", misspelt),
        Test::new("kprobes::several_functions_are_told_by_address", several),
        Test::new("kprobes::what_the_compiler_made_is_told", made),
        Test::new("kprobes::functions_without_probes_are_told", forbidden),
    ]
}

/// At a function's start; by tracefs or as the host likes.
fn at(function: &str, at_return: bool, source: ProbeSource) -> AttachPoint<'static> {
    AttachPoint::Kprobe {
        at_return,
        function: function.to_owned(),
        offset: 0,
        source,
        cookie: None,
    }
}

fn attach(program: &ProgramFd, point: &AttachPoint<'_>) -> Result<Attachment, Error> {
    host().attach("probing", program, ProgramType::Kprobe, point)
}

fn plain() -> Outcome<ProgramFd> {
    needs_option("CONFIG_KPROBE_EVENTS")?;
    load(ProgramType::Kprobe, None, "r0 = 0\n exit")
}

/// What was refused, in words: what is so, and what to do.
fn refusal(function: &str) -> Outcome<(String, String)> {
    let program = plain()?;
    let error = expect_err(
        function,
        attach(&program, &at(function, false, ProbeSource::Auto)),
    )?;
    let cause = error.cause();
    let cause = cause.ok_or_else(|| Stop::fail(format!("{error}: no cause")))?;
    Ok((cause.to_string(), cause.fix()))
}

fn by_address() -> Outcome {
    needs_option("CONFIG_KPROBE_EVENTS")?;
    let found = host().symbol_addresses(&[GETPPID])?;
    let address = found.get(GETPPID).and_then(|all| all.first());
    let address = address.ok_or_else(|| Stop::fail("no such symbol"))?;
    let hits = counter()?;
    let program = load(ProgramType::Kprobe, None, &counting(&hits, Some(me()), 0))?;
    let place = format!("{address:#x}");
    for at_return in [false, true] {
        let before = count(&hits)?;
        let attachment = attach(&program, &at(&place, at_return, ProbeSource::Auto))?;
        getppid();
        ensure(count(&hits)? == before + 1, || format!("{at_return}"))?;
        attachment.detach()?;
        getppid();
        ensure(count(&hits)? == before + 1, || "it still fires".into())?;
    }
    let error = expect_err(
        "nowhere",
        attach(&program, &at("0x10", false, ProbeSource::Auto)),
    )?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    ensure(cause.contains("no instruction"), || {
        format!("{error}: {cause}")
    })
}

/// The events in one of tracefs' files that are of this process.
fn events(list: &str) -> Outcome<Vec<String>> {
    let tracefs = Tracefs::mount()?;
    let text = fs::read_to_string(tracefs.path().join(list))?;
    let mine = format!("_{}_", me());
    let lines = text.lines().filter(|line| line.contains(&mine));
    Ok(lines.map(str::to_owned).collect())
}

fn by_tracefs() -> Outcome {
    needs_option("CONFIG_KPROBE_EVENTS")?;
    let hits = counter()?;
    let program = load(ProgramType::Kprobe, None, &counting(&hits, Some(me()), 0))?;
    for at_return in [false, true] {
        let before = count(&hits)?;
        let attachment = attach(&program, &at(GETPPID, at_return, ProbeSource::Tracefs))?;
        let there = events("kprobe_events")?;
        let kind = if at_return { "r" } else { "p" };
        let right = there.len() == 1
            && there.iter().all(|line| {
                line.starts_with(kind) && line.contains("skep/") && line.contains(GETPPID)
            });
        ensure(right, || format!("{there:?}"))?;
        getppid();
        ensure(count(&hits)? == before + 1, || format!("{at_return}"))?;
        if let (Some(link), Ok(())) = (attachment.link_fd(), needs_kernel(6, 6)) {
            let details = host().link_info(link)?.details;
            let told = matches!(
                details,
                LinkDetails::Kprobe { .. } | LinkDetails::Tracepoint { .. }
            );
            ensure(told, || format!("{details:?}"))?;
        }
        // Detached or dropped, nothing stays.
        match at_return {
            true => attachment.detach()?,
            false => drop(attachment),
        }
        let there = events("kprobe_events")?;
        ensure(there.is_empty(), || format!("{there:?}"))?;
        getppid();
        ensure(count(&hits)? == before + 1, || "it still fires".into())?;
    }
    let point = at("no_such_function_x", false, ProbeSource::Tracefs);
    let error = expect_err("no such function", attach(&program, &point))?;
    ensure(
        matches!(error.cause(), Some(Cause::NotFound { .. })),
        || format!("{error}: {:?}", error.cause()),
    )
}

/// The function behind flock(2), which waits until the one who has the lock lets go.
const FLOCK: &str = if cfg!(target_arch = "x86_64") {
    "__x64_sys_flock"
} else {
    "__arm64_sys_flock"
};

/// Calls that wait in the kernel at once.
const WAITING: usize = 4;

/// Lets so many threads wait for a lock at once, and then go on.
fn wait_at_once() -> Outcome {
    // Any file can be locked.
    let path = std::env::current_exe()?;
    let lock = fs::File::open(&path)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let own = fs::File::open(&path);
                let (told, tid) = mpsc::channel();
                let thread = scope.spawn(move || -> Outcome {
                    told.send(gettid().as_raw_nonzero().get())?;
                    Ok(flock(&own?, FlockOperation::LockShared)?)
                });
                (thread, tid)
            })
            .collect();
        let mut outcome = Ok(());
        let call = format!("{} ", libc::SYS_flock);
        for (_, tid) in &waiting {
            let state = format!("/proc/self/task/{}/syscall", tid.recv()?);
            outcome = outcome.and(eventually("it waits", || {
                Ok(fs::read_to_string(&state)?.starts_with(&call))
            }));
        }
        drop(lock);
        for (thread, _) in waiting {
            thread.join().map_err(|_| Stop::fail("it fell"))??;
        }
        outcome
    })
}

fn maxactive() -> Outcome {
    needs_option("CONFIG_KPROBE_EVENTS")?;
    let hits = counter()?;
    let program = load(ProgramType::Kprobe, None, &counting(&hits, Some(me()), 0))?;
    let mut seen = 0;
    for (most, expect) in [(1, 1), (64, WAITING)] {
        let source = ProbeSource::TracefsReturns(most);
        let attachment = attach(&program, &at(FLOCK, true, source))?;
        let there = events("kprobe_events")?;
        let right = matches!(&there[..], [line] if line.starts_with(&format!("r{most}:skep/")));
        ensure(right, || format!("{there:?}"))?;
        wait_at_once()?;
        // The lock's owner was seen before it was waited for.
        let now = count(&hits)?;
        let came = now - std::mem::replace(&mut seen, now);
        let missed = attachment.holder().and_then(|holder| holder.missed());
        let counted = Some((WAITING - expect) as u64);
        ensure(came == expect as u64 + 1 && missed == counted, || {
            format!("maxactive {most}: {came} seen, {missed:?} missed")
        })?;
        if let (Some(link), Ok(())) = (attachment.link_fd(), needs_kernel(6, 7)) {
            let told = host().link_info(link)?.missed();
            ensure(told == counted, || format!("its link: {told:?}"))?;
        }
        attachment.detach()?;
    }
    for (at_return, most) in [(false, 7), (true, 0), (true, 4097)] {
        let point = at(FLOCK, at_return, ProbeSource::TracefsReturns(most));
        let error = expect_err("no number", attach(&program, &point))?;
        let fix = error.cause().map(Cause::fix).unwrap_or_default();
        ensure(fix.contains("number") || fix.contains("1 to 4096"), || {
            format!("{error}: {fix}")
        })?;
    }
    Ok(())
}

fn uprobe_by_tracefs() -> Outcome {
    needs_option("CONFIG_UPROBE_EVENTS")?;
    let (binary, offset) = place_of(skep_linux_probed as *const () as usize)?;
    let hits = counter()?;
    let program = load(ProgramType::Kprobe, None, &counting(&hits, None, 0))?;
    for (at_return, pid) in [(false, None), (true, Some(me()))] {
        let before = count(&hits)?;
        let attachment = attach(
            &program,
            &AttachPoint::Uprobe {
                at_return,
                binary: binary.clone(),
                offset,
                pid,
                semaphore: 0,
                source: ProbeSource::Tracefs,
                cookie: None,
            },
        )?;
        let there = events("uprobe_events")?;
        ensure(there.len() == 1, || format!("{there:?}"))?;
        skep_linux_probed(1);
        ensure(count(&hits)? == before + 1, || format!("{at_return}"))?;
        drop(attachment);
        let there = events("uprobe_events")?;
        ensure(there.is_empty(), || format!("{there:?}"))?;
        skep_linux_probed(2);
        ensure(count(&hits)? == before + 1, || "it still fires".into())?;
    }
    let error = expect_err(
        "a path of two words",
        attach(
            &program,
            &AttachPoint::Uprobe {
                at_return: false,
                binary: "/no such/binary".into(),
                offset,
                pid: None,
                semaphore: 0,
                source: ProbeSource::Tracefs,
                cookie: None,
            },
        ),
    )?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    ensure(cause.contains("spaces"), || format!("{error}: {cause}"))
}

fn misspelt() -> Outcome {
    let (what, fix) = refusal("vfs_raed")?;
    ensure(fix.contains("`vfs_read`"), || format!("{what}; {fix}"))
}

/// The addresses of the kernel proper's functions, by name.
fn functions() -> &'static BTreeMap<String, BTreeSet<String>> {
    static FOUND: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        for line in text.lines().filter(|line| !line.ends_with(']')) {
            if let (Some(address), Some("t" | "T"), Some(name)) =
                (line.get(..16), line.get(17..18), line.get(19..))
            {
                let addresses = all.entry(name.to_owned()).or_default();
                addresses.insert(address.to_owned());
            }
        }
        all
    });
    &FOUND
}

fn several() -> Outcome {
    let program = plain()?;
    let functions = functions();
    let names = functions
        .iter()
        .filter(|(_, addresses)| addresses.len() > 1);
    let mut tried = 0;
    for (name, addresses) in names.take(2) {
        let error = match attach(&program, &at(name, false, ProbeSource::Auto)) {
            // Kernels before took the first.
            Ok(_) if needs_kernel(6, 7).is_err() => continue,
            Ok(_) => return Err(Stop::fail(format!("one of many `{name}` was probed"))),
            Err(error) => error,
        };
        let cause = error.cause().map(ToString::to_string).unwrap_or_default();
        let counted = format!("{} functions `{name}`", addresses.len());
        let first = addresses
            .first()
            .map_or("", |first| first.trim_start_matches('0'));
        ensure(cause.contains(&counted) && cause.contains(first), || {
            format!("{error}: {cause}")
        })?;
        let fix = error.cause().map(Cause::fix).unwrap_or_default();
        ensure(fix.contains(&format!("kprobe/0x{first}")), || fix.clone())?;
        tried += 1;
    }
    ensure(tried > 0 || needs_kernel(6, 7).is_err(), || {
        "this kernel has no function twice".into()
    })
}

fn made() -> Outcome {
    let program = plain()?;
    let functions = functions();
    let lone = functions.iter().find_map(|(name, addresses)| {
        let (plain, _) = name.split_once(".isra.")?;
        let lone = !functions.contains_key(plain) && addresses.len() == 1;
        lone.then_some((plain, name))
    });
    let (plain, full) = lone.ok_or_else(|| Stop::lacks("a function that is `.isra` only"))?;
    let (what, fix) = refusal(plain)?;
    ensure(
        what.contains(&format!("`{full}`")) && what.contains("arguments"),
        || what.clone(),
    )?;
    ensure(fix.contains(&format!("{plain}.")), || fix.clone())?;
    // By its full name it is a function as others are.
    drop(attach(&program, &at(full, false, ProbeSource::Auto))?);
    Ok(())
}

fn forbidden() -> Outcome {
    // The first is on the kernel's own list, the second is code that runs before probes can.
    for name in ["kprobe_dispatcher", "exc_int3"] {
        let (what, fix) = refusal(name)?;
        let told = what.contains("lets nobody probe") && what.contains(name);
        ensure(told && what.contains("blacklist"), || what.clone())?;
        ensure(fix.contains("calls it"), || fix.clone())?;
    }
    Ok(())
}
