//! Sources of the selftests to objects: by `skep-build`, which also keeps them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use skep_build::{Build, Cache, Clang};
use skep_testing::{Outcome, Stop, find_tool};

/// The compiler that the tests are written for.
const CLANG: &str = "clang-19";

/// What sources begin with that are only there for their types.
pub(crate) const TYPES: &str = "btf__";

/// An object, or what the compiler said.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    /// The source's name without its endings.
    pub(crate) name: String,
    /// The object's path, or the compiler's first error.
    pub(crate) object: Result<PathBuf, String>,
    /// It was there from an earlier run.
    pub(crate) from_cache: bool,
}

/// Compiles the tests of a tree, `verifier_*` or all that have expectations, in the order of their
/// names.
///
/// # Errors
/// Skips for want of clang; fails if the tree is none.
pub(crate) fn compile_tests(tree: &Path, all: bool) -> Outcome<Vec<Compiled>> {
    let selftests = tree.join("tools/testing/selftests/bpf");
    let programs = selftests.join("progs");
    let (mut sources, mut types) = (Vec::new(), BTreeSet::new());
    for entry in fs::read_dir(&programs)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(".c") || !(all || name.starts_with("verifier_")) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        if text.contains("__success") || text.contains("__failure") {
            let named = text.split("__btf_path(\"").skip(1);
            let named = named.filter_map(|rest| rest.split('.').next());
            types.extend(named.map(|name| programs.join(format!("{name}.c"))));
            sources.push(path);
        }
    }
    sources.extend(types);
    sources.sort();
    let cache = Cache::open()?;
    let clang = Clang::at(&find_tool(CLANG)?, &cache)
        .map_err(|error| Stop::lacks(format!("a usable {CLANG}: {error}")))?;
    let next = AtomicUsize::new(0);
    let compiled = Mutex::new(Vec::with_capacity(sources.len()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = compile(tree, &selftests, source, &clang, &cache);
                    compiled
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(one);
                }
            });
        }
    });
    let mut compiled = compiled
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    compiled.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(compiled)
}

fn compile(tree: &Path, selftests: &Path, source: &Path, clang: &Clang, cache: &Cache) -> Compiled {
    // The tests bring the prototypes of kernel functions as they were, which may contradict those
    // that the running kernel tells; where they don't, they want its.
    let plain = Build::new(source)
        .include(selftests.join("progs"))
        .include(selftests)
        .include(tree.join("tools/include/uapi"))
        .define("ENABLE_ATOMICS_TESTS")
        .argument("-std=gnu11")
        .argument("-fno-strict-aliasing")
        .argument("-Wno-everything")
        .clang(clang.clone())
        .cache(cache.clone())
        .color(false);
    let built = plain.clone().define("BPF_NO_KFUNC_PROTOTYPES").cached();
    let built = built.or_else(|_| plain.cached());
    let name = source.file_stem().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    match built {
        Ok(built) => Compiled {
            name,
            object: Ok(built.object),
            from_cache: built.from_cache,
        },
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().find(|line| line.contains("error:"));
            Compiled {
                name,
                object: Err(line.unwrap_or(&text).to_owned()),
                from_cache: false,
            }
        }
    }
}
