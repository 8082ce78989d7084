//! Programs with a signature, by a key of this process' own keyring: made by openssl, where the tests
//! are compiled. A kernel that checks none says so.
#![expect(
    unsafe_code,
    reason = "no crate here has the calls for keys; each block says why it is sound"
)]

use std::{
    ffi::CStr,
    fs,
    path::Path,
    process::{Command, Stdio},
    ptr,
};

use skep_abi::ProgramType;
use skep_host::{Cause, Host, LoadedProgram, ProgramLoad, Result as HostResult, Signature};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err, find_tool, made_by, needs_kernel};

use crate::{harness::host, programs::code};

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("signing::a_signed_program_loads_and_no_other", signed),
        Test::new("signing::kernels_without_signatures_say_so", too_old),
    ]
}

const PROGRAM: &str = "r0 = 0\n exit";
const OTHER: &str = "r0 = 1\n exit";
/// `KEY_SPEC_PROCESS_KEYRING`
const PROCESS: i32 = -2;

fn signed() -> Outcome {
    needs_kernel(6, 18)?;
    let (certificate, signature) = sign()?;
    let keyring = add(c"keyring", c"skep", &[], PROCESS)?;
    let empty = add(c"keyring", c"skep-empty", &[], PROCESS)?;
    add(c"asymmetric", c"skep", &certificate, keyring)?;
    match host().config("CONFIG_SYSTEM_DATA_VERIFICATION") {
        Ok(None) => {
            let error = expect_err("a signature", load(PROGRAM, &signature, keyring))?;
            let option = Cause::KernelOption("CONFIG_SYSTEM_DATA_VERIFICATION");
            return ensure(error.cause() == Some(&option), || format!("{error:?}"));
        }
        known => known?,
    };
    load(PROGRAM, &signature, keyring)?;
    refused(OTHER, &signature, keyring, "not one of these instructions")?;
    refused(
        PROGRAM,
        &signature,
        empty,
        "the signer's key is not in the keyring ",
    )?;
    refused(
        PROGRAM,
        b"no signature",
        keyring,
        "none that the kernel can read",
    )?;
    refused(
        PROGRAM,
        &signature,
        i32::MAX,
        "there is no keyring 2147483647",
    )?;
    refused(PROGRAM, &signature, 0, "the builtin keyring of the kernel")
}

/// Where the kernel does not know of signatures, that is the cause.
fn too_old() -> Outcome {
    if needs_kernel(6, 18).is_ok() {
        return Ok(());
    }
    refused(
        PROGRAM,
        b"a signature",
        -3,
        "a signature at a program's load needs Linux 6.18",
    )
}

fn load(text: &str, signature: &[u8], keyring: i32) -> HostResult<LoadedProgram> {
    let code = code(text).unwrap_or_default();
    let mut request = ProgramLoad::new(ProgramType::SocketFilter, "signed", &code);
    request.signature = Some(Signature {
        bytes: signature,
        keyring,
    });
    host().prog_load(&request)
}

fn refused(text: &str, signature: &[u8], keyring: i32, words: &str) -> Outcome {
    let error = expect_err(words, load(text, signature, keyring))?;
    let cause = error.cause().map(Cause::to_string).unwrap_or_default();
    ensure(cause.contains(words), || format!("{error:?}: {cause}"))
}

/// A certificate, and the signature of the program by its key.
fn sign() -> Outcome<(Vec<u8>, Vec<u8>)> {
    let both = made_by("openssl", PROGRAM, || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("signing");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("program"), code(PROGRAM)?)?;
        openssl(
            &folder,
            "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 3650 -subj /CN=skep",
        )?;
        openssl(&folder, "x509 -in cert.pem -outform DER -out cert.der")?;
        openssl(
            &folder,
            "cms -sign -binary -noattr -nocerts -md sha256 -signer cert.pem -inkey key.pem -in program \
             -outform DER -out program.p7s",
        )?;
        let certificate = fs::read(folder.join("cert.der"))?;
        let mut both = (certificate.len() as u64).to_le_bytes().to_vec();
        both.extend(certificate);
        both.extend(fs::read(folder.join("program.p7s"))?);
        Ok(both)
    })?;
    let parts = both.split_first_chunk().and_then(|(len, rest)| {
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        rest.split_at_checked(len)
    });
    let (certificate, signature) = parts.ok_or_else(|| Stop::fail("no certificate"))?;
    Ok((certificate.to_vec(), signature.to_vec()))
}

fn openssl(folder: &Path, words: &str) -> Outcome {
    let ran = Command::new(find_tool("openssl")?)
        .args(words.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()?;
    ensure(ran.status.success(), || {
        format!("openssl {words}: {}", String::from_utf8_lossy(&ran.stderr))
    })
}

/// Adds a key to a keyring, and gives its serial number; those of the process' keyring go with it.
fn add(kind: &CStr, name: &CStr, payload: &[u8], keyring: i32) -> Outcome<i32> {
    let data = match payload {
        [] => ptr::null(),
        bytes => bytes.as_ptr(),
    };
    // SAFETY: `add_key(2)` reads two C strings, and `payload.len()` bytes at `data` (none at null);
    // all are borrowed through the call.
    let serial = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            kind.as_ptr(),
            name.as_ptr(),
            data,
            payload.len(),
            keyring,
        )
    };
    match i32::try_from(serial) {
        Ok(serial) if serial > 0 => Ok(serial),
        _ => Err(Stop::lacks(format!(
            "keys of type {}: {}",
            kind.to_string_lossy(),
            std::io::Error::last_os_error()
        ))),
    }
}
