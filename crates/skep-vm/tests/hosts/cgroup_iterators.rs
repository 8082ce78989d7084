//! Open-coded iterators over cgroups and their tasks, of a tree that the test makes.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use skep::{Loaded, Object};
use skep_host::{Host, HostKind, TestRun};
use skep_testing::{Cgroup, Outcome, Stop, Test};

use crate::{
    kfuncs::host_of,
    links::Folder,
    support::{Record, agree_since, machine},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("cgroup_iterators::trees", || agree_since((6, 17), trees)),
        Test::new("cgroup_iterators::tasks", || agree_since((6, 17), tasks)),
    ]
}

/// What is below the cgroup of a test, in the order in which it is made.
const BELOW: [&str; 6] = ["a", "b", "b/z", "a/x", "a/y", "a/x/w"];

/// A tree: what keeps it, and names by ids. "" is the top, "above" what is above it.
struct Tree {
    _kept: (Vec<Folder>, Option<Cgroup>),
    names: Vec<(u64, &'static str)>,
}

impl Tree {
    fn new(host: &dyn Host) -> Outcome<Self> {
        let mut folders = Vec::new();
        let mut names = Vec::new();
        let top = match host.info().kind {
            HostKind::Kernel => {
                let top = Cgroup::new()?;
                let id = |path: &Path| fs::metadata(path).map(|found| found.ino());
                names.push((id(top.path())?, ""));
                if let Some(above) = top.path().parent() {
                    names.push((id(above)?, "above"));
                }
                for name in BELOW {
                    let path = top.path().join(name);
                    fs::create_dir(&path)?;
                    names.push((id(&path)?, name));
                    folders.push(Folder(path));
                }
                // The deepest are removed first.
                folders.reverse();
                Some(top)
            }
            HostKind::Vm => {
                let top = PathBuf::from("/iterated");
                names.push((machine().make_cgroup(&top), ""));
                names.push((machine().make_cgroup(Path::new("/")), "above"));
                let made = BELOW.map(|name| (machine().make_cgroup(&top.join(name)), name));
                names.extend(made);
                None
            }
        };
        Ok(Self {
            _kept: (folders, top),
            names,
        })
    }

    fn id(&self, name: &str) -> u64 {
        let found = self.names.iter().find(|(_, known)| *known == name);
        found.map_or(0, |(id, _)| *id)
    }

    fn name(&self, id: u64) -> &'static str {
        let found = self.names.iter().find(|(known, _)| *known == id);
        match (id, found) {
            (0, _) => "nothing",
            (_, None) => "another",
            (_, Some((_, name))) => name,
        }
    }
}

/// One program of `tests/c/cgroups.bpf.c`.
struct Program {
    object: Object,
    loaded: Loaded,
    name: &'static str,
}

impl Program {
    fn load(host: &dyn Host, name: &'static str) -> Outcome<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/cgroups.bpf.c");
        let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
        let mut object = Object::parse("cgroups", &bytes)?;
        object.only_programs(&[name])?;
        let loaded = object.load(&host_of(host))?;
        Ok(Self {
            object,
            loaded,
            name,
        })
    }

    /// Runs it, and gives what making the iterator answered.
    fn run(&self, cgroup: u64, flags: u32) -> Outcome<i32> {
        let mut context = [0; 16];
        context[..8].copy_from_slice(&cgroup.to_ne_bytes());
        context[8..12].copy_from_slice(&flags.to_ne_bytes());
        let mut out = context;
        let mut run = TestRun {
            context_in: &context,
            context_out: &mut out,
            ..TestRun::default()
        };
        let outcome = self.loaded.program(self.name)?.test_run(&mut run)?;
        match outcome.return_value {
            0 => Ok(i32::from_ne_bytes([out[12], out[13], out[14], out[15]])),
            _ => Err(Stop::fail("there is no such cgroup")),
        }
    }

    fn global(&self, name: &str) -> Outcome<Vec<u8>> {
        let mut all = self.object.spec().variables().iter();
        let found = all.find(|variable| variable.name == name);
        Ok(self
            .loaded
            .global(found.ok_or(Stop::fail("no variable"))?)?)
    }
}

fn trees(host: &dyn Host, record: &mut Record) -> Outcome {
    let tree = Tree::new(host)?;
    let program = Program::load(host, "groups")?;
    for start in ["", "a", "a/x", "a/y", "b"] {
        for flags in 0..7 {
            let made = program.run(tree.id(start), flags)?;
            record.fact(format!("from {start:?} {flags}"), made);
            let seen = program.global("seen")?;
            let (words, _) = seen.as_chunks();
            let names = words
                .iter()
                .map(|word| tree.name(u64::from_ne_bytes(*word)));
            record.fact("through", names.collect::<Vec<_>>());
        }
    }
    Ok(())
}

fn tasks(host: &dyn Host, record: &mut Record) -> Outcome {
    let tree = Tree::new(host)?;
    let program = Program::load(host, "tasks")?;
    for (what, cgroup) in [("own", 0), ("an empty one", tree.id("a"))] {
        for flags in 0..6 {
            let made = program.run(cgroup, flags)?;
            record.fact(format!("of {what} {flags}"), made);
            record.fact("itself", program.global("itself")?);
            if flags & 1 != 0 {
                // Only the first thread of each process is asked for.
                record.fact("others", program.global("others")?);
            }
        }
    }
    Ok(())
}
