//! Judges the programs of objects for this machine's kernel types, and compares with what decl tags
//! of the kernel's selftests expect: `judge [-v] [--only NAME] [--list] FILE…`.
//!
//! Prints a line for each verdict that is not the expected one (`--list`: for every one), grouped
//! by rule at the end, and the totals. Programs without an expectation are judged only with `--all`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use skep_abi::ProgLoadFlags;
use skep_btf::{Btf, KindTag};
use skep_object::{LinkOptions, Object, Target};
use skep_verifier::{Options, Program, verify};

fn main() {
    let mut files = Vec::<PathBuf>::new();
    let (mut verbose, mut list, mut all, mut only) = (false, false, false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-v" => verbose = true,
            "--list" => list = true,
            "--all" => all = true,
            "--only" => only = arguments.next(),
            file => files.push(file.into()),
        }
    }
    files.sort();
    let types = std::fs::read("/sys/kernel/btf/vmlinux").expect("the kernel's types");
    let types = Arc::new(Btf::parse(types).expect("BTF"));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a version");
    let version = release.trim().split('-').next().unwrap_or_default();
    let target = Target::new(version.parse().expect("a version")).with_kernel_btf(types);
    let mut options = Options::default();
    options.log = verbose;

    let mut causes = BTreeMap::<String, u32>::new();
    let (mut accepts, mut rejects) = ((0, 0), (0, 0));
    for file in &files {
        let bytes = std::fs::read(file).expect("an object");
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let object = match Object::parse_named(&bytes, &name) {
            Ok(object) => object,
            Err(error) => {
                println!("{name}: {error}");
                continue;
            }
        };
        let mut link = LinkOptions::new();
        for program in object.programs() {
            link.program(&program.name).autoload(true);
        }
        let expectations = expectations(object.btf().map(AsRef::as_ref));
        for program in object.programs() {
            let expectation = expectations.get(&program.name).copied().unwrap_or_default();
            let expected = expectation.accept;
            if (expected.is_none() && !all)
                || only.as_ref().is_some_and(|only| *only != program.name)
            {
                continue;
            }
            let mut link = link.clone();
            link.only_programs([program.name.clone()]);
            let image = match object.link(&link, &target) {
                Ok(image) => image,
                Err(error) => {
                    println!("{name}/{}: does not link: {error}", program.name);
                    *causes.entry("does not link".into()).or_default() += 1;
                    if let Some(accept) = expected {
                        let count = if accept { &mut accepts } else { &mut rejects };
                        count.1 += 1;
                        count.0 += u32::from(!accept);
                    }
                    continue;
                }
            };
            let btf = image
                .btf
                .clone()
                .and_then(|bytes| Btf::parse(bytes).ok())
                .map(Arc::new);
            let Some(subject) = image.program(&program.name) else {
                continue;
            };
            let subject = Program::from_image(&image, subject, btf.as_ref());
            let mut subject = subject;
            subject.flags |= expectation.flags;
            let verdict = verify(&subject, &target, &options);
            if verbose {
                print!("{}", verdict.log);
            }
            let accepted = verdict.is_accepted();
            let right = expected.is_none_or(|expected| expected == accepted);
            if let Some(accept) = expected {
                let count = if accept { &mut accepts } else { &mut rejects };
                count.1 += 1;
                count.0 += u32::from(right);
            }
            let rule = verdict
                .rejection
                .as_ref()
                .map_or("accepted", |why| why.rule.name());
            if !right {
                *causes.entry(rule.to_owned()).or_default() += 1;
            }
            if !right || list || verbose {
                let mark = if right { "ok" } else { "WRONG" };
                let text = verdict
                    .rejection
                    .map_or("accepted".into(), |why| why.to_string());
                println!("{mark} {name}/{}: {text}", program.name);
            }
        }
    }
    for (cause, count) in causes {
        println!("{count:5} wrong: {cause}");
    }
    println!(
        "accepts {} of {}, rejects {} of {}",
        accepts.0, accepts.1, rejects.0, rejects.1
    );
}

/// What decl tags say about a program.
#[derive(Debug, Clone, Copy, Default)]
struct Expectation {
    accept: Option<bool>,
    flags: ProgLoadFlags,
}

/// A flag of a tag: its C name, or its number.
fn flag(name: &str) -> Option<ProgLoadFlags> {
    let number = name
        .parse()
        .ok()
        .or_else(|| u32::from_str_radix(name.strip_prefix("0x")?, 16).ok());
    match number {
        Some(number) => Some(ProgLoadFlags::from_bits_retain(number)),
        None => ProgLoadFlags::from_name(name.strip_prefix("BPF_F_")?),
    }
}

/// By function: whether it is expected to be accepted, as the privileged loader.
fn expectations(btf: Option<&Btf>) -> BTreeMap<String, Expectation> {
    let mut expected = BTreeMap::<String, Expectation>::new();
    let Some(btf) = btf else { return expected };
    for function in btf
        .types()
        .filter(|one| one.tag() == Some(KindTag::Function))
    {
        let mut one = Expectation::default();
        for tag in btf.decl_tags(function.id(), None) {
            match tag.trim_start_matches("comment:") {
                "test_expect_success" => one.accept = Some(true),
                "test_expect_failure" => one.accept = Some(false),
                tag => {
                    let name = tag.strip_prefix("test_prog_flags=");
                    if let Some(flag) = name.and_then(flag) {
                        one.flags |= flag;
                    }
                }
            }
        }
        expected.insert(function.name().to_owned(), one);
    }
    expected
}
