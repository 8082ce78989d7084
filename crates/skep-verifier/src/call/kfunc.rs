//! Calls of kernel functions: found in BTF, their arguments by type and suffix, what they give.

use crate::{
    Rule,
    verifier::{Result, Verifier},
    walk::Next,
};

impl Verifier<'_> {
    pub(crate) fn call_kfunc(&mut self, btf_id: u32) -> Result<Next> {
        Err(self.reject(Rule::UnknownKfunc, format!("no kernel function {btf_id}")))
    }
}
