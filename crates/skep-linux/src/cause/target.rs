//! Functions and security hooks that a program can't be loaded for: which it is, and what would do,
//! by what the verifier's log says of the target before it looks at the program.

use skep_host::Cause;

/// The reason in a log, if it is the target.
pub(super) fn of_log(log: &str) -> Option<Cause> {
    log.lines().find_map(|line| of_line(line.trim()))
}

fn of_line(line: &str) -> Option<Cause> {
    let (what, fix) = if let Some(function) = line.strip_suffix("() is not modifiable") {
        (
            format!(
                "`{function}` is not among the functions whose return value a program may replace: \
                 those of security hooks (`security_…`), and those that the kernel marks for injected \
                 errors"
            ),
            format!(
                "only look at it (`fexit/{function}`), or decide in a security hook on its way \
                 (`lsm/…`)"
            ),
        )
    } else if let Some(function) = line.strip_suffix(" is not sleepable") {
        // Of a security hook it says the function's name.
        let (kind, name) = match function.strip_prefix("bpf_lsm_") {
            Some(hook) => ("security hook", hook),
            None => ("function", function),
        };
        (
            format!("the {kind} `{name}` is called where nothing may sleep"),
            "leave the `.s` off the section's name, and what sleeps out of the program".into(),
        )
    } else if let Some((_, function)) = line.split_once(" points to disabled hook ") {
        let hook = function.strip_prefix("bpf_lsm_").unwrap_or(function);
        (
            format!(
                "no program may be on the security hook `{hook}`: it gives or takes what a program \
                 can't"
            ),
            "choose another hook on the way, or look by fentry at the function that asks it".into(),
        )
    } else if line.contains("to __noreturn functions is rejected") {
        (
            "the function never returns, and the program would be on its return".into(),
            "attach to its entry (`fentry/…`)".into(),
        )
    } else {
        return None;
    };
    Some(Cause::Other { what, fix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named_with_what_would_do() {
        for (log, what, fix) in [
            (
                "vfs_read() is not modifiable\n",
                "`vfs_read`",
                "`fexit/vfs_read`",
            ),
            (
                "vfs_read is not sleepable\nprocessed 0 insns",
                "function `vfs_read`",
                "`.s`",
            ),
            (
                "bpf_lsm_file_lock is not sleepable",
                "security hook `file_lock`",
                "`.s`",
            ),
            (
                "attach_btf_id 7 points to disabled hook bpf_lsm_getprocattr\n",
                "`getprocattr`",
                "another hook",
            ),
            (
                "Attaching fexit/fmod_ret to __noreturn functions is rejected.",
                "never returns",
                "`fentry/",
            ),
        ] {
            let cause = of_log(log).unwrap_or_else(|| panic!("{log}"));
            assert!(cause.to_string().contains(what), "{cause}");
            assert!(cause.fix().contains(fix), "{}", cause.fix());
        }
        assert!(of_log("R0 !read_ok\nprocessed 1 insns").is_none());
        assert!(of_log("").is_none());
    }
}
