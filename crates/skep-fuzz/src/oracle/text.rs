//! Small texts: section names, kernel configurations.

use skep_object::{LinkOptions, Object, SectionName};

use crate::{corpus, kernel};

/// Every name there is, with and without a target.
pub(crate) fn section_names() -> Vec<Vec<u8>> {
    let known = SectionName::known();
    known
        .flat_map(|name| [name.to_owned(), format!("?{name}/a:b+0x10")])
        .map(String::into_bytes)
        .collect()
}

/// Input: the name of a section.
pub(crate) fn section_name(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match SectionName::parse(&text) {
        Ok(name) => {
            assert_eq!(name.as_str(), text, "a name keeps its spelling");
            let _ = (name.kind(), name.attach_type(), name.program_type());
            let _ = (name.is_sleepable(), name.has_frags(), name.autoload());
            let target = name.target().unwrap_or_default();
            assert!(text.ends_with(target), "{target:?} is not of {text:?}");
        }
        Err(error) => super::readable(&error),
    }
}

/// One with a value of each kind.
pub(crate) fn configs() -> Vec<Vec<u8>> {
    let text = "# Linux\nCONFIG_HZ=1000\nCONFIG_BPF=m\nCONFIG_X=\"a b\"\n# CONFIG_Y is not set\n";
    vec![text.into()]
}

/// Input: the configuration of a kernel, which a program reads.
pub(crate) fn config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for bytes in corpus::OBJECTS.iter().take(4) {
        let object = Object::parse(bytes).expect("of the corpus");
        let target = kernel::of(object.endian()).clone().with_config_text(&text);
        if let Err(error) = object.link(&LinkOptions::new(), &target) {
            super::readable(&error);
        }
    }
}
