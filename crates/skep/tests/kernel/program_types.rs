//! Programs of every type: the least one that a kernel accepts, and one that clang made of a
//! section's name; and the other features that probes tell. What this machine refuses, it must
//! refuse for a reason that can be checked.

use skep::{
    Host, Object,
    abi::{
        AttachType, Helper, HelperAccess, HelperProperties, KernelVersion, LinkType, MapType,
        ProgramProperties, ProgramType,
    },
    boundary::{AttachPoint, Cause},
    features::{Feature, LoaderFeature, Probe},
    spec::{ParseOptions, SectionHandler, SectionHandlers},
};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err, needs_kernel, without_capabilities};

use crate::support::{host, object, source};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("program_types::the_least_of_each_loads", least),
        Test::new("program_types::one_of_each_from_clang_loads", compiled),
        Test::new(
            "program_types::own_sections_are_attached_by_their_loader",
            own,
        ),
        Test::new("features::answers_agree_with_the_versions", versions),
        Test::new("features::helpers_are_those_of_the_table", helpers),
        Test::new(
            "features::kernel_functions_are_told_by_type",
            kernel_functions,
        ),
        Test::new("features::what_may_not_be_asked_is_not_kept", unprivileged),
    ]
}

fn running() -> KernelVersion {
    host().info().version
}

/// Programs of a type are called by patched code, which a kernel's vendor can forbid altogether.
fn patches(feature: &Feature) -> bool {
    use AttachType as A;
    match feature {
        Feature::ProgramType(kind) => matches!(kind, ProgramType::Ext | ProgramType::Lsm),
        Feature::AttachType(kind) => matches!(
            kind,
            A::TraceFentry
                | A::TraceFexit
                | A::TraceFsession
                | A::ModifyReturn
                | A::LsmMac
                | A::LsmCgroup
                | A::TraceFentryMulti
                | A::TraceFexitMulti
                | A::TraceFsessionMulti
        ),
        Feature::LinkType(kind) => matches!(kind, LinkType::Tracing | LinkType::TracingMulti),
        _ => false,
    }
}

/// A refusal is right if its reason is: looked at another way than the probe did.
pub(crate) fn is_right(feature: &Feature, cause: &Cause) -> Outcome<bool> {
    Ok(match cause {
        Cause::KernelTooOld { needs, has, .. } => *has == running() && needs > has,
        Cause::KernelOption(option) => host().boundary().config(option)?.is_none(),
        Cause::Other { what, .. } if patches(feature) => what.contains("patch functions"),
        Cause::Other { what, .. } if what.contains("perhaps for want of") => {
            let options = host().boundary().config("CONFIG_BPF_SYSCALL").is_err();
            options || what.contains("CONFIG_FPROBE")
        }
        _ => false,
    })
}

#[track_caller]
fn check(feature: &Feature, probe: &Probe) -> Outcome {
    let old_enough = feature.since().is_none_or(|since| since <= running());
    let right = match probe {
        Probe::Yes => old_enough,
        Probe::No { cause } => {
            let by_version = matches!(cause, Cause::KernelTooOld { .. });
            by_version != old_enough && is_right(feature, cause)?
        }
        Probe::Unknown { .. } => false,
    };
    ensure(right, || format!("{feature}: {probe:?}"))
}

fn least() -> Outcome {
    for &kind in ProgramType::ALL {
        if kind != ProgramType::Unspec {
            let feature = Feature::ProgramType(kind);
            check(&feature, &host().probe(&feature))?;
        }
    }
    Ok(())
}

fn compiled() -> Outcome {
    let object = object("program_types")?;
    let mut seen = Vec::new();
    for program in object.spec().programs() {
        let kind = program.program_type();
        seen.push(kind);
        let feature = Feature::ProgramType(kind);
        let mut object = Object::from_spec(object.spec().clone());
        object.only_programs(&[&program.name])?;
        match (object.load(host()), host().probe(&feature)) {
            (Ok(loaded), Probe::Yes) => {
                let fd = loaded.program(&program.name)?.fd();
                let info = host().boundary().prog_info(fd)?;
                ensure(info.program_type() == Some(kind), || {
                    format!("{}: {info:?}", program.name)
                })?;
            }
            (Err(error), Probe::No { .. }) => {
                let cause = error
                    .cause()
                    .ok_or_else(|| Stop::fail(format!("{}: no cause: {error}", program.name)))?;
                let of_type = is_right(&feature, cause)?;
                ensure(of_type, || format!("{}: {error}: {cause}", program.name))?;
            }
            (loaded, probe) => {
                return Err(Stop::fail(format!(
                    "{}: {:?}, but the probe says {probe:?}",
                    program.name,
                    loaded.map(drop)
                )));
            }
        }
    }
    // An extension needs a program that is loaded before it.
    for &kind in ProgramType::ALL {
        let here = seen.contains(&kind);
        let elsewhere = matches!(kind, ProgramType::Unspec | ProgramType::Ext);
        ensure(here != elsewhere, || format!("{kind}: no program"))?;
    }
    Ok(())
}

fn own() -> Outcome {
    let bytes = skep_testing::compile(&source("handlers.bpf.c"), env!("CARGO_TARGET_TMPDIR"))?;
    let unknown = expect_err("mine", Object::parse("handlers", &bytes))?.to_string();
    ensure(unknown.contains("`mine/sched_process_exit`"), || unknown)?;

    let handler = SectionHandler::new(ProgramType::RawTracepoint);
    let handlers = SectionHandlers::new().prefix("mine", handler);
    let options = ParseOptions::new("handlers").handlers(handlers);
    let mut object = Object::parse_with(&bytes, &options)?;
    let loaded = object.load(host())?;
    // Nobody has said how.
    let error = expect_err("attached", loaded.attach_all())?.to_string();
    ensure(error.contains("attach_by"), || error)?;
    drop(loaded);

    expect_err(
        "no such section",
        object.attach_by("others", |_, _| unreachable!()),
    )?;
    object.attach_by("mine", |program, options| {
        program.attach_to(&AttachPoint::RawTracepoint {
            name: program.target().unwrap_or_default().to_owned(),
            cookie: options.cookie,
        })
    })?;
    object.program("second")?.autoattach(false);
    let loaded = object.load(host())?;
    let links = loaded.attach_all()?;
    let names: Vec<&str> = links.iter().map(skep::Link::name).collect();
    ensure(names == ["first"], || format!("{names:?}"))?;
    // What is not attached with all is loaded, and can be attached by hand.
    ensure(loaded.program("second").is_ok(), || "second".into())
}

fn versions() -> Outcome {
    let maps = MapType::ALL.iter().copied();
    let attach = AttachType::ALL.iter().copied();
    let links = LinkType::ALL.iter().copied();
    let loader = LoaderFeature::ALL.iter().copied();
    let all = maps
        .filter(|kind| *kind != MapType::Unspec)
        .map(Feature::MapType)
        .chain(attach.map(Feature::AttachType))
        .chain(
            links
                .filter(|kind| *kind != LinkType::Unspec)
                .map(Feature::LinkType),
        )
        .chain(loader.map(Feature::Loader));
    for feature in all {
        check(&feature, &host().probe(&feature))?;
    }
    Ok(())
}

/// The newest kernel that the table of helpers was read from.
const TABLE: KernelVersion = KernelVersion::new(7, 3);

fn helpers() -> Outcome {
    let mut asked = 0;
    for &kind in ProgramType::ALL {
        if kind == ProgramType::Ext || !host().probe(&Feature::ProgramType(kind)).is_yes() {
            continue;
        }
        let sleeps = kind
            .properties()
            .intersects(ProgramProperties::SLEEPABLE | ProgramProperties::ALWAYS_SLEEPABLE);
        for helper in Helper::all() {
            asked += 1;
            let feature = Feature::Helper(helper, kind);
            let probe = host().probe(&feature);
            let may_sleep = helper.properties.contains(HelperProperties::MAY_SLEEP);
            let access = match helper.access_from(kind) {
                HelperAccess::Yes if may_sleep && !sleeps => HelperAccess::No,
                HelperAccess::Yes if may_sleep => HelperAccess::Sometimes,
                other => other,
            };
            let right = match (&probe, access) {
                (Probe::Unknown { .. }, access) => access == HelperAccess::Sometimes,
                (Probe::Yes, HelperAccess::No) => false,
                (Probe::Yes, _) => helper.since <= running(),
                // Kernels before the table's may allow less.
                (Probe::No { .. }, HelperAccess::Yes) => running() < TABLE,
                (Probe::No { .. }, _) => true,
            };
            ensure(right, || format!("{feature}: {access:?}, but {probe:?}"))?;
        }
    }
    // Of the types that load everywhere alone there are a dozen.
    ensure(asked > 12 * Helper::all().len(), || format!("{asked}"))
}

fn kernel_functions() -> Outcome {
    needs_kernel(6, 10)?;
    let name = "bpf_dynptr_size";
    let probe = |name: &str, kind| host().probe(&Feature::KernelFunction(name.into(), kind));
    ensure(probe(name, ProgramType::Xdp).is_yes(), || name.into())?;
    // A dynptr of a packet is for programs that have one.
    let packet = "bpf_dynptr_from_xdp";
    ensure(probe(packet, ProgramType::Xdp).is_yes(), || packet.into())?;
    let refused = probe(packet, ProgramType::Kprobe);
    ensure(matches!(refused, Probe::No { .. }), || {
        format!("{refused:?}")
    })?;
    match probe("bpf_there_is_no_such_function", ProgramType::Xdp) {
        Probe::No {
            cause: Cause::NotFound { .. },
        } => {}
        other => return Err(Stop::fail(format!("{other:?}"))),
    }
    let names = host().kernel_functions()?;
    // Debian 12 builds its kernel 6.12 with pahole 1.24.
    if names.is_empty() {
        return Err(Stop::lacks("BTF that pahole 1.26 made (6.18)"));
    }
    ensure(names.iter().any(|known| known == name), || {
        format!("no {name} among {names:?}")
    })
}

fn unprivileged() -> Outcome {
    needs_kernel(5, 8)?;
    let setting = std::fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled")?;
    if setting.trim() == "0" {
        return Err(Stop::lacks("kernel.unprivileged_bpf_disabled"));
    }
    let fresh = Host::kernel()?;
    let helper = Helper::by_name("bpf_loop").expect("a helper");
    let features = [
        Feature::ProgramType(ProgramType::Xdp),
        Feature::MapType(MapType::Array),
        Feature::Helper(helper, ProgramType::Xdp),
        Feature::AttachType(AttachType::CgroupInet4Connect),
        Feature::Loader(LoaderFeature::IsaV3),
        Feature::Loader(LoaderFeature::BtfEnum64),
    ];
    without_capabilities(|| {
        for feature in &features {
            let probe = fresh.probe(feature);
            ensure(!probe.is_known(), || format!("{feature}: {probe:?}"))?;
        }
        Ok(())
    })?;
    for feature in &features {
        check(feature, &fresh.probe(feature))?;
    }
    Ok(())
}
