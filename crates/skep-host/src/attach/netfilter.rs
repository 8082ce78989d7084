//! Places in netfilter, and how they are written.

use std::{fmt, str::FromStr};

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const IPV4: u32 = 2;
const IPV6: u32 = 10;

/// The hooks of both, in the order of their numbers (`NF_INET_*`).
const HOOKS: [&str; 5] = [
    "pre-routing",
    "local-in",
    "forward",
    "local-out",
    "post-routing",
];

/// A place in netfilter.
///
/// It is written as `FAMILY/HOOK`, with `:PRIORITY` (0 if not) and `:defrag` behind it:
/// `ipv4/local-in`, `ipv6/pre-routing:-300:defrag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetfilterHook {
    /// `NFPROTO_IPV4` (2) or `NFPROTO_IPV6` (10).
    pub protocol_family: u32,
    /// `NF_INET_*`: pre-routing 0, local in 1, forward 2, local out 3, post-routing 4.
    pub hook: u32,
    /// Lower runs earlier; the kernel's own lowest and highest can't be taken.
    pub priority: i32,
    /// The program sees whole packets, not fragments. Since 6.6.
    pub defragment: bool,
}

impl fmt::Display for NetfilterHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol_family {
            IPV4 => f.write_str("ipv4/")?,
            IPV6 => f.write_str("ipv6/")?,
            family => write!(f, "{family}/")?,
        }
        let name = usize::try_from(self.hook).ok();
        match name.and_then(|hook| HOOKS.get(hook)) {
            Some(hook) => f.write_str(hook)?,
            None => write!(f, "{}", self.hook)?,
        }
        write!(f, ":{}", self.priority)?;
        if self.defragment {
            f.write_str(":defrag")?;
        }
        Ok(())
    }
}

impl FromStr for NetfilterHook {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "`{text}`: {what}; write it as ipv4/local-in, ipv6/pre-routing:-300 or \
                     ipv4/forward:10:defrag"
            )
        };
        let mut parts = text.split(':');
        let place = parts.next().unwrap_or_default();
        let (family, hook) = place
            .split_once('/')
            .ok_or_else(|| wrong("no family and hook"))?;
        let protocol_family = match family {
            "ipv4" => IPV4,
            "ipv6" => IPV6,
            _ => return Err(wrong("the family is `ipv4` or `ipv6`")),
        };
        let number = (0..).zip(HOOKS).find(|(_, name)| *name == hook);
        let Some((hook, _)) = number else {
            let known = HOOKS.join("`, `");
            return Err(wrong(&format!("the hook is one of `{known}`")));
        };
        let mut read = Self {
            protocol_family,
            hook,
            priority: 0,
            defragment: false,
        };
        for part in parts {
            match part {
                "defrag" => read.defragment = true,
                _ => {
                    let priority = part.parse();
                    read.priority = priority.map_err(|_| wrong("the priority is a number"))?;
                }
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_read_as_they_are_written() {
        for (text, protocol_family, hook, priority, defragment) in [
            ("ipv4/local-in:0", IPV4, 1, 0, false),
            ("ipv6/pre-routing:-300", IPV6, 0, -300, false),
            ("ipv4/post-routing:10:defrag", IPV4, 4, 10, true),
        ] {
            let expect = NetfilterHook {
                protocol_family,
                hook,
                priority,
                defragment,
            };
            assert_eq!(text.parse(), Ok(expect));
            assert_eq!(expect.to_string(), text);
        }
        assert!(
            "ipv4/local-in"
                .parse::<NetfilterHook>()
                .is_ok_and(|hook| hook.priority == 0)
        );
    }

    #[test]
    fn what_is_no_hook_is_told() {
        for text in [
            "",
            "ipv4",
            "arp/local-in",
            "ipv4/input",
            "ipv4/forward:first",
        ] {
            let error = text.parse::<NetfilterHook>().unwrap_err();
            assert!(error.starts_with(&format!("`{text}`: ")), "{error}");
        }
    }
}
