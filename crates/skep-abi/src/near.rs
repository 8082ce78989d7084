//! Names near to one that does not exist, for "did you mean".

/// Those of `names` that are most like `wanted`, best first: at most three, and only what a few
/// slips of the fingers make of it (letters inserted, dropped, changed, or swapped with the next),
/// or what it is a part of.
///
/// ```
/// let known = ["sys_enter_open", "sys_enter_openat", "sched_switch"];
/// assert_eq!(
///     skep_abi::near_names("sys_enter_opneat", known),
///     ["sys_enter_openat", "sys_enter_open"]
/// );
/// assert_eq!(skep_abi::near_names("qqq", known), [""; 0]);
/// ```
#[must_use]
pub fn near_names<'n>(wanted: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    /// Shorter words are part of too much.
    const PART: usize = 4;
    let allowed = (wanted.len() / 3).clamp(1, 6);
    let edits = |name: &str| {
        // Bytes, so that most names are passed over without a look at their letters; a letter has
        // at most four.
        let hopeless = name.len().abs_diff(wanted.len()) > allowed.saturating_mul(4);
        let edits = (!hopeless).then(|| strsim::osa_distance(wanted, name));
        edits.filter(|edits| *edits <= allowed)
    };
    let mut near: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| {
            let is_part = wanted.len().min(name.len()) >= PART
                && (name.contains(wanted) || wanted.contains(name));
            let part = is_part.then(|| allowed.saturating_add(name.len().abs_diff(wanted.len())));
            Some((edits(name).or(part)?, name))
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter()
        .take(3)
        .map(|(_, name)| name.to_owned())
        .collect()
}
