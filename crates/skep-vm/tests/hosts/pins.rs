//! Pins: things that stay, the places for them, and the paths that lead there.

use std::path::{Path, PathBuf};

use skep_abi::{MapType, ObjectFlags, ProgramType};
use skep_host::{Host, HostKind, MapCreate, PinPath, Pinned};
use skep_testing::{Bpffs, Outcome, Test};

use crate::support::{Record, agree, load_on};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("pins::answer_alike", || agree(pins)),
        Test::new("pins::paths_answer_alike", || agree(paths)),
    ]
}

/// Where pins can be.
fn root(host: &dyn Host, name: &str) -> Outcome<(Option<Bpffs>, PathBuf)> {
    Ok(match host.info().kind {
        HostKind::Kernel => {
            let mounted = Bpffs::mount()?;
            let root = mounted.path().to_owned();
            (Some(mounted), root)
        }
        HostKind::Vm => (None, Path::new("/sys/fs/bpf").join(name)),
    })
}

fn pins(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_mounted, root) = root(host, "test")?;
    let map = host.map_create(&MapCreate::new(MapType::Array, "kept", 4, 8, 1))?;
    let program = load_on(host, ProgramType::SocketFilter, "r0 = 0\n exit", |_| {})?;
    let at = |name: &str| root.join(name);
    let path = at("map");
    record.answer("pin", &host.obj_pin(map.descriptor(), (&path).into()));
    record.answer("pin twice", &host.obj_pin(map.descriptor(), (&path).into()));
    record.answer(
        "pin dot",
        &host.obj_pin(map.descriptor(), (&at("a.b")).into()),
    );
    record.answer(
        "pin below",
        &host.obj_pin(map.descriptor(), (&at("map/x")).into()),
    );
    let id = host.map_info(&map)?.id;
    drop(map);
    for flags in [
        ObjectFlags::empty(),
        ObjectFlags::RDONLY,
        ObjectFlags::WRONLY,
        ObjectFlags::RDONLY | ObjectFlags::WRONLY,
    ] {
        let got = host.obj_get((&path).into(), flags);
        record.done(format!("get {flags:?}"), &got);
        let Ok(Pinned::Map(map)) = got else { continue };
        record.fact("same", host.map_info(&map)?.id == id);
        record.answer("update", &host.map_update_elem(&map, &[0; 4], &[1; 8], 0));
        record.answer(
            "lookup",
            &host.map_lookup_elem(&map, &[0; 4], &mut [0; 8], 0),
        );
    }
    let path = at("program");
    record.answer("pin", &host.obj_pin(program.descriptor(), (&path).into()));
    let got = host.obj_get(PinPath::from(&path), ObjectFlags::empty());
    record.fact("program", matches!(got, Ok(Pinned::Program(_))));
    record.done(
        "get nothing",
        &host.obj_get((&at("nothing")).into(), ObjectFlags::empty()),
    );
    record.answer("unpin nothing", &host.obj_unpin(&at("nothing")));
    record.answer("unpin", &host.obj_unpin(&path));
    record.answer("unpin", &host.obj_unpin(&at("map")));
    record.done(
        "get",
        &host.obj_get((&at("map")).into(), ObjectFlags::empty()),
    );
    Ok(())
}

fn paths(host: &dyn Host, record: &mut Record) -> Outcome {
    let (_mounted, root) = root(host, "paths")?;
    let map = host.map_create(&MapCreate::new(MapType::Array, "kept", 4, 8, 1))?;
    let pin = |at: &Path| host.obj_pin(map.descriptor(), at.into());
    let get = |at: &Path| host.obj_get(at.into(), ObjectFlags::empty());
    pin(&root.join("map"))?;
    let long = |len| "n".repeat(len);
    for name in [
        "",
        ".",
        "..",
        "x.y",
        ".x",
        "./q",
        "q/",
        "q//",
        "q/.",
        "map/",
        "map/.",
        "map/..",
        "map/x",
        "map/../q",
        &long(255),
        &long(256),
    ] {
        let at = root.join(name);
        let label = match name.len() {
            0..=9 => name.to_owned(),
            len => len.to_string(),
        };
        let listed = if name == "q/." { "pin parent " } else { "" };
        let key = |what: &str| format!("{listed}{what} {label:?}");
        record.answer(key("pin"), &pin(&at));
        record.done(key("get"), &get(&at));
        // What is above belongs to others.
        if !matches!(name, "" | "." | ".." | "map/..") {
            record.answer(key("unpin"), &host.obj_unpin(&at));
        }
    }
    for path in ["", "relative", "relative/q"] {
        let at = Path::new(path);
        let key = |what: &str| match path.contains('/') {
            true => format!("pin parent {what}"),
            false => format!("{what} at {path:?}"),
        };
        record.answer(key("pin"), &pin(at));
        record.done(key("get"), &get(at));
    }
    record.done("pin parent", &pin(&root.join("no/such")));
    record.done("pin parent", &host.obj_unpin(&root.join("no/such")));
    record.answer("unpin", &host.obj_unpin(&root.join("map")));
    Ok(())
}
