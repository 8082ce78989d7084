//! Objects: what parses can be read and linked for any target, and the image that comes of it is
//! consistent within itself.

use std::sync::Arc;

use skep_btf::{Btf, Minimizer};
use skep_isa::InsnIndex;
use skep_object::{CoreKind, Image, ImageProgram, LinkOptions, Object, Target};
use skep_test::coverage::Tally;

use crate::{corpus, elf, kernel};

/// The corpus.
pub(crate) fn objects() -> Vec<Vec<u8>> {
    corpus::OBJECTS
        .iter()
        .map(|object| object.to_vec())
        .collect()
}

/// Input: an ELF file.
pub(crate) fn object(input: &[u8]) {
    let object = match Object::parse(input) {
        Ok(object) => object,
        Err(error) => return super::readable(&error),
    };
    read(&object);
    covered(&object);
    link(&object, &kernel::bare(object.endian()));
    link(&object, kernel::of(object.endian()));
    if let Some(own) = object.btf() {
        let own = Btf::parse(own.bytes().to_vec()).expect("parsed before");
        let mut target = kernel::with_btf(own);
        target.pointer_size = 8;
        link(&object, &target);
    }
}

/// What an object says of its lines can be reported, and nothing in it makes more rows of a
/// tracefile than there are.
fn covered(object: &Object) {
    let mut tally = Tally::default();
    tally.know(object);
    let report = tally.report();
    assert_eq!(
        report.uncovered().is_empty(),
        report.files.iter().all(|file| file.lines.is_empty())
    );
    let _ = (report.annotated(), report.to_string());
    let trace = report.lcov();
    let rows = trace.lines().filter(|row| row.starts_with("DA:"));
    let lines = report.files.iter().map(|file| file.lines.len());
    assert_eq!(rows.count(), lines.sum::<usize>());
    let ends = trace.lines().filter(|row| *row == "end_of_record");
    assert_eq!(ends.count(), report.files.len());
}

/// A byte that chooses the object, and its `.BTF.ext`.
pub(crate) fn btf_exts() -> Vec<Vec<u8>> {
    let with_choice = |(choice, object): (usize, &&[u8])| {
        let section = elf::section(object, ".BTF.ext")?;
        Some([&[choice as u8], section].concat())
    };
    let objects = corpus::OBJECTS.iter().enumerate();
    objects.filter_map(with_choice).collect()
}

/// Input: a byte that chooses an object of the corpus, and a `.BTF.ext` to put in it.
pub(crate) fn btf_ext(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    if let Some(changed) = elf::with_section(corpus::object(*choice), ".BTF.ext", bytes) {
        object(&changed);
    }
}

/// Every object with the kernel that it is linked for.
pub(crate) fn kernel_btfs() -> Vec<Vec<u8>> {
    let orders = [skep_btf::Endian::Little, skep_btf::Endian::Big];
    let choices = 0..corpus::OBJECTS.len() as u8;
    choices
        .flat_map(|choice| orders.map(|order| [&[choice][..], &kernel::types(order)].concat()))
        .collect()
}

/// Input: a byte that chooses an object of the corpus, and the kernel's BTF to link it for.
pub(crate) fn kernel_btf(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let object = Object::parse(corpus::object(*choice)).expect("of the corpus");
    let checked = Btf::parse(bytes.to_vec());
    let trusted = Btf::parse_trusted(bytes.to_vec(), None);
    for btf in [checked, trusted].into_iter().flatten() {
        let target = kernel::with_btf(btf);
        link(&object, &target);
        if let Some(all) = &target.kernel_btf {
            minimized(&object, &target, all);
        }
    }
}

/// The types that the object needs relocate it as all of them do. Ids differ, so objects that ask
/// for those are left out.
fn minimized(object: &Object, target: &Target, all: &Arc<Btf>) {
    let mut relocations = object
        .functions()
        .iter()
        .flat_map(|function| &function.core_relocations);
    if relocations.any(|one| one.kind == CoreKind::TypeIdTarget) {
        return;
    }
    let needs = match object.needed_types(all) {
        Ok(needs) => needs,
        Err(error) => return super::readable(&error),
    };
    let mut minimizer = Minimizer::new(all);
    for (id, need) in needs {
        if let Err(error) = minimizer.keep(id, need) {
            return super::readable(&error);
        }
    }
    let Ok(small) = minimizer.build() else {
        return;
    };
    let small = Arc::new(Btf::parse(small).expect("what was built parses"));
    let [all, small] = [all, &small].map(|types| {
        let target = target.clone().with_core_btf(Arc::clone(types));
        let image = object.link(&LinkOptions::new(), &target).ok()?;
        let programs = image.programs.into_iter();
        Some(programs.map(|one| one.instructions).collect::<Vec<_>>())
    });
    assert!(all == small, "minimised types relocate otherwise");
}

/// Every accessor.
fn read(object: &Object) {
    for variable in object.variables() {
        let value = object.initial_value(variable);
        assert!(value.is_none_or(|value| value.len() == variable.size as usize));
        let _ = object.decl_tags_of_variable(&variable.name);
    }
    for map in object.maps() {
        assert!(object.map(&map.name).is_some(), "map `{}`", map.name);
        let _ = (object.key_type(&map.name), object.value_type(&map.name));
        let _ = object.decl_tags_of_map(&map.name);
    }
    for program in object.programs() {
        assert!(object.program(&program.name).is_some());
        assert!(object.function(program.function).is_some());
    }
}

fn link(object: &Object, target: &Target) {
    let mut options = LinkOptions::new();
    for program in object.programs() {
        options.program(&program.name).autoload(true);
    }
    for options in [LinkOptions::new(), options] {
        match object.link(&options, target) {
            Ok(image) => check(object, &image),
            Err(error) => super::readable(&error),
        }
    }
}

/// An image is consistent: whatever refers to something refers to what is there.
fn check(object: &Object, image: &Image) {
    assert_eq!(image.maps.len(), object.maps().len());
    if let Some(btf) = &image.btf {
        Btf::parse(btf.clone()).expect("the image's BTF parses");
    }
    for program in &image.programs {
        check_program(image, program);
    }
    for name in image.maps.iter().map(|map| &map.load_name) {
        assert!(name.len() <= 15, "{name:?}");
    }
}

fn check_program(image: &Image, program: &ImageProgram) {
    let len = program.instructions.len();
    assert!(len > 0, "program `{}` is empty", program.name);
    assert!(program.load_name.len() <= 15, "{:?}", program.load_name);
    assert_eq!(program.instruction_bytes(image.endian).len(), len * 8);
    for reference in &program.map_references {
        assert!(reference.map.as_usize() < image.maps.len());
        assert!(reference.insn.as_usize() + 1 < len, "half of a ld_imm64");
    }
    for function in &program.functions {
        assert!(function.start.as_usize() < len, "`{}`", function.name);
    }
    for poisoned in &program.poisoned {
        assert!(poisoned.insn.as_usize() < len, "{}", poisoned.description);
    }
    for at in (0..len as u32).map(InsnIndex) {
        let _ = (program.source_at(at), program.function_at(at));
    }
    for records in [&program.func_info, &program.line_info] {
        assert!(
            records.is_empty()
                || records.bytes.len() == records.len() * records.record_size as usize
        );
    }
}
