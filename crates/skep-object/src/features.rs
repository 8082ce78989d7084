//! What old kernels lack and objects can do without: a table with one rule each, and which rules
//! a link had to apply. How each is applied stands where its thing is made (`btf_fixup`, `code`,
//! `link`); that it was is always noted, so that nothing is downgraded in silence.

use std::{collections::BTreeMap, fmt};

use skep_abi::KernelVersion;

/// Something that kernels before a version do not have, and without which objects are loaded all
/// the same, with less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Feature {
    /// Maps and programs have names.
    ObjectNames,
    /// A program says when it is loaded what it will be attached as.
    ExpectedAttachType,
    /// The kernel takes BTF.
    Btf,
    /// BTF has functions, and programs have function and line records.
    BtfFunctions,
    /// BTF has variables and data sections.
    BtfDataSections,
    /// Instructions address a map's value, which is what global variables are; such maps can be
    /// read-only for programs, and frozen.
    GlobalData,
    /// The values of arrays can be mapped into memory.
    MappableArrays,
    /// Reading the kernel's memory and a process's are helpers of their own.
    ProbeReadKernel,
    /// BTF says that a function is global, and it is verified by itself.
    GlobalFunctions,
    /// BTF has floating-point types.
    Floats,
    /// BTF has tags of declarations.
    DeclTags,
    /// BTF has tags of types.
    TypeTags,
    /// BTF has enumerations of 64 bits, and signed ones.
    Enum64,
    /// The names of data sections in BTF may have any letter (`?.struct_ops`).
    DataSectionNames,
    /// Tags in BTF can be whole attributes.
    TagAttributes,
}

/// One row of the table.
#[derive(Debug)]
struct Rule {
    feature: Feature,
    /// What is lacking, as a noun.
    what: &'static str,
    /// The first kernel that has it.
    since: (u8, u8),
    /// What becomes of each use of it.
    instead: &'static str,
}

const fn rule(
    feature: Feature,
    since: (u8, u8),
    what: &'static str,
    instead: &'static str,
) -> Rule {
    Rule {
        feature,
        what,
        since,
        instead,
    }
}

/// All rules, in the order of the enumeration.
#[rustfmt::skip]
const RULES: [Rule; 15] = [
    rule(Feature::ObjectNames, (4, 15), "names of maps and programs", "left out"),
    rule(Feature::ExpectedAttachType, (4, 17), "attach types at the load", "left out"),
    rule(Feature::Btf, (4, 18), "BTF", "left out, with the types of maps"),
    rule(Feature::BtfFunctions, (5, 0), "functions in BTF", "made typedefs, and function and line records left out"),
    rule(Feature::BtfDataSections, (5, 2), "variables and data sections in BTF", "made integers and structs"),
    rule(Feature::GlobalData, (5, 2), "global variables", "not created: instructions that refer to them are poisoned"),
    rule(Feature::MappableArrays, (5, 5), "global variables mapped into memory", "not mappable"),
    rule(Feature::ProbeReadKernel, (5, 5), "bpf_probe_read_{kernel,user}{,_str}", "made calls of bpf_probe_read{,_str}"),
    rule(Feature::GlobalFunctions, (5, 6), "global functions in BTF", "made static"),
    rule(Feature::Floats, (5, 13), "floating-point types in BTF", "made structs of the same size"),
    rule(Feature::DeclTags, (5, 16), "tags of declarations in BTF", "made integers that nothing refers to"),
    rule(Feature::TypeTags, (5, 17), "tags of types in BTF", "made `const`"),
    rule(Feature::Enum64, (6, 0), "signed and 64-bit enumerations in BTF", "made unsigned, or unions of the same size"),
    rule(Feature::DataSectionNames, (6, 9), "names of data sections with special letters in BTF", "spelled with `_`"),
    rule(Feature::TagAttributes, (6, 15), "tags that are whole attributes in BTF", "made plain tags"),
];

impl Feature {
    /// All of them, oldest first.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        RULES.iter().map(|rule| rule.feature)
    }

    /// The first kernel that has it.
    pub fn since(self) -> KernelVersion {
        let (major, minor) = self.rule().since;
        KernelVersion::new(major, minor)
    }

    fn rule(self) -> &'static Rule {
        const { assert!(in_order()) };
        #[expect(clippy::indexing_slicing, reason = "one row a feature: checked above")]
        &RULES[self as usize]
    }

    fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

const fn in_order() -> bool {
    let mut index = 0;
    while index < RULES.len() {
        #[expect(clippy::indexing_slicing, reason = "bounded by the loop")]
        if RULES[index].feature as usize != index {
            return false;
        }
        index = index.wrapping_add(1);
    }
    Feature::TagAttributes as usize == RULES.len().wrapping_sub(1)
}

/// Prints what it is, as a noun: `floating-point types in BTF`.
impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.rule().what)
    }
}

/// Which of the [`Feature`]s a kernel has.
///
/// ```
/// use skep_object::{Feature, Features};
/// // A kernel that says 4.18 and has, as a probe found, much of later ones.
/// let features = Features::of("4.18".parse()?).with(Feature::GlobalData);
/// assert!(features.has(Feature::Btf) && features.has(Feature::GlobalData));
/// assert!(!features.has(Feature::Floats));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// What a kernel of this version has, as released.
    pub fn of(version: KernelVersion) -> Self {
        let has = Feature::all().filter(|feature| version >= feature.since());
        Self(has.fold(0, |bits, feature| bits | feature.bit()))
    }

    /// Whether the feature is among them.
    pub fn has(self, feature: Feature) -> bool {
        self.0 & feature.bit() != 0
    }

    /// The same with a feature more.
    #[must_use]
    pub fn with(self, feature: Feature) -> Self {
        Self(self.0 | feature.bit())
    }

    /// The same with a feature less.
    #[must_use]
    pub fn without(self, feature: Feature) -> Self {
        Self(self.0 & !feature.bit())
    }
}

/// Something in an object that was made less of, since the target lacks a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downgrade {
    /// The feature.
    pub feature: Feature,
    /// How many things would have used it.
    pub count: u32,
}

/// Prints as a line: `global functions in BTF (since Linux 5.6): 2 made static`.
impl fmt::Display for Downgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { feature, count } = self;
        let (since, instead) = (feature.since(), feature.rule().instead);
        write!(f, "{feature} (since Linux {since}): {count} {instead}")
    }
}

/// What is lacking, asked while a link goes on, and how often it mattered.
#[derive(Debug)]
pub(crate) struct Lacking {
    features: Features,
    used: BTreeMap<Feature, u32>,
}

impl Lacking {
    pub(crate) fn new(features: Features) -> Self {
        Self {
            features,
            used: BTreeMap::new(),
        }
    }

    /// Whether the target lacks a feature, without a use of it.
    pub(crate) fn is(&self, feature: Feature) -> bool {
        !self.features.has(feature)
    }

    /// Whether the target lacks a feature that something uses: if so, that is counted.
    pub(crate) fn uses(&mut self, feature: Feature) -> bool {
        let lacking = self.is(feature);
        if lacking {
            let count = self.used.entry(feature).or_default();
            *count = count.saturating_add(1);
        }
        lacking
    }

    pub(crate) fn downgrades(self) -> Vec<Downgrade> {
        let used = self.used.into_iter();
        used.map(|(feature, count)| Downgrade { feature, count })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_what_came_before_them() {
        let of = |major, minor| Features::of(KernelVersion::new(major, minor));
        assert_eq!(Feature::all().filter(|f| of(4, 14).has(*f)).count(), 0);
        assert!(Feature::all().all(|feature| of(6, 15).has(feature)));
        assert!(of(5, 10).has(Feature::GlobalFunctions) && !of(5, 10).has(Feature::Floats));
        let since: Vec<_> = Feature::all().map(Feature::since).collect();
        assert!(since.is_sorted());
        assert_eq!(
            of(5, 10).with(Feature::Floats).without(Feature::Floats),
            of(5, 10)
        );
    }

    #[test]
    fn uses_are_counted_only_where_something_is_lacking() {
        let mut lacking = Lacking::new(Features::of(KernelVersion::new(5, 10)));
        assert!(!lacking.uses(Feature::GlobalFunctions));
        assert!(lacking.uses(Feature::Floats) && lacking.uses(Feature::Floats));
        assert!(lacking.is(Feature::DeclTags));
        let [floats] = lacking.downgrades().try_into().unwrap();
        assert_eq!(
            floats.to_string(),
            "floating-point types in BTF (since Linux 5.13): 2 made structs of the same size"
        );
    }
}
