//! What stands behind the refusal of a program that came with a signature: the kernel says it by the
//! errno alone, before it looks at the program.

use skep_abi::KernelVersion;
use skep_host::{Cause, Errno, Signature};

use super::too_old;
use crate::LinuxHost;

/// The first kernel that takes signatures.
const SINCE: KernelVersion = KernelVersion::new(6, 18);

/// The cause that lies in the signature, if it does. What may as well be the verifier's errno is its
/// own where it wrote a log; since 7.3 it also writes a line about a signature's keyring.
pub(crate) fn refused(
    host: &LinuxHost,
    signature: Option<&Signature<'_>>,
    errno: Errno,
    log: &str,
) -> Option<Cause> {
    let keyring = keyring(signature?.keyring);
    let is_the_verifiers = matches!(errno, Errno::EINVAL | Errno::EOPNOTSUPP | Errno::E2BIG);
    if is_the_verifiers && says_something(log) {
        return None;
    }
    if let Some(cause) = too_old(host, "a signature at a program's load", SINCE) {
        return Some(cause);
    }
    let other = |what: String, fix: &str| {
        Some(Cause::Other {
            what,
            fix: fix.to_owned(),
        })
    };
    match errno {
        Errno::EOPNOTSUPP => Some(Cause::KernelOption("CONFIG_SYSTEM_DATA_VERIFICATION")),
        Errno::EINVAL => other(
            format!("there is no {keyring} that this process may search"),
            "name one by its serial number, or this process' session keyring by -3",
        ),
        Errno::ENOKEY => other(
            format!("the signer's key is not in the {keyring}"),
            "add its certificate there: `keyctl padd asymmetric NAME KEYRING < CERT.der`",
        ),
        Errno::EKEYREJECTED => other(
            format!(
                "the signature is not one of these instructions by a key of the {keyring}: they were \
                 changed after they were signed, or signed by someone else"
            ),
            "sign the instructions again, exactly as they are loaded",
        ),
        Errno::EKEYEXPIRED | Errno::EKEYREVOKED => other(
            format!("the signer's key in the {keyring} is not good any more"),
            "sign with another key, or renew it",
        ),
        Errno::EBADMSG | Errno::ENOPKG => other(
            "the signature is none that the kernel can read".into(),
            "make one in PKCS #7, detached, in DER, by RSA or ECDSA with SHA-2: `openssl cms -sign \
             -binary -noattr -outform DER`",
        ),
        _ => None,
    }
}

/// Whether the verifier wrote more than that a keyring is not there, or that it came to no instruction.
fn says_something(log: &str) -> bool {
    let nothing = [
        "cannot resolve signing keyring",
        "processed 0 insns",
        "verification time",
        "stack depth",
    ];
    let mut lines = log.lines().map(str::trim);
    lines.any(|line| !line.is_empty() && !nothing.iter().any(|word| line.starts_with(word)))
}

/// A keyring in words.
fn keyring(serial: i32) -> String {
    match serial {
        0 => "builtin keyring of the kernel".into(),
        1 => "secondary keyring of the kernel".into(),
        2 => "platform keyring of the kernel".into(),
        -1 => "thread's keyring".into(),
        -2 => "process' keyring".into(),
        -3 => "session's keyring".into(),
        -4 => "user's keyring".into(),
        -5 => "user's session keyring".into(),
        serial => format!("keyring {serial}"),
    }
}
