//! Objects that no compiler made: whatever they say, finishing ends with a result.
