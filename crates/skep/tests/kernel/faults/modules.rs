//! Functions of a module, named as its own; and the module unloaded under the programs that are
//! attached to them. Some hooks keep it, the others go with it, and nothing fires when it comes back.

use std::{fs, path::PathBuf};

use rustix::system::{delete_module, finit_module};
use skep::Link;
use skep_testing::{
    Outcome, Stop, Test, Tools, ensure, expect_err, guest, in_netns, needs_kernel, needs_option,
};

use crate::support::{Running, object};

/// A module that nothing else needs, and a function of it that runs when a device is made.
const MODULE: &str = "dummy";
const FUNCTION: &str = "dummy_setup";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("faults::functions_are_named_as_a_modules_own", || {
            needs_option("CONFIG_KPROBES")?;
            in_netns(|tools| named(tools, "kprobe", &[FUNCTION]))?;
            needs_kernel(5, 18)?;
            needs_option("CONFIG_FPROBE")?;
            let patterns = ["dummy_*", "*", "dummy_setu?", FUNCTION];
            in_netns(|tools| named(tools, "kprobe_multi", &patterns))
        }),
        Test::new("faults::a_module_is_unloaded_under_a_kprobe", || {
            needs_kernel(5, 8)?;
            needs_option("CONFIG_KPROBES")?;
            in_netns(|tools| goes(tools, "kprobe"))
        }),
        Test::new(
            "faults::a_link_to_many_functions_keeps_their_module",
            || {
                needs_kernel(6, 3)?;
                needs_option("CONFIG_FPROBE")?;
                in_netns(|tools| stays(tools, "kprobe_multi"))
            },
        ),
        Test::new("faults::a_program_on_entry_keeps_its_module", || {
            needs_kernel(6, 1)?;
            needs_option("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS")?;
            needs_option("CONFIG_DEBUG_INFO_BTF_MODULES")?;
            in_netns(|tools| stays(tools, "fentry"))
        }),
    ]
}

/// The module's file, where a test kernel's machine has it.
fn file() -> Outcome<PathBuf> {
    let listed = fs::read_to_string(guest::MODULES).unwrap_or_default();
    let mut files = listed.lines().map(PathBuf::from);
    let file = files.find(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.split('.').next() == Some(MODULE))
    });
    file.filter(|_| is_loaded())
        .ok_or_else(|| Stop::lacks("a module that may be unloaded (of `cargo xtask vm`)"))
}

fn is_loaded() -> bool {
    let all = fs::read_to_string("/proc/modules").unwrap_or_default();
    all.lines()
        .any(|line| line.split(' ').next() == Some(MODULE))
}

/// The module gone; it is back when this is dropped.
struct Unloaded(PathBuf);

impl Unloaded {
    fn now() -> Outcome<Self> {
        let file = file()?;
        delete_module(&std::ffi::CString::new(MODULE)?, 0)?;
        Ok(Self(file))
    }
}

impl Drop for Unloaded {
    fn drop(&mut self) {
        let compressed = match self.0.extension().is_some_and(|end| end == "ko") {
            true => 0,
            false => 4,
        };
        // A failure shows in the next device.
        let loaded = fs::File::open(&self.0)
            .and_then(|file| Ok(finit_module(&file, c"numdummies=0", compressed)?));
        if let Err(error) = loaded {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// Runs the function.
fn fire(tools: &Tools) -> Outcome {
    tools.ip("link add skep-dummy type dummy")?;
    tools.ip("link delete skep-dummy")
}

/// Each pattern finds the function in its module, and nowhere else.
fn named(tools: &Tools, program: &str, patterns: &[&str]) -> Outcome {
    // Compiled out here, before it is known whether there is a module.
    object("module")?;
    file()?;
    let on = |target: String| -> Outcome<(Running, skep::Result<Link>)> {
        let mut object = object("module")?;
        object.only_programs(&[program])?;
        object.program(program)?.attach_target(target);
        let running = Running::of(object)?;
        let link = running.loaded.program(program)?.attach();
        Ok((running, link))
    };
    for pattern in patterns {
        let (running, link) = on(format!("{MODULE}:{pattern}"))?;
        let link = link?;
        fire(tools)?;
        let runs = running.number("runs")?;
        ensure(runs >= 1 && (runs == 1 || pattern.contains('*')), || {
            format!("{pattern}: {runs} hits")
        })?;
        link.detach()?;
        fire(tools)?;
        ensure(running.number("runs")? == runs, || {
            format!("{pattern}: it still fires")
        })?;
    }
    for elsewhere in ["vmlinux", "no_such_module"] {
        let target = format!("{elsewhere}:{FUNCTION}");
        let error = expect_err(elsewhere, on(target.clone())?.1)?;
        let cause = error.cause().map(ToString::to_string).unwrap_or_default();
        ensure(cause.contains(&target), || format!("{error}: {cause}"))?;
    }
    Ok(())
}

fn attached(program: &str) -> Outcome<(Running, Link)> {
    let mut object = object("module")?;
    file()?;
    object.only_programs(&[program])?;
    let running = Running::of(object)?;
    let link = running.loaded.program(program)?.attach()?;
    Ok((running, link))
}

fn goes(tools: &Tools, program: &str) -> Outcome {
    let (running, link) = attached(program)?;
    fire(tools)?;
    let before = running.number("runs")?;
    ensure(before == 1, || format!("{before} hits"))?;
    let gone = Unloaded::now()?;
    let again = running.loaded.program(program)?;
    let error = expect_err("a function that is gone", again.attach())?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    ensure(cause.contains(FUNCTION), || format!("{error}: {cause}"))?;
    link.info()?;
    drop(gone);
    fire(tools)?;
    let after = running.number("runs")?;
    ensure(after == before, || {
        format!("{after} hits after it came back")
    })?;
    link.detach()?;
    let link = again.attach()?;
    fire(tools)?;
    let after = running.number("runs")?;
    ensure(after == before + 1, || {
        format!("{after} hits when attached anew")
    })?;
    Ok(link.detach()?)
}

fn stays(tools: &Tools, program: &str) -> Outcome {
    let (running, link) = attached(program)?;
    let Err(Stop::Fail(refusal)) = Unloaded::now() else {
        return Err(Stop::fail("the module was unloaded"));
    };
    ensure(
        refusal.contains("temporarily unavailable") || refusal.contains("busy"),
        || refusal.clone(),
    )?;
    fire(tools)?;
    let count = running.number("runs")?;
    ensure(count == 1, || format!("{count} hits"))?;
    link.detach()?;
    // The program itself holds the module of the function that it was loaded for.
    drop(running);
    skep_testing::eventually("its end", || Ok(Unloaded::now().is_ok()))?;
    fire(tools)
}
