//! The files of a new project, and what is filled in.

use super::{Hook, skep_at::SkepAt};

/// A template: from `templates/`.
macro_rules! text {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path))
    };
}

/// A project to be made.
pub(super) struct Template<'a> {
    pub(super) name: &'a str,
    pub(super) hook: Hook,
    pub(super) skep: &'a SkepAt,
}

impl Template<'_> {
    /// Its files: where they go, and their text.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        let Hook::Tracepoint = self.hook;
        let files = [
            (".github/workflows/ci.yml", text!("both/github/ci.yml")),
            (".gitignore", text!("both/gitignore")),
            ("ci.sh", text!("both/ci.sh")),
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
        let values = self.values();
        let filled = |text| fill(text, &values);
        files
            .map(|(path, text)| (filled(path), filled(text)))
            .into()
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
        let values = [
            ("name", self.name.to_owned()),
            ("module", self.name.replace('-', "_")),
            ("skep", dependency("skep")),
            ("skep_build", dependency("skep-build")),
            ("skep_test", dependency("skep-test")),
            ("ci_skep", ci_skep.to_owned()),
            ("about_skep", about_skep.to_owned()),
            (
                "ci_install",
                "sudo apt-get update && sudo apt-get install -y clang".to_owned(),
            ),
            ("event_module", "mod event;\n".to_owned()),
            ("event_use", "use event::Open;\n".to_owned()),
            ("test_source", String::new()),
            ("opening", "opening".to_owned()),
            ("events", "events".to_owned()),
        ];
        values.into()
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
        for skep in [SkepAt::Registry, SkepAt::Checkout("/skep/crates".into())] {
            let template = Template {
                name: "my-tool",
                hook: Hook::Tracepoint,
                skep: &skep,
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
