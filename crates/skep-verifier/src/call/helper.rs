//! Calls of helpers: whether they may be called, their arguments, what they give.

use crate::{
    Rule,
    verifier::{Result, Verifier},
    walk::Next,
};

impl Verifier<'_> {
    pub(crate) fn call_helper(&mut self, id: u32) -> Result<Next> {
        Err(self.reject(Rule::UnknownHelper, format!("no kernel has a helper {id}")))
    }
}
