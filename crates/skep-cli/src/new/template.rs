//! The files of a new project, and what is filled in.

use super::{Hook, Language, skep_at::SkepAt};

/// A template: from `templates/`.
macro_rules! text {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path))
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
    ("src/main.rs", text!("both/tracepoint.main.rs")),
    ("src/watched.rs", text!("both/tracepoint.watched.rs")),
    ("src/event.rs", text!("c/tracepoint/event.rs")),
    ("bpf/{{name}}.bpf.c", text!("c/tracepoint/program.bpf.c")),
    ("bpf/{{name}}.test.toml", text!("both/tracepoint.test.toml")),
];

/// In Rust: a workspace of user space, kernel side, and what both share.
const RUST: &[File] = &[
    ("README.md", text!("rust/README.md")),
    ("Cargo.toml", text!("rust/Cargo.toml.in")),
    ("{{name}}/Cargo.toml", text!("rust/user.toml.in")),
    ("{{name}}/build.rs", text!("rust/build.rs")),
    ("{{name}}/tests/programs.rs", text!("rust/programs_test.rs")),
    ("{{name}}/src/main.rs", text!("both/tracepoint.main.rs")),
    (
        "{{name}}/src/watched.rs",
        text!("both/tracepoint.watched.rs"),
    ),
    ("{{name}}-common/Cargo.toml", text!("rust/common.toml.in")),
    (
        "{{name}}-common/src/lib.rs",
        text!("rust/tracepoint/common.rs"),
    ),
    ("{{name}}-ebpf/Cargo.toml", text!("rust/ebpf.toml.in")),
    (
        "{{name}}-ebpf/src/lib.rs",
        text!("rust/tracepoint/program.rs"),
    ),
    (
        "{{name}}-ebpf/{{name}}.test.toml",
        text!("both/tracepoint.test.toml"),
    ),
];

impl Template<'_> {
    /// Its files: where they go, and their text.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        let Hook::Tracepoint = self.hook;
        let own = match self.language {
            Language::C => C,
            Language::Rust => RUST,
        };
        let values = self.values();
        let filled = |text| fill(text, &values);
        let all = BOTH.iter().chain(own);
        all.map(|(path, text)| (filled(path), filled(text)))
            .collect()
    }

    /// What stands for what.
    fn values(&self) -> Vec<(&'static str, String)> {
        let (ci_skep, about_skep) = match self.skep {
            SkepAt::Checkout(_) => (
                "      # Skep is not published yet: Cargo.toml names a checkout by its path, which must be\n      \
                 # there as well.\n",
                "\n\nSkep is not published yet: `Cargo.toml` names a checkout of it by its path.",
            ),
            SkepAt::Registry => ("", ""),
        };
        let dependency = |name| self.skep.dependency(name);
        let module = self.name.replace('-', "_");
        let mut values = vec![
            ("name", self.name.to_owned()),
            ("skep", dependency("skep")),
            ("skep_build", dependency("skep-build")),
            ("skep_ebpf", dependency("skep-ebpf")),
            ("skep_test", dependency("skep-test")),
            ("ci_skep", ci_skep.to_owned()),
            ("about_skep", about_skep.to_owned()),
        ];
        let own: [(&str, String); 5] = match self.language {
            Language::C => [
                (
                    "ci_install",
                    "sudo apt-get update && sudo apt-get install -y clang".to_owned(),
                ),
                ("event_module", "mod event;\n".to_owned()),
                ("event_use", "use event::Open;\n".to_owned()),
                ("opening", "opening".to_owned()),
                ("events", "events".to_owned()),
            ],
            Language::Rust => [
                (
                    "ci_install",
                    "rustup update stable && rustup component add rust-src".to_owned(),
                ),
                ("event_module", String::new()),
                ("event_use", format!("use {module}_common::Open;\n\n")),
                ("opening", "OPENING".to_owned()),
                ("events", "EVENTS".to_owned()),
            ],
        };
        values.extend(own);
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
    use super::*;

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        let places = [SkepAt::Registry, SkepAt::Checkout("/skep/crates".into())];
        let languages = [Language::C, Language::Rust];
        for (skep, language) in places
            .iter()
            .flat_map(|skep| languages.map(|language| (skep, language)))
        {
            let template = Template {
                name: "my-tool",
                language,
                hook: Hook::Tracepoint,
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
