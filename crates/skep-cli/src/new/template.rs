//! The files of a new project, and what is filled in.

use super::{Hook, Language, skep_at::SkepAt};

/// A template: from `templates/`.
macro_rules! text {
    ($($part:literal),+) => {
        include_str!(concat!("../../templates/", $($part),+))
    };
}

/// A project to be made.
pub(super) struct Template<'a> {
    pub(super) name: &'a str,
    pub(super) language: Language,
    pub(super) hook: Hook,
    pub(super) skep: &'a SkepAt,
}

/// A file: where it goes, and its text, with what is to be filled in.
type File = (&'static str, &'static str);

/// Of all projects.
const BOTH: &[File] = &[
    (".github/workflows/ci.yml", text!("both/github/ci.yml")),
    (".gitignore", text!("both/gitignore")),
    ("ci.sh", text!("both/ci.sh")),
];

/// With the kernel side in C: one package.
const C: &[File] = &[
    ("README.md", text!("c/README.md")),
    ("Cargo.toml", text!("c/Cargo.toml.in")),
    ("build.rs", text!("c/build.rs")),
    ("tests/programs.rs", text!("c/programs_test.rs")),
];

/// In Rust: a workspace of user space, kernel side, and what both share.
const RUST: &[File] = &[
    ("README.md", text!("rust/README.md")),
    ("Cargo.toml", text!("rust/Cargo.toml.in")),
    ("{{name}}/Cargo.toml", text!("rust/user.toml.in")),
    ("{{name}}/build.rs", text!("rust/build.rs")),
    ("{{name}}/tests/programs.rs", text!("rust/programs_test.rs")),
    ("{{name}}-common/Cargo.toml", text!("rust/common.toml.in")),
    ("{{name}}-ebpf/Cargo.toml", text!("rust/ebpf.toml.in")),
];

/// What a hook's project has of its own.
struct Parts {
    /// "Shows …".
    about: &'static str,
    /// The type that the kernel side shares with user space.
    record: &'static str,
    /// Whether user space waits for events, of all processes or of a command.
    watches: bool,
    /// Whether the virtual machine fires it by itself.
    in_vm: bool,
    main: &'static str,
    /// Of `main`, what prints an event.
    show: &'static str,
    tests: &'static str,
    /// In C: the program, and the type for user space.
    c: [&'static str; 2],
    /// In Rust: the program, and the type for both.
    rust: [&'static str; 2],
}

/// The files of a hook's folder.
macro_rules! hook {
    ($hook:literal) => {
        Parts {
            about: "",
            record: "",
            watches: true,
            in_vm: true,
            main: text!("both/main.rs"),
            show: "",
            tests: text!("hooks/", $hook, "/test.toml"),
            c: [
                text!("hooks/", $hook, "/program.bpf.c"),
                text!("hooks/", $hook, "/types.rs"),
            ],
            rust: [
                text!("hooks/", $hook, "/program.rs"),
                text!("hooks/", $hook, "/common.rs"),
            ],
        }
    };
}

impl Parts {
    fn of(hook: Hook) -> Self {
        match hook {
            Hook::Tracepoint => Self {
                about: "which process opens which file, and what came of it",
                record: "Open",
                show: text!("hooks/tracepoint/show.rs.in"),
                ..hook!("tracepoint")
            },
            Hook::Kprobe => Self {
                about: "which process has the kernel open which file",
                record: "Open",
                in_vm: false,
                show: text!("hooks/kprobe/show.rs.in"),
                ..hook!("kprobe")
            },
            Hook::Uprobe => Self {
                about: "which process asks for which environment variable",
                record: "Lookup",
                show: text!("hooks/uprobe/show.rs.in"),
                ..hook!("uprobe")
            },
            Hook::Xdp => Self {
                about: "packets and bytes that a network device receives, by protocol",
                record: "Traffic",
                watches: false,
                in_vm: false,
                main: text!("hooks/xdp/main.rs"),
                ..hook!("xdp")
            },
        }
    }

    /// How to run the project, in a shell's lines.
    fn usage(&self) -> &'static str {
        match (self.watches, self.in_vm) {
            (true, true) => {
                "cargo run -- ls /etc         # of a command, in a virtual machine: no privileges\n\
                 cargo build && sudo target/debug/{{name}}     # of all processes, on the kernel\n"
            }
            (true, false) => "cargo build && sudo target/debug/{{name}}     # on the kernel\n",
            (false, _) => "cargo build && sudo target/debug/{{name}} lo  # of this device\n",
        }
    }
}

impl Template<'_> {
    /// Its files: where they go, and their text.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        let parts = Parts::of(self.hook);
        let (own, user, [program, types], tests) = match self.language {
            Language::C => (
                C,
                "src/",
                [
                    ("bpf/{{name}}.bpf.c", parts.c[0]),
                    ("src/types.rs", parts.c[1]),
                ],
                "bpf/{{name}}.test.toml",
            ),
            Language::Rust => (
                RUST,
                "{{name}}/src/",
                [
                    ("{{name}}-ebpf/src/lib.rs", parts.rust[0]),
                    ("{{name}}-common/src/lib.rs", parts.rust[1]),
                ],
                "{{name}}-ebpf/{{name}}.test.toml",
            ),
        };
        let main = (format!("{user}main.rs"), parts.main);
        let watched = (format!("{user}watched.rs"), text!("both/watched.rs"));
        let of_user = [Some(main), parts.watches.then_some(watched)];
        let others = [program, types, (tests, parts.tests)];
        let values = self.values(&parts);
        let filled = |text: &str| fill(text, &values);
        BOTH.iter()
            .chain(own)
            .chain(&others)
            .map(|(path, text)| (filled(path), filled(text)))
            .chain(
                of_user
                    .into_iter()
                    .flatten()
                    .map(|(path, text)| (filled(&path), filled(text))),
            )
            .collect()
    }

    /// What stands for what, those first whose text has others in it.
    fn values(&self, parts: &Parts) -> Vec<(&'static str, String)> {
        let (ci_skep, about_skep) = match self.skep {
            SkepAt::Checkout(_) => (
                "      # Skep is not published yet: Cargo.toml names a checkout by its path, which must be\n      \
                 # there as well.\n",
                "\n\nSkep is not published yet: `Cargo.toml` names a checkout of it by its path.",
            ),
            SkepAt::Registry => ("", ""),
        };
        let who = match parts.in_vm {
            true => {
                ". With the kernel's leave (as root)\n//! that is of all processes; without it, of a \
                 command in Skep's virtual machine:\n//! `cargo run -- ls /etc`."
            }
            false => ". That takes the kernel, and root.",
        };
        let dependency = |name| self.skep.dependency(name);
        let module = self.name.replace('-', "_");
        let record = parts.record;
        let user_files = match parts.watches {
            true => "src/main.rs`, `watched.rs",
            false => "src/main.rs",
        };
        let mut values = vec![
            ("usage", parts.usage().to_owned()),
            ("show", parts.show.to_owned()),
            ("who", who.to_owned()),
            ("about", parts.about.to_owned()),
            ("record", record.to_owned()),
            ("user_files", user_files.to_owned()),
            ("name", self.name.to_owned()),
            ("skep", dependency("skep")),
            ("skep_build", dependency("skep-build")),
            ("skep_ebpf", dependency("skep-ebpf")),
            ("skep_test", dependency("skep-test")),
            ("ci_skep", ci_skep.to_owned()),
            ("about_skep", about_skep.to_owned()),
        ];
        // Maps are called as each language calls variables.
        let names = ["opening", "events", "received"];
        match self.language {
            Language::C => {
                let install = "sudo apt-get update && sudo apt-get install -y clang";
                let (module, own) = match parts.watches {
                    true => ("mod types;\n", format!("use types::{record};\n")),
                    false => ("mod types;\n\n", format!("use types::{record};\n\n")),
                };
                values.extend([
                    ("ci_install", install.to_owned()),
                    ("event_module", module.to_owned()),
                    ("event_use", own),
                ]);
                values.extend(names.map(|name| (name, name.to_owned())));
            }
            Language::Rust => {
                let install = "rustup update stable && rustup component add rust-src";
                values.extend([
                    ("ci_install", install.to_owned()),
                    ("event_module", String::new()),
                    ("event_use", format!("use {module}_common::{record};\n\n")),
                ]);
                values.extend(names.map(|name| (name, name.to_uppercase())));
            }
        }
        values.push(("module", module));
        values
    }
}

/// The text with `{{name}}` for what `values` say.
fn fill(text: &str, values: &[(&str, String)]) -> String {
    let mut filled = text.to_owned();
    for (name, value) in values {
        filled = filled.replace(&format!("{{{{{name}}}}}"), value);
    }
    filled
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        let places = [SkepAt::Registry, SkepAt::Checkout("/skep/crates".into())];
        let languages = [Language::C, Language::Rust];
        let all = languages.iter().flat_map(|language| {
            let hooks = Hook::value_variants().iter();
            hooks.map(move |hook| (*language, *hook))
        });
        for (skep, (language, hook)) in places
            .iter()
            .flat_map(|skep| all.clone().map(move |which| (skep, which)))
        {
            let template = Template {
                name: "my-tool",
                language,
                hook,
                skep,
            };
            for (path, text) in template.files() {
                assert!(
                    !path.contains("{{") && !text.contains("{{"),
                    "{path}:\n{text}"
                );
                assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{path}");
            }
        }
    }
}
