//! The verifier: it has a verdict on every program that links, and words for every refusal.

use std::sync::Arc;

use skep_btf::Btf;
use skep_object::{Image, LinkOptions, Object, Target};
use skep_verifier::{Options, Program, diagnosis::Diagnosis, verify};

use crate::kernel;

/// As many instructions as the corpus's programs need, and no long loops.
const MOST_INSTRUCTIONS: u64 = 5_000;

/// Input: an ELF file.
pub(crate) fn objects(input: &[u8]) {
    let Ok(object) = Object::parse(input) else {
        return;
    };
    let mut link = LinkOptions::new();
    for program in object.programs() {
        link.program(&program.name).autoload(true);
    }
    let new = kernel::of(object.endian());
    let mut old = new.clone();
    old.version = skep_abi::KernelVersion::new(5, 10);
    for target in [new, &old] {
        if let Ok(image) = object.link(&link, target) {
            judge(&image, target);
        }
    }
}

fn judge(image: &Image, target: &Target) {
    let btf = image.btf.clone().map(Btf::parse);
    let btf = btf.map(|btf| Arc::new(btf.expect("the image's BTF parses")));
    for program in &image.programs {
        let subject = Program::from_image(image, program, btf.as_ref());
        for mut options in [Options::default(), Options::unprivileged()] {
            options.instruction_limit = Some(MOST_INSTRUCTIONS);
            let verdict = verify(&subject, target, &options);
            let Some(why) = verdict.rejection else {
                continue;
            };
            let len = subject.instructions.len();
            assert!(
                why.insn.is_none_or(|insn| insn.as_usize() <= len),
                "{why:?}"
            );
            let words = Diagnosis::of(&subject, target, &options, &why);
            assert!(!words.render(&|_| None, false).is_empty());
        }
    }
}
