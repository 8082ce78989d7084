//! Functions of the program: static ones are followed, global ones are taken at their types' word;
//! callbacks; and what must be true at `exit`.

use crate::{
    verifier::{Result, Verifier},
    walk::Next,
};

impl Verifier<'_> {
    pub(crate) fn call_subprogram(&mut self, start: usize) -> Result<Next> {
        let _ = start;
        Ok(Next::Fall)
    }

    pub(crate) fn exit(&mut self) -> Result<Next> {
        Ok(Next::End)
    }
}
