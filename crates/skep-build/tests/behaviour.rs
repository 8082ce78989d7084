//! What the library does around the compiler: errors as clang prints them with what to do, the
//! cache's answers, and where objects go.

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use common::*;
use skep_build::{Build, BuildOutput, Cache, Clang, Error, KernelTypes};

const PROGRAM: &str = "#include <skep.h>\n#include \"own.h\"\nint f(void) { return ONE; }\n";

/// A folder with a source that includes a header of its own, and a cache.
struct Project {
    folder: tempfile::TempDir,
    clang: Clang,
    cache: Cache,
}

impl Project {
    /// With this machine's first clang, if there is one.
    fn new() -> Option<Self> {
        let clang = clangs().into_iter().next()?;
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache")).unwrap();
        let project = Self {
            folder,
            clang,
            cache,
        };
        project.write("a.bpf.c", PROGRAM);
        project.write("own.h", "#define ONE 1\n");
        Some(project)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Files change their fingerprint by content alone, so no test has to wait for a clock.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn build(&self) -> Build {
        let build = Build::new(self.path("a.bpf.c")).color(false);
        build.clang(self.clang.clone()).cache(self.cache.clone())
    }

    fn cached(&self) -> BuildOutput {
        self.build().cached().unwrap()
    }
}

#[test]
fn an_object_is_kept_until_something_changes() {
    let Some(project) = Project::new() else {
        return;
    };
    let first = project.cached();
    assert!(!first.from_cache);
    let names: Vec<_> = first
        .dependencies
        .iter()
        .filter_map(|path| path.file_name())
        .collect();
    assert_eq!(names, ["a.bpf.c", "skep.h", "own.h"]);

    let second = project.cached();
    assert!(second.from_cache);
    assert_eq!(
        (&second.object, &second.dependencies),
        (&first.object, &first.dependencies)
    );

    project.write("own.h", "#define ONE 2\n");
    let changed = project.cached();
    assert!(!changed.from_cache, "a header changed");
    assert_ne!(code(&changed.object), code(&first.object));

    project.write("own.h", "#define ONE 1\n");
    project.write("a.bpf.c", &format!("{PROGRAM}int g;\n"));
    assert!(!project.cached().from_cache, "the source changed");
    assert!(
        !project.build().define("X").cached().unwrap().from_cache,
        "a flag changed"
    );
    assert!(
        project.cached().from_cache,
        "the first flags still have theirs"
    );
}

#[test]
fn what_is_damaged_or_lost_is_made_again() {
    let Some(project) = Project::new() else {
        return;
    };
    let first = project.cached();
    fs::remove_file(&first.object).unwrap();
    assert!(!project.cached().from_cache, "the object is gone");

    let objects = project.cache.root().join("objects");
    for entry in fs::read_dir(&objects).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "manifest")
        {
            fs::write(path, b"../../x\nnonsense\0\n\n").unwrap();
        }
    }
    assert!(!project.cached().from_cache, "the manifest is nonsense");
    assert!(project.cached().from_cache);

    fs::remove_file(project.path("own.h")).unwrap();
    assert!(
        matches!(project.build().cached(), Err(Error::Compile { .. })),
        "a header is gone"
    );
}

#[test]
fn warnings_are_given_as_printed_and_again_from_the_cache() {
    let Some(project) = Project::new() else {
        return;
    };
    project.write("a.bpf.c", "#warning mind this\nint f;\n");
    let first = project.cached();
    assert!(
        first.warnings.contains("a.bpf.c:1:2: warning: mind this"),
        "{}",
        first.warnings
    );
    assert!(
        first.warnings.ends_with("1 warning generated.\n"),
        "{:?}",
        first.warnings
    );
    let second = project.cached();
    assert!(second.from_cache);
    assert_eq!(second.warnings, first.warnings);
}

#[test]
fn a_compile_error_is_shown_as_clang_prints_it() {
    let Some(project) = Project::new() else {
        return;
    };
    project.write("a.bpf.c", "int f(void) { return missing; }\n");
    let source = project.path("a.bpf.c");
    let clang = Command::new(project.clang.path())
        .args(["-target", "bpf", "-g", "-O2", "-c", "-o", "/dev/null"])
        .arg(&source)
        .output()
        .unwrap();
    let error = project.build().cached().unwrap_err();
    assert_eq!(format!("{error}\n"), String::from_utf8_lossy(&clang.stderr));

    let Error::Compile { stderr, .. } = project.build().color(true).cached().unwrap_err() else {
        panic!("another error");
    };
    assert!(stderr.contains("\u{1b}["), "no colours: {stderr}");
    assert!(
        !project.path("a.bpf.o").exists(),
        "nothing is left of a failure"
    );
}

/// The precompiled header must not show in errors, nor be blamed for them.
#[test]
fn an_error_after_vmlinux_h_is_the_same_with_a_precompiled_one() {
    let Some(project) = Project::new() else {
        return;
    };
    if !has_kernel_types() {
        return;
    }
    project.write(
        "a.bpf.c",
        "#include \"vmlinux.h\"\nu32 f(void) { return missing; }\n",
    );
    let said = |precompile| {
        project
            .build()
            .precompile(precompile)
            .cached()
            .unwrap_err()
            .to_string()
    };
    assert_eq!(said(true), said(false));
    assert!(said(true).contains("a.bpf.c:2:22: error: use of undeclared identifier 'missing'"));
}

#[test]
fn a_missing_system_header_says_what_to_install() {
    let Some(project) = Project::new() else {
        return;
    };
    project.write("a.bpf.c", "#include <linux/no_such_header.h>\n");
    let Error::Compile { stderr, hint, .. } = project.build().cached().unwrap_err() else {
        panic!("another error");
    };
    assert!(
        stderr.contains("fatal error: 'linux/no_such_header.h' file not found"),
        "{stderr}"
    );
    let hint = hint.unwrap();
    assert!(
        hint.starts_with("<linux/no_such_header.h> is not on this system: install"),
        "{hint}"
    );
}

#[test]
fn a_missing_source_is_named() {
    let Some(project) = Project::new() else {
        return;
    };
    let error = Build::new("/no/such.bpf.c")
        .cache(project.cache.clone())
        .cached()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read /no/such.bpf.c: No such file or directory (os error 2)"
    );
}

#[test]
fn kernel_types_are_asked_for_only_if_wanted() {
    let Some(project) = Project::new() else {
        return;
    };
    let nowhere = KernelTypes::File("/no/btf".into());
    assert!(
        project
            .build()
            .kernel_types(nowhere.clone())
            .cached()
            .is_ok(),
        "not included"
    );

    project.write("a.bpf.c", "#include \"vmlinux.h\"\nchosen_t f;\n");
    let error = project
        .build()
        .kernel_types(nowhere.clone())
        .cached()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("includes vmlinux.h, but the kernel's types can't be read from /no/btf")
    );
    assert!(error.contains("CONFIG_DEBUG_INFO_BTF=y"), "{error}");

    let garbage = KernelTypes::Bytes(b"not BTF"[..].into());
    let error = project.build().kernel_types(garbage).cached().unwrap_err();
    assert!(matches!(error, Error::KernelTypes { .. }), "{error}");

    project.write("vmlinux.h", "typedef int chosen_t;\n");
    assert!(
        project.build().kernel_types(nowhere).cached().is_ok(),
        "the one beside wins"
    );
}

/// The header of one kernel is not that of another.
#[test]
fn kernel_types_of_a_file() {
    let Some(project) = Project::new() else {
        return;
    };
    project.write("types.c", "struct only_here { int field; } x;\n");
    let types = Build::new(project.path("types.c")).cache(project.cache.clone());
    let object = types.clang(project.clang.clone()).cached().unwrap().object;
    let btf = section(&object, ".BTF");
    project.write(
        "a.bpf.c",
        "#include <vmlinux.h>\nint f(struct only_here *p) { return p->field; }\n",
    );
    let built = project
        .build()
        .kernel_types(KernelTypes::Bytes(btf.into()))
        .cached()
        .unwrap();
    let relocations = core_relocations(&built.object);
    assert_eq!(relocations.len(), 1, "{relocations:?}");
    assert!(relocations[0].contains("only_here") && relocations[0].ends_with("0:0 kind 0"));
}

/// The kernel marks the functions that programs may call, and vmlinux.h declares them.
#[test]
fn kernel_functions_need_no_declaration() {
    let Some(project) = Project::new() else {
        return;
    };
    if project.clang.version().major < 14 {
        skep_testing::lacks(format_args!(
            "decl tags in clang {}",
            project.clang.version()
        ));
        return;
    }
    project.write(
        "types.c",
        "struct only_here { int field; };\n\
         __attribute__((btf_decl_tag(\"bpf_kfunc\"))) int callable(struct only_here *p, long n)\n\
         { return p->field; }\n\
         int not_callable(void) { return 1; }\n",
    );
    let types = Build::new(project.path("types.c")).cache(project.cache.clone());
    let object = types.clang(project.clang.clone()).cached().unwrap().object;
    let types = KernelTypes::Bytes(section(&object, ".BTF").into());
    let call = |function: &str| {
        let text = format!("#include \"vmlinux.h\"\nint f(void *p) {{ return {function}; }}\n");
        project.write("a.bpf.c", &text);
        project
            .build()
            .argument("-Werror=implicit")
            .kernel_types(types.clone())
    };
    let built = call("callable(p, 1)").cached().unwrap();
    assert_eq!(code(&built.object)[0].relocations.len(), 1);
    assert_eq!(code(&built.object)[0].relocations[0].1, "callable");

    let error = call("callable(p, 1)")
        .define("BPF_NO_KFUNC_PROTOTYPES")
        .cached()
        .unwrap_err();
    assert!(error.to_string().contains("callable"), "{error}");
    let error = call("not_callable()").cached().unwrap_err();
    assert!(error.to_string().contains("not_callable"), "{error}");
}

#[test]
fn run_writes_where_it_is_told() {
    let Some(project) = Project::new() else {
        return;
    };
    let object = project.path("out.o");
    let output = project.build().output(&object).run().unwrap();
    assert_eq!(output.object, object);
    assert!(!output.from_cache && !code(&object).is_empty());
    let error = project
        .build()
        .output(project.path("no/such/out.o"))
        .run()
        .unwrap_err();
    assert!(
        error.to_string().contains("unable to open output file"),
        "{error}"
    );
}

#[test]
fn a_source_whose_name_looks_like_an_option_is_a_source() {
    let Some(project) = Project::new() else {
        return;
    };
    let folder = project.folder.path();
    let script = format!(
        "cd {} && exec {} -version.c",
        folder.display(),
        example().display()
    );
    fs::write(folder.join("-version.c"), "int f(void) { return 1; }\n").unwrap();
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("XDG_CACHE_HOME", folder)
        .env("SKEP_CLANG", project.clang.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.starts_with("made in "),
        "{said} {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The example program, which cargo builds with the tests.
fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(2).unwrap().join("examples/compile")
}

#[test]
fn a_cache_that_others_can_write_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("skep");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    let error = Cache::at(&shared).unwrap_err().to_string();
    assert!(error.ends_with("other users can write there"), "{error}");
    assert!(Cache::at("/proc/no/cache").is_err());

    let temporary = Cache::temporary().unwrap();
    let root = temporary.root().to_owned();
    assert!(temporary.is_temporary() && root.is_dir());
    drop(temporary);
    assert!(!root.exists(), "a temporary cache leaves nothing");
}

#[test]
fn a_clang_that_is_named_and_not_there() {
    let cache = Cache::temporary().unwrap();
    let error = Clang::at(Path::new("/no/clang"), &cache)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "/no/clang is no working clang: No such file or directory (os error 2)"
    );
}
