//! What old kernels lack and objects can do without: a table with one rule each, and which rules
//! a link had to apply. How each is applied stands where its thing is made (`btf_fixup`,
//! `downgrade`); that it was is always noted, so that nothing is made less of in silence.

use std::{collections::BTreeMap, fmt};

use skep_abi::{KernelVersion, LoaderFeature as Feature};

/// The features that objects are loaded without where the target lacks them, oldest first, and
/// what becomes of each thing that would use one. When a feature came, and how it is probed for,
/// `skep-abi` and the host know.
const RULES: [(Feature, &str); 17] = [
    (Feature::ObjectNames, "left out"),
    (Feature::AttachTypes, "loaded without"),
    (
        Feature::Btf,
        "left out, with the types of maps and the records of programs",
    ),
    (
        Feature::BtfFunctions,
        "made typedefs, and the records of functions and lines left out",
    ),
    (Feature::BtfDataSections, "made integers and structs"),
    (
        Feature::GlobalData,
        "not created, and poisoned where instructions refer to them",
    ),
    (Feature::MappedArrays, "not mappable"),
    (
        Feature::ProbeReads,
        "made calls of bpf_probe_read and bpf_probe_read_str",
    ),
    (
        Feature::BtfGlobalFunctions,
        "made static, and verified where they are called",
    ),
    (Feature::RingBuffers, "made perf buffers"),
    (Feature::BtfFloats, "made structs of the same size"),
    (Feature::BtfDeclTags, "made integers that nothing refers to"),
    (Feature::BtfTypeTags, "made `const`"),
    (
        Feature::BtfEnum64,
        "made unsigned, or unions of the same size",
    ),
    (
        Feature::FunctionAddresses,
        "made the number 1, which says that the function is there",
    ),
    (Feature::BtfSectionNames, "spelled with `_`"),
    (Feature::BtfTagAttributes, "made plain tags"),
];

/// Which features a kernel has.
///
/// ```
/// use skep_abi::LoaderFeature;
/// use skep_object::Features;
/// // A kernel that says 4.18 and has, as a probe found, some of later ones.
/// let features = Features::of("4.18".parse()?).with(LoaderFeature::GlobalData);
/// assert!(features.has(LoaderFeature::Btf) && features.has(LoaderFeature::GlobalData));
/// assert!(!features.has(LoaderFeature::BtfFloats));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features(u64);

impl Features {
    /// What a kernel of this version has, as released.
    pub fn of(version: KernelVersion) -> Self {
        let all = Feature::ALL.iter();
        let has = all.filter(|feature| version >= feature.since());
        Self(has.fold(0, |bits, feature| bits | bit(*feature)))
    }

    /// Whether the feature is among them.
    pub fn has(self, feature: Feature) -> bool {
        self.0 & bit(feature) != 0
    }

    /// The same with a feature more.
    #[must_use]
    pub fn with(self, feature: Feature) -> Self {
        Self(self.0 | bit(feature))
    }

    /// The same with a feature less.
    #[must_use]
    pub fn without(self, feature: Feature) -> Self {
        Self(self.0 & !bit(feature))
    }
}

fn bit(feature: Feature) -> u64 {
    const { assert!(Feature::ALL.len() <= 64) };
    1 << (feature as u64)
}

/// Things in an object that were made less of, since the target lacks a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downgrade {
    /// The feature.
    pub feature: Feature,
    /// How many things would have used it.
    pub count: u32,
}

impl Downgrade {
    /// What became of them.
    pub fn instead(self) -> &'static str {
        let rule = RULES.iter().find(|(feature, _)| *feature == self.feature);
        rule.map_or("left out", |(_, instead)| instead)
    }
}

/// Prints as a line: `BTF of floating-point types (since Linux 5.13): 2 made structs of the same
/// size`.
impl fmt::Display for Downgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.feature.meaning().trim_end_matches('.');
        let (since, count) = (self.feature.since(), self.count);
        write!(
            f,
            "{what} (since Linux {since}): {count} {}",
            self.instead()
        )
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
        debug_assert!(
            RULES.iter().any(|(ruled, _)| *ruled == feature),
            "no rule for {feature}"
        );
        let lacking = self.is(feature);
        if lacking {
            let count = self.used.entry(feature).or_default();
            *count = count.saturating_add(1);
        }
        lacking
    }

    /// In the order of the table.
    pub(crate) fn downgrades(self) -> Vec<Downgrade> {
        let ruled = RULES.iter().map(|(feature, _)| *feature);
        ruled
            .filter_map(|feature| {
                let count = *self.used.get(&feature)?;
                Some(Downgrade { feature, count })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_what_came_before_them() {
        let of = |major, minor| Features::of(KernelVersion::new(major, minor));
        let rules = || RULES.iter().map(|(feature, _)| *feature);
        assert!(!rules().any(|feature| of(4, 14).has(feature)));
        assert!(rules().all(|feature| of(6, 15).has(feature)));
        let old = of(5, 10);
        assert!(old.has(Feature::BtfGlobalFunctions) && !old.has(Feature::BtfFloats));
        assert!(rules().map(Feature::since).is_sorted());
        assert_eq!(
            old.with(Feature::BtfFloats).without(Feature::BtfFloats),
            old
        );
    }

    #[test]
    fn uses_are_counted_only_where_something_is_lacking() {
        let mut lacking = Lacking::new(Features::of(KernelVersion::new(5, 10)));
        assert!(!lacking.uses(Feature::BtfGlobalFunctions));
        assert!(lacking.uses(Feature::BtfFloats) && lacking.uses(Feature::BtfFloats));
        assert!(lacking.is(Feature::BtfDeclTags));
        let [floats] = lacking.downgrades().try_into().unwrap();
        assert_eq!(
            floats.to_string(),
            "BTF of floating-point types (since Linux 5.13): 2 made structs of the same size"
        );
    }
}
