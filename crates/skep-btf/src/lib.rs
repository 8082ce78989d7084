//! BTF: read, index, split, print as C, format values by their type
