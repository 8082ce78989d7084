//! What test runs return, beside what the tests expect.

use skep_selftests::Value;

/// Programs whose value the virtual machine can't give, on purpose, with why.
const NOT_IN_THE_VM: [(&str, &str); 8] = [
    ("verifier_arena/basic_alloc3", MAP_STRUCTURE),
    (
        "verifier_map_ptr/ptr_read_ops_field_accepted",
        MAP_STRUCTURE,
    ),
    ("verifier_btf_ctx_access/btf_ctx_access_accept", FUNCTION),
    (
        "verifier_btf_ctx_access/ctx_access_u32_pointer_accept",
        FUNCTION,
    ),
    ("verifier_d_path/d_path_accept", FUNCTION),
    ("verifier_typedef/resolve_typedef", FUNCTION),
    (
        "verifier_netfilter_ctx/with_valid_ctx_access_test6",
        "packets of netfilter hooks are no kernel structures there",
    ),
    (
        "verifier_ref_tracking/sk_release_btf_tcp_sock",
        "it has no TCP sockets of its own",
    ),
];

const MAP_STRUCTURE: &str = "its maps are no kernel structures that could be read";
const FUNCTION: &str = "it has no kernel functions to trace";

/// What the runs on one host returned.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// The host.
    host: &'static str,
    right: u32,
    all: u32,
    wrong: Vec<String>,
    excused: u32,
}

impl Values {
    pub(crate) fn of(host: &'static str) -> Self {
        Self {
            host,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, program: &str, expected: Value, got: Result<u32, String>) {
        let reason = NOT_IN_THE_VM.iter().find(|(name, _)| *name == program);
        let reason = reason.filter(|_| self.host == "vm");
        self.all += 1;
        match (&got, expected) {
            (Ok(_), Value::Any) => self.right += 1,
            (Ok(got), Value::Number(number)) if *got == number => self.right += 1,
            _ => {
                if reason.is_some() {
                    self.excused += 1;
                    return;
                }
                self.wrong.push(match (got, expected) {
                    (Ok(got), Value::Number(number)) => format!(
                        "{program} returns {}, and should {}",
                        got.cast_signed(),
                        number.cast_signed()
                    ),
                    (Ok(_), Value::Any) => program.to_owned(),
                    (Err(error), _) => format!("{program} can't be run: {error}"),
                });
                return;
            }
        }
        if let Some((_, reason)) = reason {
            let text = format!("{program} is right, though it is listed: {reason}");
            self.wrong.push(text);
        }
    }

    /// Prints them; whether none is wrong.
    pub(crate) fn print(&self) -> bool {
        for wrong in &self.wrong {
            println!("{}: {wrong}", self.host);
        }
        println!(
            "values on {}: {} of {}, {} that it can't give",
            self.host, self.right, self.all, self.excused
        );
        self.wrong.is_empty()
    }
}
