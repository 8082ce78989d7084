//! The verdict on programs without loading them: what a host's verifier would say.

use std::sync::Arc;

use skep_btf::Btf;
use skep_object::{Image, Target};
use skep_verifier::{
    ChainLink, LineCost, Options, Portability, Program, Verdict,
    diagnosis::{self, Diagnosis},
    verify,
};

use crate::{Host, Object, Result};

/// What came of a program that was checked.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checked {
    /// The program's name.
    pub program: String,
    /// What the verifier says of it.
    pub verdict: Verdict,
    /// Why it may not run, in words; `None` if it may.
    pub diagnosis: Option<Diagnosis>,
    /// The lines of source, the costliest first, if [`Options::count`] asked for it.
    pub lines: Vec<LineCost>,
    /// The chain of calls whose frames take the most stack.
    pub chain: Vec<ChainLink>,
    /// What was known on the way to the refusal, in the syntax of the kernel's log at level 2, if
    /// [`Options::log`] asked for it.
    pub states: String,
}

impl Object {
    /// Relocates one program for a host and says whether its verifier takes it, without loading
    /// anything.
    ///
    /// # Errors
    /// There is no such program, a relocation finds nothing, or the host shows no types.
    pub fn check(&self, program: &str, host: &Host, options: &Options) -> Result<Checked> {
        let mut link = self.link_options().clone();
        link.only_programs([program.to_owned()]);
        let image = crate::target::link(self.spec(), &link, host, self.core_types())?;
        let target = crate::target::of(host, &image)?;
        let mut all = Checked::all(&image, &target, options)?;
        all.retain(|checked| checked.program == program);
        all.pop().ok_or_else(|| {
            let known = image.programs.iter().map(|program| program.name.as_str());
            crate::Error::unknown("program", program, known)
        })
    }

    /// Whether the programs that a load would load do so on a machine that is not here, of which
    /// more or less is known.
    pub fn portability(&self, target: &Target) -> Portability {
        let options = Options::default();
        skep_verifier::portability(self.spec(), self.link_options(), target, &options)
    }
}

impl Checked {
    /// Checks all programs of an image for the target that it was linked for.
    ///
    /// # Errors
    /// The image's types are damaged.
    pub fn all(image: &Image, target: &Target, options: &Options) -> Result<Vec<Self>> {
        let btf = match &image.btf {
            Some(bytes) => Some(Arc::new(Btf::parse(bytes.clone())?)),
            None => None,
        };
        let checked = image.programs.iter().map(|program| {
            let name = program.name.clone();
            let program = Program::from_image(image, program, btf.as_ref());
            let verdict = verify(&program, target, options);
            let words = verdict
                .rejection
                .as_deref()
                .map(|rejection| Diagnosis::of(&program, target, options, rejection));
            let states = match verdict.rejection.as_deref() {
                Some(rejection) if options.log => {
                    diagnosis::states(&program, target, options, rejection)
                }
                _ => String::new(),
            };
            Self {
                lines: verdict.stats.lines(&program),
                chain: verdict.stats.deepest_chain(&program),
                states,
                program: name,
                verdict,
                diagnosis: words,
            }
        });
        Ok(checked.collect())
    }
}
