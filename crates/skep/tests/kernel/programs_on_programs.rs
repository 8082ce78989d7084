//! Programs that take the place of another program's function, or trace it.

use skep::{
    AttachOptions, Error, Object, TargetProgram,
    boundary::{Cause, LinkDetails, TestRun},
};
use skep_testing::{Bpffs, Outcome, Stop, Test, ensure, expect_err, needs_kernel, needs_option};

use crate::support::{Running, host, object};

/// What XDP programs answer.
const DROP: u32 = 1;
const PASS: u32 = 2;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("programs_on_programs::a_function_is_replaced", replaced).of_hook("freplace"),
        Test::new(
            "programs_on_programs::another_program_is_chosen_later",
            elsewhere,
        ),
        Test::new(
            "programs_on_programs::pins_and_ids_are_places",
            by_pin_and_id,
        ),
        Test::new("programs_on_programs::a_program_is_traced", traced).of_hook("fentry (program)"),
        Test::new("programs_on_programs::what_is_missing_is_named", mistakes),
    ]
}

/// Loads an object whose programs patch others, where the kernel lets them.
fn patching(object: Object) -> Outcome<Running> {
    match object.load(host()) {
        Ok(loaded) => Ok(Running { object, loaded }),
        Err(error) => match error.cause() {
            // Some vendors' kernels do, whatever they are configured with.
            Some(Cause::Other { what, .. }) if what.contains("refuses all programs") => {
                Err(Stop::lacks("a kernel that lets programs patch functions"))
            }
            _ => Err(error.into()),
        },
    }
}

/// One program of `replacing.bpf.c`, on this one.
fn on(target: &TargetProgram, program: &str) -> Outcome<Running> {
    let mut object = object("replacing")?;
    object.only_programs(&[program])?;
    object.attach_to_program(program, target)?;
    patching(object)
}

/// What the filter says of a packet.
fn verdict(filter: &Running) -> Outcome<u32> {
    let mut run = TestRun {
        data_in: &[0; 64],
        ..TestRun::default()
    };
    Ok(filter
        .loaded
        .program("filter")?
        .test_run(&mut run)?
        .return_value)
}

fn target(filter: &Running) -> Outcome<TargetProgram> {
    Ok(TargetProgram::new(filter.loaded.program("filter")?)?)
}

fn needs() -> Outcome {
    needs_kernel(5, 10)?;
    needs_option("CONFIG_DEBUG_INFO_BTF")
}

fn replaced() -> Outcome {
    needs()?;
    let filter = Running::new("replaced")?;
    ensure(verdict(&filter)? == PASS, || "dropped at first".into())?;
    let running = on(&target(&filter)?, "nothing_is")?;
    ensure(verdict(&filter)? == PASS, || "dropped by a load".into())?;
    let program = running.loaded.program("nothing_is")?;
    let link = program.attach()?;
    ensure(verdict(&filter)? == DROP, || "not replaced".into())?;
    let (entries, length) = (running.number("entries")?, running.number("last_length")?);
    ensure((entries, length) == (1, 64), || {
        format!("{entries} entries, of {length} bytes")
    })?;
    let of = filter.loaded.program("filter")?.info()?.id;
    let details = link.info()?.pop().map(|info| info.details);
    let right = matches!(&details, Some(LinkDetails::Tracing { target_object, .. })
        if *target_object == of);
    ensure(right || needs_kernel(5, 13).is_err(), || {
        format!("program {of}: {details:?}")
    })?;
    // The place is taken.
    let other = on(&target(&filter)?, "nothing_is")?;
    let error = expect_err("two", other.loaded.program("nothing_is")?.attach())?;
    ensure(matches!(error.cause(), Some(Cause::InUse(_))), || {
        format!("{error}: {:?}", error.cause())
    })?;
    link.detach()?;
    ensure(verdict(&filter)? == PASS, || "still replaced".into())
}

fn elsewhere() -> Outcome {
    needs()?;
    let (first, second) = (Running::new("replaced")?, Running::new("replaced")?);
    let running = on(&target(&first)?, "nothing_is")?;
    let program = running.loaded.program("nothing_is")?;
    let options = AttachOptions::default();
    let link = program.replace(&target(&second)?, "is_allowed", &options)?;
    let verdicts = (verdict(&first)?, verdict(&second)?);
    ensure(verdicts == (PASS, DROP), || format!("{verdicts:?}"))?;
    drop(link);
    ensure(verdict(&second)? == PASS, || "still replaced".into())?;
    let unlike = program.replace(&target(&second)?, "of_another_kind", &options);
    let error = expect_err("a function of other arguments", unlike)?;
    let fix = error.fix().unwrap_or_default();
    ensure(fix.contains("attach_to_program"), || {
        format!("{error}: {fix}")
    })
}

fn by_pin_and_id() -> Outcome {
    needs()?;
    let bpffs = Bpffs::mount()?;
    let filter = Running::new("replaced")?;
    let program = filter.loaded.program("filter")?;
    let path = bpffs.path().join("filter");
    program.pin(&path)?;
    let pinned = TargetProgram::pinned(host(), &path)?;
    let by_id = TargetProgram::by_id(host(), program.info()?.id)?;
    let by_id = by_id.ok_or_else(|| Stop::fail("no program of that id"))?;
    for target in [pinned, by_id] {
        let running = on(&target, "nothing_is")?;
        let _link = running.loaded.program("nothing_is")?.attach()?;
        ensure(verdict(&filter)? == DROP, || format!("{target:?}"))?;
    }
    host().boundary().obj_unpin(&path)?;
    Ok(())
}

fn traced() -> Outcome {
    needs()?;
    let filter = Running::new("replaced")?;
    let mut object = object("replacing")?;
    object.only_programs(&["before", "after"])?;
    for program in ["before", "after"] {
        object.attach_to_program(program, &target(&filter)?)?;
    }
    let running = patching(object)?;
    let links = running.loaded.attach_all()?;
    verdict(&filter)?;
    let seen = || -> Outcome<[u64; 3]> {
        Ok([
            running.number("entries")?,
            running.number("exits")?,
            running.number("last_answer")?,
        ])
    };
    ensure(seen()? == [1, 1, PASS.into()], || format!("{:?}", seen()))?;
    drop(links);
    verdict(&filter)?;
    ensure(seen()? == [1, 1, PASS.into()], || "it still fires".into())
}

fn mistakes() -> Outcome {
    needs()?;
    let mut alone = object("replacing")?;
    alone.only_programs(&["nothing_is"])?;
    let error = expect_err("no target", alone.load(host()))?;
    ensure(error.to_string().contains("attach_to_program"), || {
        error.to_string()
    })?;
    let filter = Running::new("replaced")?;
    let target = target(&filter)?;
    alone.program("nothing_is")?.attach_target("is_alowed");
    let error = expect_err("a slip", alone.attach_to_program("nothing_is", &target))?;
    ensure(error.to_string().contains("`is_allowed`"), || {
        error.to_string()
    })?;
    // What does not fit is the verifier's to say.
    let error = match on(&target, "misfit") {
        Ok(_) => return Err(Stop::fail("other arguments were taken")),
        Err(stop @ Stop::Skip(_)) => return Err(stop),
        Err(_) => {
            let mut object = object("replacing")?;
            object.only_programs(&["misfit"])?;
            object.attach_to_program("misfit", &target)?;
            expect_err("other arguments", object.load(host()))?
        }
    };
    ensure(matches!(error, Error::Rejected(_)), || format!("{error:?}"))
}
