//! Section names of the caller's own: what programs in them are, and so how they are loaded.

use std::{borrow::Cow, sync::Arc};

use skep_abi::{AttachType, ProgramType};

use super::{
    AttachKind,
    table::{Flags, Row, Target},
};

/// What programs in sections of a caller's own name are.
#[doc(alias = "libbpf_prog_handler_opts")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionHandler {
    program_type: ProgramType,
    attach_type: Option<AttachType>,
    kind: AttachKind,
    flags: Flags,
}

impl SectionHandler {
    /// Programs of this type, attached as their user says ([`AttachKind::Custom`]).
    #[must_use]
    pub fn new(program_type: ProgramType) -> Self {
        Self {
            program_type,
            attach_type: None,
            kind: AttachKind::Custom,
            flags: Flags::default(),
        }
    }

    /// Loaded to be attached as this.
    #[must_use]
    pub fn attach_type(mut self, attach_type: AttachType) -> Self {
        self.attach_type = Some(attach_type);
        self
    }

    /// Attached as programs of a known name are: what follows the slash is the target, in the
    /// words of that kind.
    #[must_use]
    pub fn attached_as(mut self, kind: AttachKind) -> Self {
        self.kind = kind;
        self
    }

    /// They may sleep. Since 5.10.
    #[doc(alias = "BPF_F_SLEEPABLE")]
    #[must_use]
    pub fn sleepable(mut self) -> Self {
        self.flags.sleepable = true;
        self
    }

    /// They take packets in several buffers. Since 5.18.
    #[doc(alias = "BPF_F_XDP_HAS_FRAGS")]
    #[must_use]
    pub fn frags(mut self) -> Self {
        self.flags.frags = true;
        self
    }

    fn row(self, name: &str, target: Target) -> Row {
        Row {
            name: Cow::Owned(name.to_owned()),
            program_type: self.program_type,
            attach_type: self.attach_type,
            kind: self.kind,
            target,
            flags: self.flags,
            since: None,
        }
    }
}

/// Handlers for section names of the caller's own. They are looked at before the known names, in
/// their order; a leading `?` works with them, too.
///
/// ```
/// use skep_abi::ProgramType;
/// use skep_object::{AttachKind, SectionHandler, SectionHandlers, SectionName};
///
/// let handlers = SectionHandlers::new()
///     .exact("plugin", SectionHandler::new(ProgramType::Syscall).sleepable())
///     .prefix("on_call", SectionHandler::new(ProgramType::Kprobe).attached_as(AttachKind::Kprobe));
/// let section = SectionName::parse_with("on_call/do_exit", &handlers)?;
/// assert_eq!(section.target(), Some("do_exit"));
/// assert_eq!(section.kind(), AttachKind::Kprobe);
/// # Ok::<(), skep_object::Error>(())
/// ```
#[doc(alias = "libbpf_register_prog_handler")]
#[derive(Debug, Clone, Default)]
pub struct SectionHandlers {
    rows: Vec<Arc<Row>>,
    fallback: Option<SectionHandler>,
}

impl SectionHandlers {
    /// None: only the known names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handler for sections of just this name.
    #[must_use]
    pub fn exact(mut self, name: &str, handler: SectionHandler) -> Self {
        self.rows.push(Arc::new(handler.row(name, Target::None)));
        self
    }

    /// A handler for sections of this name, and of this name with a slash and a target.
    #[must_use]
    pub fn prefix(mut self, name: &str, handler: SectionHandler) -> Self {
        self.rows
            .push(Arc::new(handler.row(name, Target::Optional)));
        self
    }

    /// A handler for all names that are neither known nor have a handler.
    #[must_use]
    pub fn others(mut self, handler: SectionHandler) -> Self {
        self.fallback = Some(handler);
        self
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Row>> {
        self.rows.iter().find(|row| row.fits(name)).cloned()
    }

    pub(super) fn fallback(&self, name: &str) -> Option<Arc<Row>> {
        let handler = self.fallback?;
        Some(Arc::new(handler.row(name, Target::None)))
    }
}
