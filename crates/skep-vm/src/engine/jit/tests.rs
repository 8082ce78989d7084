//! The compiler for the machines that tests do not run on.

use skep_isa::{InsnIndex, assemble};

use super::{compile, target};
use crate::{
    LoadError, Mode, helper,
    program::{Call, Code, Resolve},
};

struct Helpers;

impl Resolve for Helpers {
    fn helper(&mut self, _at: InsnIndex, id: u32) -> Result<Call, LoadError> {
        Ok(Call {
            shim: helper::by_id(id).expect("a helper"),
            custom: 0,
            name: "helper",
        })
    }

    fn kfunc(&mut self, at: InsnIndex, _id: u32, _fd: i16) -> Result<Call, LoadError> {
        let what = "kernel functions".into();
        Err(LoadError::Missing { at, what })
    }

    fn value(&mut self, _at: InsnIndex, _value: skep_isa::Imm64) -> Result<u64, LoadError> {
        Ok(0)
    }
}

const PROGRAM: &str = "
    r6 = r1
    r0 = 0
    r2 = 10
again:
    r0 += r2
    r3 = *(u8 *)(r6 + 1)
    r0 /= r3
    r0 s%= r3
    *(u16 *)(r10 - 4) = r0
    lock *(u64 *)(r10 - 16) += r0
    r4 = atomic_fetch_xor((u32 *)(r10 - 16), r4)
    r0 = bswap16 r0
    r2 += -1
    if r2 != 0 goto again
    r1 = 5
    r2 = subprog[back]
    r3 = r10
    r4 = 0
    call 181
    call back
    exit
back:
    may_goto back
    r0 = 0
    exit";

#[test]
fn both_machines() {
    let slots = assemble(PROGRAM).expect("a program");
    let code = Code::new(&slots, &mut Helpers).expect("a program that loads");
    let mut made = 0;
    for (name, features) in [
        ("x86_64-unknown-linux-gnu", vec![]),
        ("x86_64-unknown-linux-gnu", vec!["has_bmi2"]),
        ("aarch64-unknown-linux-gnu", vec![]),
        ("aarch64-unknown-linux-gnu", vec!["has_lse"]),
    ] {
        let Some(isa) = target::target(name, &features) else {
            continue;
        };
        made += 1;
        for mode in [Mode::Checked, Mode::Verified] {
            let (bytes, starts) = compile(&code, mode, &*isa).expect("code");
            assert_eq!(starts.len(), 2);
            assert!(bytes.len() > 200);
        }
    }
    assert!(made > 0, "no backend");
}
