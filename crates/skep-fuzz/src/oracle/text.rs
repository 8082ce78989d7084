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

/// Logs of several kernels' verifiers, and messages alone.
pub(crate) fn verifier_logs() -> Vec<Vec<u8>> {
    let states = "func#0 @0\n0: R1=ctx() R10=fp0\n; int key = 0; @ a.c:7\n0: (b7) r1 = 0    ; R1_w=0\n\
        from 3 to 6: R0=0 R10=fp0\n; return *value;\n6: (95) exit\n";
    let counts = "processed 5 insns (limit 1000000) max_states_per_insn 0 total_states 0\n";
    let words = "Verification failed: Register Type Safety\nReason:\n  It may be NULL.\nAt:\n  f @ a.c:1\n\
        Suggestion:\n  Test it.\n";
    let messages = [
        "R0 invalid mem access 'map_value_or_null'",
        "unreachable insn 4",
        "infinite loop detected at insn 99999999999",
        "Unreleased reference id=2 alloc_insn=6",
    ];
    let whole = messages.map(|message| format!("{states}{message}\n{words}{counts}").into_bytes());
    whole.into_iter().chain(messages.map(Into::into)).collect()
}

/// Input: a log of a kernel's verifier.
pub(crate) fn verifier_log(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let log = skep_verifier::diagnosis::KernelLog::parse(&text);
    assert!(text.contains(&log.message), "a message is of the log");
    assert!(
        log.path.len() <= 8192 && log.lines.len() <= 128,
        "what is kept is bounded"
    );
}
