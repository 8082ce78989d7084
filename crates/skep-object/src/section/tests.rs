//! What section names say, and what is said of wrong ones.

use super::*;

#[test]
fn each_known_name_reads_as_itself() {
    for row in TABLE {
        let plain = SectionName::parse(&row.name).unwrap();
        assert_eq!(plain.name(), row.name);
        assert_eq!(plain.target(), None);
        assert!(plain.autoload());
        let with_target = SectionName::parse(&format!("?{}/target", row.name));
        match row.target {
            Target::Optional => {
                let section = with_target.unwrap();
                assert_eq!(
                    (section.name(), section.target()),
                    (&*row.name, Some("target"))
                );
                assert!(!section.autoload());
            }
            Target::None => assert!(with_target.is_err(), "{}", row.name),
        }
    }
}

#[test]
fn names_say_type_attach_type_and_flags() {
    let section = SectionName::parse("lsm.s/file_open").unwrap();
    assert_eq!(section.program_type(), ProgramType::Lsm);
    assert_eq!(section.attach_type(), Some(AttachType::LsmMac));
    assert!(section.is_sleepable());
    let section = SectionName::parse("xdp.frags").unwrap();
    assert!(section.has_frags() && !section.is_sleepable());
    let section = SectionName::parse("tp/syscalls/sys_enter_openat").unwrap();
    assert_eq!(section.target(), Some("syscalls/sys_enter_openat"));
}

fn refused(name: &str, expect: &str) {
    let text = SectionName::parse(name).unwrap_err().to_string();
    assert!(text.contains(expect), "{text}");
    assert!(
        text.contains("known names start with kprobe, kretprobe,"),
        "{text}"
    );
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    refused("xpd", "unknown section `xpd`");
    refused("xpd", "did you mean `xdp`?");
    refused("kporbe/do_exit", "did you mean `kprobe/do_exit`?");
    refused("tracepiont/a/b", "did you mean `tracepoint/a/b`?");
    refused("cgroup/conect4", "did you mean `cgroup/connect4`?");
    refused("xdp/mine", "did you mean `xdp`?");
    let text = SectionName::parse("something_else")
        .unwrap_err()
        .to_string();
    assert!(!text.contains("did you mean"), "{text}");
}
