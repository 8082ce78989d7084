//! The corpus (`corpus/` of the workspace): C programs for every section name, relocation kind and
//! map definition, by each clang there is, and whether libbpf makes the same of them: the same
//! maps, and the same instructions after relocation.
//!
//! Where we differ on purpose, the difference is listed here with its reason, and the test fails
//! when it is gone.

mod usdt;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, LazyLock},
};

use skep::{Host, Object, linux::LinuxHost};
use skep_abi::{MapCreateFlags, MapType};
use skep_build::{Build, Cache, Clang};
use skep_testing::{Libbpf, Outcome, Stop, Test, View, ensure};

static HOST: LazyLock<(Arc<LinuxHost>, Host)> = LazyLock::new(|| {
    let kernel = Arc::new(LinuxHost::new().expect("a kernel that says its version"));
    let host = Host::new(Arc::clone(&kernel) as _);
    let _ = host.btf();
    (kernel, host)
});

fn main() -> ExitCode {
    let tests = vec![
        Test::new("sections", sections),
        Test::new("relocations", relocations),
        Test::new("variables", variables),
        Test::new("core", core),
        Test::new("maps", maps),
        Test::new("usdt", usdt::usdt),
    ];
    skep_testing::run("corpus", || &*HOST.0, tests)
}

/// Section names that Debian's libbpf (1.1.2) does not know: the programs come out without a type.
const NEWER_SECTIONS: &[&str] = &[
    "on_cgroup_connect_unix",
    "on_cgroup_getpeername_unix",
    "on_cgroup_getsockname_unix",
    "on_cgroup_recvmsg_unix",
    "on_cgroup_sendmsg_unix",
    "on_fentry_multi",
    "on_fentry_multi_sleepable",
    "on_fexit_multi",
    "on_fexit_multi_sleepable",
    "on_fsession",
    "on_fsession_multi",
    "on_fsession_multi_sleepable",
    "on_fsession_sleepable",
    "on_kprobe_session",
    "on_netfilter",
    "on_netkit_peer",
    "on_netkit_primary",
    "on_raw_tp_sleepable",
    "on_raw_tracepoint_sleepable",
    "on_sk_skb_verdict",
    "on_struct_ops_sleepable",
    "on_tc_egress",
    "on_tc_ingress",
    "on_tcx_egress",
    "on_tcx_ingress",
    "on_tp_btf_sleepable",
    "on_tp_sleepable",
    "on_tracepoint_sleepable",
    "on_uprobe_multi",
    "on_uprobe_multi_sleepable",
    "on_uprobe_session",
    "on_uprobe_session_sleepable",
    "on_uretprobe_multi",
    "on_uretprobe_multi_sleepable",
    "on_usdt_sleepable",
];

fn sections() -> Outcome {
    let corpus = Corpus::new()?;
    for clang in corpus.clangs()? {
        let path = corpus.compile(&clang, "sections", None)?;
        let theirs = corpus.libbpf.load(&path)?;
        let object = Object::open(&path)?;
        let ours = View::of_object(object.spec());
        let mut wrong = Vec::new();
        for (name, ours) in &ours.programs {
            let Some(theirs) = theirs.programs.get(name) else {
                wrong.push(format!("libbpf has no program `{name}`"));
                continue;
            };
            let newer = NEWER_SECTIONS.contains(&name.as_str());
            if newer != (theirs.types == "type 0 attach 0") {
                wrong.push(format!(
                    "{name}: libbpf knows its section, or does not: {}",
                    theirs.types
                ));
            } else if !newer && ours.types != theirs.types {
                wrong.push(format!("{name}: {}, libbpf: {}", ours.types, theirs.types));
            }
        }
        ensure(wrong.is_empty(), || wrong.join("\n"))?;
    }
    Ok(())
}

fn relocations() -> Outcome {
    let corpus = Corpus::new()?;
    for clang in corpus.clangs()? {
        corpus.compare(&clang, "relocations", None)?;
    }
    Ok(())
}

fn variables() -> Outcome {
    let corpus = Corpus::new()?;
    for clang in corpus.clangs()? {
        corpus.compare(&clang, "variables", None)?;
    }
    Ok(())
}

fn core() -> Outcome {
    let corpus = Corpus::new()?;
    for clang in corpus.clangs()? {
        corpus.compare(&clang, "core", None)?;
    }
    Ok(())
}

/// Each map type of the abi but struct_ops, whose maps are defined by a section of their own.
fn maps() -> Outcome {
    let corpus = Corpus::new()?;
    for clang in corpus.clangs()? {
        for map in MapType::ALL
            .iter()
            .filter(|map| !matches!(map, MapType::Unspec | MapType::StructOps))
        {
            if *map == MapType::Arena {
                // Debian's libbpf can't read a `map_extra` of 64 bits (`__ulong`).
                let path = corpus.compile(&clang, "maps", Some(map.raw()))?;
                Object::open(&path)?.load(&HOST.1)?;
                continue;
            }
            corpus.compare(&clang, "maps", Some(map.raw()))?;
        }
    }
    Ok(())
}

struct Corpus {
    folder: tempfile::TempDir,
    libbpf: Libbpf,
    cache: Cache,
}

impl Corpus {
    fn new() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let libbpf = Libbpf::build(folder.path())?;
        let cache = skep_testing::cache(env!("CARGO_TARGET_TMPDIR"))?;
        Ok(Self {
            folder,
            libbpf,
            cache,
        })
    }

    /// The compilers that are installed.
    fn clangs(&self) -> Outcome<Vec<Clang>> {
        let found = ["clang", "clang-19"].into_iter().filter_map(|name| {
            let path = skep_testing::find_tool(name).ok()?;
            Clang::at(&path, &self.cache).ok()
        });
        let found: Vec<Clang> = found.collect();
        if found.is_empty() {
            return Err(Stop::lacks("clang"));
        }
        Ok(found)
    }

    fn compile(&self, clang: &Clang, name: &str, map: Option<u32>) -> Outcome<PathBuf> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../corpus")
            .join(format!("{name}.bpf.c"));
        let mut build = Build::new(source)
            .clang(clang.clone())
            .cache(self.cache.clone())
            .color(false);
        if let Some(map) = map {
            build = build.define(format!("MAP={map}"));
        }
        let built = build.cached()?;
        // A name without the cache's hash: libbpf makes names of maps of it.
        let path = self.folder.path().join(format!("{name}.o"));
        fs::copy(&built.object, &path)?;
        Ok(path)
    }

    /// Loads an object by libbpf and by Skep: both are to get the same verdict of the kernel, with
    /// the same maps and the same instructions.
    fn compare(&self, clang: &Clang, name: &str, map: Option<u32>) -> Outcome {
        let path = self.compile(clang, name, map)?;
        let seen = self.libbpf.load(&path)?;
        let object = Object::open(&path)?;
        let kind = map.and_then(MapType::from_raw);
        let needs_newer = kind.is_some_and(|map| map.since() > HOST.1.info().version);
        let what = format!("{name} {kind:?} by clang {}", clang.version());
        let loaded = match (object.load(&HOST.1), seen.refusal.clone()) {
            (Ok(loaded), None) => loaded,
            (Err(_), Some(_)) if needs_newer => return Ok(()),
            (Err(ours), Some(theirs)) if unlisted(&ours.to_string(), &theirs) => {
                // Both are refused by the kernel, when all is relocated.
                let image = object.link(&HOST.1)?;
                let ours = View::of(object.spec(), &image, 0);
                let theirs = View {
                    maps: ours.maps.clone(),
                    ..seen
                };
                return same(&what, &ours, &theirs);
            }
            (Err(ours), Some(theirs)) => {
                return Err(Stop::fail(format!(
                    "{what}: refused: {ours}; libbpf: {theirs}"
                )));
            }
            (Ok(_), Some(theirs)) => {
                return Err(Stop::fail(format!("{what}: refused for libbpf: {theirs}")));
            }
            (Err(ours), None) => return Err(Stop::fail(format!("{what}: refused for us: {ours}"))),
        };
        let mut ours = View::of(object.spec(), loaded.image(), 0);
        for map in loaded.maps() {
            let mut info = map.info()?;
            if matches!(map.map_type(), Some(MapType::Devmap | MapType::DevmapHash)) {
                // The kernel adds this by itself.
                info.flags &= !MapCreateFlags::RDONLY_PROG.bits();
            }
            ours.maps.insert(map.name().to_owned(), View::map(&info));
        }
        same(&what, &ours, &seen)
    }
}

fn same(what: &str, ours: &View, theirs: &View) -> Outcome {
    let differences = ours.differences(theirs);
    ensure(differences.is_empty(), || {
        format!("{what}:\n  {}", differences.join("\n  "))
    })
}

/// Whether the kernel refused a variable for us and for libbpf, since its symbols list no data
/// (`CONFIG_KALLSYMS_ALL`).
fn unlisted(ours: &str, theirs: &str) -> bool {
    let words = "failed to find the address for kernel symbol";
    ours.contains(words) && theirs.contains(words)
}
