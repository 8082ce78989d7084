//! What the verification knows about the program's functions beside their code: which are global,
//! what they take, and which are called.

use std::rc::Rc;

use skep_btf::{FunctionLinkage, Kind, KindTag};

use super::{arguments::Argument, effects::Effects};
use crate::{
    Program, Rejection, Rule,
    setup::Code,
    verifier::{Result, Verifier},
};

/// The program's functions.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    /// By subprogram.
    known: Vec<Known>,
    /// The function that catches exceptions.
    pub(crate) exception_callback: Option<u32>,
    /// What they may do, by subprogram; empty before it was asked for.
    pub(super) effects: Vec<Effects>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    arguments: Option<Rc<[Argument]>>,
    called: bool,
    verified: bool,
}

impl Functions {
    pub(crate) fn new(program: &Program<'_>, code: &Code) -> Result<Self> {
        Ok(Self {
            known: vec![Known::default(); code.subprograms.len()],
            exception_callback: exception_callback(program, code)?,
            effects: Vec::new(),
        })
    }

    /// Says that a global function is called, and so must be verified.
    pub(super) fn mark_called(&mut self, function: usize) {
        if let Some(known) = self.known.get_mut(function) {
            known.called = true;
        }
    }

    /// The next global function to verify, from the one behind `after` on, and then from the first.
    pub(super) fn next_to_verify(&mut self, after: usize) -> Option<usize> {
        let count = self.known.len();
        let next = (1..=count)
            .map(|step| (after + step) % count)
            .find(|&function| {
                self.known[function].called && !self.known[function].verified && function != 0
            })?;
        self.known[next].verified = true;
        Some(next)
    }
}

impl Verifier<'_> {
    /// What a global function takes. Read once.
    pub(super) fn arguments_of(&mut self, function: usize) -> Result<Rc<[Argument]>> {
        let known = self.functions.known.get(function);
        if let Some(arguments) = known.and_then(|known| known.arguments.clone()) {
            return Ok(arguments);
        }
        let arguments: Rc<[Argument]> = self.read_arguments(function)?.into();
        if let Some(known) = self.functions.known.get_mut(function) {
            known.arguments = Some(arguments.clone());
        }
        Ok(arguments)
    }
}

/// The function that catches the program's exceptions: the one that a tag of the program names.
fn exception_callback(program: &Program<'_>, code: &Code) -> Result<Option<u32>> {
    let Some(btf) = program.btf.as_deref() else {
        return Ok(None);
    };
    let Some(main) = code.subprograms.first().and_then(|main| main.type_id) else {
        return Ok(None);
    };
    let wrong = |message: String| Err(Rejection::new(Rule::ExceptionMisuse, message));
    let mut tags = btf
        .decl_tags(main, None)
        .filter_map(|tag| tag.strip_prefix("exception_callback:"));
    let name = match (tags.next(), tags.next()) {
        (None, _) => return Ok(None),
        (Some(name), None) => name,
        (Some(_), Some(_)) => {
            return wrong("the program has more than one exception callback".to_owned());
        }
    };
    let Some(type_id) = btf.find(name, KindTag::Function) else {
        return wrong(format!(
            "the exception callback `{name}` is no function of the program"
        ));
    };
    let place = code
        .subprograms
        .iter()
        .position(|function| function.type_id == Some(type_id));
    let linkage = btf.type_by_id(type_id).ok().map(|found| found.kind());
    if !matches!(linkage, Some(Kind::Function(function)) if function.linkage == FunctionLinkage::Global)
    {
        return wrong(format!(
            "the exception callback `{name}` is `static`, and must be global"
        ));
    }
    match place {
        Some(0) => wrong("the program itself can't be its exception callback".to_owned()),
        Some(place) => Ok(u32::try_from(place).ok()),
        None => wrong(format!(
            "the exception callback `{name}` is no function of the program"
        )),
    }
}
