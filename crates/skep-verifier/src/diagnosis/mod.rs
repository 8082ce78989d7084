//! Words for a rejection: the line of source, how it came to it, what to do.
