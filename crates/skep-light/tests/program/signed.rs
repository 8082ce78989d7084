//! A program around a light form that is signed, by a key of the session's keyring: it says whether
//! the kernel takes it.

mod light;

use light::Light;
use skep_light::{Kernel, Result};

/// `KEY_SPEC_SESSION_KEYRING`
const SESSION: i32 = -3;

fn main() {
    match run() {
        Ok(()) => println!("loaded"),
        Err(error) => {
            println!("error: {error}");
            if let Some(cause) = error.cause() {
                println!("cause: {cause}");
            }
        }
    }
}

fn run() -> Result<()> {
    let mut open = Light::new();
    open.open.set_keyring(SESSION);
    open.load(&Kernel::new()?).map(drop)
}
