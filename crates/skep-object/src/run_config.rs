//! What an object says of how its XDP programs share a device: libxdp's section `.xdp_run_config`.
//!
//! For a program `filter` it has a variable `_filter` (`XDP_RUN_CONFIG(filter)` of `xdp_helpers.h`),
//! whose type says all: `__uint(priority, 10)`, `__uint(XDP_DROP, 1)`.

use skep_abi::XdpAction;
use skep_btf::{Kind, KindTag};

use crate::{Error, Object, Result, maps};

/// The section, and the name of the type that lists its variables.
const SECTION: &str = ".xdp_run_config";

/// What an object says of how one of its XDP programs runs beside others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "XDP_RUN_CONFIG")]
pub struct XdpRunConfig {
    /// The lower runs earlier.
    pub priority: Option<u32>,
    /// Answers after which the next program runs, and those after which it does not; of the others
    /// nothing is said.
    pub chain: Vec<(XdpAction, bool)>,
}

impl Object {
    /// What the object says of how an XDP program runs beside others, if it does.
    ///
    /// # Errors
    /// What it says can't be read: a member is no number, or is called neither `priority` nor as an
    /// answer of XDP programs.
    pub fn xdp_run_config(&self, program: &str) -> Result<Option<XdpRunConfig>> {
        let found = self.read_run_config(program);
        found.map_err(|error| self.blame(error))
    }

    fn read_run_config(&self, program: &str) -> Result<Option<XdpRunConfig>> {
        let Some(btf) = self.btf() else {
            return Ok(None);
        };
        let Some(section) = btf.find(SECTION, KindTag::DataSection) else {
            return Ok(None);
        };
        let Kind::DataSection(section) = btf.type_by_id(section)?.kind() else {
            return Ok(None);
        };
        let name = format!("_{program}");
        let wrong = |problem: String| Error::RunConfig {
            program: program.to_owned(),
            problem,
        };
        for entry in section.entries() {
            let variable = btf.type_by_id(entry.type_id)?;
            let Kind::Variable(kind) = variable.kind() else {
                continue;
            };
            if variable.name() != name {
                continue;
            }
            let Kind::Struct(fields) = btf.skip_modifiers(kind.type_id)?.kind() else {
                return Err(wrong("it is no struct".into()));
            };
            let mut config = XdpRunConfig::default();
            for field in fields.members() {
                let number = maps::uint(btf, &field)?
                    .ok_or_else(|| wrong(format!("`{}` is not given by __uint()", field.name())))?;
                let action = XdpAction::from_name(field.name())
                    .filter(|action| action.name() == field.name());
                match (field.name(), action) {
                    ("priority", _) => config.priority = Some(number),
                    // Of two that say something else the last counts.
                    (_, Some(action)) => {
                        config.chain.retain(|(known, _)| *known != action);
                        config.chain.push((action, number != 0));
                    }
                    (other, None) => {
                        return Err(wrong(format!(
                            "unknown member `{other}`; known are priority, XDP_ABORTED, XDP_DROP, \
                             XDP_PASS, XDP_TX and XDP_REDIRECT"
                        )));
                    }
                }
            }
            return Ok(Some(config));
        }
        Ok(None)
    }
}
